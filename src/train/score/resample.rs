//! Intervals of the challenge's score by the bootstrap (Efron 1979, percentile method): samples are drawn
//! anew with replacement, whole groups of near-duplicates at once. Each round has a generator of its own,
//! so the same seed gives the same interval for any number of threads.

use rand::Rng;
use rand_xoshiro::Xoshiro256Plus;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::arrays::rng;
use crate::train::error::{TrainError, check_labels, check_length};
use crate::train::metrics::{Tally, mean_f1};

/// L1 macro, L1 micro, L2 macro, L2 micro, mean.
pub(super) type Parts = [f64; 5];

/// How to resample.
#[derive(Clone, Copy, Debug)]
pub struct Resampling<'a> {
    /// 1,000 give the ends of a 95 % interval to about a twentieth of its width; >= 2.
    pub rounds: usize,
    /// Share of the rounds inside the interval, in (0, 1).
    pub level: f64,
    pub seed: u64,
    /// (N) near-duplicates share a number and are drawn together; None: every sample by itself.
    pub groups: Option<&'a [u32]>,
}

impl Default for Resampling<'_> {
    fn default() -> Self {
        Self { rounds: 1000, level: 0.95, seed: 0, groups: None }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// Of each part of the score and of their mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScoreIntervals {
    pub l1_macro_f1: Interval,
    pub l1_micro_f1: Interval,
    pub l2_macro_f1: Interval,
    pub l2_micro_f1: Interval,
    pub mean_f1: Interval,
    /// Share of the rounds inside, in (0, 1).
    pub level: f64,
}

/// What one model has over another on the same samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Gain {
    /// Of the mean F1, in [-1, 1].
    pub mean_f1: f64,
    pub intervals: ScoreIntervals,
    /// Share of the rounds in which the mean F1 rose.
    pub better: f64,
}

/// Intervals of the score of `predicted` against `truth` (N, classes in 0..K; `class_roots[c]` is the
/// level-1 node of class c). In a round macro F1 is the mean over the classes that the round drew, so with
/// many classes of one or two samples its interval is wide. O(rounds x (N + K)).
///
/// # Errors
/// Lengths, classes out of range, no samples, a rule of [`Resampling`].
pub fn bootstrap(
    truth: &[usize],
    predicted: &[usize],
    class_roots: &[usize],
    how: &Resampling<'_>,
) -> Result<ScoreIntervals, TrainError> {
    check(truth, predicted, class_roots)?;
    let rounds = replicates(truth.len(), how, |_, rows| {
        parts(class_roots, rows.iter().map(|&i| (truth[i as usize], predicted[i as usize])))
    })?;
    Ok(intervals(&rounds, how.level))
}

/// What `after` has over `before`, both (N), against the same `truth`: the rounds draw the same samples for
/// both, so what is hard about the samples cancels out. Cost and errors as [`bootstrap`], twice.
pub fn bootstrap_gain(
    truth: &[usize],
    before: &[usize],
    after: &[usize],
    class_roots: &[usize],
    how: &Resampling<'_>,
) -> Result<Gain, TrainError> {
    check(truth, before, class_roots)?;
    check(truth, after, class_roots)?;
    let gain = |rows: &[u32]| {
        let of = |predicted: &[usize]| {
            parts(class_roots, rows.iter().map(|&i| (truth[i as usize], predicted[i as usize])))
        };
        let (before, after) = (of(before), of(after));
        std::array::from_fn(|part| after[part] - before[part])
    };
    let rounds = replicates(truth.len(), how, |_, rows| gain(rows))?;
    let all: Vec<u32> = (0..truth.len() as u32).collect();
    Ok(Gain {
        mean_f1: gain(&all)[4],
        intervals: intervals(&rounds, how.level),
        better: rounds.iter().filter(|r| r[4] > 0.0).count() as f64 / rounds.len() as f64,
    })
}

pub(super) fn check(truth: &[usize], predicted: &[usize], class_roots: &[usize]) -> Result<(), TrainError> {
    check_length("predictions", truth.len(), predicted.len())?;
    check_labels(truth, class_roots.len())?;
    check_labels(predicted, class_roots.len())
}

