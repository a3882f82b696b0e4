//! A random audit and the sources of the count, brought together. An audit is unbiased but small; the
//! sources see every sample but may all be off. So the sources are worth a few audited labels, by the
//! width of their interval and never many, and the audit what it counts: it wins as it grows.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::count::ErrorCount;
use crate::detect::error::DetectError;
use crate::detect::value::{wilson, wilson_of_share};

/// The sources together are never worth more audited labels than this.
const MOST_TRUST: f64 = 100.0;
/// Standard deviations in a half of an interval.
const Z: f64 = 1.96;

/// What people found among labels drawn at random, and what that alone says of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Audited {
    pub wrong: usize,
    pub audited: usize,
    /// Wrong labels of the whole set by the audit alone: estimate and 95 % interval (Wilson's).
    pub estimate: f64,
    pub low: f64,
    pub high: f64,
}

impl ErrorCount {
    /// The count once `wrong` of `audited` labels, drawn at random from the `n` of the set, were found wrong.
    ///
    /// The sources stand for a Beta distribution of the share of wrong labels with their estimate as its mean
    /// and their interval as four of its standard deviations, worth at most 100 labels, and nothing when the
    /// evidence is not informative. The audit updates it; what was not audited is wrong at the mean of the
    /// result, with Wilson's interval for as many labels as both are worth, and of what was audited exactly
    /// `wrong` are. With everything audited the count is `wrong`. Without any audit nothing changes.
    ///
    /// # Errors
    /// More wrong than audited, more audited than `n`.
    pub fn with_audit(self, wrong: usize, audited: usize, n: usize) -> Result<Self, DetectError> {
        for (name, value, most) in
            [("wrong labels of an audit", wrong, audited), ("audited labels", audited, n)]
        {
            if value > most {
                let rule = "a part cannot be larger than the whole";
                return Err(DetectError::Param { name, value: value as f64, rule });
            }
        }
        if audited == 0 {
            return Ok(self);
        }
        let all = n as f64;
        let (share, worth) = self.prior(all);
        let (wrong_f, audited_f) = (wrong as f64, audited as f64);
        let rest = all - audited_f;
        let after = (share * worth + wrong_f) / (worth + audited_f);
        let (low, high) = wilson_of_share(after, worth + audited_f, Z);
        let whole = |share: f64| ((wrong_f + rest * share).round() as usize).clamp(wrong, n);
        let alone = wilson(wrong, audited, Z);
        Ok(Self {
            informative: true,
            estimate: whole(after),
            low: whole(low),
            high: whole(high),
            audit: Some(Audited {
                wrong,
                audited,
                estimate: wrong_f / audited_f * all,
                low: alone.0 * all,
                high: alone.1 * all,
            }),
            ..self
        })
    }

    /// Mean of the share of wrong labels by the sources, and how many audited labels they are worth.
    fn prior(&self, n: f64) -> (f64, f64) {
        let share = (self.estimate as f64 + 0.5) / (n + 1.0);
        if !self.informative {
            return (share, 0.0);
        }
        let deviation = (self.high.saturating_sub(self.low) as f64 / (2.0 * Z * n)).max(0.5 / n);
        let worth = share * (1.0 - share) / deviation.powi(2) - 1.0;
        (share, worth.clamp(0.0, MOST_TRUST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sources() -> ErrorCount {
        ErrorCount { estimate: 200, low: 100, high: 300, informative: true, ..ErrorCount::default() }
    }

    #[test]
    fn by_hand() {
        // share 200.5 / 1001 = 0.2003, deviation 200 / 3920 = 0.0510: worth 0.2003 x 0.7997 / 0.0026031 - 1 = 60.53
        let after = sources().with_audit(4, 80, 1000).unwrap();
        // (0.2003 x 60.53 + 4) / 140.53 = 0.11474; 4 + 920 x 0.11474 = 109.6
        assert_eq!(after.estimate, 110);
        // Wilson of 0.11474 with 140.53: (0.11474 + 0.01367 +- 1.96 sqrt(0.10157 / 140.53 + 0.00004863)) / 1.02734
        // = 0.12499 +- 0.05297
        assert_eq!((after.low, after.high), (70, 168));
        let audit = after.audit.unwrap();
        assert_eq!((audit.wrong, audit.audited, audit.estimate), (4, 80, 50.0));
        // Wilson of 4 of 80: 0.0196 to 0.1216
        assert!((audit.low - 19.6).abs() < 0.1 && (audit.high - 121.6).abs() < 0.1, "{audit:?}");
        assert_eq!(sources().with_audit(0, 0, 1000).unwrap(), sources());
        assert!(sources().with_audit(3, 2, 1000).is_err() && sources().with_audit(3, 2000, 1000).is_err());
    }

    #[test]
    fn the_audit_wins_as_it_grows() {
        // the sources say 200 of 1000, the truth is one in twenty
        let at = |audited: usize| sources().with_audit(audited / 20, audited, 1000).unwrap();
        let estimates: Vec<usize> = [20, 100, 400, 1000].map(|m| at(m).estimate).to_vec();
        assert!(estimates.windows(2).all(|w| w[1] < w[0]), "{estimates:?}");
        assert_eq!((at(1000).estimate, at(1000).low, at(1000).high), (50, 50, 50));
        assert!((45..70).contains(&at(400).estimate), "{estimates:?}");
        // evidence that says nothing is worth nothing
        let blind = ErrorCount { high: 500, ..ErrorCount::default() };
        let after = blind.with_audit(10, 100, 1000).unwrap();
        assert!(after.informative && after.estimate == 100, "{after:?}");
    }

    proptest! {
        #[test]
        fn in_order_and_in_range(
            estimate in 0usize..=500, spread in 0usize..400, audited in 1usize..=500, share in 0.0f64..=1.0,
            informative: bool,
        ) {
            let wrong = (audited as f64 * share) as usize;
            let low = estimate.saturating_sub(spread);
            let high = (estimate + spread).min(500);
            let before = ErrorCount { estimate, low, high, informative, ..ErrorCount::default() };
            let after = before.with_audit(wrong, audited, 500).unwrap();
            prop_assert!(wrong <= after.low && after.low <= after.estimate);
            prop_assert!(after.estimate <= after.high && after.high <= 500 - (audited - wrong));
            // between what either says
            let parts = [estimate as f64, after.audit.unwrap().estimate];
            let (least, most) = (parts[0].min(parts[1]), parts[0].max(parts[1]));
            let found = after.estimate as f64;
            prop_assert!(found >= least - 1.0 && found <= most + 1.0, "{} {:?}", found, parts);
        }
    }
}
