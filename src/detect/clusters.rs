//! k-means clusters of the feature rows, and how much of a sample's cluster carries its label.
//! Seeded; the same bytes for any number of threads.
//!
//! Rows are projected to at most 64 dimensions by a randomised PCA. Seeds are drawn by k-means++
//! (incrementally, by products), Lloyd's iterations are linfa-clustering's. Above
//! [`FIT_ROWS`] rows a seeded sample is fitted and the rest assigned by products, which is where the
//! cost would be otherwise: linfa measures every pair one by one.

use linfa::DatasetBase;
use linfa::traits::Fit;
use linfa_clustering::{KMeans, KMeansInit};
use linfa_ndarray::Array2 as LinfaArray2;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand::Rng;
use rand::seq::index;
use rayon::prelude::*;

use super::error::{DetectError, check_length};
use crate::arrays::{dot, gaussian_matrix, matmul, rng};

/// Dimensions that k-means sees.
pub const PROJECTED: usize = 64;
/// Most rows that the centres are fitted on.
pub const FIT_ROWS: usize = 12_000;
/// Rows per centre that are enough to place it.
const ROWS_PER_CENTRE: usize = 40;
const MAX_ITERATIONS: u64 = 15;
/// Squared movement of all centres together at which Lloyd's iterations stop.
const TOLERANCE: f32 = 1e-4;
const ASSIGN_ROWS: usize = 1024;

/// Clusters by default: two per class that occurs, so that a class may have two modes, but at least
/// ten samples each on average; between 1 and 4096.
pub fn default_clusters(n_samples: usize, n_present_classes: usize) -> usize {
    (2 * n_present_classes).min(n_samples / 10).clamp(1, 4096)
}

/// Cluster of each of the rows `x` (N, D), in 0..`n_clusters`. A cluster may come out empty.
/// Errors: no rows, no clusters, or a failure inside linfa.
pub fn cluster(x: ArrayView2<'_, f32>, n_clusters: usize, seed: u64) -> Result<Vec<u32>, DetectError> {
    let n = x.nrows();
    if n == 0 {
        return Err(DetectError::Empty);
    }
    if n_clusters == 0 || n_clusters > n {
        let rule = "there must be at least 1 and no more than samples";
        return Err(DetectError::Param { name: "clusters", value: n_clusters as f64, rule });
    }
    if n_clusters == 1 {
        return Ok(vec![0; n]);
    }
    let mut r = rng(seed);
    let fit_rows = (ROWS_PER_CENTRE * n_clusters).clamp(4096, FIT_ROWS).max(n_clusters).min(n);
    let mut chosen: Vec<usize> =
        if fit_rows == n { (0..n).collect() } else { index::sample(&mut r, n, fit_rows).into_vec() };
    chosen.sort_unstable();
    let sample = x.select(Axis(0), &chosen);
    let basis = principal_axes(sample.view(), PROJECTED, &mut r);
    let project =
        |rows: ArrayView2<'_, f32>| basis.as_ref().map_or(rows.to_owned(), |b| matmul(rows, b.view()));
    let sample = project(sample.view());
    let seeds = plus_plus(&sample, n_clusters, &mut r);
    let centres = lloyd(&sample, seeds)?;
    Ok(if fit_rows == n { assign(sample.view(), &centres) } else { assign(project(x).view(), &centres) })
}

/// An orthonormal basis (D, p) of nearly the p strongest directions of the rows (Halko, Martinsson,
/// Tropp 2011: random range, two power iterations); `None` when D <= p and there is nothing to gain.
fn principal_axes(x: ArrayView2<'_, f32>, p: usize, r: &mut impl Rng) -> Option<Array2<f32>> {
    let d = x.ncols();
    if d <= p {
        return None;
    }
    let mut basis = gaussian_matrix(d, p, r);
    for _ in 0..3 {
        basis = matmul(x.t(), matmul(x, basis.view()).view());
        orthonormalize(&mut basis);
    }
    Some(basis)
}

