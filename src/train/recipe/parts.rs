//! The sections of a recipe, with what each key means. A weight or strength of 0 switches its trick off.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::train::selection::DEFAULT_GRID;
use crate::train::text::Unit;

/// What is trained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Multinomial logistic regression on standardised pooled vectors, to the optimum.
    #[default]
    Logistic,
    /// One layer on pooled vectors, by gradient steps, with any loss.
    Linear,
    /// Hidden layers with ReLU on pooled vectors.
    Mlp,
    /// One transformer over frames and text tokens.
    Single,
    /// A text and a frame transformer with cross-attention both ways.
    Dual,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Network {
    pub family: Family,
    /// Width of the transformer's stream; a multiple of `heads`.
    pub dim: usize,
    /// Hidden layers of an mlp; transformer blocks (of each encoder, and of the cross-attention, in dual).
    pub layers: usize,
    pub heads: usize,
    /// Width of the hidden layers; of a block's feed-forward part in a transformer.
    pub hidden: usize,
    /// In [0, 0.9].
    pub dropout: f32,
}

impl Default for Network {
    fn default() -> Self {
        Self { family: Family::Logistic, dim: 128, layers: 1, heads: 4, hidden: 256, dropout: 0.1 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Logistic {
    /// Inverse regularisation in scikit-learn's convention on standardised features, ascending. With
    /// several values the lowest out-of-fold log-loss on the given (noisy) labels decides.
    pub c: Vec<f32>,
    /// L-BFGS iterations per fit.
    pub max_iterations: usize,
}

impl Default for Logistic {
    fn default() -> Self {
        Self { c: DEFAULT_GRID.to_vec(), max_iterations: 200 }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Frames {
    /// Frames read of a clip, 0 to 32: random and in order in training, an even spread in evaluation.
    pub count: usize,
}

impl Default for Frames {
    fn default() -> Self {
        Self { count: 8 }
    }
}

/// What the vectors of tokens start as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokensFrom {
    /// Drawn by the seed.
    #[default]
    Random,
    /// The text encoder's vectors of the tokens' own texts, projected to the network's width.
    Encoder,
}

/// Tokens read of each field; 0 leaves a field out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// How text is cut.
    pub unit: Unit,
    pub title: usize,
    pub asr: usize,
    pub ocr: usize,
    /// Chance that a field (all frames, title, ASR or OCR) of a sample is hidden in a training step.
    pub field_dropout: f32,
    /// What the vectors of tokens start as; they are trained all the same.
    #[serde(default)]
    pub tokens_from: TokensFrom,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            unit: Unit::Char,
            title: 32,
            asr: 32,
            ocr: 32,
            field_dropout: 0.0,
            tokens_from: TokensFrom::Random,
        }
    }
}

/// What a prediction is punished by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// Cross-entropy.
    #[default]
    Ce,
    /// Generalised cross-entropy, (1 - p^q) / q.
    Gce,
    /// Symmetric cross-entropy, alpha CE + beta (-ln 1e-4) (1 - p).
    Sce,
    /// Early-learning regularisation, CE + lambda ln(1 - <p, t>), t a running mean of the predictions.
    Elr,
    /// Cross-entropy of T'p, T the estimated noise matrix.
    Forward,
    /// CE on clean samples, GCE on unclear ones, soft CE to the given targets on wrong ones.
    ThreeState,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    pub kind: LossKind,
    /// Share of the target spread evenly over all classes, in [0, 0.9].
    pub smoothing: f32,
    /// GCE's exponent, in (0, 1].
    pub q: f32,
    /// SCE's weight of CE.
    pub alpha: f32,
    /// SCE's weight of the reverse term; ELR's momentum, then below 1.
    pub beta: f32,
    /// ELR's strength.
    pub lambda: f32,
    /// Weight of the cross-entropy of the level-1 probabilities (sums over each root's classes).
    pub level1_weight: f32,
    /// Weighs samples by the scan.
    pub sample_weights: bool,
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            kind: LossKind::Ce,
            smoothing: 0.0,
            q: 0.7,
            alpha: 1.0,
            beta: 0.7,
            lambda: 3.0,
            level1_weight: 0.0,
            sample_weights: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Regularise {
    /// Decay of the weights' running mean, which is what is evaluated and kept; in [0, 1).
    pub ema: f32,
    /// Length of the step against the gradient on the embeddings (the inputs, without a sequence).
    pub fgm: f32,
    /// Weight of the symmetric KL between two passes with different dropout.
    pub r_drop: f32,
    /// AdamW's, on matrices.
    pub weight_decay: f32,
    /// Epochs without a better validation score before the training stops.
    pub patience: usize,
}

impl Default for Regularise {
    fn default() -> Self {
        Self { ema: 0.0, fgm: 0.0, r_drop: 0.0, weight_decay: 0.01, patience: 3 }
    }
}

/// Weights of the auxiliary objectives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Auxiliary {
    /// Masked tokens are guessed.
    pub mlm: f32,
    /// Masked frames are told from the batch's frames.
    pub mfm: f32,
    /// Whether frames and text belong together.
    pub vtm: f32,
    /// Title and frames of a sample find each other in the batch.
    pub contrastive: f32,
    /// Epochs of the objectives alone, on labelled and unlabelled samples, before the labels are used.
    pub pretrain_epochs: usize,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Balance {
    /// Samples of classes below 100, 500, 1,000 samples are seen 5, 3, 2 times an epoch.
    pub oversample: bool,
    /// Exponent of inverse class frequencies as weights, in [0, 1].
    pub damped: f32,
    /// Probabilities are multiplied by 1 + this / count of the class.
    pub prior_boost: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Optimise {
    pub epochs: usize,
    pub batch: usize,
    /// Peak rate of AdamW; falls linearly to zero after the warm-up.
    pub learning_rate: f32,
    /// Share of the steps in which the rate rises.
    pub warmup: f32,
}

impl Default for Optimise {
    fn default() -> Self {
        Self { epochs: 10, batch: 256, learning_rate: 1e-3, warmup: 0.05 }
    }
}

/// How students learn from teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Distil {
    /// Of the teachers' probabilities.
    pub temperature: f32,
    /// Weight of the teachers' arg-max in a target, the rest being their probabilities; in [0, 1].
    pub hard_share: f32,
    /// Classes with fewer labels than this are topped up to it by the surest pseudo-labels, and no others are
    /// used; 0: all pseudo-labels.
    pub quota: usize,
    /// Students, one after the other; each but the last joins the teachers of the next.
    pub rounds: usize,
}

impl Default for Distil {
    fn default() -> Self {
        Self { temperature: 1.0, hard_share: 0.5, quota: 0, rounds: 1 }
    }
}

/// A recipe whose models join an ensemble.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Member {
    /// A preset that describes a network.
    pub recipe: String,
    /// Instead of that recipe's own.
    #[serde(default)]
    pub seeds: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StageKind {
    /// Trains teachers on the labels.
    Teachers,
    /// Trains a student on what the teachers say of unlabelled samples.
    Distil,
    /// Goes on with the student, on the labels.
    Finetune,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub kind: StageKind,
    /// A preset.
    pub recipe: String,
}
