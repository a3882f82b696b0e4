//! A head trained on the current labels of a snapshot, measured on a held-out split, out as ONNX.

use ndarray::{Array2, Axis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;
use uuid::Uuid;

use super::ledger::{self, Classes, HeldOut, Tried};
use super::progress::Progress;
use super::scan::Labelled;
use super::vectors::{self, Features};
use super::{JobError, Services, encode, snapshot};
use crate::domain::{Note, Split};
use crate::encode::{Runtime, TrainedModel};
use crate::store::trainings::Training;
use crate::train::linear::argmax_rows;
use crate::train::recipe::{Balance, Family, PRESETS};
use crate::train::{
    LinearHead, LinearParams, Metrics, Recipe, evaluate, fit_fold_path, grid_for_fold, holdout_split, onnx,
    select, stratified_folds,
};

/// Held-out rows on which the exported model is compared with the trained one.
const COMPARED: usize = 1000;

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TrainArgs {
    /// A recipe in TOML, or the name of a preset; empty: `quick`.
    pub recipe: Option<String>,
    /// Train on this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
    /// What it is tried for, at most 400 characters; stands in the ledger.
    pub hypothesis: Option<String>,
    /// Gain in mean F1 over the training before that is expected, in [-1, 1]; left out: what the ledger
    /// foretells, if it can.
    pub expected_gain: Option<f64>,
}

impl TrainArgs {
    /// Refuses a wrong recipe by name of key and rule.
    pub fn check(&self) -> Result<(), JobError> {
        ledger::check_hypothesis(self.hypothesis.as_deref().unwrap_or_default())?;
        ledger::check_expected(self.expected_gain)?;
        self.parsed().map(|_| ())
    }

    fn parsed(&self) -> Result<Recipe, JobError> {
        match self.recipe.as_deref().map(str::trim) {
            None | Some("") => Ok(Recipe::default()),
            Some(name) if PRESETS.contains(&name) => Recipe::preset(name),
            // a name rather than TOML: one word
            Some(name) if !name.contains(['=', '\n']) => Recipe::preset(name),
            Some(text) => Recipe::parse(text),
        }
        .map_err(|e| JobError::Refused { field: "recipe", why: e.to_string() })
        .and_then(trained_here)
    }
}

/// What this job trains: one logistic head. Anything else that a recipe may ask for is refused, lest another
/// model be trained than the one described.
fn trained_here(recipe: Recipe) -> Result<Recipe, JobError> {
    let refused = |key: &str| {
        Err(JobError::Refused {
            field: "recipe",
            why: format!("{key}: not trained by this job, which trains one logistic head"),
        })
    };
    match () {
        () if !recipe.stage.is_empty() => refused("stage"),
        () if !recipe.member.is_empty() => refused("member"),
        () if recipe.network.family != Family::Logistic => refused("network.family"),
        () if recipe.seeds.len() > 1 => refused("seeds"),
        () if recipe.balance != Balance::default() => refused("balance"),
        () => Ok(recipe),
    }
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: TrainArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let recipe = args.parsed()?;
    progress.stage("snapshot", None);
    let now = chrono::Utc::now();
    let snapshot = snapshot::named_or_fresh(services, dataset, args.snapshot.as_deref(), "train").await?;
    let until = if args.snapshot.is_some() { snapshot.created_at } else { now };
    let taxonomy = services.store.taxonomy(dataset).await?;
    encode::missing(services, dataset, progress).await?;
    progress.stage("load_features", None);
    let labelled = Labelled::of(&taxonomy, snapshot::labels_of(services, &snapshot).await?)?;
    let splits = services.store.held_out(dataset).await?;
    let parts: Vec<Option<Split>> = labelled.ids.iter().map(|id| splits.get(id).copied()).collect();
    let gold = services.store.gold(dataset).await?;
    let gold: Vec<bool> = labelled.ids.iter().map(|id| gold.contains(id)).collect();
    let verified = services.store.verified(dataset).await?;
    let verified: Vec<bool> = labelled.ids.iter().map(|id| verified.contains(id)).collect();
    let features = vectors::features(services, dataset, &labelled.ids, &recipe.fields).await?;
    if features.blocks.is_empty() {
        return Err(JobError::failed("nothing_encoded", &[]));
    }
    let metadata = vec![
        ("classes".to_owned(), json!(taxonomy.class_ids().collect::<Vec<_>>()).to_string()),
        ("taxonomy_hash".to_owned(), taxonomy.hash()),
        ("snapshot".to_owned(), snapshot.id.clone()),
        ("recipe".to_owned(), recipe.to_toml()),
        ("input".to_owned(), json!(features.blocks).to_string()),
    ];
    progress.stage("train", Some(recipe.folds + 1));
    let (dylib, p, recipe2) = (services.native.onnxruntime.clone(), progress.clone(), recipe.clone());
    let began = std::time::Instant::now();
    let trained = tokio::task::spawn_blocking(move || {
        let rows = Rows { parts: &parts, gold: &gold, verified: &verified };
        let t = train(&features, &labelled, rows, &recipe2, &metadata, &p)?;
        let parity = match dylib {
            Some(dylib) => Some(parity(&dylib, &t)?),
            None => None,
        };
        Ok::<_, JobError>((t, parity))
    })
    .await?;
    let (trained, parity) = trained?;
    let machine_seconds = began.elapsed().as_secs_f64();
    if parity.is_none() {
        progress.log("warn", Note::new("onnx_not_run")).await?;
    }

    progress.stage("save", None);
    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let onnx_blob = format!("models/{}/{id}.onnx", dataset.simple());
    services.blobs.put(&onnx_blob, trained.onnx).await?;
    let held_out_blob = format!("models/{}/{id}.held_out.json", dataset.simple());
    let ids = serde_json::to_vec(&trained.held.ids).map_err(|e| JobError::broke("stage.save", e))?;
    services.blobs.put(&held_out_blob, ids).await?;
    let mut metrics = serde_json::to_value(&trained.metrics).map_err(|e| JobError::broke("stage.save", e))?;
    if let Some(m) = metrics.as_object_mut() {
        m.insert("n_train".into(), json!(trained.n_train));
        m.insert("held_out".into(), json!(trained.held_out));
        m.insert("verified".into(), trained.verified);
        m.insert("unverified".into(), trained.unverified);
        m.insert("c".into(), json!(trained.c));
        m.insert("onnx_max_difference".into(), json!(parity.as_ref().map(|p| p.max_difference)));
        m.insert("onnx_same_argmax".into(), json!(parity.as_ref().map(|p| p.same_argmax)));
        m.insert("onnx_compared".into(), json!(parity.as_ref().map(|p| p.n)));
        m.insert("classes".into(), json!(taxonomy.class_ids().collect::<Vec<_>>()));
    }
    let training = Training {
        id,
        snapshot_id: snapshot.id.clone(),
        job_id: Some(progress.job_id),
        recipe: serde_json::to_value(&recipe).map_err(|e| JobError::broke("stage.save", e))?,
        metrics: metrics.clone(),
        onnx_blob,
        held_out_blob: Some(held_out_blob),
        previous_id: None,
        created_at: chrono::Utc::now(),
    };
    progress.check()?;
    let latest = services.store.trainings(dataset, None, 2).await?.items;
    let before = latest.into_iter().find(|t| t.id != id);
    let classes =
        Classes { ids: taxonomy.class_ids().map(Into::into).collect(), roots: taxonomy.class_roots() };
    let measured = match &before {
        Some(b) => ledger::gain_over(services, dataset, b, &trained.held, &classes, progress).await?,
        None => None,
    };
    services.store.insert_training(dataset, &training).await?;
    let tried = Tried {
        hypothesis: args.hypothesis.unwrap_or_default().trim().to_owned(),
        expected_gain: args.expected_gain,
        measured,
        machine_seconds,
        until,
    };
    ledger::enter(services, dataset, &training, before.as_ref(), tried).await?;
    Ok(json!({"training_id": id, "snapshot_id": snapshot.id, "metrics": metrics}))
}

/// What is known of each labelled sample beside its label.
struct Rows<'a> {
    parts: &'a [Option<Split>],
    gold: &'a [bool],
    verified: &'a [bool],
}

