//! What changes in a dataset while people work in it, read cheaply enough to be asked every second.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Result, Store};

/// Samples that wait for one kind of look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Waiting {
    /// `first`, `second` or `adjudicate`.
    pub purpose: String,
    /// Those in somebody's hands among them.
    pub open: i64,
    pub held: i64,
}

/// How reviewing stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveQueue {
    pub waiting: Vec<Waiting>,
    /// Samples of the order of review that are not in the queue yet.
    pub left_over: i64,
    /// Id of the newest decision; another one means that something was decided.
    pub last_review: i64,
}

/// A sample in somebody's hands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LiveLease {
    pub person: String,
    /// External id.
    pub sample: String,
    pub expires_at: DateTime<Utc>,
}

/// A job that waits or runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ActiveJob {
    pub id: Uuid,
    pub kind: String,
    pub state: String,
    pub stage: String,
    pub done: i64,
    pub total: Option<i64>,
}

impl Store {
    /// Known samples that are slipped in are not told of. O(open items of the queue).
    pub async fn live_queue(&self, dataset: Uuid) -> Result<LiveQueue> {
        let waiting = sqlx::query_as!(
            Waiting,
            r#"select purpose, count(*) as "open!", count(*) filter (where leased_until > now()) as "held!"
               from queue_items where dataset_id = $1 and state = 'open' and purpose <> 'gold'
               group by purpose order by array_position(array['first', 'second', 'adjudicate'], purpose)"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?;
        let rest = sqlx::query!(
            r#"select coalesce((select left_over from queue_sources where dataset_id = $1), 0) as "left_over!",
                 coalesce((select max(id) from reviews where dataset_id = $1), 0) as "last_review!""#,
            dataset
        )
        .fetch_one(&self.pool)
        .await?;
        Ok(LiveQueue { waiting, left_over: rest.left_over, last_review: rest.last_review })
    }

    /// At most 200, by person.
    pub async fn live_leases(&self, dataset: Uuid) -> Result<Vec<LiveLease>> {
        Ok(sqlx::query_as!(
            LiveLease,
            r#"select q.leased_by as "person!", s.external_id as sample, q.leased_until as "expires_at!"
               from queue_items q join samples s on s.id = q.sample_id
               where q.dataset_id = $1 and q.state = 'open' and q.leased_until > now()
               order by q.leased_by, q.id limit 200"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// At most 50, oldest first.
    pub async fn active_jobs(&self, dataset: Uuid) -> Result<Vec<ActiveJob>> {
        Ok(sqlx::query_as!(
            ActiveJob,
            "select id, kind, state, stage, done, total from jobs
             where dataset_id = $1 and state in ('queued', 'running') order by created_at, id limit 50",
            dataset
        )
        .fetch_all(&self.pool)
        .await?)
    }
}
