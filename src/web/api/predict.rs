//! Predictions by a trained model, answered at once.

use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::jobs::Services;
use crate::jobs::predict::{PredictArgs, Predictions, predict};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{Json, Path};

/// Longest body, in bytes: a thousand rows of a few thousand numbers.
pub(super) const MAX_BODY: usize = 64 << 20;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(answer))
}

/// Predict
///
/// Classes and probabilities by a trained model, for up to 1000 samples whose embeddings are stored or as
/// many vectors. The model is the ONNX file of the training, run in ONNX Runtime. A row that cannot be
/// predicted is named in `errors`, such as `samples[3]` or `vectors[0][7]`.
#[utoipa::path(post, path = "/datasets/{dataset}/predict", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = PredictArgs,
    responses((status = 200, description = "Answers in the order of the rows", body = Predictions),
              (status = 409, description = "Nothing has been trained yet", body = ProblemBody,
                  content_type = "application/problem+json"),
              (status = 422, description = "A row cannot be predicted", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn answer(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(args): Json<PredictArgs>,
) -> Result<axum::Json<Predictions>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(predict(&services, dataset.id, args).await?))
}
