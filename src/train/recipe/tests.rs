use super::*;

fn wrong(text: &str) -> Vec<String> {
    match Recipe::parse(text) {
        Err(RecipeError::Wrong(faults)) => faults.iter().map(ToString::to_string).collect(),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn reads_each_key_and_keeps_the_familys_defaults() {
    let r = Recipe::parse(
        "seeds = [7, 8]\nholdout = 0\nfields = [\"title\", \"frames\"]\n[network]\nfamily = \"mlp\"\nhidden = 512\n\
         [loss]\nkind = \"gce\"\nq = 0.5\n[regularise]\nema = 0.99\n",
    )
    .unwrap();
    let want = Recipe {
        seeds: vec![7, 8],
        holdout: 0.0,
        fields: vec![Field::Title, Field::Frames],
        network: Network { family: Family::Mlp, hidden: 512, ..Network::default() },
        loss: Loss { kind: LossKind::Gce, q: 0.5, ..Loss::default() },
        regularise: Regularise { ema: 0.99, ..Regularise::default() },
        ..Recipe::of(Family::Mlp)
    };
    assert_eq!(r, want);
    assert_eq!(Recipe::parse("").unwrap(), Recipe::preset("quick").unwrap());
    assert_eq!(Recipe::parse("[logistic]\nc = 0.05").unwrap().logistic.c, [0.05]);
    assert_eq!(Recipe::parse("[network]\nfamily = \"single\"").unwrap().network.layers, 2);
}

#[test]
fn every_preset_reads_back_from_its_own_text_and_from_json() {
    for name in PRESETS {
        let r = Recipe::preset(name).unwrap();
        assert_eq!(Recipe::parse(&r.to_toml()).unwrap(), r, "{name}: {}", r.to_toml());
        let json = serde_json::to_string(&r).unwrap();
        assert_eq!(serde_json::from_str::<Recipe>(&json).unwrap(), r, "{name}");
    }
    assert!(Recipe::preset("best").unwrap_err().to_string().contains("winner"));
    let plain = Recipe::preset("quick").unwrap().to_toml();
    assert!(!plain.contains("dropout") && plain.contains("max_iterations"), "{plain}");
}

#[test]
fn all_that_is_wrong_is_named_at_once() {
    let faults = wrong(
        "fold = 5\nfolds = 1\n[network]\nfamily = \"mlp\"\ndropout = 2\nheads = 2\n[loss]\nkind = \"gcee\"\n\
         lambda = 1\n[regularise]\nema = 1.0\n[magic]\nwand = 1\n",
    );
    for key in
        ["fold ", "folds ", "network.dropout ", "network.heads ", "loss.kind ", "loss.lambda ", "magic "]
    {
        assert!(faults.iter().any(|f| f.starts_with(key)), "{key}: {faults:?}");
    }
    assert!(faults.iter().any(|f| f.starts_with("regularise.ema must be")), "{faults:?}");
    assert_eq!(faults.len(), 8, "{faults:?}");
}

#[test]
fn errors_name_section_and_key() {
    for (text, needle) in [
        ("folds = 2.5", "folds must be a whole number from 2 to 100"),
        ("holdout = nan", "holdout must be"),
        ("seeds = [1, 1]", "seeds must be"),
        ("seeds = -1", "seeds must be"),
        ("fields = [\"asr\", \"asr\"]", "fields must be"),
        ("fields = [\"video\"]", "fields must be"),
        ("[logistic]\nc = [0.1, 0.01]", "logistic.c is not a grid"),
        ("[logistic]\nc = \"auto\"", "logistic.c is not a grid"),
        ("[network]\nfamily = \"cnn\"", "network.family must be one of"),
        ("network = 3", "network is not a key"),
        (
            "[network]\nfamily = \"mlp\"\n[frames]\ncount = 4",
            "frames.count does nothing with network.family = \"mlp\"",
        ),
        ("[loss]\nkind = \"ce\"", "loss.kind does nothing with network.family = \"logistic\""),
        ("[network]\nfamily = \"mlp\"\n[loss]\nq = 0.5", "loss.q does nothing with loss.kind = \"ce\""),
        ("[network]\nfamily = \"single\"\ndim = 30\nheads = 4", "network.dim must be a multiple"),
        (
            "[network]\nfamily = \"mlp\"\ndropout = 0\n[regularise]\nr_drop = 1",
            "regularise.r_drop does nothing",
        ),
        ("[network]\nfamily = \"mlp\"\n[loss]\nkind = \"elr\"\nbeta = 1", "loss.beta must be below 1"),
        ("[network]\nfamily = \"dual\"\n[auxiliary]\npretrain_epochs = 2", "auxiliary.pretrain_epochs needs"),
        ("[network]\nfamily = \"dual\"\n[frames]\ncount = 0\n[auxiliary]\nvtm = 1", "auxiliary.vtm needs"),
        (
            "[network]\nfamily = \"single\"\n[text]\ntokens_from = \"word2vec\"",
            "text.tokens_from must be one of \"random\", \"encoder\"",
        ),
        (
            "[network]\nfamily = \"single\"\n[text]\ntitle = 0\nasr = 0\nocr = 0\ntokens_from = \"encoder\"",
            "text.tokens_from needs text",
        ),
        (
            "[network]\nfamily = \"mlp\"\n[text]\ntokens_from = \"encoder\"",
            "text.tokens_from does nothing with network.family = \"mlp\"",
        ),
        ("[distil]\nrounds = 2", "distil.rounds does nothing without stages"),
        ("[[member]]\nrecipe = \"ensemble\"", "member.recipe names \"ensemble\""),
        ("[[member]]\nrecipe = \"winner\"", "member.recipe names \"winner\""),
        ("[[member]]\nrecpe = \"single\"", "member is not understood"),
        (
            "[network]\nfamily = \"mlp\"\n[[member]]\nrecipe = \"single\"",
            "network.family does nothing in a recipe of members",
        ),
        ("[[stage]]\nkind = \"distil\"\nrecipe = \"single\"", "stage.kind must be teachers"),
        (
            "[[stage]]\nkind = \"teachers\"\nrecipe = \"dual\"\n[[stage]]\nkind = \"distil\"\nrecipe = \"quick\"",
            "soft labels",
        ),
    ] {
        let faults = wrong(text);
        assert!(faults.iter().any(|f| f.contains(needle)), "{text}: {faults:?}");
    }
    assert!(matches!(Recipe::parse("seeds = "), Err(RecipeError::Syntax(_))));
}

#[test]
fn an_ensemble_names_its_models() {
    let ensemble = Recipe::parse(
        "folds = 4\n[[member]]\nrecipe = \"single\"\nseeds = [3, 5]\n[[member]]\nrecipe = \"quick\"",
    )
    .unwrap();
    let models = ensemble.models();
    let got: Vec<_> = models.iter().map(|m| (m.network.family, m.seeds.clone(), m.folds)).collect();
    assert_eq!(
        got,
        [(Family::Single, vec![3], 4), (Family::Single, vec![5], 4), (Family::Logistic, vec![0], 4)]
    );
    assert!(Recipe::preset("winner").unwrap().models().is_empty());
    let plain = Recipe { seeds: vec![1, 2], ..Recipe::default() };
    assert_eq!(plain.models().len(), 2);
}

#[test]
fn a_recipe_knows_the_keys_that_do_something_in_it_and_only_these() {
    let knows = |text: &str, key: &str| Recipe::parse(text).unwrap().knows(key);
    let mlp = "[network]\nfamily = \"mlp\"\n";
    for (text, key, yes) in [
        ("", "logistic.c", true),
        ("", "fields", true),
        ("", "loss.kind", false),
        ("", "network.dropout", false),
        ("", "member", false),
        (mlp, "network.dropout", true),
        (mlp, "loss.kind", true),
        (mlp, "loss.q", false),
        (mlp, "network.heads", false),
        (mlp, "distil.rounds", false),
        (mlp, "wand", false),
        ("[network]\nfamily = \"mlp\"\n[loss]\nkind = \"gce\"\n", "loss.q", true),
        ("[network]\nfamily = \"dual\"\n", "text.unit", true),
        ("[network]\nfamily = \"dual\"\n", "fields", false),
        ("[[member]]\nrecipe = \"single\"\n", "member", true),
        ("[[member]]\nrecipe = \"single\"\n", "network.dim", false),
    ] {
        assert_eq!(knows(text, key), yes, "{text:?}: {key}");
    }
    // what it writes are the keys it knows
    for name in PRESETS {
        let r = Recipe::preset(name).unwrap();
        for (section, value) in toml::from_str::<toml::Table>(&r.to_toml()).unwrap() {
            let keys: Vec<String> = match value.as_table() {
                Some(t) => t.keys().map(|k| format!("{section}.{k}")).collect(),
                None => vec![section],
            };
            assert!(keys.iter().all(|k| r.knows(k)), "{name}: {keys:?}");
        }
    }
}
