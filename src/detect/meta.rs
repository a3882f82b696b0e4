//! The meta-model: what people's decisions teach about the detectors' scores. A logistic regression on all
//! scores of the samples that were reviewed gives every other sample a probability that its label is wrong.
//!
//! The scan's own suspicion enters freely and is calibrated by the reviews; each score moves the answer from
//! there as far as the reviews support: of the strengths whose loss cannot be told from the least, the weakest
//! is taken, so that a ranking that is right stays. Reviews are chosen by the scores that the model
//! sees, so the choice does not bias it as long as the model is right; that it may not be is what the weights
//! are for, by which random audits stand for the samples that the ranking did not bring up (see
//! [`super::audits::audit_weight`]).
//!
//! It replaces the ranking only when it predicts reviews that it has not seen better than the suspicion
//! does. Whatever the order of the reviews, the answer has the same bits.

mod logistic;
#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::logistic::{Logistic, Rows, sigmoid};
use super::error::{DetectError, check_length};

/// Reviews before which nothing is learnt.
pub const LEAST_REVIEWS: usize = 200;
/// Fewest reviews of each outcome.
const LEAST_OF_EACH: usize = 10;
/// Strengths tried: C of scikit-learn, on standardised scores.
const GRID: [f64; 7] = [0.0001, 0.001, 0.01, 0.03, 0.1, 0.3, 1.0];
const FOLDS: usize = 10;
/// Scores further from their mean than this many standard deviations count as that far.
const FURTHEST: f64 = 5.0;
/// Log-odds of the suspicion beyond which more certainty means nothing.
const SUREST: f64 = 6.0;
/// A ranking of unseen reviews may be this much worse (AUROC) than the suspicion's and still replace it for
/// its better probabilities.
const AUROC_SLACK: f64 = 0.01;

/// Scores of one scan, ready for the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    /// (N, d) standardised.
    x: Array2<f64>,
    /// (N) log-odds of the suspicion.
    offset: Vec<f64>,
}

impl Scores {
    /// Standardises `scores` (N, d) by their mean and deviation over the whole scan; a constant column says
    /// nothing. `suspicion` (N) in [0, 1]. Linear.
    ///
    /// # Errors
    /// Lengths that differ, a score that is no number.
    pub fn new(scores: ArrayView2<'_, f32>, suspicion: &[f32]) -> Result<Self, DetectError> {
        let n = scores.nrows();
        check_length("suspicion", n, suspicion.len())?;
        if let Some(bad) = crate::arrays::first_not_finite(scores) {
            return Err(DetectError::Value {
                array: "scores",
                row: bad.row,
                column: bad.column,
                value: bad.value,
                rule: "scores must be finite",
            });
        }
        let mut x = scores.mapv(f64::from);
        for mut column in x.columns_mut() {
            let mean = column.sum() / n.max(1) as f64;
            let deviation = (column.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n.max(1) as f64).sqrt();
            // rounding leaves a constant column a deviation of some bits
            let scale = if deviation > 1e-9 * mean.abs().max(1e-3) { 1.0 / deviation } else { 0.0 };
            column.mapv_inplace(|v| ((v - mean) * scale).clamp(-FURTHEST, FURTHEST));
        }
        Ok(Self { x, offset: suspicion.iter().map(|&p| given_odds(p)).collect() })
    }
}

fn given_odds(p: f32) -> f64 {
    let p = f64::from(p).clamp(1e-9, 1.0 - 1e-9);
    (p / (1.0 - p)).ln().clamp(-SUREST, SUREST)
}

/// Reviewed samples, from one scan or several.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reviewed {
    rows: Vec<ReviewedRow>,
}

#[derive(Clone, Debug, PartialEq)]
struct ReviewedRow {
    /// Orders the rows, whatever the order of the reviews.
    key: (u64, i64),
    x: Vec<f64>,
    offset: f64,
    wrong: bool,
    weight: f64,
}

