//! The names, shapes and first values of a network's weights. Matrices are (out, in) as PyTorch has them.
//! `d` = network.dim, `h` = network.hidden, `K` classes, `D` the input's width, `V` the vocabulary, `F` =
//! frames.count, `T` the text budget.
//!
//! | name | shape | of |
//! |---|---|---|
//! | `input.mean`, `input.scale` | D | all: an input is (x - mean) * scale; not trained |
//! | `output.boost` | K | all with a prior boost: probabilities are multiplied and made to sum to 1; not trained |
//! | `layers.{i}.weight`, `.bias` | h, D or h; h | mlp: ReLU after each |
//! | `frames.proj.weight`, `.bias` | d, D; d | sequences with frames |
//! | `frames.position.weight` | F, d | sequences with frames |
//! | `text.embed.weight`, `text.position.weight` | V, d; T, d | sequences with text |
//! | `kind.weight` | 4, d | sequences: frame, title, ASR, OCR |
//! | `embed.norm.weight`, `.bias` | d | sequences: after value + position + kind |
//! | `cls` | d | single: first of the sequence; dual: first of the frames |
//! | `sep` | d | single: between frames and text; dual: first of the text |
//! | `{block}.norm1`, `.norm2` (`.weight`, `.bias`) | d | blocks, before attention and before the feed-forward part |
//! | `{block}.q`, `.k`, `.v`, `.o` (`.weight`, `.bias`) | d, d; d | attention |
//! | `{block}.ff1`, `.ff2` (`.weight`, `.bias`) | h, d; d, h | feed-forward with ReLU |
//! | `encoder.norm`, `text.norm`, `frames.norm`, `cross.text.norm`, `cross.frames.norm` | d | after the last block |
//! | `head.weight`, `head.bias` | K, in; K | all |
//! | `mlm.bias`, `mfm.*`, `vtm.*`, `contrast.*` | | auxiliary objectives; not needed to predict |
//!
//! Blocks: `encoder.{i}` in single; `text.encoder.{i}`, `frames.encoder.{i}`, then `cross.text.{i}` (queries
//! of text, keys and values of frames) and `cross.frames.{i}` in dual. Single's head reads the first
//! position and the mean of all live ones (2 d); dual's the means of text and frames before and after the
//! cross-attention, text first (4 d). Blocks are pre-norm: x + o(attention(norm1(x))), then x +
//! ff2(relu(ff1(norm2(x)))); cross-attention takes keys and values from the other stream as it entered the
//! layer, through the same norm1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tamis_core::train::Recipe;
use tamis_core::train::recipe::Family;

use crate::data::{Task, is_sequence, text_budget};

/// A named array, row-major.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// A network's weights by name.
pub type Weights = BTreeMap<String, Weight>;

/// How a weight begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum First {
    Zero,
    One,
    /// Uniform in +-sqrt(6 / (in + out)).
    Glorot,
    /// Normal with deviation 0.02 would start too small for narrow streams: uniform in +-1/sqrt(width).
    Embedding,
}

/// Whether gradient steps move it.
pub(crate) fn is_trained(name: &str) -> bool {
    !name.starts_with("input.") && !name.starts_with("output.")
}

/// Every weight of the network in order of name.
pub(crate) fn layout(recipe: &Recipe, task: &Task) -> BTreeMap<String, (Vec<usize>, First)> {
    let mut all = BTreeMap::new();
    let net = &recipe.network;
    let (d, h, k) = (net.dim, net.hidden, task.classes());
    let width = if is_sequence(recipe) { task.frame_dim } else { task.dense_dim };
    let mut put = |name: String, shape: Vec<usize>, first| _ = all.insert(name, (shape, first));
    let linear = |put: &mut dyn FnMut(String, Vec<usize>, First), name: &str, out: usize, input: usize| {
        put(format!("{name}.weight"), vec![out, input], First::Glorot);
        put(format!("{name}.bias"), vec![out], First::Zero);
    };
    let norm = |put: &mut dyn FnMut(String, Vec<usize>, First), name: &str| {
        put(format!("{name}.weight"), vec![d], First::One);
        put(format!("{name}.bias"), vec![d], First::Zero);
    };
    let block = |put: &mut dyn FnMut(String, Vec<usize>, First), name: &str| {
        norm(put, &format!("{name}.norm1"));
        norm(put, &format!("{name}.norm2"));
        for part in ["q", "k", "v", "o"] {
            linear(put, &format!("{name}.{part}"), d, d);
        }
        linear(put, &format!("{name}.ff1"), h, d);
        linear(put, &format!("{name}.ff2"), d, h);
    };
    let (frames, text) = (recipe.frames.count > 0, text_budget(recipe) > 0);
    if !is_sequence(recipe) || frames {
        put("input.mean".into(), vec![width], First::Zero);
        put("input.scale".into(), vec![width], First::One);
    }
    if recipe.balance.prior_boost > 0.0 {
        put("output.boost".into(), vec![k], First::One);
    }
    let features = match net.family {
        Family::Logistic | Family::Linear => width,
        Family::Mlp => {
            for i in 0..net.layers {
                linear(&mut put, &format!("layers.{i}"), h, if i == 0 { width } else { h });
            }
            h
        }
        Family::Single => {
            (0..net.layers).for_each(|i| block(&mut put, &format!("encoder.{i}")));
            norm(&mut put, "encoder.norm");
            2 * d
        }
        Family::Dual => {
            for stream in ["text", "frames"] {
                (0..net.layers).for_each(|i| block(&mut put, &format!("{stream}.encoder.{i}")));
                (0..net.layers).for_each(|i| block(&mut put, &format!("cross.{stream}.{i}")));
                norm(&mut put, &format!("{stream}.norm"));
                norm(&mut put, &format!("cross.{stream}.norm"));
            }
            4 * d
        }
    };
    linear(&mut put, "head", k, features);
    if is_sequence(recipe) {
        put("cls".into(), vec![d], First::Embedding);
        put("sep".into(), vec![d], First::Embedding);
        put("kind.weight".into(), vec![4, d], First::Embedding);
        norm(&mut put, "embed.norm");
        if frames {
            linear(&mut put, "frames.proj", d, width);
            put("frames.position.weight".into(), vec![recipe.frames.count, d], First::Embedding);
        }
        if text {
            put("text.embed.weight".into(), vec![task.vocabulary, d], First::Embedding);
            put("text.position.weight".into(), vec![text_budget(recipe), d], First::Embedding);
        }
        let a = &recipe.auxiliary;
        if a.mlm > 0.0 {
            put("mlm.bias".into(), vec![task.vocabulary], First::Zero);
        }
        if a.mfm > 0.0 {
            linear(&mut put, "mfm", width, d);
        }
        if a.vtm > 0.0 {
            linear(&mut put, "vtm", 2, features);
        }
        if a.contrastive > 0.0 {
            linear(&mut put, "contrast.frames", d, d);
            linear(&mut put, "contrast.text", d, d);
        }
    }
    all
}
