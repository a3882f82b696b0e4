//! Embeddings of every field of every sample; only what is new or changed is computed.
//!
//! Rows are written in columnar files of `encode.rows_per_file`, each with the hash of what it was
//! made from: a sample whose hash is there already is passed over, so a restart goes on after the last
//! finished file. Stored vectors have unit length, a missing field has none.

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

use super::encoders::{self, Source, failed};
use super::progress::Progress;
use super::{JobError, Services, media, vectors};
use crate::domain::Field;
use crate::encode::{HashedTfIdf, ImageEncoder, OrtImageEncoder, TextEncoder, TfIdfFitter, normalize_rows};
use crate::exchange::columnar::{EmbeddingRow, write_embeddings};
use crate::store::embeddings::FittedEncoder;
use crate::store::samples::MediaRow;

/// Samples read from the database at once.
const PAGE: i64 = 1024;
/// Clips whose frames are in memory at once.
const CLIPS: usize = 32;
/// Texts encoded in one call.
const TEXTS: usize = 256;
/// The document frequencies are fitted anew when the dataset has grown by this factor.
const REFIT_GROWTH: f64 = 1.5;

#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct EncodeArgs {}

pub(crate) async fn run(services: &Services, dataset: Uuid, progress: &Progress) -> Result<Value, JobError> {
    let encoded = missing(services, dataset, progress).await?;
    Ok(json!({ "encoded": encoded }))
}

/// Encodes what is missing; returns how many rows each field got.
pub(crate) async fn missing(
    services: &Services,
    dataset: Uuid,
    progress: &Progress,
) -> Result<serde_json::Map<String, Value>, JobError> {
    progress.stage("load_encoders", None);
    let loaded = encoders::configured(services, progress).await?;
    let mut counts = serde_json::Map::new();
    if let Some(image) = &loaded.image {
        let n = frames(services, dataset, image, progress).await?;
        counts.insert(Field::Frames.as_str().into(), json!(n));
    }
    for field in Field::TEXT {
        let mut n = 0;
        if let Some(tfidf) = fitted(services, dataset, field, progress).await? {
            n = texts(services, dataset, field, tfidf, progress).await?;
        }
        if let Some(text) = &loaded.text {
            n = n.max(texts(services, dataset, field, text.clone(), progress).await?);
        }
        counts.insert(field.as_str().into(), json!(n));
    }
    Ok(counts)
}

/// First eight bytes of the sha256: what a row was made from.
pub(crate) fn input_hash(input: &[u8]) -> i64 {
    let digest = Sha256::digest(input);
    let mut eight = [0; 8];
    eight.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(eight)
}

