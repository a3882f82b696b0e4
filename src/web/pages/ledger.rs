//! `/datasets/{name}/next`: what to do next, ranked, with evidence. `/datasets/{name}/ledger`: what was tried,
//! what it brought and what it cost.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use uuid::Uuid;

use super::error::PageError;
use super::names::{ClassName, delta, score};
use super::reader::Moment;
use super::{Reader, address, render};
use crate::domain::{Gain, Over, Taxonomy};
use crate::jobs::next::{self, Action, ActionKind, NextReport};
use crate::jobs::{JobError, Services};
use crate::messages;
use crate::store::Page;
use crate::store::ledger::Entry;

const ON_A_PAGE: i64 = 50;

#[derive(Template)]
#[template(path = "next.html")]
pub(super) struct NextPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) href: String,
    pub(super) actions: Vec<ActionView>,
    /// How right earlier predictions were.
    pub(super) record: String,
    /// Nothing has been measured: the ranking has no numbers yet.
    pub(super) empty: bool,
}

pub(super) struct ActionView {
    pub(super) title: String,
    /// Predicted gain with its interval, or its bound, or that it is not known.
    pub(super) gain: String,
    pub(super) known: bool,
    pub(super) hours: String,
    pub(super) per_hour: Option<String>,
    pub(super) evidence: Vec<String>,
    pub(super) classes: Vec<ClassName>,
    /// Where it is done.
    pub(super) href: Option<String>,
}

#[derive(Template)]
#[template(path = "ledger.html")]
pub(super) struct LedgerPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) href: String,
    pub(super) rows: Vec<EntryView>,
    pub(super) older: Option<String>,
}

pub(super) struct EntryView {
    pub(super) at: Moment,
    pub(super) step: String,
    pub(super) training: Option<String>,
    pub(super) hypothesis: String,
    /// `setting: from → to`.
    pub(super) changes: Vec<String>,
    pub(super) expected: String,
    pub(super) measured: String,
    /// `up`, `down` or `same`: what the interval lets say.
    pub(super) trend: &'static str,
    pub(super) interval: Option<String>,
    pub(super) reviews: String,
    pub(super) corrections: String,
    pub(super) minutes: String,
    pub(super) seconds: String,
    pub(super) cpu_seconds: String,
}

fn minutes(ms: i64) -> String {
    format!("{:.1}", ms as f64 / 60_000.0)
}

/// `setting: from → to`; a side that is not there is a dash.
pub(super) fn change(c: &crate::domain::Change) -> String {
    let side = |v: &str| if v.is_empty() { "–".to_owned() } else { v.to_owned() };
    format!("{}: {} → {}", c.key, side(&c.from), side(&c.to))
}

/// `up`, `down` or `same`: what the interval lets say.
pub(super) fn trend(g: &Gain) -> &'static str {
    match g {
        g if g.low > 0.0 => "up",
        g if g.high < 0.0 => "down",
        _ => "same",
    }
}

fn interval(page: &Reader, g: &Gain) -> String {
    let key = match g.over {
        Over::Samples => "ledger.over_samples",
        Over::Seeds => "ledger.over_seeds",
    };
    let values = [("low", &*delta(g.low)), ("high", &*delta(g.high)), ("n", &*page.lang.number(g.n))];
    page.lang.fill(key, &values)
}

/// The gain of a training as a sentence.
pub(super) fn measured(page: &Reader, g: &Gain) -> String {
    let interval = interval(page, g);
    page.lang.t2("ledger.gained", "gain", delta(g.gain), "interval", interval)
}

impl EntryView {
    pub(super) fn of(page: &Reader, href: &str, e: &Entry) -> Self {
        Self {
            at: e.created_at.into(),
            step: page.lang.text(&format!("ledger_step.{}", e.step.as_str())).to_owned(),
            training: e.training_id.map(|t| format!("{href}/trainings/{t}")),
            hypothesis: e.hypothesis.clone(),
            changes: e.changes.iter().map(change).collect(),
            expected: e.expected_gain.map_or_else(|| "–".into(), delta),
            measured: e.measured.map_or_else(|| "–".into(), |g| delta(g.gain)),
            trend: e.measured.map_or("same", |g| trend(&g)),
            interval: e.measured.map(|g| interval(page, &g)),
            reviews: page.lang.number(e.reviews),
            corrections: page.lang.number(e.corrections),
            minutes: minutes(e.human_ms),
            seconds: format!("{:.1}", e.machine_seconds),
            cpu_seconds: e.cpu_seconds.map_or_else(|| "–".into(), |s| format!("{s:.1}")),
        }
    }
}

