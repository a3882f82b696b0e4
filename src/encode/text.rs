//! Sentence encoders in ONNX: tokenised, cut, padded and pooled after the manifest. Texts of like
//! length share a batch, so that little is computed for padding.

use std::path::PathBuf;

use ndarray::{Array2, ArrayView3, Axis};
use ort::{
    session::{Session, SessionInputValue},
    value::{Tensor, TensorElementType, ValueType},
};
use tokenizers::{Tokenizer, TruncationParams};

use super::{
    EncodeError, Manifest, Pooling, Result, TextEncoder, TextSpec,
    runtime::{Runtime, SessionPool},
    vectors::normalize_rows,
};

pub struct OrtTextEncoder {
    version: String,
    name: String,
    dimension: usize,
    output: String,
    spec: TextSpec,
    tokenizer: Tokenizer,
    pad: i64,
    /// Model inputs take 64-bit integers; 32-bit otherwise.
    wide: bool,
    batch: usize,
    pool: SessionPool,
}

impl OrtTextEncoder {
    /// Verifies model and tokenizer, loads them and encodes one text to see that they agree with
    /// the manifest. `sessions` as for [`super::OrtImageEncoder::new`].
    ///
    /// # Errors
    /// A missing or altered file, a model or tokenizer that does not load, names or shapes that
    /// differ from the manifest's.
    pub fn new(runtime: &Runtime, manifest: &Manifest, search: &[PathBuf], sessions: usize) -> Result<Self> {
        let fail = |message: String| EncodeError::model(&manifest.name, message);
        let spec = manifest.text.clone().ok_or_else(|| fail("is no text encoder".into()))?;
        let files = manifest.verify(search)?;
        let path = files.tokenizer.ok_or_else(|| fail("has no tokenizer".into()))?;
        let mut tokenizer = Tokenizer::from_file(path).map_err(|e| fail(format!("tokenizer: {e}")))?;
        let pad = tokenizer
            .get_padding()
            .map(|p| p.pad_id)
            .or_else(|| ["<pad>", "[PAD]"].iter().find_map(|t| tokenizer.token_to_id(t)))
            .unwrap_or(0);
        let cut = TruncationParams { max_length: spec.max_tokens, ..TruncationParams::default() };
        tokenizer.with_truncation(Some(cut)).map_err(|e| fail(format!("tokenizer: {e}")))?;
        tokenizer.with_padding(None);
        let pool = SessionPool::new(runtime, &manifest.name, &files.model, sessions)?;
        let wide = pool.with(|session| ids_are_wide(session, &spec, &manifest.name))?;
        let encoder = Self {
            version: manifest.version(),
            name: manifest.name.clone(),
            dimension: manifest.dimension,
            output: manifest.output.name.clone(),
            spec,
            tokenizer,
            pad: i64::from(pad),
            wide,
            batch: runtime.batch(),
            pool,
        };
        encoder.encode(&["a"])?;
        Ok(encoder)
    }

    /// Whether the model takes token ids as 64-bit integers, else as 32-bit ones.
    pub fn is_wide(&self) -> bool {
        self.wide
    }

    /// The ids of a text's tokens as the model gets them, at most `max_tokens`.
    ///
    /// # Errors
    /// When the tokenizer fails.
    pub fn tokens(&self, text: &str) -> Result<Vec<i64>> {
        let fail = |e: tokenizers::Error| EncodeError::model(&self.name, format!("tokenizer: {e}"));
        let text = format!("{}{text}", self.spec.prefix);
        let encoding = self.tokenizer.encode_fast(text, true).map_err(fail)?;
        Ok(encoding.get_ids().iter().map(|id| i64::from(*id)).collect())
    }

