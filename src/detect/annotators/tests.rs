//! The numbers of cleanlab 2.9 and of a NumPy Dawid-Skene on generated votes
//! (`benches/golden_annotators.py` writes them), and what must hold for any input.

use super::*;
use crate::arrays::rng;
use ndarray::{Array2, s};
use proptest::prelude::*;
use rand::Rng;

/// The votes and predictions of the golden file; the last `unlabelled` samples have no votes.
fn generated(n: usize, m: usize, k: usize, unlabelled: usize) -> (Vec<Vote>, Array2<f32>) {
    let mut state = 12_345u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let classes = k as u64;
    let (mut votes, mut p) = (Vec::new(), Array2::zeros((n, k)));
    for i in 0..n {
        let truth = (draw() % classes).min(draw() % classes);
        for a in 0..m {
            let (gives, right, other) = (draw() % 3 < 2, draw() % 10 < 9 - a as u64, draw() % classes);
            if (gives || a == i % m) && i < n - unlabelled {
                let class = if right { truth } else { other } as u32;
                votes.push(Vote { sample: i as u32, annotator: a as u32, class });
            }
        }
        let leans = if draw() % 4 < 3 { truth } else { draw() % classes };
        let raw: Vec<u64> = (0..k).map(|_| draw() % 1000 + 1).collect();
        let total = raw.iter().sum::<u64>() + 150 * classes;
        for j in 0..k {
            let value = raw[j] + if j as u64 == leans { 150 * classes } else { 0 };
            p[[i, j]] = value as f32 / total as f32;
        }
    }
    (votes, p)
}

#[derive(serde::Deserialize)]
struct Golden {
    n: usize,
    m: usize,
    k: usize,
    unlabelled: usize,
    labels: Vec<u32>,
    quality: Vec<f64>,
    agreement: Vec<f64>,
    vote_quality: Vec<f64>,
    model_weight: f64,
    annotator_weights: Vec<f64>,
    annotator_quality: Vec<f64>,
    annotator_agreement: Vec<f64>,
    worst_class: Vec<u32>,
    active: Vec<f64>,
    posterior: Vec<f64>,
    confusion: Vec<f64>,
    coin_posterior: Vec<f64>,
    coin_confusion: Vec<f64>,
}

fn near(what: &str, ours: impl IntoIterator<Item = f64>, theirs: &[f64], by: f64) {
    let ours: Vec<f64> = ours.into_iter().collect();
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (at, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() < by, "{what} {at}: {a} {b}");
    }
}

#[test]
fn the_numbers_of_cleanlab() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    for g in golden {
        let (votes, p) = generated(g.n, g.m, g.k, g.unlabelled);
        let votes = Votes::new(&votes, g.n, g.m, g.k).unwrap();
        let labelled = g.n - g.unlabelled;
        let c = crowdlab(&votes, p.view()).unwrap();
        assert_eq!(c.labels[..labelled], g.labels);
        near("quality", c.quality[..labelled].to_vec(), &g.quality, 2e-6);
        near("agreement", c.agreement.iter().flatten().copied(), &g.agreement, 1e-6);
        near("votes", c.vote_quality, &g.vote_quality, 1e-6);
        near("model", [c.model_weight], &[g.model_weight], 1e-6);
        near("weights", c.annotator_weights, &g.annotator_weights, 1e-6);
        near("people", c.annotators.iter().map(|a| a.quality.unwrap()), &g.annotator_quality, 1e-6);
        near("agree", c.annotators.iter().map(|a| a.agreement.unwrap()), &g.annotator_agreement, 1e-6);
        assert_eq!(c.annotators.iter().map(|a| a.worst_class.unwrap()).collect::<Vec<_>>(), g.worst_class);
        near("active", active_scores(&votes, p.view()).unwrap().scores, &g.active, 1e-5);
    }
}

#[test]
fn dawid_skene_is_that_of_numpy() {
    let golden: Vec<Golden> = serde_json::from_str(include_str!("golden.json")).unwrap();
    for g in golden {
        let (votes, _) = generated(g.n, g.m, g.k, g.unlabelled);
        let votes = Votes::new(&votes, g.n, g.m, g.k).unwrap();
        let params = EmParams { tolerance: 1e-9, max_rounds: 5000, ..EmParams::default() };
        for (skill, posterior, confusion) in [
            (Skill::Confusion, &g.posterior, &g.confusion),
            (Skill::OneCoin, &g.coin_posterior, &g.coin_confusion),
        ] {
            let d = dawid_skene(&votes, EmParams { skill, ..params }).unwrap();
            assert!(d.converged, "{} rounds", d.rounds);
            near("posterior", d.posterior.iter().take(10 * g.k).copied(), posterior, 1e-4);
            // of the one-coin variant one right and one wrong chance a person say all
            let wide = if skill == Skill::OneCoin { s![.., ..1, ..2] } else { s![.., .., ..] };
            near("confusion", d.confusion.slice(wide).iter().copied(), confusion, 1e-4);
        }
    }
}

