//! Confident learning's counting, with the answers of cleanlab 2.9: per-class thresholds, the class
//! confidently guessed for each sample, the confident joint.
//!
//! Two passes over the probabilities, in blocks of rows, in the precision in which they are stored: the
//! first looks at one value a row (the thresholds), the second at all. Nothing of the size of the matrix
//! is kept: 14 bytes a sample in f32, 18 in f64.
//!
//! Where cleanlab's own answer hangs on the last bit (a probability within rounding of its threshold)
//! ours is the same, because sums are formed as NumPy forms them; see [`pairwise_sum`].
//!
//! Source: Northcutt, Jiang, Chuang, "Confident learning", JAIR 2021; cleanlab.count.

mod joint;
mod seen;

use ndarray::Array2;
use rayon::prelude::*;

pub use joint::{calibrated_joint, inverse_noise_matrix, noise_matrix, off_diagonal_calibrated};

pub(crate) use joint::Cells;
use seen::Judge;
pub(super) use seen::{SURE_OF_SUM, check_values};

use super::error::{DetectError, check_length};
use crate::arrays::{Real, Rows, block_rows, pairwise_sum};

/// Comparison slack and lower bound of thresholds, as in cleanlab.
pub(crate) const SLACK: f64 = 1e-6;
const LOWEST_THRESHOLD: f64 = 2e-6;
/// Threshold of a class without samples: no probability reaches it.
const ABSENT_THRESHOLD: f64 = 2.0;
/// Rows may miss a sum of 1 by this much (f16 storage included).
const ROW_SUM_TOLERANCE: f64 = 0.01;
/// Rounding of a probability beyond [0, 1].
const BELOW_ZERO: f64 = -1e-6;
const ABOVE_ONE: f64 = 1.0 + 1e-5;

/// Marks a sample of which no class is confident.
pub const NO_GUESS: u32 = u32::MAX;

/// What two passes over the predicted probabilities say of the given labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted<T> {
    /// (k) t_j = mean of p_j over the samples labelled j; 2 for a class without samples.
    pub thresholds: Vec<f64>,
    /// (N) probability of the given label.
    pub self_confidence: Vec<T>,
    /// (N) the class confidently guessed: the only class whose p reaches its threshold; the arg-max over
    /// all classes when several do; [`NO_GUESS`] when none does.
    pub guesses: Vec<u32>,
    /// (N) the arg-max is the given label, which is helped by 1e-6 so that ties go to it.
    pub given_wins: Vec<bool>,
    /// (k) samples labelled so.
    pub(crate) members: Vec<usize>,
}

