//! Picks the head's regularisation without any clean label: the `C` of a grid whose out-of-fold
//! log-loss on the (noisy) given labels is lowest. The probabilities of the winner come out with it.

use ndarray::{Array2, ArrayView2};

use super::error::TrainError;
use super::folds::Split;
use super::linear::LinearParams;

/// `C` values tried by default, on standardised features (scikit-learn's convention).
pub const DEFAULT_GRID: [f32; 8] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// A fold stops its path when the loss has grown this many times in a row.
const PATIENCE: usize = 2;

/// What one value of `C` gave on one fold.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldStep {
    pub c: f32,
    /// Sum over the fold's rows of -ln p(given label).
    pub log_loss: f64,
    /// (rows of the fold, k)
    pub probabilities: Array2<f32>,
}

/// One fold's run through the grid, weakest `C` first; the unit that a job checkpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldPath {
    /// Samples of the fold, ascending.
    pub rows: Vec<usize>,
    /// At least one; a path ends early once weaker regularisation only hurts.
    pub steps: Vec<FoldStep>,
}

/// The grid's outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub c: f32,
    /// Mean log-loss of every `C` that all folds tried, ascending in `C`.
    pub log_losses: Vec<(f32, f64)>,
    /// Out-of-fold probabilities (N, k) at `c`.
    pub probabilities: Array2<f32>,
}

/// Runs the ascending `grid` of `C` on one fold, each fit starting from the last. `params.l2` is not
/// read. Errors as [`super::fit_fold`], and for an empty, unsorted or non-positive grid.
#[expect(clippy::too_many_arguments, reason = "a fold of a labelled matrix and how to fit it")]
pub fn fit_fold_path(
    x: ArrayView2<'_, f32>,
    y: &[usize],
    n_classes: usize,
    folds: &[usize],
    fold: usize,
    grid: &[f32],
    params: &LinearParams,
    tick: &dyn Fn(usize) -> bool,
) -> Result<FoldPath, TrainError> {
    check_grid(grid)?;
    let split = Split::new(x, y, n_classes, folds, fold)?;
    let l2s: Vec<f32> = grid.iter().map(|&c| params.with_c(c, split.n_train()).l2).collect();
    let mut steps: Vec<FoldStep> = Vec::with_capacity(grid.len());
    let mut rising = 0;
    split.path(n_classes, &l2s, params, tick, &mut |i, probabilities| {
        let log_loss = probabilities
            .rows()
            .into_iter()
            .zip(&split.held)
            .map(|(p, &row)| -f64::from(p[y[row]].max(f32::MIN_POSITIVE)).ln())
            .sum();
        rising = if steps.last().is_some_and(|last| log_loss > last.log_loss) { rising + 1 } else { 0 };
        steps.push(FoldStep { c: grid[i], log_loss, probabilities });
        rising < PATIENCE
    })?;
    Ok(FoldPath { rows: split.held, steps })
}

/// Joins the folds' paths: the `C` with the lowest mean log-loss among those that every fold tried
/// (the smaller of equals) and its probabilities. Every sample must be in exactly one fold.
pub fn select(paths: &[FoldPath], n_classes: usize) -> Result<Selection, TrainError> {
    let n: usize = paths.iter().map(|p| p.rows.len()).sum();
    let tried = paths.iter().map(|p| p.steps.len()).min().unwrap_or(0);
    if n == 0 || tried == 0 {
        return Err(TrainError::Empty);
    }
    let mut log_losses = Vec::with_capacity(tried);
    for i in 0..tried {
        let c = paths[0].steps[i].c;
        if paths.iter().any(|p| p.steps[i].c != c) {
            return Err(TrainError::FoldsDiffer("they tried different values of C"));
        }
        log_losses.push((c, paths.iter().map(|p| p.steps[i].log_loss).sum::<f64>() / n as f64));
    }
    let best = (0..tried).fold(0, |b, i| if log_losses[i].1 < log_losses[b].1 { i } else { b });
    let mut probabilities = Array2::zeros((n, n_classes));
    let mut seen = vec![false; n];
    for path in paths {
        let p = &path.steps[best].probabilities;
        if p.dim() != (path.rows.len(), n_classes) {
            return Err(TrainError::FoldsDiffer("probabilities have another shape than rows and classes"));
        }
        for (&row, p) in path.rows.iter().zip(p.rows()) {
            if row >= n || std::mem::replace(&mut seen[row], true) {
                return Err(TrainError::FoldsDiffer("a sample is in two folds or in none"));
            }
            probabilities.row_mut(row).assign(&p);
        }
    }
    Ok(Selection { c: log_losses[best].0, log_losses, probabilities })
}

pub(super) fn check_grid(grid: &[f32]) -> Result<(), TrainError> {
    let bad = |value, rule| Err(TrainError::Param { name: "c", value: f64::from(value), rule });
    if grid.is_empty() {
        return bad(f32::NAN, "the grid needs at least one value");
    }
    if let Some(&c) = grid.iter().find(|c| !(c.is_finite() && **c > 0.0)) {
        return bad(c, "every value must be a finite number > 0");
    }
    match grid.windows(2).find(|w| w[0] >= w[1]) {
        Some(w) => bad(w[1], "values must ascend"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use crate::train::{out_of_fold, stratified_folds};

    #[test]
    fn picks_the_lowest_loss_and_its_probabilities() {
        // Weak signal in 40 dimensions: neither end of the grid can be best.
        let mut r = rng(8);
        let n = 120;
        let mut x = gaussian_matrix(n, 40, &mut r);
        let y: Vec<usize> = (0..n).map(|i| i % 3).collect();
        for i in 0..n {
            x[[i, y[i]]] += 1.5;
        }
        let folds = stratified_folds(&y, 3, 4, None, 1);
        let params = LinearParams { tolerance: 1e-5, ..LinearParams::default() };
        let grid = [1e-5, 1e-2, 1e3];
        let paths: Vec<_> = (0..4)
            .map(|f| fit_fold_path(x.view(), &y, 3, &folds, f, &grid, &params, &|_| true).unwrap())
            .collect();
        let s = select(&paths, 3).unwrap();
        assert_eq!(s.c, 1e-2, "{:?}", s.log_losses);
        // The path's warm starts end where a cold fit does.
        let cold = out_of_fold(x.view(), &y, 3, &folds, &params.with_c(1e-2, 90), &|_, _| true).unwrap();
        assert!(s.probabilities.iter().zip(&cold).all(|(a, b)| (a - b).abs() < 1e-3));
        // Almost no weights: log-loss of guessing, ln 3.
        assert!((s.log_losses[0].1 - 3f64.ln()).abs() < 0.01, "{:?}", s.log_losses);
    }

    #[test]
    fn refuses_bad_grids_and_folds_that_differ() {
        for grid in [&[][..], &[0.0], &[1.0, 1.0], &[f32::NAN]] {
            assert!(check_grid(grid).is_err(), "{grid:?}");
        }
        let step = |c| FoldStep { c, log_loss: 1.0, probabilities: Array2::from_elem((1, 2), 0.5) };
        let path = |row, c| FoldPath { rows: vec![row], steps: vec![step(c)] };
        assert!(select(&[], 2).is_err());
        assert!(select(&[path(0, 1.0), path(1, 2.0)], 2).is_err());
        assert!(select(&[path(0, 1.0), path(0, 1.0)], 2).is_err());
        assert_eq!(select(&[path(1, 1.0), path(0, 1.0)], 2).unwrap().c, 1.0);
    }
}
