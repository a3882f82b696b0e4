//! Precomputed frame features of an import: they stand in for media and are stored like embeddings.

use std::path::Path;

use ndarray::Array2;
use uuid::Uuid;

use super::encode::{Shards, input_hash};
use super::import::StagedFile;
use super::progress::Progress;
use super::{JobError, Services};
use crate::domain::{Field, Note};
use crate::encode::{mean_row, normalize_rows};
use crate::exchange::features::Features;

/// Members read before their samples are looked up.
const BATCH: usize = 512;

/// Refuses an archive that is none, before anything is changed.
pub(crate) async fn check(services: &Services, zip: &StagedFile, scratch: &Path) -> Result<(), JobError> {
    let file = services.blobs.local_copy(&zip.blob, scratch).await?;
    let opened = tokio::task::spawn_blocking(move || Features::open(&file).map(|_| ())).await?;
    opened.map_err(|e| JobError::failed("zip", &[("file", &zip.file_name), ("why", &e)]))
}

/// Stores the features of every member whose name is a sample of the dataset.
pub(crate) async fn ingest(
    services: &Services,
    dataset: Uuid,
    zip: &StagedFile,
    scratch: &Path,
    progress: &Progress,
) -> Result<(), JobError> {
    let file = services.blobs.local_copy(&zip.blob, scratch).await?;
    let failed = |e: String| JobError::failed("zip", &[("file", &zip.file_name), ("why", &e)]);
    let mut archive = tokio::task::spawn_blocking(move || Features::open(&file))
        .await?
        .map_err(|e| failed(e.to_string()))?;
    let ids: Vec<String> = archive.ids().to_vec();
    progress.stage("features", Some(ids.len()));
    // staged files are named by the hash of their content
    let digest = zip.blob.rsplit('/').next().unwrap_or_default();
    let mut writer: Option<Shards<'_>> = None;
    for batch in ids.chunks(BATCH) {
        progress.check()?;
        let known = services.store.sample_ids(dataset, batch).await?;
        let wanted: Vec<String> = known.iter().map(|(id, _)| id.clone()).collect();
        let (back, read) = tokio::task::spawn_blocking(move || {
            let read: Vec<_> = wanted.iter().map(|id| archive.get(id)).collect();
            (archive, read)
        })
        .await?;
        archive = back;
        let mut ready = Vec::new();
        for ((external, id), features) in known.into_iter().zip(read) {
            let features = match features {
                Ok(Some(f)) => f,
                Ok(None) => continue,
                Err(e) => {
                    services.store.take_media(progress.job_id, id).await?;
                    services.store.set_media_bad(progress.job_id, id, "bad_features").await?;
                    progress
                        .log("warn", Note::new("bad_features").with("id", external).with("why", e))
                        .await?;
                    continue;
                }
            };
            if writer.is_none() {
                // every zip of one width adds to the same vectors; a later row of a sample wins
                let version = format!("features@{}", features.dim);
                writer = Some(
                    Shards::open(services, dataset, Field::Frames, &version, features.dim, progress).await?,
                );
            }
            let hash = input_hash(format!("{digest}/{external}").as_bytes());
            if let Some(w) = writer.as_mut().filter(|w| !w.has(id, hash)) {
                let frames = Array2::from_shape_vec((features.n_frames, features.dim), features.values)
                    .map_err(|e| failed(e.to_string()))?;
                let mut mean = Array2::zeros((1, features.dim));
                mean.row_mut(0).assign(&mean_row(frames.view()));
                normalize_rows(&mut mean);
                w.push(id, hash, mean.into_raw_vec_and_offset().0, Some(frames)).await?;
            }
            ready.push(id);
        }
        services.store.set_media_features(progress.job_id, &ready).await?;
        progress.add(batch.len());
    }
    if let Some(w) = writer {
        w.finish().await?;
    }
    Ok(())
}
