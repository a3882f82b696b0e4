//! Jobs: state, log, cancel, and the rows that an import refused.

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::events;
use crate::jobs::Services;
use crate::store::imports::ImportError;
use crate::store::jobs::{Job, JobLogLine};
use crate::store::trainings::CurvePoint;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Path, Query};
use crate::web::paging::{PageParams, Paged, Paging, check_limit};

/// Refused rows read at once while all of them are streamed.
const ERRORS_AT_ONCE: i64 = 1000;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one))
        .routes(routes!(cancel))
        .routes(routes!(log))
        .routes(routes!(curves))
        .routes(routes!(import_errors))
        .routes(routes!(import_errors_file))
        .merge(events::router())
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfDataset {
    /// Only jobs of this dataset (id or name).
    dataset: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LogParams {
    /// Lines after the one of this id.
    after: Option<i64>,
    /// Lines on a page.
    #[param(minimum = 1, maximum = 200, default = 30)]
    limit: Option<i64>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct CurveParams {
    /// Epochs after the one of this id.
    after: Option<i64>,
    /// Epochs on a page.
    #[param(minimum = 1, maximum = 200, default = 30)]
    limit: Option<i64>,
}

/// Epochs of the networks that a job trains.
#[derive(Debug, Serialize, ToSchema)]
struct CurvePage {
    items: Vec<CurvePoint>,
    /// Pass it as `after` for the epochs after these; null when there are none yet.
    next: Option<i64>,
}

/// Lines of a job's log.
#[derive(Debug, Serialize, ToSchema)]
struct LogPage {
    items: Vec<JobLogLine>,
    /// Pass it as `after` for the lines after these; null when there are none yet.
    next: Option<i64>,
}

/// List jobs
///
/// Newest first.
#[utoipa::path(get, path = "/jobs", tag = "jobs", params(OfDataset, PageParams),
    responses((status = 200, description = "A page", body = Paged<Job>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    Query(of): Query<OfDataset>,
    paging: Paging,
) -> Result<axum::Json<Paged<Job>>, Problem> {
    let dataset = match of.dataset.filter(|d| !d.is_empty()) {
        Some(key) => {
            let dataset = services.store.dataset(&key).await?;
            if let Some(account) = viewer.limited_to()
                && services.store.role_in(account, &key).await?.is_none()
            {
                return Err(Problem::not_found("dataset", key));
            }
            Some(dataset.id)
        }
        None => None,
    };
    let before: Option<Uuid> = paging.after("jobs")?;
    let page = services.store.jobs(viewer.limited_to(), dataset, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("jobs", page)))
}

/// One job
#[utoipa::path(get, path = "/jobs/{job}", tag = "jobs", params(("job" = Uuid, Path)),
    responses((status = 200, description = "The job", body = Job)))]
async fn one(State(services): State<Services>, Path(job): Path<Uuid>) -> Result<axum::Json<Job>, Problem> {
    Ok(axum::Json(services.store.job(job).await?))
}

/// Cancel a job
///
/// A queued job is cancelled at once, a running one stops at its next batch; an ended one is left
/// as it is.
#[utoipa::path(post, path = "/jobs/{job}/cancel", tag = "jobs", params(("job" = Uuid, Path)),
    responses((status = 200, description = "The job as it is now", body = Job)))]
async fn cancel(State(services): State<Services>, Path(job): Path<Uuid>) -> Result<axum::Json<Job>, Problem> {
    Ok(axum::Json(services.store.cancel_job(job).await?))
}

/// The log of a job
///
/// Oldest line first.
#[utoipa::path(get, path = "/jobs/{job}/log", tag = "jobs", params(("job" = Uuid, Path), LogParams),
    responses((status = 200, description = "Lines", body = LogPage)))]
async fn log(
    State(services): State<Services>,
    Path(job): Path<Uuid>,
    Query(LogParams { after, limit }): Query<LogParams>,
) -> Result<axum::Json<LogPage>, Problem> {
    let limit = check_limit(limit)?;
    let job = services.store.job(job).await?;
    let mut items = services.store.job_log_lines(job.id, after.unwrap_or(0), limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|l| l.id) } else { None };
    Ok(axum::Json(LogPage { items, next }))
}

/// The epochs of the networks that a job trains
///
/// In the order in which they ended.
#[utoipa::path(get, path = "/jobs/{job}/curves", tag = "jobs", params(("job" = Uuid, Path), CurveParams),
    responses((status = 200, description = "Epochs", body = CurvePage)))]
async fn curves(
    State(services): State<Services>,
    Path(job): Path<Uuid>,
    Query(CurveParams { after, limit }): Query<CurveParams>,
) -> Result<axum::Json<CurvePage>, Problem> {
    let limit = check_limit(limit)?;
    let job = services.store.job(job).await?;
    let mut items = services.store.curves(job.id, after.unwrap_or(0), limit + 1).await?;
    let limit = usize::try_from(limit).unwrap_or(0);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|c| c.id) } else { None };
    Ok(axum::Json(CurvePage { items, next }))
}

/// Rows that an import refused
///
/// In file order.
#[utoipa::path(get, path = "/jobs/{job}/import-errors", tag = "jobs", params(("job" = Uuid, Path), PageParams),
    responses((status = 200, description = "A page", body = Paged<ImportError>)))]
async fn import_errors(
    State(services): State<Services>,
    Path(job): Path<Uuid>,
    paging: Paging,
) -> Result<axum::Json<Paged<ImportError>>, Problem> {
    let job = services.store.job(job).await?;
    let after: i32 = paging.after("import-errors")?.unwrap_or(-1);
    let page = services.store.import_errors(job.id, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("import-errors", page)))
}

/// All rows that an import refused, as JSONL
#[utoipa::path(get, path = "/jobs/{job}/import-errors.jsonl", tag = "jobs", params(("job" = Uuid, Path)),
    responses((status = 200, description = "One JSON object a line", content_type = "application/x-ndjson", body = ImportError)))]
async fn import_errors_file(
    State(services): State<Services>,
    Path(job): Path<Uuid>,
) -> Result<Response, Problem> {
    let job = services.store.job(job).await?;
    let pages = futures::stream::try_unfold(Some(-1), move |after: Option<i32>| {
        let (store, job) = (services.store.clone(), job.id);
        async move {
            let Some(after) = after else { return Ok(None) };
            let page =
                store.import_errors(job, after, ERRORS_AT_ONCE).await.map_err(std::io::Error::other)?;
            let mut lines = Vec::new();
            for error in &page.items {
                serde_json::to_writer(&mut lines, error)?;
                lines.push(b'\n');
            }
            let next = page.next.and_then(|n| n.parse().ok());
            Ok::<_, std::io::Error>(Some((bytes::Bytes::from(lines), next)))
        }
    });
    let body = Body::from_stream(pages.inspect_err(|error| tracing::error!(%error, "a download broke off")));
    let name = format!("attachment; filename=\"import-errors-{}.jsonl\"", job.id);
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (header::CONTENT_DISPOSITION, name)],
        body,
    )
        .into_response())
}
