//! The noise report: how many labels are wrong by confident learning's estimate, where, and which
//! classes are taken for each other.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::confident::{
    calibrated_joint, confident_guesses, joint_of_guesses, noise_matrix, off_diagonal_calibrated,
    predicted_neq_given, thresholds,
};
use super::error::{DetectError, check_judged, check_length};
use super::hierarchy::level1_joint;

/// Most overlapping pairs listed.
pub const MAX_PAIRS: usize = 20;

/// Estimates for one data set. Classes are indices; shares in [0, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoiseReport {
    /// min(off-diagonal of the calibrated confident joint, samples whose arg-max is not their label).
    pub estimated_errors: usize,
    /// estimated_errors / samples.
    pub estimated_rate: f64,
    /// The two numbers that `estimated_errors` is the smaller of.
    pub off_diagonal_calibrated: usize,
    pub predicted_neq_given: usize,
    /// (k) mean p of a class over the samples labelled so; 2 for a class without samples.
    pub thresholds: Vec<f64>,
    /// (k, k) [given][true]: P(given | true); columns sum to 1, or to 0 where nothing is estimated
    /// to belong.
    pub noise_matrix: Vec<Vec<f32>>,
    /// The same between level-1 nodes.
    pub level1_noise_matrix: Vec<Vec<f32>>,
    /// By class.
    pub per_class: Vec<ClassNoise>,
    /// Largest first, at most 20, only pairs with a count.
    pub overlapping: Vec<OverlappingPair>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ClassNoise {
    pub class: usize,
    /// Samples labelled so.
    pub n: usize,
    /// Estimated share of them that are another class.
    pub label_noise: f64,
    /// Estimated share of the true members of the class that are labelled otherwise.
    pub inverse_label_noise: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OverlappingPair {
    pub a: usize,
    /// Greater than `a`.
    pub b: usize,
    /// Estimated samples of one labelled as the other, both ways.
    pub count: u64,
    /// Of these, labelled `a` though `b`.
    pub labelled_a: u64,
    pub cross_parent: bool,
}

/// Estimates the noise of `labels` (N) from out-of-fold probabilities `p` (N, k). O(N k + k^2 log k).
pub fn noise_report(
    p: ArrayView2<'_, f32>,
    labels: &[usize],
    class_roots: &[usize],
) -> Result<NoiseReport, DetectError> {
    check_judged(p, labels)?;
    check_length("class roots", p.ncols(), class_roots.len())?;
    let k = p.ncols();
    let thresholds = thresholds(p, labels);
    let joint = joint_of_guesses(&confident_guesses(p, &thresholds), labels, k);
    let joint = calibrated_joint(&joint, labels);
    let off_diagonal_calibrated = off_diagonal_calibrated(&joint);
    let predicted_neq_given = predicted_neq_given(p, labels);
    let estimated_errors = off_diagonal_calibrated.min(predicted_neq_given);
    let mut counts = vec![0usize; k];
    labels.iter().for_each(|&y| counts[y] += 1);
    let off = |hit: u64, total: u64| if total == 0 { 0.0 } else { 1.0 - hit as f64 / total as f64 };
    let per_class = (0..k)
        .map(|c| ClassNoise {
            class: c,
            n: counts[c],
            label_noise: off(joint[[c, c]], joint.row(c).sum()),
            inverse_label_noise: off(joint[[c, c]], joint.column(c).sum()),
        })
        .collect();
    let nested = |m: Array2<f64>| {
        m.rows().into_iter().map(|r| r.iter().map(|v| *v as f32).collect()).collect::<Vec<Vec<_>>>()
    };
    Ok(NoiseReport {
        estimated_errors,
        estimated_rate: estimated_errors as f64 / labels.len() as f64,
        off_diagonal_calibrated,
        predicted_neq_given,
        thresholds,
        noise_matrix: nested(noise_matrix(&joint)),
        level1_noise_matrix: nested(noise_matrix(&level1_joint(&joint, class_roots))),
        per_class,
        overlapping: overlapping(&joint, class_roots),
    })
}

fn overlapping(joint: &Array2<u64>, class_roots: &[usize]) -> Vec<OverlappingPair> {
    let k = joint.nrows();
    let mut pairs: Vec<OverlappingPair> = (0..k)
        .flat_map(|a| (a + 1..k).map(move |b| (a, b)))
        .filter(|&(a, b)| joint[[a, b]] + joint[[b, a]] > 0)
        .map(|(a, b)| OverlappingPair {
            a,
            b,
            count: joint[[a, b]] + joint[[b, a]],
            labelled_a: joint[[a, b]],
            cross_parent: class_roots[a] != class_roots[b],
        })
        .collect();
    pairs.sort_by_key(|p| (std::cmp::Reverse(p.count), p.a, p.b));
    pairs.truncate(MAX_PAIRS);
    pairs
}
