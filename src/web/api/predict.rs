//! Predictions by a trained model, answered at once: of samples, of vectors, of new clips.

use axum::extract::{Request, State};
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::uploads::{allowed_path, receive_form};
use crate::domain::{OcrLine, SampleText};
use crate::jobs::predict::{Ask, Clip, PredictArgs, Predictions, predict, read_clips};
use crate::jobs::{JobError, Services};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{Json, Path};

/// Longest JSON body, in bytes: a thousand rows of a few thousand numbers.
pub(super) const MAX_BODY: usize = 64 << 20;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(answer))
}

/// Takes uploads.
pub(super) fn clips_router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(answer_clips))
}

/// What to predict: one of `samples`, `vectors` (1 to 1000) and `clips` (1 to 100).
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PredictBody {
    /// The training whose model answers; left out: the newest of the dataset.
    training: Option<Uuid>,
    /// External ids of samples whose embeddings are stored.
    #[schema(example = json!(["clip-0001", "clip-0002"]))]
    samples: Option<Vec<String>>,
    /// Rows as the model reads them: the embeddings of a sample side by side in the order of `input`.
    vectors: Option<Vec<Vec<f32>>>,
    /// Clips that are in no dataset.
    clips: Option<Vec<ClipBody>>,
}

/// A new clip; what is left out counts as missing.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ClipBody {
    /// Comes back with the answer.
    id: Option<String>,
    #[serde(default)]
    title: String,
    #[serde(default)]
    asr: String,
    #[serde(default)]
    ocr: Vec<OcrLine>,
    /// A file on the server, under one of `server.import_roots`.
    video_path: Option<String>,
}

/// Predict
///
/// Classes and probabilities by a trained model, for samples whose embeddings are stored, as many vectors, or new
/// clips. The model is the ONNX file of the training, run in ONNX Runtime. A row that cannot be predicted is named
/// in `errors`, such as `samples[3]` or `vectors[0][7]`.
#[utoipa::path(post, path = "/datasets/{dataset}/predict", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")), request_body = PredictBody,
    responses((status = 200, description = "Answers in the order of the rows", body = Predictions),
              (status = 409, description = "Nothing has been trained yet, or an encoder is not on this machine",
                  body = ProblemBody, content_type = "application/problem+json"),
              (status = 422, description = "A row cannot be predicted", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn answer(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(body): Json<PredictBody>,
) -> Result<axum::Json<Predictions>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let ask = match (body.samples, body.vectors, body.clips) {
        (Some(samples), None, None) => Ask::Samples(samples),
        (None, Some(vectors), None) => Ask::Vectors(vectors),
        (None, None, Some(bodies)) => {
            let mut clips = Vec::with_capacity(bodies.len());
            for (i, c) in bodies.into_iter().enumerate() {
                let video = match &c.video_path {
                    Some(path) => {
                        Some(allowed_path(&services, &format!("clips[{i}].video_path"), path).await?)
                    }
                    None => None,
                };
                let text = SampleText { title: c.title, asr: c.asr, ocr: c.ocr };
                clips.push(Clip { id: c.id, text, video });
            }
            Ask::Clips(clips)
        }
        _ => {
            let why = "send one of `samples`, `vectors` and `clips`";
            return Err(Problem::invalid("samples", "one_kind_of_rows", why));
        }
    };
    let args = PredictArgs { training: body.training, ask };
    Ok(axum::Json(predict(&services, dataset.id, args).await?))
}

/// New clips as a form: one `video` with its texts, or `annotations` with a zip of videos.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document; the form is read as a stream")]
struct ClipsForm {
    /// The training whose model answers; left out: the newest of the dataset.
    training: Option<Uuid>,
    /// One clip.
    #[schema(value_type = Option<String>, format = Binary)]
    video: Option<Vec<u8>>,
    /// Of the one clip.
    title: Option<String>,
    asr: Option<String>,
    /// Of the one clip: the text that is seen in it.
    ocr: Option<String>,
    /// Several clips: JSON array, JSONL or CSV as for an import; labels are not read.
    #[schema(value_type = Option<String>, format = Binary)]
    annotations: Option<Vec<u8>>,
    /// A zip of their videos.
    #[schema(value_type = Option<String>, format = Binary)]
    media: Option<Vec<u8>>,
}

/// Predict new clips
///
/// Up to 100 clips as a form. They are decoded, encoded and forgotten; each gets the answer that it would get as a
/// sample of the dataset.
#[utoipa::path(post, path = "/datasets/{dataset}/predict/clips", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name")),
    request_body(content((ClipsForm = "multipart/form-data"))),
    responses((status = 200, description = "Answers in the order of the clips", body = Predictions),
              (status = 409, description = "Nothing has been trained yet, or an encoder is not on this machine",
                  body = ProblemBody, content_type = "application/problem+json"),
              (status = 422, description = "A clip cannot be predicted", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn answer_clips(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    request: Request,
) -> Result<axum::Json<Predictions>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let scratch = services.scratch()?;
    let (values, files) = (["training", "title", "asr", "ocr"], ["video", "annotations", "media"]);
    let mut form = receive_form(request, &values, &files, scratch.path()).await?;
    let training = match form.values.remove("training") {
        None => None,
        Some(id) => {
            let wrong = |_| Problem::invalid("training", "unknown_training", "this is no training's id");
            Some(Uuid::parse_str(id.trim()).map_err(wrong)?)
        }
    };
    let clips = match form.files.remove("annotations") {
        Some(annotations) => {
            if let Some(field) = ["title", "asr", "ocr"].iter().find(|f| form.values.contains_key(**f)) {
                let why = "goes with one `video`; with `annotations` each row has its own";
                return Err(Problem::invalid(field, "with_annotations", why));
            }
            if form.files.contains_key("video") {
                let why = "send one `video`, or `annotations` with `media`";
                return Err(Problem::invalid("video", "with_annotations", why));
            }
            let (media, folder) = (form.files.remove("media"), scratch.path().join("clips"));
            let read = move || {
                let media = media.as_ref().map(|m| m.path.as_path());
                read_clips(&annotations.path, &annotations.file_name, media, &folder)
            };
            tokio::task::spawn_blocking(read).await.map_err(JobError::from)??
        }
        None => {
            if form.files.contains_key("media") {
                let why = "a zip of videos needs `annotations` that name them";
                return Err(Problem::invalid("annotations", "annotations_missing", why));
            }
            let mut value = |name: &str| form.values.remove(name).unwrap_or_default();
            let (title, asr, ocr) = (value("title"), value("asr"), value("ocr"));
            let ocr = if ocr.trim().is_empty() { vec![] } else { vec![OcrLine { time: 0.0, text: ocr }] };
            let (id, path) = form.files.remove("video").map(|v| (v.file_name, v.path)).unzip();
            vec![Clip { id, text: SampleText { title, asr, ocr }, video: path }]
        }
    };
    Ok(axum::Json(predict(&services, dataset.id, PredictArgs { training, ask: Ask::Clips(clips) }).await?))
}
