//! What can be wrong with a training's input; every message names the place and the rule.

use crate::arrays::NotFinite;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum TrainError {
    #[error("no samples to train on")]
    Empty,
    #[error("{what} has {found} entries, expected {expected}")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("features: {0}")]
    NotFinite(#[from] NotFinite),
    #[error("label of row {row} is {label}, but there are only {n_classes} classes")]
    Label { row: usize, label: usize, n_classes: usize },
    #[error("sample weight of row {row} is {value}; weights must be finite, >= 0 and not all 0")]
    Weight { row: usize, value: f32 },
    #[error("all samples have the same class; at least two classes are needed")]
    OneClass,
    #[error("{name} is {value}, but {rule}")]
    Param { name: &'static str, value: f64, rule: &'static str },
    #[error("fold {fold} does not exist; there are {n_folds}")]
    Fold { fold: usize, n_folds: usize },
    #[error("the runs of the folds do not fit together: {0}")]
    FoldsDiffer(&'static str),
    #[error("cancelled")]
    Cancelled,
}

/// `found` must be `expected` entries long.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), TrainError> {
    if expected == found { Ok(()) } else { Err(TrainError::Length { what, expected, found }) }
}

/// Every label must name one of `n_classes` classes.
pub(crate) fn check_labels(y: &[usize], n_classes: usize) -> Result<(), TrainError> {
    match y.iter().enumerate().find(|(_, label)| **label >= n_classes) {
        None => Ok(()),
        Some((row, &label)) => Err(TrainError::Label { row, label, n_classes }),
    }
}
