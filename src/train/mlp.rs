//! A small network as a head: one hidden layer of ReLU units with dropout, AdamW, label smoothing, and
//! the exponential mean of the weights for judging. Own back-propagation over the matrix products;
//! seeded, the same bytes for any number of threads.

mod net;
#[cfg(test)]
mod tests;

use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;

use self::net::{Batch, Net, Work, backward};
use super::error::TrainError;
use super::folds::Split;
use super::linear::stochastic::Adam;
use crate::arrays::{Standardizer, rng};

/// Rows of one step.
const BATCH: usize = 256;

/// Hyper-parameters of [`mlp_fold`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MlpParams {
    /// Hidden units, >= 1.
    pub hidden: usize,
    /// Passes over the training rows, >= 1.
    pub epochs: usize,
    /// AdamW's step size, constant, > 0.
    pub rate: f32,
    /// Share of the weights taken off per step, times `rate`; >= 0.
    pub decay: f32,
    /// Share of hidden units silenced per sample, in [0, 1); in steps of 1/256.
    pub dropout: f32,
    /// Share of the target spread over all classes, in [0, 1).
    pub smoothing: f32,
    /// What the mean of the weights keeps per step, in [0, 1).
    pub ema: f32,
    pub seed: u64,
}

impl Default for MlpParams {
    fn default() -> Self {
        Self {
            hidden: 128,
            epochs: 5,
            rate: 1e-3,
            decay: 0.01,
            dropout: 0.25,
            smoothing: 0.1,
            ema: 0.998,
            seed: 0,
        }
    }
}

/// Steps below which a network has not learnt yet, and passes that are enough for the smallest data set.
const LEAST_STEPS: usize = 600;
const MOST_EPOCHS: usize = 300;

impl MlpParams {
    /// The defaults for `n` training rows: few rows are gone through more often, so that there are at least
    /// 600 steps, but never more than 300 times.
    pub fn for_rows(n: usize, seed: u64) -> Self {
        let default = Self::default();
        let enough = LEAST_STEPS.div_ceil(n.div_ceil(BATCH).max(1));
        Self { epochs: enough.clamp(default.epochs, MOST_EPOCHS), seed, ..default }
    }

    /// Every rule of the fields.
    pub fn check(&self) -> Result<(), TrainError> {
        let share = |v: f32| (0.0..1.0).contains(&v);
        let rules = [
            ("hidden", self.hidden as f64, self.hidden >= 1, "it must be >= 1"),
            ("epochs", self.epochs as f64, self.epochs >= 1, "it must be >= 1"),
            (
                "rate",
                self.rate.into(),
                self.rate > 0.0 && self.rate.is_finite(),
                "it must be a finite number > 0",
            ),
            (
                "decay",
                self.decay.into(),
                self.decay >= 0.0 && self.decay.is_finite(),
                "it must be a finite number >= 0",
            ),
            ("dropout", self.dropout.into(), share(self.dropout), "it must lie in [0, 1)"),
            ("smoothing", self.smoothing.into(), share(self.smoothing), "it must lie in [0, 1)"),
            ("ema", self.ema.into(), share(self.ema), "it must lie in [0, 1)"),
        ];
        match rules.into_iter().find(|(_, _, met, _)| !met) {
            Some((name, value, _, rule)) => Err(TrainError::Param { name, value, rule }),
            None => Ok(()),
        }
    }
}

/// The rows of fold `fold` and their probabilities (rows, `n_classes`) by a network trained on the other
/// folds' standardised rows. `tick` is told the epoch and cancels by returning false. Classes without
/// training samples are treated, and errors are, as in [`super::fit_fold`].
///
/// With smoothed targets the probabilities are less sure than the labels allow; see
/// [`super::fit_temperature`].
///
/// Cost per epoch: two products of (n, d) with (d, hidden) and three of (n, hidden) with (hidden, k);
/// measured about 2 CPU-s a fold of 50,000 x 512 with 100 classes at the defaults.
pub fn mlp_fold(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    folds: &[usize],
    fold: usize,
    params: &MlpParams,
    tick: &dyn Fn(usize) -> bool,
) -> Result<(Vec<usize>, Array2<f32>), TrainError> {
    params.check()?;
    let split = Split::new(x, y, n_classes, folds, fold)?;
    let p = split.judge(n_classes, |labels, k| {
        let (standardizer, z) = Standardizer::fit_transform(split.train_x.view());
        let net = train(z.view(), labels, k, params, tick)?;
        Ok(net.predict(standardizer.transform(split.held_x.view()).view()))
    })?;
    Ok((split.held, p))
}

fn train(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    k: usize,
    params: &MlpParams,
    tick: &dyn Fn(usize) -> bool,
) -> Result<Net, TrainError> {
    let (n, d) = x.dim();
    let h = params.hidden;
    let mut net = Net::random(d, h, k, params.seed);
    let mut mean = Net::zero(d, h, k);
    let mut gradient = Net::zero(d, h, k);
    let mut adam = net.parts.each_ref().map(|p| Adam::new(p.len()));
    let m = BATCH.min(n);
    let mut work = Work {
        x: vec![0.0; m * d],
        hidden: vec![0.0; m * h],
        by_hidden: vec![0.0; m * h],
        by_logits: vec![0.0; m * k],
    };
    let mut order: Vec<usize> = (0..n).collect();
    let mut r = rng(params.seed ^ 0x6D6C_7000);
    let mut t = 0i32;
    for epoch in 0..params.epochs {
        if !tick(epoch) {
            return Err(TrainError::Cancelled);
        }
        order.shuffle(&mut r);
        for rows in order.chunks(BATCH) {
            t += 1;
            let seed = params.seed.wrapping_add(t as u64);
            let batch = Batch { x, y, rows, smoothing: params.smoothing, dropout: params.dropout, seed };
            backward(&net, &batch, &mut work, &mut gradient);
            let keep = 1.0 - params.rate * params.decay;
            net.parts[0].iter_mut().for_each(|v| *v *= keep);
            net.parts[2].iter_mut().for_each(|v| *v *= keep);
            for (((w, g), adam), mean) in
                net.parts.iter_mut().zip(&gradient.parts).zip(&mut adam).zip(&mut mean.parts)
            {
                adam.step(w, g, 0.0, params.rate, t);
                mean.iter_mut().zip(w).for_each(|(m, w)| *m += (1.0 - params.ema) * (*w - *m));
            }
        }
    }
    // The mean began at 0: what of that is left in it is known.
    let whole = (1.0 / (1.0 - f64::from(params.ema).powi(t))) as f32;
    mean.parts.iter_mut().flatten().for_each(|v| *v *= whole);
    Ok(mean)
}
