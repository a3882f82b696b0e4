//! What the ranking of actions rests on: the ledger, what lies ahead in the order of review, the last training, and
//! what a decision and a training cost.

use serde_json::Value;
use uuid::Uuid;

use super::REVIEWS;
use crate::detect::value::{Reviewer, outlook};
use crate::domain::{Field, Note, Split};
use crate::jobs::ledger::LINES;
use crate::jobs::measures::{self, AHEAD};
use crate::jobs::{JobError, Services};
use crate::store::ledger::Entry;

/// Seconds for a decision where no time is known.
const ASSUMED: f64 = 10.0;

/// A class as the last training left it.
#[derive(Clone, Debug)]
pub(super) struct ClassFact {
    pub(super) id: String,
    pub(super) f1: f64,
    pub(super) labels: i64,
}

/// What reviewing `n` more is expected to mend and to break.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ahead {
    pub(super) n: usize,
    pub(super) corrected: f64,
    pub(super) broken: f64,
}

/// All that the ranking rests on.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) entries: Vec<Entry>,
    pub(super) ahead: Option<Ahead>,
    pub(super) classes: Vec<ClassFact>,
    /// Share of samples without the field.
    pub(super) missing: Vec<(Field, f64)>,
    pub(super) recipe: Value,
    /// Samples that the last training was measured on, and those of them that are verified.
    pub(super) held_out: Option<(i64, i64)>,
    /// What they are, but for a random share.
    pub(super) held_out_split: Option<Split>,
    /// Milliseconds a decision takes, of all people together.
    pub(super) median_ms: Option<f64>,
}

impl Facts {
    /// O(suspects ahead).
    pub(super) async fn load(services: &Services, dataset: Uuid) -> Result<Self, JobError> {
        let store = &services.store;
        let mut facts = Self { entries: store.ledger(dataset, None, LINES).await?.items, ..Self::default() };
        if let Some(scan) = store.latest_scan_head(dataset).await? {
            let ahead = store.open_suspicions(scan.id, AHEAD).await?;
            let p: Vec<f64> = ahead.iter().map(|s| f64::from(*s).clamp(0.0, 1.0)).collect();
            let reviewer = Reviewer::measured(measures::known(store.settled(dataset).await?.iter()));
            let look = outlook(&p, reviewer, REVIEWS).ok().filter(|_| !p.is_empty());
            facts.ahead = look.map(|o| Ahead { n: o.next, corrected: o.corrected, broken: o.broken });
        }
        let counts = store.dataset_counts(dataset).await?;
        let share = |n: i64| n as f64 / counts.samples.max(1) as f64;
        facts.missing = vec![
            (Field::Title, share(counts.missing_title)),
            (Field::Asr, share(counts.missing_asr)),
            (Field::Ocr, share(counts.missing_ocr)),
        ];
        if let Some(last) = store.trainings(dataset, None, 1).await?.items.pop() {
            let labels: std::collections::HashMap<String, i64> =
                store.class_counts(dataset).await?.into_iter().map(|c| (c.class, c.current)).collect();
            let list =
                |key: &str| last.metrics.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
            facts.classes = list("classes")
                .iter()
                .zip(list("per_class"))
                .filter_map(|(id, m)| {
                    let id = id.as_str()?.to_owned();
                    let labels = labels.get(&id).copied().unwrap_or(0);
                    Some(ClassFact { f1: m.get("f1")?.as_f64()?, labels, id })
                })
                .collect();
            let n = |pointer: &str| last.metrics.pointer(pointer).and_then(Value::as_i64);
            facts.held_out = n("/n").zip(n("/verified/n"));
            facts.held_out_split =
                last.metrics.get("held_out").and_then(Value::as_str).and_then(Split::parse);
            facts.recipe = last.recipe;
        }
        facts.median_ms = store.times(dataset, None).await?.map(|t| t.median);
        Ok(facts)
    }
}

/// Hours of one decision and of one training, and what they rest on.
pub(super) struct Costs {
    pub(super) decision: f64,
    pub(super) training: f64,
    pub(super) evidence: Note,
}

pub(super) fn costs(facts: &Facts) -> Costs {
    let timed: Vec<&Entry> = facts.entries.iter().filter(|e| e.human_ms > 0 && e.reviews > 0).collect();
    let reviews: i64 = timed.iter().map(|e| e.reviews).sum();
    let spent: i64 = timed.iter().map(|e| e.human_ms).sum();
    let from_ledger = (reviews > 0).then(|| spent as f64 / reviews as f64);
    let ms = from_ledger.or(facts.median_ms);
    let seconds = ms.map_or(ASSUMED, |ms| ms / 1000.0);
    let shown = format!("{seconds:.1}");
    let evidence = match ms {
        Some(_) => Note::new("next_pace").with("seconds", shown),
        None => Note::new("next_assumed_pace").with("seconds", shown),
    };
    let lines = facts.entries.len().max(1) as f64;
    let training = facts.entries.iter().map(|e| e.machine_seconds).sum::<f64>() / lines / 3600.0;
    Costs { decision: seconds / 3600.0, training, evidence }
}
