//! Maps of the embeddings: where each sample lies on a plane, and what is known of each now, in arrays of
//! numbers that a page draws as they are.

use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::queue::audience;
use super::{Accepted, accepted};
use crate::jobs::Services;
use crate::jobs::map::MapArgs;
use crate::store::jobs::Job;
use crate::store::maps::Map;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{JsonOrDefault, Path};

const BINARY: &str = "application/octet-stream";

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(latest, compute)).routes(routes!(points)).routes(routes!(marks))
}

/// The newest map
#[utoipa::path(get, path = "/datasets/{dataset}/map", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The map", body = Map),
              (status = 404, description = "None has been made", body = crate::web::error::ProblemBody, content_type = "application/problem+json")))]
async fn latest(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<Map>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let map = services.store.latest_map(dataset.id).await?;
    map.map(axum::Json).ok_or_else(|| Problem::not_found("map of dataset", &dataset.name))
}

/// Make a map
///
/// Places every sample that has embeddings on a plane. `umap` keeps neighbours together; `pca` shows the two
/// directions of greatest variance, and is what a handful of samples gets anyway. The body may be left out.
#[utoipa::path(post, path = "/datasets/{dataset}/map", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name")), request_body = Option<MapArgs>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn compute(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    JsonOrDefault(args): JsonOrDefault<MapArgs>,
) -> Result<Accepted, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let job = services.enqueue_map(dataset.id, &args).await?;
    accepted(&services, job).await
}

/// The points of a map
///
/// Little-endian: the four bytes `TMP1`, the number of points n (u32), the smallest id (i64), then of all points
/// in the order of their ids the id less the smallest (u32), x and y (u16 each; 0 to 65535 across the map). It
/// never changes.
#[utoipa::path(get, path = "/datasets/{dataset}/maps/{map}/points", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), ("map" = Uuid, Path)),
    responses((status = 200, description = "The points", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 304, description = "The client has them already")))]
async fn points(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, map)): Path<(String, Uuid)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let map = services.store.map(dataset.id, map).await?;
    let tag = format!("\"{}\"", map.id.simple());
    let bytes = if known(&headers, &tag) { None } else { Some(services.blobs.get(&map.blob).await?) };
    Ok(answer(&method, &tag, "private, max-age=31536000, immutable", bytes.map(Bytes::from)))
}

/// What is known of each point now
///
/// Little-endian: the four bytes `TMF1`, the number of points n (u32), then of all points in the order of the
/// map's points: the column of the current class in the taxonomy (u16), the cluster of the latest scan (u16;
/// 65535 for none, in both), the suspicion in 254ths (u8; 255: not scanned), and the status (u8: 0 open, 1 kept,
/// 2 relabelled, 3 unsure, 4 decided otherwise, 5 excluded).
#[utoipa::path(get, path = "/datasets/{dataset}/maps/{map}/marks", tag = "bulk",
    params(("dataset" = String, Path, description = "Id or name"), ("map" = Uuid, Path)),
    responses((status = 200, description = "The marks", content_type = "application/octet-stream", body = Vec<u8>),
              (status = 304, description = "The client has them already")))]
async fn marks(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, map)): Path<(String, Uuid)>,
) -> Result<Response, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let map = services.store.map(dataset.id, map).await?;
    let bytes = services.map_marks(dataset.id, &map, audience(&viewer, role)).await?;
    let tag = format!("\"{}\"", hex::encode(&Sha256::digest(&bytes)[..16]));
    let bytes = if known(&headers, &tag) { None } else { Some(bytes.into()) };
    Ok(answer(&method, &tag, "private, no-cache", bytes))
}

fn known(headers: &HeaderMap, tag: &str) -> bool {
    headers
        .get(header::IF_NONE_MATCH)
        .and_then(|v| v.to_str().ok())
        .is_some_and(|v| v.split(',').any(|t| t.trim().trim_start_matches("W/") == tag))
}

/// `bytes`: none for a client that has them.
fn answer(method: &Method, tag: &str, keep: &'static str, bytes: Option<Bytes>) -> Response {
    let mut response = match bytes {
        None => StatusCode::NOT_MODIFIED.into_response(),
        Some(_) if method == Method::HEAD => StatusCode::OK.into_response(),
        Some(bytes) => ([(header::CONTENT_TYPE, BINARY)], bytes).into_response(),
    };
    let out = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(tag) {
        out.insert(header::ETAG, tag);
    }
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep));
    response
}
