//! How many wrong labels are left, from labels that were checked at random.

use super::DetectError;

/// Part of the data set from which labels were checked at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stratum {
    /// Labels not checked.
    pub remaining: usize,
    /// Labels checked, and those of them found wrong.
    pub audited: usize,
    pub wrong: usize,
}

/// Wrong labels among those not checked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Left {
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

/// Sums the strata's shares of wrong labels over what remains in each. The interval (`z` standard
/// deviations: 1.96 for 95 %) adds the distances of each stratum's Wilson bounds in squares (MOVER; Zou,
/// Donner, Statistics in Medicine 2008); with one stratum it is Wilson's own. A stratum nobody has looked
/// into adds nothing to `low` and all of itself to `high`; its estimate is the half. O(strata).
///
/// # Errors
/// More wrong than audited labels; `z` negative or not finite.
pub fn labels_left(strata: &[Stratum], z: f64) -> Result<Left, DetectError> {
    if !(z >= 0.0 && z.is_finite()) {
        return Err(DetectError::Param { name: "z", value: z, rule: "it must be 0 or greater" });
    }
    let (mut estimate, mut below, mut above) = (0.0, 0.0f64, 0.0f64);
    let (mut unknown, mut all) = (0.0, 0.0);
    for s in strata {
        if s.wrong > s.audited {
            let rule = "there cannot be more than were audited";
            return Err(DetectError::Param { name: "wrong labels", value: s.wrong as f64, rule });
        }
        let n = s.remaining as f64;
        all += n;
        if s.audited == 0 {
            unknown += n;
            continue;
        }
        let share = s.wrong as f64 / s.audited as f64;
        let (low, high) = wilson(s.wrong, s.audited, z);
        estimate += n * share;
        below += (n * (share - low)).powi(2);
        above += (n * (high - share)).powi(2);
    }
    let low = (estimate - below.sqrt()).max(0.0);
    let high = (estimate + above.sqrt() + unknown).min(all);
    Ok(Left { estimate: estimate + unknown / 2.0, low, high: high.max(low) })
}

/// Wilson's interval of a share, `hits` of `n`, in [0, 1]; all of it for n = 0.
/// Source: Wilson, JASA 1927.
pub fn wilson(hits: usize, n: usize, z: f64) -> (f64, f64) {
    if n == 0 {
        return (0.0, 1.0);
    }
    wilson_of_share(hits as f64 / n as f64, n as f64, z)
}

/// The same of a share in [0, 1] that is worth `n` > 0 samples, whole or not.
pub(crate) fn wilson_of_share(share: f64, n: f64, z: f64) -> (f64, f64) {
    let scale = 1.0 + z * z / n;
    let middle = (share + z * z / (2.0 * n)) / scale;
    let half = z / scale * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).max(0.0).sqrt();
    // rounding must not leave the share outside
    ((middle - half).clamp(0.0, share.min(1.0)), (middle + half).clamp(share.min(1.0), 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::rng;
    use proptest::prelude::*;
    use rand::Rng;

    #[test]
    fn wilson_as_in_the_tables() {
        // R: binom::binom.wilson(8, 100) = 0.0411, 0.1500; (0, 20) = 0, 0.1611
        let (low, high) = wilson(8, 100, 1.959_964);
        assert!((low - 0.0411).abs() < 1e-4 && (high - 0.1500).abs() < 1e-4, "{low} {high}");
        let (low, high) = wilson(0, 20, 1.959_964);
        assert!(low == 0.0 && (high - 0.1611).abs() < 1e-4);
        assert_eq!(wilson(0, 0, 1.96), (0.0, 1.0));
    }

    #[test]
    fn strata_add_up() {
        let s = |remaining, audited, wrong| Stratum { remaining, audited, wrong };
        let one = labels_left(&[s(1000, 100, 8)], 1.959_964).unwrap();
        assert!(
            (one.estimate - 80.0).abs() < 1e-9
                && (one.low - 41.1).abs() < 0.1
                && (one.high - 150.0).abs() < 0.1
        );
        let two = labels_left(&[s(1000, 100, 8), s(1000, 100, 8)], 1.959_964).unwrap();
        assert!((two.estimate - 160.0).abs() < 1e-9 && two.high - two.low < 2.0 * (one.high - one.low));
        let blind = labels_left(&[s(1000, 100, 8), s(50, 0, 0)], 1.959_964).unwrap();
        assert!((blind.high - one.high - 50.0).abs() < 1e-9 && (blind.low - one.low).abs() < 1e-9);
        assert_eq!(labels_left(&[], 1.96).unwrap(), Left { estimate: 0.0, low: 0.0, high: 0.0 });
        assert!(labels_left(&[s(1, 1, 2)], 1.96).is_err() && labels_left(&[], f64::NAN).is_err());
    }

    /// The truth lies within in about 95 of 100 data sets.
    #[test]
    fn the_interval_covers() {
        let mut r = rng(4);
        let trials = 600;
        let covered = (0..trials).filter(|_| {
            let mut truth = 0;
            let strata: Vec<Stratum> = [(2000, 60, 0.3), (6000, 80, 0.05)]
                .iter()
                .map(|&(n, audited, share)| {
                    let wrong: Vec<bool> = (0..n).map(|_| r.r#gen::<f64>() < share).collect();
                    truth += wrong[audited..].iter().filter(|w| **w).count();
                    let found = wrong[..audited].iter().filter(|w| **w).count();
                    Stratum { remaining: n - audited, audited, wrong: found }
                })
                .collect();
            let left = labels_left(&strata, 1.96).unwrap();
            (left.low..=left.high).contains(&(truth as f64))
        });
        let share = covered.count() as f64 / f64::from(trials);
        assert!((0.92..=0.99).contains(&share), "{share}");
    }

    proptest! {
        #[test]
        fn bounds_hold(strata in prop::collection::vec((0usize..1000, 0usize..50, 0usize..50), 0..5), z in 0.0f64..4.0) {
            let strata: Vec<Stratum> = strata.iter()
                .map(|&(remaining, audited, wrong)| Stratum { remaining, audited, wrong: wrong.min(audited) })
                .collect();
            let left = labels_left(&strata, z).unwrap();
            let all: usize = strata.iter().map(|s| s.remaining).sum();
            prop_assert!(0.0 <= left.low && left.low <= left.estimate + 1e-9);
            prop_assert!(left.estimate <= left.high + 1e-9 && left.high <= all as f64 + 1e-9);
        }
    }
}
