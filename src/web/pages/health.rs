//! `/datasets/{name}/health`: what is wrong with the data as a whole, each line with where to act.

mod words;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use self::words::Words;
use super::clusters::members_href;
use super::error::PageError;
use super::names::{ClassName, Share};
use super::summary::{NoiseView, noise};
use super::suspects::ScanLine;
use super::{Reader, address, render};
use crate::domain::{Health, Taxonomy};
use crate::jobs::Services;
use crate::store::scans::Scan;

/// Of a table.
const ROWS: usize = 12;

#[derive(Template)]
#[template(path = "health.html")]
pub(super) struct HealthPage {
    pub(super) page: Reader,
    pub(super) dataset: String,
    pub(super) href: String,
    pub(super) scan: Option<ScanLine>,
    pub(super) noise: Option<NoiseView>,
    pub(super) sources: Vec<(String, String)>,
    pub(super) view: Option<HealthView>,
}

pub(super) struct HealthView {
    pub(super) issues: Vec<IssueRow>,
    pub(super) crossing: Option<String>,
    pub(super) parents: Vec<ParentRow>,
    pub(super) balance: Vec<BalanceView>,
    pub(super) groups: Vec<GroupRow>,
    pub(super) groups_detail: String,
    pub(super) properties: Vec<PropertyRow>,
    pub(super) told_head: String,
    pub(super) order: String,
    pub(super) duplicates: Vec<Line>,
    pub(super) fields: Vec<FieldRow>,
    /// Heads of the columns of problems.
    pub(super) problems: Vec<String>,
}

/// A number and, where there is something to see, the samples behind it.
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) href: Option<String>,
}

/// A sentence, and where it leads.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) href: Option<String>,
}

pub(super) struct IssueRow {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) n: String,
    pub(super) share: Share,
    pub(super) href: Option<String>,
}

pub(super) struct ParentRow {
    pub(super) class: ClassName,
    pub(super) n: String,
    pub(super) flagged: String,
    pub(super) cross: Cell,
    pub(super) share: Share,
    pub(super) href: String,
}

pub(super) struct BalanceView {
    pub(super) title: Option<String>,
    pub(super) line: String,
    pub(super) picture: String,
    pub(super) bars: Vec<Bar>,
    pub(super) rare: Vec<Cell>,
    pub(super) more: Option<String>,
}

/// In shares of the picture: `12.5%`.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
    pub(super) rare: bool,
    pub(super) title: String,
}

pub(super) struct GroupRow {
    pub(super) name: String,
    pub(super) n: String,
    pub(super) belief: Share,
    pub(super) href: String,
}

pub(super) struct PropertyRow {
    pub(super) name: String,
    pub(super) score: String,
    pub(super) width: Share,
    pub(super) told: String,
    pub(super) best: String,
    pub(super) strong: bool,
}

pub(super) struct FieldRow {
    pub(super) name: String,
    pub(super) missing: Cell,
    pub(super) problems: Vec<Cell>,
    pub(super) odd: Cell,
}

impl HealthView {
    pub(super) fn of(
        page: &Reader,
        taxonomy: &Taxonomy,
        href: &str,
        health: &Health,
        n_samples: i64,
    ) -> Self {
        let w = Words { page, taxonomy, href };
        let lang = page.lang;
        let overall = health.groups.first().map_or(0.0, |g| g.overall);
        let chance = health.properties.first().map_or(0.0, |p| p.chance);
        let flagged = health.cross_parent + health.within_parent;
        let facts = [("cross", w.number(health.cross_parent)), ("within", w.number(health.within_parent))];
        Self {
            issues: health
                .issues
                .iter()
                .map(|c| IssueRow {
                    name: lang.text(&format!("issue.{}", c.kind.as_str())).to_owned(),
                    about: lang.text(&format!("issue_about.{}", c.kind.as_str())).to_owned(),
                    n: w.number(c.n),
                    share: Share::of(c.n as f32 / n_samples.max(1) as f32, lang),
                    href: (c.n > 0).then(|| w.issue(c.kind, None)),
                })
                .collect(),
            crossing: (taxonomy.depth() > 1 && flagged > 0).then(|| w.fill("health.crossing", &facts)),
            parents: w.parents(health),
            balance: health.balance.iter().enumerate().map(|(i, b)| w.balance(b, i, health)).collect(),
            groups: health
                .groups
                .iter()
                .take(ROWS)
                .map(|g| GroupRow {
                    name: w.fill("health.group", &[("n", g.cluster.to_string())]),
                    n: w.number(g.n),
                    belief: Share::of(g.mean as f32, lang),
                    href: members_href(href, g.cluster, None),
                })
                .collect(),
            groups_detail: w.fill("health.groups_detail", &[("overall", lang.percent(overall as f32))]),
            properties: health.properties.iter().map(|p| w.property(p)).collect(),
            told_head: w.fill("health.told", &[("chance", lang.percent(chance as f32))]),
            order: w.order(health.order.as_ref()),
            duplicates: w.duplicates(health),
            fields: health.fields.iter().map(|f| w.field(f)).collect(),
            problems: health
                .fields
                .first()
                .into_iter()
                .flat_map(|f| &f.problems)
                .map(|p| lang.text(&format!("text_problem.{}", p.problem.as_str())).to_owned())
                .collect(),
        }
    }
}

/// Where the estimate of errors comes from: every figure that the catalogue has a name for.
pub(super) fn sources(page: &Reader, summary: &Value) -> Vec<(String, String)> {
    let count = summary.pointer("/noise/count").and_then(Value::as_object);
    count
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| {
            let name = page.lang.find(&format!("count_source.{key}"))?;
            Some((name.to_owned(), page.lang.number(value.as_f64()?.round() as i64)))
        })
        .collect()
}

pub(super) fn view(page: Reader, dataset: String, taxonomy: &Taxonomy, scan: Option<&Scan>) -> HealthPage {
    let href = address::dataset(&dataset);
    let health: Option<Health> =
        scan.and_then(|s| serde_json::from_value(s.summary.get("health")?.clone()).ok());
    HealthPage {
        noise: scan.and_then(|s| noise(&page, taxonomy, &s.summary)),
        sources: scan.map(|s| sources(&page, &s.summary)).unwrap_or_default(),
        view: health
            .zip(scan)
            .map(|(health, s)| HealthView::of(&page, taxonomy, &href, &health, s.n_samples)),
        scan: scan.map(|s| ScanLine::of(&page, &s.head())),
        href,
        dataset,
        page,
    }
}

pub(super) async fn show(
    State(services): State<Services>,
    page: Reader,
    Path(name): Path<String>,
) -> Result<Response, PageError> {
    let store = &services.store;
    let dataset = store.dataset(&name).await?;
    let taxonomy = store.taxonomy(dataset.id).await?;
    let scan = store.latest_scan(dataset.id).await?;
    render(&view(page, dataset.name, &taxonomy, scan.as_ref()))
}
