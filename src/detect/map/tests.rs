//! What a map must keep, measured by trustworthiness (Venna and Kaski 2001) as defined, over all pairs.

use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

use super::*;
use crate::arrays::gaussian_matrix;

fn go(x: ArrayView2<'_, f32>, params: &MapParams) -> Map {
    map(x, params, &mut |_, _, _| true).unwrap()
}

/// `per` samples each around `centres` points of a space of `d` dimensions, far apart.
fn clouds(centres: usize, per: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut random = rng(seed);
    let at = gaussian_matrix(centres, d, &mut random);
    let noise = gaussian_matrix(centres * per, d, &mut random);
    Array2::from_shape_fn((centres * per, d), |(i, c)| at[[i % centres, c]] + 0.25 * noise[[i, c]])
}

/// Ranks of all others by a distance, nearest first.
fn ranked(n: usize, i: usize, distance: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut others: Vec<usize> = (0..n).filter(|j| *j != i).collect();
    others.sort_by(|a, b| distance(*a).total_cmp(&distance(*b)));
    others
}

/// 1 - 2 / (n k (2n - 3k - 1)) sum over samples and their k neighbours on the plane of how far beyond k they rank
/// by cosine.
fn trustworthiness(x: ArrayView2<'_, f32>, points: ArrayView2<'_, f32>, k: usize) -> f64 {
    let n = x.nrows();
    let unit = l2_normalized_rows(x);
    let mut beyond = 0;
    for i in 0..n {
        let true_order = ranked(n, i, |j| -f64::from(unit.row(i).dot(&unit.row(j))));
        let on_plane =
            ranked(n, i, |j| (0..2).map(|c| f64::from(points[[i, c]] - points[[j, c]]).powi(2)).sum::<f64>());
        for j in &on_plane[..k] {
            let rank = true_order.iter().position(|t| t == j).unwrap() + 1;
            beyond += rank.saturating_sub(k);
        }
    }
    let (n, k) = (n as f64, k as f64);
    1.0 - 2.0 / (n * k * (2.0 * n - 3.0 * k - 1.0)) * beyond as f64
}

#[test]
fn neighbours_stay_neighbours_and_groups_apart() {
    let (centres, per) = (8, 40);
    let x = clouds(centres, per, 20, 3);
    let umap = go(x.view(), &MapParams::new(7));
    let pca = go(x.view(), &MapParams { method: MapMethod::Pca, ..MapParams::new(7) });
    assert_eq!((umap.method, pca.method), (MapMethod::Umap, MapMethod::Pca));
    let (ours, flat) =
        (trustworthiness(x.view(), umap.points.view(), 12), trustworthiness(x.view(), pca.points.view(), 12));
    assert!(ours > 0.93 && ours > flat, "{ours} {flat}");
    assert!(umap.neighbours_kept > pca.neighbours_kept, "{umap:?}");
    // the nearest on the plane are of the same group
    let n = centres * per;
    let same: usize = (0..n)
        .map(|i| {
            let near = ranked(n, i, |j| {
                (0..2).map(|c| f64::from(umap.points[[i, c]] - umap.points[[j, c]]).powi(2)).sum::<f64>()
            });
            near[..10].iter().filter(|j| *j % centres == i % centres).count()
        })
        .sum();
    assert!(same as f64 / (10 * n) as f64 > 0.99, "{same} of {}", 10 * n);
}

/// SplitMix64's finaliser of a place, in [-1, 1): the same numbers in any language.
fn value(i: u64, j: u64, stream: u64) -> f64 {
    let mut z = stream
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(i.wrapping_mul(0xbf58_476d_1ce4_e5b9))
        .wrapping_add(j.wrapping_mul(0x94d0_49bb_1331_11eb));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64 * 2.0 - 1.0
}

