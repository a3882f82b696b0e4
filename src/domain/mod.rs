//! Plain types and rules; no I/O. Every other room may know this one, it knows nobody.

pub mod access;
pub mod bad_case;
pub mod bulk;
pub mod diff;
pub mod finding;
pub mod health;
pub mod issue;
pub mod job;
pub mod label;
pub mod ledger;
pub mod markdown;
pub mod note;
pub mod pace;
pub mod policy;
pub mod review;
pub mod rule;
pub mod sample;
pub mod taxonomy;

pub use access::{Refusal, Right, Role, Scope, Viewer};
pub use bad_case::{BadCase, BadCases, CaseCount};
pub use bulk::{BulkAction, MapMethod};
pub use finding::{Candidate, Detector, FieldVotes, Finding, Neighbour, Reason};
pub use health::Health;
pub use issue::{Issue, IssueKind, LabelCount, RankedIssue, TextProblem};
pub use job::{JobKind, JobState};
pub use label::{LabelSource, SnapshotId};
pub use ledger::{Change, Gain, Over, Step};
pub use markdown::SafeHtml;
pub use note::Note;
pub use policy::{DoubleCheck, Policy, PolicyError, PolicyForm, Purpose};
pub use review::{Decision, DecisionError};
pub use rule::{RuleAction, RunState};
pub use sample::{Field, Gap, MediaState, OcrLine, SampleText, Split};
pub use taxonomy::{Node, Taxonomy, TaxonomyError};
