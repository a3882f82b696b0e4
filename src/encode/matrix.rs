//! Runs an exported head: one matrix in, one matrix out.

use std::path::Path;

use ndarray::{Array2, ArrayView2};
use ort::value::Tensor;

use super::{EncodeError, Result, Runtime};

/// Feeds `x` (n, d) to `input` of the ONNX file at `model` and returns its `output` (n, k), both f32.
/// Loads the model anew each time; for checks and batch jobs, not for serving.
///
/// # Errors
/// When the file is no model that the runtime can run, or names or shapes do not fit.
pub fn run_matrix(
    runtime: &Runtime,
    model: &Path,
    input: &str,
    output: &str,
    x: ArrayView2<'_, f32>,
) -> Result<Array2<f32>> {
    const NAME: &str = "exported model";
    let fail = |e: ort::Error| EncodeError::model(NAME, e);
    let mut session = runtime.session(NAME, model)?;
    let values: Vec<f32> = x.iter().copied().collect();
    let tensor = Tensor::from_array(([x.nrows(), x.ncols()], values)).map_err(fail)?;
    let outputs = session.run(ort::inputs![input => tensor]).map_err(fail)?;
    let value =
        outputs.get(output).ok_or_else(|| EncodeError::model(NAME, format!("has no output {output:?}")))?;
    let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail)?;
    let columns = values.len() / x.nrows().max(1);
    Array2::from_shape_vec((x.nrows(), columns), values.to_vec()).map_err(|_| {
        EncodeError::model(NAME, format!("output {output:?} has shape {shape:?}, not {} rows", x.nrows()))
    })
}
