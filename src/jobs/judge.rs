//! What a training's answers on held-out samples say: intervals of its scores, calibration, thresholds, what it
//! takes for what, and its errors by cause. Worked out once, when the training ends, with the labels that it was
//! measured on; kept beside the model.

use std::collections::{BTreeMap, HashMap, HashSet};

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::{JobError, Services};
use crate::exchange::columnar::{Column, read_table};
use crate::train::bad_cases::{BadCase, BadCaseEvidence, categories};
use crate::train::linear::argmax_rows;
pub use crate::train::score::ScoreIntervals;
use crate::train::score::{
    Calibration, CurvePoint, LabelNoise, Resampling, bootstrap, bootstrap_with_noise, calibration,
    class_curves, two_level_confusion,
};
use crate::train::{Metrics, TrainError};

const BINS: usize = 15;
/// Points of a class's curve that are kept.
const POINTS: usize = 101;
/// Rounds of a bootstrap times samples: bounds its time to some seconds.
const DRAWN: usize = 5_000_000;
/// Cells of the confusion that can be looked at, fullest first.
const CELLS: usize = 200;

/// What a training's answers say.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TrainingReport {
    /// 95 % intervals of the scores on verified samples, and on the others; null without such samples.
    pub verified: Option<ScoreIntervals>,
    /// They carry the labels' own mistakes, as far as those are known.
    pub unverified: Option<ScoreIntervals>,
    /// What is known of the labels' mistakes: `matrix` or `rate` of the latest scan; null: nothing, and the interval
    /// is that of right labels.
    pub noise: Option<String>,
    pub calibration: Calibration,
    /// By class, in the taxonomy's order.
    pub curves: Vec<ClassThresholds>,
    pub confusion: Confusion,
    /// Errors by cause.
    pub bad_cases: Vec<CaseCount>,
    /// Errors that nothing known explains.
    pub unexplained: u64,
}

/// A class's precision and recall by threshold.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ClassThresholds {
    pub class: String,
    pub support: u64,
    pub average_precision: f64,
    /// Where F1 is best.
    pub best: Option<CurvePoint>,
    /// Thresholds falling, at most 101.
    pub points: Vec<CurvePoint>,
}

/// What is taken for what.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Confusion {
    pub right: u64,
    /// Wrong class, right level-1 node.
    pub within_parent: u64,
    /// Wrong level-1 node.
    pub cross_parent: u64,
    /// Fullest first, at most 200.
    pub cells: Vec<Cell>,
}

/// Samples of class `truth` that were taken for `predicted`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cell {
    pub truth: String,
    pub predicted: String,
    pub count: u64,
    /// Of all samples of `truth`.
    pub share: f64,
    /// The other way round.
    pub reverse: u64,
    pub within_parent: bool,
    /// These samples, as a selection of the dataset.
    pub selection: Uuid,
}

/// Errors of one cause.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CaseCount {
    pub case: BadCase,
    /// Errors of which it explains most, and those that it explains at all.
    pub main: u64,
    pub any: u64,
    /// The latter, as a selection of the dataset.
    pub selection: Option<Uuid>,
}

/// A training's answers on what was held out, row by row.
pub(super) struct Answers<'a> {
    pub(super) ids: &'a [i64],
    pub(super) truth: &'a [usize],
    /// (N, K)
    pub(super) probabilities: Array2<f32>,
    pub(super) verified: Vec<bool>,
    /// Near-duplicates share a number.
    pub(super) groups: Vec<u32>,
    /// A near-duplicate elsewhere carries another label.
    pub(super) duplicate_across_split: Vec<bool>,
    pub(super) metrics: &'a Metrics,
    pub(super) classes: &'a [String],
    pub(super) roots: &'a [usize],
    /// Training samples of each class.
    pub(super) support: Vec<u64>,
}

/// What the latest scan says of a sample.
#[derive(Clone, Debug, Default)]
struct Scanned {
    suggested: Option<usize>,
    outlier: bool,
    missing_field: bool,
    text_noise: bool,
    title_mismatch: bool,
}

