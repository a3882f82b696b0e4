//! A made-up set and what NumPy, SciPy and scikit-learn say of it, for tests: written by
//! `benches/golden_detectors.py`.

use ndarray::Array2;
use serde::Deserialize;

use super::neighbours::{Neighbours, nearest_of_unit_rows};
use crate::arrays::l2_normalized_rows;

#[derive(Deserialize)]
pub(super) struct Golden {
    features: Vec<Vec<f32>>,
    pub(super) labels: Vec<u32>,
    pub(super) classes: usize,
    pub(super) mixture: GoldenMixture,
    pub(super) margin: Vec<f32>,
    pub(super) p_wrong: Vec<f32>,
    pub(super) alignment: Vec<f32>,
    pub(super) p_clean: Vec<f32>,
    pub(super) quality: Vec<f32>,
    pub(super) outvoted: Vec<bool>,
    pub(super) low_ranked: Vec<bool>,
    pub(super) prior: Vec<f64>,
    pub(super) transition: Vec<Vec<f64>>,
    pub(super) error_rate: f64,
}

#[derive(Deserialize)]
pub(super) struct GoldenMixture {
    pub(super) values: Vec<f32>,
    pub(super) weight: [f64; 2],
    pub(super) mean: [f64; 2],
    pub(super) variance: [f64; 2],
}

impl Golden {
    pub(super) fn read() -> Self {
        serde_json::from_str(include_str!("golden_detectors.json")).unwrap()
    }

    pub(super) fn unit(&self) -> Array2<f32> {
        let d = self.features[0].len();
        let x = Array2::from_shape_fn((self.features.len(), d), |(i, j)| self.features[i][j]);
        l2_normalized_rows(x.view())
    }

    /// The 20 nearest.
    pub(super) fn neighbours(&self) -> Neighbours {
        nearest_of_unit_rows(self.unit().view(), 20, usize::MAX, &mut |_, _| true).unwrap()
    }
}

/// The two agree to `tolerance` everywhere.
pub(super) fn close(a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len());
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance, "{i}: {a} {b}");
    }
}
