//! What models read of samples: pooled vectors side by side, frame vectors, and text tokens. One way for
//! training and for prediction, so that a model is asked what it was taught.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array2, Array3, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::vectors::{self, Block};
use super::{JobError, Services};
use crate::domain::{Field, SampleText};
use crate::encode::{Ports, Sequences, Shape, TrainedModel, cut_characters, cut_words};
use crate::exchange::columnar;
use crate::exchange::frame_file::{FrameFile, FrameFileWriter};
use crate::train::frames::uniform_frames;
use crate::train::{Budget, Counter, Cut, Tokens, Unit, Vocabulary, onnx};

/// The names in the files that are written here.
pub(crate) const PORTS: Ports = Ports {
    pooled: onnx::INPUT,
    frames: onnx::FRAMES,
    frames_live: onnx::FRAMES_LIVE,
    tokens: onnx::TOKENS,
    token_kinds: onnx::TOKEN_KINDS,
    output: onnx::PROBABILITIES,
};

/// Rows of one run of a sequence model: bounds its memory.
const RUN: usize = 64;
/// Samples whose texts are cut at once.
const TEXTS: usize = 2048;
/// Pieces that were seen once teach nothing; a vocabulary beyond this is names and typing errors.
const LEAST: u64 = 2;
const MOST: usize = 20_000;

/// How a model's texts become tokens. Stands in the metadata of its file as `text`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct TextReads {
    pub(crate) budget: Budget,
    pub(crate) vocabulary: Vocabulary,
}

/// What a model reads of each of a list of samples.
pub(crate) enum Inputs {
    /// (N, D)
    Pooled(Array2<f32>),
    Sequence {
        n: usize,
        frames: Option<FrameFile>,
        tokens: Option<Vec<Tokens>>,
    },
}

impl Inputs {
    /// What `model` reads of `samples` (in their order). Pooled models: memory for all their vectors; sequence
    /// models: for the tokens, their frames wait in a file in `scratch`.
    pub(crate) async fn load(
        services: &Services,
        dataset: Uuid,
        samples: &[i64],
        shape: Shape,
        blocks: &[Block],
        text: Option<&Arc<TextReads>>,
        scratch: &Path,
    ) -> Result<Self, JobError> {
        let Shape::Sequence { frames, .. } = shape else {
            let features = vectors::stored(services, dataset, samples, blocks.to_vec()).await?;
            return Ok(Self::Pooled(features.matrix));
        };
        let frames = match (frames, blocks.first()) {
            (Some(_), Some(block)) => Some(frame_vectors(services, dataset, samples, block, scratch).await?),
            _ => None,
        };
        let tokens = match text {
            Some(text) => Some(tokens(services, dataset, samples, text).await?),
            None => None,
        };
        Ok(Self::Sequence { n: samples.len(), frames, tokens })
    }

    /// Whether nothing is there of a row.
    pub(crate) fn is_empty(&self, row: usize) -> bool {
        match self {
            Self::Pooled(x) => x.row(row).iter().all(|v| *v == 0.0),
            Self::Sequence { frames, tokens, .. } => {
                frames.as_ref().is_none_or(|f| f.count(row) == 0)
                    && tokens.as_ref().is_none_or(|t| t[row].ids.is_empty())
            }
        }
    }

    /// What `model` says of `rows`, (rows, K). Blocking.
    pub(crate) fn run(&self, model: &TrainedModel, rows: &[usize]) -> Result<Array2<f32>, JobError> {
        let failed = |e: &dyn std::fmt::Display| JobError::broke("doing.onnx", e);
        match self {
            Self::Pooled(x) => model.run(x.select(Axis(0), rows).view()).map_err(|e| failed(&e)),
            Self::Sequence { frames, tokens, .. } => {
                let mut parts = Vec::new();
                for part in rows.chunks(RUN) {
                    let batch = sequences(model.shape(), frames.as_ref(), tokens.as_deref(), part)?;
                    parts.push(model.run_sequences(&batch).map_err(|e| failed(&e))?);
                }
                let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
                if views.is_empty() {
                    return Ok(Array2::zeros((0, 0)));
                }
                ndarray::concatenate(Axis(0), &views).map_err(|e| failed(&e))
            }
        }
    }

    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Pooled(x) => x.nrows(),
            Self::Sequence { n, .. } => *n,
        }
    }
}