/// What the latest scan knows, as far as there is one, and what people said.
#[derive(Default)]
pub(super) struct Knowledge {
    samples: HashMap<i64, Scanned>,
    /// People said that they fit no class.
    fitting_none: HashSet<i64>,
    overlapping: HashSet<(usize, usize)>,
    matrix: Option<Vec<Vec<f32>>>,
    rate: Option<f64>,
}

#[derive(Deserialize)]
struct Summary {
    noise: Noise,
}

#[derive(Deserialize)]
struct Noise {
    estimated_rate: f64,
    noise_matrix: Vec<Vec<f32>>,
    overlapping: Vec<Pair>,
}

#[derive(Deserialize)]
struct Pair {
    a: usize,
    b: usize,
}

impl Knowledge {
    pub(super) async fn load(
        services: &Services,
        dataset: Uuid,
        classes: &[String],
        samples: &[i64],
    ) -> Result<Self, JobError> {
        let fitting_none = services.store.fitting_no_class(dataset, samples).await?.into_iter().collect();
        let unscanned = Self { fitting_none, ..Self::default() };
        let Some(scan) = services.store.latest_scan(dataset).await? else { return Ok(unscanned) };
        // what is known of the samples is a help, not a need
        if !services.blobs.exists(&scan.scores_blob).await? {
            return Ok(unscanned);
        }
        let bytes = services.blobs.get(&scan.scores_blob).await?;
        let column: HashMap<String, usize> =
            classes.iter().enumerate().map(|(i, c)| (c.clone(), i)).collect();
        let mut known = Self {
            samples: tokio::task::spawn_blocking(move || scanned(bytes, &column)).await?,
            ..unscanned
        };
        if let Ok(Summary { noise }) = serde_json::from_value::<Summary>(scan.summary) {
            known.overlapping = noise.overlapping.iter().flat_map(|p| [(p.a, p.b), (p.b, p.a)]).collect();
            known.rate = Some(noise.estimated_rate).filter(|r| (0.0..1.0).contains(r));
            known.matrix = Some(noise.noise_matrix).filter(|m| m.len() == classes.len());
        }
        Ok(known)
    }
}

fn scanned(bytes: Vec<u8>, classes: &HashMap<String, usize>) -> HashMap<i64, Scanned> {
    let Ok(table) = read_table(bytes::Bytes::from(bytes), None) else { return HashMap::new() };
    let column = |name: &str| table.iter().find(|(n, _)| n == name).map(|(_, c)| c);
    let Some(Column::I64(ids)) = column("sample_id") else { return HashMap::new() };
    let flag =
        |name: &str, i: usize| matches!(column(name), Some(Column::Bool(b)) if b.get(i) == Some(&true));
    let text = |name: &str, i: usize| match column(name) {
        Some(Column::Utf8(t)) => t.get(i).map_or("", String::as_str),
        _ => "",
    };
    let of = |i: usize| {
        let issue = |kind: &str| text("issues", i).split(' ').any(|k| k == kind);
        Scanned {
            suggested: classes.get(text("suggested_label", i)).copied().filter(|_| flag("is_label_issue", i)),
            outlier: flag("is_outlier_issue", i),
            missing_field: issue("missing_field"),
            text_noise: issue("text_quality"),
            title_mismatch: text("odd_field", i) == "title",
        }
    };
    ids.iter().enumerate().map(|(i, &id)| (id, of(i))).collect()
}

