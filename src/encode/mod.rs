//! Frozen encoders behind two small traits: frames or texts in, one f32 row each out. Pretrained
//! ones are ONNX files described by a TOML manifest and run by ONNX Runtime; a hashed TF-IDF text
//! encoder is built in and needs no file. Blocking and CPU-bound: call it from worker threads.
//! This room knows no database and no files but its models.

mod error;
mod image;
mod manifest;
mod matrix;
mod pixels;
mod registry;
mod runtime;
mod state;
mod strip;
mod subspace;
mod text;
mod tfidf;
mod tokens;
mod vectors;
mod whole;

pub use error::EncodeError;
pub use image::OrtImageEncoder;
pub use manifest::{
    ImageSpec, Input, Kind, Layout, Manifest, Output, Pooling, Resize, TextInputs, TextSpec, Verified,
};
pub use matrix::{Ports, Sequences, Shape, TrainedModel};
pub use pixels::squares;
pub use registry::{Entry, Registry};
pub use runtime::{Provider, Runtime};
pub use strip::{pick, split_strip};
pub use text::OrtTextEncoder;
pub use tfidf::{HashedTfIdf, TfIdfFitter};
pub use tokens::{cut_characters, cut_words, words};
pub use vectors::{ClipVectors, encode_clips, mean_row, normalize_rows};
pub use whole::{NamedInput, Values, WholeModel};

use ndarray::Array2;

use crate::media::RgbFrame;

pub type Result<T> = std::result::Result<T, EncodeError>;

/// Pictures to vectors. One instance serves many threads at once.
pub trait ImageEncoder: Send + Sync {
    /// `name@digest`: changes whenever the numbers may change (weights, preprocessing, output).
    fn version(&self) -> &str;

    /// Length of a row.
    fn dimension(&self) -> usize;

    /// Frames that make one row: 1 for picture encoders, the clip length for video encoders.
    fn frames_per_row(&self) -> usize {
        1
    }

    /// `frames.len() / frames_per_row` rows of `dimension`, in order; deterministic. Frames of any
    /// size; those of the encoder's own size are not resampled.
    ///
    /// # Errors
    /// When the runtime fails, or the number of frames is no multiple of `frames_per_row`.
    fn encode(&self, frames: &[RgbFrame]) -> Result<Array2<f32>>;
}

/// Texts to vectors. One instance serves many threads at once.
pub trait TextEncoder: Send + Sync {
    /// `name@digest`: changes whenever the numbers may change.
    fn version(&self) -> &str;

    /// Length of a row.
    fn dimension(&self) -> usize;

    /// One row of `dimension` a text, in order; deterministic, and independent of the other texts
    /// of the call up to float rounding. A text of nothing but white space gives the zero vector.
    ///
    /// # Errors
    /// When the runtime fails.
    fn encode(&self, texts: &[&str]) -> Result<Array2<f32>>;
}

#[cfg(test)]
pub(crate) mod fixtures;
