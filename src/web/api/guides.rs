//! Labelling guides and rulings: what a class is, where it ends, how doubtful cases were settled.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::author;
use crate::domain::markdown::html_of;
use crate::jobs::Services;
use crate::store::guides::{Guide, GuideHead, MOST_SAMPLES, NewGuide, Ruling};
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

/// Longest guide and boundary notes, ruling, and reason, in characters.
const MAX_GUIDE: usize = 20_000;
const MAX_RULING: usize = 5_000;
const MAX_REASON: usize = 1_000;
/// In an address, the dataset's own guide.
pub(crate) const GENERAL: &str = "#";

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(one, put))
        .routes(routes!(versions))
        .routes(routes!(decisions, decide))
        .routes(routes!(preview))
}

/// The class of an address: `#` is the dataset's own guide.
pub(crate) fn class_of(part: &str) -> &str {
    if part == GENERAL { "" } else { part }
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "markdown": "A board with four wheels **and** someone on it.", "boundary": "Longboards too; scooters not.",
    "base_version": 0, "reason": "first draft"
}))]
struct GuideRequest {
    /// What belongs to the class, as Markdown.
    #[serde(default)]
    #[schema(max_length = 20000)]
    markdown: Option<String>,
    /// Where it ends and what is next to it, as Markdown.
    #[serde(default)]
    #[schema(max_length = 20000)]
    boundary: Option<String>,
    /// Instead of texts: those of this earlier version, which come back as a new one.
    #[serde(default)]
    from_version: Option<i32>,
    /// The version that this was written on; 0 where there was none.
    base_version: i32,
    #[serde(default)]
    #[schema(max_length = 1000)]
    reason: String,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"text": "A parked board without anybody is *Other*.", "samples": ["clip-7", "clip-12"]}))]
struct RulingRequest {
    /// Markdown.
    #[schema(min_length = 1, max_length = 5000)]
    text: String,
    /// External ids of the samples that it is about, or `#` and the internal id.
    #[serde(default)]
    #[schema(max_items = 50)]
    samples: Vec<String>,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct PreviewRequest {
    #[schema(max_length = 20000)]
    markdown: String,
}

/// Markdown as it will be shown.
#[derive(Debug, Serialize, ToSchema)]
struct Preview {
    /// Safe to show: no raw HTML, no scripts, no images.
    html: String,
}

/// A version with its texts as HTML that is safe to show.
#[derive(Debug, Serialize, ToSchema)]
struct GuideView {
    #[serde(flatten)]
    guide: Guide,
    markdown_html: String,
    boundary_html: String,
}

impl From<Guide> for GuideView {
    fn from(guide: Guide) -> Self {
        Self {
            markdown_html: guide.definition_html().to_string(),
            boundary_html: guide.boundary_html().to_string(),
            guide,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct OfVersion {
    /// An earlier version instead of the newest.
    version: Option<i32>,
}

/// List guides
///
/// Every class that has a guide or a ruling, the dataset's own (with an empty `class`) first.
#[utoipa::path(get, path = "/datasets/{dataset}/guides", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"), PageParams),
    responses((status = 200, description = "A page", body = Paged<GuideHead>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    paging: Paging,
) -> Result<axum::Json<Paged<GuideHead>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let all = services.store.guides(dataset.id).await?;
    Ok(axum::Json(paging.cut("guides", all)?))
}

/// A class's guide
///
/// 404 with the code `no_guide` where nobody has written one.
#[utoipa::path(get, path = "/datasets/{dataset}/guides/{class}", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"),
           ("class" = String, Path, description = "A node of the taxonomy as one path segment (`/` as `%2F`); `%23`: the dataset's own guide"),
           OfVersion),
    responses((status = 200, description = "The guide", body = GuideView)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, class)): Path<(String, String)>,
    Query(of): Query<OfVersion>,
) -> Result<axum::Json<GuideView>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let guide = match of.version {
        Some(version) => Some(services.store.guide_version(dataset.id, class_of(&class), version).await?),
        None => services.store.guide(dataset.id, class_of(&class)).await?,
    };
    let none = || Problem::new(StatusCode::NOT_FOUND, "no_guide", "nobody has written this guide yet");
    guide.map(|g| axum::Json(g.into())).ok_or_else(none)
}

/// Write a class's guide
///
/// Kept as a new version; the same texts as before change nothing. 409 with the code `guide_changed` when
/// somebody else wrote one after `base_version`.
#[utoipa::path(put, path = "/datasets/{dataset}/guides/{class}", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"),
           ("class" = String, Path, description = "A node of the taxonomy as one path segment (`/` as `%2F`); `%23`: the dataset's own guide")),
    request_body = GuideRequest,
    responses((status = 200, description = "The guide as it stands now", body = GuideView),
              (status = 409, description = "Somebody else changed it", body = crate::web::error::ProblemBody, content_type = "application/problem+json")))]