/// What the answers say, and which samples are behind each cell and cause. O(N K log N), a bootstrap of some
/// seconds at most.
pub(super) fn judge(a: &Answers<'_>, known: &Knowledge) -> Result<Judged, TrainError> {
    let predicted = argmax_rows(a.probabilities.view());
    let intervals = |verified: bool| -> Result<Option<ScoreIntervals>, TrainError> {
        let rows: Vec<usize> = (0..a.ids.len()).filter(|&i| a.verified[i] == verified).collect();
        if rows.is_empty() {
            return Ok(None);
        }
        let of = |all: &[usize]| rows.iter().map(|&i| all[i]).collect::<Vec<_>>();
        let groups: Vec<u32> = rows.iter().map(|&i| a.groups[i]).collect();
        let rounds = (DRAWN / rows.len()).clamp(100, 1000);
        let how = Resampling { rounds, groups: Some(&groups), ..Resampling::default() };
        let (truth, said) = (of(a.truth), of(&predicted));
        let noise = match (&known.matrix, known.rate) {
            _ if verified => None,
            (Some(matrix), _) => Some(LabelNoise::Matrix(matrix)),
            (None, Some(rate)) => Some(LabelNoise::Rate(rate)),
            (None, None) => None,
        };
        match noise {
            Some(noise) => bootstrap_with_noise(&truth, &said, a.roots, noise, &how),
            None => bootstrap(&truth, &said, a.roots, &how),
        }
        .map(Some)
    };
    let curves = class_curves(a.probabilities.view(), a.truth)?;
    let confusion = two_level_confusion(&a.metrics.confusion, a.roots);
    let mut behind = BTreeMap::<(usize, usize), Vec<i64>>::new();
    for (i, &said) in predicted.iter().enumerate().filter(|(i, said)| a.truth[*i] != **said) {
        behind.entry((a.truth[i], said)).or_default().push(a.ids[i]);
    }
    let cells = confusion.pairs.iter().filter(|p| p.truth != p.predicted).take(CELLS);
    let cells: Vec<(Cell, Vec<i64>)> = cells
        .map(|p| {
            let cell = Cell {
                truth: a.classes[p.truth].clone(),
                predicted: a.classes[p.predicted].clone(),
                count: p.count,
                share: p.share,
                reverse: p.reverse,
                within_parent: p.within_parent,
                selection: Uuid::nil(),
            };
            (cell, behind.get(&(p.truth, p.predicted)).cloned().unwrap_or_default())
        })
        .collect();
    let mut cases: Vec<(CaseCount, Vec<i64>)> = BadCase::ALL
        .into_iter()
        .map(|case| (CaseCount { case, main: 0, any: 0, selection: None }, Vec::new()))
        .collect();
    let mut unexplained = 0;
    for e in errors(a, known, &predicted) {
        let found = categories(&e.1);
        unexplained += u64::from(found.is_empty());
        for (n, case) in found.iter().enumerate() {
            if let Some((count, samples)) = cases.iter_mut().find(|(c, _)| c.case == *case) {
                count.any += 1;
                count.main += u64::from(n == 0);
                samples.push(e.0);
            }
        }
    }
    let report = TrainingReport {
        verified: intervals(true)?,
        unverified: intervals(false)?,
        noise: match (&known.matrix, known.rate) {
            (Some(_), _) => Some("matrix".to_owned()),
            (None, Some(_)) => Some("rate".to_owned()),
            (None, None) => None,
        },
        calibration: calibration(a.probabilities.view(), a.truth, BINS)?,
        curves: curves
            .iter()
            .map(|c| ClassThresholds {
                class: a.classes[c.class].clone(),
                support: c.support,
                average_precision: c.average_precision,
                best: c.best_f1(),
                points: c.thinned(POINTS),
            })
            .collect(),
        confusion: Confusion {
            right: confusion.right,
            within_parent: confusion.within_parent,
            cross_parent: confusion.cross_parent,
            cells: Vec::new(),
        },
        bad_cases: Vec::new(),
        unexplained,
    };
    Ok(Judged { report, cells, cases })
}

/// What is known of each wrong answer.
fn errors<'a>(
    a: &'a Answers<'_>,
    known: &'a Knowledge,
    predicted: &'a [usize],
) -> impl Iterator<Item = (i64, BadCaseEvidence)> + 'a {
    let mut sizes = a.support.clone();
    sizes.sort_unstable();
    // below it lies the smallest third
    let small = sizes.get(sizes.len() / 3).copied().unwrap_or(0);
    let nothing = Scanned::default();
    (0..a.ids.len()).filter(|&i| a.truth[i] != predicted[i]).map(move |i| {
        let (label, said) = (a.truth[i], predicted[i]);
        let scan = known.samples.get(&a.ids[i]).unwrap_or(&nothing);
        let evidence = BadCaseEvidence {
            label,
            predicted: said,
            p_label: a.probabilities[[i, label]],
            p_predicted: a.probabilities[[i, said]],
            verified: a.verified[i],
            suggested: scan.suggested,
            judged_out_of_taxonomy: known.fitting_none.contains(&a.ids[i]),
            outlier: scan.outlier,
            duplicate_across_split: a.duplicate_across_split[i],
            missing_field: scan.missing_field,
            text_noise: scan.text_noise,
            title_mismatch: scan.title_mismatch,
            overlapping: known.overlapping.contains(&(label, said)),
            tail: a.support[label] < small,
        };
        (a.ids[i], evidence)
    })
}

