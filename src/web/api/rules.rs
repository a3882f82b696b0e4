//! Rules: small expressions that flag, relabel or exclude samples; previews, runs, and their undoing.

use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{Accepted, accepted, author};
use crate::jobs::Services;
use crate::jobs::rule::RulePreview;
use crate::jobs::rule::fields::FIELDS;
use crate::store::jobs::Job;
use crate::store::rules::{Rule, RuleRun, RunFilter};
use crate::web::access::Who;
use crate::web::error::Problem;
use crate::web::extract::{Json, JsonOrDefault, Path, Query};
use crate::web::paging::{PageParams, Paged, Paging};

pub(super) fn router() -> OpenApiRouter<Services> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(one, change))
        .routes(routes!(archive))
        .routes(routes!(runs, apply))
        .routes(routes!(run))
        .routes(routes!(undo))
        .routes(routes!(preview))
        .routes(routes!(fields))
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "short", "rule": "flag when len(title) < 4 or missing(asr)"}))]
struct RuleRequest {
    /// 1-100 characters, of no other rule of the dataset. May be left out where the text begins with it:
    /// `short: flag when …`.
    #[serde(default)]
    name: String,
    /// `[name:] flag | relabel "class" | exclude when condition`; at most 4 KiB.
    rule: String,
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rule": "relabel \"beauty\" when label = \"sport\" and neighbours_agree < 0.2"}))]
struct RuleText {
    rule: String,
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct RunRequest {
    /// Only before there are accounts; then it is whoever asks.
    #[serde(default)]
    #[schema(default = "local", min_length = 1, max_length = 100)]
    author: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RuleFilter {
    /// Only archived rules instead of the others.
    #[serde(default)]
    #[param(default = false)]
    archived: bool,
}

/// A field that rules may speak of.
#[derive(Debug, Serialize, ToSchema)]
struct FieldView {
    name: &'static str,
    /// `text`, `number` or `flag` (yes or no).
    kind: &'static str,
    /// A condition that reads it.
    example: &'static str,
}

/// List rules
///
/// In the order in which they were made, each with its last run.
#[utoipa::path(get, path = "/datasets/{dataset}/rules", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), RuleFilter, PageParams),
    responses((status = 200, description = "A page", body = Paged<Rule>)))]
async fn list(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Query(filter): Query<RuleFilter>,
    paging: Paging,
) -> Result<axum::Json<Paged<Rule>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let after: Option<Uuid> = paging.after("rules")?;
    let page = services.store.rules(dataset.id, filter.archived, after, paging.limit).await?;
    Ok(axum::Json(Paged::of("rules", page)))
}

/// Keep a rule
///
/// Nothing is changed until it is applied. A text that cannot be read is refused with line and column.
#[utoipa::path(post, path = "/datasets/{dataset}/rules", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name")), request_body = RuleRequest,
    responses((status = 201, description = "Kept", body = Rule, headers(("Location" = String, description = "The rule")))))]
async fn create(
    State(services): State<Services>,
    Who(viewer): Who,
    Path(dataset): Path<String>,
    Json(request): Json<RuleRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], axum::Json<Rule>), Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let rule = services.create_rule(dataset.id, &request.name, &request.rule, &author).await?;
    let at = format!("/api/v1/datasets/{}/rules/{}", dataset.id, rule.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, at)], axum::Json(rule)))
}

/// One rule
#[utoipa::path(get, path = "/datasets/{dataset}/rules/{rule}", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("rule" = Uuid, Path)),
    responses((status = 200, description = "The rule with its last run", body = Rule)))]
async fn one(
    State(services): State<Services>,
    Path((dataset, rule)): Path<(String, Uuid)>,
) -> Result<axum::Json<Rule>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.rule(dataset.id, rule).await?))
}

/// Change the text of a rule
///
/// Its name stays, and so does what its runs did.
#[utoipa::path(put, path = "/datasets/{dataset}/rules/{rule}", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("rule" = Uuid, Path)), request_body = RuleText,
    responses((status = 200, description = "Changed", body = Rule),
              (status = 409, description = "The rule is archived", body = crate::web::error::ProblemBody, content_type = "application/problem+json")))]
async fn change(
    State(services): State<Services>,
    Path((dataset, rule)): Path<(String, Uuid)>,
    Json(request): Json<RuleText>,
) -> Result<axum::Json<Rule>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.change_rule(dataset.id, rule, &request.rule).await?))
}