impl Reviewed {
    /// Adds row `row` of `scores`: the review found the label `wrong` or right. `key` (number of the scan,
    /// sample) is its own.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn push(&mut self, scores: &Scores, row: usize, key: (u64, i64), wrong: bool, weight: f64) {
        let x = scores.x.row(row).to_vec();
        self.rows.push(ReviewedRow { key, x, offset: scores.offset[row], wrong, weight });
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// What was learnt, and what it is worth on reviews that the model had not seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MetaReport {
    /// Reviews it learnt from, and those of them that found the label wrong.
    pub reviews: usize,
    pub wrong: usize,
    /// It replaces the suspicion.
    pub adopted: bool,
    /// Mean log-loss and AUROC over the reviews, each by a model of the others (ten folds); and the
    /// suspicion's. 0 when nothing was fitted: too few reviews, or too few of one outcome.
    pub log_loss: f64,
    pub log_loss_before: f64,
    pub auroc: f64,
    pub auroc_before: f64,
    /// Strength of the fit (scikit-learn's C).
    pub c: f64,
    /// By score, in its standard deviations; what it adds to the log-odds of the calibrated suspicion.
    pub coefficients: Vec<f64>,
}

impl MetaReport {
    /// There were reviews enough, of both outcomes.
    pub fn fitted(&self) -> bool {
        !self.coefficients.is_empty()
    }
}

/// What [`learn`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct MetaModel {
    pub report: MetaReport,
    fitted: Option<Logistic>,
}

impl MetaModel {
    /// (N) probability in (0, 1) that the label is wrong, when the model is adopted.
    pub fn probabilities(&self, scores: &Scores) -> Option<Vec<f32>> {
        let model = self.fitted.as_ref().filter(|_| self.report.adopted)?;
        let of = |(row, offset): (ndarray::ArrayView1<'_, f64>, &f64)| {
            sigmoid(model.log_odds(row.iter().copied(), *offset)) as f32
        };
        Some(scores.x.rows().into_iter().zip(&scores.offset).map(of).collect())
    }
}

/// Learns from `reviewed`. The strength of the fit is the weakest of the grid whose log-loss over ten folds
/// is within a standard error (of the paired differences) of the lowest. O(reviews d^2) for each fold, strength and step of Newton's method: about 0.1 s for 10,000 reviews
/// of 15 scores.
pub fn learn(mut reviewed: Reviewed, seed: u64) -> MetaModel {
    reviewed.rows.sort_by_key(|r| r.key);
    let m = reviewed.len();
    let rows = &reviewed.rows;
    let wrong = rows.iter().filter(|r| r.wrong).count();
    let mut report = MetaReport {
        reviews: m,
        wrong,
        adopted: false,
        log_loss: 0.0,
        log_loss_before: 0.0,
        auroc: 0.0,
        auroc_before: 0.0,
        c: 0.0,
        coefficients: Vec::new(),
    };
    if m < LEAST_REVIEWS || wrong.min(m - wrong) < LEAST_OF_EACH {
        return MetaModel { report, fitted: None };
    }
    let d = rows[0].x.len();
    let x = Array2::from_shape_fn((m, d), |(i, j)| rows[i].x.get(j).copied().unwrap_or(0.0));
    let y: Vec<bool> = rows.iter().map(|r| r.wrong).collect();
    let mean = rows.iter().map(|r| r.weight).sum::<f64>() / m as f64;
    let weights: Vec<f64> = rows.iter().map(|r| r.weight / mean).collect();
    let offset: Vec<f64> = rows.iter().map(|r| r.offset).collect();
    let all = Rows { x: x.view(), y: &y, weights: &weights, offset: &offset };
    let folds = fold_of(rows, seed);
    let tried = GRID.map(|c| unseen(all, &folds, c));
    let losses: Vec<Vec<f64>> = tried.iter().map(|z| each_loss(z, &y, &weights)).collect();
    let chosen = weakest(&losses);
    let (c, z) = (GRID[chosen], &tried[chosen]);
    let model = Logistic::fit(all, c);
    report.log_loss = log_loss(z, &y, &weights);
    report.log_loss_before = log_loss(&offset, &y, &weights);
    report.auroc = auroc(z, &y);
    report.auroc_before = auroc(&offset, &y);
    report.adopted =
        report.log_loss < report.log_loss_before && report.auroc >= report.auroc_before - AUROC_SLACK;
    report.c = c;
    report.coefficients.clone_from(&model.coefficients);
    MetaModel { report, fitted: Some(model) }
}