/// Against umap-learn 0.5 (`n_neighbors=16, metric="cosine", min_dist=0.197`, which counts a sample among its own
/// neighbours) and scikit-learn's `trustworthiness(…, n_neighbors=12, metric="cosine")`: 0.9806, 0.9811 and 0.9809
/// for its seeds 1, 2, 3; and against scikit-learn's `PCA(2)` of the rows of unit length.
#[test]
fn as_trustworthy_as_umap_learn_and_as_flat_as_scikit_learn() {
    let x = Array2::from_shape_fn((320, 20), |(i, c)| {
        (value(i as u64 % 8, c as u64, 1) + 0.6 * value(i as u64, c as u64, 2)) as f32
    });
    let umap = go(x.view(), &MapParams::new(1));
    let ours = trustworthiness(x.view(), umap.points.view(), 12);
    assert!(ours > 0.98 - 0.005, "{ours}");
    let pca = go(x.view(), &MapParams { method: MapMethod::Pca, ..MapParams::new(1) });
    let flat = trustworthiness(x.view(), pca.points.view(), 12);
    assert!((flat - 0.920_877).abs() < 1e-3, "{flat}");
    let expected = [
        (0, [-0.308_130, -0.054_728]),
        (1, [-0.410_726, -0.436_271]),
        (2, [0.246_944, 0.034_935]),
        (100, [0.246_912, 0.765_468]),
        (319, [0.400_226, -0.043_967]),
    ];
    for (row, wanted) in expected {
        for (c, wanted) in wanted.into_iter().enumerate() {
            assert!(
                (f64::from(pca.points[[row, c]]) - wanted).abs() < 1e-3,
                "{row}: {}",
                pca.points.row(row)
            );
        }
    }
}

#[test]
fn the_same_for_any_number_of_threads() {
    let x = clouds(5, 60, 12, 1);
    let params = MapParams { epochs: Some(60), ..MapParams::new(5) };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| go(x.view(), &params))
    };
    let one = with(1);
    assert_eq!(one, with(3));
    assert_ne!(one.points, go(x.view(), &MapParams { seed: 6, ..params }).points);
}

#[test]
fn few_samples_lie_on_their_principal_plane() {
    // variances 9 and 1 along two diagonals, by hand
    let x = array![[3.0f32, 3.0, 5.0], [-3.0, -3.0, 5.0], [1.0, -1.0, 5.0], [-1.0, 1.0, 5.0]];
    let p = principal_plane(x.view(), 0);
    let r = 18f32.sqrt();
    let expected = array![[r, 0.0], [-r, 0.0], [0.0, 2f32.sqrt()], [0.0, -(2f32.sqrt())]];
    for (got, wanted) in p.rows().into_iter().zip(expected.rows()) {
        assert!((got[0] - wanted[0]).abs() < 1e-4 && (got[1].abs() - wanted[1].abs()).abs() < 1e-4, "{p}");
    }
    assert_eq!(go(x.view(), &MapParams::new(1)).method, MapMethod::Pca);
    let alone = go(array![[1.0f32, 2.0]].view(), &MapParams::new(1));
    assert_eq!((alone.points, alone.neighbours_kept), (array![[0.0, 0.0]], 1.0));
}

#[test]
fn bad_input_is_refused_and_work_can_be_cancelled() {
    let x = clouds(3, 30, 4, 2);
    let bad = |x: &Array2<f32>, params| map(x.view(), &params, &mut |_, _, _| true).unwrap_err();
    assert_eq!(bad(&Array2::zeros((0, 3)), MapParams::new(1)), DetectError::Empty);
    let mut broken = x.clone();
    broken[[4, 1]] = f32::NAN;
    assert!(matches!(bad(&broken, MapParams::new(1)), DetectError::Value { row: 4, column: 1, .. }));
    let one = MapParams { neighbours: 1, ..MapParams::new(1) };
    assert!(matches!(bad(&x, one), DetectError::Param { name: "neighbours", .. }));
    for at in [MapStage::Neighbours, MapStage::Layout] {
        let cancelled = map(x.view(), &MapParams::new(1), &mut |stage, _, _| stage != at);
        assert_eq!(cancelled, Err(DetectError::Cancelled));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever comes in, doubled rows, empty ones, fewer dimensions than two: every point has a place.
    #[test]
    fn every_point_is_finite(seed in 0u64..1000, n in 1usize..130, d in 1usize..6, doubled in any::<bool>()) {
        let mut x = gaussian_matrix(n, d, &mut rng(seed));
        if doubled {
            for i in 0..n / 2 {
                let row = x.row(i).to_owned();
                x.row_mut(n - 1 - i).assign(&row);
            }
        }
        x.row_mut(0).fill(0.0);
        let m = go(x.view(), &MapParams { epochs: Some(20), ..MapParams::new(seed) });
        prop_assert_eq!(m.points.dim(), (n, 2));
        prop_assert!(m.points.iter().all(|v| v.is_finite()));
        prop_assert!((0.0..=1.0).contains(&m.neighbours_kept));
    }
}
