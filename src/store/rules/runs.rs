//! Runs of rules: their jobs, their list, and what undoing one takes back.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError, archived, keyword};
use crate::domain::{JobKind, JobState, RuleAction, RunState};

/// One application of a rule; its id is that of its job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RuleRun {
    pub id: Uuid,
    pub rule_id: Uuid,
    /// Name of the rule.
    pub rule: String,
    /// What the rule said when the run was asked for.
    pub text: String,
    pub action: RuleAction,
    pub class: Option<String>,
    /// The scan whose scores the rule read; null when there was none.
    pub scan_id: Option<Uuid>,
    pub author: String,
    pub state: RunState,
    /// Samples looked at, hit, changed; 0 until the run is applied.
    pub n_records: i64,
    pub n_hits: i64,
    pub n_changed: i64,
    /// Hits that a `relabel` left alone because people had labelled them otherwise.
    pub n_kept: i64,
    pub created_at: DateTime<Utc>,
    pub applied_at: Option<DateTime<Utc>>,
    pub undone_at: Option<DateTime<Utc>>,
    pub undone_by: Option<String>,
}

/// Which runs; absent parts do not choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunFilter {
    pub run: Option<Uuid>,
    pub rule: Option<Uuid>,
    /// Only the newest run of each rule.
    pub newest: bool,
}

