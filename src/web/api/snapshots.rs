//! Snapshots: immutable versions of all current labels.

use axum::extract::{Extension, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::author;
use super::queue::audience;
use crate::jobs::revert::{self, Change, ChangeCount, ChangeFilter, Reverted};
use crate::jobs::{Services, snapshot};
use crate::store::snapshots::Snapshot;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Json, Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one))
        .routes(routes!(changes))
        .routes(routes!(restore))
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

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ChangesFilter {
    /// Id of the snapshot to compare with, or its first eight digits or more; left out: the parent.
    against: Option<String>,
    /// Only samples of this class there; empty: not among the labelled there.
    from: Option<String>,
    /// Only samples of this class here; empty: not among the labelled here.
    to: Option<String>,
}

/// What changed between two snapshots.
#[derive(Debug, Serialize, ToSchema)]
struct Changes {
    /// The other snapshot; null: a first one, compared with nothing.
    against: Option<String>,
    /// Samples whose class differs.
    changed: usize,
    /// By classes, most samples first.
    counts: Vec<ChangeCount>,
    /// The samples, in byte order of their ids.
    items: Vec<Change>,
    /// Pass it as `cursor` for the page after this one; null on the last page.
    next: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "the bulk action of Tuesday was wrong"}))]
struct RestoreRequest {
    /// Why, for people.
    #[schema(min_length = 1, max_length = 1000)]
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

/// What changed
///
/// From the parent, or from the snapshot `against`, to this one: how many samples went from which class to
/// which, and the samples themselves; for annotators without those that show what somebody decided on a sample that
/// they may be asked about without knowing.
#[utoipa::path(get, path = "/datasets/{dataset}/snapshots/{snapshot}/changes", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"),
           ("snapshot" = String, Path, description = "Id, or its first eight digits or more"), ChangesFilter, PageParams),
    responses((status = 200, description = "The difference", body = Changes)))]
async fn changes(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, snapshot)): Path<(String, String)>,
    Query(filter): Query<ChangesFilter>,
    paging: Paging,
) -> Result<axum::Json<Changes>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let new = services.store.snapshot(dataset.id, &snapshot).await?;
    let old = match filter.against.as_deref().or(new.parent.as_deref()) {
        Some(id) => Some(services.store.snapshot(dataset.id, id).await?),
        None => None,
    };
    let class = |asked: Option<String>| asked.map(|c| Some(c).filter(|c| !c.is_empty()));
    let wanted = ChangeFilter { from: class(filter.from), to: class(filter.to) };
    let after: Option<String> = paging.after("changes")?;
    let mut diff = revert::diff(&services, old.as_ref(), &new, wanted, after, paging.limit).await?;
    diff.tell(&services, dataset.id, audience(&viewer, role)).await?;
    let page = Paged::of("changes", diff.page);
    Ok(axum::Json(Changes {
        against: old.map(|s| s.id),
        changed: diff.changed,
        counts: diff.counts,
        items: page.items,
        next: page.next,
    }))
}

/// Go back to a snapshot
///
/// The current labels of its samples become what they were; samples that came since stay as they are.
/// Nothing is overwritten: labels and decisions that came since are taken back, and stay in the history; samples that
/// only such decisions spoke for wait in the queue again. The labels before
/// are kept as a snapshot (`before`), to which one can go back in turn. The same again changes nothing.
#[utoipa::path(post, path = "/datasets/{dataset}/snapshots/{snapshot}/restore", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"),
           ("snapshot" = String, Path, description = "Id, or its first eight digits or more")),
    request_body = RestoreRequest,
    responses((status = 200, description = "What was done", body = Reverted)))]
async fn restore(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, snapshot)): Path<(String, String)>,
    Json(request): Json<RestoreRequest>,
) -> Result<axum::Json<Reverted>, Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let snapshot = services.store.snapshot(dataset.id, &snapshot).await?;
    let reason = request.reason.trim();
    if reason.is_empty() || reason.chars().count() > 1000 {
        return Err(Problem::invalid("reason", "reason", "say why, in 1 to 1000 characters"));
    }
    Ok(axum::Json(revert::revert(&services, dataset.id, &snapshot, &author, reason).await?))
}