/// The challenge's score and its parts on some of the held-out samples.
fn scores(m: &Metrics) -> Value {
    json!({"mean_f1": m.mean_f1, "l1_micro_f1": m.l1_micro_f1, "l1_macro_f1": m.l1_macro_f1,
        "l2_micro_f1": m.l2_micro_f1, "l2_macro_f1": m.l2_macro_f1, "n": m.n})
}

struct Trained {
    metrics: Metrics,
    /// The scores on held-out samples whose label is verified, and on the others.
    verified: Value,
    unverified: Value,
    held: HeldOut,
    c: f32,
    n_train: usize,
    /// What it was measured on: `test`, `validation`, or `random` samples.
    held_out: &'static str,
    onnx: Vec<u8>,
    /// Held-out (or, without any, training) rows and what the head says of them.
    probe: Array2<f32>,
    expected: Array2<f32>,
}

/// Which labelled samples to measure on, and which to train on. The dataset's own test split, else its
/// validation split, else a random share; what is of either split is never trained on, nor is gold.
fn split_rows(
    labelled: &Labelled,
    parts: &[Option<Split>],
    gold: &[bool],
    recipe: &Recipe,
) -> (&'static str, Vec<usize>, Vec<usize>) {
    let rows = |want: &dyn Fn(usize) -> bool| (0..parts.len()).filter(|&i| want(i)).collect::<Vec<_>>();
    for split in [Split::Test, Split::Validation] {
        let held = rows(&|i| parts[i] == Some(split));
        if !held.is_empty() {
            return (split.as_str(), rows(&|i| parts[i].is_none() && !gold[i]), held);
        }
    }
    let held = holdout_split(&labelled.ids, &labelled.y, labelled.n_classes, recipe.holdout, recipe.seeds[0]);
    ("random", rows(&|i| !held[i] && !gold[i]), rows(&|i| held[i]))
}

