//! The pages: server-rendered, readable without scripts, in the reader's language. A handler reads
//! the store, fills a view (plain strings) and renders its template; views know no database.

pub(crate) mod address;
mod card;
mod clusters;
mod curves;
mod dataset;
mod datasets;
mod docs;
mod error;
mod grid;
mod guides;
mod health;
mod import;
mod jobs;
mod judged;
mod learning;
mod ledger;
mod map;
mod models;
mod names;
mod oidc;
mod people;
mod places;
mod predictions;
mod quality;
pub(crate) mod reader;
mod report;
mod review;
mod rules;
mod sample;
mod samples;
mod sign_in;
mod snapshots;
mod summary;
mod suspects;
mod trail;
mod training;
mod webhooks;
mod work;

#[cfg(test)]
mod tests;

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::jobs::Services;
use crate::web::assets;
use error::PageError;

pub(crate) use error::ErrorPage;
pub(crate) use reader::Reader;

pub(crate) fn router() -> Router<Services> {
    Router::new()
        .route("/", get(datasets::show))
        .route("/datasets", get(async || Redirect::permanent("/")))
        .route("/import", get(import::show))
        .route("/datasets/{name}", get(dataset::show))
        .route("/datasets/{name}/samples", get(samples::show))
        .route("/datasets/{name}/suspects", get(suspects::show))
        .route("/datasets/{name}/health", get(health::show))
        .route("/datasets/{name}/clusters", get(clusters::show))
        .route("/datasets/{name}/rules", get(rules::show))
        .route("/datasets/{name}/grid", get(grid::show))
        .route("/datasets/{name}/map", get(map::show))
        .route("/datasets/{name}/samples/{key}", get(sample::show))
        .route("/datasets/{name}/review", get(review::show))
        .route("/datasets/{name}/review/{lease}", get(review::card))
        .route("/datasets/{name}/trainings/{id}", get(training::show))
        .route("/datasets/{name}/next", get(ledger::show_next))
        .route("/datasets/{name}/ledger", get(ledger::show_ledger))
        .route("/datasets/{name}/rounds/{number}/report", get(report::show))
        .route("/api/docs", get(docs::show))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{id}", get(jobs::show))
        .route("/jobs/{id}/curves", get(curves::part))
        .route("/datasets/{name}/work", get(work::show))
        .route("/datasets/{name}/team", get(people::team))
        .route("/datasets/{name}/snapshots", get(snapshots::show_all))
        .route("/datasets/{name}/snapshots/{snapshot}", get(snapshots::show_one))
        .route("/datasets/{name}/trail", get(trail::show))
        .route("/datasets/{name}/quality", get(quality::show))
        .route("/datasets/{name}/guide", get(guides::show_index))
        .route("/datasets/{name}/guide/{class}", get(guides::show_one))
        .route("/account", get(people::account))
        .route("/accounts", get(people::accounts))
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-in/oidc", get(oidc::depart))
        .route(crate::web::access::oidc::CALLBACK, get(oidc::arrive))
        .route("/datasets/{name}/webhooks", get(webhooks::show))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/setup", get(sign_in::show_setup).post(sign_in::setup))
        .layer(axum::middleware::from_fn(reader::remember))
        .merge(assets::router())
}

fn render(template: &impl Template) -> Result<Response, PageError> {
    Ok(Html(template.render()?).into_response())
}
