//! The parts of a dataset's health in words and addresses.

use super::{BalanceView, Bar, Cell, FieldRow, Line, ParentRow, PropertyRow, ROWS};
use crate::domain::health::{FieldHealth, LevelBalance, OrderHealth, ParentHealth, PropertyHealth};
use crate::domain::{Gap, Health, IssueKind, Taxonomy};
use crate::web::pages::names::{ClassName, Share, score};
use crate::web::pages::{Reader, address};

/// Rare classes named.
const NAMED: usize = 8;
/// From here on a property is said to give classes away.
const STRONG: f64 = 0.2;
/// Below, what a property tells best is chance.
const SOME: f64 = 0.05;
/// Chance below which the order is said to mean something.
const CHANCE: f64 = 0.05;

/// Words and addresses of one dataset.
pub(super) struct Words<'a> {
    pub(super) page: &'a Reader,
    pub(super) taxonomy: &'a Taxonomy,
    pub(super) href: &'a str,
}

impl Words<'_> {
    pub(super) fn number(&self, n: u64) -> String {
        self.page.lang.number(i64::try_from(n).unwrap_or(i64::MAX))
    }

    pub(super) fn fill(&self, key: &str, facts: &[(&str, String)]) -> String {
        let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.page.lang.fill(key, &facts)
    }

    pub(super) fn suspects(&self, query: &[(&str, &str)]) -> String {
        format!("{}/suspects?{}", self.href, address::query(query))
    }

    pub(super) fn issue(&self, kind: IssueKind, field: Option<&str>) -> String {
        let mut query = vec![("issue", kind.as_str())];
        query.extend(field.map(|f| ("field", f)));
        self.suspects(&query)
    }

    fn cell(&self, n: u64, href: impl FnOnce() -> String) -> Cell {
        Cell { text: self.number(n), href: (n > 0).then(href) }
    }

    pub(super) fn parents(&self, health: &Health) -> Vec<ParentRow> {
        let lang = self.page.lang;
        let row = |p: &ParentHealth| ParentRow {
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

    pub(super) fn balance(&self, b: &LevelBalance, level: usize, health: &Health) -> BalanceView {
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

    pub(super) fn property(&self, p: &PropertyHealth) -> PropertyRow {
        let lang = self.page.lang;
        let best = p.told.iter().filter(|_| p.score >= SOME).map(|t| {
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

    pub(super) fn order(&self, order: Option<&OrderHealth>) -> String {
        let Some(order) = order else { return self.page.lang.text("health.no_places").to_owned() };
        let facts = [("p", format!("{:.3}", order.p_value)), ("strength", score(order.statistic))];
        let key = if order.p_value < CHANCE { "health.order_some" } else { "health.order_none" };
        self.fill(key, &facts)
    }

    pub(super) fn duplicates(&self, health: &Health) -> Vec<Line> {
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

    pub(super) fn field(&self, f: &FieldHealth) -> FieldRow {
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
