//! Finds wrong labels: features, out-of-fold probabilities and given labels in, ranked rows and a
//! noise report out. Pure numerics: knows only `domain` and `arrays`; same input and seed, same bytes.
//!
//! Class `c` is column `c` everywhere; rows are samples. [`Places`] are found first,
//! [`scan::scan`] judges the labels.

pub mod agreement;
pub mod annotators;
pub mod audits;
pub mod cluster_words;
pub mod clusters;
pub mod confident;
pub mod consensus;
pub mod duplicates;
pub mod error;
pub mod fields;
pub mod filters;
pub mod fine;
pub mod fusion;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod golden_detectors;
pub mod hierarchy;
pub mod imbalance;
pub mod map;
pub mod media_faults;
pub mod meta;
pub mod mixture;
pub mod neighbours;
pub mod noise;
pub mod non_iid;
pub mod outliers;
pub mod places;
pub mod prototype_margin;
pub mod quality;
pub mod rules;
pub mod scan;
pub mod simifeat;
pub mod text_quality;
pub mod value;

pub use confident::{Counted, check_probabilities};
pub use error::DetectError;
pub use filters::{Filter, label_issues};
pub use neighbours::Neighbours;
pub use noise::NoiseReport;
pub use places::{Places, PlacesParams};
pub use quality::Quality;
pub use scan::{ScanInput, ScanOutput, ScanRow, Stage, scan};
