//! A training as one model from pictures and text to probabilities: the encoders, what is stored of their answers
//! (means of unit length, rounded to float16), and the trained models with their average. Whoever runs it scales
//! pictures and cuts texts into tokens; everything else is in the file.

use super::graph::{Graph, float, int, ints, value, whole};
use super::merge::MergeError;
use super::proto::{Dimension, FLOAT, FLOAT16, INT32, INT64, UINT8, ValueInfo};
use super::{FRAMES, FRAMES_LIVE, INPUT, PIXELS, PROBABILITIES, TEXT_IDS, TEXT_LENGTHS, TOKEN_KINDS, TOKENS};
use crate::train::frames::uniform_frames;

/// Largest finite float16.
const MOST: f32 = 65_504.0;
/// Vectors shorter than this count as zero.
const TINY: f32 = 1e-30;

/// A picture encoder's ONNX file and how it is fed.
#[derive(Clone, Debug)]
pub struct PictureEncoder {
    pub name: String,
    pub file: Vec<u8>,
    pub input: String,
    pub output: String,
    /// Width and height in pixels.
    pub side: usize,
    /// Frames that are read of a clip.
    pub frames: usize,
    /// Colours after row and column instead of before.
    pub channels_last: bool,
    /// Of R, G, B on 0 to 255; the input is (x - mean) / std.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub dimension: usize,
}

/// From an encoder's output to one vector a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pooled {
    /// It is one.
    Already,
    /// Mean over the tokens.
    Mean,
    /// The first token's.
    First,
}

/// A sentence encoder's ONNX file and how it is fed.
#[derive(Clone, Debug)]
pub struct SentenceEncoder {
    pub name: String,
    pub file: Vec<u8>,
    /// Its inputs; those left out are not fed.
    pub ids: String,
    pub lengths: Option<String>,
    pub attention_mask: Option<String>,
    pub token_type_ids: Option<String>,
    /// They are 64-bit, else 32-bit.
    pub wide: bool,
    pub output: String,
    pub pooled: Pooled,
    pub dimension: usize,
    /// How many of a clip's texts it reads.
    pub fields: usize,
}

/// Where columns of a pooled input come from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Mean of the frames by `pictures[_]`.
    Pictures(usize),
    /// A text, by its place among the fields, by `sentences[_]`.
    Text { encoder: usize, field: usize },
    /// An input of the bundle: f32 [batch, dimension]; what makes it is no ONNX model.
    Vector { name: String, dimension: usize },
}

/// What a trained model reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Reads {
    /// Side by side.
    Pooled(Vec<Source>),
    /// `frames`: the picture encoder, and how many frames; `tokens`: which of the token inputs.
    Sequence { frames: Option<(usize, usize)>, tokens: Option<usize> },
}

/// A trained model as it was exported.
#[derive(Clone, Debug)]
pub struct BundleMember {
    pub file: Vec<u8>,
    /// In the average; all sum to 1.
    pub weight: f64,
    pub reads: Reads,
}

/// What is put together.
#[derive(Clone, Debug)]
pub struct Bundle {
    pub pictures: Vec<PictureEncoder>,
    pub sentences: Vec<SentenceEncoder>,
    /// Pairs of token inputs.
    pub tokens: usize,
    pub members: Vec<BundleMember>,
    pub classes: usize,
}

/// The name of an input of which there are `of`, such as `pixels` of one picture encoder and `pixels.1` of the second.
pub fn input_name(base: &str, at: usize, of: usize) -> String {
    if of == 1 { base.to_owned() } else { format!("{base}.{at}") }
}

/// Vectors of pictures: [batch, F, d], which of them there are, [batch, F], and [batch, d].
struct Seen {
    frames: String,
    live: String,
    mean: String,
}

