//! A snapshot as a file for others: JSONL, CSV or Parquet, streamed, with a manifest.

use std::collections::{BTreeMap, HashMap};

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;
use uuid::Uuid;

use super::progress::Progress;
use super::{JobError, Services, snapshot};
use crate::domain::{LabelSource, Split, Taxonomy};
use crate::exchange::export::{self as format, ExportFormat, ExportRow, HashingWriter, Manifest};
use crate::exchange::snapshot_file;
use crate::store::exports::{Export, ExportSource};

const BATCH: usize = 2000;

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportArgs {
    /// `jsonl`, `csv` or `parquet`.
    pub format: String,
    /// Export this snapshot (id or prefix) instead of a fresh one of the current labels.
    #[serde(default)]
    pub snapshot: Option<String>,
}

impl ExportArgs {
    /// Refuses an unknown format before the job is queued.
    pub fn check(&self) -> Result<(), JobError> {
        self.parsed().map(|_| ())
    }

    fn parsed(&self) -> Result<ExportFormat, JobError> {
        ExportFormat::parse(&self.format).ok_or_else(|| {
            let why = format!("format {:?} is not one of jsonl, csv, parquet", self.format);
            JobError::Refused { field: "format", why }
        })
    }
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: ExportArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    let kind = args.parsed()?;
    progress.stage("snapshot", None);
    let snapshot = snapshot::named_or_fresh(services, dataset, args.snapshot.as_deref(), "export").await?;
    let labels: HashMap<i64, snapshot_file::Row> =
        snapshot::labels_of(services, &snapshot).await?.into_iter().map(|r| (r.sample_id, r)).collect();
    let scan = services.store.latest_scan(dataset).await?;
    let taxonomy = services.store.taxonomy(dataset).await?;
    let name = services.store.dataset(&dataset.to_string()).await?.name;
    let total = services.store.dataset_counts(dataset).await?.samples;

    progress.stage("write", usize::try_from(total).ok());
    let scratch = services.scratch()?;
    let path = scratch.path().join("export");
    let about: BTreeMap<String, String> = [
        ("dataset", name.clone()),
        ("snapshot", snapshot.id.clone()),
        ("taxonomy_hash", taxonomy.hash()),
        ("tamis_version", env!("CARGO_PKG_VERSION").to_owned()),
    ]
    .into_iter()
    .map(|(k, v)| (k.to_owned(), v))
    .collect();
    let (send, mut receive) = mpsc::channel::<Vec<ExportRow>>(2);
    let out = path.clone();
    // formats are blocking writers: a thread of its own, fed batch by batch
    let writer = tokio::task::spawn_blocking(move || -> std::io::Result<(String, u64)> {
        let file = std::io::BufWriter::new(std::fs::File::create(&out)?);
        let (hashing, digest) = HashingWriter::new(file);
        let mut writer = format::writer(kind, Box::new(hashing), &about)?;
        while let Some(rows) = receive.blocking_recv() {
            writer.write(&rows)?;
        }
        writer.finish()?;
        Ok(digest.result())
    });
    let (mut rows, mut labelled, mut changed) = (0u64, 0u64, 0u64);
    {
        let mut source = services.store.export_rows(dataset, scan.as_ref().map(|s| s.id));
        let mut batch = Vec::with_capacity(BATCH);
        while let Some(s) = source.try_next().await? {
            let label = labels.get(&s.sample_id);
            // excluded now; a snapshot from before keeps what it holds
            if s.excluded && label.is_none() {
                continue;
            }
            rows += 1;
            labelled += u64::from(label.is_some());
            changed += u64::from(label.is_some_and(|l| l.given_class.as_ref() != Some(&l.class)));
            batch.push(row(s, label, &taxonomy));
            if batch.len() == BATCH {
                progress.check()?;
                progress.add(batch.len());
                if send.send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH))).await.is_err() {
                    break;
                }
            }
        }
        progress.add(batch.len());
        // a closed channel means the writer failed; its error is the one to tell
        let _ = send.send(batch).await;
    }
    drop(send);
    let (sha256, bytes) = writer.await??;

    // its job's id: a second start of the same job, after a crash, makes no second one
    let id = progress.job_id;
    let blob = format!("exports/{}/{id}.{}", dataset.simple(), kind.as_str());
    services.blobs.put_file(&blob, &path).await?;
    let manifest = Manifest {
        dataset: name,
        snapshot: snapshot.id.clone(),
        taxonomy_hash: taxonomy.hash(),
        format: kind,
        rows,
        columns: format::COLUMNS.iter().map(|c| (*c).to_owned()).collect(),
        labelled,
        changed,
        sha256,
        bytes,
        created_at: chrono::Utc::now(),
        tamis_version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let manifest = serde_json::to_value(&manifest).map_err(|e| JobError::broke("stage.write", e))?;
    let export = Export {
        id,
        snapshot_id: snapshot.id.clone(),
        job_id: Some(progress.job_id),
        format: kind.as_str().to_owned(),
        manifest: manifest.clone(),
        blob,
        created_at: chrono::Utc::now(),
    };
    services.store.insert_export(dataset, &export).await?;
    Ok(json!({"export_id": id, "snapshot_id": snapshot.id, "manifest": manifest}))
}

fn row(s: ExportSource, label: Option<&snapshot_file::Row>, taxonomy: &Taxonomy) -> ExportRow {
    let mut issues = Vec::new();
    if s.flagged == Some(true) {
        issues.push("label".to_owned());
    }
    if s.media_state == "bad" {
        issues.push("bad_media".to_owned());
    }
    if let Some(r @ ("ambiguous" | "out_of_taxonomy" | "bad_media")) = s.review.as_deref()
        && !issues.iter().any(|i| i == r)
    {
        issues.push(r.to_owned());
    }
    let status = match s.review.as_deref() {
        Some(r) => r.to_owned(),
        None if label.is_some() => "unreviewed".to_owned(),
        None => "unlabelled".to_owned(),
    };
    ExportRow {
        id: s.external_id,
        title: Some(s.title).filter(|t| !t.is_empty()),
        given_label: label.map_or(s.given_class, |l| l.given_class.clone()),
        label: label.map(|l| l.class.clone()),
        label_source: label.and_then(|l| LabelSource::parse(&l.source)),
        // who imported a label did not decide it
        decided_by: label.filter(|l| l.source != LabelSource::Import.as_str()).map(|l| l.author.clone()),
        decided_at: label.map(|l| l.decided_at),
        status,
        suspicion: s.suspicion,
        rank: s.rank,
        suggested_label: s.suggested_class,
        suggested_p: s.suggested_p,
        self_confidence: s.self_confidence,
        normalized_margin: s.normalized_margin,
        is_label_issue: s.flagged.unwrap_or(false),
        issues,
        split: Split::parse(&s.split),
        video: s.media_path,
        taxonomy_path: label.map(|l| taxonomy.path_name(&l.class, "en")),
    }
}
