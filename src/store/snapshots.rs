//! Snapshots: immutable, content-addressed versions of all current labels.

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Snapshot {
    /// sha256 of the canonical rows.
    pub id: String,
    pub parent: Option<String>,
    pub author: String,
    pub reason: String,
    pub n_labelled: i64,
    /// Samples whose label differs from the parent's.
    pub n_changed: i64,
    #[serde(skip)]
    pub blob: String,
    pub created_at: DateTime<Utc>,
}

/// One labelled sample as a snapshot keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRow {
    pub sample_id: i64,
    pub external_id: String,
    pub given_class: Option<String>,
    pub class: String,
    pub source: String,
    pub author: String,
    pub decided_at: DateTime<Utc>,
}

impl Store {
    /// All current labels of samples that are not excluded, in byte order of the external id: one statement, so one consistent state.
    pub fn current_labels(&self, dataset: Uuid) -> BoxStream<'_, Result<LabelRow>> {
        sqlx::query!(
            r#"select c.sample_id, s.external_id, c.given_class, c.class as "class!", c.source as "source!",
                 c.author as "author!", c.decided_at as "decided_at!"
               from current_labels c join samples s on s.id = c.sample_id
               where c.dataset_id = $1 and c.class is not null
                 and not exists (select from exclusions e where e.sample_id = c.sample_id and e.lifted_at is null)
               order by s.external_id collate "C""#,
            dataset
        )
        .fetch(&self.pool)
        .map_ok(|r| LabelRow {
            sample_id: r.sample_id,
            external_id: r.external_id,
            given_class: r.given_class,
            class: r.class,
            source: r.source,
            author: r.author,
            decided_at: r.decided_at,
        })
        .map_err(StoreError::from)
        .boxed()
    }

    /// Newest first; `before` is the id of the last snapshot of the page before.
    pub async fn snapshots(&self, dataset: Uuid, before: Option<&str>, limit: i64) -> Result<Page<Snapshot>> {
        let rows = sqlx::query_as!(
            Snapshot,
            "select id, parent, author, reason, n_labelled, n_changed, blob, created_at from snapshots
             where dataset_id = $1
               and ($2::text is null or seq < (select seq from snapshots where dataset_id = $1 and id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |s| s.id.clone()))
    }

    /// By full id or a prefix of at least eight digits that fits one snapshot only.
    pub async fn snapshot(&self, dataset: Uuid, id: &str) -> Result<Snapshot> {
        let hex = id.len() >= 8 && id.bytes().all(|b| b.is_ascii_hexdigit());
        let mut found = if hex {
            sqlx::query_as!(
                Snapshot,
                "select id, parent, author, reason, n_labelled, n_changed, blob, created_at from snapshots
                 where dataset_id = $1 and starts_with(id, $2) order by seq desc limit 2",
                dataset,
                id
            )
            .fetch_all(&self.pool)
            .await?
        } else {
            Vec::new()
        };
        if found.len() > 1 {
            return Err(StoreError::Rule {
                field: "snapshot",
                code: "ambiguous_snapshot",
                message: format!("snapshot {id:?} fits more than one; give more digits"),
            });
        }
        found.pop().ok_or_else(|| StoreError::not_found("snapshot", id))
    }

    /// Keeps a snapshot; the same content again is the same snapshot and changes nothing.
    pub async fn insert_snapshot(&self, dataset: Uuid, s: &Snapshot) -> Result<()> {
        sqlx::query!(
            "insert into snapshots (dataset_id, id, parent, author, reason, n_labelled, n_changed, blob)
             values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
            dataset,
            s.id,
            s.parent,
            s.author,
            s.reason,
            s.n_labelled,
            s.n_changed,
            s.blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
