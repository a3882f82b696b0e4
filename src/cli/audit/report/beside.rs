//! The report's tables of what goes beyond the labels: clusters, texts, numbers, rules, and what reviewing
//! leaves wrong.

use super::{name, number};
use crate::audit::checked::ByChecks;
use crate::audit::clusters::ClusterProfile;
use crate::audit::rules::RuleReport;
use crate::audit::summary::Beside;
use crate::audit::texts::{GIVEN_AWAY, Known, given_away};
use crate::audit::{Audit, Input};
use crate::detect::imbalance::properties::PropertyScore;
use crate::detect::rules::Action;
use crate::detect::text_quality::TextIssue;
use crate::messages::Lang;

/// Clusters shown; of more, those with the most samples of other labels.
pub(super) const CLUSTERS: usize = 30;
/// Examples named of a rule, and classes that a number gives away.
const NAMED: usize = 5;
/// Width and height of the curve.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 120.0;

/// Wrong labels left by reviews made, as a curve.
pub(super) struct Left {
    pub(super) points: String,
    pub(super) now: String,
    pub(super) last: String,
    /// Where it pays no more.
    pub(super) stop: f64,
    pub(super) after_next: String,
    pub(super) after_worth: String,
    pub(super) checked: Option<String>,
}

pub(super) fn left(lang: Lang, audit: &Audit<'_>, checked: Option<&ByChecks>) -> Left {
    let outlook = &audit.outlook;
    let all = outlook.left.last().map_or(0, |l| l.0).max(1) as f64;
    let most = outlook.left.iter().map(|l| l.1).fold(1e-9, f64::max);
    let at = |(n, wrong): &(usize, f64)| {
        format!("{:.1},{:.1}", *n as f64 / all * WIDTH, HEIGHT - wrong / most * (HEIGHT - 10.0))
    };
    let wrong = |reviews: usize| number(lang, outlook.left_after(reviews).round().max(0.0) as usize);
    let after =
        |reviews: usize| lang.t2("audit.left_after", "reviews", number(lang, reviews), "n", wrong(reviews));
    Left {
        points: outlook.left.iter().map(at).collect::<Vec<_>>().join(" "),
        now: wrong(0),
        last: number(lang, outlook.left.last().map_or(0, |l| l.0)),
        stop: outlook.pays as f64 / all * WIDTH,
        after_next: after(outlook.next),
        after_worth: after(outlook.pays),
        checked: checked.map(|c| {
            let whole = |v: f64| number(lang, v.round().max(0.0) as usize);
            let facts = [
                ("n", number(lang, c.checked)),
                ("wrong", number(lang, c.wrong)),
                ("low", whole(c.left.low)),
                ("high", whole(c.left.high)),
                ("left", whole(c.left.estimate)),
            ];
            let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
            lang.fill("audit.checked", &facts)
        }),
    }
}

pub(super) struct ClusterRow {
    pub(super) cluster: u32,
    pub(super) words: String,
    pub(super) size: String,
    pub(super) label: String,
    pub(super) purity: String,
    pub(super) minorities: String,
    pub(super) flagged: String,
}

pub(super) fn clusters(lang: Lang, input: &Input, beside: &Beside<'_>) -> Vec<ClusterRow> {
    let row = |c: &ClusterProfile| {
        let other = |(label, n): &(u32, usize)| {
            format!("{} {}", name(lang, input, *label as usize), number(lang, *n))
        };
        ClusterRow {
            cluster: c.cluster,
            words: c.words.join(lang.text("audit.list")),
            size: number(lang, c.size),
            label: name(lang, input, c.label as usize),
            purity: lang.percent(c.purity as f32),
            minorities: c.minorities.iter().map(other).collect::<Vec<_>>().join(lang.text("audit.list")),
            flagged: number(lang, c.flagged),
        }
    };
    beside.clusters.iter().take(CLUSTERS).map(row).collect()
}

