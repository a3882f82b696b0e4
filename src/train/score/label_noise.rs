//! Intervals of a score that was taken on labels nobody has verified: wider by what the labels' own mistakes
//! may hide.
//!
//! Each round of the bootstrap reads the labels twice. *Against the model*: a label is as likely wrong where
//! the model agrees with it as elsewhere, and the truth is what the noise matrix says of that label. *For the
//! model*: the wrong labels are, as far as they reach, among those that the model contradicts, and there it
//! is right. The interval spans both. One thing no estimate of noise can see: a model that has learnt the
//! annotators' own mistakes may lie below it; only verified labels show that.

use rand::Rng;
use rand_xoshiro::Xoshiro256Plus;

use super::resample::{Interval, Parts, Resampling, ScoreIntervals, check, intervals, parts, replicates};
use crate::train::error::{TrainError, check_length};

/// Rounds of the estimate of how many samples truly belong to each class.
const PRIOR_ROUNDS: usize = 200;

/// What is known of the labels' mistakes.
#[derive(Clone, Copy, Debug)]
pub enum LabelNoise<'a> {
    /// Share of wrong labels, in [0, 1); the truth of a wrong one is drawn from the other labels.
    Rate(f64),
    /// (K, K) \[given\]\[true\]: P(given | true), columns summing to 1 or to 0, as in the noise report.
    Matrix(&'a [Vec<f32>]),
}

/// As [`super::bootstrap`], of the score that `predicted` would have against the truth behind `labels` (N).
/// O(rounds x N x (log K) + K^2 x 200).
///
/// # Errors
/// As [`super::bootstrap`]; a rate outside [0, 1), a matrix of another size or with entries outside [0, 1].
pub fn bootstrap_with_noise(
    labels: &[usize],
    predicted: &[usize],
    class_roots: &[usize],
    noise: LabelNoise<'_>,
    how: &Resampling<'_>,
) -> Result<ScoreIntervals, TrainError> {
    check(labels, predicted, class_roots)?;
    let truths = Truths::of(labels, predicted, class_roots.len(), noise)?;
    let rounds: Vec<(Parts, Parts)> = replicates(labels.len(), how, |r, rows| {
        let mut read = |truth: &dyn Fn(&mut Xoshiro256Plus, usize, usize) -> usize| {
            parts(
                class_roots,
                rows.iter().map(|&i| {
                    let (label, predicted) = (labels[i as usize], predicted[i as usize]);
                    (truth(r, label, predicted), predicted)
                }),
            )
        };
        let against = read(&|r, label, _| truths.against(r, label));
        (against, read(&|r, label, predicted| truths.for_model(r, label, predicted)))
    })?;
    let against = intervals(&rounds.iter().map(|r| r.0).collect::<Vec<_>>(), how.level);
    let for_model = intervals(&rounds.iter().map(|r| r.1).collect::<Vec<_>>(), how.level);
    let span = |a: Interval, b: Interval| Interval { low: a.low.min(b.low), high: a.high.max(b.high) };
    Ok(ScoreIntervals {
        l1_macro_f1: span(against.l1_macro_f1, for_model.l1_macro_f1),
        l1_micro_f1: span(against.l1_micro_f1, for_model.l1_micro_f1),
        l2_macro_f1: span(against.l2_macro_f1, for_model.l2_macro_f1),
        l2_micro_f1: span(against.l2_micro_f1, for_model.l2_micro_f1),
        mean_f1: span(against.mean_f1, for_model.mean_f1),
        level: how.level,
    })
}

/// How to draw a truth behind a label.
struct Truths {
    /// (K, K) running sums over the true classes of P(true | given); one row a label.
    sums: Vec<Vec<f64>>,
    /// (K) chance that a label which the model contradicts is wrong, were all wrong ones among these.
    contradicted_wrong: Vec<f64>,
}

