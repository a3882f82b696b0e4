//! Numbers about people and labels: agreement, quality, yield.

use axum::Extension;
use axum::extract::State;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::domain::{Role, Viewer};
use crate::jobs::Services;
use crate::jobs::measures::{self, AgreementReport, For, PeopleReport, YieldReport};
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::Path;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(agreement)).routes(routes!(people_quality)).routes(routes!(yields))
}

/// Leads see everybody, others themselves.
pub(crate) fn seen_by(viewer: &Viewer, role: Option<Role>) -> For {
    let name = viewer.name.clone();
    if viewer.admin || role == Some(Role::Lead) { For::Lead(name) } else { For::Person(name) }
}

/// How far people agree
///
/// On samples that several looked at without seeing each other's decisions: raw agreement, Fleiss' kappa,
/// Krippendorff's alpha, Cohen's kappa of each two people (leads only), and class by class, with 95 %
/// intervals. What cannot be told has no interval and says why in `undefined`.
#[utoipa::path(get, path = "/datasets/{dataset}/agreement", tag = "quality",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Agreement", body = AgreementReport)))]
async fn agreement(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<AgreementReport>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let taxonomy = services.store.taxonomy(dataset.id).await?;
    let who = seen_by(&viewer, role);
    Ok(axum::Json(measures::agreement(&services, dataset.id, &taxonomy, &who).await?))
}

/// How well people decide
///
/// Against samples of known class and against what two people or more settled on. Leads see everybody,
/// others only themselves. Times are told of all together, and to each person her own.
#[utoipa::path(get, path = "/datasets/{dataset}/people-quality", tag = "quality",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Quality", body = PeopleReport)))]
async fn people_quality(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<PeopleReport>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(measures::people(&services, dataset.id, &seen_by(&viewer, role)).await?))
}

/// What reviewing brings
///
/// Corrections per 100 first decisions over time, the wrong labels that are left, and what the next reviews
/// are expected to correct and to break.
#[utoipa::path(get, path = "/datasets/{dataset}/yield", tag = "quality",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "Yield", body = YieldReport)))]
async fn yields(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<YieldReport>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(measures::yields(&services, dataset.id).await?))
}
