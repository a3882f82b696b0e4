//! The one way in which two rows' similarity is computed.

/// Partial sums; a whole number of vectors of any width up to 1024 bits.
const LANES: usize = 32;

/// Dot product of two rows of equal length in f32, cut to [-1, 1]: 32 interleaved sums, added pairwise
/// at the end, then the rest of the row. The same bits on every machine and whichever row comes first.
pub(super) fn similarity(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2")]
        fn wide(a: &[f32], b: &[f32]) -> f32 {
            body(a, b)
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            // SAFETY: AVX2 was just detected; the function is safe otherwise.
            return unsafe { wide(a, b) };
        }
    }
    body(a, b)
}

#[inline(always)]
fn body(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            // Not `mul_add`: a machine without it would round differently.
            sums[l] += a[l] * b[l];
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for l in 0..width {
            sums[l] += sums[l + width];
        }
        width /= 2;
    }
    let rest = a_rest.iter().zip(b_rest).fold(0f32, |s, (x, y)| s + x * y);
    (sums[0] + rest).clamp(-1.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};

    #[test]
    fn agrees_with_the_definition_symmetric_and_alike_on_both_paths() {
        for d in [0, 1, 31, 32, 33, 100, 512, 700] {
            let mut x = gaussian_matrix(2, d, &mut rng(d as u64));
            crate::arrays::l2_normalize_rows(&mut x);
            let (a, b) = (x.row(0).to_vec(), x.row(1).to_vec());
            let want: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
            assert!((f64::from(similarity(&a, &b)) - want).abs() < 1e-6, "{d}");
            assert_eq!(similarity(&a, &b).to_bits(), body(&b, &a).to_bits());
        }
    }
}
