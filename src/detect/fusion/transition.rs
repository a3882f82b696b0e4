//! How labels come about, P(given | true), counted from the pool as confident learning counts; and what
//! follows for a sample: the posterior of its true class.
//!
//! The pool predicts *given* labels. They are those of the true classes as seen through the noise, so the
//! true ones are found by undoing it (Richardson and Lucy's deconvolution), and then by Bayes' rule with
//! the given label itself.

use ndarray::Array2;
use rayon::prelude::*;

use super::candidates::{Candidates, NONE, SLOTS};

/// Samples that the even spread of all errors is worth against the counts of a class.
const PRIOR_SAMPLES: f64 = 5.0;
const DECONVOLUTIONS: usize = 5;
/// Slack of a threshold.
const SLACK: f32 = 1e-6;

pub(super) struct Transition {
    /// (k, k) [true, given], rows sum to 1.
    t: Array2<f32>,
    /// Samples estimated to be of another class than their label: off the diagonal of the calibrated joint.
    pub(super) off_diagonal: f64,
}

impl Transition {
    /// From the pool `p` (N, width) over `candidates`: O(N width + k^2), memory k^2.
    pub(super) fn count(p: &[f32], candidates: &Candidates, n_classes: usize) -> Self {
        let (k, width) = (n_classes, candidates.width);
        let n = p.len() / width;
        let (mut sums, mut counts) = (vec![0f64; k], vec![0f64; k]);
        for i in 0..n {
            let y = candidates.row(i)[0] as usize;
            sums[y] += f64::from(p[i * width]);
            counts[y] += 1.0;
        }
        let threshold: Vec<f32> =
            sums.iter().zip(&counts).map(|(s, n)| if *n > 0.0 { (s / n) as f32 } else { 2.0 }).collect();
        // [given, true]
        let mut joint = Array2::<f64>::zeros((k, k));
        for (i, row) in p.chunks_exact(width).enumerate() {
            let classes = candidates.row(i);
            let confident = classes
                .iter()
                .zip(row)
                .filter(|(c, v)| **c != NONE && **v >= threshold[**c as usize] - SLACK)
                .fold(None, |best: Option<(u32, f32)>, (&c, &v)| match best {
                    Some((b, most)) if most > v || (most == v && b < c) => Some((b, most)),
                    _ => Some((c, v)),
                });
            if let Some((guess, _)) = confident {
                joint[[classes[0] as usize, guess as usize]] += 1.0;
            }
        }
        for (y, mut row) in joint.outer_iter_mut().enumerate() {
            row[y] = row[y].max(1.0);
            let scale = counts[y] / row.sum();
            row.mapv_inplace(|v| v * scale);
        }
        let total = joint.sum().max(f64::MIN_POSITIVE);
        let off_diagonal = joint.sum() - joint.diag().sum();
        let rate = off_diagonal / total;
        let elsewhere = rate / (k.max(2) - 1) as f64;
        let truth = joint.sum_axis(ndarray::Axis(0));
        let t = Array2::from_shape_fn((k, k), |(y, s)| {
            let spread = if y == s { 1.0 - rate } else { elsewhere };
            ((joint[[s, y]] + PRIOR_SAMPLES * spread) / (truth[y] + PRIOR_SAMPLES)).max(1e-9) as f32
        });
        Self { t, off_diagonal }
    }

    /// P(true class | sample, given label) over the candidates, (N, width), rows summing to 1.
    /// O(N width^2).
    pub(super) fn posterior(&self, p: &[f32], candidates: &Candidates) -> Vec<f32> {
        let width = candidates.width;
        let mut out = vec![0f32; p.len()];
        out.par_chunks_exact_mut(width).zip(p.par_chunks_exact(width)).enumerate().for_each(
            |(i, (out, p))| {
                let classes = candidates.row(i);
                let m = classes.iter().position(|&c| c == NONE).unwrap_or(width);
                let mut t = [[0f32; SLOTS]; SLOTS];
                for (row, &y) in t.iter_mut().zip(&classes[..m]) {
                    for (v, &s) in row.iter_mut().zip(&classes[..m]) {
                        *v = self.t[[y as usize, s as usize]];
                    }
                }
                out[..m].copy_from_slice(&p[..m]);
                for _ in 0..DECONVOLUTIONS {
                    let mut ratio = [0f32; SLOTS];
                    for s in 0..m {
                        let seen: f32 = (0..m).map(|y| out[y] * t[y][s]).sum();
                        ratio[s] = p[s] / seen.max(1e-12);
                    }
                    for y in 0..m {
                        out[y] *= (0..m).map(|s| t[y][s] * ratio[s]).sum::<f32>();
                    }
                    normalize(&mut out[..m]);
                }
                for y in 0..m {
                    out[y] *= t[y][0];
                }
                normalize(&mut out[..m]);
            },
        );
        out
    }

