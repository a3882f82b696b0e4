//! The best projection of sparse rows to a few dimensions: an orthonormal basis of their leading
//! right singular vectors by randomised subspace iteration (Halko, Martinsson and Tropp 2011,
//! algorithm 4.4, with Cholesky QR). Deterministic: the start is fixed, and products do not depend
//! on the number of threads.

use ndarray::{Array2, ArrayView2};

use crate::arrays::matmul;
use crate::arrays::mix;

/// Power iterations: two make the basis as good as an exact one for text, whose spectrum is flat.
const ITERATIONS: usize = 2;

/// Sparse rows: (column, value) pairs.
pub(crate) type SparseRow = Vec<(u32, f32)>;

/// `(columns, rank)` with orthonormal columns, where `rank = min(wanted, rows, columns)`. About
/// `8 * rows * rank^2 + 4 * columns * rank^2` multiply-adds and `4 * columns * rank` bytes.
pub(crate) fn leading_basis(rows: &[SparseRow], columns: usize, wanted: usize) -> Array2<f32> {
    let rank = wanted.min(rows.len()).min(columns);
    if rank == 0 {
        return Array2::zeros((columns, 0));
    }
    let start =
        Array2::from_shape_fn(
            (columns, rank),
            |(i, j)| {
                if mix((i * rank + j) as u64) & 1 == 0 { 1.0 } else { -1.0 }
            },
        );
    let mut q = orthonormal(times(rows, start.view()).view());
    for _ in 0..ITERATIONS {
        let back = times_transposed(rows, columns, q.view());
        q = orthonormal(times(rows, back.view()).view());
    }
    orthonormal(times_transposed(rows, columns, q.view()).view())
}

/// `A x`.
fn times(rows: &[SparseRow], x: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = Array2::zeros((rows.len(), x.ncols()));
    for (row, mut sum) in rows.iter().zip(out.rows_mut()) {
        for (column, value) in row {
            sum.scaled_add(*value, &x.row(*column as usize));
        }
    }
    out
}

/// `A' x`.
fn times_transposed(rows: &[SparseRow], columns: usize, x: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = Array2::zeros((columns, x.ncols()));
    for (row, x) in rows.iter().zip(x.rows()) {
        for (column, value) in row {
            out.row_mut(*column as usize).scaled_add(*value, &x);
        }
    }
    out
}

/// An orthonormal basis of the columns by Cholesky QR, twice (once loses half the digits).
/// Directions that are not there (fewer independent columns than columns) come out near zero.
fn orthonormal(x: ArrayView2<'_, f32>) -> Array2<f32> {
    let once = cholesky_step(x);
    cholesky_step(once.view())
}

/// `x L^-T` where `x' x = L L'`.
fn cholesky_step(x: ArrayView2<'_, f32>) -> Array2<f32> {
    let gram = matmul(x.t(), x).mapv(f64::from);
    let inverse = inverse_cholesky(gram);
    matmul(x, inverse.t())
}

/// `L^-1` of a positive semi-definite matrix, in f64; pivots below 1e-10 of the largest count as
/// zero, and so do their rows.
fn inverse_cholesky(mut a: Array2<f64>) -> Array2<f32> {
    let n = a.nrows();
    let floor = 1e-10 * (0..n).map(|i| a[[i, i]]).fold(0.0, f64::max);
    let mut kept = vec![true; n];
    for i in 0..n {
        for j in 0..=i {
            let (row_i, row_j) = (a.row(i), a.row(j));
            let dot: f64 = (0..j).map(|t| row_i[t] * row_j[t]).sum();
            let rest = a[[i, j]] - dot;
            a[[i, j]] = if i != j {
                if kept[j] { rest / a[[j, j]] } else { 0.0 }
            } else {
                kept[i] = rest > floor;
                if kept[i] { rest.sqrt() } else { 0.0 }
            };
        }
    }
    // Forward substitution, a column of the identity at a time, kept as rows for the cache.
    let mut columns = Array2::<f64>::zeros((n, n));
    for c in (0..n).filter(|c| kept[*c]) {
        columns[[c, c]] = 1.0 / a[[c, c]];
        for i in (c + 1..n).filter(|i| kept[*i]) {
            let dot: f64 = (c..i).map(|t| a[[i, t]] * columns[[c, t]]).sum();
            columns[[c, i]] = -dot / a[[i, i]];
        }
    }
    columns.t().mapv(|v| v as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize, columns: u32) -> Vec<SparseRow> {
        let value = |i: usize, k: u64| mix(100 * i as u64 + k);
        (0..n)
            .map(|i| {
                let mut row: SparseRow = (0..8)
                    .map(|k| (value(i, k) as u32 % columns, (value(i, k + 50) % 1000) as f32 / 1000.0))
                    .collect();
                row.sort_by_key(|(c, _)| *c);
                row.dedup_by_key(|(c, _)| *c);
                row
            })
            .collect()
    }

    fn dense(rows: &[SparseRow], columns: usize) -> Array2<f32> {
        let mut out = Array2::zeros((rows.len(), columns));
        for (i, row) in rows.iter().enumerate() {
            row.iter().for_each(|(c, v)| out[[i, *c as usize]] = *v);
        }
        out
    }

    #[test]
    fn columns_are_orthonormal() {
        let basis = leading_basis(&rows(60, 40), 40, 16);
        assert_eq!(basis.dim(), (40, 16));
        let gram = basis.t().dot(&basis);
        assert!((&gram - &Array2::<f32>::eye(16)).iter().all(|d| d.abs() < 1e-4), "{gram}");
    }

    #[test]
    fn at_full_rank_inner_products_are_kept() {
        let rows = rows(20, 50);
        let a = dense(&rows, 50);
        let projected = a.dot(&leading_basis(&rows, 50, 64));
        let difference = &a.dot(&a.t()) - &projected.dot(&projected.t());
        assert!(difference.iter().all(|d| d.abs() < 1e-3), "{difference}");
    }

    #[test]
    fn the_strongest_directions_are_found() {
        // Ten copies of one direction, weak noise beside it.
        let mut a: Vec<SparseRow> = (0..10).map(|_| vec![(3, 4.0), (7, 3.0)]).collect();
        a.extend((0..10).map(|i| vec![(10 + i, 0.1)]));
        let basis = leading_basis(&a, 30, 1);
        assert!((basis[[3, 0]].abs() - 0.8).abs() < 1e-3 && (basis[[7, 0]].abs() - 0.6).abs() < 1e-3);
    }

    #[test]
    fn repeated_rows_do_no_harm() {
        let a: Vec<SparseRow> = (0..6).map(|i| vec![(i % 2, 1.0)]).collect();
        let basis = leading_basis(&a, 4, 4);
        assert!(basis.iter().all(|v| v.is_finite()));
        let projected = dense(&a, 4).dot(&basis);
        for row in projected.rows() {
            assert!((row.dot(&row) - 1.0).abs() < 1e-3, "{projected}");
        }
        assert_eq!(leading_basis(&[], 5, 3).dim(), (5, 0));
    }
}
