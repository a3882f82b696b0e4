//! The queue of reviewing: drawing samples, the leases under which they are held, what is put in front, and
//! the policy of second looks.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::author;
use crate::domain::{Policy, PolicyForm, Role, Viewer};
use crate::jobs::Services;
use crate::store::policies::PolicyVersion;
use crate::store::queue::{Draw, Drawn, DrawnItem, FillOrder, Filled, QueueStatus};
use crate::store::suspects::SuspectFilter;
use crate::store::telling::Audience;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Json, JsonOrDefault, Path};

/// Samples that one tab holds at most.
const MAX_HELD: i64 = 4;
/// Samples that one request puts in front at most.
const MAX_FILL: i64 = 100_000;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(draw))
        .routes(routes!(extend))
        .routes(routes!(release))
        .routes(routes!(fill))
        .routes(routes!(policy, put_policy))
}

/// The role of whoever asks is this or more.
pub(super) fn is_at_least(role: Role, viewer: &Viewer, has: Option<Role>) -> bool {
    viewer.admin || has.is_some_and(|r| r >= role)
}

/// What whoever asks may be told of others' decisions.
pub(super) fn audience(viewer: &Viewer, has: Option<Role>) -> Audience<'_> {
    if is_at_least(Role::Reviewer, viewer, has) {
        Audience::Knowing
    } else {
        Audience::Annotator(&viewer.name)
    }
}

/// How the queue stands
///
/// Who holds what is told to leads only.
#[utoipa::path(get, path = "/datasets/{dataset}/queue", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Counts", body = QueueStatus)))]
async fn status(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<QueueStatus>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let lead = is_at_least(Role::Lead, &viewer, role);
    Ok(axum::Json(services.store.queue_status(dataset.id, lead).await?))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"holder": "0192f0c1-2f6e-7cc0-8000-5d2b6d1f0a11", "count": 3}))]
struct DrawRequest {
    /// Made by each browser tab: two tabs of one person get different samples.
    holder: Uuid,
    /// How many the tab wants to hold in all.
    #[schema(minimum = 1, maximum = 4)]
    count: i64,
    /// Only from this batch.
    #[serde(default)]
    batch: Option<Uuid>,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// Draw samples to review
///
/// First what the tab holds and has not decided, its leases renewed, then others, until it holds `count`. A
/// sample is with one person at a time. A lease that is not renewed runs out and the sample comes back.
#[utoipa::path(post, path = "/datasets/{dataset}/queue/draw", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")), request_body = DrawRequest,
    responses((status = 200, description = "What the tab holds now", body = Drawn)))]
async fn draw(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Json(request): Json<DrawRequest>,
) -> Result<axum::Json<Drawn>, Problem> {
    if !(1..=MAX_HELD).contains(&request.count) {
        return Err(Problem::invalid("count", "count_range", format!("count must be 1 to {MAX_HELD}")));
    }
    let dataset = services.store.dataset(&dataset).await?;
    let draw = Draw {
        dataset: dataset.id,
        may_adjudicate: is_at_least(Role::Reviewer, &viewer, role),
        person: author(&viewer, request.author)?,
        holder: request.holder,
        count: request.count,
        batch: request.batch,
        minutes: services.config.review.lease_minutes,
    };
    Ok(axum::Json(services.store.draw(&draw).await?))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct LeaseRequest {
    /// Of a release: not again for this person before the others.
    skip: bool,
    /// Only before there are accounts; then it is whoever asks.
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// Hold a sample longer
#[utoipa::path(post, path = "/datasets/{dataset}/queue/leases/{lease}/extend", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"), ("lease" = Uuid, Path)),
    request_body = Option<LeaseRequest>,
    responses((status = 200, description = "Renewed", body = DrawnItem),
              (status = 409, description = "Somebody else has the sample, or it is decided", body = crate::web::error::ProblemBody, content_type = "application/problem+json")))]
async fn extend(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, lease)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<LeaseRequest>,
) -> Result<axum::Json<DrawnItem>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let person = author(&viewer, request.author)?;
    let minutes = services.config.review.lease_minutes;
    Ok(axum::Json(services.store.extend_lease(dataset.id, lease, &person, minutes).await?))
}

/// Give a sample back
///
/// With `skip` the person gets it again only after the others. A lease that is over is no error.
#[utoipa::path(post, path = "/datasets/{dataset}/queue/leases/{lease}/release", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"), ("lease" = Uuid, Path)),
    request_body = Option<LeaseRequest>, responses((status = 204, description = "Given back")))]
async fn release(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, lease)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<LeaseRequest>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let person = author(&viewer, request.author)?;
    services.store.release_lease(dataset.id, lease, &person, request.skip).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"order": "suspicion", "limit": 500, "filter": {"class": "sports"}}))]
struct FillRequest {
    order: FillOrder,
    #[schema(minimum = 1, maximum = 100000)]
    limit: i64,
    #[serde(default)]
    filter: SuspectFilter,
}

/// Put samples in front of the queue
///
/// Those of the last scan that pass the filter and nobody has decided, unless the filter names a status. After
/// them the order of review goes on by itself.
#[utoipa::path(post, path = "/datasets/{dataset}/queue/fill", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")), request_body = FillRequest,
    responses((status = 200, description = "They are in front", body = Filled)))]
async fn fill(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(request): Json<FillRequest>,
) -> Result<axum::Json<Filled>, Problem> {
    check_fill(request.limit)?;
    let dataset = services.store.dataset(&dataset).await?;
    let filled = services.store.fill_queue(dataset.id, request.order, &request.filter, request.limit).await?;
    Ok(axum::Json(filled))
}

pub(super) fn check_fill(limit: i64) -> Result<(), Problem> {
    if (1..=MAX_FILL).contains(&limit) {
        return Ok(());
    }
    Err(Problem::invalid("limit", "limit_range", format!("limit must be 1 to {MAX_FILL}, is {limit}")))
}

/// The policy of second looks
#[utoipa::path(get, path = "/datasets/{dataset}/policy", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "In force", body = PolicyVersion)))]
async fn policy(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<PolicyVersion>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.policy(dataset.id).await?))
}

/// Set the policy of second looks
///
/// It holds for samples whose first look comes from now on; second looks that were asked for stay asked for.
#[utoipa::path(put, path = "/datasets/{dataset}/policy", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")), request_body = PolicyForm,
    responses((status = 200, description = "In force", body = PolicyVersion)))]
async fn put_policy(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(form): Json<PolicyForm>,
) -> Result<axum::Json<PolicyVersion>, Problem> {
    let policy =
        Policy::try_from(&form).map_err(|e| Problem::invalid(e.field(), "bad_policy", e.to_string()))?;
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.set_policy(dataset.id, &policy, &viewer.name).await?))
}
