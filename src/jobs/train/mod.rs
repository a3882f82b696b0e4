//! A recipe trained on the labels of a snapshot, measured on held-out samples, out as ONNX: one model, an
//! ensemble, or teachers and a student that learns from them on unlabelled samples too.

pub mod ablate;
mod evidence;
mod files;
mod material;
mod memory;
mod model;
mod outcome;
mod plan;
mod school;
mod split;
mod token_vectors;
mod told;
mod watch;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::plan::Distillation;
pub use self::told::{applies, changes, settings};

pub(super) use self::model::Classes;

use self::material::Material;
use self::outcome::Outcome;
use self::plan::{Plan, Teachers, steps};
use self::school::{Heard, School};
use self::split::{Known, Rows};
use self::watch::Watch;
use super::judge::Knowledge;
use super::ledger::{self, Tried};
use super::progress::Progress;
use super::scan::Labelled;
use super::{JobError, Services, cpu, encode, snapshot, vectors};
use crate::detect::duplicates::near_duplicates;
use crate::domain::{Field, Note, Taxonomy};
use crate::store::snapshots::Snapshot;
use crate::store::trainings::{ModelFile, Training};
use crate::train::Recipe;
use crate::train::recipe::Family;

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
    /// The recipe's network learns from these models; asked for at `/distillations`.
    #[schema(ignore)]
    pub distillation: Option<Distillation>,
}

impl TrainArgs {
    /// Refuses a wrong recipe by name of key and rule.
    pub fn check(&self) -> Result<(), JobError> {
        ledger::check_hypothesis(self.hypothesis.as_deref().unwrap_or_default())?;
        ledger::check_expected(self.expected_gain)?;
        self.parsed().map(|_| ())
    }

    fn parsed(&self) -> Result<(Recipe, Plan), JobError> {
        let recipe = recipe_of(self.recipe.as_deref())?;
        let plan = Plan::of(&recipe, self.distillation.as_ref())?;
        Ok((recipe, plan))
    }
}

/// The recipe that a request names or holds; none: the default.
pub(super) fn recipe_of(text: Option<&str>) -> Result<Recipe, JobError> {
    match text.map(str::trim) {
        None | Some("") => Ok(Recipe::default()),
        // a name rather than TOML: one word
        Some(name) if !name.contains(['=', '\n']) => Recipe::preset(name),
        Some(text) => Recipe::parse(text),
    }
    .map_err(|e| JobError::Refused { field: "recipe", why: e.to_string() })
}

/// What a start of the job leaves to the next one: it goes on with the same labels.
#[derive(Serialize, Deserialize)]
struct Begun {
    snapshot: String,
    until: DateTime<Utc>,
}

/// Samples, labels, embeddings and who is trained on: what every model of the job shares.
pub(super) struct Ground {
    pub(super) snapshot: Snapshot,
    /// Labels up to here are in.
    until: DateTime<Utc>,
    taxonomy: Taxonomy,
    labelled: Labelled,
    known: Known,
    rows: Rows,
    material: Material,
    classes: Classes,
    /// Holds the frames; gone with it.
    scratch: tempfile::TempDir,
}

