//! Two Gaussians in one dimension: to which of two groups, the low or the high one, each value belongs.
//! The result depends on the set of values, not on their order.
//!
//! Source: Dempster, Laird and Rubin, "Maximum likelihood from incomplete data via the EM algorithm",
//! J. R. Stat. Soc. B 39, 1977.

/// Quantiles at which the two means start; the likeliest result counts.
const STARTS: [(f64, f64); 3] = [(0.1, 0.75), (0.02, 0.6), (0.3, 0.9)];
const STEPS: usize = 200;
/// Gain of the mean log-likelihood that ends the search.
const TOLERANCE: f64 = 1e-8;
/// No component is narrower than this part of the whole variance: equal values must not become one.
const NARROWEST: f64 = 1e-4;
/// More values are thinned to so many of their quantiles.
const MOST_VALUES: usize = 4096;
/// Fewer values are no mixture.
const FEWEST: usize = 8;

/// w_0 N(m_0, v_0) + w_1 N(m_1, v_1), m_0 <= m_1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mixture {
    pub weight: [f64; 2],
    pub mean: [f64; 2],
    pub variance: [f64; 2],
}

impl Mixture {
    /// The likeliest mixture of `values` (n) by expectation maximisation from three fixed starts. None of
    /// fewer than 8 values, of equal ones, and where one is not finite. O(n log n).
    pub fn fit(values: &[f32]) -> Option<Self> {
        if values.len() < FEWEST || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let mut sorted: Vec<f64> = values.iter().map(|v| f64::from(*v)).collect();
        sorted.sort_by(f64::total_cmp);
        if sorted.len() > MOST_VALUES {
            let n = sorted.len();
            sorted = (0..MOST_VALUES).map(|q| sorted[(2 * q + 1) * n / (2 * MOST_VALUES)]).collect();
        }
        let n = sorted.len() as f64;
        let mean = sorted.iter().sum::<f64>() / n;
        let spread = sorted.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        if spread <= 1e-12 {
            return None;
        }
        let at = |q: f64| sorted[(q * (n - 1.0)).round() as usize];
        let fits = STARTS.iter().map(|&(low, high)| {
            let start = Self { weight: [0.3, 0.7], mean: [at(low), at(high)], variance: [spread / 4.0; 2] };
            start.climb(&sorted, NARROWEST * spread)
        });
        let best = fits.fold(None, |best: Option<(f64, Self)>, fit| match best {
            Some(b) if b.0 >= fit.0 => Some(b),
            _ => Some(fit),
        });
        best.map(|(_, mut m)| {
            if m.mean[0] > m.mean[1] {
                m.weight.reverse();
                m.mean.reverse();
                m.variance.reverse();
            }
            m
        })
    }

    /// Expectation maximisation; the mean log-likelihood and the mixture it led to.
    fn climb(mut self, values: &[f64], narrowest: f64) -> (f64, Self) {
        let n = values.len() as f64;
        let mut reached = f64::NEG_INFINITY;
        for _ in 0..STEPS {
            // weights, sums and squares of the deviations from the old means
            let (mut w, mut d, mut dd) = ([0f64; 2], [0f64; 2], [0f64; 2]);
            let mut likelihood = 0.0;
            for &v in values {
                let (low, total) = self.low_and_density(v);
                likelihood += total;
                for (c, r) in [low, 1.0 - low].into_iter().enumerate() {
                    let far = v - self.mean[c];
                    w[c] += r;
                    d[c] += r * far;
                    dd[c] += r * far * far;
                }
            }
            likelihood /= n;
            let gain = likelihood - reached;
            reached = likelihood;
            if gain < TOLERANCE {
                break;
            }
            for c in 0..2 {
                let many = w[c].max(1e-9);
                let shift = d[c] / many;
                self.mean[c] += shift;
                self.variance[c] = (dd[c] / many - shift * shift).max(narrowest);
                self.weight[c] = (w[c] / n).clamp(1e-9, 1.0);
            }
        }
        (reached, self)
    }

    /// P(first component | v) and the log of the density at v, without overflow.
    fn low_and_density(&self, v: f64) -> (f64, f64) {
        let log = |c: usize| {
            let far = (v - self.mean[c]).powi(2) / self.variance[c];
            self.weight[c].ln() - 0.5 * (far + self.variance[c].ln() + std::f64::consts::TAU.ln())
        };
        let (a, b) = (log(0), log(1));
        let most = a.max(b);
        let sum = (a - most).exp() + (b - most).exp();
        ((a - most).exp() / sum, most + sum.ln())
    }

    /// P(value belongs to the low component), in [0, 1]. Below the lower mean as at that mean, above the
    /// higher one as there: the tails of the wider component do not claim what lies beyond the other.
    pub fn low(&self, value: f32) -> f32 {
        self.low_and_density(f64::from(value).clamp(self.mean[0], self.mean[1])).0 as f32
    }

    /// Mean log-density of `values`.
    pub fn log_likelihood(&self, values: &[f32]) -> f64 {
        let sum: f64 = values.iter().map(|v| self.low_and_density(f64::from(*v)).1).sum();
        sum / values.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::golden_detectors::Golden;
    use proptest::prelude::*;

    #[test]
    fn as_scikit_learn() {
        let golden = Golden::read().mixture;
        let fit = Mixture::fit(&golden.values).unwrap();
        for c in 0..2 {
            assert!((fit.weight[c] - golden.weight[c]).abs() < 2e-3, "{fit:?}");
            assert!((fit.mean[c] - golden.mean[c]).abs() < 2e-3, "{fit:?}");
            assert!((fit.variance[c] / golden.variance[c] - 1.0).abs() < 5e-3, "{fit:?}");
        }
        assert!(fit.low(-50.0) > 0.99 && fit.low(50.0) < 0.5);
    }

    #[test]
    fn nothing_to_part() {
        assert_eq!(Mixture::fit(&[0.3; 100]), None);
        assert_eq!(Mixture::fit(&[0.1, 0.9, 0.2]), None);
        assert_eq!(Mixture::fit(&[f32::NAN; 10]), None);
        // two values only: each is a component, none of width 0
        let two: Vec<f32> = (0..40).map(|i| if i < 10 { -1.0 } else { 1.0 }).collect();
        let fit = Mixture::fit(&two).unwrap();
        assert!((fit.weight[0] - 0.25).abs() < 1e-6 && fit.variance[0] > 0.0, "{fit:?}");
        assert!(fit.low(-1.0) > 0.999 && fit.low(1.0) < 0.001);
    }

    proptest! {
        #[test]
        fn any_values_in_any_order(mut values in prop::collection::vec(-5f32..5.0, 8..60), turn in 1usize..7) {
            let Some(fit) = Mixture::fit(&values) else { return Ok(()) };
            prop_assert!(fit.mean[0] <= fit.mean[1]);
            prop_assert!((fit.weight[0] + fit.weight[1] - 1.0).abs() < 1e-6);
            prop_assert!(values.iter().all(|v| (0.0..=1.0).contains(&fit.low(*v))));
            values.rotate_left(turn);
            prop_assert_eq!(Mixture::fit(&values), Some(fit));
        }
    }
}
