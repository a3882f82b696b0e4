//! Parquet files, plain or compressed by Snappy, gzip or Zstandard, dictionary-encoded or not.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use ndarray::Array2;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::{Columns, ColumnsError, Values};

/// Reads every column of a Parquet file; of types that are neither numbers, text, yes-no nor lists of
/// numbers or texts only the name ([`Values::Other`]).
///
/// # Errors
/// A damaged file, lists of different lengths, lists or yes-no values that are missing; with column and row.
pub fn read_parquet(path: &Path) -> Result<Columns, ColumnsError> {
    // without the writer's Arrow types a dictionary of texts (a categorical) is read as texts
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(File::open(path)?, options)?;
    let schema = builder.schema().clone();
    let batches = builder.with_batch_size(8192).build()?.collect::<Result<Vec<_>, _>>()?;
    if batches.iter().all(|b| b.num_rows() == 0) {
        return Err(ColumnsError::Empty);
    }
    let column = |c: usize| {
        let field = schema.field(c);
        let parts: Vec<&ArrayRef> = batches.iter().map(|b| b.column(c)).collect();
        Ok((field.name().clone(), joined(field.name(), field.data_type(), &parts)?))
    };
    (0..schema.fields().len()).map(column).collect()
}

/// All values of a primitive type, mapped; nothing where there is none.
fn numbers<P: ArrowPrimitiveType, T: Clone>(
    parts: &[&ArrayRef],
    missing: T,
    map: impl Fn(P::Native) -> T,
) -> Vec<T> {
    let values = parts.iter().flat_map(|p| p.as_primitive::<P>().iter());
    values.map(|v| v.map_or_else(|| missing.clone(), &map)).collect()
}

fn whole<P: ArrowPrimitiveType>(parts: &[&ArrayRef]) -> Values
where
    P::Native: Into<i128>,
{
    if parts.iter().all(|p| p.null_count() == 0) {
        return Values::Whole(numbers::<P, i128>(parts, 0, Into::into));
    }
    Values::Double(numbers::<P, f64>(parts, f64::NAN, |v| v.into() as f64))
}

fn texts<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> Vec<String> {
    cells.map(|c| c.unwrap_or_default().to_owned()).collect()
}

fn joined(name: &str, kind: &DataType, parts: &[&ArrayRef]) -> Result<Values, ColumnsError> {
    Ok(match kind {
        DataType::Int8 => whole::<Int8Type>(parts),
        DataType::Int16 => whole::<Int16Type>(parts),
        DataType::Int32 => whole::<Int32Type>(parts),
        DataType::Int64 => whole::<Int64Type>(parts),
        DataType::UInt8 => whole::<UInt8Type>(parts),
        DataType::UInt16 => whole::<UInt16Type>(parts),
        DataType::UInt32 => whole::<UInt32Type>(parts),
        DataType::UInt64 => whole::<UInt64Type>(parts),
        DataType::Float16 => Values::Single(numbers::<Float16Type, f32>(parts, f32::NAN, |v| v.to_f32())),
        DataType::Float32 => Values::Single(numbers::<Float32Type, f32>(parts, f32::NAN, |v| v)),
        DataType::Float64 => Values::Double(numbers::<Float64Type, f64>(parts, f64::NAN, |v| v)),
        DataType::Utf8 => {
            Values::Text(parts.iter().flat_map(|p| texts(p.as_string::<i32>().iter())).collect())
        }
        DataType::LargeUtf8 => {
            Values::Text(parts.iter().flat_map(|p| texts(p.as_string::<i64>().iter())).collect())
        }
        DataType::Boolean => {
            refuse_missing(name, parts)?;
            Values::Flags(parts.iter().flat_map(|p| p.as_boolean().values().iter()).collect())
        }
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            lists(name, item.data_type(), parts)?
        }
        other => Values::Other(other.to_string()),
    })
}

fn refuse_missing(name: &str, parts: &[&ArrayRef]) -> Result<(), ColumnsError> {
    let mut start = 0;
    for part in parts {
        if let Some(row) = (0..part.len()).find(|&i| part.is_null(i)) {
            let what = "is null".into();
            return Err(ColumnsError::Value { column: name.to_owned(), row: start + row, what });
        }
        start += part.len();
    }
    Ok(())
}