impl Truths {
    fn of(
        labels: &[usize],
        predicted: &[usize],
        k: usize,
        noise: LabelNoise<'_>,
    ) -> Result<Self, TrainError> {
        let mut share = vec![0f64; k];
        let mut contradicted = vec![0f64; k];
        for (&label, &predicted) in labels.iter().zip(predicted) {
            share[label] += 1.0 / labels.len() as f64;
            contradicted[label] += f64::from(u8::from(label != predicted)) / labels.len() as f64;
        }
        let posterior = match noise {
            LabelNoise::Rate(rate) => of_rate(rate, &share)?,
            LabelNoise::Matrix(matrix) => of_matrix(matrix, &share)?,
        };
        let contradicted_wrong = (0..k)
            .map(|c| {
                let wrong = (1.0 - posterior[c][c]) * share[c];
                if contradicted[c] > 0.0 { (wrong / contradicted[c]).min(1.0) } else { 0.0 }
            })
            .collect();
        let sums = posterior
            .into_iter()
            .map(|row| {
                let mut sum = 0.0;
                row.into_iter()
                    .map(|p| {
                        sum += p;
                        sum
                    })
                    .collect()
            })
            .collect();
        Ok(Self { sums, contradicted_wrong })
    }

    fn against(&self, r: &mut Xoshiro256Plus, label: usize) -> usize {
        let row = &self.sums[label];
        let total = row.last().copied().unwrap_or(0.0);
        let at = r.r#gen::<f64>() * total;
        row.partition_point(|&sum| sum <= at).min(row.len() - 1)
    }

    fn for_model(&self, r: &mut Xoshiro256Plus, label: usize, predicted: usize) -> usize {
        let wrong = r.r#gen::<f64>() < self.contradicted_wrong[label];
        if wrong { predicted } else { label }
    }
}

/// (K, K) \[given\]\[true\]: P(true | given).
fn of_rate(rate: f64, share: &[f64]) -> Result<Vec<Vec<f64>>, TrainError> {
    if !(0.0..1.0).contains(&rate) {
        return Err(TrainError::Param { name: "error rate", value: rate, rule: "it must lie in [0, 1)" });
    }
    let k = share.len();
    let row = |given: usize| {
        let others = 1.0 - share[given];
        let of = |c: usize| match (c == given, others > 0.0) {
            (true, true) => 1.0 - rate,
            (true, false) => 1.0,
            (false, true) => rate * share[c] / others,
            (false, false) => 0.0,
        };
        (0..k).map(of).collect()
    };
    Ok((0..k).map(row).collect())
}

