//! Embeddings: which files of vectors there are, and computing what is missing.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, accepted};
use crate::jobs::Services;
use crate::store::embeddings::EmbeddingFile;
use crate::store::jobs::Job;
use crate::web::blob::{self, Download};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::Path;
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(file)).routes(routes!(create))
}

/// List embedding files
///
/// Oldest first; of the same sample, field and encoder a later file wins.
#[utoipa::path(get, path = "/datasets/{dataset}/embeddings", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<EmbeddingFile>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<EmbeddingFile>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(paging.cut("embeddings", services.store.embedding_files(dataset.id).await?)?))
}

/// One file of vectors
///
/// Parquet with `sample_id` (the internal id), `input_hash`, `vector` (a list of float16) and, for
/// frames, the vector of each frame.
#[utoipa::path(get, path = "/datasets/{dataset}/embeddings/{file}/vectors.parquet", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("file" = i64, Path)),
    responses((status = 200, description = "A Parquet file", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the file", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn file(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, id)): Path<(String, i64)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let files = services.store.embedding_files(dataset.id).await?;
    let file = files.into_iter().find(|f| f.id == id).ok_or_else(|| Problem::not_found("embeddings", id))?;
    let download = Download {
        blob: &file.blob,
        content_type: "application/octet-stream",
        attachment: Some(format!("{}-{}-{id}.parquet", dataset.name, file.field.as_str())),
        etag: None,
        version: None,
    };
    blob::respond(&services.blobs, &method, &headers, download).await
}

/// Embed what is not embedded yet
#[utoipa::path(post, path = "/datasets/{dataset}/encodes", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(State(services): State<Services>, Path(dataset): Path<String>) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let job = services.enqueue_encode(dataset.id).await?;
    accepted(&services, job).await
}
