//! Causes of a model's errors, and how many errors of a training each explains.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// The categories, the one that explains most first: the first that holds is a case's main one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BadCase {
    /// A reviewer said that no class fits, or it lies far from all samples and the model is unsure.
    OutOfTaxonomy,
    /// The scan thinks the label wrong, and the model says what the scan suggests.
    LabelError,
    /// A near-duplicate of it is in another part of the data, with another label.
    NearDuplicateAcrossSplit,
    /// A field is missing that most samples have.
    MissingModality,
    /// A text that says nothing: repetition, letters in no order, symbols.
    TextNoise,
    /// The title speaks of another class than the other fields.
    TitleMismatch,
    /// The two classes are taken for each other again and again, or the model all but wavers between them.
    AmbiguousPair,
    /// The class is among the smallest third.
    TailClass,
}

impl BadCase {
    pub const ALL: [Self; 8] = [
        Self::OutOfTaxonomy,
        Self::LabelError,
        Self::NearDuplicateAcrossSplit,
        Self::MissingModality,
        Self::TextNoise,
        Self::TitleMismatch,
        Self::AmbiguousPair,
        Self::TailClass,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::OutOfTaxonomy => "out_of_taxonomy",
            Self::LabelError => "label_error",
            Self::NearDuplicateAcrossSplit => "near_duplicate_across_split",
            Self::MissingModality => "missing_modality",
            Self::TextNoise => "text_noise",
            Self::TitleMismatch => "title_mismatch",
            Self::AmbiguousPair => "ambiguous_pair",
            Self::TailClass => "tail_class",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Errors of one cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CaseCount {
    pub case: BadCase,
    /// Errors of which it explains most, and those that it explains at all.
    pub main: u64,
    pub any: u64,
    /// The latter, as a selection of the dataset.
    pub selection: Option<Uuid>,
}

/// The errors of a training by cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BadCases {
    /// Samples that it was measured on, and those that it got wrong.
    pub n: u64,
    pub errors: u64,
    /// Errors that nothing known explains.
    pub unexplained: u64,
    /// Every cause once.
    pub causes: Vec<CaseCount>,
}
