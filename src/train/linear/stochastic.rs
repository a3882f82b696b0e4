//! Seeded mini-batch Adam (Kingma and Ba 2015) on a linear softmax head: near the optimum after a few
//! passes over the rows, where a full-batch method still takes its first steps. Blocks of rows and of
//! columns are fixed, so any number of threads gives the same bytes.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::softmax::softmax_row;
use crate::arrays::product::tile;
use crate::arrays::rng;

/// Rows of one step.
pub(in crate::train) const BATCH: usize = 256;
/// Rows of a batch, and columns of a gradient, that one task computes.
const BLOCK: usize = 128;
const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// First and second moments of one parameter array, updated together with it.
pub(in crate::train) struct Adam {
    m: Vec<f32>,
    v: Vec<f32>,
}

impl Adam {
    pub(in crate::train) fn new(n: usize) -> Self {
        Self { m: vec![0.0; n], v: vec![0.0; n] }
    }

    /// One step of size `rate` on `w` with `gradient + decay * w`; `t` counts steps from 1.
    pub(in crate::train) fn step(&mut self, w: &mut [f32], gradient: &[f32], decay: f32, rate: f32, t: i32) {
        let first = rate / (1.0 - BETA1.powi(t));
        let second = 1.0 / (1.0 - BETA2.powi(t));
        for (((w, g), m), v) in w.iter_mut().zip(gradient).zip(&mut self.m).zip(&mut self.v) {
            let g = g + decay * *w;
            *m += (1.0 - BETA1) * (g - *m);
            *v += (1.0 - BETA2) * (g * g - *v);
            *w -= first * *m / ((*v * second).sqrt() + EPSILON);
        }
    }
}

/// Copies `rows` of `x` into `out` (rows, d).
pub(in crate::train) fn gather(x: ArrayView2<'_, f32>, rows: &[usize], out: &mut [f32]) {
    for (to, &from) in out.chunks_exact_mut(x.ncols().max(1)).zip(rows) {
        let row = x.row(from);
        match row.as_slice() {
            Some(row) => to.copy_from_slice(row),
            None => to.iter_mut().zip(row).for_each(|(t, f)| *t = *f),
        }
    }
}

/// What one batch's rows looked like before the step: indices, logits and probabilities (rows, k).
pub(in crate::train) type Observe<'a> = &'a mut dyn FnMut(&[usize], &[f32], &[f32]);

/// A linear softmax head under training.
pub(in crate::train) struct Trainer<'a> {
    /// (n, d), standardised.
    x: ArrayView2<'a, f32>,
    y: &'a [usize],
    /// (n), sum 1.
    sample_weights: &'a [f32],
    k: usize,
    /// (k, d): the transpose of a head's weights.
    pub(in crate::train) weights: Array2<f32>,
    pub(in crate::train) bias: Vec<f32>,
    adam: (Adam, Adam),
    steps: i32,
    order: Vec<usize>,
    batch: Array2<f32>,
    logits: Vec<f32>,
    residual: Vec<f32>,
    gradient: Array2<f32>,
}

impl<'a> Trainer<'a> {
    /// From weights 0 and `bias` (k).
    pub(in crate::train) fn new(
        x: ArrayView2<'a, f32>,
        y: &'a [usize],
        sample_weights: &'a [f32],
        bias: Vec<f32>,
    ) -> Self {
        let (n, d) = x.dim();
        let k = bias.len();
        let rows = BATCH.min(n);
        Self {
            x,
            y,
            sample_weights,
            k,
            weights: Array2::zeros((k, d)),
            bias,
            adam: (Adam::new(k * d), Adam::new(k)),
            steps: 0,
            order: (0..n).collect(),
            batch: Array2::zeros((rows, d)),
            logits: vec![0.0; rows * k],
            residual: vec![0.0; rows * k],
            gradient: Array2::zeros((k, d)),
        }
    }

    /// Steps of one pass over the rows.
    pub(in crate::train) fn steps_per_pass(&self) -> usize {
        self.order.len().div_ceil(BATCH)
    }

    /// One pass in the seed's order; `rate(step)` is the step size, `step` counting from 0 over all
    /// passes; `l2` as in the head's objective. Two products of (n, d) with (d, k).
    pub(in crate::train) fn pass(
        &mut self,
        seed: u64,
        l2: f32,
        rate: &dyn Fn(usize) -> f32,
        observe: Observe<'_>,
    ) {
        self.order.sort_unstable();
        self.order.shuffle(&mut rng(seed));
        let order = std::mem::take(&mut self.order);
        for rows in order.chunks(BATCH) {
            self.forward(rows);
            observe(rows, &self.logits[..rows.len() * self.k], &self.residual[..rows.len() * self.k]);
            self.step(rows, l2, rate(self.steps as usize));
        }
        self.order = order;
    }

    /// Logits and, in `residual`, probabilities of `rows`.
    fn forward(&mut self, rows: &[usize]) {
        let (k, d) = self.weights.dim();
        let blocks: Vec<_> = self
            .batch
            .as_slice_mut()
            .expect("owned, standard layout")
            .chunks_mut(BLOCK * d.max(1))
            .zip(self.logits.chunks_mut(BLOCK * k))
            .zip(self.residual.chunks_mut(BLOCK * k))
            .zip(rows.chunks(BLOCK))
            .collect();
        let (x, weights, bias) = (self.x, self.weights.view(), &self.bias);
        blocks.into_par_iter().for_each(|(((batch, logits), residual), rows)| {
            let m = rows.len();
            gather(x, rows, &mut batch[..m * d]);
            let batch = ArrayView2::from_shape((m, d), &batch[..m * d]).expect("m x d entries");
            let logits = &mut logits[..m * k];
            let out = ArrayViewMut2::from_shape((m, k), &mut *logits).expect("m x k entries");
            tile(out, batch, weights.t());
            for (z, p) in logits.chunks_exact_mut(k).zip(residual.chunks_exact_mut(k)) {
                z.iter_mut().zip(bias).for_each(|(z, b)| *z += b);
                p.copy_from_slice(z);
                softmax_row(p);
            }
        });
    }

    fn step(&mut self, rows: &[usize], l2: f32, rate: f32) {
        let m = rows.len();
        let k = self.k;
        let share = self.y.len() as f32 / m as f32;
        let residual = &mut self.residual[..m * k];
        let mut bias = vec![0f32; k];
        for (r, &row) in residual.chunks_exact_mut(k).zip(rows) {
            r[self.y[row]] -= 1.0;
            let weight = share * self.sample_weights[row];
            for (r, b) in r.iter_mut().zip(&mut bias) {
                *r *= weight;
                *b += *r;
            }
        }
        let residual = ArrayView2::from_shape((m, k), &*residual).expect("m x k entries");
        let batch = self.batch.slice(ndarray::s![..m, ..]);
        let columns: Vec<_> = self
            .gradient
            .axis_chunks_iter_mut(Axis(1), BLOCK)
            .zip(batch.axis_chunks_iter(Axis(1), BLOCK))
            .collect();
        columns.into_par_iter().for_each(|(out, x)| tile(out, residual.t(), x));
        self.steps += 1;
        let weights = self.weights.as_slice_mut().expect("owned, standard layout");
        let gradient = self.gradient.as_slice().expect("owned, standard layout");
        self.adam.0.step(weights, gradient, l2, rate, self.steps);
        self.adam.1.step(&mut self.bias, &bias, 0.0, rate, self.steps);
    }
}
