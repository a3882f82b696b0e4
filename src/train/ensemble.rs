//! Several models as one: their probabilities averaged with weights fitted on validation, and how unlike
//! they are, since models that make the same mistakes gain nothing together.

use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::error::{TrainError, check_labels, check_length};
use super::linear::argmax_rows;

/// Passes of the fit at most, and how much log-loss per sample it may leave.
const PASSES: usize = 5000;
const TOLERANCE: f64 = 1e-6;
/// Rows whose terms one task sums; fixed, so that the order of summation is.
const BLOCK_ROWS: usize = 4096;
/// Two members whose errors correlate more than this add next to nothing to each other.
pub const ALIKE: f64 = 0.9;

/// The weighted mean of the members' probabilities, (N, K); rows sum to 1 as theirs do. O(members x N x K).
///
/// # Errors
/// No members, members of different shape, not one weight a member, weights that are negative or do not sum
/// to 1 within 1e-6.
pub fn blend(members: &[ArrayView2<'_, f32>], weights: &[f64]) -> Result<Array2<f32>, TrainError> {
    let (n, k) = shape(members)?;
    check_length("weights of the members", members.len(), weights.len())?;
    let sum: f64 = weights.iter().sum();
    let fit = weights.iter().all(|w| *w >= 0.0) && (sum - 1.0).abs() <= 1e-6;
    if !fit {
        let rule = "weights must be >= 0 and sum to 1";
        return Err(TrainError::Param { name: "sum of the weights", value: sum, rule });
    }
    Ok(Array2::from_shape_fn((n, k), |at| {
        members.iter().zip(weights).map(|(p, w)| w * f64::from(p[at])).sum::<f64>() as f32
    }))
}

/// The weights (members; non-negative, sum 1) with which the mean of the members' probabilities (N, K) has
/// the lowest log-loss on validation classes `truth` (N). Convex, so there is one best loss; found by
/// expectation maximisation from equal weights (the weights of a mixture of known parts) until it cannot be
/// lower by 1e-6 a sample. O(passes x members x N), mostly some hundred passes; deterministic.
///
/// # Errors
/// As [`blend`]; no samples, a class out of range.
pub fn fit_weights(members: &[ArrayView2<'_, f32>], truth: &[usize]) -> Result<Vec<f64>, TrainError> {
    let (n, k) = shape(members)?;
    check_length("true classes", n, truth.len())?;
    check_labels(truth, k)?;
    if n == 0 {
        return Err(TrainError::Empty);
    }
    let m = members.len();
    // (N, members) probabilities of the true class
    let hits: Vec<f64> = (0..n)
        .flat_map(|row| members.iter().map(move |p| f64::from(p[[row, truth[row]]]).max(1e-12)))
        .collect();
    let mut weights = vec![1.0 / m as f64; m];
    for _ in 0..PASSES {
        // mean over the rows of p_m(true) / blend(true): how the loss falls with more of member m
        let sums: Vec<Vec<f64>> = hits
            .par_chunks(BLOCK_ROWS * m)
            .map(|block| {
                let mut sum = vec![0f64; m];
                for row in block.chunks_exact(m) {
                    let blend: f64 = row.iter().zip(&weights).map(|(p, w)| p * w).sum();
                    sum.iter_mut().zip(row).for_each(|(s, p)| *s += p / blend);
                }
                sum
            })
            .collect();
        let gain: Vec<f64> = (0..m).map(|i| sums.iter().map(|s| s[i]).sum::<f64>() / n as f64).collect();
        // By concavity the loss lies at most max(gain) - 1 above the best.
        if gain.iter().fold(0f64, |most, g| most.max(*g)) - 1.0 < TOLERANCE {
            break;
        }
        weights.iter_mut().zip(&gain).for_each(|(w, g)| *w *= g);
        let sum: f64 = weights.iter().sum();
        weights.iter_mut().for_each(|w| *w /= sum);
    }
    Ok(weights)
}

/// Two members side by side; `a` before `b`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberPair {
    pub a: usize,
    pub b: usize,
    /// Pearson's correlation of their errors (1 = wrong) in [-1, 1]; 1 where neither's errors vary alone
    /// (both always right, or both always wrong), 0 where only one's do not vary.
    pub error_correlation: f64,
    /// Share of the samples that they predict differently.
    pub disagreement: f64,
    /// Share that both get wrong.
    pub both_wrong: f64,
    /// Their errors correlate by [`ALIKE`] or more.
    pub alike: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Diversity {
    /// Share of right predictions of each member.
    pub accuracy: Vec<f64>,
    pub pairs: Vec<MemberPair>,
    /// Share of the samples that at least one member gets right: no blend of votes does better.
    pub any_right: f64,
    /// To be warned of: at least one pair is alike.
    pub alike: bool,
}

/// How unlike the members' (N, K) mistakes are on classes `truth` (N). O(members x N x (K + members)).
///
/// # Errors
/// As [`fit_weights`].
pub fn diversity(members: &[ArrayView2<'_, f32>], truth: &[usize]) -> Result<Diversity, TrainError> {
    let (n, k) = shape(members)?;
    check_length("true classes", n, truth.len())?;
    check_labels(truth, k)?;
    if n == 0 {
        return Err(TrainError::Empty);
    }
    let predicted: Vec<Vec<usize>> = members.iter().map(|p| argmax_rows(*p)).collect();
    let wrong: Vec<Vec<bool>> =
        predicted.iter().map(|p| p.iter().zip(truth).map(|(p, t)| p != t).collect()).collect();
    let share = |count: usize| count as f64 / n as f64;
    let rate: Vec<f64> = wrong.iter().map(|w| share(w.iter().filter(|w| **w).count())).collect();
    let mut pairs = Vec::new();
    for a in 0..members.len() {
        for b in a + 1..members.len() {
            let both_wrong = share((0..n).filter(|&i| wrong[a][i] && wrong[b][i]).count());
            let disagreement = share((0..n).filter(|&i| predicted[a][i] != predicted[b][i]).count());
            let spread = [a, b].map(|m| rate[m] * (1.0 - rate[m]));
            let error_correlation = match spread {
                [x, y] if x > 0.0 && y > 0.0 => {
                    ((both_wrong - rate[a] * rate[b]) / (x * y).sqrt()).clamp(-1.0, 1.0)
                }
                [x, y] if x == 0.0 && y == 0.0 && rate[a] == rate[b] => 1.0,
                _ => 0.0,
            };
            let alike = error_correlation >= ALIKE;
            pairs.push(MemberPair { a, b, error_correlation, disagreement, both_wrong, alike });
        }
    }
    Ok(Diversity {
        accuracy: rate.iter().map(|r| 1.0 - r).collect(),
        any_right: share((0..n).filter(|&i| wrong.iter().any(|w| !w[i])).count()),
        alike: pairs.iter().any(|p| p.alike),
        pairs,
    })
}

fn shape(members: &[ArrayView2<'_, f32>]) -> Result<(usize, usize), TrainError> {
    let first = members.first().ok_or(TrainError::Empty)?.dim();
    for member in members {
        check_length("rows of a member", first.0, member.nrows())?;
        check_length("classes of a member", first.1, member.ncols())?;
    }
    Ok(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::array;

    fn views(members: &[Array2<f32>]) -> Vec<ArrayView2<'_, f32>> {
        members.iter().map(|m| m.view()).collect()
    }

    #[test]
    fn weights_by_hand() {
        // True classes get 0.8, 0.8, 0.2 of one and 0.2, 0.2, 0.8 of the other: the loss
        // -2 ln(0.2 + 0.6 w) - ln(0.8 - 0.6 w) is lowest at w = 7/9.
        let a = array![[0.8f32, 0.2], [0.8, 0.2], [0.2, 0.8]];
        let b = array![[0.2f32, 0.8], [0.2, 0.8], [0.8, 0.2]];
        let w = fit_weights(&[a.view(), b.view()], &[0, 0, 0]).unwrap();
        assert!((w[0] - 7.0 / 9.0).abs() < 2e-3 && (w[0] + w[1] - 1.0).abs() < 1e-12, "{w:?}");
        // a member that is worse everywhere is not wanted
        let w = fit_weights(&[a.view(), array![[0.5f32, 0.5], [0.5, 0.5], [0.1, 0.9]].view()], &[0, 0, 0]);
        assert!(w.unwrap()[1] < 0.01);
    }

    #[test]
    fn the_fitted_blend_is_no_worse_than_any_member_or_the_plain_mean() {
        let mut r = rng(4);
        let members: Vec<Array2<f32>> = (0..4)
            .map(|_| {
                let mut p = gaussian_matrix(500, 5, &mut r).mapv(f32::exp);
                p.rows_mut().into_iter().enumerate().for_each(|(i, mut row)| {
                    row[i % 5] *= 3.0;
                    let sum = row.sum();
                    row.mapv_inplace(|v| v / sum);
                });
                p
            })
            .collect();
        let truth: Vec<usize> = (0..500).map(|i| i % 5).collect();
        let loss = |p: &Array2<f32>| {
            truth.iter().enumerate().map(|(i, &t)| -f64::from(p[[i, t]]).ln()).sum::<f64>() / 500.0
        };
        let weights = fit_weights(&views(&members), &truth).unwrap();
        assert!(weights.iter().all(|w| *w >= 0.0) && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        let fitted = blend(&views(&members), &weights).unwrap();
        assert!(fitted.rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-5));
        let mean = blend(&views(&members), &[0.25; 4]).unwrap();
        assert!(loss(&fitted) <= loss(&mean) + 2e-6);
        assert!(members.iter().all(|m| loss(&fitted) < loss(m)));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit_weights(&views(&members), &truth).unwrap())
        };
        assert_eq!(with(1), with(3));
    }

    #[test]
    fn diversity_by_hand() {
        // errors 1 0 0 1 1 0 0 0 and 1 0 1 0 1 0 0 0: numpy.corrcoef 0.4667
        let member =
            |errors: [usize; 8]| Array2::from_shape_fn((8, 3), |(i, c)| f32::from(u8::from(c == errors[i])));
        let (a, b) = (member([1, 0, 0, 1, 2, 0, 0, 0]), member([1, 0, 1, 0, 1, 0, 0, 0]));
        let d = diversity(&[a.view(), b.view(), a.view()], &[0; 8]).unwrap();
        let pair = d.pairs[0];
        assert!((pair.error_correlation - 0.466_666_666_666_666_7).abs() < 1e-12, "{pair:?}");
        // rows 2, 3 and 4 differ; rows 0 and 4 are wrong in both
        assert_eq!((pair.disagreement, pair.both_wrong, pair.alike), (0.375, 0.25, false));
        assert_eq!((d.accuracy[0], d.any_right, d.alike), (0.625, 0.75, true));
        let same = d.pairs[1];
        assert_eq!((same.a, same.b, same.disagreement, same.alike), (0, 2, 0.0, true));
        let right = member([0; 8]);
        let d = diversity(&[right.view(), right.view(), a.view()], &[0; 8]).unwrap();
        assert_eq!((d.pairs[0].error_correlation, d.pairs[1].error_correlation), (1.0, 0.0));
    }

    #[test]
    fn mistakes_are_named() {
        let p = array![[0.5f32, 0.5]];
        let q = array![[0.5f32, 0.3, 0.2]];
        assert_eq!(blend(&[], &[]).unwrap_err(), TrainError::Empty);
        assert!(blend(&[p.view(), q.view()], &[0.5, 0.5]).is_err());
        for weights in [&[1.0][..], &[0.7, 0.7], &[1.5, -0.5], &[f64::NAN, 0.5]] {
            assert!(blend(&[p.view(), p.view()], weights).is_err(), "{weights:?}");
        }
        assert!(fit_weights(&[p.view()], &[2]).is_err() && diversity(&[p.view()], &[0, 0]).is_err());
    }
}
