//! The two directions of greatest variance, by randomised subspace iteration (Halko, Martinsson and Tropp 2011,
//! algorithm 4.4) and the Rayleigh-Ritz projection.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::arrays::{gaussian_matrix, matmul, rng};

/// Directions that are iterated beside the two, so that the two come out exactly.
const BESIDE: usize = 6;
const ITERATIONS: usize = 8;

/// (N, 2) coordinates of the rows of `x` (N, D) on their two principal directions, the first the wider one; each
/// direction's largest component is positive. Directions that are not there (D < 2, or all rows alike) are 0.
/// About 17 passes of 8 N D multiply-adds.
pub fn principal_plane(x: ArrayView2<'_, f32>, seed: u64) -> Array2<f32> {
    let (n, d) = x.dim();
    let rank = (2 + BESIDE).min(d).min(n);
    let mean: Array1<f32> = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(d));
    // rows less their mean, times q
    let times = |q: &Array2<f32>| {
        let mut y = matmul(x, q.view());
        let shift = matmul(mean.view().insert_axis(Axis(0)), q.view());
        y -= &shift.row(0);
        y
    };
    let mut q = orthonormal(gaussian_matrix(d, rank, &mut rng(seed)));
    for _ in 0..ITERATIONS {
        // the columns of y sum to 0, so the mean need not be taken off here
        q = orthonormal(matmul(x.t(), times(&q).view()));
    }
    let y = times(&q);
    let gram = matmul(y.t(), y.view()).mapv(f64::from);
    let rotation = eigenvectors(gram);
    let mut points = Array2::zeros((n, 2));
    for (column, axis) in rotation.columns().into_iter().take(2).enumerate() {
        let axis = axis.mapv(|v| v as f32);
        let direction = q.dot(&axis);
        let largest = direction.iter().copied().fold(0.0f32, |m, v| if v.abs() > m.abs() { v } else { m });
        let sign = if largest < 0.0 { -1.0 } else { 1.0 };
        points.slice_mut(s![.., column]).assign(&(y.dot(&axis) * sign));
    }
    points
}

/// Gram and Schmidt's, twice, in f64. A column without a direction of its own becomes 0.
fn orthonormal(x: Array2<f32>) -> Array2<f32> {
    let mut q = x.mapv(f64::from);
    for j in 0..q.ncols() {
        let before = q.column(j).dot(&q.column(j)).sqrt();
        for _ in 0..2 {
            for i in 0..j {
                let along = q.column(i).dot(&q.column(j));
                let taken = q.column(i).mapv(|v| v * along);
                let mut column = q.column_mut(j);
                column -= &taken;
            }
        }
        let norm = q.column(j).dot(&q.column(j)).sqrt();
        let scale = if norm > 1e-6 * before && norm > 0.0 { 1.0 / norm } else { 0.0 };
        q.column_mut(j).mapv_inplace(|v| v * scale);
    }
    q.mapv(|v| v as f32)
}

/// Eigenvectors of a small symmetric matrix as columns, the largest eigenvalue first, by Jacobi's rotations.
fn eigenvectors(mut a: Array2<f64>) -> Array2<f64> {
    let n = a.nrows();
    let mut v = Array2::eye(n);
    for _ in 0..30 {
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]] == 0.0 {
                    continue;
                }
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..n {
                    let (kp, kq) = (a[[k, p]], a[[k, q]]);
                    (a[[k, p]], a[[k, q]]) = (c * kp - s * kq, s * kp + c * kq);
                }
                for k in 0..n {
                    let (pk, qk) = (a[[p, k]], a[[q, k]]);
                    (a[[p, k]], a[[q, k]]) = (c * pk - s * qk, s * pk + c * qk);
                    let (kp, kq) = (v[[k, p]], v[[k, q]]);
                    (v[[k, p]], v[[k, q]]) = (c * kp - s * kq, s * kp + c * kq);
                }
            }
        }
    }
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|&i, &j| a[[j, j]].total_cmp(&a[[i, i]])); // stable
    v.select(Axis(1), &order)
}
