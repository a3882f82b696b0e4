//! Jobs as users see them: state, progress, log, cancel, checkpoint. Delivery (claim, retry,
//! recovery) is the queue library's; these rows are the truth about what happened.
//!
//! A worker's writes carry the number of the start it belongs to, so that a worker that was given
//! up for dead and comes back cannot write over its successor.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use sqlx::types::Json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError, keyword};
use crate::domain::{JobKind, JobState, Note};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Job {
    pub id: Uuid,
    pub kind: JobKind,
    pub dataset_id: Option<Uuid>,
    pub args: Value,
    pub state: JobState,
    /// How often a worker took it up.
    pub starts: i32,
    /// Message key of what it is doing now; empty before it starts.
    pub stage: String,
    pub done: i64,
    /// Unknown until the stage has counted its work.
    pub total: Option<i64>,
    pub cancel_requested: bool,
    #[serde(skip)]
    pub checkpoint: Option<Value>,
    pub result: Option<Value>,
    pub error: Option<String>,
    /// The same as a code with parameters.
    pub error_note: Option<Note>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct JobLogLine {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub level: String,
    /// In English.
    pub message: String,
    /// The same as a code with parameters.
    #[schema(value_type = Option<Note>)]
    pub note: Option<Json<Note>>,
}

/// What a worker is told when it wants to begin.
#[derive(Debug)]
pub enum Begin {
    /// Go on; `job.starts` is the fencing number of this start.
    Run(Box<Job>),
    /// Ended already, or cancelled before it began.
    Skip,
    /// As many starts as allowed ended with the death of the worker: to be failed for good.
    TooOften(Box<Job>),
}

/// Held while a job runs; dropping it closes the connection and so frees the lock.
#[derive(Debug)]
pub struct JobLock {
    _connection: sqlx::PgConnection,
}

struct Row {
    id: Uuid,
    kind: String,
    dataset_id: Option<Uuid>,
    args: Value,
    state: String,
    starts: i32,
    stage: String,
    done: i64,
    total: Option<i64>,
    cancel_requested: bool,
    checkpoint: Option<Value>,
    result: Option<Value>,
    error: Option<String>,
    error_note: Option<Json<Note>>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
    finished_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for Job {
    type Error = StoreError;
    fn try_from(r: Row) -> Result<Self> {
        Ok(Self {
            id: r.id,
            kind: keyword("job kind", &r.kind, JobKind::parse)?,
            dataset_id: r.dataset_id,
            args: r.args,
            state: keyword("job state", &r.state, JobState::parse)?,
            starts: r.starts,
            stage: r.stage,
            done: r.done,
            total: r.total,
            cancel_requested: r.cancel_requested,
            checkpoint: r.checkpoint,
            result: r.result,
            error: r.error,
            error_note: r.error_note.map(|n| n.0),
            created_at: r.created_at,
            started_at: r.started_at,
            finished_at: r.finished_at,
        })
    }
}

impl Store {
    pub async fn insert_job(&self, kind: JobKind, dataset: Option<Uuid>, args: &Value) -> Result<Uuid> {
        let id = Uuid::now_v7();
        sqlx::query!(
            "insert into jobs (id, kind, dataset_id, args) values ($1, $2, $3, $4)",
            id,
            kind.as_str(),
            dataset,
            args
        )
        .execute(&self.pool)
        .await
        .map_err(|e| match (&e, dataset) {
            // deleted since it was looked up
            (sqlx::Error::Database(d), Some(dataset)) if d.is_foreign_key_violation() => {
                StoreError::not_found("dataset", dataset.to_string())
            }
            _ => e.into(),
        })?;
        Ok(id)
    }

    /// Jobs that wait to be delivered, oldest first.
    pub async fn queued_jobs(&self) -> Result<Vec<Uuid>> {
        Ok(sqlx::query_scalar!("select id from jobs where state = 'queued' order by id")
            .fetch_all(&self.pool)
            .await?)
    }

    pub async fn job(&self, id: Uuid) -> Result<Job> {
        sqlx::query_as!(Row, r#"select id, kind, dataset_id, args, state, starts, stage, done, total, cancel_requested, checkpoint,
               result, error, error_note as "error_note: Json<Note>", created_at, started_at, finished_at
               from jobs where id = $1"#, id)
            .fetch_optional(&self.pool)
            .await?
            .ok_or_else(|| StoreError::not_found("job", id.to_string()))?
            .try_into()
    }

    /// Newest first (ids rise with time); `before` is the id of the last job of the page before.
    pub async fn jobs(
        &self,
        member: Option<Uuid>,
        dataset: Option<Uuid>,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<Job>> {
        let rows = sqlx::query_as!(
            Row,
            r#"select id, kind, dataset_id, args, state, starts, stage, done, total, cancel_requested, checkpoint,
               result, error, error_note as "error_note: Json<Note>", created_at, started_at, finished_at
             from jobs j where ($1::uuid is null or dataset_id = $1)
               and ($2::uuid is null or id < $2)
               and ($4::uuid is null or exists
                 (select from members m where m.dataset_id = j.dataset_id and m.account_id = $4))
             order by id desc limit $3"#,
            dataset,
            before,
            limit + 1,
            member
        )
        .fetch_all(&self.pool)
        .await?;
        let jobs = rows.into_iter().map(Job::try_from).collect::<Result<Vec<_>>>()?;
        Ok(Page::cut(jobs, limit, |j| j.id.to_string()))
    }

    /// The right to run the job: an advisory lock on a connection of its own, gone with the worker.
    /// `None`: another worker holds it.
    pub async fn lock_job(&self, id: Uuid) -> Result<Option<JobLock>> {
        let mut connection = self.pool.acquire().await?.detach();
        let (high, low) = id.as_u64_pair();
        let key = (high ^ low).cast_signed();
        let held = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "held!""#, key)
            .fetch_one(&mut connection)
            .await?;
        Ok(held.then_some(JobLock { _connection: connection }))
    }

    /// A worker takes the job up. The start is counted here, because the queue's recovery does not
    /// count crashes: a job on its `max_starts + 1`-th start is not taken up again.
    pub async fn begin_job(&self, id: Uuid, max_starts: i32) -> Result<Begin> {
        let mut tx = self.pool.begin().await?;
        let Some(job) = sqlx::query_as!(Row, r#"select id, kind, dataset_id, args, state, starts, stage, done, total, cancel_requested, checkpoint,
               result, error, error_note as "error_note: Json<Note>", created_at, started_at, finished_at
               from jobs where id = $1 for update"#, id)
            .fetch_optional(&mut *tx)
            .await?
        else {
            return Ok(Begin::Skip);
        };
        let mut job = Job::try_from(job)?;
        if job.state.is_ended() {
            return Ok(Begin::Skip);
        }
        if job.cancel_requested {
            sqlx::query!("update jobs set state = 'cancelled', finished_at = now() where id = $1", id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            return Ok(Begin::Skip);
        }
        if job.starts >= max_starts {
            return Ok(Begin::TooOften(Box::new(job)));
        }
        sqlx::query!(
            "update jobs set state = 'running', starts = starts + 1, started_at = coalesce(started_at, now())
             where id = $1",
            id
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        job.starts += 1;
        job.state = JobState::Running;
        Ok(Begin::Run(Box::new(job)))
    }

    /// Writes progress and reads the cancel flag. `None`: this start was superseded.
    pub async fn job_progress(
        &self,
        id: Uuid,
        start: i32,
        stage: &str,
        done: i64,
        total: Option<i64>,
    ) -> Result<Option<bool>> {
        Ok(sqlx::query_scalar!(
            "update jobs set stage = $3, done = $4, total = $5
             where id = $1 and starts = $2 and state = 'running' returning cancel_requested",
            id,
            start,
            stage,
            done,
            total
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    /// Remembers what a restart goes on from.
    pub async fn job_checkpoint(&self, id: Uuid, start: i32, checkpoint: &Value) -> Result<()> {
        sqlx::query!("update jobs set checkpoint = $3 where id = $1 and starts = $2", id, start, checkpoint)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub async fn set_job_dataset(&self, id: Uuid, dataset: Uuid) -> Result<()> {
        sqlx::query!("update jobs set dataset_id = $2 where id = $1", id, dataset)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Ends the job unless a later start has taken it over.
    pub async fn end_job(&self, id: Uuid, start: i32, state: JobState, result: Option<&Value>) -> Result<()> {
        sqlx::query!(
            "update jobs set state = $3, result = coalesce($4, result), finished_at = now(),
               done = case when $3 = 'succeeded' then coalesce(total, done) else done end
             where id = $1 and starts = $2 and state = 'running'",
            id,
            start,
            state.as_str(),
            result
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Fails the job for good, unless a later start has taken it over.
    pub async fn fail_job(&self, id: Uuid, start: i32, error: &str, note: &Note) -> Result<()> {
        sqlx::query!(
            "update jobs set state = 'failed', error = $3, error_note = $4, finished_at = now()
             where id = $1 and starts = $2 and state in ('queued', 'running')",
            id,
            start,
            error,
            Json(note) as _
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Gives the start back when the worker could not even work on it (database away, shutdown).
    pub async fn return_job(&self, id: Uuid, start: i32) -> Result<()> {
        sqlx::query!(
            "update jobs set state = 'queued', starts = starts - 1 where id = $1 and starts = $2 and state = 'running'",
            id,
            start
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Asks a job to stop. A queued one is cancelled at once; a running one stops at its next
    /// batch border; an ended one is left as it is.
    pub async fn cancel_job(&self, id: Uuid) -> Result<Job> {
        sqlx::query!(
            "update jobs set cancel_requested = true,
               state = case when state = 'queued' then 'cancelled' else state end,
               finished_at = case when state = 'queued' then now() else finished_at end
             where id = $1 and state in ('queued', 'running')",
            id
        )
        .execute(&self.pool)
        .await?;
        self.job(id).await
    }

    /// A line for the log, in English and as a note.
    pub async fn job_log(&self, id: Uuid, level: &str, message: &str, note: &Note) -> Result<()> {
        sqlx::query!(
            "insert into job_log (job_id, level, message, note) values ($1, $2, $3, $4)",
            id,
            level,
            message,
            Json(note) as _
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Lines after `after` (0: from the start), oldest first.
    pub async fn job_log_lines(&self, id: Uuid, after: i64, limit: i64) -> Result<Vec<JobLogLine>> {
        Ok(sqlx::query_as!(
            JobLogLine,
            r#"select id, at, level, message, note as "note: Json<Note>" from job_log
               where job_id = $1 and id > $2 order by id limit $3"#,
            id,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
