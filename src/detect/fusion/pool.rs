//! The logarithmic opinion pool: p ∝ Π p_m ^ a_m, weights a_m >= 0 by the log-loss of the given labels.
//! With so few weights noise cannot be learnt by heart, so no clean label is needed: a member that knows
//! less than the others loses its weight, one that knows nothing gets none.
//!
//! Source: Genest and Zidek, "Combining probability distributions", Statistical Science 1986; Wolpert,
//! "Stacked generalization", 1992.

use rayon::prelude::*;

use super::members::Logs;

/// Rows on which the weights are fitted.
const FIT_ROWS: usize = 20_000;
/// Pull towards equal weights.
const RIDGE: f64 = 1e-3;
const MOST: f64 = 5.0;
const STEPS: usize = 30;

/// The pool's probabilities over the candidates (slot 0 the given label), (N, width), rows summing to 1,
/// and its weights, one a member. `trust` (N): how far each label is believed.
pub(super) fn pool(members: &[&Logs], width: usize, trust: &[f32]) -> (Vec<f32>, Vec<f64>) {
    let weights = fit(members, width, trust);
    let mut out = vec![0f32; trust.len() * width];
    out.par_chunks_exact_mut(width).enumerate().for_each(|(i, out)| {
        mix(members, &weights, i, width, out);
    });
    (out, weights)
}

/// Softmax of the weighted logarithms of row `i`.
fn mix(members: &[&Logs], weights: &[f64], i: usize, width: usize, out: &mut [f32]) {
    let at = i * width..(i + 1) * width;
    out.fill(0.0);
    for (member, &a) in members.iter().zip(weights) {
        for (o, &l) in out.iter_mut().zip(&member[at.clone()]) {
            // a slot without a class stays one, whatever the weight
            *o += if l == f32::NEG_INFINITY { l } else { a as f32 * l };
        }
    }
    let most = out.iter().fold(f32::NEG_INFINITY, |m, &v| m.max(v));
    out.iter_mut().for_each(|v| *v = (*v - most).exp());
    let sum: f32 = out.iter().sum();
    out.iter_mut().for_each(|v| *v /= sum);
}

/// Projected Newton on a convex function of one number a member.
fn fit(members: &[&Logs], width: usize, trust: &[f32]) -> Vec<f64> {
    let m = members.len();
    let n = trust.len();
    let start = 1.0 / m as f64;
    let rows: Vec<usize> = (0..n).step_by(n.div_ceil(FIT_ROWS).max(1)).collect();
    let total: f64 = rows.iter().map(|&i| f64::from(trust[i])).sum();
    let mut a = vec![start; m];
    let mut here = evaluate(members, width, trust, &rows, total, &a, start);
    for _ in 0..STEPS {
        let step = newton_step(&a, &here);
        let mut t = 1.0;
        let mut moved = false;
        while t > 1e-3 {
            let next: Vec<f64> = a.iter().zip(&step).map(|(a, s)| (a - t * s).clamp(0.0, MOST)).collect();
            let there = evaluate(members, width, trust, &rows, total, &next, start);
            if there.loss < here.loss - 1e-10 {
                let far = next.iter().zip(&a).any(|(x, y)| (x - y).abs() > 1e-4);
                (a, here, moved) = (next, there, far);
                break;
            }
            t /= 2.0;
        }
        if !moved {
            break;
        }
    }
    a
}

struct Evaluation {
    loss: f64,
    gradient: Vec<f64>,
    /// (m, m)
    hessian: Vec<f64>,
}

