//! What is unequal in a data set: the sizes of its classes, groups of samples on which the model is far
//! worse than on the rest ([`groups`]), and properties of the media that give the label away
//! ([`properties`]).

pub mod groups;
pub mod properties;

use super::error::{DetectError, check_length};

/// A class is rare below this share of an even part, as in cleanlab's Datalab.
pub const RARE_SHARE: f64 = 0.1;
/// Of Cui et al.: the next sample of a class of n brings beta^n of a new one.
const BETA: f64 = 0.999;

/// Where a class stands in the order of sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Third {
    Head,
    Middle,
    Tail,
}

/// Sizes of the classes. (K) each.
#[derive(Clone, Debug, PartialEq)]
pub struct Balance {
    pub counts: Vec<usize>,
    /// Classes with fewer than `RARE_SHARE / K` of the samples, those without any included; rarest first.
    pub rare: Vec<u32>,
    /// Effective number of samples, (1 - beta^n) / (1 - beta), beta = 0.999.
    /// Source: Cui et al., "Class-balanced loss based on effective number of samples", CVPR 2019.
    pub effective: Vec<f64>,
    /// A third of the classes each, by size; classes of one size stand together, in the larger third.
    pub thirds: Vec<Third>,
    /// Share of the samples in head, middle and tail; sums to 1.
    pub third_shares: [f64; 3],
    /// So many even classes would be as varied: exp(entropy), in [1, K].
    pub even_classes: f64,
    /// Largest class / smallest class that has samples.
    pub ratio: f64,
}

/// Sizes of the classes of `labels` (N) in 0..k. O(N + k^2).
///
/// # Errors
/// No samples, fewer than two classes, a label out of range.
pub fn balance(labels: &[u32], k: usize) -> Result<Balance, DetectError> {
    let counts = counts(labels, k)?;
    let n = labels.len() as f64;
    let share = |c: usize| c as f64 / n;
    let limit = RARE_SHARE / k as f64;
    let mut rare: Vec<u32> = (0..k as u32).filter(|&c| share(counts[c as usize]) < limit).collect();
    rare.sort_by_key(|&c| counts[c as usize]);
    let effective = counts.iter().map(|&c| (1.0 - BETA.powf(c as f64)) / (1.0 - BETA)).collect();
    let third = |c: &usize| match 3 * counts.iter().filter(|d| *d > c).count() / k {
        0 => Third::Head,
        1 => Third::Middle,
        _ => Third::Tail,
    };
    let thirds: Vec<Third> = counts.iter().map(third).collect();
    let mut third_shares = [0.0; 3];
    for (t, c) in thirds.iter().zip(&counts) {
        third_shares[*t as usize] += share(*c);
    }
    let entropy: f64 = counts.iter().filter(|c| **c > 0).map(|&c| -share(c) * share(c).ln()).sum();
    let largest = counts.iter().max().copied().unwrap_or(0) as f64;
    let smallest = counts.iter().filter(|c| **c > 0).min().copied().unwrap_or(1) as f64;
    let even_classes = entropy.exp().clamp(1.0, k as f64);
    Ok(Balance { counts, rare, effective, thirds, third_shares, even_classes, ratio: largest / smallest })
}

/// (k) samples of each class.
fn counts(labels: &[u32], k: usize) -> Result<Vec<usize>, DetectError> {
    if labels.is_empty() {
        return Err(DetectError::Empty);
    }
    if k < 2 {
        return Err(DetectError::TooFewClasses { n_classes: k });
    }
    let mut counts = vec![0; k];
    for (row, &label) in labels.iter().enumerate() {
        match counts.get_mut(label as usize) {
            Some(c) => *c += 1,
            None => return Err(DetectError::Label { row, label: label as usize, n_classes: k }),
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        // 60, 30, 1, 9, 0, 0 of 100 in six classes: rare below 1.67
        let labels: Vec<u32> =
            [(0, 60), (1, 30), (2, 1), (3, 9)].iter().flat_map(|&(c, n)| std::iter::repeat_n(c, n)).collect();
        let b = balance(&labels, 6).unwrap();
        assert_eq!(b.counts, [60, 30, 1, 9, 0, 0]);
        assert_eq!(b.rare, [4, 5, 2]);
        use Third::{Head, Middle, Tail};
        assert_eq!(b.thirds, [Head, Head, Middle, Middle, Tail, Tail]);
        assert!((b.third_shares[0] - 0.9).abs() < 1e-9 && b.ratio == 60.0);
        assert!((b.effective[2] - 1.0).abs() < 1e-9 && b.effective[0] < 60.0);
        let even = balance(&[0, 1, 2, 0, 1, 2], 3).unwrap();
        assert!((even.even_classes - 3.0).abs() < 1e-9 && even.rare.is_empty());
        assert!(balance(&[], 3).is_err() && balance(&[3], 3).is_err() && balance(&[0], 1).is_err());
    }

    proptest! {
        #[test]
        fn other_orders_give_the_same(labels in prop::collection::vec(0u32..7, 1..200)) {
            let a = balance(&labels, 7).unwrap();
            let turned: Vec<u32> = labels.iter().rev().map(|c| (c + 1) % 7).collect();
            let b = balance(&turned, 7).unwrap();
            for c in 0..7 {
                prop_assert_eq!(a.thirds[c], b.thirds[(c + 1) % 7]);
                prop_assert_eq!(a.rare.contains(&(c as u32)), b.rare.contains(&((c as u32 + 1) % 7)));
            }
            prop_assert!((a.even_classes - b.even_classes).abs() < 1e-9);
            prop_assert!((a.third_shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            prop_assert!(a.ratio >= 1.0);
        }
    }
}
