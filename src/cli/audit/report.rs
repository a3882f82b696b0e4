//! The audit as a page to read and send on: one file, with its pictures, in the reader's language.

mod beside;
mod pictures;

use std::path::Path;

use anyhow::Context;
use askama::Template;
use serde_json::Value;

use self::beside::{ClusterRow, Left, PropertyRow, RuleRow, TextRow};
use self::pictures::{Balance, ClassNoise, Histogram, Matrix};
use super::reason;
use crate::audit::summary::Beside;
use crate::audit::{Audit, Input};
use crate::messages::Lang;

/// Suspects listed, and those that are seen at once.
const SUSPECTS: usize = 100;
const SEEN: usize = 20;
/// Suspects that the command line names.
const SAID: usize = 10;
/// Classes shown in one picture; of more, those with the most.
const CLASSES: usize = 30;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    lang: Lang,
    input: &'a Input,
    errors: String,
    interval: String,
    rate: String,
    samples: String,
    classes: String,
    corrected: String,
    breaks: String,
    worth: String,
    break_even: String,
    left: Left,
    issues: Vec<Issue>,
    parents: Vec<Parent>,
    histogram: Histogram,
    matrices: Vec<Matrix>,
    noise: Vec<ClassNoise>,
    balance: Vec<Balance>,
    pairs: Vec<Pair>,
    /// Those seen at once, and the rest.
    suspects: Vec<Vec<Suspect>>,
    has_places: bool,
    clusters: Vec<ClusterRow>,
    more_clusters: usize,
    has_words: bool,
    texts: Vec<TextRow>,
    properties: Vec<PropertyRow>,
    rules: Vec<RuleRow>,
    /// What the rules come to together.
    tried: Option<String>,
}

struct Issue {
    name: String,
    about: String,
    found: String,
    share: String,
}

struct Parent {
    name: String,
    samples: String,
    flagged: String,
    cross: String,
    rate: String,
    width: String,
}

struct Pair {
    a: String,
    b: String,
    count: String,
    cross: bool,
}

struct Suspect {
    rank: u32,
    id: String,
    given: String,
    suggested: String,
    suspicion: String,
    reason: String,
    cross: bool,
}

/// The page.
///
/// # Errors
/// None but the template's own.
pub(super) fn page(
    lang: Lang,
    input: &Input,
    audit: &Audit<'_>,
    beside: &Beside<'_>,
    summary: &Value,
) -> anyhow::Result<String> {
    let scan = &audit.scan;
    let count = &scan.noise.count;
    let n = scan.len();
    let number = |v: usize| lang.number(i64::try_from(v).unwrap_or(i64::MAX));
    let whole = |v: f64| number(v.round().max(0.0) as usize);
    let page = Page {
        lang,
        errors: number(count.estimate),
        interval: lang.t2("audit.between", "low", number(count.low), "high", number(count.high)),
        rate: format!("{:.1}%", scan.noise.estimated_rate * 100.0),
        samples: number(n),
        classes: number(input.taxonomy.n_classes()),
        corrected: whole(audit.outlook.corrected),
        breaks: lang.t2(
            "audit.breaks",
            "n",
            whole(audit.outlook.broken),
            "accuracy",
            lang.percent(audit.reviewer.corrects as f32),
        ),
        worth: number(audit.outlook.pays),
        break_even: lang.percent(audit.outlook.break_even as f32),
        left: beside::left(lang, audit, beside.checked.as_ref()),
        issues: issues(lang, summary, n),
        parents: parents(lang, input, summary),
        histogram: pictures::histogram(lang, audit),
        matrices: pictures::matrices(lang, input, audit),
        noise: pictures::class_noise(lang, input, audit),
        balance: pictures::balance(lang, input, audit),
        pairs: scan
            .noise
            .overlapping
            .iter()
            .map(|p| Pair {
                a: name(lang, input, p.a),
                b: name(lang, input, p.b),
                count: number(usize::try_from(p.count).unwrap_or(usize::MAX)),
                cross: p.cross_parent,
            })
            .collect(),
        suspects: {
            let mut first = suspects(lang, input, audit, SUSPECTS);
            let rest = first.split_off(SEEN.min(first.len()));
            [first, rest].into_iter().filter(|part| !part.is_empty()).collect()
        },
        has_places: scan.places.is_some(),
        clusters: beside::clusters(lang, input, beside),
        more_clusters: beside.clusters.len().saturating_sub(beside::CLUSTERS),
        has_words: beside.clusters.iter().any(|c| !c.words.is_empty()),
        texts: beside::texts(lang, n, beside),
        properties: beside::properties(lang, input, beside),
        rules: beside::rules(lang, input, beside),
        tried: beside::tried(lang, beside),
        input,
    };
    page.render().context("report.html")
}

