//! Picks the head's regularisation without any clean label: the `C` of a grid whose out-of-fold
//! log-loss on the (noisy) given labels is lowest. The probabilities of the winner come out with it,
//! brought to one temperature per fold. Once enough rows were judged, further folds run only that `C`.

use ndarray::{Array2, ArrayView2};

use super::error::TrainError;
use super::folds::Split;
use super::linear::LinearParams;
use super::temperature::{apply_temperature, fit_temperature};

/// `C` values tried by default, on standardised features (scikit-learn's convention).
pub const DEFAULT_GRID: [f32; 8] = [0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0];

/// A fold stops its path when the loss has grown this many times in a row,
const PATIENCE: usize = 2;
/// or once by this many standard errors of the rows' differences.
const CLEAR: f64 = 3.0;
/// Held-out rows after which `C` is settled: the rows' losses are paired, so neighbours in the grid
/// are told apart long before.
const PROBE_ROWS: usize = 4096;

/// What one value of `C` gave on one fold.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldStep {
    pub c: f32,
    /// Sum over the fold's rows of -ln p(given label), before any temperature.
    pub log_loss: f64,
    /// The one that suits the fold's given labels best; see [`fit_temperature`].
    pub temperature: f32,
    /// (rows of the fold, k), before that temperature.
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
    /// Mean log-loss, before any temperature, of every `C` that all folds with more than one tried;
    /// ascending in `C`.
    pub log_losses: Vec<(f32, f64)>,
    /// Temperature of each fold, in the order of the paths.
    pub temperatures: Vec<f32>,
    /// Out-of-fold probabilities (N, k) at `c`, at their fold's temperature.
    pub probabilities: Array2<f32>,
}

/// The part of `grid` that the next fold has to run after the folds `done`: all of it, or only the best
/// `C` once they judged enough rows between them. Depends on `done` alone, so a job that was cut off
/// goes on with the same answer when it gives back the finished folds in their order.
///
/// With 50,000 rows in 5 folds the first fold settles `C`, with 5,000 all of them run the grid.
pub fn grid_for_fold(done: &[FoldPath], grid: &[f32]) -> Vec<f32> {
    let judged: usize = done.iter().filter(|p| p.steps.len() > 1).map(|p| p.rows.len()).sum();
    match mean_losses(done) {
        Ok((best, losses)) if judged >= PROBE_ROWS => vec![losses[best].0],
        _ => grid.to_vec(),
    }
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
    let labels: Vec<usize> = split.held.iter().map(|&row| y[row]).collect();
    let mut rising = 0;
    let mut before: Vec<f64> = Vec::new();
    split.path(n_classes, &l2s, params, tick, &mut |i, probabilities| {
        let losses: Vec<f64> = probabilities
            .rows()
            .into_iter()
            .zip(&labels)
            .map(|(p, &label)| -f64::from(p[label].max(f32::MIN_POSITIVE)).ln())
            .collect();
        let log_loss = losses.iter().sum();
        rising = match steps.last() {
            Some(_) if clearly_larger(&losses, &before) => PATIENCE,
            Some(last) if log_loss > last.log_loss => rising + 1,
            _ => 0,
        };
        before = losses;
        let temperature = fit_temperature(probabilities.view(), &labels);
        steps.push(FoldStep { c: grid[i], log_loss, temperature, probabilities });
        rising < PATIENCE
    })?;
    Ok(FoldPath { rows: split.held, steps })
}

/// The mean of a - b is positive by more than [`CLEAR`] of its standard errors.
fn clearly_larger(a: &[f64], b: &[f64]) -> bool {
    let n = a.len() as f64;
    if a.len() < 2 {
        return false;
    }
    let mean = a.iter().zip(b).map(|(a, b)| a - b).sum::<f64>() / n;
    let squares: f64 = a.iter().zip(b).map(|(a, b)| (a - b - mean).powi(2)).sum();
    mean > CLEAR * (squares / (n - 1.0) / n).sqrt()
}

/// Mean log-loss per `C` that all folds with more than one `C` tried (all folds when none has), and
/// the place of the lowest (of the smaller `C` among equals).
fn mean_losses(paths: &[FoldPath]) -> Result<(usize, Vec<(f32, f64)>), TrainError> {
    let mut probes: Vec<&FoldPath> = paths.iter().filter(|p| p.steps.len() > 1).collect();
    if probes.is_empty() {
        probes = paths.iter().collect();
    }
    let n: usize = probes.iter().map(|p| p.rows.len()).sum();
    let tried = probes.iter().map(|p| p.steps.len()).min().unwrap_or(0);
    if n == 0 || tried == 0 {
        return Err(TrainError::Empty);
    }
    let mut losses = Vec::with_capacity(tried);
    for i in 0..tried {
        let c = probes[0].steps[i].c;
        if probes.iter().any(|p| p.steps[i].c != c) {
            return Err(TrainError::FoldsDiffer("they tried different values of C"));
        }
        losses.push((c, probes.iter().map(|p| p.steps[i].log_loss).sum::<f64>() / n as f64));
    }
    let best = (0..tried).fold(0, |b, i| if losses[i].1 < losses[b].1 { i } else { b });
    Ok((best, losses))
}

