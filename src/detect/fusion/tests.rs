use super::*;
use crate::arrays::{gaussian_matrix, l2_normalized_rows, rng};
use crate::detect::neighbours::nearest;
use ndarray::Array2;
use proptest::prelude::*;
use rand::Rng;

/// Unit rows around class centres, true classes, and a head that sees the given labels' chances.
struct Blobs {
    unit: Array2<f32>,
    truth: Vec<u32>,
    labels: Vec<u32>,
}

fn blobs(n: usize, k: usize, flip: impl Fn(u32, f64) -> u32, seed: u64) -> Blobs {
    let d = 12;
    let mut r = rng(seed);
    let centres = gaussian_matrix(k, d, &mut r);
    let noise = gaussian_matrix(n, d, &mut r);
    let truth: Vec<u32> = (0..n).map(|i| (i % k) as u32).collect();
    let x = Array2::from_shape_fn((n, d), |(i, j)| centres[[i % k, j]] + 0.5 * noise[[i, j]]);
    let labels = truth.iter().map(|&y| flip(y, r.r#gen())).collect();
    Blobs { unit: l2_normalized_rows(x.view()), truth, labels }
}

/// Probabilities of a crude out-of-sample head: softmax of cosines to the true centres, then mixed with
/// the noise as a head that learnt from the labels would show it.
fn head(b: &Blobs, k: usize, matrix: impl Fn(usize, usize) -> f32) -> Array2<f32> {
    let mut centres = Array2::<f32>::zeros((k, b.unit.ncols()));
    for (row, &y) in b.unit.outer_iter().zip(&b.truth) {
        centres.row_mut(y as usize).scaled_add(1.0, &row);
    }
    let centres = l2_normalized_rows(centres.view());
    let cosines = b.unit.dot(&centres.t());
    Array2::from_shape_fn((b.unit.nrows(), k), |(i, c)| {
        let e: Vec<f32> = cosines.row(i).iter().map(|v| (v / 0.15).exp()).collect();
        let sum: f32 = e.iter().sum();
        (0..k).map(|y| e[y] / sum * matrix(y, c)).sum()
    })
}

fn auroc(score: &[f32], wrong: &[bool]) -> f64 {
    let mut order: Vec<usize> = (0..score.len()).collect();
    order.sort_by(|&a, &b| score[a].total_cmp(&score[b]));
    let positives = wrong.iter().filter(|w| **w).count() as f64;
    let ranks: f64 = order.iter().zip(1..).filter(|(i, _)| wrong[**i]).map(|(_, r)| f64::from(r)).sum();
    (ranks - positives * (positives + 1.0) / 2.0) / (positives * (score.len() as f64 - positives))
}

fn run(b: &Blobs, p: &Array2<f32>, with_space: bool) -> Fused {
    let neighbours = nearest(b.unit.view(), 20, &mut |_, _| true).unwrap();
    let space = with_space.then(|| Space { unit: b.unit.view(), neighbours: &neighbours });
    fuse(&Evidence { labels: &b.labels, probabilities: &p.view(), space, candidates: 4 }, &|| true).unwrap()
}

#[test]
fn noise_with_a_direction_is_seen_and_counted() {
    let k = 6;
    // 30 % of every class carry the next class's label: the head believes 0.7 / 0.3
    let next = |y: u32| (y + 1) % k as u32;
    let b = blobs(1500, k, |y, u| if u < 0.3 { next(y) } else { y }, 5);
    let matrix = |y: usize, c: usize| {
        if y == c {
            0.7
        } else if next(y as u32) as usize == c {
            0.3
        } else {
            0.0
        }
    };
    let p = head(&b, k, matrix);
    let wrong: Vec<bool> = b.labels.iter().zip(&b.truth).map(|(a, b)| a != b).collect();
    let errors = wrong.iter().filter(|w| **w).count();
    let alone: Vec<f32> = b.labels.iter().enumerate().map(|(i, y)| -p[[i, *y as usize]]).collect();
    let both = run(&b, &p, true);
    let area = auroc(&both.score, &wrong);
    assert!(area > 0.99 && area > auroc(&alone, &wrong), "{area} {}", auroc(&alone, &wrong));
    let count = both.count.estimate as f64 / errors as f64;
    assert!((0.85..1.15).contains(&count), "{:?} of {errors}", both.count);
    assert!(both.count.low <= errors && errors <= both.count.high, "{:?} of {errors}", both.count);
    let right = (0..1500).filter(|&i| wrong[i] && both.suggested[i] == b.truth[i]).count();
    assert!(right as f64 > 0.95 * errors as f64, "{right} of {errors}");
}

#[test]
fn clean_labels_raise_next_to_nothing() {
    let b = blobs(600, 4, |y, _| y, 8);
    let p = head(&b, 4, |y, c| if y == c { 1.0 } else { 0.0 });
    let fused = run(&b, &p, true);
    assert!(fused.count.estimate <= 6, "{:?}", fused.count);
    assert!(run(&b, &p, false).count.estimate <= 12);
}

#[test]
fn the_head_alone_and_the_worst_input() {
    let b = blobs(60, 3, |y, u| if u < 0.2 { (y + 1) % 3 } else { y }, 9);
    let p = head(&b, 3, |y, c| if y == c { 1.0 } else { 0.0 });
    let alone = run(&b, &p, false);
    assert_eq!(alone.weights.len(), 1);
    // one class only, all probabilities equal, all rows the same
    let flat = Array2::from_elem((5, 2), 0.5f32);
    let ones = Array2::from_elem((5, 3), 1.0f32);
    let unit = l2_normalized_rows(ones.view());
    let neighbours = nearest(unit.view(), 20, &mut |_, _| true).unwrap();
    let space = Some(Space { unit: unit.view(), neighbours: &neighbours });
    let same =
        fuse(&Evidence { labels: &[0; 5], probabilities: &flat.view(), space, candidates: 4 }, &|| true)
            .unwrap();
    assert_eq!(same.rank, [1, 2, 3, 4, 5]);
    assert!(same.suspicion.iter().all(|s| s.is_finite()));
    let error =
        fuse(&Evidence { labels: &[0; 5], probabilities: &flat.view(), space: None, candidates: 0 }, &|| {
            false
        });
    assert_eq!(error, Err(DetectError::Cancelled));
}

#[test]
fn threads_do_not_change_a_bit() {
    let b = blobs(3000, 30, |y, u| if u < 0.2 { (y + 7) % 30 } else { y }, 10);
    let p = head(&b, 30, |y, c| if y == c { 0.8 } else { 0.2 / 29.0 });
    let with = |threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| run(&b, &p, true))
    };
    let one = with(1);
    assert_eq!(one, with(2));
    assert_eq!(one, with(3));
}

