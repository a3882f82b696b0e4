//! Datasets, their taxonomy, their classes and their rounds.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::jobs::Services;
use crate::store::datasets::{ClassCount, Dataset, DatasetCounts};
use crate::store::scans::Round;
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::Path;
use crate::web::paging::{PageParams, Paged, Paging};

/// More rounds than anybody turns.
const MAX_ROUNDS: i64 = 10_000;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, delete))
        .routes(routes!(taxonomy))
        .routes(routes!(classes))
        .routes(routes!(rounds))
}

/// A dataset with its counts.
#[derive(Debug, Serialize, ToSchema)]
struct DatasetView {
    #[serde(flatten)]
    dataset: Dataset,
    counts: DatasetCounts,
}

/// The category tree.
#[derive(Debug, Serialize, ToSchema)]
struct TaxonomyView {
    /// sha256 over ids and parents; names may change without changing it.
    hash: String,
    depth: usize,
    n_classes: usize,
    /// In input order.
    nodes: Vec<TaxonomyNode>,
}

#[derive(Debug, Serialize, ToSchema)]
struct TaxonomyNode {
    id: String,
    /// Language tag -> name.
    names: BTreeMap<String, String>,
    parent: Option<String>,
    /// 1 for a root.
    level: usize,
    /// Column in probability matrices; null for inner nodes, which are no classes.
    class_index: Option<usize>,
}

/// List datasets
///
/// In order of their names: those of the caller's teams; all for admins.
#[utoipa::path(get, path = "/datasets", tag = "datasets", params(PageParams),
    responses((status = 200, description = "A page", body = Paged<Dataset>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    paging: Paging,
) -> Result<axum::Json<Paged<Dataset>>, Problem> {
    let after: Option<String> = paging.after("datasets")?;
    let page = services.store.datasets(viewer.limited_to(), after.as_deref(), paging.limit).await?;
    Ok(axum::Json(Paged::of("datasets", page)))
}

/// One dataset with its counts
#[utoipa::path(get, path = "/datasets/{dataset}", tag = "datasets",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The dataset", body = DatasetView)))]
async fn one(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<DatasetView>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let counts = services.store.dataset_counts(dataset.id).await?;
    Ok(axum::Json(DatasetView { dataset, counts }))
}

/// Delete a dataset
///
/// With its samples, labels, reviews, scans, trainings, exports and jobs. There is no way back.
#[utoipa::path(delete, path = "/datasets/{dataset}", tag = "datasets",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is gone")))]
async fn delete(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<StatusCode, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    services.store.delete_dataset(dataset.id).await?;
    tracing::info!(dataset = dataset.name, "dataset deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// The taxonomy, whole
#[utoipa::path(get, path = "/datasets/{dataset}/taxonomy", tag = "datasets",
    params(("dataset" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The tree", body = TaxonomyView)))]
async fn taxonomy(
    State(services): State<Services>,
    Path(dataset): Path<String>,
) -> Result<axum::Json<TaxonomyView>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let tree = services.store.taxonomy(dataset.id).await?;
    let nodes = tree
        .nodes()
        .iter()
        .map(|n| TaxonomyNode {
            id: n.id.clone(),
            names: n.names.clone(),
            parent: n.parent.clone(),
            level: tree.level(&n.id).unwrap_or(1),
            class_index: tree.class_index(&n.id),
        })
        .collect();
    Ok(axum::Json(TaxonomyView {
        hash: tree.hash(),
        depth: tree.depth(),
        n_classes: tree.n_classes(),
        nodes,
    }))
}

/// Samples per class
///
/// Every class of the taxonomy in column order, those without samples too.
#[utoipa::path(get, path = "/datasets/{dataset}/classes", tag = "datasets",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<ClassCount>)))]
async fn classes(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<ClassCount>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(paging.cut("classes", services.store.class_counts(dataset.id).await?)?))
}

/// Rounds: scan, review, train
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/rounds", tag = "rounds",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<Round>)))]
async fn rounds(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<Round>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(paging.cut("rounds", services.store.rounds(dataset.id, MAX_ROUNDS).await?)?))
}