/// Joins the folds' paths: the `C` with the lowest mean log-loss among those that every fold with more
/// than one tried (the smaller of equals), and its probabilities, each fold's at its temperature.
/// Every sample must be in exactly one fold, and every fold must have run the `C` that wins.
pub fn select(paths: &[FoldPath], n_classes: usize) -> Result<Selection, TrainError> {
    let n: usize = paths.iter().map(|p| p.rows.len()).sum();
    let (best, log_losses) = mean_losses(paths)?;
    let c = log_losses[best].0;
    let mut temperatures = Vec::with_capacity(paths.len());
    let mut probabilities = Array2::zeros((n, n_classes));
    let mut seen = vec![false; n];
    for path in paths {
        let step = path.steps.iter().find(|s| s.c == c);
        let step = step.ok_or(TrainError::FoldsDiffer("a fold has not run the best C"))?;
        let mut p = step.probabilities.clone();
        if p.dim() != (path.rows.len(), n_classes) {
            return Err(TrainError::FoldsDiffer("probabilities have another shape than rows and classes"));
        }
        for &row in &path.rows {
            if row >= n || std::mem::replace(&mut seen[row], true) {
                return Err(TrainError::FoldsDiffer("a sample is in two folds or in none"));
            }
        }
        apply_temperature(&mut p, step.temperature);
        temperatures.push(step.temperature);
        for (&row, p) in path.rows.iter().zip(p.rows()) {
            probabilities.row_mut(row).assign(&p);
        }
    }
    Ok(Selection { c, log_losses, temperatures, probabilities })
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
        // The path's warm starts end where a cold fit does; then each fold goes to its temperature.
        let mut cold = out_of_fold(x.view(), &y, 3, &folds, &params.with_c(1e-2, 90), &|_, _| true).unwrap();
        for (fold, t) in s.temperatures.iter().enumerate() {
            for i in (0..n).filter(|&i| folds[i] == fold) {
                let mut row = cold.slice(ndarray::s![i..i + 1, ..]).to_owned();
                apply_temperature(&mut row, *t);
                cold.row_mut(i).assign(&row.row(0));
            }
        }
        assert!(s.probabilities.iter().zip(&cold).all(|(a, b)| (a - b).abs() < 2e-3));
        // Almost no weights: log-loss of guessing, ln 3.
        assert!((s.log_losses[0].1 - 3f64.ln()).abs() < 0.01, "{:?}", s.log_losses);
    }

    #[test]
    fn refuses_bad_grids_and_folds_that_differ() {
        for grid in [&[][..], &[0.0], &[1.0, 1.0], &[f32::NAN]] {
            assert!(check_grid(grid).is_err(), "{grid:?}");
        }
        let half = Array2::from_elem((1, 2), 0.5);
        let step = |c| FoldStep { c, log_loss: 1.0, temperature: 1.0, probabilities: half.clone() };
        let path = |row, c| FoldPath { rows: vec![row], steps: vec![step(c)] };
        assert!(select(&[], 2).is_err());
        assert!(select(&[path(0, 1.0), path(1, 2.0)], 2).is_err());
        assert!(select(&[path(0, 1.0), path(0, 1.0)], 2).is_err());
        assert_eq!(select(&[path(1, 1.0), path(0, 1.0)], 2).unwrap().c, 1.0);
    }

    #[test]
    fn enough_rows_settle_c_for_the_folds_to_come() {
        let path = |from: usize, n: usize, losses: &[(f32, f64)]| FoldPath {
            rows: (from..from + n).collect(),
            steps: losses
                .iter()
                .map(|&(c, loss)| FoldStep {
                    c,
                    log_loss: loss * n as f64,
                    temperature: 1.0,
                    probabilities: Array2::from_elem((n, 2), 0.5),
                })
                .collect(),
        };
        let grid = [0.1, 1.0, 10.0];
        let few = path(0, 100, &[(0.1, 0.5), (1.0, 0.6), (10.0, 0.7)]);
        let many = path(100, PROBE_ROWS, &[(0.1, 0.7), (1.0, 0.4)]);
        let last = path(100 + PROBE_ROWS, 50, &[(1.0, 0.1)]);
        assert_eq!(grid_for_fold(&[], &grid), grid);
        assert_eq!(grid_for_fold(std::slice::from_ref(&few), &grid), grid);
        assert_eq!(grid_for_fold(&[few.clone(), many.clone()], &grid), [1.0]);
        let done = [few.clone(), many.clone(), last];
        assert_eq!(grid_for_fold(&done, &grid), [1.0]);
        let s = select(&done, 2).unwrap();
        assert_eq!((s.c, s.log_losses.len(), s.temperatures.len()), (1.0, 2, 3));
        let wrong = [few, many, path(100 + PROBE_ROWS, 50, &[(0.1, 0.1)])];
        assert!(matches!(select(&wrong, 2), Err(TrainError::FoldsDiffer(_))));
    }
}
