//! The filters of confident learning: which labels to call wrong. Same issue sets as cleanlab 2.9
//! (`cleanlab.filter.find_label_issues` with its defaults) on the same input.
//!
//! Where samples with equal scores compete for the last places, the earlier rows get them. cleanlab
//! leaves that to the order in which its sort happens to put equals, so its own sets may differ by some
//! such samples between versions.

use std::cmp::Ordering;
use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use super::confident::{Counted, by_class};
use super::error::DetectError;
use super::quality::best_other_value;
use crate::arrays::{Real, Rows, block_rows};

/// Running values side by side in the inner loop.
const LANES: usize = 8;

/// A rule that says which labels are wrong; names as cleanlab spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Filter {
    /// For each pair (given i, other j): as many samples labelled i as the confident joint counts there,
    /// those with the largest p_j - p_i. cleanlab's default.
    PruneByNoiseRate,
    /// For each class i: as many samples labelled i as the joint counts elsewhere, those with the lowest p_i.
    PruneByClass,
    /// In both of the above.
    Both,
    /// Exactly the samples off the diagonal of the confident joint.
    ConfidentLearning,
    /// The arg-max is another class.
    PredictedNeqGiven,
    /// The lowest normalised margins, as many as are off the diagonal.
    LowNormalizedMargin,
    /// The lowest probabilities of the given label, as many as are off the diagonal.
    LowSelfConfidence,
}

impl Filter {
    pub const ALL: [Filter; 7] = [
        Self::PruneByNoiseRate,
        Self::PruneByClass,
        Self::Both,
        Self::ConfidentLearning,
        Self::PredictedNeqGiven,
        Self::LowNormalizedMargin,
        Self::LowSelfConfidence,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::PruneByNoiseRate => "prune_by_noise_rate",
            Self::PruneByClass => "prune_by_class",
            Self::Both => "both",
            Self::ConfidentLearning => "confident_learning",
            Self::PredictedNeqGiven => "predicted_neq_given",
            Self::LowNormalizedMargin => "low_normalized_margin",
            Self::LowSelfConfidence => "low_self_confidence",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == name)
    }

    /// How often it reads the probabilities, beyond what [`Counted::of`] does.
    pub fn passes(self) -> usize {
        match self {
            Self::PruneByNoiseRate | Self::Both | Self::LowNormalizedMargin => 1,
            _ => 0,
        }
    }
}

/// (N) true = label issue. `counted` is what was counted of the same `p` (N, k) and `labels` (N);
/// `pace` as there. At most O(N k + N log N); memory 8 bytes a sample and thread, and one pair of classes
/// (k, k) a thread for [`Filter::PruneByNoiseRate`].
///
/// # Errors
/// Cancelled.
pub fn label_issues<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    counted: &Counted<T>,
    filter: Filter,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<bool>, DetectError> {
    let k = p.shape().1;
    let mut issues = match filter {
        Filter::PruneByNoiseRate => by_noise_rate(p, labels, &to_prune(counted, labels), pace)?,
        Filter::PruneByClass => by_lowest(counted, labels, &to_prune(counted, labels)),
        Filter::Both => {
            let prune = to_prune(counted, labels);
            let mut issues = by_noise_rate(p, labels, &prune, pace)?;
            let lowest = by_lowest(counted, labels, &prune);
            issues.iter_mut().zip(lowest).for_each(|(a, b)| *a &= b);
            issues
        }
        Filter::ConfidentLearning => {
            labels.iter().enumerate().map(|(i, &y)| counted.is_off_diagonal(i, y)).collect()
        }
        Filter::PredictedNeqGiven => vec![true; labels.len()],
        Filter::LowSelfConfidence => lowest(&counted.self_confidence, counted.off_diagonal(labels)),
        Filter::LowNormalizedMargin => {
            let rows = block_rows(k);
            let mut margins = vec![T::ZERO; labels.len()];
            let blocks = margins.par_chunks_mut(rows).enumerate();
            let ends: Vec<bool> = blocks
                .map_init(Vec::new, |buffer, (b, margins)| {
                    let block = p.block(b * rows, margins.len(), buffer);
                    for (i, row) in block.chunks_exact(k).enumerate() {
                        let y = labels[b * rows + i] as usize;
                        // the order is that of (p_y - max + 1) / 2, rounded as NumPy rounds it
                        margins[i] = (row[y] - best_other_value(row, y) + T::of_f64(1.0)).over(2);
                    }
                    pace(margins.len())
                })
                .collect();
            if ends.contains(&false) {
                return Err(DetectError::Cancelled);
            }
            lowest(&margins, counted.off_diagonal(labels))
        }
    };
    if !matches!(filter, Filter::LowSelfConfidence | Filter::LowNormalizedMargin) {
        issues.iter_mut().zip(&counted.given_wins).for_each(|(issue, wins)| *issue &= !wins);
    }
    Ok(issues)
}

