//! Single-stream and dual-stream transformers over frames and text tokens; names.rs says the layers.

use burn_tensor::{Tensor, activation};
use tamis_core::train::Recipe;
use tamis_core::train::recipe::Family;

use super::Out;
use crate::batch::{Batch, FRAMES};
use crate::tape::{Tape, attend};

/// Added to the score of what is not there.
const AWAY: f32 = -1e9;

/// A stretch of a sequence: states (n, s, d), and which are live, (n, s).
struct Stretch {
    states: Tensor<3>,
    live: Vec<f32>,
}

impl Stretch {
    fn len(&self) -> usize {
        self.states.dims()[1]
    }

    /// (n, 1, 1, s): 0 where live.
    fn bias(&self, tape: &Tape) -> Tensor<4> {
        let [n, s, _] = self.states.dims();
        let bias = self.live.iter().map(|l| if *l > 0.0 { 0.0 } else { AWAY }).collect();
        tape.data(bias, [n, 1, 1, s])
    }

    fn mean(&self, tape: &Tape) -> Tensor<2> {
        mean(tape, self.states.clone(), &self.live)
    }
}

/// Mean of the live states; zero where there is none.
pub(crate) fn mean(tape: &Tape, states: Tensor<3>, live: &[f32]) -> Tensor<2> {
    let [n, s, d] = states.dims();
    let mut share = live.to_vec();
    for row in share.chunks_mut(s) {
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|l| *l /= sum.max(1.0));
    }
    tape.data(share, [n, 1, s]).matmul(states).reshape([n, d])
}

/// Rows of one vector before a stretch: (n, 1, d), always live.
fn marker(tape: &Tape, name: &str, n: usize) -> Tensor<3> {
    let v = tape.weight::<1>(name);
    let d = v.dims()[0];
    v.reshape([1, 1, d]).expand([n, 1, d])
}

fn with_marker(tape: &Tape, name: &str, part: Option<Stretch>, n: usize) -> Stretch {
    let first = tape.norm(marker(tape, name, n), "embed.norm");
    let Some(part) = part else { return Stretch { states: first, live: vec![1.0; n] } };
    let s = part.len();
    let mut live = Vec::with_capacity(n * (s + 1));
    for row in part.live.chunks(s) {
        live.push(1.0);
        live.extend(row);
    }
    Stretch { states: Tensor::cat(vec![first, part.states], 1), live }
}

/// Frame vectors as states.
fn frames(recipe: &Recipe, tape: &Tape, batch: &Batch) -> Option<Stretch> {
    let count = recipe.frames.count;
    if batch.frame_live.is_empty() {
        return None;
    }
    let width = batch.input.len() / (batch.n * count);
    let x = tape.input(batch, [batch.n * count, width]);
    let x = (x - tape.weight::<1>("input.mean").unsqueeze::<2>())
        * tape.weight::<1>("input.scale").unsqueeze::<2>();
    let d = recipe.network.dim;
    let x = tape.linear(x, "frames.proj").reshape([batch.n, count, d]);
    let kind = tape.weight::<2>("kind.weight").narrow(0, FRAMES as usize, 1).reshape([1, 1, d]);
    let states = x + tape.weight::<2>("frames.position.weight").reshape([1, count, d]) + kind;
    let states = tape.dropout(tape.norm(states, "embed.norm"));
    Some(Stretch { states, live: batch.frame_live.clone() })
}

/// Tokens as states.
fn text(recipe: &Recipe, tape: &Tape, batch: &Batch) -> Option<Stretch> {
    if batch.text_live.is_empty() {
        return None;
    }
    let (n, t, d) = (batch.n, batch.length, recipe.network.dim);
    let ids = tape.embedding("text.embed.weight", tape.whole(batch.ids.clone(), [n, t]));
    let kinds = tape.embedding("kind.weight", tape.whole(batch.kinds.clone(), [n, t]));
    let positions = tape.weight::<2>("text.position.weight").narrow(0, 0, t).reshape([1, t, d]);
    let states = tape.dropout(tape.norm(ids + kinds + positions, "embed.norm"));
    Some(Stretch { states, live: batch.text_live.clone() })
}

