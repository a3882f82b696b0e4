//! A rule tried on every sample of a dataset, batch by batch.

use std::sync::Arc;

use uuid::Uuid;

use super::fields;
use super::record::{Scores, Seen};
use crate::detect::rules::{Action, Rule};
use crate::domain::{LabelSource, Taxonomy};
use crate::jobs::{JobError, Services};
use crate::store::rules::pass::{RuleHit, RulePass, RuleRecord, RunCounts, Wanted};

/// What a rule does to one sample that it selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Changes,
    /// It is so already.
    Already,
    /// A person has said otherwise.
    Kept,
}

fn effect(action: &Action, record: &RuleRecord) -> Effect {
    let there = match action {
        Action::Flag => record.flagged_by_rule,
        Action::Exclude => record.excluded,
        Action::Relabel(class) => record.label.as_deref() == Some(class),
    };
    let stronger = |s: LabelSource| s.precedence() > LabelSource::Rule.precedence();
    match action {
        _ if there => Effect::Already,
        Action::Relabel(_) if record.label_source.is_some_and(stronger) => Effect::Kept,
        _ => Effect::Changes,
    }
}

/// A rule tried on a dataset, batch by batch.
pub(super) struct Trial {
    rule: Arc<Rule>,
    scores: Arc<Scores>,
    taxonomy: Arc<Taxonomy>,
    pub(super) pass: RulePass,
    pub(super) counts: RunCounts,
}

impl Trial {
    pub(super) async fn begin(
        services: &Services,
        dataset: Uuid,
        rule: Rule,
        scan: Option<Uuid>,
    ) -> Result<Self, JobError> {
        let taxonomy = Arc::new(services.store.taxonomy(dataset).await?);
        let used = fields::used(&rule);
        let scores = match scan {
            Some(scan) => Scores::load(services, dataset, scan, &used.scores).await?,
            None => Scores::default(),
        };
        let wanted = Wanted { title: used.title, asr: used.asr, ocr: used.ocr, finding: used.finding };
        let pass = services.store.begin_rule_pass(dataset, scan, wanted).await?;
        let (rule, scores) = (Arc::new(rule), Arc::new(scores));
        Ok(Self { rule, scores, taxonomy, pass, counts: RunCounts::default() })
    }

    /// The hits among the next samples; `None` at the end. Counts what it sees.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(RuleHit, Effect)>>, JobError> {
        let records = self.pass.next().await?;
        if records.is_empty() {
            return Ok(None);
        }
        self.counts.records += records.len() as i64;
        let (rule, scores, taxonomy) = (self.rule.clone(), self.scores.clone(), self.taxonomy.clone());
        // expressions may be slow on long texts: never on the async threads
        let hits: Vec<(RuleHit, Effect)> = tokio::task::spawn_blocking(move || {
            let matches = |r: &RuleRecord| rule.when.matches(&Seen::of(r, &scores, &taxonomy));
            let hit = |r: RuleRecord| {
                let effect = effect(&rule.action, &r);
                let hit = RuleHit {
                    sample_id: r.sample_id,
                    class_before: r.label,
                    changed: effect == Effect::Changes,
                };
                (hit, effect)
            };
            records.into_iter().filter(|r| matches(r)).map(hit).collect()
        })
        .await?;
        for (_, effect) in &hits {
            self.counts.hits += 1;
            self.counts.changed += i64::from(*effect == Effect::Changes);
            self.counts.kept += i64::from(*effect == Effect::Kept);
        }
        Ok(Some(hits))
    }
}
