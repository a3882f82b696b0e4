//! What a scan says of each sample, as it is stored: class columns become ids, rows become samples.

use std::sync::Arc;

use super::Labelled;
use crate::detect::{ScanOutput, ScanRow};
use crate::domain::{Candidate, Field, Finding, Neighbour, RankedIssue, Reason, Taxonomy};

const LEAST: f32 = 1e-5;

/// By rank. `issues` (N) of each row.
pub(super) fn findings(
    taxonomy: &Taxonomy,
    labelled: &Labelled,
    output: &ScanOutput<'_>,
    issues: Vec<Vec<RankedIssue>>,
) -> Vec<Finding> {
    let ids: Vec<Arc<str>> = taxonomy.class_ids().map(Arc::from).collect();
    let mut findings: Vec<Finding> = issues
        .into_iter()
        .enumerate()
        .map(|(i, issues)| finding(&ids, labelled, output, i, issues))
        .collect();
    findings.sort_by_key(|f| f.rank);
    findings
}

fn finding(
    ids: &[Arc<str>],
    labelled: &Labelled,
    output: &ScanOutput<'_>,
    i: usize,
    issues: Vec<RankedIssue>,
) -> Finding {
    let r = output.row(i);
    let class = |c: usize| ids[c].to_string();
    let small = |v: u32| i32::try_from(v).unwrap_or(i32::MAX);
    let candidates: Vec<(u32, f32)> = output.fused.candidates.row(i).collect();
    // one figure for one thing: the sentence says what the bars show; rounded down to nothing is not none
    let p = |c: usize| candidates.iter().find(|x| x.0 as usize == c).map_or(0.0, |x| x.1).max(LEAST);
    let (given, p_suggested) = (labelled.y[i], p(r.suggested));
    Finding {
        sample_id: labelled.ids[i],
        place: small(r.rank),
        audit: None,
        rank: small(r.rank),
        suspicion: r.suspicion,
        flagged: r.flagged,
        given_class: class(given),
        suggested_class: class(r.suggested),
        suggested_p: p_suggested,
        self_confidence: r.self_confidence,
        normalized_margin: r.normalized_margin,
        reason: reason(&r, ids, given, p(given), p_suggested),
        detectors: r.detectors,
        neighbours: r
            .neighbours
            .iter()
            .map(|&(row, similarity)| Neighbour { sample_id: labelled.ids[row as usize], similarity })
            .collect(),
        candidates: candidates
            .iter()
            .map(|&(c, p)| Candidate { class: ids[c as usize].clone(), p })
            .collect(),
        field_votes: field_votes(ids, output, i),
        cluster: small(r.cluster),
        issues,
    }
}

fn reason(r: &ScanRow, ids: &[Arc<str>], given: usize, p_given: f32, p_suggested: f32) -> Reason {
    Reason {
        given: ids[given].to_string(),
        suggested: ids[r.suggested].to_string(),
        p_given,
        p_suggested,
        neighbours_agree: r.neighbours_agree,
        neighbours_suggested: r.neighbours_suggested,
        neighbours: r.n_neighbours,
        cluster_share: r.cluster_share,
        cluster_class: ids[r.cluster_class].to_string(),
        cross_parent: r.cross_parent,
    }
}

/// The likeliest class of each field that the sample has, the given one included.
fn field_votes(ids: &[Arc<str>], output: &ScanOutput<'_>, i: usize) -> Vec<(Field, Candidate)> {
    let votes = output.fields.iter().flat_map(|report| &report.votes);
    votes
        .filter_map(|of| {
            let class = ids[of.best[i]? as usize].clone();
            Some((Field::parse(&of.name)?, Candidate { class, p: of.p_best[i] }))
        })
        .collect()
}
