//! A trained model in ONNX Runtime: one matrix in, one matrix out, and what the file says of itself.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, ArrayView2, Axis, concatenate};
use ort::session::Session;
use ort::value::Tensor;

use super::{EncodeError, Result, Runtime};

const NAME: &str = "trained model";
/// Rows of one run: bounds the runtime's memory, not the answer.
const BATCH: usize = 1024;

/// One session over an exported model. Threads take turns.
pub struct TrainedModel {
    session: Mutex<Session>,
    input: String,
    output: String,
    /// Columns of the input.
    width: usize,
}

impl TrainedModel {
    /// Loads the file's bytes; `input` and `output` are the names of the matrices (n, d) and (n, k), f32.
    ///
    /// # Errors
    /// When they are no model that the runtime can run, or have no such input of a fixed width.
    pub fn load(runtime: &Runtime, bytes: &[u8], input: &str, output: &str) -> Result<Self> {
        let mut file = tempfile::NamedTempFile::new().map_err(|e| EncodeError::model(NAME, e))?;
        file.write_all(bytes).map_err(|e| EncodeError::model(NAME, e))?;
        Self::open(runtime, file.path(), input, output)
    }

    fn open(runtime: &Runtime, path: &Path, input: &str, output: &str) -> Result<Self> {
        let session = runtime.session(NAME, path)?;
        let shape = session.inputs().iter().find(|i| i.name() == input);
        let width = shape
            .and_then(|i| i.dtype().tensor_shape())
            .and_then(|s| s.last())
            .and_then(|w| usize::try_from(*w).ok())
            .ok_or_else(|| EncodeError::model(NAME, format!("has no input {input:?} of a fixed width")))?;
        Ok(Self { session: Mutex::new(session), input: input.to_owned(), output: output.to_owned(), width })
    }

    /// Columns that a row of the input has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What the file's metadata holds under `key`.
    pub fn about(&self, key: &str) -> Option<String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.metadata().ok()?.custom(key)
    }

    /// `x` (n, d) in, (n, k) out; no rows give no rows and no columns.
    ///
    /// # Errors
    /// When shapes do not fit or the runtime fails.
    pub fn run(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = x
            .axis_chunks_iter(Axis(0), BATCH)
            .map(|part| self.part(&mut session, part))
            .collect::<Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Ok(Array2::zeros((0, 0)));
        }
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        concatenate(Axis(0), &views).map_err(|e| EncodeError::model(NAME, e))
    }

    fn part(&self, session: &mut Session, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let fail = |e: ort::Error| EncodeError::model(NAME, e);
        let output = &self.output;
        let values: Vec<f32> = x.iter().copied().collect();
        let tensor = Tensor::from_array(([x.nrows(), x.ncols()], values)).map_err(fail)?;
        let outputs = session.run(ort::inputs![self.input.as_str() => tensor]).map_err(fail)?;
        let value = outputs
            .get(output)
            .ok_or_else(|| EncodeError::model(NAME, format!("has no output {output:?}")))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail)?;
        let columns = values.len() / x.nrows().max(1);
        Array2::from_shape_vec((x.nrows(), columns), values.to_vec()).map_err(|_| {
            EncodeError::model(NAME, format!("output {output:?} has shape {shape:?}, not {} rows", x.nrows()))
        })
    }
}