/// `n` samples, people of the given chances to be right, each label present with chance `present`.
fn simulated(n: usize, chances: &[f64], k: u32, present: f64, seed: u64) -> (Vec<Vote>, Vec<u32>) {
    let mut r = rng(seed);
    let truth: Vec<u32> = (0..n).map(|_| r.gen_range(0..k)).collect();
    let mut votes = Vec::new();
    for (i, &t) in truth.iter().enumerate() {
        for (a, &chance) in chances.iter().enumerate() {
            if r.r#gen::<f64>() < present {
                let class = if r.r#gen::<f64>() < chance { t } else { (t + r.gen_range(1..k)) % k };
                votes.push(Vote { sample: i as u32, annotator: a as u32, class });
            }
        }
    }
    (votes, truth)
}

fn right(labels: &[u32], truth: &[u32]) -> f64 {
    labels.iter().zip(truth).filter(|(a, b)| a == b).count() as f64 / truth.len() as f64
}

#[test]
fn one_good_person_among_guessers_is_found() {
    let chances = [0.95, 0.4, 0.4, 0.35, 0.9];
    let (votes, truth) = simulated(3000, &chances, 4, 0.9, 3);
    let votes = Votes::new(&votes, 3000, 5, 4).unwrap();
    let plain: Vec<u32> = majority(&votes, None).unwrap().labels.iter().map(|l| l.unwrap_or(0)).collect();
    for skill in [Skill::Confusion, Skill::OneCoin] {
        let d = dawid_skene(&votes, EmParams { skill, ..EmParams::default() }).unwrap();
        assert!(right(&d.labels, &truth) > right(&plain, &truth) + 0.1, "{skill:?}");
        for (a, chance) in d.accuracy.iter().zip(chances) {
            assert!((a.unwrap() - chance).abs() < 0.04, "{a:?} {chance}");
        }
    }
}

#[test]
fn what_is_wrong_is_named() {
    let vote = |sample, annotator, class| Vote { sample, annotator, class };
    assert_eq!(Votes::new(&[], 1, 1, 2).unwrap_err(), DetectError::Empty);
    assert!(matches!(Votes::new(&[vote(0, 0, 0)], 1, 1, 1), Err(DetectError::TooFewClasses { .. })));
    assert!(matches!(Votes::new(&[vote(1, 0, 0)], 1, 1, 2), Err(DetectError::Range { .. })));
    assert!(matches!(Votes::new(&[vote(0, 1, 0)], 1, 1, 2), Err(DetectError::Range { .. })));
    assert!(matches!(Votes::new(&[vote(0, 0, 2)], 1, 1, 2), Err(DetectError::Label { .. })));
    assert!(matches!(
        Votes::new(&[vote(0, 0, 1), vote(0, 0, 1)], 1, 1, 2),
        Err(DetectError::VotedTwice { sample: 0, annotator: 0 })
    ));
    let single = Votes::new(&[vote(0, 0, 1), vote(1, 1, 1)], 2, 2, 2).unwrap();
    let p = ndarray::array![[0.5f32, 0.5], [0.2, 0.8]];
    assert_eq!(crowdlab(&single, p.view()).unwrap_err(), DetectError::NoOverlap);
    // single labels: quality p[label] weighs 1 + 1, the newcomer 1
    let active = active_scores(&single, p.view()).unwrap();
    near("single", active.scores, &[(0.5 * 2.0 + 0.5) / 3.0, (0.8 * 2.0 + 0.5) / 3.0], 1e-6);
    assert!(majority(&single, Some(ndarray::array![[0.5f32, f32::NAN], [0.2, 0.8]].view())).is_err());
    let bad = EmParams { smoothing: 0.0, ..EmParams::default() };
    assert!(dawid_skene(&single, bad).is_err());
}

#[test]
fn ties_go_to_the_model_or_the_lowest() {
    let vote = |sample, annotator, class| Vote { sample, annotator, class };
    let votes = [vote(0, 0, 2), vote(0, 1, 1), vote(1, 0, 0), vote(1, 1, 0), vote(1, 2, 2)];
    let votes = Votes::new(&votes, 3, 3, 3).unwrap();
    let plain = majority(&votes, None).unwrap();
    assert_eq!(plain.labels, [Some(1), Some(0), None]);
    assert_eq!(plain.tied, [true, false, false]);
    assert_eq!(plain.agreement, [Some(0.5), Some(2.0 / 3.0), None]);
    let p = ndarray::array![[0.8f32, 0.05, 0.15], [0.1, 0.1, 0.8], [1.0, 0.0, 0.0]];
    assert_eq!(majority(&votes, Some(p.view())).unwrap().labels, [Some(2), Some(0), None]);
}

