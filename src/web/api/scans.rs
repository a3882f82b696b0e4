//! Scans: detectors run over one snapshot.

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, check_snapshot};
use crate::jobs::Services;
use crate::jobs::rerank::{self, Learning};
use crate::jobs::scan::ScanArgs;
use crate::store::StoreError;
use crate::store::jobs::Job;
use crate::store::scans::Scan;
use crate::web::error::Problem;
use crate::web::extract::{JsonOrDefault, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one)).routes(routes!(learning))
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
/// Takes a snapshot and embeds what is missing first. The body may be left out. With `predictions` it
/// judges their snapshot by them, without training heads of its own.
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
    check_predictions(&services, dataset.id, &args).await?;
    let job = services.enqueue_scan(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// Predictions named in a body are the dataset's, and of the snapshot that it names.
async fn check_predictions(services: &Services, dataset: Uuid, args: &ScanArgs) -> Result<(), Problem> {
    let Some(id) = args.predictions else { return Ok(()) };
    let set = match services.store.prediction_set(dataset, id).await {
        Err(StoreError::NotFound { .. }) => {
            let why = format!("there are no predictions {id}");
            return Err(Problem::invalid("predictions", "unknown_predictions", why));
        }
        other => other?,
    };
    match &args.snapshot {
        Some(snapshot) if services.store.snapshot(dataset, snapshot).await?.id != set.snapshot_id => {
            let why = format!("these predictions are for snapshot {}: leave snapshot out", set.snapshot_id);
            Err(Problem::invalid("predictions", "other_snapshot", why))
        }
        _ => Ok(()),
    }
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

/// What reviews taught a scan
///
/// After 200 decisions a model of all scores replaces the order of what nobody has looked at, if it
/// predicts decisions better than the suspicion does. Random audits, slipped into the order of review
/// unmarked, estimate the share of wrong labels and the precision at the cut without bias.
#[utoipa::path(get, path = "/datasets/{dataset}/scans/{scan}/learning", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("scan" = Uuid, Path)),
    responses((status = 200, description = "As of now", body = Learning)))]
async fn learning(
    State(services): State<Services>,
    Path((dataset, scan)): Path<(String, Uuid)>,
) -> Result<axum::Json<Learning>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = services.store.scan(dataset.id, scan).await?;
    Ok(axum::Json(rerank::learning(&services, dataset.id, &scan).await?))
}
