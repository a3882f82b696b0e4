//! k-means clusters of the feature rows, and how much of a sample's cluster carries its label.
//! Seeded; the same bytes for any number of threads.
//!
//! Seeds are drawn by k-means++ (incrementally, by products); Lloyd's iterations measure by products
//! too: one matrix product per block of rows instead of every pair one by one.
//!
//! [`cluster`] projects the rows to at most 64 dimensions by a randomised PCA and fits at most
//! [`FIT_ROWS`] of them, which takes a seventh of the time of [`kmeans`], the fit in full (100,000 x 512,
//! 200 clusters: 0.6 against 4 CPU-s), and is enough for evidence.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rand::Rng;
use rand::seq::index;
use rayon::prelude::*;

use super::error::{DetectError, check_features, check_length};
use crate::arrays::{dot, gaussian_matrix, matmul, product, rng};

/// Dimensions that k-means sees.
pub const PROJECTED: usize = 64;
/// Most rows that the centres are fitted on.
pub const FIT_ROWS: usize = 12_000;
/// Rows per centre that are enough to place it.
const ROWS_PER_CENTRE: usize = 40;
/// Rows per centre that are enough to draw seeds from.
const SEED_ROWS_PER_CENTRE: usize = 20;
const MAX_ITERATIONS: usize = 15;
/// Squared movement of all centres together at which Lloyd's iterations stop.
const TOLERANCE: f64 = 1e-4;
const ASSIGN_ROWS: usize = 1024;
/// Rows that one task adds up.
const PART_ROWS: usize = 2048;
/// Rows added up in f32: their sum is good to 64 roundings, 4e-6.
const SUMMED_ROWS: usize = 64;

/// Clusters by default: two per class that occurs, so that a class may have two modes, but at least
/// ten samples each on average; between 1 and 4096.
pub fn default_clusters(n_samples: usize, n_present_classes: usize) -> usize {
    (2 * n_present_classes).min(n_samples / 10).clamp(1, 4096)
}