impl Store {
    /// Newest first; `before` is the last run of the page before.
    pub async fn rule_runs(
        &self,
        dataset: Uuid,
        filter: RunFilter,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<RuleRun>> {
        let rows = sqlx::query!(
            r#"select u.id, u.rule_id, r.name, u.text, u.action, u.class, u.scan_id, u.author, j.state, u.n_records,
                 u.n_hits, u.n_changed, u.n_kept, u.created_at, u.applied_at, u.undone_at, u.undone_by
               from rule_runs u join rules r on r.id = u.rule_id join jobs j on j.id = u.id
               where u.dataset_id = $1 and ($2::uuid is null or u.id = $2) and ($3::uuid is null or u.rule_id = $3)
                 and (not $4::boolean or u.id = (select x.id from rule_runs x where x.rule_id = u.rule_id
                                                 order by x.id desc limit 1))
                 and ($5::uuid is null or u.id < $5)
               order by u.id desc limit $6"#,
            dataset,
            filter.run,
            filter.rule,
            filter.newest,
            before,
            limit.saturating_add(1)
        )
        .fetch_all(&self.pool)
        .await?;
        let runs = rows
            .into_iter()
            .map(|r| {
                let job = keyword("job state", &r.state, JobState::parse)?;
                Ok(RuleRun {
                    id: r.id,
                    rule_id: r.rule_id,
                    rule: r.name,
                    text: r.text,
                    action: keyword("rule action", &r.action, RuleAction::parse)?,
                    class: r.class,
                    scan_id: r.scan_id,
                    author: r.author,
                    state: RunState::of(r.applied_at.is_some(), r.undone_at.is_some(), job),
                    n_records: r.n_records,
                    n_hits: r.n_hits,
                    n_changed: r.n_changed,
                    n_kept: r.n_kept,
                    created_at: r.created_at,
                    applied_at: r.applied_at,
                    undone_at: r.undone_at,
                    undone_by: r.undone_by,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(runs, limit, |u| u.id.to_string()))
    }

    pub async fn rule_run(&self, dataset: Uuid, id: Uuid) -> Result<RuleRun> {
        let one = RunFilter { run: Some(id), ..Default::default() };
        let found = self.rule_runs(dataset, one, None, 1).await?.items.pop();
        found.ok_or_else(|| StoreError::not_found("run", id.to_string()))
    }

    /// The runs that the filter of a list of samples names: a run by its id, or by a rule's name those of
    /// its runs that stand.
    ///
    /// # Errors
    /// There is neither a rule nor a run of this name.
    pub async fn runs_named(&self, dataset: Uuid, name: &str) -> Result<Vec<Uuid>> {
        let id = Uuid::parse_str(name).ok();
        let runs = sqlx::query_scalar!(
            "select u.id from rule_runs u join rules r on r.id = u.rule_id
             where u.dataset_id = $1
               and (u.id = $3 or r.name = $2 and u.applied_at is not null and u.undone_at is null)",
            dataset,
            name,
            id
        )
        .fetch_all(&self.pool)
        .await?;
        let known = !runs.is_empty()
            || sqlx::query_scalar!(
                r#"select exists (select from rules where dataset_id = $1 and name = $2) as "known!""#,
                dataset,
                name
            )
            .fetch_one(&self.pool)
            .await?;
        if known {
            return Ok(runs);
        }
        let message = format!("there is no rule or run {name:?}");
        Err(StoreError::Rule { field: "rule", code: "unknown_rule", message })
    }

    /// A job for the rule, queued; with `run`, the run it is. One job of a rule at a time.
    ///
    /// # Errors
    /// Another job of the rule is waiting or running; with `run`, the rule is archived.
    pub async fn insert_rule_job(
        &self,
        dataset: Uuid,
        rule: Uuid,
        args: &Value,
        run: Option<(&str, Option<Uuid>)>,
    ) -> Result<Uuid> {
        let mut tx = self.pool.begin().await?;
        // one at a time: the second waits here, and then sees the job of the first
        let row = sqlx::query!(
            "select text, action, class, archived_at from rules where dataset_id = $1 and id = $2 for update",
            dataset,
            rule
        )
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::not_found("rule", rule.to_string()))?;
        let busy = sqlx::query_scalar!(
            r#"select exists (select from jobs where dataset_id = $1 and kind = 'rule'
                 and state in ('queued', 'running') and args ->> 'rule_id' = $2) as "busy!""#,
            dataset,
            rule.to_string()
        )
        .fetch_one(&mut *tx)
        .await?;
        if busy {
            let message = "another job of this rule is waiting or running".to_owned();
            return Err(StoreError::Conflict { code: "rule_busy", message });
        }
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into jobs (id, kind, dataset_id, args) values ($1, $2, $3, $4)",
            id,
            JobKind::Rule.as_str(),
            dataset,
            args
        )
        .execute(&mut *tx)
        .await?;
        if let Some((author, scan)) = run {
            if row.archived_at.is_some() {
                return Err(archived());
            }
            sqlx::query!(
                "insert into rule_runs (id, dataset_id, rule_id, text, action, class, scan_id, author)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
                id,
                dataset,
                rule,
                row.text,
                row.action,
                row.class,
                scan,
                author
            )
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(id)
    }

    /// Takes back what a run did: its labels are retracted, its exclusions lifted. What people or imports
    /// said since stands. Returns the labels or exclusions taken back; 0 when it was undone before.
    pub async fn undo_rule_run(&self, dataset: Uuid, run: Uuid, author: &str) -> Result<u64> {
        let mut tx = self.pool.begin().await?;
        let action = sqlx::query_scalar!(
            "update rule_runs set undone_at = now(), undone_by = $3
             where dataset_id = $1 and id = $2 and applied_at is not null and undone_at is null returning action",
            dataset,
            run,
            author
        )
        .fetch_optional(&mut *tx)
        .await?;
        let action = action.map(|a| keyword("rule action", &a, RuleAction::parse)).transpose()?;
        let undone = match action {
            None => 0,
            Some(RuleAction::Flag) => {
                sqlx::query_scalar!(
                    r#"select count(*) as "n!" from rule_hits where run_id = $1 and changed"#,
                    run
                )
                .fetch_one(&mut *tx)
                .await?
                .cast_unsigned()
            }
            Some(RuleAction::Relabel) => sqlx::query!(
                "insert into label_retractions (label_id, author)
                 select l.id, $2 from rule_hits h join labels l on l.sample_id = h.sample_id and l.job_id = h.run_id
                 where h.run_id = $1 and h.changed order by l.id on conflict do nothing",
                run,
                author
            )
            .execute(&mut *tx)
            .await?
            .rows_affected(),
            Some(RuleAction::Exclude) => {
                sqlx::query!("update exclusions set lifted_at = now() where run_id = $1 and lifted_at is null", run)
                    .execute(&mut *tx)
                    .await?
                    .rows_affected()
            }
        };
        tx.commit().await?;
        Ok(undone)
    }
}