/// C by cross-validation on the training part, one fit on all of it, measured on the rest.
fn train(
    features: &Features,
    labelled: &Labelled,
    rows: Rows<'_>,
    recipe: &Recipe,
    metadata: &[(String, String)],
    progress: &Progress,
) -> Result<Trained, JobError> {
    let failed = |e: crate::train::TrainError| JobError::broke("stage.train", e);
    let (held_out, train_rows, test_rows) = split_rows(labelled, rows.parts, rows.gold, recipe);
    if test_rows.is_empty() {
        return Err(JobError::failed("no_holdout", &[]));
    }
    if train_rows.is_empty() {
        return Err(JobError::failed("nothing_to_train_on", &[]));
    }
    let x = features.matrix.select(Axis(0), &train_rows);
    let y: Vec<usize> = train_rows.iter().map(|&i| labelled.y[i]).collect();
    let k = labelled.n_classes;
    let params = recipe.linear_params();
    let go_on = |_: usize| progress.go_on();
    let c = if let [c] = recipe.logistic.c[..] {
        c
    } else {
        let folds = stratified_folds(&y, k, recipe.folds, None, recipe.seeds[0]);
        let mut paths = Vec::with_capacity(recipe.folds);
        for fold in 0..recipe.folds {
            let grid = grid_for_fold(&paths, &recipe.logistic.c);
            let params = LinearParams { tolerance: LinearParams::for_folds().tolerance, ..params };
            let path = fit_fold_path(x.view(), &y, k, &folds, fold, &grid, &params, &go_on);
            progress.check()?;
            paths.push(path.map_err(failed)?);
            progress.add(1);
        }
        select(&paths, k).map_err(failed)?.c
    };
    let head = LinearHead::fit(x.view(), &y, k, None, &params.with_c(c, y.len()), &go_on);
    progress.check()?;
    let head = head.map_err(failed)?;
    progress.add(1);
    let test_x = features.matrix.select(Axis(0), &test_rows);
    let probabilities = head.predict_proba(test_x.view());
    let truth: Vec<usize> = test_rows.iter().map(|&i| labelled.y[i]).collect();
    let predicted = argmax_rows(probabilities.view());
    let metrics = evaluate(&truth, &predicted, &labelled.class_roots, k);
    let scored = |verified: bool| {
        let of = |all: &[usize]| -> Vec<usize> {
            let kept = test_rows.iter().zip(all).filter(|(row, _)| rows.verified[**row] == verified);
            kept.map(|(_, class)| *class).collect()
        };
        scores(&evaluate(&of(&truth), &of(&predicted), &labelled.class_roots, k))
    };
    let n = test_x.nrows().min(COMPARED);
    Ok(Trained {
        verified: scored(true),
        unverified: scored(false),
        held: HeldOut { ids: test_rows.iter().map(|&i| labelled.ids[i]).collect(), truth, predicted },
        metrics,
        c,
        n_train: y.len(),
        held_out,
        onnx: onnx::write(&head, metadata),
        probe: test_x.slice(ndarray::s![..n, ..]).to_owned(),
        expected: probabilities.slice(ndarray::s![..n, ..]).to_owned(),
    })
}

