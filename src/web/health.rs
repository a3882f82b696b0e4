//! Is the process there, and can it work. For supervisors and load balancers.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::error::Problem;
use crate::jobs::Services;

pub(crate) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz))
}

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
}

/// A balancer wants to know now, not when the pool gives up.
const PATIENCE: Duration = Duration::from_secs(2);

const OK: axum::Json<Health> = axum::Json(Health { status: "ok", version: env!("CARGO_PKG_VERSION") });

/// The process answers
#[utoipa::path(get, path = "/healthz", tag = "health",
    responses((status = 200, description = "It does", body = Health)))]
async fn healthz() -> axum::Json<Health> {
    OK
}

/// The database answers
#[utoipa::path(get, path = "/readyz", tag = "health",
    responses((status = 200, description = "It does", body = Health)))]
async fn readyz(State(services): State<Services>) -> Result<axum::Json<Health>, Problem> {
    match tokio::time::timeout(PATIENCE, services.store.ping()).await {
        Ok(Ok(())) => Ok(OK),
        failed => {
            tracing::warn!(?failed, "not ready");
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not_ready", "the database does not answer")
                .retry_after(2))
        }
    }
}
