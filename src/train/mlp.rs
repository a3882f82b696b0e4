//! A small network as a head: one hidden layer of ReLU units with dropout, AdamW, label smoothing, and
//! the exponential mean of the weights for judging. Own back-propagation over the matrix products;
//! seeded, the same bytes for any number of threads.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::error::TrainError;
use super::folds::Split;
use super::linear::softmax::softmax_row;
use super::linear::stochastic::{Adam, gather};
use crate::arrays::product::tile;
use crate::arrays::{Standardizer, gaussian_matrix, matmul, rng};

/// Rows of one step.
const BATCH: usize = 256;
/// Rows of a batch, and columns of a gradient, that one task computes.
const BLOCK: usize = 128;

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

impl MlpParams {
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

/// Weights, or gradients by them: hidden layer (h, d) and (h), output layer (k, h) and (k), flat.
#[derive(Clone)]
struct Net {
    d: usize,
    h: usize,
    k: usize,
    parts: [Vec<f32>; 4],
}

impl Net {
    fn zero(d: usize, h: usize, k: usize) -> Self {
        Self { d, h, k, parts: [h * d, h, k * h, k].map(|n| vec![0.0; n]) }
    }

    /// He's initialisation for the hidden layer, LeCun's for the output layer, no bias.
    fn random(d: usize, h: usize, k: usize, seed: u64) -> Self {
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
    fn predict(&self, x: ArrayView2<'_, f32>) -> Array2<f32> {
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
struct Work {
    x: Vec<f32>,
    hidden: Vec<f32>,
    /// Derivatives by the hidden units before the ReLU, and by the logits.
    by_hidden: Vec<f32>,
    by_logits: Vec<f32>,
}

/// The batch's rows, and how to judge them.
struct Batch<'a> {
    x: ArrayView2<'a, f32>,
    y: &'a [usize],
    rows: &'a [usize],
    smoothing: f32,
    dropout: f32,
    /// Names the batch's silenced units.
    seed: u64,
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

/// Derivatives of the batch's mean loss into `gradient`.
fn backward(net: &Net, batch: &Batch<'_>, work: &mut Work, gradient: &mut Net) {
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
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::linear::argmax_rows;
    use crate::train::stratified_folds;

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let (n, d, h, k, smoothing) = (150, 5, 7, 4, 0.1f32);
        let x = gaussian_matrix(n, d, &mut rng(51));
        let y: Vec<usize> = (0..n).map(|i| (i * 7 + i / 3) % k).collect();
        let mut net = Net::random(d, h, k, 1);
        net.parts[1] = (0..h).map(|i| 0.1 * i as f32 - 0.3).collect();
        net.parts[3] = (0..k).map(|i| 0.2 - 0.1 * i as f32).collect();
        let rows: Vec<usize> = (0..n).rev().collect();
        let mut work = Work {
            x: vec![0.0; n * d],
            hidden: vec![0.0; n * h],
            by_hidden: vec![0.0; n * h],
            by_logits: vec![0.0; n * k],
        };
        let mut gradient = Net::zero(d, h, k);
        let batch = Batch { x: x.view(), y: &y, rows: &rows, smoothing, dropout: 0.0, seed: 9 };
        backward(&net, &batch, &mut work, &mut gradient);
        // An independent loss in f64, by the definition.
        let loss = |parts: &[Vec<f64>; 4]| -> f64 {
            let mut total = 0.0;
            for i in 0..n {
                let a: Vec<f64> = (0..h)
                    .map(|u| {
                        let z: f64 = (0..d).map(|j| parts[0][u * d + j] * f64::from(x[[i, j]])).sum();
                        (z + parts[1][u]).max(0.0)
                    })
                    .collect();
                let z: Vec<f64> = (0..k)
                    .map(|c| parts[3][c] + (0..h).map(|u| parts[2][c * h + u] * a[u]).sum::<f64>())
                    .collect();
                let log_sum = z.iter().map(|v| v.exp()).sum::<f64>().ln();
                let s = f64::from(smoothing);
                let mean = z.iter().sum::<f64>() / k as f64;
                total += log_sum - (1.0 - s) * z[y[i]] - s * mean;
            }
            total / n as f64
        };
        let wide = net.parts.each_ref().map(|p| p.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>());
        for part in 0..4 {
            for j in 0..wide[part].len() {
                let moved = |by: f64| {
                    let mut parts = wide.clone();
                    parts[part][j] += by;
                    loss(&parts)
                };
                let want = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                let got = f64::from(gradient.parts[part][j]);
                assert!((got - want).abs() < 1e-5, "part {part}, {j}: {got} against {want}");
            }
        }
    }

    #[test]
    fn learns_what_no_linear_head_can() {
        // Class = whether two signs agree.
        let n = 1200;
        let x = gaussian_matrix(n, 2, &mut rng(52));
        let y: Vec<usize> = x.rows().into_iter().map(|r| usize::from((r[0] > 0.0) == (r[1] > 0.0))).collect();
        let folds = stratified_folds(&y, 2, 4, None, 0);
        let params = MlpParams { hidden: 32, epochs: 60, rate: 1e-2, ema: 0.9, ..MlpParams::default() };
        let (rows, p) = mlp_fold(x.view(), &y, 2, &folds, 0, &params, &|_| true).unwrap();
        let right = rows.iter().zip(argmax_rows(p.view())).filter(|(row, c)| y[**row] == *c).count();
        assert!(right as f64 > 0.93 * rows.len() as f64, "{right} of {}", rows.len());
        assert!(p.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-5));
    }

    #[test]
    fn threads_do_not_change_a_bit_and_dropout_silences_its_share() {
        let x = gaussian_matrix(700, 150, &mut rng(53));
        let y: Vec<usize> = (0..700).map(|i| (i * 11 + i / 13) % 5).collect();
        let folds = stratified_folds(&y, 5, 2, None, 0);
        let params = MlpParams { hidden: 20, epochs: 2, ..MlpParams::default() };
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| mlp_fold(x.view(), &y, 5, &folds, 1, &params, &|_| true).unwrap())
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert_eq!(one, with(8));
        let mut state = 3;
        let small = (0..4000).filter(|_| (split_mix(&mut state) as u8) < 64).count();
        assert!((900..1100).contains(&small), "{small}");
    }

    #[test]
    fn mistakes_are_named_and_cancel_works() {
        let x = Array2::<f32>::zeros((4, 2));
        let ok = MlpParams::default();
        let run = |p: MlpParams, tick: &dyn Fn(usize) -> bool| {
            mlp_fold(x.view(), &[0, 1, 0, 1], 2, &[0, 0, 1, 1], 0, &p, tick)
        };
        for bad in [
            MlpParams { hidden: 0, ..ok },
            MlpParams { epochs: 0, ..ok },
            MlpParams { rate: 0.0, ..ok },
            MlpParams { decay: f32::NAN, ..ok },
            MlpParams { dropout: 1.0, ..ok },
            MlpParams { smoothing: -0.1, ..ok },
            MlpParams { ema: 1.0, ..ok },
        ] {
            assert!(matches!(run(bad, &|_| true), Err(TrainError::Param { .. })), "{bad:?}");
        }
        assert_eq!(run(ok, &|e| e < 1).unwrap_err(), TrainError::Cancelled);
    }
}
