//! Sets of samples, and one decision on all of a set: look at it, try it, do it, take it back.

use axum::extract::{Extension, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::author;
use super::queue::audience;
use crate::domain::BulkAction;
use crate::jobs::Services;
use crate::jobs::bulk::BulkBegun;
use crate::store::bulk::{Bulk, BulkFilter, BulkPreview, NewBulk};
use crate::store::jobs::Job;
use crate::store::sets::{GridTile, SampleSet, Selection};
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Json, JsonOrDefault, Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

/// Ids that one request may name to be decided on, or left out.
const MAX_LISTED: usize = 10_000;
/// Ids of a selection, and room for them in a body.
const MAX_SELECTED: usize = 1_000_000;
pub(super) const MAX_SELECTION_BODY: usize = 16 << 20;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(grid))
        .routes(routes!(list, decide))
        .routes(routes!(one))
        .routes(routes!(undo))
        .routes(routes!(selection))
}

/// Apart, for its longer bodies.
pub(super) fn selections() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(select))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct SetParam {
    /// Which samples, as JSON: `{"of": "suspects", "given": "cat", "suggested": "dog", "all": true}`,
    /// `{"of": "samples", "text": "skate"}`, `{"of": "duplicates", "sample": 7}`,
    /// `{"of": "selection", "selection": "…"}`.
    set: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "client_id": "0192f0c1-2f6e-7cc0-8000-5d2b6d1f0a11", "action": "relabel", "class": "sports/skating",
    "set": {"of": "suspects", "cluster": 12, "all": true}, "dry_run": true
}))]
struct BulkRequest {
    /// Made by the client, one for each decision.
    client_id: Uuid,
    action: BulkAction,
    /// For `relabel`: a leaf of the taxonomy.
    #[serde(default)]
    class: Option<String>,
    set: SampleSet,
    /// Internal ids of samples of the set that are left out; at most 10,000.
    #[serde(default)]
    except: Vec<i64>,
    /// How many samples the set had when it was looked at: nothing is done where it has more or fewer by now.
    #[serde(default)]
    expected: Option<i64>,
    /// Only say what would change.
    #[serde(default)]
    dry_run: bool,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct UndoRequest {
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SelectionRequest {
    /// Internal ids, 1 to 1,000,000.
    samples: Vec<i64>,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// What a decision did, goes on doing, or would do.
#[derive(Debug, Serialize, ToSchema)]
struct BulkAnswer {
    /// Of a dry run.
    preview: Option<BulkPreview>,
    /// The decision as it is now.
    bulk: Option<Bulk>,
    /// The job that goes on with it, where there are many samples.
    job: Option<Job>,
}

impl BulkAnswer {
    async fn of(services: &Services, begun: BulkBegun) -> Result<(StatusCode, axum::Json<Self>), Problem> {
        let job = match begun.job {
            Some(id) => Some(services.store.job(id).await?),
            None => None,
        };
        let status = if job.is_some() { StatusCode::ACCEPTED } else { StatusCode::OK };
        Ok((status, axum::Json(Self { preview: None, bulk: Some(begun.bulk), job })))
    }
}

fn too_many(field: &str, most: usize) -> Problem {
    Problem::invalid(field, "too_many", format!("at most {most} samples can be named here"))
}

/// The samples of a set
///
/// Suspects in the order of review or of the kind of issue, the others in the order in which they came in.
#[utoipa::path(get, path = "/datasets/{dataset}/grid", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), SetParam, PageParams),
    responses((status = 200, description = "A page", body = Paged<GridTile>)))]
async fn grid(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Query(SetParam { set }): Query<SetParam>,
    paging: Paging,
) -> Result<axum::Json<Paged<GridTile>>, Problem> {
    let set: SampleSet =
        serde_json::from_str(&set).map_err(|e| Problem::invalid("set", "bad_set", e.to_string()))?;
    let dataset = services.store.dataset(&dataset).await?;
    let after: i64 = paging.after("tiles")?.unwrap_or(0);
    let audience = audience(&viewer, role);
    let page = services.store.set_tiles(dataset.id, &set, audience, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("tiles", page)))
}

/// Decisions on many samples
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/bulk", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Bulk>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Bulk>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<i64> = paging.after("bulk")?;
    let page = services.store.bulks(dataset.id, None, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("bulk", page)))
}

