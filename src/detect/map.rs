//! Samples on a plane, so that those which are alike lie near each other: UMAP (McInnes, Healy and Melville 2018)
//! of the cosine neighbours, begun from the two principal directions, or these directions alone.
//!
//! Of our own because the libraries that exist place points by threads that race for them, so that no two runs
//! are alike, or bring a tensor framework along. Same input and seed, same bytes, for any number of threads.

mod graph;
mod layout;
mod plane;

use ndarray::{Array2, ArrayView2};

use super::error::{DetectError, check_features};
use super::neighbours::{EXACT_BELOW, Neighbours, nearest_of_unit_rows};
use crate::arrays::{l2_normalized_rows, rng};
use crate::domain::MapMethod;
use rand::seq::index::sample;

pub use plane::principal_plane;

/// Fewer samples than this are shown by their principal directions: there are no neighbourhoods to keep.
pub const LEAST: usize = 50;
/// Samples by which [`Map::neighbours_kept`] is measured.
const MEASURED: usize = 1000;

/// How to place the samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapParams {
    pub method: MapMethod,
    /// Neighbours that are kept together, 2 to 200.
    pub neighbours: usize,
    /// Rounds; `None`: 500 up to 10,000 samples, else 200.
    pub epochs: Option<usize>,
    pub seed: u64,
}

impl MapParams {
    /// UMAP of 15 neighbours.
    pub fn new(seed: u64) -> Self {
        Self { method: MapMethod::Umap, neighbours: 15, epochs: None, seed }
    }
}

/// What is being done; passed on with rows or rounds done and their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapStage {
    Neighbours,
    Layout,
}

/// Points in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    /// (N, 2), in units of their own.
    pub points: Array2<f32>,
    /// How they were placed; not what was asked for where there are fewer than [`LEAST`].
    pub method: MapMethod,
    /// Share of the nearest neighbours of 1,000 seeded samples that are among the nearest on the plane too, in
    /// [0, 1]; 1 where there are none.
    pub neighbours_kept: f32,
}

/// Places the rows of `features` (N, D). N^2 D operations at most for the neighbours, the rest linear in N: about
/// 100 N a round. Memory: twice the features and 400 bytes a sample. `stage` cancels by returning false.
///
/// # Errors
/// No rows, a feature that is not finite, parameters out of range, cancelled.
pub fn map(
    features: ArrayView2<'_, f32>,
    params: &MapParams,
    stage: &mut dyn FnMut(MapStage, usize, usize) -> bool,
) -> Result<Map, DetectError> {
    let n = features.nrows();
    if n == 0 {
        return Err(DetectError::Empty);
    }
    check_features(features)?;
    if !(2..=200).contains(&params.neighbours) {
        let (value, rule) = (params.neighbours as f64, "it must lie between 2 and 200");
        return Err(DetectError::Param { name: "neighbours", value, rule });
    }
    let unit = l2_normalized_rows(features);
    let neighbours = nearest_of_unit_rows(unit.view(), params.neighbours, EXACT_BELOW, &mut |done, n| {
        stage(MapStage::Neighbours, done, n)
    })?;
    let start = principal_plane(unit.view(), params.seed);
    let (points, method) = if n < LEAST || params.method == MapMethod::Pca {
        (start, MapMethod::Pca)
    } else {
        let epochs = params.epochs.unwrap_or(if n <= 10_000 { 500 } else { 200 });
        let graph = graph::Graph::of(&neighbours, epochs);
        let points = layout::layout(&graph, start, epochs, params.seed, &mut |done, of| {
            stage(MapStage::Layout, done, of)
        })?;
        (points, MapMethod::Umap)
    };
    let neighbours_kept = kept(&neighbours, points.view(), params.seed);
    Ok(Map { points, method, neighbours_kept })
}

fn kept(neighbours: &Neighbours, points: ArrayView2<'_, f32>, seed: u64) -> f32 {
    let (n, k) = (points.nrows(), neighbours.k());
    if k == 0 {
        return 1.0;
    }
    let rows = sample(&mut rng(seed), n, n.min(MEASURED)).into_vec();
    let mut found = 0;
    let mut near: Vec<(f32, u32)> = Vec::with_capacity(n);
    for &i in &rows {
        let (x, y) = (points[[i, 0]], points[[i, 1]]);
        let others = points.rows().into_iter().zip(0..).filter(|(_, j)| *j as usize != i);
        near.clear();
        near.extend(others.map(|(p, j)| ((p[0] - x).powi(2) + (p[1] - y).powi(2), j)));
        near.select_nth_unstable_by(k - 1, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let true_ones = neighbours.index.row(i);
        found += near[..k].iter().filter(|(_, j)| true_ones.iter().any(|t| t == j)).count();
    }
    (found as f64 / (rows.len() * k) as f64) as f32
}

#[cfg(test)]
mod tests;