pub(super) fn parts(class_roots: &[usize], pairs: impl Iterator<Item = (usize, usize)>) -> Parts {
    let n_roots = class_roots.iter().max().map_or(0, |m| m + 1);
    let (mut nodes, mut classes) = (Tally::new(n_roots), Tally::new(class_roots.len()));
    for (truth, predicted) in pairs {
        nodes.add(class_roots[truth], class_roots[predicted]);
        classes.add(truth, predicted);
    }
    let ((l1_macro, l1_micro), (l2_macro, l2_micro)) = (nodes.f1s(), classes.f1s());
    [l1_macro, l1_micro, l2_macro, l2_micro, mean_f1(l1_macro, l1_micro, l2_macro, l2_micro)]
}

/// What `measure` says of the rows drawn in each round, in the order of the rounds.
pub(super) fn replicates<T: Send>(
    n: usize,
    how: &Resampling<'_>,
    measure: impl Fn(&mut Xoshiro256Plus, &[u32]) -> T + Sync,
) -> Result<Vec<T>, TrainError> {
    let wrong = |name, value, rule| Err(TrainError::Param { name, value, rule });
    if n == 0 {
        return Err(TrainError::Empty);
    }
    if how.rounds < 2 {
        return wrong("rounds", how.rounds as f64, "there must be at least 2");
    }
    if !(how.level > 0.0 && how.level < 1.0) {
        return wrong("level", how.level, "it must lie between 0 and 1");
    }
    let units = units(n, how.groups)?;
    let round = |round: usize| {
        let mut r = rng(how.seed.wrapping_add((round as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        let mut rows = Vec::with_capacity(n);
        for _ in 0..units.len() {
            rows.extend_from_slice(&units[r.gen_range(0..units.len())]);
        }
        measure(&mut r, &rows)
    };
    Ok((0..how.rounds).into_par_iter().map(round).collect())
}

fn units(n: usize, groups: Option<&[u32]>) -> Result<Vec<Vec<u32>>, TrainError> {
    let Some(groups) = groups else {
        return Ok((0..n as u32).map(|i| vec![i]).collect());
    };
    check_length("groups", n, groups.len())?;
    let mut units = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    groups.iter().enumerate().for_each(|(i, &g)| units.entry(g).or_default().push(i as u32));
    Ok(units.into_values().collect())
}

pub(super) fn intervals(rounds: &[Parts], level: f64) -> ScoreIntervals {
    let of = |part: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|r| r[part]).collect();
        values.sort_unstable_by(f64::total_cmp);
        let tail = (1.0 - level) / 2.0;
        Interval { low: quantile(&values, tail), high: quantile(&values, 1.0 - tail) }
    };
    ScoreIntervals {
        l1_macro_f1: of(0),
        l1_micro_f1: of(1),
        l2_macro_f1: of(2),
        l2_micro_f1: of(3),
        mean_f1: of(4),
        level,
    }
}

/// Of ascending `values`, linear between neighbours as NumPy's default.
fn quantile(values: &[f64], q: f64) -> f64 {
    let at = q * (values.len() - 1) as f64;
    let (below, share) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(values.len() - 1);
    values[below] + share * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluate;

    const ROOTS: [usize; 4] = [0, 0, 1, 1];

    /// `n` samples of four classes, right with probability `accuracy`.
    fn simulated(n: usize, accuracy: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut r = rng(seed);
        (0..n)
            .map(|i| {
                let t = i % 4;
                let hit = r.r#gen::<f64>() < accuracy;
                (t, if hit { t } else { (t + r.gen_range(1..4)) % 4 })
            })
            .unzip()
    }

    #[test]
    fn quantiles_are_numpys() {
        let v = [0.1, 0.2, 0.4, 0.5, 0.9];
        assert!((quantile(&v, 0.025) - 0.11).abs() < 1e-12 && (quantile(&v, 0.975) - 0.86).abs() < 1e-12);
        assert_eq!((quantile(&v, 0.0), quantile(&v, 1.0), quantile(&[3.0], 0.3)), (0.1, 0.9, 3.0));
    }

    #[test]
    fn as_wide_as_the_binomial_says() {
        let (t, p) = simulated(1000, 0.8, 1);
        let s = bootstrap(&t, &p, &ROOTS, &Resampling { rounds: 2000, ..Resampling::default() }).unwrap();
        let accuracy = evaluate(&t, &p, &ROOTS, 4).l2_micro_f1;
        let half = 1.96 * (accuracy * (1.0 - accuracy) / 1000.0).sqrt();
        let i = s.l2_micro_f1;
        assert!((i.high - i.low - 2.0 * half).abs() < 0.1 * 2.0 * half, "{i:?} {half}");
        assert!((f64::midpoint(i.low, i.high) - accuracy).abs() < 0.1 * half, "{i:?}");
        assert!(s.mean_f1.low < s.mean_f1.high);
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_it_says() {
        let how = Resampling { rounds: 300, ..Resampling::default() };
        let covered = (0..200)
            .filter(|&run| {
                let (t, p) = simulated(400, 0.7, 1000 + run);
                let i = bootstrap(&t, &p, &ROOTS, &how).unwrap().l2_micro_f1;
                i.low <= 0.7 && 0.7 <= i.high
            })
            .count();
        // 190 expected, standard deviation 3.1
        assert!((178..=200).contains(&covered), "{covered} of 200");
    }

    #[test]
    fn threads_and_runs_do_not_change_a_bit() {
        let (t, p) = simulated(300, 0.6, 5);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| bootstrap(&t, &p, &ROOTS, &Resampling::default()).unwrap())
        };
        assert_eq!(with(1), with(3));
        let other = bootstrap(&t, &p, &ROOTS, &Resampling { seed: 1, ..Resampling::default() }).unwrap();
        assert_ne!(with(1), other);
    }

    #[test]
    fn copies_do_not_make_it_surer() {
        let (t, p) = simulated(100, 0.7, 6);
        let copied = |v: &[usize]| v.iter().flat_map(|&c| [c; 9]).collect::<Vec<_>>();
        let groups: Vec<u32> = (0..900).map(|i| i / 9).collect();
        let how = Resampling { groups: Some(&groups), ..Resampling::default() };
        let grouped = bootstrap(&copied(&t), &copied(&p), &ROOTS, &how).unwrap();
        let single = bootstrap(&t, &p, &ROOTS, &Resampling::default()).unwrap();
        assert_eq!(grouped, single);
    }

    #[test]
    fn a_gain_on_the_same_samples_is_seen_though_each_score_is_unsure() {
        let (t, before) = simulated(500, 0.6, 7);
        let mut after = before.clone();
        (0..500).filter(|&i| before[i] != t[i]).step_by(12).for_each(|i| after[i] = t[i]);
        let g = bootstrap_gain(&t, &before, &after, &ROOTS, &Resampling::default()).unwrap();
        let want = evaluate(&t, &after, &ROOTS, 4).mean_f1 - evaluate(&t, &before, &ROOTS, 4).mean_f1;
        assert!((g.mean_f1 - want).abs() < 1e-12 && want > 0.0);
        assert!(g.intervals.l2_micro_f1.low > 0.0 && g.better > 0.99, "{g:?}");
        let none = bootstrap_gain(&t, &before, &before, &ROOTS, &Resampling::default()).unwrap();
        assert_eq!((none.mean_f1, none.intervals.mean_f1, none.better), (0.0, Interval::default(), 0.0));
    }

    #[test]
    fn mistakes_are_named() {
        let how = Resampling::default();
        assert_eq!(bootstrap(&[], &[], &ROOTS, &how).unwrap_err(), TrainError::Empty);
        assert!(bootstrap(&[0], &[], &ROOTS, &how).is_err() && bootstrap(&[4], &[0], &ROOTS, &how).is_err());
        for how in [
            Resampling { rounds: 1, ..how },
            Resampling { level: 1.0, ..how },
            Resampling { groups: Some(&[]), ..how },
        ] {
            assert!(bootstrap(&[0], &[0], &ROOTS, &how).is_err());
        }
    }
}