fn space_of(unit: &Array2<f32>) -> Neighbours {
    nearest(unit.view(), 20, &mut |_, _| true).unwrap()
}

fn fused(unit: &Array2<f32>, labels: &[u32], p: &Array2<f32>) -> Fused {
    let neighbours = space_of(unit);
    let space = Some(Space { unit: unit.view(), neighbours: &neighbours });
    fuse(&Evidence { labels, probabilities: &p.view(), space, candidates: 4 }, &|| true).unwrap()
}

/// Scores finite, ranks a permutation, shares in [0, 1], suggestions other classes, the interval around the
/// estimate.
fn sound(f: &Fused, labels: &[u32], k: usize) {
    let n = labels.len();
    let mut ranks = f.rank.clone();
    ranks.sort_unstable();
    assert!(ranks.iter().zip(1..).all(|(a, b)| *a == b));
    for (i, &label) in labels.iter().enumerate() {
        assert!(f.score[i].is_finite() && f.suspicion[i] > 0.0 && f.suspicion[i] < 1.0);
        assert!((0.0..=1.0).contains(&f.p_given[i]) && (0.0..=1.0).contains(&f.p_suggested[i]));
        assert!(f.suggested[i] != label && (f.suggested[i] as usize) < k);
    }
    assert!(f.count.low <= f.count.estimate && f.count.estimate <= f.count.high && f.count.high <= n);
}

