//! Finds wrong labels: features, out-of-fold probabilities and given labels in, ranked rows and a
//! noise report out. Pure numerics: knows only `domain` and `arrays`; same input and seed, same bytes.
//!
//! Class `c` is column `c` everywhere; rows are samples. [`scan::scan`] is the composition.

pub mod annotators;
pub mod clusters;
pub mod confident;
pub mod error;
pub mod filters;
pub mod fusion;
pub mod hierarchy;
pub mod imbalance;
pub mod neighbours;
pub mod noise;
pub mod quality;
pub mod rules;
pub mod scan;
pub mod text_quality;
pub mod value;

pub use confident::Counted;
pub use error::DetectError;
pub use filters::{Filter, label_issues};
pub use neighbours::Neighbours;
pub use noise::NoiseReport;
pub use quality::Quality;
pub use scan::{ScanInput, ScanOutput, ScanParams, ScanRow, Stage, scan};
