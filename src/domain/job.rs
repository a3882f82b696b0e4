//! Background work as users see it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a job does. One file in `jobs/` for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobKind {
    Import,
    Encode,
    Scan,
    Train,
    Export,
    Rule,
    /// Learns the order of a scan's findings from reviews.
    Rerank,
    /// One decision on many samples, or its undoing.
    Bulk,
    /// Places the samples on a plane by their embeddings.
    Map,
    /// Switches a recipe's options one by one and writes the ledger.
    Ablate,
    /// Puts a training and its encoders into one file.
    Bundle,
}

impl JobKind {
    pub const ALL: [JobKind; 11] = [
        Self::Import,
        Self::Encode,
        Self::Scan,
        Self::Train,
        Self::Export,
        Self::Rule,
        Self::Rerank,
        Self::Bulk,
        Self::Map,
        Self::Ablate,
        Self::Bundle,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Encode => "encode",
            Self::Scan => "scan",
            Self::Train => "train",
            Self::Export => "export",
            Self::Rule => "rule",
            Self::Rerank => "rerank",
            Self::Bulk => "bulk",
            Self::Map => "map",
            Self::Ablate => "ablate",
            Self::Bundle => "bundle",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Life of a job: queued -> running -> one of the three ended states.
/// A crash sends it back to queued until it has been started three times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

impl JobState {
    pub const ALL: [JobState; 5] =
        [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }

    /// No further change will come.
    pub fn is_ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}
