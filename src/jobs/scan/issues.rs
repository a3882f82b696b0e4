//! The issues of each scanned sample, ranked within their kind.

use std::collections::BTreeMap;

use super::Labelled;
use super::told::Told;
use crate::detect::ScanOutput;
use crate::detect::text_quality::TextIssue;
use crate::domain::issue::{Issue, TextFault};
use crate::domain::{Field, LabelCount, RankedIssue, Taxonomy, TextProblem};

/// An issue on its way to its rank: lower comes first.
struct Found {
    key: f64,
    /// Keeps a group of near-duplicates together.
    group: u32,
    row: usize,
    issue: Issue,
}

impl Found {
    fn new(key: f64, row: usize, issue: Issue) -> Self {
        Self { key, group: 0, row, issue }
    }
}

/// (N) the issues of each row in the order of their kinds. Each kind has its own order: labels by suspicion,
/// near-duplicates by likeness and group by group (conflicts: the group with the most suspicious label
/// first), outliers by distance, the rest by how bad they are.
pub(super) fn issues(
    taxonomy: &Taxonomy,
    labelled: &Labelled,
    output: &ScanOutput<'_>,
    told: &Told,
) -> Vec<Vec<RankedIssue>> {
    let n = output.len();
    let rank = &output.fused.rank;
    let label = (0..n)
        .filter(|&i| output.flagged(i))
        .map(|i| Found::new(f64::from(rank[i]), i, Issue::Label))
        .collect();
    let (conflicts, duplicates) = near_duplicates(taxonomy, labelled, output);
    let kinds = [
        label,
        conflicts,
        odd_fields(taxonomy, output),
        duplicates,
        outliers(output),
        texts(n, told),
        missing(n, told),
        media(told),
    ];
    let mut of_row: Vec<Vec<RankedIssue>> = vec![Vec::new(); n];
    for mut found in kinds {
        found.sort_by(|a, b| {
            a.key.total_cmp(&b.key).then(a.group.cmp(&b.group)).then(rank[a.row].cmp(&rank[b.row]))
        });
        for (found, place) in found.into_iter().zip(1..) {
            of_row[found.row].push(RankedIssue { rank: place, issue: found.issue });
        }
    }
    of_row
}

fn near_duplicates(
    taxonomy: &Taxonomy,
    labelled: &Labelled,
    output: &ScanOutput<'_>,
) -> (Vec<Found>, Vec<Found>) {
    let (mut conflicts, mut duplicates) = (Vec::new(), Vec::new());
    let Some(places) = output.places else { return (conflicts, duplicates) };
    let score = |i: u32| f64::from(places.duplicates.score[i as usize]);
    for (group, rows) in (0..).zip(&places.duplicates.groups) {
        let mut by_label: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        rows.iter().for_each(|&i| by_label.entry(labelled.y[i as usize]).or_default().push(i));
        let mut by_label: Vec<(usize, Vec<u32>)> = by_label.into_iter().collect();
        by_label.sort_by_key(|(_, rows)| std::cmp::Reverse(rows.len())); // stable: equals stay by class
        let nearest = rows.iter().map(|&i| score(i)).fold(f64::INFINITY, f64::min);
        let suspected = rows.iter().map(|&i| output.fused.rank[i as usize]).min().unwrap_or(0);
        for &i in rows {
            let given = labelled.y[i as usize];
            // whatever their label, or with another label only
            let others = |same: bool| {
                let kept = by_label.iter().filter(move |(class, _)| same || *class != given);
                let counted = kept.clone().map(|(class, rows)| LabelCount {
                    class: taxonomy.class_id(*class).to_owned(),
                    n: rows.len() as u32 - u32::from(*class == given),
                });
                let labels: Vec<LabelCount> = counted.filter(|l| l.n > 0).collect();
                let samples = kept.flat_map(|(_, rows)| rows).filter(|&&o| o != i);
                (
                    labels.iter().map(|l| l.n).sum::<u32>(),
                    labels.into_iter().take(Issue::LISTED_LABELS).collect::<Vec<_>>(),
                    samples.take(Issue::LISTED_SAMPLES).map(|&o| labelled.ids[o as usize]).collect(),
                )
            };
            let (n, labels, samples) = others(true);
            let issue = Issue::NearDuplicate { n, labels, samples };
            duplicates.push(Found { key: nearest, group, row: i as usize, issue });
            if by_label.len() > 1 {
                let (n, labels, samples) = others(false);
                let issue = Issue::NearDuplicateConflict { n, labels, samples };
                conflicts.push(Found { key: f64::from(suspected), group, row: i as usize, issue });
            }
        }
    }
    (conflicts, duplicates)
}

