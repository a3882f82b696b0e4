//! Labels are assertions "this sample is class c" by a source at a time: append-only, never
//! updated or deleted. The current label is derived by precedence, then by recency.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who asserted a label. Precedence (highest first):
/// adjudicated > consensus > annotator > rule > import. A model's assertion never overrides one of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LabelSource {
    Import,
    Rule,
    Annotator,
    Consensus,
    Adjudicated,
    Model,
}

impl LabelSource {
    pub const ALL: [LabelSource; 6] =
        [Self::Import, Self::Rule, Self::Annotator, Self::Consensus, Self::Adjudicated, Self::Model];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Rule => "rule",
            Self::Annotator => "annotator",
            Self::Consensus => "consensus",
            Self::Adjudicated => "adjudicated",
            Self::Model => "model",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }

    /// Higher wins. The database derives the current label with the same numbers
    /// (function `label_precedence` in the migrations); a test holds the two together.
    pub fn precedence(self) -> i16 {
        match self {
            Self::Model => 0,
            Self::Import => 1,
            Self::Rule => 2,
            Self::Annotator => 3,
            Self::Consensus => 4,
            Self::Adjudicated => 5,
        }
    }
}

/// Content address of a snapshot: sha256 in lower-case hexadecimal of its canonical rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct SnapshotId(pub String);

impl SnapshotId {
    /// First twelve digits, enough for people.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}
