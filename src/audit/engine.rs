//! The audit itself: places, heads out of fold where no probabilities were given, the scan, and what else
//! the arrays tell. The parts that the scan job does on stored embeddings, in the same order.

use ndarray::{Array2, ArrayView2, s};
use serde::Serialize;

use super::input::{Input, Probabilities};
use crate::arrays::{Rows, Standardizer};
use crate::detect::annotators::ActiveLab;
use crate::detect::imbalance::{Imbalance, Underperforming, imbalance, underperforming};
use crate::detect::{DetectError, Places, PlacesParams, ScanInput, ScanOutput, Stage, scan};
use crate::train::dynamics::{Dynamics, DynamicsParams, dynamics};
use crate::train::selection::{DEFAULT_GRID, grid_for_fold};
use crate::train::{FoldPath, LinearParams, Selection, TrainError, fit_fold_path, select, stratified_folds};