fn odd_fields(taxonomy: &Taxonomy, output: &ScanOutput<'_>) -> Vec<Found> {
    let Some(report) = &output.fields else { return Vec::new() };
    let found = report.odd.iter().enumerate().filter_map(|(i, odd)| {
        let votes = &report.votes[usize::from((*odd)?)];
        let class = votes.best[i]?;
        let issue = Issue::OddField {
            field: Field::parse(&votes.name)?,
            class: taxonomy.class_id(class as usize).to_owned(),
            p: votes.p_best[i],
        };
        Some(Found::new(f64::from(votes.p_given[i] - votes.p_best[i]), i, issue))
    });
    found.collect()
}

fn outliers(output: &ScanOutput<'_>) -> Vec<Found> {
    let Some(places) = output.places else { return Vec::new() };
    let out = &places.outliers;
    let rows = (0..output.len()).filter(|&i| out.is_outlier[i]);
    let nearest = |i: usize| places.neighbours.similarity.row(i).first().copied().unwrap_or(0.0);
    rows.map(|i| Found::new(f64::from(out.score[i]), i, Issue::Outlier { nearest: nearest(i) })).collect()
}

fn texts(n: usize, told: &Told) -> Vec<Found> {
    let fault = |f: usize, i: usize| {
        let text = told.text(f, i)?;
        let (problem, share) = match text.issue? {
            TextIssue::Empty => return None,
            TextIssue::Short => {
                let below = told.report(f).short_below.max(1) as f32;
                (TextProblem::Short, 1.0 - text.chars as f32 / below)
            }
            TextIssue::Repetition => (TextProblem::Repetition, text.repetition),
            TextIssue::Gibberish => (TextProblem::Gibberish, text.surprise),
            TextIssue::Symbols => (TextProblem::Symbols, text.symbols),
        };
        Some(TextFault { field: Field::TEXT[f], problem, share })
    };
    let found = (0..n).filter_map(|i| {
        let faults: Vec<TextFault> = (0..Field::TEXT.len()).filter_map(|f| fault(f, i)).collect();
        let worst = faults.iter().map(|f| f.share).reduce(f32::max)?;
        Some(Found::new(-f64::from(worst), i, Issue::TextQuality { faults }))
    });
    found.collect()
}

fn missing(n: usize, told: &Told) -> Vec<Found> {
    let lacks = |f: usize, i: usize| told.text(f, i).is_some_and(|text| text.issue == Some(TextIssue::Empty));
    let found = (0..n).filter_map(|i| {
        let lacking = (0..Field::TEXT.len()).filter(|&f| lacks(f, i));
        let fields: Vec<Field> = lacking.map(|f| Field::TEXT[f]).collect();
        (!fields.is_empty()).then(|| Found::new(-(fields.len() as f64), i, Issue::MissingField { fields }))
    });
    found.collect()
}

fn media(told: &Told) -> Vec<Found> {
    let found = told.media.iter().enumerate().filter_map(|(i, faults)| {
        // by how far from usual, either way
        let apart = faults.iter().map(|f| f64::from(f.value / f.usual).ln().abs()).reduce(f64::max)?;
        Some(Found::new(-apart, i, Issue::Media { faults: faults.clone() }))
    });
    found.collect()
}
