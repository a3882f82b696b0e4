//! ActiveLab: where one more label helps most, among samples with and without labels.
//!
//! Source: Goh, Mueller, "ActiveLab: Active learning with re-labeling by multiple annotators", 2023; the
//! answers are those of cleanlab 2.9's `get_active_learning_scores`, but for one fault: its temperature is
//! fitted to votes counted for the wrong classes where a sample's votes leave out a class (`value_counts`
//! of floats). Ours is fitted to the votes.

use ndarray::{Array2, ArrayView2, Zip};

use super::crowd::crowdlab_of;
use super::{Votes, arg_max, check_predictions, majority};
use crate::detect::error::DetectError;

/// Temperatures tried first; then evenly around the best.
const COARSE: [f64; 9] = [0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 3.0, 5.0, 8.0];
const FINE_STEPS: usize = 4;
/// Probabilities count as at least this, so that logarithms stay finite.
const LEAST: f64 = 1e-30;

/// Priorities.
#[derive(Clone, Debug, PartialEq)]
pub struct Active {
    /// (N) in [0, 1]; the lower, the more one more label helps. Samples with and without labels compare.
    pub scores: Vec<f64>,
    /// The predictions were raised to 1 / temperature to fit the votes; above 1 = they were too sure.
    pub temperature: f64,
}

/// Scores of all samples, from the votes and out-of-fold predictions `p` (N, K). Where no sample has two
/// labels, the predictions are taken as they are, and all people count the same.
/// O(18 N K) exponentials, mostly for the temperature.
///
/// # Errors
/// Predictions of another shape or outside [0, 1].
pub fn active_scores(votes: &Votes, p: ArrayView2<'_, f32>) -> Result<Active, DetectError> {
    check_predictions(votes, p)?;
    let (n, _, k) = votes.shape();
    let overlap = votes.starts.windows(2).any(|w| w[1] - w[0] > 1);
    let temperature = if overlap { best_temperature(votes, p) } else { 1.0 };
    let tempered = tempered(p, temperature);
    let (quality, model, people) = if overlap {
        let crowd = crowdlab_of(votes, &tempered)?;
        (crowd.quality, crowd.model_weight, crowd.annotator_weights)
    } else {
        let labels = majority(votes, Some(p))?.labels;
        let of = |(i, label): (usize, &Option<u32>)| match label {
            Some(l) => f64::from(p[[i, *l as usize]]),
            None => tempered.row(i)[arg_max(tempered.row(i).iter().copied())],
        };
        (labels.iter().enumerate().map(of).collect(), 1.0, vec![1.0; votes.n_annotators])
    };
    let active = votes.per_annotator();
    let known: Vec<f64> = people.iter().zip(&active).filter(|(_, l)| **l > 0).map(|(w, _)| *w).collect();
    let newcomer = known.iter().sum::<f64>() / known.len().max(1) as f64;
    // what the quality becomes if one more person of average weight knew nothing
    let score = |i: usize| {
        let weight = votes.of(i).iter().map(|v| people[v.annotator as usize]).sum::<f64>() + model;
        (quality[i] * weight + newcomer / k as f64) / (weight + newcomer)
    };
    Ok(Active { scores: (0..n).map(score).collect(), temperature })
}

/// p^(1 / temperature), rows summing to 1.
fn tempered(p: ArrayView2<'_, f32>, temperature: f64) -> Array2<f64> {
    let mut out = p.mapv(|v| f64::from(v).max(LEAST));
    for mut row in out.rows_mut() {
        if temperature != 1.0 {
            let top = row.iter().copied().fold(LEAST, f64::max).ln();
            row.mapv_inplace(|v| ((v.ln() - top) / temperature).exp());
        }
        let sum = row.sum();
        row.mapv_inplace(|v| v / sum);
    }
    out
}

/// The temperature whose predictions have the least cross-entropy against the shares of the votes.
fn best_temperature(votes: &Votes, p: ArrayView2<'_, f32>) -> f64 {
    let rows: Vec<usize> = (0..votes.n_samples).filter(|&i| !votes.of(i).is_empty()).collect();
    // logarithms relative to the row's largest: exponentials of them never overflow
    let mut logs = p.select(ndarray::Axis(0), &rows);
    Zip::from(logs.rows_mut()).for_each(|mut row| {
        let top = row.iter().copied().fold(f32::MIN_POSITIVE, f32::max).ln();
        row.mapv_inplace(|v| v.ln() - top);
    });
    let entropy = |t: f64| cross_entropy(votes, &rows, &logs, t);
    let coarse = arg_max(COARSE.iter().map(|t| -entropy(*t)));
    let mut fine = Vec::with_capacity(2 * FINE_STEPS + 1);
    let mut between = |from: f64, to: f64, steps: std::ops::Range<usize>| {
        fine.extend(steps.map(|s| from + (to - from) * s as f64 / FINE_STEPS as f64));
    };
    if coarse > 0 {
        between(COARSE[coarse - 1], COARSE[coarse], 0..FINE_STEPS);
    }
    if coarse + 1 < COARSE.len() {
        between(COARSE[coarse], COARSE[coarse + 1], 0..FINE_STEPS + 1);
    }
    fine[arg_max(fine.iter().map(|t| -entropy(*t)))]
}

/// Mean over the samples of -sum over votes of log p_tempered / votes; logarithms at least log 1e-30.
fn cross_entropy(votes: &Votes, rows: &[usize], logs: &Array2<f32>, temperature: f64) -> f64 {
    let inverse = 1.0 / temperature;
    let floor = LEAST.ln();
    let mut sum = 0.0;
    for (&i, row) in rows.iter().zip(logs.rows()) {
        let total: f32 = row.iter().map(|v| (v * inverse as f32).exp()).sum();
        let log_total = f64::from(total).ln();
        let of = votes.of(i);
        let said: f64 =
            of.iter().map(|v| (f64::from(row[v.class as usize]) * inverse - log_total).max(floor)).sum();
        sum -= said / of.len() as f64;
    }
    sum / rows.len().max(1) as f64
}