/// The bundle as the bytes of an ONNX file; `metadata` becomes `metadata_props`. Inputs, each where something reads
/// it: `pixels` with `frames_live` (u8 [batch, F, side, side, 3], f32 [batch, F]; F is the encoder's number where a
/// transformer reads frames, else any), `text_ids` with `text_lengths`, `tokens` with `token_kinds`, and the vectors
/// of [`Source::Vector`]; numbered where there are several ([`input_name`]). Output: `probabilities` [batch, K].
/// O(bytes).
///
/// A transformer that reads fewer frames than the encoder takes an even spread of all, live or not.
///
/// # Errors
/// A file that cannot be part of another; see [`MergeError`].
pub fn write_bundle(bundle: &Bundle, metadata: &[(String, String)]) -> Result<Vec<u8>, MergeError> {
    let mut w = Writer { bundle, graph: Graph::new("bundle") };
    let pictures =
        (0..bundle.pictures.len()).map(|i| w.pictures(i)).collect::<Result<Vec<_>, MergeError>>()?;
    let sentences =
        (0..bundle.sentences.len()).map(|i| w.sentences(i)).collect::<Result<Vec<_>, MergeError>>()?;
    for i in 0..bundle.tokens {
        w.graph.input(whole(&input_name(TOKENS, i, bundle.tokens), &["batch", "tokens"]));
        w.graph.input(whole(&input_name(TOKEN_KINDS, i, bundle.tokens), &["batch", "tokens"]));
    }
    w.vectors();
    let mut sum: Option<String> = None;
    for (i, member) in bundle.members.iter().enumerate() {
        let said = w.member(i, member, &pictures, &sentences)?;
        let weight = w.graph.scalar(member.weight as f32);
        let said = w.graph.op("Mul", &[&said, &weight], vec![]);
        sum = Some(match sum {
            None => said,
            Some(sum) => w.graph.op("Add", &[&sum, &said], vec![]),
        });
    }
    let none = || MergeError::Missing {
        model: "the bundle".to_owned(),
        what: "model",
        name: PROBABILITIES.to_owned(),
    };
    w.graph.named("Identity", &[&sum.ok_or_else(none)?], PROBABILITIES, vec![]);
    w.graph.output(float(PROBABILITIES, &["batch"], &[bundle.classes]));
    Ok(w.graph.into_bytes(metadata))
}

/// [batch, fields, length]
fn texts(name: &str, fields: usize) -> ValueInfo {
    let mut info = value(name, INT64, &["batch"], &[fields]);
    let shape = info.r#type.as_mut().and_then(|t| t.tensor_type.as_mut()).and_then(|t| t.shape.as_mut());
    if let Some(shape) = shape {
        shape.dim.push(Dimension { dim_value: None, dim_param: Some("length".to_owned()) });
    }
    info
}

struct Writer<'a> {
    bundle: &'a Bundle,
    graph: Graph,
}

