//! Rules at work: trying one (a preview writes nothing), applying one, and undoing what a run did.
//!
//! A rule is read against the fields of [`fields`] and tried on every sample as the database and the latest
//! scan are at one moment; what a run writes goes in whole, in one transaction, or not at all.

pub mod fields;
mod record;
mod trial;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use utoipa::ToSchema;
use uuid::Uuid;

pub use crate::detect::rules::RuleError;

use self::trial::{Effect, Trial};
use super::progress::Progress;
use super::{JobError, Services};
use crate::detect::rules::{Action, Rule, parse_rule};
use crate::domain::{RuleAction, RunState};
use crate::store::StoreError;
use crate::store::rules::pass::{RuleHit, RunCounts};
use crate::store::rules::{NewRule, Rule as StoredRule};

/// Longest name of a rule, in characters.
const MAX_NAME: usize = 100;
/// Previews at a time in this process: each holds a connection and reads the whole dataset.
static PREVIEWS: Semaphore = Semaphore::const_new(2);

/// What a job of the kind `rule` does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum RuleArgs {
    /// Applies the run of the job's id.
    Apply {
        rule_id: Uuid,
    },
    Undo {
        rule_id: Uuid,
        run_id: Uuid,
        author: String,
    },
}

/// Why a rule was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RuleRefusal {
    /// Its text cannot be read; the place is in the error.
    #[error(transparent)]
    Text(#[from] RuleError),
    #[error("{0}")]
    Name(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// What a rule would do now.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RulePreview {
    pub action: RuleAction,
    /// The class that a `relabel` gives.
    pub class: Option<String>,
    /// The scan whose scores were read; null when there is none.
    pub scan_id: Option<Uuid>,
    /// Samples looked at.
    pub records: i64,
    pub hits: i64,
    /// hits / records, in [0, 1]; 0 without records.
    pub rate: f64,
    /// Hits that would be changed: newly flagged, given another class, newly excluded.
    pub changes: i64,
    /// Hits that a `relabel` leaves alone because people have labelled them otherwise.
    pub kept_by_people: i64,
    /// By current label, most changes first.
    pub classes: Vec<ClassHits>,
    /// Internal ids of the first 20 hits.
    pub examples: Vec<i64>,
}

/// Hits of one current label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ClassHits {
    /// Null: samples without a label.
    pub class: Option<String>,
    pub hits: i64,
    pub changes: i64,
}

/// Hits that a preview lists.
const EXAMPLES: usize = 20;

fn action_of(rule: &Rule) -> (RuleAction, Option<String>) {
    match &rule.action {
        Action::Flag => (RuleAction::Flag, None),
        Action::Relabel(class) => (RuleAction::Relabel, Some(class.clone())),
        Action::Exclude => (RuleAction::Exclude, None),
    }
}

impl Services {
    async fn parse_rule(&self, dataset: Uuid, text: &str, name: &str) -> Result<Rule, RuleRefusal> {
        let taxonomy = self.store.taxonomy(dataset).await?;
        Ok(parse_rule(text, name, &fields::schema(taxonomy))?)
    }

    /// Tries a rule on all samples and writes nothing. One read of the dataset; only the texts and scores
    /// that the rule speaks of are read.
    ///
    /// # Errors
    /// The rule cannot be read.
    pub async fn preview_rule(&self, dataset: Uuid, text: &str) -> Result<RulePreview, RuleRefusal> {
        let rule = self.parse_rule(dataset, text, "preview").await?;
        let (action, class) = action_of(&rule);
        let _turn = PREVIEWS.acquire().await.map_err(|e| JobError::Transient(e.to_string()))?;
        let scan_id = self.store.latest_scan(dataset).await?.map(|s| s.id);
        let mut trial = Trial::begin(self, dataset, rule, scan_id).await?;
        let mut classes: BTreeMap<Option<String>, (i64, i64)> = BTreeMap::new();
        let mut examples = Vec::new();
        while let Some(hits) = trial.next().await? {
            for (hit, effect) in hits {
                if examples.len() < EXAMPLES {
                    examples.push(hit.sample_id);
                }
                let count = classes.entry(hit.class_before).or_default();
                count.0 += 1;
                count.1 += i64::from(effect == Effect::Changes);
            }
        }
        let mut classes: Vec<ClassHits> =
            classes.into_iter().map(|(class, (hits, changes))| ClassHits { class, hits, changes }).collect();
        classes.sort_by_key(|c| std::cmp::Reverse((c.changes, c.hits)));
        let counts = trial.counts;
        Ok(RulePreview {
            action,
            class,
            scan_id,
            records: counts.records,
            hits: counts.hits,
            rate: counts.hits as f64 / counts.records.max(1) as f64,
            changes: counts.changed,
            kept_by_people: counts.kept,
            classes,
            examples,
        })
    }

    /// Keeps a rule. Its name is `name`, or the one that the text begins with; both must be the same.
    ///
    /// # Errors
    /// The text cannot be read, the name is missing, unfit, or another rule's.
    pub async fn create_rule(
        &self,
        dataset: Uuid,
        name: &str,
        text: &str,
        author: &str,
    ) -> Result<StoredRule, RuleRefusal> {
        let rule = self.parse_rule(dataset, text, name.trim()).await?;
        let asked = name.trim();
        if !asked.is_empty() && rule.name != asked {
            let why = format!("the rule calls itself {:?}: give the same name, or none", rule.name);
            return Err(RuleRefusal::Name(why));
        }
        let fits = (1..=MAX_NAME).contains(&rule.name.chars().count())
            && !rule.name.chars().any(char::is_control)
            && rule.name.trim() == rule.name;
        if !fits {
            let why = format!("a rule's name is 1 to {MAX_NAME} characters, without control characters");
            return Err(RuleRefusal::Name(why));
        }
        let (action, class) = action_of(&rule);
        let new = NewRule { name: &rule.name, text, action, class: class.as_deref(), author };
        Ok(self.store.insert_rule(dataset, &new).await?)
    }

