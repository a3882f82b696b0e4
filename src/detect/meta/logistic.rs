//! Weighted logistic regression of few columns by Newton's method (iteratively reweighted least squares),
//! with an L2 penalty and log-odds that are given.
//!
//! Minimises C * sum_i w_i ln(1 + exp(-s_i (a o_i + b0 + x_i b))) + |b|^2 / 2 with s_i = +1 or -1,
//! scikit-learn's convention. The intercept b0 is free; so is, but for a hint towards 1, the slope a of the
//! given log-odds: with a small C the answer is those, calibrated. Strictly convex, so the answer is one.

use ndarray::ArrayView2;

/// Weight of (a - 1)^2 / 2: it decides where the rows do not.
const HINT: f64 = 1e-3;
/// Newton steps; a handful suffice.
const MOST_STEPS: usize = 100;
/// Ends when no coefficient moves further than this.
const STILL: f64 = 1e-10;
/// Halvings of one step that does not lower the objective.
const MOST_HALVINGS: usize = 40;

/// Rows to fit, m of each.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    /// (m, d)
    pub(super) x: ArrayView2<'a, f64>,
    pub(super) y: &'a [bool],
    pub(super) weights: &'a [f64],
    /// Log-odds that are given.
    pub(super) offset: &'a [f64],
}

/// What was fitted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Logistic {
    pub(super) intercept: f64,
    /// Of the given log-odds.
    pub(super) slope: f64,
    /// (d)
    pub(super) coefficients: Vec<f64>,
}

impl Logistic {
    /// `rows` needs both outcomes with positive weight, else the intercept has no end. O(m d^2) a step.
    pub(super) fn fit(rows: Rows<'_>, c: f64) -> Self {
        let d = rows.x.ncols();
        // the slope and the intercept last
        let mut b = vec![0.0; d + 2];
        b[d] = 1.0;
        let mut value = objective(rows, &b, c);
        for _ in 0..MOST_STEPS {
            let Some(step) = newton_step(rows, &b, c) else { break };
            let mut share = 1.0;
            let mut next = value;
            let mut moved = b.clone();
            for _ in 0..MOST_HALVINGS {
                moved.iter_mut().zip(&b).zip(&step).for_each(|((m, b), s)| *m = b - share * s);
                next = objective(rows, &moved, c);
                if next <= value {
                    break;
                }
                share /= 2.0;
            }
            if next > value {
                break;
            }
            let furthest = moved.iter().zip(&b).map(|(m, b)| (m - b).abs()).fold(0.0, f64::max);
            (b, value) = (moved, next);
            if furthest < STILL {
                break;
            }
        }
        let (slope, intercept) = (b[d], b[d + 1]);
        b.truncate(d);
        Self { intercept, slope, coefficients: b }
    }

    /// Log-odds of one row.
    pub(super) fn log_odds(&self, row: impl IntoIterator<Item = f64>, offset: f64) -> f64 {
        let dot: f64 = row.into_iter().zip(&self.coefficients).map(|(x, b)| x * b).sum();
        self.slope * offset + self.intercept + dot
    }
}

/// 1 / (1 + exp(-z)).
pub(super) fn sigmoid(z: f64) -> f64 {
    if z >= 0.0 {
        1.0 / (1.0 + (-z).exp())
    } else {
        let e = z.exp();
        e / (1.0 + e)
    }
}

/// ln(1 + exp(z)) without overflow.
fn softplus(z: f64) -> f64 {
    z.max(0.0) + (-z.abs()).exp().ln_1p()
}

fn log_odds(rows: Rows<'_>, i: usize, b: &[f64]) -> f64 {
    let d = rows.x.ncols();
    let dot: f64 = rows.x.row(i).iter().zip(b).map(|(x, b)| x * b).sum();
    b[d] * rows.offset[i] + b[d + 1] + dot
}

fn objective(rows: Rows<'_>, b: &[f64], c: f64) -> f64 {
    let d = rows.x.ncols();
    let loss: f64 = (0..rows.y.len())
        .map(|i| {
            let z = log_odds(rows, i, b);
            rows.weights[i] * softplus(if rows.y[i] { -z } else { z })
        })
        .sum();
    c * loss + (b[..d].iter().map(|v| v * v).sum::<f64>() + HINT * (b[d] - 1.0).powi(2)) / 2.0
}

/// H^-1 g at `b`; `None` when H is not positive definite to rounding.
fn newton_step(rows: Rows<'_>, b: &[f64], c: f64) -> Option<Vec<f64>> {
    let d = rows.x.ncols();
    let p = d + 2;
    let (mut gradient, mut hessian) = (vec![0.0; p], vec![0.0; p * p]);
    for j in 0..d {
        gradient[j] = b[j];
        hessian[j * p + j] = 1.0;
    }
    gradient[d] = HINT * (b[d] - 1.0);
    hessian[d * p + d] = HINT;
    let mut row = vec![1.0; p];
    for i in 0..rows.y.len() {
        let q = sigmoid(log_odds(rows, i, b));
        let slope = c * rows.weights[i] * (q - f64::from(u8::from(rows.y[i])));
        let bend = c * rows.weights[i] * q * (1.0 - q);
        row.iter_mut().zip(rows.x.row(i)).for_each(|(to, x)| *to = *x);
        row[d] = rows.offset[i];
        for j in 0..p {
            gradient[j] += slope * row[j];
            for k in 0..=j {
                hessian[j * p + k] += bend * row[j] * row[k];
            }
        }
    }
    // an intercept that is all but certain bends the objective less than rounding
    hessian[p * p - 1] += 1e-12;
    solve(&mut hessian, gradient, p)
}

/// Solves `a x = b` by Cholesky's method; `a` (p, p) is symmetric, its lower half is read and overwritten.
fn solve(a: &mut [f64], mut b: Vec<f64>, p: usize) -> Option<Vec<f64>> {
    for j in 0..p {
        for k in 0..=j {
            let sum: f64 = (0..k).map(|l| a[j * p + l] * a[k * p + l]).sum();
            let rest = a[j * p + k] - sum;
            if j == k {
                if rest <= 0.0 || !rest.is_finite() {
                    return None;
                }
                a[j * p + j] = rest.sqrt();
            } else {
                a[j * p + k] = rest / a[k * p + k];
            }
        }
    }
    for j in 0..p {
        let sum: f64 = (0..j).map(|l| a[j * p + l] * b[l]).sum();
        b[j] = (b[j] - sum) / a[j * p + j];
    }
    for j in (0..p).rev() {
        let sum: f64 = (j + 1..p).map(|l| a[l * p + j] * b[l]).sum();
        b[j] = (b[j] - sum) / a[j * p + j];
    }
    Some(b)
}
