//! Multinomial logistic regression: L2-regularised, mini-batches of Adam to come near, then
//! preconditioned full-batch L-BFGS on f32 products; optional sample weights. Deterministic for any
//! number of threads.
//!
//! Objective: sum_i w_i CE(softmax(z_i), y_i) / sum_i w_i + l2/2 |W|^2 on standardised features, the
//! bias not penalised. That is scikit-learn's `LogisticRegression(C)` with `l2 = 1 / (C * sum_i w_i)`.

mod lbfgs;
mod precondition;
mod problem;
pub(in crate::train) mod softmax;
pub(in crate::train) mod stochastic;

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use self::lbfgs::{State, Stop, minimize};
use self::problem::Problem;
use self::softmax::softmax_row;
use self::stochastic::Trainer;
use super::error::{TrainError, check_labels, check_length};
use crate::arrays::{Standardizer, first_not_finite, matmul};

/// Logit of a class that had no training sample: its probability is 0 in f32.
pub const ABSENT_LOGIT: f32 = -1.0e4;

/// From this many rows on a fit starts with mini-batches; fewer are no work anyway.
const WARM_ROWS: usize = 4096;
const WARM_PASSES: usize = 2;
/// Step size of the first mini-batch; it falls to 0 in a line.
const WARM_RATE: f32 = 5e-3;

/// Hyper-parameters, checked by every fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearParams {
    /// Weight of |W|^2 / 2 against the *mean* loss, > 0; 1 / (C n) in scikit-learn's terms.
    pub l2: f32,
    /// Upper bound of L-BFGS iterations, >= 1.
    pub max_iterations: usize,
    /// Stop when |gradient| falls below this share of the gradient of the zero head; in (0, 1).
    pub tolerance: f32,
}

impl Default for LinearParams {
    fn default() -> Self {
        Self { l2: 0.01, max_iterations: 200, tolerance: 1e-3 }
    }
}

impl LinearParams {
    /// For out-of-fold probabilities: as the default, but stopping where they no longer move enough
    /// to matter. On 50,000 x 512 with 100 classes, against a tolerance of 1e-3, that halves the
    /// iterations, moves a probability by 1.7e-4 on average and the log-loss by less than 1e-3.
    #[must_use]
    pub fn for_folds() -> Self {
        Self { tolerance: 5e-3, ..Self::default() }
    }

    /// The penalty of scikit-learn's `C` for `n` samples of weight 1.
    #[must_use]
    pub fn with_c(self, c: f32, n: usize) -> Self {
        Self { l2: (1.0 / (f64::from(c) * n.max(1) as f64)) as f32, ..self }
    }

    /// Every rule of the fields.
    pub fn check(&self) -> Result<(), TrainError> {
        let bad = |name, value, rule| Err(TrainError::Param { name, value, rule });
        if !(self.l2 > 0.0 && self.l2.is_finite()) {
            return bad("l2", f64::from(self.l2), "it must be a finite number > 0");
        }
        if self.max_iterations == 0 {
            return bad("max_iterations", 0.0, "it must be >= 1");
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return bad("tolerance", f64::from(self.tolerance), "it must lie between 0 and 1");
        }
        Ok(())
    }
}

/// A trained head: logits = ((x - mean) / scale) . weights + bias.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearHead {
    /// (d, k), on standardised features.
    pub weights: Array2<f32>,
    /// (k); [`ABSENT_LOGIT`] for a class without training samples.
    pub bias: Array1<f32>,
    /// (d)
    pub mean: Array1<f32>,
    /// (d), all > 0.
    pub scale: Array1<f32>,
}

impl LinearHead {
    /// Fits raw features `x` (N, d) and labels `y` (N) in 0..`n_classes`. `tick` is told the
    /// iteration and cancels by returning false.
    ///
    /// Cost per iteration: two products of (N, min(N, d)) with (min(N, d), k); from 4,096 rows on and
    /// with N >= d, two passes of mini-batches come first, as dear as two iterations. Memory
    /// N x (min(N, d) + 3 k) above `x` and 24 times the head. Errors: see [`TrainError`].
    pub fn fit(
        x: ArrayView2<'_, f32>,
        y: &[usize],
        n_classes: usize,
        sample_weights: Option<&[f32]>,
        params: &LinearParams,
        tick: &dyn Fn(usize) -> bool,
    ) -> Result<Self, TrainError> {
        let mut last = None;
        let mut keep = |_: usize, head| {
            last = Some(head);
            true
        };
        Self::fit_path(x, y, n_classes, sample_weights, &[params.l2], params, tick, &mut keep)?;
        last.ok_or(TrainError::Empty)
    }

