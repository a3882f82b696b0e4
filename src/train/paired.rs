//! What one model has over another on the same samples: the difference of their scores, with an interval
//! from drawing the samples anew.

use rand::Rng;

use super::metrics::evaluate;
use crate::arrays::rng;

/// Difference of mean F1, `after` - `before`, in [-1, 1].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedGain {
    /// Mean F1 of `before`, in [0, 1].
    pub before: f64,
    pub gain: f64,
    /// 95 % interval.
    pub low: f64,
    pub high: f64,
}

/// `truth`, `before` and `after` are classes of the same samples; `class_roots` as for [`evaluate`]. The
/// interval is that of the percentile bootstrap: `resamples` times as many samples as there are, drawn with
/// replacement, both models on the same ones. O(resamples x (n + K)).
///
/// # Panics
/// When lengths differ or a class is out of range.
pub fn paired_gain(
    truth: &[usize],
    before: &[usize],
    after: &[usize],
    class_roots: &[usize],
    resamples: usize,
    seed: u64,
) -> PairedGain {
    assert!(truth.len() == before.len() && truth.len() == after.len(), "the same samples");
    let k = class_roots.len();
    let mean = |truth: &[usize], p: &[usize]| evaluate(truth, p, class_roots, k).mean_f1;
    let start = mean(truth, before);
    let gain = mean(truth, after) - start;
    let n = truth.len();
    if n == 0 || resamples == 0 {
        return PairedGain { before: start, gain, low: -1.0, high: 1.0 };
    }
    let mut r = rng(seed);
    let (mut t, mut b, mut a) = (vec![0; n], vec![0; n], vec![0; n]);
    let mut gains: Vec<f64> = (0..resamples)
        .map(|_| {
            for i in 0..n {
                let drawn = r.gen_range(0..n);
                (t[i], b[i], a[i]) = (truth[drawn], before[drawn], after[drawn]);
            }
            mean(&t, &a) - mean(&t, &b)
        })
        .collect();
    gains.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| gains[((resamples - 1) as f64 * share).round() as usize];
    PairedGain { before: start, gain, low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alike_models_have_nothing_over_each_other_and_all_over_none_is_one() {
        let truth = [0, 1, 2, 3, 0, 1, 2, 3];
        let other = [1, 0, 3, 2, 1, 0, 3, 2];
        let roots = [0, 1, 2, 3];
        let same = paired_gain(&truth, &other, &other, &roots, 50, 1);
        assert_eq!(same, PairedGain { before: 0.0, gain: 0.0, low: 0.0, high: 0.0 });
        let all = paired_gain(&truth, &other, &truth, &roots, 50, 1);
        assert_eq!(all, PairedGain { before: 0.0, gain: 1.0, low: 1.0, high: 1.0 });
    }

    #[test]
    fn the_interval_is_as_wide_as_the_theory_says() {
        // One class in truth and roots: mean F1 is then made of accuracy alone at level 1 (always right) and
        // of level 2. Two classes under one root, 400 samples; `after` is right in 300, `before` in 200, on
        // disjoint and joint parts. Level-2 micro F1 differs by 0.25, with a standard error of
        // sqrt((p10 + p01 - (p10 - p01)^2) / n) = sqrt((0.25 - 0.0625) / 400) = 0.02165 (p01 = 0).
        let n = 400;
        let truth: Vec<usize> = (0..n).map(|i| i % 2).collect();
        let wrong_from = |right: usize| -> Vec<usize> {
            (0..n).map(|i| if i < right { i % 2 } else { 1 - i % 2 }).collect()
        };
        let g = paired_gain(&truth, &wrong_from(200), &wrong_from(300), &[0, 0], 400, 3);
        // macro F1 equals micro here up to the balance of classes: mean = (1 + 1 + micro + macro) / 4
        assert!((g.gain - 0.125).abs() < 1e-12 && (g.before - 0.75).abs() < 1e-12, "{g:?}");
        let half = 1.96 * 0.021_65 / 2.0;
        assert!((g.high - g.low - 2.0 * half).abs() < 0.3 * half, "{g:?} against +-{half}");
        assert!(g.low < 0.125 && 0.125 < g.high);
        assert_eq!(g, paired_gain(&truth, &wrong_from(200), &wrong_from(300), &[0, 0], 400, 3));
    }
}
