//! The networks as ONNX, from their weights by name (the names, shapes and layers are those of `tamis_deep`'s
//! `names`): multi-layer heads on pooled vectors, and single- and dual-stream transformers over frames and
//! text. Evaluation only: no dropout, and the auxiliary objectives' weights are left out.

use std::collections::BTreeMap;

use super::graph::{Graph, float, int, ints, real, whole};
use super::proto::FLOAT;
use super::{FRAMES, FRAMES_LIVE, INPUT, LOGITS, PROBABILITIES, TOKEN_KINDS, TOKENS};

/// Added to the score of what is not there.
const AWAY: f32 = 1e9;
/// Added to variances before their root in layer normalisation.
const EPSILON: f32 = 1e-5;

/// What the layers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `layers` hidden layers of ReLU units on pooled vectors; 0 is a linear head.
    Dense,
    /// One transformer over `[CLS] frames [SEP] text`.
    Single,
    /// A transformer each for frames and text, then cross-attention both ways.
    Dual,
}

/// A named array, row-major.
#[derive(Clone, Copy, Debug)]
pub struct Weight<'a> {
    pub shape: &'a [usize],
    pub values: &'a [f32],
}

/// A network to be written.
#[derive(Clone, Debug)]
pub struct Network<'a> {
    pub family: Family,
    /// Hidden layers, or blocks of each stack.
    pub layers: usize,
    /// Attention heads, >= 1, a divisor of the width; not read for [`Family::Dense`].
    pub heads: usize,
    pub weights: BTreeMap<&'a str, Weight<'a>>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OnnxError {
    #[error("the network has no weight {0:?}")]
    Missing(String),
    #[error("weight {name:?} has shape {shape:?} and {values} values, which its layer cannot have")]
    Shape { name: String, shape: Vec<usize>, values: usize },
    #[error("{heads} attention heads do not divide a width of {width}")]
    Heads { heads: usize, width: usize },
}

/// The network as the bytes of an ONNX file; `metadata` becomes `metadata_props` in the given order. Inputs
/// are those of [`super`] that the network has weights for: `embedding`, or `frames` with `frames_live` and
/// `tokens` with `token_kinds`; outputs `logits` and `probabilities`, the latter with the prior boost where
/// there is one. O(weights).
///
/// # Errors
/// A weight that is missing or of a shape that its layer cannot have; heads that do not divide the width.
pub fn write_network(network: &Network<'_>, metadata: &[(String, String)]) -> Result<Vec<u8>, OnnxError> {
    let name = match network.family {
        Family::Dense => "dense",
        Family::Single => "single_stream",
        Family::Dual => "dual_stream",
    };
    let mut w = Writer { network, graph: Graph::new(name) };
    let features = match network.family {
        Family::Dense => w.dense()?,
        Family::Single => w.single()?,
        Family::Dual => w.dual()?,
    };
    w.head(&features)?;
    Ok(w.graph.into_bytes(metadata))
}

/// Names of the states of a stretch of a sequence, [batch, s, d], and of its live places, [batch, s].
#[derive(Clone)]
struct Stretch {
    states: String,
    live: String,
}

struct Writer<'n, 'a> {
    network: &'n Network<'a>,
    graph: Graph,
}

