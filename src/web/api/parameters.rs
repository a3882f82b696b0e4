//! The parameters that the query of an address may name: those that the OpenAPI document declares for it. Any other
//! is refused by name, since a list that passed over a misspelt cursor or filter would answer another question.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::web::error::Problem;
use crate::web::pages::address;

/// By method and address as the router knows it; only addresses of the API.
#[derive(Clone, Debug, Default)]
pub(super) struct Known(Arc<HashMap<(String, String), Vec<String>>>);

impl Known {
    pub(super) fn of(document: &Value) -> Self {
        let mut known = HashMap::new();
        let paths = document.get("paths").and_then(Value::as_object);
        for (path, item) in paths.into_iter().flatten().filter(|(path, _)| path.starts_with("/api/v1")) {
            for (method, operation) in item.as_object().into_iter().flatten() {
                let parameters = operation.get("parameters").and_then(Value::as_array);
                let names = parameters.into_iter().flatten().filter(|p| p["in"] == "query");
                let names = names.filter_map(|p| p["name"].as_str().map(str::to_owned)).collect();
                known.insert((method.to_uppercase(), path.clone()), names);
            }
        }
        Self(Arc::new(known))
    }

    fn of_request(&self, method: &Method, path: &str) -> Option<&[String]> {
        let method = if method == Method::HEAD { &Method::GET } else { method };
        self.0.get(&(method.to_string(), path.to_owned())).map(Vec::as_slice)
    }
}

/// 400 `unknown_parameter` with one entry of `errors` for each name that the address does not have.
pub(super) async fn refuse_unknown(State(known): State<Known>, request: Request, next: Next) -> Response {
    if let Some(query) = request.uri().query()
        && let Some(matched) = request.extensions().get::<MatchedPath>()
        && let Some(names) = known.of_request(request.method(), matched.as_str())
    {
        let asked = address::parse_query(query);
        let unknown: Vec<&str> = asked
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !name.is_empty() && !names.iter().any(|known| known == name))
            .collect();
        if !unknown.is_empty() {
            return problem(&unknown, names).into_response();
        }
    }
    next.run(request).await
}

fn problem(unknown: &[&str], known: &[String]) -> Problem {
    let has = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let short = |name: &str| name.chars().take(100).collect::<String>();
    let named: Vec<String> = unknown.iter().map(|name| format!("{:?}", short(name))).collect();
    let message = format!("this address has no parameter {}; it has: {has}", named.join(", "));
    let problem = Problem::new(StatusCode::BAD_REQUEST, "unknown_parameter", message);
    unknown.iter().fold(problem, |problem, name| problem.blame(&short(name)))
}
