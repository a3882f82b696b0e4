//! What a scan says of one sample, and why, in terms a person can check in five seconds.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Field, RankedIssue};

/// The detectors of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// log p(best other class) - log p(given), out of fold.
    LogMargin,
    /// Share of the k nearest neighbours whose label agrees with the given one.
    Neighbours,
    /// The given label is a minority in the sample's cluster.
    Cluster,
}

impl Detector {
    pub const ALL: [Detector; 3] = [Self::LogMargin, Self::Neighbours, Self::Cluster];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::LogMargin => "log_margin",
            Self::Neighbours => "neighbours",
            Self::Cluster => "cluster",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Facts behind the one-line reason; the pages and the command line word them in the reader's
/// language (`messages::reason`). Classes are taxonomy ids, probabilities and shares in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    pub given: String,
    pub suggested: String,
    /// Posteriors by all detectors together, other samples' labels only.
    pub p_given: f32,
    pub p_suggested: f32,
    /// Neighbours with the given label, out of `neighbours`.
    pub neighbours_agree: u16,
    /// Neighbours with the suggested label.
    pub neighbours_suggested: u16,
    pub neighbours: u16,
    /// Share of the sample's cluster that carries the given label, and the cluster's main label.
    pub cluster_share: f32,
    pub cluster_class: String,
    /// Given and suggested class lie under different level-1 nodes.
    pub cross_parent: bool,
}

/// A neighbour in the space of the joined, standardised fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Neighbour {
    pub sample_id: i64,
    /// Cosine similarity in [-1, 1].
    pub similarity: f32,
}

/// A class that a sample may be of, with its probability in [0, 1].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// Shared: a scan of a million samples names few classes.
    #[serde(with = "shared")]
    #[schema(value_type = String)]
    pub class: Arc<str>,
    pub p: f32,
}

impl Candidate {
    /// As many of each sample as there are digit keys to choose one with.
    pub const KEPT: usize = 9;
}

/// What each field says on its own; a field that is missing has no vote.
pub type FieldVotes = BTreeMap<Field, Candidate>;

mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(from).map(Arc::from)
    }
}

/// One sample as a scan ranked it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub sample_id: i64,
    /// 1 = most suspicious.
    pub rank: i32,
    /// Place in the order of review, from 1: by rank, with audits slipped in.
    pub place: i32,
    /// Number in the random draw of audits, from 1; see `detect::audits`.
    pub audit: Option<i32>,
    /// In [0, 1]; higher is worse.
    pub suspicion: f32,
    /// Among the worst as many as the scan estimates to be wrong (`detect::noise`).
    pub flagged: bool,
    pub given_class: String,
    pub suggested_class: String,
    pub suggested_p: f32,
    /// p(given label), out of fold.
    pub self_confidence: f32,
    pub normalized_margin: f32,
    /// Detectors that on their own would have flagged the sample.
    pub detectors: Vec<Detector>,
    pub reason: Reason,
    pub neighbours: Vec<Neighbour>,
    /// Likeliest first, at most [`Candidate::KEPT`], the given class among them.
    pub candidates: Vec<Candidate>,
    pub field_votes: Vec<(Field, Candidate)>,
    pub cluster: i32,
    /// At most one of each kind; `label` among them exactly when flagged.
    pub issues: Vec<RankedIssue>,
}
