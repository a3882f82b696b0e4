//! Own probabilities, out of fold: the folds are made once, and every chosen head judges each of them.
//! Several heads are asked for their mean.

use ndarray::{Array2, ArrayView2};

use crate::detect::Neighbours;
use crate::train::selection::DEFAULT_GRID;
use crate::train::{
    FoldPath, LinearParams, MlpParams, TrainError, apply_temperature, fit_fold_path, fit_temperature,
    grid_for_fold, mlp_fold, prototype_fold, select,
};

/// What may judge the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// Multinomial logistic regression; regularisation by the noisy log-loss.
    Linear,
    /// One hidden layer.
    Mlp,
    /// Cosines to the mean directions of the classes.
    Prototype,
    /// The vote of the nearest neighbours in the other folds.
    Neighbours,
}

impl Head {
    pub const ALL: [Self; 4] = [Self::Linear, Self::Mlp, Self::Prototype, Self::Neighbours];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Mlp => "mlp",
            Self::Prototype => "prototype",
            Self::Neighbours => "neighbours",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|h| h.as_str() == name)
    }
}

/// One head's outcome.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadReport {
    pub head: Head,
    /// Mean over the samples of -ln p(given label), at the folds' temperatures.
    pub log_loss: f64,
    /// The linear head's regularisation, and the mean log-loss of each that was tried.
    pub c: Option<(f32, Vec<(f32, f64)>)>,
    /// By fold; of heads whose answers are brought to one afterwards.
    pub temperatures: Vec<f32>,
}

/// What all heads together say.
#[derive(Clone, Debug, PartialEq)]
pub struct Heads {
    /// (N, k) mean of the heads' probabilities; rows sum to 1.
    pub probabilities: Array2<f32>,
    pub of: Vec<HeadReport>,
}

/// The samples in folds.
#[derive(Clone, Copy)]
pub(super) struct Folded<'a> {
    /// (N, D)
    pub(super) x: ArrayView2<'a, f32>,
    /// (N) in 0..k
    pub(super) y: &'a [usize],
    pub(super) k: usize,
    pub(super) folds: &'a [usize],
    pub(super) n_folds: usize,
    pub(super) neighbours: &'a Neighbours,
    pub(super) seed: u64,
}

/// One head while the folds go by.
struct Running {
    head: Head,
    /// Only of the linear head, whose regularisation is chosen at the end.
    paths: Vec<FoldPath>,
    probabilities: Array2<f32>,
    temperatures: Vec<f32>,
}