/// One block; `other` gives keys and values instead of the stretch itself.
fn block(
    recipe: &Recipe,
    tape: &Tape,
    name: &str,
    x: Tensor<3>,
    other: Option<Tensor<3>>,
    bias: Tensor<4>,
) -> Tensor<3> {
    let part = |p: &str| format!("{name}.{p}");
    let normed = tape.norm(x.clone(), &part("norm1"));
    let source = other.map_or_else(|| normed.clone(), |o| tape.norm(o, &part("norm1")));
    let (q, k, v) = (
        tape.linear(normed, &part("q")),
        tape.linear(source.clone(), &part("k")),
        tape.linear(source, &part("v")),
    );
    let attended = tape.linear(attend(q, k, v, bias, recipe.network.heads), &part("o"));
    let x = x + tape.dropout(attended);
    let inner = activation::relu(tape.linear(tape.norm(x.clone(), &part("norm2")), &part("ff1")));
    x + tape.dropout(tape.linear(inner, &part("ff2")))
}

fn encode(recipe: &Recipe, tape: &Tape, prefix: &str, norm: &str, mut part: Stretch) -> Stretch {
    let bias = part.bias(tape);
    for i in 0..recipe.network.layers {
        part.states = block(recipe, tape, &format!("{prefix}.{i}"), part.states, None, bias.clone());
    }
    part.states = tape.norm(part.states, norm);
    part
}

pub(super) fn forward(recipe: &Recipe, tape: &Tape, batch: &Batch) -> Out {
    let (frames, text) = (frames(recipe, tape, batch), text(recipe, tape, batch));
    if recipe.network.family == Family::Dual {
        dual(recipe, tape, batch.n, frames, text)
    } else {
        single(recipe, tape, batch.n, frames, text)
    }
}

fn single(recipe: &Recipe, tape: &Tape, n: usize, frames: Option<Stretch>, text: Option<Stretch>) -> Out {
    let alone = |part: &Option<Stretch>| part.as_ref().map(|p| p.states.clone());
    let (frames_alone, text_alone) = (alone(&frames), alone(&text));
    let counted = |part: &Option<Stretch>| part.as_ref().map_or(0, Stretch::len);
    let (f, t) = (counted(&frames), counted(&text));
    let first = with_marker(tape, "cls", frames, n);
    let second = with_marker(tape, "sep", text, n);
    let live =
        first.live.chunks(1 + f).zip(second.live.chunks(1 + t)).flat_map(|(a, b)| [a, b].concat()).collect();
    let whole = Stretch { states: Tensor::cat(vec![first.states, second.states], 1), live };
    let whole = encode(recipe, tape, "encoder", "encoder.norm", whole);
    let d = recipe.network.dim;
    let cls = whole.states.clone().narrow(1, 0, 1).reshape([n, d]);
    let features = Tensor::cat(vec![cls, whole.mean(tape)], 1);
    let cut = |from: usize, len: usize| (len > 0).then(|| whole.states.clone().narrow(1, from, len));
    Out {
        logits: tape.linear(tape.dropout(features.clone()), "head"),
        features,
        text: cut(2 + f, t),
        frames: cut(1, f),
        text_alone,
        frames_alone,
    }
}

fn dual(recipe: &Recipe, tape: &Tape, n: usize, frames: Option<Stretch>, text: Option<Stretch>) -> Out {
    let (has_frames, has_text) = (frames.is_some(), text.is_some());
    let frames = encode(recipe, tape, "frames.encoder", "frames.norm", with_marker(tape, "cls", frames, n));
    let text = encode(recipe, tape, "text.encoder", "text.norm", with_marker(tape, "sep", text, n));
    let (mut t, mut f) = (text.states.clone(), frames.states.clone());
    let (text_bias, frames_bias) = (text.bias(tape), frames.bias(tape));
    for i in 0..recipe.network.layers {
        let (from_text, from_frames) = (t.clone(), f.clone());
        t = block(recipe, tape, &format!("cross.text.{i}"), t, Some(from_frames), frames_bias.clone());
        f = block(recipe, tape, &format!("cross.frames.{i}"), f, Some(from_text), text_bias.clone());
    }
    let fused_text = Stretch { states: tape.norm(t, "cross.text.norm"), live: text.live.clone() };
    let fused_frames = Stretch { states: tape.norm(f, "cross.frames.norm"), live: frames.live.clone() };
    let features =
        Tensor::cat([&text, &frames, &fused_text, &fused_frames].map(|s| s.mean(tape)).to_vec(), 1);
    // what follows the marker
    let rest = |part: &Stretch, there: bool| there.then(|| part.states.clone().narrow(1, 1, part.len() - 1));
    Out {
        logits: tape.linear(tape.dropout(features.clone()), "head"),
        features,
        text: rest(&fused_text, has_text),
        frames: rest(&fused_frames, has_frames),
        text_alone: rest(&text, has_text),
        frames_alone: rest(&frames, has_frames),
    }
}
