//! The filters of confident learning: which labels to call wrong. Same issue sets as cleanlab 2.9
//! (`cleanlab.filter.find_label_issues` with its defaults) on the same input.
//!
//! Where samples with equal scores compete for the last places, the earlier rows get them. cleanlab
//! leaves that to the order in which its sort happens to put equals, so its own sets may differ by some
//! such samples between versions.

mod places;

use std::cmp::Ordering;

use rayon::prelude::*;

use super::confident::{Cells, Counted, by_class, given};
use super::error::DetectError;
use super::quality::best_other_value;
use crate::arrays::{Real, Rows, block_rows};
use places::by_noise_rate;

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
/// `pace` as there. At most O(N k + N log N); memory 8 bytes a sample (f64: 12), for
/// [`Filter::PruneByNoiseRate`] one, the candidates, and up to (k, k) values a thread.
///
/// # Errors
/// Cancelled.
pub fn label_issues<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    counted: &Counted,
    filter: Filter,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<bool>, DetectError> {
    let k = p.shape().1;
    let mut issues = match filter {
        Filter::PruneByNoiseRate => by_noise_rate(p, labels, counted, &to_prune(counted, labels), pace)?,
        Filter::PruneByClass => by_lowest(&given(p, labels), labels, &to_prune(counted, labels)),
        Filter::Both => {
            let prune = to_prune(counted, labels);
            let mut issues = by_noise_rate(p, labels, counted, &prune, pace)?;
            let lowest = by_lowest(&given(p, labels), labels, &prune);
            issues.iter_mut().zip(lowest).for_each(|(a, b)| *a &= b);
            issues
        }
        Filter::ConfidentLearning => counted.off_diagonals().collect(),
        Filter::PredictedNeqGiven => vec![true; labels.len()],
        Filter::LowSelfConfidence => lowest(&given(p, labels), counted.off_diagonal()),
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
            lowest(&margins, counted.off_diagonal())
        }
    };
    if !matches!(filter, Filter::LowSelfConfidence | Filter::LowNormalizedMargin) {
        issues.iter_mut().zip(counted.given_wins()).for_each(|(issue, wins)| *issue &= !wins);
    }
    Ok(issues)
}

/// How many samples to take for each pair [given, other]; on the diagonal, how many stay. Every class
/// keeps at least one: what the diagonal lacks is taken evenly from the pairs that have any.
fn to_prune(counted: &Counted, labels: &[u32]) -> Cells {
    // cleanlab prunes by the counts as calibrated to the number of labels of each class
    let mut joint = counted.cells(labels).calibrated(&counted.members);
    for i in 0..joint.classes() {
        let cells = joint.starts[i]..joint.starts[i + 1];
        let row = &mut joint.counts[cells.clone()];
        // the joint has every cell of its diagonal
        let Ok(at) = joint.columns[cells].binary_search(&(i as u32)) else { continue };
        let diagonal = row[at];
        let raised = diagonal.max(1);
        let pairs = row.iter().filter(|v| **v > 0).count().saturating_sub(1).max(1);
        let less = (raised - diagonal) as f64 / pairs as f64;
        row.iter_mut().for_each(|v| *v = (*v as f64 - less).max(0.0) as u64);
        row[at] = raised;
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

fn by_lowest<T: Real>(self_confidence: &[T], labels: &[u32], prune: &Cells) -> Vec<bool> {
    let k = prune.classes();
    let (rows, starts) = by_class(labels, k);
    let mut out = vec![false; labels.len()];
    for c in 0..k {
        let members = &rows[starts[c]..starts[c + 1]];
        let cells = prune.starts[c]..prune.starts[c + 1];
        let stay = prune.columns[cells.clone()].iter().zip(&prune.counts[cells]);
        let stay = stay.filter(|(j, _)| **j as usize == c).map(|(_, n)| *n as usize).sum();
        if members.len() > 1 {
            mark_lowest(self_confidence, members.to_vec(), members.len().saturating_sub(stay), &mut out);
        }
    }
    out
}

#[cfg(test)]
mod tests;
