//! What a training's answers on held-out samples say, as parts of its page: scores with intervals, calibration,
//! what is taken for what, thresholds, errors by cause. Cells and causes lead to the grid of their samples.

mod matrix;
pub(super) mod over_rounds;

use self::matrix::MatrixView;
use super::Reader;
use super::names::{ClassName, score};
use crate::domain::Taxonomy;
use crate::jobs::judge::{ScoreIntervals, TrainingReport};

/// Cells that are listed.
const CELLS: usize = 30;
/// Side of the reliability plot, in the units of its drawing.
const SIDE: f64 = 220.0;

pub(super) struct JudgedView {
    pub(super) intervals: Vec<IntervalView>,
    /// What the second interval rests on.
    pub(super) noise: String,
    pub(super) ece: String,
    pub(super) too_sure: String,
    pub(super) bins: Vec<BinView>,
    /// Right answers, and wrong ones within and across level-1 classes.
    pub(super) levels: String,
    /// Between level-1 classes.
    pub(super) matrix: Option<MatrixView>,
    pub(super) cells: Vec<CellView>,
    pub(super) classes: Vec<ClassView>,
    pub(super) cases: Vec<CaseView>,
    pub(super) unexplained: String,
    /// Where a script reads the curves.
    pub(super) api: String,
}

/// A part of the score with its interval on verified samples and on the others.
pub(super) struct IntervalView {
    pub(super) name: String,
    pub(super) verified: String,
    pub(super) unverified: String,
}

pub(super) struct BinView {
    pub(super) title: String,
    pub(super) x: String,
    pub(super) y: String,
    pub(super) width: String,
    pub(super) height: String,
}

pub(super) struct CellView {
    pub(super) truth: ClassName,
    pub(super) predicted: ClassName,
    pub(super) count: String,
    pub(super) share: String,
    pub(super) reverse: String,
    pub(super) cross_parent: bool,
    pub(super) grid: String,
}

pub(super) struct ClassView {
    pub(super) number: usize,
    pub(super) class: ClassName,
    pub(super) average_precision: String,
    pub(super) threshold: String,
    pub(super) f1: String,
}

pub(super) struct CaseView {
    pub(super) name: String,
    pub(super) about: String,
    pub(super) main: String,
    pub(super) any: String,
    /// Of the training before.
    pub(super) before: Option<String>,
    pub(super) grid: Option<String>,
}

pub(super) fn view(
    page: &Reader,
    taxonomy: &Taxonomy,
    r: &TrainingReport,
    before: Option<&TrainingReport>,
    dataset_href: &str,
    training: &str,
) -> JudgedView {
    let lang = page.lang;
    let number = |n: u64| lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let percent = |p: f64| format!("{:.0} %", 100.0 * p);
    let grid = |selection: uuid::Uuid| format!("{dataset_href}/grid?selection={selection}");
    let class = |id: &String| ClassName::of(taxonomy, id, lang);
    JudgedView {
        intervals: intervals(page, r),
        noise: match r.noise.as_deref() {
            Some("matrix") => page.t("judged.noise_matrix").to_owned(),
            Some(_) => page.t("judged.noise_rate").to_owned(),
            None => page.t("judged.noise_unknown").to_owned(),
        },
        ece: score(r.calibration.ece),
        too_sure: match r.calibration.overconfidence {
            c if c > 0.005 => page.t1("judged.too_sure", "points", score(c)).to_string(),
            c if c < -0.005 => page.t1("judged.too_unsure", "points", score(-c)).to_string(),
            _ => page.t("judged.as_sure").to_owned(),
        },
        bins: bins(page, r),
        levels: lang.fill(
            "judged.levels",
            &[
                ("right", &number(r.confusion.right)),
                ("within", &number(r.confusion.within_parent)),
                ("cross", &number(r.confusion.cross_parent)),
            ],
        ),
        matrix: matrix::view(page, taxonomy, &r.confusion.nodes, dataset_href),
        cells: r
            .confusion
            .cells
            .iter()
            .take(CELLS)
            .map(|c| CellView {
                truth: class(&c.truth),
                predicted: class(&c.predicted),
                count: number(c.count),
                share: percent(c.share),
                reverse: number(c.reverse),
                cross_parent: !c.within_parent,
                grid: grid(c.selection),
            })
            .collect(),
        classes: r
            .curves
            .iter()
            .enumerate()
            .filter(|(_, c)| c.support > 0)
            .map(|(number, c)| ClassView {
                number,
                class: class(&c.class),
                average_precision: score(c.average_precision),
                threshold: c.best.map_or_else(|| "–".into(), |p| score(f64::from(p.threshold))),
                f1: c.best.map_or_else(|| "–".into(), |p| score(p.f1())),
            })
            .collect(),
        cases: r
            .bad_cases
            .iter()
            .map(|c| CaseView {
                name: lang.text(&format!("bad_case.{}", c.case.as_str())).to_owned(),
                about: lang.text(&format!("bad_case_about.{}", c.case.as_str())).to_owned(),
                main: number(c.main),
                any: number(c.any),
                before: before
                    .and_then(|b| b.bad_cases.iter().find(|o| o.case == c.case))
                    .map(|o| number(o.any)),
                grid: c.selection.map(grid),
            })
            .collect(),
        unexplained: number(r.unexplained),
        api: format!("/api/v1{dataset_href}/trainings/{training}/report"),
    }
}

fn intervals(page: &Reader, r: &TrainingReport) -> Vec<IntervalView> {
    let parts = |i: &ScoreIntervals| {
        [i.mean_f1, i.l1_micro_f1, i.l1_macro_f1, i.l2_micro_f1, i.l2_macro_f1]
            .map(|i| format!("{} – {}", score(i.low), score(i.high)))
    };
    let (verified, unverified) = (r.verified.as_ref().map(parts), r.unverified.as_ref().map(parts));
    let shown = |of: &Option<[String; 5]>, i: usize| of.as_ref().map_or_else(|| "–".into(), |p| p[i].clone());
    ["mean_f1", "l1_micro_f1", "l1_macro_f1", "l2_micro_f1", "l2_macro_f1"]
        .iter()
        .enumerate()
        .map(|(i, key)| IntervalView {
            name: page.lang.text(&format!("metric.{key}")).to_owned(),
            verified: shown(&verified, i),
            unverified: shown(&unverified, i),
        })
        .collect()
}

/// A bar a bin: as high as the share of right answers among those of its confidence.
fn bins(page: &Reader, r: &TrainingReport) -> Vec<BinView> {
    let filled = r.calibration.bins.iter().filter(|b| b.n > 0);
    filled
        .map(|b| BinView {
            title: page.lang.fill(
                "judged.bin",
                &[
                    ("n", &page.lang.number(i64::try_from(b.n).unwrap_or(i64::MAX))),
                    ("confidence", &score(b.confidence)),
                    ("accuracy", &score(b.accuracy)),
                ],
            ),
            x: format!("{:.1}", b.low * SIDE),
            y: format!("{:.1}", (1.0 - b.accuracy) * SIDE),
            width: format!("{:.1}", (b.high - b.low) * SIDE - 1.0),
            height: format!("{:.1}", b.accuracy * SIDE),
        })
        .collect()
}
