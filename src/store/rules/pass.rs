//! One pass of a rule over a dataset: every sample with what a scan says of it, as the database was at one
//! moment, and what is written of the hits, in one transaction. Dropped before [`RulePass::apply`] has
//! returned, nothing was written.

use sqlx::types::Json;
use sqlx::{Postgres, Transaction};
use uuid::Uuid;

use super::{Result, Store, keyword};
use crate::domain::{Field, LabelSource, OcrLine, RuleAction, SampleText};

/// Samples read at once: texts may be long.
const BATCH: i64 = 500;

/// Which of the costly parts of a record are read; the others come as missing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    pub title: bool,
    pub asr: bool,
    pub ocr: bool,
    /// What the scan says.
    pub finding: bool,
}

/// A sample as rules see it.
#[derive(Clone, Debug)]
pub struct RuleRecord {
    pub sample_id: i64,
    pub external_id: String,
    pub title: Option<String>,
    pub asr: Option<String>,
    /// Lines joined.
    pub ocr: Option<String>,
    pub split: String,
    pub media_state: String,
    pub duration_ms: Option<i32>,
    pub width: Option<i32>,
    pub height: Option<i32>,
    pub fps: Option<f32>,
    pub label: Option<String>,
    pub given_label: Option<String>,
    pub label_source: Option<LabelSource>,
    pub label_author: Option<String>,
    /// Decision of the last review.
    pub review: Option<String>,
    pub excluded: bool,
    pub flagged_by_rule: bool,
    /// What the scan says, of scanned samples.
    pub finding: Option<RuleFinding>,
}

#[derive(Clone, Debug)]
pub struct RuleFinding {
    pub suspicion: f32,
    pub rank: i32,
    pub flagged: bool,
    pub suggested_label: String,
    pub suggested_p: f32,
    pub self_confidence: f32,
    pub normalized_margin: f32,
    /// How many detectors would have flagged the sample on their own.
    pub detectors: i32,
    /// Shares of the neighbours, in [0, 1]; `None` without neighbours.
    pub neighbours_agree: Option<f64>,
    pub neighbours_suggested: Option<f64>,
    pub cluster: i32,
    pub cluster_share: Option<f64>,
    pub cluster_label: Option<String>,
    pub cross_parent: Option<bool>,
}

/// A sample that the rule selects.
#[derive(Clone, Debug)]
pub struct RuleHit {
    pub sample_id: i64,
    pub class_before: Option<String>,
    /// The rule does something to it.
    pub changed: bool,
}

/// What a pass found, in samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunCounts {
    pub records: i64,
    pub hits: i64,
    pub changed: i64,
    pub kept: i64,
}

/// A pass in progress; holds one connection.
#[derive(Debug)]
pub struct RulePass {
    tx: Transaction<'static, Postgres>,
    dataset: Uuid,
    scan: Option<Uuid>,
    wanted: Wanted,
    after: i64,
}

