//! The media part of an import: bytes into the blob store under the hash of their content, then
//! poster, strip and duration by the confined decoder, several clips a process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services};
use crate::config::Config;
use crate::domain::Note;
use crate::exchange::media_path;
use crate::media::{Decoder, Limits, MediaError, MediaInfo};
use crate::store::samples::{Inspected, MediaRow};

const PAGE: i64 = 256;
/// Files read into the blob store at once.
const COPIES: usize = 4;

/// Stores and inspects all media of this import that wait for it.
pub(crate) async fn ingest(services: &Services, root: &Path, progress: &Progress) -> Result<(), JobError> {
    let import = progress.job_id;
    let waiting = services.store.media_of_import(import).await?;
    progress.stage("media_store", usize::try_from(waiting.to_store).ok());
    let mut after = 0;
    loop {
        let page = services.store.media_to_store(import, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        stream::iter(page)
            .map(|row| store_one(services.clone(), root.to_owned(), row, progress.clone()))
            .buffer_unordered(COPIES)
            .try_collect::<()>()
            .await?;
    }
    inspect(services, progress).await
}

async fn store_one(
    services: Services,
    root: PathBuf,
    row: MediaRow,
    progress: Progress,
) -> Result<(), JobError> {
    progress.check()?;
    let resolved = media_path::resolve(&root, row.media_path.as_deref().unwrap_or_default());
    match resolved {
        Ok(path) => {
            let (blob, _) = services.blobs.put_content(&path).await?;
            services.store.set_media_blob(progress.job_id, row.id, &blob).await?;
        }
        // it was there when the rows were checked
        Err(_) => services.store.set_media_bad(progress.job_id, row.id, "unreadable").await?,
    }
    progress.add(1);
    Ok(())
}

/// The decoder as configured.
pub(crate) fn decoder(services: &Services) -> Result<Decoder, JobError> {
    let ffmpeg = services.native.ffmpeg.clone().ok_or_else(|| JobError::failed("decoder_missing", &[]))?;
    let m = &services.config.media;
    let limits = Limits {
        wall: Duration::from_secs(m.wall_seconds),
        cpu_seconds: m.cpu_seconds,
        address_space_bytes: m.memory_mib << 20,
        ..Default::default()
    };
    Ok(Decoder::new(ffmpeg, limits))
}

/// How many decoder processes run at once.
fn parallel(services: &Services) -> usize {
    sessions(&services.config)
}

/// How many clips are decoded, or encoded by one encoder, at once.
pub(crate) fn sessions(config: &Config) -> usize {
    match config.media.parallel {
        0 => std::thread::available_parallelism().map_or(2, usize::from),
        n => n,
    }
}

async fn inspect(services: &Services, progress: &Progress) -> Result<(), JobError> {
    let waiting = services.store.media_of_import(progress.job_id).await?.to_inspect;
    if waiting == 0 {
        return Ok(());
    }
    progress.stage("media_inspect", usize::try_from(waiting).ok());
    let decoder = decoder(services)?;
    let batch = services.config.media.batch;
    let mut after = 0;
    loop {
        let page = services.store.media_to_inspect(progress.job_id, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let batches: Vec<Vec<MediaRow>> = page.chunks(batch).map(<[MediaRow]>::to_vec).collect();
        stream::iter(batches)
            .map(|rows| inspect_batch(services.clone(), decoder.clone(), rows, progress.clone()))
            .buffer_unordered(parallel(services))
            .try_collect::<()>()
            .await?;
    }
    Ok(())
}

async fn inspect_batch(
    services: Services,
    decoder: Decoder,
    rows: Vec<MediaRow>,
    progress: Progress,
) -> Result<(), JobError> {
    progress.check()?;
    let scratch = services.scratch()?;
    let mut inputs: Vec<PathBuf> = Vec::with_capacity(rows.len());
    for row in &rows {
        inputs.push(
            services.blobs.local_copy(row.media_blob.as_deref().unwrap_or_default(), scratch.path()).await?,
        );
    }
    let (dir, paths) = (scratch.path().to_owned(), inputs.clone());
    let results = tokio::task::spawn_blocking(move || decoder.inspect_batch(&paths, &dir)).await?;
    for ((row, input), result) in rows.iter().zip(&inputs).zip(results) {
        match result {
            Ok(info) => {
                keep(&services, progress.job_id, row, input, &info).await?;
            }
            Err(e) if e.code.is_about_the_clip() => {
                mark_bad(&services, row, &e, &progress).await?;
            }
            Err(e) => return Err(JobError::broke("doing.decoder", e)),
        }
        progress.add(1);
    }
    Ok(())
}

async fn keep(
    services: &Services,
    import: Uuid,
    row: &MediaRow,
    input: &Path,
    info: &MediaInfo,
) -> Result<(), JobError> {
    let hash = row.media_blob.as_deref().and_then(|b| b.rsplit('/').next()).unwrap_or_default();
    let fan = hash.get(..2).unwrap_or("00");
    let (poster, strip) = (format!("poster/{fan}/{hash}.jpg"), format!("strip/{fan}/{hash}.jpg"));
    services.blobs.put_file(&poster, &info.poster).await?;
    services.blobs.put_file(&strip, &info.strip).await?;
    let mut head = [0; 4096];
    let n = {
        use std::io::Read;
        std::fs::File::open(input)?.read(&mut head)?
    };
    let int = |v: u32| i32::try_from(v).unwrap_or(i32::MAX);
    let inspected = Inspected {
        media_type: crate::media::sniff(&head[..n]).map(str::to_owned),
        poster_blob: poster,
        strip_blob: strip,
        duration_ms: int(info.duration_ms),
        width: int(info.width),
        height: int(info.height),
        #[allow(clippy::cast_possible_truncation)]
        fps: info.fps as f32,
    };
    services.store.set_media_ready(import, row.id, &inspected).await?;
    Ok(())
}

async fn mark_bad(
    services: &Services,
    row: &MediaRow,
    error: &MediaError,
    progress: &Progress,
) -> Result<(), JobError> {
    services.store.set_media_bad(progress.job_id, row.id, error.code.as_str()).await?;
    progress
        .log(
            "warn",
            Note::new("bad_media")
                .with("id", &row.external_id)
                .worded("why", &format!("media_error.{}", error.code.as_str()))
                .with("detail", error),
        )
        .await
}
