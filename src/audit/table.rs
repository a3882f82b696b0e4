//! One row a sample, in input order: what `issues.parquet` and `issues.csv` hold. Columns come in pairs as
//! cleanlab has them, `is_<type>_issue` and a score that is low where the issue is.

use std::io::Write;

use super::engine::Audit;
use super::input::Input;
use super::rules::RuleFindings;
use super::texts::{TextFindings, Texts};
use crate::detect::prototype_margin::PrototypeMargins;
use crate::detect::quality::Quality;
use crate::domain::Detector;
use crate::exchange::columnar::Column;

/// Marks a sample without a group or cluster.
const NO_GROUP: i32 = -1;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Class,
    Number,
    Flag,
}

/// The columns that [`columns`] and [`text_columns`] will give for this input, known before the work.
pub fn known(input: &Input, texts: bool) -> Vec<(&'static str, Kind)> {
    use Kind::{Class, Flag, Number, Text};
    let mut out = vec![
        ("id", Text),
        ("given_label", Class),
        ("rank", Number),
        ("suspicion", Number),
        ("is_label_issue", Flag),
        ("label_quality", Number),
        ("suggested_label", Class),
        ("reason", Text),
        ("detectors", Text),
        ("review_priority", Number),
        ("p_given", Number),
        ("p_suggested", Number),
        (Quality::SelfConfidence.as_str(), Number),
        (Quality::NormalizedMargin.as_str(), Number),
        (Quality::LogMargin.as_str(), Number),
        ("is_cross_parent", Flag),
        ("level1_self_confidence", Number),
        ("within_parent_self_confidence", Number),
    ];
    if !input.features.is_empty() {
        out.extend([
            ("is_near_duplicate_issue", Flag),
            ("near_duplicate_score", Number),
            ("near_duplicate_group", Number),
            ("is_near_duplicate_conflict", Flag),
            ("is_outlier_issue", Flag),
            ("outlier_score", Number),
            ("neighbour_agreement", Number),
            ("prototype_margin", Number),
            ("prototype_p_clean", Number),
            ("prototype_state", Text),
            ("fine_alignment", Number),
            ("fine_p_clean", Number),
            ("simifeat_quality", Number),
            ("is_simifeat_vote_issue", Flag),
            ("is_simifeat_rank_issue", Flag),
            ("cluster", Number),
            ("non_iid_score", Number),
        ]);
        if input.features.len() > 1 {
            out.extend([
                ("field_votes", Text),
                ("fields_against", Number),
                ("is_field_issue", Flag),
                ("odd_field", Text),
            ]);
        }
        out.extend([
            ("aum", Number),
            ("training_confidence", Number),
            ("training_variability", Number),
            ("forgetting", Number),
            ("el2n", Number),
        ]);
    }
    if texts {
        out.extend([
            ("is_text_issue", Flag),
            ("text_quality", Number),
            ("text_reason", Text),
            ("missing_fields", Text),
        ]);
    }
    out
}