#[test]
fn the_worst_sets() {
    let k = 5;
    let b = blobs(60, k, |y, _| y, 21);
    let uniform = |n: usize, k: usize| Array2::from_elem((n, k), 1.0 / k as f32);
    let believing = |labels: &[u32], k: usize| {
        Array2::from_shape_fn((labels.len(), k), |(i, c)| {
            if labels[i] as usize == c { 0.9 } else { 0.1 / (k - 1) as f32 }
        })
    };
    let alone: Vec<u32> = (0..60).collect();
    let sparse: Vec<u32> = (0..60).map(|i| i * 3).collect();
    let same = l2_normalized_rows(Array2::<f32>::ones((60, 12)).view());
    let twice = Array2::from_shape_fn((60, 12), |(i, j)| b.unit[[i / 2, j]]);
    for (name, unit, labels, p) in [
        ("one class", &b.unit, vec![2; 60], believing(&[2; 60], k)),
        ("one class, head says another", &b.unit, vec![2; 60], believing(&[1; 60], k)),
        ("one sample a class", &b.unit, alone.clone(), uniform(60, 60)),
        ("more classes than samples", &b.unit, sparse.clone(), believing(&sparse, 200)),
        ("constant features", &same, b.labels.clone(), uniform(60, k)),
        ("no features", &Array2::zeros((60, 12)), b.labels.clone(), uniform(60, k)),
        ("duplicate rows", &twice, b.labels.clone(), believing(&b.labels, k)),
    ] {
        let f = fused(unit, &labels, &p);
        sound(&f, &labels, p.ncols());
        if name != "duplicate rows" {
            assert_eq!(f.count.estimate, 0, "{name}: {:?}", f.count);
        }
    }
}

#[test]
fn all_labels_wrong() {
    let k = 4;
    let b = blobs(400, k, |y, _| y, 22);
    let p = head(&b, k, |y, c| if y == c { 1.0 } else { 0.0 });
    // a head that learnt from elsewhere contradicts every label: by it alone nearly all are flagged
    let wrong: Vec<u32> = b.truth.iter().map(|y| (y + 1) % k as u32).collect();
    let f = fused(&b.unit, &wrong, &p);
    sound(&f, &wrong, k);
    // the same names for other classes: what was learnt from these labels has nothing against them
    let renamed = Array2::from_shape_fn(p.dim(), |(i, c)| p[[i, (c + k - 1) % k]]);
    let f = fused(&b.unit, &wrong, &renamed);
    sound(&f, &wrong, k);
    assert!(f.count.estimate <= 8, "{:?}", f.count);
}

