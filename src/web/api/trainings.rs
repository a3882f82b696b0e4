//! Trainings: recipe, metrics, and the model as an ONNX file.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, check_snapshot};
use crate::jobs::Services;
use crate::jobs::train::TrainArgs;
use crate::store::jobs::Job;
use crate::store::trainings::Training;
use crate::web::blob::{self, Download};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{JsonOrDefault, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one)).routes(routes!(model))
}

/// List trainings
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/trainings", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Training>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Training>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<Uuid> = paging.after("trainings")?;
    let page = services.store.trainings(dataset.id, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("trainings", page)))
}

/// Train
///
/// The body may be left out: then the default recipe on the current labels.
#[utoipa::path(post, path = "/datasets/{dataset}/trainings", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = Option<TrainArgs>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    JsonOrDefault(args): JsonOrDefault<TrainArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    check_snapshot(&services, dataset.id, args.snapshot.as_deref()).await?;
    let job = services.enqueue_train(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// One training with its metrics
#[utoipa::path(get, path = "/datasets/{dataset}/trainings/{training}", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path)),
    responses((status = 200, description = "The training", body = Training)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, training)): Path<(String, Uuid)>,
) -> Result<axum::Json<Training>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.training(dataset.id, training).await?))
}

/// The model
#[utoipa::path(get, path = "/datasets/{dataset}/trainings/{training}/model.onnx", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path)),
    responses((status = 200, description = "An ONNX file", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the file", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn model(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, training)): Path<(String, Uuid)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let training = services.store.training(dataset.id, training).await?;
    let download = Download {
        blob: &training.onnx_blob,
        content_type: "application/octet-stream",
        attachment: Some(format!("{}-{}.onnx", dataset.name, training.id)),
        etag: None,
        version: None,
    };
    blob::respond(&services.blobs, &method, &headers, download).await
}
