//! One epoch, and one step of it: a pass (two with R-Drop), the auxiliary objectives, FGM's second pass, and
//! the step itself.

use burn_tensor::Tensor;
use rand::seq::SliceRandom;
use rand_xoshiro::Xoshiro256Plus as Rng;
use tamis_core::arrays::rng;
use tamis_core::train::recipe::LossKind;

use super::{Hooks, Trainer};
use crate::FitError;
use crate::auxiliary::{objectives, told};
use crate::batch::{Batch, Sampling};
use crate::data::{is_sequence, text_budget};
use crate::loss::{Against, Row, r_drop, softmax};
use crate::network::forward;
use crate::optimiser::{AdamW, Gradients, ascend, follow, rate_share};
use crate::tape::{INPUT, Tape, numbers};

const EMBEDDING: &str = "text.embed.weight";

/// The generator of one purpose in one step.
fn chance(seed: u64, epoch: usize, step: usize, purpose: u64) -> Rng {
    let mixed = [epoch as u64, step as u64, purpose].into_iter().fold(seed, |h, v| {
        (h ^ v).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_add(0xd1b5_4a32_d192_ed03)
    });
    rng(mixed)
}

impl Trainer<'_, '_> {
    /// Mean loss and last rate of an epoch.
    pub(super) fn run_epoch(&mut self, pretraining: bool, hooks: &dyn Hooks) -> Result<(f32, f32), FitError> {
        let optimise = &self.recipe.optimise;
        let seed = self.recipe.seeds[0];
        if self.epoch == self.recipe.auxiliary.pretrain_epochs {
            // the labels begin with moments and a running mean of their own
            self.adam = AdamW::default();
            self.shadow = self.shadow.take().map(|_| self.weights.clone());
        }
        let mut rows = self.rows_of_an_epoch(pretraining);
        rows.shuffle(&mut chance(seed, self.epoch, 0, 0));
        let steps = rows.len().div_ceil(optimise.batch);
        let epochs = if pretraining { self.recipe.auxiliary.pretrain_epochs } else { optimise.epochs };
        let (mut sum, mut rate) = (0.0_f64, 0.0);
        for (step, rows) in rows.chunks(optimise.batch).enumerate() {
            if hooks.cancelled() {
                return Err(FitError::Cancelled);
            }
            let (loss, mut gradients) = self.gradients(rows, step, pretraining)?;
            if !loss.is_finite() {
                return Err(FitError::Diverged { epoch: self.epoch });
            }
            gradients.remove(INPUT);
            rate = optimise.learning_rate
                * rate_share(self.adam.steps, (epochs * steps) as u64, optimise.warmup);
            self.adam.step(&mut self.weights, &gradients, rate, self.recipe.regularise.weight_decay);
            if let Some(shadow) = &mut self.shadow {
                follow(shadow, &self.weights, self.recipe.regularise.ema, self.adam.steps);
            }
            sum += f64::from(loss);
        }
        Ok(((sum / steps.max(1) as f64) as f32, rate))
    }

    /// Loss and gradients of one batch.
    fn gradients(
        &mut self,
        rows: &[usize],
        step: usize,
        pretraining: bool,
    ) -> Result<(f32, Gradients), FitError> {
        let (recipe, task) = (self.recipe, self.task);
        let seed = recipe.seeds[0];
        let sampling = Sampling::Random { seed, epoch: self.epoch as u64 };
        let mut batch = self.batch(rows, sampling)?;
        let mut random = chance(seed, self.epoch, step, 1);
        if recipe.text.field_dropout > 0.0 && is_sequence(recipe) {
            batch.drop_fields(recipe.text.field_dropout, &mut random);
        }
        let fgm = if pretraining { 0.0 } else { recipe.regularise.fgm };
        let by_input = fgm > 0.0 && !(is_sequence(recipe) && text_budget(recipe) > 0);
        let mut first =
            Tape::recording(&self.weights, recipe.network.dropout, chance(seed, self.epoch, step, 2));
        let mut told_all = Vec::new();
        let mut loss = 0.0;
        let has_objectives = {
            let a = &recipe.auxiliary;
            is_sequence(recipe) && a.mlm + a.mfm + a.vtm + a.contrastive > 0.0
        };
        if has_objectives {
            let mean_frame = self.weights.get("input.mean").map_or(&[][..], |w| &w.values);
            for (value, tensor) in objectives(recipe, task, &first, &batch, mean_frame, &mut random) {
                loss += value;
                told_all.push(tensor);
            }
        }
        if by_input {
            first.track_input(&mut batch);
        }
        if !pretraining {
            let (value, tensor) = self.label_loss(&first, &batch, rows, true);
            loss += value;
            told_all.push(tensor);
        }
        let Some(total) = told_all.into_iter().reduce(|a: Tensor<1>, b| a + b) else {
            return Ok((0.0, Gradients::new()));
        };
        let mut gradients = first.gradients(&total);
        if fgm > 0.0 {
            let mut moved = Batch { tracked: false, ..batch };
            let mut weights = None;
            if by_input {
                let width = moved.input.len() / moved.n;
                let gradient = &gradients[INPUT];
                for (row, g) in moved.input.chunks_mut(width).zip(gradient.chunks(width)) {
                    ascend(row, g, fgm);
                }
            } else if let Some(gradient) = gradients.get(EMBEDDING) {
                let mut there = self.weights.clone();
                ascend(&mut there.get_mut(EMBEDDING).expect("has a gradient").values, gradient, fgm);
                weights = Some(there);
            }
            let dropout = chance(seed, self.epoch, step, 3);
            let tape =
                Tape::recording(weights.as_ref().unwrap_or(&self.weights), recipe.network.dropout, dropout);
            let (_, tensor) = self.label_loss(&tape, &moved, rows, false);
            for (name, g) in tape.gradients(&tensor) {
                match gradients.get_mut(&name) {
                    Some(sum) => sum.iter_mut().zip(g).for_each(|(s, g)| *s += g),
                    None => _ = gradients.insert(name, g),
                }
            }
        }
        Ok((loss, gradients))
    }

