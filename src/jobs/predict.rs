//! Answers of trained models, at once: samples by their stored embeddings, or vectors that were sent.
//! The model is the ONNX file that was exported, run by ONNX Runtime; what its input is made of is
//! read from the file itself.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::inputs::{Inputs, PORTS, TextReads};
use super::vectors::Block;
use super::{JobError, Services};
use crate::encode::{Runtime, Shape, TrainedModel};
use crate::store::StoreError;
use crate::store::trainings::Training;
use crate::train::ensemble::blend;
use crate::train::linear::argmax_rows;

/// Most rows of one request.
pub const MAX_ROWS: usize = 1000;
/// Models kept loaded.
const KEPT: usize = 4;

/// What to predict: `samples` or `vectors`, 1 to 1000 rows.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PredictArgs {
    /// The training whose model answers; left out: the newest of the dataset.
    pub training: Option<Uuid>,
    /// External ids of samples whose embeddings are stored.
    #[schema(example = json!(["clip-0001", "clip-0002"]))]
    pub samples: Option<Vec<String>>,
    /// Rows as the model reads them: the embeddings of a sample side by side in the order of `input`.
    pub vectors: Option<Vec<Vec<f32>>>,
}

/// One row's answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Prediction {
    /// Null where vectors were sent.
    pub sample: Option<String>,
    /// The most probable class and its probability.
    pub class: String,
    pub probability: f32,
    /// Of every class, in the order of `classes`; they sum to 1.
    pub probabilities: Vec<f32>,
}

/// What part of the input is made of.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct InputPart {
    pub field: crate::domain::Field,
    pub encoder: String,
    /// First column, and how many.
    pub start: usize,
    pub dimension: usize,
}

