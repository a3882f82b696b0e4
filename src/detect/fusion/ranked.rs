//! The likeliest classes of each sample with probabilities to be read by people.
//!
//! The posterior that the ranking goes by is too sure of itself: the members see the same features, and what
//! they believe is fed back to them. So the log-odds of the suspicion that the label is wrong are halved, and
//! what goes to the other classes is shared among them by their scores, with the same half. On 24 generated
//! cases (three sets by eight kinds of noise, benches/detection.py) the mean log-loss of "the label is wrong" is
//! 0.071 so, 0.074 with whole log-odds; on the weakest of the three sets with noise at the borders of classes
//! 0.29 instead of 0.44, and on the demo's clips 0.20 instead of 0.29 (posterior: 0.48).

use rayon::prelude::*;

use super::candidates::{Candidates, NONE};
use super::transition::Transition;

/// Of the log-odds.
const HALF: f32 = 0.5;
/// Probabilities are kept in so many steps, rounded down, so that they never add up to more than 1.
const STEPS: f32 = 1e4;

/// (N, width) the likeliest classes of each sample, likeliest first, the given one always among them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    width: usize,
    /// [`NONE`] where a sample has fewer.
    classes: Vec<u32>,
    p: Vec<f32>,
}

impl Ranked {
    /// The `most` likeliest of `candidates` by the pool `p`, both (N, width). `suspicion` (N) in (0, 1) and
    /// `slope` are those of the score. O(N width); memory 8 bytes a sample and class kept.
    pub(super) fn of(
        p: &[f32],
        transition: &Transition,
        candidates: &Candidates,
        suspicion: &[f32],
        slope: f32,
        most: usize,
    ) -> Self {
        let width = most.min(candidates.width);
        if width == 0 {
            return Self::default();
        }
        let (mut classes, mut out) =
            (vec![NONE; suspicion.len() * width], vec![0f32; suspicion.len() * width]);
        let rows = classes.par_chunks_exact_mut(width).zip(out.par_chunks_exact_mut(width));
        rows.enumerate().for_each(|(i, (classes, out))| {
            let of = candidates.row(i);
            let scores = transition.scores(&p[i * of.len()..(i + 1) * of.len()], of);
            let best = scores[1..].iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let weight = |score: f32| (HALF * slope * (score - best)).exp();
            let whole: f32 = scores[1..].iter().map(|s| weight(*s)).sum();
            let wrong = halved(suspicion[i]);
            let mut row: Vec<(u32, f32)> =
                of.iter().zip(&scores).skip(1).map(|(c, s)| (*c, wrong * weight(*s) / whole)).collect();
            row.push((of[0], 1.0 - wrong));
            row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            if let Some(at) = row.iter().position(|r| r.0 == of[0]).filter(|at| *at >= width) {
                row.swap(at, width - 1);
            }
            for ((class, p), kept) in classes.iter_mut().zip(out).zip(row) {
                (*class, *p) = (kept.0, (kept.1 * STEPS).floor() / STEPS);
            }
        });
        Self { width, classes, p: out }
    }

    /// Classes of sample `i` with their probabilities, likeliest first; none when none were asked for.
    pub fn row(&self, i: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let at = i * self.width..(i + 1) * self.width;
        let classes = self.classes[at.clone()].iter().copied();
        classes.zip(self.p[at].iter().copied()).filter(|(class, _)| *class != NONE)
    }
}

/// The probability with half the log-odds of `p`.
fn halved(p: f32) -> f32 {
    let odds = (f64::from(p) / (1.0 - f64::from(p)).max(f64::MIN_POSITIVE)).powf(f64::from(HALF));
    (odds / (1.0 + odds)) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_odds_are_halved() {
        assert!((halved(0.5) - 0.5).abs() < 1e-6);
        // odds 99 and 1/9999 become their roots
        assert!((halved(0.99) - 0.908_675).abs() < 1e-5 && (halved(1e-4) - 0.009_902).abs() < 1e-5);
        assert!(halved(1.0) <= 1.0 && halved(f32::MIN_POSITIVE) >= 0.0);
    }
}
