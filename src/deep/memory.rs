//! How much memory a training needs, said before it starts.

use tamis_core::train::Recipe;
use tamis_core::train::recipe::LossKind;

use crate::data::{Task, is_sequence, text_budget};
use crate::names::layout;

/// About how many bytes [`fit`](crate::fit) holds beyond the borrowed examples, for `rows` training rows: the
/// weights eight times over (themselves, leaf, gradient, two moments, running mean, best, checkpoint), what is
/// recorded of a batch, and ELR's running means.
pub fn memory_needed(recipe: &Recipe, task: &Task, rows: usize) -> u64 {
    let weights: usize =
        layout(recipe, task).values().map(|(shape, _)| shape.iter().product::<usize>()).sum();
    let net = &recipe.network;
    let recorded = if is_sequence(recipe) {
        let s = recipe.frames.count + text_budget(recipe) + 2;
        // a block keeps about twelve arrays of the stream, two of the hidden layer, four of the scores
        let block = s * (12 * net.dim + 2 * net.hidden) + 4 * net.heads * s * s;
        let streams = if net.family == tamis_core::train::recipe::Family::Dual { 2 } else { 1 };
        s * (task.frame_dim + 6 * net.dim) + net.layers * streams * block
    } else {
        4 * task.dense_dim + 4 * net.hidden * net.layers
    };
    let a = &recipe.auxiliary;
    let passes = 1
        + usize::from(recipe.regularise.r_drop > 0.0)
        + usize::from(a.mlm + a.mfm + a.contrastive > 0.0)
        + usize::from(a.vtm > 0.0);
    // 15 % of the tokens guess among the vocabulary, with logits and gradient
    let guesses = if a.mlm > 0.0 { text_budget(recipe) * task.vocabulary * 3 * 15 / 100 } else { 0 };
    let batch = recipe.optimise.batch.min(rows.max(1)) * (recorded * passes + 6 * task.classes() + guesses);
    let memory = if recipe.loss.kind == LossKind::Elr { rows * task.classes() } else { 0 };
    4 * (8 * weights + batch + memory) as u64
}
