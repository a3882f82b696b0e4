//! The network: its weights, what it says of rows, and the derivatives of its loss by the weights.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use crate::arrays::product::tile;
use crate::arrays::{gaussian_matrix, matmul, rng};
use crate::train::linear::softmax::softmax_row;
use crate::train::linear::stochastic::gather;

/// Rows of a batch, and columns of a gradient, that one task computes.
const BLOCK: usize = 128;

/// Weights, or gradients by them: hidden layer (h, d) and (h), output layer (k, h) and (k), flat.
#[derive(Clone)]
pub(super) struct Net {
    d: usize,
    h: usize,
    k: usize,
    pub(super) parts: [Vec<f32>; 4],
}

impl Net {
    pub(super) fn zero(d: usize, h: usize, k: usize) -> Self {
        Self { d, h, k, parts: [h * d, h, k * h, k].map(|n| vec![0.0; n]) }
    }

    /// He's initialisation for the hidden layer, LeCun's for the output layer, no bias.
    pub(super) fn random(d: usize, h: usize, k: usize, seed: u64) -> Self {
        let mut r = rng(seed);
        let mut net = Self::zero(d, h, k);
        let first = (2.0 / d.max(1) as f32).sqrt();
        let second = (1.0 / h as f32).sqrt();
        net.parts[0] = gaussian_matrix(h, d, &mut r).into_iter().map(|v| first * v).collect();
        net.parts[2] = gaussian_matrix(k, h, &mut r).into_iter().map(|v| second * v).collect();
        net
    }

    fn first(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.h, self.d), &self.parts[0]).expect("h x d entries")
    }

    fn second(&self) -> ArrayView2<'_, f32> {
        ArrayView2::from_shape((self.k, self.h), &self.parts[2]).expect("k x h entries")
    }

    /// Probabilities (n, k) of standardised rows, no unit silenced.
    pub(super) fn predict(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut hidden = matmul(x, self.first().t());
        for mut row in hidden.rows_mut() {
            row.iter_mut().zip(&self.parts[1]).for_each(|(v, b)| *v = relu(*v + b));
        }
        let mut p = matmul(hidden.view(), self.second().t());
        for mut row in p.rows_mut() {
            row.iter_mut().zip(&self.parts[3]).for_each(|(v, b)| *v += b);
            softmax_row(row.as_slice_mut().expect("a product is in standard layout"));
        }
        p
    }
}

fn relu(v: f32) -> f32 {
    if v > 0.0 { v } else { 0.0 }
}

/// Room for one batch.
pub(super) struct Work {
    pub(super) x: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    /// Derivatives by the hidden units before the ReLU, and by the logits.
    pub(super) by_hidden: Vec<f32>,
    pub(super) by_logits: Vec<f32>,
}

/// The batch's rows, and how to judge them.
pub(super) struct Batch<'a> {
    pub(super) x: ArrayView2<'a, f32>,
    pub(super) y: &'a [usize],
    pub(super) rows: &'a [usize],
    pub(super) smoothing: f32,
    pub(super) dropout: f32,
    /// Names the batch's silenced units.
    pub(super) seed: u64,
}