/// Rows as a sequence model reads them: an even spread of the frames, tokens up to the longest row's.
pub(crate) fn sequences(
    shape: Shape,
    frames: Option<&FrameFile>,
    tokens: Option<&[Tokens]>,
    rows: &[usize],
) -> Result<Sequences, JobError> {
    let n = rows.len();
    let mut out = Sequences { n, ..Sequences::default() };
    if let Shape::Sequence { frames: Some((count, dim)), .. } = shape {
        let (mut values, mut live) = (Array3::zeros((n, count, dim)), Array2::zeros((n, count)));
        let mut all = Vec::new();
        for (i, &row) in rows.iter().enumerate() {
            all.clear();
            if let Some(file) = frames {
                file.load(row, &mut all)?;
            }
            for (slot, f) in uniform_frames(all.len() / dim, count).into_iter().enumerate() {
                let frame = ndarray::ArrayView1::from(&all[f * dim..(f + 1) * dim]);
                values.slice_mut(s![i, slot, ..]).assign(&frame);
                live[[i, slot]] = 1.0;
            }
        }
        out.frames = Some((values, live));
    }
    if let (Shape::Sequence { text: true, .. }, Some(tokens)) = (shape, tokens) {
        let length = rows.iter().map(|&r| tokens[r].ids.len()).max().unwrap_or(0).max(1);
        let (mut ids, mut kinds) = (Array2::zeros((n, length)), Array2::zeros((n, length)));
        for (i, &row) in rows.iter().enumerate() {
            let of = &tokens[row];
            for (j, (id, kind)) in of.ids.iter().zip(&of.kinds).enumerate() {
                (ids[[i, j]], kinds[[i, j]]) = (i64::from(*id), i64::from(*kind));
            }
        }
        out.tokens = Some((ids, kinds));
    }
    Ok(out)
}

/// The frame vectors of `samples` (in their order) by one encoder. A sample of which only the mean is stored has
/// that as its one frame; one whose frames are gone has none.
pub(crate) async fn frame_vectors(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    block: &Block,
    scratch: &Path,
) -> Result<FrameFile, JobError> {
    let row_of: HashMap<i64, usize> = samples.iter().enumerate().map(|(i, &id)| (id, i)).collect();
    let holds = services.store.present_fields(dataset, Some(samples)).await?;
    let holds: HashSet<i64> = holds.iter().filter(|p| p.holds(Field::Frames)).map(|p| p.id).collect();
    let holds = Arc::new(holds);
    let mut writer = FrameFileWriter::create(scratch, samples.len(), block.dimension)?;
    let files = services.store.embedding_files(dataset).await?;
    for file in files.iter().filter(|f| f.field == Field::Frames && f.encoder == block.encoder) {
        let bytes = services.blobs.get(&file.blob).await?;
        let wanted = holds.clone();
        let read = tokio::task::spawn_blocking(move || {
            columnar::read_embeddings_of(bytes::Bytes::from(bytes), true, |id| wanted.contains(&id))
        })
        .await?
        .map_err(|e| JobError::broke("doing.embeddings", format!("{}: {e}", file.blob)))?;
        let frames = read.frames.unwrap_or_default();
        for (i, id) in read.sample_ids.iter().enumerate() {
            let Some(&row) = row_of.get(id) else { continue };
            match frames.get(i).and_then(Option::as_ref) {
                Some(frames) => writer.put(row, frames.view())?,
                None => writer.put(row, read.vectors.row(i).insert_axis(Axis(0)))?,
            }
        }
    }
    Ok(writer.finish()?)
}

/// The pieces of a sample's texts.
pub(crate) fn cut(text: &SampleText, unit: Unit) -> Cut {
    [Field::Title, Field::Asr, Field::Ocr].map(|field| match (text.field(field), unit) {
        (None, _) => Vec::new(),
        (Some(text), Unit::Char) => cut_characters(&text),
        (Some(text), Unit::Word) => cut_words(&text),
    })
}

/// The pieces of `samples` in parts, each with the rows it is of.
async fn each_cut(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    unit: Unit,
    mut take: impl FnMut(usize, &Cut),
) -> Result<(), JobError> {
    for (part, ids) in samples.chunks(TEXTS).enumerate() {
        let row_of: HashMap<i64, usize> =
            ids.iter().enumerate().map(|(i, &id)| (id, part * TEXTS + i)).collect();
        let texts = services.store.texts_of(dataset, ids).await?;
        let mut cuts = tokio::task::spawn_blocking(move || {
            texts.par_iter().map(|t| (t.id, cut(&t.text, unit))).collect::<Vec<_>>()
        })
        .await?;
        cuts.sort_unstable_by_key(|(id, _)| *id);
        for (id, cut) in &cuts {
            if let Some(&row) = row_of.get(id) {
                take(row, cut);
            }
        }
    }
    Ok(())
}

/// The vocabulary of the texts of `samples`.
pub(crate) async fn vocabulary(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    unit: Unit,
) -> Result<Vocabulary, JobError> {
    let mut counter = Counter::default();
    each_cut(services, dataset, samples, unit, |_, cut| counter.add(cut)).await?;
    Ok(counter.vocabulary(unit, LEAST, MOST))
}

/// The tokens of `samples` (in their order).
pub(crate) async fn tokens(
    services: &Services,
    dataset: Uuid,
    samples: &[i64],
    text: &TextReads,
) -> Result<Vec<Tokens>, JobError> {
    let mut tokens = vec![Tokens::default(); samples.len()];
    let vocabulary = &text.vocabulary;
    each_cut(services, dataset, samples, vocabulary.unit(), |row, cut| {
        tokens[row] = vocabulary.tokens(cut, &text.budget);
    })
    .await?;
    Ok(tokens)
}
