//! The models of trainings, loaded from their ONNX files and kept.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, ArrayView2};
use uuid::Uuid;

use super::PredictRefusal;
use crate::encode::{Runtime, Shape, TrainedModel};
use crate::jobs::inputs::{Inputs, PORTS, TextReads};
use crate::jobs::vectors::Block;
use crate::jobs::{JobError, Services};
use crate::store::trainings::Training;
use crate::train::ensemble::blend;

/// Models kept loaded.
const KEPT: usize = 4;

/// The models used last, loaded. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Models(Arc<Mutex<Vec<Arc<Served>>>>);

/// The models of a training and what their files say of them.
pub(in crate::jobs) struct Served {
    training: Uuid,
    pub(in crate::jobs) members: Vec<Member>,
    pub(in crate::jobs) classes: Vec<String>,
    pub(in crate::jobs) taxonomy_hash: String,
}

/// One model of a training.
pub(in crate::jobs) struct Member {
    pub(in crate::jobs) model: TrainedModel,
    /// In the average.
    weight: f64,
    pub(in crate::jobs) blocks: Vec<Block>,
    pub(in crate::jobs) text: Option<Arc<TextReads>>,
}

impl Member {
    fn load(runtime: &Runtime, file: &[u8], weight: f64) -> Result<Self, String> {
        let model = TrainedModel::load(runtime, file, PORTS).map_err(|e| e.to_string())?;
        let blocks = model.about("input").ok_or("has no \"input\"")?;
        let blocks = serde_json::from_str(&blocks).map_err(|e| e.to_string())?;
        let text = model.about("text").map(|t| serde_json::from_str(&t)).transpose();
        let text = text.map_err(|e| e.to_string())?.map(Arc::new);
        Ok(Self { model, weight, blocks, text })
    }

    pub(super) async fn inputs(
        &self,
        services: &Services,
        dataset: Uuid,
        ids: &[i64],
        scratch: &Path,
    ) -> Result<Inputs, JobError> {
        let text = self.text.as_ref();
        Inputs::load(services, dataset, ids, self.model.shape(), &self.blocks, text, scratch).await
    }
}

impl Served {
    /// What each of the models says of stored samples, (samples, K).
    pub(in crate::jobs) async fn each(
        self: &Arc<Self>,
        services: &Services,
        dataset: Uuid,
        ids: &[i64],
    ) -> Result<Vec<Array2<f32>>, JobError> {
        let mut each = Vec::with_capacity(self.members.len());
        for at in 0..self.members.len() {
            let scratch = services.scratch()?;
            let inputs = self.members[at].inputs(services, dataset, ids, scratch.path()).await?;
            each.push(self.run(at, inputs).await?);
        }
        Ok(each)
    }

    /// What the training says of stored samples, (samples, K).
    pub(in crate::jobs) async fn probabilities(
        self: &Arc<Self>,
        services: &Services,
        dataset: Uuid,
        ids: &[i64],
    ) -> Result<Array2<f32>, JobError> {
        self.mean(&self.each(services, dataset, ids).await?)
    }

    pub(super) async fn run(
        self: &Arc<Self>,
        member: usize,
        inputs: Inputs,
    ) -> Result<Array2<f32>, JobError> {
        let served = self.clone();
        let run = move || {
            let rows: Vec<usize> = (0..inputs.rows()).collect();
            inputs.run(&served.members[member].model, &rows)
        };
        tokio::task::spawn_blocking(run).await?
    }

    pub(super) fn mean(&self, each: &[Array2<f32>]) -> Result<Array2<f32>, JobError> {
        if let [one] = each {
            return Ok(one.clone());
        }
        let views: Vec<ArrayView2<'_, f32>> = each.iter().map(|p| p.view()).collect();
        let weights: Vec<f64> = self.members.iter().map(|m| m.weight).collect();
        blend(&views, &weights).map_err(|e| JobError::broke("doing.onnx", e))
    }

    /// The models that read pooled vectors, if all do and read the same.
    pub(super) fn width(&self) -> Option<usize> {
        let width = |m: &Member| match m.model.shape() {
            Shape::Pooled { width } => Some(width),
            Shape::Sequence { .. } => None,
        };
        let layout = |m: &Member| m.blocks.iter().map(|b| (b.encoder.clone(), b.start)).collect::<Vec<_>>();
        let first = self.members.first()?;
        let same = self.members.iter().all(|m| width(m) == width(first) && layout(m) == layout(first));
        width(first).filter(|_| same)
    }
}

impl Models {
    fn get(&self, training: Uuid) -> Option<Arc<Served>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|m| m.training == training)?;
        // the one used last stands last
        let found = kept.remove(at);
        kept.push(found.clone());
        Some(found)
    }

    fn keep(&self, served: Arc<Served>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|m| m.training != served.training);
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push(served);
    }
}

/// The training's model, ready to answer. Loading takes a read of its file and some milliseconds.
pub(in crate::jobs) async fn served(
    services: &Services,
    training: &Training,
) -> Result<Arc<Served>, PredictRefusal> {
    if let Some(kept) = services.models.get(training.id) {
        return Ok(kept);
    }
    let dylib = services.native.onnxruntime.clone().ok_or(PredictRefusal::NoRuntime)?;
    let mut files = Vec::with_capacity(training.models.0.len());
    for file in &training.models.0 {
        files.push((services.blobs.get(&file.blob).await.map_err(JobError::from)?, file.weight));
    }
    let id = training.id;
    let load = move || {
        let unknown = |why: String| PredictRefusal::Unknown(format!("model of training {id}: {why}"));
        let runtime = Runtime::load(&dylib, 1, &[]).map_err(|e| unknown(e.to_string()))?;
        let members = files.iter().map(|(file, weight)| Member::load(&runtime, file, *weight));
        let members = members.collect::<Result<Vec<_>, _>>().map_err(unknown)?;
        let first = members.first().ok_or_else(|| unknown("has no file".to_owned()))?;
        let about = |key: &str| first.model.about(key).ok_or_else(|| unknown(format!("has no {key:?}")));
        let classes = serde_json::from_str(&about("classes")?).map_err(|e| unknown(e.to_string()))?;
        let taxonomy_hash = about("taxonomy_hash")?;
        Ok::<_, PredictRefusal>(Arc::new(Served { training: id, members, classes, taxonomy_hash }))
    };
    let served = tokio::task::spawn_blocking(load).await.map_err(JobError::from)??;
    services.models.keep(served.clone());
    Ok(served)
}
