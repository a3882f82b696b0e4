//! A trained model in ONNX Runtime: rows in, probabilities out, and what the file says of itself.

use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ndarray::{Array2, Array3, ArrayView2, Axis, concatenate};
use ort::session::{Session, SessionInputs};
use ort::value::Tensor;

use super::{EncodeError, Result, Runtime};

const NAME: &str = "trained model";
/// Rows of one run: bounds the runtime's memory, not the answer.
const BATCH: usize = 1024;

/// Names of a file's inputs and of its output; which inputs there are is asked of the file.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    /// f32 (n, d), of models on pooled vectors.
    pub pooled: &'static str,
    /// f32 (n, F, d), and f32 (n, F) with 1 where there is a frame.
    pub frames: &'static str,
    pub frames_live: &'static str,
    /// i64 (n, T) each.
    pub tokens: &'static str,
    pub token_kinds: &'static str,
    /// f32 (n, k).
    pub output: &'static str,
}

/// What a model reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Pooled vectors of this width.
    Pooled { width: usize },
    /// Frames, as many at most and as wide, and text.
    Sequence { frames: Option<(usize, usize)>, text: bool },
}

/// n samples as a sequence model reads them; what it does not read may be left out.
#[derive(Clone, Debug, Default)]
pub struct Sequences {
    /// Samples.
    pub n: usize,
    /// (n, F, d), zeros where a sample has fewer, and (n, F), 1 where there is one.
    pub frames: Option<(Array3<f32>, Array2<f32>)>,
    /// (n, T) ids, 0 behind a sample's last, and (n, T) kinds; T >= 1.
    pub tokens: Option<(Array2<i64>, Array2<i64>)>,
}

/// One session over an exported model. Threads take turns.
pub struct TrainedModel {
    session: Mutex<Session>,
    ports: Ports,
    shape: Shape,
}

impl TrainedModel {
    /// Loads the file's bytes.
    ///
    /// # Errors
    /// When they are no model that the runtime can run, or have none of the inputs of a fixed width.
    pub fn load(runtime: &Runtime, bytes: &[u8], ports: Ports) -> Result<Self> {
        let mut file = tempfile::NamedTempFile::new().map_err(|e| EncodeError::model(NAME, e))?;
        file.write_all(bytes).map_err(|e| EncodeError::model(NAME, e))?;
        Self::open(runtime, file.path(), ports)
    }

    fn open(runtime: &Runtime, path: &Path, ports: Ports) -> Result<Self> {
        let session = runtime.session(NAME, path)?;
        let sizes = |name: &str| -> Option<Vec<i64>> {
            let input = session.inputs().iter().find(|i| i.name() == name)?;
            Some(input.dtype().tensor_shape()?.iter().copied().collect())
        };
        let fixed = |size: Option<&i64>| size.and_then(|w| usize::try_from(*w).ok());
        let shape = match (sizes(ports.pooled), sizes(ports.frames), sizes(ports.tokens)) {
            (Some(pooled), ..) => fixed(pooled.last()).map(|width| Shape::Pooled { width }),
            (None, Some(frames), text) => fixed(frames.get(1))
                .zip(fixed(frames.last()))
                .map(|f| Shape::Sequence { frames: Some(f), text: text.is_some() }),
            (None, None, Some(_)) => Some(Shape::Sequence { frames: None, text: true }),
            (None, None, None) => None,
        };
        let shape = shape.ok_or_else(|| {
            let Ports { pooled, frames, tokens, .. } = ports;
            EncodeError::model(
                NAME,
                format!("has no input {pooled:?}, {frames:?} or {tokens:?} of fixed width"),
            )
        })?;
        Ok(Self { session: Mutex::new(session), ports, shape })
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// What the file's metadata holds under `key`.
    pub fn about(&self, key: &str) -> Option<String> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.metadata().ok()?.custom(key)
    }

    /// Pooled vectors `x` (n, d) in, (n, k) out; no rows give no rows and no columns.
    ///
    /// # Errors
    /// When shapes do not fit or the runtime fails.
    pub fn run(&self, x: ArrayView2<'_, f32>) -> Result<Array2<f32>> {
        let parts = x
            .axis_chunks_iter(Axis(0), BATCH)
            .map(|part| {
                let values: Vec<f32> = part.iter().copied().collect();
                let tensor = tensor([part.nrows(), part.ncols()], values)?;
                self.ran(part.nrows(), ort::inputs![self.ports.pooled => tensor].into())
            })
            .collect::<Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Ok(Array2::zeros((0, 0)));
        }
        let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
        concatenate(Axis(0), &views).map_err(|e| EncodeError::model(NAME, e))
    }

    /// `x` (n samples) in, (n, k) out, in one run: whoever calls bounds n.
    ///
    /// # Errors
    /// When an input that the model reads is left out, shapes do not fit or the runtime fails.
    pub fn run_sequences(&self, x: &Sequences) -> Result<Array2<f32>> {
        if x.n == 0 {
            return Ok(Array2::zeros((0, 0)));
        }
        let Shape::Sequence { frames, text } = self.shape else {
            return Err(EncodeError::model(NAME, "reads pooled vectors, not sequences"));
        };
        let missing = |what: &str| EncodeError::model(NAME, format!("reads {what}, which were not given"));
        let Ports { frames: f, frames_live, tokens: t, token_kinds, .. } = self.ports;
        let mut inputs = Vec::new();
        if frames.is_some() {
            let (values, live) = x.frames.as_ref().ok_or_else(|| missing("frames"))?;
            let (n, count, dim) = values.dim();
            inputs.push((f, tensor([n, count, dim], values.iter().copied().collect())?.into_dyn()));
            inputs.push((frames_live, tensor([n, count], live.iter().copied().collect())?.into_dyn()));
        }
        if text {
            let (ids, kinds) = x.tokens.as_ref().ok_or_else(|| missing("tokens"))?;
            for (name, values) in [(t, ids), (token_kinds, kinds)] {
                let (n, length) = values.dim();
                inputs.push((name, tensor([n, length], values.iter().copied().collect())?.into_dyn()));
            }
        }
        self.ran(x.n, inputs.into())
    }

    fn ran(&self, n: usize, inputs: SessionInputs<'_, '_>) -> Result<Array2<f32>> {
        let fail = |e: ort::Error| EncodeError::model(NAME, e);
        let output = self.ports.output;
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(inputs).map_err(fail)?;
        let value = outputs
            .get(output)
            .ok_or_else(|| EncodeError::model(NAME, format!("has no output {output:?}")))?;
        let (shape, values) = value.try_extract_tensor::<f32>().map_err(fail)?;
        let columns = values.len() / n.max(1);
        Array2::from_shape_vec((n, columns), values.to_vec()).map_err(|_| {
            EncodeError::model(NAME, format!("output {output:?} has shape {shape:?}, not {n} rows"))
        })
    }
}

fn tensor<T, const R: usize>(shape: [usize; R], values: Vec<T>) -> Result<Tensor<T>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug + Clone + 'static,
{
    Tensor::from_array((shape, values)).map_err(|e| EncodeError::model(NAME, e))
}
