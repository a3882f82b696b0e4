//! What a scan says of a dataset as a whole, and its clusters.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::suspects::{OfScan, scan_of};
use crate::domain::Health;
use crate::domain::health::Cluster;
use crate::jobs::Services;
use crate::web::error::Problem;
use crate::web::extract::{Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(clusters))
}

/// What is wrong with the data
///
/// Counts of every kind of issue, class balance, near-duplicates, groups that the model fails on, properties
/// that give the class away, the order, and the texts, as one scan found them. The estimates of label noise are
/// in the scan's summary. Without any scan the answer is 404 with the code `no_scan`; a scan of an older
/// version has none of this, and answers with the code `no_health`.
#[utoipa::path(get, path = "/datasets/{dataset}/health", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), OfScan),
    responses((status = 200, description = "What the scan found", body = Health)))]
async fn health(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Query(of): Query<OfScan>,
) -> Result<axum::Json<Health>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = scan_of(&services, dataset.id, of.scan).await?;
    let health = scan.summary.get("health").and_then(|h| serde_json::from_value(h.clone()).ok());
    health.map(axum::Json).ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "no_health", "this scan is of an older version: scan again")
    })
}

/// Clusters
///
/// Groups of similar samples, named by the words of their texts; those with the most minority labels first.
/// Their samples: `suspects?cluster=…&all=true`.
#[utoipa::path(get, path = "/datasets/{dataset}/clusters", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), OfScan, PageParams),
    responses((status = 200, description = "A page", body = Paged<Cluster>)))]
async fn clusters(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Query(of): Query<OfScan>,
    paging: Paging,
) -> Result<axum::Json<Paged<Cluster>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scan = scan_of(&services, dataset.id, of.scan).await?;
    let after: Option<i32> = paging.after("clusters")?;
    let page = services.store.clusters(dataset.id, scan.id, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("clusters", page)))
}
