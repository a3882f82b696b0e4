//! Rules as users see them: what a rule does, and where a run of it stands.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobState;

/// What is done with the samples that a rule selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleAction {
    /// Marked, for people to look at.
    Flag,
    /// Given another class, unless people have labelled them.
    Relabel,
    /// Left out of snapshots, hence of scans, trainings and exports.
    Exclude,
}

impl RuleAction {
    pub const ALL: [RuleAction; 3] = [Self::Flag, Self::Relabel, Self::Exclude];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::Relabel => "relabel",
            Self::Exclude => "exclude",
        }
    }

    pub fn parse(s: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == s)
    }
}

/// Life of a run: waiting -> running -> applied -> undone, or one of the two ways to end without a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    Queued,
    Running,
    Failed,
    Cancelled,
    /// What it did stands.
    Applied,
    /// What it did was taken back.
    Undone,
}

impl RunState {
    pub const ALL: [RunState; 6] =
        [Self::Queued, Self::Running, Self::Failed, Self::Cancelled, Self::Applied, Self::Undone];

    /// From what the run itself says and, until it has been applied, its job. A job that has succeeded has
    /// applied its run in the same transaction or earlier.
    pub fn of(applied: bool, undone: bool, job: JobState) -> Self {
        match (applied, undone, job) {
            (true, true, _) => Self::Undone,
            (true, false, _) | (false, _, JobState::Succeeded) => Self::Applied,
            (false, _, JobState::Queued) => Self::Queued,
            (false, _, JobState::Running) => Self::Running,
            (false, _, JobState::Failed) => Self::Failed,
            (false, _, JobState::Cancelled) => Self::Cancelled,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Applied => "applied",
            Self::Undone => "undone",
        }
    }
}
