//! First vectors of tokens from an encoder's vectors of their texts: what an encoder holds for alike starts alike in a
//! network of another width.

use ndarray::{Array2, ArrayView2, Axis};

use crate::arrays::{gaussian_matrix, rng};

/// Apart from the draws of a network's first weights, which begin at the bare seed.
const APART: u64 = 0x746f_6b65_6e73;

/// `encoded` (V, E) projected to (V, `width`) by a Gaussian matrix of `seed`, which keeps angles up to about 1 /
/// sqrt(`width`) (Johnson and Lindenstrauss). Before it the mean of the rows is taken off, since all short texts have
/// much in common to a sentence encoder; after it each row gets the length 1 / sqrt(3), that of a row drawn evenly
/// from +-1 / sqrt(`width`). Rows of zeros, of which nothing is known, stay zeros. The same arguments give the same
/// bytes. O(V E width).
pub fn start_vectors(encoded: ArrayView2<'_, f32>, width: usize, seed: u64) -> Array2<f32> {
    let known: Vec<bool> = encoded.rows().into_iter().map(|r| r.iter().any(|v| *v != 0.0)).collect();
    let n = known.iter().filter(|k| **k).count();
    let mut centred = encoded.to_owned();
    // of one row alone nothing would be left
    if n > 1 {
        let mean = encoded.sum_axis(Axis(0)) / n as f32;
        for (mut row, _) in centred.rows_mut().into_iter().zip(&known).filter(|(_, known)| **known) {
            row -= &mean;
        }
    }
    let mut start = centred.dot(&gaussian_matrix(encoded.ncols(), width, &mut rng(seed ^ APART)));
    for mut row in start.rows_mut() {
        let length = row.dot(&row).sqrt();
        if length > 0.0 {
            row /= length * 3.0_f32.sqrt();
        }
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(m: &Array2<f32>, a: usize, b: usize) -> f32 {
        let (a, b) = (m.row(a), m.row(b));
        a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt()
    }

    #[test]
    fn alike_tokens_start_close_and_all_start_as_long_as_drawn_ones() {
        // ten groups of four around a centre each, all of them around one common point
        let mut r = rng(5);
        let (common, centres) = (gaussian_matrix(1, 96, &mut r) * 3.0, gaussian_matrix(10, 96, &mut r));
        let jitter = gaussian_matrix(41, 96, &mut r) * 0.3;
        let mut encoded = Array2::zeros((41, 96));
        for i in 1..41 {
            let mut row = encoded.row_mut(i);
            row += &common.row(0);
            row += &centres.row(i % 10);
            row += &jitter.row(i);
        }
        let start = start_vectors(encoded.view(), 64, 7);
        assert_eq!(start.dim(), (41, 64));
        assert!(start.row(0).iter().all(|v| *v == 0.0), "nothing is known of it");
        for a in 1..41 {
            assert!((start.row(a).dot(&start.row(a)) - 1.0 / 3.0).abs() < 1e-5);
            for b in (1..41).filter(|b| *b != a) {
                let c = cosine(&start, a, b);
                if a % 10 == b % 10 {
                    assert!(c > 0.7, "{a} {b} {c}")
                } else {
                    assert!(c < 0.6, "{a} {b} {c}")
                }
            }
        }
        assert_eq!(start, start_vectors(encoded.view(), 64, 7));
        assert_ne!(start, start_vectors(encoded.view(), 64, 8));
        // one alone keeps its direction
        assert!(start_vectors(encoded.slice(ndarray::s![..2, ..]), 64, 7).row(1).iter().any(|v| *v != 0.0));
    }
}
