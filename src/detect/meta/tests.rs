//! The fit against scikit-learn's (`benches/golden_meta.py` writes the numbers), what must hold for any
//! reviews, and simulated reviewers.

use ndarray::{Array2, array};
use rand::Rng;
use serde_json::Value;

use super::*;
use crate::arrays::rng;
use crate::detect::audits::{audit_weight, draw, places};

struct Table {
    x: Array2<f64>,
    y: Vec<bool>,
    weights: Vec<f64>,
}

/// The table of `benches/golden_meta.py`.
fn table() -> Table {
    let mut state = 2026u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    let (n, d) = (60, 3);
    let mut t = Table { x: Array2::zeros((n, d)), y: Vec::new(), weights: Vec::new() };
    for i in 0..n {
        (0..d).for_each(|j| t.x[[i, j]] = 4.0 * draw() - 2.0);
        t.y.push(draw() < 1.0 / (1.0 + (-(t.x[[i, 0]] - 0.5 * t.x[[i, 1]])).exp()));
        t.weights.push(0.5 + draw());
    }
    t
}

#[test]
fn the_fit_is_scikit_learns() {
    let golden: Value = serde_json::from_str(include_str!("golden.json")).unwrap();
    let t = table();
    assert_eq!(golden["wrong"], t.y.iter().filter(|y| **y).count());
    let offset = vec![0.0; t.y.len()];
    for fit in golden["fits"].as_array().unwrap() {
        let rows = Rows { x: t.x.view(), y: &t.y, weights: &t.weights, offset: &offset };
        let got = Logistic::fit(rows, fit["c"].as_f64().unwrap());
        let near = |a: f64, b: &Value| (a - b.as_f64().unwrap()).abs() < 1e-6;
        assert!(near(got.intercept, &fit["intercept"]), "{got:?} {fit}");
        for (a, b) in got.coefficients.iter().zip(fit["coefficients"].as_array().unwrap()) {
            assert!(near(*a, b), "{got:?} {fit}");
        }
        let z: Vec<f64> = t.x.rows().into_iter().map(|r| got.log_odds(r.iter().copied(), 0.0)).collect();
        assert!(near(log_loss(&z, &t.y, &t.weights), &fit["log_loss"]));
        assert!(near(auroc(&z, &t.y), &fit["auroc"]));
    }
}

#[test]
fn given_log_odds_are_a_column_that_nobody_pays_for() {
    let t = table();
    let offset: Vec<f64> = t.x.column(0).to_vec();
    let zero = vec![0.0; offset.len()];
    let fit = |x: ArrayView2<'_, f64>, offset: &[f64], c| {
        Logistic::fit(Rows { x, y: &t.y, weights: &t.weights, offset }, c)
    };
    let others = t.x.slice(ndarray::s![.., 1..]);
    // without a penalty to speak of they are one column among others
    let (apart, among) = (fit(others, &offset, 1e7), fit(t.x.view(), &zero, 1e7));
    assert!((apart.slope - among.coefficients[0]).abs() < 1e-6, "{apart:?} {among:?}");
    assert!((apart.coefficients[0] - among.coefficients[1]).abs() < 1e-6);
    // and with a strong one they alone remain, calibrated
    let strong = fit(others, &offset, 1e-2);
    assert!(strong.coefficients.iter().all(|b| b.abs() < 0.1) && strong.slope > 0.4, "{strong:?}");
    assert_eq!(fit(others, &zero, 1.0).slope, 1.0, "nothing to say: as given");
}

#[test]
fn outcomes_that_a_score_tells_apart_without_fail_are_no_trouble() {
    let x = Array2::from_shape_fn((40, 1), |(i, _)| if i < 20 { -5.0 } else { 5.0 });
    let y: Vec<bool> = (0..40).map(|i| i >= 20).collect();
    let (weights, offset) = (vec![1.0; 40], vec![0.0; 40]);
    let got = Logistic::fit(Rows { x: x.view(), y: &y, weights: &weights, offset: &offset }, 1e6);
    assert!(got.coefficients[0].is_finite() && got.intercept.is_finite(), "{got:?}");
    assert!(sigmoid(got.log_odds([5.0], 0.0)) > 0.999);
    assert_eq!(auroc(&[0.0, 0.0, 1.0], &[true, false, true]), 0.75);
}

/// Samples of which `share` are wrong. Two detectors, of which the suspicion takes the mean; `misled`: the
/// second sees nothing but is as sure of itself as the first.
struct World {
    wrong: Vec<bool>,
    scores: Array2<f32>,
    suspicion: Vec<f32>,
}

