//! Embeddings: which files of vectors there are, and computing what is missing.

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Accepted, accepted};
use crate::jobs::Services;
use crate::store::embeddings::EmbeddingFile;
use crate::store::jobs::Job;
use crate::web::error::Problem;
use crate::web::extract::Path;
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(create))
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

/// Embed what is not embedded yet
#[utoipa::path(post, path = "/datasets/{dataset}/encodes", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(State(services): State<Services>, Path(dataset): Path<String>) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let job = services.enqueue_encode(dataset.id).await?;
    accepted(&services, job).await
}
