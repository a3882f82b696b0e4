//! Orthonormal columns, and the eigenpairs of small symmetric matrices.

use ndarray::Array2;

/// Makes the columns of `a` orthonormal by Gram and Schmidt's method, twice for rounding, in f64. A column without a
/// direction of its own becomes 0.
pub fn orthonormalize(a: &mut Array2<f32>) {
    let mut columns: Vec<Vec<f64>> =
        a.columns().into_iter().map(|c| c.iter().map(|v| f64::from(*v)).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    for j in 0..columns.len() {
        let (done, rest) = columns.split_at_mut(j);
        let column = &mut rest[0];
        let before = dot(column, column).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let along = dot(column, other);
                column.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let norm = dot(column, column).sqrt();
        let factor = if norm > 1e-6 * before && norm > 0.0 { 1.0 / norm } else { 0.0 };
        column.iter_mut().for_each(|v| *v *= factor);
    }
    for (mut to, from) in a.columns_mut().into_iter().zip(&columns) {
        to.iter_mut().zip(from).for_each(|(t, f)| *t = *f as f32);
    }
}

/// Eigenvalues (n), in no order, and eigenvectors, the columns of (n, n), of the symmetric matrix `a` (n, n) by cyclic
/// Jacobi rotations (Golub and Van Loan, section 8.5). O(n^3) a sweep, at most 30 sweeps.
pub fn symmetric_eigen(mut a: Array2<f64>) -> (Vec<f64>, Array2<f64>) {
    let n = a.nrows();
    let mut v = Array2::<f64>::eye(n);
    for _ in 0..30 {
        let off: f64 = (0..n).flat_map(|i| (0..i).map(move |j| (i, j))).map(|(i, j)| a[[i, j]].powi(2)).sum();
        let scale: f64 = (0..n).map(|i| a[[i, i]].powi(2)).sum();
        if off <= 1e-18 * scale {
            break;
        }
        for p in 0..n {
            for q in p + 1..n {
                if a[[p, q]] == 0.0 {
                    continue;
                }
                let theta = (a[[q, q]] - a[[p, p]]) / (2.0 * a[[p, q]]);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for i in 0..n {
                    let (x, y) = (a[[i, p]], a[[i, q]]);
                    (a[[i, p]], a[[i, q]]) = (c * x - s * y, s * x + c * y);
                }
                for i in 0..n {
                    let (x, y) = (a[[p, i]], a[[q, i]]);
                    (a[[p, i]], a[[q, i]]) = (c * x - s * y, s * x + c * y);
                    let (x, y) = (v[[i, p]], v[[i, q]]);
                    (v[[i, p]], v[[i, q]]) = (c * x - s * y, s * x + c * y);
                }
            }
        }
    }
    ((0..n).map(|i| a[[i, i]]).collect(), v)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};

    #[test]
    fn eigenpairs_by_definition() {
        let b = gaussian_matrix(12, 7, &mut rng(32)).mapv(f64::from);
        let a = b.t().dot(&b);
        let (values, vectors) = symmetric_eigen(a.clone());
        let image = a.dot(&vectors);
        for (i, value) in values.iter().enumerate() {
            for j in 0..7 {
                assert!((image[[j, i]] - value * vectors[[j, i]]).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn columns_are_orthonormal_or_nothing() {
        let mut a = gaussian_matrix(20, 4, &mut rng(33));
        let twice = a.column(0).mapv(|v| 2.0 * v);
        a.column_mut(2).assign(&twice);
        orthonormalize(&mut a);
        let gram = a.t().dot(&a);
        for i in 0..4 {
            for j in 0..4 {
                let want = if i == j && i != 2 { 1.0 } else { 0.0 };
                assert!((gram[[i, j]] - want).abs() < 1e-5, "{i} {j}: {}", gram[[i, j]]);
            }
        }
    }
}
