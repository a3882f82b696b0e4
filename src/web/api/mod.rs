//! The JSON API under `/api/v1`, one file per resource. Handlers extract, call, and render; what they
//! promise is in the OpenAPI document that is made from them (`/api/openapi.json`, `/api/docs`).
//!
//! Lists are paged by cursor, long work answers 202 with its job, errors are problem JSON, every POST
//! may carry an `Idempotency-Key`.

mod batches;
mod bulk;
mod comments;
mod datasets;
mod docs;
mod embeddings;
mod events;
mod exports;
pub(crate) mod guides;
mod health;
mod imports;
mod jobs;
mod ledger;
mod live;
mod maps;
pub(crate) mod measures;
mod parameters;
pub(crate) mod people;
mod predict;
mod predictions;
mod queue;
mod reviews;
mod rules;
mod samples;
mod scans;
mod settings;
mod snapshots;
mod stream;
mod suspects;
mod trainings;
mod uploads;
pub(crate) mod webhooks;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use uuid::Uuid;

use self::parameters::Known;
use super::error::{Problem, ProblemBody};
use super::{health as probes, idempotency, media};
use crate::domain::Viewer;
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::jobs::Job;
use crate::store::suspects::SuspectStatus;

/// Longest body of a request that uploads nothing, in bytes.
pub(crate) const MAX_BODY: usize = 2 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tamis",
        description = "Finds and fixes wrong labels of short-video datasets.\n\n\
            **Lists** are paged: pass `next` of a page as `cursor` of the following request. A parameter that an address \
            does not have is refused by name (400 `unknown_parameter`).\n\n\
            **Who asks**: a signed-in browser by its session (writes with the form token of its pages beside), a program by a \
            token, whose scopes each operation names. Until the first account is made the service is open to whoever sits at \
            its machine.\n\n\
            **Long work** (imports, encodes, scans, trainings, exports, rules, maps) answers 202 with a job; follow it at \
            `/api/v1/jobs/{job}` or live at `/api/v1/jobs/{job}/events`.\n\n\
            **Errors** are problem JSON (RFC 9457) with a stable `code` and, where a field is to blame, `errors`.\n\n\
            **Sending again**: every POST but those of accounts and webhooks takes an `Idempotency-Key`; the same key with the same body gets the \
            first answer again and does nothing twice.\n\n\
            **Sample ids** in addresses are external ids, percent-encoded as one path segment (`/` as `%2F`), \
            or `%23` and the internal id."
    ),
    components(schemas(ProblemBody, SuspectStatus)),
    tags(
        (name = "datasets", description = "Samples under one taxonomy"),
        (name = "imports", description = "Bringing samples in"),
        (name = "samples", description = "One short video with its texts and labels"),
        (name = "suspects", description = "Samples whose label a scan doubts, and the decisions on them"),
        (name = "queue", description = "Who looks at which sample next, and how often"),
        (name = "rules", description = "Small expressions that flag, relabel or exclude samples"),
        (name = "guides", description = "What classes are, where they end, and rulings on doubtful cases"),
        (name = "quality", description = "Agreement, people's quality, and what reviewing brings"),
        (name = "bulk", description = "Sets of samples, one decision on all of a set, maps of the embeddings"),
        (name = "rounds", description = "Snapshots, embeddings, scans and trainings"),
        (name = "exports", description = "A snapshot as a file"),
        (name = "people", description = "Accounts, tokens and teams"),
        (name = "webhooks", description = "Telling other services what happens"),
        (name = "jobs", description = "Background work"),
        (name = "media", description = "Clips, posters and strips"),
        (name = "health", description = "For supervisors"),
    )
)]
struct Doc;

