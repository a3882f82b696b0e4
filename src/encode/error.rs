//! What can go wrong between a manifest and a vector, each with the file or encoder it concerns.

use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    #[error("{}: {source}", file.display())]
    Io { file: PathBuf, source: std::io::Error },
    /// The message names the key.
    #[error("manifest {}: {message}", file.display())]
    Manifest { file: PathBuf, message: String },
    #[error("{file} is not there; looked in {}", join(tried))]
    FileMissing { file: String, tried: Vec<PathBuf> },
    #[error("{} is not the file its manifest describes: sha256 {found}, expected {expected}; refused", file.display())]
    HashMismatch { file: PathBuf, expected: String, found: String },
    #[error("ONNX Runtime ({}): {message}", dylib.display())]
    Runtime { dylib: PathBuf, message: String },
    #[error("execution provider {name}: {message}")]
    Provider { name: &'static str, message: String },
    /// The model does not fit its manifest, or failed while running.
    #[error("encoder {encoder}: {message}")]
    Model { encoder: String, message: String },
    #[error("picture: {0}")]
    Picture(String),
    #[error("saved text encoder state: {0}")]
    State(String),
}

impl EncodeError {
    pub(crate) fn io(file: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let file = file.to_path_buf();
        move |source| Self::Io { file, source }
    }

    pub(crate) fn model(encoder: &str, message: impl ToString) -> Self {
        Self::Model { encoder: encoder.to_owned(), message: message.to_string() }
    }
}

fn join(paths: &[PathBuf]) -> String {
    paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(", ")
}