/// Derivatives of the batch's mean loss into `gradient`.
pub(super) fn backward(net: &Net, batch: &Batch<'_>, work: &mut Work, gradient: &mut Net) {
    let (d, h, k, m) = (net.d, net.h, net.k, batch.rows.len());
    let blocks: Vec<_> = work.x[..m * d]
        .chunks_mut((BLOCK * d).max(1))
        .zip(work.hidden[..m * h].chunks_mut(BLOCK * h))
        .zip(work.by_hidden[..m * h].chunks_mut(BLOCK * h))
        .zip(work.by_logits[..m * k].chunks_mut(BLOCK * k))
        .zip(batch.rows.chunks(BLOCK))
        .enumerate()
        .collect();
    blocks.into_par_iter().for_each(|(i, ((((x, hidden), by_hidden), by_logits), rows))| {
        block_backward(net, batch, i * BLOCK, rows, x, hidden, by_hidden, by_logits);
    });
    let view = |v, columns| ArrayView2::from_shape((m, columns), v).expect("m rows");
    let (x, hidden) = (view(&work.x[..m * d], d), view(&work.hidden[..m * h], h));
    let (by_hidden, by_logits) = (view(&work.by_hidden[..m * h], h), view(&work.by_logits[..m * k], k));
    let [first, first_bias, second, second_bias] = &mut gradient.parts;
    let mut first = ArrayViewMut2::from_shape((h, d), first).expect("h x d entries");
    let second = ArrayViewMut2::from_shape((k, h), second).expect("k x h entries");
    let mut products: Vec<_> = first
        .axis_chunks_iter_mut(Axis(1), BLOCK)
        .zip(x.axis_chunks_iter(Axis(1), BLOCK))
        .map(|(out, x)| (out, by_hidden.t(), x))
        .collect();
    products.push((second, by_logits.t(), hidden));
    products.into_par_iter().for_each(|(out, a, b)| tile(out, a, b));
    for (out, rows) in [(first_bias, by_hidden), (second_bias, by_logits)] {
        out.fill(0.0);
        for row in rows.rows() {
            out.iter_mut().zip(row).for_each(|(o, v)| *o += v);
        }
    }
}

/// The rows `offset..` of a batch: forward, then back to the hidden units.
#[expect(clippy::too_many_arguments, reason = "one block of each of the batch's arrays")]
fn block_backward(
    net: &Net,
    batch: &Batch<'_>,
    offset: usize,
    rows: &[usize],
    x: &mut [f32],
    hidden: &mut [f32],
    by_hidden: &mut [f32],
    by_logits: &mut [f32],
) {
    fn shaped(v: &mut [f32], m: usize, columns: usize) -> ArrayViewMut2<'_, f32> {
        ArrayViewMut2::from_shape((m, columns), v).expect("m rows")
    }
    let (d, h, k, m) = (net.d, net.h, net.k, rows.len());
    gather(batch.x, rows, x);
    tile(shaped(hidden, m, h), shaped(x, m, d).view(), net.first().t());
    // A unit that is silenced or below zero passes nothing on, forwards or back.
    let silenced = (batch.dropout * 256.0) as u8;
    let louder = 256.0 / (256.0 - f32::from(silenced));
    for (i, row) in hidden.chunks_exact_mut(h).enumerate() {
        let mut state = batch.seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ ((offset + i) as u64) << 40;
        // eight units a draw, a byte each
        for (units, bias) in row.chunks_mut(8).zip(net.parts[1].chunks(8)) {
            let bytes = split_mix(&mut state).to_le_bytes();
            for ((v, b), byte) in units.iter_mut().zip(bias).zip(bytes) {
                *v = relu(*v + b) * if byte >= silenced { louder } else { 0.0 };
            }
        }
    }
    tile(shaped(by_logits, m, k), shaped(hidden, m, h).view(), net.second().t());
    let share = 1.0 / batch.rows.len() as f32;
    for (p, &row) in by_logits.chunks_exact_mut(k).zip(rows) {
        p.iter_mut().zip(&net.parts[3]).for_each(|(z, b)| *z += b);
        softmax_row(p);
        p.iter_mut().for_each(|v| *v = (*v - batch.smoothing / k as f32) * share);
        p[batch.y[row]] -= (1.0 - batch.smoothing) * share;
    }
    tile(shaped(by_hidden, m, h), shaped(by_logits, m, k).view(), net.second());
    for (g, v) in by_hidden.iter_mut().zip(hidden.iter()) {
        *g = if *v > 0.0 { *g * louder } else { 0.0 };
    }
}

/// Steele, Lea and Flood's SplitMix64.
pub(super) fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    crate::arrays::mix(*state)
}
