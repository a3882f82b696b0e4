//! Predictions: out-of-sample probabilities by somebody's own model, uploaded for a snapshot, which a scan
//! can use instead of heads of its own.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::author;
use super::uploads::read_form;
use crate::jobs::{Services, predictions};
use crate::store::predictions::PredictionSet;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::Path;
use crate::web::idempotency::{self, Key};
use crate::web::paging::{PageParams, Paged, Paging};

/// Longest name of a model, in characters.
const MAX_MODEL: usize = 200;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(create)).routes(routes!(list)).routes(routes!(one, delete))
}

/// Predictions as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document; the form is read as a stream")]
struct PredictionsForm {
    /// `.npy` (float16, 32 or 64; a row for each labelled sample of the snapshot in byte order of its
    /// external id, a column for each class in order), or Parquet with a text column `external_id` and a
    /// column for each class named by its id, rows and columns in any order. Rows sum to 1.
    #[schema(value_type = String, format = Binary)]
    array: Vec<u8>,
    /// Name of the model.
    #[schema(example = "swin-b, 5 folds", min_length = 1, max_length = 200)]
    model: String,
    /// `true`: each row was predicted by a model that was not trained on that sample.
    #[schema(example = true)]
    out_of_sample: bool,
    #[schema(default = "local")]
    author: Option<String>,
}

/// Upload predictions
///
/// Probabilities of your own model for every labelled sample of a snapshot. A model that was trained on
/// the samples it predicts repeats their labels, wrong ones too, so `out_of_sample` must be said.
#[utoipa::path(post, path = "/datasets/{dataset}/snapshots/{snapshot}/predictions", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"),
           ("snapshot" = String, Path, description = "Id, or its first eight digits or more")),
    request_body(content((PredictionsForm = "multipart/form-data"))),
    responses((status = 201, description = "Checked and kept", body = PredictionSet,
        headers(("Location" = String, description = "Its address")))))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, snapshot)): Path<(String, String)>,
    key: Option<Key>,
    request: Request,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let snapshot = services.store.snapshot(dataset.id, &snapshot).await?;
    let mut form = read_form(&services, request, &["model", "out_of_sample", "author"], &["array"]).await?;
    let hash = form.hash();
    match form.values.remove("out_of_sample").as_deref().map(str::trim) {
        Some("true" | "1" | "on") => {}
        _ => {
            return Err(Problem::invalid(
                "out_of_sample",
                "not_out_of_sample",
                "predictions must be out of sample: each row by a model that was not trained on that sample \
                 (cross-validation), else it repeats wrong labels instead of finding them; \
                 say out_of_sample=true if they are",
            ));
        }
    }
    let model = form.values.remove("model").unwrap_or_default().trim().to_owned();
    if !(1..=MAX_MODEL).contains(&model.chars().count()) || model.chars().any(char::is_control) {
        let why = format!("the model's name is 1 to {MAX_MODEL} characters without control characters");
        return Err(Problem::invalid("model", "model", why));
    }
    let author = author(&viewer, form.values.remove("author"))?;
    let file = form
        .files
        .remove("array")
        .ok_or_else(|| Problem::invalid("array", "array_missing", "a file of probabilities is needed"))?;
    let (on, work) = (services.clone(), async move {
        let set = predictions::add(&services, dataset.id, &snapshot, &file, &model, &author).await?;
        let location = format!("/api/v1/datasets/{}/predictions/{}", dataset.id, set.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], axum::Json(set)).into_response())
    });
    idempotency::once(&on, key, &hash, work).await
}

/// List predictions
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/predictions", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<PredictionSet>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<PredictionSet>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<Uuid> = paging.after("predictions")?;
    let page = services.store.prediction_sets(dataset.id, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("predictions", page)))
}

/// One set of predictions
#[utoipa::path(get, path = "/datasets/{dataset}/predictions/{predictions}", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("predictions" = Uuid, Path)),
    responses((status = 200, description = "What it is of", body = PredictionSet)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, id)): Path<(String, Uuid)>,
) -> Result<axum::Json<PredictionSet>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.prediction_set(dataset.id, id).await?))
}

/// Delete predictions
///
/// Scans that used them keep their findings.
#[utoipa::path(delete, path = "/datasets/{dataset}/predictions/{predictions}", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), ("predictions" = Uuid, Path)),
    responses((status = 204, description = "Gone")))]
async fn delete(
    State(services): State<Services>,
    Path((dataset, id)): Path<(String, Uuid)>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let set = services.store.prediction_set(dataset.id, id).await?;
    predictions::delete(&services, dataset.id, &set).await?;
    Ok(StatusCode::NO_CONTENT)
}
