//! Golden sets from cleanlab 2.9 on generated matrices (`benches/golden_filters.py` writes them), and
//! what must hold for any input.

use std::collections::BTreeMap;

use super::*;
use crate::arrays::rng;
use ndarray::{Array2, ArrayView2};
use proptest::prelude::*;
use rand::Rng;

fn issues<T: Real>(p: ArrayView2<'_, T>, y: &[u32], filter: Filter) -> Vec<bool> {
    let counted = Counted::of(&p, y, &|_| true).unwrap();
    label_issues(&p, y, &counted, filter, &|_| true).unwrap()
}

/// The matrix of the golden file: sums of a linear congruential sequence, the label's class helped in
/// most rows, so that it can be written down in any language. `wrong` of 8 rows lean elsewhere.
fn generated(n: usize, k: usize, wrong: u64) -> (Array2<f32>, Vec<u32>) {
    let mut state = 12_345u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let mut p = Array2::zeros((n, k));
    let mut y = Vec::with_capacity(n);
    for i in 0..n {
        let label = (next() % k as u64).min(next() % k as u64) as usize;
        let leans = if next() % 8 < wrong { (next() % k as u64) as usize } else { label };
        // whole numbers below 2^24: exact in f32, and so is their sum
        let raw: Vec<u64> = (0..k).map(|_| next() % 1000 + 1).collect();
        let total: u64 = raw.iter().sum::<u64>() + 150 * k as u64;
        for j in 0..k {
            let value = raw[j] + if j == leans { 150 * k as u64 } else { 0 };
            p[[i, j]] = value as f32 / total as f32;
        }
        y.push(label as u32);
    }
    (p, y)
}

/// FNV-1a of the row numbers flagged: a set in sixteen digits.
fn digest(flags: &[bool]) -> String {
    let rows = flags.iter().enumerate().filter(|(_, f)| **f).flat_map(|(i, _)| (i as u64).to_le_bytes());
    let hash = rows.fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    format!("{} {hash:016x}", flags.iter().filter(|f| **f).count())
}

#[test]
fn the_same_sets_as_cleanlab() {
    let golden: BTreeMap<String, String> = serde_json::from_str(include_str!("golden.json")).unwrap();
    assert_eq!(golden.len(), 4 * Filter::ALL.len());
    for (n, k, wrong) in [(500, 3, 2), (3000, 12, 3), (4000, 40, 5), (300, 90, 2)] {
        let (p, y) = generated(n, k, wrong);
        for filter in Filter::ALL {
            let name = format!("{n} {k} {wrong} {}", filter.as_str());
            assert_eq!(digest(&issues(p.view(), &y, filter)), golden[&name], "{name}");
        }
    }
}

#[test]
fn small_and_strange_sets() {
    let one = Array2::from_elem((1, 3), 1.0f32 / 3.0);
    for filter in Filter::ALL {
        assert_eq!(issues(one.view(), &[2], filter), [false], "{filter:?}");
        assert_eq!(Filter::parse(filter.as_str()), Some(filter));
    }
    // all labels wrong, and the model sure of it
    let (mut p, n) = (Array2::from_elem((40, 2), 0.05f32), 40);
    let y: Vec<u32> = (0..n).map(|i| i % 2).collect();
    for (i, &label) in y.iter().enumerate() {
        p[[i, 1 - label as usize]] = 0.95;
    }
    assert!(issues(p.view(), &y, Filter::PredictedNeqGiven).iter().all(|f| *f));
    // every class keeps one
    let pruned = issues(p.view(), &y, Filter::PruneByClass);
    assert!((0..2).all(|c| (0..40).any(|i| y[i] == c && !pruned[i])));
    // equal scores: the earlier rows
    let p = Array2::from_elem((6, 2), 0.5f32);
    let mut marked = vec![false; 6];
    mark_lowest(p.column(0).to_vec().as_slice(), vec![5, 4, 1, 3], 2, &mut marked);
    assert_eq!(marked, [false, true, false, true, false, false]);
}

fn random(n: usize, k: usize, seed: u64) -> (Array2<f32>, Vec<u32>) {
    let mut r = rng(seed);
    let y: Vec<u32> = (0..n).map(|_| r.gen_range(0..k as u32)).collect();
    // few different values, so that there are ties
    let mut p = Array2::from_shape_simple_fn((n, k), || r.gen_range(1..5) as f32);
    for mut row in p.rows_mut() {
        let sum = row.sum();
        row.mapv_inplace(|v| v / sum);
    }
    (p, y)
}

proptest! {
    #[test]
    fn sets_are_nested_as_theory_says(n in 1usize..200, k in 2usize..12, seed: u64) {
        let (p, y) = random(n, k, seed);
        let of = |f| issues(p.view(), &y, f);
        let (rate, class, both) =
            (of(Filter::PruneByNoiseRate), of(Filter::PruneByClass), of(Filter::Both));
        let differ = of(Filter::PredictedNeqGiven);
        for i in 0..n {
            prop_assert_eq!(both[i], rate[i] && class[i]);
            for f in [&rate, &class, &of(Filter::ConfidentLearning)] {
                prop_assert!(!f[i] || differ[i]);
            }
        }
        let count = |f: Vec<bool>| f.into_iter().filter(|x| *x).count();
        let off = count(of(Filter::ConfidentLearning));
        prop_assert_eq!(count(of(Filter::LowSelfConfidence)), off);
        prop_assert_eq!(count(of(Filter::LowNormalizedMargin)), off);
    }

    #[test]
    fn threads_layout_and_class_order_change_nothing(n in 1usize..300, k in 2usize..10, seed: u64) {
        let (p, y) = random(n, k, seed);
        for filter in Filter::ALL {
            let want = issues(p.view(), &y, filter);
            let fortran = p.t().as_standard_layout().into_owned();
            prop_assert_eq!(&issues(fortran.t(), &y, filter), &want);
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                prop_assert_eq!(&pool.install(|| issues(p.view(), &y, filter)), &want);
            }
        }
    }
}
