//! What a text encoder says of the tokens of a vocabulary, each on its own: where networks whose recipe wants it start
//! from. Kept by vocabulary and encoder, since a word's vector never changes.

use ndarray::{Array2, s};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::encode::TextEncoder;
use crate::jobs::progress::Progress;
use crate::jobs::{JobError, Services, encoders};
use crate::train::Vocabulary;
use crate::train::text::SPECIALS;

/// Tokens encoded at once; a cancelled job waits for no more.
const PART: usize = 512;

/// (vocabulary, the encoder's dimension); zeros for the special tokens and for those that are nothing but space.
///
/// # Errors
/// Refused by the recipe's key on a machine without the configured sentence encoder.
pub(super) async fn of(
    services: &Services,
    dataset: Uuid,
    vocabulary: &Vocabulary,
    progress: &Progress,
) -> Result<Array2<f32>, JobError> {
    let encoder = encoders::configured(services, progress).await?.text;
    let encoder = encoder.ok_or_else(|| JobError::failed("recipe_needs_encoder", &[]))?;
    let (n, dim) = (vocabulary.size(), encoder.dimension());
    let mut hash = Sha256::new();
    hash.update(encoder.version());
    for piece in vocabulary.pieces() {
        hash.update([0]);
        hash.update(piece);
    }
    let blob = format!("fitted/{}/tokens/{}.f32", dataset.simple(), hex::encode(&hash.finalize()[..16]));
    if services.blobs.exists(&blob).await? {
        let bytes = services.blobs.get(&blob).await?;
        let values = bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        return Array2::from_shape_vec((n, dim), values).map_err(|e| JobError::broke("doing.blobs", e));
    }
    progress.stage("encode_tokens", Some(n));
    let (pieces, p) = (vocabulary.pieces().to_vec(), progress.clone());
    let encode = move || {
        let mut vectors = Array2::zeros((n, dim));
        for from in (SPECIALS.len()..n).step_by(PART) {
            let until = (from + PART).min(n);
            let texts: Vec<&str> = pieces[from..until].iter().map(String::as_str).collect();
            let part = encoder.encode(&texts).map_err(encoders::failed)?;
            vectors.slice_mut(s![from..until, ..]).assign(&part);
            p.set(until);
            if !p.go_on() {
                return Err(JobError::Cancelled);
            }
        }
        Ok(vectors)
    };
    let vectors = tokio::task::spawn_blocking(encode).await?;
    progress.check()?;
    let vectors = vectors?;
    services.blobs.put(&blob, vectors.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()).await?;
    Ok(vectors)
}
