//! Trains classification heads on stored embeddings: arrays in, heads, probabilities and metrics out.
//! Knows only `domain` and `arrays`: no database, no files, no async. Same input and seed, same bytes.
//!
//! Class `c` is column `c` everywhere (the taxonomy's class order); rows are samples.

pub mod bad_cases;
pub mod balance;
pub mod dynamics;
pub mod ensemble;
pub mod error;
pub mod folds;
pub mod frames;
pub mod linear;
pub mod metrics;
pub mod mlp;
pub mod onnx;
pub mod paired;
pub mod prototype;
pub mod pseudo;
pub mod recipe;
pub mod score;
pub mod selection;
pub mod split;
pub mod temperature;
pub mod text;

pub use dynamics::{Dynamics, DynamicsParams, dynamics};
pub use error::TrainError;
pub use folds::{fit_fold, holdout_split, out_of_fold, possible_folds, stratified_folds};
pub use linear::{LinearHead, LinearParams};
pub use metrics::{ClassMetrics, Metrics, evaluate};
pub use mlp::{MlpParams, mlp_fold};
pub use paired::{PairedGain, paired_gain};
pub use prototype::prototype_fold;
pub use recipe::{Recipe, RecipeError};
pub use selection::{FoldPath, FoldStep, Selection, fit_fold_path, grid_for_fold, select};
pub use temperature::{apply_temperature, fit_temperature};
pub use text::{Budget, Counter, Cut, Tokens, Unit, Vocabulary};
