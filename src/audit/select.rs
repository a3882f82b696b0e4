//! Wrong labels from files of arrays: what `tamis audit` computes. Ties the mapped files to the numerics;
//! knows no database. (Not generic at its border, so that the inner loops are compiled here, optimised.)

use crate::arrays::{Real, Rows};
use crate::detect::quality::scores;
use crate::detect::{Counted, DetectError, Filter, Quality, label_issues};
use crate::exchange::mapped::Matrix;
use crate::exchange::npy::Dtype;

/// What to compute: a filter or a score, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    Filter(Filter),
    Score(Quality),
}

impl Selection {
    pub fn parse(name: &str) -> Option<Self> {
        Filter::parse(name).map(Self::Filter).or_else(|| Quality::parse(name).map(Self::Score))
    }

    /// How often the probabilities are read, all in all.
    pub fn passes(self) -> usize {
        match self {
            Self::Filter(filter) => 1 + filter.passes(),
            Self::Score(_) => 2,
        }
    }
}

/// One value a sample, in input order.
#[derive(Clone, Debug, PartialEq)]
pub enum Selected {
    /// True = label issue.
    Issues(Vec<bool>),
    /// Higher = better label.
    Scores(Vec<f64>),
}

/// Computes a selection from mapped probabilities (N, k) and labels (N). Doubles are computed as doubles,
/// halves and singles as singles. With `adjust` a score sees probabilities shifted against class
/// imbalance. `pace(rows)` is told how many more rows were read, [`Selection::passes`] times N in all, and
/// cancels by returning false.
///
/// # Errors
/// Those of [`Counted::of`]: they name the row and the value.
pub fn select(
    p: &Matrix,
    labels: &[u32],
    selection: Selection,
    adjust: bool,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Selected, DetectError> {
    match p.dtype() {
        Dtype::F64 => select_rows::<f64>(p, labels, selection, adjust, pace),
        _ => select_rows::<f32>(p, labels, selection, adjust, pace),
    }
}

fn select_rows<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    selection: Selection,
    adjust: bool,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Selected, DetectError> {
    // a score reads every value anyway; counting checks them, and gives the thresholds
    let counted = Counted::of(p, labels, pace)?;
    match selection {
        Selection::Filter(filter) => Ok(Selected::Issues(label_issues(p, labels, &counted, filter, pace)?)),
        Selection::Score(quality) => {
            let thresholds = adjust.then_some(&counted.thresholds[..]);
            let mut found = scores(p, labels, &[quality], thresholds, pace)?;
            Ok(Selected::Scores(found.pop().unwrap_or_default()))
        }
    }
}
