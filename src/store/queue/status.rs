//! How the queue stands, for whoever leads the work.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::store::{Result, Store};

/// Items of one purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct PurposeCount {
    /// `first`, `second`, `adjudicate` or `gold`.
    pub purpose: String,
    /// Wait, those that are held among them.
    pub open: i64,
    pub held: i64,
    pub done: i64,
}

/// A sample in somebody's hands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct HeldItem {
    pub person: String,
    /// External id.
    pub sample: String,
    pub purpose: String,
    pub expires_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct QueueStatus {
    pub counts: Vec<PurposeCount>,
    /// Samples of the order of review that are not in the queue yet; those decided meanwhile are still counted.
    pub left_over: i64,
    /// Who holds what; only for leads, else empty. At most 200.
    pub held: Vec<HeldItem>,
}

impl Store {
    /// Counts by purpose, and who holds what. O(items of the queue).
    pub async fn queue_status(&self, dataset: Uuid, with_people: bool) -> Result<QueueStatus> {
        let counts = sqlx::query_as!(
            PurposeCount,
            r#"select purpose, count(*) filter (where state = 'open') as "open!",
                 count(*) filter (where state = 'open' and leased_until > now()) as "held!",
                 count(*) filter (where state = 'done') as "done!"
               from queue_items where dataset_id = $1 group by purpose
               order by array_position(array['first', 'second', 'adjudicate', 'gold'], purpose)"#,
            dataset
        )
        .fetch_all(&self.pool)
        .await?;
        // an order that nobody has drawn from yet is not begun: then all that the scan doubts is left
        let left_over = sqlx::query_scalar!(
            "select case when q.scan_id = n.id then q.left_over else n.n_flagged end
             from (select id, n_flagged from scans where dataset_id = $1 order by seq desc limit 1) n
             left join queue_sources q on q.dataset_id = $1",
            dataset
        )
        .fetch_optional(&self.pool)
        .await?
        .flatten()
        .unwrap_or(0);
        let held = if with_people {
            sqlx::query_as!(
                HeldItem,
                r#"select q.leased_by as "person!", s.external_id as sample, q.purpose, q.leased_until as "expires_at!"
                   from queue_items q join samples s on s.id = q.sample_id
                   where q.dataset_id = $1 and q.state = 'open' and q.leased_until > now()
                   order by q.leased_by, q.leased_until limit 200"#,
                dataset
            )
            .fetch_all(&self.pool)
            .await?
        } else {
            vec![]
        };
        Ok(QueueStatus { counts, left_over, held })
    }
}