pub(super) struct TextRow {
    pub(super) field: String,
    pub(super) missing: String,
    pub(super) rate: String,
    /// By [`TextIssue::ALL`]; none for numbers.
    pub(super) issues: Vec<String>,
}

pub(super) fn texts(lang: Lang, n: usize, beside: &Beside<'_>) -> Vec<TextRow> {
    let Some((texts, found)) = &beside.texts else { return Vec::new() };
    let row = |(c, (field, _)): (usize, &(String, Known))| {
        let missing = found.missing_in(c);
        let report = found.fields.iter().find(|f| f.name == *field).map(|f| &f.report.texts);
        let count = |issue| match report {
            Some(texts) => number(lang, texts.iter().filter(|t| t.issue == Some(issue)).count()),
            None => "–".to_owned(),
        };
        TextRow {
            field: field.clone(),
            missing: number(lang, missing),
            rate: lang.percent(missing as f32 / n.max(1) as f32),
            issues: TextIssue::ALL.map(count).to_vec(),
        }
    };
    texts.columns.iter().enumerate().map(row).collect()
}

pub(super) struct PropertyRow {
    pub(super) name: String,
    pub(super) known: String,
    pub(super) accuracy: String,
    pub(super) chance: String,
    /// Of 320.
    pub(super) width: f64,
    pub(super) telling: bool,
    pub(super) classes: String,
}

pub(super) fn properties(lang: Lang, input: &Input, beside: &Beside<'_>) -> Vec<PropertyRow> {
    let Some((_, found)) = &beside.texts else { return Vec::new() };
    let row = |(property, p): &(String, PropertyScore)| {
        let named = given_away(p).iter().take(NAMED).map(|c| name(lang, input, c.0)).collect::<Vec<_>>();
        PropertyRow {
            name: property.clone(),
            known: number(lang, p.known),
            accuracy: lang.percent(p.accuracy as f32),
            chance: lang.percent(p.chance as f32),
            width: p.score.unwrap_or(0.0) * 320.0,
            telling: p.score.is_some_and(|s| s >= GIVEN_AWAY),
            classes: named.join(lang.text("audit.list")),
        }
    };
    found.properties.iter().map(row).collect()
}

pub(super) struct RuleRow {
    pub(super) name: String,
    pub(super) condition: String,
    pub(super) action: String,
    pub(super) hits: String,
    pub(super) rate: String,
    pub(super) changes: String,
    pub(super) examples: String,
}

pub(super) fn rules(lang: Lang, input: &Input, beside: &Beside<'_>) -> Vec<RuleRow> {
    let row = |r: &RuleReport| {
        let class = |id: &String| input.taxonomy.path_name(id, lang.tag());
        let (action, changes) = match &r.rule.action {
            Action::Flag => (lang.text("audit.flag").to_owned(), "–".to_owned()),
            Action::Exclude => (lang.text("audit.exclude").to_owned(), "–".to_owned()),
            Action::Relabel(id) => (lang.t1("audit.relabel", "class", class(id)), number(lang, r.changes)),
        };
        let examples: Vec<String> = r.hits.iter().take(NAMED).map(|&i| input.id(i)).collect();
        RuleRow {
            name: r.rule.name.clone(),
            condition: r.rule.when.to_string(),
            action,
            hits: number(lang, r.hits.len()),
            rate: lang.percent(r.rate as f32),
            changes,
            examples: examples.join(lang.text("audit.list")),
        }
    };
    beside.rules.iter().flat_map(|found| found.rules.iter().map(row)).collect()
}

pub(super) fn tried(lang: Lang, beside: &Beside<'_>) -> Option<String> {
    let found = beside.rules.as_ref()?;
    let count = |of: &[bool]| number(lang, of.iter().filter(|v| **v).count());
    let facts = [
        ("flagged", count(&found.flagged)),
        ("relabelled", number(lang, found.labels.iter().flatten().count())),
        ("excluded", count(&found.excluded)),
        ("torn", number(lang, found.torn)),
    ];
    let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
    Some(lang.fill("audit.rules_tried", &facts))
}
