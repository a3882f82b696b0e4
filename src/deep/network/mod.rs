//! The families' forward passes: a batch in, logits and what the auxiliary objectives read out.

mod sequence;

pub(crate) use self::sequence::mean;

use burn_tensor::{Tensor, activation};
use tamis_core::train::Recipe;
use tamis_core::train::recipe::Family;

use crate::batch::Batch;
use crate::data::is_sequence;
use crate::tape::Tape;

/// What a pass gives.
pub(crate) struct Out {
    /// (n, K)
    pub(crate) logits: Tensor<2>,
    /// What the head reads.
    pub(crate) features: Tensor<2>,
    /// Last states of text (n, T, d) and frames (n, F, d).
    pub(crate) text: Option<Tensor<3>>,
    pub(crate) frames: Option<Tensor<3>>,
    /// States of text and frames before either saw the other.
    pub(crate) text_alone: Option<Tensor<3>>,
    pub(crate) frames_alone: Option<Tensor<3>>,
}

/// Runs the network once.
pub(crate) fn forward(recipe: &Recipe, tape: &Tape, batch: &Batch) -> Out {
    if is_sequence(recipe) {
        return sequence::forward(recipe, tape, batch);
    }
    let x = tape.input(batch, [batch.n, batch.input.len() / batch.n]);
    let mut x = (x - tape.weight::<1>("input.mean").unsqueeze::<2>())
        * tape.weight::<1>("input.scale").unsqueeze::<2>();
    if recipe.network.family == Family::Mlp {
        for i in 0..recipe.network.layers {
            x = tape.dropout(activation::relu(tape.linear(x, &format!("layers.{i}"))));
        }
    } else {
        x = tape.dropout(x);
    }
    Out {
        logits: tape.linear(x.clone(), "head"),
        features: x,
        text: None,
        frames: None,
        text_alone: None,
        frames_alone: None,
    }
}
