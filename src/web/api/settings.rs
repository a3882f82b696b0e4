//! The caller's own settings of the pages.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use crate::domain::Viewer;
use crate::jobs::Services;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::Json;

/// More actions than any page has.
const MAX_KEYS: usize = 64;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(settings, put_settings))
}

/// How a person has set up the pages.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "keys": { "keep": "q", "take": "w" } }))]
struct Settings {
    /// Action of the reviewing screen -> its key, one character. What is absent is as it came; no key is
    /// given twice.
    keys: BTreeMap<String, String>,
}

impl Settings {
    fn check(&self) -> Result<(), Problem> {
        let action = |name: &str| {
            (1..=40).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        let key = |key: &str| {
            let mut chars = key.chars();
            let one = chars.next().filter(|c| !c.is_control() && !c.is_whitespace());
            one.is_some() && chars.next().is_none()
        };
        let fits = self.keys.len() <= MAX_KEYS && self.keys.iter().all(|(a, k)| action(a) && key(k));
        if !fits {
            return Err(Problem::invalid(
                "keys",
                "bad_keys",
                format!("keys maps at most {MAX_KEYS} actions (a-z and _) to one character each"),
            ));
        }
        let mut given: Vec<&String> = self.keys.values().collect();
        given.sort_unstable();
        if given.windows(2).any(|w| w[0] == w[1]) {
            return Err(Problem::invalid("keys", "key_twice", "two actions have the same key"));
        }
        Ok(())
    }
}

/// Settings belong to the person at the pages, not to programs that hold a token.
fn own(viewer: &Viewer) -> Result<Option<Uuid>, Problem> {
    if viewer.scopes.is_some() {
        return Err(Problem::new(
            axum::http::StatusCode::FORBIDDEN,
            "session_only",
            "a token cannot do this; sign in on the pages",
        ));
    }
    Ok(viewer.account)
}

/// The caller's settings
#[utoipa::path(get, path = "/account/settings", tag = "people",
    responses((status = 200, description = "What was chosen", body = Settings)))]
async fn settings(
    State(services): State<Services>,
    Who(viewer): Who,
) -> Result<axum::Json<Settings>, Problem> {
    let keys = services.store.key_bindings(own(&viewer)?).await?;
    Ok(axum::Json(Settings { keys }))
}

/// Replace the caller's settings
///
/// Not with a token.
#[utoipa::path(put, path = "/account/settings", tag = "people", request_body = Settings,
    responses((status = 200, description = "As they are now", body = Settings)))]
async fn put_settings(
    State(services): State<Services>,
    Who(viewer): Who,
    Json(settings): Json<Settings>,
) -> Result<axum::Json<Settings>, Problem> {
    let account = own(&viewer)?;
    settings.check()?;
    services.store.put_key_bindings(account, &settings.keys).await?;
    Ok(axum::Json(settings))
}
