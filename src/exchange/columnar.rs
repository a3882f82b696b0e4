//! Big arrays as Parquet, one row a sample: embeddings in float16 and tables of scores.
//!
//! Plain Parquet that any engine reads. Vectors are fixed-size lists without dictionary, statistics or
//! compression: float vectors do not pack, and reading them is then close to copying them. float16
//! reaches to ±65504; values beyond are clamped there, NaN is refused.

use std::io::{self, Write};
use std::sync::Arc;

use arrow_array::builder::{Float16Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Int32Type, Int64Type, UInt8Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float16Array, Float32Array, Int32Array, Int64Array,
    RecordBatch, RecordBatchReader, StringArray, UInt8Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::Array2;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{ArrowWriter, ProjectionMask};
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::ChunkReader;
use parquet::schema::types::ColumnPath;

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

/// Nearest float16, clamped to its range; NaN stays NaN.
fn to_f16(v: f32) -> f16 {
    f16::from_f32(v.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()))
}

/// Writes embeddings of length `dim` and returns how many. Columns: `sample_id` i64, `input_hash` i64,
/// `n_frames` u8, `vector` fixed-size list of f16, `frames` nullable list of f16 (n_frames x dim).
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
        Field::new("frames", DataType::List(item()), true),
    ]));
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(&schema, &[])))?;
    let mut rows = rows.into_iter().peekable();
    let mut total = 0;
    while rows.peek().is_some() {
        let (mut ids, mut hashes, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut vectors = Vec::with_capacity(dim * BATCH.min(rows.size_hint().0.max(1)));
        let mut frames = ListBuilder::new(Float16Builder::new()).with_field(item());
        for row in rows.by_ref().take(BATCH) {
            check(&row, "vector", row.vector, dim)?;
            vectors.extend(row.vector.iter().map(|&v| to_f16(v)));
            match row.frames {
                Some(values) => {
                    check(&row, "frames", values, dim * usize::from(row.n_frames))?;
                    let values: Vec<f16> = values.iter().map(|&v| to_f16(v)).collect();
                    frames.values().append_slice(&values);
                    frames.append(true);
                }
                None => frames.append(false),
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

/// Float lists go in plain; everything else may be compressed and dictionary-coded.
fn properties(schema: &Schema, metadata: &[(String, String)]) -> WriterProperties {
    let pairs = metadata.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone())).collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_key_value_metadata(Some(pairs));
    for field in schema.fields() {
        if matches!(field.data_type(), DataType::FixedSizeList(..) | DataType::List(_)) {
            let path = ColumnPath::new(vec![field.name().clone(), "list".into(), "item".into()]);
            builder = builder
                .set_column_dictionary_enabled(path.clone(), false)
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_compression(path, Compression::UNCOMPRESSED);
        }
    }
    builder.build()
}

/// Reads an embeddings file, the per-frame matrices only if wanted (they are most of the file).
/// Cost: 4 bytes a value in memory; the vectors are converted from f16 batch by batch.
pub fn read_embeddings<R: ChunkReader + 'static>(
    source: R,
    want_frames: bool,
) -> Result<Embeddings, ColumnarError> {
    let mut names = vec!["sample_id", "input_hash", "n_frames", "vector"];
    if want_frames {
        names.push("frames");
    }
    let (rows, batches) = batches(source, Some(&names))?;
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
        let lists = column(&batch, "frames", |a| a.as_list_opt::<i32>())?;
        let counts = column(&batch, "n_frames", |a| a.as_primitive_opt::<UInt8Type>())?;
        let all = halves(lists.values(), "frames")?;
        for (i, &n) in counts.values().iter().enumerate() {
            let offsets = lists.value_offsets();
            frames.push(if lists.is_valid(i) {
                let mut matrix = Vec::new();
                extend_f32(&mut matrix, &all[offsets[i] as usize..offsets[i + 1] as usize]);
                let shaped = Array2::from_shape_vec((usize::from(n), dim), matrix);
                Some(shaped.map_err(|_| ColumnarError::Column("frames".into()))?)
            } else {
                None
            });
        }
    }
    out.vectors = Array2::from_shape_vec((out.sample_ids.len(), dim), values)
        .map_err(|_| ColumnarError::Column("vector".into()))?;
    Ok(out)
}