impl Writer<'_> {
    fn pictures(&mut self, at: usize) -> Result<Seen, MergeError> {
        let (of, e) = (self.bundle.pictures.len(), &self.bundle.pictures[at]);
        let (pixels, live) = (input_name(PIXELS, at, of), input_name(FRAMES_LIVE, at, of));
        let fixed = self.bundle.members.iter().any(
            |m| matches!(&m.reads, Reads::Sequence { frames: Some((encoder, _)), .. } if *encoder == at),
        );
        let sides = [e.frames, e.side, e.side, 3];
        if fixed {
            self.graph.input(value(&pixels, UINT8, &["batch"], &sides));
            self.graph.input(float(&live, &["batch"], &[e.frames]));
        } else {
            self.graph.input(value(&pixels, UINT8, &["batch", "frames"], &sides[1..]));
            self.graph.input(float(&live, &["batch", "frames"], &[]));
        }
        let g = &mut self.graph;
        let rows = g.op("Shape", &[&pixels], vec![int("start", 0), int("end", 2)]);
        let x = g.op("Cast", &[&pixels], vec![int("to", FLOAT.into())]);
        let side = e.side as i64;
        let each = g.whole(&[-1, side, side, 3]);
        let x = g.op("Reshape", &[&x, &each], vec![]);
        let (mean, std) = (format!("{}.mean", e.name), format!("{}.std", e.name));
        g.floats(&mean, &[3], e.mean.into_iter());
        g.floats(&std, &[3], e.std.into_iter());
        let x = g.op("Sub", &[&x, &mean], vec![]);
        let mut x = g.op("Div", &[&x, &std], vec![]);
        if !e.channels_last {
            x = g.op("Transpose", &[&x], vec![ints("perm", &[0, 3, 1, 2])]);
        }
        let v = g.embed(&e.name, &e.file, &[(&e.input, &x)], &e.output)?;
        let d = g.whole(&[e.dimension as i64]);
        let shape = g.op("Concat", &[&rows, &d], vec![int("axis", 0)]);
        let v = g.op("Reshape", &[&v, &shape], vec![]);
        let (zero, one, last) = (g.scalar(0.0), g.scalar(1.0), g.whole(&[2]));
        let there = g.op("Unsqueeze", &[&live, &last], vec![]);
        let there = g.op("Greater", &[&there, &zero], vec![]);
        let v = g.op("Where", &[&there, &v, &zero], vec![]);
        let axis = g.whole(&[1]);
        let sum = g.op("ReduceSum", &[&v, &axis], vec![int("keepdims", 0)]);
        let n = g.op("ReduceSum", &[&live, &axis], vec![int("keepdims", 1)]);
        let n = g.op("Max", &[&n, &one], vec![]);
        let mean = g.op("Div", &[&sum, &n], vec![]);
        let mean = self.unit(&mean);
        Ok(Seen { frames: self.stored(&v), live, mean: self.stored(&mean) })
    }

    /// Vectors of the texts, [batch, fields, d].
    fn sentences(&mut self, at: usize) -> Result<String, MergeError> {
        let (of, e) = (self.bundle.sentences.len(), &self.bundle.sentences[at]);
        let (ids, lengths) = (input_name(TEXT_IDS, at, of), input_name(TEXT_LENGTHS, at, of));
        self.graph.input(texts(&ids, e.fields));
        self.graph.input(value(&lengths, INT64, &["batch"], &[e.fields]));
        let g = &mut self.graph;
        let all = g.whole(&[-1]);
        let length = g.op("Shape", &[&ids], vec![int("start", 2), int("end", 3)]);
        let flat = g.op("Concat", &[&all, &length], vec![int("axis", 0)]);
        let rows = g.op("Reshape", &[&ids, &flat], vec![]);
        let counts = g.op("Reshape", &[&lengths, &all], vec![]);
        // a text that is missing is read as one token and forgotten
        let one = g.index(1);
        let safe = g.op("Max", &[&counts, &one], vec![]);
        let (zero, first) = (g.index(0), g.whole(&[0]));
        let end = g.op("Squeeze", &[&length, &first], vec![]);
        let places = g.op("Range", &[&zero, &end, &one], vec![]);
        let second = g.whole(&[1]);
        let until = g.op("Unsqueeze", &[&safe, &second], vec![]);
        let mask = g.op("Less", &[&places, &until], vec![]);
        let kind = i64::from(if e.wide { INT64 } else { INT32 });
        let cast = |g: &mut Graph, x: &str| g.op("Cast", &[x], vec![int("to", kind)]);
        let mut feed = vec![(e.ids.as_str(), cast(g, &rows))];
        if let Some(name) = &e.lengths {
            feed.push((name, cast(g, &safe)));
        }
        if let Some(name) = &e.attention_mask {
            feed.push((name, cast(g, &mask)));
        }
        if let Some(name) = &e.token_type_ids {
            let zeros = g.op("Sub", &[&rows, &rows], vec![]);
            feed.push((name, cast(g, &zeros)));
        }
        let feed: Vec<(&str, &str)> = feed.iter().map(|(a, b)| (*a, b.as_str())).collect();
        let v = g.embed(&e.name, &e.file, &feed, &e.output)?;
        let v = match e.pooled {
            Pooled::Already => v,
            Pooled::First => g.op("Gather", &[&v, &zero], vec![int("axis", 1)]),
            Pooled::Mean => {
                let last = g.whole(&[2]);
                let share = g.op("Cast", &[&mask], vec![int("to", FLOAT.into())]);
                let share = g.op("Unsqueeze", &[&share, &last], vec![]);
                let v = g.op("Mul", &[&v, &share], vec![]);
                let sum = g.op("ReduceSum", &[&v, &second], vec![int("keepdims", 0)]);
                let n = g.op("Cast", &[&until], vec![int("to", FLOAT.into())]);
                g.op("Div", &[&sum, &n], vec![])
            }
        };
        let v = self.unit(&v);
        let g = &mut self.graph;
        let there = g.op("Greater", &[&counts, &zero], vec![]);
        let there = g.op("Unsqueeze", &[&there, &second], vec![]);
        let nothing = g.scalar(0.0);
        let v = g.op("Where", &[&there, &v, &nothing], vec![]);
        let (shape, d) = (g.op("Shape", &[&lengths], vec![]), g.whole(&[e.dimension as i64]));
        let shape = g.op("Concat", &[&shape, &d], vec![int("axis", 0)]);
        let v = g.op("Reshape", &[&v, &shape], vec![]);
        Ok(self.stored(&v))
    }

    /// Rows of unit length; zero stays zero.
    fn unit(&mut self, x: &str) -> String {
        let norm = self.graph.op("ReduceL2", &[x], vec![ints("axes", &[-1]), int("keepdims", 1)]);
        let tiny = self.graph.scalar(TINY);
        let norm = self.graph.op("Max", &[&norm, &tiny], vec![]);
        self.graph.op("Div", &[x, &norm], vec![])
    }

    /// As it comes back from the files of embeddings.
    fn stored(&mut self, x: &str) -> String {
        let (least, most) = (self.graph.scalar(-MOST), self.graph.scalar(MOST));
        let x = self.graph.op("Clip", &[x, &least, &most], vec![]);
        let x = self.graph.op("Cast", &[&x], vec![int("to", FLOAT16.into())]);
        self.graph.op("Cast", &[&x], vec![int("to", FLOAT.into())])
    }

    /// Each once, whoever reads it.
    fn vectors(&mut self) {
        let mut put: Vec<&str> = Vec::new();
        for member in &self.bundle.members {
            let Reads::Pooled(sources) = &member.reads else { continue };
            for source in sources {
                if let Source::Vector { name, dimension } = source
                    && !put.contains(&name.as_str())
                {
                    put.push(name);
                    self.graph.input(float(name, &["batch"], &[*dimension]));
                }
            }
        }
    }

    fn member(
        &mut self,
        at: usize,
        member: &BundleMember,
        pictures: &[Seen],
        sentences: &[String],
    ) -> Result<String, MergeError> {
        let prefix = format!("model.{at}");
        let fed = match &member.reads {
            Reads::Pooled(sources) => {
                let mut parts = Vec::new();
                for source in sources {
                    parts.push(match source {
                        Source::Pictures(e) => pictures[*e].mean.clone(),
                        Source::Vector { name, .. } => name.clone(),
                        Source::Text { encoder, field } => {
                            let field = self.graph.index(*field as i64);
                            self.graph.op("Gather", &[&sentences[*encoder], &field], vec![int("axis", 1)])
                        }
                    });
                }
                let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
                vec![(INPUT, self.graph.op("Concat", &parts, vec![int("axis", 1)]))]
            }
            Reads::Sequence { frames, tokens } => {
                let mut fed = Vec::new();
                if let Some((encoder, count)) = frames {
                    let has = self.bundle.pictures[*encoder].frames;
                    let Seen { frames, live, .. } = &pictures[*encoder];
                    fed.push((FRAMES, self.as_many(frames, has, *count, 3)));
                    fed.push((FRAMES_LIVE, self.as_many(live, has, *count, 2)));
                }
                if let Some(t) = tokens {
                    fed.push((TOKENS, input_name(TOKENS, *t, self.bundle.tokens)));
                    fed.push((TOKEN_KINDS, input_name(TOKEN_KINDS, *t, self.bundle.tokens)));
                }
                fed
            }
        };
        let fed: Vec<(&str, &str)> = fed.iter().map(|(a, b)| (*a, b.as_str())).collect();
        self.graph.embed(&prefix, &member.file, &fed, PROBABILITIES)
    }

    /// `has` frames along axis 1 of `x` made to `count`: an even spread, or zeros behind.
    fn as_many(&mut self, x: &str, has: usize, count: usize, dimensions: usize) -> String {
        if count < has {
            let chosen: Vec<i64> = uniform_frames(has, count).into_iter().map(|f| f as i64).collect();
            let chosen = self.graph.whole(&chosen);
            return self.graph.op("Gather", &[x, &chosen], vec![int("axis", 1)]);
        }
        if count == has {
            return x.to_owned();
        }
        let mut pads = vec![0; 2 * dimensions];
        pads[dimensions + 1] = (count - has) as i64;
        let pads = self.graph.whole(&pads);
        self.graph.op("Pad", &[x, &pads], vec![])
    }
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
