//! Every option of a recipe set otherwise in turn, with several seeds, on the same samples: what each is worth goes
//! into the ledger.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::plan::{Plan, steps};
use super::school::School;
use super::watch::Watch;
use super::{Ground, evidence, outcome, recipe_of};
use crate::domain::{Change, Note, Step};
use crate::jobs::ledger::{check_hypothesis, over_seeds};
use crate::jobs::progress::Progress;
use crate::jobs::{JobError, Services, cpu};
use crate::store::ledger::Entry;
use crate::train::Recipe;
use crate::train::recipe::Switch;

/// Seeds at most.
const MOST_SEEDS: usize = 20;

/// What to try.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AblateArgs {
    /// A recipe in TOML, or the name of a preset, of one network or of members; empty: `quick`.
    pub recipe: Option<String>,
    /// Labels of this snapshot (id or prefix) instead of a fresh one of the current labels.
    pub snapshot: Option<String>,
    /// 2 to 20 seeds, each once; the same ones with and without each option. Empty: 0, 1, 2.
    pub seeds: Vec<u64>,
    /// Only these options (`regularise.ema`); empty: all.
    pub keys: Vec<String>,
    /// What it is tried for, at most 400 characters; stands in the ledger.
    pub hypothesis: Option<String>,
}

impl AblateArgs {
    /// Refuses what cannot be tried, by field.
    pub fn check(&self) -> Result<(), JobError> {
        check_hypothesis(self.hypothesis.as_deref().unwrap_or_default())?;
        self.seeds().and_then(|_| self.switches()).map(|_| ())
    }

    fn seeds(&self) -> Result<Vec<u64>, JobError> {
        let seeds = if self.seeds.is_empty() { vec![0, 1, 2] } else { self.seeds.clone() };
        let distinct = (1..seeds.len()).all(|i| !seeds[..i].contains(&seeds[i]));
        if !distinct || !(2..=MOST_SEEDS).contains(&seeds.len()) {
            let why = format!("2 to {MOST_SEEDS} seeds, each once");
            return Err(JobError::Refused { field: "seeds", why });
        }
        Ok(seeds)
    }

    fn switches(&self) -> Result<(Recipe, Vec<Switch>), JobError> {
        let recipe = recipe_of(self.recipe.as_deref())?;
        let all = recipe.switches();
        if all.is_empty() {
            let why = "the recipe has no options that can be set one at a time".to_owned();
            return Err(JobError::Refused { field: "recipe", why });
        }
        if let Some(unknown) = self.keys.iter().find(|k| !all.iter().any(|s| s.key == **k)) {
            let mut known: Vec<&str> = all.iter().map(|s| s.key.as_str()).collect();
            known.dedup();
            let why = format!("{unknown:?} is no option of this recipe; there are {}", known.join(", "));
            return Err(JobError::Refused { field: "keys", why });
        }
        let wanted = |s: &Switch| self.keys.is_empty() || self.keys.contains(&s.key);
        Ok((recipe, all.into_iter().filter(wanted).collect()))
    }
}

/// A score and the seconds it took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Tried {
    /// 0: the recipe itself, then its switches.
    variant: usize,
    seed: usize,
    mean_f1: f64,
    seconds: f64,
    cpu_seconds: f64,
}

/// What one start of the job leaves to the next.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    tried: Vec<Tried>,
}

/// The recipe with one seed; a recipe of members keeps the members' own, moved by it.
fn seeded(recipe: &Recipe, seed: u64) -> Recipe {
    let mut recipe = Recipe { seeds: vec![seed], ..recipe.clone() };
    for m in &mut recipe.member {
        let own = if m.seeds.is_empty() { vec![0] } else { m.seeds.clone() };
        m.seeds = own.into_iter().map(|s| s.wrapping_add(seed.wrapping_mul(1000))).collect();
    }
    recipe
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: AblateArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let seeds = args.seeds()?;
    let (recipe, mut switches) = args.switches()?;
    // what rests on a scan is tried where there is one
    if services.store.latest_scan_head(dataset).await?.is_none() {
        switches.retain(|s| !s.recipe.models().iter().any(evidence::is_read));
    }
    let variants: Vec<Recipe> =
        std::iter::once(recipe.clone()).chain(switches.iter().map(|s| s.recipe.clone())).collect();
    let models: Vec<Recipe> = variants.iter().flat_map(Recipe::models).collect();
    let recipes: Vec<&Recipe> = models.iter().collect();
    let more = recipes.iter().any(|r| r.auxiliary.pretrain_epochs > 0);
    let kept = progress.last_checkpoint::<Kept>().unwrap_or_default();
    let named = args.snapshot.as_deref();
    let ground = Ground::load(services, dataset, named, &recipe, &recipes, more, progress).await?;
    ground.check_memory(services, &recipes, false, progress).await?;

    let total: usize = recipes.iter().map(|r| steps(r)).sum::<usize>() * seeds.len();
    progress.stage("train", Some(total));
    let watch = Watch {
        services: services.clone(),
        progress: progress.clone(),
        runtime: tokio::runtime::Handle::current(),
        prefix: format!("models/{}/{}-{}", dataset.simple(), progress.job_id, super::mark(&ground, &recipe)),
    };
    let (n_models, watch2, seeds2) = (models.len() * seeds.len(), watch.clone(), seeds.clone());
    let tried = tokio::task::spawn_blocking(move || {
        let done = every(&ground, &variants, &seeds2, kept, &watch2);
        done.map(|tried| (ground, tried))
    })
    .await?;
    if !matches!(tried, Err(JobError::Transient(_) | JobError::Superseded)) {
        watch.clear(n_models).await;
    }
    let (ground, tried) = tried?;

    progress.stage("save", None);
    let scores = |variant: usize| -> Vec<f64> {
        let of = |seed: usize| tried.iter().find(|t| t.variant == variant && t.seed == seed);
        (0..seeds.len()).filter_map(of).map(|t| t.mean_f1).collect()
    };
    let sum = |variant: usize, of: fn(&Tried) -> f64| -> f64 {
        tried.iter().filter(|t| t.variant == variant).map(of).sum()
    };
    let base = scores(0);
    let mut rows = Vec::new();
    for (i, switch) in switches.iter().enumerate() {
        let gains: Vec<f64> = scores(i + 1).iter().zip(&base).map(|(with, base)| with - base).collect();
        let measured = over_seeds(&gains);
        let change = Change { key: switch.key.clone(), from: switch.from.clone(), to: switch.to.clone() };
        rows.push(json!({"change": change, "gains": gains, "measured": measured}));
        let entry = Entry {
            id: line_of(progress.job_id, i),
            training_id: None,
            step: Step::Ablation,
            changes: vec![change],
            hypothesis: args.hypothesis.clone().unwrap_or_default().trim().to_owned(),
            expected_gain: None,
            measured,
            reviews: 0,
            corrections: 0,
            human_ms: 0,
            machine_seconds: sum(i + 1, |t| t.seconds),
            cpu_seconds: Some(sum(i + 1, |t| t.cpu_seconds)),
            until: ground.until,
            author: "tamis".to_owned(),
            created_at: chrono::Utc::now(),
        };
        services.store.insert_ledger(dataset, &entry).await?;
    }
    let mean = base.iter().sum::<f64>() / base.len().max(1) as f64;
    Ok(json!({"snapshot_id": ground.snapshot.id, "mean_f1": mean, "base": base, "n": ground.rows.held.len(),
        "held_out": ground.rows.how, "seeds": seeds, "options": rows}))
}