impl Store {
    /// Samples of the dataset.
    pub async fn sample_count(&self, dataset: Uuid) -> Result<i64> {
        Ok(sqlx::query_scalar!(r#"select count(*) as "n!" from samples where dataset_id = $1"#, dataset)
            .fetch_one(&self.pool)
            .await?)
    }

    /// Begins a pass over the dataset as it is now. A later change of a row that the pass writes to makes
    /// its writing fail as transient: it is to be begun again.
    pub async fn begin_rule_pass(
        &self,
        dataset: Uuid,
        scan: Option<Uuid>,
        wanted: Wanted,
    ) -> Result<RulePass> {
        let mut tx = self.pool.begin().await?;
        sqlx::query("set transaction isolation level repeatable read").execute(&mut *tx).await?;
        Ok(RulePass { tx, dataset, scan: scan.filter(|_| wanted.finding), wanted, after: 0 })
    }
}

impl RulePass {
    /// The next samples in id order; none at the end. One look-up a sample and table: a join would begin
    /// again at the first row of each table for every batch.
    pub async fn next(&mut self) -> Result<Vec<RuleRecord>> {
        let rows = sqlx::query!(
            r#"with page as materialized (
                 select * from samples where dataset_id = $1 and id > $2 order by id limit $3)
               select s.id as "id!", s.external_id as "external_id!", case when $5 then s.title end as title,
                 case when $6 then s.asr end as asr, case when $7 then s.ocr end as "ocr: Json<Vec<OcrLine>>",
                 s.split as "split!", s.media_state as "media_state!", s.duration_ms, s.width, s.height, s.fps,
                 c.class as "label?", c.given_class as "given_label?", c.source as "label_source?",
                 c.author as "label_author?", v.decision as "review?", e.yes is not null as "excluded!",
                 h.yes is not null as "flagged_by_rule!", f.suspicion as "suspicion?", f.rank as "rank?",
                 f.flagged as "flagged?", f.suggested_class as "suggested_class?", f.suggested_p as "suggested_p?",
                 f.self_confidence as "self_confidence?", f.normalized_margin as "normalized_margin?",
                 cardinality(f.detectors) as "detectors?", f.cluster as "cluster?",
                 (f.reason ->> 'neighbours_agree')::float8 as agree, (f.reason ->> 'neighbours_suggested')::float8 as suggested,
                 (f.reason ->> 'neighbours')::float8 as neighbours, (f.reason ->> 'cluster_share')::float8 as cluster_share,
                 f.reason ->> 'cluster_class' as cluster_class, (f.reason ->> 'cross_parent')::boolean as cross_parent
               from page s
               left join lateral (select * from current_labels where sample_id = s.id limit 1) c on true
               left join lateral (select * from review_status where sample_id = s.id limit 1) v on true
               left join lateral (select true as yes from exclusions
                 where sample_id = s.id and lifted_at is null limit 1) e on true
               left join lateral (select true as yes from rule_hits x join rule_runs u on u.id = x.run_id
                 where x.sample_id = s.id and u.action = 'flag' and u.applied_at is not null and u.undone_at is null
                 limit 1) h on true
               left join lateral (select * from findings where scan_id = $4 and sample_id = s.id limit 1) f on true
               order by s.id"#,
            self.dataset,
            self.after,
            BATCH,
            self.scan,
            self.wanted.title,
            self.wanted.asr,
            self.wanted.ocr
        )
        .fetch_all(&mut *self.tx)
        .await?;
        self.after = rows.last().map_or(self.after, |r| r.id);
        rows.into_iter()
            .map(|r| {
                let share = |n: Option<f64>| n.zip(r.neighbours.filter(|k| *k > 0.0)).map(|(n, k)| n / k);
                let finding = r.rank.map(|rank| RuleFinding {
                    suspicion: r.suspicion.unwrap_or_default(),
                    rank,
                    flagged: r.flagged.unwrap_or_default(),
                    suggested_label: r.suggested_class.unwrap_or_default(),
                    suggested_p: r.suggested_p.unwrap_or_default(),
                    self_confidence: r.self_confidence.unwrap_or_default(),
                    normalized_margin: r.normalized_margin.unwrap_or_default(),
                    detectors: r.detectors.unwrap_or_default(),
                    neighbours_agree: share(r.agree),
                    neighbours_suggested: share(r.suggested),
                    cluster: r.cluster.unwrap_or_default(),
                    cluster_share: r.cluster_share,
                    cluster_label: r.cluster_class,
                    cross_parent: r.cross_parent,
                });
                Ok(RuleRecord {
                    sample_id: r.id,
                    external_id: r.external_id,
                    title: r.title,
                    asr: r.asr,
                    ocr: r.ocr.map(|ocr| {
                        let text = SampleText { ocr: ocr.0, ..Default::default() };
                        text.field(Field::Ocr).unwrap_or_default()
                    }),
                    split: r.split,
                    media_state: r.media_state,
                    duration_ms: r.duration_ms,
                    width: r.width,
                    height: r.height,
                    fps: r.fps,
                    label: r.label,
                    given_label: r.given_label,
                    label_source: r
                        .label_source
                        .map(|s| keyword("label source", &s, LabelSource::parse))
                        .transpose()?,
                    label_author: r.label_author,
                    review: r.review,
                    excluded: r.excluded,
                    flagged_by_rule: r.flagged_by_rule,
                    finding,
                })
            })
            .collect()
    }

    /// Keeps hits of the run.
    pub async fn hit(&mut self, run: Uuid, hits: &[RuleHit]) -> Result<()> {
        let ids: Vec<i64> = hits.iter().map(|h| h.sample_id).collect();
        let before: Vec<Option<String>> = hits.iter().map(|h| h.class_before.clone()).collect();
        let changed: Vec<bool> = hits.iter().map(|h| h.changed).collect();
        sqlx::query!(
            "insert into rule_hits (run_id, sample_id, class_before, changed)
             select $1, * from unnest($2::bigint[], $3::text[], $4::boolean[])",
            run,
            &ids,
            &before as &[Option<String>],
            &changed
        )
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    /// Does what the run's rule says to the samples it hit, notes the counts, and commits.
    pub async fn apply(mut self, run: Uuid, name: &str, counts: &RunCounts) -> Result<()> {
        let row = sqlx::query!(
            "update rule_runs set applied_at = now(), n_records = $2, n_hits = $3, n_changed = $4, n_kept = $5
             where id = $1 and applied_at is null returning action, class",
            run,
            counts.records,
            counts.hits,
            counts.changed,
            counts.kept
        )
        .fetch_one(&mut *self.tx)
        .await?;
        match (keyword("rule action", &row.action, RuleAction::parse)?, row.class) {
            (RuleAction::Flag, _) | (RuleAction::Relabel, None) => {}
            (RuleAction::Relabel, Some(class)) => {
                sqlx::query!(
                    "insert into labels (dataset_id, sample_id, class, source, author, job_id)
                     select $1, sample_id, $3, $4, $5, $2 from rule_hits where run_id = $2 and changed order by sample_id",
                    self.dataset,
                    run,
                    class,
                    LabelSource::Rule.as_str(),
                    format!("rule:{name}")
                )
                .execute(&mut *self.tx)
                .await?;
            }
            (RuleAction::Exclude, _) => {
                sqlx::query!(
                    "insert into exclusions (dataset_id, sample_id, run_id)
                     select u.dataset_id, h.sample_id, h.run_id from rule_hits h join rule_runs u on u.id = h.run_id
                     where h.run_id = $1",
                    run
                )
                .execute(&mut *self.tx)
                .await?;
            }
        }
        Ok(self.tx.commit().await?)
    }
}
