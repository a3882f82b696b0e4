//! `/jobs` and `/jobs/{id}`: background work with state, progress, log and result. A script keeps
//! them live from the event stream; without it they show the state at loading.

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use chrono::Utc;
use serde_json::Value;
use uuid::Uuid;

use super::curves::{self, CurveView};
use super::error::PageError;
use super::names::figure;
use super::reader::{Moment, clock};
use super::{Reader, address, render};
use crate::domain::{JobKind, JobState};
use crate::jobs::Services;
use crate::messages::said;
use crate::store::StoreError;
use crate::store::imports::ImportError;
use crate::store::jobs::{Job, JobLogLine};
use crate::web::access::Who;

const ON_A_PAGE: i64 = 50;
const ERRORS_SHOWN: i64 = 100;
const LOG_LINES_SHOWN: i64 = 500;

#[derive(Template)]
#[template(path = "jobs.html")]
pub(super) struct JobsPage {
    pub(super) page: Reader,
    pub(super) rows: Vec<JobView>,
    pub(super) next: Option<String>,
}

#[derive(Template)]
#[template(path = "job.html")]
pub(super) struct JobPage {
    pub(super) page: Reader,
    pub(super) job: JobView,
    pub(super) log: Vec<LogView>,
    pub(super) facts: Vec<(String, String)>,
    pub(super) links: Vec<(String, String)>,
    pub(super) errors: Vec<ErrorView>,
    /// What its networks told.
    pub(super) curves: Vec<CurveView>,
    pub(super) more_errors: bool,
    pub(super) errors_download: String,
}

/// A job as lists and its own page show it.
pub(super) struct JobView {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) kind: String,
    /// `queued`, `running`, …
    pub(super) state: &'static str,
    pub(super) state_name: String,
    pub(super) open: bool,
    pub(super) stage: String,
    pub(super) done: i64,
    pub(super) total: Option<i64>,
    pub(super) count: String,
    pub(super) created: Moment,
    pub(super) took: String,
    pub(super) starts: i32,
    pub(super) error: Option<String>,
    pub(super) dataset: Option<String>,
    pub(super) dataset_href: String,
}

pub(super) struct LogView {
    pub(super) id: i64,
    pub(super) at: Moment,
    pub(super) level: String,
    pub(super) message: String,
}

pub(super) struct ErrorView {
    pub(super) file: String,
    pub(super) line: String,
    pub(super) field: String,
    pub(super) reason: String,
    pub(super) detail: String,
}

impl ErrorView {
    pub(super) fn of(page: &Reader, e: &ImportError) -> Self {
        let worded = page.lang.find(&format!("import_error.{}", e.code));
        Self {
            file: e.file.clone(),
            line: if e.line > 0 { page.lang.number(e.line) } else { "–".into() },
            field: e.field.clone().unwrap_or_else(|| "–".into()),
            reason: worded.unwrap_or(&e.code).to_owned(),
            detail: e.message.clone(),
        }
    }
}

impl JobView {
    pub(super) fn of(page: &Reader, job: &Job, dataset: Option<&str>) -> Self {
        let lang = page.lang;
        let took = job.started_at.map(|from| {
            let until = job.finished_at.unwrap_or_else(Utc::now);
            clock((until - from).num_milliseconds())
        });
        let count = match (job.total, job.done) {
            (Some(total), done) => format!("{} / {}", lang.number(done), lang.number(total)),
            (None, 0) => String::new(),
            (None, done) => lang.number(done),
        };
        Self {
            id: job.id.to_string(),
            href: format!("/jobs/{}", job.id),
            kind: lang.text(&format!("job_kind.{}", job.kind.as_str())).to_owned(),
            state: job.state.as_str(),
            state_name: lang.text(&format!("job_state.{}", job.state.as_str())).to_owned(),
            open: !job.state.is_ended(),
            stage: if job.stage.is_empty() || job.state.is_ended() {
                String::new()
            } else {
                lang.find(&format!("stage.{}", job.stage)).unwrap_or(&job.stage).to_owned()
            },
            done: job.done,
            total: job.total,
            count,
            created: job.created_at.into(),
            took: took.unwrap_or_else(|| "–".into()),
            starts: job.starts,
            error: job.error.as_deref().map(|e| said(lang, job.error_note.as_ref(), e)),
            dataset: dataset.map(str::to_owned),
            dataset_href: dataset.map(address::dataset).unwrap_or_default(),
        }
    }
}

