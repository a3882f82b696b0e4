//! Samples: in pages, one by one, and everything that was ever said about one.

use axum::extract::{Extension, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::queue::audience;
use crate::jobs::Services;
use crate::store::reviews::HistoryEntry;
use crate::store::samples::{Sample, SampleFilter};
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(history))
}

/// List samples
///
/// In the order in which they came in. Annotators are told of samples that they may be asked about without knowing,
/// as if nobody else had decided.
#[utoipa::path(get, path = "/datasets/{dataset}/samples", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"), SampleFilter, PageParams),
    responses((status = 200, description = "A page", body = Paged<Sample>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Query(filter): Query<SampleFilter>,
    paging: Paging,
) -> Result<axum::Json<Paged<Sample>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let after: i64 = paging.after("samples")?.unwrap_or(0);
    let audience = audience(&viewer, role);
    let page = services.store.samples(dataset.id, &filter, audience, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("samples", page)))
}

/// One sample
///
/// Annotators who may be asked about it without knowing are told of it as if nobody else had decided.
#[utoipa::path(get, path = "/datasets/{dataset}/samples/{sample}", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id")),
    responses((status = 200, description = "The sample", body = Sample)))]
async fn one(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, sample)): Path<(String, String)>,
) -> Result<axum::Json<Sample>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.sample_told(dataset.id, &sample, audience(&viewer, role)).await?))
}

/// Everything that was ever said about a sample
///
/// Labels and reviews, oldest first. What others decided is told to annotators once the sample is verified: until
/// then they may have to look at it without knowing. Where second looks are blind the same holds for comments.
#[utoipa::path(get, path = "/datasets/{dataset}/samples/{sample}/history", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id"),
           PageParams),
    responses((status = 200, description = "A page", body = Paged<HistoryEntry>)))]
async fn history(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, sample)): Path<(String, String)>,
    paging: Paging,
) -> Result<axum::Json<Paged<HistoryEntry>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let sample = services.store.sample_id(dataset.id, &sample).await?;
    let history = services.store.history_told(dataset.id, sample, audience(&viewer, role)).await?;
    Ok(axum::Json(paging.cut("history", history)?))
}