/// A report whose cells and causes do not name their samples yet.
pub(super) struct Judged {
    report: TrainingReport,
    cells: Vec<(Cell, Vec<i64>)>,
    cases: Vec<(CaseCount, Vec<i64>)>,
}

impl Judged {
    /// Keeps the samples behind cells and causes as selections of the dataset.
    pub(super) async fn kept(self, services: &Services, dataset: Uuid) -> Result<TrainingReport, JobError> {
        let mut report = self.report;
        for (mut cell, samples) in self.cells.into_iter().filter(|(_, s)| !s.is_empty()) {
            cell.selection = services.store.insert_selection(dataset, "tamis", &samples).await?.id;
            report.confusion.cells.push(cell);
        }
        for (mut case, samples) in self.cases {
            if !samples.is_empty() {
                case.selection = Some(services.store.insert_selection(dataset, "tamis", &samples).await?.id);
            }
            report.bad_cases.push(case);
        }
        Ok(report)
    }
}

/// The report of a training; none of one of an older version.
pub async fn report(
    services: &Services,
    training: &crate::store::trainings::Training,
) -> Result<Option<TrainingReport>, JobError> {
    let Some(blob) = &training.report_blob else { return Ok(None) };
    let bytes = services.blobs.get(blob).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| JobError::broke("doing.blobs", e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::evaluate;
    use ndarray::array;

    #[test]
    fn errors_are_sorted_by_cause_and_cells_know_their_samples() {
        let probabilities =
            array![[0.9f32, 0.1, 0.0], [0.2, 0.8, 0.0], [0.55, 0.45, 0.0], [0.0, 0.1, 0.9], [0.6, 0.0, 0.4]];
        let truth = [0, 0, 1, 2, 2];
        let predicted = argmax_rows(probabilities.view());
        let roots = [0, 0, 1];
        let metrics = evaluate(&truth, &predicted, &roots, 3);
        let classes: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let answers = Answers {
            ids: &[10, 11, 12, 13, 14],
            truth: &truth,
            probabilities,
            verified: vec![true, false, false, true, true],
            groups: vec![0, 1, 2, 3, 4],
            duplicate_across_split: vec![false, false, false, false, true],
            metrics: &metrics,
            classes: &classes,
            roots: &roots,
            support: vec![50, 40, 5],
        };
        let mut known = Knowledge { rate: Some(0.2), ..Knowledge::default() };
        // the scan agrees with the model on sample 11
        known.samples.insert(11, Scanned { suggested: Some(1), ..Scanned::default() });
        let judged = judge(&answers, &known).unwrap();
        let cells: Vec<_> =
            judged.cells.iter().map(|(c, s)| (c.truth.as_str(), c.predicted.as_str(), s.clone())).collect();
        assert_eq!(cells, [("a", "b", vec![11]), ("b", "a", vec![12]), ("c", "a", vec![14])]);
        let cases: Vec<_> = judged
            .cases
            .iter()
            .filter(|(c, _)| c.any > 0)
            .map(|(c, s)| (c.case, c.main, s.clone()))
            .collect();
        // class c has fewer samples than a third of the classes' sizes allow
        assert_eq!(
            cases,
            [
                (BadCase::LabelError, 1, vec![11]),
                (BadCase::NearDuplicateAcrossSplit, 1, vec![14]),
                (BadCase::TailClass, 0, vec![14]),
            ]
        );
        assert_eq!(judged.report.unexplained, 1, "sample 12");
        let r = &judged.report;
        assert_eq!((r.confusion.right, r.confusion.within_parent, r.confusion.cross_parent), (2, 2, 1));
        assert!(r.verified.is_some() && r.noise.as_deref() == Some("rate"));
        let width = |i: &Option<ScoreIntervals>| i.as_ref().map(|i| i.mean_f1.high - i.mean_f1.low).unwrap();
        assert!(width(&r.unverified) > 0.0);
        assert_eq!(r.curves[2].support, 2);
    }
}
