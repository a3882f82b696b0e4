//! Plain columns from CSV and Parquet files that other tools wrote: numbers, whole numbers and text, and
//! lists of numbers as the rows of a matrix. Loaded whole.

use std::fs::File;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use ndarray::Array2;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Why a file could not be read; the caller names the file.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Csv(#[from] csv::Error),
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] parquet::errors::ParquetError),
    #[error("not a readable Parquet file: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    #[error("column {column:?}: row {row} {what}")]
    Value { column: String, row: usize, what: String },
    #[error("column {column:?} holds {found}, which is neither numbers nor text")]
    Kind { column: String, found: String },
    #[error("there are no rows")]
    Empty,
}

/// The values of one column, N rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    Whole(Vec<i128>),
    Single(Vec<f32>),
    Double(Vec<f64>),
    Text(Vec<String>),
    /// A list of numbers a row.
    Singles(Array2<f32>),
    Doubles(Array2<f64>),
}

/// Columns of equal length, in file order.
pub type Columns = Vec<(String, Values)>;

/// Names that make a first row a header even where everything is text.
pub const KNOWN: [&str; 8] = ["given_label", "label", "labels", "y", "class", "id", "ids", "sample_id"];

/// Reads a `.csv` or `.tsv` file. A first row is the header when it has a [`KNOWN`] name, an empty first
/// cell or counts 0, 1, 2, … over several columns, or when it has no numbers but numbers below it; without one the columns are named 0, 1, 2, … A column of whole numbers is [`Values::Whole`], of numbers
/// [`Values::Double`], else text.
///
/// # Errors
/// Rows of different lengths, text that is not UTF-8, a file without rows; with line numbers.
pub fn read_csv(path: &Path) -> Result<Columns, ColumnsError> {
    let tabs = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("tsv"));
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .delimiter(if tabs { b'\t' } else { b',' })
        .from_path(path)?;
    let mut names: Option<Vec<String>> = None;
    let mut surely = false;
    let mut cells: Vec<Vec<String>> = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record = record?;
        let fields: Vec<String> =
            record.iter().map(|c| c.trim_start_matches('\u{feff}').trim().to_owned()).collect();
        if at == 0 {
            cells = vec![Vec::new(); fields.len()];
            let known = fields.iter().any(|f| KNOWN.iter().any(|k| f.eq_ignore_ascii_case(k)));
            // 0, 1, 2, … is what pandas writes above columns without names
            let counted = fields.len() > 1 && fields.iter().enumerate().all(|(i, f)| *f == i.to_string());
            let index = fields.first().is_some_and(String::is_empty);
            surely = known || counted || index;
            if surely || fields.iter().all(|c| c.parse::<f64>().is_err()) {
                names = Some(fields);
                continue;
            }
        }
        cells.iter_mut().zip(fields).for_each(|(column, c)| column.push(c));
    }
    let numbers =
        |column: &Vec<String>| !column.is_empty() && column.iter().all(|c| c.parse::<f64>().is_ok());
    if !surely && !cells.iter().any(numbers) {
        // text above text: a row like the others
        let first = names.take().unwrap_or_default();
        cells.iter_mut().zip(first).for_each(|(column, c)| column.insert(0, c));
    }
    if cells.first().is_none_or(Vec::is_empty) {
        return Err(ColumnsError::Empty);
    }
    let names = names.unwrap_or_else(|| (0..cells.len()).map(|c| c.to_string()).collect());
    Ok(names.into_iter().zip(cells.into_iter().map(values)).collect())
}

fn values(cells: Vec<String>) -> Values {
    if let Some(whole) = cells.iter().map(|c| c.parse::<i64>().ok().map(i128::from)).collect() {
        return Values::Whole(whole);
    }
    match cells.iter().map(|c| c.parse::<f64>().ok()).collect() {
        Some(numbers) => Values::Double(numbers),
        None => Values::Text(cells),
    }
}

/// Reads every column of a Parquet file that holds numbers, text or lists of numbers.
///
/// # Errors
/// Other column types, nulls, lists of different lengths; with column and row.
pub fn read_parquet(path: &Path) -> Result<Columns, ColumnsError> {
    let reader =
        ParquetRecordBatchReaderBuilder::try_new(File::open(path)?)?.with_batch_size(8192).build()?;
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    let Some(first) = batches.first() else { return Err(ColumnsError::Empty) };
    let schema = first.schema();
    let mut columns = Columns::new();
    for (c, field) in schema.fields().iter().enumerate() {
        let parts: Vec<&ArrayRef> = batches.iter().map(|b| b.column(c)).collect();
        let mut start = 0;
        for part in &parts {
            if let Some(row) = (0..part.len()).find(|&i| part.is_null(i)) {
                return Err(ColumnsError::Value {
                    column: field.name().clone(),
                    row: start + row,
                    what: "is null".into(),
                });
            }
            start += part.len();
        }
        columns.push((field.name().clone(), joined(field.name(), field.data_type(), &parts)?));
    }
    Ok(columns)
}

/// All values of a primitive type, mapped.
macro_rules! primitives {
    ($parts:expr, $type:ty, $map:expr) => {
        $parts.iter().flat_map(|p| p.as_primitive::<$type>().values().iter().map($map)).collect()
    };
}

