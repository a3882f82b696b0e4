//! The OpenAPI document; `/api/docs` is the page to browse it.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::routing::get;
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use crate::domain::{Right, Role};
use crate::jobs::Services;
use crate::web::access::{COOKIE, FORM_TOKEN, routes};

/// Statuses that a handler need not declare, with what they mean.
const NOT_FOUND: (&str, &str) = ("404", "Something that the address names does not exist");
const INVALID: (&str, &str) = ("422", "A parameter or a field is not valid; `errors` says which");
const UNAUTHORIZED: (&str, &str) = ("401", "Nobody is signed in, or the token is not valid");
const FORBIDDEN: &str = "sent from another site's page, or without the session's form token";
const CONFLICT: (&str, &str) =
    ("409", "It clashes with what is there, or the first request with this key is still being answered");
const TOO_LARGE: (&str, &str) = ("413", "The body is too long");
const UNSUPPORTED: (&str, &str) = ("415", "Another Content-Type is expected");
const BAD_REQUEST: (&str, &str) = ("400", "The body cannot be read");
const BAD_QUERY: (&str, &str) =
    ("400", "The query names a parameter that the address does not have, or the body cannot be read");

/// Names of the security schemes.
const SESSION: &str = "session";
const FORM: &str = "form_token";
const TOKEN: &str = "token";

pub(super) fn router(document: &Value) -> Router<Services> {
    let document: Arc<str> = document.to_string().into();
    Router::new().route(
        "/api/openapi.json",
        get(async move || ([(header::CONTENT_TYPE, "application/json")], document.to_string())),
    )
}

/// Adds what every operation has in common: who may ask, the error answers, and on POST the idempotency key.
pub(super) fn finish(document: &OpenApi) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(components) = document.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("securitySchemes".into(), schemes());
    }
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

/// How a request says who asks.
fn schemes() -> Value {
    json!({
        SESSION: {"type": "apiKey", "in": "cookie", "name": COOKIE,
            "description": "The session of a signed-in browser"},
        FORM: {"type": "apiKey", "in": "header", "name": FORM_TOKEN,
            "description": "With each write of a session: the token that its pages carry in `<meta name=\"form-token\">`"},
        TOKEN: {"type": "http", "scheme": "bearer",
            "description": "An API token of an account, which ends at a set time; it gives no more than its scopes and its owner have"},
    })
}

/// Who may call the operation, by any of these; empty: anybody.
fn security(right: Right, method: &str, path: &str) -> Value {
    let Some(scope) = right.scope() else { return json!([]) };
    let mut session = json!({SESSION: []});
    if method != "get" {
        session[FORM] = json!([]);
    }
    // what belongs to a person is not for programs that hold one of their tokens
    if ["/api/v1/account/password", "/api/v1/account/tokens"].iter().any(|own| path.starts_with(own)) {
        return json!([session]);
    }
    json!([session, {TOKEN: [scope.as_str()]}])
}

/// Of a 403.
fn forbidden(right: Right, method: &str) -> Option<String> {
    let mut why = Vec::new();
    match (right.role(), right) {
        (Some(role), _) if role > Role::Annotator => {
            why.push(format!("The role is less than {}", role.as_str()))
        }
        (None, Right::Admin) => why.push("Not an admin".to_owned()),
        _ => {}
    }
    why.extend(right.scope().map(|scope| format!("the token lacks the scope {}", scope.as_str())));
    if method != "get" {
        why.push(FORBIDDEN.to_owned());
    }
    (!why.is_empty()).then(|| why.join("; "))
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
    let right =
        routes::right(&method.to_uppercase().parse().unwrap_or_default(), path).unwrap_or(Right::Open);
    operation.insert("security".into(), security(right, method, path));
    let forbidden = forbidden(right, method);
    if right != Right::Open {
        errors.push(UNAUTHORIZED);
    }
    errors.extend(forbidden.as_deref().map(|why| ("403", why)));
    if path.starts_with("/api/v1") {
        errors.push(BAD_QUERY);
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
