//! A manifest says everything about an ONNX encoder that its file does not: where it comes from,
//! its digest, how its input is made and what its output means. Bringing one's own encoder is
//! writing one of these. Unknown keys are refused, and a file with another digest is not run.

use std::{
    fs::File,
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{EncodeError, Result};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Image,
    Text,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Lower-case letters, digits, `-`, `_` and `.`.
    pub name: String,
    pub kind: Kind,
    /// The ONNX file, relative; see [`Manifest::verify`] for where it is looked for.
    pub file: String,
    /// 64 hex digits.
    pub sha256: String,
    pub source: String,
    pub licence: String,
    /// Length of an embedding.
    pub dimension: usize,
    pub input: Input,
    pub output: Output,
    pub image: Option<ImageSpec>,
    pub text: Option<TextSpec>,
    /// Where the manifest was read from.
    #[serde(skip)]
    pub path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    pub name: String,
    /// As in the ONNX file, -1 for a free dimension.
    pub shape: Vec<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    pub name: String,
}

/// How a picture that is not square becomes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// The middle square.
    Crop,
    /// Both sides scaled, the aspect changes.
    Stretch,
    /// Scaled to fit, black bars.
    Pad,
}

/// Order of the input's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    Nchw,
    Nhwc,
    /// Video: clip, frame, channel, row, column (VideoMAE).
    Ntchw,
    /// Video: clip, channel, frame, row, column.
    Ncthw,
}

