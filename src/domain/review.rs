//! One person's decision on one sample.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a reviewer may say. Keep and relabel add a label event; the others leave the labels alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// The current label is right.
    Keep,
    /// The sample belongs to the class with this id (a leaf of the taxonomy).
    Relabel {
        class: String,
    },
    /// Someone else should look.
    Unsure,
    /// Several classes fit.
    Ambiguous {
        classes: Vec<String>,
    },
    OutOfTaxonomy,
    BadMedia,
    /// The sample is left out of snapshots, scans, trainings and exports.
    Exclude,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecisionError {
    #[error("relabel needs a class")]
    ClassMissing,
    #[error("ambiguous needs at least two different classes")]
    TooFewClasses,
    #[error("{0} takes no class")]
    ClassNotTaken(&'static str),
    #[error(
        "unknown decision {0:?}: one of keep, relabel, unsure, ambiguous, out_of_taxonomy, bad_media, exclude"
    )]
    Unknown(String),
}

impl Decision {
    /// The only way from what came over the wire to a decision.
    pub fn parse(kind: &str, class: Option<String>, classes: Vec<String>) -> Result<Self, DecisionError> {
        let class = class.filter(|c| !c.is_empty());
        let plain = |d: Decision, name| {
            if class.is_none() && classes.is_empty() {
                Ok(d)
            } else {
                Err(DecisionError::ClassNotTaken(name))
            }
        };
        match kind {
            "keep" => plain(Self::Keep, "keep"),
            "unsure" => plain(Self::Unsure, "unsure"),
            "out_of_taxonomy" => plain(Self::OutOfTaxonomy, "out_of_taxonomy"),
            "bad_media" => plain(Self::BadMedia, "bad_media"),
            "exclude" => plain(Self::Exclude, "exclude"),
            "relabel" => class.map(|class| Self::Relabel { class }).ok_or(DecisionError::ClassMissing),
            "ambiguous" => {
                let mut classes = classes;
                classes.sort();
                classes.dedup();
                if classes.len() < 2 {
                    Err(DecisionError::TooFewClasses)
                } else {
                    Ok(Self::Ambiguous { classes })
                }
            }
            other => Err(DecisionError::Unknown(other.to_owned())),
        }
    }

    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Relabel { .. } => "relabel",
            Self::Unsure => "unsure",
            Self::Ambiguous { .. } => "ambiguous",
            Self::OutOfTaxonomy => "out_of_taxonomy",
            Self::BadMedia => "bad_media",
            Self::Exclude => "exclude",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_parse_or_say_why_not() {
        assert_eq!(Decision::parse("keep", None, vec![]), Ok(Decision::Keep));
        assert_eq!(
            Decision::parse("keep", Some("a".into()), vec![]),
            Err(DecisionError::ClassNotTaken("keep"))
        );
        assert_eq!(Decision::parse("relabel", None, vec![]), Err(DecisionError::ClassMissing));
        assert_eq!(Decision::parse("relabel", Some(String::new()), vec![]), Err(DecisionError::ClassMissing));
        assert_eq!(
            Decision::parse("ambiguous", None, vec!["a".into(), "a".into()]),
            Err(DecisionError::TooFewClasses)
        );
        assert!(matches!(Decision::parse("maybe", None, vec![]), Err(DecisionError::Unknown(_))));
    }
}
