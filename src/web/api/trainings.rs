//! Trainings: recipe, metrics, and the model as an ONNX file.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, check_snapshot};
use crate::jobs::Services;
use crate::jobs::bundle::{self as bundles, BundleArgs};
use crate::jobs::judge::{self, TrainingReport};
use crate::jobs::train::ablate::AblateArgs;
use crate::jobs::train::{Distillation, TrainArgs};
use crate::store::StoreError;
use crate::store::jobs::Job;
use crate::store::trainings::Training;
use crate::web::blob::{self, Download};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{Json, JsonOrDefault, Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(distil))
        .routes(routes!(ablate))
        .routes(routes!(one))
        .routes(routes!(report))
        .routes(routes!(model))
        .routes(routes!(bundle))
        .routes(routes!(bundle_file))
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

/// A student and its teachers.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DistilArgs {
    /// The student: one network with one seed, as a recipe in TOML or the name of a preset. Default `single`.
    recipe: Option<String>,
    /// Labels of this snapshot (id or prefix) instead of the current ones.
    snapshot: Option<String>,
    /// What it is tried for, at most 400 characters; stands in the ledger.
    hypothesis: Option<String>,
    /// Gain in mean F1 over the training before that is expected, in [-1, 1].
    expected_gain: Option<f64>,
    teachers: Vec<Uuid>,
    temperature: Option<f32>,
    hard_share: Option<f32>,
    quota: Option<usize>,
    rounds: Option<usize>,
    finetune: Option<bool>,
}

/// Distil
///
/// A student learns what earlier trainings say of the samples without labels, and the labels themselves. Its result
/// is a training. One teacher of the student's own family is refused: it only repeats its own mistakes.
#[utoipa::path(post, path = "/datasets/{dataset}/distillations", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = DistilArgs,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn distil(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(args): Json<DistilArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    check_snapshot(&services, dataset.id, args.snapshot.as_deref()).await?;
    for (i, teacher) in args.teachers.iter().enumerate() {
        if let Err(StoreError::NotFound { .. }) = services.store.training(dataset.id, *teacher).await {
            let why = format!("there is no training {teacher} in this dataset");
            return Err(Problem::invalid(&format!("teachers[{i}]"), "unknown_training", why));
        }
    }
    let plain = Distillation::of(args.teachers);
    let distillation = Distillation {
        temperature: args.temperature.unwrap_or(plain.temperature),
        hard_share: args.hard_share.unwrap_or(plain.hard_share),
        quota: args.quota.unwrap_or(plain.quota),
        rounds: args.rounds.unwrap_or(plain.rounds),
        finetune: args.finetune.unwrap_or(plain.finetune),
        ..plain
    };
    let args = TrainArgs {
        recipe: Some(args.recipe.unwrap_or_else(|| "single".to_owned())),
        snapshot: args.snapshot,
        hypothesis: args.hypothesis,
        expected_gain: args.expected_gain,
        distillation: Some(distillation),
    };
    let job = services.enqueue_train(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// Ablate
///
/// Sets every option of a recipe otherwise in turn, with several seeds on the same samples; what each is worth, with
/// its interval over the seeds, becomes lines of the ledger.
#[utoipa::path(post, path = "/datasets/{dataset}/ablations", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = Option<AblateArgs>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn ablate(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    JsonOrDefault(args): JsonOrDefault<AblateArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    check_snapshot(&services, dataset.id, args.snapshot.as_deref()).await?;
    let job = services.enqueue_ablate(dataset.id, &args).await?;
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

/// What its answers say
///
/// On the held-out samples, with the labels of then: intervals, calibration, thresholds, what is taken for what, errors
/// by cause. Cells and causes name their samples as selections. 404 for a training of an older version.
#[utoipa::path(get, path = "/datasets/{dataset}/trainings/{training}/report", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path)),
    responses((status = 200, description = "The report", body = TrainingReport)))]
async fn report(
    State(services): State<Services>,
    Path((dataset, training)): Path<(String, Uuid)>,
) -> Result<axum::Json<TrainingReport>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let training = services.store.training(dataset.id, training).await?;
    let report = judge::report(&services, &training).await?;
    let report = report.ok_or_else(|| StoreError::not_found("report", training.id.to_string()))?;
    Ok(axum::Json(report))
}

#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct WhichModel {
    /// Of an ensemble, from 0; each file's metadata say its weight (`ensemble`).
    #[serde(default)]
    #[param(minimum = 0, default = 0)]
    member: usize,
}

/// The model
///
/// One ONNX file; an ensemble has one for each member.
#[utoipa::path(get, path = "/datasets/{dataset}/trainings/{training}/model.onnx", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path), WhichModel),
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
    Query(which): Query<WhichModel>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let training = services.store.training(dataset.id, training).await?;
    let models = &training.models.0;
    let file = models.get(which.member).ok_or_else(|| {
        let why = format!("the training has {} models, numbered from 0", models.len());
        Problem::invalid("member", "member", why)
    })?;
    let name = match models.len() {
        1 => format!("{}-{}.onnx", dataset.name, training.id),
        _ => format!("{}-{}-{}.onnx", dataset.name, training.id, which.member),
    };
    let download = Download {
        blob: &file.blob,
        content_type: "application/octet-stream",
        attachment: Some(name),
        etag: None,
        version: None,
    };
    blob::respond(&services.blobs, &method, &headers, download).await
}

/// Bundle
///
/// Puts the training and its encoders into one ONNX file, pictures and text in, probabilities out, and tries it on up
/// to 1,000 of the samples that the training was measured on. What goes in stands in the file's metadata (`bundle`).
#[utoipa::path(post, path = "/datasets/{dataset}/trainings/{training}/bundle", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path)),
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn bundle(
    State(services): State<Services>,
    Path((dataset, training)): Path<(String, Uuid)>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let training = services.store.training(dataset.id, training).await?.id;
    let job = services.enqueue_bundle(dataset.id, &BundleArgs { training }).await?;
    accepted(&services, job).await
}

/// The bundle
///
/// 404 until it has been made.
#[utoipa::path(get, path = "/datasets/{dataset}/trainings/{training}/bundle.onnx", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("training" = Uuid, Path)),
    responses((status = 200, description = "An ONNX file", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the file", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn bundle_file(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, training)): Path<(String, Uuid)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let training = services.store.training(dataset.id, training).await?;
    if training.bundle.is_none() {
        return Err(StoreError::not_found("bundle", training.id.to_string()).into());
    }
    let blob = bundles::blob(dataset.id, training.id);
    let download = Download {
        blob: &blob,
        content_type: "application/octet-stream",
        attachment: Some(format!("{}-{}-bundle.onnx", dataset.name, training.id)),
        etag: None,
        version: None,
    };
    blob::respond(&services.blobs, &method, &headers, download).await
}
