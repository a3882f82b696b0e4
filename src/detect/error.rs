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
    #[error("clustering failed: {0}")]
    Clusters(String),
    #[error("cancelled")]
    Cancelled,
}

/// Rows may miss 1 by this much (f16 storage included).
const ROW_SUM_TOLERANCE: f64 = 0.01;

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

/// At least one sample and two classes, labels in range, probabilities in [0, 1] with rows summing to 1.
pub(crate) fn check_judged(p: ArrayView2<'_, f32>, labels: &[usize]) -> Result<(), DetectError> {
    check_length("labels", p.nrows(), labels.len())?;
    if labels.is_empty() {
        return Err(DetectError::Empty);
    }
    let n_classes = p.ncols();
    if n_classes < 2 {
        return Err(DetectError::TooFewClasses { n_classes });
    }
    if let Some((row, &label)) = labels.iter().enumerate().find(|(_, l)| **l >= n_classes) {
        return Err(DetectError::Label { row, label, n_classes });
    }
    for (row, values) in p.rows().into_iter().enumerate() {
        let mut sum = 0f64;
        for (column, &value) in values.iter().enumerate() {
            if !(-1e-6..=1.0 + 1e-5).contains(&value) {
                let rule = "probabilities must lie in [0, 1]";
                return Err(DetectError::Value { array: "probabilities", row, column, value, rule });
            }
            sum += f64::from(value);
        }
        if (sum - 1.0).abs() > ROW_SUM_TOLERANCE {
            return Err(DetectError::RowSum { row, sum });
        }
    }
    Ok(())
}
