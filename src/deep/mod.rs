//! Networks trained by gradient steps on stored embeddings: `linear` and `mlp` on pooled vectors, `single`
//! and `dual` on frame vectors and text tokens. Arrays in, weights and probabilities out: no database, no
//! files, no async. Same recipe, data and seed: same bytes on the CPU, whatever was interrupted and resumed.
//!
//! Burn gives the tensors and the gradients through the networks (on the CPU, or a GPU with the feature
//! `cuda`); the losses, AdamW and the regularisers are plain loops over numbers, checked by hand.

mod auxiliary;
mod batch;
mod checkpoint;
mod data;
mod error;
mod fit;
mod fitted;
mod loss;
mod memory;
mod names;
mod network;
mod optimiser;
mod tape;
#[cfg(test)]
mod tests;

pub use data::{Data, Examples, FrameSource, State, Targets, Task};
pub use error::FitError;
pub use fit::{Curve, Hooks, fit};
pub use fitted::Fitted;
pub use memory::memory_needed;
pub use names::{Weight, Weights};
