//! Axum's extractors with refusals as problems: what is wrong with the body, the query or the path
//! is told like every other error.

use axum::RequestExt;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use bytes::Bytes;
use serde::de::DeserializeOwned;

use super::error::Problem;

/// A JSON body. 400 for bad syntax, 413 when too long, 415 for another type, 422 for wrong content.
pub(crate) struct Json<T>(pub(crate) T);

/// A JSON body that may be left out altogether: then the default.
pub(crate) struct JsonOrDefault<T>(pub(crate) T);

/// Parameters of the query string; 422 where one cannot be read.
pub(crate) struct Query<T>(pub(crate) T);

/// Parts of the address; 404 where one cannot be read, since then nothing lives there.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match axum::Json::<T>::from_request(request, state).await {
            Ok(axum::Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(json_problem(&rejection)),
        }
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonOrDefault<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let bytes = body_bytes(Request::from_parts(parts.clone(), body)).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        let request = Request::from_parts(parts, bytes.into());
        Json::from_request(request, state).await.map(|Json(value)| Self(value))
    }
}

/// The whole body, within the limit of the route (`DefaultBodyLimit`).
pub(crate) async fn body_bytes(request: Request) -> Result<Bytes, Problem> {
    use axum::extract::rejection::BytesRejection;
    Bytes::from_request(request.with_limited_body(), &()).await.map_err(|e: BytesRejection| {
        if e.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::new(e.status(), "body_unreadable", e.body_text())
        }
    })
}

/// 413.
pub(crate) fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "the body is longer than this address accepts")
}

fn json_problem(rejection: &JsonRejection) -> Problem {
    match rejection {
        JsonRejection::JsonDataError(e) => {
            let text = e.body_text();
            let message = text.rsplit_once("target type: ").map_or(text.as_str(), |(_, m)| m);
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "json_data", message);
            problem.blame(&field_of(message))
        }
        JsonRejection::JsonSyntaxError(e) => {
            Problem::new(StatusCode::BAD_REQUEST, "json_syntax", e.body_text())
        }
        JsonRejection::MissingJsonContentType(_) => unsupported("application/json"),
        other if other.status() == StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        other => Problem::new(other.status(), "body_unreadable", other.body_text()),
    }
}

/// 415 that says what would have been understood.
pub(crate) fn unsupported(expected: &str) -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unsupported_media_type",
        format!("the Content-Type must be {expected}"),
    )
    .blame(header::CONTENT_TYPE.as_str())
}

/// The field that a deserialiser's message is about: `path: …` or "… field `x` …"; else the body.
fn field_of(message: &str) -> String {
    if let Some(name) = message.split("field `").nth(1).and_then(|r| r.split('`').next()) {
        return name.to_owned();
    }
    match message.split_once(": ") {
        Some((path, _)) if !path.is_empty() && !path.contains(' ') => path.to_owned(),
        _ => "body".to_owned(),
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query: Result<axum::extract::Query<T>, QueryRejection> =
            axum::extract::Query::from_request_parts(parts, state).await;
        match query {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(e) => {
                let text = e.body_text();
                let message = text.rsplit_once("query string: ").map_or(text.as_str(), |(_, m)| m);
                Err(Problem::invalid(&field_of(message), "query", message))
            }
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path: Result<axum::extract::Path<T>, PathRejection> =
            axum::extract::Path::from_request_parts(parts, state).await;
        match path {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(e) if e.status().is_server_error() => Err(Problem::internal(e.body_text())),
            Err(e) => Err(Problem::new(StatusCode::NOT_FOUND, "not_found", e.body_text())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::field_of;

    #[test]
    fn the_culprit_is_found_in_the_deserialisers_message() {
        assert_eq!(field_of("missing field `decision` at line 1 column 2"), "decision");
        assert_eq!(field_of("unknown field `snap`, expected `snapshot` at line 1"), "snap");
        assert_eq!(field_of("client_id: UUID parsing failed: invalid length"), "client_id");
        assert_eq!(field_of("invalid type: integer `3`, expected a map"), "body");
    }
}
