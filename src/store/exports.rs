//! Finished exports, and the rows an export is made of.

use chrono::{DateTime, Utc};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Export {
    pub id: Uuid,
    pub snapshot_id: String,
    pub job_id: Option<Uuid>,
    pub format: String,
    /// Counts, sha256, snapshot.
    pub manifest: Value,
    #[serde(skip)]
    pub blob: String,
    pub created_at: DateTime<Utc>,
}

/// A sample with what the scan says of it; labels come from the snapshot.
#[derive(Clone, Debug)]
pub struct ExportSource {
    pub sample_id: i64,
    pub external_id: String,
    pub title: String,
    pub split: String,
    pub media_path: Option<String>,
    pub media_state: String,
    pub given_class: Option<String>,
    pub review: Option<String>,
    pub rank: Option<i32>,
    pub suspicion: Option<f32>,
    pub flagged: Option<bool>,
    pub suggested_class: Option<String>,
    pub suggested_p: Option<f32>,
    pub self_confidence: Option<f32>,
    pub normalized_margin: Option<f32>,
    pub detectors: Option<Vec<String>>,
    /// Left out of snapshots now.
    pub excluded: bool,
}

impl Store {
    /// Every sample of the dataset in byte order of the external id, streamed.
    pub fn export_rows(&self, dataset: Uuid, scan: Option<Uuid>) -> BoxStream<'_, Result<ExportSource>> {
        sqlx::query_as!(
            ExportSource,
            r#"select s.id as sample_id, s.external_id, s.title, s.split, s.media_path, s.media_state, c.given_class as "given_class?",
                 r.decision as "review?", f.rank as "rank?", f.suspicion as "suspicion?", f.flagged as "flagged?",
                 f.suggested_class as "suggested_class?", f.suggested_p as "suggested_p?",
                 f.self_confidence as "self_confidence?", f.normalized_margin as "normalized_margin?",
                 f.detectors as "detectors?",
                 exists (select from exclusions e where e.sample_id = s.id and e.lifted_at is null) as "excluded!"
               from samples s left join current_labels c on c.sample_id = s.id
               left join review_status r on r.sample_id = s.id
               left join findings f on f.sample_id = s.id and f.scan_id = $2
               where s.dataset_id = $1 order by s.external_id collate "C""#,
            dataset,
            scan
        )
        .fetch(&self.pool)
        .map_err(StoreError::from)
        .boxed()
    }

    pub async fn insert_export(&self, dataset: Uuid, e: &Export) -> Result<()> {
        sqlx::query!(
            "insert into exports (id, dataset_id, snapshot_id, job_id, format, manifest, blob)
             values ($1, $2, $3, $4, $5, $6, $7) on conflict (id) do nothing",
            e.id,
            dataset,
            e.snapshot_id,
            e.job_id,
            e.format,
            e.manifest,
            e.blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest first; `before` is the last export of the page before.
    pub async fn exports(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Export>> {
        let rows = sqlx::query_as!(
            Export,
            "select id, snapshot_id, job_id, format, manifest, blob, created_at from exports
             where dataset_id = $1
               and ($2::uuid is null or (created_at, id) < (select created_at, id from exports where id = $2))
             order by created_at desc, id desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |e| e.id.to_string()))
    }

    pub async fn export(&self, dataset: Uuid, id: Uuid) -> Result<Export> {
        sqlx::query_as!(
            Export,
            "select id, snapshot_id, job_id, format, manifest, blob, created_at from exports
             where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("export", id.to_string()))
    }
}
