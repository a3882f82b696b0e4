//! Matrix products on the `gemm` kernels, cut into row blocks whose size depends on the shape only:
//! each block is one single-threaded product, so any number of threads gives the same bytes.

use gemm::Parallelism;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Rows of the result that one task computes.
const BLOCK_ROWS: usize = 128;
/// Below this many multiply-adds a product is not worth spreading.
const SERIAL_BELOW: usize = 1 << 18;

/// `a (m, k) x b (k, n) -> (m, n)`. Any strides, so `matmul(x.t(), y)` costs no copy.
///
/// # Panics
/// When the inner dimensions differ.
pub fn matmul(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    matmul_into(out.view_mut(), a, b);
    out
}

/// [`matmul`] into an existing matrix, whose old values are overwritten.
///
/// # Panics
/// When the shapes do not fit.
pub fn matmul_into(mut out: ArrayViewMut2<'_, f32>, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) {
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions of a product");
    assert_eq!(out.dim(), (a.nrows(), b.ncols()), "shape of a product");
    let blocks: Vec<_> =
        out.axis_chunks_iter_mut(Axis(0), BLOCK_ROWS).zip(a.axis_chunks_iter(Axis(0), BLOCK_ROWS)).collect();
    if a.nrows() * a.ncols() * b.ncols() < SERIAL_BELOW {
        blocks.into_iter().for_each(|(block, rows)| tile(block, rows, b));
    } else {
        blocks.into_par_iter().for_each(|(block, rows)| tile(block, rows, b));
    }
}

/// One single-threaded product; for callers that do their own blocking.
///
/// # Panics
/// When the shapes do not fit.
pub(crate) fn tile(mut out: ArrayViewMut2<'_, f32>, a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) {
    let (m, k) = a.dim();
    let n = b.ncols();
    assert_eq!(k, b.nrows(), "inner dimensions of a product");
    assert_eq!(out.dim(), (m, n), "shape of a product");
    if m == 0 || n == 0 {
        return;
    }
    if k == 0 {
        out.fill(0.0);
        return;
    }
    let (out_rs, out_cs) = (out.strides()[0], out.strides()[1]);
    let (a_rs, a_cs) = (a.strides()[0], a.strides()[1]);
    let (b_rs, b_cs) = (b.strides()[0], b.strides()[1]);
    // SAFETY: the three views are live for the call and their shapes were checked above, so every
    // element that gemm reaches by these strides lies inside its view; `out` is a unique borrow and
    // its elements are disjoint (ndarray hands out no overlapping mutable view). `read_dst` is false,
    // so old values of `out` are not read.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            out_cs,
            out_rs,
            false,
            a.as_ptr(),
            a_cs,
            a_rs,
            b.as_ptr(),
            b_cs,
            b_rs,
            0.0f32,
            1.0f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::random::{gaussian_matrix, rng};
    use ndarray::s;

    fn naive(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f32> {
        Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
            (0..a.ncols()).map(|t| f64::from(a[[i, t]]) * f64::from(b[[t, j]])).sum::<f64>() as f32
        })
    }

    #[test]
    fn agrees_with_the_definition_for_any_strides() {
        let mut r = rng(3);
        for (m, k, n) in [(1, 1, 1), (5, 7, 3), (300, 33, 17), (257, 64, 80), (3, 0, 2), (0, 4, 2)] {
            let a = gaussian_matrix(m, k, &mut r);
            let b = gaussian_matrix(k, n, &mut r);
            let want = naive(a.view(), b.view());
            for got in [
                matmul(a.view(), b.view()),
                matmul(a.t().as_standard_layout().t(), b.view()),
                matmul(a.view(), b.t().as_standard_layout().t()),
                matmul(a.slice(s![..;-1, ..]), b.view()).slice(s![..;-1, ..]).to_owned(),
            ] {
                assert!(got.iter().zip(&want).all(|(x, y)| (x - y).abs() < 1e-4), "{m}x{k}x{n}");
            }
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let mut r = rng(4);
        let (a, b) = (gaussian_matrix(700, 90, &mut r), gaussian_matrix(90, 61, &mut r));
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| matmul(a.view(), b.view()))
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(3));
    }

    #[test]
    #[should_panic(expected = "inner dimensions")]
    fn refuses_shapes_that_do_not_fit() {
        let x = Array2::<f32>::zeros((2, 3));
        let _ = matmul(x.view(), x.view());
    }
}
