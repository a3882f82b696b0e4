//! The objective of the linear head: mean cross-entropy + l2/2 * |W|^2 (bias not penalised), with
//! gradients, in one of two exactly equivalent coordinate systems, whichever is cheaper.
//!
//! *Primal*: coordinates are W (d, k). *Dual*: W = X^T A with A (n, k) - the optimum always lies in
//! the span of the rows - and inner products are those of W, <W(A), W(B)> = <A, K B> with the Gram
//! matrix K = X X^T. L-BFGS only ever forms sums and inner products, so it takes the same steps in
//! both; for n < d the dual touches n x n instead of n x d numbers per iteration.

use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

use super::precondition::{Preconditioner, curvature};
use super::softmax::{dot as dot_f32, softmax_row};
use crate::arrays::product::{matmul_into, tile};
use crate::arrays::{dot, matmul};

/// The Gram matrix may take this many entries (64 Mi x 4 bytes = 256 MiB).
const GRAM_LIMIT: usize = 1 << 26;
/// Rows whose losses one task sums; fixed, so that the order of summation is.
const BLOCK_ROWS: usize = 256;
/// Rows of one block of X^T R, and numbers that all blocks' results may take (256 MiB).
const PRODUCT_ROWS: usize = 2048;
const PARTIAL_LIMIT: usize = 1 << 26;

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

    /// self += factor * weights of other, with the metric part, the bias left alone.
    pub(super) fn add_weights(&mut self, factor: f64, other: &Point) {
        axpy(&mut self.w, factor, &other.w);
        if let (Some(m), Some(o)) = (&mut self.metric, &other.metric) {
            axpy(m, factor, o);
        }
    }

    /// Gradient of loss + l2/2 |W|^2 at `at`, `self` being that of the loss alone.
    pub(super) fn penalized(&self, at: &Point, l2: f64) -> Point {
        let mut g = self.clone();
        g.add_weights(l2, at);
        g
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
    /// Its derivatives by the bias, (k).
    pub(super) bias: Vec<f64>,
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

    /// No weights, and the bias that is best without any: the logarithm of the classes' shares.
    pub(super) fn start(&self) -> Point {
        let p = self.gram.as_ref().map_or(self.x.ncols(), Array2::nrows);
        let metric = self.gram.as_ref().map(|_| vec![0.0; p * self.k]);
        let mut shares = vec![0f64; self.k];
        self.y.iter().zip(self.weights).for_each(|(&c, w)| shares[c] += f64::from(*w));
        // A class whose samples all weigh 0 has no finite best bias.
        let least = 1e-3 / self.y.len().max(1) as f64;
        let b = shares.into_iter().map(|s| s.max(least).ln() as f32).collect();
        Point { w: vec![0.0; p * self.k], b, metric }
    }

    /// The coordinates are W.
    pub(super) fn is_primal(&self) -> bool {
        self.gram.is_none()
    }

    /// n k.
    pub(super) fn n_logits(&self) -> usize {
        self.y.len() * self.k
    }

    /// Logits (n, k) that coordinates `w` give to every row, without the bias, into `out`.
    pub(super) fn image(&self, w: &[f32], out: &mut [f32]) {
        let left = self.gram.as_ref().map_or(self.x, |g| g.view());
        let w = ArrayView2::from_shape((left.ncols(), self.k), w).expect("w has p x k entries");
        let out = ArrayViewMut2::from_shape((left.nrows(), self.k), out).expect("out has n x k entries");
        matmul_into(out, left, w);
    }

    /// Gradient of the loss alone.
    pub(super) fn gradient(&self, residual: &[f32], bias: &[f64]) -> Point {
        let b = bias.iter().map(|v| *v as f32).collect();
        if self.gram.is_none() {
            return Point { w: self.transposed_product(residual), b, metric: None };
        }
        let mut metric = vec![0.0; residual.len()];
        self.image(residual, &mut metric);
        Point { w: residual.to_vec(), b, metric: Some(metric) }
    }

    /// X^T R as (d, k), flat. Blocks of rows are multiplied on their own and added in order: blocks
    /// of the result alone would be too few to share out, and R^T X is the shape the kernels like.
    fn transposed_product(&self, residual: &[f32]) -> Vec<f32> {
        let (n, d) = self.x.dim();
        let residual = ArrayView2::from_shape((n, self.k), residual).expect("residual has n x k entries");
        let rows = PRODUCT_ROWS.max(n.div_ceil((PARTIAL_LIMIT / (d * self.k).max(1)).max(1)));
        let blocks: Vec<_> =
            self.x.axis_chunks_iter(Axis(0), rows).zip(residual.axis_chunks_iter(Axis(0), rows)).collect();
        let parts: Vec<Array2<f32>> = blocks
            .into_par_iter()
            .map(|(x, r)| {
                let mut part = Array2::zeros((self.k, d));
                tile(part.view_mut(), r.t(), x);
                part
            })
            .collect();
        let mut parts = parts.into_iter();
        let first = parts.next().unwrap_or_else(|| Array2::zeros((self.k, d)));
        let total = parts.fold(first, |total, part| total + &part);
        into_flat(total.t().as_standard_layout().into_owned())
    }

    /// Loss at `image + bias + t * (direction's image and bias)`; `residual` (n, k) becomes
    /// weight_i * (p_i - onehot(y_i)). O(n k).
    pub(super) fn evaluate(
        &self,
        image: &[f32],
        bias: &[f32],
        t: f64,
        step_image: &[f32],
        step_bias: &[f32],
        residual: &mut [f32],
    ) -> Evaluation {
        let k = self.k;
        let t = t as f32;
        let parts: Vec<(f64, f64, Vec<f32>)> = residual
            .par_chunks_mut(BLOCK_ROWS * k)
            .enumerate()
            .map(|(block, out)| {
                let (mut loss, mut slope, mut sums) = (0f64, 0f64, vec![0f32; k]);
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
                    for (o, s) in out.iter_mut().zip(&mut sums) {
                        *o *= weight;
                        *s += *o;
                    }
                    slope += f64::from(dot_f32(out, dz));
                }
                slope += sums.iter().zip(step_bias).map(|(s, db)| f64::from(s * db)).sum::<f64>();
                (loss, slope, sums)
            })
            .collect();
        let mut total = Evaluation { loss: 0.0, slope: 0.0, bias: vec![0.0; k] };
        for (loss, slope, sums) in parts {
            total.loss += loss;
            total.slope += slope;
            total.bias.iter_mut().zip(sums).for_each(|(t, s)| *t += f64::from(s));
        }
        total
    }

    /// Coordinates as weights (d, k) and bias (k) of a head; the bias, which a constant may be added
    /// to without any effect, is the one of sum 0.
    pub(super) fn head(&self, point: &Point) -> (Array2<f32>, Array1<f32>) {
        let p = point.w.len() / self.k;
        let w = ArrayView2::from_shape((p, self.k), &point.w).expect("w has p x k entries");
        let weights = if self.gram.is_some() { matmul(self.x.t(), w) } else { w.to_owned() };
        let mean = point.b.iter().map(|v| f64::from(*v)).sum::<f64>() / self.k as f64;
        (weights, point.b.iter().map(|v| (f64::from(*v) - mean) as f32).collect())
    }

    /// A guess of the inverse Hessian where the coordinates are W and there are rows to tell from.
    pub(super) fn preconditioner(&self) -> Option<Preconditioner> {
        (self.gram.is_none() && self.x.ncols() > 0).then(|| Preconditioner::new(self.x))
    }

    /// See [`curvature`].
    pub(super) fn curvature(&self, residual: &[f32]) -> Vec<f64> {
        curvature(residual, self.y, self.weights, self.k)
    }
}

fn into_flat(a: Array2<f32>) -> Vec<f32> {
    a.into_raw_vec_and_offset().0
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
        let mut at = problem.start();
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
        let (mut image, mut residual) = (vec![0.0; n * k], vec![0.0; n * k]);
        problem.image(&at.w, &mut image);
        let e = problem.evaluate(&image, &at.b, 0.0, &vec![0.0; n * k], &vec![0.0; k], &mut residual);
        let g = problem.gradient(&residual, &e.bias).penalized(&at, l2);
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
