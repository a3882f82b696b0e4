//! What may be wrong with a sample, its label or anything else, with the facts that a person needs to check
//! it. `messages::issue` words them in the reader's language.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Field;

/// The kinds of issue that a scan tells apart; names as in the audit's `issues.csv` where it has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssueKind {
    /// The label is thought to be wrong: the finding is flagged.
    Label,
    /// Another sample is the same or nearly so, and carries another label.
    NearDuplicateConflict,
    /// One field speaks of another class than the label and the other fields.
    OddField,
    NearDuplicate,
    /// Far from every other sample.
    Outlier,
    /// A text that says nothing.
    TextQuality,
    /// A text is missing that few samples lack.
    MissingField,
    /// A clip unlike the others: very short, tiny, of an odd frame rate.
    Media,
}

impl IssueKind {
    pub const ALL: [IssueKind; 8] = [
        Self::Label,
        Self::NearDuplicateConflict,
        Self::OddField,
        Self::NearDuplicate,
        Self::Outlier,
        Self::TextQuality,
        Self::MissingField,
        Self::Media,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Label => "label",
            Self::NearDuplicateConflict => "near_duplicate_conflict",
            Self::OddField => "odd_field",
            Self::NearDuplicate => "near_duplicate",
            Self::Outlier => "outlier",
            Self::TextQuality => "text_quality",
            Self::MissingField => "missing_field",
            Self::Media => "media",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Samples with one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LabelCount {
    /// A class of the taxonomy.
    pub class: String,
    pub n: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TextProblem {
    /// Far fewer characters than usual in the field.
    Short,
    /// The same again and again.
    Repetition,
    /// Characters in an order that the other texts do not know.
    Gibberish,
    /// Mostly symbols and single letters.
    Symbols,
}

impl TextProblem {
    pub const ALL: [TextProblem; 4] = [Self::Repetition, Self::Gibberish, Self::Symbols, Self::Short];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Repetition => "repetition",
            Self::Gibberish => "gibberish",
            Self::Symbols => "symbols",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TextFault {
    pub field: Field,
    pub problem: TextProblem,
    /// How bad, in [0, 1]: the share repeated or made of symbols, how unknown the order of the characters is,
    /// how much shorter than the cut.
    pub share: f32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MediaProblem {
    /// Very short; in seconds.
    Short,
    /// A tiny picture; its shorter side in pixels.
    Tiny,
    /// Far fewer or more frames a second than the others.
    FrameRate,
}

impl MediaProblem {
    pub const ALL: [MediaProblem; 3] = [Self::Short, Self::Tiny, Self::FrameRate];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Tiny => "tiny",
            Self::FrameRate => "frame_rate",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MediaFault {
    pub problem: MediaProblem,
    /// In the unit of the problem, beside what is usual in the dataset (the median).
    pub value: f32,
    pub usual: f32,
}

/// One issue of a sample with its evidence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Issue {
    /// The evidence is the finding's reason.
    Label,
    NearDuplicateConflict {
        /// Near-duplicates with another label.
        n: u32,
        /// Their labels, most frequent first, at most [`Issue::LISTED_LABELS`].
        labels: Vec<LabelCount>,
        /// At most [`Issue::LISTED_SAMPLES`] of them.
        samples: Vec<i64>,
    },
    OddField {
        field: Field,
        /// What that field speaks of.
        class: String,
        /// The field's probability of it, by the field alone.
        p: f32,
    },
    NearDuplicate {
        /// Near-duplicates, whatever their label; the rest as in a conflict.
        n: u32,
        labels: Vec<LabelCount>,
        samples: Vec<i64>,
    },
    Outlier {
        /// Cosine similarity to the nearest other sample.
        nearest: f32,
    },
    TextQuality {
        faults: Vec<TextFault>,
    },
    MissingField {
        fields: Vec<Field>,
    },
    Media {
        faults: Vec<MediaFault>,
    },
}

impl Issue {
    /// Near-duplicates and labels of them that an issue lists; more are only counted.
    pub const LISTED_SAMPLES: usize = 12;
    pub const LISTED_LABELS: usize = 5;

    pub fn kind(&self) -> IssueKind {
        match self {
            Self::Label => IssueKind::Label,
            Self::NearDuplicateConflict { .. } => IssueKind::NearDuplicateConflict,
            Self::OddField { .. } => IssueKind::OddField,
            Self::NearDuplicate { .. } => IssueKind::NearDuplicate,
            Self::Outlier { .. } => IssueKind::Outlier,
            Self::TextQuality { .. } => IssueKind::TextQuality,
            Self::MissingField { .. } => IssueKind::MissingField,
            Self::Media { .. } => IssueKind::Media,
        }
    }

    /// The fields that it is about; none where it is about the whole sample.
    pub fn fields(&self) -> Vec<Field> {
        let mut fields = match self {
            Self::OddField { field, .. } => vec![*field],
            Self::TextQuality { faults } => faults.iter().map(|f| f.field).collect(),
            Self::MissingField { fields } => fields.clone(),
            _ => Vec::new(),
        };
        fields.dedup();
        fields
    }
}

/// An issue at its place among those of its kind.
#[derive(Clone, Debug, PartialEq)]
pub struct RankedIssue {
    /// 1 = worst of its kind in the scan.
    pub rank: i32,
    pub issue: Issue,
}
