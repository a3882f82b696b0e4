//! Taking and reading snapshots: all current labels, content-addressed, kept as one columnar file.

use std::collections::HashMap;

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{JobError, Services};
use crate::exchange::snapshot_file;
use crate::store::snapshots::{LabelRow, Snapshot};

/// Snapshots the current labels. The same labels again give the snapshot that is there already.
pub async fn take(
    services: &Services,
    dataset: Uuid,
    author: &str,
    reason: &str,
) -> Result<Snapshot, JobError> {
    let store = &services.store;
    let taxonomy = store.taxonomy(dataset).await?;
    let mut rows: Vec<LabelRow> = Vec::new();
    let mut hash = Sha256::new();
    hash.update(taxonomy.hash());
    let mut labels = store.current_labels(dataset);
    while let Some(row) = labels.try_next().await? {
        for part in [row.external_id.as_str(), "\0", &row.class, "\0", &row.source, "\n"] {
            hash.update(part.as_bytes());
        }
        rows.push(row);
    }
    drop(labels);
    let id = hex::encode(hash.finalize());
    if let Ok(known) = store.snapshot(dataset, &id).await {
        return Ok(known);
    }
    let parent = store.snapshots(dataset, None, 1).await?.items.pop();
    let before: HashMap<i64, String> = match &parent {
        Some(p) => labels_of(services, p).await?.into_iter().map(|r| (r.sample_id, r.class)).collect(),
        None => HashMap::new(),
    };
    let n_changed = match &parent {
        Some(_) => rows.iter().filter(|r| before.get(&r.sample_id) != Some(&r.class)).count(),
        None => 0,
    };
    let blob = format!("snapshots/{}/{id}.parquet", dataset.simple());
    let n_labelled = rows.len();
    let bytes = tokio::task::spawn_blocking(move || {
        snapshot_file::write(&rows.iter().map(as_file_row).collect::<Vec<_>>())
    })
    .await?
    .map_err(|e| JobError::broke("stage.snapshot", e))?;
    services.blobs.put(&blob, bytes).await?;
    let snapshot = Snapshot {
        id: id.clone(),
        parent: parent.map(|p| p.id),
        author: author.to_owned(),
        reason: reason.to_owned(),
        n_labelled: i64::try_from(n_labelled).unwrap_or(i64::MAX),
        n_changed: i64::try_from(n_changed).unwrap_or(i64::MAX),
        blob,
        created_at: chrono::Utc::now(),
    };
    store.insert_snapshot(dataset, &snapshot).await?;
    Ok(store.snapshot(dataset, &id).await?)
}

/// The snapshot that a job was asked to work on: the named one, else a fresh one.
pub(crate) async fn named_or_fresh(
    services: &Services,
    dataset: Uuid,
    id: Option<&str>,
    reason: &str,
) -> Result<Snapshot, JobError> {
    match id {
        Some(id) => Ok(services.store.snapshot(dataset, id).await?),
        None => take(services, dataset, "tamis", reason).await,
    }
}

/// The labels a snapshot holds, in byte order of the external id.
pub(crate) async fn labels_of(
    services: &Services,
    snapshot: &Snapshot,
) -> Result<Vec<snapshot_file::Row>, JobError> {
    let bytes = services.blobs.get(&snapshot.blob).await?;
    tokio::task::spawn_blocking(move || snapshot_file::read(bytes))
        .await?
        .map_err(|e| JobError::broke("stage.snapshot", e))
}

fn as_file_row(r: &LabelRow) -> snapshot_file::Row {
    snapshot_file::Row {
        sample_id: r.sample_id,
        external_id: r.external_id.clone(),
        given_class: r.given_class.clone(),
        class: r.class.clone(),
        source: r.source.clone(),
        author: r.author.clone(),
        decided_at: r.decided_at,
    }
}