    /// (N) how much better another class explains the sample than its label does, higher = worse:
    /// max over y other than the label s of ln p_y T[y, s]^1/2, less ln p_s T[s, s]^1/2; and the slot of
    /// that class. The square root, because the matrix is an estimate, and noise that follows the samples
    /// rather than the classes makes it a wrong one.
    pub(super) fn margins(&self, p: &[f32], candidates: &Candidates) -> Vec<(f32, u8)> {
        let width = candidates.width;
        p.par_chunks_exact(width)
            .enumerate()
            .map(|(i, row)| {
                let classes = candidates.row(i);
                let scores = self.scores(row, classes);
                let best = (1..scores.len()).fold((f32::NEG_INFINITY, 1), |best, slot| {
                    let tie = scores[slot] == best.0 && classes[slot] < classes[best.1];
                    if scores[slot] > best.0 || tie { (scores[slot], slot) } else { best }
                });
                (best.0 - scores[0], best.1 as u8)
            })
            .collect()
    }

    /// ln p_y T[y, s]^1/2 of each candidate y of one sample (`row` the pool over `classes`, slot 0 the given
    /// label s); empty slots are left out.
    pub(super) fn scores(&self, row: &[f32], classes: &[u32]) -> Vec<f32> {
        let given = classes[0] as usize;
        let filled = row.iter().zip(classes).take_while(|(_, class)| **class != NONE);
        filled.map(|(p, class)| p.max(1e-6).ln() + 0.5 * self.t[[*class as usize, given]].ln()).collect()
    }
}

fn normalize(row: &mut [f32]) {
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|v| *v /= sum.max(1e-30));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two classes; a fifth of class 0 is labelled 1, none the other way.
    #[test]
    fn structured_noise_is_counted_and_undone() {
        let n = 1000;
        let truth = |i: usize| u32::from(i % 2 == 1);
        let given = |i: usize| if i.is_multiple_of(10) { 1 } else { truth(i) };
        let mut classes = Vec::new();
        let mut p = Vec::new();
        for i in 0..n {
            let s = given(i);
            classes.extend([s, 1 - s]);
            // the pool sees the given labels' chances: 0.8 / 0.2 in class 0, 0 / 1 in class 1
            let of = |c: u32| match (truth(i), c) {
                (0, 0) => 0.8f32,
                (0, _) => 0.2,
                (_, 1) => 0.999,
                _ => 0.001,
            };
            p.extend([of(s), of(1 - s)]);
        }
        let candidates = Candidates { width: 2, classes };
        let t = Transition::count(&p, &candidates, 2);
        assert!((t.off_diagonal - 100.0).abs() < 1.0, "{}", t.off_diagonal);
        assert!((t.t[[0, 1]] - 0.2).abs() < 0.01 && t.t[[1, 0]] < 0.01, "{:?}", t.t);
        let posterior = t.posterior(&p, &candidates);
        let wrong: Vec<f32> = posterior.chunks_exact(2).map(|r| 1.0 - r[0]).collect();
        for (i, &wrong) in wrong.iter().enumerate() {
            assert!(if i.is_multiple_of(10) { wrong > 0.6 } else { wrong < 0.1 }, "{i}: {wrong}");
        }
        let margins = t.margins(&p, &candidates);
        assert!(margins[0].0 > margins[1].0 && margins[0].0 > margins[2].0);
    }
}