/// The columns; `reasons` (N) in the reader's language.
pub fn columns(input: &Input, audit: &Audit<'_>, reasons: Vec<String>) -> Vec<(&'static str, Column)> {
    let scan = &audit.scan;
    let n = scan.len();
    let class = |of: &dyn Fn(usize) -> u32| {
        if input.numbered && input.taxonomy.depth() == 1 {
            return Column::I64((0..n).map(|i| i64::from(of(i))).collect());
        }
        Column::Utf8((0..n).map(|i| input.taxonomy.class_id(of(i) as usize).to_owned()).collect())
    };
    let detectors = |i: usize| {
        let names: Vec<&str> = scan.detectors(i).into_iter().map(Detector::as_str).collect();
        names.join(" ")
    };
    let f32s = |values: &[f32]| Column::F32(values.to_vec());
    let mut out = vec![
        ("id", Column::Utf8((0..n).map(|i| input.id(i)).collect())),
        ("given_label", class(&|i| input.labels[i])),
        (
            "rank",
            Column::I32(scan.fused.rank.iter().map(|&r| i32::try_from(r).unwrap_or(i32::MAX)).collect()),
        ),
        ("suspicion", f32s(&scan.fused.suspicion)),
        ("is_label_issue", Column::Bool((0..n).map(|i| scan.flagged(i)).collect())),
        ("label_quality", Column::F32(scan.fused.suspicion.iter().map(|s| 1.0 - s).collect())),
        ("suggested_label", class(&|i| scan.fused.suggested[i])),
        ("reason", Column::Utf8(reasons)),
        ("detectors", Column::Utf8((0..n).map(detectors).collect())),
        ("review_priority", f32s(&audit.priority)),
        ("p_given", f32s(&scan.fused.p_given)),
        ("p_suggested", f32s(&scan.fused.p_suggested)),
        (Quality::SelfConfidence.as_str(), f32s(&scan.self_confidence)),
        (Quality::NormalizedMargin.as_str(), f32s(&scan.normalized_margin)),
        // higher = better, as the other scores
        (Quality::LogMargin.as_str(), Column::F32(scan.log_margin.iter().map(|m| -m).collect())),
        ("is_cross_parent", Column::Bool((0..n).map(|i| scan.cross_parent(i)).collect())),
        ("level1_self_confidence", f32s(&scan.levels.level1_self_confidence)),
        ("within_parent_self_confidence", f32s(&scan.levels.within_self_confidence)),
    ];
    if let (Some(space), Some(places)) = (&scan.space, scan.places) {
        let state =
            |of: &PrototypeMargins| of.state.iter().map(|s| s.as_str().to_owned()).collect::<Vec<_>>();
        let group = |g: &Option<u32>| g.map_or(NO_GROUP, |g| i32::try_from(g).unwrap_or(i32::MAX));
        let duplicates = &places.duplicates;
        out.extend([
            ("is_near_duplicate_issue", Column::Bool(duplicates.group.iter().map(Option::is_some).collect())),
            ("near_duplicate_score", f32s(&duplicates.score)),
            ("near_duplicate_group", Column::I32(duplicates.group.iter().map(group).collect())),
            ("is_near_duplicate_conflict", Column::Bool(space.conflicting.clone())),
            ("is_outlier_issue", Column::Bool(places.outliers.is_outlier.clone())),
            ("outlier_score", f32s(&places.outliers.score)),
            ("neighbour_agreement", f32s(&space.agreement)),
            ("prototype_margin", f32s(&space.prototypes.margin)),
            ("prototype_p_clean", Column::F32(space.prototypes.p_wrong.iter().map(|p| 1.0 - p).collect())),
            ("prototype_state", Column::Utf8(state(&space.prototypes))),
            ("fine_alignment", f32s(&space.fine.alignment)),
            ("fine_p_clean", f32s(&space.fine.p_clean)),
            ("simifeat_quality", f32s(&space.simifeat.quality)),
            ("is_simifeat_vote_issue", Column::Bool(space.simifeat.outvoted.clone())),
            ("is_simifeat_rank_issue", Column::Bool(space.simifeat.low_ranked.clone())),
            (
                "cluster",
                Column::I32(places.clusters.iter().map(|&c| i32::try_from(c).unwrap_or(i32::MAX)).collect()),
            ),
            ("non_iid_score", f32s(&places.non_iid.score)),
        ]);
    }
    if let Some(report) = &scan.fields {
        let name = |f: usize| report.votes[f].name.as_str();
        let votes = |i: usize| {
            let of = |f: &crate::detect::fields::FieldVotes| {
                let class = f.best[i].map_or("-", |c| input.taxonomy.class_id(c as usize));
                format!("{}={class}", f.name)
            };
            report.votes.iter().map(of).collect::<Vec<_>>().join(" ")
        };
        let odd = |i: usize| report.odd[i].map_or("", |f| name(usize::from(f))).to_owned();
        out.extend([
            ("field_votes", Column::Utf8((0..n).map(votes).collect())),
            ("fields_against", Column::I32(report.against.iter().map(|a| i32::from(*a)).collect())),
            ("is_field_issue", Column::Bool(report.odd.iter().map(Option::is_some).collect())),
            ("odd_field", Column::Utf8((0..n).map(odd).collect())),
        ]);
    }
    if let Some(d) = audit.dynamics {
        out.extend([
            ("aum", f32s(&d.aum)),
            ("training_confidence", f32s(&d.confidence)),
            ("training_variability", f32s(&d.variability)),
            ("forgetting", f32s(&d.forgetting)),
            ("el2n", f32s(&d.el2n)),
        ]);
    }
    out
}

/// What the texts add; `reasons` (N) in the reader's language, empty where nothing is wrong.
pub fn text_columns(
    texts: &Texts,
    found: &TextFindings,
    reasons: Vec<String>,
) -> Vec<(&'static str, Column)> {
    let missing = |of: &Vec<usize>| {
        let names: Vec<&str> = of.iter().map(|&c| texts.columns[c].0.as_str()).collect();
        names.join(" ")
    };
    vec![
        (
            "is_text_issue",
            Column::Bool((0..reasons.len()).map(|i| found.issues(i).next().is_some()).collect()),
        ),
        ("text_quality", Column::F32(found.quality.clone())),
        ("text_reason", Column::Utf8(reasons)),
        ("missing_fields", Column::Utf8(found.missing.iter().map(missing).collect())),
    ]
}

