//! The two directions of greatest variance, by randomised subspace iteration (Halko, Martinsson and Tropp 2011,
//! algorithm 4.4) and the Rayleigh-Ritz projection.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};

use crate::arrays::{gaussian_matrix, matmul, orthonormalize, rng, symmetric_eigen};

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
    let (values, vectors) = symmetric_eigen(gram);
    let mut order: Vec<usize> = (0..rank).collect();
    order.sort_by(|&i, &j| values[j].total_cmp(&values[i])); // stable
    let rotation = vectors.select(Axis(1), &order);
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

/// With orthonormal columns, see [`orthonormalize`].
fn orthonormal(mut x: Array2<f32>) -> Array2<f32> {
    orthonormalize(&mut x);
    x
}
