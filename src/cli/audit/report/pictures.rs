//! The report's pictures: suspicion, noise matrix, noise by class, balance. Numbers are in the pictures' own
//! units.

use super::{CLASSES, name};
use crate::audit::{Audit, Input};
use crate::detect::noise::noisiest;
use crate::messages::Lang;

/// Bars of the histogram of suspicion.
const BARS: usize = 40;
/// Widths.
const PLOT: f64 = 320.0;
const CELL: f64 = 18.0;

pub(super) struct Histogram {
    pub(super) bars: Vec<Bar>,
    pub(super) width: f64,
    pub(super) cut: f64,
}

pub(super) struct Bar {
    pub(super) x: f64,
    pub(super) height: f64,
    pub(super) flagged: bool,
    pub(super) title: String,
}

/// Rows: given; columns: true. Shares of the true class.
pub(super) struct Matrix {
    pub(super) title: String,
    pub(super) size: f64,
    /// Room for the names at the left, and above where they lean.
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) names: Vec<Tick>,
    pub(super) cells: Vec<Square>,
}

pub(super) struct Tick {
    pub(super) at: f64,
    pub(super) name: String,
}

pub(super) struct Square {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) opacity: String,
    pub(super) diagonal: bool,
    pub(super) title: String,
}

pub(super) struct ClassNoise {
    pub(super) name: String,
    pub(super) n: String,
    pub(super) share: String,
    pub(super) from: f64,
    pub(super) at: f64,
    pub(super) to: f64,
    pub(super) title: String,
}

pub(super) struct Balance {
    pub(super) title: String,
    pub(super) rows: Vec<BalanceRow>,
    pub(super) more: Option<String>,
}

pub(super) struct BalanceRow {
    pub(super) name: String,
    pub(super) n: String,
    pub(super) width: f64,
    pub(super) flagged: f64,
}

/// Counts on a logarithmic scale: a few suspects must be seen beside many good labels.
pub(super) fn histogram(lang: Lang, audit: &Audit<'_>) -> Histogram {
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

pub(super) fn matrices(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<Matrix> {
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

pub(super) fn class_noise(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<ClassNoise> {
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

pub(super) fn balance(lang: Lang, input: &Input, audit: &Audit<'_>) -> Vec<Balance> {
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
