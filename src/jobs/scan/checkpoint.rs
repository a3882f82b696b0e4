//! Finished folds of a scan, kept as blobs until it is done.

use ndarray::Array2;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::Ground;
use crate::blobs::Blobs;
use crate::exchange::columnar::{Column, read_table, write_table};
use crate::jobs::JobError;
use crate::train::{FoldPath, FoldStep};

/// Where the folds of one job lie. The name binds them to what they were made of: a job that finds other
/// labels, embeddings or settings when it is started again begins anew.
pub(super) struct Checkpoints {
    prefix: String,
}

/// What the table beside it does not hold. Written last: a fold without it is not finished.
#[derive(Serialize, Deserialize)]
struct Steps {
    /// (C, log-loss, temperature)
    steps: Vec<(f32, f64, f32)>,
}

impl Checkpoints {
    pub(super) fn of(
        dataset: Uuid,
        job: Uuid,
        snapshot: &str,
        ground: &Ground,
        config: &crate::config::Scan,
    ) -> Self {
        let mut hash = Sha256::new();
        hash.update(snapshot);
        for block in &ground.features.blocks {
            hash.update(format!("{}:{}:{};", block.encoder, block.dimension, block.present));
        }
        let settings = (config.folds, config.seed, config.neighbours, &config.c_grid);
        hash.update(format!("{} {settings:?}", ground.labelled.ids.len()));
        let name = hex::encode(&hash.finalize()[..8]);
        Self { prefix: format!("scans/{}/{job}-{name}", dataset.simple()) }
    }

    fn names(&self, fold: usize) -> (String, String) {
        (format!("{}-fold{fold}.parquet", self.prefix), format!("{}-fold{fold}.json", self.prefix))
    }

    /// The fold, if it was finished. A damaged one counts as not finished.
    pub(super) async fn load(&self, blobs: &Blobs, fold: usize) -> Result<Option<FoldPath>, JobError> {
        let (table, steps) = self.names(fold);
        if !blobs.exists(&steps).await? {
            return Ok(None);
        }
        let Ok(steps) = serde_json::from_slice::<Steps>(&blobs.get(&steps).await?) else {
            return Ok(None);
        };
        let table = blobs.get(&table).await?;
        let path = tokio::task::spawn_blocking(move || path(table, &steps.steps)).await?;
        Ok(path)
    }

    pub(super) async fn save(&self, blobs: &Blobs, fold: usize, path: &FoldPath) -> Result<(), JobError> {
        let (table, steps) = self.names(fold);
        let kept = path.clone();
        let (bytes, text) = tokio::task::spawn_blocking(move || {
            let names: Vec<String> = (0..kept.steps.len()).map(|i| format!("p{i}")).collect();
            let steps = kept.steps.iter().map(|s| (s.c, s.log_loss, s.temperature)).collect();
            let mut columns = vec![("row", Column::I64(kept.rows.iter().map(|&r| r as i64).collect()))];
            for (name, step) in names.iter().zip(kept.steps) {
                columns.push((name, Column::Matrix(step.probabilities)));
            }
            let mut bytes = Vec::new();
            write_table(&mut bytes, &columns, &[]).map(|()| (bytes, serde_json::to_vec(&Steps { steps })))
        })
        .await?
        .map_err(|e| JobError::broke("stage.out_of_fold", e))?;
        blobs.put(&table, bytes).await?;
        blobs.put(&steps, text.map_err(|e| JobError::broke("stage.out_of_fold", e))?).await?;
        Ok(())
    }

    /// Removes what was kept, once the scan is.
    pub(super) async fn clear(&self, blobs: &Blobs, folds: usize) -> Result<(), JobError> {
        for fold in 0..folds {
            let (table, steps) = self.names(fold);
            blobs.delete(&steps).await?;
            blobs.delete(&table).await?;
        }
        Ok(())
    }
}

fn path(table: Vec<u8>, steps: &[(f32, f64, f32)]) -> Option<FoldPath> {
    let mut columns = read_table(bytes::Bytes::from(table), None).ok()?.into_iter();
    let Some((_, Column::I64(rows))) = columns.next() else { return None };
    let rows: Vec<usize> = rows.into_iter().map(usize::try_from).collect::<Result<_, _>>().ok()?;
    let matrices: Vec<Array2<f32>> = columns
        .map(|(_, c)| match c {
            Column::Matrix(m) => Some(m),
            _ => None,
        })
        .collect::<Option<_>>()?;
    if matrices.len() != steps.len() || steps.is_empty() {
        return None;
    }
    let steps = steps
        .iter()
        .zip(matrices)
        .map(|(&(c, log_loss, temperature), probabilities)| FoldStep {
            c,
            log_loss,
            temperature,
            probabilities,
        })
        .collect();
    Some(FoldPath { rows, steps })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[tokio::test]
    async fn a_finished_fold_comes_back_and_half_a_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open("", dir.path()).unwrap();
        let checkpoints = Checkpoints { prefix: "scans/d/job-1".into() };
        let step = |c, p| FoldStep { c, log_loss: 1.5, temperature: 0.9, probabilities: p };
        let steps =
            vec![step(0.1, array![[0.25f32, 0.75], [1.0, 0.0]]), step(0.3, array![[0.5, 0.5], [0.1, 0.9]])];
        let fold = FoldPath { rows: vec![3, 8], steps };
        assert_eq!(checkpoints.load(&blobs, 0).await.unwrap(), None);
        checkpoints.save(&blobs, 0, &fold).await.unwrap();
        assert_eq!(checkpoints.load(&blobs, 0).await.unwrap(), Some(fold.clone()));
        assert_eq!(checkpoints.load(&blobs, 1).await.unwrap(), None);
        // killed between the two files
        let (table, steps) = checkpoints.names(0);
        blobs.delete(&steps).await.unwrap();
        assert_eq!(checkpoints.load(&blobs, 0).await.unwrap(), None);
        // a file that was cut short
        checkpoints.save(&blobs, 0, &fold).await.unwrap();
        blobs.put(&table, b"PAR1".to_vec()).await.unwrap();
        assert_eq!(checkpoints.load(&blobs, 0).await.unwrap(), None);
        checkpoints.clear(&blobs, 2).await.unwrap();
        assert!(!blobs.exists(&table).await.unwrap());
    }
}
