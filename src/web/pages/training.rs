//! `/datasets/{name}/trainings/{id}`: the scores of a training beside those of the one before it,
//! its classes, what it confuses, its recipe and its file.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;
use uuid::Uuid;

use super::curves::{self, CurveView};
use super::error::PageError;
use super::judged::over_rounds::{self, OverRoundsView};
use super::judged::{self, JudgedView};
use super::ledger::measured;
use super::models::{self, BundleView, ModelsView};
use super::names::{ClassName, delta, figure, score, short};
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::{Gain, Taxonomy};
use crate::jobs::train::settings;
use crate::jobs::{JobError, Services, judge};
use crate::store::StoreError;
use crate::store::trainings::Training;

const PAIRS_SHOWN: usize = 20;
/// Rounds that are looked through for errors by cause.
const ROUNDS: i64 = 200;
/// The challenge's four figures and their mean, as `train::Metrics` names them.
const SCORES: [&str; 5] = ["mean_f1", "l1_micro_f1", "l1_macro_f1", "l2_micro_f1", "l2_macro_f1"];

#[derive(Template)]
#[template(path = "training.html")]
pub(super) struct TrainingPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) dataset_href: String,
    pub(super) at: Moment,
    pub(super) snapshot: String,
    pub(super) scores: Vec<ScoreView>,
    pub(super) n: String,
    /// What it was measured on.
    pub(super) held_out: String,
    /// How few of them are verified, while some are not.
    pub(super) unverified: Option<String>,
    /// The same scores on verified samples and on the others, where there are both.
    pub(super) apart: Vec<ApartView>,
    /// What it brought on the same samples and labels as the training before.
    pub(super) measured: Option<String>,
    pub(super) onnx_check: Option<String>,
    pub(super) previous: Option<String>,
    pub(super) classes: Vec<ClassScore>,
    pub(super) pairs: Vec<Confusion>,
    pub(super) recipe: Vec<(String, String)>,
    pub(super) onnx: String,
    pub(super) id: Uuid,
    pub(super) bundle: Option<BundleView>,
    pub(super) snippet: String,
    pub(super) job: Option<String>,
    pub(super) models: ModelsView,
    pub(super) curves: Vec<CurveView>,
    /// What its answers say; none of a training of an older version.
    pub(super) judged: Option<JudgedView>,
    /// Errors by cause of all rounds.
    pub(super) over_rounds: Option<OverRoundsView>,
}

pub(super) struct ScoreView {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) width: String,
    /// Change against the training before, when there was one.
    pub(super) delta: Option<String>,
    /// `up`, `down` or `same`.
    pub(super) trend: &'static str,
}

/// One score on verified samples and on the others.
pub(super) struct ApartView {
    pub(super) name: String,
    pub(super) verified: String,
    pub(super) unverified: String,
}

pub(super) struct ClassScore {
    pub(super) class: ClassName,
    pub(super) support: String,
    pub(super) precision: String,
    pub(super) recall: String,
    pub(super) f1: String,
    pub(super) width: String,
}

pub(super) struct Confusion {
    pub(super) truth: ClassName,
    pub(super) predicted: ClassName,
    pub(super) count: String,
    pub(super) suspects: String,
    pub(super) cross_parent: bool,
}

pub(super) fn scores(page: &Reader, metrics: &Value, before: Option<&Value>) -> Vec<ScoreView> {
    let get = |m: &Value, key: &str| m.get(key).and_then(Value::as_f64);
    SCORES
        .into_iter()
        .filter_map(|key| {
            let value = get(metrics, key)?;
            let change = before.and_then(|b| Some(value - get(b, key)?));
            let shown = change.map(delta);
            let trend = match shown.as_deref() {
                Some(d) if d.starts_with('+') => "up",
                Some(d) if d.starts_with('−') => "down",
                _ => "same",
            };
            Some(ScoreView {
                name: page.lang.text(&format!("metric.{key}")).to_owned(),
                value: score(value),
                width: format!("{:.1}%", value.clamp(0.0, 1.0) * 100.0),
                delta: shown,
                trend,
            })
        })
        .collect()
}

/// Of an older training it is not known.
fn verified(metrics: &Value) -> Option<(i64, i64)> {
    let n = |key: &str| metrics.pointer(key).and_then(Value::as_i64);
    Some((n("/verified/n")?, n("/unverified/n")?))
}

/// Says how few held-out samples are verified, while some are not.
pub(super) fn unverified(page: &Reader, metrics: &Value) -> Option<String> {
    let (yes, no) = verified(metrics).filter(|(_, no)| *no > 0)?;
    let (n, of) = (page.lang.number(yes), page.lang.number(yes + no));
    Some(page.lang.t2("training.unverified", "n", n, "of", of))
}

fn apart(page: &Reader, metrics: &Value) -> Vec<ApartView> {
    if !verified(metrics).is_some_and(|(yes, no)| yes > 0 && no > 0) {
        return Vec::new();
    }
    let value = |part: &str, key: &str| metrics.get(part)?.get(key)?.as_f64();
    let row = |key: &str| {
        let (yes, no) = (value("verified", key)?, value("unverified", key)?);
        let name = page.lang.text(&format!("metric.{key}")).to_owned();
        Some(ApartView { name, verified: score(yes), unverified: score(no) })
    };
    SCORES.into_iter().filter_map(row).collect()
}