/// API, media and health, with the documents that describe them.
pub(crate) fn router(services: &Services) -> Router<Services> {
    let v1 = OpenApiRouter::new()
        .merge(datasets::router())
        .merge(samples::router())
        .merge(reviews::router())
        .merge(comments::router())
        .merge(queue::router())
        .merge(batches::router())
        .merge(suspects::router())
        .merge(health::router())
        .merge(rules::router())
        .merge(guides::router())
        .merge(measures::router())
        .merge(bulk::router())
        .merge(maps::router())
        .merge(snapshots::router())
        .merge(embeddings::router())
        .merge(scans::router())
        .merge(trainings::router())
        .merge(ledger::router())
        .merge(exports::router())
        .merge(jobs::router())
        .merge(live::router())
        .layer(middleware::from_fn_with_state(services.clone(), idempotency::layer))
        // not kept to be said again: these answers hold secrets
        .merge(people::router())
        .merge(webhooks::router())
        .merge(settings::router())
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .merge(
            bulk::selections()
                .layer(middleware::from_fn_with_state(services.clone(), idempotency::layer))
                .layer(DefaultBodyLimit::max(bulk::MAX_SELECTION_BODY)),
        )
        .merge(
            predict::router()
                .layer(middleware::from_fn_with_state(services.clone(), idempotency::layer))
                .layer(DefaultBodyLimit::max(predict::MAX_BODY)),
        )
        .merge(
            imports::router()
                .merge(predictions::router())
                .merge(predict::clips_router())
                .layer(DefaultBodyLimit::max(services.config.server.max_upload_bytes)),
        );
    let (router, document) = OpenApiRouter::with_openapi(Doc::openapi())
        .nest("/api/v1", v1)
        .merge(media::router())
        .merge(probes::router())
        .split_for_parts();
    let document = docs::finish(&document);
    router
        .layer(middleware::from_fn_with_state(Known::of(&document), parameters::refuse_unknown))
        .merge(docs::router(&document))
}

/// Who signs what this request does: whoever is signed in. Before the first account, whoever the request
/// names, else `local`.
///
/// # Errors
/// Another name than the caller's own.
fn author(viewer: &Viewer, asked: Option<String>) -> Result<String, Problem> {
    let Some(asked) = asked.filter(|a| *a != viewer.name) else { return Ok(viewer.name.clone()) };
    if viewer.account.is_some() {
        return Err(Problem::invalid(
            "author",
            "author",
            "what you do is signed with your own name: leave `author` out",
        ));
    }
    check_author(&asked)?;
    Ok(asked)
}

/// Longest accepted comment, in characters.
const MAX_COMMENT: usize = 10_000;

fn check_comment(field: &str, text: &str) -> Result<(), Problem> {
    if text.chars().count() <= MAX_COMMENT {
        return Ok(());
    }
    Err(Problem::invalid(field, "too_long", format!("a comment is at most {MAX_COMMENT} characters long")))
}

/// 1-100 characters without control characters.
fn check_author(author: &str) -> Result<(), Problem> {
    let ok = (1..=100).contains(&author.chars().count()) && !author.chars().any(char::is_control);
    if ok {
        return Ok(());
    }
    Err(Problem::invalid("author", "author", "an author is 1 to 100 characters without control characters"))
}

/// A snapshot named in a body: one that is not there is the body's fault.
async fn check_snapshot(services: &Services, dataset: Uuid, id: Option<&str>) -> Result<(), Problem> {
    let Some(id) = id else { return Ok(()) };
    match services.store.snapshot(dataset, id).await {
        Ok(_) => Ok(()),
        Err(StoreError::NotFound { .. }) => {
            Err(Problem::invalid("snapshot", "unknown_snapshot", format!("there is no snapshot {id:?}")))
        }
        Err(e) => Err(e.into()),
    }
}

/// 202 with the job and where to follow it.
type Accepted = (StatusCode, [(HeaderName, String); 1], axum::Json<Job>);

async fn accepted(services: &Services, job: Uuid) -> Result<Accepted, Problem> {
    let job = services.store.job(job).await?;
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, format!("/api/v1/jobs/{}", job.id))], axum::Json(job)))
}
