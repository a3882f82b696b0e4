//! Bringing a dataset in: taxonomy, annotations, media or precomputed features.
//!
//! Rows are streamed, checked and copied into a staging table; they go in together or, when one is
//! bad and partial import was not asked for, not at all. Media follow after that: what cannot be
//! decoded marks its sample and stops nothing else. A restart takes up the media where it left off.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::media;
use super::progress::Progress;
use super::{JobError, Services, features};
use crate::domain::{Note, Split, Taxonomy};
use crate::exchange::annotations::{self, Format, ReadOptions, Row};
use crate::exchange::{media_path, taxonomy as taxonomy_file};
use crate::store::imports::{ImportError, MergeCounts, StagedRow, Staging};

/// A file that was put into the blob store for the job to read, with the name it came under.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StagedFile {
    pub blob: String,
    pub file_name: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaxonomySource {
    /// A tree that Tamis ships, by name (`wechat2022`).
    Builtin(String),
    File(StagedFile),
    /// The taxonomy that the dataset has already.
    Existing,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaSource {
    /// A folder on the worker's machine; `video` of a row is relative to it.
    Dir(String),
    /// A zip of media files, staged.
    Zip(StagedFile),
    /// A zip of `{id}.npy` frame features, staged.
    Features(StagedFile),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImportArgs {
    /// Name of the dataset, made when there is none.
    pub dataset: String,
    pub taxonomy: TaxonomySource,
    pub annotations: StagedFile,
    /// CSV column of each field, where it has another name: `{"id": "vid", "label": "cat"}`.
    #[serde(default)]
    pub columns: BTreeMap<String, String>,
    #[serde(default)]
    pub media: Option<MediaSource>,
    /// Take the good rows even if others are bad.
    #[serde(default)]
    pub partial: bool,
    pub author: String,
}

/// What a restart needs to know: the rows are in.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Merged {
    dataset: Uuid,
    counts: MergeCounts,
    refused: usize,
}

pub(crate) async fn run(
    services: &Services,
    args: ImportArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let scratch = services.scratch()?;
    let root = match &args.media {
        Some(MediaSource::Dir(dir)) => Some(PathBuf::from(dir)),
        Some(MediaSource::Zip(zip)) => {
            progress.stage("unpack", None);
            let file = services.blobs.local_copy(&zip.blob, scratch.path()).await?;
            let target = scratch.path().join("media");
            let out = target.clone();
            tokio::task::spawn_blocking(move || crate::exchange::media_zip::unpack(&file, &out))
                .await?
                .map_err(|e| JobError::failed("zip", &[("file", &zip.file_name), ("why", &e)]))?;
            Some(target)
        }
        Some(MediaSource::Features(zip)) => {
            features::check(services, zip, scratch.path()).await?;
            None
        }
        None => None,
    };
    let merged = match progress.last_checkpoint::<Merged>() {
        Some(merged) => merged,
        None => {
            let merged = rows(services, &args, root.as_deref(), scratch.path(), progress).await?;
            progress.checkpoint(&merged).await?;
            merged
        }
    };
    services.store.set_job_dataset(progress.job_id, merged.dataset).await?;
    match (&root, &args.media) {
        (Some(root), _) => media::ingest(services, root, progress).await?,
        (None, Some(MediaSource::Features(zip))) => {
            features::ingest(services, merged.dataset, zip, scratch.path(), progress).await?;
        }
        (None, _) => {}
    }
    // of the whole import, whatever of it an earlier start has done
    let media = services.store.media_of_import(progress.job_id).await?;
    if args.media.is_none() && media.to_store > 0 {
        progress.log("warn", Note::new("media_not_given").with("n", media.to_store)).await?;
    }
    Ok(json!({
        "dataset_id": merged.dataset,
        "added": merged.counts.added,
        "changed": merged.counts.changed,
        "unchanged": merged.counts.unchanged,
        "labels_added": merged.counts.labels_added,
        "refused": merged.refused,
        "media_ready": media.ready,
        "media_bad": media.bad,
    }))
}

/// Stages, checks and merges the rows.
async fn rows(
    services: &Services,
    args: &ImportArgs,
    root: Option<&Path>,
    scratch: &Path,
    progress: &Progress,
) -> Result<Merged, JobError> {
    progress.stage("read", None);
    let mut errors = Errors { kept: Vec::new(), seen: 0, most: services.config.import.max_errors_kept };
    let Some(taxonomy) = read_taxonomy(services, args, &mut errors).await? else {
        return refuse(services, progress, errors).await;
    };
    let annotations_path = services.blobs.local_copy(&args.annotations.blob, scratch).await?;
    let mut staging = Staging::begin(&services.store).await?;
    let mut batches = read_rows(
        File::open(&annotations_path)?,
        args,
        taxonomy.clone(),
        root.map(Path::to_owned),
        services.config.import.batch_rows,
    );
    while let Some((rows, bad)) = batches.recv().await {
        progress.check()?;
        for e in bad {
            errors.push(e);
        }
        staging.copy(&rows).await?;
        progress.add(rows.len());
    }
    progress.stage("merge", None);
    for (id, line, first) in staging.take_duplicates().await? {
        errors.push(ImportError {
            file: args.annotations.file_name.clone(),
            line,
            field: Some("id".into()),
            code: "duplicate_id".into(),
            message: format!("id {:?} was already used on line {first}", shorten(&id)),
        });
    }
    if errors.seen > 0 && !args.partial {
        return refuse(services, progress, errors).await;
    }
    progress.check()?;
    let dataset = match &args.taxonomy {
        TaxonomySource::Existing => services.store.dataset(&args.dataset).await?.id,
        _ => staging.dataset(&args.dataset, &taxonomy).await?,
    };
    let counts = staging.merge(dataset, &args.author, progress.job_id).await?;
    staging.commit().await?;
    let refused = errors.save(services, progress).await?;
    Ok(Merged { dataset, counts, refused })
}

async fn refuse(services: &Services, progress: &Progress, errors: Errors) -> Result<Merged, JobError> {
    let first = errors.kept.first().cloned();
    let n = errors.save(services, progress).await?;
    let note = Note::new(if n == 1 { "refused_one" } else { "refused" }).with("n", n);
    Err(JobError::Failed(match first {
        Some(e) => note.with("line", e.line).worded("why", &format!("import_error.{}", e.code)),
        None => note,
    }))
}

async fn read_taxonomy(
    services: &Services,
    args: &ImportArgs,
    errors: &mut Errors,
) -> Result<Option<Taxonomy>, JobError> {
    match &args.taxonomy {
        TaxonomySource::Builtin(name) => Ok(Some(taxonomy_file::builtin(name).ok_or_else(|| {
            JobError::failed(
                "taxonomy_unknown",
                &[("name", name), ("known", &taxonomy_file::BUILTIN.join(", "))],
            )
        })?)),
        TaxonomySource::File(file) => {
            let bytes = services.blobs.get(&file.blob).await?;
            match taxonomy_file::read_taxonomy(&bytes, &file.file_name) {
                Ok(t) => Ok(Some(t)),
                Err(e) => {
                    errors.push(e.into());
                    Ok(None)
                }
            }
        }
        TaxonomySource::Existing => {
            let dataset = services.store.dataset(&args.dataset).await?;
            Ok(Some(services.store.taxonomy(dataset.id).await?))
        }
    }
}

/// Rejected rows: the first `most` are kept, all are counted.
struct Errors {
    kept: Vec<ImportError>,
    seen: usize,
    most: usize,
}

impl Errors {
    fn push(&mut self, e: ImportError) {
        self.seen += 1;
        if self.kept.len() < self.most {
            self.kept.push(e);
        }
    }

    async fn save(mut self, services: &Services, progress: &Progress) -> Result<usize, JobError> {
        // file order: duplicates were found after the rest
        self.kept.sort_by_key(|e| e.line);
        services.store.save_import_errors(progress.job_id, &self.kept).await?;
        if self.seen > self.kept.len() {
            progress
                .log("warn", Note::new("refused_cut").with("n", self.seen).with("listed", self.kept.len()))
                .await?;
        }
        Ok(self.seen)
    }
}

impl From<annotations::RowError> for ImportError {
    fn from(e: annotations::RowError) -> Self {
        Self {
            file: e.file,
            line: i64::try_from(e.line).unwrap_or(i64::MAX),
            field: e.field,
            code: e.code.to_owned(),
            message: e.message,
        }
    }
}

type Batch = (Vec<StagedRow>, Vec<ImportError>);

/// Reads and checks on a thread of its own; at most two batches wait, so memory stays that of three.
fn read_rows(
    file: File,
    args: &ImportArgs,
    taxonomy: Taxonomy,
    root: Option<PathBuf>,
    batch_rows: usize,
) -> mpsc::Receiver<Batch> {
    let (send, receive) = mpsc::channel(2);
    let file_name = args.annotations.file_name.clone();
    let options = ReadOptions { columns: args.columns.clone(), ..Default::default() };
    tokio::task::spawn_blocking(move || {
        let (mut rows, mut bad) = (Vec::new(), Vec::new());
        for row in annotations::reader(Box::new(file), &file_name, Format::Auto, &options) {
            match row
                .map_err(ImportError::from)
                .and_then(|r| check(r, &file_name, &taxonomy, root.as_deref()))
            {
                Ok(r) => rows.push(r),
                Err(e) => bad.push(e),
            }
            if rows.len() + bad.len() >= batch_rows
                && send.blocking_send((std::mem::take(&mut rows), std::mem::take(&mut bad))).is_err()
            {
                return;
            }
        }
        let _ = send.blocking_send((rows, bad));
    });
    receive
}

/// What a reader cannot know: the label is a class, the media are there.
fn check(row: Row, file: &str, taxonomy: &Taxonomy, root: Option<&Path>) -> Result<StagedRow, ImportError> {
    let fail = |field: &str, code: &str, message: String| ImportError {
        file: file.to_owned(),
        line: i64::try_from(row.line).unwrap_or(i64::MAX),
        field: Some(field.to_owned()),
        code: code.to_owned(),
        message,
    };
    if let Some(label) = &row.label
        && taxonomy.class_index(label).is_none()
    {
        let why = if taxonomy.node(label).is_some() {
            "has classes below it; give one of them"
        } else {
            "is not in the taxonomy"
        };
        return Err(fail("label", "unknown_label", format!("label {:?} {why}", shorten(label))));
    }
    if let (Some(root), Some(video)) = (root, &row.video)
        && let Err(e) = media_path::resolve(root, video)
    {
        return Err(fail("video", e.code(), format!("{:?}: {e}", shorten(video))));
    }
    Ok(StagedRow {
        line: row.line,
        ocr_json: row.ocr_json(),
        split: row.split.map(Split::as_str),
        external_id: row.external_id,
        title: row.title,
        asr: row.asr,
        class: row.label,
        media_path: row.video,
    })
}

fn shorten(s: &str) -> String {
    s.chars().take(80).collect()
}