impl<T: Real> Counted<T> {
    /// Counts `p` (N, k), rows summing to 1, against `labels` (N) in 0..k. `pace(rows)` is told how many
    /// more rows were read and cancels by returning false. O(N k); the same answer for any number of threads.
    ///
    /// # Errors
    /// No samples, fewer than two classes, lengths, a label out of range, and the first row whose
    /// probabilities are not finite, not in [0, 1] or do not sum to 1.
    pub fn of(
        p: &dyn Rows<T>,
        labels: &[u32],
        pace: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Self, DetectError> {
        let (n, k) = p.shape();
        check(n, k, labels)?;
        let self_confidence = given(p, labels);
        let (thresholds, members) = means(&self_confidence, labels, k);
        let cuts = cuts::<T>(&thresholds);
        let mut guesses = vec![NO_GUESS; n];
        let mut given_wins = vec![false; n];
        let rows = block_rows(k);
        let blocks = guesses.par_chunks_mut(rows).zip(given_wins.par_chunks_mut(rows)).enumerate();
        // all blocks are read, so that the fault named is the first whatever the threads do
        let ends: Vec<Result<(), DetectError>> = blocks
            .map_init(Vec::new, |buffer, (b, (guesses, wins))| {
                let start = b * rows;
                let block = p.block(start, guesses.len(), buffer);
                let (n, labels) = (guesses.len(), &labels[start..start + guesses.len()]);
                Judge { block, labels, cuts: &cuts, first: start, guesses, wins }.run()?;
                if pace(n) { Ok(()) } else { Err(DetectError::Cancelled) }
            })
            .collect();
        ends.into_iter().collect::<Result<(), _>>()?;
        Ok(Self { thresholds, self_confidence, guesses, given_wins, members })
    }

    /// Counts [given label, confident guess] (k, k) with the diagonal raised to at least 1.
    pub fn joint(&self, labels: &[u32]) -> Array2<u64> {
        self.cells(labels).dense()
    }

    /// The same, without the zeros.
    pub(crate) fn cells(&self, labels: &[u32]) -> Cells {
        let k = self.thresholds.len();
        // room for those without a guess behind the last column, so that counting needs no branch
        let mut counts = vec![0u32; k * (k + 1)];
        for (&guess, &y) in self.guesses.iter().zip(labels) {
            counts[y as usize * (k + 1) + (guess as usize).min(k)] += 1;
        }
        let row = |i: usize| {
            let row = counts[i * (k + 1)..][..k].iter().enumerate();
            row.map(move |(j, &n)| u64::from(if i == j { n.max(1) } else { n }))
        };
        Cells::of((0..k).map(row))
    }

    /// A sample confidently of another class than its label, the arg-max not being its label.
    pub fn is_off_diagonal(&self, i: usize, label: u32) -> bool {
        self.guesses[i] != NO_GUESS && self.guesses[i] != label && !self.given_wins[i]
    }

    /// Number of such samples: cleanlab's default `off_diagonal`.
    pub fn off_diagonal(&self, labels: &[u32]) -> usize {
        labels.iter().enumerate().filter(|(i, y)| self.is_off_diagonal(*i, **y)).count()
    }

    /// Number of samples whose arg-max (ties to the label) is not their label.
    pub fn predicted_neq_given(&self) -> usize {
        self.given_wins.iter().filter(|wins| !**wins).count()
    }
}

/// Checks that `p` holds probabilities: finite, in [0, 1], rows that sum to 1. O(N k).
///
/// # Errors
/// The first row that does not, with column and value.
pub fn check_probabilities(p: ndarray::ArrayView2<'_, f32>) -> Result<(), DetectError> {
    let mut buffer: Vec<f32> = Vec::new();
    for (row, values) in p.rows().into_iter().enumerate() {
        buffer.clear();
        buffer.extend(values);
        check_values(&buffer, row)?;
    }
    Ok(())
}

pub(super) fn check(n: usize, k: usize, labels: &[u32]) -> Result<(), DetectError> {
    check_length("labels", n, labels.len())?;
    if n == 0 {
        return Err(DetectError::Empty);
    }
    if k < 2 {
        return Err(DetectError::TooFewClasses { n_classes: k });
    }
    // the largest first: that needs no branch a label
    if labels.iter().copied().max().is_some_and(|y| (y as usize) < k) {
        return Ok(());
    }
    match labels.iter().position(|&y| y as usize >= k) {
        Some(row) => Err(DetectError::Label { row, label: labels[row] as usize, n_classes: k }),
        None => Ok(()),
    }
}

/// (k) the thresholds alone, see [`Counted::thresholds`]: reads one value a row of `p` (N, k) and checks
/// none of them.
///
/// # Errors
/// No samples, fewer than two classes, lengths, a label out of range.
pub fn thresholds<T: Real>(p: &dyn Rows<T>, labels: &[u32]) -> Result<Vec<f64>, DetectError> {
    let (n, k) = p.shape();
    check(n, k, labels)?;
    Ok(means(&given(p, labels), labels, k).0)
}

/// p of the given label of each row.
fn given<T: Real>(p: &dyn Rows<T>, labels: &[u32]) -> Vec<T> {
    let k = p.shape().1;
    let rows = block_rows(k);
    let mut out = vec![T::ZERO; labels.len()];
    out.par_chunks_mut(rows).zip(labels.par_chunks(rows)).enumerate().for_each_init(
        Vec::new,
        |buffer, (b, (out, labels))| {
            let block = p.block(b * rows, labels.len(), buffer);
            for ((out, &y), row) in out.iter_mut().zip(labels).zip(block.chunks_exact(k)) {
                *out = row[y as usize];
            }
        },
    );
    out
}

/// Where each class begins when samples are in order of their classes (k + 1).
fn starts(labels: &[u32], k: usize) -> Vec<usize> {
    let mut starts = vec![0usize; k + 1];
    labels.iter().for_each(|&y| starts[y as usize + 1] += 1);
    for c in 0..k {
        starts[c + 1] += starts[c];
    }
    starts
}

/// Rows of each class in order: row indices, and where each class begins in them (k + 1).
pub(crate) fn by_class(labels: &[u32], k: usize) -> (Vec<u32>, Vec<usize>) {
    let starts = starts(labels, k);
    let mut next = starts.clone();
    let mut rows = vec![0u32; labels.len()];
    for (i, &y) in labels.iter().enumerate() {
        let at = &mut next[y as usize];
        rows[*at] = i as u32;
        *at += 1;
    }
    (rows, starts)
}

/// Thresholds, and samples of each class.
fn means<T: Real>(self_confidence: &[T], labels: &[u32], k: usize) -> (Vec<f64>, Vec<usize>) {
    let starts = starts(labels, k);
    let mut next = starts.clone();
    let mut values = vec![T::ZERO; labels.len()];
    for (&v, &y) in self_confidence.iter().zip(labels) {
        let at = &mut next[y as usize];
        values[*at] = v;
        *at += 1;
    }
    let mean = |members: &[T]| pairwise_sum(members).over(members.len()).to_f64().max(LOWEST_THRESHOLD);
    let of_class = |c: usize| &values[starts[c]..starts[c + 1]];
    let threshold = |c| if of_class(c).is_empty() { ABSENT_THRESHOLD } else { mean(of_class(c)) };
    ((0..k).map(threshold).collect(), (0..k).map(|c| of_class(c).len()).collect())
}

/// The least value that counts as confident for each class. NumPy subtracts the slack in the type of
/// the probabilities, unless a class is missing: then the list of thresholds is one of doubles.
fn cuts<T: Real>(thresholds: &[f64]) -> Vec<T> {
    let missing = thresholds.contains(&ABSENT_THRESHOLD);
    let cut = |&t: &f64| {
        if missing { T::at_least(t - SLACK) } else { T::of_f64(t) - T::of_f64(SLACK) }
    };
    thresholds.iter().map(cut).collect()
}

#[cfg(test)]
mod tests;
