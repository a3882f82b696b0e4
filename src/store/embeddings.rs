//! Pointers to the columnar files of vectors, and to the states of fitted encoders.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Result, Store, StoreError, keyword};
use crate::domain::Field;

#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EmbeddingFile {
    pub id: i64,
    pub field: Field,
    /// `name@version` of the encoder.
    pub encoder: String,
    pub dimension: i32,
    pub n_rows: i32,
    #[serde(skip)]
    pub blob: String,
    pub created_at: DateTime<Utc>,
}

#[derive(Clone, Debug)]
pub struct FittedEncoder {
    pub version: String,
    pub n_texts: i64,
    pub blob: String,
}

impl Store {
    /// All files of a dataset, oldest first; a later row of the same sample, field and encoder wins.
    pub async fn embedding_files(&self, dataset: Uuid) -> Result<Vec<EmbeddingFile>> {
        sqlx::query!(
            "select id, field, encoder, dimension, n_rows, blob, created_at from embedding_files
             where dataset_id = $1 order by id",
            dataset
        )
        .fetch_all(&self.pool)
        .await?
        .into_iter()
        .map(|r| {
            Ok(EmbeddingFile {
                id: r.id,
                field: keyword("field", &r.field, Field::parse)?,
                encoder: r.encoder,
                dimension: r.dimension,
                n_rows: r.n_rows,
                blob: r.blob,
                created_at: r.created_at,
            })
        })
        .collect::<std::result::Result<_, StoreError>>()
    }

    #[allow(clippy::too_many_arguments)]
    pub async fn add_embedding_file(
        &self,
        dataset: Uuid,
        field: Field,
        encoder: &str,
        dimension: usize,
        n_rows: usize,
        blob: &str,
        job: Uuid,
    ) -> Result<()> {
        sqlx::query!(
            "insert into embedding_files (dataset_id, field, encoder, dimension, n_rows, blob, job_id)
             values ($1, $2, $3, $4, $5, $6, $7)",
            dataset,
            field.as_str(),
            encoder,
            i32::try_from(dimension).unwrap_or(i32::MAX),
            i32::try_from(n_rows).unwrap_or(i32::MAX),
            blob,
            job
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    pub async fn fitted_encoder(&self, dataset: Uuid, field: Field) -> Result<Option<FittedEncoder>> {
        Ok(sqlx::query_as!(
            FittedEncoder,
            "select version, n_texts, blob from fitted_encoders where dataset_id = $1 and field = $2",
            dataset,
            field.as_str()
        )
        .fetch_optional(&self.pool)
        .await?)
    }

    pub async fn set_fitted_encoder(
        &self,
        dataset: Uuid,
        field: Field,
        fitted: &FittedEncoder,
    ) -> Result<()> {
        sqlx::query!(
            "insert into fitted_encoders (dataset_id, field, version, n_texts, blob) values ($1, $2, $3, $4, $5)
             on conflict (dataset_id, field) do update set version = excluded.version, n_texts = excluded.n_texts,
               blob = excluded.blob, created_at = now()",
            dataset,
            field.as_str(),
            fitted.version,
            fitted.n_texts,
            fitted.blob
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
