//! Samples far from all others, by the mean distance (1 - cosine similarity) to their neighbours.

use super::duplicates::{ROUNDING, distance, median};
use super::neighbours::Neighbours;

/// Interquartile ranges above the upper quartile from which a sample is an outlier: Datalab's
/// 1 / 0.37037 - 1.
pub const RANGES: f64 = 1.7;

/// How far out each sample lies.
#[derive(Clone, Debug, PartialEq)]
pub struct Outliers {
    /// exp(-mean distance / median of the mean distances), in [0, 1]: low = far out (0 only by
    /// underflow), 1 = among copies of itself or without neighbours. Datalab's.
    pub score: Vec<f32>,
    /// Mean distance above `cut`.
    pub is_outlier: Vec<bool>,
    /// Upper quartile of the mean distances plus [`RANGES`] times their interquartile range. It grows
    /// with the distances, so which samples are outliers does not depend on their scale.
    pub cut: f64,
}

/// Outliers by all the neighbours given. O(N k).
pub fn outliers(neighbours: &Neighbours) -> Outliers {
    let k = neighbours.k().max(1) as f64;
    let mean: Vec<f64> = neighbours
        .similarity
        .rows()
        .into_iter()
        .map(|row| row.iter().map(|&s| distance(s)).sum::<f64>() / k)
        .collect();
    let scale = median(&mean).max(ROUNDING);
    let (lower, upper) = (quantile(&mean, 0.25), quantile(&mean, 0.75));
    // Where most rows are copies, the range is 0 and rounding must not decide.
    let cut = upper + (RANGES * (upper - lower)).max(ROUNDING);
    Outliers {
        score: mean.iter().map(|m| (-m / scale).exp() as f32).collect(),
        is_outlier: mean.iter().map(|m| *m > cut).collect(),
        cut,
    }
}

/// The `q` quantile, q in [0, 1], linear between neighbouring values (NumPy's default); 0 of none.
pub(super) fn quantile(values: &[f64], q: f64) -> f64 {
    let mut values = values.to_vec();
    if values.is_empty() {
        return 0.0;
    }
    let at = q * (values.len() - 1) as f64;
    let (_, low, above) = values.select_nth_unstable_by(at as usize, f64::total_cmp);
    let next = above.iter().copied().fold(f64::INFINITY, f64::min);
    let part = at.fract();
    if part == 0.0 { *low } else { *low + part * (next - *low) }
}

#[cfg(test)]
mod tests {
    use super::super::golden;
    use super::super::neighbours::nearest;
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::{Array2, ArrayView2, Axis, array};
    use proptest::prelude::*;

    fn go(x: ArrayView2<'_, f32>) -> Outliers {
        outliers(&nearest(x, 5, &mut |_, _| true).unwrap())
    }

    #[test]
    fn scores_and_cut_are_datalabs() {
        let found = go(golden::features().view());
        for (i, (ours, theirs)) in found.score.iter().zip(golden::OUTLIER).enumerate() {
            assert!((ours - theirs).abs() < 1e-5, "{i}: {ours} {theirs}");
        }
        assert!((found.cut - golden::OUTLIER_CUT).abs() < 1e-5, "{}", found.cut);
        let flagged: Vec<usize> = (0..40).filter(|&i| found.is_outlier[i]).collect();
        assert_eq!(flagged, golden::IS_OUTLIER);
    }

    #[test]
    fn quantiles_are_numpys() {
        // np.quantile([3, 1, 4, 1, 5, 9, 2, 6], [0, .25, .5, .75, 1])
        let v = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0];
        assert_eq!([0.0, 0.25, 0.5, 0.75, 1.0].map(|q| quantile(&v, q)), [1.0, 1.75, 3.5, 5.25, 9.0]);
        assert_eq!((quantile(&[], 0.5), quantile(&[7.0], 0.9)), (0.0, 7.0));
    }

    #[test]
    fn finds_what_lies_apart_whatever_the_scale_of_the_distances() {
        for spread in [0.01f32, 0.1, 1.0] {
            let noise = gaussian_matrix(300, 30, &mut rng(3));
            let mut x =
                Array2::from_shape_fn((300, 30), |(i, j)| f32::from(j % 5 == i % 5) + spread * noise[[i, j]]);
            x.row_mut(17).mapv_inplace(|v| v - 2.0);
            let found = go(x.view());
            assert!(found.is_outlier[17]);
            let n = found.is_outlier.iter().filter(|o| **o).count();
            assert!(n <= 12, "{spread}: {n} of 300");
            assert!(found.score.iter().all(|s| *s >= found.score[17]));
        }
    }

    #[test]
    fn degenerate_input() {
        assert!(go(Array2::zeros((0, 3)).view()).score.is_empty());
        assert_eq!(go(array![[1.0f32, 0.0]].view()).score, [1.0]);
        assert_eq!(go(array![[1.0f32, 0.0], [0.0, 1.0]].view()).is_outlier, [false; 2]);
        let same = go(Array2::ones((20, 3)).view());
        assert_eq!((same.score, same.is_outlier), (vec![1.0; 20], vec![false; 20]));
        let zeros = go(Array2::zeros((20, 3)).view());
        assert!(zeros.score.iter().all(|s| (s - (-1f32).exp()).abs() < 1e-6));
        assert!(zeros.is_outlier.iter().all(|o| !o));
    }

    proptest! {
        #[test]
        fn in_range_and_permuted_with_the_rows(n in 1usize..50, d in 1usize..6, seed: u64) {
            use rand::seq::SliceRandom;
            let mut r = rng(seed);
            let x = gaussian_matrix(n, d, &mut r);
            let mut order: Vec<usize> = (0..n).collect();
            order.shuffle(&mut r);
            let (plain, moved) = (go(x.view()), go(x.select(Axis(0), &order).view()));
            prop_assert!(plain.score.iter().all(|s| (0.0..=1.0).contains(s)));
            for (i, &from) in order.iter().enumerate() {
                prop_assert!((moved.score[i] - plain.score[from]).abs() < 1e-6);
                prop_assert_eq!(moved.is_outlier[i], plain.is_outlier[from]);
            }
        }
    }
}