/// Modified Gram-Schmidt, twice for stability, on the columns of `a`; dependent columns become zero.
fn orthonormalize(a: &mut Array2<f32>) {
    let d = a.nrows();
    let mut columns: Vec<Vec<f32>> = a.columns().into_iter().map(|c| c.to_vec()).collect();
    for j in 0..columns.len() {
        let (done, rest) = columns.split_at_mut(j);
        let column = &mut rest[0];
        let before = dot(column, column).sqrt();
        for _ in 0..2 {
            for other in done.iter() {
                let along = dot(column, other) as f32;
                column.iter_mut().zip(other).for_each(|(v, o)| *v -= along * o);
            }
        }
        let norm = dot(column, column).sqrt();
        let factor = if norm > 1e-5 * before { (1.0 / norm) as f32 } else { 0.0 };
        column.iter_mut().for_each(|v| *v *= factor);
    }
    *a = Array2::from_shape_fn((d, columns.len()), |(i, j)| columns[j][i]);
}

/// k-means++ (Arthur and Vassilvitskii 2007): each centre is a row drawn with probability
/// proportional to its squared distance from the centres so far.
fn plus_plus(x: &Array2<f32>, k: usize, r: &mut impl Rng) -> Array2<f32> {
    let n = x.nrows();
    let squares: Vec<f64> = row_squares(x);
    let mut nearest = vec![f64::INFINITY; n];
    let mut centres = Array2::zeros((k, x.ncols()));
    let mut next = r.gen_range(0..n);
    for c in 0..k {
        centres.row_mut(c).assign(&x.row(next));
        let along = matmul(x.view(), x.row(next).insert_axis(Axis(1)));
        for ((near, along), s) in nearest.iter_mut().zip(along.iter()).zip(&squares) {
            let d2 = (s - 2.0 * f64::from(*along) + squares[next]).max(0.0);
            // Below the products' rounding two rows are the same point.
            *near = near.min(if d2 <= 1e-6 * (s + squares[next]) { 0.0 } else { d2 });
        }
        let total: f64 = nearest.iter().sum();
        // All rows are centres already: more of them change nothing.
        next = if total > 0.0 { draw(&nearest, r.r#gen::<f64>() * total) } else { (next + 1) % n };
    }
    centres
}

/// The first index where the running sum of `weights` exceeds `target`; never one of weight 0.
fn draw(weights: &[f64], target: f64) -> usize {
    let mut sum = 0.0;
    let mut last = 0;
    for (i, w) in weights.iter().enumerate().filter(|(_, w)| **w > 0.0) {
        sum += w;
        last = i;
        if sum > target {
            break;
        }
    }
    last
}

fn row_squares(x: &Array2<f32>) -> Vec<f64> {
    x.rows().into_iter().map(|r| r.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()).collect()
}

fn lloyd(x: &Array2<f32>, seeds: Array2<f32>) -> Result<Array2<f32>, DetectError> {
    let failed = |e: &dyn std::fmt::Display| DetectError::Clusters(e.to_string());
    let (k, shape) = (seeds.nrows(), seeds.dim());
    let flat = |a: &Array2<f32>| a.iter().copied().collect::<Vec<f32>>();
    let rows = LinfaArray2::from_shape_vec(x.dim(), flat(x)).map_err(|e| failed(&e))?;
    let seeds = LinfaArray2::from_shape_vec(shape, flat(&seeds)).map_err(|e| failed(&e))?;
    let model = KMeans::params_with_rng(k, rng(0))
        .init_method(KMeansInit::Precomputed(seeds))
        .n_runs(1)
        .max_n_iterations(MAX_ITERATIONS)
        .tolerance(TOLERANCE)
        .fit(&DatasetBase::from(rows))
        .map_err(|e| failed(&e))?;
    Array2::from_shape_vec(shape, model.centroids().iter().copied().collect()).map_err(|e| failed(&e))
}

/// Nearest of `k` roughly placed centres of each row: enough to bring similar rows together.
pub(super) fn rough(x: ArrayView2<'_, f32>, k: usize) -> Vec<u32> {
    let step = (x.nrows() / (32 * k)).max(1);
    let sample = x.slice(s![..;step as isize, ..]).to_owned();
    let seeds = sample.select(Axis(0), &(0..k).map(|c| c * sample.nrows() / k).collect::<Vec<_>>());
    let centres = (0..4).fold(seeds, |centres, _| {
        let of = assign(sample.view(), &centres);
        means(sample.view(), &of, &centres)
    });
    assign(x, &centres)
}

/// Mean of each cluster's rows, summed in f64 row by row; an empty cluster keeps its centre.
fn means(x: ArrayView2<'_, f32>, of: &[u32], centres: &Array2<f32>) -> Array2<f32> {
    let (k, d) = centres.dim();
    // Members by counting sort: each cluster's in the order of the rows.
    let mut ends = vec![0usize; k + 1];
    of.iter().for_each(|&c| ends[c as usize + 1] += 1);
    (0..k).for_each(|c| ends[c + 1] += ends[c]);
    let mut next = ends.clone();
    let mut members = vec![0u32; of.len()];
    for (i, &c) in of.iter().enumerate() {
        members[next[c as usize]] = i as u32;
        next[c as usize] += 1;
    }
    let mut out = centres.clone();
    let rows: Vec<_> = out.axis_iter_mut(Axis(0)).enumerate().collect();
    rows.into_par_iter().for_each(|(c, mut centre)| {
        let members = &members[ends[c]..ends[c + 1]];
        if members.is_empty() {
            return;
        }
        let mut sums = vec![0f64; d];
        for &i in members {
            sums.iter_mut().zip(x.row(i as usize)).for_each(|(s, v)| *s += f64::from(*v));
        }
        let n = members.len() as f64;
        centre.iter_mut().zip(sums).for_each(|(v, s)| *v = (s / n) as f32);
    });
    out
}

/// Nearest centre of each row, the lower of equals.
fn assign(x: ArrayView2<'_, f32>, centres: &Array2<f32>) -> Vec<u32> {
    let halves: Array1<f32> = row_squares(centres).into_iter().map(|s| (s / 2.0) as f32).collect();
    let blocks: Vec<_> = x.axis_chunks_iter(Axis(0), ASSIGN_ROWS).collect();
    blocks
        .into_par_iter()
        .map(|rows| {
            let scores = matmul(rows, centres.t());
            let nearest = |row: ndarray::ArrayView1<'_, f32>| {
                let closer = row.iter().zip(&halves).enumerate().map(|(j, (s, h))| (j, s - h));
                closer.fold((0, f32::NEG_INFINITY), |b, (j, v)| if v > b.1 { (j, v) } else { b }).0 as u32
            };
            scores.rows().into_iter().map(nearest).collect::<Vec<u32>>()
        })
        .collect::<Vec<_>>()
        .concat()
}

/// Labels of the clusters' members.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterLabels {
    /// (label, samples) of each cluster, most frequent first, equals by class.
    counts: Vec<Vec<(usize, u32)>>,
    sizes: Vec<u32>,
}

