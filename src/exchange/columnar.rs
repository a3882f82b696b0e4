//! Big arrays as Parquet, one row a sample: embeddings in float16 and tables of scores.
//!
//! Plain Parquet that any engine reads. Vectors are fixed-size lists without dictionary, statistics or
//! compression: float vectors do not pack, and reading them is then close to copying them. float16
//! reaches to ±65504; values beyond are clamped there, NaN is refused.

mod table;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Int64Type, UInt8Type};
use arrow_array::{Array, ArrayRef, FixedSizeListArray, Float16Array, Int64Array, RecordBatch, UInt8Array};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::Array2;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

pub use table::{Column, read_table, write_table};

/// Rows gathered before they are handed to the Parquet writer.
const BATCH: usize = 1_024;
/// Rows of a row group: bounds the writer's memory (768 floats x 8,192 x 2 bytes = 12 MB).
const ROW_GROUP: usize = 8_192;

#[derive(Debug, thiserror::Error)]
pub enum ColumnarError {
    #[error("sample {sample_id}: {what} has {found} values, {expected} expected")]
    Length { sample_id: i64, what: &'static str, found: usize, expected: usize },
    #[error("sample {0} has a value that is NaN")]
    NotANumber(i64),
    #[error("column {0:?} is missing or of another type")]
    Column(String),
    #[error("columns have {0} and {1} rows")]
    Ragged(usize, usize),
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] ParquetError),
    #[error("the columns do not fit: {0}")]
    Arrow(#[from] ArrowError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One sample's embedding by one encoder of one field.
#[derive(Clone, Copy, Debug)]
pub struct EmbeddingRow<'a> {
    pub sample_id: i64,
    /// Hash of what was encoded: a row whose hash still fits needs no new encoding.
    pub input_hash: i64,
    /// Length `dim`.
    pub vector: &'a [f32],
    /// Per-frame matrix, row-major `[n_frames, dim]`; `None` for texts.
    pub frames: Option<&'a [f32]>,
    /// 0 for texts.
    pub n_frames: u8,
}

/// What [`read_embeddings`] returns; row i of everything belongs to `sample_ids[i]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    pub sample_ids: Vec<i64>,
    pub input_hashes: Vec<i64>,
    /// N x dim.
    pub vectors: Array2<f32>,
    /// Per-frame matrices `[n_frames, dim]`, when asked for; `None` where a sample has none.
    pub frames: Option<Vec<Option<Array2<f32>>>>,
}

/// Largest finite float16.
const F16_MAX: f32 = 65_504.0;

/// Nearest float16 of each value, clamped to its range. Whole slices, because a value at a time is
/// many times slower.
fn to_f16(values: &[f32]) -> Vec<f16> {
    let clamped: Vec<f32> = values.iter().map(|v| v.clamp(-F16_MAX, F16_MAX)).collect();
    let mut out = vec![f16::ZERO; values.len()];
    out.convert_from_f32_slice(&clamped);
    out
}

/// The values as they come back once they have been written.
pub fn as_stored(values: &mut [f32]) {
    to_f16(values).convert_to_f32_slice(values);
}

/// Writes embeddings of length `dim` and returns how many. Columns: `sample_id` i64, `input_hash` i64,
/// `n_frames` u8, `vector` fixed-size list of f16, `frames` nullable binary: n_frames x dim float16,
/// row-major, little-endian (a list of so many values takes several times longer).
///
/// # Errors
/// A row of another length or with NaN; writing. Nothing is complete on an error.
pub fn write_embeddings<'a>(
    out: impl Write + Send,
    dim: usize,
    rows: impl IntoIterator<Item = EmbeddingRow<'a>>,
) -> Result<u64, ColumnarError> {
    let item = || Arc::new(Field::new_list_field(DataType::Float16, false));
    let width = list_size(dim)?;
    let schema = Arc::new(Schema::new(vec![
        Field::new("sample_id", DataType::Int64, false),
        Field::new("input_hash", DataType::Int64, false),
        Field::new("n_frames", DataType::UInt8, false),
        Field::new("vector", DataType::FixedSizeList(item(), width), false),
        Field::new("frames", DataType::Binary, true),
    ]));
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(&schema, &[])))?;
    let mut rows = rows.into_iter().peekable();
    let mut total = 0;
    while rows.peek().is_some() {
        let (mut ids, mut hashes, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut vectors = Vec::with_capacity(dim * BATCH.min(rows.size_hint().0.max(1)));
        let mut frames = BinaryBuilder::new();
        for row in rows.by_ref().take(BATCH) {
            check(&row, "vector", row.vector, dim)?;
            vectors.extend_from_slice(&to_f16(row.vector));
            match row.frames {
                Some(values) => {
                    check(&row, "frames", values, dim * usize::from(row.n_frames))?;
                    let bytes: Vec<u8> = to_f16(values).iter().flat_map(|v| v.to_le_bytes()).collect();
                    frames.append_value(bytes);
                }
                None => frames.append_null(),
            }
            ids.push(row.sample_id);
            hashes.push(row.input_hash);
            counts.push(row.n_frames);
        }
        total += ids.len() as u64;
        let vectors =
            FixedSizeListArray::try_new(item(), width, Arc::new(Float16Array::from(vectors)), None)?;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from(ids)),
            Arc::new(Int64Array::from(hashes)),
            Arc::new(UInt8Array::from(counts)),
            Arc::new(vectors),
            Arc::new(frames.finish()),
        ];
        writer.write(&RecordBatch::try_new(schema.clone(), columns)?)?;
    }
    writer.into_inner()?.flush()?;
    Ok(total)
}