/// Sample ids and input hashes only: reads a few bytes a row and no vectors.
pub fn read_ids<R: ChunkReader + 'static>(source: R) -> Result<(Vec<i64>, Vec<i64>), ColumnarError> {
    let (rows, batches) = batches(source, Some(&["sample_id", "input_hash"]))?;
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

/// Number of rows and their batches, with only the named columns when given.
fn batches<R: ChunkReader + 'static>(
    source: R,
    names: Option<&[&str]>,
) -> Result<(usize, Batches), ColumnarError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(source)?;
    let rows = usize::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
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

/// One column of a table, N rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    I64(Vec<i64>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    Utf8(Vec<String>),
    /// N x K, for probabilities: a fixed-size list of f32.
    Matrix(Array2<f32>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::I64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::Utf8(v) => v.len(),
            Self::Matrix(m) => m.nrows(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn to_arrow(&self, from: usize, to: usize) -> Result<ArrayRef, ColumnarError> {
        Ok(match self {
            Self::I64(v) => Arc::new(Int64Array::from(v[from..to].to_vec())),
            Self::I32(v) => Arc::new(Int32Array::from(v[from..to].to_vec())),
            Self::F32(v) => Arc::new(Float32Array::from(v[from..to].to_vec())),
            Self::Bool(v) => Arc::new(BooleanArray::from(v[from..to].to_vec())),
            Self::Utf8(v) => Arc::new(StringArray::from_iter_values(&v[from..to])),
            Self::Matrix(m) => {
                let values: Vec<f32> = m.slice(ndarray::s![from..to, ..]).iter().copied().collect();
                let DataType::FixedSizeList(item, width) = self.data_type()? else {
                    return Err(ColumnarError::Column("matrix".into()));
                };
                Arc::new(FixedSizeListArray::try_new(
                    item,
                    width,
                    Arc::new(Float32Array::from(values)),
                    None,
                )?)
            }
        })
    }

    fn data_type(&self) -> Result<DataType, ColumnarError> {
        Ok(match self {
            Self::I64(_) => DataType::Int64,
            Self::I32(_) => DataType::Int32,
            Self::F32(_) => DataType::Float32,
            Self::Bool(_) => DataType::Boolean,
            Self::Utf8(_) => DataType::Utf8,
            Self::Matrix(m) => {
                let item = Arc::new(Field::new_list_field(DataType::Float32, false));
                DataType::FixedSizeList(item, list_size(m.ncols())?)
            }
        })
    }
}

/// Writes named columns of equal length, with `metadata` in the footer. No column holds nulls; a
/// missing float is NaN.
pub fn write_table(
    out: impl Write + Send,
    columns: &[(&str, Column)],
    metadata: &[(String, String)],
) -> Result<(), ColumnarError> {
    let rows = columns.first().map_or(0, |(_, c)| c.len());
    if let Some((_, c)) = columns.iter().find(|(_, c)| c.len() != rows) {
        return Err(ColumnarError::Ragged(rows, c.len()));
    }
    let fields = columns
        .iter()
        .map(|(name, c)| Ok(Field::new(*name, c.data_type()?, false)))
        .collect::<Result<Vec<_>, ColumnarError>>()?;
    let schema = Arc::new(Schema::new(fields));
    let mut writer = ArrowWriter::try_new(out, schema.clone(), Some(properties(&schema, metadata)))?;
    for from in (0..rows).step_by(ROW_GROUP) {
        let to = rows.min(from + ROW_GROUP);
        let arrays = columns.iter().map(|(_, c)| c.to_arrow(from, to)).collect::<Result<Vec<_>, _>>()?;
        writer.write(&RecordBatch::try_new(schema.clone(), arrays)?)?;
    }
    writer.into_inner()?.flush()?;
    Ok(())
}

/// Reads a table written by [`write_table`]; `names` picks columns, `None` takes all. Comes in file order.
///
/// # Errors
/// A named column that is missing, a type that is none of [`Column`]'s, nulls.
pub fn read_table<R: ChunkReader + 'static>(
    source: R,
    names: Option<&[&str]>,
) -> Result<Vec<(String, Column)>, ColumnarError> {
    let (_, reader) = batches(source, names)?;
    let schema = reader.schema();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    schema
        .fields()
        .iter()
        .enumerate()
        .map(|(i, field)| {
            let parts: Vec<&dyn Array> = batches.iter().map(|b| b.column(i).as_ref()).collect();
            gather(field, &parts)
                .map(|c| (field.name().clone(), c))
                .ok_or_else(|| ColumnarError::Column(field.name().clone()))
        })
        .collect()
}

