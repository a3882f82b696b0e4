//! One temperature for probabilities that are too sure or too unsure: p_c^(1/T), scaled to sum 1, with
//! the T whose log-loss on the given (noisy) labels is lowest (Guo et al. 2017). Deterministic.

use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;

use super::linear::softmax::{dot, softmax_row};

/// Bounds of T.
pub const LEAST: f32 = 0.05;
pub const MOST: f32 = 20.0;
const MAX_STEPS: usize = 60;
/// Rows whose terms one task sums; fixed, so that the order of summation is.
const BLOCK_ROWS: usize = 256;

/// The temperature of probabilities `p` (N, k) by the mean log-loss of `labels` (N) in 0..k, between
/// [`LEAST`] and [`MOST`]; 1 without rows. The loss is convex in 1/T, so Newton steps kept inside a
/// shrinking bracket find it; O(N k) each, about 8 of them.
///
/// # Panics
/// When there is not one label in 0..k per row.
pub fn fit_temperature(p: ArrayView2<'_, f32>, labels: &[usize]) -> f32 {
    assert_eq!(p.nrows(), labels.len(), "one label per row");
    if labels.is_empty() || p.ncols() < 2 {
        return 1.0;
    }
    let log_p = p.mapv(|v| v.max(f32::MIN_POSITIVE).ln());
    let (mut low, mut high) = (1.0 / f64::from(MOST), 1.0 / f64::from(LEAST));
    let mut s = 1.0;
    for _ in 0..MAX_STEPS {
        let (slope, curvature) = derivatives(log_p.view(), labels, s as f32);
        if slope > 0.0 {
            high = s;
        } else {
            low = s;
        }
        let newton = s - slope / curvature;
        // Newton from a flat place may leave the bracket; then halve it on the scale of ln T.
        let next = if newton > low && newton < high { newton } else { (low * high).sqrt() };
        let moved = (next / s).ln().abs();
        s = next;
        if moved < 1e-6 {
            break;
        }
    }
    (1.0 / s) as f32
}

/// First and second derivative by s = 1/T of the mean of ln sum_c exp(s l_c) - s l_label.
fn derivatives(log_p: ArrayView2<'_, f32>, labels: &[usize], s: f32) -> (f64, f64) {
    let blocks: Vec<_> = log_p.axis_chunks_iter(Axis(0), BLOCK_ROWS).zip(labels.chunks(BLOCK_ROWS)).collect();
    let parts: Vec<(f64, f64)> = blocks
        .into_par_iter()
        .map(|(rows, labels)| {
            let (mut slope, mut curvature) = (0f64, 0f64);
            let mut l = vec![0f32; rows.ncols()];
            let mut q = l.clone();
            for (row, &label) in rows.rows().into_iter().zip(labels) {
                l.iter_mut().zip(row).for_each(|(l, v)| *l = *v);
                q.iter_mut().zip(&l).for_each(|(q, l)| *q = s * l);
                softmax_row(&mut q);
                let mean = dot(&q, &l);
                slope += f64::from(mean - l[label]);
                // around the mean: the difference of two large squares would lose it
                l.iter_mut().for_each(|v| *v = (*v - mean) * (*v - mean));
                curvature += f64::from(dot(&q, &l));
            }
            (slope, curvature)
        })
        .collect();
    let n = labels.len() as f64;
    let (slope, curvature) = parts.into_iter().fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
    (slope / n, curvature / n)
}

/// Probabilities (N, k) at temperature `t`: rows p^(1/t) / sum. A probability of 0 stays 0.
///
/// # Panics
/// When `t` is not positive.
pub fn apply_temperature(p: &mut Array2<f32>, t: f32) {
    assert!(t > 0.0, "temperatures are positive");
    let s = 1.0 / t;
    let blocks: Vec<_> = p.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).collect();
    blocks.into_par_iter().for_each(|mut block| {
        let mut row = vec![0f32; block.ncols()];
        for mut to in block.rows_mut() {
            row.iter_mut().zip(&to).for_each(|(z, p)| *z = if *p > 0.0 { s * p.ln() } else { -1e30 });
            softmax_row(&mut row);
            to.iter_mut().zip(&row).for_each(|(p, q)| *p = *q);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Logits (7 i + 5 c) mod 11 - 5 + 6 [c = label], labels (i * i + i / 3) mod 4.
    fn example() -> (Array2<f32>, Vec<usize>) {
        let y: Vec<usize> = (0..40).map(|i| (i * i + i / 3) % 4).collect();
        let mut p = Array2::from_shape_fn((40, 4), |(i, c)| {
            ((7 * i + 5 * c) % 11) as f32 - 5.0 + if c == y[i] { 6.0 } else { 0.0 }
        });
        for mut row in p.rows_mut() {
            softmax_row(row.as_slice_mut().unwrap());
        }
        (p, y)
    }

    #[test]
    fn agrees_with_scikit_learn() {
        // scikit-learn 1.9.1, sklearn.calibration._TemperatureScaling().fit(log_p, y): 1 / beta_ and
        // the first row of predict(log_p).
        let (mut p, y) = example();
        let t = fit_temperature(p.view(), &y);
        assert!((t - 2.055_032).abs() < 1e-4, "{t}");
        apply_temperature(&mut p, t);
        for (got, want) in p.row(0).iter().zip([0.111_157, 0.068_329, 0.778_512, 0.042_002]) {
            assert!((got - want).abs() < 1e-5, "{got} {want}");
        }
    }

    #[test]
    fn bounds_and_degenerate_rows() {
        // Always right: sharper is better without end. Always wrong: flatter is.
        let p = ndarray::array![[0.6f32, 0.4], [0.6, 0.4]];
        assert!((fit_temperature(p.view(), &[0, 0]) / LEAST - 1.0).abs() < 1e-3);
        assert!((fit_temperature(p.view(), &[1, 1]) / MOST - 1.0).abs() < 1e-3);
        assert_eq!(fit_temperature(Array2::zeros((0, 3)).view(), &[]), 1.0);
        let mut q = ndarray::array![[1.0f32, 0.0, 0.0], [0.5, 0.5, 0.0]];
        apply_temperature(&mut q, 3.0);
        assert_eq!(q, ndarray::array![[1.0f32, 0.0, 0.0], [0.5, 0.5, 0.0]]);
        let zero = ndarray::array![[1.0f32, 0.0], [0.9, 0.1]];
        assert!(fit_temperature(zero.view(), &[1, 0]).is_finite());
    }

    proptest! {
        #[test]
        fn never_hurts_and_undoes_itself(z in prop::collection::vec(-6f32..6.0, 60), y in prop::collection::vec(0usize..3, 20)) {
            let mut p = Array2::from_shape_vec((20, 3), z).unwrap();
            for mut row in p.rows_mut() {
                softmax_row(row.as_slice_mut().unwrap());
            }
            let loss = |p: &Array2<f32>| -> f64 {
                y.iter().enumerate().map(|(i, &c)| -f64::from(p[[i, c]].max(f32::MIN_POSITIVE)).ln()).sum()
            };
            let t = fit_temperature(p.view(), &y);
            let mut q = p.clone();
            apply_temperature(&mut q, t);
            prop_assert!(loss(&q) <= loss(&p) + 1e-3, "{} {} at {t}", loss(&p), loss(&q));
            let mut back = p.clone();
            apply_temperature(&mut back, 2.0);
            apply_temperature(&mut back, 0.5);
            prop_assert!(back.iter().zip(&p).all(|(a, b)| (a - b).abs() < 1e-4));
        }
    }
}
