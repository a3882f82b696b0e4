//! Confident learning's counting, with the answers of cleanlab 2.9: per-class thresholds, the class
//! confidently guessed for each sample, the confident joint.
//!
//! Two passes over the probabilities, in blocks of rows, in the precision in which they are stored: the
//! first looks at one value a row (the thresholds), the second at all. Nothing of the size of the matrix
//! is kept: two bytes a sample, and four for each that is confidently of another class than its label.
//!
//! Where cleanlab's own answer hangs on the last bit (a probability within rounding of its threshold)
//! ours is the same, because sums are formed as NumPy forms them; see [`Running`].
//!
//! Source: Northcutt, Jiang, Chuang, "Confident learning", JAIR 2021; cleanlab.count.

mod joint;
mod seen;

use ndarray::Array2;
use rayon::prelude::*;

pub use joint::{calibrated_joint, inverse_noise_matrix, noise_matrix, off_diagonal_calibrated};

pub(crate) use joint::Cells;
use seen::{Judge, LABEL, OTHER, WINS};
pub(super) use seen::{SURE_OF_SUM, check_values};

use super::error::{DetectError, check_length};
use crate::arrays::rows::Running;
use crate::arrays::{Real, Rows, block_rows};

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

/// What two passes over the predicted probabilities say of the given labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// (k) t_j = mean of p_j over the samples labelled j; 2 for a class without samples.
    pub thresholds: Vec<f64>,
    /// (N) what is so of a sample: [`WINS`], [`LABEL`] or [`OTHER`].
    verdicts: Vec<u8>,
    /// The classes guessed, of the samples with [`OTHER`].
    others: Vec<u32>,
    /// (N) p of the given label is at least this / 256.
    pub(crate) least: Vec<u8>,
    /// (k) samples labelled so.
    pub(crate) members: Vec<usize>,
}

impl Counted {
    /// Counts `p` (N, k), rows summing to 1, against `labels` (N) in 0..k. `pace(rows)` is told how many
    /// more rows were read and cancels by returning false. O(N k); the same answer for any number of threads.
    ///
    /// # Errors
    /// No samples, fewer than two classes, lengths, a label out of range, and the first row whose
    /// probabilities are not finite, not in [0, 1] or do not sum to 1.
    pub fn of<T: Real>(
        p: &dyn Rows<T>,
        labels: &[u32],
        pace: &(dyn Fn(usize) -> bool + Sync),
    ) -> Result<Self, DetectError> {
        let (n, k) = p.shape();
        check(n, k, labels)?;
        let (thresholds, members) = means(&given(p, labels), labels, k);
        let cuts = cuts::<T>(&thresholds);
        let mut verdicts = vec![0; n];
        let mut least = vec![0; n];
        let rows = block_rows(k);
        let blocks = verdicts.par_chunks_mut(rows).zip(least.par_chunks_mut(rows)).enumerate();
        // all blocks are read, so that the fault named is the first whatever the threads do
        let ends: Vec<Result<Vec<u32>, DetectError>> = blocks
            .map_init(Vec::new, |buffer, (b, (verdicts, least))| {
                let first = b * rows;
                let n = verdicts.len();
                let block = p.block(first, n, buffer);
                let labels = &labels[first..first + n];
                let others = Vec::new();
                let judge = Judge { block, labels, cuts: &cuts, first, verdicts, least, others };
                let others = judge.run()?;
                if pace(n) { Ok(others) } else { Err(DetectError::Cancelled) }
            })
            .collect();
        let others = ends.into_iter().collect::<Result<Vec<_>, _>>()?.concat();
        Ok(Self { thresholds, verdicts, others, least, members })
    }

    /// (N) the class confidently guessed: the only class whose p reaches its threshold; the arg-max over
    /// all classes when several do; `None` when none does.
    pub fn guesses<'a>(&'a self, labels: &'a [u32]) -> impl Iterator<Item = Option<u32>> + 'a {
        let mut others = self.others.iter().copied();
        self.verdicts.iter().zip(labels).map(move |(v, &y)| match v & (LABEL | OTHER) {
            LABEL => Some(y),
            OTHER => others.next(),
            _ => None,
        })
    }

