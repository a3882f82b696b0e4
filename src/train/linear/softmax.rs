//! Softmax over rows of f32 logits, and the vector loops of the loss, written so that the compiler
//! turns them into vector instructions. No run-time dispatch: the same bytes on every machine.

/// Partial sums and maxima kept side by side, so that a reduction is not one long chain.
const LANES: usize = 8;

/// e^x for x <= 0 (and up to about 88), relative error below 3e-7; 0 below -87, where the result
/// would leave the normal range.
///
/// x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its polynomial of degree 6 (Cephes' `expf`), 2^n put
/// together from bits. The rounding to n adds 1.5 * 2^23: after that the low bits of the sum hold n.
#[inline(always)]
pub(in crate::train) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN2_HIGH) - n * LN2_LOW;
    let mut p = 1.987_569_1e-4f32;
    p = p * r + 1.398_2e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { p * power }
}

/// Largest value; -infinity of an empty row. NaN is passed over.
#[inline(always)]
pub(in crate::train) fn max(row: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = row.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (m, v) in lanes.iter_mut().zip(chunk) {
            *m = larger(*m, *v);
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |m, v| larger(m, *v))
}

/// Sum of a[i] * b[i] in f32, in a fixed order.
#[inline(always)]
pub(in crate::train) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    let (left, right) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(x, y)| x * y).sum();
    for (x, y) in left.zip(right) {
        for ((s, x), y) in lanes.iter_mut().zip(x).zip(y) {
            *s += x * y;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// Turns logits into probabilities in place; returns the largest logit and the sum of
/// exp(logit - largest), so that log-sum-exp = largest + ln(sum).
#[inline(always)]
pub(in crate::train) fn softmax_row(row: &mut [f32]) -> (f32, f32) {
    let top = max(row);
    let mut lanes = [0f32; LANES];
    let mut chunks = row.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (s, v) in lanes.iter_mut().zip(chunk) {
            *v = exp(*v - top);
            *s += *v;
        }
    }
    let mut sum: f32 = lanes.iter().sum();
    for v in chunks.into_remainder() {
        *v = exp(*v - top);
        sum += *v;
    }
    let inverse = 1.0 / sum;
    for v in row.iter_mut() {
        *v *= inverse;
    }
    (top, sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_to_the_library_and_ends_at_zero() {
        for i in 0..200_000 {
            let x = -87.0 * (i as f32) / 200_000.0;
            let want = f64::from(x).exp();
            assert!((f64::from(exp(x)) / want - 1.0).abs() < 3e-7, "{x}: {} {want}", exp(x));
        }
        assert_eq!((exp(0.0), exp(-87.5), exp(-1.0e4), exp(f32::NEG_INFINITY)), (1.0, 0.0, 0.0, 0.0));
        assert!((exp(1.0) / std::f32::consts::E - 1.0).abs() < 3e-7);
    }

    #[test]
    fn rows_of_any_length_agree_with_the_definition() {
        for k in [1, 2, 7, 8, 9, 16, 37, 100] {
            let z: Vec<f32> = (0..k).map(|c| ((c * 29) % 13) as f32 / 3.0 - 2.0).collect();
            let sum: f64 = z.iter().map(|v| f64::from(*v).exp()).sum();
            let mut p = z.clone();
            let (top, s) = softmax_row(&mut p);
            assert_eq!(top, z.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            assert!((f64::from(top) + f64::from(s).ln() - sum.ln()).abs() < 1e-6);
            for (p, z) in p.iter().zip(&z) {
                assert!((f64::from(*p) - f64::from(*z).exp() / sum).abs() < 1e-6);
            }
            let want: f64 = z.iter().map(|v| f64::from(*v).powi(2)).sum();
            assert!((f64::from(dot(&z, &z)) - want).abs() < 1e-4);
        }
    }
}
