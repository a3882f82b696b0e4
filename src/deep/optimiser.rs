//! AdamW, its rate over time, the running mean of the weights, and FGM's step, on plain slices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::names::{Weights, is_trained};

const BETA1: f32 = 0.9;
const BETA2: f32 = 0.999;
const EPSILON: f32 = 1e-8;

/// Gradients by the weight's name.
pub(crate) type Gradients = BTreeMap<String, Vec<f32>>;

/// AdamW (Loshchilov & Hutter 2019): decoupled decay, on matrices only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdamW {
    pub(crate) steps: u64,
    pub(crate) first: Gradients,
    pub(crate) second: Gradients,
}

impl AdamW {
    /// One step against the gradients; a weight without one stays.
    pub(crate) fn step(&mut self, weights: &mut Weights, gradients: &Gradients, rate: f32, decay: f32) {
        self.steps += 1;
        let t = self.steps.min(1_000_000) as i32;
        let (c1, c2) = (1.0 - BETA1.powi(t), 1.0 - BETA2.powi(t));
        for (name, g) in gradients {
            let w = weights.get_mut(name).expect("gradients are of weights");
            let m = self.first.entry(name.clone()).or_insert_with(|| vec![0.0; g.len()]);
            let v = self.second.entry(name.clone()).or_insert_with(|| vec![0.0; g.len()]);
            let keep = if w.shape.len() > 1 { 1.0 - rate * decay } else { 1.0 };
            for (((w, g), m), v) in w.values.iter_mut().zip(g).zip(m).zip(v) {
                *m = BETA1 * *m + (1.0 - BETA1) * g;
                *v = BETA2 * *v + (1.0 - BETA2) * g * g;
                *w = *w * keep - rate * (*m / c1) / ((*v / c2).sqrt() + EPSILON);
            }
        }
    }
}

/// Share of the peak rate in step `step` (from 0) of `total`: rises over the first `warmup` of them, then
/// falls linearly towards 0.
pub(crate) fn rate_share(step: u64, total: u64, warmup: f32) -> f32 {
    let rising = (total as f32 * warmup).round() as u64;
    if step < rising {
        return (step + 1) as f32 / rising as f32;
    }
    (total - step) as f32 / (total - rising).max(1) as f32
}

/// Moves the shadow towards the weights by 1 - m, m = min(decay, (1 + t) / (10 + t)) in step t (from 1), so
/// that the first weights are soon forgotten.
pub(crate) fn follow(shadow: &mut Weights, weights: &Weights, decay: f32, t: u64) {
    let m = decay.min((1.0 + t as f32) / (10.0 + t as f32));
    for (name, w) in weights.iter().filter(|(name, _)| is_trained(name)) {
        let s = shadow.get_mut(name).expect("a shadow of the same weights");
        for (s, w) in s.values.iter_mut().zip(&w.values) {
            *s = m * *s + (1.0 - m) * w;
        }
    }
}

/// Adds `length` times the gradient's direction (Miyato et al. 2017, FGM). A gradient of zeros adds nothing.
pub(crate) fn ascend(values: &mut [f32], gradient: &[f32], length: f32) {
    let norm = gradient.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt() as f32;
    if norm > 0.0 {
        values.iter_mut().zip(gradient).for_each(|(v, g)| *v += length * g / norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Weight;

    fn one(name: &str, shape: Vec<usize>, values: Vec<f32>) -> Weights {
        [(name.to_owned(), Weight { shape, values })].into()
    }

    #[test]
    fn two_steps_of_adamw_by_hand() {
        let mut w = one("w", vec![1, 1], vec![1.0]);
        let mut adam = AdamW::default();
        let g = |v: f32| Gradients::from([("w".to_owned(), vec![v])]);
        adam.step(&mut w, &g(0.5), 0.1, 0.01);
        // the first step is rate * sign: 1 (1 - 0.001) - 0.1
        assert!((w["w"].values[0] - 0.899).abs() < 1e-6, "{:?}", w);
        adam.step(&mut w, &g(-1.0), 0.1, 0.01);
        // m = 0.9 0.05 - 0.1 = -0.055, / 0.19; v = 0.999 0.00025 + 0.001 = 0.00124975, / 0.001999
        let want = 0.899 * 0.999 + 0.1 * (0.055 / 0.19) / (0.001_249_75_f64 / 0.001_999).sqrt();
        assert!((f64::from(w["w"].values[0]) - want).abs() < 1e-5, "{w:?} {want}");
        let mut bias = one("w", vec![1], vec![1.0]);
        AdamW::default().step(&mut bias, &g(0.0), 0.1, 0.5);
        assert_eq!(bias["w"].values, [1.0], "a bias does not decay");
    }

    #[test]
    fn the_shadow_follows_by_hand() {
        let mut shadow = one("w", vec![2], vec![0.0, 4.0]);
        let w = one("w", vec![2], vec![1.0, 0.0]);
        follow(&mut shadow, &w, 0.999, 1); // m = 2/11
        let want = [9.0 / 11.0, 8.0 / 11.0];
        assert!(shadow["w"].values.iter().zip(want).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
        follow(&mut shadow, &w, 0.5, 1_000);
        assert!((shadow["w"].values[0] - (0.5 * 9.0 / 11.0 + 0.5)).abs() < 1e-6);
    }

    #[test]
    fn fgm_moves_by_its_length_along_the_gradient() {
        let mut v = [1.0, 1.0];
        ascend(&mut v, &[3.0, -4.0], 0.5);
        assert!((v[0] - 1.3_f32).abs() < 1e-6 && (v[1] - 0.6_f32).abs() < 1e-6);
        ascend(&mut v, &[0.0, 0.0], 0.5);
        assert!((v[0] - 1.3_f32).abs() < 1e-6);
    }

    #[test]
    fn the_rate_rises_and_falls() {
        let shares: Vec<f32> = (0..10).map(|s| rate_share(s, 10, 0.2)).collect();
        let want = [0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        assert!(shares.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{shares:?}");
        assert_eq!(rate_share(0, 4, 0.0), 1.0);
    }
}