    /// Rows of the training set, then of the unlabelled one.
    fn batch(&self, rows: &[usize], sampling: Sampling) -> Result<Batch, FitError> {
        let labelled = self.data.train.rows();
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for &row in rows {
            if row < labelled { own.push(row) } else { other.push(row - labelled) }
        }
        let own = Batch::gather(self.recipe, self.task, &self.data.train, &own, sampling)?;
        match &self.data.unlabelled {
            Some(unlabelled) if !other.is_empty() => {
                Ok(own.with(Batch::gather(self.recipe, self.task, unlabelled, &other, sampling)?))
            }
            _ => Ok(own),
        }
    }

    /// The mean loss against the labels; ELR's running means move once a step, on the first call.
    fn label_loss(&mut self, tape: &Tape, batch: &Batch, rows: &[usize], moves: bool) -> (f32, Tensor<1>) {
        let (k, n) = (self.task.classes(), rows.len());
        let strength = self.recipe.regularise.r_drop;
        let out = forward(self.recipe, tape, batch).logits;
        let (mut p, mut g) = (numbers(out.clone().detach()), vec![0.0; n * k]);
        p.chunks_mut(k).for_each(softmax);
        let spec = &self.recipe.loss;
        if spec.kind == LossKind::Elr && moves {
            for (p, &row) in p.chunks(k).zip(rows) {
                let memory = &mut self.memory[row * k..(row + 1) * k];
                memory.iter_mut().zip(p).for_each(|(m, p)| *m = spec.beta * *m + (1.0 - spec.beta) * p);
            }
        }
        let mut loss = self.against(&p, rows, &mut g);
        if strength == 0.0 {
            g.iter_mut().for_each(|g| *g /= n as f32);
            return (loss / n as f32, told(tape, out, g));
        }
        let again = forward(self.recipe, tape, batch).logits;
        let (mut q, mut h) = (numbers(again.clone().detach()), vec![0.0; n * k]);
        q.chunks_mut(k).for_each(softmax);
        loss = (loss + self.against(&q, rows, &mut h)) / 2.0;
        g.iter_mut().chain(&mut h).for_each(|g| *g /= 2.0);
        for i in 0..n {
            let at = i * k..(i + 1) * k;
            loss += r_drop(&p[at.clone()], &q[at.clone()], strength, &mut g[at.clone()], &mut h[at]);
        }
        g.iter_mut().chain(&mut h).for_each(|g| *g /= n as f32);
        (loss / n as f32, told(tape, out, g) + told(tape, again, h))
    }

    /// Sum of the rows' losses; adds their gradients.
    fn against(&self, p: &[f32], rows: &[usize], gradient: &mut [f32]) -> f32 {
        let k = self.task.classes();
        let against =
            Against { loss: &self.recipe.loss, roots: &self.task.roots, noise: self.task.noise.as_ref() };
        let mut target = vec![0.0; k];
        let mut sum = 0.0;
        for (i, &row) in rows.iter().enumerate() {
            self.data.train.targets.write(row, &mut target);
            let memory = if self.memory.is_empty() { &[][..] } else { &self.memory[row * k..(row + 1) * k] };
            let this =
                Row { target: &target, weight: self.weight_of(row), state: self.state_of(row), memory };
            sum += against.row(&p[i * k..(i + 1) * k], &this, &mut gradient[i * k..(i + 1) * k]);
        }
        sum
    }
}