impl Ground {
    /// Loads what `recipes` read. `outer` says who is held out; `validated`: some samples are set aside to stop
    /// networks and weigh members.
    pub(super) async fn load(
        services: &Services,
        dataset: Uuid,
        named: Option<&str>,
        outer: &Recipe,
        recipes: &[&Recipe],
        unlabelled: bool,
        progress: &Progress,
    ) -> Result<Self, JobError> {
        progress.stage("snapshot", None);
        let now = Utc::now();
        let begun = progress.last_checkpoint::<Begun>();
        let wanted = begun.as_ref().map(|b| b.snapshot.as_str()).or(named);
        let snapshot = snapshot::named_or_fresh(services, dataset, wanted, "train").await?;
        let until = match &begun {
            Some(b) => b.until,
            None if named.is_some() => snapshot.created_at,
            None => now,
        };
        progress.checkpoint(&Begun { snapshot: snapshot.id.clone(), until }).await?;
        let taxonomy = services.store.taxonomy(dataset).await?;
        encode::missing(services, dataset, progress).await?;

        progress.stage("load_features", None);
        let labelled = Labelled::of(&taxonomy, snapshot::labels_of(services, &snapshot).await?)?;
        let splits = services.store.held_out(dataset).await?;
        let gold = services.store.gold(dataset).await?;
        let verified = services.store.verified(dataset).await?;
        let mut ids = labelled.ids.clone();
        if unlabelled {
            let mut with: Vec<i64> = ids.clone();
            with.sort_unstable();
            let more = services.store.unlabelled(dataset).await?;
            ids.extend(more.into_iter().filter(|id| with.binary_search(id).is_err() && !gold.contains(id)));
        }
        let pooled = vectors::features(services, dataset, &ids, &Field::ALL).await?;
        if pooled.blocks.is_empty() {
            return Err(JobError::failed("nothing_encoded", &[]));
        }
        progress.stage("near_duplicates", Some(ids.len()));
        let (p, balanced) = (progress.clone(), pooled.balanced());
        let found = tokio::task::spawn_blocking(move || {
            near_duplicates(balanced.view(), &mut |done, _| {
                p.set(done);
                p.go_on()
            })
        })
        .await?;
        progress.check()?;
        let found = found.map_err(|e| JobError::broke("stage.near_duplicates", e))?;
        let known = Known {
            parts: labelled.ids.iter().map(|id| splits.get(id).copied()).collect(),
            gold: labelled.ids.iter().map(|id| gold.contains(id)).collect(),
            verified: labelled.ids.iter().map(|id| verified.contains(id)).collect(),
            group: found.group,
        };
        let validated = recipes.len() > 1 || recipes.iter().any(|r| r.network.family != Family::Logistic);
        let rows = split::split(&labelled, &known, outer, validated)?;

        progress.stage("load_inputs", None);
        let scratch = services.scratch()?;
        let held: std::collections::HashSet<usize> = rows.held.iter().copied().collect();
        let seen: Vec<i64> = (0..ids.len()).filter(|i| !held.contains(i)).map(|i| ids[i]).collect();
        let mut material =
            Material::load(services, dataset, ids, pooled, &seen, recipes, scratch.path()).await?;
        material.ask_tokens(services, dataset, recipes, progress).await?;
        if recipes.iter().any(|r| evidence::is_read(r)) {
            let (n, k) = (labelled.ids.len(), labelled.n_classes);
            material.evidence = evidence::of(services, dataset, &material.ids, n, &known.verified, k).await?;
        }
        if recipes.iter().any(|r| material.fitting(r) != **r) {
            progress.log("warn", Note::new("no_frames")).await?;
        }
        let classes = Classes {
            ids: taxonomy.class_ids().map(Into::into).collect(),
            roots: taxonomy.class_roots(),
            nodes: taxonomy.roots().into_iter().map(Into::into).collect(),
        };
        Ok(Self { snapshot, until, taxonomy, labelled, known, rows, material, classes, scratch })
    }

    /// What is known of the samples that are held out.
    async fn knowledge(&self, services: &Services, dataset: Uuid) -> Result<Knowledge, JobError> {
        let held: Vec<i64> = self.rows.held.iter().map(|&r| self.material.ids[r]).collect();
        Knowledge::load(services, dataset, &self.classes.ids, &held).await
    }

    /// Says how much memory the largest of `recipes` needs beside what is loaded, and refuses too much.
    pub(super) async fn check_memory(
        &self,
        services: &Services,
        recipes: &[&Recipe],
        students: bool,
        progress: &Progress,
    ) -> Result<u64, JobError> {
        let held = self.material.bytes();
        let unlabelled = self.rows.unlabelled.len();
        let rows = self.rows.train.len() + if students { unlabelled } else { 0 };
        let largest = recipes.iter().map(|r| {
            let fitting = self.material.fitting(r);
            model::memory_needed(&self.material, &fitting, &self.classes, rows)
        });
        // what teachers and lessons say of every row
        let k = self.classes.ids.len();
        let said = if students { 4 * (k * (rows + recipes.len() * unlabelled)) as u64 } else { 0 };
        let needed = held + said + largest.max().unwrap_or(0);
        memory::check(needed, held, services.config.train.memory_mib, progress).await
    }
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: TrainArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let (recipe, plan) = args.parsed()?;
    let recipes = plan.recipes();
    let more = plan.reads_unlabelled();
    let named = args.snapshot.as_deref();
    let ground = Ground::load(services, dataset, named, &recipe, &recipes, more, progress).await?;
    let students = matches!(plan, Plan::Students { .. });
    let memory_mib = ground.check_memory(services, &recipes, students, progress).await?;
    let heard = match &plan {
        Plan::Students { teachers: Teachers::Trained(trainings), .. } => {
            Some(Heard::ask(services, dataset, trainings, &ground).await?)
        }
        _ => None,
    };

