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
    fuse(&Evidence { labels: &b.labels, probabilities: &p.view(), space }, &|| true).unwrap()
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
    let same = fuse(&Evidence { labels: &[0; 5], probabilities: &flat.view(), space }, &|| true).unwrap();
    assert_eq!(same.rank, [1, 2, 3, 4, 5]);
    assert!(same.suspicion.iter().all(|s| s.is_finite()));
    let error = fuse(&Evidence { labels: &[0; 5], probabilities: &flat.view(), space: None }, &|| false);
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
