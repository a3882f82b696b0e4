//! Tables of scores: named columns of equal length, among them matrices of probabilities.
//!
//! Missing floats are NaN; no column holds nulls.

use std::io::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, FixedSizeListArray, Float32Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchReader, StringArray,
};
use arrow_schema::{DataType, Field, Schema};
use ndarray::Array2;
use parquet::arrow::ArrowWriter;
use parquet::file::reader::ChunkReader;

use super::{ColumnarError, ROW_GROUP, batches, list_size, properties};

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

/// Writes named columns of equal length, with `metadata` in the footer.
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
    let (_, reader) = batches(source, names, None)?;
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