    progress.stage("train", Some(recipes.iter().map(|r| steps(r)).sum()));
    let models = recipes.len();
    let watch = Watch {
        services: services.clone(),
        progress: progress.clone(),
        runtime: tokio::runtime::Handle::current(),
        prefix: format!("models/{}/{}-{}", dataset.simple(), progress.job_id, mark(&ground, &recipe)),
    };
    let began = std::time::Instant::now();
    let dylib = services.native.onnxruntime.clone();
    let scanned = ground.knowledge(services, dataset).await?;
    let (plan, watch2) = (plan.clone(), watch.clone());
    let trained = tokio::task::spawn_blocking(move || {
        let g = &ground;
        let school = School {
            material: &g.material,
            y: &g.labelled.y,
            classes: &g.classes,
            rows: &g.rows,
            watch: &watch2,
            first: 0,
        };
        let (graduates, cpu_seconds) = cpu::counted(|| school.run(&plan, heard));
        let graduates = graduates?;
        let about = [
            ("classes".to_owned(), json!(g.classes.ids).to_string()),
            ("taxonomy_hash".to_owned(), g.taxonomy.hash()),
            ("snapshot".to_owned(), g.snapshot.id.clone()),
        ];
        let (files, parity) =
            files::exported(&graduates, &school, &about, dylib.as_deref(), g.scratch.path())?;
        let outcome = outcome::of(&graduates, g, parity, &scanned)?;
        let members: Vec<(f64, Recipe)> =
            graduates.weights.into_iter().zip(graduates.members).map(|(w, m)| (w, m.recipe)).collect();
        Ok::<_, JobError>((ground, outcome, files, members, cpu_seconds))
    })
    .await?;
    if matches!(trained, Err(JobError::Cancelled)) {
        watch.clear(models).await;
    }
    let (ground, Outcome { held, mut metrics, judged }, files, members, cpu_seconds) = trained?;
    let machine_seconds = began.elapsed().as_secs_f64();
    if metrics.get("onnx_compared").is_none_or(Value::is_null) {
        progress.log("warn", Note::new("onnx_not_run")).await?;
    }
    if let Some(m) = metrics.as_object_mut() {
        m.insert("memory_mib".into(), json!(memory_mib));
    }

    progress.stage("save", None);
    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let mut kept = Vec::with_capacity(files.len());
    for (i, (file, (weight, recipe))) in files.into_iter().zip(members).enumerate() {
        let blob = format!("models/{}/{id}-{i}.onnx", dataset.simple());
        services.blobs.put(&blob, file).await?;
        let recipe = serde_json::to_value(&recipe).map_err(|e| JobError::broke("stage.save", e))?;
        kept.push(ModelFile { blob, weight, recipe });
    }
    let held_out_blob = format!("models/{}/{id}.held_out.json", dataset.simple());
    let ids = serde_json::to_vec(&held.ids).map_err(|e| JobError::broke("stage.save", e))?;
    services.blobs.put(&held_out_blob, ids).await?;
    let report = judged.kept(services, dataset).await?;
    if let Some(m) = metrics.as_object_mut() {
        m.insert("bad_cases".into(), json!(report.causes()));
    }
    let report_blob = format!("models/{}/{id}.report.json", dataset.simple());
    let report = serde_json::to_vec(&report).map_err(|e| JobError::broke("stage.save", e))?;
    services.blobs.put(&report_blob, report).await?;
    let mut described = serde_json::to_value(&recipe).map_err(|e| JobError::broke("stage.save", e))?;
    if let (Some(d), Some(map)) = (&args.distillation, described.as_object_mut()) {
        map.insert("distillation".into(), json!(d));
    }
    let training = Training {
        id,
        snapshot_id: ground.snapshot.id.clone(),
        job_id: Some(progress.job_id),
        recipe: described,
        metrics: metrics.clone(),
        models: Json(kept),
        held_out_blob: Some(held_out_blob),
        report_blob: Some(report_blob),
        bundle: None,
        previous_id: None,
        created_at: Utc::now(),
    };
    progress.check()?;
    let latest = services.store.trainings(dataset, None, 2).await?.items;
    let before = latest.into_iter().find(|t| t.id != id);
    let measured = match &before {
        Some(b) => ledger::gain_over(services, dataset, b, &held, &ground.classes, progress).await?,
        None => None,
    };
    services.store.insert_training(dataset, &training).await?;
    let tried = Tried {
        hypothesis: args.hypothesis.unwrap_or_default().trim().to_owned(),
        expected_gain: args.expected_gain,
        measured,
        machine_seconds,
        cpu_seconds,
        until: ground.until,
    };
    ledger::enter(services, dataset, &training, before.as_ref(), tried).await?;
    watch.clear(models).await;
    Ok(json!({"training_id": id, "snapshot_id": ground.snapshot.id, "metrics": metrics}))
}

/// What checkpoints belong to: samples, labels, embeddings and recipe.
fn mark(ground: &Ground, recipe: &Recipe) -> String {
    let mut hash = Sha256::new();
    hash.update(&ground.snapshot.id);
    hash.update(recipe.to_toml());
    for b in &ground.material.pooled.blocks {
        hash.update(format!("{}:{}:{};", b.encoder, b.dimension, b.present));
    }
    for rows in [&ground.rows.train, &ground.rows.valid, &ground.rows.unlabelled] {
        hash.update(format!("{rows:?}"));
    }
    hex::encode(&hash.finalize()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_come_by_name_or_as_text_and_wrong_ones_are_refused_before_they_are_queued() {
        let args = |r: &str| TrainArgs { recipe: Some(r.into()), ..Default::default() };
        assert!(TrainArgs::default().check().is_ok());
        for good in ["quick", "winner", "ensemble", "seeds = [1, 2]", "network.family = \"mlp\""] {
            assert!(args(good).check().is_ok(), "{good}");
        }
        assert!(args("sed = 3").check().unwrap_err().to_string().contains("sed"));
        assert!(args("slow").check().unwrap_err().to_string().contains("slow"));
    }
}
