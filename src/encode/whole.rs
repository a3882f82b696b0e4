//! A model with inputs of any names and types in ONNX Runtime: a training with its encoders as one file.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ndarray::Array2;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::{EncodeError, Result, Runtime};

const NAME: &str = "bundle";

/// An input's values, row-major.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Bytes(Vec<u8>),
    Whole(Vec<i64>),
    Floats(Vec<f32>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct NamedInput {
    pub name: String,
    pub shape: Vec<usize>,
    pub values: Values,
}

/// One session. Threads take turns.
pub struct WholeModel(Mutex<Session>);

impl WholeModel {
    /// # Errors
    /// When the file is no model that the runtime can run.
    pub fn load(runtime: &Runtime, path: &Path) -> Result<Self> {
        Ok(Self(Mutex::new(runtime.session(NAME, path)?)))
    }

    /// `output` f32 (n, k) for n samples.
    ///
    /// # Errors
    /// When inputs or output do not fit or the runtime fails.
    pub fn run(&self, n: usize, inputs: Vec<NamedInput>, output: &str) -> Result<Array2<f32>> {
        let fail = |e: ort::Error| EncodeError::model(NAME, e);
        let mut values: Vec<(String, SessionInputValue<'_>)> = Vec::with_capacity(inputs.len());
        for i in inputs {
            let tensor = match i.values {
                Values::Bytes(v) => Tensor::from_array((i.shape, v)).map_err(fail)?.into(),
                Values::Whole(v) => Tensor::from_array((i.shape, v)).map_err(fail)?.into(),
                Values::Floats(v) => Tensor::from_array((i.shape, v)).map_err(fail)?.into(),
            };
            values.push((i.name, tensor));
        }
        let mut session = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(values).map_err(fail)?;
        let value = outputs
            .get(output)
            .ok_or_else(|| EncodeError::model(NAME, format!("has no output {output:?}")))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail)?;
        Array2::from_shape_vec((n, values.len() / n.max(1)), values.to_vec()).map_err(|_| {
            EncodeError::model(NAME, format!("output {output:?} has shape {shape:?}, not {n} rows"))
        })
    }
}
