//! The OpenAPI document; `/api/docs` is the page to browse it.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::jobs::Services;

/// Statuses that a handler need not declare, with what they mean.
const NOT_FOUND: (&str, &str) = ("404", "Something that the address names does not exist");
const INVALID: (&str, &str) = ("422", "A parameter or a field is not valid; `errors` says which");
const FORBIDDEN: (&str, &str) = ("403", "Sent from another site's page");
const CONFLICT: (&str, &str) =
    ("409", "It clashes with what is there, or the first request with this key is still being answered");
const TOO_LARGE: (&str, &str) = ("413", "The body is too long");
const UNSUPPORTED: (&str, &str) = ("415", "Another Content-Type is expected");
const BAD_REQUEST: (&str, &str) = ("400", "The body cannot be read");

pub(super) fn router(document: OpenApi) -> Router<Services> {
    let document: Arc<str> = finish(&document).to_string().into();
    Router::new().route(
        "/api/openapi.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], document.to_string())),
    )
}

/// Adds what every operation has in common: the error answers, and on POST the idempotency key.
fn finish(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if let Some(operation) = operation.as_object_mut() {
                finish_operation(path, method, operation);
            }
        }
    }
    document
}

fn finish_operation(path: &str, method: &str, operation: &mut Map<String, Value>) {
    let id = operation_id(path, method);
    operation.insert("operationId".into(), id.into());
    let has_body = operation.contains_key("requestBody");
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    // what answers with a secret is not kept to be said again
    if method == "post"
        && !path.starts_with("/api/v1/account")
        && !path.contains("/webhooks")
        && let Some(list) = parameters.as_array_mut()
    {
        list.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "Made by the client; the same key and body again give the first answer again",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255}
        }));
    }
    let has_parameters = parameters.as_array().is_some_and(|p| !p.is_empty());
    let mut errors = Vec::new();
    if path.contains('{') {
        errors.push(NOT_FOUND);
    }
    if has_parameters || has_body {
        errors.push(INVALID);
    }
    if method != "get" {
        errors.push(FORBIDDEN);
    }
    if method == "post" {
        errors.push(CONFLICT);
        errors.push(TOO_LARGE);
    }
    if has_body {
        errors.extend([BAD_REQUEST, UNSUPPORTED]);
    }
    errors.push(("default", "Any other problem"));
    if let Some(responses) = operation.entry("responses").or_insert_with(|| json!({})).as_object_mut() {
        for (status, description) in errors {
            responses.entry(status).or_insert_with(|| {
                json!({
                    "description": description,
                    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
                })
            });
        }
    }
}

/// `GET /api/v1/datasets/{dataset}/samples` -> `get_dataset_samples`: unique, since addresses are.
fn operation_id(path: &str, method: &str) -> String {
    let parts = path.strip_prefix("/api/v1").unwrap_or(path).split('/').filter(|p| !p.is_empty());
    let words: Vec<String> = parts.map(|p| p.trim_matches(['{', '}']).replace(['-', '.'], "_")).collect();
    format!("{method}_{}", words.join("_"))
}
