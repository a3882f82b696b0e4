//! Scans: detectors run over one snapshot.

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, check_snapshot};
use crate::jobs::Services;
use crate::jobs::scan::ScanArgs;
use crate::store::jobs::Job;
use crate::store::scans::Scan;
use crate::web::error::Problem;
use crate::web::extract::{JsonOrDefault, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one))
}

/// List scans
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/scans", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Scan>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Scan>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<Uuid> = paging.after("scans")?;
    let page = services.store.scans(dataset.id, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("scans", page)))
}

/// Scan
///
/// Takes a snapshot and embeds what is missing first. The body may be left out.
#[utoipa::path(post, path = "/datasets/{dataset}/scans", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = Option<ScanArgs>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    JsonOrDefault(args): JsonOrDefault<ScanArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    check_snapshot(&services, dataset.id, args.snapshot.as_deref()).await?;
    let job = services.enqueue_scan(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// One scan
#[utoipa::path(get, path = "/datasets/{dataset}/scans/{scan}", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("scan" = Uuid, Path)),
    responses((status = 200, description = "The scan with its noise report", body = Scan)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, scan)): Path<(String, Uuid)>,
) -> Result<axum::Json<Scan>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.scan(dataset.id, scan).await?))
}
