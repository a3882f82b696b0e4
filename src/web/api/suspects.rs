//! The samples whose label a scan doubts, most suspicious first.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::jobs::Services;
use crate::store::suspects::{Suspect, SuspectFilter};
use crate::web::error::Problem;
use crate::web::extract::{Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfScan {
    /// The scan to read; left out: the latest one.
    scan: Option<Uuid>,
}

/// List suspects
///
/// In the order of review: by rank, with some samples drawn at random in between. Without any scan the answer is 404 with the code `no_scan`.
#[utoipa::path(get, path = "/datasets/{dataset}/suspects", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"), SuspectFilter, OfScan, PageParams),
    responses((status = 200, description = "A page", body = Paged<Suspect>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Query(filter): Query<SuspectFilter>,
    Query(OfScan { scan }): Query<OfScan>,
    paging: Paging,
) -> Result<axum::Json<Paged<Suspect>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = match scan {
        Some(id) => services.store.scan(dataset.id, id).await?,
        None => services.store.latest_scan(dataset.id).await?.ok_or_else(|| {
            Problem::new(StatusCode::NOT_FOUND, "no_scan", "this dataset has not been scanned yet")
        })?,
    };
    let after: i32 = paging.after("suspects")?.unwrap_or(0);
    let page = services.store.suspects(dataset.id, scan.id, &filter, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("suspects", page)))
}