/// Joins the parts of one column; `None` for other types and nulls.
fn gather(field: &Field, parts: &[&dyn Array]) -> Option<Column> {
    if parts.iter().any(|p| p.null_count() > 0) {
        return None;
    }
    Some(match field.data_type() {
        DataType::Int64 => {
            Column::I64(join(parts, |p| Some(p.as_primitive_opt::<Int64Type>()?.values().to_vec()))?)
        }
        DataType::Int32 => {
            Column::I32(join(parts, |p| Some(p.as_primitive_opt::<Int32Type>()?.values().to_vec()))?)
        }
        DataType::Float32 => {
            Column::F32(join(parts, |p| Some(p.as_primitive_opt::<Float32Type>()?.values().to_vec()))?)
        }
        DataType::Boolean => {
            Column::Bool(join(parts, |p| Some(p.as_boolean_opt()?.values().iter().collect()))?)
        }
        DataType::Utf8 => Column::Utf8(join(parts, |p| {
            Some(p.as_string_opt::<i32>()?.iter().flatten().map(str::to_owned).collect())
        })?),
        DataType::FixedSizeList(item, width) if *item.data_type() == DataType::Float32 => {
            let values: Vec<f32> = join(parts, |p| {
                let list = p.as_fixed_size_list_opt()?;
                Some(list.values().as_primitive_opt::<Float32Type>()?.values().to_vec())
            })?;
            let rows = parts.iter().map(|p| p.len()).sum();
            Column::Matrix(Array2::from_shape_vec((rows, *width as usize), values).ok()?)
        }
        _ => return None,
    })
}

