//! Same input, same bytes; interrupted or not.

use super::*;

fn everything(family: &str) -> Recipe {
    let sequence = "dim = 16\nheads = 2\nlayers = 1\nhidden = 16\n[frames]\ncount = 3\n[text]\ntitle = 4\nasr = 2\nocr = 2\nfield_dropout = 0.2\n\
                    [auxiliary]\nmlm = 0.5\nmfm = 0.3\nvtm = 0.2\ncontrastive = 0.2\npretrain_epochs = 2\n";
    let rest = "[loss]\nkind = \"elr\"\nbeta = 0.8\nlevel1_weight = 0.3\nsmoothing = 0.05\n\
                [regularise]\nema = 0.9\nfgm = 0.3\nr_drop = 0.5\npatience = 9\n[balance]\noversample = true\ndamped = 0.5\n\
                [optimise]\nepochs = 4\nbatch = 16\n";
    let own = if family == "mlp" { "hidden = 16\n" } else { sequence };
    recipe(&format!("seeds = [5]\n[network]\nfamily = \"{family}\"\n{own}{rest}"))
}

fn bits(fitted: &Fitted) -> Vec<u32> {
    fitted.weights().values().flat_map(|w| w.values.iter().map(|v| v.to_bits())).collect()
}

#[test]
fn the_same_bytes_twice_and_when_resumed_and_others_with_another_seed() {
    let (train, valid, more) = (set(40, 4, 0.5, 3, 4), set(20, 4, 0.5, 3, 5), set(15, 4, 0.5, 3, 6));
    let data = Data {
        train: train.examples(),
        valid: valid.examples(),
        unlabelled: Some(more.examples()),
        start: None,
    };
    for family in ["mlp", "single", "dual"] {
        let recipe = everything(family);
        let mut notes = Notes::default();
        let whole = fit(&recipe, &train.task, &data, &mut notes).unwrap();
        assert_eq!(
            bits(&whole),
            bits(&fit(&recipe, &train.task, &data, &mut Notes::default()).unwrap()),
            "{family}"
        );
        for until in 1..notes.curves.len() {
            let mut cut = Notes { until: Some(until), ..Notes::default() };
            let stopped = fit(&recipe, &train.task, &data, &mut cut);
            assert!(matches!(stopped, Err(FitError::Cancelled)));
            let mut rest = Notes { kept: cut.kept, ..Notes::default() };
            let resumed = fit(&recipe, &train.task, &data, &mut rest).unwrap();
            assert_eq!(bits(&resumed), bits(&whole), "{family} from epoch {until}");
            assert_eq!(rest.curves[0].epoch, until);
        }
        let other = Recipe { seeds: vec![6], ..recipe.clone() };
        assert_ne!(bits(&fit(&other, &train.task, &data, &mut Notes::default()).unwrap()), bits(&whole));
        // a checkpoint of another training, or half of one, is not gone on from
        let mut foreign = Notes { kept: notes.kept.clone(), ..Notes::default() };
        assert!(matches!(fit(&other, &train.task, &data, &mut foreign), Err(FitError::Checkpoint)));
        let mut torn = Notes { kept: notes.kept.map(|mut b| b.split_off(9)), ..Notes::default() };
        assert!(matches!(fit(&recipe, &train.task, &data, &mut torn), Err(FitError::Checkpoint)));
    }
}

#[test]
fn stored_weights_predict_the_same_and_wrong_ones_are_named() {
    let s = set(24, 4, 0.3, 3, 4);
    for mut recipe in families() {
        recipe.optimise.epochs = 1;
        let fitted = fit(&recipe, &s.task, &s.alone(), &mut Notes::default()).unwrap();
        let again = Fitted::from_weights(&recipe, &s.task, fitted.weights().clone()).unwrap();
        let p = fitted.probabilities(&s.examples()).unwrap();
        assert_eq!(again.probabilities(&s.examples()).unwrap(), p);
        assert!(p.rows().into_iter().all(|r| (r.sum() - 1.0).abs() < 1e-5));
        let mut less = fitted.weights().clone();
        less.remove("head.bias");
        let refused = Fitted::from_weights(&recipe, &s.task, less);
        assert!(matches!(refused, Err(FitError::Weight { name }) if name == "head.bias"));
        // going on from them starts where they are
        let data = Data { start: Some(fitted.weights()), ..s.alone() };
        let mut still = recipe.clone();
        still.optimise.learning_rate = f32::MIN_POSITIVE;
        let gone_on = fit(&still, &s.task, &data, &mut Notes::default()).unwrap();
        assert_eq!(gone_on.weights()["head.weight"], fitted.weights()["head.weight"]);
    }
}
