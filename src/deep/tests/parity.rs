//! Same input, same bytes; interrupted or not.

use super::*;
use tamis_core::train::recipe::TokensFrom;

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
        token_vectors: None,
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

#[test]
fn tokens_start_as_they_are_given_and_a_resumed_training_goes_on_with_them() {
    let (train, valid) = (set(40, 4, 0.5, 3, 4), set(20, 4, 0.5, 3, 5));
    // of the last token nothing is known
    let mut given = gaussian_matrix(VOCABULARY, 16, &mut rng(8)) * 0.1;
    given.row_mut(VOCABULARY - 1).fill(0.0);
    let given_in = |tokens: Option<&Array2<f32>>, recipe: &Recipe, notes: &mut Notes| {
        let data = Data {
            train: train.examples(),
            valid: valid.examples(),
            unlabelled: None,
            start: None,
            token_vectors: tokens.map(|t| t.view()),
        };
        fit(recipe, &train.task, &data, notes)
    };
    for family in ["single", "dual"] {
        let mut recipe = everything(family);
        recipe.text.tokens_from = TokensFrom::Encoder;
        recipe.auxiliary.pretrain_epochs = 0;
        let whole = given_in(Some(&given), &recipe, &mut Notes::default()).unwrap();
        let mut cut = Notes { until: Some(2), ..Notes::default() };
        assert!(matches!(given_in(Some(&given), &recipe, &mut cut), Err(FitError::Cancelled)));
        let mut rest = Notes { kept: cut.kept.clone(), ..Notes::default() };
        assert_eq!(bits(&given_in(Some(&given), &recipe, &mut rest).unwrap()), bits(&whole), "{family}");
        // not with other ones
        let mut other = Notes { kept: cut.kept, ..Notes::default() };
        let others = &given * 2.0;
        assert!(matches!(given_in(Some(&others), &recipe, &mut other), Err(FitError::Checkpoint)));

        // before the first step they are what was given, and all else is what is drawn without them
        let mut still = recipe.clone();
        (still.optimise.learning_rate, still.optimise.epochs) = (f32::MIN_POSITIVE, 1);
        (still.regularise.weight_decay, still.regularise.ema) = (0.0, 0.0);
        let mut drawn = still.clone();
        drawn.text.tokens_from = TokensFrom::Random;
        let with = given_in(Some(&given), &still, &mut Notes::default()).unwrap();
        let without = given_in(Some(&given), &drawn, &mut Notes::default()).unwrap();
        let (a, b) = (&with.weights()["text.embed.weight"], &without.weights()["text.embed.weight"]);
        let last = (VOCABULARY - 1) * 16;
        assert!(a.values[..last].iter().zip(&given).all(|(a, g)| (a - g).abs() < 1e-6));
        assert_eq!(a.values[last..], b.values[last..], "what nobody knows is drawn");
        assert_ne!(a.values[..last], b.values[..last]);
        assert_eq!(with.weights()["kind.weight"], without.weights()["kind.weight"]);

        assert!(matches!(given_in(None, &recipe, &mut Notes::default()), Err(FitError::Missing(_))));
        let narrow = gaussian_matrix(VOCABULARY, 8, &mut rng(8));
        let refused = given_in(Some(&narrow), &recipe, &mut Notes::default());
        assert!(matches!(refused, Err(FitError::Shape { got: 8, want: 16, .. })));
    }
}
