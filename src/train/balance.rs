//! Classes of unequal size: rare ones seen more often, weighed more, or raised in the predictions. The
//! numbers are those that the WeChat 2022 teams reported gains with.

use ndarray::Array2;

use super::error::{TrainError, check_length};

/// Classes with fewer than `below` samples are seen `times` times an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tier {
    pub below: u64,
    pub times: u32,
}

/// Below 100 samples five times, below 500 three times, below 1,000 twice (+0.3 points of mean F1 there).
pub const TIERS: [Tier; 3] =
    [Tier { below: 100, times: 5 }, Tier { below: 500, times: 3 }, Tier { below: 1000, times: 2 }];

/// The boost of the same teams: 1 + 10 / n (+0.3 to +0.6 points).
pub const PRIOR_BOOST: f64 = 10.0;

/// How often a class with `count` samples is seen an epoch: the times of the lowest tier it is below, else 1.
pub fn times(count: u64, tiers: &[Tier]) -> u32 {
    let tier = tiers.iter().filter(|t| count < t.below).min_by_key(|t| t.below);
    tier.map_or(1, |t| t.times)
}

/// The rows of an epoch before they are shuffled: each row as often as its class is seen, ascending.
/// `counts` are the samples of each class, `labels` (N) in 0..K. O(rows).
///
/// # Panics
/// When a label has no count.
pub fn oversampled(labels: &[usize], counts: &[u64], tiers: &[Tier]) -> Vec<u32> {
    let of_class: Vec<u32> = counts.iter().map(|&n| times(n, tiers)).collect();
    let repeated = |(row, &label): (usize, &usize)| std::iter::repeat_n(row as u32, of_class[label] as usize);
    labels.iter().enumerate().flat_map(repeated).collect()
}

/// (K) weight of a sample of each class: n^-`damping`, scaled so that the samples' weights average 1. 0 = all
/// alike, 1 = the raw inverse frequency, which the teams saw hurt; classes without samples get 0.
///
/// # Errors
/// `damping` outside [0, 1].
pub fn damped_weights(counts: &[u64], damping: f64) -> Result<Vec<f32>, TrainError> {
    if !(0.0..=1.0).contains(&damping) {
        return Err(TrainError::Param { name: "damped", value: damping, rule: "it must lie in [0, 1]" });
    }
    let raw = |n: u64| if n == 0 { 0.0 } else { (n as f64).powf(-damping) };
    let samples = counts.iter().sum::<u64>() as f64;
    let sum: f64 = counts.iter().map(|&n| n as f64 * raw(n)).sum();
    Ok(counts.iter().map(|&n| if n == 0 { 0.0 } else { (raw(n) * samples / sum) as f32 }).collect())
}

/// (K) factor that a class's probability is raised by: 1 + `strength` / n. A class without training samples is
/// raised like one with a single sample.
pub fn boosts(counts: &[u64], strength: f64) -> Vec<f64> {
    counts.iter().map(|&n| 1.0 + strength / n.max(1) as f64).collect()
}

/// Raises rare classes in probabilities `p` (N, K) in place by their [`boosts`], each row scaled to sum 1 again.
/// O(N K).
///
/// # Errors
/// Not one count a class; a strength below 0 or not finite.
pub fn prior_boost(p: &mut Array2<f32>, counts: &[u64], strength: f64) -> Result<(), TrainError> {
    check_length("counts of the classes", p.ncols(), counts.len())?;
    if !(strength >= 0.0 && strength.is_finite()) {
        let rule = "it must be a finite number >= 0";
        return Err(TrainError::Param { name: "prior_boost", value: strength, rule });
    }
    let factors = boosts(counts, strength);
    for mut row in p.rows_mut() {
        let sum: f64 = row.iter().zip(&factors).map(|(&v, f)| f64::from(v) * f).sum();
        if sum > 0.0 {
            row.iter_mut().zip(&factors).for_each(|(v, f)| *v = (f64::from(*v) * f / sum) as f32);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    #[test]
    fn tiers_by_hand() {
        let of = |n| times(n, &TIERS);
        assert_eq!([of(0), of(99), of(100), of(499), of(500), of(999), of(1000)], [5, 5, 3, 3, 2, 2, 1]);
        assert_eq!(times(3, &[]), 1);
        assert_eq!(oversampled(&[1, 0, 1], &[600, 2000], &TIERS), [0, 1, 1, 2]);
    }

    #[test]
    fn weights_by_hand() {
        // n^-1/2 of 4 and 16: 1/2 and 1/4; samples' sum 4/2 + 16/4 = 6, so times 20/6
        let w = damped_weights(&[4, 0, 16], 0.5).unwrap();
        assert!((w[0] - 10.0 / 6.0).abs() < 1e-6 && (w[2] - 5.0 / 6.0).abs() < 1e-6 && w[1] == 0.0, "{w:?}");
        assert_eq!(damped_weights(&[4, 16], 0.0).unwrap(), [1.0, 1.0]);
        assert!(damped_weights(&[4], 1.1).is_err() && damped_weights(&[4], f64::NAN).is_err());
        assert!(damped_weights(&[], 0.5).unwrap().is_empty());
    }

    #[test]
    fn the_boost_by_hand() {
        let mut p = array![[0.6f32, 0.4], [0.0, 0.0]];
        prior_boost(&mut p, &[1000, 10], PRIOR_BOOST).unwrap();
        // 0.6 x 1.01 = 0.606, 0.4 x 2 = 0.8
        assert!((p[[0, 0]] - 0.606 / 1.406).abs() < 1e-6 && (p[[0, 1]] - 0.8 / 1.406).abs() < 1e-6, "{p}");
        assert_eq!(p.row(1).sum(), 0.0);
        assert!(prior_boost(&mut p, &[1], 1.0).is_err() && prior_boost(&mut p, &[1, 1], -1.0).is_err());
    }

    proptest! {
        #[test]
        fn weights_average_one_and_rare_classes_weigh_more(
            counts in prop::collection::vec(1u64..5000, 1..30),
            damping in 0.0f64..=1.0,
        ) {
            let w = damped_weights(&counts, damping).unwrap();
            let mean = w.iter().zip(&counts).map(|(w, n)| f64::from(*w) * *n as f64).sum::<f64>()
                / counts.iter().sum::<u64>() as f64;
            prop_assert!((mean - 1.0).abs() < 1e-5, "{mean}");
            for (a, b) in counts.windows(2).zip(w.windows(2)) {
                prop_assert!(a[0] == a[1] || (a[0] < a[1]) == (b[0] > b[1]) || (b[0] - b[1]).abs() < 1e-6);
            }
        }

        #[test]
        fn boosted_rows_still_sum_to_one(
            row in prop::collection::vec(0.01f32..1.0, 4),
            counts in prop::collection::vec(0u64..3000, 4),
            strength in 0.0f64..50.0,
        ) {
            let sum: f32 = row.iter().sum();
            let mut p = Array2::from_shape_fn((1, 4), |(_, c)| row[c] / sum);
            let before = p.clone();
            prior_boost(&mut p, &counts, strength).unwrap();
            prop_assert!((p.sum() - 1.0).abs() < 1e-5);
            let rarest = (0..4).min_by_key(|&c| counts[c]).unwrap();
            prop_assert!(p[[0, rarest]] >= before[[0, rarest]] - 1e-6);
        }
    }
}
