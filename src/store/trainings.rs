//! Trained models with recipe, snapshot and metrics.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Training {
    pub id: Uuid,
    pub snapshot_id: String,
    pub job_id: Option<Uuid>,
    pub recipe: Value,
    pub metrics: Value,
    #[serde(skip)]
    pub onnx_blob: String,
    /// The ids of the samples it was measured on, as JSON; trainings of older versions have none.
    #[serde(skip)]
    pub held_out_blob: Option<String>,
    /// The training before it, which its page compares it with.
    pub previous_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

impl Store {
    /// Keeps a training; `previous_id` is filled with the latest one of the dataset.
    pub async fn insert_training(&self, dataset: Uuid, t: &Training) -> Result<()> {
        sqlx::query!(
            "insert into trainings
               (id, dataset_id, snapshot_id, job_id, recipe, metrics, onnx_blob, held_out_blob, previous_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8,
               (select id from trainings where dataset_id = $2 order by seq desc limit 1))
             on conflict (id) do nothing",
            t.id,
            dataset,
            t.snapshot_id,
            t.job_id,
            t.recipe,
            t.metrics,
            t.onnx_blob,
            t.held_out_blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest first; `before` is the last training of the page before.
    pub async fn trainings(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Training>> {
        let rows = sqlx::query_as!(
            Training,
            "select id, snapshot_id, job_id, recipe, metrics, onnx_blob, held_out_blob, previous_id, created_at from trainings
             where dataset_id = $1 and ($2::uuid is null or seq < (select seq from trainings where id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |t| t.id.to_string()))
    }

    pub async fn training(&self, dataset: Uuid, id: Uuid) -> Result<Training> {
        sqlx::query_as!(
            Training,
            "select id, snapshot_id, job_id, recipe, metrics, onnx_blob, held_out_blob, previous_id, created_at from trainings
             where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("training", id.to_string()))
    }
}
