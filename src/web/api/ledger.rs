//! The ledger of what was tried, and what to do next.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::jobs::Services;
use crate::jobs::ledger::{Experiment, write_down};
use crate::jobs::next::{NextReport, next};
use crate::store::ledger::Entry;
use crate::web::access::Who;
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(what_next))
}

/// List the ledger
///
/// Each training and each experiment that was written down, newest first: what was tried, the gain in mean F1
/// that was expected, the one that was measured with a 95 % interval, and what it cost. A training is
/// measured against the one before it on samples that neither learnt from, with the labels of now.
#[utoipa::path(get, path = "/datasets/{dataset}/ledger", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Entry>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Entry>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<Uuid> = paging.after("ledger")?;
    let page = services.store.ledger(dataset.id, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("ledger", page)))
}

/// Write an experiment down
///
/// One that was run elsewhere, with the gain of each of its seeds; predictions of what to do next rest on it
/// as on the trainings here.
#[utoipa::path(post, path = "/datasets/{dataset}/ledger", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = Experiment,
    responses((status = 201, description = "Written", body = Entry),
              (status = 422, description = "A field is wrong", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(experiment): Json<Experiment>,
) -> Result<(StatusCode, axum::Json<Entry>), Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let entry = write_down(&services, dataset.id, experiment, &viewer.name).await?;
    Ok((StatusCode::CREATED, axum::Json(entry)))
}

/// What to do next
///
/// Actions, most worth first: by predicted gain in mean F1 per hour of people and machine. A gain is
/// predicted only from what was measured in this dataset; actions without one come last, with what speaks
/// for them.
#[utoipa::path(get, path = "/datasets/{dataset}/next", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Ranked actions", body = NextReport)))]
async fn what_next(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<NextReport>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(next(&services, dataset.id).await?))
}
