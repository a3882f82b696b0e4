//! Confident learning's counting, exactly as cleanlab 2.9 does it: per-class thresholds, the confident
//! joint, its calibration, and the noise rates and number of errors that follow.
//!
//! Matrices are [given label, true label], as in cleanlab.

use ndarray::{Array2, ArrayView2, Axis};

/// Comparison slack and lower bound of thresholds, as in cleanlab.
const SLACK: f64 = 1e-6;
const LOWEST_THRESHOLD: f64 = 2e-6;
/// Threshold of a class without samples: no probability reaches it.
const ABSENT_THRESHOLD: f64 = 2.0;

/// t_j = mean of p_j over the samples labelled j, (k); 2 for a class without samples. O(N).
pub fn thresholds(p: ArrayView2<'_, f32>, labels: &[usize]) -> Vec<f64> {
    let mut sums = vec![(0f64, 0u64); p.ncols()];
    for (row, &y) in p.rows().into_iter().zip(labels) {
        sums[y].0 += f64::from(row[y]);
        sums[y].1 += 1;
    }
    let threshold =
        |(sum, n)| if n == 0 { ABSENT_THRESHOLD } else { f64::max(sum / n as f64, LOWEST_THRESHOLD) };
    sums.into_iter().map(threshold).collect()
}

/// The class confidently guessed for each sample: the only class whose p_k reaches its threshold; the
/// arg-max over all classes when several do; `None` when none does.
pub fn confident_guesses(p: ArrayView2<'_, f32>, thresholds: &[f64]) -> Vec<Option<usize>> {
    p.rows()
        .into_iter()
        .map(|row| {
            let mut confident =
                row.iter().zip(thresholds).enumerate().filter(|(_, (v, t))| f64::from(**v) >= **t - SLACK);
            let first = confident.next()?.0;
            Some(if confident.next().is_none() { first } else { argmax(row) })
        })
        .collect()
}

/// Counts [given, guess] (k, k) with the diagonal raised to at least 1. O(N k).
pub fn confident_joint(p: ArrayView2<'_, f32>, labels: &[usize]) -> Array2<u64> {
    joint_of_guesses(&confident_guesses(p, &thresholds(p, labels)), labels, p.ncols())
}

pub(crate) fn joint_of_guesses(guesses: &[Option<usize>], labels: &[usize], k: usize) -> Array2<u64> {
    let mut joint = Array2::zeros((k, k));
    for (guess, &y) in guesses.iter().zip(labels) {
        if let Some(guess) = guess {
            joint[[y, *guess]] += 1;
        }
    }
    joint.diag_mut().mapv_inplace(|v: u64| v.max(1));
    joint
}

/// The joint with each row scaled to the number of samples labelled so, and the whole to N; rounded to
/// integers that keep row totals. (Where equal fractions compete for a unit, the higher class gets it,
/// or the lower loses it: cleanlab's answer under a stable sort.)
pub fn calibrated_joint(joint: &Array2<u64>, labels: &[usize]) -> Array2<u64> {
    let k = joint.nrows();
    let mut counts = vec![0u64; k];
    labels.iter().for_each(|&y| counts[y] += 1);
    let mut scaled = joint.mapv(|v| v as f64);
    for (mut row, &count) in scaled.rows_mut().into_iter().zip(&counts) {
        let total = row.sum().max(f64::MIN_POSITIVE);
        row.mapv_inplace(|v| v / total * count as f64);
    }
    let whole = scaled.sum().max(f64::MIN_POSITIVE);
    scaled.mapv_inplace(|v| v / whole * labels.len() as f64);
    let mut out = Array2::zeros((k, k));
    for (row, mut to) in scaled.rows().into_iter().zip(out.rows_mut()) {
        to.iter_mut().zip(round_preserving_sum(&row.to_vec())).for_each(|(t, v)| *t = v);
    }
    out
}

/// Rounds non-negative numbers so that they sum to their rounded sum: the largest fractional parts go up.
fn round_preserving_sum(values: &[f64]) -> Vec<u64> {
    let mut ints: Vec<f64> = values.iter().map(|v| v.round_ties_even()).collect();
    let want = values.iter().sum::<f64>().round_ties_even();
    loop {
        let missing = want - ints.iter().sum::<f64>();
        if missing.abs() < 0.5 {
            return ints.into_iter().map(|v| v.max(0.0) as u64).collect();
        }
        let mut order: Vec<usize> = (0..values.len()).collect();
        order.sort_by(|&a, &b| (values[a] - ints[a]).total_cmp(&(values[b] - ints[b])));
        if missing > 0.0 {
            order.reverse();
        }
        for &i in order.iter().take(missing.abs() as usize) {
            ints[i] += missing.signum();
        }
    }
}

/// P(given | true), (k, k): columns sum to 1, or to 0 for a class nothing is estimated to belong to.
pub fn noise_matrix(joint: &Array2<u64>) -> Array2<f64> {
    let totals = joint.sum_axis(Axis(0)).mapv(|v| v as f64);
    Array2::from_shape_fn(joint.dim(), |(i, j)| ratio(joint[[i, j]], totals[j]))
}

/// P(true | given), (k, k) with the true class first: entry [true, given], columns sum to 1 (or 0).
pub fn inverse_noise_matrix(joint: &Array2<u64>) -> Array2<f64> {
    let totals = joint.sum_axis(Axis(1)).mapv(|v| v as f64);
    Array2::from_shape_fn(joint.dim(), |(t, g)| ratio(joint[[g, t]], totals[g]))
}

fn ratio(count: u64, total: f64) -> f64 {
    if total > 0.0 { count as f64 / total } else { 0.0 }
}

/// Number of samples off the diagonal of a calibrated joint: cleanlab's `off_diagonal_calibrated`.
pub fn off_diagonal_calibrated(calibrated: &Array2<u64>) -> usize {
    (calibrated.sum() - calibrated.diag().sum()) as usize
}

/// Number of samples whose confident guess is not their label, less those whose arg-max (ties to the
/// label) is: cleanlab's default `off_diagonal`.
pub fn off_diagonal(p: ArrayView2<'_, f32>, labels: &[usize]) -> usize {
    off_diagonal_of(&confident_guesses(p, &thresholds(p, labels)), p, labels)
}

pub(crate) fn off_diagonal_of(guesses: &[Option<usize>], p: ArrayView2<'_, f32>, labels: &[usize]) -> usize {
    let rows = p.rows().into_iter().zip(labels).zip(guesses);
    rows.filter(|((row, y), guess)| guess.is_some_and(|g| g != **y) && !argmax_is(*row, **y)).count()
}

/// Number of samples whose arg-max (ties to the label) is not their label.
pub fn predicted_neq_given(p: ArrayView2<'_, f32>, labels: &[usize]) -> usize {
    p.rows().into_iter().zip(labels).filter(|(row, y)| !argmax_is(*row, **y)).count()
}

fn argmax_is(row: ndarray::ArrayView1<'_, f32>, y: usize) -> bool {
    let given = f64::from(row[y]) + SLACK;
    row.iter().all(|&v| f64::from(v) <= given)
}

fn argmax(row: ndarray::ArrayView1<'_, f32>) -> usize {
    row.iter().enumerate().fold((0, f32::NEG_INFINITY), |b, (k, &v)| if v > b.1 { (k, v) } else { b }).0
}

#[cfg(test)]
mod tests;