async fn put(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, class)): Path<(String, String)>,
    Json(request): Json<GuideRequest>,
) -> Result<axum::Json<GuideView>, Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let class = class_of(&class);
    check_length("reason", &request.reason, MAX_REASON)?;
    let (markdown, boundary) = match (request.from_version, request.markdown, request.boundary) {
        (Some(version), None, None) => {
            let old = services.store.guide_version(dataset.id, class, version).await?;
            (old.markdown, old.boundary)
        }
        (None, Some(markdown), boundary) => (markdown, boundary.unwrap_or_default()),
        _ => {
            let message = "send either `markdown` (and `boundary`) or `from_version`";
            return Err(Problem::invalid("markdown", "guide_text", message));
        }
    };
    check_length("markdown", &markdown, MAX_GUIDE)?;
    check_length("boundary", &boundary, MAX_GUIDE)?;
    let new = NewGuide { markdown, boundary, author, reason: request.reason, base: request.base_version };
    Ok(axum::Json(services.store.put_guide(dataset.id, class, &new).await?.into()))
}

/// Versions of a class's guide
///
/// Newest first, none is ever changed or deleted.
#[utoipa::path(get, path = "/datasets/{dataset}/guides/{class}/versions", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"),
           ("class" = String, Path, description = "A node of the taxonomy as one path segment (`/` as `%2F`); `%23`: the dataset's own guide"),
           PageParams),
    responses((status = 200, description = "A page", body = Paged<Guide>)))]
async fn versions(
    State(services): State<Services>,
    Path((dataset, class)): Path<(String, String)>,
    paging: Paging,
) -> Result<axum::Json<Paged<Guide>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<i32> = paging.after("guide_versions")?;
    let page = services.store.guide_versions(dataset.id, class_of(&class), before, paging.limit).await?;
    Ok(axum::Json(Paged::of("guide_versions", page)))
}

/// Rulings on a class
///
/// How doubtful cases were settled, newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/guides/{class}/decisions", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"),
           ("class" = String, Path, description = "A node of the taxonomy as one path segment (`/` as `%2F`); `%23`: the dataset's own guide"),
           PageParams),
    responses((status = 200, description = "A page", body = Paged<Ruling>)))]
async fn decisions(
    State(services): State<Services>,
    Path((dataset, class)): Path<(String, String)>,
    paging: Paging,
) -> Result<axum::Json<Paged<Ruling>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let before: Option<i64> = paging.after("rulings")?;
    let page = services.store.rulings(dataset.id, class_of(&class), before, paging.limit).await?;
    Ok(axum::Json(Paged::of("rulings", page)))
}

/// Note a ruling
#[utoipa::path(post, path = "/datasets/{dataset}/guides/{class}/decisions", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name"),
           ("class" = String, Path, description = "A node of the taxonomy as one path segment (`/` as `%2F`); `%23`: the dataset's own guide")),
    request_body = RulingRequest,
    responses((status = 201, description = "Noted", body = Ruling)))]
async fn decide(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, class)): Path<(String, String)>,
    Json(request): Json<RulingRequest>,
) -> Result<(StatusCode, axum::Json<Ruling>), Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    if request.text.trim().is_empty() {
        return Err(Problem::invalid("text", "empty", "a ruling needs a text"));
    }
    check_length("text", &request.text, MAX_RULING)?;
    if request.samples.len() > MOST_SAMPLES {
        let message = format!("a ruling is about at most {MOST_SAMPLES} samples");
        return Err(Problem::invalid("samples", "too_many", message));
    }
    let class = class_of(&class);
    let ruling =
        services.store.add_ruling(dataset.id, class, &request.text, &request.samples, &author).await?;
    Ok((StatusCode::CREATED, axum::Json(ruling)))
}

/// Markdown as it will be shown
///
/// Keeps nothing.
#[utoipa::path(post, path = "/datasets/{dataset}/guide-previews", tag = "guides",
    params(("dataset" = String, Path, description = "Id or name")), request_body = PreviewRequest,
    responses((status = 200, description = "The same as HTML", body = Preview)))]
async fn preview(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(request): Json<PreviewRequest>,
) -> Result<axum::Json<Preview>, Problem> {
    services.store.dataset(&dataset).await?;
    check_length("markdown", &request.markdown, MAX_GUIDE)?;
    Ok(axum::Json(Preview { html: html_of(&request.markdown).to_string() }))
}

fn check_length(field: &'static str, text: &str, most: usize) -> Result<(), Problem> {
    if text.chars().count() <= most {
        return Ok(());
    }
    Err(Problem::invalid(field, "too_long", format!("{field} is at most {most} characters long")))
}
