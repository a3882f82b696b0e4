//! Where a scan's probabilities come from: heads of its own, fitted fold by fold and kept from one start
//! of the job to the next; or an uploaded array of somebody else's model.

use std::sync::Arc;

use ndarray::Array2;
use serde_json::{Value, json};

use super::Ground;
use super::checkpoint::Checkpoints;
use crate::detect::Places;
use crate::domain::Note;
use crate::jobs::progress::Progress;
use crate::jobs::{JobError, Services};
use crate::store::predictions::PredictionSet;
use crate::train::{FoldPath, LinearParams, fit_fold_path, grid_for_fold, possible_folds, select};

/// Probabilities of every labelled sample by something that never saw its label.
pub(super) enum Head {
    Folds(Vec<FoldPath>),
    /// (samples, classes)
    Uploaded(PredictionSet, Array2<f32>),
}

impl Head {
    /// (samples, classes), and what the summary says of them.
    pub(super) fn probabilities(self, n_classes: usize) -> Result<(Array2<f32>, Value), JobError> {
        match self {
            Self::Folds(paths) => {
                let s = select(&paths, n_classes).map_err(|e| JobError::broke("stage.out_of_fold", e))?;
                let about = json!({"c": s.c, "log_losses": s.log_losses, "temperatures": s.temperatures,
                                   "folds": paths.len()});
                Ok((s.probabilities, about))
            }
            Self::Uploaded(set, p) => Ok((p, json!({"predictions": set.id, "model": set.model}))),
        }
    }
}

/// Heads that never saw a sample nor a near-duplicate of it; C by the noisy log-loss. Each finished fold
/// is kept until the scan is, so that a job that is started again goes on with the next one.
pub(super) async fn folds(
    services: &Services,
    checkpoints: &Checkpoints,
    ground: &Arc<Ground>,
    places: &Places,
    progress: &Progress,
) -> Result<Vec<FoldPath>, JobError> {
    let config = services.config.scan.clone();
    progress.stage("out_of_fold", Some(config.folds));
    let y = &ground.labelled.y;
    let (split, n_folds) =
        possible_folds(y, ground.labelled.n_classes, config.folds, &places.fold_groups(), config.seed);
    let split = Arc::new(split);
    let mut paths: Vec<FoldPath> = Vec::with_capacity(n_folds);
    let mut kept = 0;
    for fold in 0..n_folds {
        let path = match checkpoints.load(&services.blobs, fold).await? {
            Some(path) => {
                kept += 1;
                path
            }
            None => {
                let (on, split, p) = (ground.clone(), split.clone(), progress.clone());
                let grid = grid_for_fold(&paths, &config.c_grid);
                let path = tokio::task::spawn_blocking(move || {
                    let x = on.features.matrix.view();
                    let (y, k) = (&on.labelled.y, on.labelled.n_classes);
                    fit_fold_path(x, y, k, &split, fold, &grid, &LinearParams::for_folds(), &|_| p.go_on())
                })
                .await?;
                progress.check()?;
                let path = path.map_err(|e| JobError::broke("stage.out_of_fold", e))?;
                checkpoints.save(&services.blobs, fold, &path).await?;
                path
            }
        };
        paths.push(path);
        progress.add(1);
    }
    if kept > 0 {
        progress.log("info", Note::new("folds_kept").with("n", kept).with("of", n_folds)).await?;
    }
    Ok(paths)
}