/// Decide on many samples
///
/// `keep` vouches for the current label and `relabel` gives a class, by a label of the source `annotator`;
/// labels that several people settled together are left alone. `exclude` leaves the
/// samples out of snapshots, hence of scans, trainings and exports. All of it at once, or nothing: up to 2,000
/// samples before the answer, more as a job of the same id. The same `client_id` again answers as it is now
/// and changes nothing. 409 `set_changed` where the set no longer has the `expected` number of samples.
#[utoipa::path(post, path = "/datasets/{dataset}/bulk", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name")), request_body = BulkRequest,
    responses((status = 200, description = "Done, or tried", body = BulkAnswer),
              (status = 202, description = "Its job is queued", body = BulkAnswer)))]
async fn decide(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<BulkRequest>,
) -> Result<(StatusCode, axum::Json<BulkAnswer>), Problem> {
    let author = author(&viewer, request.author)?;
    match (request.action, &request.class) {
        (BulkAction::Relabel, None) => {
            return Err(Problem::invalid("class", "class_missing", "relabel takes a class"));
        }
        (BulkAction::Keep | BulkAction::Exclude, Some(_)) => {
            return Err(Problem::invalid("class", "class_not_taken", "only relabel takes a class"));
        }
        _ => {}
    }
    if matches!(&request.set, SampleSet::Listed { samples } if samples.len() > MAX_LISTED) {
        return Err(too_many("set", MAX_LISTED));
    }
    if request.except.len() > MAX_LISTED {
        return Err(too_many("except", MAX_LISTED));
    }
    let dataset = services.store.dataset(&dataset).await?;
    let filter = BulkFilter { set: request.set, except: request.except };
    if request.dry_run {
        let class = request.class.as_deref();
        let preview = services.store.preview_bulk(dataset.id, request.action, class, &filter).await?;
        let answer = BulkAnswer { preview: Some(preview), bulk: None, job: None };
        return Ok((StatusCode::OK, axum::Json(answer)));
    }
    let new = NewBulk {
        client_id: request.client_id,
        author,
        action: request.action,
        class: request.class,
        filter,
    };
    BulkAnswer::of(&services, services.decide_in_bulk(dataset.id, &new, request.expected).await?).await
}

/// One decision on many samples
#[utoipa::path(get, path = "/datasets/{dataset}/bulk/{bulk}", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), ("bulk" = Uuid, Path)),
    responses((status = 200, description = "The decision", body = Bulk)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, bulk)): Path<(String, Uuid)>,
) -> Result<axum::Json<Bulk>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.bulk(dataset.id, bulk).await?))
}

/// Undo a decision on many samples
///
/// Its labels are retracted, its exclusions lifted; what anybody decided since stands. 409 `nothing_to_undo`
/// where it does not stand. The body may be left out.
#[utoipa::path(post, path = "/datasets/{dataset}/bulk/{bulk}/undo", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), ("bulk" = Uuid, Path)), request_body = Option<UndoRequest>,
    responses((status = 200, description = "Undone", body = BulkAnswer),
              (status = 202, description = "Its job is queued", body = BulkAnswer)))]
async fn undo(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, bulk)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<UndoRequest>,
) -> Result<(StatusCode, axum::Json<BulkAnswer>), Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    BulkAnswer::of(&services, services.undo_bulk(dataset.id, bulk, &author).await?).await
}

/// Keep a selection
///
/// A set of samples with an address; it never changes. Ids that are no samples of the dataset are left out.
#[utoipa::path(post, path = "/datasets/{dataset}/selections", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name")), request_body = SelectionRequest,
    responses((status = 201, description = "Kept", body = Selection, headers(("Location" = String, description = "The selection")))))]
async fn select(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<SelectionRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<Selection>), Problem> {
    let author = author(&viewer, request.author)?;
    if request.samples.len() > MAX_SELECTED {
        return Err(too_many("samples", MAX_SELECTED));
    }
    let dataset = services.store.dataset(&dataset).await?;
    let selection = services.store.insert_selection(dataset.id, &author, &request.samples).await?;
    let at = format!("/api/v1/datasets/{}/selections/{}", dataset.id, selection.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, at)], axum::Json(selection)))
}

/// One selection
///
/// Its samples are those of the set `{"of": "selection", …}`.
#[utoipa::path(get, path = "/datasets/{dataset}/selections/{selection}", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), ("selection" = Uuid, Path)),
    responses((status = 200, description = "The selection", body = Selection)))]
async fn selection(
    State(services): State<Services>,
    Path((dataset, selection)): Path<(String, Uuid)>,
) -> Result<axum::Json<Selection>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.selection(dataset.id, selection).await?))
}
