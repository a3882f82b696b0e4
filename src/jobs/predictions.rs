//! Probabilities of the user's own models: checked, brought to the snapshot's order, kept as one columnar
//! file, and read again by the scan that uses them.

use ndarray::Array2;
use uuid::Uuid;

use super::import::StagedFile;
use super::{JobError, Services, snapshot};
use crate::detect::check_probabilities;
use crate::domain::Taxonomy;
use crate::exchange::columnar::{Column, read_table, write_table};
use crate::exchange::predictions::Predictions;
use crate::store::predictions::PredictionSet;
use crate::store::snapshots::Snapshot;

/// The form's field that holds the array.
const FIELD: &str = "array";

/// Takes an uploaded array in, for `snapshot`: every labelled sample needs a row, every class a column.
///
/// # Errors
/// Refused with file, row and value: another shape, unknown or missing samples and classes, values that
/// are no probabilities.
pub async fn add(
    services: &Services,
    dataset: Uuid,
    snapshot: &Snapshot,
    file: &StagedFile,
    model: &str,
    author: &str,
) -> Result<PredictionSet, JobError> {
    let taxonomy = services.store.taxonomy(dataset).await?;
    let rows = snapshot::labels_of(services, snapshot).await?;
    let scratch = services.scratch()?;
    let path = services.blobs.local_copy(&file.blob, scratch.path()).await?;
    let out = scratch.path().join("predictions.parquet");
    let (name, target) = (file.file_name.clone(), out.clone());
    let written = tokio::task::spawn_blocking(move || {
        let refused =
            |why: &dyn std::fmt::Display| JobError::Refused { field: FIELD, why: format!("{name}: {why}") };
        let classes: Vec<&str> = taxonomy.class_ids().collect();
        let read = Predictions::read(&path, rows.len(), &classes).map_err(|e| refused(&e))?;
        // as the file has them, so that an error names its rows
        check_probabilities(read.values.view()).map_err(|e| refused(&e))?;
        let (ids, samples): (Vec<String>, Vec<i64>) =
            rows.into_iter().map(|r| (r.external_id, r.sample_id)).unzip();
        let (values, left_out) = read.in_order(&ids).map_err(|e| refused(&e))?;
        let (n, k) = values.dim();
        let columns = [("sample_id", Column::I64(samples)), ("p", Column::Matrix(values))];
        let classes = serde_json::to_string(&classes).map_err(|e| JobError::broke("doing.files", e))?;
        write_table(std::fs::File::create(&target)?, &columns, &[("classes".to_owned(), classes)])
            .map_err(|e| JobError::broke("doing.files", e))?;
        Ok::<_, JobError>((n, k, left_out))
    })
    .await?;
    let (n, k, left_out) = written?;
    let id = Uuid::now_v7();
    let set = PredictionSet {
        id,
        snapshot_id: snapshot.id.clone(),
        model: model.to_owned(),
        author: author.to_owned(),
        n_rows: i64::try_from(n).unwrap_or(i64::MAX),
        n_classes: i32::try_from(k).unwrap_or(i32::MAX),
        n_left_out: i64::try_from(left_out).unwrap_or(i64::MAX),
        blob: format!("predictions/{}/{id}.parquet", dataset.simple()),
        created_at: chrono::Utc::now(),
    };
    services.blobs.put_file(&set.blob, &out).await?;
    services.store.insert_prediction_set(dataset, &set).await?;
    Ok(set)
}

/// Forgets a set and its file. Scans that used it keep their findings.
pub async fn delete(services: &Services, dataset: Uuid, set: &PredictionSet) -> Result<(), JobError> {
    services.store.delete_prediction_set(dataset, set.id).await?;
    Ok(services.blobs.delete(&set.blob).await?)
}

/// (samples, classes) the set's probabilities for `samples`, the labelled samples of its snapshot in
/// order, by the columns of `taxonomy`.
pub(super) async fn load(
    services: &Services,
    set: &PredictionSet,
    samples: &[i64],
    taxonomy: &Taxonomy,
) -> Result<Array2<f32>, JobError> {
    let bytes = services.blobs.get(&set.blob).await?;
    let read = tokio::task::spawn_blocking(move || read_table(bytes::Bytes::from(bytes), None)).await?;
    let columns = read.map_err(|e| JobError::broke("stage.load_predictions", e))?;
    let mut columns = columns.into_iter().map(|(_, c)| c);
    match (columns.next(), columns.next()) {
        (Some(Column::I64(ids)), Some(Column::Matrix(p)))
            if ids == samples && p.ncols() == taxonomy.n_classes() =>
        {
            Ok(p)
        }
        _ => Err(JobError::failed("predictions_other", &[("model", &set.model)])),
    }
}
