//! Rules as they are kept. Their runs are in [`runs`]; what a run reads and writes is in [`pass`].

pub mod pass;
mod runs;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::runs::{RuleRun, RunFilter};
use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::RuleAction;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Rule {
    pub id: Uuid,
    /// Of no other rule of the dataset, archived ones included. Labels that the rule gives have the author
    /// `rule:NAME`.
    pub name: String,
    /// As it was typed.
    pub text: String,
    pub action: RuleAction,
    /// The class that a `relabel` gives.
    pub class: Option<String>,
    pub author: String,
    pub created_at: DateTime<Utc>,
    pub archived_at: Option<DateTime<Utc>>,
    pub last_run: Option<RuleRun>,
}

/// A rule on its way in, checked.
#[derive(Clone, Debug)]
pub struct NewRule<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub action: RuleAction,
    pub class: Option<&'a str>,
    pub author: &'a str,
}

struct Row {
    id: Uuid,
    name: String,
    text: String,
    action: String,
    class: Option<String>,
    author: String,
    created_at: DateTime<Utc>,
    archived_at: Option<DateTime<Utc>>,
}

impl Row {
    fn with(self, last_run: Option<RuleRun>) -> Result<Rule> {
        Ok(Rule {
            id: self.id,
            name: self.name,
            text: self.text,
            action: keyword("rule action", &self.action, RuleAction::parse)?,
            class: self.class,
            author: self.author,
            created_at: self.created_at,
            archived_at: self.archived_at,
            last_run,
        })
    }
}

impl Store {
    /// In the order in which they were made, after the rule `after`.
    pub async fn rules(
        &self,
        dataset: Uuid,
        archived: bool,
        after: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<Rule>> {
        let rows = sqlx::query_as!(
            Row,
            "select id, name, text, action, class, author, created_at, archived_at from rules
             where dataset_id = $1 and (archived_at is not null) = $2 and ($3::uuid is null or id > $3)
             order by id limit $4",
            dataset,
            archived,
            after,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let newest = RunFilter { newest: true, ..Default::default() };
        let mut runs = self.rule_runs(dataset, newest, None, i64::from(i32::MAX)).await?.items;
        let mut rules = Vec::with_capacity(rows.len());
        for row in rows {
            let run = runs.iter().position(|u| u.rule_id == row.id).map(|at| runs.swap_remove(at));
            rules.push(row.with(run)?);
        }
        Ok(Page::cut(rules, limit, |r| r.id.to_string()))
    }

    pub async fn rule(&self, dataset: Uuid, id: Uuid) -> Result<Rule> {
        let row = sqlx::query_as!(
            Row,
            "select id, name, text, action, class, author, created_at, archived_at from rules
             where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("rule", id.to_string()))?;
        let newest = RunFilter { rule: Some(id), newest: true, ..Default::default() };
        let run = self.rule_runs(dataset, newest, None, 1).await?.items.pop();
        row.with(run)
    }

    /// # Errors
    /// Another rule of the dataset has the name (`rules_name_key`).
    pub async fn insert_rule(&self, dataset: Uuid, new: &NewRule<'_>) -> Result<Rule> {
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into rules (id, dataset_id, name, text, action, class, author) values ($1, $2, $3, $4, $5, $6, $7)",
            id,
            dataset,
            new.name,
            new.text,
            new.action.as_str(),
            new.class,
            new.author
        )
        .execute(&self.pool)
        .await?;
        self.rule(dataset, id).await
    }

    /// Gives a rule another text; its name stays, and so does what its runs did.
    ///
    /// # Errors
    /// The rule is archived.
    pub async fn set_rule_text(&self, dataset: Uuid, id: Uuid, new: &NewRule<'_>) -> Result<Rule> {
        let changed = sqlx::query!(
            "update rules set text = $3, action = $4, class = $5
             where dataset_id = $1 and id = $2 and archived_at is null",
            dataset,
            id,
            new.text,
            new.action.as_str(),
            new.class
        )
        .execute(&self.pool)
        .await?
        .rows_affected();
        let rule = self.rule(dataset, id).await?;
        if changed == 0 { Err(archived()) } else { Ok(rule) }
    }

    /// Puts a rule away; what its runs did stays and can still be undone. A second time changes nothing.
    pub async fn archive_rule(&self, dataset: Uuid, id: Uuid) -> Result<Rule> {
        sqlx::query!(
            "update rules set archived_at = now() where dataset_id = $1 and id = $2 and archived_at is null",
            dataset,
            id
        )
        .execute(&self.pool)
        .await?;
        self.rule(dataset, id).await
    }
}

fn archived() -> StoreError {
    let message = "the rule is archived: make a new one".to_owned();
    StoreError::Conflict { code: "rule_archived", message }
}