fn predictions(n: usize, k: usize, seed: u64) -> Array2<f32> {
    let mut r = rng(seed);
    let mut p = Array2::from_shape_simple_fn((n, k), || r.r#gen::<f32>() + 0.01);
    p.rows_mut().into_iter().for_each(|mut row| {
        let sum = row.sum();
        row.mapv_inplace(|v| v / sum);
    });
    p
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn other_orders_give_the_same(seed in 0u64..1000, n in 5usize..60, m in 2usize..6, k in 2usize..6) {
        let chances: Vec<f64> = (0..m).map(|a| 0.9 - 0.1 * a as f64).collect();
        let (votes, _) = simulated(n, &chances, k as u32, 0.8, seed);
        prop_assume!(!votes.is_empty());
        let p = predictions(n, k, seed);
        // sample i becomes n - 1 - i, people and classes are turned round by one; votes in reverse
        let class = |c: u32| (c + 1) % k as u32;
        let moved: Vec<Vote> = votes.iter().rev().map(|v| Vote {
            sample: n as u32 - 1 - v.sample,
            annotator: (v.annotator + 1) % m as u32,
            class: class(v.class),
        }).collect();
        let q = Array2::from_shape_fn((n, k), |(i, j)| p[[n - 1 - i, (j + k - 1) % k]]);
        let (a, b) = (Votes::new(&votes, n, m, k).unwrap(), Votes::new(&moved, n, m, k).unwrap());
        if let (Ok(x), Ok(y)) = (crowdlab(&a, p.view()), crowdlab(&b, q.view())) {
            // the commonest class is a tie's first: its error is the same whichever it is
            for i in 0..n {
                prop_assert!((x.quality[i] - y.quality[n - 1 - i]).abs() < 1e-9);
                prop_assert_eq!(class(x.labels[i]), y.labels[n - 1 - i]);
                prop_assert!((0.0..=1.0 + 1e-6).contains(&x.quality[i]));
            }
            for (at, v) in x.vote_quality.iter().enumerate() {
                prop_assert!((v - y.vote_quality[votes.len() - 1 - at]).abs() < 1e-9);
            }
            for s in 0..m {
                let (u, v) = (&x.annotators[s], &y.annotators[(s + 1) % m]);
                prop_assert_eq!(u.n_labels, v.n_labels);
                prop_assert!((u.quality.unwrap_or(0.0) - v.quality.unwrap_or(0.0)).abs() < 1e-9);
                prop_assert!((0.0..=1.0).contains(&u.quality.unwrap_or(0.0)));
            }
        }
        let (x, y) = (active_scores(&a, p.view()).unwrap(), active_scores(&b, q.view()).unwrap());
        for i in 0..n {
            prop_assert!((x.scores[i] - y.scores[n - 1 - i]).abs() < 1e-6);
            prop_assert!((0.0..=1.0 + 1e-6).contains(&x.scores[i]));
        }
        for skill in [Skill::Confusion, Skill::OneCoin] {
            // few rounds: long runs blow rounding up where two answers are as likely
            let params = EmParams { skill, max_rounds: 5, ..EmParams::default() };
            let (x, y) = (dawid_skene(&a, params).unwrap(), dawid_skene(&b, params).unwrap());
            for i in 0..n {
                prop_assert!((x.posterior.row(i).sum() - 1.0).abs() < 1e-9);
                for j in 0..k {
                    let turned = y.posterior[[n - 1 - i, (j + 1) % k]];
                    prop_assert!((x.posterior[[i, j]] - turned).abs() < 1e-6);
                }
            }
        }
    }
}

/// `cargo test --release annotators::tests::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let chances = [0.9, 0.85, 0.8, 0.75, 0.7];
    let (votes, truth) = simulated(50_000, &chances, 10, 1.0, 1);
    let p = predictions(50_000, 10, 1);
    let cpu = |what: &str, run: &mut dyn FnMut()| {
        let start = std::time::Instant::now();
        run();
        println!("{what}: {:.3} s", start.elapsed().as_secs_f64());
    };
    let mut held = None;
    cpu("sort", &mut || held = Votes::new(&votes, 50_000, 5, 10).ok());
    let votes = held.unwrap();
    cpu("majority", &mut || drop(majority(&votes, Some(p.view()))));
    cpu("crowdlab", &mut || drop(crowdlab(&votes, p.view())));
    cpu("active", &mut || drop(active_scores(&votes, p.view())));
    for skill in [Skill::Confusion, Skill::OneCoin] {
        cpu("dawid_skene", &mut || {
            let d = dawid_skene(&votes, EmParams { skill, ..EmParams::default() }).unwrap();
            println!("{} rounds, right {:.4}", d.rounds, right(&d.labels, &truth));
        });
    }
}
