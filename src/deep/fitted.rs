//! A trained network: its weights, and what it says of samples.

use ndarray::Array2;
use tamis_core::train::Recipe;
use tamis_core::train::recipe::Loss;

use crate::FitError;
use crate::batch::{Batch, Sampling};
use crate::data::{Examples, Targets, Task};
use crate::loss::softmax;
use crate::names::{Weights, layout};
use crate::network::forward;
use crate::tape::{Tape, numbers};

/// Rows a pass.
const ROWS: usize = 256;

pub struct Fitted {
    recipe: Recipe,
    task: Task,
    weights: Weights,
}

impl Fitted {
    /// A network from stored weights. Errs when one that the recipe's network needs is missing or has
    /// another shape; further ones are kept.
    pub fn from_weights(recipe: &Recipe, task: &Task, weights: Weights) -> Result<Self, FitError> {
        for (name, (shape, _)) in layout(recipe, task) {
            let fits =
                |w: &crate::Weight| w.shape == shape && w.values.len() == shape.iter().product::<usize>();
            if !weights.get(&name).is_some_and(fits) {
                return Err(FitError::Weight { name });
            }
        }
        Ok(Self { recipe: recipe.clone(), task: task.clone(), weights })
    }

    /// All weights, those of the auxiliary objectives among them; [`names`](crate::Weights) says the layout.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Class probabilities, (N, K), with the recipe's prior boost; the targets of `x` are not read beyond
    /// their number. Memory beyond the result does not grow with N. Even frames, no dropout.
    pub fn probabilities(&self, x: &Examples<'_>) -> Result<Array2<f32>, FitError> {
        let zeros = vec![0; x.rows()];
        let x = &Examples { targets: Targets::Hard(&zeros), ..*x };
        x.check(&Recipe { loss: Loss::default(), ..self.recipe.clone() }, &self.task)?;
        let mut all = probabilities(&self.recipe, &self.task, &self.weights, x)?;
        if let Some(boost) = self.weights.get("output.boost") {
            for mut row in all.rows_mut() {
                row.iter_mut().zip(&boost.values).for_each(|(p, b)| *p *= b);
                let sum = row.sum();
                row /= sum;
            }
        }
        Ok(all)
    }
}

/// Softmax of the logits, (N, K), without a prior boost.
pub(crate) fn probabilities(
    recipe: &Recipe,
    task: &Task,
    weights: &Weights,
    x: &Examples<'_>,
) -> Result<Array2<f32>, FitError> {
    let (n, k) = (x.rows(), task.classes());
    let tape = Tape::still(weights);
    let mut all = Vec::with_capacity(n * k);
    for from in (0..n).step_by(ROWS) {
        let rows: Vec<usize> = (from..n.min(from + ROWS)).collect();
        let batch = Batch::gather(recipe, task, x, &rows, Sampling::Even)?;
        let mut logits = numbers(forward(recipe, &tape, &batch).logits);
        logits.chunks_mut(k).for_each(softmax);
        all.extend(logits);
    }
    Ok(Array2::from_shape_vec((n, k), all).expect("a row of classes a sample"))
}
