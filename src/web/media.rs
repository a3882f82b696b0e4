//! The clips themselves with byte ranges, and their posters and frame strips. What people upload is
//! shown as video or downloaded, never run: types are allow-listed, and the answer is sandboxed.
//!
//! Addressed by the internal id of the sample. With `?v=` and the beginning (8 digits or more) of the
//! validator an address may be kept for ever; without, it is asked for again and costs a 304.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::response::Response;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::blob::{self, Download};
use super::error::{Problem, ProblemBody};
use super::extract::{Path, Query};
use crate::jobs::Services;
use crate::store::samples::Sample;

pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(original)).routes(routes!(poster)).routes(routes!(strip))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Version {
    /// Beginning of the validator (ETag); then the answer may be kept for ever.
    v: Option<String>,
}

async fn sample(services: &Services, dataset: &str, id: i64) -> Result<Sample, Problem> {
    let dataset = services.store.dataset(dataset).await?;
    services
        .store
        .samples_by_id(dataset.id, &[id])
        .await?
        .pop()
        .ok_or_else(|| Problem::not_found("sample", id))
}

/// The original clip
///
/// Byte ranges as of RFC 9110 (one range a request). Types other than video are sent as a download.
#[utoipa::path(get, path = "/media/{dataset}/{sample}", tag = "media",
    params(("dataset" = String, Path, description = "Id or name"), ("sample" = i64, Path, description = "Internal id"), Version),
    responses((status = 200, description = "The whole clip", content_type = "video/mp4", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "video/mp4", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the clip", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn original(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, id)): Path<(String, i64)>,
    Query(version): Query<Version>,
) -> Result<Response, Problem> {
    let sample = sample(&services, &dataset, id).await?;
    let blob = sample.media_blob.as_deref().ok_or_else(|| Problem::not_found("media of sample", id))?;
    let video = sample.media_type.as_deref().filter(|t| is_video(t));
    let download = Download {
        blob,
        content_type: video.unwrap_or("application/octet-stream"),
        attachment: video.is_none().then(|| format!("{id}.bin")),
        etag: None,
        version: version.v.as_deref(),
    };
    blob::respond(&services.blobs, &method, &headers, download).await.map(sandboxed)
}

/// The poster, a JPEG
#[utoipa::path(get, path = "/poster/{dataset}/{sample}", tag = "media",
    params(("dataset" = String, Path, description = "Id or name"), ("sample" = i64, Path, description = "Internal id"), Version),
    responses((status = 200, description = "One frame", content_type = "image/jpeg", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "image/jpeg", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the picture", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn poster(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, id)): Path<(String, i64)>,
    Query(version): Query<Version>,
) -> Result<Response, Problem> {
    let blob = sample(&services, &dataset, id).await?.poster_blob;
    let blob = blob.ok_or_else(|| Problem::not_found("poster of sample", id))?;
    jpeg(&services, &method, &headers, &blob, &version).await
}

/// Eight frames side by side, a JPEG
#[utoipa::path(get, path = "/strip/{dataset}/{sample}", tag = "media",
    params(("dataset" = String, Path, description = "Id or name"), ("sample" = i64, Path, description = "Internal id"), Version),
    responses((status = 200, description = "The strip", content_type = "image/jpeg", body = Vec<u8>),
              (status = 206, description = "The part asked for", content_type = "image/jpeg", body = Vec<u8>),
              (status = 304, description = "The client has it already"),
              (status = 416, description = "The range lies outside the picture", body = ProblemBody,
                  content_type = "application/problem+json")))]
async fn strip(
    State(services): State<Services>,
    method: Method,
    headers: HeaderMap,
    Path((dataset, id)): Path<(String, i64)>,
    Query(version): Query<Version>,
) -> Result<Response, Problem> {
    let blob = sample(&services, &dataset, id).await?.strip_blob;
    let blob = blob.ok_or_else(|| Problem::not_found("strip of sample", id))?;
    jpeg(&services, &method, &headers, &blob, &version).await
}

async fn jpeg(
    services: &Services,
    method: &Method,
    headers: &HeaderMap,
    blob: &str,
    version: &Version,
) -> Result<Response, Problem> {
    let version = version.v.as_deref();
    let download = Download { blob, content_type: "image/jpeg", attachment: None, etag: None, version };
    blob::respond(&services.blobs, method, headers, download).await.map(sandboxed)
}

/// `video/` and a subtype of plain characters.
fn is_video(media_type: &str) -> bool {
    media_type.strip_prefix("video/").is_some_and(|t| {
        (1..=64).contains(&t.len())
            && t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'))
    })
}

fn sandboxed(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    response
}

#[cfg(test)]
mod tests {
    use super::is_video;

    #[test]
    fn only_plain_video_types_are_shown() {
        assert!(is_video("video/mp4"));
        assert!(is_video("video/x-matroska"));
        for other in ["text/html", "image/svg+xml", "video/", "video/mp4; x=\"<\"", "video/a b", "Video/mp4"]
        {
            assert!(!is_video(other), "{other}");
        }
    }
}
