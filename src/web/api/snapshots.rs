//! Snapshots: immutable versions of all current labels.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::author;
use crate::jobs::{Services, snapshot};
use crate::store::snapshots::Snapshot;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "first hundred suspects reviewed"}))]
struct SnapshotRequest {
    /// Why it is taken, for people.
    #[schema(max_length = 1000)]
    reason: String,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// List snapshots
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/snapshots", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Snapshot>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Snapshot>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<String> = paging.after("snapshots")?;
    let page = services.store.snapshots(dataset.id, before.as_deref(), paging.limit).await?;
    Ok(axum::Json(Paged::of("snapshots", page)))
}

/// Take a snapshot of the current labels
///
/// Content-addressed: unchanged labels give the snapshot that is there already.
#[utoipa::path(post, path = "/datasets/{dataset}/snapshots", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = SnapshotRequest,
    responses((status = 201, description = "The snapshot", body = Snapshot,
        headers(("Location" = String, description = "Its address")))))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<SnapshotRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<Snapshot>), Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let author = author(&viewer, request.author)?;
    if request.reason.chars().count() > 1000 {
        return Err(Problem::invalid("reason", "too_long", "a reason is at most 1000 characters long"));
    }
    let taken = snapshot::take(&services, dataset.id, &author, &request.reason).await?;
    let location = format!("/api/v1/datasets/{}/snapshots/{}", dataset.id, taken.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(taken)))
}

/// One snapshot
#[utoipa::path(get, path = "/datasets/{dataset}/snapshots/{snapshot}", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"),
           ("snapshot" = String, Path, description = "Id, or its first eight digits or more")),
    responses((status = 200, description = "The snapshot", body = Snapshot)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, snapshot)): Path<(String, String)>,
) -> Result<axum::Json<Snapshot>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.snapshot(dataset.id, &snapshot).await?))
}