fn evaluate(
    members: &[&Logs],
    width: usize,
    trust: &[f32],
    rows: &[usize],
    total: f64,
    a: &[f64],
    start: f64,
) -> Evaluation {
    let m = members.len();
    let zero = || Evaluation { loss: 0.0, gradient: vec![0.0; m], hessian: vec![0.0; m * m] };
    // fixed blocks, added in order: the same sums for any number of threads
    let parts: Vec<Evaluation> = rows
        .par_chunks(512)
        .map(|rows| {
            let mut sum = zero();
            let mut p = vec![0f32; width];
            for &i in rows {
                let w = f64::from(trust[i]) / total;
                mix(members, a, i, width, &mut p);
                sum.loss -= w * f64::from(p[0].max(1e-12)).ln();
                let mean = |f: &dyn Fn(usize) -> f64| {
                    (0..width).filter(|&c| p[c] > 0.0).map(|c| f64::from(p[c]) * f(c)).sum::<f64>()
                };
                let log = |m: usize, c: usize| f64::from(members[m][i * width + c]);
                let means: Vec<f64> = (0..m).map(|j| mean(&|c| log(j, c))).collect();
                for j in 0..m {
                    sum.gradient[j] += w * (means[j] - log(j, 0));
                    for l in 0..=j {
                        let both = mean(&|c| log(j, c) * log(l, c)) - means[j] * means[l];
                        sum.hessian[j * m + l] += w * both;
                    }
                }
            }
            sum
        })
        .collect();
    let mut out = zero();
    for part in parts {
        out.loss += part.loss;
        out.gradient.iter_mut().zip(part.gradient).for_each(|(a, b)| *a += b);
        out.hessian.iter_mut().zip(part.hessian).for_each(|(a, b)| *a += b);
    }
    for (j, a) in a.iter().enumerate() {
        out.loss += RIDGE * (a - start).powi(2);
        out.gradient[j] += 2.0 * RIDGE * (a - start);
        out.hessian[j * m + j] += 2.0 * RIDGE;
        for l in 0..j {
            out.hessian[l * m + j] = out.hessian[j * m + l];
        }
    }
    out
}

/// Hessian^-1 gradient over the weights that are free to move (elimination; the matrix is positive definite).
fn newton_step(a: &[f64], at: &Evaluation) -> Vec<f64> {
    let m = a.len();
    let free: Vec<usize> = (0..m).filter(|&j| !(a[j] <= 0.0 && at.gradient[j] > 0.0)).collect();
    let f = free.len();
    let mut h: Vec<Vec<f64>> = free
        .iter()
        .map(|&i| {
            let mut row: Vec<f64> = free.iter().map(|&j| at.hessian[i * m + j]).collect();
            row.push(at.gradient[i]);
            row
        })
        .collect();
    for c in 0..f {
        let pivot = h[c].clone();
        for (_, row) in h.iter_mut().enumerate().filter(|(r, _)| *r != c) {
            let factor = row[c] / pivot[c].max(1e-12);
            row[c..].iter_mut().zip(&pivot[c..]).for_each(|(x, p)| *x -= factor * p);
        }
    }
    let mut step = vec![0.0; m];
    for (c, &j) in free.iter().enumerate() {
        step[j] = h[c][f] / h[c][c].max(1e-12);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::rng;
    use rand::Rng;

    /// Logs of two classes of which the given one is right with the stated chance.
    fn member(n: usize, right: f64, seed: u64) -> Logs {
        let mut r = rng(seed);
        (0..n)
            .flat_map(|_| {
                let p: f32 = if r.r#gen::<f64>() < right { 0.9 } else { 0.1 };
                [p.ln(), (1.0 - p).ln()]
            })
            .collect()
    }

    #[test]
    fn who_knows_nothing_gets_no_weight() {
        let (good, noise) = (member(4000, 0.9, 1), member(4000, 0.5, 2));
        let (p, a) = pool(&[&good, &noise], 2, &vec![1.0; 4000]);
        assert!((a[0] - 1.0).abs() < 0.1 && a[1] < 0.05, "{a:?}");
        assert!(p.chunks_exact(2).all(|r| (r[0] + r[1] - 1.0).abs() < 1e-5));
    }

    #[test]
    fn an_overconfident_member_is_toned_down() {
        // right in 70 % but says 90 %: the weight is ln(0.7 / 0.3) / ln(0.9 / 0.1)
        let (_, a) = pool(&[&member(20_000, 0.7, 3)], 2, &vec![1.0; 20_000]);
        assert!((a[0] - 0.3856).abs() < 0.03, "{a:?}");
    }
}