impl<'a> Writer<'_, 'a> {
    fn dense(&mut self) -> Result<String, OnnxError> {
        let width = self.get("input.mean", 1)?.shape[0];
        self.graph.input(float(INPUT, &["batch"], &[width]));
        let mut x = self.standardised(INPUT)?;
        for i in 0..self.network.layers {
            x = self.linear(&x, &format!("layers.{i}"))?;
            x = self.graph.op("Relu", &[&x], vec![]);
        }
        Ok(x)
    }

    fn single(&mut self) -> Result<String, OnnxError> {
        let [first, second] = self.streams()?;
        let states = self.graph.op("Concat", &[&first.states, &second.states], vec![int("axis", 1)]);
        let live = self.graph.op("Concat", &[&first.live, &second.live], vec![int("axis", 1)]);
        let whole = self.encode("encoder", "encoder.norm", Stretch { states, live })?;
        let zero = self.graph.whole(&[0]);
        let one = self.graph.whole(&[1]);
        let cls = self.graph.op("Slice", &[&whole.states, &zero, &one, &one], vec![]);
        let cls = self.flat(&cls)?;
        let mean = self.mean(&whole)?;
        Ok(self.graph.op("Concat", &[&cls, &mean], vec![int("axis", 1)]))
    }

    fn dual(&mut self) -> Result<String, OnnxError> {
        let [frames, text] = self.streams()?;
        let frames = self.encode("frames.encoder", "frames.norm", frames)?;
        let text = self.encode("text.encoder", "text.norm", text)?;
        let (text_bias, frames_bias) = (self.bias(&text), self.bias(&frames));
        let (mut t, mut f) = (text.states.clone(), frames.states.clone());
        for i in 0..self.network.layers {
            let next = self.block(&format!("cross.text.{i}"), &t, Some(&f), &frames_bias)?;
            f = self.block(&format!("cross.frames.{i}"), &f, Some(&t), &text_bias)?;
            t = next;
        }
        let fused_text = Stretch { states: self.norm(&t, "cross.text.norm")?, live: text.live.clone() };
        let fused_frames = Stretch { states: self.norm(&f, "cross.frames.norm")?, live: frames.live.clone() };
        let mut means = Vec::new();
        for stretch in [&text, &frames, &fused_text, &fused_frames] {
            means.push(self.mean(stretch)?);
        }
        let means: Vec<&str> = means.iter().map(String::as_str).collect();
        Ok(self.graph.op("Concat", &means, vec![int("axis", 1)]))
    }

    /// Frames behind their marker and text behind its own; the marker alone where the network reads none.
    fn streams(&mut self) -> Result<[Stretch; 2], OnnxError> {
        let (d, heads) = (self.width()?, self.network.heads);
        if heads == 0 || !d.is_multiple_of(heads) {
            return Err(OnnxError::Heads { heads, width: d });
        }
        let frames = self.has("frames.proj.weight").then(|| self.frames()).transpose()?;
        let text = self.has("text.embed.weight").then(|| self.text()).transpose()?;
        let any = frames.as_ref().or(text.as_ref());
        let any = any.ok_or_else(|| OnnxError::Missing("frames.proj.weight".to_owned()))?;
        // [batch, 1] zeros tell the size of the batch
        let axis = self.graph.whole(&[1]);
        let sum = self.graph.op("ReduceSum", &[&any.live, &axis], vec![int("keepdims", 1)]);
        let (zero, one) = (self.graph.scalar(0.0), self.graph.scalar(1.0));
        let zeros = self.graph.op("Mul", &[&sum, &zero], vec![]);
        let ones = self.graph.op("Add", &[&zeros, &one], vec![]);
        let last = self.graph.whole(&[2]);
        let zeros = self.graph.op("Unsqueeze", &[&zeros, &last], vec![]);
        let mut marked = |name: &str, part: Option<Stretch>| -> Result<Stretch, OnnxError> {
            let marker = self.weight(name, 1)?;
            let marker = self.graph.op("Add", &[&zeros, &marker], vec![]);
            let marker = self.norm(&marker, "embed.norm")?;
            let Some(part) = part else { return Ok(Stretch { states: marker, live: ones.clone() }) };
            Ok(Stretch {
                states: self.graph.op("Concat", &[&marker, &part.states], vec![int("axis", 1)]),
                live: self.graph.op("Concat", &[&ones, &part.live], vec![int("axis", 1)]),
            })
        };
        Ok([marked("cls", frames)?, marked("sep", text)?])
    }

    fn frames(&mut self) -> Result<Stretch, OnnxError> {
        let (d, width) = (self.width()?, self.get("input.mean", 1)?.shape[0]);
        let count = self.get("frames.position.weight", 2)?.shape[0];
        self.graph.input(float(FRAMES, &["batch"], &[count, width]));
        self.graph.input(float(FRAMES_LIVE, &["batch"], &[count]));
        let x = self.standardised(FRAMES)?;
        let x = self.linear(&x, "frames.proj")?;
        let position = self.weight("frames.position.weight", 2)?;
        let x = self.graph.op("Add", &[&x, &position], vec![]);
        let kind = self.get("kind.weight", 2)?;
        self.graph.floats("kind.frames", &[d], kind.values[..d].iter().copied());
        let x = self.graph.op("Add", &[&x, "kind.frames"], vec![]);
        Ok(Stretch { states: self.norm(&x, "embed.norm")?, live: FRAMES_LIVE.to_owned() })
    }

    fn text(&mut self) -> Result<Stretch, OnnxError> {
        self.graph.input(whole(TOKENS, &["batch", "tokens"]));
        self.graph.input(whole(TOKEN_KINDS, &["batch", "tokens"]));
        let (zero, one) = (self.graph.whole(&[0]), self.graph.whole(&[1]));
        let away = self.graph.op("Equal", &[TOKENS, &zero], vec![]);
        let there = self.graph.op("Not", &[&away], vec![]);
        let live = self.graph.op("Cast", &[&there], vec![int("to", FLOAT.into())]);
        let (embed, kinds) = (self.weight("text.embed.weight", 2)?, self.weight("kind.weight", 2)?);
        let x = self.graph.op("Gather", &[&embed, TOKENS], vec![]);
        // kind 0 is the frames'
        let kind = self.graph.op("Add", &[TOKEN_KINDS, &one], vec![]);
        let kind = self.graph.op("Gather", &[&kinds, &kind], vec![]);
        let x = self.graph.op("Add", &[&x, &kind], vec![]);
        let length = self.graph.op("Shape", &[TOKENS], vec![int("start", 1), int("end", 2)]);
        let position = self.weight("text.position.weight", 2)?;
        let position = self.graph.op("Slice", &[&position, &zero, &length, &zero], vec![]);
        let x = self.graph.op("Add", &[&x, &position], vec![]);
        Ok(Stretch { states: self.norm(&x, "embed.norm")?, live })
    }

    fn encode(&mut self, prefix: &str, norm: &str, mut part: Stretch) -> Result<Stretch, OnnxError> {
        let bias = self.bias(&part);
        for i in 0..self.network.layers {
            part.states = self.block(&format!("{prefix}.{i}"), &part.states, None, &bias)?;
        }
        part.states = self.norm(&part.states, norm)?;
        Ok(part)
    }

    /// x + o(attention(norm1(x))), then x + ff2(relu(ff1(norm2(x)))); `other` gives keys and values.
    fn block(&mut self, name: &str, x: &str, other: Option<&str>, bias: &str) -> Result<String, OnnxError> {
        let part = |p: &str| format!("{name}.{p}");
        let normed = self.norm(x, &part("norm1"))?;
        let source = match other {
            Some(other) => self.norm(other, &part("norm1"))?,
            None => normed.clone(),
        };
        let (d, heads) = (self.width()?, self.network.heads);
        let split = self.graph.whole(&[0, 0, heads as i64, (d / heads) as i64]);
        let mut cut = |of: &str, name: &str, order: &[i64]| -> Result<String, OnnxError> {
            let x = self.linear(of, &part(name))?;
            let x = self.graph.op("Reshape", &[&x, &split], vec![]);
            Ok(self.graph.op("Transpose", &[&x], vec![ints("perm", order)]))
        };
        let q = cut(&normed, "q", &[0, 2, 1, 3])?;
        let k = cut(&source, "k", &[0, 2, 3, 1])?;
        let v = cut(&source, "v", &[0, 2, 1, 3])?;
        let scale = self.graph.scalar(((d / heads) as f32).sqrt().recip());
        let q = self.graph.op("Mul", &[&q, &scale], vec![]);
        let scores = self.graph.op("MatMul", &[&q, &k], vec![]);
        let scores = self.graph.op("Add", &[&scores, bias], vec![]);
        let shares = self.graph.op("Softmax", &[&scores], vec![int("axis", -1)]);
        let read = self.graph.op("MatMul", &[&shares, &v], vec![]);
        let read = self.graph.op("Transpose", &[&read], vec![ints("perm", &[0, 2, 1, 3])]);
        let joined = self.graph.whole(&[0, 0, d as i64]);
        let read = self.graph.op("Reshape", &[&read, &joined], vec![]);
        let read = self.linear(&read, &part("o"))?;
        let x = self.graph.op("Add", &[x, &read], vec![]);
        let inner = self.norm(&x, &part("norm2"))?;
        let inner = self.linear(&inner, &part("ff1"))?;
        let inner = self.graph.op("Relu", &[&inner], vec![]);
        let inner = self.linear(&inner, &part("ff2"))?;
        Ok(self.graph.op("Add", &[&x, &inner], vec![]))
    }

    /// [batch, 1, 1, s]: 0 where live.
    fn bias(&mut self, part: &Stretch) -> String {
        let (one, away) = (self.graph.scalar(1.0), self.graph.scalar(AWAY));
        let bias = self.graph.op("Sub", &[&part.live, &one], vec![]);
        let bias = self.graph.op("Mul", &[&bias, &away], vec![]);
        let axes = self.graph.whole(&[1, 2]);
        self.graph.op("Unsqueeze", &[&bias, &axes], vec![])
    }

    /// [batch, d] mean of the live states; zero where there is none.
    fn mean(&mut self, part: &Stretch) -> Result<String, OnnxError> {
        let axis = self.graph.whole(&[1]);
        let one = self.graph.scalar(1.0);
        let sum = self.graph.op("ReduceSum", &[&part.live, &axis], vec![int("keepdims", 1)]);
        let sum = self.graph.op("Max", &[&sum, &one], vec![]);
        let share = self.graph.op("Div", &[&part.live, &sum], vec![]);
        let share = self.graph.op("Unsqueeze", &[&share, &axis], vec![]);
        let mean = self.graph.op("MatMul", &[&share, &part.states], vec![]);
        self.flat(&mean)
    }

    /// [batch, 1, d] to [batch, d].
    fn flat(&mut self, x: &str) -> Result<String, OnnxError> {
        let shape = [0, self.width()? as i64];
        let shape = self.graph.whole(&shape);
        Ok(self.graph.op("Reshape", &[x, &shape], vec![]))
    }

    fn head(&mut self, features: &str) -> Result<(), OnnxError> {
        let k = self.get("head.bias", 1)?.shape[0];
        let logits = self.linear(features, "head")?;
        self.graph.named("Identity", &[&logits], LOGITS, vec![]);
        self.graph.output(float(LOGITS, &["batch"], &[k]));
        self.graph.output(float(PROBABILITIES, &["batch"], &[k]));
        let axis = vec![int("axis", -1)];
        if !self.has("output.boost") {
            self.graph.named("Softmax", &[LOGITS], PROBABILITIES, axis);
            return Ok(());
        }
        let p = self.graph.op("Softmax", &[LOGITS], axis);
        let boost = self.weight("output.boost", 1)?;
        let p = self.graph.op("Mul", &[&p, &boost], vec![]);
        let last = self.graph.whole(&[1]);
        let sum = self.graph.op("ReduceSum", &[&p, &last], vec![int("keepdims", 1)]);
        self.graph.named("Div", &[&p, &sum], PROBABILITIES, vec![]);
        Ok(())
    }

    fn standardised(&mut self, x: &str) -> Result<String, OnnxError> {
        let (mean, scale) = (self.weight("input.mean", 1)?, self.weight("input.scale", 1)?);
        let x = self.graph.op("Sub", &[x, &mean], vec![]);
        Ok(self.graph.op("Mul", &[&x, &scale], vec![]))
    }

    fn norm(&mut self, x: &str, name: &str) -> Result<String, OnnxError> {
        let weight = self.weight(&format!("{name}.weight"), 1)?;
        let bias = self.weight(&format!("{name}.bias"), 1)?;
        let attributes = vec![int("axis", -1), real("epsilon", EPSILON)];
        Ok(self.graph.op("LayerNormalization", &[x, &weight, &bias], attributes))
    }

    /// x W' + b; the matrix is written (in, out), as it is multiplied.
    fn linear(&mut self, x: &str, name: &str) -> Result<String, OnnxError> {
        let matrix = format!("{name}.weight");
        let w = self.get(&matrix, 2)?;
        let (out, input) = (w.shape[0], w.shape[1]);
        let turned = (0..input).flat_map(|i| (0..out).map(move |o| w.values[o * input + i]));
        self.graph.floats(&matrix, &[input, out], turned);
        let bias = self.weight(&format!("{name}.bias"), 1)?;
        let x = self.graph.op("MatMul", &[x, &matrix], vec![]);
        Ok(self.graph.op("Add", &[&x, &bias], vec![]))
    }

    /// A weight as it is, and its name.
    fn weight(&mut self, name: &str, dimensions: usize) -> Result<String, OnnxError> {
        let w = self.get(name, dimensions)?;
        self.graph.floats(name, w.shape, w.values.iter().copied());
        Ok(name.to_owned())
    }

    fn width(&self) -> Result<usize, OnnxError> {
        Ok(self.get("cls", 1)?.shape[0])
    }

    fn has(&self, name: &str) -> bool {
        self.network.weights.contains_key(name)
    }

    fn get(&self, name: &str, dimensions: usize) -> Result<Weight<'a>, OnnxError> {
        let w = *self.network.weights.get(name).ok_or_else(|| OnnxError::Missing(name.to_owned()))?;
        if w.shape.len() == dimensions && w.shape.iter().product::<usize>() == w.values.len() {
            return Ok(w);
        }
        let shape = w.shape.to_vec();
        Err(OnnxError::Shape { name: name.to_owned(), shape, values: w.values.len() })
    }
}

#[cfg(test)]
#[path = "network_tests.rs"]
mod tests;