/// Mean and per-frame vectors of every clip that has none by this encoder.
async fn frames(
    services: &Services,
    dataset: Uuid,
    encoder: &Arc<OrtImageEncoder>,
    progress: &Progress,
) -> Result<usize, JobError> {
    let mut writer =
        Shards::open(services, dataset, Field::Frames, encoder.version(), encoder.dimension(), progress)
            .await?;
    let decoder = media::decoder(services).ok();
    let counts = services.store.dataset_counts(dataset).await?;
    progress.stage(
        "encode_frames",
        usize::try_from(counts.samples - counts.missing_media - counts.bad_media).ok(),
    );
    let mut after = 0;
    loop {
        let page = services.store.media_ready(dataset, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let n = page.len();
        let todo: Vec<(MediaRow, i64)> = page
            .into_iter()
            .map(|row| {
                let hash = input_hash(row.media_blob.as_deref().unwrap_or_default().as_bytes());
                (row, hash)
            })
            .filter(|(row, hash)| !writer.has(row.id, *hash))
            .collect();
        progress.add(n - todo.len());
        for clips in todo.chunks(CLIPS) {
            progress.check()?;
            let scratch = services.scratch()?;
            let mut sources = Vec::with_capacity(clips.len());
            let from_strip = encoders::reads_strip(encoder);
            for (row, _) in clips {
                sources.push(if from_strip {
                    Source::Strip(services.blobs.get(row.strip_blob.as_deref().unwrap_or_default()).await?)
                } else {
                    let blob = row.media_blob.as_deref().unwrap_or_default();
                    Source::Clip(services.blobs.local_copy(blob, scratch.path()).await?)
                });
            }
            let (encoder, decoder) = (encoder.clone(), decoder.clone());
            let encoded = tokio::task::spawn_blocking(move || {
                encoders::encode_frames(&encoder, &sources, decoder.as_ref())
            })
            .await??;
            let (ids, bright): (Vec<i64>, Vec<f32>) =
                clips.iter().zip(&encoded).map(|((row, _), (_, bright))| (row.id, *bright)).unzip();
            services.store.set_brightness(dataset, &ids, &bright).await?;
            for ((row, hash), (vectors, _)) in clips.iter().zip(encoded) {
                writer.push(row.id, *hash, vectors.mean.to_vec(), Some(vectors.frames)).await?;
            }
            progress.add(clips.len());
        }
    }
    writer.finish().await
}

/// The dataset's TF-IDF encoder of a field, fitted when there is none or the texts have grown much;
/// `None` when no sample has such a text.
async fn fitted(
    services: &Services,
    dataset: Uuid,
    field: Field,
    progress: &Progress,
) -> Result<Option<Arc<HashedTfIdf>>, JobError> {
    let counts = services.store.dataset_counts(dataset).await?;
    let present = counts.samples
        - match field {
            Field::Title => counts.missing_title,
            Field::Asr => counts.missing_asr,
            _ => counts.missing_ocr,
        };
    if present == 0 {
        return Ok(None);
    }
    let dimension = services.config.encode.tfidf_dimension;
    if let Some(known) = services.store.fitted_encoder(dataset, field).await? {
        #[allow(clippy::cast_precision_loss)]
        let grown = present as f64 > known.n_texts as f64 * REFIT_GROWTH;
        let encoder = HashedTfIdf::from_bytes(&services.blobs.get(&known.blob).await?).map_err(failed)?;
        if !grown && encoder.dimension() == dimension {
            return Ok(Some(Arc::new(encoder)));
        }
    }
    progress.stage("fit_text", usize::try_from(counts.samples).ok());
    let mut fitter = TfIdfFitter::new(dimension);
    let mut after = 0;
    loop {
        let page = services.store.text_rows(dataset, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        progress.check()?;
        let n = page.len();
        fitter = tokio::task::spawn_blocking(move || {
            page.iter().filter_map(|r| r.text.field(field)).for_each(|t| fitter.add(&t));
            fitter
        })
        .await?;
        progress.add(n);
    }
    let encoder = fitter.finish();
    let blob = encoders::fitted_blob(dataset, field, encoder.version());
    services.blobs.put(&blob, encoder.to_bytes()).await?;
    let fitted = FittedEncoder { version: encoder.version().to_owned(), n_texts: present, blob };
    services.store.set_fitted_encoder(dataset, field, &fitted).await?;
    Ok(Some(Arc::new(encoder)))
}

/// Vectors of every text that has none by this encoder.
async fn texts<E: TextEncoder + 'static>(
    services: &Services,
    dataset: Uuid,
    field: Field,
    encoder: Arc<E>,
    progress: &Progress,
) -> Result<usize, JobError> {
    let mut writer =
        Shards::open(services, dataset, field, encoder.version(), encoder.dimension(), progress).await?;
    let samples = services.store.dataset_counts(dataset).await?.samples;
    let stage = match field {
        Field::Title => "encode_title",
        Field::Asr => "encode_asr",
        _ => "encode_ocr",
    };
    progress.stage(stage, usize::try_from(samples).ok());
    let mut after = 0;
    loop {
        let page = services.store.text_rows(dataset, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let n = page.len();
        let todo: Vec<(i64, i64, String)> = page
            .into_iter()
            .filter_map(|r| r.text.field(field).map(|t| (r.id, input_hash(t.as_bytes()), t)))
            .filter(|(id, hash, _)| !writer.has(*id, *hash))
            .collect();
        progress.add(n - todo.len());
        for batch in todo.chunks(TEXTS) {
            progress.check()?;
            let (encoder, batch_owned) = (encoder.clone(), batch.to_vec());
            let rows = tokio::task::spawn_blocking(move || {
                batch_owned
                    .par_chunks(TEXTS / 8)
                    .map(|part| {
                        let texts: Vec<&str> = part.iter().map(|(_, _, t)| t.as_str()).collect();
                        let mut rows = encoder.encode(&texts).map_err(failed)?;
                        normalize_rows(&mut rows);
                        Ok(rows)
                    })
                    .collect::<Result<Vec<Array2<f32>>, JobError>>()
            })
            .await??;
            let rows: Vec<Vec<f32>> =
                rows.iter().flat_map(|r| r.rows().into_iter().map(|row| row.to_vec())).collect();
            for ((id, hash, _), vector) in batch.iter().zip(rows) {
                writer.push(*id, *hash, vector, None).await?;
            }
            progress.add(batch.len());
        }
    }
    writer.finish().await
}

/// A row waiting to be written.
struct OwnRow {
    sample_id: i64,
    input_hash: i64,
    vector: Vec<f32>,
    frames: Option<Array2<f32>>,
}

impl OwnRow {
    fn as_row(&self) -> EmbeddingRow<'_> {
        EmbeddingRow {
            sample_id: self.sample_id,
            input_hash: self.input_hash,
            vector: &self.vector,
            frames: self.frames.as_ref().and_then(|f| f.as_slice()),
            n_frames: self.frames.as_ref().map_or(0, |f| u8::try_from(f.nrows()).unwrap_or(u8::MAX)),
        }
    }
}

/// Collects rows and writes them out file by file.
pub(crate) struct Shards<'a> {
    services: &'a Services,
    dataset: Uuid,
    field: Field,
    encoder: String,
    dimension: usize,
    progress: &'a Progress,
    known: HashMap<i64, i64>,
    rows: Vec<OwnRow>,
    written: usize,
}