#[test]
fn half_precision_changes_little() {
    for (with_space, k, keep) in [(true, 6, 0.8f32), (false, 6, 0.8), (false, 3, 0.97), (true, 40, 0.9)] {
        let b = blobs(2000, k, |y, u| if u < f64::from(1.0 - keep) { (y + 1) % k as u32 } else { y }, 23);
        let p = head(&b, k, |y, c| if y == c { keep } else { (1.0 - keep) / (k - 1) as f32 });
        // a sure head: probabilities that half precision cannot tell from 1, and from each other
        let sure = Array2::from_shape_fn(p.dim(), |(i, c)| p[[i, c]].powi(3));
        let sums = sure.sum_axis(ndarray::Axis(1));
        let sure = Array2::from_shape_fn(p.dim(), |(i, c)| sure[[i, c]] / sums[i]);
        for p in [p, sure] {
            let half = p.mapv(|v| half::f16::from_f32(v).to_f32());
            let (a, h) = (run(&b, &p, with_space), run(&b, &half, with_space));
            let (few, many) = (a.count.estimate as f64, h.count.estimate as f64);
            assert!((few - many).abs() <= 3.0 + 0.15 * few, "{:?} {:?}", a.count, h.count);
            let both = (0..2000).filter(|&i| a.suspicion[i] > 0.5 && h.suspicion[i] > 0.5).count() as f64;
            assert!(both >= 0.95 * few.min(many), "{both} of {few} and {many}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn permuting_the_classes_permutes_the_verdict(seed: u64, shift in 1u32..6) {
        let k = 6;
        let b = blobs(150, k, |y, u| if u < 0.2 { (y + 2) % 6 } else { y }, seed);
        let p = head(&b, k, |y, c| if y == c { 0.9 } else { 0.02 });
        let renamed = Array2::from_shape_fn(p.dim(), |(i, c)| p[[i, (c + k - shift as usize) % k]]);
        let labels: Vec<u32> = b.labels.iter().map(|y| (y + shift) % k as u32).collect();
        let (a, r) = (run(&b, &p, true), fused(&b.unit, &labels, &renamed));
        for i in 0..150 {
            prop_assert!((a.score[i] - r.score[i]).abs() < 0.02 * a.score[i].abs().max(1.0));
            prop_assert!((a.suggested[i] + shift) % 6 == r.suggested[i] || a.p_suggested[i] - r.p_suggested[i] < 0.02);
        }
        prop_assert!(a.count.estimate.abs_diff(r.count.estimate) <= 1);
    }

    /// A copy of a sample with the same label is one more witness for it.
    #[test]
    fn a_copy_with_the_same_label_never_raises_suspicion(seed: u64, at in 0usize..150) {
        let k = 5;
        let b = blobs(150, k, |y, u| if u < 0.2 { (y + 1) % 5 } else { y }, seed);
        let p = head(&b, k, |y, c| if y == c { 0.84 } else { 0.04 });
        let order: Vec<usize> = (0..150).chain([at]).collect();
        let more = fused(
            &b.unit.select(ndarray::Axis(0), &order),
            &order.iter().map(|&i| b.labels[i]).collect::<Vec<_>>(),
            &p.select(ndarray::Axis(0), &order),
        );
        let before = run(&b, &p, true);
        // weights and noise matrix are estimated anew from 151 samples, which moves scores by some percent: 2.2 %
        // was seen (seed 10307282865333721617, sample 99)
        let slack = 0.03 * before.score[at].abs().max(1.0);
        prop_assert!(more.score[at] <= before.score[at] + slack, "{} {}", more.score[at], before.score[at]);
        prop_assert!(more.p_given[at] >= before.p_given[at] - 0.02);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn permuting_the_samples_permutes_the_verdict(seed: u64, shift in 1usize..99) {
        let n = 100;
        let b = blobs(n, 5, |y, u| if u < 0.2 { (y + 2) % 5 } else { y }, seed);
        let p = head(&b, 5, |y, c| if y == c { 0.9 } else { 0.025 });
        let order: Vec<usize> = (0..n).map(|i| (i + shift) % n).collect();
        let turned = Blobs {
            unit: b.unit.select(ndarray::Axis(0), &order),
            truth: order.iter().map(|&i| b.truth[i]).collect(),
            labels: order.iter().map(|&i| b.labels[i]).collect(),
        };
        let (a, t) = (run(&b, &p, true), run(&turned, &p.select(ndarray::Axis(0), &order), true));
        for (at, &i) in order.iter().enumerate() {
            prop_assert!((a.score[i] - t.score[at]).abs() < 0.02 * a.score[i].abs().max(1.0));
        }
        prop_assert!(a.count.estimate.abs_diff(t.count.estimate) <= 1);
        let mut seen: Vec<u32> = a.rank.clone();
        seen.sort_unstable();
        prop_assert!(seen.iter().zip(1..).all(|(a, b)| *a == b));
    }
}

/// What people read: likeliest first, the label among them, less sure than the ranking, never more than all.
#[test]
fn candidates_are_ranked_with_modest_probabilities() {
    let k = 20;
    let b = blobs(800, k, |y, u| if u < 0.2 { (y + 7) % 20 } else { y }, 11);
    let flat = Array2::from_elem((800, k), 0.05f32);
    let noisy = head(&b, k, |y, c| {
        if y == c {
            0.8
        } else if (y + 7) % 20 == c {
            0.2
        } else {
            0.0
        }
    });
    for (p, with_space) in [(&noisy, true), (&noisy, false), (&flat, true)] {
        let found = run(&b, p, with_space);
        for i in 0..800 {
            let row: Vec<(u32, f32)> = found.candidates.row(i).collect();
            assert_eq!(row.len(), 4, "as many as were asked for");
            assert!(row.is_sorted_by(|a, b| a.1 >= b.1), "{row:?}");
            assert!(row.iter().map(|c| c.1).sum::<f32>() <= 1.0);
            assert!((1..4).all(|j| row[..j].iter().all(|c| c.0 != row[j].0)), "{row:?}");
            let given = row.iter().find(|c| c.0 == b.labels[i]).expect("the given label");
            let other = row.iter().find(|c| c.0 != b.labels[i]).unwrap();
            assert_eq!(other.0, found.suggested[i]);
            // odds of the suspicion, rooted
            let s = f64::from(found.suspicion[i]);
            let odds = (s / (1.0 - s)).sqrt();
            assert!((f64::from(given.1) - 1.0 / (1.0 + odds)).abs() < 2e-4, "{given:?} at {s}");
            assert_eq!(given.1 < 0.5, found.suspicion[i] > 0.5);
        }
    }
    let none = Evidence { labels: &b.labels, probabilities: &noisy.view(), space: None, candidates: 0 };
    assert_eq!(fuse(&none, &|| true).unwrap().candidates.row(3).count(), 0);
}