    /// Fits one head per penalty in `l2s`, each from the one before (so give them from strong to
    /// weak); `each(index, head)` returns false to skip the rest. `params.l2` is not read.
    #[expect(clippy::too_many_arguments, reason = "the arguments of fit and the path's own two")]
    pub fn fit_path(
        x: ArrayView2<'_, f32>,
        y: &[usize],
        n_classes: usize,
        sample_weights: Option<&[f32]>,
        l2s: &[f32],
        params: &LinearParams,
        tick: &dyn Fn(usize) -> bool,
        each: &mut dyn FnMut(usize, LinearHead) -> bool,
    ) -> Result<(), TrainError> {
        for &l2 in l2s {
            LinearParams { l2, ..*params }.check()?;
        }
        check_length("labels", x.nrows(), y.len())?;
        if y.is_empty() {
            return Err(TrainError::Empty);
        }
        check_labels(y, n_classes)?;
        if let Some(bad) = first_not_finite(x) {
            return Err(bad.into());
        }
        let weights = normalized_weights(sample_weights, y.len())?;
        let present = present_classes(y, n_classes);
        if present.len() < 2 {
            return Err(TrainError::OneClass);
        }
        let compact: Vec<usize> = {
            let mut index = vec![0; n_classes];
            present.iter().enumerate().for_each(|(i, &c)| index[c] = i);
            y.iter().map(|&c| index[c]).collect()
        };
        let (standardizer, z) = Standardizer::fit_transform(x);
        let problem = Problem::new(z.view(), &compact, present.len(), &weights);
        let mut state = State::start(&problem);
        if problem.is_primal() && y.len() >= WARM_ROWS {
            warm_start(&problem, &compact, &weights, z.view(), l2s[0], tick, &mut state)?;
        }
        for (i, &l2) in l2s.iter().enumerate() {
            let stop =
                Stop { max_iterations: params.max_iterations, tolerance: f64::from(params.tolerance), tick };
            minimize(&problem, f64::from(l2), &stop, &mut state).map_err(|_| TrainError::Cancelled)?;
            let (w, b) = problem.head(&state.point);
            let mut weights = Array2::zeros((x.ncols(), n_classes));
            let mut bias = Array1::from_elem(n_classes, ABSENT_LOGIT);
            for (from, &to) in present.iter().enumerate() {
                weights.column_mut(to).assign(&w.column(from));
                bias[to] = b[from];
            }
            let head = LinearHead {
                weights,
                bias,
                mean: standardizer.mean.clone(),
                scale: standardizer.scale.clone(),
            };
            if !each(i, head) {
                break;
            }
        }
        Ok(())
    }

    pub fn n_classes(&self) -> usize {
        self.bias.len()
    }

    /// Width of the raw features.
    pub fn n_features(&self) -> usize {
        self.mean.len()
    }

    /// Class probabilities (N, k) of raw features `x` (N, d); rows sum to 1.
    ///
    /// # Panics
    /// When `x` has not `n_features` columns.
    pub fn predict_proba(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let standardizer = Standardizer { mean: self.mean.clone(), scale: self.scale.clone() };
        let mut p = matmul(standardizer.transform(x).view(), self.weights.view());
        let k = self.n_classes().max(1);
        let rows = p.as_slice_mut().expect("a product is contiguous");
        rows.par_chunks_mut(k * 256).for_each(|block| {
            for row in block.chunks_exact_mut(k) {
                row.iter_mut().zip(&self.bias).for_each(|(z, b)| *z += b);
                softmax_row(row);
            }
        });
        p
    }

    /// The head for raw features: weights (d, k) and bias (k) with the standardiser folded in,
    /// computed in f64 and rounded once.
    pub fn folded(&self) -> (Array2<f32>, Array1<f32>) {
        let mut bias: Vec<f64> = self.bias.iter().map(|v| f64::from(*v)).collect();
        let mut weights = self.weights.clone();
        for ((mut row, &mean), &scale) in weights.rows_mut().into_iter().zip(&self.mean).zip(&self.scale) {
            for (w, b) in row.iter_mut().zip(&mut bias) {
                let folded = f64::from(*w) / f64::from(scale);
                *b -= f64::from(mean) * folded;
                *w = folded as f32;
            }
        }
        (weights, bias.into_iter().map(|v| v as f32).collect())
    }
}

/// Index of the largest value of each row; the first of equals.
pub fn argmax_rows(p: ArrayView2<'_, f32>) -> Vec<usize> {
    p.rows()
        .into_iter()
        .map(|row| {
            row.iter()
                .enumerate()
                .fold((0, f32::NEG_INFINITY), |b, (j, &v)| if v > b.1 { (j, v) } else { b })
                .0
        })
        .collect()
}

/// Passes of mini-batch Adam before the first L-BFGS step, in place of about 30 of its iterations.
fn warm_start(
    problem: &Problem<'_>,
    y: &[usize],
    weights: &[f32],
    x: ArrayView2<'_, f32>,
    l2: f32,
    tick: &dyn Fn(usize) -> bool,
    state: &mut State,
) -> Result<(), TrainError> {
    let mut trainer = Trainer::new(x, y, weights, state.point.b.clone());
    let total = (WARM_PASSES * trainer.steps_per_pass()) as f32;
    let rate = |step: usize| WARM_RATE * (1.0 - step as f32 / total);
    for pass in 0..WARM_PASSES {
        if !tick(0) {
            return Err(TrainError::Cancelled);
        }
        trainer.pass(pass as u64, l2, &rate, &mut |_, _, _| {});
    }
    state.move_to(problem, &trainer.weights, &trainer.bias);
    Ok(())
}

pub(crate) fn present_classes(y: &[usize], n_classes: usize) -> Vec<usize> {
    let mut seen = vec![false; n_classes];
    y.iter().for_each(|&c| seen[c] = true);
    (0..n_classes).filter(|&c| seen[c]).collect()
}

fn normalized_weights(weights: Option<&[f32]>, n: usize) -> Result<Vec<f32>, TrainError> {
    let Some(weights) = weights else {
        return Ok(vec![(1.0 / n as f64) as f32; n]);
    };
    check_length("sample weights", n, weights.len())?;
    if let Some((row, &value)) = weights.iter().enumerate().find(|(_, w)| !(w.is_finite() && **w >= 0.0)) {
        return Err(TrainError::Weight { row, value });
    }
    let sum: f64 = weights.iter().map(|w| f64::from(*w)).sum();
    if sum <= 0.0 {
        return Err(TrainError::Weight { row: 0, value: weights[0] });
    }
    Ok(weights.iter().map(|w| (f64::from(*w) / sum) as f32).collect())
}

#[cfg(test)]
mod tests;
