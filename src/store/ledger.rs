//! The ledger: what each training was tried for, what it brought and what it cost.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::{Change, Gain, Over, Step};

/// Longest time that one review counts for, in milliseconds: beyond it somebody went away.
const LONGEST_REVIEW_MS: i32 = 300_000;

/// One line of the ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Entry {
    pub id: Uuid,
    /// Null for what was run elsewhere.
    pub training_id: Option<Uuid>,
    pub step: Step,
    /// What is new in the recipe.
    pub changes: Vec<Change>,
    pub hypothesis: String,
    /// Gain in mean F1 that was foretold, by whoever asked for the training or from earlier lines.
    pub expected_gain: Option<f64>,
    /// Against the training before, on samples that neither was trained on, with the labels of now. Null
    /// where the two share too few.
    pub measured: Option<Gain>,
    /// Reviews since the training before, and labels that they changed.
    pub reviews: i64,
    pub corrections: i64,
    /// Time that these reviews took, at most five minutes each.
    pub human_ms: i64,
    /// Seconds that the machine worked on it, by the clock.
    pub machine_seconds: f64,
    /// Seconds that its processors worked on it; null where nobody counted.
    pub cpu_seconds: Option<f64>,
    /// Reviews up to here are in.
    pub until: DateTime<Utc>,
    pub author: String,
    pub created_at: DateTime<Utc>,
}

/// Reviewing within a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effort {
    pub reviews: i64,
    pub corrections: i64,
    pub human_ms: i64,
}

/// A label that a person changed.
#[derive(Clone, Debug)]
pub struct Correction {
    pub external_id: String,
    pub title: String,
    pub from: Option<String>,
    pub to: Option<String>,
    pub poster_blob: Option<String>,
}

/// Labels that went from one class to another.
#[derive(Clone, Debug)]
pub struct Move {
    pub from: Option<String>,
    pub to: Option<String>,
    pub n: i64,
}

struct Row {
    id: Uuid,
    training_id: Option<Uuid>,
    step: String,
    changes: Value,
    hypothesis: String,
    expected_gain: Option<f64>,
    measured_gain: Option<f64>,
    gain_before: Option<f64>,
    gain_low: Option<f64>,
    gain_high: Option<f64>,
    gain_over: Option<String>,
    n_over: Option<i64>,
    reviews: i64,
    corrections: i64,
    human_ms: i64,
    machine_seconds: f64,
    cpu_seconds: Option<f64>,
    until: DateTime<Utc>,
    author: String,
    created_at: DateTime<Utc>,
}

impl TryFrom<Row> for Entry {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        let measured = match (r.measured_gain, r.gain_low, r.gain_high, r.gain_over) {
            (Some(gain), Some(low), Some(high), Some(over)) => Some(Gain {
                before: r.gain_before,
                gain,
                low,
                high,
                over: keyword("ledger", &over, Over::parse)?,
                n: r.n_over.unwrap_or(0),
            }),
            _ => None,
        };
        Ok(Self {
            id: r.id,
            training_id: r.training_id,
            step: keyword("ledger", &r.step, Step::parse)?,
            changes: serde_json::from_value(r.changes)
                .map_err(|e| StoreError::Corrupt { what: "ledger", reason: e.to_string() })?,
            hypothesis: r.hypothesis,
            expected_gain: r.expected_gain,
            measured,
            reviews: r.reviews,
            corrections: r.corrections,
            human_ms: r.human_ms,
            machine_seconds: r.machine_seconds,
            cpu_seconds: r.cpu_seconds,
            until: r.until,
            author: r.author,
            created_at: r.created_at,
        })
    }
}

