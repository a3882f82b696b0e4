//! The samples that a scan doubts, by their label or by another kind of issue, the worst first.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::queue::audience;
use crate::jobs::Services;
use crate::store::issues::CountedIssue;
use crate::store::scans::Scan;
use crate::store::suspects::{Suspect, SuspectFilter};
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(counts))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OfScan {
    /// The scan to read; left out: the latest one.
    pub(super) scan: Option<Uuid>,
}

/// The scan asked for, or the latest; 404 `no_scan` where there is none.
pub(super) async fn scan_of(
    services: &Services,
    dataset: Uuid,
    asked: Option<Uuid>,
) -> Result<Scan, Problem> {
    match asked {
        Some(id) => Ok(services.store.scan(dataset, id).await?),
        None => services.store.latest_scan(dataset).await?.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "no_scan", "this dataset has not been scanned yet")
        }),
    }
}

/// Count suspects by kind of issue
///
/// Every kind, the samples that the filter lets through; `issue`, `field` and `all` play no part. Each number is
/// that of the list with the same filter and that `issue`; where it would take long to count, it is estimated from
/// 1,000 samples of each kind, and says so in `about`.
#[utoipa::path(get, path = "/datasets/{dataset}/suspects/counts", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"), SuspectFilter, OfScan),
    responses((status = 200, description = "Samples with each kind of issue", body = Vec<CountedIssue>)))]
async fn counts(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Query(filter): Query<SuspectFilter>,
    Query(OfScan { scan }): Query<OfScan>,
) -> Result<axum::Json<Vec<CountedIssue>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = scan_of(&services, dataset.id, scan).await?;
    Ok(axum::Json(services.store.issue_counts(dataset.id, scan.id, &filter, audience(&viewer, role)).await?))
}

/// List suspects
///
/// In the order of review: by rank, with some samples drawn at random in between. With `issue` the samples with
/// that kind of issue, the worst of the kind first. Annotators are told of samples that they may be asked about without
/// knowing, as if nobody else had decided; where the scan judged such a decision the sample is left out. Without any scan the answer is 404 with the code `no_scan`.
#[utoipa::path(get, path = "/datasets/{dataset}/suspects", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"), SuspectFilter, OfScan, PageParams),
    responses((status = 200, description = "A page", body = Paged<Suspect>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Query(filter): Query<SuspectFilter>,
    Query(OfScan { scan }): Query<OfScan>,
    paging: Paging,
) -> Result<axum::Json<Paged<Suspect>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = scan_of(&services, dataset.id, scan).await?;
    let after: i32 = paging.after("suspects")?.unwrap_or(0);
    let audience = audience(&viewer, role);
    let page = services.store.suspects(dataset.id, scan.id, &filter, audience, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("suspects", page)))
}
