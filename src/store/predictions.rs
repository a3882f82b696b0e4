//! Uploaded predictions: what they are of and where the array lies.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Page, Result, Store, StoreError};

/// Out-of-sample probabilities by somebody's own model, for every labelled sample of a snapshot.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PredictionSet {
    pub id: Uuid,
    pub snapshot_id: String,
    /// Name of the model, for people.
    pub model: String,
    /// Who uploaded it and said that it is out of sample.
    pub author: String,
    pub n_rows: i64,
    pub n_classes: i32,
    /// Rows of the file that were of no labelled sample of the snapshot.
    pub n_left_out: i64,
    #[serde(skip)]
    pub blob: String,
    pub created_at: DateTime<Utc>,
}

impl Store {
    pub async fn insert_prediction_set(&self, dataset: Uuid, set: &PredictionSet) -> Result<()> {
        sqlx::query!(
            "insert into predictions (id, dataset_id, snapshot_id, model, author, n_rows, n_classes, n_left_out, blob)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            set.id,
            dataset,
            set.snapshot_id,
            set.model,
            set.author,
            set.n_rows,
            set.n_classes,
            set.n_left_out,
            set.blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest first; `before` is the last set of the page before.
    pub async fn prediction_sets(
        &self,
        dataset: Uuid,
        before: Option<Uuid>,
        limit: i64,
    ) -> Result<Page<PredictionSet>> {
        let rows = sqlx::query_as!(
            PredictionSet,
            "select id, snapshot_id, model, author, n_rows, n_classes, n_left_out, blob, created_at from predictions
             where dataset_id = $1 and ($2::uuid is null or seq < (select seq from predictions where id = $2))
             order by seq desc limit $3",
            dataset,
            before,
            limit + 1
        )
        .fetch_all(&self.pool)
        .await?;
        Ok(Page::cut(rows, limit, |s| s.id.to_string()))
    }

    pub async fn prediction_set(&self, dataset: Uuid, id: Uuid) -> Result<PredictionSet> {
        sqlx::query_as!(
            PredictionSet,
            "select id, snapshot_id, model, author, n_rows, n_classes, n_left_out, blob, created_at from predictions
             where dataset_id = $1 and id = $2",
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("predictions", id.to_string()))
    }

    /// Forgets the set; the caller removes its blob.
    pub async fn delete_prediction_set(&self, dataset: Uuid, id: Uuid) -> Result<()> {
        let gone = sqlx::query!("delete from predictions where dataset_id = $1 and id = $2", dataset, id)
            .execute(&self.pool)
            .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::not_found("predictions", id.to_string()));
        }
        Ok(())
    }
}
