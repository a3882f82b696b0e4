//! What is decided on many samples at once.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One decision on every sample of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BulkAction {
    /// The current label is right: a person vouches for it.
    Keep,
    /// Given a class.
    Relabel,
    /// Left out of snapshots, hence of scans, trainings and exports.
    Exclude,
}

impl BulkAction {
    pub const ALL: [BulkAction; 3] = [Self::Keep, Self::Relabel, Self::Exclude];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Relabel => "relabel",
            Self::Exclude => "exclude",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// How a map's points were placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MapMethod {
    /// Neighbours stay neighbours (UMAP).
    Umap,
    /// The two directions of greatest variance.
    Pca,
}

impl MapMethod {
    pub const ALL: [MapMethod; 2] = [Self::Umap, Self::Pca];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Umap => "umap",
            Self::Pca => "pca",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}