struct Parity {
    n: usize,
    max_difference: f32,
    same_argmax: bool,
}

/// Runs the exported file in ONNX Runtime on the probe rows.
fn parity(dylib: &std::path::Path, t: &Trained) -> Result<Parity, JobError> {
    let failed = |e: crate::encode::EncodeError| JobError::broke("doing.onnx", e);
    let runtime = Runtime::load(dylib, 1, &[]).map_err(failed)?;
    let model = TrainedModel::load(&runtime, &t.onnx, onnx::INPUT, onnx::PROBABILITIES).map_err(failed)?;
    let got = model.run(t.probe.view()).map_err(failed)?;
    let max_difference = got.iter().zip(&t.expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    Ok(Parity {
        n: t.probe.nrows(),
        max_difference,
        same_argmax: argmax_rows(got.view()) == argmax_rows(t.expected.view()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_come_by_name_or_as_text_and_wrong_ones_are_refused_before_they_are_queued() {
        let args = |r: &str| TrainArgs { recipe: Some(r.into()), ..Default::default() };
        assert!(TrainArgs::default().check().is_ok());
        assert!(args("quick").check().is_ok());
        assert!(args("seeds = 3").check().is_ok());
        assert!(args("sed = 3").check().unwrap_err().to_string().contains("sed"));
        for key in ["network.family = \"mlp\"", "seeds = [1, 2]", "balance.prior_boost = 10.0"] {
            let told = args(key).check().unwrap_err().to_string();
            assert!(told.contains("one logistic head"), "{key}: {told}");
        }
        assert!(args("winner").check().unwrap_err().to_string().contains("stage"));
        assert!(args("slow").check().unwrap_err().to_string().contains("slow"));
    }

    #[test]
    fn a_dataset_is_measured_on_its_own_test_split_and_never_trained_on_it() {
        let labelled = Labelled {
            ids: (0..6).collect(),
            y: vec![0, 1, 0, 1, 0, 1],
            n_classes: 2,
            class_roots: vec![0, 1],
        };
        let recipe = Recipe::default();
        let rows = |parts: &[Option<Split>]| split_rows(&labelled, parts, &[false; 6], &recipe);
        let (test, validation) = (Some(Split::Test), Some(Split::Validation));
        assert_eq!(rows(&[None, None, test, validation, None, test]), ("test", vec![0, 1, 4], vec![2, 5]));
        assert_eq!(
            rows(&[None, None, validation, None, None, None]),
            ("validation", vec![0, 1, 3, 4, 5], vec![2])
        );
        let (how, train, held) = rows(&[None; 6]);
        assert_eq!((how, train.len() + held.len()), ("random", 6));
        assert!(!held.is_empty());
        let gold = [true, false, false, false, true, false];
        assert_eq!(split_rows(&labelled, &[None, None, test, None, None, None], &gold, &recipe).1, [1, 3, 5]);
        let (_, train, again) = split_rows(&labelled, &[None; 6], &gold, &recipe);
        assert_eq!(again, held, "what is held out does not depend on it");
        assert!(train.iter().all(|&i| !gold[i]) && !train.is_empty());
    }
}
