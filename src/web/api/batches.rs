//! Batches of the queue.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::NaiveDate;
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::check_author;
use super::queue::check_fill;
use crate::jobs::Services;
use crate::store::batches::{Batch, BatchChange, NewBatch};
use crate::store::queue::FillOrder;
use crate::store::suspects::SuspectFilter;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

/// Urgency has bounds, so that places within a batch never reach into another.
const PRIORITIES: std::ops::RangeInclusive<i16> = -100..=100;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one, change))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "sports, week 12", "owner": "li", "priority": 1, "due_on": "2026-12-04",
    "order": "value", "limit": 500, "filter": {"class": "sports"}}))]
struct BatchRequest {
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Who works through it; anybody when left out.
    #[serde(default)]
    owner: Option<String>,
    /// Higher first; 0 is that of samples in no batch.
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    priority: i16,
    #[serde(default)]
    due_on: Option<NaiveDate>,
    order: FillOrder,
    /// Samples at most.
    #[schema(minimum = 1, maximum = 100000)]
    limit: i64,
    #[serde(default)]
    filter: SuspectFilter,
}

/// What is said of a field that may be set to null.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(d).map(Some)
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchPatch {
    #[serde(default)]
    name: Option<String>,
    /// Null: anybody.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<String>)]
    owner: Option<Option<String>>,
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i16>,
    /// Null: none.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<NaiveDate>)]
    due_on: Option<Option<NaiveDate>>,
    /// What nobody has taken of it goes back to the order of review. It cannot be opened again.
    #[serde(default)]
    closed: bool,
}

fn check(name: Option<&str>, owner: Option<&str>, priority: Option<i16>) -> Result<(), Problem> {
    if let Some(name) = name
        && check_author(name).is_err()
    {
        return Err(Problem::invalid(
            "name",
            "batch_name",
            "a name is 1 to 100 characters without control characters",
        ));
    }
    if let Some(owner) = owner
        && check_author(owner).is_err()
    {
        return Err(Problem::invalid("owner", "author", "an owner is the name of a person"));
    }
    if priority.is_some_and(|p| !PRIORITIES.contains(&p)) {
        return Err(Problem::invalid("priority", "priority_range", "priority must be -100 to 100"));
    }
    Ok(())
}

/// Batches, newest first
#[utoipa::path(get, path = "/datasets/{dataset}/batches", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Batch>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Batch>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let page = services.store.batches(dataset.id, paging.after("batches")?, paging.limit).await?;
    Ok(axum::Json(Paged::of("batches", page)))
}

/// Make a batch
///
/// Of the samples of the last scan that pass the filter, wait for a decision, and are in no other batch.
#[utoipa::path(post, path = "/datasets/{dataset}/batches", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name")), request_body = BatchRequest,
    responses((status = 201, description = "Made", body = Batch)))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<BatchRequest>,
) -> Result<(StatusCode, axum::Json<Batch>), Problem> {
    check(Some(&request.name), request.owner.as_deref(), Some(request.priority))?;
    check_fill(request.limit)?;
    let dataset = services.store.dataset(&dataset).await?;
    let new = NewBatch {
        name: request.name,
        owner: request.owner,
        priority: request.priority,
        due_on: request.due_on,
        order: request.order,
        limit: request.limit,
        filter: request.filter,
    };
    let batch = services.store.make_batch(dataset.id, &new, &viewer.name).await?;
    Ok((StatusCode::CREATED, axum::Json(batch)))
}

/// A batch with its progress
#[utoipa::path(get, path = "/datasets/{dataset}/batches/{batch}", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"), ("batch" = Uuid, Path)),
    responses((status = 200, description = "As it stands", body = Batch)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, batch)): Path<(String, Uuid)>,
) -> Result<axum::Json<Batch>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.batch(dataset.id, batch).await?))
}

/// Change or close a batch
#[utoipa::path(patch, path = "/datasets/{dataset}/batches/{batch}", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"), ("batch" = Uuid, Path)),
    request_body = BatchPatch, responses((status = 200, description = "Changed", body = Batch)))]
async fn change(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, batch)): Path<(String, Uuid)>,
    Json(patch): Json<BatchPatch>,
) -> Result<axum::Json<Batch>, Problem> {
    let owner = patch.owner.as_ref().and_then(Option::as_deref);
    check(patch.name.as_deref(), owner, patch.priority)?;
    let dataset = services.store.dataset(&dataset).await?;
    let change = BatchChange {
        name: patch.name,
        owner: patch.owner,
        priority: patch.priority,
        due_on: patch.due_on,
        closed: patch.closed,
    };
    Ok(axum::Json(services.store.change_batch(dataset.id, batch, &change, &viewer.name).await?))
}