/// The short of it on standard output.
pub(super) fn say(lang: Lang, input: &Input, audit: &Audit<'_>, out: &Path) {
    let count = &audit.scan.noise.count;
    let number = |v: usize| lang.number(i64::try_from(v).unwrap_or(i64::MAX));
    let facts = [
        ("errors", number(count.estimate)),
        ("samples", number(audit.scan.len())),
        ("low", number(count.low)),
        ("high", number(count.high)),
    ];
    let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
    say!("{}", lang.fill("audit.said", &facts));
    for s in suspects(lang, input, audit, SAID.min(count.estimate)) {
        say!("{:>4}  {}  {}", s.rank, s.id, s.reason);
    }
    say!("{}", lang.fill("audit.written", &[("folder", &out.display().to_string())]));
}

fn number(lang: Lang, n: usize) -> String {
    lang.number(i64::try_from(n).unwrap_or(i64::MAX))
}

fn name(lang: Lang, input: &Input, class: usize) -> String {
    let tree = &input.taxonomy;
    tree.path_name(tree.class_id(class), lang.tag())
}

fn issues(lang: Lang, summary: &Value, n: usize) -> Vec<Issue> {
    let list = summary["issues"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .filter_map(|issue| {
            let kind = issue["issue_type"].as_str()?;
            let found = issue["num_issues"].as_u64()?;
            let text = |part: &str| lang.find(&format!("audit.{part}.{kind}")).unwrap_or(kind).to_owned();
            Some(Issue {
                name: text("issue"),
                about: text("about"),
                found: lang.number(i64::try_from(found).unwrap_or(i64::MAX)),
                share: lang.percent(found as f32 / n.max(1) as f32),
            })
        })
        .collect()
}

fn parents(lang: Lang, input: &Input, summary: &Value) -> Vec<Parent> {
    if input.taxonomy.depth() < 2 {
        return Vec::new();
    }
    let list = summary["parents"].as_array().map_or(&[][..], Vec::as_slice);
    list.iter()
        .take(CLASSES)
        .filter_map(|p| {
            let number = |key: &str| p[key].as_i64().map(|v| lang.number(v));
            let rate = p["rate"].as_f64()?;
            Some(Parent {
                name: input.taxonomy.name(p["node"].as_str()?, lang.tag()).to_owned(),
                samples: number("samples")?,
                flagged: number("flagged")?,
                cross: number("cross_parent")?,
                rate: lang.percent(rate as f32),
                width: format!("{:.1}", rate * 100.0),
            })
        })
        .collect()
}

fn suspects(lang: Lang, input: &Input, audit: &Audit<'_>, most: usize) -> Vec<Suspect> {
    let ranks = &audit.scan.fused.rank;
    let mut rows: Vec<usize> = (0..ranks.len()).filter(|&i| ranks[i] as usize <= most).collect();
    rows.sort_by_key(|&i| ranks[i]);
    rows.into_iter()
        .map(|i| Suspect {
            rank: ranks[i],
            id: input.id(i),
            given: name(lang, input, input.labels[i] as usize),
            suggested: name(lang, input, audit.scan.fused.suggested[i] as usize),
            suspicion: format!("{:.2}", audit.scan.fused.suspicion[i]),
            reason: reason(lang, input, audit, i),
            cross: audit.scan.cross_parent(i) && input.taxonomy.depth() > 1,
        })
        .collect()
}