fn joined(name: &str, kind: &DataType, parts: &[&ArrayRef]) -> Result<Values, ColumnsError> {
    Ok(match kind {
        DataType::Int8 => Values::Whole(primitives!(parts, Int8Type, |v| i128::from(*v))),
        DataType::Int16 => Values::Whole(primitives!(parts, Int16Type, |v| i128::from(*v))),
        DataType::Int32 => Values::Whole(primitives!(parts, Int32Type, |v| i128::from(*v))),
        DataType::Int64 => Values::Whole(primitives!(parts, Int64Type, |v| i128::from(*v))),
        DataType::UInt8 => Values::Whole(primitives!(parts, UInt8Type, |v| i128::from(*v))),
        DataType::UInt16 => Values::Whole(primitives!(parts, UInt16Type, |v| i128::from(*v))),
        DataType::UInt32 => Values::Whole(primitives!(parts, UInt32Type, |v| i128::from(*v))),
        DataType::UInt64 => Values::Whole(primitives!(parts, UInt64Type, |v| i128::from(*v))),
        DataType::Float16 => Values::Single(primitives!(parts, Float16Type, |v| v.to_f32())),
        DataType::Float32 => Values::Single(primitives!(parts, Float32Type, |v| *v)),
        DataType::Float64 => Values::Double(primitives!(parts, Float64Type, |v| *v)),
        DataType::Utf8 => Values::Text(
            parts.iter().flat_map(|p| p.as_string::<i32>().iter().flatten().map(str::to_owned)).collect(),
        ),
        DataType::LargeUtf8 => Values::Text(
            parts.iter().flat_map(|p| p.as_string::<i64>().iter().flatten().map(str::to_owned)).collect(),
        ),
        DataType::FixedSizeList(item, _) | DataType::List(item) | DataType::LargeList(item) => {
            lists(name, item.data_type(), kind, parts)?
        }
        other => return Err(ColumnsError::Kind { column: name.to_owned(), found: other.to_string() }),
    })
}

fn lists(name: &str, item: &DataType, kind: &DataType, parts: &[&ArrayRef]) -> Result<Values, ColumnsError> {
    let mut width = None;
    let mut rows = 0usize;
    let (mut singles, mut doubles) = (Vec::new(), Vec::new());
    for part in parts {
        for i in 0..part.len() {
            let row: ArrayRef = match kind {
                DataType::FixedSizeList(..) => part.as_fixed_size_list().value(i),
                DataType::List(_) => part.as_list::<i32>().value(i),
                _ => part.as_list::<i64>().value(i),
            };
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
            match item {
                DataType::Float16 => {
                    singles.extend(row.as_primitive::<Float16Type>().values().iter().map(|v| v.to_f32()));
                }
                DataType::Float32 => singles.extend_from_slice(row.as_primitive::<Float32Type>().values()),
                DataType::Float64 => doubles.extend_from_slice(row.as_primitive::<Float64Type>().values()),
                other => return Err(bad(format!("is a list of {other}, not of floats"))),
            }
            rows += 1;
        }
    }
    let shape = (rows, width.unwrap_or(0));
    let wrong = |e: ndarray::ShapeError| ColumnsError::Kind { column: name.to_owned(), found: e.to_string() };
    Ok(if *item == DataType::Float64 {
        Values::Doubles(Array2::from_shape_vec(shape, doubles).map_err(wrong)?)
    } else {
        Values::Singles(Array2::from_shape_vec(shape, singles).map_err(wrong)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::columnar::{Column, write_table};
    use ndarray::array;

    fn csv(text: &str) -> Result<Columns, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        read_csv(&path).map_err(|e| e.to_string())
    }

    #[test]
    fn csv_with_and_without_a_header() {
        let c = csv("\u{feff}id,label,p\na,0,0.5\nb,1,1\n").unwrap();
        assert_eq!(c[0], ("id".into(), Values::Text(vec!["a".into(), "b".into()])));
        assert_eq!(c[1], ("label".into(), Values::Whole(vec![0, 1])));
        assert_eq!(c[2], ("p".into(), Values::Double(vec![0.5, 1.0])));
        assert_eq!(csv("3\n4\n").unwrap(), [("0".into(), Values::Whole(vec![3, 4]))]);
        assert_eq!(csv("0,1\n5,6\n").unwrap()[1], ("1".into(), Values::Whole(vec![6])));
        assert_eq!(csv(",0\na,6\n").unwrap()[1], ("0".into(), Values::Whole(vec![6])));
        assert!(csv("a,b\n1\n").unwrap_err().contains("line: 2"));
        assert_eq!(csv("id,y\n").unwrap_err(), "there are no rows");
        assert_eq!(csv("b\na\n").unwrap(), [("0".into(), Values::Text(vec!["b".into(), "a".into()]))]);
        assert_eq!(csv("").unwrap_err(), "there are no rows");
    }

    #[test]
    fn parquet_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        let matrix = array![[0.25f32, 0.75], [1.0, 0.0]];
        let columns = [
            ("y", Column::I64(vec![1, 0])),
            ("id", Column::Utf8(vec!["a".into(), "b".into()])),
            ("p", Column::Matrix(matrix.clone())),
        ];
        write_table(File::create(&path).unwrap(), &columns, &[]).unwrap();
        let read = read_parquet(&path).unwrap();
        assert_eq!(read[0].1, Values::Whole(vec![1, 0]));
        assert_eq!(read[1].1, Values::Text(vec!["a".into(), "b".into()]));
        assert_eq!(read[2].1, Values::Singles(matrix));
        std::fs::write(&path, "PAR1 but not really").unwrap();
        assert!(read_parquet(&path).unwrap_err().to_string().contains("Parquet"));
        write_table(File::create(&path).unwrap(), &[("b", Column::Bool(vec![true]))], &[]).unwrap();
        assert!(read_parquet(&path).unwrap_err().to_string().contains("Boolean"));
    }
}
