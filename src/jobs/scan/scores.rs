//! The file of all scores of a scan: one row a sample.

use super::Labelled;
use crate::detect::ScanOutput;
use crate::detect::prototype_margin::LabelState;
use crate::domain::{RankedIssue, Taxonomy};
use crate::exchange::columnar::Column;

/// All scores in the order of the labelled samples, for engines that read Parquet.
pub(super) fn score_table(
    labelled: &Labelled,
    output: &ScanOutput<'_>,
    issues: &[Vec<RankedIssue>],
    taxonomy: &Taxonomy,
) -> Vec<(&'static str, Column)> {
    let n = output.len();
    let kinds = |found: &Vec<RankedIssue>| {
        found.iter().map(|f| f.issue.kind().as_str()).collect::<Vec<_>>().join(" ")
    };
    let class = |of: &dyn Fn(usize) -> usize| {
        Column::Utf8((0..n).map(|i| taxonomy.class_id(of(i)).to_owned()).collect())
    };
    let mut columns = vec![
        ("sample_id", Column::I64(labelled.ids.clone())),
        ("label", class(&|i| labelled.y[i])),
        ("suggested_label", class(&|i| output.fused.suggested[i] as usize)),
        ("rank", Column::I32(output.fused.rank.iter().map(|&r| r as i32).collect())),
        ("suspicion", Column::F32(output.fused.suspicion.clone())),
        ("is_label_issue", Column::Bool((0..n).map(|i| output.flagged(i)).collect())),
        ("suggested_p", Column::F32(output.fused.p_suggested.clone())),
        ("self_confidence", Column::F32(output.self_confidence.clone())),
        ("normalized_margin", Column::F32(output.normalized_margin.clone())),
        ("log_margin", Column::F32(output.log_margin.clone())),
        ("level1_self_confidence", Column::F32(output.levels.level1_self_confidence.clone())),
        ("level1_log_margin", Column::F32(output.levels.level1_log_margin.clone())),
        ("within_self_confidence", Column::F32(output.levels.within_self_confidence.clone())),
        ("within_log_margin", Column::F32(output.levels.within_log_margin.clone())),
        ("is_cross_parent", Column::Bool((0..n).map(|i| output.cross_parent(i)).collect())),
        ("issues", Column::Utf8(issues.iter().map(kinds).collect())),
    ];
    if let Some(report) = &output.fields {
        let odd = |i: usize| report.odd[i].map_or("", |f| report.votes[usize::from(f)].name.as_str());
        columns.extend([
            ("fields_against", Column::I32(report.against.iter().map(|a| i32::from(*a)).collect())),
            ("odd_field", Column::Utf8((0..n).map(|i| odd(i).to_owned()).collect())),
        ]);
    }
    if let Some(space) = &output.space {
        let state = |s: &LabelState| s.as_str().to_owned();
        columns.extend([
            ("neighbour_agreement", Column::F32(space.agreement.clone())),
            ("prototype_margin", Column::F32(space.prototypes.margin.clone())),
            ("prototype_p_clean", Column::F32(space.prototypes.p_wrong.iter().map(|p| 1.0 - p).collect())),
            ("prototype_state", Column::Utf8(space.prototypes.state.iter().map(state).collect())),
            ("fine_alignment", Column::F32(space.fine.alignment.clone())),
            ("fine_p_clean", Column::F32(space.fine.p_clean.clone())),
            ("simifeat_quality", Column::F32(space.simifeat.quality.clone())),
            ("is_simifeat_vote_issue", Column::Bool(space.simifeat.outvoted.clone())),
            ("is_simifeat_rank_issue", Column::Bool(space.simifeat.low_ranked.clone())),
        ]);
    }
    if let Some(places) = output.places {
        let group = |g: &Option<u32>| g.map_or(-1, |g| g as i32);
        columns.extend([
            ("near_duplicate_group", Column::I32(places.duplicates.group.iter().map(group).collect())),
            ("near_duplicate_score", Column::F32(places.duplicates.score.clone())),
            ("is_outlier_issue", Column::Bool(places.outliers.is_outlier.clone())),
            ("outlier_score", Column::F32(places.outliers.score.clone())),
        ]);
        if let Some(space) = &output.space {
            let cluster_share =
                (0..n).map(|i| space.cluster_labels.share(places.clusters[i], labelled.y[i])).collect();
            columns.extend([
                ("cluster_share", Column::F32(cluster_share)),
                ("near_duplicate_conflict", Column::Bool(space.conflicting.clone())),
            ]);
        }
        columns.push(("cluster", Column::I32(places.clusters.iter().map(|&c| c as i32).collect())));
    }
    columns
}