/// Folds with the same share of each outcome, by a seeded hash of each row's key.
fn fold_of(rows: &[ReviewedRow], seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mixed = |i: usize| {
        // splitmix64's finaliser
        let (scan, sample) = rows[i].key;
        let mut h = (sample as u64).wrapping_add(scan << 48).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
        h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        h ^ (h >> 31)
    };
    order.sort_by_key(|&i| (rows[i].wrong, mixed(i), rows[i].key));
    let mut folds = vec![0; rows.len()];
    order.into_iter().enumerate().for_each(|(at, i)| folds[i] = at % FOLDS);
    folds
}

/// Log-odds of each row by a model of the other folds.
fn unseen(all: Rows<'_>, folds: &[usize], c: f64) -> Vec<f64> {
    let mut z = vec![0.0; folds.len()];
    for fold in 0..FOLDS {
        let kept: Vec<usize> = (0..folds.len()).filter(|&i| folds[i] != fold).collect();
        let pick = |v: &[f64]| kept.iter().map(|&i| v[i]).collect::<Vec<_>>();
        let x = all.x.select(Axis(0), &kept);
        let y: Vec<bool> = kept.iter().map(|&i| all.y[i]).collect();
        let (weights, offset) = (pick(all.weights), pick(all.offset));
        let model = Logistic::fit(Rows { x: x.view(), y: &y, weights: &weights, offset: &offset }, c);
        for i in (0..folds.len()).filter(|&i| folds[i] == fold) {
            z[i] = model.log_odds(all.x.row(i).iter().copied(), all.offset[i]);
        }
    }
    z
}

/// Each row's weight times -ln p(outcome).
fn each_loss(z: &[f64], y: &[bool], weights: &[f64]) -> Vec<f64> {
    let of = |((&z, &y), &w): ((&f64, &bool), &f64)| -w * sigmoid(if y { z } else { -z }).max(1e-300).ln();
    z.iter().zip(y).zip(weights).map(of).collect()
}

/// Weighted mean of -ln p(outcome).
fn log_loss(z: &[f64], y: &[bool], weights: &[f64]) -> f64 {
    each_loss(z, y, weights).iter().sum::<f64>() / weights.iter().sum::<f64>()
}

/// The first of `losses`, each of all rows, whose mean is at most a standard error above the lowest.
fn weakest(losses: &[Vec<f64>]) -> usize {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let means: Vec<f64> = losses.iter().map(|l| mean(l)).collect();
    let best = (0..losses.len()).fold(0, |best, i| if means[i] < means[best] { i } else { best });
    let near = |i: &usize| {
        let apart: Vec<f64> = losses[*i].iter().zip(&losses[best]).map(|(a, b)| a - b).collect();
        let gap = mean(&apart);
        let variance = mean(&apart.iter().map(|d| (d - gap).powi(2)).collect::<Vec<_>>());
        gap <= (variance / apart.len() as f64).sqrt()
    };
    (0..best).find(near).unwrap_or(best)
}

/// Probability that a wrong one has the larger value, ties half. Both outcomes are there.
fn auroc(values: &[f64], wrong: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let (mut below, mut won) = (0.0, 0.0);
    for ties in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let bad = ties.iter().filter(|&&i| wrong[i]).count() as f64;
        let good = ties.len() as f64 - bad;
        won += bad * (below + good / 2.0);
        below += good;
    }
    let bad = wrong.iter().filter(|w| **w).count() as f64;
    won / (bad * below)
}
