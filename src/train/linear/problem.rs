//! The objective of the linear head: mean cross-entropy + l2/2 * |W|^2 (bias not penalised), with
//! gradients, in one of two exactly equivalent coordinate systems, whichever is cheaper.
//!
//! *Primal*: coordinates are W (d, k). *Dual*: W = X^T A with A (n, k) - the optimum always lies in
//! the span of the rows - and inner products are those of W, <W(A), W(B)> = <A, K B> with the Gram
//! matrix K = X X^T. L-BFGS only ever forms sums and inner products, so it takes the same steps in
//! both; for n < d the dual touches n x n instead of n x d numbers per iteration.

use ndarray::{Array1, Array2, ArrayView2};
use rayon::prelude::*;

use crate::arrays::{dot, matmul};

/// The Gram matrix may take this many entries (64 Mi x 4 bytes = 256 MiB).
const GRAM_LIMIT: usize = 1 << 26;
/// Rows whose losses one task sums; fixed, so that the order of summation is.
const BLOCK_ROWS: usize = 256;

pub(super) struct Problem<'a> {
    /// (n, d), standardised.
    x: ArrayView2<'a, f32>,
    /// Compact class of each row, in 0..k.
    y: &'a [usize],
    k: usize,
    /// (n), >= 0, sum 1.
    weights: &'a [f32],
    gram: Option<Array2<f32>>,
}

/// Coordinates of a head or of a direction: weights (p, k), flat, and bias (k).
#[derive(Clone)]
pub(super) struct Point {
    pub(super) w: Vec<f32>,
    pub(super) b: Vec<f32>,
    /// K w in the dual; in the primal the metric is the identity and nothing is kept.
    pub(super) metric: Option<Vec<f32>>,
}

impl Point {
    /// self += factor * other, coordinates only (the metric part is not kept up).
    pub(super) fn add(&mut self, factor: f64, other: &Point) {
        axpy(&mut self.w, factor, &other.w);
        axpy(&mut self.b, factor, &other.b);
    }

    pub(super) fn scale(&mut self, factor: f64) {
        for v in self.w.iter_mut().chain(&mut self.b) {
            *v = (f64::from(*v) * factor) as f32;
        }
    }

    /// Inner product of the heads; `other` must carry its metric part in the dual.
    pub(super) fn dot(&self, other: &Point) -> f64 {
        self.dot_weights(other) + dot(&self.b, &other.b)
    }

    /// Inner product of the weights without the bias.
    pub(super) fn dot_weights(&self, other: &Point) -> f64 {
        dot(&self.w, other.metric.as_deref().unwrap_or(&other.w))
    }
}

/// a += factor * b.
pub(super) fn axpy(a: &mut [f32], factor: f64, b: &[f32]) {
    let factor = factor as f32;
    for (x, y) in a.iter_mut().zip(b) {
        *x += factor * y;
    }
}

/// Loss along a line and what is needed to go on from there.
pub(super) struct Evaluation {
    /// Mean cross-entropy, without the penalty.
    pub(super) loss: f64,
    /// Its derivative along the direction.
    pub(super) slope: f64,
    /// weight_i * (p_i - onehot(y_i)), (n, k) flat.
    pub(super) residual: Vec<f32>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(x: ArrayView2<'a, f32>, y: &'a [usize], k: usize, weights: &'a [f32]) -> Self {
        let n = x.nrows();
        let gram = (n < x.ncols() && n * n <= GRAM_LIMIT).then(|| matmul(x, x.t()));
        Self { x, y, k, weights, gram }
    }

    /// The same problem in W coordinates, for tests of the equivalence.
    #[cfg(test)]
    pub(super) fn primal(x: ArrayView2<'a, f32>, y: &'a [usize], k: usize, weights: &'a [f32]) -> Self {
        Self { x, y, k, weights, gram: None }
    }

    pub(super) fn zero(&self) -> Point {
        let p = self.gram.as_ref().map_or(self.x.ncols(), Array2::nrows);
        let metric = self.gram.as_ref().map(|_| vec![0.0; p * self.k]);
        Point { w: vec![0.0; p * self.k], b: vec![0.0; self.k], metric }
    }

    /// Logits that coordinates `w` give to every row, without the bias: (n, k) flat.
    pub(super) fn image(&self, w: &[f32]) -> Vec<f32> {
        let left = self.gram.as_ref().map_or(self.x, |g| g.view());
        let w = ArrayView2::from_shape((left.ncols(), self.k), w).expect("w has p x k entries");
        into_flat(matmul(left, w))
    }

    /// Gradient of loss + l2/2 |W|^2 at `at`, whose logits without bias are `image`.
    pub(super) fn gradient(&self, residual: &[f32], at: &Point, l2: f64) -> Point {
        let n = self.y.len();
        let view = ArrayView2::from_shape((n, self.k), residual).expect("residual has n x k entries");
        let mut b = vec![0f64; self.k];
        for row in residual.chunks_exact(self.k) {
            for (s, v) in b.iter_mut().zip(row) {
                *s += f64::from(*v);
            }
        }
        let b = b.into_iter().map(|v| v as f32).collect();
        let mut w = match &self.gram {
            None => into_flat(matmul(self.x.t(), view)),
            Some(_) => residual.to_vec(),
        };
        axpy(&mut w, l2, &at.w);
        let metric = self.gram.as_ref().map(|_| self.image(&w));
        Point { w, b, metric }
    }