fn list_size(dim: usize) -> Result<i32, ColumnarError> {
    i32::try_from(dim).ok().filter(|&d| d > 0).ok_or(ColumnarError::Length {
        sample_id: 0,
        what: "a vector",
        found: dim,
        expected: 1,
    })
}

fn check(
    row: &EmbeddingRow<'_>,
    what: &'static str,
    values: &[f32],
    expected: usize,
) -> Result<(), ColumnarError> {
    let sample_id = row.sample_id;
    if values.len() != expected {
        return Err(ColumnarError::Length { sample_id, what, found: values.len(), expected });
    }
    if values.iter().any(|v| v.is_nan()) {
        return Err(ColumnarError::NotANumber(sample_id));
    }
    Ok(())
}

/// Floats in lists or bytes go in plain; everything else is compressed and dictionary-coded.
fn properties(schema: &Schema, metadata: &[(String, String)]) -> WriterProperties {
    let pairs = metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_key_value_metadata(Some(pairs));
    for field in schema.fields() {
        let name = field.name().clone();
        let path = match field.data_type() {
            DataType::FixedSizeList(..) => ColumnPath::new(vec![name, "list".into(), "item".into()]),
            DataType::Binary => ColumnPath::new(vec![name]),
            _ => continue,
        };
        builder = builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
            .set_column_compression(path, Compression::UNCOMPRESSED);
    }
    builder.build()
}

/// Reads an embeddings file, the per-frame matrices only if wanted (they are most of the file).
/// Cost: 4 bytes a value in memory; the vectors are converted from f16 batch by batch.
pub fn read_embeddings<R: ChunkReader + 'static>(
    source: R,
    want_frames: bool,
) -> Result<Embeddings, ColumnarError> {
    read_rows(source, want_frames, None)
}

/// The same of the samples that `wanted` says, in the order of the file; a file of none of them costs its ids only.
pub fn read_embeddings_of<R: ChunkReader + Clone + 'static>(
    source: R,
    want_frames: bool,
    wanted: impl Fn(i64) -> bool,
) -> Result<Embeddings, ColumnarError> {
    let (ids, _) = read_ids(source.clone())?;
    let rows: Vec<usize> = (0..ids.len()).filter(|&i| wanted(ids[i])).collect();
    if rows.len() == ids.len() {
        return read_rows(source, want_frames, None);
    }
    let runs = rows.chunk_by(|a, b| a + 1 == *b).map(|run| run[0]..run[run.len() - 1] + 1);
    let selection = RowSelection::from_consecutive_ranges(runs, ids.len());
    read_rows(source, want_frames, Some(selection))
}

