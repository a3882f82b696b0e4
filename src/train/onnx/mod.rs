//! Trained models as ONNX files (opset 17, IR 8) that run in ONNX Runtime: linear heads and the networks,
//! with what they are (classes, taxonomy, snapshot, recipe) as metadata. Columns are in class order.
//! The same model gives the same bytes.

mod bundle;
mod graph;
mod linear;
mod merge;
mod network;
mod proto;

pub use bundle::{
    Bundle, BundleMember, PictureEncoder, Pooled, Reads, SentenceEncoder, Source, input_name, write_bundle,
};
pub use linear::write;
pub use merge::MergeError;
pub use network::{Family, Network, OnnxError, Weight, write_network};

/// f32 [batch, D]: pooled vectors, of linear heads and of networks on them.
pub const INPUT: &str = "embedding";
/// f32 [batch, F, D]: frame vectors, zeros where a clip has fewer.
pub const FRAMES: &str = "frames";
/// f32 [batch, F]: 1 where there is a frame, else 0.
pub const FRAMES_LIVE: &str = "frames_live";
/// i64 [batch, tokens]: ids of the vocabulary, 0 behind the last; at most the text budget, at least one
/// column.
pub const TOKENS: &str = "tokens";
/// i64 [batch, tokens]: 0 title, 1 ASR, 2 OCR.
pub const TOKEN_KINDS: &str = "token_kinds";
/// u8 [batch, F, side, side, 3]: pictures as RGB, of a bundle.
pub const PIXELS: &str = "pixels";
/// i64 [batch, fields, tokens] and i64 [batch, fields]: token ids of a sentence encoder and how many there are, 0
/// where a clip lacks the field; of a bundle.
pub const TEXT_IDS: &str = "text_ids";
pub const TEXT_LENGTHS: &str = "text_lengths";
/// f32 [batch, K].
pub const LOGITS: &str = "logits";
/// f32 [batch, K], rows sum to 1.
pub const PROBABILITIES: &str = "probabilities";
pub const OPSET: i64 = 17;
pub const IR_VERSION: i64 = 8;