impl<'a> Shards<'a> {
    /// Reads which samples have a vector by this encoder already (ids and hashes only).
    pub(crate) async fn open(
        services: &'a Services,
        dataset: Uuid,
        field: Field,
        encoder: &str,
        dimension: usize,
        progress: &'a Progress,
    ) -> Result<Shards<'a>, JobError> {
        let known = vectors::known_rows(services, dataset, field, encoder).await?;
        Ok(Self {
            services,
            dataset,
            field,
            encoder: encoder.to_owned(),
            dimension,
            progress,
            known,
            rows: Vec::new(),
            written: 0,
        })
    }

    pub(crate) fn has(&self, sample: i64, hash: i64) -> bool {
        self.known.get(&sample) == Some(&hash)
    }

    pub(crate) async fn push(
        &mut self,
        sample_id: i64,
        input_hash: i64,
        vector: Vec<f32>,
        frames: Option<Array2<f32>>,
    ) -> Result<(), JobError> {
        self.rows.push(OwnRow { sample_id, input_hash, vector, frames });
        if self.rows.len() >= self.services.config.encode.rows_per_file { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), JobError> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let rows = std::mem::take(&mut self.rows);
        let (n, dimension) = (rows.len(), self.dimension);
        let bytes = tokio::task::spawn_blocking(move || {
            let mut out = Vec::new();
            write_embeddings(&mut out, dimension, rows.iter().map(OwnRow::as_row)).map(|_| out)
        })
        .await?
        .map_err(|e| JobError::broke("doing.embeddings", e))?;
        let encoder = self.encoder.replace(['@', '/'], "-");
        let blob = format!(
            "embeddings/{}/{}/{encoder}/{}.parquet",
            self.dataset.simple(),
            self.field.as_str(),
            Uuid::now_v7()
        );
        self.services.blobs.put(&blob, bytes).await?;
        self.services
            .store
            .add_embedding_file(
                self.dataset,
                self.field,
                &self.encoder,
                dimension,
                n,
                &blob,
                self.progress.job_id,
            )
            .await?;
        self.written += n;
        Ok(())
    }

    /// Writes the last file; returns the number of rows written in all.
    pub(crate) async fn finish(mut self) -> Result<usize, JobError> {
        self.flush().await?;
        Ok(self.written)
    }
}
