//! Comments on samples.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::queue::audience;
use super::{author, check_comment};
use crate::jobs::Services;
use crate::store::comments::Comment;
use crate::web::access::{As, Who};
use crate::web::error::Problem;
use crate::web::extract::{Json, Path};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new().routes(routes!(list, create))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CommentRequest {
    /// Made by the client, one for each comment.
    client_id: Uuid,
    #[schema(min_length = 1, max_length = 10000)]
    text: String,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

/// Comments on a sample, oldest first
///
/// Others' are not told to annotators who may be asked about the sample without knowing.
#[utoipa::path(get, path = "/datasets/{dataset}/samples/{sample}/comments", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id"),
           PageParams),
    responses((status = 200, description = "A page", body = Paged<Comment>)))]
async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    Extension(As(role)): Extension<As>,
    Path((dataset, sample)): Path<(String, String)>,
    paging: Paging,
) -> Result<axum::Json<Paged<Comment>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let sample = services.store.sample_id(dataset.id, &sample).await?;
    let after = paging.after("comments")?.unwrap_or(0);
    let page =
        services.store.comments(dataset.id, sample, audience(&viewer, role), after, paging.limit).await?;
    Ok(axum::Json(Paged::of("comments", page)))
}

/// Comment on a sample
///
/// The same `client_id` again answers 200 with the first comment and adds nothing.
#[utoipa::path(post, path = "/datasets/{dataset}/samples/{sample}/comments", tag = "samples",
    params(("dataset" = String, Path, description = "Id or name"),
           ("sample" = String, Path, description = "External id as one path segment (`/` as `%2F`), or `%23` and the internal id")),
    request_body = CommentRequest,
    responses((status = 201, description = "Kept", body = Comment),
              (status = 200, description = "Kept before", body = Comment)))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, sample)): Path<(String, String)>,
    Json(request): Json<CommentRequest>,
) -> Result<(StatusCode, axum::Json<Comment>), Problem> {
    check_comment("text", &request.text)?;
    if request.text.trim().is_empty() {
        return Err(Problem::invalid("text", "empty", "a comment says something"));
    }
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let sample = services.store.sample_id(dataset.id, &sample).await?;
    let (comment, new) =
        services.store.comment(dataset.id, sample, request.client_id, &author, &request.text).await?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, axum::Json(comment)))
}