/// Answers in the order of the rows that were sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Predictions {
    pub training: Uuid,
    pub snapshot_id: String,
    pub taxonomy_hash: String,
    pub classes: Vec<String>,
    /// Of the first model, where there are several.
    pub input: Vec<InputPart>,
    pub predictions: Vec<Prediction>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum PredictRefusal {
    /// `field` names the row, and the column where one is to blame: `samples[3]`, `vectors[0][7]`.
    #[error("{why}")]
    Row { field: String, code: &'static str, why: String },
    #[error("nothing has been trained")]
    NoModel,
    #[error("ONNX Runtime is not installed")]
    NoRuntime,
    /// A stored file that this version cannot read.
    #[error("{0}")]
    Unknown(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Job(#[from] JobError),
}

/// The models used last, loaded. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Models(Arc<Mutex<Vec<Arc<Served>>>>);

/// The models of a training and what their files say of them.
pub(super) struct Served {
    training: Uuid,
    members: Vec<Member>,
    pub(super) classes: Vec<String>,
    taxonomy_hash: String,
}

/// One model of a training.
struct Member {
    model: TrainedModel,
    /// In the average.
    weight: f64,
    blocks: Vec<Block>,
    text: Option<Arc<TextReads>>,
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

    async fn inputs(
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
    pub(super) async fn each(
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
    pub(super) async fn probabilities(
        self: &Arc<Self>,
        services: &Services,
        dataset: Uuid,
        ids: &[i64],
    ) -> Result<Array2<f32>, JobError> {
        self.mean(&self.each(services, dataset, ids).await?)
    }

    async fn run(self: &Arc<Self>, member: usize, inputs: Inputs) -> Result<Array2<f32>, JobError> {
        let served = self.clone();
        let run = move || {
            let rows: Vec<usize> = (0..inputs.rows()).collect();
            inputs.run(&served.members[member].model, &rows)
        };
        tokio::task::spawn_blocking(run).await?
    }

    fn mean(&self, each: &[Array2<f32>]) -> Result<Array2<f32>, JobError> {
        if let [one] = each {
            return Ok(one.clone());
        }
        let views: Vec<ArrayView2<'_, f32>> = each.iter().map(|p| p.view()).collect();
        let weights: Vec<f64> = self.members.iter().map(|m| m.weight).collect();
        blend(&views, &weights).map_err(|e| JobError::broke("doing.onnx", e))
    }

    /// The models that read pooled vectors, if all do and read the same.
    fn width(&self) -> Option<usize> {
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
pub(super) async fn served(services: &Services, training: &Training) -> Result<Arc<Served>, PredictRefusal> {
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

/// Classes and probabilities by a trained model.
///
/// # Errors
/// The first row that cannot be predicted, by name; no model; no ONNX Runtime.
pub async fn predict(
    services: &Services,
    dataset: Uuid,
    args: PredictArgs,
) -> Result<Predictions, PredictRefusal> {
    let store = &services.store;
    let training = match args.training {
        Some(id) => store.training(dataset, id).await?,
        None => store.trainings(dataset, None, 1).await?.items.pop().ok_or(PredictRefusal::NoModel)?,
    };
    let served = served(services, &training).await?;
    let (names, p) = match (args.samples, args.vectors) {
        (Some(samples), None) => {
            check_rows("samples", samples.len())?;
            let p = of_samples(services, dataset, &samples, &served).await?;
            (Some(samples), p)
        }
        (None, Some(vectors)) => {
            check_rows("vectors", vectors.len())?;
            let Some(width) = served.width() else {
                let why = "the model reads frames and texts, or several models read different vectors: send `samples`";
                let (field, code) = ("vectors".to_owned(), "not_pooled");
                return Err(PredictRefusal::Row { field, code, why: why.to_owned() });
            };
            let x = of_vectors(&vectors, width)?;
            let mut each = Vec::with_capacity(served.members.len());
            for at in 0..served.members.len() {
                each.push(served.run(at, Inputs::Pooled(x.clone())).await?);
            }
            (None, served.mean(&each)?)
        }
        _ => {
            let why = "send either `samples` or `vectors`".to_owned();
            return Err(PredictRefusal::Row { field: "samples".into(), code: "samples_or_vectors", why });
        }
    };
    let best = argmax_rows(p.view());
    let mut names = names.map(Vec::into_iter);
    let predictions = p
        .rows()
        .into_iter()
        .zip(best)
        .map(|(row, best)| Prediction {
            sample: names.as_mut().and_then(Iterator::next),
            class: served.classes.get(best).cloned().unwrap_or_default(),
            probability: row[best],
            probabilities: row.to_vec(),
        })
        .collect();
    let part = |b: &Block| InputPart {
        field: b.field,
        encoder: b.encoder.clone(),
        start: b.start,
        dimension: b.dimension,
    };
    Ok(Predictions {
        training: training.id,
        snapshot_id: training.snapshot_id,
        taxonomy_hash: served.taxonomy_hash.clone(),
        classes: served.classes.clone(),
        input: served.members[0].blocks.iter().map(part).collect(),
        predictions,
    })
}

fn check_rows(field: &str, n: usize) -> Result<(), PredictRefusal> {
    if (1..=MAX_ROWS).contains(&n) {
        return Ok(());
    }
    let why = format!("1 to {MAX_ROWS} rows at once, not {n}");
    Err(PredictRefusal::Row { field: field.to_owned(), code: "rows", why })
}

/// What the models say of stored samples.
async fn of_samples(
    services: &Services,
    dataset: Uuid,
    samples: &[String],
    served: &Arc<Served>,
) -> Result<Array2<f32>, PredictRefusal> {
    let ids: HashMap<String, i64> = services.store.sample_ids(dataset, samples).await?.into_iter().collect();
    let row = |i: usize, code, why| PredictRefusal::Row { field: format!("samples[{i}]"), code, why };
    let mut rows = Vec::with_capacity(samples.len());
    let mut at = HashMap::new();
    let mut distinct = Vec::new();
    for (i, sample) in samples.iter().enumerate() {
        let id = *ids.get(sample).ok_or_else(|| {
            row(i, "unknown_sample", format!("there is no sample {sample:?} in this dataset"))
        })?;
        // a sample that is asked for twice is read once
        rows.push(*at.entry(id).or_insert_with(|| {
            distinct.push(id);
            distinct.len() - 1
        }));
    }
    let mut each = Vec::with_capacity(served.members.len());
    let mut empty = vec![true; distinct.len()];
    for at in 0..served.members.len() {
        let scratch = services.scratch().map_err(JobError::from)?;
        let inputs = served.members[at].inputs(services, dataset, &distinct, scratch.path()).await?;
        empty.iter_mut().enumerate().for_each(|(row, empty)| *empty &= inputs.is_empty(row));
        each.push(served.run(at, inputs).await?);
    }
    if let Some(i) = rows.iter().position(|&of| empty[of]) {
        let why = format!(
            "sample {:?} has no embedding of any field that the model reads: encode the dataset first",
            samples[i]
        );
        return Err(row(i, "not_encoded", why));
    }
    Ok(served.mean(&each)?.select(ndarray::Axis(0), &rows))
}

/// Checks rows that were sent.
fn of_vectors(vectors: &[Vec<f32>], width: usize) -> Result<Array2<f32>, PredictRefusal> {
    let mut x = Array2::zeros((vectors.len(), width));
    for (i, (vector, mut row)) in vectors.iter().zip(x.rows_mut()).enumerate() {
        if vector.len() != width {
            let why = format!("the model reads {width} numbers, not {}", vector.len());
            return Err(PredictRefusal::Row { field: format!("vectors[{i}]"), code: "vector_width", why });
        }
        if let Some(j) = vector.iter().position(|v| !v.is_finite()) {
            let why = "the number is beyond what 32 bits hold".to_owned();
            return Err(PredictRefusal::Row { field: format!("vectors[{i}][{j}]"), code: "not_finite", why });
        }
        row.iter_mut().zip(vector).for_each(|(to, from)| *to = *from);
    }
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed(e: PredictRefusal) -> (String, &'static str) {
        match e {
            PredictRefusal::Row { field, code, .. } => (field, code),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn rows_that_do_not_fit_are_named() {
        assert_eq!(of_vectors(&[vec![1.0, 2.0]], 2).unwrap(), ndarray::array![[1.0, 2.0]]);
        let short = of_vectors(&[vec![1.0, 2.0], vec![1.0]], 2).unwrap_err();
        assert_eq!(blamed(short), ("vectors[1]".to_owned(), "vector_width"));
        let wild = of_vectors(&[vec![1.0, f32::INFINITY]], 2).unwrap_err();
        assert_eq!(blamed(wild), ("vectors[0][1]".to_owned(), "not_finite"));
        assert!(check_rows("samples", 1000).is_ok());
        assert_eq!(blamed(check_rows("samples", 0).unwrap_err()).1, "rows");
        assert_eq!(blamed(check_rows("samples", 1001).unwrap_err()).1, "rows");
    }
}
