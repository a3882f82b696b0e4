//! Samples: in pages, one by one, and everything that was ever said about one.

use axum::extract::{Extension, State};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::queue::is_at_least;
use crate::domain::Role;
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
/// In the order in which they came in.
#[utoipa::path(get, path = "/datasets/{dataset}/samples", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"), SampleFilter, PageParams),
    responses((status = 200, description = "A page", body = Paged<Sample>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Query(filter): Query<SampleFilter>,
    paging: Paging,
) -> Result<axum::Json<Paged<Sample>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let after: i64 = paging.after("samples")?.unwrap_or(0);
    let page = services.store.samples(dataset.id, &filter, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("samples", page)))
}

/// One sample
#[utoipa::path(get, path = "/datasets/{dataset}/samples/{sample}", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id")),
    responses((status = 200, description = "The sample", body = Sample)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, sample)): Path<(String, String)>,
) -> Result<axum::Json<Sample>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.sample(dataset.id, &sample).await?))
}

/// Everything that was ever said about a sample
///
/// Labels and reviews, oldest first. What others decided is told to annotators once the sample is verified:
/// until then they may have to look at it without knowing.
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
    let sample = services.store.sample(dataset.id, &sample).await?;
    let mut history = services.store.history(dataset.id, sample.id).await?;
    if !is_at_least(Role::Reviewer, &viewer, role)
        && !services.store.is_verified(dataset.id, sample.id).await?
    {
        history.retain(|e| e.told_to(&viewer.name));
    }
    Ok(axum::Json(paging.cut("history", history)?))
}
