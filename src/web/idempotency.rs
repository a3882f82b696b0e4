//! `Idempotency-Key` on every POST: a request that is sent again with its key is answered as it was
//! the first time and does nothing twice.
//!
//! JSON routes get it from the layer [`layer`]; handlers that stream their body call [`once`] with
//! the hash of what they read. Only answers of success are kept: a refused request did nothing, so
//! its key may be used again.

use std::future::Future;

use axum::body::Body;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::access::Who;
use super::error::Problem;
use super::extract::body_bytes;
use crate::jobs::Services;
use crate::store::idempotency::Idempotency;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY: usize = 255;
/// Longest answer that is kept, in bytes; those of the API are far shorter.
const MAX_ANSWER: usize = 4 << 20;

/// The key that came with a request, checked, with the route it belongs to.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    key: String,
    route: String,
}

/// What is kept of an answer.
#[derive(Serialize, Deserialize)]
struct Answer {
    location: Option<String>,
    body: serde_json::Value,
}

impl Key {
    fn of(parts: &Parts) -> Result<Option<Self>, Problem> {
        let Some(value) = parts.headers.get(HEADER) else { return Ok(None) };
        let key = value.to_str().unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Problem::invalid(
                HEADER.as_str(),
                "idempotency_key",
                format!("the key must be 1 to {MAX_KEY} visible ASCII characters"),
            ));
        }
        // a key is one person's: nobody is given another's answer
        let account = parts.extensions.get::<Who>().and_then(|Who(viewer)| viewer.account);
        let whose = account.map_or_else(String::new, |a| format!("{a} "));
        let route = format!("{whose}{} {}", parts.method, parts.uri.path());
        Ok(Some(Self { key: key.to_owned(), route }))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)?
            .ok_or_else(|| Problem::invalid(HEADER.as_str(), "idempotency_key", "a key is missing"))
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Problem> {
        Self::of(parts)
    }
}

/// Middleware for routes whose body is short enough to be read before the handler runs.
pub(crate) async fn layer(State(services): State<Services>, request: Request, next: Next) -> Response {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let answer = async {
        let key = Key::of(&parts)?;
        let bytes = body_bytes(Request::from_parts(parts.clone(), body)).await?;
        let hash = hex::encode(Sha256::digest(&bytes));
        let request = Request::from_parts(parts, Body::from(bytes));
        once(&services, key, &hash, async move { Ok(next.run(request).await) }).await
    };
    answer.await.into_response()
}

/// Runs `work` unless the same request has been answered before; then gives that answer again.
/// The work goes on to its end even if the client is gone meanwhile.
///
/// # Errors
/// 422 `idempotency_mismatch` when the key came with another request, 409 `idempotency_in_progress`
/// while the first one is still being answered.
pub(crate) async fn once<F>(
    services: &Services,
    key: Option<Key>,
    hash: &str,
    work: F,
) -> Result<Response, Problem>
where
    F: Future<Output = Result<Response, Problem>> + Send + 'static,
{
    let Some(Key { key, route }) = key else { return work.await };
    match services.store.claim_idempotency_key(&key, &route, hash).await? {
        Idempotency::New => {}
        Idempotency::Answered { status, body } => return replay(status, body),
        Idempotency::InProgress => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency_in_progress",
                "the first request with this key is still being answered",
            )
            .retry_after(1));
        }
        Idempotency::Mismatch => {
            return Err(Problem::invalid(
                HEADER.as_str(),
                "idempotency_mismatch",
                "this key came with another request before",
            ));
        }
    }
    let services = services.clone();
    let answered = tokio::spawn(async move {
        let response = work.await.into_response();
        if response.status().is_success() {
            keep(&services, &key, &route, response).await
        } else {
            services.store.release_idempotency_key(&key, &route).await?;
            Ok(response)
        }
    });
    // a panic in the work leaves the claim to expire: whether it did anything is not known
    answered.await.map_err(Problem::internal)?
}

async fn keep(services: &Services, key: &str, route: &str, response: Response) -> Result<Response, Problem> {
    let (parts, body) = response.into_parts();
    let bytes = axum::body::to_bytes(body, MAX_ANSWER).await.map_err(Problem::internal)?;
    let answer = Answer {
        location: parts.headers.get(header::LOCATION).and_then(|v| v.to_str().ok()).map(str::to_owned),
        body: if bytes.is_empty() {
            serde_json::Value::Null
        } else {
            serde_json::from_slice(&bytes).map_err(Problem::internal)?
        },
    };
    let value = serde_json::to_value(&answer).map_err(Problem::internal)?;
    services.store.finish_idempotency_key(key, route, parts.status.as_u16(), &value).await?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

fn replay(status: u16, kept: serde_json::Value) -> Result<Response, Problem> {
    let answer: Answer = serde_json::from_value(kept).map_err(Problem::internal)?;
    let status = StatusCode::from_u16(status).map_err(Problem::internal)?;
    let mut response = if answer.body.is_null() {
        status.into_response()
    } else {
        (status, axum::Json(answer.body)).into_response()
    };
    let out = response.headers_mut();
    if let Some(location) = answer.location.and_then(|l| HeaderValue::from_str(&l).ok()) {
        out.insert(header::LOCATION, location);
    }
    out.insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
