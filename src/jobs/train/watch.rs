//! What a network's training tells while it runs, and keeps in case its worker dies.

use serde_json::{Value, json};
use tamis_deep::{Curve, Hooks};
use tokio::runtime::Handle;

use crate::jobs::Services;
use crate::jobs::progress::Progress;

/// Where the epochs of one job's networks go: its progress, its curves, its checkpoints.
#[derive(Clone)]
pub(super) struct Watch {
    pub(super) services: Services,
    pub(super) progress: Progress,
    pub(super) runtime: Handle,
    /// Of the checkpoints' names; says what they belong to.
    pub(super) prefix: String,
}

impl Watch {
    /// The hooks of network `model`, called `name`, that takes `steps` epochs at most.
    pub(super) fn of(&self, model: usize, name: String, steps: usize) -> Watched<'_> {
        Watched { watch: self, model, name, steps, told: 0 }
    }

    fn checkpoint(&self, model: usize) -> String {
        format!("{}-{model}.checkpoint", self.prefix)
    }

    /// Removes the checkpoints of `models` networks; one that cannot be removed is a file too many, not a failure.
    pub(super) async fn clear(&self, models: usize) {
        for model in 0..models {
            if let Err(error) = self.services.blobs.delete(&self.checkpoint(model)).await {
                tracing::debug!(%error, "a checkpoint was not removed");
            }
        }
    }
}

pub(super) struct Watched<'a> {
    watch: &'a Watch,
    model: usize,
    name: String,
    steps: usize,
    told: usize,
}

impl Watched<'_> {
    /// Counts the epochs that an early stop left out.
    pub(super) fn end(mut self) {
        let steps = self.steps;
        self.count(steps);
    }

    fn count(&mut self, done: usize) {
        self.watch.progress.add(done.saturating_sub(self.told));
        self.told = self.told.max(done);
    }
}

/// An epoch as the API tells it: of the scores on validation only the challenge's.
fn told(curve: &Curve) -> Value {
    let scores = curve.validation.as_ref().map(|m| {
        json!({"mean_f1": m.mean_f1, "l1_micro_f1": m.l1_micro_f1, "l1_macro_f1": m.l1_macro_f1,
            "l2_micro_f1": m.l2_micro_f1, "l2_macro_f1": m.l2_macro_f1})
    });
    json!({"epochs": curve.epochs, "pretraining": curve.pretraining, "loss": curve.loss,
        "learning_rate": curve.learning_rate, "validation": scores, "validation_loss": curve.validation_loss,
        "seconds": curve.seconds, "seconds_left": curve.seconds_left})
}

impl Hooks for Watched<'_> {
    fn epoch_done(&mut self, curve: &Curve) {
        let watch = self.watch;
        let (model, epoch) = (self.model as i32, curve.epoch as i32);
        let store = &watch.services.store;
        let told = told(curve);
        let write = store.insert_curve(watch.progress.job_id, model, &self.name, epoch, &told);
        if let Err(error) = watch.runtime.block_on(write) {
            tracing::warn!(%error, "an epoch's figures were not written");
        }
        self.count(curve.epoch + 1);
    }

    fn checkpoint(&mut self, bytes: Vec<u8>) {
        let watch = self.watch;
        let name = watch.checkpoint(self.model);
        let put = watch.services.blobs.put(&name, bytes);
        if let Err(error) = watch.runtime.block_on(put) {
            tracing::warn!(%error, "a checkpoint was not written");
        }
    }

    fn last_checkpoint(&mut self) -> Option<Vec<u8>> {
        let (blobs, name) = (&self.watch.services.blobs, self.watch.checkpoint(self.model));
        self.watch.runtime.block_on(async {
            if blobs.exists(&name).await.ok()? { blobs.get(&name).await.ok() } else { None }
        })
    }

    fn cancelled(&self) -> bool {
        !self.watch.progress.go_on()
    }
}
