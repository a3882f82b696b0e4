//! Picture and video encoders in ONNX: preprocessing after the manifest, full batches, and a pool
//! of sessions so that several threads encode at once.

use std::path::PathBuf;

use ndarray::{Array2, s};
use ort::value::Tensor;

use super::{
    EncodeError, ImageEncoder, ImageSpec, Layout, Manifest, Result,
    pixels::write_row,
    runtime::{Runtime, SessionPool},
};
use crate::media::RgbFrame;

pub struct OrtImageEncoder {
    version: String,
    name: String,
    dimension: usize,
    input: String,
    output: String,
    spec: ImageSpec,
    batch: usize,
    pool: SessionPool,
}

impl OrtImageEncoder {
    /// Verifies the model file, loads it and encodes one blank frame to see that model and manifest
    /// agree. `sessions`: how many threads may encode at once; each beyond the first costs the
    /// model's memory again when it is first needed.
    ///
    /// # Errors
    /// A missing or altered file, a model that does not load, names or shapes that differ from the
    /// manifest's.
    pub fn new(runtime: &Runtime, manifest: &Manifest, search: &[PathBuf], sessions: usize) -> Result<Self> {
        let spec = manifest
            .image
            .clone()
            .ok_or_else(|| EncodeError::model(&manifest.name, "is no image encoder"))?;
        let files = manifest.verify(search)?;
        let pool = SessionPool::new(runtime, &manifest.name, &files.model, sessions)?;
        let encoder = Self {
            version: manifest.version(),
            name: manifest.name.clone(),
            dimension: manifest.dimension,
            input: manifest.input.name.clone(),
            output: manifest.output.name.clone(),
            spec,
            batch: runtime.batch(),
            pool,
        };
        let side = encoder.spec.size;
        let blank = RgbFrame::new(side, side, vec![0; 3 * side as usize * side as usize]);
        encoder.encode(&vec![blank; encoder.frames_per_row()])?;
        Ok(encoder)
    }

    /// Preprocessing and sampling wanted by this encoder.
    pub fn spec(&self) -> &ImageSpec {
        &self.spec
    }

    fn shape(&self, rows: usize) -> Vec<usize> {
        let (side, frames) = (self.spec.size as usize, self.spec.frames);
        match self.spec.layout {
            Layout::Nchw => vec![rows, 3, side, side],
            Layout::Nhwc => vec![rows, side, side, 3],
            Layout::Ntchw => vec![rows, frames, 3, side, side],
            Layout::Ncthw => vec![rows, 3, frames, side, side],
        }
    }

    fn run(&self, frames: &[RgbFrame], out: &mut [f32]) -> Result<()> {
        let fail = |e: ort::Error| EncodeError::model(&self.name, e);
        let per_row = self.frames_per_row();
        let rows = frames.len() / per_row;
        let row_len = 3 * (self.spec.size as usize).pow(2) * per_row;
        let mut input = vec![0f32; rows * row_len];
        for (row, frames) in input.chunks_exact_mut(row_len).zip(frames.chunks_exact(per_row)) {
            write_row(frames, &self.spec, row);
        }
        let tensor = Tensor::from_array((self.shape(rows), input)).map_err(fail)?;
        self.pool.with(|session| {
            let outputs = session.run(ort::inputs![self.input.as_str() => tensor]).map_err(fail)?;
            let output = outputs
                .get(self.output.as_str())
                .ok_or_else(|| EncodeError::model(&self.name, format!("has no output {:?}", self.output)))?;
            let (shape, values) = output.try_extract_tensor::<f32>().map_err(fail)?;
            if values.len() != out.len() || shape.first() != Some(&(rows as i64)) {
                let message = format!(
                    "output {:?} has shape {shape:?}, the manifest says {rows} x {}",
                    self.output, self.dimension
                );
                return Err(EncodeError::model(&self.name, message));
            }
            out.copy_from_slice(values);
            Ok(())
        })
    }
}

impl ImageEncoder for OrtImageEncoder {
    fn version(&self) -> &str {
        &self.version
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn frames_per_row(&self) -> usize {
        if self.spec.layout.is_video() { self.spec.frames } else { 1 }
    }

    fn encode(&self, frames: &[RgbFrame]) -> Result<Array2<f32>> {
        let per_row = self.frames_per_row();
        if !frames.len().is_multiple_of(per_row) {
            let message = format!("{} frames are no multiple of {per_row}", frames.len());
            return Err(EncodeError::model(&self.name, message));
        }
        let mut rows = Array2::zeros((frames.len() / per_row, self.dimension));
        for (k, frames) in frames.chunks(self.batch * per_row).enumerate() {
            let (start, n) = (k * self.batch, frames.len() / per_row);
            let mut slice = rows.slice_mut(s![start..start + n, ..]);
            // Rows of a fresh array lie one after the other.
            if let Some(out) = slice.as_slice_mut() {
                self.run(frames, out)?;
            }
        }
        Ok(rows)
    }
}

#[cfg(test)]
#[path = "onnx_tests.rs"]
mod tests;
