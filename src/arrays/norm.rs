//! Row norms and dot products with a fixed order of summation.

use ndarray::{Array2, ArrayView2};

/// Dot product in f64 with four interleaved partial sums (a fixed order, and no chain of waiting additions).
/// Reads the shorter length where the two differ.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    let (mut s0, mut s1, mut s2, mut s3) = (0f64, 0f64, 0f64, 0f64);
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let (ca, cb) = (a.chunks_exact(4), b.chunks_exact(4));
    let tail: f64 =
        ca.remainder().iter().zip(cb.remainder()).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
    for (x, y) in ca.zip(cb) {
        s0 += f64::from(x[0]) * f64::from(y[0]);
        s1 += f64::from(x[1]) * f64::from(y[1]);
        s2 += f64::from(x[2]) * f64::from(y[2]);
        s3 += f64::from(x[3]) * f64::from(y[3]);
    }
    ((s0 + s1) + (s2 + s3)) + tail
}

/// Scales every row to unit length in place; a row of zeros (nothing known of the sample) stays zero.
pub fn l2_normalize_rows(x: &mut Array2<f32>) {
    for mut row in x.rows_mut() {
        let norm = row.iter().fold(0f64, |s, &v| s + f64::from(v) * f64::from(v)).sqrt();
        if norm > 0.0 {
            let inverse = 1.0 / norm;
            row.mapv_inplace(|v| (f64::from(v) * inverse) as f32);
        }
    }
}

/// A copy of `x` in standard (row-major) layout with rows of unit length; see [`l2_normalize_rows`].
pub fn l2_normalized_rows(x: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut out = x.as_standard_layout().into_owned();
    l2_normalize_rows(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn unit_rows_and_zero_rows() {
        let x = l2_normalized_rows(array![[3.0f32, 4.0], [0.0, 0.0], [-2.0, 0.0]].view());
        assert_eq!(x, array![[0.6f32, 0.8], [0.0, 0.0], [-1.0, 0.0]]);
    }

    #[test]
    fn dot_by_hand() {
        assert_eq!(dot(&[1.0, 2.0, 3.0, 4.0, 5.0], &[5.0, 4.0, 3.0, 2.0, 1.0]), 35.0);
        assert_eq!(dot(&[], &[]), 0.0);
    }
}