/// The list of row `i`.
fn list(part: &ArrayRef, i: usize) -> ArrayRef {
    match part.data_type() {
        DataType::FixedSizeList(..) => part.as_fixed_size_list().value(i),
        DataType::List(_) => part.as_list::<i32>().value(i),
        _ => part.as_list::<i64>().value(i),
    }
}

/// Adds a row's numbers to `singles` or `doubles`; false where they are none.
fn add_numbers(row: &ArrayRef, singles: &mut Vec<f32>, doubles: &mut Vec<f64>) -> bool {
    fn add<P: ArrowPrimitiveType>(row: &ArrayRef, to: &mut Vec<f32>, map: fn(P::Native) -> f32) {
        to.extend(row.as_primitive::<P>().values().iter().map(|v| map(*v)));
    }
    match row.data_type() {
        DataType::Float16 => add::<Float16Type>(row, singles, |v| v.to_f32()),
        DataType::Float32 => singles.extend_from_slice(row.as_primitive::<Float32Type>().values()),
        DataType::Float64 => doubles.extend_from_slice(row.as_primitive::<Float64Type>().values()),
        DataType::Int8 => add::<Int8Type>(row, singles, f32::from),
        DataType::Int16 => add::<Int16Type>(row, singles, f32::from),
        DataType::Int32 => add::<Int32Type>(row, singles, |v| v as f32),
        DataType::Int64 => add::<Int64Type>(row, singles, |v| v as f32),
        DataType::UInt8 => add::<UInt8Type>(row, singles, f32::from),
        DataType::UInt16 => add::<UInt16Type>(row, singles, f32::from),
        DataType::UInt32 => add::<UInt32Type>(row, singles, |v| v as f32),
        DataType::UInt64 => add::<UInt64Type>(row, singles, |v| v as f32),
        _ => return false,
    }
    true
}

fn lists(name: &str, item: &DataType, parts: &[&ArrayRef]) -> Result<Values, ColumnsError> {
    if matches!(item, DataType::Utf8 | DataType::LargeUtf8) {
        return Ok(Values::Text(text_lists(parts)));
    }
    refuse_missing(name, parts)?;
    let mut width = None;
    let mut rows = 0usize;
    let (mut singles, mut doubles) = (Vec::new(), Vec::new());
    for part in parts {
        for i in 0..part.len() {
            let row = list(part, i);
            let bad = |what: String| ColumnsError::Value { column: name.to_owned(), row: rows, what };
            if row.null_count() > 0 {
                return Err(bad("holds a null".into()));
            }
            match width {
                None => width = Some(row.len()),
                Some(w) if w != row.len() => {
                    return Err(bad(format!("has {} values, the first row has {w}", row.len())));
                }
                Some(_) => {}
            }
            if !add_numbers(&row, &mut singles, &mut doubles) {
                return Ok(Values::Other(format!("lists of {item}")));
            }
            rows += 1;
        }
    }
    let shape = (rows, width.unwrap_or(0));
    let other = |e: ndarray::ShapeError| Values::Other(e.to_string());
    Ok(if *item == DataType::Float64 {
        Array2::from_shape_vec(shape, doubles).map_or_else(other, Values::Doubles)
    } else {
        Array2::from_shape_vec(shape, singles).map_or_else(other, Values::Singles)
    })
}

/// Each row's texts, joined by blanks.
fn text_lists(parts: &[&ArrayRef]) -> Vec<String> {
    let row = |part: &ArrayRef, i: usize| {
        if part.is_null(i) {
            return String::new();
        }
        let items = list(part, i);
        let texts = match items.data_type() {
            DataType::Utf8 => texts(items.as_string::<i32>().iter()),
            _ => texts(items.as_string::<i64>().iter()),
        };
        texts.join(" ")
    };
    parts.iter().flat_map(|part| (0..part.len()).map(move |i| row(part, i))).collect()
}
