//! Column means and standard deviations, fitted once and applied to any rows.
//! A column that does not vary is centred and otherwise left alone.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Rows that one task sums; fixed, so that the order of summation is.
const BLOCK_ROWS: usize = 512;
/// A standard deviation below this share of the column's magnitude is rounding, not signal.
const CONSTANT_BELOW: f64 = 1e-6;

/// `(x - mean) / scale` per column.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardizer {
    /// (d)
    pub mean: Array1<f32>,
    /// (d), all > 0: the standard deviation (dividing by N), or 1 for a constant column.
    pub scale: Array1<f32>,
}

impl Standardizer {
    /// Fits columns of `x` (N, d). No rows: mean 0, scale 1. Two passes, O(N x d), f64 sums.
    pub fn fit(x: ArrayView2<'_, f32>) -> Self {
        let n = x.nrows().max(1) as f64;
        let mean = column_sums(x, |v, _| v, &vec![0.0; x.ncols()]).mapv(|s| s / n);
        let squares = column_sums(x, |v, m| (v - m) * (v - m), mean.as_slice().expect("owned, contiguous"));
        let scale = Array1::from_shape_fn(x.ncols(), |j| {
            let deviation = (squares[j] / n).sqrt();
            let varies =
                deviation > CONSTANT_BELOW * mean[j].abs() && deviation > f64::from(f32::MIN_POSITIVE);
            if varies { deviation as f32 } else { 1.0 }
        });
        Self { mean: mean.mapv(|m| m as f32), scale }
    }

    /// `x` (N, d) standardised, in standard layout.
    ///
    /// # Panics
    /// When `x` has another number of columns than the fitted matrix.
    pub fn transform(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        assert_eq!(x.ncols(), self.mean.len(), "columns of a standardised matrix");
        let mut out = x.as_standard_layout().into_owned();
        let blocks: Vec<_> = out.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).collect();
        blocks.into_par_iter().for_each(|mut block| {
            for mut row in block.rows_mut() {
                for ((v, m), s) in row.iter_mut().zip(&self.mean).zip(&self.scale) {
                    *v = (*v - m) / s;
                }
            }
        });
        out
    }

    /// [`fit`](Self::fit) and [`transform`](Self::transform) of the same rows.
    pub fn fit_transform(x: ArrayView2<'_, f32>) -> (Self, Array2<f32>) {
        let standardizer = Self::fit(x);
        let out = standardizer.transform(x);
        (standardizer, out)
    }
}

/// Sums `f(value, shift of its column)` over the rows, block by block in order.
fn column_sums(x: ArrayView2<'_, f32>, f: impl Fn(f64, f64) -> f64 + Sync, shift: &[f64]) -> Array1<f64> {
    let blocks: Vec<_> = x.axis_chunks_iter(Axis(0), BLOCK_ROWS).collect();
    let blocks: Vec<Array1<f64>> = blocks
        .into_par_iter()
        .map(|block| {
            let mut sums = Array1::<f64>::zeros(x.ncols());
            for row in block.rows() {
                for ((s, v), m) in sums.iter_mut().zip(row).zip(shift) {
                    *s += f(f64::from(*v), *m);
                }
            }
            sums
        })
        .collect();
    blocks.iter().fold(Array1::zeros(x.ncols()), |total, block| total + block)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn by_hand() {
        let x = array![[1.0f32, 5.0, 2.0], [3.0, 5.0, 2.0], [5.0, 5.0, 8.0]];
        let (s, z) = Standardizer::fit_transform(x.view());
        assert_eq!(s.mean, array![3.0f32, 5.0, 4.0]);
        // Population deviations: sqrt(8/3), none, sqrt(8).
        assert!((s.scale[0] - 1.632_993_2).abs() < 1e-6 && s.scale[1] == 1.0);
        assert!((s.scale[2] - 2.828_427).abs() < 1e-6);
        assert_eq!(z.column(1).to_vec(), vec![0.0; 3]);
        assert!((z[[2, 0]] - 1.224_744_9).abs() < 1e-6);
    }

    #[test]
    fn constant_up_to_rounding_is_constant() {
        let x = Array2::from_shape_fn((1000, 1), |(i, _)| 1000.0 + if i % 2 == 0 { 6.1e-5 } else { 0.0 });
        assert_eq!(Standardizer::fit(x.view()).scale[0], 1.0);
        let none = Standardizer::fit(Array2::zeros((0, 2)).view());
        assert_eq!((none.mean, none.scale), (array![0.0f32, 0.0], array![1.0f32, 1.0]));
    }

    #[test]
    fn large_offsets_do_not_drown_the_deviation() {
        let x = Array2::from_shape_fn((10_000, 1), |(i, _)| 4096.0 + (i % 2) as f32);
        let s = Standardizer::fit(x.view());
        assert!((s.scale[0] - 0.5).abs() < 1e-6, "{}", s.scale[0]);
    }
}
