//! A filter or score chosen by its name, over probabilities wherever they lie: the same answers as
//! cleanlab's, to be compared with other tools value by value.

use super::Probabilities;
use crate::arrays::{Real, Rows};
use crate::detect::confident::thresholds;
use crate::detect::quality::scores;
use crate::detect::{Counted, DetectError, Filter, Quality, label_issues};

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

    /// How often [`select`] reads the probabilities for all of `selections` together.
    pub fn passes(selections: &[Self]) -> usize {
        let filters = selections.iter().filter_map(|s| match s {
            Self::Filter(filter) => Some(filter.passes()),
            Self::Score(_) => None,
        });
        let scores = selections.iter().any(|s| matches!(s, Self::Score(_)));
        let counting = selections.iter().any(|s| matches!(s, Self::Filter(_)));
        filters.sum::<usize>() + usize::from(counting) + usize::from(scores)
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

impl Selected {
    /// Number of label issues; `None` of scores.
    pub fn issues(&self) -> Option<usize> {
        match self {
            Self::Issues(flags) => Some(flags.iter().map(|f| usize::from(*f)).sum()),
            Self::Scores(_) => None,
        }
    }
}

/// Computes `selections` from probabilities (N, k) and labels (N), in their order: all scores in
/// one pass, all filters from one counting. Doubles are computed as doubles, halves and singles as
/// singles. With `adjust` scores see probabilities shifted against class imbalance. `pace(rows)` is told
/// how many more rows were read, [`Selection::passes`] times N in all, and cancels by returning false.
/// Memory: 4 bytes a sample (f64: 8) for the thresholds, then 3 for the default filter and at most 12 (f64:
/// 16) for the others; and the result.
///
/// # Errors
/// Those of [`Counted::of`]: they name the row and the value.
pub fn select(
    p: &Probabilities,
    labels: &[u32],
    selections: &[Selection],
    adjust: bool,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Selected>, DetectError> {
    if p.is_double() {
        select_rows::<f64>(p, labels, selections, adjust, pace)
    } else {
        select_rows::<f32>(p, labels, selections, adjust, pace)
    }
}

fn select_rows<T: Real>(
    p: &dyn Rows<T>,
    labels: &[u32],
    selections: &[Selection],
    adjust: bool,
    pace: &(dyn Fn(usize) -> bool + Sync),
) -> Result<Vec<Selected>, DetectError> {
    let wanted: Vec<Quality> = selections
        .iter()
        .filter_map(|s| match s {
            Selection::Score(quality) => Some(*quality),
            Selection::Filter(_) => None,
        })
        .collect();
    // counting for the filters first, then gone before the scores take their room
    let counted = match wanted.len() < selections.len() {
        true => Some(Counted::of(p, labels, pace)?),
        false => None,
    };
    let mut found = Vec::with_capacity(selections.len());
    for selection in selections {
        found.push(match (selection, &counted) {
            (Selection::Filter(filter), Some(counted)) => {
                Selected::Issues(label_issues(p, labels, counted, *filter, pace)?)
            }
            _ => Selected::Scores(Vec::new()),
        });
    }
    if wanted.is_empty() {
        return Ok(found);
    }
    let thresholds = match counted {
        _ if !adjust => None,
        Some(counted) => Some(counted.thresholds),
        None => Some(thresholds(p, labels)?),
    };
    let scored = scores(p, labels, &wanted, thresholds.as_deref(), pace)?;
    let places = found.iter_mut().filter(|s| matches!(s, Selected::Scores(_)));
    places.zip(scored).for_each(|(place, values)| *place = Selected::Scores(values));
    Ok(found)
}