fn read_rows<R: ChunkReader + 'static>(
    source: R,
    want_frames: bool,
    selection: Option<RowSelection>,
) -> Result<Embeddings, ColumnarError> {
    let mut names = vec!["sample_id", "input_hash", "n_frames", "vector"];
    if want_frames {
        names.push("frames");
    }
    let (rows, batches) = batches(source, Some(&names), selection)?;
    let mut out = Embeddings {
        sample_ids: Vec::with_capacity(rows),
        input_hashes: Vec::with_capacity(rows),
        vectors: Array2::zeros((0, 0)),
        frames: want_frames.then(Vec::new),
    };
    let mut values: Vec<f32> = Vec::new();
    let mut dim = 0;
    for batch in batches {
        let batch = batch?;
        out.sample_ids
            .extend_from_slice(column(&batch, "sample_id", |a| a.as_primitive_opt::<Int64Type>())?.values());
        out.input_hashes
            .extend_from_slice(column(&batch, "input_hash", |a| a.as_primitive_opt::<Int64Type>())?.values());
        let vectors = column(&batch, "vector", |a| a.as_fixed_size_list_opt())?;
        dim = vectors.value_length() as usize;
        values.reserve(dim * rows.saturating_sub(values.len() / dim.max(1)));
        extend_f32(&mut values, halves(vectors.values(), "vector")?);
        let Some(frames) = &mut out.frames else { continue };
        let matrices = column(&batch, "frames", |a| a.as_binary_opt::<i32>())?;
        let counts = column(&batch, "n_frames", |a| a.as_primitive_opt::<UInt8Type>())?;
        for (bytes, &n) in matrices.iter().zip(counts.values()) {
            frames.push(bytes.map(|b| matrix(b, usize::from(n), dim)).transpose()?);
        }
    }
    out.vectors = Array2::from_shape_vec((out.sample_ids.len(), dim), values)
        .map_err(|_| ColumnarError::Column("vector".into()))?;
    Ok(out)
}

/// The frames of one sample from their bytes.
fn matrix(bytes: &[u8], n: usize, dim: usize) -> Result<Array2<f32>, ColumnarError> {
    let damaged = || ColumnarError::Column("frames".into());
    if !bytes.len().is_multiple_of(2) {
        return Err(damaged());
    }
    let values = bytes.as_chunks().0.iter().map(|&b| f16::from_le_bytes(b).to_f32()).collect();
    Array2::from_shape_vec((n, dim), values).map_err(|_| damaged())
}

/// Sample ids and input hashes only: reads a few bytes a row and no vectors.
pub fn read_ids<R: ChunkReader + 'static>(source: R) -> Result<(Vec<i64>, Vec<i64>), ColumnarError> {
    let (rows, batches) = batches(source, Some(&["sample_id", "input_hash"]), None)?;
    let (mut ids, mut hashes) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    for batch in batches {
        let batch = batch?;
        ids.extend_from_slice(column(&batch, "sample_id", |a| a.as_primitive_opt::<Int64Type>())?.values());
        hashes
            .extend_from_slice(column(&batch, "input_hash", |a| a.as_primitive_opt::<Int64Type>())?.values());
    }
    Ok((ids, hashes))
}

type Batches = parquet::arrow::arrow_reader::ParquetRecordBatchReader;

/// Number of rows and their batches, with only the named columns and the selected rows when given.
fn batches<R: ChunkReader + 'static>(
    source: R,
    names: Option<&[&str]>,
    selection: Option<RowSelection>,
) -> Result<(usize, Batches), ColumnarError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(source)?;
    let all = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    let rows = selection.as_ref().map_or(all, RowSelection::row_count);
    let builder = match names {
        Some(names) => {
            if let Some(name) = names.iter().find(|n| builder.schema().field_with_name(n).is_err()) {
                return Err(ColumnarError::Column((*name).to_owned()));
            }
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder.with_projection(mask)
        }
        None => builder,
    };
    let builder = match selection {
        Some(selection) => builder.with_row_selection(selection),
        None => builder,
    };
    Ok((rows, builder.with_batch_size(ROW_GROUP).build()?))
}

fn column<'a, T>(
    batch: &'a RecordBatch,
    name: &str,
    cast: impl Fn(&'a dyn Array) -> Option<&'a T>,
) -> Result<&'a T, ColumnarError> {
    batch
        .column_by_name(name)
        .and_then(|c| cast(c.as_ref()))
        .ok_or_else(|| ColumnarError::Column(name.to_owned()))
}

fn halves<'a>(values: &'a ArrayRef, name: &str) -> Result<&'a [f16], ColumnarError> {
    let values = values.as_primitive_opt::<Float16Type>();
    values.map(|v| &v.values()[..]).ok_or_else(|| ColumnarError::Column(name.to_owned()))
}

fn extend_f32(out: &mut Vec<f32>, values: &[f16]) {
    let from = out.len();
    out.resize(from + values.len(), 0.0);
    values.convert_to_f32_slice(&mut out[from..]);
}
