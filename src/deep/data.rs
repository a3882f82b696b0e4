//! What a network is trained on: borrowed rows, one a sample.

use ndarray::{Array2, ArrayView2};
use tamis_core::train::Recipe;
use tamis_core::train::recipe::{Family, LossKind};
use tamis_core::train::text::Tokens;

use crate::FitError;

/// The frame vectors of samples.
pub trait FrameSource: Sync {
    /// Appends all frames of a row in order of time to `out`, [f, dim] row-major, f >= 0.
    fn load(&self, row: usize, out: &mut Vec<f32>) -> Result<(), String>;
}

/// How sure a scan is of a sample's label; for `loss.kind = "three_state"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Clean,
    Unclear,
    Wrong,
}

/// What the rows should be recognised as.
#[derive(Clone, Copy)]
pub enum Targets<'a> {
    /// Classes, (N).
    Hard(&'a [u32]),
    /// Probabilities, (N, K).
    Soft(ArrayView2<'a, f32>),
    /// Probabilities with a share of their own arg-max, in [0, 1].
    Blend { soft: ArrayView2<'a, f32>, hard_share: f32 },
}

/// N samples; what the recipe does not read may be left out.
#[derive(Clone, Copy)]
pub struct Examples<'a> {
    pub frames: Option<&'a dyn FrameSource>,
    /// Pooled vectors, (N, dense_dim); for linear and mlp.
    pub dense: Option<ArrayView2<'a, f32>>,
    pub tokens: Option<&'a [Tokens]>,
    pub targets: Targets<'a>,
    /// (N), >= 0; read with `loss.sample_weights`.
    pub weights: Option<&'a [f32]>,
    /// (N); read with `loss.kind = "three_state"`.
    pub states: Option<&'a [State]>,
}

/// The data of one training.
pub struct Data<'a> {
    pub train: Examples<'a>,
    /// Stops the training; its targets are hard. Without rows the last epoch's weights are kept.
    pub valid: Examples<'a>,
    /// More rows for pretraining; their targets are not read.
    pub unlabelled: Option<Examples<'a>>,
    /// Weights to go on from, of the same recipe and task.
    pub start: Option<&'a crate::Weights>,
    /// First vectors of the tokens, (vocabulary, network.dim); rows of zeros are drawn. Read with `text.tokens_from =
    /// "encoder"`, where the training does not go on from other weights.
    pub token_vectors: Option<ArrayView2<'a, f32>>,
}

/// What is to be told apart, and how wide the inputs are.
#[derive(Clone, Debug)]
pub struct Task {
    /// Level-1 node of each class; as many as classes.
    pub roots: Vec<usize>,
    pub dense_dim: usize,
    pub frame_dim: usize,
    /// Ids in the vocabulary.
    pub vocabulary: usize,
    /// P(given = j | true = i), (K, K); for `loss.kind = "forward"`.
    pub noise: Option<Array2<f32>>,
}

impl Task {
    pub(crate) fn classes(&self) -> usize {
        self.roots.len()
    }
}

/// Whether the family reads frames and text rather than pooled vectors.
pub(crate) fn is_sequence(recipe: &Recipe) -> bool {
    matches!(recipe.network.family, Family::Single | Family::Dual)
}

/// Tokens read of a sample at most.
pub(crate) fn text_budget(recipe: &Recipe) -> usize {
    recipe.text.title + recipe.text.asr + recipe.text.ocr
}

impl Targets<'_> {
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Hard(y) => y.len(),
            Self::Soft(p) | Self::Blend { soft: p, .. } => p.nrows(),
        }
    }

    /// Writes the target of a row, which sums to 1.
    pub(crate) fn write(&self, row: usize, out: &mut [f32]) {
        match self {
            Self::Hard(y) => {
                out.fill(0.0);
                out[y[row] as usize] = 1.0;
            }
            Self::Soft(p) => p.row(row).iter().zip(out).for_each(|(p, o)| *o = *p),
            Self::Blend { soft, hard_share } => {
                soft.row(row).iter().zip(&mut *out).for_each(|(p, o)| *o = p * (1.0 - hard_share));
                out[self.class(row)] += hard_share;
            }
        }
    }

    /// The class, or the likeliest.
    pub(crate) fn class(&self, row: usize) -> usize {
        match self {
            Self::Hard(y) => y[row] as usize,
            Self::Soft(p) | Self::Blend { soft: p, .. } => {
                let best =
                    |best: (usize, f32), (k, &p): (usize, &f32)| if p > best.1 { (k, p) } else { best };
                p.row(row).iter().enumerate().fold((0, f32::MIN), best).0
            }
        }
    }
}

impl Examples<'_> {
    pub(crate) fn rows(&self) -> usize {
        self.targets.rows()
    }

    /// Refuses what the recipe cannot read.
    pub(crate) fn check(&self, recipe: &Recipe, task: &Task) -> Result<(), FitError> {
        let (n, k) = (self.rows(), task.classes());
        let same = |what, got: usize, want: usize| {
            if got == want { Ok(()) } else { Err(FitError::Shape { what, got, want }) }
        };
        match self.targets {
            Targets::Hard(y) => {
                if let Some(row) = y.iter().position(|&c| c as usize >= k) {
                    return Err(FitError::Range { what: "class", row });
                }
            }
            Targets::Soft(p) | Targets::Blend { soft: p, .. } => {
                same("classes of the targets", p.ncols(), k)?
            }
        }
        if is_sequence(recipe) {
            if recipe.frames.count > 0 && self.frames.is_none() {
                return Err(FitError::Missing("frames"));
            }
            if text_budget(recipe) > 0 {
                let tokens = self.tokens.ok_or(FitError::Missing("tokens"))?;
                same("rows of tokens", tokens.len(), n)?;
                let bad = |t: &Tokens| {
                    t.ids.len() != t.kinds.len()
                        || t.ids.iter().any(|&id| id as usize >= task.vocabulary)
                        || t.kinds.iter().any(|&k| k > 2)
                };
                if let Some(row) = tokens.iter().position(bad) {
                    return Err(FitError::Range { what: "token", row });
                }
            }
        } else {
            let dense = self.dense.ok_or(FitError::Missing("pooled vectors"))?;
            same("rows of vectors", dense.nrows(), n)?;
            same("columns of vectors", dense.ncols(), task.dense_dim)?;
        }
        if recipe.loss.sample_weights {
            same("sample weights", self.weights.ok_or(FitError::Missing("sample weights"))?.len(), n)?;
        }
        if recipe.loss.kind == LossKind::ThreeState {
            same("sample states", self.states.ok_or(FitError::Missing("sample states"))?.len(), n)?;
        }
        Ok(())
    }
}
