//! A training and its encoders as one ONNX file: pictures and text in, probabilities out. The file is run on samples
//! that the training was measured on, from their pictures and texts, and compared with what the service says of them
//! by their stored embeddings.

mod parts;
mod trial;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use self::parts::Parts;
use super::predict::served;
use super::progress::Progress;
use super::{JobError, Services};
use crate::encode::{Runtime, WholeModel};
use crate::store::trainings::BundleFile;
use crate::train::linear::argmax_rows;
use crate::train::onnx::write_bundle;

/// Samples that a bundle is tried on at most.
const COMPARED: usize = 1000;
/// Samples of one run: bounds the memory of their pictures.
const RUN: usize = 16;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BundleArgs {
    pub training: Uuid,
}

/// Where the bundle of a training is kept.
pub fn blob(dataset: Uuid, training: Uuid) -> String {
    format!("models/{}/{training}.bundle.onnx", dataset.simple())
}

pub(super) fn failed(why: impl std::fmt::Display) -> JobError {
    JobError::broke("stage.bundle", why)
}

pub(crate) async fn run(
    services: &Services,
    dataset: Uuid,
    args: BundleArgs,
    progress: &Progress,
) -> Result<Value, JobError> {
    progress.stage("bundle", None);
    let training = services.store.training(dataset, args.training).await?;
    let dylib = services.native.onnxruntime.clone();
    let dylib = dylib.ok_or_else(|| JobError::failed("no_runtime", &[]))?;
    let models = served(services, &training).await.map_err(failed)?;
    let parts = Parts::of(services, dataset, &training, &models).await?;
    let scratch = services.scratch()?;
    let path = scratch.path().join("bundle.onnx");
    let to = path.clone();
    let (parts, model, bytes) = tokio::task::spawn_blocking(move || {
        let file = write_bundle(&parts.bundle, &parts.metadata).map_err(failed)?;
        std::fs::write(&to, &file)?;
        let runtime = Runtime::load(&dylib, 1, &[]).map_err(failed)?;
        let model = WholeModel::load(&runtime, &to).map_err(failed)?;
        Ok::<_, JobError>((parts, model, file.len() as u64))
    })
    .await??;

    let mut ids: Vec<i64> = match &training.held_out_blob {
        Some(blob) => serde_json::from_slice(&services.blobs.get(blob).await?).map_err(failed)?,
        None => Vec::new(),
    };
    ids.truncate(COMPARED);
    progress.stage("bundle_trial", Some(ids.len()));
    let expected = models.probabilities(services, dataset, &ids).await?;
    let trial = trial::Trial { services, dataset, parts: &parts };
    let model = std::sync::Arc::new(model);
    let (mut same, mut max_difference) = (0, 0f32);
    for (part, rows) in ids.chunks(RUN).enumerate() {
        progress.check()?;
        let inputs = trial.inputs(rows).await?;
        let (model, n) = (model.clone(), rows.len());
        let got =
            tokio::task::spawn_blocking(move || model.run(n, inputs, crate::train::onnx::PROBABILITIES))
                .await?
                .map_err(failed)?;
        let wanted = expected.slice(ndarray::s![part * RUN..part * RUN + n, ..]);
        same += argmax_rows(got.view()).iter().zip(argmax_rows(wanted)).filter(|(a, b)| *a == b).count();
        max_difference = got.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).fold(max_difference, f32::max);
        progress.add(n);
    }
    progress.stage("save", None);
    services.blobs.put_file(&blob(dataset, training.id), &path).await?;
    let bundle = BundleFile { bytes, compared: ids.len(), same_argmax: same, max_difference };
    services.store.set_bundle(dataset, training.id, &bundle).await?;
    Ok(json!({"training_id": training.id, "bundle": bundle}))
}
