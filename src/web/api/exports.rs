//! Exports: making one, and downloading it.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, check_snapshot};
use crate::jobs::Services;
use crate::jobs::export::ExportArgs;
use crate::store::exports::Export;
use crate::store::jobs::Job;
use crate::web::blob::{self, Download};
use crate::web::error::{Problem, ProblemBody};
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

/// Format -> content type.
const FORMATS: [(&str, &str); 3] = [
    ("jsonl", "application/x-ndjson"),
    ("csv", "text/csv; charset=utf-8"),
    ("parquet", "application/vnd.apache.parquet"),
];

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(one)).routes(routes!(download))
}

/// List exports
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/exports", tag = "exports",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Export>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Export>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<Uuid> = paging.after("exports")?;
    let page = services.store.exports(dataset.id, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("exports", page)))
}

/// Export
#[utoipa::path(post, path = "/datasets/{dataset}/exports", tag = "exports",
    params(("dataset" = String, Path, description = "Id or name")), request_body = ExportArgs,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn create(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(args): Json<ExportArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    if content_type(&args.format).is_none() {
        return Err(Problem::invalid("format", "unknown_format", "format must be jsonl, csv or parquet"));
    }
    check_snapshot(&services, dataset.id, args.snapshot.as_deref()).await?;
    let job = services.enqueue_export(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// One export with its manifest
#[utoipa::path(get, path = "/datasets/{dataset}/exports/{export}", tag = "exports",
    params(("dataset" = String, Path, description = "Id or name"), ("export" = Uuid, Path)),
    responses((status = 200, description = "The export", body = Export)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, export)): Path<(String, Uuid)>,
) -> Result<axum::Json<Export>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.export(dataset.id, export).await?))
}

/// The file of an export
///
/// Streamed; the ETag is the sha256 of its bytes.
#[utoipa::path(get, path = "/datasets/{dataset}/exports/{export}/download", tag = "exports",
    params(("dataset" = String, Path, description = "Id or name"), ("export" = Uuid, Path)),
    responses((status = 200, description = "The whole file", content(
                  (String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet"))),
              (status = 206, description = "The part asked for", content(
                  (String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet"))),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the file", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn download(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, export)): Path<(String, Uuid)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let export = services.store.export(dataset.id, export).await?;
    let snapshot = export.snapshot_id.get(..12).unwrap_or(&export.snapshot_id);
    let sha256 = export.manifest.get("sha256").and_then(|v| v.as_str());
    let download = Download {
        blob: &export.blob,
        content_type: content_type(&export.format).unwrap_or("application/octet-stream"),
        attachment: Some(format!("{}-{snapshot}.{}", dataset.name, export.format)),
        etag: sha256.filter(|h| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit())).map(str::to_owned),
        version: None,
    };
    blob::respond(&services.blobs, &method, &headers, download).await
}

fn content_type(format: &str) -> Option<&'static str> {
    FORMATS.iter().find(|(name, _)| *name == format).map(|(_, t)| *t)
}
