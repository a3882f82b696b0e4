//! The fields that rules of the service may speak of: of the sample, of its labels, and of the latest scan.

use std::collections::BTreeSet;

use crate::detect::rules::{FieldType, Rule, Schema};
use crate::domain::Taxonomy;

/// One field, as the help of the rules page shows it; `rule_field.{name}` of the catalogues says what it is.
#[derive(Clone, Copy, Debug)]
pub struct RuleField {
    pub name: &'static str,
    /// `text`, `number` or `flag`.
    pub kind: &'static str,
    pub example: &'static str,
    pub(super) what: What,
}

/// Where a field's value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    ExternalId,
    Title,
    Asr,
    Ocr,
    Split,
    MediaState,
    DurationMs,
    Width,
    Height,
    Fps,
    Label,
    GivenLabel,
    Level1,
    LabelSource,
    LabelAuthor,
    Review,
    Excluded,
    FlaggedByRule,
    Suspicion,
    Rank,
    Flagged,
    SuggestedLabel,
    SuggestedP,
    SelfConfidence,
    NormalizedMargin,
    Detectors,
    NeighboursAgree,
    NeighboursSuggested,
    Cluster,
    ClusterShare,
    ClusterLabel,
    CrossParent,
    /// A column of the scan's file of scores, of the field's own name.
    Score,
}

const fn field(what: What, name: &'static str, kind: &'static str, example: &'static str) -> RuleField {
    RuleField { name, kind, example, what }
}

/// All of them, in the order of the help. A field of the scan has no value where there is no scan, or where
/// the sample was not part of it.
pub const FIELDS: [RuleField; 43] = [
    field(What::ExternalId, "external_id", "text", "external_id ~ /^raw_/"),
    field(What::Title, "title", "text", "lower(title) contains \"makeup\""),
    field(What::Asr, "asr", "text", "missing(asr)"),
    field(What::Ocr, "ocr", "text", "ocr ~ /(?i)subscribe/"),
    field(What::Split, "split", "text", "split in (\"train\", \"validation\")"),
    field(What::Label, "label", "text", "label = \"sport\""),
    field(What::GivenLabel, "given_label", "text", "given_label != label"),
    field(What::Level1, "level1", "text", "level1 = \"street\""),
    field(What::LabelSource, "label_source", "text", "label_source = \"import\""),
    field(What::LabelAuthor, "label_author", "text", "label_author = \"li\""),
    field(What::Review, "review", "text", "review = \"unsure\""),
    field(What::MediaState, "media_state", "text", "media_state = \"bad\""),
    field(What::DurationMs, "duration_ms", "number", "duration_ms < 2000"),
    field(What::Width, "width", "number", "width < 320"),
    field(What::Height, "height", "number", "height > width"),
    field(What::Fps, "fps", "number", "fps < 10"),
    field(What::Excluded, "excluded", "flag", "not excluded"),
    field(What::FlaggedByRule, "flagged_by_rule", "flag", "flagged_by_rule"),
    field(What::Suspicion, "suspicion", "number", "suspicion > 0.8"),
    field(What::Rank, "rank", "number", "rank <= 100"),
    field(What::Flagged, "flagged", "flag", "flagged"),
    field(What::SuggestedLabel, "suggested_label", "text", "suggested_label = \"beauty\""),
    field(What::SuggestedP, "suggested_p", "number", "suggested_p > 0.9"),
    field(What::SelfConfidence, "self_confidence", "number", "self_confidence < 0.05"),
    field(What::NormalizedMargin, "normalized_margin", "number", "normalized_margin < -0.8"),
    field(What::Detectors, "detectors", "number", "detectors >= 2"),
    field(What::NeighboursAgree, "neighbours_agree", "number", "neighbours_agree < 0.2"),
    field(What::NeighboursSuggested, "neighbours_suggested", "number", "neighbours_suggested > 0.7"),
    field(What::Cluster, "cluster", "number", "cluster in (3, 7)"),
    field(What::ClusterShare, "cluster_share", "number", "cluster_share < 0.1"),
    field(What::ClusterLabel, "cluster_label", "text", "cluster_label != label"),
    field(What::CrossParent, "cross_parent", "flag", "cross_parent"),
    field(What::Score, "log_margin", "number", "log_margin > 2"),
    field(What::Score, "level1_self_confidence", "number", "level1_self_confidence < 0.1"),
    field(What::Score, "level1_log_margin", "number", "level1_log_margin > 2"),
    field(What::Score, "within_self_confidence", "number", "within_self_confidence < 0.1"),
    field(What::Score, "within_log_margin", "number", "within_log_margin > 2"),
    field(What::Score, "outlier_score", "number", "outlier_score < 0.1"),
    field(What::Score, "is_outlier_issue", "flag", "is_outlier_issue"),
    field(What::Score, "near_duplicate_group", "number", "not missing(near_duplicate_group)"),
    field(What::Score, "near_duplicate_score", "number", "near_duplicate_score < 0.05"),
    field(What::Score, "fields_against", "number", "fields_against >= 2"),
    field(What::Score, "odd_field", "text", "odd_field = \"title\""),
];

/// The schema of rules over samples with labels of this taxonomy; field i is `FIELDS[i]`.
pub(super) fn schema(taxonomy: Taxonomy) -> Schema {
    let kind = |f: &RuleField| match f.kind {
        "number" => FieldType::Number,
        "flag" => FieldType::Flag,
        _ => FieldType::Text,
    };
    Schema::new(FIELDS.iter().map(|f| (f.name, kind(f)))).with_taxonomy(taxonomy)
}

/// What a rule needs to be read for it.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) title: bool,
    pub(super) asr: bool,
    pub(super) ocr: bool,
    pub(super) finding: bool,
    /// Columns of the scan's file of scores.
    pub(super) scores: Vec<&'static str>,
}

pub(super) fn used(rule: &Rule) -> Used {
    let fields: Vec<&RuleField> = rule.fields().into_iter().filter_map(|i| FIELDS.get(i)).collect();
    let what: BTreeSet<What> = fields.iter().map(|f| f.what).collect();
    Used {
        title: what.contains(&What::Title),
        asr: what.contains(&What::Asr),
        ocr: what.contains(&What::Ocr),
        finding: what.iter().any(|w| *w >= What::Suspicion && *w < What::Score),
        scores: fields.iter().filter(|f| f.what == What::Score).map(|f| f.name).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::rules::parse_rule;
    use crate::domain::Node;

    #[test]
    fn every_example_is_a_rule_that_reads_its_field() {
        let node = |id: &str, parent: Option<&str>| Node {
            id: id.into(),
            names: Default::default(),
            parent: parent.map(Into::into),
        };
        let taxonomy = Taxonomy::new(vec![node("street", None), node("a", None)]).unwrap();
        let schema = schema(taxonomy);
        for (i, f) in FIELDS.iter().enumerate() {
            let rule = parse_rule(&format!("flag when {}", f.example), "r", &schema);
            let rule = rule.unwrap_or_else(|e| panic!("{}: {e}", f.name));
            assert!(rule.fields().contains(&i), "{}", f.name);
            let used = used(&rule);
            assert_eq!(used.scores == [f.name], f.what == What::Score, "{}", f.name);
        }
    }
}