/// Bayes' rule, with the shares of the true classes that explain the given ones best (expectation
/// maximisation from the given shares).
fn of_matrix(matrix: &[Vec<f32>], share: &[f64]) -> Result<Vec<Vec<f64>>, TrainError> {
    let k = share.len();
    check_length("noise matrix", k, matrix.len())?;
    for row in matrix {
        check_length("a row of the noise matrix", k, row.len())?;
        if let Some(&bad) = row.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            let rule = "its entries must lie in [0, 1]";
            return Err(TrainError::Param { name: "noise matrix", value: bad.into(), rule });
        }
    }
    let posterior = |prior: &[f64]| -> Vec<Vec<f64>> {
        let row = |given: usize| {
            let mut row: Vec<f64> = (0..k).map(|c| f64::from(matrix[given][c]) * prior[c]).collect();
            let sum: f64 = row.iter().sum();
            if sum > 0.0 {
                row.iter_mut().for_each(|v| *v /= sum);
            } else {
                // a label that the matrix knows nothing of is taken as it is
                row.iter_mut().enumerate().for_each(|(c, v)| *v = f64::from(u8::from(c == given)));
            }
            row
        };
        (0..k).map(row).collect()
    };
    let mut prior = share.to_vec();
    for _ in 0..PRIOR_ROUNDS {
        let p = posterior(&prior);
        prior = (0..k).map(|c| (0..k).map(|given| share[given] * p[given][c]).sum()).collect();
    }
    Ok(posterior(&prior))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::rng;
    use crate::train::score::bootstrap;

    const ROOTS: [usize; 4] = [0, 0, 1, 1];

    /// Truth, predictions right with probability 0.8, and labels wrong with probability `rate` whatever the
    /// model says.
    fn simulated(n: usize, rate: f64, seed: u64) -> (Vec<usize>, Vec<usize>) {
        let mut r = rng(seed);
        let mut spoilt = |t: usize, wrong: f64| {
            if r.r#gen::<f64>() < wrong { (t + r.gen_range(1..4)) % 4 } else { t }
        };
        (0..n).map(|i| (spoilt(i % 4, rate), spoilt(i % 4, 0.2))).unzip()
    }

    fn matrix(rate: f32) -> Vec<Vec<f32>> {
        let of = |i, j| if i == j { 1.0 - rate } else { rate / 3.0 };
        (0..4).map(|i| (0..4).map(|j| of(i, j)).collect()).collect()
    }

    #[test]
    fn covers_the_true_accuracy_where_the_plain_interval_misses_it() {
        let how = Resampling { rounds: 200, ..Resampling::default() };
        let (m, mut plain, mut by_rate, mut by_matrix) = (matrix(0.2), 0, 0, 0);
        let runs = 60;
        for run in 0..runs {
            let (labels, predicted) = simulated(1000, 0.2, run);
            let covers = |s: ScoreIntervals| {
                let i = s.l2_micro_f1;
                usize::from(i.low <= 0.8 && 0.8 <= i.high)
            };
            let noisy = |noise| bootstrap_with_noise(&labels, &predicted, &ROOTS, noise, &how).unwrap();
            plain += covers(bootstrap(&labels, &predicted, &ROOTS, &how).unwrap());
            by_rate += covers(noisy(LabelNoise::Rate(0.2)));
            by_matrix += covers(noisy(LabelNoise::Matrix(&m)));
        }
        assert_eq!((plain, by_rate, by_matrix), (0, runs as usize, runs as usize));
    }

    #[test]
    fn the_two_readings_by_hand() {
        // 1000 samples of one of two classes under one node, the model agrees with 70 %; 10 % wrong labels.
        let labels: Vec<usize> = (0..1000).map(|i| i % 2).collect();
        let predicted: Vec<usize> = (0..1000).map(|i| if i % 20 < 14 { i % 2 } else { 1 - i % 2 }).collect();
        let how = Resampling { rounds: 1000, level: 0.1, ..Resampling::default() };
        let s = bootstrap_with_noise(&labels, &predicted, &[0, 0], LabelNoise::Rate(0.1), &how).unwrap();
        // against: 0.7 x 0.9 + 0.3 x 0.1 = 0.66; for: 0.7 + 0.1 = 0.8
        assert!((s.l2_micro_f1.low - 0.66).abs() < 0.005, "{s:?}");
        assert!((s.l2_micro_f1.high - 0.8).abs() < 0.005, "{s:?}");
        assert_eq!(s.l1_micro_f1, Interval { low: 1.0, high: 1.0 });
    }

    #[test]
    fn without_noise_it_is_the_plain_interval() {
        let (labels, predicted) = simulated(400, 0.0, 3);
        let how = Resampling { rounds: 400, ..Resampling::default() };
        let plain = bootstrap(&labels, &predicted, &ROOTS, &how).unwrap();
        for noise in [LabelNoise::Rate(0.0), LabelNoise::Matrix(&matrix(0.0))] {
            assert_eq!(bootstrap_with_noise(&labels, &predicted, &ROOTS, noise, &how).unwrap(), plain);
        }
    }

    #[test]
    fn the_prior_behind_a_matrix() {
        // True shares (0.9, 0.1), half of class 0 labelled 1: given shares (0.45, 0.55);
        // P(true 0 | given 1) = 0.45 / 0.55.
        let m = [vec![0.5, 0.0], vec![0.5, 1.0]];
        let p = of_matrix(&m, &[0.45, 0.55]).unwrap();
        assert!((p[1][0] - 0.45 / 0.55).abs() < 1e-3, "{p:?}");
        assert_eq!(p[0], [1.0, 0.0]);
    }

    #[test]
    fn mistakes_are_named() {
        let how = Resampling::default();
        let run = |noise: LabelNoise<'_>| bootstrap_with_noise(&[0, 1], &[0, 1], &[0, 1], noise, &how);
        assert!(run(LabelNoise::Rate(1.0)).is_err() && run(LabelNoise::Rate(f64::NAN)).is_err());
        for m in [vec![], vec![vec![1.0, 0.0], vec![0.0]], vec![vec![1.0, 0.0], vec![0.0, 1.5]]] {
            assert!(run(LabelNoise::Matrix(&m)).is_err(), "{m:?}");
        }
    }
}
