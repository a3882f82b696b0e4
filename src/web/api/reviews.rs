//! Decisions on samples. A decision carries an id that the client made, so sending it again after a
//! lost answer records it once.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::author;
use crate::domain::{Decision, Viewer};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::reviews::{NewReview, Review};
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};

/// Longest accepted comment, in characters.
const MAX_COMMENT: usize = 10_000;

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(create))
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
    /// `keep`, `relabel`, `unsure`, `ambiguous`, `out_of_taxonomy` or `bad_media`.
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
    fn check(self, viewer: &Viewer, dataset_id: Uuid, sample_id: i64) -> Result<NewReview, Problem> {
        let author = author(viewer, self.author)?;
        if self.comment.chars().count() > MAX_COMMENT {
            return Err(Problem::invalid(
                "comment",
                "too_long",
                format!("a comment is at most {MAX_COMMENT} characters long"),
            ));
        }
        if self.time_spent_ms.is_some_and(|t| t < 0) {
            return Err(Problem::invalid("time_spent_ms", "negative", "time_spent_ms must not be negative"));
        }
        Ok(NewReview {
            client_id: self.client_id,
            dataset_id,
            sample_id,
            scan_id: self.scan_id,
            author,
            decision: Decision::parse(&self.decision, self.class, self.classes)?,
            comment: self.comment,
            time_spent_ms: self.time_spent_ms,
        })
    }
}

/// Decide on a sample
///
/// `keep` and `relabel` add a label; the others leave the labels alone. The same `client_id` again
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
    Path((dataset, sample)): Path<(String, String)>,
    Json(request): Json<ReviewRequest>,
) -> Result<(StatusCode, axum::Json<Review>), Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let sample = services.store.sample(dataset.id, &sample).await?;
    let new = request.check(&viewer, dataset.id, sample.id)?;
    if let Some(scan) = new.scan_id {
        match services.store.scan(dataset.id, scan).await {
            Ok(_) => {}
            Err(StoreError::NotFound { .. }) => {
                return Err(Problem::invalid("scan_id", "unknown_scan", "this dataset has no such scan"));
            }
            Err(e) => return Err(e.into()),
        }
    }
    let review = services.store.record_review(&new).await?;
    // the decision stands whether or not the order can learn from it now
    if !review.replayed
        && let Err(error) = services.rerank_if_due(dataset.id).await
    {
        tracing::warn!(%error, "a rerank was not queued; the next review asks again");
    }
    let status = if review.replayed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, axum::Json(review)))
}
