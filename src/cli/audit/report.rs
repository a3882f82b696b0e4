//! The audit as a page to read and send on: one file, with its pictures, in the reader's language.

use std::path::Path;

use anyhow::Context;
use askama::Template;
use serde_json::Value;

use super::reason;
use crate::audit::{Audit, Input};
use crate::detect::noise::noisiest;
use crate::messages::Lang;

/// Suspects listed, and those that are seen at once.
const SUSPECTS: usize = 100;
const SEEN: usize = 20;
/// Suspects that the command line names.
const SAID: usize = 10;
/// Classes shown in one picture; of more, those with the most.
const CLASSES: usize = 30;
/// Bars of the histogram of suspicion.
const BARS: usize = 40;
/// Widths in the pictures' own units.
const PLOT: f64 = 320.0;
const CELL: f64 = 18.0;

#[derive(Template)]
#[template(path = "audit.html")]
struct Page<'a> {
    page: Words,
    input: &'a Input,
    errors: String,
    interval: String,
    rate: String,
    samples: String,
    classes: String,
    corrected: String,
    broken: String,
    worth: String,
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
}

/// The words of a page.
struct Words {
    lang: Lang,
}

impl Words {
    fn t<'a>(&self, key: &'a str) -> &'a str {
        self.lang.text(key)
    }

    fn t1(&self, key: &str, name: &str, value: impl std::fmt::Display) -> String {
        self.lang.fill(key, &[(name, &value.to_string())])
    }

    fn t2(
        &self,
        key: &str,
        a: &str,
        first: impl std::fmt::Display,
        b: &str,
        second: impl std::fmt::Display,
    ) -> String {
        self.lang.fill(key, &[(a, &first.to_string()), (b, &second.to_string())])
    }
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

struct Histogram {
    bars: Vec<Bar>,
    width: f64,
    cut: f64,
}

struct Bar {
    x: f64,
    height: f64,
    flagged: bool,
    title: String,
}

/// Rows: given; columns: true. Shares of the true class.
struct Matrix {
    title: String,
    size: f64,
    /// Room for the names at the left, and above where they lean.
    left: f64,
    top: f64,
    names: Vec<Tick>,
    cells: Vec<Square>,
}

struct Tick {
    at: f64,
    name: String,
}

struct Square {
    x: f64,
    y: f64,
    opacity: String,
    diagonal: bool,
    title: String,
}

struct ClassNoise {
    name: String,
    n: String,
    share: String,
    from: f64,
    at: f64,
    to: f64,
    title: String,
}

struct Balance {
    title: String,
    rows: Vec<BalanceRow>,
    more: Option<String>,
}