impl ClusterLabels {
    /// Counts labels per cluster of `assignment`. O(N log K).
    pub fn count(assignment: &[u32], labels: &[usize]) -> Result<Self, DetectError> {
        check_length("labels", assignment.len(), labels.len())?;
        let n_clusters = assignment.iter().max().map_or(0, |m| *m as usize + 1);
        let mut maps = vec![std::collections::BTreeMap::<usize, u32>::new(); n_clusters];
        for (&c, &y) in assignment.iter().zip(labels) {
            *maps[c as usize].entry(y).or_default() += 1;
        }
        let sizes = maps.iter().map(|m| m.values().sum()).collect();
        let counts = maps.into_iter().map(|map| {
            let mut counts: Vec<_> = map.into_iter().collect();
            counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n)); // stable: equals stay by class
            counts
        });
        Ok(Self { counts: counts.collect(), sizes })
    }

    /// The most frequent label of a cluster and its share; `None` for an empty cluster.
    pub fn majority(&self, cluster: u32) -> Option<(usize, f32)> {
        let c = cluster as usize;
        self.counts[c].first().map(|(y, n)| (*y, *n as f32 / self.sizes[c] as f32))
    }

    /// Share of a cluster's members labelled `class`, in [0, 1].
    pub fn share(&self, cluster: u32, class: usize) -> f32 {
        let c = cluster as usize;
        self.counts[c]
            .iter()
            .find(|(y, _)| *y == class)
            .map_or(0.0, |(_, n)| *n as f32 / self.sizes[c] as f32)
    }

    /// How far the most frequent other label leads over the sample's own among the *other* members of
    /// its cluster, as a share in [-1, 1]; higher = worse label. NaN (no opinion) when the cluster has
    /// no majority of more than `majority`, or no other member.
    pub fn margin(&self, cluster: u32, label: usize, majority: f32) -> f64 {
        let c = cluster as usize;
        if self.sizes[c] < 2 || self.majority(cluster).is_none_or(|(_, share)| share <= majority) {
            return f64::NAN;
        }
        let own = self.counts[c].iter().find(|(y, _)| *y == label).map_or(0, |(_, n)| n.saturating_sub(1));
        let other = self.counts[c].iter().find(|(y, _)| *y != label).map_or(0, |(_, n)| *n);
        (f64::from(other) - f64::from(own)) / f64::from(self.sizes[c] - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::l2_normalized_rows;

    /// `n` rows around `k` well separated directions in `d` dimensions; row i belongs to i % k.
    fn blobs(n: usize, d: usize, k: usize, spread: f32) -> Array2<f32> {
        let mut r = rng(41);
        let centres = gaussian_matrix(k, d, &mut r);
        let noise = gaussian_matrix(n, d, &mut r);
        let x = Array2::from_shape_fn((n, d), |(i, j)| centres[[i % k, j]] + spread * noise[[i, j]]);
        l2_normalized_rows(x.view())
    }

    fn purity(assignment: &[u32], k: usize) -> f32 {
        let truth: Vec<usize> = (0..assignment.len()).map(|i| i % k).collect();
        let labels = ClusterLabels::count(assignment, &truth).unwrap();
        let right: f32 = assignment.iter().zip(&truth).map(|(&c, &y)| labels.share(c, y)).sum();
        right / assignment.len() as f32
    }

    #[test]
    fn finds_separated_blobs_in_few_and_many_dimensions() {
        for (n, d) in [(600, 20), (600, 300), (FIT_ROWS / 2, 70)] {
            let x = blobs(n, d, 12, 0.3);
            // Twice as many centres as blobs: each blob is covered, so clusters are pure.
            let found = cluster(x.view(), 24, 5).unwrap();
            assert!(purity(&found, 12) > 0.99, "{n} x {d}: {}", purity(&found, 12));
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let x = blobs(3000, 100, 9, 1.0);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| cluster(x.view(), 30, 7).unwrap())
        };
        let one = with(1);
        assert_eq!(one, with(2));
        assert!(one.iter().max().unwrap() < &30);
    }

    #[test]
    fn degenerate_input() {
        let same = Array2::<f32>::ones((20, 3));
        assert_eq!(cluster(same.view(), 4, 1).unwrap().len(), 20);
        assert_eq!(cluster(Array2::zeros((20, 80)).view(), 4, 1).unwrap().len(), 20);
        assert_eq!(cluster(same.view(), 1, 1).unwrap(), vec![0; 20]);
        assert!(cluster(same.view(), 0, 1).is_err() && cluster(same.view(), 21, 1).is_err());
        assert_eq!(cluster(Array2::zeros((0, 3)).view(), 1, 1), Err(DetectError::Empty));
        assert_eq!(default_clusters(1000, 60), 100);
        assert_eq!((default_clusters(1000, 20), default_clusters(5, 3)), (40, 1));
    }

    #[test]
    fn label_shares_by_hand() {
        let labels = ClusterLabels::count(&[0, 0, 0, 0, 2], &[1, 1, 3, 0, 1]).unwrap();
        assert_eq!(labels.majority(0), Some((1, 0.5)));
        assert_eq!(labels.majority(1), None);
        assert_eq!((labels.share(0, 3), labels.share(0, 7)), (0.25, 0.0));
        // Sample of class 1: one other of its own, one best other, of three. Of class 3: none, two.
        assert_eq!(labels.margin(0, 1, 0.4), 0.0);
        assert!((labels.margin(0, 3, 0.4) - 2.0 / 3.0).abs() < 1e-12);
        assert!(labels.margin(0, 3, 0.5).is_nan() && labels.margin(2, 1, 0.4).is_nan());
    }
}