impl Layout {
    /// A row of output is made of a whole clip instead of one frame.
    pub fn is_video(self) -> bool {
        matches!(self, Self::Ntchw | Self::Ncthw)
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageSpec {
    /// Side of the square input, in pixels.
    pub size: u32,
    pub resize: Resize,
    /// Per channel R, G, B, on 0 to 255: the input is `(x - mean) / std`.
    pub mean: [f32; 3],
    pub std: [f32; 3],
    pub layout: Layout,
    /// Frames sampled from a clip.
    #[serde(default = "eight")]
    pub frames: usize,
}

impl ImageSpec {
    /// The strip of middle squares kept of every clip (`strip_frames` of `strip_side` px) holds all
    /// that this encoder needs, so the clip need not be decoded again.
    pub fn reads_strip(&self, strip_frames: usize, strip_side: u32) -> bool {
        self.resize == Resize::Crop && self.size <= strip_side && self.frames <= strip_frames
    }
}

fn eight() -> usize {
    8
}

/// Names of the model's inputs; those left out are not fed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextInputs {
    /// Token ids, `[n, tokens]`.
    pub ids: String,
    /// Number of tokens of each text, `[n]`.
    pub lengths: Option<String>,
    /// 1 for a token, 0 for padding, `[n, tokens]`.
    pub attention_mask: Option<String>,
    /// All zero, `[n, tokens]`.
    pub token_type_ids: Option<String>,
}

/// From the model's output to one row a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The output is `[n, dimension]` already.
    None,
    /// Mean over the tokens of `[n, tokens, dimension]`, padding left out.
    Mean,
    /// The first token of `[n, tokens, dimension]`.
    Cls,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextSpec {
    /// A Hugging Face `tokenizer.json`, looked for where the model is.
    pub tokenizer: String,
    pub tokenizer_sha256: String,
    /// Longer texts are cut, special tokens included.
    pub max_tokens: usize,
    /// Put before every text ("passage: " for the E5 family).
    #[serde(default)]
    pub prefix: String,
    pub inputs: TextInputs,
    pub pooling: Pooling,
    /// Scale rows to unit length.
    #[serde(default = "yes")]
    pub normalize: bool,
}

fn yes() -> bool {
    true
}

/// Files that were found and have the stated digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    pub model: PathBuf,
    pub tokenizer: Option<PathBuf>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`EncodeError::Manifest`] with the file and the key at fault.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(EncodeError::io(path))?;
        Self::parse(&text, path)
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self> {
        let refuse = |message: String| EncodeError::Manifest { file: path.to_path_buf(), message };
        let mut manifest: Self = toml::from_str(text).map_err(|e| refuse(e.to_string().trim().to_owned()))?;
        manifest.path = path.to_path_buf();
        manifest.sha256.make_ascii_lowercase();
        manifest.check().map_err(refuse)?;
        Ok(manifest)
    }

    fn check(&self) -> std::result::Result<(), String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        require(!self.name.is_empty() && self.name.chars().all(named), || {
            format!("name = {:?}: lower-case letters, digits, '-', '_' and '.'", self.name)
        })?;
        check_file("file", &self.file)?;
        check_digest("sha256", &self.sha256)?;
        require((1..=65_536).contains(&self.dimension), || "dimension: 1 to 65536".into())?;
        match (self.kind, &self.image, &self.text) {
            (Kind::Image, Some(image), None) => self.check_image(image),
            (Kind::Text, None, Some(text)) => self.check_text(text),
            (Kind::Image, ..) => Err("kind = \"image\": needs [image] and no [text]".into()),
            (Kind::Text, ..) => Err("kind = \"text\": needs [text] and no [image]".into()),
        }
    }

    fn check_image(&self, image: &ImageSpec) -> std::result::Result<(), String> {
        require((1..=2048).contains(&image.size), || "image.size: 1 to 2048".into())?;
        require(image.std.iter().all(|s| s.is_finite() && *s > 0.0), || "image.std: above 0".into())?;
        require(image.mean.iter().all(|m| m.is_finite()), || "image.mean: numbers".into())?;
        require((1..=64).contains(&image.frames), || "image.frames: 1 to 64".into())?;
        let (side, frames) = (i64::from(image.size), image.frames as i64);
        let wanted = match image.layout {
            Layout::Nchw => vec![-1, 3, side, side],
            Layout::Nhwc => vec![-1, side, side, 3],
            Layout::Ntchw => vec![-1, frames, 3, side, side],
            Layout::Ncthw => vec![-1, 3, frames, side, side],
        };
        let fits = self.input.shape.len() == wanted.len()
            && self.input.shape.iter().zip(&wanted).all(|(s, w)| *s == -1 || s == w);
        require(fits, || format!("input.shape: {wanted:?} after image.size and image.layout"))
    }

    fn check_text(&self, text: &TextSpec) -> std::result::Result<(), String> {
        check_file("text.tokenizer", &text.tokenizer)?;
        check_digest("text.tokenizer_sha256", &text.tokenizer_sha256)?;
        require((4..=8192).contains(&text.max_tokens), || "text.max_tokens: 4 to 8192".into())?;
        require(self.input.name == text.inputs.ids, || "input.name: the same as text.inputs.ids".into())
    }

    /// `name@digest`, 8 hex digits over everything that shapes the numbers: the weights' digest,
    /// preprocessing, input and output. Source and licence may change without a new version.
    pub fn version(&self) -> String {
        let shaping =
            (&self.sha256, self.dimension, &self.input.name, &self.output.name, &self.image, &self.text);
        // Serialising numbers and strings into memory cannot fail.
        let bytes = serde_json::to_vec(&shaping).unwrap_or_default();
        format!("{}@{}", self.name, &hex::encode(Sha256::digest(bytes))[..8])
    }

    /// Finds the model (and tokenizer) next to the manifest, in a folder of the encoder's name
    /// there, or in such a folder of any of `search`, and compares the digests. Reads each file
    /// once (about 1 s for 300 MB).
    ///
    /// # Errors
    /// [`EncodeError::FileMissing`], [`EncodeError::HashMismatch`] or an I/O error.
    pub fn verify(&self, search: &[PathBuf]) -> Result<Verified> {
        let model = self.find(&self.file, search)?;
        check_file_digest(&model, &self.sha256)?;
        let tokenizer = match &self.text {
            Some(text) => {
                let path = self.find(&text.tokenizer, search)?;
                check_file_digest(&path, &text.tokenizer_sha256)?;
                Some(path)
            }
            None => None,
        };
        Ok(Verified { model, tokenizer })
    }

    fn find(&self, file: &str, search: &[PathBuf]) -> Result<PathBuf> {
        let here = self.path.parent().unwrap_or(Path::new("."));
        let mut tried = vec![here.join(file), here.join(&self.name).join(file)];
        tried.extend(search.iter().map(|dir| dir.join(&self.name).join(file)));
        match tried.iter().find(|p| p.is_file()) {
            Some(found) => Ok(found.clone()),
            None => Err(EncodeError::FileMissing { file: file.to_owned(), tried }),
        }
    }
}

fn require(holds: bool, message: impl FnOnce() -> String) -> std::result::Result<(), String> {
    if holds { Ok(()) } else { Err(message()) }
}

fn check_file(key: &str, file: &str) -> std::result::Result<(), String> {
    let plain = !file.is_empty() && Path::new(file).components().all(|c| matches!(c, Component::Normal(_)));
    require(plain, || format!("{key} = {file:?}: a relative path without '..'"))
}

fn check_digest(key: &str, digest: &str) -> std::result::Result<(), String> {
    let hex = digest.len() == 64 && digest.chars().all(|c| c.is_ascii_hexdigit());
    require(hex, || format!("{key}: 64 hex digits"))
}

fn check_file_digest(path: &Path, expected: &str) -> Result<()> {
    let mut file = File::open(path).map_err(EncodeError::io(path))?;
    let mut digest = Sha256::new();
    io::copy(&mut file, &mut digest).map_err(EncodeError::io(path))?;
    let found = hex::encode(digest.finalize());
    if found.eq_ignore_ascii_case(expected) {
        return Ok(());
    }
    Err(EncodeError::HashMismatch { file: path.to_path_buf(), expected: expected.to_owned(), found })
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
