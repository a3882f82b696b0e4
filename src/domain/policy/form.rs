//! A policy on its way in and out: the only way from what was sent to a [`Policy`].

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{DoubleCheck, GOLD_SHARE, Policy};

/// A policy as it is sent and stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"double_check": "keeps_share", "keeps_share": 0.1, "blind": true, "gold_rate": 0.02}))]
pub struct PolicyForm {
    /// `none`, `changes`, `keeps_share` (changes and a share of the confirmed labels) or `all`.
    pub double_check: String,
    /// With `keeps_share`: the share, in (0, 1).
    #[serde(default)]
    #[schema(minimum = 0, maximum = 1)]
    pub keeps_share: Option<f64>,
    /// A second look does not see what the first said.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub blind: bool,
    /// Nor, when it is blind, what the model says.
    #[serde(default)]
    pub hide_model: bool,
    /// Samples of known class slipped in unmarked, as a share of the others.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 0.5)]
    pub gold_rate: f64,
    /// Of the samples that two people agree on or an adjudication settles, the share that is gold: kept out of
    /// training, to measure by. The others are trained on.
    #[serde(default = "gold_share")]
    #[schema(default = 0.1, minimum = 0, maximum = 1)]
    pub gold_share: f64,
    /// Of what is drawn by chance.
    #[serde(default)]
    pub seed: i64,
}

fn gold_share() -> f64 {
    GOLD_SHARE
}

fn yes() -> bool {
    true
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    #[error("double_check is one of none, changes, keeps_share, all, not {0:?}")]
    Unknown(String),
    #[error("keeps_share must lie between 0 and 1, and goes with double_check = keeps_share only")]
    Share,
    #[error("gold_rate must lie in [0, 0.5]")]
    GoldRate,
    #[error("gold_share must lie in [0, 1]")]
    GoldShare,
}

impl PolicyError {
    /// The field to blame.
    pub fn field(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "double_check",
            Self::Share => "keeps_share",
            Self::GoldRate => "gold_rate",
            Self::GoldShare => "gold_share",
        }
    }
}

impl TryFrom<&PolicyForm> for Policy {
    type Error = PolicyError;

    fn try_from(form: &PolicyForm) -> Result<Self, PolicyError> {
        let double_check = match (form.double_check.as_str(), form.keeps_share) {
            ("keeps_share", Some(share)) if share > 0.0 && share < 1.0 => DoubleCheck::KeepsShare(share),
            ("keeps_share", _) | (_, Some(_)) => return Err(PolicyError::Share),
            ("none", None) => DoubleCheck::None,
            ("changes", None) => DoubleCheck::Changes,
            ("all", None) => DoubleCheck::All,
            (other, None) => return Err(PolicyError::Unknown(other.to_owned())),
        };
        if !(0.0..=0.5).contains(&form.gold_rate) {
            return Err(PolicyError::GoldRate);
        }
        if !(0.0..=1.0).contains(&form.gold_share) {
            return Err(PolicyError::GoldShare);
        }
        Ok(Self {
            double_check,
            blind: form.blind,
            hide_model: form.hide_model,
            gold_rate: form.gold_rate,
            gold_share: form.gold_share,
            seed: form.seed,
        })
    }
}

impl From<&Policy> for PolicyForm {
    fn from(p: &Policy) -> Self {
        let (double_check, keeps_share) = match p.double_check {
            DoubleCheck::None => ("none", None),
            DoubleCheck::Changes => ("changes", None),
            DoubleCheck::KeepsShare(share) => ("keeps_share", Some(share)),
            DoubleCheck::All => ("all", None),
        };
        Self {
            double_check: double_check.to_owned(),
            keeps_share,
            blind: p.blind,
            hide_model: p.hide_model,
            gold_rate: p.gold_rate,
            gold_share: p.gold_share,
            seed: p.seed,
        }
    }
}
