//! What a scan says of a dataset as a whole, and of its groups of similar samples. Classes are taxonomy ids,
//! shares in [0, 1].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Field, IssueKind, LabelCount, TextProblem};

/// Everything but the estimates of label noise, which are the scan's noise report.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// Samples with each kind of issue, every kind.
    pub issues: Vec<IssueCount>,
    /// Flagged labels whose suggestion lies under another level-1 node, and under the same.
    pub cross_parent: u64,
    pub within_parent: u64,
    /// Level-1 nodes, the largest share of flagged samples first; none where the taxonomy has one level.
    pub parents: Vec<ParentHealth>,
    /// Level 1 first, then the classes; one entry where the taxonomy has one level.
    pub balance: Vec<LevelBalance>,
    /// Clusters on which the label is believed far less than elsewhere, worst first.
    pub groups: Vec<GroupHealth>,
    /// Properties that have no business telling the class, strongest first.
    pub properties: Vec<PropertyHealth>,
    pub order: Option<OrderHealth>,
    pub duplicates: Option<DuplicateHealth>,
    pub fields: Vec<FieldHealth>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssueCount {
    pub kind: IssueKind,
    pub n: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParentHealth {
    pub node: String,
    pub n: u64,
    pub flagged: u64,
    /// Of these, thought to belong under another level-1 node.
    pub cross_parent: u64,
}

/// Sizes of the classes, or of the level-1 nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LevelBalance {
    /// Largest first.
    pub sizes: Vec<LabelCount>,
    /// Fewer than a tenth of an even share, rarest first.
    pub rare: Vec<String>,
    /// So many even classes would be as varied: exp(entropy).
    pub even_classes: f64,
    /// Largest class / smallest class that has samples.
    pub ratio: f64,
    /// Share of the samples in the smallest third of the classes.
    pub tail: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupHealth {
    pub cluster: i32,
    pub n: u64,
    /// Mean probability of the given label, and that over all groups.
    pub mean: f64,
    pub overall: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Property {
    Duration,
    /// Pixels of a frame.
    Resolution,
    FrameRate,
    /// Mean luma of the frames.
    Brightness,
    TitleLength,
    AsrLength,
    OcrLength,
}

impl Property {
    pub const ALL: [Property; 7] = [
        Self::Duration,
        Self::Resolution,
        Self::FrameRate,
        Self::Brightness,
        Self::TitleLength,
        Self::AsrLength,
        Self::OcrLength,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Resolution => "resolution",
            Self::FrameRate => "frame_rate",
            Self::Brightness => "brightness",
            Self::TitleLength => "title_length",
            Self::AsrLength => "asr_length",
            Self::OcrLength => "ocr_length",
        }
    }
}

/// How well the class can be told by one property alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PropertyHealth {
    pub property: Property,
    /// 0 = no better than chance, 1 = it gives the class away.
    pub score: f64,
    /// Mean over the classes of the share recognised, and what guessing reaches.
    pub accuracy: f64,
    pub chance: f64,
    /// Samples whose value is known.
    pub known: u64,
    /// Classes that it tells best, with the share recognised; at most three.
    pub told: Vec<ToldClass>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToldClass {
    pub class: String,
    pub share: f64,
}

/// Whether samples that stand together (by id) are more alike than others.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrderHealth {
    pub p_value: f64,
    /// Largest difference between the two distributions of distances, in [0, 1].
    pub statistic: f64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DuplicateHealth {
    pub groups: u64,
    /// Samples in them, and of these exact copies of another.
    pub samples: u64,
    pub exact: u64,
    /// Groups with different labels.
    pub conflicts: u64,
}

/// One text field of the scanned samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FieldHealth {
    pub field: Field,
    /// Samples that lack it.
    pub missing: u64,
    /// Few lack it, so that each that does counts as an issue.
    pub missing_is_issue: bool,
    /// Texts with each problem, every problem.
    pub problems: Vec<ProblemCount>,
    /// Texts that speak of another class than everything else.
    pub odd: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemCount {
    pub problem: TextProblem,
    pub n: u64,
}

/// A group of similar samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    pub cluster: i32,
    pub n: i64,
    /// What its texts are about: frequent there and rare elsewhere, most telling first.
    pub words: Vec<String>,
    /// The most frequent label.
    pub class: String,
    /// Share of the samples that carry it.
    pub purity: f32,
    /// Samples with other labels.
    pub minority: i64,
    /// These labels, most frequent first, at most [`Cluster::LISTED_LABELS`].
    pub labels: Vec<LabelCount>,
    /// The label is believed far less than in other clusters.
    pub underperforms: bool,
}

impl Cluster {
    pub const LISTED_LABELS: usize = 6;
    /// Words that name a cluster.
    pub const WORDS: usize = 6;
}