/// Archive a rule
///
/// It can no longer be applied; what its runs did stays and can still be undone.
#[utoipa::path(post, path = "/datasets/{dataset}/rules/{rule}/archive", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("rule" = Uuid, Path)),
    responses((status = 200, description = "Archived", body = Rule)))]
async fn archive(
    State(services): State<Services>,
    Path((dataset, rule)): Path<(String, Uuid)>,
) -> Result<axum::Json<Rule>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.archive_rule(dataset.id, rule).await?))
}

/// Runs of a rule
///
/// Newest first.
#[utoipa::path(get, path = "/datasets/{dataset}/rules/{rule}/runs", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("rule" = Uuid, Path), PageParams),
    responses((status = 200, description = "A page", body = Paged<RuleRun>)))]
async fn runs(
    State(services): State<Services>,
    Path((dataset, rule)): Path<(String, Uuid)>,
    paging: Paging,
) -> Result<axum::Json<Paged<RuleRun>>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    let rule = services.store.rule(dataset.id, rule).await?.id;
    let before: Option<Uuid> = paging.after("rule-runs")?;
    let of_rule = RunFilter { rule: Some(rule), ..Default::default() };
    let page = services.store.rule_runs(dataset.id, of_rule, before, paging.limit).await?;
    Ok(axum::Json(Paged::of("rule-runs", page)))
}

/// Apply a rule
///
/// The run has the id of its job and reads the scores of the latest scan. `flag` marks the hits, `relabel`
/// gives them a label of the source `rule` where no person has labelled them, `exclude` leaves them out of
/// snapshots, hence of scans, trainings and exports. All of it at once, or nothing. 409 `rule_busy` while
/// another job of the rule is open. The body may be left out.
#[utoipa::path(post, path = "/datasets/{dataset}/rules/{rule}/runs", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("rule" = Uuid, Path)), request_body = Option<RunRequest>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn apply(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, rule)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<RunRequest>,
) -> Result<Accepted, Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let job = services.enqueue_rule_run(dataset.id, rule, &author).await?;
    accepted(&services, job).await
}

/// One run
#[utoipa::path(get, path = "/datasets/{dataset}/rule-runs/{run}", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("run" = Uuid, Path)),
    responses((status = 200, description = "The run; its samples are those of the filter `rule`", body = RuleRun)))]
async fn run(
    State(services): State<Services>,
    Path((dataset, run)): Path<(String, Uuid)>,
) -> Result<axum::Json<RuleRun>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.store.rule_run(dataset.id, run).await?))
}

/// Undo a run
///
/// Its labels are retracted, its exclusions lifted, its flags dropped; what people and imports have said
/// since stands. 409 `nothing_to_undo` where the run does not stand. The body may be left out.
#[utoipa::path(post, path = "/datasets/{dataset}/rule-runs/{run}/undo", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name"), ("run" = Uuid, Path)), request_body = Option<RunRequest>,
    responses((status = 202, description = "Queued", body = Job, headers(("Location" = String, description = "The job")))))]
async fn undo(
    State(services): State<Services>,
    Who(viewer): Who,
    Path((dataset, run)): Path<(String, Uuid)>,
    JsonOrDefault(request): JsonOrDefault<RunRequest>,
) -> Result<Accepted, Problem> {
    let author = author(&viewer, request.author)?;
    let dataset = services.store.dataset(&dataset).await?;
    let job = services.enqueue_rule_undo(dataset.id, run, &author).await?;
    accepted(&services, job).await
}

/// Try a rule
///
/// A dry run over all samples: counts, the labels that it hits, the first 20 hits. Nothing is written.
#[utoipa::path(post, path = "/datasets/{dataset}/rule-previews", tag = "rules",
    params(("dataset" = String, Path, description = "Id or name")), request_body = RuleText,
    responses((status = 200, description = "What it would do now", body = RulePreview)))]
async fn preview(
    State(services): State<Services>,
    Path(dataset): Path<String>,
    Json(request): Json<RuleText>,
) -> Result<axum::Json<RulePreview>, Problem> {
    let dataset = services.store.dataset(&dataset).await?;
    Ok(axum::Json(services.preview_rule(dataset.id, &request.rule).await?))
}

/// What rules may speak of
#[utoipa::path(get, path = "/rule-fields", tag = "rules",
    responses((status = 200, description = "Every field with its type and an example", body = Vec<FieldView>)))]
async fn fields() -> axum::Json<Vec<FieldView>> {
    let view = |f: &crate::jobs::rule::fields::RuleField| FieldView {
        name: f.name,
        kind: f.kind,
        example: f.example,
    };
    axum::Json(FIELDS.iter().map(view).collect())
}
