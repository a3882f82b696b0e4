//! Decisions on samples, taking them back, and lists of them. A decision carries an id that the client made,
//! so sending it again after a lost answer records it once.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::queue::{audience, is_at_least};
use super::{author, check_comment};
use crate::domain::{Decision, Role, Viewer};
use crate::jobs::{self, Services};
use crate::store::consensus::Consensus;
use crate::store::reviews::{NewReview, RecentReview, Review, Undone};
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Json, JsonOrDefault, Path, Query};
use crate::web::paging::{Paged, check_limit};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(list))
        .routes(routes!(undo))
        .routes(routes!(consensus))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "client_id": "0192f0c1-2f6e-7cc0-8000-5d2b6d1f0a11", "decision": "relabel", "class": "sports/skating",
    "time_spent_ms": 2300
}))]
struct ReviewRequest {
    /// Made by the client, one for each decision.
    client_id: Uuid,
    /// `keep`, `relabel`, `unsure`, `ambiguous`, `out_of_taxonomy`, `bad_media` or `exclude`.
    decision: String,
    /// For `relabel`: a leaf of the taxonomy.
    #[serde(default)]
    class: Option<String>,
    /// For `ambiguous`: the classes that fit, two or more.
    #[serde(default)]
    classes: Vec<String>,
    /// The scan that brought the sample up.
    #[serde(default)]
    scan_id: Option<Uuid>,
    /// Under which the sample was drawn; a decision counts also when it has run out.
    #[serde(default)]
    lease_id: Option<Uuid>,
    #[serde(default)]
    #[schema(max_length = 10000)]
    comment: String,
    #[serde(default)]
    #[schema(minimum = 0)]
    time_spent_ms: Option<i32>,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

impl ReviewRequest {
    fn check(
        self,
        viewer: &Viewer,
        role: Option<Role>,
        dataset_id: Uuid,
        sample_id: i64,
    ) -> Result<NewReview, Problem> {
        let author = author(viewer, self.author)?;
        check_comment("comment", &self.comment)?;
        if self.time_spent_ms.is_some_and(|t| t < 0) {
            return Err(Problem::invalid("time_spent_ms", "negative", "time_spent_ms must not be negative"));
        }
        Ok(NewReview {
            client_id: self.client_id,
            dataset_id,
            sample_id,
            scan_id: self.scan_id,
            lease_id: self.lease_id,
            author,
            may_adjudicate: is_at_least(Role::Reviewer, viewer, role),
            decision: Decision::parse(&self.decision, self.class, self.classes)?,
            comment: self.comment,
            time_spent_ms: self.time_spent_ms,
        })
    }
}

/// Decide on a sample
///
/// `keep` and `relabel` add a label, `exclude` leaves the sample out of snapshots, scans, trainings and exports;
/// the others change nothing of it. Where the policy asks for it somebody else looks again. The same `client_id` again
/// answers 200 with the first review and changes nothing.
#[utoipa::path(post, path = "/datasets/{dataset}/samples/{sample}/reviews", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id")),
    request_body = ReviewRequest,
    responses((status = 201, description = "Recorded", body = Review),
              (status = 200, description = "Recorded before", body = Review)))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, sample)): Path<(String, String)>,
    Json(request): Json<ReviewRequest>,
) -> Result<(StatusCode, axum::Json<Review>), Problem> {
    let (dataset, sample, scanned) = services.store.place_of(&dataset, &sample, request.scan_id).await?;
    let new = request.check(&viewer, role, dataset, sample)?;
    if new.scan_id.is_some() && !scanned {
        return Err(Problem::invalid("scan_id", "unknown_scan", "this dataset has no such scan"));
    }
    let review = services.store.record_review(&new).await?;
    // the decision stands whether or not the order can learn from it now
    if !review.replayed
        && let Err(error) = services.rerank_if_due(dataset).await
    {
        tracing::warn!(%error, "a rerank was not queued; the next review asks again");
    }
    let status = if review.replayed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(review)))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListParams {
    /// A name, or `me`; everybody's when left out.
    author: Option<String>,
    /// Only those before the review of this id.
    before: Option<i64>,
    #[param(minimum = 1, maximum = 200, default = 30)]
    limit: Option<i64>,
}

/// Decisions, newest first
///
/// Others' decisions on samples that are not verified are told to reviewers and leads only.
#[utoipa::path(get, path = "/datasets/{dataset}/reviews", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"), ListParams),
    responses((status = 200, description = "`next`, where there is more, is the next `before`", body = Paged<RecentReview>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path(dataset): Path<String>,
    Query(params): Query<ListParams>,
) -> Result<axum::Json<Paged<RecentReview>>, Problem> {
    let limit = check_limit(params.limit)?;
    let author = params.author.map(|a| if a == "me" { viewer.name.clone() } else { a });
    let audience = audience(&viewer, role);
    let dataset = services.store.dataset(&dataset).await?;
    let page =
        services.store.recent_reviews(dataset.id, author.as_deref(), audience, params.before, limit).await?;
    Ok(axum::Json(Paged { items: page.items, next: page.next }))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct UndoRequest {
    /// Made by the client; undoing twice is the same as once, with it or without.
    client_id: Option<Uuid>,
    /// Only before there are accounts; then it is whoever asks.
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// Take a decision back
///
/// One's own; leads may take back anybody's. Its label no longer counts, what it left out is in again, and a
/// sample that was drawn is in the hands of its author again, unless somebody else looks at it now.
#[utoipa::path(post, path = "/datasets/{dataset}/reviews/{client_id}/undo", tag = "suspects",
    params(("dataset" = String, Path, description = "Id or name"),
           ("client_id" = Uuid, Path, description = "That of the decision")),
    request_body = Option<UndoRequest>,
    responses((status = 200, description = "Taken back, now or before", body = Undone)))]
async fn undo(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, client_id)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<UndoRequest>,
) -> Result<axum::Json<Undone>, Problem> {
    let by = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let whose = services.store.review_author(dataset.id, client_id).await?;
    let whose = whose.ok_or_else(|| Problem::not_found("review", client_id))?;
    if whose != by && !is_at_least(Role::Lead, &viewer, role) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "not_yours",
            "only leads take back what others decided",
        ));
    }
    let minutes = services.config.review.lease_minutes;
    Ok(axum::Json(services.store.undo_review(dataset.id, client_id, &by, minutes).await?))
}

/// What people and model say of a sample together
///
/// Each weighed by how well they have agreed with the others so far (CROWDLAB).
#[utoipa::path(get, path = "/datasets/{dataset}/samples/{sample}/consensus", tag = "queue",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id")),
    responses((status = 200, description = "From the decisions that stand", body = Consensus)))]
async fn consensus(
    State(services): State<Services>,
    Path((dataset, sample)): Path<(String, String)>,
) -> Result<axum::Json<Consensus>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let sample = services.store.sample_id(dataset.id, &sample).await?;
    Ok(axum::Json(jobs::consensus::of_sample(&services, dataset.id, sample).await?))
}