/// Plain figures of a result, each under its worded name.
pub(super) fn facts(page: &Reader, result: Option<&Value>) -> Vec<(String, String)> {
    let Some(Value::Object(map)) = result else { return Vec::new() };
    // a part of the result, such as the manifest of an export, counts as the result's own
    map.iter()
        .flat_map(|(key, value)| match value {
            Value::Object(inner) => inner.iter().collect(),
            _ => vec![(key, value)],
        })
        .filter(|(key, _)| !key.ends_with("_id") && !matches!(key.as_str(), "id" | "held_out"))
        .filter_map(|(key, value)| {
            let shown = match value {
                Value::Number(n) => match n.as_i64() {
                    Some(n) => page.lang.number(n),
                    None => figure(n.as_f64()?),
                },
                Value::String(s) if s.len() <= 200 => s.clone(),
                Value::Bool(b) => page.lang.text(if *b { "result.yes" } else { "result.no" }).to_owned(),
                _ => return None,
            };
            let name = page.lang.find(&format!("result.{key}"));
            Some((name.map_or_else(|| key.replace('_', " "), str::to_owned), shown))
        })
        .collect()
}

/// Where the result of an ended job can be seen.
pub(super) fn links(page: &Reader, job: &Job, dataset: Option<&str>) -> Vec<(String, String)> {
    let (Some(name), JobState::Succeeded) = (dataset, job.state) else { return Vec::new() };
    let text = |key: &str| page.lang.text(key).to_owned();
    let id = |key: &str| job.result.as_ref().and_then(|r| r.get(key)?.as_str()).map(str::to_owned);
    let at = address::dataset(name);
    match job.kind {
        JobKind::Scan | JobKind::Rerank => {
            vec![(text("job.see_suspects"), format!("{at}/suspects?status=open"))]
        }
        JobKind::Train => id("training_id")
            .map(|t| (text("job.see_training"), format!("{at}/trainings/{t}")))
            .into_iter()
            .collect(),
        JobKind::Bundle => id("training_id")
            .map(|t| (text("job.see_training"), format!("{at}/trainings/{t}")))
            .into_iter()
            .collect(),
        JobKind::Ablate => vec![(text("job.see_ledger"), format!("{at}/ledger"))],
        JobKind::Export => id("export_id")
            .map(|e| {
                let href = format!("/api/v1/datasets/{}/exports/{e}/download", address::part(name));
                (text("job.download_export"), href)
            })
            .into_iter()
            .collect(),
        JobKind::Bulk => vec![(text("grid.open"), format!("{at}/grid"))],
        JobKind::Map => vec![(text("map.open"), format!("{at}/map"))],
        JobKind::Rule => vec![(text("job.see_rules"), format!("{at}/rules"))],
        JobKind::Import | JobKind::Encode => vec![(text("job.see_dataset"), at)],
    }
}

pub(super) async fn list(
    State(services): State<Services>,
    Who(viewer): Who,
    page: Reader,
) -> Result<Response, PageError> {
    let store = &services.store;
    let before = page.query("before").and_then(|b| Uuid::parse_str(b).ok());
    let jobs = store.jobs(viewer.limited_to(), None, before, ON_A_PAGE).await?;
    let mut names: HashMap<Uuid, Option<String>> = HashMap::new();
    let mut rows = Vec::with_capacity(jobs.items.len());
    for job in &jobs.items {
        if let Some(id) = job.dataset_id
            && !names.contains_key(&id)
        {
            names.insert(id, dataset_name(&services, id).await?);
        }
        let name = job.dataset_id.and_then(|id| names.get(&id)).and_then(Option::as_deref);
        rows.push(JobView::of(&page, job, name));
    }
    let next = jobs.next.map(|b| format!("/jobs?{}", address::query(&[("before", b)])));
    render(&JobsPage { page, rows, next })
}

async fn dataset_name(services: &Services, id: Uuid) -> Result<Option<String>, PageError> {
    match services.store.dataset(&id.to_string()).await {
        Ok(d) => Ok(Some(d.name)),
        Err(StoreError::NotFound { .. }) => Ok(None),
        Err(e) => Err(e.into()),
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let id = Uuid::parse_str(&id).map_err(|_| StoreError::not_found("job", id))?;
    let job = store.job(id).await?;
    let dataset = match job.dataset_id {
        Some(d) => dataset_name(&services, d).await?,
        None => None,
    };
    let log = store.job_log_lines(id, 0, LOG_LINES_SHOWN).await?;
    let errors = match job.kind {
        JobKind::Import => Some(store.import_errors(id, -1, ERRORS_SHOWN).await?),
        _ => None,
    };
    let (errors, more_errors) = errors.map_or_else(Default::default, |p| (p.items, p.next.is_some()));
    let curves = curves::of_job(&services, &page, job.id).await?;
    render(&JobPage {
        curves,
        job: JobView::of(&page, &job, dataset.as_deref()),
        log: log.into_iter().map(|l| LogView::of(&page, l)).collect(),
        facts: facts(&page, job.result.as_ref()),
        links: links(&page, &job, dataset.as_deref()),
        errors: errors.iter().map(|e| ErrorView::of(&page, e)).collect(),
        more_errors,
        errors_download: format!("/api/v1/jobs/{id}/import-errors.jsonl"),
        page,
    })
}

impl LogView {
    fn of(page: &Reader, l: JobLogLine) -> Self {
        let message = said(page.lang, l.note.as_deref(), &l.message);
        Self { id: l.id, at: l.at.into(), level: l.level, message }
    }
}
