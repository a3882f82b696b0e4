//! Trained models with recipe, snapshot and metrics.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
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
    /// The models whose probabilities are averaged; at least one.
    #[serde(skip)]
    pub models: Json<Vec<ModelFile>>,
    /// The ids of the samples it was measured on, as JSON; trainings of older versions have none.
    #[serde(skip)]
    pub held_out_blob: Option<String>,
    /// What its answers there say, as JSON; trainings of older versions have none.
    #[serde(skip)]
    pub report_blob: Option<String>,
    /// Itself and its encoders as one file; null: not made.
    #[schema(value_type = Option<BundleFile>)]
    pub bundle: Option<Json<BundleFile>>,
    /// The training before it, which its page compares it with.
    pub previous_id: Option<Uuid>,
    pub created_at: DateTime<Utc>,
}

/// One model of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its ONNX file.
    pub blob: String,
    /// In the average; all of a training sum to 1.
    pub weight: f64,
    pub recipe: Value,
}

/// A training and its encoders as one ONNX file, and how it answers on samples beside the stored embeddings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BundleFile {
    pub bytes: u64,
    /// Samples that were run through it, at most 1,000 of those it was measured on.
    pub compared: usize,
    /// Of them, those that got the same class.
    pub same_argmax: usize,
    /// Largest difference of a probability.
    pub max_difference: f32,
}

/// An epoch of one of a job's networks.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CurvePoint {
    pub id: i64,
    /// The job's networks from 0, and what this one is.
    pub model: i32,
    #[schema(example = "single 0")]
    pub name: String,
    pub epoch: i32,
    /// `loss`, `learning_rate`, `validation` (the challenge's score and its parts, on the noisy labels),
    /// `validation_loss`, `pretraining`, `seconds`, `seconds_left`, `epochs`.
    pub curve: Value,
}

impl Store {
    /// Keeps an epoch; one that is there already stays: a training that is gone on with repeats it.
    pub async fn insert_curve(
        &self,
        job: Uuid,
        model: i32,
        name: &str,
        epoch: i32,
        curve: &Value,
    ) -> Result<()> {
        sqlx::query!(
            "insert into training_curves (job_id, model, name, epoch, curve) values ($1, $2, $3, $4, $5)
             on conflict (job_id, model, epoch) do nothing",
            job,
            model,
            name,
            epoch,
            curve
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The epochs of a job after `after` in the order in which they ended, at most `limit`.
    pub async fn curves(&self, job: Uuid, after: i64, limit: i64) -> Result<Vec<CurvePoint>> {
        Ok(sqlx::query_as!(
            CurvePoint,
            "select id, model, name, epoch, curve from training_curves
             where job_id = $1 and id > $2 order by id limit $3",
            job,
            after,
            limit
        )
        .fetch_all(&self.pool)
        .await?)
    }

    /// Keeps a training; `previous_id` is filled with the latest one of the dataset.
    pub async fn insert_training(&self, dataset: Uuid, t: &Training) -> Result<()> {
        sqlx::query!(
            "insert into trainings
               (id, dataset_id, snapshot_id, job_id, recipe, metrics, models, held_out_blob, report_blob, previous_id)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9,
               (select id from trainings where dataset_id = $2 order by seq desc limit 1))
             on conflict (id) do nothing",
            t.id,
            dataset,
            t.snapshot_id,
            t.job_id,
            t.recipe,
            t.metrics,
            Json(&t.models.0) as _,
            t.held_out_blob,
            t.report_blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Keeps the bundle of a training; a later one takes its place.
    pub async fn set_bundle(&self, dataset: Uuid, id: Uuid, bundle: &BundleFile) -> Result<()> {
        sqlx::query!(
            "update trainings set bundle = $3 where dataset_id = $1 and id = $2",
            dataset,
            id,
            Json(bundle) as _
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Newest first; `before` is the last training of the page before.
    pub async fn trainings(&self, dataset: Uuid, before: Option<Uuid>, limit: i64) -> Result<Page<Training>> {
        let rows = sqlx::query_as!(
            Training,
            r#"select id, snapshot_id, job_id, recipe, metrics, models as "models: Json<Vec<ModelFile>>", held_out_blob,
               report_blob, bundle as "bundle: Json<BundleFile>", previous_id, created_at from trainings
             where dataset_id = $1 and ($2::uuid is null or seq < (select seq from trainings where id = $2))
             order by seq desc limit $3"#,
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
            r#"select id, snapshot_id, job_id, recipe, metrics, models as "models: Json<Vec<ModelFile>>", held_out_blob,
               report_blob, bundle as "bundle: Json<BundleFile>", previous_id, created_at from trainings
             where dataset_id = $1 and id = $2"#,
            dataset,
            id
        )
        .fetch_optional(&self.pool)
        .await?
        .ok_or_else(|| StoreError::not_found("training", id.to_string()))
    }
}
