//! Answers of trained models, at once: samples by their stored embeddings, vectors that were sent, or new clips.
//! The model is the ONNX file that was exported, run by ONNX Runtime; what its input is made of is
//! read from the file itself.

mod clips;
mod served;

use std::collections::HashMap;
use std::sync::Arc;

use ndarray::Array2;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::inputs::Inputs;
use super::vectors::Block;
use super::{JobError, Services};
use crate::store::StoreError;
use crate::train::linear::argmax_rows;

use clips::Seen;
pub use clips::{Clip, read_clips};
pub(crate) use served::Models;
pub(super) use served::{Served, served};

/// Most rows of one request.
pub const MAX_ROWS: usize = 1000;
/// Most clips of one request: each is decoded and encoded while the client waits.
pub const MAX_CLIPS: usize = 100;

/// What to predict.
#[derive(Clone, Debug)]
pub struct PredictArgs {
    /// The training whose model answers; none: the newest of the dataset.
    pub training: Option<Uuid>,
    pub ask: Ask,
}

/// The rows of a request, 1 to [`MAX_ROWS`] or [`MAX_CLIPS`].
#[derive(Clone, Debug)]
pub enum Ask {
    /// External ids of samples whose embeddings are stored.
    Samples(Vec<String>),
    /// Rows as the model reads them: the embeddings of a sample side by side in the order of `input`.
    Vectors(Vec<Vec<f32>>),
    /// Clips of no dataset.
    Clips(Vec<Clip>),
}

/// One row's answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Prediction {
    /// The sample's external id, or the id that came with the clip; null where vectors were sent.
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
    /// The model reads what only this encoder makes.
    #[error("the model reads {field} by the encoder {encoder}, which this machine does not have")]
    NoEncoder { field: &'static str, encoder: String },
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
    let (names, p) = match args.ask {
        Ask::Samples(samples) => {
            check_rows("samples", samples.len(), MAX_ROWS)?;
            let p = of_samples(services, dataset, &samples, &served).await?;
            (samples.into_iter().map(Some).collect(), p)
        }
        Ask::Vectors(vectors) => {
            check_rows("vectors", vectors.len(), MAX_ROWS)?;
            let p = of_vectors(&vectors, &served).await?;
            (vec![None; vectors.len()], p)
        }
        Ask::Clips(clips) => {
            check_rows("clips", clips.len(), MAX_CLIPS)?;
            let p = of_clips(services, dataset, &clips, &served).await?;
            (clips.into_iter().map(|c| c.id).collect::<Vec<_>>(), p)
        }
    };
    let best = argmax_rows(p.view());
    let predictions = p
        .rows()
        .into_iter()
        .zip(best)
        .zip(names)
        .map(|((row, best), sample)| Prediction {
            sample,
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

fn check_rows(field: &str, n: usize, most: usize) -> Result<(), PredictRefusal> {
    if (1..=most).contains(&n) {
        return Ok(());
    }
    let why = format!("1 to {most} rows at once, not {n}");
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

/// What the models say of vectors that were sent.
async fn of_vectors(vectors: &[Vec<f32>], served: &Arc<Served>) -> Result<Array2<f32>, PredictRefusal> {
    let Some(width) = served.width() else {
        let why = "the model reads frames and texts, or several models read different vectors: send `samples` or \
                   `clips`";
        let (field, code) = ("vectors".to_owned(), "not_pooled");
        return Err(PredictRefusal::Row { field, code, why: why.to_owned() });
    };
    let x = checked(vectors, width)?;
    let mut each = Vec::with_capacity(served.members.len());
    for at in 0..served.members.len() {
        each.push(served.run(at, Inputs::Pooled(x.clone())).await?);
    }
    Ok(served.mean(&each)?)
}

/// What the models say of new clips.
async fn of_clips(
    services: &Services,
    dataset: Uuid,
    clips: &[Clip],
    served: &Arc<Served>,
) -> Result<Array2<f32>, PredictRefusal> {
    let mut seen = Seen::new(services, dataset, clips)?;
    let mut each = Vec::with_capacity(served.members.len());
    let mut empty = vec![true; clips.len()];
    for (at, member) in served.members.iter().enumerate() {
        let inputs = seen.inputs(member).await?;
        empty.iter_mut().enumerate().for_each(|(row, empty)| *empty &= inputs.is_empty(row));
        each.push(served.run(at, inputs).await?);
    }
    if let Some(i) = empty.iter().position(|empty| *empty) {
        let why = "the clip has nothing that the model reads".to_owned();
        return Err(PredictRefusal::Row { field: format!("clips[{i}]"), code: "empty_clip", why });
    }
    Ok(served.mean(&each)?)
}

/// Checks rows that were sent.
fn checked(vectors: &[Vec<f32>], width: usize) -> Result<Array2<f32>, PredictRefusal> {
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
        assert_eq!(checked(&[vec![1.0, 2.0]], 2).unwrap(), ndarray::array![[1.0, 2.0]]);
        let short = checked(&[vec![1.0, 2.0], vec![1.0]], 2).unwrap_err();
        assert_eq!(blamed(short), ("vectors[1]".to_owned(), "vector_width"));
        let wild = checked(&[vec![1.0, f32::INFINITY]], 2).unwrap_err();
        assert_eq!(blamed(wild), ("vectors[0][1]".to_owned(), "not_finite"));
        assert!(check_rows("samples", 1000, MAX_ROWS).is_ok());
        assert_eq!(blamed(check_rows("samples", 0, MAX_ROWS).unwrap_err()).1, "rows");
        assert_eq!(blamed(check_rows("samples", 1001, MAX_ROWS).unwrap_err()).1, "rows");
    }
}
