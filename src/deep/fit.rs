//! Training: epochs of AdamW steps with the recipe's loss and regularisers, pretraining before them where the
//! recipe has it, a checkpoint after each epoch, and a stop when the noisy validation has not improved for a
//! while. What is evaluated and kept are the running means of the weights where the recipe has them.
//!
//! All chance follows from (seed, epoch, step), so that a resumed training goes on as if nothing had happened.

mod setup;
mod step;

use std::time::Instant;

use serde::Serialize;
use tamis_core::train::metrics::{Metrics, evaluate};
use tamis_core::train::recipe::{Family, Recipe};

use crate::data::{Data, Task};
use crate::fitted::{Fitted, probabilities};
use crate::names::Weights;
use crate::optimiser::AdamW;
use crate::{FitError, checkpoint};

/// An epoch's figures.
#[derive(Clone, Debug, Serialize)]
pub struct Curve {
    /// From 0; the pretraining's epochs come first.
    pub epoch: usize,
    /// Epochs at most, both kinds together.
    pub epochs: usize,
    pub pretraining: bool,
    /// Mean over the steps, auxiliary objectives included.
    pub loss: f32,
    /// Rate of the epoch's last step.
    pub learning_rate: f32,
    /// On the validation's own (noisy) labels; none in pretraining or without validation.
    pub validation: Option<Metrics>,
    /// Cross-entropy there.
    pub validation_loss: Option<f32>,
    pub seconds: f64,
    /// At this epoch's pace and to the last epoch.
    pub seconds_left: f64,
}

/// What a training tells and asks whoever runs it.
pub trait Hooks {
    /// After each epoch.
    fn epoch_done(&mut self, curve: &Curve);
    /// The state after each epoch, to be kept in place of the one before.
    fn checkpoint(&mut self, bytes: Vec<u8>);
    /// The last one kept, of this same training.
    fn last_checkpoint(&mut self) -> Option<Vec<u8>>;
    /// Asked before each step.
    fn cancelled(&self) -> bool;
}

/// A training under way.
pub(crate) struct Trainer<'a, 'd> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) task: &'a Task,
    pub(crate) data: &'a Data<'d>,
    pub(crate) weights: Weights,
    pub(crate) shadow: Option<Weights>,
    pub(crate) adam: AdamW,
    /// ELR's running means, (N, K).
    pub(crate) memory: Vec<f32>,
    /// Epochs done.
    pub(crate) epoch: usize,
    /// Best validation score and its loss; its weights.
    pub(crate) best: Option<(f64, f32)>,
    pub(crate) best_weights: Option<Weights>,
    /// Epochs since.
    pub(crate) stale: usize,
    /// Weight of each training row, mean 1.
    row_weights: Vec<f32>,
    /// Training rows of an epoch, those of small classes more than once where the recipe says so.
    epoch_rows: Vec<usize>,
}

/// Trains one network: the recipe's family with its first seed. O(epochs x rows); memory as
/// [`memory_needed`](crate::memory_needed) says. Errs on a recipe without a network of its own or whose
/// family is logistic, on data that the recipe cannot read, when the loss is no number, and when cancelled.
pub fn fit(recipe: &Recipe, task: &Task, data: &Data<'_>, hooks: &mut dyn Hooks) -> Result<Fitted, FitError> {
    if recipe.is_composite() || recipe.network.family == Family::Logistic {
        return Err(FitError::NotOneNetwork);
    }
    let mut trainer = Trainer::new(recipe, task, data)?;
    if let Some(bytes) = hooks.last_checkpoint() {
        checkpoint::read(&mut trainer, &bytes)?;
    }
    let epochs = trainer.epochs();
    while trainer.epoch < epochs && !trainer.is_stale() {
        let began = Instant::now();
        let pretraining = trainer.epoch < recipe.auxiliary.pretrain_epochs;
        let (loss, learning_rate) = trainer.run_epoch(pretraining, hooks)?;
        let validated = if pretraining { None } else { trainer.validate()? };
        trainer.epoch += 1;
        let seconds = began.elapsed().as_secs_f64();
        let (validation, validation_loss) = validated.unzip();
        let left = if trainer.is_stale() { 0 } else { epochs - trainer.epoch };
        // told before it is kept, so that no epoch goes untold: one that is done again is told again
        hooks.epoch_done(&Curve {
            epoch: trainer.epoch - 1,
            epochs,
            pretraining,
            loss,
            learning_rate,
            validation,
            validation_loss,
            seconds,
            seconds_left: seconds * left as f64,
        });
        hooks.checkpoint(checkpoint::write(&trainer));
    }
    let last = trainer.best_weights.or(trainer.shadow).unwrap_or(trainer.weights);
    Fitted::from_weights(recipe, task, last)
}

impl Trainer<'_, '_> {
    pub(crate) fn epochs(&self) -> usize {
        self.recipe.auxiliary.pretrain_epochs + self.recipe.optimise.epochs
    }

    fn is_stale(&self) -> bool {
        self.stale >= self.recipe.regularise.patience
    }

    /// Measures the weights to be kept on the validation rows, and keeps them when they are the best so far:
    /// a higher mean F1, or the same at a lower loss.
    fn validate(&mut self) -> Result<Option<(Metrics, f32)>, FitError> {
        let valid = &self.data.valid;
        let n = valid.rows();
        if n == 0 {
            return Ok(None);
        }
        let weights = self.shadow.as_ref().unwrap_or(&self.weights);
        let p = probabilities(self.recipe, self.task, weights, valid)?;
        let truth: Vec<usize> = (0..n).map(|i| valid.targets.class(i)).collect();
        let metrics = evaluate(
            &truth,
            &tamis_core::train::linear::argmax_rows(p.view()),
            &self.task.roots,
            self.task.classes(),
        );
        let loss: f64 =
            truth.iter().enumerate().map(|(i, &c)| -f64::from(p[[i, c]].max(f32::MIN_POSITIVE)).ln()).sum();
        let loss = (loss / n as f64) as f32;
        let better =
            self.best.is_none_or(|(f1, best)| metrics.mean_f1 > f1 || (metrics.mean_f1 == f1 && loss < best));
        if better {
            self.best = Some((metrics.mean_f1, loss));
            self.best_weights = Some(weights.clone());
            self.stale = 0;
        } else {
            self.stale += 1;
        }
        Ok(Some((metrics, loss)))
    }
}