    /// (N) the arg-max is the given label, which is helped by 1e-6 so that ties go to it.
    pub fn given_wins(&self) -> impl Iterator<Item = bool> + '_ {
        self.verdicts.iter().map(|v| v & WINS != 0)
    }

    /// (N) samples confidently of another class than their label, the arg-max not being their label.
    pub fn off_diagonals(&self) -> impl Iterator<Item = bool> + '_ {
        self.verdicts.iter().map(|v| v & (WINS | OTHER) == OTHER)
    }

    /// Number of such samples: cleanlab's default `off_diagonal`.
    pub fn off_diagonal(&self) -> usize {
        self.off_diagonals().map(usize::from).sum()
    }

    /// Number of samples whose arg-max (ties to the label) is not their label.
    pub fn predicted_neq_given(&self) -> usize {
        self.given_wins().map(|wins| usize::from(!wins)).sum()
    }

    /// Counts [given label, confident guess] (k, k) with the diagonal raised to at least 1.
    pub fn joint(&self, labels: &[u32]) -> Array2<u64> {
        self.cells(labels).dense()
    }

    /// The same, without the zeros. O(N + k + cells log k).
    pub(crate) fn cells(&self, labels: &[u32]) -> Cells {
        let k = self.thresholds.len();
        // of each class how many samples have each verdict
        let mut counts = vec![[0u64; VERDICTS]; k];
        self.verdicts.iter().zip(labels).for_each(|(&v, &y)| counts[y as usize][usize::from(v)] += 1);
        let with = |class: &[u64; VERDICTS], what: u8| -> u64 {
            (0u8..).zip(class).filter(|(v, _)| v & what != 0).map(|(_, n)| n).sum()
        };
        // the other classes guessed, by label
        let mut next = vec![0usize; k];
        for c in 1..k {
            next[c] = next[c - 1] + with(&counts[c - 1], OTHER) as usize;
        }
        let mut others = vec![0u32; self.others.len()];
        let labels = self.verdicts.iter().zip(labels).filter(|(v, _)| **v & OTHER != 0).map(|(_, y)| *y);
        for (y, &guess) in labels.zip(&self.others) {
            let at = &mut next[y as usize];
            others[*at] = guess;
            *at += 1;
        }
        let mut from = 0;
        let rows = (0u32..).zip(counts.iter().zip(next)).map(|(i, (counts, to))| {
            let others = &mut others[from..to];
            from = to;
            others.sort_unstable();
            let mut row: Vec<(u32, u64)> =
                others.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u64)).collect();
            let at = row.partition_point(|(j, _)| *j < i);
            row.insert(at, (i, with(counts, LABEL).max(1)));
            row
        });
        Cells::of(rows)
    }
}

/// Any combination of what a verdict may be.
const VERDICTS: usize = 8;
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

/// (N) p of the given label of each row.
pub(super) fn given<T: Real>(p: &dyn Rows<T>, labels: &[u32]) -> Vec<T> {
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

/// Rows of each class in order: row indices, and where each class begins in them (k + 1).
pub(crate) fn by_class(labels: &[u32], k: usize) -> (Vec<u32>, Vec<usize>) {
    let mut starts = vec![0usize; k + 1];
    labels.iter().for_each(|&y| starts[y as usize + 1] += 1);
    for c in 0..k {
        starts[c + 1] += starts[c];
    }
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
    let mut members = vec![0usize; k];
    labels.iter().for_each(|&y| members[y as usize] += 1);
    let mut sums: Vec<Running<T>> = members.iter().map(|&n| Running::of(n)).collect();
    for (&v, &y) in self_confidence.iter().zip(labels) {
        sums[y as usize].add(v);
    }
    let mean = |(sum, n): (Running<T>, &usize)| match n {
        0 => ABSENT_THRESHOLD,
        n => sum.total().over(*n).to_f64().max(LOWEST_THRESHOLD),
    };
    (sums.into_iter().zip(&members).map(mean).collect(), members)
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
