//! Imports: a form with files, or JSON with paths under an allowed root. Either becomes a job; the
//! files are in the blob store before it is queued.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::uploads::{Form, allowed_path, read_form, stage_path};
use super::{MAX_BODY, accepted, author};
use crate::domain::Viewer;
use crate::jobs::Services;
use crate::jobs::import::{ImportArgs, MediaSource, StagedFile, TaxonomySource};
use crate::store::StoreError;
use crate::store::datasets::check_name;
use crate::store::jobs::Job;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, Path, body_bytes, unsupported};
use crate::web::idempotency::{self, Key};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(create))
}

/// An import as a form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form in the OpenAPI document; the form is read as a stream")]
struct ImportForm {
    /// The category tree: a JSON tree or a list with parents. Left out for a dataset that is there.
    #[schema(value_type = Option<String>, format = Binary)]
    taxonomy: Option<Vec<u8>>,
    /// Name of a tree that Tamis ships, instead of `taxonomy`.
    #[schema(example = "wechat2022")]
    taxonomy_builtin: Option<String>,
    /// JSON array, JSONL or CSV.
    #[schema(value_type = String, format = Binary)]
    annotations: Vec<u8>,
    /// A zip of the clips.
    #[schema(value_type = Option<String>, format = Binary)]
    media: Option<Vec<u8>>,
    /// A zip of `{id}.npy` frame features, instead of `media`.
    #[schema(value_type = Option<String>, format = Binary)]
    features: Option<Vec<u8>>,
    /// JSON object: CSV column of each field that has another name.
    #[schema(example = r#"{"id": "vid", "label": "cat"}"#)]
    columns: Option<String>,
    /// `true`: take the good rows even if others are bad.
    #[schema(default = false)]
    partial: Option<bool>,
    #[schema(default = "local")]
    author: Option<String>,
}