fn join<T>(parts: &[&dyn Array], get: impl Fn(&dyn Array) -> Option<Vec<T>>) -> Option<Vec<T>> {
    let mut out = Vec::new();
    for part in parts {
        out.extend(get(*part)?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn file() -> (tempfile::NamedTempFile, File) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = file.reopen().unwrap();
        (file, open)
    }

    /// Values that float16 holds exactly.
    fn exact(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 37 + seed * 11) % 2_048) as f32 / 64.0 - 16.0).collect()
    }

    #[test]
    fn embeddings_read_back_equal() {
        let (dim, n) = (5, ROW_GROUP + BATCH + 3);
        let vectors: Vec<Vec<f32>> = (0..n).map(|i| exact(dim, i)).collect();
        let frames: Vec<Vec<f32>> = (0..n).map(|i| exact(dim * (i % 4), i + 7)).collect();
        let rows = (0..n).map(|i| EmbeddingRow {
            sample_id: i as i64 * 3 - 5,
            input_hash: i64::MIN + i as i64,
            vector: &vectors[i],
            frames: (i % 5 != 0).then_some(frames[i].as_slice()),
            n_frames: (i % 4) as u8,
        });
        let (path, out) = file();
        assert_eq!(write_embeddings(out, dim, rows).unwrap(), n as u64);
        let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
        assert_eq!(got.sample_ids, (0..n).map(|i| i as i64 * 3 - 5).collect::<Vec<_>>());
        assert_eq!(got.vectors.dim(), (n, dim));
        assert!((0..n).all(|i| got.vectors.row(i).to_slice() == Some(&vectors[i])));
        let matrices = got.frames.as_ref().unwrap();
        for i in 0..n {
            let want = (i % 5 != 0).then(|| Array2::from_shape_vec((i % 4, dim), frames[i].clone()).unwrap());
            assert_eq!(matrices[i], want, "row {i}");
        }
        let without = read_embeddings(path.reopen().unwrap(), false).unwrap();
        assert_eq!((without.frames, without.vectors), (None, got.vectors));
        assert_eq!(read_ids(path.reopen().unwrap()).unwrap(), (got.sample_ids, got.input_hashes));
    }

    #[test]
    fn values_are_rounded_to_float16_and_clamped() {
        fn row(vector: &[f32]) -> EmbeddingRow<'_> {
            EmbeddingRow { sample_id: 1, input_hash: 2, vector, frames: None, n_frames: 0 }
        }
        let (path, out) = file();
        write_embeddings(out, 4, [row(&[0.1, 1e9, f32::NEG_INFINITY, 1e-9])]).unwrap();
        let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
        assert_eq!(got.vectors.as_slice().unwrap(), [0.099975586, 65504.0, -65504.0, 0.0]);
        assert_eq!(got.frames, Some(vec![None]));
        let bad = |v: &[f32]| write_embeddings(Vec::new(), 4, [row(v)]).unwrap_err();
        assert!(matches!(bad(&[0.0; 3]), ColumnarError::Length { sample_id: 1, found: 3, expected: 4, .. }));
        assert!(matches!(bad(&[0.0, f32::NAN, 0.0, 0.0]), ColumnarError::NotANumber(1)));
        let frames = EmbeddingRow { frames: Some(&[0.0; 9]), n_frames: 2, ..row(&[0.0; 4]) };
        assert!(matches!(
            write_embeddings(Vec::new(), 4, [frames]),
            Err(ColumnarError::Length { found: 9, .. })
        ));
        assert!(write_embeddings(Vec::new(), 0, []).is_err());
    }

    #[test]
    fn no_rows_are_a_file_too() {
        let (path, out) = file();
        assert_eq!(write_embeddings(out, 3, []).unwrap(), 0);
        let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
        assert_eq!((got.sample_ids.len(), got.vectors.nrows(), got.frames), (0, 0, Some(vec![])));
    }

    fn table(n: usize) -> Vec<(&'static str, Column)> {
        vec![
            ("sample_id", Column::I64((0..n as i64).collect())),
            ("rank", Column::I32((0..n as i32).rev().collect())),
            ("suspicion", Column::F32((0..n).map(|i| i as f32 / 3.0).collect())),
            ("flagged", Column::Bool((0..n).map(|i| i % 3 == 0).collect())),
            ("suggested", Column::Utf8((0..n).map(|i| format!("类{}", i % 7)).collect())),
            ("p", Column::Matrix(Array2::from_shape_fn((n, 4), |(i, k)| (i * 4 + k) as f32 * 0.1))),
        ]
    }

    #[test]
    fn tables_read_back_equal_and_by_column() {
        for n in [0, 1, ROW_GROUP + 1] {
            let want = table(n);
            let (path, out) = file();
            write_table(out, &want, &[("scan".into(), "7".into())]).unwrap();
            let got = read_table(path.reopen().unwrap(), None).unwrap();
            let got: Vec<(&str, Column)> = got.iter().map(|(k, c)| (k.as_str(), c.clone())).collect();
            assert_eq!(got, want, "{n} rows");
            let some = read_table(path.reopen().unwrap(), Some(&["p", "rank"])).unwrap();
            assert_eq!(some, [("rank".to_owned(), want[1].1.clone()), ("p".to_owned(), want[5].1.clone())]);
            let none = read_table(path.reopen().unwrap(), Some(&["colour"]));
            assert!(matches!(none, Err(ColumnarError::Column(c)) if c == "colour"));
        }
        let ragged = [("a", Column::I32(vec![1])), ("b", Column::I32(vec![]))];
        assert!(matches!(write_table(Vec::new(), &ragged, &[]), Err(ColumnarError::Ragged(1, 0))));
    }

    #[test]
    fn files_are_a_function_of_their_content_and_others_are_refused() {
        let bytes = || {
            let mut out = Vec::new();
            write_table(&mut out, &table(100), &[]).unwrap();
            out
        };
        assert_eq!(bytes(), bytes());
        let (path, out) = file();
        write_table(out, &table(2), &[]).unwrap();
        assert!(matches!(read_embeddings(path.reopen().unwrap(), false), Err(ColumnarError::Column(_))));
        std::fs::write(path.path(), b"PAR1 not really PAR1").unwrap();
        assert!(matches!(read_ids(path.reopen().unwrap()), Err(ColumnarError::Parquet(_))));
    }
}