impl Store {
    /// Writes a line; one of the same id is there already when a job was started twice.
    pub async fn insert_ledger(&self, dataset: Uuid, e: &Entry) -> Result<()> {
        let changes = serde_json::to_value(&e.changes)
            .map_err(|e| StoreError::Corrupt { what: "ledger", reason: e.to_string() })?;
        sqlx::query!(
            "insert into ledger (id, dataset_id, training_id, step, changes, hypothesis, expected_gain, measured_gain,
               gain_before, gain_low, gain_high, gain_over, n_over, reviews, corrections, human_ms, machine_seconds, cpu_seconds,
               until, author)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)
             on conflict (id) do nothing",
            e.id,
            dataset,
            e.training_id,
            e.step.as_str(),
            changes,
            e.hypothesis,
            e.expected_gain,
            e.measured.map(|g| g.gain),
            e.measured.and_then(|g| g.before),
            e.measured.map(|g| g.low),
            e.measured.map(|g| g.high),
            e.measured.map(|g| g.over.as_str()),
            e.measured.map(|g| g.n),
            e.reviews,
            e.corrections,
            e.human_ms,
            e.machine_seconds,
            e.cpu_seconds,
            e.until,
            e.author
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest first; `before` is the last line of the page before.
    pub async fn ledger(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Entry>> {
        let rows = sqlx::query_as!(
            Row,
            "select id, training_id, step, changes, hypothesis, expected_gain, measured_gain, gain_before, gain_low, gain_high,
               gain_over, n_over, reviews, corrections, human_ms, machine_seconds, cpu_seconds, until, author,
               created_at
             from ledger
             where dataset_id = $1 and ($2::uuid is null or seq < (select seq from ledger where id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        let entries = rows.into_iter().map(Entry::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(entries, limit, |e| e.id.to_string()))
    }

    /// The line of a training.
    pub async fn ledger_of(&self, dataset: Uuid, training: Uuid) -> Result<Option<Entry>> {
        sqlx::query_as!(
            Row,
            "select id, training_id, step, changes, hypothesis, expected_gain, measured_gain, gain_before, gain_low, gain_high,
               gain_over, n_over, reviews, corrections, human_ms, machine_seconds, cpu_seconds, until, author,
               created_at
             from ledger where dataset_id = $1 and training_id = $2",
            dataset,
            training
        )
        .fetch_optional(&self.pool)
        .await?
        .map(Entry::try_from)
        .transpose()
    }

    /// What people did after `from` (none: from the beginning) and up to `until`; what they took back does
    /// not count.
    pub async fn effort(
        &self,
        dataset: Uuid,
        from: Option<DateTime<Utc>>,
        until: DateTime<Utc>,
    ) -> Result<Effort> {
        Ok(sqlx::query_as!(
            Effort,
            r#"select count(*) as "reviews!",
                 count(*) filter (where corrects) as "corrections!",
                 coalesce(sum(least(time_spent_ms, $4)), 0)::bigint as "human_ms!"
               from standing_reviews
               where dataset_id = $1 and ($2::timestamptz is null or created_at > $2) and created_at <= $3"#,
            dataset,
            from,
            until,
            LONGEST_REVIEW_MS
        )
        .fetch_one(&self.pool)
        .await?)
    }

    /// Corrections that stand, made from `from` to before `until` (none: to now), oldest first.
    pub async fn corrections(
        &self,
        dataset: Uuid,
        from: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        limit: i64,
    ) -> Result<Vec<Correction>> {
        Ok(sqlx::query_as!(
            Correction,
            r#"select s.external_id, s.title, r.class_before as "from", r.classes[1] as "to", s.poster_blob
               from standing_reviews r join samples s on s.id = r.sample_id
               where r.dataset_id = $1 and r.created_at >= $2 and ($3::timestamptz is null or r.created_at < $3)
                 and r.corrects
               order by r.id limit $4"#,
            dataset,
            from,
            until,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// The same, counted by classes, most first.
    pub async fn moves(
        &self,
        dataset: Uuid,
        from: DateTime<Utc>,
        until: Option<DateTime<Utc>>,
        limit: i64,
    ) -> Result<Vec<Move>> {
        Ok(sqlx::query_as!(
            Move,
            r#"select class_before as "from", classes[1] as "to", count(*) as "n!"
               from standing_reviews
               where dataset_id = $1 and created_at >= $2 and ($3::timestamptz is null or created_at < $3)
                 and corrects
               group by class_before, classes[1] order by count(*) desc, class_before, classes[1] limit $4"#,
            dataset,
            from,
            until,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