/// How many samples to take for each pair [given, other]; on the diagonal, how many stay. Every class
/// keeps at least one: what the diagonal lacks is taken evenly from the pairs that have any.
fn to_prune<T: Real>(counted: &Counted<T>, labels: &[u32]) -> Array2<u64> {
    let mut joint = counted.joint(labels);
    // cleanlab prunes by the counts as calibrated to the number of labels of each class
    joint = super::confident::calibrated_joint(&joint, labels);
    for (i, mut row) in joint.rows_mut().into_iter().enumerate() {
        let diagonal = row[i];
        let raised = diagonal.max(1);
        let pairs = row.iter().filter(|v| **v > 0).count().saturating_sub(1).max(1);
        let less = (raised - diagonal) as f64 / pairs as f64;
        row.mapv_inplace(|v| (v as f64 - less).max(0.0) as u64);
        row[i] = raised;
    }
    joint
}

/// The `n` lowest of `scores`, equals by row.
fn lowest<T: Real>(scores: &[T], n: usize) -> Vec<bool> {
    let mut out = vec![false; scores.len()];
    let rows: Vec<u32> = (0..scores.len() as u32).collect();
    mark_lowest(scores, rows, n, &mut out);
    out
}

fn mark_lowest<T: Real>(scores: &[T], mut rows: Vec<u32>, n: usize, out: &mut [bool]) {
    if n == 0 {
        return;
    }
    if n < rows.len() {
        rows.select_nth_unstable_by(n - 1, |&a, &b| {
            let (x, y) = (scores[a as usize], scores[b as usize]);
            x.partial_cmp(&y).unwrap_or(Ordering::Equal).then(a.cmp(&b))
        });
        rows.truncate(n);
    }
    rows.into_iter().for_each(|i| out[i as usize] = true);
}

fn by_lowest<T: Real>(counted: &Counted<T>, labels: &[u32], prune: &Array2<u64>) -> Vec<bool> {
    let k = prune.nrows();
    let (rows, starts) = by_class(labels, k);
    let mut out = vec![false; labels.len()];
    for c in 0..k {
        let members = &rows[starts[c]..starts[c + 1]];
        let stay = prune[[c, c]] as usize;
        if members.len() > 1 {
            mark_lowest(
                &counted.self_confidence,
                members.to_vec(),
                members.len().saturating_sub(stay),
                &mut out,
            );
        }
    }
    out
}

/// A sample competing for a place; the least is the first to get one.
#[derive(Clone, Copy, PartialEq)]
struct Candidate<T> {
    margin: T,
    row: u32,
}

impl<T: Real> Eq for Candidate<T> {}

impl<T: Real> Ord for Candidate<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        let margins = other.margin.partial_cmp(&self.margin).unwrap_or(Ordering::Equal);
        margins.then(self.row.cmp(&other.row))
    }
}

impl<T: Real> PartialOrd for Candidate<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The best so far for each pair of classes, of one range of rows.
struct Places<T> {
    k: usize,
    /// Index into `lists` for each pair [given, other]; `NONE` where nothing is to be taken.
    slots: Vec<u32>,
    /// Candidates of each pair, at most twice as many as there is room for; the best among them.
    lists: Vec<Vec<Candidate<T>>>,
    room: Vec<usize>,
    /// (k, k) what a margin must exceed to get a place.
    bar: Vec<T>,
}