/// Judges every fold by every head; `progress(done, total)` cancels by returning false.
///
/// # Errors
/// No head, too few samples, cancelled.
pub(super) fn judge(
    samples: Folded<'_>,
    heads: &[Head],
    progress: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Heads, TrainError> {
    let shape = (samples.y.len(), samples.k);
    let start = |&head: &Head| Running {
        head,
        paths: Vec::new(),
        probabilities: Array2::zeros(shape),
        temperatures: Vec::new(),
    };
    let mut running: Vec<Running> = heads.iter().map(start).collect();
    let total = samples.n_folds * running.len();
    for fold in 0..samples.n_folds {
        for at in 0..running.len() {
            if !progress(fold * running.len() + at, total) {
                return Err(TrainError::Cancelled);
            }
            running[at].fold(samples, fold)?;
        }
    }
    progress(total, total);
    let mut of = Vec::with_capacity(running.len());
    let mut sum: Option<Array2<f32>> = None;
    for one in running {
        let (report, probabilities) = one.finish(samples)?;
        of.push(report);
        sum = Some(match sum {
            Some(sum) => sum + probabilities,
            None => probabilities,
        });
    }
    let mut probabilities = sum.ok_or(TrainError::Empty)?;
    if of.len() > 1 {
        for mut row in probabilities.rows_mut() {
            let total = row.sum();
            row.mapv_inplace(|v| v / total);
        }
    }
    Ok(Heads { probabilities, of })
}

impl Running {
    fn fold(&mut self, s: Folded<'_>, fold: usize) -> Result<(), TrainError> {
        let (rows, mut p) = match self.head {
            Head::Linear => {
                let grid = grid_for_fold(&self.paths, &DEFAULT_GRID);
                let linear = LinearParams::for_folds();
                self.paths.push(fit_fold_path(s.x, s.y, s.k, s.folds, fold, &grid, &linear, &|_| true)?);
                return Ok(());
            }
            Head::Mlp => {
                let training = s.folds.iter().filter(|f| **f != fold).count();
                let params = MlpParams::for_rows(training, s.seed);
                mlp_fold(s.x, s.y, s.k, s.folds, fold, &params, &|_| true)?
            }
            Head::Prototype => prototype_fold(s.x, s.y, s.k, s.folds, fold, None)?,
            Head::Neighbours => vote(s, fold),
        };
        // the prototypes come at their temperature
        if self.head != Head::Prototype {
            let labels: Vec<usize> = rows.iter().map(|&row| s.y[row]).collect();
            let t = fit_temperature(p.view(), &labels);
            apply_temperature(&mut p, t);
            self.temperatures.push(t);
        }
        for (&row, p) in rows.iter().zip(p.rows()) {
            self.probabilities.row_mut(row).assign(&p);
        }
        Ok(())
    }

    fn finish(mut self, s: Folded<'_>) -> Result<(HeadReport, Array2<f32>), TrainError> {
        let mut c = None;
        if self.head == Head::Linear {
            let chosen = select(&self.paths, s.k)?;
            c = Some((chosen.c, chosen.log_losses));
            (self.temperatures, self.probabilities) = (chosen.temperatures, chosen.probabilities);
        }
        let loss =
            |(i, &y): (usize, &usize)| -f64::from(self.probabilities[[i, y]].max(f32::MIN_POSITIVE)).ln();
        let log_loss = s.y.iter().enumerate().map(loss).sum::<f64>() / s.y.len().max(1) as f64;
        let report = HeadReport { head: self.head, log_loss, c, temperatures: self.temperatures };
        Ok((report, self.probabilities))
    }
}

/// The rows of `fold` and the votes of their neighbours in other folds, each weighing its similarity; the
/// shares of the classes among the other folds count as one neighbour more, so that no class is ruled out.
fn vote(s: Folded<'_>, fold: usize) -> (Vec<usize>, Array2<f32>) {
    let mut prior = vec![1.0f32; s.k];
    let others = (0..s.y.len()).filter(|&i| s.folds[i] != fold);
    others.for_each(|i| prior[s.y[i]] += 1.0);
    let all: f32 = prior.iter().sum();
    prior.iter_mut().for_each(|p| *p /= all);
    let rows: Vec<usize> = (0..s.y.len()).filter(|&i| s.folds[i] == fold).collect();
    let mut p = Array2::zeros((rows.len(), s.k));
    for (mut p, &row) in p.rows_mut().into_iter().zip(&rows) {
        let mut total = 1.0;
        p.iter_mut().zip(&prior).for_each(|(p, prior)| *p = *prior);
        let near = s.neighbours.index.row(row);
        for (&j, &similarity) in near.iter().zip(s.neighbours.similarity.row(row)) {
            if s.folds[j as usize] != fold && similarity > 0.0 {
                p[s.y[j as usize]] += similarity;
                total += similarity;
            }
        }
        p.mapv_inplace(|v| v / total);
    }
    (rows, p)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    /// Rows 0 and 1 are of fold 0. Row 0's neighbours: row 1 (own fold: has no vote), row 2 (0.5, class 1),
    /// row 3 (0.25, class 0). Shares among the others, each class counted once more: 2/5, 2/5, 1/5.
    #[test]
    fn a_vote_by_hand() {
        let neighbours = Neighbours {
            index: array![[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]],
            similarity: array![[0.9, 0.5, 0.25], [0.9, -0.1, -0.2], [0.5, 0.1, 0.1], [0.1, 0.1, 0.1]],
            recall: None,
        };
        let x = Array2::zeros((4, 1));
        let s = Folded {
            x: x.view(),
            y: &[0, 1, 1, 0],
            k: 3,
            folds: &[0, 0, 1, 1],
            n_folds: 2,
            neighbours: &neighbours,
            seed: 0,
        };
        let (rows, p) = vote(s, 0);
        assert_eq!(rows, [0, 1]);
        let want = [[0.65 / 1.75, 0.9 / 1.75, 0.2 / 1.75], [0.4, 0.4, 0.2]];
        for (a, b) in p.iter().zip(want.as_flattened()) {
            assert!((a - b).abs() < 1e-6, "{p}");
        }
    }
}