/// What the rules add; a cell without a class to give is empty.
pub fn rule_columns(found: &RuleFindings) -> Vec<(&'static str, Column)> {
    vec![
        ("is_rule_issue", Column::Bool(found.flagged.clone())),
        ("rules", Column::Utf8(found.names.clone())),
        ("rule_label", Column::Utf8(found.labels.iter().map(|l| l.clone().unwrap_or_default()).collect())),
        ("rule_exclude", Column::Bool(found.excluded.clone())),
    ]
}

/// Columns of equal length as CSV with a header; floats as short as they read back the same, NaN as an
/// empty cell, lists of numbers not at all.
pub fn write_csv(out: impl Write, columns: &[(&str, Column)]) -> Result<(), csv::Error> {
    let mut writer = csv::Writer::from_writer(out);
    let shown: Vec<&(&str, Column)> =
        columns.iter().filter(|(_, c)| !matches!(c, Column::Matrix(_))).collect();
    writer.write_record(shown.iter().map(|(name, _)| *name))?;
    let rows = columns.first().map_or(0, |(_, c)| c.len());
    let mut cell = String::new();
    for i in 0..rows {
        for (_, column) in &shown {
            cell.clear();
            use std::fmt::Write as _;
            let _ = match column {
                Column::I64(v) => write!(cell, "{}", v[i]),
                Column::I32(v) => write!(cell, "{}", v[i]),
                Column::F32(v) if v[i].is_nan() => Ok(()),
                Column::F32(v) => write!(cell, "{}", v[i]),
                Column::Bool(v) => write!(cell, "{}", if v[i] { "True" } else { "False" }),
                Column::Utf8(v) => {
                    writer.write_field(&v[i])?;
                    continue;
                }
                Column::Matrix(_) => Ok(()),
            };
            writer.write_field(&cell)?;
        }
        writer.write_record(None::<&[u8]>)?;
    }
    writer.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use crate::audit::{AuditParams, Probabilities, audit, prepare};
    use crate::detect::value::Reviewer;
    use crate::domain::{Node, Taxonomy};

    /// Rules are read by what [`known`] says, long before the columns are there.
    #[test]
    fn what_is_known_before_is_what_comes() {
        let (n, k) = (90, 3);
        let node = |c: usize| Node { id: format!("c{c}"), names: Default::default(), parent: None };
        for fields in 0..3 {
            let feature = |f: usize| {
                let noise = gaussian_matrix(n, 4, &mut rng(f as u64));
                (
                    format!("f{f}"),
                    Array2::from_shape_fn((n, 4), |(i, j)| {
                        noise[[i, j]] + if i % k == j { 3.0 } else { 0.0 }
                    }),
                )
            };
            let p = Array2::from_shape_fn((n, k), |(i, c)| if i % k == c { 0.8 } else { 0.1f32 });
            let input = Input {
                ids: None,
                labels: (0..n).map(|i| (i % k) as u32).collect(),
                numbered: false,
                taxonomy: Taxonomy::new((0..k).map(node).collect()).unwrap(),
                probabilities: Some(Probabilities::Single(p)),
                features: (0..fields).map(feature).collect(),
                missing_classes: vec![],
            };
            let prepared = prepare(&input, &AuditParams::default(), &mut |_, _, _| true).unwrap();
            let roots = input.taxonomy.class_roots();
            let reviewer = Reviewer { corrects: 1.0, keeps: 1.0 };
            let audit = audit(&input, &prepared, &roots, reviewer, &mut |_, _, _| true).unwrap();
            let kind = |column: &Column| match column {
                Column::Utf8(_) => Kind::Text,
                Column::Bool(_) => Kind::Flag,
                _ => Kind::Number,
            };
            let come: Vec<(&str, Kind)> = columns(&input, &audit, vec![String::new(); n])
                .iter()
                .map(|(name, c)| (*name, kind(c)))
                .collect();
            // classes come as names here
            let known: Vec<(&str, Kind)> = known(&input, false)
                .into_iter()
                .map(|(name, kind)| (name, if kind == Kind::Class { Kind::Text } else { kind }))
                .collect();
            assert_eq!(come, known, "{fields} fields");
        }
    }

    #[test]
    fn csv_by_hand() {
        let columns = [
            ("id", Column::Utf8(vec!["a,b".into(), "\"c\"".into()])),
            ("x", Column::F32(vec![0.1, f32::NAN])),
            ("y", Column::Bool(vec![true, false])),
            ("z", Column::I32(vec![-1, 7])),
        ];
        let mut out = Vec::new();
        write_csv(&mut out, &columns).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "id,x,y,z\n\"a,b\",0.1,True,-1\n\"\"\"c\"\"\",,False,7\n");
    }
}
