//! What can be wrong with a scan's input; every message names the array, the place and the value.

use ndarray::ArrayView2;

use crate::arrays::first_not_finite;

#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DetectError {
    #[error("no labelled samples to scan")]
    Empty,
    #[error("{n_classes} classes; a label can only be wrong among two or more")]
    TooFewClasses { n_classes: usize },
    #[error("{what} has {found} entries, expected {expected}")]
    Length { what: &'static str, expected: usize, found: usize },
    #[error("{array}: value at row {row}, column {column} is {value}, but {rule}")]
    Value { array: &'static str, row: usize, column: usize, value: f32, rule: &'static str },
    #[error("probabilities: row {row} sums to {sum}, not to 1")]
    RowSum { row: usize, sum: f64 },
    #[error("label of row {row} is {label}, but there are only {n_classes} classes")]
    Label { row: usize, label: usize, n_classes: usize },
    #[error("{name} is {value}, but {rule}")]
    Param { name: &'static str, value: f64, rule: &'static str },
    #[error("{name} is {value}, but only numbers below {end} are known")]
    Range { name: &'static str, value: u64, end: u64 },
    #[error("annotator {annotator} labels sample {sample} twice")]
    VotedTwice { sample: usize, annotator: usize },
    #[error("no sample has labels of two annotators, so nothing says whom to trust")]
    NoOverlap,
    #[error("there are no predictions to weigh people against")]
    NoPredictions,
    #[error("cancelled")]
    Cancelled,
}

/// `found` must be `expected` entries long.
pub(crate) fn check_length(what: &'static str, expected: usize, found: usize) -> Result<(), DetectError> {
    if expected == found { Ok(()) } else { Err(DetectError::Length { what, expected, found }) }
}

/// Every feature must be finite.
pub(crate) fn check_features(x: ArrayView2<'_, f32>) -> Result<(), DetectError> {
    match first_not_finite(x) {
        None => Ok(()),
        Some(bad) => Err(DetectError::Value {
            array: "features",
            row: bad.row,
            column: bad.column,
            value: bad.value,
            rule: "features must be finite",
        }),
    }
}
