//! Where the samples lie among each other: neighbours, near-duplicates, outliers, clusters, and whether
//! their order means something. Found from features alone, before any label is judged.

use ndarray::{Array2, ArrayView2};

use super::clusters::{cluster, default_clusters};
use super::duplicates::{Duplicates, duplicates};
use super::error::{DetectError, check_features};
use super::neighbours::{EXACT_BELOW, Neighbours, nearest_of_unit_rows};
use super::non_iid::{NonIid, non_iid};
use super::outliers::{Outliers, outliers};
use super::scan::Stage;
use crate::arrays::l2_normalized_rows;

/// How to look for places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlacesParams {
    /// Neighbours per sample, 1 to 1000.
    pub k_neighbours: usize,
    /// From this many samples on neighbours are nearly all, not all: [`Neighbours::recall`].
    pub exact_neighbours_below: usize,
    pub seed: u64,
    /// `None`: [`default_clusters`] of `n_classes`.
    pub clusters: Option<usize>,
    /// Classes expected among the samples.
    pub n_classes: usize,
}

impl PlacesParams {
    /// 30 neighbours, exact below [`EXACT_BELOW`] samples, clusters by the number of classes.
    pub fn new(n_classes: usize, seed: u64) -> Self {
        Self { k_neighbours: 30, exact_neighbours_below: EXACT_BELOW, seed, clusters: None, n_classes }
    }
}

/// Neighbours by which outliers and the order are judged.
const NEAR: usize = 10;

/// Columns (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct Places {
    /// (N, D) the features with rows of unit length.
    pub unit: Array2<f32>,
    pub neighbours: Neighbours,
    pub duplicates: Duplicates,
    pub outliers: Outliers,
    pub non_iid: NonIid,
    pub clusters: Vec<u32>,
}

impl Places {
    /// Of the rows of `features` (N, D), joined and standardised. N^2 D operations at most, the rest
    /// linear in N. `stage` reports [`Stage::Neighbours`] and [`Stage::Clusters`] and cancels by returning
    /// false.
    ///
    /// # Errors
    /// No rows, a feature that is not finite, parameters out of range, cancelled.
    pub fn find(
        features: ArrayView2<'_, f32>,
        params: &PlacesParams,
        stage: &mut dyn FnMut(Stage, usize, usize) -> bool,
    ) -> Result<Self, DetectError> {
        let n = features.nrows();
        if n == 0 {
            return Err(DetectError::Empty);
        }
        check_features(features)?;
        let bad = |name, value: usize, rule| Err(DetectError::Param { name, value: value as f64, rule });
        if !(1..=1000).contains(&params.k_neighbours) {
            return bad("k_neighbours", params.k_neighbours, "it must lie between 1 and 1000");
        }
        if params.clusters == Some(0) {
            return bad("clusters", 0, "there must be at least 1");
        }
        let unit = l2_normalized_rows(features);
        let (k, exact_below) = (params.k_neighbours, params.exact_neighbours_below);
        let neighbours = nearest_of_unit_rows(unit.view(), k, exact_below, &mut |done, n| {
            stage(Stage::Neighbours, done, n)
        })?;
        let near = neighbours.first(NEAR);
        let duplicates = duplicates(features, &neighbours)?;
        let outliers = outliers(&near);
        let non_iid = non_iid(&near, params.seed)?;
        if !stage(Stage::Clusters, 0, n) {
            return Err(DetectError::Cancelled);
        }
        let count = params.clusters.unwrap_or_else(|| default_clusters(n, params.n_classes)).min(n);
        let clusters = cluster(unit.view(), count, params.seed)?;
        if !stage(Stage::Clusters, n, n) {
            return Err(DetectError::Cancelled);
        }
        Ok(Self { unit, neighbours, duplicates, outliers, non_iid, clusters })
    }

    /// (N) a number that near-duplicates share and nobody else has: what folds keep together.
    pub fn fold_groups(&self) -> Vec<u32> {
        let groups = self.duplicates.groups.len() as u32;
        self.duplicates.group.iter().zip(0..).map(|(g, i)| g.unwrap_or(groups + i)).collect()
    }
}
