//! Why a model got a sample wrong: categories by rules on what is known of it, so that a round's errors can be
//! counted, compared with the last round's, and reviewed by kind.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use crate::domain::BadCase;

/// A model less sure than this of its best class may well have met something it has no class for.
const UNSURE: f32 = 0.5;
/// Prediction and label closer than this in probability: the model all but wavers.
const WAVERS: f32 = 0.1;

/// What is known of a sample that was predicted wrong.
#[derive(Clone, Copy, Debug, Default)]
pub struct BadCaseEvidence {
    /// The label that the prediction was measured against, and the prediction.
    pub label: usize,
    pub predicted: usize,
    /// The model's probabilities of the two, in [0, 1].
    pub p_label: f32,
    pub p_predicted: f32,
    /// Somebody has verified the label: it is no label error.
    pub verified: bool,
    /// What the scan suggests, where it flagged the label.
    pub suggested: Option<usize>,
    /// A reviewer said that no class fits.
    pub judged_out_of_taxonomy: bool,
    /// Far from every other sample.
    pub outlier: bool,
    /// A near-duplicate in another split carries another label.
    pub duplicate_across_split: bool,
    /// Lacks a field that most samples have.
    pub missing_field: bool,
    /// A text of it says nothing.
    pub text_noise: bool,
    /// The title is the odd field.
    pub title_mismatch: bool,
    /// Label and prediction are on the list of overlapping pairs of classes, either way round.
    pub overlapping: bool,
    /// The label's class is among the smallest third.
    pub tail: bool,
}

/// All categories that hold for a sample, the main one first; empty for a right prediction, and for an error
/// that nothing known explains. O(1).
pub fn categories(e: &BadCaseEvidence) -> Vec<BadCase> {
    if e.label == e.predicted {
        return Vec::new();
    }
    let out_of_taxonomy = e.judged_out_of_taxonomy || e.outlier && e.p_predicted < UNSURE;
    let holds = |case| match case {
        BadCase::OutOfTaxonomy => out_of_taxonomy,
        BadCase::LabelError => !e.verified && e.suggested == Some(e.predicted),
        BadCase::NearDuplicateAcrossSplit => e.duplicate_across_split,
        BadCase::MissingModality => e.missing_field,
        BadCase::TextNoise => e.text_noise,
        BadCase::TitleMismatch => e.title_mismatch,
        BadCase::AmbiguousPair => e.overlapping || e.p_predicted - e.p_label < WAVERS,
        BadCase::TailClass => e.tail,
    };
    BadCase::ALL.into_iter().filter(|case| holds(*case)).collect()
}

/// How many errors have each category as their main one, and how many have it at all: in the order of
/// [`BadCase::ALL`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadCaseCounts {
    pub main: [u64; 8],
    pub any: [u64; 8],
    /// Errors that no category explains.
    pub unexplained: u64,
}

impl BadCaseCounts {
    /// Of the categories of every error. O(errors).
    pub fn of<'a>(errors: impl IntoIterator<Item = &'a [BadCase]>) -> Self {
        let mut counts = Self::default();
        for cases in errors {
            match cases.first() {
                Some(main) => counts.main[*main as usize] += 1,
                None => counts.unexplained += 1,
            }
            cases.iter().for_each(|case| counts.any[*case as usize] += 1);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> BadCaseEvidence {
        BadCaseEvidence { label: 0, predicted: 1, p_label: 0.1, p_predicted: 0.8, ..Default::default() }
    }

    #[test]
    fn each_category_by_its_rule() {
        use BadCase::{
            AmbiguousPair, LabelError, MissingModality, NearDuplicateAcrossSplit, OutOfTaxonomy, TailClass,
            TextNoise, TitleMismatch,
        };
        let e = error();
        for (evidence, want) in [
            (e, vec![]),
            (BadCaseEvidence { predicted: 0, tail: true, ..e }, vec![]),
            (BadCaseEvidence { judged_out_of_taxonomy: true, ..e }, vec![OutOfTaxonomy]),
            (BadCaseEvidence { outlier: true, ..e }, vec![]),
            (BadCaseEvidence { outlier: true, p_predicted: 0.4, ..e }, vec![OutOfTaxonomy]),
            (BadCaseEvidence { suggested: Some(1), ..e }, vec![LabelError]),
            (BadCaseEvidence { suggested: Some(2), ..e }, vec![]),
            (BadCaseEvidence { suggested: Some(1), verified: true, ..e }, vec![]),
            (BadCaseEvidence { duplicate_across_split: true, ..e }, vec![NearDuplicateAcrossSplit]),
            (BadCaseEvidence { missing_field: true, ..e }, vec![MissingModality]),
            (BadCaseEvidence { text_noise: true, ..e }, vec![TextNoise]),
            (BadCaseEvidence { title_mismatch: true, ..e }, vec![TitleMismatch]),
            (BadCaseEvidence { overlapping: true, ..e }, vec![AmbiguousPair]),
            (BadCaseEvidence { p_label: 0.4, p_predicted: 0.45, ..e }, vec![AmbiguousPair]),
            (BadCaseEvidence { tail: true, ..e }, vec![TailClass]),
            (
                BadCaseEvidence { tail: true, text_noise: true, suggested: Some(1), ..e },
                vec![LabelError, TextNoise, TailClass],
            ),
        ] {
            assert_eq!(categories(&evidence), want, "{evidence:?}");
        }
    }

    #[test]
    fn counts_and_names() {
        let errors = [vec![BadCase::LabelError, BadCase::TailClass], vec![BadCase::TailClass], vec![]];
        let c = BadCaseCounts::of(errors.iter().map(Vec::as_slice));
        assert_eq!((c.main[1], c.main[7], c.any[7], c.unexplained), (1, 1, 2, 1));
        for (i, case) in BadCase::ALL.into_iter().enumerate() {
            assert_eq!((case as usize, BadCase::parse(case.as_str())), (i, Some(case)));
            assert_eq!(serde_json::to_string(&case).unwrap(), format!("{:?}", case.as_str()));
        }
        assert_eq!(BadCase::parse("none"), None);
    }
}
