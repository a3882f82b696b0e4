//! The noise report: how many labels are wrong by confident learning's estimate, where, and which
//! classes are taken for each other.

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::confident::{Counted, calibrated_joint, noise_matrix, off_diagonal_calibrated};
use super::error::{DetectError, check_length};
use super::fusion::ErrorCount;
use super::hierarchy::level1_joint;
use super::value::wilson;

/// Most overlapping pairs listed.
pub const MAX_PAIRS: usize = 20;

/// Estimates for one data set. Classes are indices; shares in [0, 1].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NoiseReport {
    /// The number of wrong labels, and of flagged samples: `count.estimate`.
    pub estimated_errors: usize,
    /// estimated_errors / samples.
    pub estimated_rate: f64,
    /// Where that number comes from, and its interval.
    pub count: ErrorCount,
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
    /// Estimated share of them that are another class, and its 95 % interval as a share of n samples.
    pub label_noise: f64,
    pub label_noise_low: f64,
    pub label_noise_high: f64,
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

/// Estimates the noise of `labels` (N) from what was counted of out-of-fold probabilities and from the
/// fused count of errors. O(N + k^2 log k).
pub fn noise_report(
    counted: &Counted,
    labels: &[u32],
    class_roots: &[usize],
    count: ErrorCount,
) -> Result<NoiseReport, DetectError> {
    let k = counted.thresholds.len();
    check_length("class roots", k, class_roots.len())?;
    let joint = calibrated_joint(&counted.joint(labels), labels);
    let mut counts = vec![0usize; k];
    labels.iter().for_each(|&y| counts[y as usize] += 1);
    let off = |hit: u64, total: u64| if total == 0 { 0.0 } else { (total - hit) as f64 / total as f64 };
    let per_class = (0..k)
        .map(|c| {
            let label_noise = off(joint[[c, c]], joint.row(c).sum());
            let wrong = (label_noise * counts[c] as f64).round() as usize;
            let (label_noise_low, label_noise_high) = wilson(wrong, counts[c], 1.96);
            ClassNoise {
                class: c,
                n: counts[c],
                label_noise,
                label_noise_low,
                label_noise_high,
                inverse_label_noise: off(joint[[c, c]], joint.column(c).sum()),
            }
        })
        .collect();
    let nested = |m: Array2<f64>| {
        m.rows().into_iter().map(|r| r.iter().map(|v| *v as f32).collect()).collect::<Vec<Vec<_>>>()
    };
    Ok(NoiseReport {
        estimated_errors: count.estimate,
        estimated_rate: count.estimate as f64 / labels.len() as f64,
        count,
        off_diagonal: counted.off_diagonal(),
        off_diagonal_calibrated: off_diagonal_calibrated(&joint),
        predicted_neq_given: counted.predicted_neq_given(),
        thresholds: counted.thresholds.clone(),
        noise_matrix: nested(noise_matrix(&joint)),
        level1_noise_matrix: nested(noise_matrix(&level1_joint(&joint, class_roots))),
        per_class,
        overlapping: overlapping(&joint, class_roots),
    })
}

/// The `most` classes with the most off the diagonal of `matrix` (k, k), in their row and column together;
/// rising. Of equals the first. O(k^2).
pub fn noisiest(matrix: &[Vec<f32>], most: usize) -> Vec<usize> {
    let mut off = vec![0f64; matrix.len()];
    for (i, row) in matrix.iter().enumerate() {
        for (j, &share) in row.iter().enumerate().filter(|(j, _)| *j != i) {
            off[i] += f64::from(share);
            off[j] += f64::from(share);
        }
    }
    let mut classes: Vec<usize> = (0..off.len()).collect();
    classes.sort_by(|&a, &b| off[b].total_cmp(&off[a]));
    classes.truncate(most);
    classes.sort_unstable();
    classes
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
    fn the_noisiest_classes_in_their_order() {
        let m =
            [vec![0.9f32, 0.0, 0.3, 0.0], vec![0.0; 4], vec![0.1, 0.0, 0.6, 0.5], vec![0.0, 0.0, 0.1, 0.5]];
        // off the diagonal: 0.4, 0, 1.0, 0.6
        assert_eq!(noisiest(&m, 2), [2, 3]);
        assert_eq!(noisiest(&m, 3), [0, 2, 3]);
        assert_eq!(noisiest(&m, 9), [0, 1, 2, 3]);
        assert_eq!(noisiest(&vec![vec![0.0; 3]; 3], 1), [0]);
    }

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
        let counted = Counted::of(&p.view(), &y, &|_| true).unwrap();
        let count = ErrorCount { estimate: 2, ..ErrorCount::default() };
        let r = noise_report(&counted, &y, &[0, 0, 1], count).unwrap();
        assert_eq!((r.predicted_neq_given, r.estimated_errors, r.estimated_rate), (3, 2, 0.25));
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
        // Wilson by hand: (0.25 + 1.92/4 ± 1.96 sqrt(0.1875/4 + 3.8416/64)) / (1 + 3.8416/4)
        assert!((r.per_class[0].label_noise_low - 0.0456).abs() < 1e-3, "{:?}", r.per_class[0]);
        assert!((r.per_class[0].label_noise_high - 0.6994).abs() < 1e-3, "{:?}", r.per_class[0]);
        let json = serde_json::to_string(&r).unwrap();
        let back: NoiseReport = serde_json::from_str(&json).unwrap();
        assert_eq!((back.overlapping, back.count), (r.overlapping, r.count));
    }
}
