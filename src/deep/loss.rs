//! Losses of a batch and their gradients with respect to the logits, in plain loops.
//!
//! With p = softmax(z) and target t (rows sum to 1), each loss is written by a_k = p_k dL/dp_k, so that
//! dL/dz_k = a_k - p_k sum(a). Sources: GCE Zhang & Sabuncu 2018; SCE Wang et al. 2019; ELR Liu et al. 2020;
//! forward correction Patrini et al. 2017; R-Drop Liang et al. 2021.

use ndarray::Array2;
use tamis_core::train::recipe::{Loss, LossKind};

use crate::data::State;

/// -ln of the probability that the reverse term of SCE takes for 0.
const REVERSE: f32 = 9.210_340_4; // -ln 1e-4
/// ELR's 1 - <p, t> and probabilities under a logarithm are at least this.
const LEAST: f32 = 1e-6;

/// What a batch is measured against, besides the targets.
pub(crate) struct Against<'a> {
    pub(crate) loss: &'a Loss,
    pub(crate) roots: &'a [usize],
    pub(crate) noise: Option<&'a Array2<f32>>,
}

/// One row of a batch.
pub(crate) struct Row<'a> {
    pub(crate) target: &'a [f32],
    pub(crate) weight: f32,
    pub(crate) state: State,
    /// ELR's running mean of this sample's predictions; empty with other losses.
    pub(crate) memory: &'a [f32],
}

/// Softmax of a row in place.
pub(crate) fn softmax(row: &mut [f32]) {
    let top = row.iter().copied().fold(f32::MIN, f32::max);
    let mut sum = 0.0;
    for v in row.iter_mut() {
        *v = (*v - top).exp();
        sum += *v;
    }
    row.iter_mut().for_each(|v| *v /= sum);
}

/// Of a probability, finite at 0; what is no number stays none.
fn ln(p: f32) -> f32 {
    if p < f32::MIN_POSITIVE { f32::MIN_POSITIVE.ln() } else { p.ln() }
}

impl Against<'_> {
    /// The row's loss times its weight; adds weight * dL/dz to `gradient`. `p` are the row's probabilities.
    pub(crate) fn row(&self, p: &[f32], row: &Row<'_>, gradient: &mut [f32]) -> f32 {
        let k = p.len();
        let spec = self.loss;
        let kind = match (spec.kind, row.state) {
            (LossKind::ThreeState, State::Unclear) => LossKind::Gce,
            (LossKind::ThreeState, _) => LossKind::Ce,
            (kind, _) => kind,
        };
        // what the scan calls wrong has soft targets of its own
        let smooth = spec.smoothing > 0.0
            && !matches!(kind, LossKind::Gce | LossKind::Forward)
            && row.state != State::Wrong;
        let (keep, even) =
            if smooth { (1.0 - spec.smoothing, spec.smoothing / k as f32) } else { (1.0, 0.0) };
        let t = |c: usize| row.target[c] * keep + even;
        let mut a = vec![0.0_f32; k];
        let mut loss = 0.0_f32;
        if matches!(kind, LossKind::Ce | LossKind::Sce | LossKind::Elr) {
            let share = if kind == LossKind::Sce { spec.alpha } else { 1.0 };
            // most of a hard target is zero, and logarithms are dear
            for c in (0..k).filter(|&c| t(c) > 0.0) {
                loss -= share * t(c) * ln(p[c]);
                a[c] -= share * t(c);
            }
        }
        match kind {
            LossKind::Gce => {
                for c in 0..k {
                    let power = p[c].powf(spec.q);
                    loss += row.target[c] * (1.0 - power) / spec.q;
                    a[c] -= row.target[c] * power;
                }
            }
            LossKind::Sce => {
                for c in 0..k {
                    loss += spec.beta * REVERSE * t(c) * (1.0 - p[c]);
                    a[c] -= spec.beta * REVERSE * t(c) * p[c];
                }
            }
            LossKind::Elr => {
                let agree: f32 = p.iter().zip(row.memory).map(|(p, m)| p * m).sum();
                let rest = (1.0 - agree).max(LEAST);
                loss += spec.lambda * rest.ln();
                for c in 0..k {
                    a[c] -= spec.lambda * row.memory[c] * p[c] / rest;
                }
            }
            LossKind::Forward => {
                let noise = self.noise.expect("checked with the task");
                for j in (0..k).filter(|&j| row.target[j] > 0.0) {
                    let given: f32 = (0..k).map(|i| p[i] * noise[[i, j]]).sum::<f32>().max(LEAST);
                    loss -= row.target[j] * given.ln();
                    for i in 0..k {
                        a[i] -= p[i] * noise[[i, j]] * row.target[j] / given;
                    }
                }
            }
            LossKind::Ce | LossKind::ThreeState => {}
        }
        if spec.level1_weight > 0.0 {
            let roots = self.roots.iter().max().map_or(0, |m| m + 1);
            let (mut sums, mut goals) = (vec![0.0_f32; roots], vec![0.0_f32; roots]);
            for c in 0..k {
                sums[self.roots[c]] += p[c];
                goals[self.roots[c]] += row.target[c];
            }
            for (sum, goal) in sums.iter_mut().zip(&goals) {
                *sum = sum.max(f32::MIN_POSITIVE);
                loss -= spec.level1_weight * goal * sum.ln();
            }
            for c in 0..k {
                a[c] -= spec.level1_weight * p[c] * goals[self.roots[c]] / sums[self.roots[c]];
            }
        }
        through_softmax(p, &a, row.weight, gradient);
        loss * row.weight
    }
}

/// Adds `weight` (a_k - p_k sum(a)).
fn through_softmax(p: &[f32], a: &[f32], weight: f32, gradient: &mut [f32]) {
    let sum: f32 = a.iter().sum();
    for ((g, p), a) in gradient.iter_mut().zip(p).zip(a) {
        *g += weight * (a - p * sum);
    }
}

/// Strength / 2 times KL(p|q) + KL(q|p) of a row; adds its gradients to both.
pub(crate) fn r_drop(p: &[f32], q: &[f32], strength: f32, gp: &mut [f32], gq: &mut [f32]) -> f32 {
    let half = strength / 2.0;
    let mut loss = 0.0;
    let (mut ap, mut aq) = (vec![0.0; p.len()], vec![0.0; p.len()]);
    for c in 0..p.len() {
        let ratio = ln(p[c]) - ln(q[c]);
        loss += half * (p[c] - q[c]) * ratio;
        ap[c] = p[c] * ratio - q[c];
        aq[c] = -q[c] * ratio - p[c];
    }
    through_softmax(p, &ap, half, gp);
    through_softmax(q, &aq, half, gq);
    loss
}

/// Mean cross-entropy of rows of logits (n, k, row-major) whose right columns are `columns`; the logits
/// become its gradient times `strength`. Rows without a column (`None`) count nothing. 0 for none.
pub(crate) fn pick(logits: &mut [f32], k: usize, columns: &[Option<usize>], strength: f32) -> f32 {
    let n = columns.iter().flatten().count();
    let mut loss = 0.0;
    for (row, column) in logits.chunks_mut(k).zip(columns) {
        let Some(column) = *column else {
            row.fill(0.0);
            continue;
        };
        softmax(row);
        loss -= ln(row[column]);
        row[column] -= 1.0;
        row.iter_mut().for_each(|v| *v *= strength / n as f32);
    }
    if n == 0 { 0.0 } else { strength * loss / n as f32 }
}

#[cfg(test)]
mod tests;
