//! A first guess of the inverse Hessian for L-BFGS, from the features' leading directions.
//!
//! The Hessian of the mean cross-entropy in the weights of class c is close to h_c X^T X / n with
//! h_c = mean p_c (1 - p_c) (Boehning 1992 bounds it by X^T X / 2n). With the leading eigenpairs
//! (lambda_i, u_i) of X^T X / n and t the mean of the other eigenvalues, the guess for class c is
//! the inverse of h_c (sum_i lambda_i u_i u_i^T + t (I - sum_i u_i u_i^T)) + l2 I. It never changes
//! where the search ends, only how soon, so a sample of the rows will do for the eigenpairs.

use ndarray::{Array2, ArrayView2, Axis};

use crate::arrays::{gaussian_matrix, matmul, orthonormalize, rng, symmetric_eigen};

/// Directions kept; a product with them costs a small share of one with the rows.
const RANK: usize = 64;
/// Rows that the eigenpairs are estimated on.
const ROWS: usize = 4096;
/// Multiplications with X^T X; the leading directions need few.
const ROUNDS: usize = 3;
/// Rows that the curvature of the classes is estimated on.
const CURVATURE_ROWS: usize = 4096;

pub(super) struct Preconditioner {
    /// (d, r), orthonormal columns.
    directions: Array2<f32>,
    /// (r), of X^T X / n.
    values: Vec<f64>,
    /// Mean of the eigenvalues left out.
    tail: f64,
}

impl Preconditioner {
    /// Of rows `x` (n, d), n and d >= 1. Seeded subspace iteration: O(`ROWS` d `RANK`).
    pub(super) fn new(x: ArrayView2<'_, f32>) -> Self {
        let (n, d) = x.dim();
        let step = n.div_ceil(ROWS).max(1);
        let chosen: Vec<usize> = (0..n).step_by(step).collect();
        let sample = x.select(Axis(0), &chosen);
        let m = sample.nrows().max(1) as f64;
        let r = RANK.min(d);
        let mut basis = gaussian_matrix(d, r, &mut rng(0));
        orthonormalize(&mut basis);
        for _ in 0..ROUNDS {
            let image = matmul(sample.view(), basis.view());
            basis = matmul(sample.t(), image.view());
            orthonormalize(&mut basis);
        }
        let image = matmul(sample.view(), basis.view());
        let small = matmul(image.t(), image.view()).mapv(|v| f64::from(v) / m);
        let (values, rotation) = symmetric_eigen(small);
        let directions = matmul(basis.view(), rotation.mapv(|v| v as f32).view());
        let trace = sample.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>() / m;
        let values: Vec<f64> = values.into_iter().map(|v| v.max(0.0)).collect();
        let left = (trace - values.iter().sum::<f64>()).max(0.0);
        let tail = if d > r { left / (d - r) as f64 } else { 0.0 };
        Self { directions, values, tail }
    }

    /// The guess times `w` (d, k), `curvature` (k) being h. The bias is not part of it.
    pub(super) fn apply(&self, w: &[f32], curvature: &[f64], l2: f64) -> Vec<f32> {
        let k = curvature.len();
        let view = ArrayView2::from_shape((self.directions.nrows(), k), w).expect("w has d x k entries");
        let rest: Vec<f64> = curvature.iter().map(|h| 1.0 / (h * self.tail + l2)).collect();
        let mut along = matmul(self.directions.t(), view);
        for (mut row, value) in along.rows_mut().into_iter().zip(&self.values) {
            for ((v, h), rest) in row.iter_mut().zip(curvature).zip(&rest) {
                *v *= (1.0 / (h * value + l2) - rest) as f32;
            }
        }
        let mut out = matmul(self.directions.view(), along.view());
        let rest: Vec<f32> = rest.into_iter().map(|v| v as f32).collect();
        for (mut row, w) in out.rows_mut().into_iter().zip(view.rows()) {
            for ((o, w), rest) in row.iter_mut().zip(w).zip(&rest) {
                *o += w * rest;
            }
        }
        out.into_raw_vec_and_offset().0
    }
}

/// h_c = sum_i w_i p_ic (1 - p_ic) over a sample of the rows, from the residuals
/// w_i (p_i - onehot(y_i)); at least a thousandth of the mean, so that no class stands still.
pub(super) fn curvature(residual: &[f32], y: &[usize], weights: &[f32], k: usize) -> Vec<f64> {
    let step = y.len().div_ceil(CURVATURE_ROWS).max(1);
    let mut h = vec![0f64; k];
    let mut total = 0f64;
    for i in (0..y.len()).step_by(step) {
        let weight = weights[i];
        if weight <= 0.0 {
            continue;
        }
        total += f64::from(weight);
        for (c, (h, r)) in h.iter_mut().zip(&residual[i * k..(i + 1) * k]).enumerate() {
            let p = r / weight + if c == y[i] { 1.0 } else { 0.0 };
            *h += f64::from(weight * p * (1.0 - p));
        }
    }
    let mean = h.iter().sum::<f64>() / k as f64;
    if !(mean > 0.0 && total > 0.0) {
        return vec![1.0 / k as f64; k];
    }
    h.iter().map(|v| v.max(1e-3 * mean) / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_inverse_where_all_directions_are_kept() {
        let (n, d, k) = (60, 9, 2);
        let mut r = rng(31);
        let mut x = gaussian_matrix(n, d, &mut r);
        x.column_mut(0).mapv_inplace(|v| 5.0 * v);
        let (h, l2) = ([0.2, 0.01], 0.03);
        let w = gaussian_matrix(d, k, &mut r);
        let flat: Vec<f32> = w.iter().copied().collect();
        let got = Preconditioner::new(x.view()).apply(&flat, &h, l2);
        let got = Array2::from_shape_vec((d, k), got).unwrap();
        // (h_c X^T X / n + l2) times the result is w again.
        let back = matmul(x.t(), matmul(x.view(), got.view()).view());
        for c in 0..k {
            for j in 0..d {
                let v = h[c] * f64::from(back[[j, c]]) / n as f64 + l2 * f64::from(got[[j, c]]);
                assert!((v - f64::from(w[[j, c]])).abs() < 1e-4, "{j} {c}: {v} {}", w[[j, c]]);
            }
        }
    }

    #[test]
    fn curvature_by_definition() {
        let p = [[0.7f32, 0.2, 0.1], [0.3, 0.3, 0.4]];
        let (y, weights) = ([0, 2], [0.25f32, 0.75]);
        let residual: Vec<f32> = (0..2)
            .flat_map(|i| (0..3).map(move |c| weights[i] * (p[i][c] - if c == y[i] { 1.0 } else { 0.0 })))
            .collect();
        let h = curvature(&residual, &y, &weights, 3);
        let want = 0.25 * 0.7 * 0.3 + 0.75 * 0.3 * 0.7;
        assert!((h[0] - want).abs() < 1e-6, "{h:?}");
    }
}