    /// Gives a rule another text.
    ///
    /// # Errors
    /// The text cannot be read or gives the rule another name; the rule is archived.
    pub async fn change_rule(&self, dataset: Uuid, id: Uuid, text: &str) -> Result<StoredRule, RuleRefusal> {
        let known = self.store.rule(dataset, id).await?;
        let rule = self.parse_rule(dataset, text, &known.name).await?;
        if rule.name != known.name {
            let why = format!("the rule is called {:?}: names do not change", known.name);
            return Err(RuleRefusal::Name(why));
        }
        let (action, class) = action_of(&rule);
        let new = NewRule { name: &known.name, text, action, class: class.as_deref(), author: &known.author };
        Ok(self.store.set_rule_text(dataset, id, &new).await?)
    }

    /// Queues a run of the rule, with the scores of the latest scan; the job's id is the run's.
    ///
    /// # Errors
    /// The rule is archived, cannot be read any more (its class is gone), or has an open job.
    pub async fn enqueue_rule_run(
        &self,
        dataset: Uuid,
        rule: Uuid,
        author: &str,
    ) -> Result<Uuid, RuleRefusal> {
        let known = self.store.rule(dataset, rule).await?;
        self.parse_rule(dataset, &known.text, &known.name).await?;
        let scan = self.store.latest_scan(dataset).await?.map(|s| s.id);
        let args = RuleArgs::Apply { rule_id: rule };
        self.enqueue_rule_job(dataset, rule, &args, Some((author, scan))).await
    }

    /// Queues the undoing of a run.
    ///
    /// # Errors
    /// The run does not stand, or its rule has an open job.
    pub async fn enqueue_rule_undo(
        &self,
        dataset: Uuid,
        run: Uuid,
        author: &str,
    ) -> Result<Uuid, RuleRefusal> {
        let run = self.store.rule_run(dataset, run).await?;
        if run.state != RunState::Applied {
            let message = format!("the run is {}, there is nothing to undo", run.state.as_str());
            return Err(StoreError::Conflict { code: "nothing_to_undo", message }.into());
        }
        let args = RuleArgs::Undo { rule_id: run.rule_id, run_id: run.id, author: author.to_owned() };
        self.enqueue_rule_job(dataset, run.rule_id, &args, None).await
    }

    async fn enqueue_rule_job(
        &self,
        dataset: Uuid,
        rule: Uuid,
        args: &RuleArgs,
        run: Option<(&str, Option<Uuid>)>,
    ) -> Result<Uuid, RuleRefusal> {
        let args = serde_json::to_value(args).map_err(|e| JobError::broke("doing.files", e))?;
        let id = self.store.insert_rule_job(dataset, rule, &args, run).await?;
        self.queue.send(id).await?;
        Ok(id)
    }
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: RuleArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    match args {
        RuleArgs::Apply { .. } => apply(services, dataset, progress).await,
        RuleArgs::Undo { run_id, author, .. } => {
            progress.stage("rule_undo", None);
            let undone = services.store.undo_rule_run(dataset, run_id, &author).await?;
            Ok(json!({"run_id": run_id, "undone": undone}))
        }
    }
}

async fn apply(services: &Services, dataset: Uuid, progress: &Progress) -> Result<Value, JobError> {
    let run = services.store.rule_run(dataset, progress.job_id).await?;
    if run.applied_at.is_some() {
        // an earlier start of the same job got this far
        let counts =
            RunCounts { records: run.n_records, hits: run.n_hits, changed: run.n_changed, kept: run.n_kept };
        return Ok(result(run.id, &counts));
    }
    let rule = match services.parse_rule(dataset, &run.text, &run.rule).await {
        Ok(rule) => rule,
        Err(RuleRefusal::Text(e)) => return Err(JobError::failed("rule", &[("why", &e)])),
        Err(RuleRefusal::Name(why)) => return Err(JobError::failed("rule", &[("why", &why)])),
        Err(RuleRefusal::Store(e)) => return Err(e.into()),
        Err(RuleRefusal::Job(e)) => return Err(e),
    };
    let total = services.store.sample_count(dataset).await?;
    progress.stage("rule_try", usize::try_from(total).ok());
    let mut trial = Trial::begin(services, dataset, rule, run.scan_id).await?;
    while let Some(hits) = trial.next().await? {
        progress.check()?;
        let hits: Vec<RuleHit> = hits.into_iter().map(|(hit, _)| hit).collect();
        if !hits.is_empty() {
            trial.pass.hit(run.id, &hits).await?;
        }
        progress.set(usize::try_from(trial.counts.records).unwrap_or(usize::MAX));
    }
    progress.check()?;
    progress.stage("rule_apply", None);
    let counts = trial.counts;
    trial.pass.apply(run.id, &run.rule, &counts).await?;
    Ok(result(run.id, &counts))
}

fn result(run: Uuid, c: &RunCounts) -> Value {
    json!({"run_id": run, "records": c.records, "hits": c.hits, "changed": c.changed, "kept": c.kept})
}