fn world(n: usize, misled: bool, seed: u64) -> World {
    let mut rng = rng(seed);
    let mut normal = {
        let mut rng = crate::arrays::rng(seed + 1_000_000);
        move || (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0
    };
    let wrong: Vec<bool> = (0..n).map(|_| rng.r#gen::<f64>() < 0.15).collect();
    let mut scores = Array2::zeros((n, 3));
    for (i, &w) in wrong.iter().enumerate() {
        let shift = if w { 2.0 } else { 0.0 };
        scores[[i, 0]] = (shift + normal()) as f32;
        scores[[i, 1]] = if misled { 1.4 * normal() } else { shift + normal() } as f32;
        scores[[i, 2]] = normal() as f32;
    }
    let suspicion = scores.rows().into_iter().map(|r| sigmoid(f64::from(r[0] + r[1]) - 3.0) as f32).collect();
    World { wrong, scores, suspicion }
}

fn average_precision(score: &[f32], wrong: &[bool], rows: &[usize]) -> f64 {
    let mut rows = rows.to_vec();
    rows.sort_by(|&a, &b| score[b].total_cmp(&score[a]));
    let (mut hits, mut sum) = (0.0, 0.0);
    for (at, &i) in rows.iter().enumerate() {
        if wrong[i] {
            hits += 1.0;
            sum += hits / (at + 1) as f64;
        }
    }
    sum / hits
}

/// Reviews the first `m` places of the queue; the report, and the average precision on the rest before and
/// after.
fn reviewed(w: &World, m: u32, seed: u64) -> (MetaReport, f64, f64) {
    let n = w.wrong.len();
    let mut ranked: Vec<u32> = (0..n as u32).collect();
    ranked.sort_by(|&a, &b| w.suspicion[b as usize].total_cmp(&w.suspicion[a as usize]));
    let draw = draw(n, n, 10, seed);
    let place = places(&ranked, &draw, 10, &vec![None; n]);
    let scores = Scores::new(w.scores.view(), &w.suspicion).unwrap();
    let (seen, rest): (Vec<usize>, Vec<usize>) = (0..n).partition(|&i| place[i] <= m);
    let by_audit = |i: usize| place[i].is_multiple_of(10) && draw.contains(&(i as u32));
    let audits = seen.iter().filter(|&&i| by_audit(i)).count();
    let mut reviews = Reviewed::default();
    for &i in &seen {
        let weight = if by_audit(i) { audit_weight(n, seen.len() - audits, audits) } else { 1.0 };
        reviews.push(&scores, i, (0, i as i64), w.wrong[i], weight);
    }
    let model = learn(reviews, 7);
    let after = model.probabilities(&scores).unwrap_or_else(|| w.suspicion.clone());
    let before = average_precision(&w.suspicion, &w.wrong, &rest);
    (model.report, before, average_precision(&after, &w.wrong, &rest))
}

#[test]
fn two_hundred_reviews_mend_a_ranking_that_one_detector_misleads() {
    for seed in 0..5 {
        let (report, before, after) = reviewed(&world(4000, true, seed), 250, seed);
        assert!(report.adopted, "{report:?}");
        assert!(report.auroc > report.auroc_before, "{report:?}");
        assert!(after > before + 0.05, "seed {seed}: {before:.3} to {after:.3}");
    }
}

#[test]
fn and_do_no_harm_to_one_that_is_right() {
    let mut sum = 0.0;
    for seed in 10..15 {
        let (report, before, after) = reviewed(&world(4000, false, seed), 250, seed);
        assert_eq!(report.reviews, 250);
        assert!(after > before - 0.02, "seed {seed}: {before:.3} to {after:.3}");
        sum += after - before;
    }
    assert!(sum / 5.0 > -0.005, "{sum}");
}

#[test]
fn too_few_reviews_or_of_one_kind_teach_nothing() {
    let w = world(1000, false, 3);
    let scores = Scores::new(w.scores.view(), &w.suspicion).unwrap();
    let of = |n: usize, wrong: &dyn Fn(usize) -> bool| {
        let mut r = Reviewed::default();
        (0..n).for_each(|i| r.push(&scores, i, (0, i as i64), wrong(i), 1.0));
        learn(r, 1)
    };
    let few = of(199, &|i| i % 2 == 0);
    assert!(!few.report.adopted && few.probabilities(&scores).is_none() && few.report.reviews == 199);
    assert!(of(400, &|_| true).probabilities(&scores).is_none());
    assert!(of(400, &|i| i < 9).probabilities(&scores).is_none());
    assert!(learn(Reviewed::default(), 1).probabilities(&scores).is_none());
}

#[test]
fn neither_the_order_of_reviews_nor_a_constant_score_matters() {
    let w = world(1200, true, 4);
    let wide = {
        let mut x = Array2::from_elem((1200, 4), 0.1f32);
        x.slice_mut(ndarray::s![.., ..3]).assign(&w.scores);
        x
    };
    let learnt = |x: &Array2<f32>, turned: bool| {
        let scores = Scores::new(x.view(), &w.suspicion).unwrap();
        let mut r = Reviewed::default();
        let push = |i: usize| r.push(&scores, i, (0, i as i64), w.wrong[i], 1.0);
        if turned {
            (0..400).rev().for_each(push)
        } else {
            (0..400).for_each(push)
        }
        let model = learn(r, 7);
        assert!(model.report.adopted, "{:?}", model.report);
        model.probabilities(&scores).unwrap()
    };
    let first = learnt(&w.scores, false);
    assert_eq!(first, learnt(&w.scores, true), "bit for bit");
    let widened = learnt(&wide, false);
    assert!(first.iter().zip(&widened).all(|(a, b)| (a - b).abs() < 1e-6));
    assert!(first.iter().all(|p| *p > 0.0 && *p < 1.0));
}

#[test]
fn what_is_wrong_with_scores_is_named() {
    let error = Scores::new(array![[1.0f32, 2.0], [f32::NAN, 1.0]].view(), &[0.5, 0.5]).unwrap_err();
    assert!(error.to_string().contains("row 1, column 0"), "{error}");
    assert!(Scores::new(array![[1.0f32]].view(), &[0.5, 0.5]).is_err());
    // certain of itself, not infinite
    let sure = Scores::new(array![[1.0f32], [2.0]].view(), &[0.0, 1.0]).unwrap();
    assert_eq!(sure.offset, [-SUREST, SUREST]);
}