/// An import of files on the server, under one of `server.import_roots`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "taxonomy_path": "/data/clips/taxonomy.json", "annotations_path": "/data/clips/train.jsonl",
    "media_dir": "/data/clips/videos", "partial": true
}))]
struct ImportPaths {
    #[serde(default)]
    taxonomy_path: Option<String>,
    /// Name of a tree that Tamis ships, instead of `taxonomy_path`.
    #[serde(default)]
    taxonomy_builtin: Option<String>,
    annotations_path: String,
    #[serde(default)]
    media_dir: Option<String>,
    /// A zip of `{id}.npy` frame features, instead of `media_dir`.
    #[serde(default)]
    features_path: Option<String>,
    /// CSV column of each field that has another name.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// Take the good rows even if others are bad.
    #[serde(default)]
    partial: bool,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// Import samples
///
/// As a form with the files, or as JSON with paths on the server. The dataset is made when there is
/// none of this name. Idempotent by external id: the same file again changes nothing.
#[utoipa::path(post, path = "/datasets/{dataset}/imports", tag = "imports",
    params(("dataset" = String, Path, description = "Name; 1-100 letters, digits, dots, dashes or underscores")),
    request_body(content((ImportForm = "multipart/form-data"), (ImportPaths = "application/json"))),
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    key: Option<Key>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Problem> {
    let name = dataset_name(&services, &dataset).await?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let (args, hash) = match kind.split(';').next().map(str::trim) {
        Some(kind) if kind.eq_ignore_ascii_case("multipart/form-data") => {
            let form = read_form(
                &services,
                request,
                &["taxonomy_builtin", "columns", "partial", "author"],
                &["taxonomy", "annotations", "media", "features"],
            )
            .await?;
            let hash = form.hash();
            (from_form(&viewer, name, form)?, hash)
        }
        Some(kind) if kind.eq_ignore_ascii_case("application/json") => {
            from_json(&services, &viewer, name, request).await?
        }
        _ => return Err(unsupported("multipart/form-data or application/json")),
    };
    if matches!(args.taxonomy, TaxonomySource::Existing) {
        match services.store.dataset(&args.dataset).await {
            Ok(_) => {}
            Err(StoreError::NotFound { .. }) => {
                return Err(Problem::invalid(
                    "taxonomy",
                    "taxonomy_missing",
                    "a new dataset needs a taxonomy: a file, or taxonomy_builtin",
                ));
            }
            Err(e) => return Err(e.into()),
        }
    }
    let (services2, work) = (services.clone(), async move {
        let job = services.enqueue_import(&args).await?;
        Ok(accepted(&services, job).await?.into_response())
    });
    idempotency::once(&services2, key, &hash, work).await
}

/// The name to import under: that of the dataset with this id or name, else a valid new name.
async fn dataset_name(services: &Services, key: &str) -> Result<String, Problem> {
    match services.store.dataset(key).await {
        Ok(dataset) => Ok(dataset.name),
        Err(StoreError::NotFound { .. }) => {
            check_name(key)?;
            Ok(key.to_owned())
        }
        Err(e) => Err(e.into()),
    }
}

fn from_form(viewer: &Viewer, dataset: String, mut form: Form) -> Result<ImportArgs, Problem> {
    let annotations = form.files.remove("annotations").ok_or_else(|| {
        Problem::invalid("annotations", "annotations_missing", "a file of annotations is needed")
    })?;
    let columns = match form.values.remove("columns").filter(|c| !c.trim().is_empty()) {
        None => BTreeMap::new(),
        Some(json) => serde_json::from_str(&json).map_err(|e| {
            Problem::invalid("columns", "columns", format!("columns must be a JSON object of texts: {e}"))
        })?,
    };
    let partial = match form.values.remove("partial").as_deref().map(str::trim) {
        None | Some("" | "false" | "0" | "off") => false,
        Some("true" | "1" | "on") => true,
        Some(_) => return Err(Problem::invalid("partial", "not_a_bool", "partial must be true or false")),
    };
    let builtin = form.values.remove("taxonomy_builtin");
    Ok(ImportArgs {
        dataset,
        taxonomy: taxonomy_source(form.files.remove("taxonomy"), builtin)?,
        annotations,
        columns,
        media: one_of(
            form.files.remove("media").map(MediaSource::Zip),
            form.files.remove("features").map(MediaSource::Features),
        )?,
        partial,
        author: author(viewer, form.values.remove("author"))?,
    })
}

async fn from_json(
    services: &Services,
    viewer: &Viewer,
    dataset: String,
    request: Request,
) -> Result<(ImportArgs, String), Problem> {
    use axum::extract::FromRequest;
    let (parts, body) = request.into_parts();
    let bytes = body_bytes(Request::from_parts(parts.clone(), body)).await?;
    if bytes.len() > MAX_BODY {
        return Err(crate::web::extract::too_large());
    }
    let hash = hex::encode(Sha256::digest(&bytes));
    let Json(paths): Json<ImportPaths> =
        Json::from_request(Request::from_parts(parts, bytes.into()), &()).await?;
    let taxonomy = match &paths.taxonomy_path {
        Some(path) => Some(stage_path(services, "taxonomy_path", path).await?),
        None => None,
    };
    let features = match &paths.features_path {
        Some(path) => Some(MediaSource::Features(stage_path(services, "features_path", path).await?)),
        None => None,
    };
    let media = match &paths.media_dir {
        Some(path) => Some(media_dir(services, path).await?),
        None => None,
    };
    let args = ImportArgs {
        dataset,
        taxonomy: taxonomy_source(taxonomy, paths.taxonomy_builtin)?,
        annotations: stage_path(services, "annotations_path", &paths.annotations_path).await?,
        columns: paths.columns,
        media: one_of(media, features)?,
        partial: paths.partial,
        author: author(viewer, paths.author)?,
    };
    Ok((args, hash))
}

async fn media_dir(services: &Services, path: &str) -> Result<MediaSource, Problem> {
    let real = allowed_path(services, "media_dir", path).await?;
    if !tokio::fs::metadata(&real).await.is_ok_and(|m| m.is_dir()) {
        return Err(Problem::invalid("media_dir", "not_a_folder", "this path is not a folder"));
    }
    let text = real
        .into_os_string()
        .into_string()
        .map_err(|_| Problem::invalid("media_dir", "not_utf8", "the folder's real path is not UTF-8"))?;
    Ok(MediaSource::Dir(text))
}

fn taxonomy_source(file: Option<StagedFile>, builtin: Option<String>) -> Result<TaxonomySource, Problem> {
    match (file, builtin.filter(|b| !b.is_empty())) {
        (Some(_), Some(_)) => Err(Problem::invalid(
            "taxonomy_builtin",
            "two_taxonomies",
            "give a taxonomy file or the name of a built-in one, not both",
        )),
        (Some(file), None) => Ok(TaxonomySource::File(file)),
        (None, Some(name)) => Ok(TaxonomySource::Builtin(name)),
        (None, None) => Ok(TaxonomySource::Existing),
    }
}

fn one_of(media: Option<MediaSource>, features: Option<MediaSource>) -> Result<Option<MediaSource>, Problem> {
    if media.is_some() && features.is_some() {
        return Err(Problem::invalid(
            "features",
            "two_media",
            "give media or precomputed features, not both",
        ));
    }
    Ok(media.or(features))
}