const NONE: u32 = u32::MAX;

impl<T: Real> Places<T> {
    fn new(prune: &Array2<u64>, counts: &[usize]) -> Self {
        let k = prune.nrows();
        let mut out = Self {
            k,
            slots: vec![NONE; k * k],
            lists: Vec::new(),
            room: Vec::new(),
            bar: vec![T::INFINITY; k * k],
        };
        for ((i, j), &n) in prune.indexed_iter() {
            if i != j && n > 0 && counts[i] > 1 {
                out.slots[i * k + j] = out.lists.len() as u32;
                out.lists.push(Vec::new());
                out.room.push(usize::try_from(n).unwrap_or(usize::MAX).min(counts[i]));
                out.bar[i * k + j] = T::NEG_INFINITY;
            }
        }
        out
    }

    /// Rows must come in rising order.
    #[inline(always)]
    fn see(&mut self, row: &[T], y: usize, at: u32) {
        let bar = &self.bar[y * self.k..(y + 1) * self.k];
        let given = row[y];
        let mut over = [false; LANES];
        let (chunks, rest) = row.as_chunks::<LANES>();
        let (bar_chunks, bar_rest) = bar.as_chunks::<LANES>();
        for (chunk, bar) in chunks.iter().zip(bar_chunks) {
            for l in 0..LANES {
                over[l] |= chunk[l] - given > bar[l];
            }
        }
        let any = over.contains(&true) || rest.iter().zip(bar_rest).any(|(v, bar)| *v - given > *bar);
        if any {
            for (j, &v) in row.iter().enumerate() {
                if v - given > self.bar[y * self.k + j] {
                    self.admit(y * self.k + j, Candidate { margin: v - given, row: at });
                }
            }
        }
    }

    /// When the list is full its better half stays, and the bar rises to the worst of those: each
    /// candidate costs O(1) on average, which a heap does not.
    #[inline(never)]
    fn admit(&mut self, pair: usize, candidate: Candidate<T>) {
        let slot = self.slots[pair] as usize;
        let (list, room) = (&mut self.lists[slot], self.room[slot]);
        list.push(candidate);
        if list.len() >= 2 * room {
            let (_, last, _) = list.select_nth_unstable(room - 1);
            self.bar[pair] = last.margin;
            list.truncate(room);
        }
    }
}

fn by_noise_rate<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    prune: &Array2<u64>,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<bool>, DetectError> {
    let (n, k) = p.shape();
    let mut counts = vec![0usize; k];
    labels.iter().for_each(|&y| counts[y as usize] += 1);
    // one range a thread; who gets a place does not depend on where the ranges end
    let threads = rayon::current_num_threads().max(1);
    let ranges: Vec<Range<usize>> = (0..threads).map(|t| n * t / threads..n * (t + 1) / threads).collect();
    let rows = block_rows(k);
    let walked: Vec<Option<Places<T>>> = ranges
        .into_par_iter()
        .map(|range| {
            let mut places = Places::new(prune, &counts);
            let mut buffer = Vec::new();
            let mut start = range.start;
            while start < range.end {
                let take = rows.min(range.end - start);
                let block = p.block(start, take, &mut buffer);
                for (i, row) in block.chunks_exact(k).enumerate() {
                    places.see(row, labels[start + i] as usize, (start + i) as u32);
                }
                start += take;
                if !pace(take) {
                    return None;
                }
            }
            Some(places)
        })
        .collect();
    let walked: Vec<Places<T>> = walked.into_iter().collect::<Option<_>>().ok_or(DetectError::Cancelled)?;
    let mut out = vec![false; n];
    let room = walked.first().map(|w| w.room.clone()).unwrap_or_default();
    for (slot, &room) in room.iter().enumerate() {
        let mut all: Vec<Candidate<T>> = walked.iter().flat_map(|w| w.lists[slot].iter().copied()).collect();
        if room < all.len() {
            all.select_nth_unstable(room - 1);
            all.truncate(room);
        }
        all.into_iter().for_each(|c| out[c.row as usize] = true);
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
