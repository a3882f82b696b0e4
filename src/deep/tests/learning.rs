//! What networks learn.

use super::*;
use crate::State;

#[test]
fn each_network_fits_a_tiny_set_whole() {
    let s = set(40, 4, 0.3, 3, 4);
    for recipe in families() {
        let mut notes = Notes::default();
        let fitted = fit(&recipe, &s.task, &s.alone(), &mut notes).unwrap();
        let got = accuracy(&fitted, &s);
        assert_eq!(got, 1.0, "{:?}: {:?}", recipe.network.family, notes.curves.last());
        assert!(notes.curves.last().unwrap().loss < notes.curves[0].loss / 2.0);
    }
}

/// 40 % of the labels of a set are another class, drawn evenly.
fn symmetric_noise(y: &[u32], k: u32, seed: u64) -> Vec<u32> {
    let mut r = rng(seed);
    let flip = |c: u32, r: &mut rand_xoshiro::Xoshiro256Plus| (c + r.gen_range(1..k)) % k;
    y.iter().map(|&c| if r.r#gen::<f64>() < 0.4 { flip(c, &mut r) } else { c }).collect()
}

#[test]
fn elr_and_gce_beat_cross_entropy_under_forty_percent_symmetric_noise() {
    let (train, test) = (set(600, 6, 1.2, 5, 6), set(1200, 6, 1.2, 5, 7));
    let given = symmetric_noise(&train.y, 6, 8);
    let score = |loss: &str| {
        let text = format!(
            "[network]\nfamily = \"mlp\"\nhidden = 128\ndropout = 0\n[loss]\n{loss}\n[regularise]\nweight_decay = 0\n\
             [optimise]\nepochs = 60\nbatch = 64\nlearning_rate = 0.005"
        );
        let data = Data { train: train.with(&given), ..train.alone() };
        accuracy(&fit(&recipe(&text), &train.task, &data, &mut Notes::default()).unwrap(), &test)
    };
    let ce = score("kind = \"ce\"");
    let gce = score("kind = \"gce\"\nq = 0.7");
    let elr = score("kind = \"elr\"\nlambda = 3\nbeta = 0.7");
    assert!(gce > ce + 0.05, "GCE {gce}, CE {ce}");
    assert!(elr > ce + 0.05, "ELR {elr}, CE {ce}");
}

#[test]
fn the_scans_weights_and_states_and_soft_targets_are_heard() {
    let s = set(80, 4, 0.3, 3, 4);
    let [linear, ..] = families();
    // half of the labels are shifted by one: weights of 0 silence them
    let y: Vec<u32> = s.y.iter().enumerate().map(|(i, &c)| if i % 8 < 4 { (c + 1) % 4 } else { c }).collect();
    let weights: Vec<f32> = (0..80).map(|i| if i % 8 < 4 { 0.0 } else { 1.0 }).collect();
    let mut weighed = linear.clone();
    weighed.loss.sample_weights = true;
    let data = Data { train: Examples { weights: Some(&weights), ..s.with(&y) }, ..s.alone() };
    assert_eq!(accuracy(&fit(&weighed, &s.task, &data, &mut Notes::default()).unwrap(), &s), 1.0);
    // the truth as soft targets, half of them called wrong and the others clean
    let soft = Array2::from_shape_fn((80, 4), |(i, c)| if s.y[i] as usize == c { 0.7 } else { 0.1 });
    let states: Vec<State> = (0..80).map(|i| [State::Clean, State::Unclear, State::Wrong][i % 3]).collect();
    let mut three = linear.clone();
    three.loss.kind = tamis_core::train::recipe::LossKind::ThreeState;
    for targets in [Targets::Soft(soft.view()), Targets::Blend { soft: soft.view(), hard_share: 0.5 }] {
        let data = Data { train: Examples { targets, states: Some(&states), ..s.examples() }, ..s.alone() };
        let fitted = fit(&three, &s.task, &data, &mut Notes::default()).unwrap();
        assert_eq!(accuracy(&fitted, &s), 1.0);
    }
}

#[test]
fn forward_correction_learns_past_a_class_that_is_often_mislabelled() {
    // class 0 is called 1 in 70 % of the cases: the likeliest given label of a 0 is 1
    let (train, test) = (set(400, 4, 0.5, 9, 10), set(400, 4, 0.5, 9, 11));
    let mut r = rng(12);
    let y: Vec<u32> = train.y.iter().map(|&c| if c == 0 && r.r#gen::<f64>() < 0.7 { 1 } else { c }).collect();
    let mut noise = Array2::eye(4);
    (noise[[0, 0]], noise[[0, 1]]) = (0.3, 0.7);
    let task = Task { noise: Some(noise), ..train.task.clone() };
    let [linear, ..] = families();
    let mut forward = linear.clone();
    forward.loss.kind = tamis_core::train::recipe::LossKind::Forward;
    let score = |recipe: &Recipe| {
        let data = Data { train: train.with(&y), ..train.alone() };
        accuracy(&fit(recipe, &task, &data, &mut Notes::default()).unwrap(), &test)
    };
    let (plain, corrected) = (score(&linear), score(&forward));
    assert!(corrected > 0.9 && corrected > plain + 0.1, "{plain} {corrected}");
}

#[test]
fn validation_stops_a_training_and_keeps_the_best() {
    let (train, valid) = (set(60, 6, 1.5, 5, 6), set(120, 6, 1.5, 5, 7));
    let given = symmetric_noise(&train.y, 6, 8);
    let r = recipe(
        "[network]\nfamily = \"mlp\"\n[regularise]\npatience = 2\nema = 0.9\n[optimise]\nepochs = 200\nlearning_rate = 0.01",
    );
    let data = Data { train: train.with(&given), valid: valid.examples(), ..train.alone() };
    let mut notes = Notes::default();
    let fitted = fit(&r, &train.task, &data, &mut notes).unwrap();
    let scores: Vec<f64> = notes.curves.iter().map(|c| c.validation.as_ref().unwrap().mean_f1).collect();
    assert!(scores.len() < 200, "{scores:?}");
    let best = scores.iter().copied().fold(0.0, f64::max);
    assert!(scores[scores.len() - 2..].iter().all(|s| *s <= best));
    let p = fitted.probabilities(&valid.examples()).unwrap();
    let truth: Vec<usize> = valid.y.iter().map(|&c| c as usize).collect();
    let kept = tamis_core::train::evaluate(&truth, &argmax_rows(p.view()), &train.task.roots, 6).mean_f1;
    assert_eq!(kept, best);
    assert_eq!(notes.curves.last().unwrap().seconds_left, 0.0);
}

#[test]
fn small_classes_are_seen_more_often_and_boosted_by_their_counts() {
    let s = set(60, 4, 0.3, 3, 4);
    let y: Vec<u32> = (0..60).map(|i| u32::from(i < 10)).collect();
    let r = recipe("[network]\nfamily = \"linear\"\n[balance]\nprior_boost = 10\n[optimise]\nepochs = 1");
    let data = Data { train: s.with(&y), ..s.alone() };
    let fitted = fit(&r, &s.task, &data, &mut Notes::default()).unwrap();
    // 50 of class 0, 10 of class 1, none of the others
    assert_eq!(fitted.weights()["output.boost"].values, [1.2, 2.0, 11.0, 11.0]);
    let plain = Recipe { balance: tamis_core::train::recipe::Balance::default(), ..r.clone() };
    let plain =
        fit(&plain, &s.task, &data, &mut Notes::default()).unwrap().probabilities(&s.examples()).unwrap();
    let boosted = fitted.probabilities(&s.examples()).unwrap();
    for (b, p) in boosted.rows().into_iter().zip(plain.rows()) {
        let raw: Vec<f32> = p.iter().zip([1.2, 2.0, 11.0, 11.0]).map(|(p, w)| p * w).collect();
        let sum: f32 = raw.iter().sum();
        assert!(b.iter().zip(&raw).all(|(b, r)| (b - r / sum).abs() < 1e-5));
    }
}
