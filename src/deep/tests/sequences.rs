//! The transformers: gradients, padding, missing fields, auxiliary objectives.

use super::*;
use crate::batch::{Batch, Sampling};
use crate::loss::{pick, softmax};
use crate::network::forward;
use crate::tape::{Tape, numbers};

/// Trained for one step, so that no weight is at a special value.
fn warmed(recipe: &Recipe, s: &Set) -> crate::Weights {
    let mut once = recipe.clone();
    (once.optimise.epochs, once.optimise.batch) = (2, 8);
    fit(&once, &s.task, &s.alone(), &mut Notes::default()).unwrap().weights().clone()
}

#[test]
fn gradients_through_the_networks_agree_with_finite_differences() {
    let s = set(10, 4, 0.5, 3, 4);
    for recipe in families() {
        let weights = warmed(&recipe, &s);
        let rows: Vec<usize> = (0..10).collect();
        let batch = Batch::gather(&recipe, &s.task, &s.examples(), &rows, Sampling::Even).unwrap();
        let right: Vec<_> = s.y.iter().map(|&c| Some(c as usize)).collect();
        let loss = |weights: &crate::Weights| {
            let mut logits = numbers(forward(&recipe, &Tape::still(weights), &batch).logits);
            // in f64 from the logits on
            let mut sum = 0.0_f64;
            for (row, c) in logits.chunks_mut(4).zip(&s.y) {
                softmax(row);
                sum -= f64::from(row[*c as usize]).ln();
            }
            sum / 10.0
        };
        let tape = Tape::recording(&weights, 0.0, rng(1));
        let logits = forward(&recipe, &tape, &batch).logits;
        let mut g = numbers(logits.clone().detach());
        pick(&mut g, 4, &right, 1.0);
        let gradients = tape.gradients(&crate::auxiliary::told(&tape, logits, g));
        let mut checked = 0;
        for (name, gradient) in &gradients {
            // the entry that matters most
            let (at, slope) =
                gradient.iter().copied().enumerate().max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())).unwrap();
            let step = 2e-3;
            let moved = |by: f32| {
                let mut w = weights.clone();
                w.get_mut(name).unwrap().values[at] += by;
                loss(&w)
            };
            let want = (moved(step) - moved(-step)) / (2.0 * f64::from(step));
            assert!(
                (f64::from(slope) - want).abs() < 2e-3 + 0.05 * want.abs(),
                "{:?} {name}[{at}]: {slope} {want}",
                recipe.network.family
            );
            checked += usize::from(slope.abs() > 1e-3);
        }
        assert!(checked * 3 > gradients.len() * 2, "{checked} of {}", gradients.len());
    }
}

#[test]
fn what_a_batch_mate_has_changes_nothing() {
    let s = set(20, 4, 0.5, 3, 4);
    for recipe in &families()[2..] {
        let fitted = Fitted::from_weights(recipe, &s.task, warmed(recipe, &s)).unwrap();
        let all = fitted.probabilities(&s.examples()).unwrap();
        for i in 0..20 {
            let one = Clips(vec![s.clips.0[i].clone()]);
            let alone = Examples {
                frames: Some(&one),
                tokens: Some(&s.tokens[i..=i]),
                targets: Targets::Hard(&s.y[i..=i]),
                ..s.examples()
            };
            let p = fitted.probabilities(&alone).unwrap();
            assert!(all.row(i).iter().zip(p.row(0)).all(|(a, b)| (a - b).abs() < 1e-5), "{i}");
        }
    }
}

#[test]
fn a_missing_field_is_survived_and_either_field_alone_suffices() {
    let s = set(40, 4, 0.3, 3, 4);
    for mut recipe in families().into_iter().skip(2) {
        recipe.frames.count = 0;
        let titled: Vec<usize> = (0..40).filter(|i| !s.tokens[*i].ids.is_empty()).collect();
        let text_only = fit(&recipe, &s.task, &s.alone(), &mut Notes::default()).unwrap();
        let got = argmax_rows(text_only.probabilities(&s.examples()).unwrap().view());
        assert!(titled.iter().all(|&i| got[i] == s.y[i] as usize));
        assert!(!text_only.weights().contains_key("frames.proj.weight"));
        recipe.frames.count = 3;
        recipe.text = tamis_core::train::recipe::Text { title: 0, asr: 0, ocr: 0, ..recipe.text };
        let frames_only = fit(&recipe, &s.task, &s.alone(), &mut Notes::default()).unwrap();
        let got = argmax_rows(frames_only.probabilities(&s.examples()).unwrap().view());
        assert!((0..40).filter(|i| !s.clips.0[*i].is_empty()).all(|i| got[i] == s.y[i] as usize));
    }
}

#[test]
fn dropping_fields_leaves_each_sample_one() {
    let s = set(40, 4, 0.3, 3, 4);
    let recipe = &families()[2];
    let rows: Vec<usize> = (0..40).collect();
    let whole = Batch::gather(recipe, &s.task, &s.examples(), &rows, Sampling::Even).unwrap();
    let mut less = whole.clone();
    less.drop_fields(0.9, &mut rng(3));
    let live = |b: &Batch, i: usize| {
        let count = b.frame_live.len() / b.n;
        b.frame_live[i * count..(i + 1) * count]
            .iter()
            .chain(&b.text_live[i * b.length..(i + 1) * b.length])
            .sum::<f32>()
    };
    assert!((0..40).all(|i| live(&less, i) > 0.0 && live(&less, i) <= live(&whole, i)));
    assert!(
        (0..40).map(|i| live(&less, i)).sum::<f32>() < 0.7 * (0..40).map(|i| live(&whole, i)).sum::<f32>()
    );
}

#[test]
fn each_auxiliary_objective_is_learned() {
    let s = set(120, 4, 0.1, 3, 4);
    for family in ["single", "dual"] {
        for objective in ["mlm", "mfm", "vtm", "contrastive"] {
            let r = recipe(&format!(
                "[network]\nfamily = \"{family}\"\ndim = 16\nheads = 2\nlayers = 1\nhidden = 32\ndropout = 0\n[frames]\ncount = 3\n\
                 [text]\ntitle = 4\nasr = 0\nocr = 2\n[auxiliary]\n{objective} = 1\npretrain_epochs = 40\n\
                 [optimise]\nepochs = 1\nbatch = 24\nlearning_rate = 0.005"
            ));
            let mut notes = Notes { until: Some(40), ..Notes::default() };
            assert!(matches!(fit(&r, &s.task, &s.alone(), &mut notes), Err(FitError::Cancelled)));
            assert!(notes.curves.iter().all(|c| c.pretraining && c.validation.is_none()));
            let mean = |c: &[Curve]| c.iter().map(|c| c.loss).sum::<f32>() / c.len() as f32;
            let (first, last) = (mean(&notes.curves[..3]), mean(&notes.curves[37..]));
            assert!(last < 0.85 * first, "{family} {objective}: {first} to {last}");
        }
    }
}