/// The line of a job's option: the same when the job is started again.
fn line_of(job: Uuid, option: usize) -> Uuid {
    let mut hash = Sha256::new();
    hash.update(job.as_bytes());
    hash.update(option.to_le_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finalize()[..16]);
    uuid::Builder::from_random_bytes(bytes).into_uuid()
}

/// Trains every variant with every seed, but for those that an earlier start finished.
fn every(
    ground: &Ground,
    variants: &[Recipe],
    seeds: &[u64],
    mut kept: Kept,
    watch: &Watch,
) -> Result<Vec<Tried>, JobError> {
    if !kept.tried.is_empty() {
        let note =
            Note::new("runs_kept").with("n", kept.tried.len()).with("of", variants.len() * seeds.len());
        watch.runtime.block_on(watch.progress.log("info", note))?;
    }
    let mut at = 0;
    for (s, &seed) in seeds.iter().enumerate() {
        for (v, variant) in variants.iter().enumerate() {
            let models = seeded(variant, seed).models();
            let first = at;
            at += models.len();
            if kept.tried.iter().any(|t| (t.variant, t.seed) == (v, s)) {
                watch.progress.add(models.iter().map(steps).sum());
                continue;
            }
            let school = School {
                material: &ground.material,
                y: &ground.labelled.y,
                classes: &ground.classes,
                rows: &ground.rows,
                watch,
                first,
            };
            let began = std::time::Instant::now();
            let (graduates, cpu_seconds) = cpu::counted(|| school.run(&Plan::Models(models), None));
            let graduates = graduates?;
            let mean_f1 = outcome::mean_f1(&graduates, &ground.rows, &ground.labelled.y, &ground.classes)?;
            let seconds = began.elapsed().as_secs_f64();
            kept.tried.push(Tried { variant: v, seed: s, mean_f1, seconds, cpu_seconds });
            let left = json!({"snapshot": ground.snapshot.id, "until": ground.until, "tried": kept.tried});
            watch.runtime.block_on(watch.progress.checkpoint(&left))?;
        }
    }
    Ok(kept.tried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_tried_is_refused_by_field() {
        let blamed = |args: AblateArgs| match args.check() {
            Err(JobError::Refused { field, .. }) => field,
            other => panic!("{other:?}"),
        };
        assert!(AblateArgs::default().check().is_ok());
        let of = |recipe: &str| AblateArgs { recipe: Some(recipe.into()), ..Default::default() };
        assert_eq!(blamed(of("winner")), "recipe");
        assert_eq!(blamed(of("fields = [\"title\"]")), "recipe");
        assert_eq!(blamed(AblateArgs { seeds: vec![1], ..Default::default() }), "seeds");
        assert_eq!(blamed(AblateArgs { seeds: vec![1, 1], ..Default::default() }), "seeds");
        assert_eq!(blamed(AblateArgs { keys: vec!["loss.kind".into()], ..Default::default() }), "keys");
        let one = AblateArgs { keys: vec!["regularise.ema".into()], ..of("single") };
        assert_eq!(one.switches().unwrap().1.len(), 1);
    }

    #[test]
    fn members_get_other_seeds_each_time() {
        let ensemble = Recipe::preset("ensemble").unwrap();
        let seeds = |s| seeded(&ensemble, s).models().iter().map(|m| m.seeds[0]).collect::<Vec<_>>();
        assert_eq!(seeds(0), [0, 1, 0, 1]);
        assert_eq!(seeds(2), [2000, 2001, 2000, 2001]);
        assert_eq!(line_of(Uuid::nil(), 1), line_of(Uuid::nil(), 1));
        assert_ne!(line_of(Uuid::nil(), 1), line_of(Uuid::nil(), 2));
    }
}