    /// Loss at `image + bias + t * (direction's image and bias)`. O(n k).
    pub(super) fn evaluate(
        &self,
        image: &[f32],
        bias: &[f32],
        t: f64,
        step_image: &[f32],
        step_bias: &[f32],
    ) -> Evaluation {
        let k = self.k;
        let t = t as f32;
        let mut residual = vec![0f32; image.len()];
        let parts: Vec<(f64, f64)> = residual
            .par_chunks_mut(BLOCK_ROWS * k)
            .enumerate()
            .map(|(block, out)| {
                let (mut loss, mut slope) = (0f64, 0f64);
                for (r, out) in out.chunks_exact_mut(k).enumerate() {
                    let i = block * BLOCK_ROWS + r;
                    let (z, dz) = (&image[i * k..(i + 1) * k], &step_image[i * k..(i + 1) * k]);
                    for ((((o, z), dz), b), db) in out.iter_mut().zip(z).zip(dz).zip(bias).zip(step_bias) {
                        *o = (z + b) + t * (dz + db);
                    }
                    let at_label = out[self.y[i]];
                    let (max, sum) = softmax_row(out);
                    let weight = self.weights[i];
                    loss += f64::from(weight) * (f64::from(sum).ln() + f64::from(max - at_label));
                    out[self.y[i]] -= 1.0;
                    let mut along = 0f32;
                    for ((o, dz), db) in out.iter_mut().zip(dz).zip(step_bias) {
                        *o *= weight;
                        along += *o * (dz + db);
                    }
                    slope += f64::from(along);
                }
                (loss, slope)
            })
            .collect();
        let (loss, slope) = parts.into_iter().fold((0.0, 0.0), |(l, s), (a, b)| (l + a, s + b));
        Evaluation { loss, slope, residual }
    }

    /// Coordinates as weights (d, k) and bias (k) of a head.
    pub(super) fn head(&self, point: &Point) -> (Array2<f32>, Array1<f32>) {
        let p = point.w.len() / self.k;
        let w = ArrayView2::from_shape((p, self.k), &point.w).expect("w has p x k entries");
        let weights = if self.gram.is_some() { matmul(self.x.t(), w) } else { w.to_owned() };
        (weights, Array1::from_vec(point.b.clone()))
    }
}

fn into_flat(a: Array2<f32>) -> Vec<f32> {
    a.into_raw_vec_and_offset().0
}

/// Turns logits into probabilities in place; returns the largest logit and the sum of
/// exp(logit - largest), so that log-sum-exp = largest + ln(sum).
pub(super) fn softmax_row(row: &mut [f32]) -> (f32, f32) {
    let max = row.iter().fold(f32::NEG_INFINITY, |m, &v| if v > m { v } else { m });
    let mut sum = 0f32;
    for v in row.iter_mut() {
        *v = (*v - max).exp();
        sum += *v;
    }
    let inverse = 1.0 / sum;
    for v in row.iter_mut() {
        *v *= inverse;
    }
    (max, sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};

    #[test]
    fn gradient_agrees_with_finite_differences() {
        let mut r = rng(5);
        let (n, d, k, l2) = (23, 4, 3, 0.07);
        let x = gaussian_matrix(n, d, &mut r);
        let y: Vec<usize> = (0..n).map(|i| (i * 7) % k).collect();
        let weights: Vec<f32> = (0..n).map(|i| (1 + i % 3) as f32 / 45.0).collect();
        let problem = Problem::primal(x.view(), &y, k, &weights);
        let mut at = problem.zero();
        at.w = gaussian_matrix(d, k, &mut r).into_iter().collect();
        at.b = vec![0.3, -0.2, 0.1];
        // An independent loss in f64, by the definition.
        let loss = |w: &[f64], b: &[f64]| -> f64 {
            let mut total = 0.5 * l2 * w.iter().map(|v| v * v).sum::<f64>();
            for i in 0..n {
                let z: Vec<f64> = (0..k)
                    .map(|c| b[c] + (0..d).map(|j| f64::from(x[[i, j]]) * w[j * k + c]).sum::<f64>())
                    .collect();
                let sum: f64 = z.iter().map(|v| v.exp()).sum();
                total += f64::from(weights[i]) * (sum.ln() - z[y[i]]);
            }
            total
        };
        let image = problem.image(&at.w);
        let zeros = vec![0.0; n * k];
        let e = problem.evaluate(&image, &at.b, 0.0, &zeros, &vec![0.0; k]);
        let g = problem.gradient(&e.residual, &at, l2);
        let wide = |v: &[f32]| v.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let (w, b) = (wide(&at.w), wide(&at.b));
        assert!((e.loss + 0.5 * l2 * at.dot_weights(&at) - loss(&w, &b)).abs() < 1e-6);
        for j in 0..d * k + k {
            let moved = |h: f64| {
                let (mut w, mut b) = (w.clone(), b.clone());
                if j < d * k {
                    w[j] += h
                } else {
                    b[j - d * k] += h
                }
                loss(&w, &b)
            };
            let want = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let got = f64::from(if j < d * k { g.w[j] } else { g.b[j - d * k] });
            assert!((got - want).abs() < 2e-6, "coordinate {j}: {got} against {want}");
        }
    }
}