pub(super) fn class_scores(page: &Reader, taxonomy: &Taxonomy, metrics: &Value) -> Vec<ClassScore> {
    let rows = metrics.get("per_class").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    rows.iter()
        .enumerate()
        .take(taxonomy.n_classes())
        .map(|(i, row)| {
            let figure = |key: &str| row.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            ClassScore {
                class: ClassName::of(taxonomy, taxonomy.class_id(i), page.lang),
                support: page.lang.number(figure("support") as i64),
                precision: score(figure("precision")),
                recall: score(figure("recall")),
                f1: score(figure("f1")),
                width: format!("{:.1}%", figure("f1").clamp(0.0, 1.0) * 100.0),
            }
        })
        .collect()
}

/// The cells off the diagonal, fullest first.
pub(super) fn confusions(
    page: &Reader,
    taxonomy: &Taxonomy,
    metrics: &Value,
    dataset_href: &str,
) -> Vec<Confusion> {
    let cells = metrics.get("confusion").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let mut off: Vec<(usize, usize, u64)> = cells
        .iter()
        .filter_map(|c| {
            let class = |key: &str| usize::try_from(c.get(key)?.as_u64()?).ok();
            Some((class("truth")?, class("predicted")?, c.get("count")?.as_u64()?))
        })
        .filter(|(t, p, _)| t != p && *t.max(p) < taxonomy.n_classes())
        .collect();
    off.sort_by_key(|&(t, p, n)| (std::cmp::Reverse(n), t, p));
    off.into_iter()
        .take(PAIRS_SHOWN)
        .map(|(t, p, n)| {
            let (truth, predicted) = (taxonomy.class_id(t), taxonomy.class_id(p));
            Confusion {
                truth: ClassName::of(taxonomy, truth, page.lang),
                predicted: ClassName::of(taxonomy, predicted, page.lang),
                count: page.lang.number(i64::try_from(n).unwrap_or(i64::MAX)),
                suspects: format!("{dataset_href}/suspects?{}", address::query(&[("class", truth)])),
                cross_parent: taxonomy.root_of(truth) != taxonomy.root_of(predicted),
            }
        })
        .collect()
}

/// Whether the exported file gives the head's answers, where it could be run.
fn onnx_check(page: &Reader, metrics: &Value) -> Option<String> {
    let n = metrics.get("onnx_compared")?.as_i64()?;
    let same = metrics.get("onnx_same_argmax")?.as_bool()?;
    let difference = figure(metrics.get("onnx_max_difference")?.as_f64()?);
    let key = if same { "training.onnx_same" } else { "training.onnx_other" };
    Some(page.lang.fill(key, &[("n", &page.lang.number(n)), ("difference", &difference)]))
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path((name, id)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let id = Uuid::parse_str(&id).map_err(|_| StoreError::not_found("training", id))?;
    let training = store.training(dataset.id, id).await?;
    let before = match training.previous_id {
        Some(previous) => Some(store.training(dataset.id, previous).await?),
        None => None,
    };
    let taxonomy = store.taxonomy(dataset.id).await?;
    let line = store.ledger_of(dataset.id, training.id).await?;
    let gain = line.and_then(|l| l.measured);
    let curves = match training.job_id {
        Some(job) => curves::of_job(&services, &page, job).await?,
        None => Vec::new(),
    };
    let refused = |e: JobError| PageError::Refused(e.into());
    let report = judge::report(&services, &training).await.map_err(refused)?;
    let earlier = match &before {
        Some(b) => judge::report(&services, b).await.map_err(refused)?,
        None => None,
    };
    let href = address::dataset(&dataset.name);
    let judged =
        report.map(|r| judged::view(&page, &taxonomy, &r, earlier.as_ref(), &href, &training.id.to_string()));
    let rounds = store.rounds(dataset.id, ROUNDS).await?;
    let over_rounds = over_rounds::view(&page, &rounds, &href);
    let shown = view(page, &dataset.name, &taxonomy, &training, before.as_ref(), gain);
    render(&TrainingPage { curves, judged, over_rounds, ..shown })
}

pub(super) fn view(
    page: Reader,
    dataset: &str,
    taxonomy: &Taxonomy,
    t: &Training,
    before: Option<&Training>,
    gain: Option<Gain>,
) -> TrainingPage {
    let href = address::dataset(dataset);
    let n = t.metrics.get("n").and_then(Value::as_i64).unwrap_or(0);
    let held_out = t.metrics.get("held_out").and_then(Value::as_str).unwrap_or("random");
    TrainingPage {
        at: t.created_at.into(),
        snapshot: short(&t.snapshot_id),
        scores: scores(&page, &t.metrics, before.map(|b| &b.metrics)),
        n: page.lang.count("count.samples", n),
        held_out: page.lang.text(&format!("held_out.{held_out}")).to_owned(),
        unverified: unverified(&page, &t.metrics),
        apart: apart(&page, &t.metrics),
        measured: gain.map(|g| measured(&page, &g)),
        onnx_check: onnx_check(&page, &t.metrics),
        previous: before.map(|b| format!("{href}/trainings/{}", b.id)),
        classes: class_scores(&page, taxonomy, &t.metrics),
        pairs: confusions(&page, taxonomy, &t.metrics, &href),
        recipe: settings(&t.recipe),
        id: t.id,
        bundle: models::bundle(&page, t, dataset, &href),
        onnx: format!("/api/v1{href}/trainings/{}/model.onnx", t.id),
        snippet: models::snippet(t, &format!("{dataset}-{}", t.id)),
        job: t.job_id.map(|j| format!("/jobs/{j}")),
        models: models::view(&page, t, &href),
        curves: Vec::new(),
        judged: None,
        over_rounds: None,
        dataset: dataset.to_owned(),
        dataset_href: href,
        page,
    }
}
