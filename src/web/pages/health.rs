//! `/datasets/{name}/health`: what is wrong with the data as a whole, each line with where to act.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::Value;

use super::clusters::members_href;
use super::error::PageError;
use super::names::{ClassName, Share, score};
use super::summary::{NoiseView, noise};
use super::suspects::ScanLine;
use super::{Reader, address, render};
use crate::domain::health::{FieldHealth, LevelBalance, OrderHealth, PropertyHealth};
use crate::domain::{Gap, Health, IssueKind, Taxonomy};
use crate::jobs::Services;
use crate::store::scans::Scan;

/// Rare classes named, rows of a table.
const NAMED: usize = 8;
const ROWS: usize = 12;
/// From here on a property is said to give classes away.
const STRONG: f64 = 0.2;
/// Chance below which the order is said to mean something.
const CHANCE: f64 = 0.05;

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

/// Words and addresses of one dataset.
struct Words<'a> {
    page: &'a Reader,
    taxonomy: &'a Taxonomy,
    href: &'a str,
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

impl Words<'_> {
    fn number(&self, n: u64) -> String {
        self.page.lang.number(i64::try_from(n).unwrap_or(i64::MAX))
    }

    fn fill(&self, key: &str, facts: &[(&str, String)]) -> String {
        let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.page.lang.fill(key, &facts)
    }

    fn suspects(&self, query: &[(&str, &str)]) -> String {
        format!("{}/suspects?{}", self.href, address::query(query))
    }

    fn issue(&self, kind: IssueKind, field: Option<&str>) -> String {
        let mut query = vec![("issue", kind.as_str())];
        query.extend(field.map(|f| ("field", f)));
        self.suspects(&query)
    }

    fn cell(&self, n: u64, href: impl FnOnce() -> String) -> Cell {
        Cell { text: self.number(n), href: (n > 0).then(href) }
    }

    fn parents(&self, health: &Health) -> Vec<ParentRow> {
        let lang = self.page.lang;
        let row = |p: &crate::domain::health::ParentHealth| ParentRow {
            class: ClassName::of(self.taxonomy, &p.node, lang),
            n: self.number(p.n),
            flagged: self.number(p.flagged),
            cross: self
                .cell(p.cross_parent, || self.suspects(&[("class", &p.node), ("cross_parent", "true")])),
            share: Share::of(p.flagged as f32 / p.n.max(1) as f32, lang),
            href: self.suspects(&[("class", &p.node)]),
        };
        health.parents.iter().take(ROWS).map(row).collect()
    }

    fn balance(&self, b: &LevelBalance, level: usize, health: &Health) -> BalanceView {
        let lang = self.page.lang;
        let n = b.sizes.len();
        let most = b.sizes.first().map_or(0, |s| s.n);
        let facts = [
            ("ratio", format!("{:.1}", b.ratio)),
            ("even", format!("{:.1}", b.even_classes)),
            ("tail", lang.percent(b.tail as f32)),
        ];
        let percent = |v: f64| format!("{:.2}%", v * 100.0);
        let bars = b.sizes.iter().enumerate().map(|(i, s)| {
            let height = f64::from(s.n) / f64::from(most.max(1));
            Bar {
                x: percent(i as f64 / n as f64),
                y: percent(1.0 - height),
                width: percent(0.86 / n as f64),
                height: percent(height),
                rare: b.rare.contains(&s.class),
                title: format!(
                    "{}: {}",
                    self.taxonomy.path_name(&s.class, lang.tag()),
                    lang.number(i64::from(s.n))
                ),
            }
        });
        let samples = |class: &str| format!("{}/samples?{}", self.href, address::query(&[("class", class)]));
        // a level-1 node has no samples of its own
        let leaf = level + 1 == health.balance.len();
        BalanceView {
            title: (health.balance.len() > 1).then(|| {
                let key = if leaf { "health.balance_classes" } else { "health.balance_level1" };
                lang.text(key).to_owned()
            }),
            line: self.fill("health.balance_line", &facts),
            picture: self.fill("health.balance_picture", &[("n", self.number(n as u64))]),
            bars: bars.collect(),
            rare: b
                .rare
                .iter()
                .take(NAMED)
                .map(|class| Cell {
                    text: self.taxonomy.name(class, lang.tag()).to_owned(),
                    href: leaf.then(|| samples(class)),
                })
                .collect(),
            more: b
                .rare
                .len()
                .checked_sub(NAMED)
                .filter(|more| *more > 0)
                .map(|more| self.fill("health.more", &[("n", self.number(more as u64))])),
        }
    }

    fn property(&self, p: &PropertyHealth) -> PropertyRow {
        let lang = self.page.lang;
        let best = p.told.iter().map(|t| {
            format!("{} ({})", self.taxonomy.name(&t.class, lang.tag()), lang.percent(t.share as f32))
        });
        PropertyRow {
            name: lang.text(&format!("property.{}", p.property.as_str())).to_owned(),
            score: score(p.score),
            width: Share::of(p.score as f32, lang),
            told: lang.percent(p.accuracy as f32),
            best: best.collect::<Vec<_>>().join(lang.text("list.separator")),
            strong: p.score >= STRONG,
        }
    }

    fn order(&self, order: Option<&OrderHealth>) -> String {
        let Some(order) = order else { return self.page.lang.text("health.no_places").to_owned() };
        let facts = [("p", format!("{:.3}", order.p_value)), ("strength", score(order.statistic))];
        let key = if order.p_value < CHANCE { "health.order_some" } else { "health.order_none" };
        self.fill(key, &facts)
    }

    fn duplicates(&self, health: &Health) -> Vec<Line> {
        let Some(d) = health.duplicates else {
            return vec![Line { text: self.page.lang.text("health.no_places").to_owned(), href: None }];
        };
        if d.groups == 0 {
            return vec![Line { text: self.page.lang.text("health.no_duplicates").to_owned(), href: None }];
        }
        let facts = [
            ("samples", self.number(d.samples)),
            ("groups", self.number(d.groups)),
            ("exact", self.number(d.exact)),
        ];
        let mut lines = vec![Line {
            text: self.fill("health.duplicates_line", &facts),
            href: Some(self.issue(IssueKind::NearDuplicate, None)),
        }];
        if d.conflicts > 0 {
            lines.push(Line {
                text: self.fill("health.duplicates_conflicts", &[("n", self.number(d.conflicts))]),
                href: Some(self.issue(IssueKind::NearDuplicateConflict, None)),
            });
        }
        lines
    }

    fn field(&self, f: &FieldHealth) -> FieldRow {
        let name = f.field.as_str();
        let missing = || {
            if f.missing_is_issue {
                return self.issue(IssueKind::MissingField, Some(name));
            }
            let query = Gap::parse(name).map(|gap| address::query(&[("missing", gap.as_str())]));
            format!("{}/samples?{}", self.href, query.unwrap_or_default())
        };
        FieldRow {
            name: self.page.lang.text(&format!("field.{name}")).to_owned(),
            missing: self.cell(f.missing, missing),
            problems: f
                .problems
                .iter()
                .map(|p| self.cell(p.n, || self.issue(IssueKind::TextQuality, Some(name))))
                .collect(),
            odd: self.cell(f.odd, || self.issue(IssueKind::OddField, Some(name))),
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
        scan: scan.map(|s| ScanLine::of(&page, s)),
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