/// Cluster of each of the rows `x` (N, D), in 0..`n_clusters`. A cluster may come out empty.
/// Errors: no rows, no clusters or more than rows.
pub fn cluster(x: ArrayView2<'_, f32>, n_clusters: usize, seed: u64) -> Result<Vec<u32>, DetectError> {
    let n = x.nrows();
    check_clusters(n, n_clusters)?;
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
    let seeds = plus_plus(sample.view(), n_clusters, &mut r);
    let centres = lloyd(sample.view(), seeds, MAX_ITERATIONS, &mut |_, _| true)?;
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
fn plus_plus(x: ArrayView2<'_, f32>, k: usize, r: &mut impl Rng) -> Array2<f32> {
    let n = x.nrows();
    let squares: Vec<f64> = row_squares(x);
    let mut nearest = vec![f64::INFINITY; n];
    let mut centres = Array2::zeros((k, x.ncols()));
    let mut next = r.gen_range(0..n);
    for c in 0..k {
        centres.row_mut(c).assign(&x.row(next));
        let along = matmul(x, x.row(next).insert_axis(Axis(1)));
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

fn row_squares(x: ArrayView2<'_, f32>) -> Vec<f64> {
    x.rows().into_iter().map(|r| r.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()).collect()
}

/// Clusters of rows in all their dimensions.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// (k, D)
    pub centres: Array2<f32>,
    /// Nearest centre of each row, the lower of equals. A centre may have no row.
    pub assignment: Vec<u32>,
    /// Mean squared Euclidean distance of the rows from their centres.
    pub inertia: f64,
}

/// k-means of the rows `x` (N, D) in full: k-means++ seeds from a sample of rows, then at most
/// `max_iterations` of Lloyd's. `progress(iterations done, max_iterations)` cancels by returning false.
/// 2 N D k floating-point operations an iteration.
/// Errors: no rows, a value that is not finite, no clusters or more than rows.
pub fn kmeans(
    x: ArrayView2<'_, f32>,
    k: usize,
    max_iterations: usize,
    seed: u64,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<KMeans, DetectError> {
    check_clusters(x.nrows(), k)?;
    check_features(x)?;
    let x = x.as_standard_layout();
    let (n, mut r) = (x.nrows(), rng(seed));
    let some = (SEED_ROWS_PER_CENTRE * k).max(2048);
    let seeds = if some >= n {
        plus_plus(x.view(), k, &mut r)
    } else {
        let mut chosen = index::sample(&mut r, n, some).into_vec();
        chosen.sort_unstable();
        plus_plus(x.select(Axis(0), &chosen).view(), k, &mut r)
    };
    let centres = lloyd(x.view(), seeds, max_iterations, progress)?;
    let assignment = assign(x.view(), &centres);
    let inertia = inertia(x.view(), &assignment, &centres);
    Ok(KMeans { centres, assignment, inertia })
}

fn check_clusters(n: usize, k: usize) -> Result<(), DetectError> {
    if n == 0 {
        return Err(DetectError::Empty);
    }
    if k == 0 || k > n {
        let rule = "there must be at least 1 and no more than samples";
        return Err(DetectError::Param { name: "clusters", value: k as f64, rule });
    }
    Ok(())
}

/// Lloyd's iterations from `centres` until all centres together move by less than [`TOLERANCE`].
fn lloyd(
    x: ArrayView2<'_, f32>,
    mut centres: Array2<f32>,
    max_iterations: usize,
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Array2<f32>, DetectError> {
    for done in 1..=max_iterations {
        let next = means(x, &assign(x, &centres), &centres);
        let moved: f64 = next.iter().zip(&centres).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        centres = next;
        if !progress(done, max_iterations) {
            return Err(DetectError::Cancelled);
        }
        if moved < TOLERANCE {
            break;
        }
    }
    Ok(centres)
}

/// Mean squared distance of the rows from their centres; differences, not products: exact near zero.
fn inertia(x: ArrayView2<'_, f32>, of: &[u32], centres: &Array2<f32>) -> f64 {
    let blocks: Vec<_> = x.axis_chunks_iter(Axis(0), ASSIGN_ROWS).zip(of.chunks(ASSIGN_ROWS)).collect();
    let sums: Vec<f64> = blocks
        .into_par_iter()
        .map(|(rows, of)| {
            let square = |(row, &c): (ndarray::ArrayView1<'_, f32>, &u32)| {
                let centre = centres.row(c as usize);
                row.iter().zip(centre).map(|(v, m)| f64::from(v - m).powi(2)).sum::<f64>()
            };
            rows.rows().into_iter().zip(of).map(square).sum()
        })
        .collect();
    sums.iter().sum::<f64>() / of.len() as f64
}

/// Nearest of `k` roughly placed centres of each row, and the centres: enough to bring similar rows
/// together.
pub(super) fn rough(x: ArrayView2<'_, f32>, k: usize) -> (Vec<u32>, Array2<f32>) {
    let step = (x.nrows() / (32 * k)).max(1);
    let sample = x.slice(s![..;step as isize, ..]).to_owned();
    let seeds = sample.select(Axis(0), &(0..k).map(|c| c * sample.nrows() / k).collect::<Vec<_>>());
    let centres = (0..4).fold(seeds, |centres, _| {
        let of = assign(sample.view(), &centres);
        means(sample.view(), &of, &centres)
    });
    (assign(x, &centres), centres)
}

/// Mean of each cluster's rows and its old centre, which counts as one more row, so that no cluster is
/// ever without (Pakhira 2009, and linfa's). Sums run in the order of the rows: [`SUMMED_ROWS`] at a
/// time in f32, those in f64.
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
    // Large clusters are cut up, so that they do not keep one thread alone at work.
    let parts: Vec<(usize, &[u32])> =
        (0..k).flat_map(|c| members[ends[c]..ends[c + 1]].chunks(PART_ROWS).map(move |m| (c, m))).collect();
    let sums: Vec<(usize, Vec<f64>)> = parts
        .into_par_iter()
        .map(|(c, members)| {
            let (mut total, mut sum) = (vec![0f64; d], vec![0f32; d]);
            for members in members.chunks(SUMMED_ROWS) {
                sum.fill(0.0);
                for &i in members {
                    let row = x.row(i as usize);
                    match row.to_slice() {
                        Some(row) => sum.iter_mut().zip(row).for_each(|(s, v)| *s += v),
                        None => sum.iter_mut().zip(row).for_each(|(s, v)| *s += v),
                    }
                }
                total.iter_mut().zip(&sum).for_each(|(t, s)| *t += f64::from(*s));
            }
            (c, total)
        })
        .collect();
    let mut totals = centres.mapv(f64::from);
    for (c, sum) in sums {
        totals.row_mut(c).iter_mut().zip(sum).for_each(|(t, s)| *t += s);
    }
    for (c, mut row) in totals.rows_mut().into_iter().enumerate() {
        row /= (ends[c + 1] - ends[c] + 1) as f64;
    }
    totals.mapv(|v| v as f32)
}

/// Nearest centre of each row, the lower of equals.
fn assign(x: ArrayView2<'_, f32>, centres: &Array2<f32>) -> Vec<u32> {
    let k = centres.nrows();
    let halves: Vec<f32> = row_squares(centres.view()).into_iter().map(|s| (s / 2.0) as f32).collect();
    let mut out = vec![0u32; x.nrows()];
    let blocks: Vec<_> = x.axis_chunks_iter(Axis(0), ASSIGN_ROWS).zip(out.chunks_mut(ASSIGN_ROWS)).collect();
    blocks.into_par_iter().for_each_init(
        || vec![0f32; ASSIGN_ROWS * k],
        |scores, (rows, out)| {
            let scores = &mut scores[..rows.nrows() * k];
            let tile = ArrayViewMut2::from_shape((rows.nrows(), k), &mut *scores).expect("cut to this size");
            product::tile(tile, rows, centres.t());
            for (scores, out) in scores.chunks_exact(k).zip(out) {
                *out = nearest_centre(scores, &halves);
            }
        },
    );
    out
}

/// Where `score - half` is greatest, the lowest of equals: |x - c|^2 = |x|^2 - 2 (x.c - |c|^2 / 2).
fn nearest_centre(scores: &[f32], halves: &[f32]) -> u32 {
    const WAYS: usize = 8;
    // Eight searches side by side, so that the comparisons run in vectors.
    let (mut best, mut at) = ([f32::NEG_INFINITY; WAYS], [0u32; WAYS]);
    let ((s, s_rest), (h, h_rest)) = (scores.as_chunks::<WAYS>(), halves.as_chunks::<WAYS>());
    for (c, (s, h)) in s.iter().zip(h).enumerate() {
        for l in 0..WAYS {
            let v = s[l] - h[l];
            let better = v > best[l];
            best[l] = if better { v } else { best[l] };
            at[l] = if better { c as u32 } else { at[l] };
        }
    }
    let mut found = (f32::NEG_INFINITY, 0);
    for l in 0..WAYS {
        let i = at[l] * WAYS as u32 + l as u32;
        if best[l] > found.0 || (best[l] == found.0 && i < found.1) {
            found = (best[l], i);
        }
    }
    for (l, (s, h)) in s_rest.iter().zip(h_rest).enumerate() {
        if s - h > found.0 {
            found = (s - h, (scores.len() - s_rest.len() + l) as u32);
        }
    }
    found.1
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

    /// linfa's Lloyd from the same centres, its loop over single pairs.
    fn by_linfa(x: &Array2<f32>, seeds: &Array2<f32>, iterations: u64) -> Array2<f32> {
        use linfa::{DatasetBase, traits::Fit};
        use linfa_clustering::{KMeans, KMeansInit};
        let old = |a: &Array2<f32>| {
            linfa_ndarray::Array2::from_shape_vec(a.dim(), a.iter().copied().collect()).unwrap()
        };
        let model = KMeans::params_with_rng(seeds.nrows(), rng(0))
            .init_method(KMeansInit::Precomputed(old(seeds)))
            .n_runs(1)
            .max_n_iterations(iterations)
            .tolerance(1e-4)
            .fit(&DatasetBase::from(old(x)))
            .unwrap();
        Array2::from_shape_vec(seeds.dim(), model.centroids().iter().copied().collect()).unwrap()
    }

    #[test]
    fn lloyd_ends_where_linfa_does() {
        for (n, d, k, spread) in [(500, 7, 5, 1.0), (2000, 40, 30, 2.0), (1500, 100, 17, 0.5)] {
            let x = blobs(n, d, 12, spread);
            let seeds = plus_plus(x.view(), k, &mut rng(2));
            let theirs = by_linfa(&x, &seeds, 10);
            let ours = lloyd(x.view(), seeds, 10, &mut |_, _| true).unwrap();
            let measure = |c: &Array2<f32>| inertia(x.view(), &assign(x.view(), c), c);
            let (ours, theirs) = (measure(&ours), measure(&theirs));
            assert!((ours / theirs - 1.0).abs() < 1e-4, "{n} x {d}: {ours} {theirs}");
        }
    }

    #[test]
    fn kmeans_in_full() {
        let x = blobs(3000, 30, 6, 0.3);
        let fit = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| kmeans(x.view(), 12, 20, seed, &mut |_, _| true).unwrap())
        };
        let one = fit(1, 3);
        assert_eq!(one, fit(3, 3));
        assert_ne!(one.centres, fit(1, 4).centres);
        assert!(purity(&one.assignment, 6) > 0.99);
        // Every row is with its nearest centre, and the inertia is the mean of those distances.
        let mut sum = 0.0;
        for (row, &c) in x.rows().into_iter().zip(&one.assignment) {
            let to: Vec<f64> = (one.centres.rows().into_iter())
                .map(|m| row.iter().zip(m).map(|(v, m)| f64::from(v - m).powi(2)).sum())
                .collect();
            let least = to.iter().fold(f64::INFINITY, |a, b| a.min(*b));
            assert!(to[c as usize] < least + 1e-5);
            sum += to[c as usize];
        }
        assert!((one.inertia / (sum / 3000.0) - 1.0).abs() < 1e-6);
        let none = kmeans(x.view(), 4, 0, 1, &mut |_, _| true).unwrap();
        assert!(none.inertia > kmeans(x.view(), 4, 5, 1, &mut |_, _| true).unwrap().inertia);
        assert_eq!(kmeans(x.view(), 4, 5, 1, &mut |_, _| false), Err(DetectError::Cancelled));
    }

    #[test]
    fn nearest_centre_by_hand_and_the_lower_of_equals() {
        assert_eq!(nearest_centre(&[0.0; 20], &[0.0; 20]), 0);
        for (k, at) in [(1, 0), (7, 6), (8, 7), (20, 9), (20, 19)] {
            let mut scores = vec![1.0; k];
            scores[at] = 2.0;
            assert_eq!(nearest_centre(&scores, &vec![0.5; k]), at as u32);
            let mut halves = vec![0.5; k];
            halves[at] = 1.5; // now all are equal
            assert_eq!(nearest_centre(&scores, &halves), 0);
        }
    }

    #[test]
    fn kmeans_of_degenerate_input() {
        let go = |x: &Array2<f32>, k| kmeans(x.view(), k, 5, 1, &mut |_, _| true);
        let one = go(&ndarray::array![[3.0f32, 4.0]], 1).unwrap();
        assert_eq!((one.inertia, one.assignment), (0.0, vec![0]));
        let same = go(&Array2::ones((20, 3)), 4).unwrap();
        assert_eq!(same.inertia, 0.0);
        assert_eq!(go(&Array2::zeros((0, 3)), 1), Err(DetectError::Empty));
        assert!(go(&Array2::ones((2, 3)), 3).is_err() && go(&Array2::ones((2, 3)), 0).is_err());
        let mut bad = Array2::<f32>::ones((4, 2));
        bad[[2, 1]] = f32::NAN;
        assert!(go(&bad, 2).unwrap_err().to_string().contains("row 2, column 1"));
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
    }
}
