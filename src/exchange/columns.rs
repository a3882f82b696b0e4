//! Plain columns from CSV, Parquet and JSON Lines files that other tools wrote: numbers, whole numbers,
//! text, yes-no, and lists of numbers as the rows of a matrix. Loaded whole. A cell without a value is NaN
//! among numbers and an empty text among texts; who needs every value says so by row and column.

mod csv;
mod jsonl;
mod parquet;
#[cfg(test)]
mod tests;

use ndarray::Array2;

pub use self::csv::read_csv;
pub use self::jsonl::read_jsonl;
pub use self::parquet::read_parquet;

/// Why a file could not be read; the caller names the file.
#[derive(Debug, thiserror::Error)]
pub enum ColumnsError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Csv(#[from] ::csv::Error),
    #[error("not a readable Parquet file: {0}")]
    Parquet(#[from] ::parquet::errors::ParquetError),
    #[error("not a readable Parquet file: {0}")]
    Arrow(#[from] arrow_schema::ArrowError),
    #[error("column {column:?}: row {row} {what}")]
    Value { column: String, row: usize, what: String },
    #[error("line {line} {what}")]
    Line { line: usize, what: String },
    #[error("there are no rows")]
    Empty,
}

/// The values of one column, N rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// None is missing.
    Whole(Vec<i128>),
    Single(Vec<f32>),
    Double(Vec<f64>),
    /// Lists of texts are joined by blanks.
    Text(Vec<String>),
    /// None is missing.
    Flags(Vec<bool>),
    /// A list of numbers a row.
    Singles(Array2<f32>),
    Doubles(Array2<f64>),
    /// A type that is read as nothing of this; its name.
    Other(String),
}

/// Columns of equal length, in file order.
pub type Columns = Vec<(String, Values)>;

/// Names that make a first row a header even where everything is text.
pub const KNOWN: [&str; 8] = ["given_label", "label", "labels", "y", "class", "id", "ids", "sample_id"];

/// Numbers that are all whole and known as such.
fn numbers(values: Vec<f64>) -> Values {
    // beyond 2^53 a double says nothing of the whole number it stands for
    let whole = |v: &f64| v.fract() == 0.0 && v.abs() < 9.0e15;
    if values.iter().all(whole) {
        Values::Whole(values.into_iter().map(|v| v as i128).collect())
    } else {
        Values::Double(values)
    }
}