    fn tensor(&self, shape: &[usize], values: Vec<i64>) -> Result<SessionInputValue<'static>> {
        let fail = |e: ort::Error| EncodeError::model(&self.name, e);
        Ok(if self.wide {
            Tensor::from_array((shape.to_vec(), values)).map_err(fail)?.into()
        } else {
            let values: Vec<i32> = values.into_iter().map(|v| v as i32).collect();
            Tensor::from_array((shape.to_vec(), values)).map_err(fail)?.into()
        })
    }

    /// One run over token rows; a row of `dimension` each.
    fn run(&self, batch: &[&[i64]]) -> Result<Array2<f32>> {
        let fail = |e: ort::Error| EncodeError::model(&self.name, e);
        let n = batch.len();
        let lengths: Vec<usize> = batch.iter().map(|t| t.len()).collect();
        let longest = lengths.iter().copied().max().unwrap_or(1).max(1);
        let mut ids = Vec::with_capacity(n * longest);
        let mut mask = Vec::with_capacity(n * longest);
        for tokens in batch {
            ids.extend_from_slice(tokens);
            ids.resize(ids.len() + longest - tokens.len(), self.pad);
            mask.resize(mask.len() + tokens.len(), 1);
            mask.resize(mask.len() + longest - tokens.len(), 0);
        }
        let names = &self.spec.inputs;
        let mut inputs = vec![(names.ids.clone(), self.tensor(&[n, longest], ids)?)];
        if let Some(name) = &names.lengths {
            let values = lengths.iter().map(|l| *l as i64).collect();
            inputs.push((name.clone(), self.tensor(&[n], values)?));
        }
        if let Some(name) = &names.attention_mask {
            inputs.push((name.clone(), self.tensor(&[n, longest], mask)?));
        }
        if let Some(name) = &names.token_type_ids {
            inputs.push((name.clone(), self.tensor(&[n, longest], vec![0; n * longest])?));
        }
        self.pool.with(|session| {
            let outputs = session.run(inputs).map_err(fail)?;
            let output = outputs
                .get(self.output.as_str())
                .ok_or_else(|| EncodeError::model(&self.name, format!("has no output {:?}", self.output)))?;
            let (shape, values) = output.try_extract_tensor::<f32>().map_err(fail)?;
            let wanted = match self.spec.pooling {
                Pooling::None => vec![n, self.dimension],
                Pooling::Mean | Pooling::Cls => vec![n, longest, self.dimension],
            };
            if shape.iter().map(|d| *d as usize).ne(wanted.iter().copied()) {
                let message =
                    format!("output {:?} has shape {shape:?}, the manifest says {wanted:?}", self.output);
                return Err(EncodeError::model(&self.name, message));
            }
            pool_tokens(values, n, longest, self.dimension, self.spec.pooling, &lengths)
                .ok_or_else(|| EncodeError::model(&self.name, "output does not fill its shape"))
        })
    }
}

fn ids_are_wide(session: &Session, spec: &TextSpec, name: &str) -> Result<bool> {
    let input = session.inputs().iter().find(|i| i.name() == spec.inputs.ids);
    match input.map(|i| i.dtype()) {
        Some(ValueType::Tensor { ty: TensorElementType::Int64, .. }) => Ok(true),
        Some(ValueType::Tensor { ty: TensorElementType::Int32, .. }) => Ok(false),
        Some(other) => Err(EncodeError::model(name, format!("takes token ids as {other:?}"))),
        None => Err(EncodeError::model(name, format!("has no input {:?}", spec.inputs.ids))),
    }
}

fn pool_tokens(
    values: &[f32],
    n: usize,
    longest: usize,
    dimension: usize,
    pooling: Pooling,
    lengths: &[usize],
) -> Option<Array2<f32>> {
    if pooling == Pooling::None {
        return Array2::from_shape_vec((n, dimension), values.to_vec()).ok();
    }
    let tokens = ArrayView3::from_shape((n, longest, dimension), values).ok()?;
    if pooling == Pooling::Cls {
        return Some(tokens.index_axis(Axis(1), 0).to_owned());
    }
    let mut rows = Array2::zeros((n, dimension));
    for (i, mut row) in rows.rows_mut().into_iter().enumerate() {
        for t in 0..lengths[i] {
            row += &tokens.index_axis(Axis(0), i).row(t);
        }
        row /= lengths[i].max(1) as f32;
    }
    Some(rows)
}

impl TextEncoder for OrtTextEncoder {
    fn version(&self) -> &str {
        &self.version
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    fn encode(&self, texts: &[&str]) -> Result<Array2<f32>> {
        let mut tokens: Vec<(usize, Vec<i64>)> = Vec::with_capacity(texts.len());
        for (i, text) in texts.iter().enumerate() {
            if !text.trim().is_empty() {
                tokens.push((i, self.tokens(text)?));
            }
        }
        tokens.sort_by_key(|(i, t)| (t.len(), *i));
        let mut rows = Array2::zeros((texts.len(), self.dimension));
        for batch in tokens.chunks(self.batch) {
            let ids: Vec<&[i64]> = batch.iter().map(|(_, t)| t.as_slice()).collect();
            let encoded = self.run(&ids)?;
            for ((i, _), row) in batch.iter().zip(encoded.rows()) {
                rows.row_mut(*i).assign(&row);
            }
        }
        if self.spec.normalize {
            normalize_rows(&mut rows);
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn pooling_leaves_padding_out() {
        // Two texts of 1 and 2 tokens, two dimensions; 9 stands where the padding is.
        let values = [1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 5.0, 8.0];
        let pool = |pooling| pool_tokens(&values, 2, 2, 2, pooling, &[1, 2]).unwrap();
        assert_eq!(pool(Pooling::Mean), array![[1.0, 2.0], [4.0, 6.0]]);
        assert_eq!(pool(Pooling::Cls), array![[1.0, 2.0], [3.0, 4.0]]);
    }
}
