//! The epochs of a job's networks: one line each with loss and score as small curves. A part of the job's and the
//! training's pages, which a script fetches anew while the job runs.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;
use uuid::Uuid;

use super::error::PageError;
use super::names::{figure, score};
use super::reader::clock;
use super::{Reader, render};
use crate::jobs::Services;
use crate::store::StoreError;
use crate::store::trainings::CurvePoint;

/// Epochs read for one page.
const SHOWN: i64 = 20_000;
/// Size of a small curve, in the units of its drawing.
const WIDTH: f64 = 120.0;
const HEIGHT: f64 = 28.0;

#[derive(Template)]
#[template(path = "parts/curves.html")]
struct CurvesPart {
    page: Reader,
    curves: Vec<CurveView>,
}

/// One network so far.
pub(super) struct CurveView {
    pub(super) name: String,
    pub(super) epoch: String,
    pub(super) loss: String,
    pub(super) loss_line: Line,
    pub(super) score: String,
    pub(super) score_line: Line,
    /// Micro and macro F1 of level 1, then of level 2.
    pub(super) parts: [String; 4],
    pub(super) rate: String,
    pub(super) left: String,
}

/// A small curve; empty without two points.
#[derive(Default)]
pub(super) struct Line {
    pub(super) points: String,
    pub(super) title: String,
    /// The ends of its upright axis, and how many values its level one has.
    pub(super) low: String,
    pub(super) high: String,
    pub(super) steps: String,
}

/// `values` in their order, at even steps; the sentence `key` says the first and the last.
pub(super) fn line(page: &Reader, key: &str, values: &[f64]) -> Line {
    let (Some(first), Some(last)) = (values.first(), values.last()) else {
        return Line::default();
    };
    let (low, high) = values.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
    let span = if high > low { high - low } else { 1.0 };
    let step = WIDTH / (values.len().max(2) - 1) as f64;
    let point = |(i, v): (usize, &f64)| {
        format!("{:.1},{:.1}", step * i as f64, HEIGHT - 2.0 - (v - low) / span * (HEIGHT - 4.0))
    };
    let points: Vec<String> = values.iter().enumerate().map(point).collect();
    Line {
        points: if values.len() > 1 { points.join(" ") } else { String::new() },
        title: page.lang.fill(key, &[("first", &figure(*first)), ("last", &figure(*last))]),
        low: figure(low),
        high: figure(high),
        steps: page.lang.number(i64::try_from(values.len()).unwrap_or(i64::MAX)),
    }
}

/// One view a network, in their order.
pub(super) fn views(page: &Reader, points: &[CurvePoint]) -> Vec<CurveView> {
    let mut models: Vec<i32> = points.iter().map(|p| p.model).collect();
    models.sort_unstable();
    models.dedup();
    models.into_iter().filter_map(|model| view(page, points, model)).collect()
}

fn view(page: &Reader, points: &[CurvePoint], model: i32) -> Option<CurveView> {
    let mut own: Vec<&CurvePoint> = points.iter().filter(|p| p.model == model).collect();
    own.sort_by_key(|p| p.epoch);
    let last = own.last()?;
    let number = |c: &Value, path: &str| c.pointer(path).and_then(Value::as_f64);
    let all = |path: &str| own.iter().filter_map(|p| number(&p.curve, path)).collect::<Vec<f64>>();
    let (losses, scores) = (all("/loss"), all("/validation/mean_f1"));
    let shown = |path: &str| number(&last.curve, path).map_or_else(|| "–".into(), score);
    let epochs = number(&last.curve, "/epochs").unwrap_or(0.0) as i64;
    let mut epoch = format!("{} / {}", page.lang.number(i64::from(last.epoch) + 1), page.lang.number(epochs));
    if last.curve.get("pretraining").and_then(Value::as_bool).unwrap_or(false) {
        epoch = format!("{epoch} · {}", page.lang.text("curves.pretraining"));
    }
    let left = number(&last.curve, "/seconds_left").unwrap_or(0.0);
    Some(CurveView {
        name: last.name.clone(),
        epoch,
        loss: number(&last.curve, "/loss").map_or_else(|| "–".into(), figure),
        loss_line: line(page, "curves.loss_line", &losses),
        score: shown("/validation/mean_f1"),
        score_line: line(page, "curves.score_line", &scores),
        parts: ["l1_micro_f1", "l1_macro_f1", "l2_micro_f1", "l2_macro_f1"]
            .map(|part| shown(&format!("/validation/{part}"))),
        rate: number(&last.curve, "/learning_rate").map_or_else(|| "–".into(), |r| format!("{r:.1e}")),
        left: if left > 0.0 {
            clock((left * 1000.0) as i64)
        } else {
            page.lang.text("curves.over").to_owned()
        },
    })
}

/// What a job's networks told so far.
pub(super) async fn of_job(
    services: &Services,
    page: &Reader,
    job: Uuid,
) -> Result<Vec<CurveView>, PageError> {
    Ok(views(page, &services.store.curves(job, 0, SHOWN).await?))
}

/// The part alone.
pub(super) async fn part(
    State(services): State<Services>,
    page: Reader,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let id = Uuid::parse_str(&id).map_err(|_| StoreError::not_found("job", id))?;
    let job = services.store.job(id).await?;
    let curves = of_job(&services, &page, job.id).await?;
    render(&CurvesPart { page, curves })
}
