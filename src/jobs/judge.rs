//! What a training's answers on held-out samples say: intervals of its scores, calibration, thresholds, what it
//! takes for what, and its errors by cause. Worked out once, when the training ends, with the labels that it was
//! measured on; kept beside the model.

mod known;

use std::collections::BTreeMap;

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

pub(super) use self::known::Knowledge;
use self::known::Scanned;
use super::{JobError, Services};
use crate::domain::{BadCase, BadCases, CaseCount};
use crate::train::bad_cases::{BadCaseEvidence, categories};
use crate::train::linear::argmax_rows;
use crate::train::metrics::ConfusionCount;
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
/// Level-1 cells that can be looked at.
const NODES: usize = 400;

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
    /// The same between level-1 nodes, by truth, then answer, in the taxonomy's order; empty in reports of older
    /// versions.
    #[serde(default)]
    pub nodes: Vec<NodeCell>,
}

/// Samples of level-1 node `truth` that were taken for one of `predicted`.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct NodeCell {
    pub truth: String,
    pub predicted: String,
    pub count: u64,
    /// Those of them that got the wrong class; within a node fewer than all.
    pub wrong: u64,
    /// The wrong ones, as a selection of the dataset; null where there are none, and beyond the 400 cells with the most.
    pub selection: Option<Uuid>,
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
    /// The level-1 nodes that `roots` counts.
    pub(super) nodes: &'a [String],
    /// Training samples of each class.
    pub(super) support: Vec<u64>,
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
    let nodes = nodes(a, &confusion.nodes, &behind);
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
            nodes: Vec::new(),
        },
        bad_cases: Vec::new(),
        unexplained,
    };
    Ok(Judged { report, cells, nodes, cases })
}

/// The cells between level-1 nodes with the samples behind those that have the most errors.
fn nodes(
    a: &Answers<'_>,
    counts: &[ConfusionCount],
    behind: &BTreeMap<(usize, usize), Vec<i64>>,
) -> Vec<(NodeCell, Vec<i64>)> {
    let mut wrong = BTreeMap::<(usize, usize), Vec<i64>>::new();
    for (&(truth, said), samples) in behind {
        wrong.entry((a.roots[truth], a.roots[said])).or_default().extend(samples);
    }
    let mut sizes: Vec<usize> = wrong.values().map(Vec::len).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    // of cells alike in size all or none, so that none of them is there by chance
    let least = sizes.get(NODES).map_or(1, |next| next + 1);
    let cell = |c: &ConfusionCount| {
        let samples = wrong.remove(&(c.truth, c.predicted)).unwrap_or_default();
        let cell = NodeCell {
            truth: a.nodes[c.truth].clone(),
            predicted: a.nodes[c.predicted].clone(),
            count: c.count,
            wrong: samples.len() as u64,
            selection: None,
        };
        (cell, if samples.len() >= least { samples } else { Vec::new() })
    };
    counts.iter().map(cell).collect()
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
    nodes: Vec<(NodeCell, Vec<i64>)>,
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
        for (mut cell, samples) in self.nodes {
            if !samples.is_empty() {
                cell.selection = Some(services.store.insert_selection(dataset, "tamis", &samples).await?.id);
            }
            report.confusion.nodes.push(cell);
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

impl TrainingReport {
    /// Its errors by cause, as rounds compare them.
    pub(super) fn causes(&self) -> BadCases {
        let errors = self.confusion.within_parent + self.confusion.cross_parent;
        BadCases {
            n: self.confusion.right + errors,
            errors,
            unexplained: self.unexplained,
            causes: self.bad_cases.clone(),
        }
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
mod tests;
