//! Seeded randomness. One generator for the whole project, so that a seed names a result for good.

use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256Plus;

/// The generator of seed `seed` (xoshiro256+).
pub fn rng(seed: u64) -> Xoshiro256Plus {
    Xoshiro256Plus::seed_from_u64(seed)
}

/// SplitMix64's finaliser: a bijection whose output bits all depend on all input bits.
pub fn mix(mut h: u64) -> u64 {
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// `(rows, columns)` independent standard normal values by Box and Muller's method, drawn row by row.
pub fn gaussian_matrix(rows: usize, columns: usize, rng: &mut impl Rng) -> Array2<f32> {
    let mut spare = None;
    Array2::from_shape_simple_fn((rows, columns), || {
        if let Some(v) = spare.take() {
            return v;
        }
        let u: f64 = 1.0 - rng.r#gen::<f64>(); // (0, 1], so that the logarithm is finite
        let angle = std::f64::consts::TAU * rng.r#gen::<f64>();
        let radius = (-2.0 * u.ln()).sqrt();
        spare = Some((radius * angle.sin()) as f32);
        (radius * angle.cos()) as f32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_moments_and_repeatable() {
        let x = gaussian_matrix(200, 101, &mut rng(1));
        let n = x.len() as f64;
        let mean = x.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
        let var = x.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
        let within_one = x.iter().filter(|v| v.abs() < 1.0).count() as f64 / n;
        assert!(mean.abs() < 0.03 && (var - 1.0).abs() < 0.04, "{mean} {var}");
        assert!((within_one - 0.6827).abs() < 0.02, "{within_one}");
        assert_eq!(x, gaussian_matrix(200, 101, &mut rng(1)));
        assert_ne!(x, gaussian_matrix(200, 101, &mut rng(2)));
    }
}