struct BalanceRow {
    name: String,
    n: String,
    width: f64,
    flagged: f64,
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
pub(super) fn page(lang: Lang, input: &Input, audit: &Audit<'_>, summary: &Value) -> anyhow::Result<String> {
    let scan = &audit.scan;
    let count = &scan.noise.count;
    let n = scan.len();
    let number = |v: usize| lang.number(i64::try_from(v).unwrap_or(i64::MAX));
    let whole = |v: f64| number(v.round().max(0.0) as usize);
    let words = Words { lang };
    let page = Page {
        errors: number(count.estimate),
        interval: words.t2("audit.between", "low", number(count.low), "high", number(count.high)),
        rate: format!("{:.1}%", scan.noise.estimated_rate * 100.0),
        samples: number(n),
        classes: number(input.taxonomy.n_classes()),
        corrected: whole(audit.outlook.corrected),
        broken: whole(audit.outlook.broken),
        worth: number(audit.outlook.pays),
        issues: issues(lang, summary, n),
        parents: parents(lang, input, summary),
        histogram: histogram(lang, audit),
        matrices: matrices(lang, input, audit),
        noise: class_noise(lang, input, audit),
        balance: balance(lang, input, audit),
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
        page: words,
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

/// Counts on a logarithmic scale: a few suspects must be seen beside many good labels.
fn histogram(lang: Lang, audit: &Audit<'_>) -> Histogram {
    let mut counts = [0usize; BARS];
    for s in &audit.scan.fused.suspicion {
        counts[((s * BARS as f32) as usize).min(BARS - 1)] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0).max(1) as f64;
    let width = 640.0 / BARS as f64;
    let bars = counts
        .iter()
        .enumerate()
        .map(|(i, &c)| Bar {
            x: i as f64 * width,
            height: (1.0 + c as f64).ln() / (1.0 + most).ln() * 120.0,
            flagged: i >= BARS / 2,
            title: lang.fill(
                "audit.bar",
                &[
                    ("from", &format!("{:.3}", i as f64 / BARS as f64)),
                    ("to", &format!("{:.3}", (i + 1) as f64 / BARS as f64)),
                    ("n", &lang.number(i64::try_from(c).unwrap_or(i64::MAX))),
                ],
            ),
        })
        .collect();
    Histogram { bars, width: width - 1.0, cut: 320.0 }
}

fn matrices(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<Matrix> {
    let noise = &audit.scan.noise;
    let tree = &input.taxonomy;
    let mut out = Vec::new();
    if tree.depth() > 1 {
        let roots = tree.roots();
        let names: Vec<String> = roots.iter().map(|r| tree.name(r, lang.tag()).to_owned()).collect();
        let title = lang.text("audit.matrix_level1").to_owned();
        out.push(matrix(lang, title, &noise.level1_noise_matrix, &names));
    }
    let names: Vec<String> = (0..tree.n_classes()).map(|c| name(lang, input, c)).collect();
    out.push(matrix(lang, lang.text("audit.matrix").to_owned(), &noise.noise_matrix, &names));
    out
}

/// Of more than [`CLASSES`] those with the most noise, in their order.
fn matrix(lang: Lang, title: String, m: &[Vec<f32>], names: &[String]) -> Matrix {
    let shown = noisiest(m, CLASSES);
    let at = |i: usize| i as f64 * CELL;
    let mut cells = Vec::new();
    for (row, &given) in shown.iter().enumerate() {
        for (column, &truth) in shown.iter().enumerate() {
            let share = m[given][truth];
            if share <= 0.0 {
                continue;
            }
            let facts = [
                ("given", names[given].as_str()),
                ("true", names[truth].as_str()),
                ("share", &lang.percent(share)),
            ];
            cells.push(Square {
                x: at(column),
                y: at(row),
                // the square root, so that a few percent are seen
                opacity: format!("{:.2}", f64::from(share).sqrt().clamp(0.08, 1.0)),
                diagonal: given == truth,
                title: lang.fill("audit.cell", &facts),
            });
        }
    }
    // about 11 units a wide character, 6 a narrow one
    let width = |name: &str| name.chars().map(|c| if c.is_ascii() { 6.0 } else { 11.5 }).sum::<f64>();
    let longest = shown.iter().map(|&c| width(&names[c])).fold(0.0, f64::max);
    let names = shown.iter().enumerate().map(|(i, &c)| Tick { at: at(i), name: names[c].clone() }).collect();
    Matrix { title, size: at(shown.len()), left: longest + 12.0, top: longest * 0.72 + 16.0, names, cells }
}

fn class_noise(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<ClassNoise> {
    let mut classes: Vec<_> = audit.scan.noise.per_class.iter().filter(|c| c.n > 0).collect();
    let wrong = |c: &crate::detect::noise::ClassNoise| c.label_noise * c.n as f64;
    classes.sort_by(|a, b| wrong(b).total_cmp(&wrong(a)).then(a.class.cmp(&b.class)));
    classes
        .into_iter()
        .take(CLASSES)
        .map(|c| {
            let percent = |v: f64| lang.percent(v as f32);
            let facts = [
                ("low", percent(c.label_noise_low)),
                ("high", percent(c.label_noise_high)),
                ("share", percent(c.label_noise)),
            ];
            let facts: Vec<(&str, &str)> = facts.iter().map(|(k, v)| (*k, v.as_str())).collect();
            ClassNoise {
                name: name(lang, input, c.class),
                n: lang.number(i64::try_from(c.n).unwrap_or(i64::MAX)),
                share: percent(c.label_noise),
                from: c.label_noise_low * PLOT,
                at: c.label_noise * PLOT,
                to: c.label_noise_high * PLOT,
                title: lang.fill("audit.noise_interval", &facts),
            }
        })
        .collect()
}

fn balance(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<Balance> {
    let tree = &input.taxonomy;
    let class_roots = tree.class_roots();
    let mut levels = Vec::new();
    if tree.depth() > 1 {
        let names = tree.roots().iter().map(|r| tree.name(r, lang.tag()).to_owned()).collect::<Vec<_>>();
        levels.push((lang.text("audit.balance_level1").to_owned(), names, Some(&class_roots)));
    }
    let names = (0..tree.n_classes()).map(|c| name(lang, input, c)).collect();
    levels.push((lang.text("audit.balance_classes").to_owned(), names, None));
    levels
        .into_iter()
        .map(|(title, names, roots)| {
            let mut counts = vec![(0usize, 0usize); names.len()];
            for (i, &y) in input.labels.iter().enumerate() {
                let of = roots.map_or(y as usize, |r| r[y as usize]);
                counts[of].0 += 1;
                counts[of].1 += usize::from(audit.scan.flagged(i));
            }
            let mut order: Vec<usize> = (0..names.len()).collect();
            order.sort_by(|&a, &b| counts[b].0.cmp(&counts[a].0).then(a.cmp(&b)));
            let most = counts.iter().map(|c| c.0).max().unwrap_or(0).max(1) as f64;
            // head and tail say what there is to say
            let shown: Vec<usize> = if order.len() > 2 * CLASSES {
                order[..CLASSES].iter().chain(&order[order.len() - CLASSES..]).copied().collect()
            } else {
                order
            };
            let left_out = names.len() - shown.len();
            let number = |v: usize| lang.number(i64::try_from(v).unwrap_or(i64::MAX));
            Balance {
                rows: shown
                    .into_iter()
                    .map(|c| BalanceRow {
                        name: names[c].clone(),
                        n: number(counts[c].0),
                        width: counts[c].0 as f64 / most * PLOT,
                        flagged: counts[c].1 as f64 / most * PLOT,
                    })
                    .collect(),
                more: (left_out > 0).then(|| lang.fill("audit.left_out", &[("n", &number(left_out))])),
                title,
            }
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
