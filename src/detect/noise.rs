//! The noise report: how many labels are wrong by confident learning's estimate, where, and which
//! classes are taken for each other.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::confident::{Counted, calibrated_joint, noise_matrix, off_diagonal_calibrated};
use super::error::{DetectError, check_length};
use super::hierarchy::level1_joint;
use super::neighbours::Vote;
use super::quality::best_other;

/// Most overlapping pairs listed.
pub const MAX_PAIRS: usize = 20;

/// Estimates for one data set. Classes are indices; shares in [0, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoiseReport {
    /// The number of wrong labels, and of flagged samples: see [`noise_report`].
    pub estimated_errors: usize,
    /// estimated_errors / samples.
    pub estimated_rate: f64,
    /// Samples for which the arg-max of p and the neighbours' first choice are the same other class.
    pub corroborated: usize,
    /// Confident learning's counts: samples confidently of another class; the same after calibration.
    pub off_diagonal: usize,
    pub off_diagonal_calibrated: usize,
    /// Samples whose arg-max is not their label: an upper bound.
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

/// Estimates the noise of `labels` (N) from out-of-fold probabilities `p` (N, k), what was counted of
/// them and, where there are any, the neighbours' votes (N). O(N k + k^2 log k).
///
/// With votes the number of errors is that of samples on which two witnesses, the head and the
/// neighbours, name the same other class, but at least half of confident learning's off-diagonal, so
/// that neighbours who know nothing cannot talk the noise away. A weak head is wrong in many ways, and
/// confident learning counts them all: on generated blobs (symmetric, pair, sibling and long-tail noise
/// of 10 and 30 %, easy to hard) the corroborated count gave the better F1 at the cut nearly
/// everywhere. Without votes it is the smaller of the calibrated off-diagonal and the arg-max count.
pub fn noise_report(
    p: ArrayView2<'_, f32>,
    counted: &Counted<f32>,
    labels: &[u32],
    class_roots: &[usize],
    votes: Option<&[Vote]>,
) -> Result<NoiseReport, DetectError> {
    check_length("class roots", p.ncols(), class_roots.len())?;
    if let Some(votes) = votes {
        check_length("votes", labels.len(), votes.len())?;
    }
    let k = p.ncols();
    let joint = calibrated_joint(&counted.joint(labels), labels);
    let off_diagonal_calibrated = off_diagonal_calibrated(&joint);
    let off_diagonal = counted.off_diagonal(labels);
    let predicted_neq_given = counted.predicted_neq_given();
    let corroborated = votes.map_or(0, |votes| corroborated(p, labels, votes));
    let estimated_errors = match votes {
        Some(_) => corroborated.max(off_diagonal / 2),
        None => off_diagonal_calibrated.min(predicted_neq_given),
    };
    let mut counts = vec![0usize; k];
    labels.iter().for_each(|&y| counts[y as usize] += 1);
    let off = |hit: u64, total: u64| if total == 0 { 0.0 } else { (total - hit) as f64 / total as f64 };
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
        corroborated,
        off_diagonal,
        off_diagonal_calibrated,
        predicted_neq_given,
        thresholds: counted.thresholds.clone(),
        noise_matrix: nested(noise_matrix(&joint)),
        level1_noise_matrix: nested(noise_matrix(&level1_joint(&joint, class_roots))),
        per_class,
        overlapping: overlapping(&joint, class_roots),
    })
}

/// Samples whose likeliest class and whose neighbours' leading class are the same, and not the label.
fn corroborated(p: ArrayView2<'_, f32>, labels: &[u32], votes: &[Vote]) -> usize {
    let rows = p.rows().into_iter().zip(labels).zip(votes);
    rows.filter(|((row, y), vote)| {
        let y = **y as usize;
        let (other, probability) = best_other(*row, y);
        probability > row[y] && vote.best_other(y).is_some_and(|(c, s)| c == other && s > vote.share(y))
    })
    .count()
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn counts_by_hand() {
        // Rows 0-3 labelled 0, rows 4-7 labelled 1, class 2 under another level-1 node.
        let p = array![
            [0.9f32, 0.1, 0.0],
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1], // the head says 1
            [0.2, 0.1, 0.7], // the head says 2
            [0.1, 0.9, 0.0],
            [0.1, 0.8, 0.1],
            [0.2, 0.7, 0.1],
            [0.0, 0.3, 0.7], // the head says 2
        ];
        let y = [0, 0, 0, 0, 1, 1, 1, 1];
        let vote = |shares: &[(usize, f32)]| Vote { shares: shares.to_vec() };
        let mut votes = vec![vote(&[(0, 1.0)]); 4];
        votes.extend(vec![vote(&[(1, 1.0)]); 4]);
        votes[2] = vote(&[(0, 0.4), (1, 0.6)]); // agrees with the head
        votes[3] = vote(&[(0, 0.3), (1, 0.7)]); // against the label, but for another class than the head
        votes[7] = vote(&[(1, 0.6), (2, 0.4)]); // for the label
        let counted = Counted::of(&p.view(), &y, &|_| true).unwrap();
        let r = noise_report(p.view(), &counted, &y, &[0, 0, 1], Some(&votes)).unwrap();
        assert_eq!((r.corroborated, r.predicted_neq_given, r.estimated_errors), (1, 3, 1));
        // Thresholds: (0.9 + 0.8 + 0.1 + 0.2) / 4 and (0.9 + 0.8 + 0.7 + 0.3) / 4; none for class 2.
        assert!((r.thresholds[0] - 0.5).abs() < 1e-6 && (r.thresholds[1] - 0.675).abs() < 1e-6);
        // So row 2 is confidently of class 1, rows 3 and 7 of none: [[2, 1, 0], [0, 3, 0]], scaled to
        // four a row: 8/3 and 4/3 round to 3 and 1.
        assert_eq!((r.off_diagonal, r.off_diagonal_calibrated), (1, 1));
        assert_eq!(r.noise_matrix[0], [1.0, 0.2, 0.0]);
        assert_eq!(r.level1_noise_matrix, [[1.0, 0.0], [0.0, 0.0]]);
        assert_eq!(
            (r.per_class[0].n, r.per_class[0].label_noise, r.per_class[1].inverse_label_noise),
            (4, 0.25, 0.2)
        );
        let pair = OverlappingPair { a: 0, b: 1, count: 1, labelled_a: 1, cross_parent: false };
        assert_eq!(r.overlapping, [pair]);
        let alone = noise_report(p.view(), &counted, &y, &[0, 0, 1], None).unwrap();
        assert_eq!((alone.estimated_errors, alone.corroborated), (1, 0));
        let json = serde_json::to_string(&r).unwrap();
        let back: NoiseReport = serde_json::from_str(&json).unwrap();
        assert_eq!((back.overlapping, back.corroborated), (r.overlapping, 1));
    }
}