impl ActionView {
    fn of(page: &Reader, taxonomy: &Taxonomy, href: &str, a: &Action) -> Self {
        let lang = page.lang;
        let n = lang.number(i64::try_from(a.n).unwrap_or(i64::MAX));
        let field = a.field.map_or("", |f| f.as_str());
        let changed = a.change.as_ref().map(change).unwrap_or_default();
        let title = lang.fill(
            &format!("next_action.{}", a.action.as_str()),
            &[
                ("n", &n),
                ("field", lang.find(&format!("field.{field}")).unwrap_or(field)),
                ("change", &changed),
            ],
        );
        let gain = match (a.predicted, a.at_most) {
            (Some(p), _) => lang.fill(
                "next.gain",
                &[("gain", &delta(p.gain)), ("low", &delta(p.low)), ("high", &delta(p.high))],
            ),
            (None, Some(most)) => lang.t1("next.at_most", "gain", delta(most)),
            (None, None) if a.action == ActionKind::Verify => lang.text("next.no_gain").to_owned(),
            (None, None) => lang.text("next.unknown").to_owned(),
        };
        let tenths = |hours: f64| match hours {
            h if h > 0.0 && h < 0.05 => "<0.1".to_owned(),
            h => format!("{h:.1}"),
        };
        Self {
            title,
            gain,
            known: a.predicted.is_some(),
            hours: lang.t2("next.hours", "human", tenths(a.human_hours), "machine", tenths(a.machine_hours)),
            per_hour: a.gain_per_hour.map(|g| lang.t1("next.per_hour", "gain", delta(g))),
            evidence: a.evidence.iter().map(|note| messages::note(lang, note)).collect(),
            classes: a.classes.iter().map(|c| ClassName::of(taxonomy, c, lang)).collect(),
            href: match a.action {
                ActionKind::Review => Some(format!("{href}/review")),
                ActionKind::Verify => a.split.map(|s| format!("{href}/samples?split={}", s.as_str())),
                ActionKind::AddField => a.field.map(|f| format!("{href}/samples?missing={}", f.as_str())),
                ActionKind::TopUp | ActionKind::Switch => None,
            },
        }
    }
}

pub(super) fn next_view(page: Reader, dataset: String, taxonomy: &Taxonomy, r: &NextReport) -> NextPage {
    let href = address::dataset(&dataset);
    let lang = page.lang;
    let number = |n: usize| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    NextPage {
        actions: r.actions.iter().map(|a| ActionView::of(&page, taxonomy, &href, a)).collect(),
        record: match r.record {
            Some(r) => lang.fill(
                "next.record",
                &[
                    ("n", &number(r.predictions)),
                    ("inside", &number(r.inside)),
                    ("error", &score(r.mean_error)),
                ],
            ),
            None => lang.text("next.no_record").to_owned(),
        },
        empty: r.measured == 0,
        href,
        dataset,
        page,
    }
}

pub(super) fn ledger_view(page: Reader, dataset: String, entries: &Page<Entry>) -> LedgerPage {
    let href = address::dataset(&dataset);
    LedgerPage {
        rows: entries.items.iter().map(|e| EntryView::of(&page, &href, e)).collect(),
        older: entries.next.as_ref().map(|n| format!("{href}/ledger?{}", address::query(&[("before", n)]))),
        href,
        dataset,
        page,
    }
}

pub(super) async fn show_next(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let taxonomy = services.store.taxonomy(dataset.id).await?;
    let failed = |e: JobError| PageError::Refused(e.into());
    let report = next::next(&services, dataset.id).await.map_err(failed)?;
    render(&next_view(page, dataset.name, &taxonomy, &report))
}

pub(super) async fn show_ledger(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let dataset = services.store.dataset(&name).await?;
    let before = page.query("before").and_then(|b| Uuid::parse_str(b).ok());
    let entries = services.store.ledger(dataset.id, before, ON_A_PAGE).await?;
    render(&ledger_view(page, dataset.name, &entries))
}
