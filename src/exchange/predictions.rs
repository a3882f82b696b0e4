//! Predicted probabilities that somebody's own model made, as `.npy` or Parquet, brought to the order of a
//! snapshot's samples and of a taxonomy's classes. Nothing is guessed: a file that does not fit says where.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use ndarray::{Array2, Axis};

use super::columns::{ColumnsError, Values, read_parquet};
use super::error::shown;
use super::mapped::{Mapped, Why};
use crate::arrays::{Rows, block_rows};

/// Names of the column that says whose row it is.
const ID_COLUMNS: [&str; 2] = ["external_id", "id"];
/// What pandas calls an index that it writes along.
const INDEX: &str = "__index_level_";

/// Why a file is refused; the caller names the file.
#[derive(Debug, thiserror::Error)]
pub enum PredictionsError {
    #[error("this is neither an .npy array nor a Parquet file")]
    Format,
    #[error(transparent)]
    Npy(#[from] Why),
    #[error(transparent)]
    Columns(#[from] ColumnsError),
    #[error(
        "the array has shape ({rows}, {columns}), but ({samples}, {classes}) is needed: labelled samples of the snapshot, classes of the taxonomy"
    )]
    Shape { rows: usize, columns: usize, samples: usize, classes: usize },
    #[error("there is no column external_id, which says whose row it is")]
    NoIds,
    #[error("column {0} is no class of the taxonomy")]
    UnknownColumn(String),
    #[error("column {0:?} is there twice")]
    ColumnTwice(String),
    #[error("there is no column for class {0:?}")]
    ClassMissing(String),
    #[error("column {0:?} holds no numbers")]
    NoNumbers(String),
    #[error("row {row} is for {id}, as row {first} is")]
    RowTwice { id: String, row: usize, first: usize },
    #[error("there is no row for {id}, a labelled sample of the snapshot ({missing} are missing)")]
    RowMissing { id: String, missing: usize },
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A file as it was read: columns are classes in order, rows are as in the file.
#[derive(Debug)]
pub struct Predictions {
    /// (rows of the file, classes)
    pub values: Array2<f32>,
    /// External id of each row; `None`: the rows are in the snapshot's order.
    pub ids: Option<Vec<String>>,
}

impl Predictions {
    /// Reads an array for `samples` labelled samples and the given classes, in class order. `.npy` (f16,
    /// f32, f64; either order) has one row a sample in the snapshot's order and one column a class.
    /// Parquet has a text column `external_id` and a column a class by its id, or one list column in class
    /// order; its rows may come in any order.
    ///
    /// # Errors
    /// Other formats, shapes and columns. Nothing larger than the snapshot needs is read from `.npy`.
    pub fn read(path: &Path, samples: usize, classes: &[&str]) -> Result<Self, PredictionsError> {
        let mut magic = [0u8; 6];
        let mut file = File::open(path)?;
        let n = file.read(&mut magic)?;
        match &magic[..n] {
            b"\x93NUMPY" => array(path, samples, classes.len()),
            m if m.starts_with(b"PAR1") => table(path, samples, classes),
            _ => Err(PredictionsError::Format),
        }
    }

    /// The rows in the order of `ids`, the snapshot's labelled samples; and how many rows were of others.
    ///
    /// # Errors
    /// A sample without a row, or with two.
    pub fn in_order(self, ids: &[String]) -> Result<(Array2<f32>, usize), PredictionsError> {
        let Some(of_rows) = self.ids else { return Ok((self.values, 0)) };
        let mut row_of: HashMap<&str, usize> = HashMap::with_capacity(of_rows.len());
        for (row, id) in of_rows.iter().enumerate() {
            if let Some(first) = row_of.insert(id, row) {
                return Err(PredictionsError::RowTwice { id: shown(id), row, first });
            }
        }
        let rows: Vec<usize> = ids.iter().filter_map(|id| row_of.get(id.as_str()).copied()).collect();
        if let Some(id) = ids.iter().find(|id| !row_of.contains_key(id.as_str())) {
            return Err(PredictionsError::RowMissing { id: shown(id), missing: ids.len() - rows.len() });
        }
        let left_out = of_rows.len() - rows.len();
        let in_order = left_out == 0 && rows.is_sorted();
        Ok((if in_order { self.values } else { self.values.select(Axis(0), &rows) }, left_out))
    }
}

fn array(path: &Path, samples: usize, classes: usize) -> Result<Predictions, PredictionsError> {
    let mapped = Mapped::open(path).and_then(|m| m.matrix(path)).map_err(|e| e.why)?;
    let (rows, columns) = Rows::<f32>::shape(&mapped);
    fits(rows, columns, samples, classes)?;
    let mut values = Array2::zeros((rows, columns));
    let step = block_rows(columns);
    let mut buffer = Vec::new();
    for (b, mut block) in values.axis_chunks_iter_mut(Axis(0), step).enumerate() {
        let read = Rows::<f32>::block(&mapped, b * step, block.nrows(), &mut buffer);
        if let Some(into) = block.as_slice_mut() {
            into.copy_from_slice(read);
        }
    }
    Ok(Predictions { values, ids: None })
}

fn fits(rows: usize, columns: usize, samples: usize, classes: usize) -> Result<(), PredictionsError> {
    if (rows, columns) == (samples, classes) {
        return Ok(());
    }
    Err(PredictionsError::Shape { rows, columns, samples, classes })
}

fn table(path: &Path, samples: usize, classes: &[&str]) -> Result<Predictions, PredictionsError> {
    let mut ids = None;
    let mut numbers: Vec<Option<Vec<f32>>> = vec![None; classes.len()];
    let mut lists = None;
    for (name, values) in read_parquet(path)? {
        let column = classes.iter().position(|c| *c == name);
        let ids_here = ID_COLUMNS.iter().any(|i| name.eq_ignore_ascii_case(i));
        match (column, values) {
            (None, Values::Singles(m)) => lists = Some(m),
            (None, Values::Doubles(m)) => lists = Some(m.mapv(|v| v as f32)),
            (None, values) if ids_here && ids.is_none() => {
                ids = Some(texts(values).ok_or_else(|| PredictionsError::NoNumbers(name))?);
            }
            (None, _) if name.starts_with(INDEX) => {}
            (None, _) => return Err(PredictionsError::UnknownColumn(shown(&name))),
            (Some(c), values) => {
                let read = singles(values).ok_or_else(|| PredictionsError::NoNumbers(name.clone()))?;
                if numbers[c].replace(read).is_some() {
                    return Err(PredictionsError::ColumnTwice(name));
                }
            }
        }
    }
    let ids: Vec<String> = ids.ok_or(PredictionsError::NoIds)?;
    if let Some(values) = lists {
        fits(values.nrows(), values.ncols(), values.nrows(), classes.len())?;
        return Ok(Predictions { values, ids: Some(ids) });
    }
    if let Some(c) = numbers.iter().position(Option::is_none) {
        return Err(PredictionsError::ClassMissing(classes[c].to_owned()));
    }
    if ids.len() < samples {
        return Err(PredictionsError::Shape {
            rows: ids.len(),
            columns: classes.len(),
            samples,
            classes: classes.len(),
        });
    }
    let mut values = Array2::zeros((ids.len(), classes.len()));
    for (mut column, read) in values.columns_mut().into_iter().zip(numbers.into_iter().flatten()) {
        column.iter_mut().zip(read).for_each(|(to, v)| *to = v);
    }
    Ok(Predictions { values, ids: Some(ids) })
}

fn texts(values: Values) -> Option<Vec<String>> {
    match values {
        Values::Text(v) => Some(v),
        Values::Whole(v) => Some(v.into_iter().map(|v| v.to_string()).collect()),
        _ => None,
    }
}

fn singles(values: Values) -> Option<Vec<f32>> {
    match values {
        Values::Single(v) => Some(v),
        Values::Double(v) => Some(v.into_iter().map(|v| v as f32).collect()),
        Values::Whole(v) => Some(v.into_iter().map(|v| v as f32).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::columnar::{Column, write_table};
    use crate::exchange::npy::{Dtype, write_f32, write_header};
    use ndarray::array;

    fn parquet(dir: &Path, columns: &[(&str, Column)]) -> std::path::PathBuf {
        let path = dir.join("p");
        write_table(File::create(&path).unwrap(), columns, &[]).unwrap();
        path
    }

    fn text(values: &[&str]) -> Column {
        Column::Utf8(values.iter().map(|v| (*v).to_owned()).collect())
    }

    #[test]
    fn arrays_of_any_float_type_in_the_snapshots_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p");
        let want = array![[0.25f32, 0.75], [1.0, 0.0]];
        for dtype in [Dtype::F16, Dtype::F32] {
            write_f32(&mut File::create(&path).unwrap(), dtype, &[2, 2], &[0.25, 0.75, 1.0, 0.0]).unwrap();
            let read = Predictions::read(&path, 2, &["a", "b"]).unwrap();
            assert_eq!(read.in_order(&["x".into(), "y".into()]).unwrap(), (want.clone(), 0));
        }
        let mut file = File::create(&path).unwrap();
        write_header(&mut file, Dtype::F64, &[2, 2]).unwrap();
        let doubles: Vec<u8> = [0.25f64, 0.75, 1.0, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        std::io::Write::write_all(&mut file, &doubles).unwrap();
        assert_eq!(Predictions::read(&path, 2, &["a", "b"]).unwrap().values, want);
        let shape = Predictions::read(&path, 3, &["a", "b"]).unwrap_err().to_string();
        assert!(shape.contains("(2, 2)") && shape.contains("(3, 2)"), "{shape}");
        std::fs::write(&path, "0.5,0.5").unwrap();
        assert!(matches!(Predictions::read(&path, 1, &["a", "b"]), Err(PredictionsError::Format)));
    }

    #[test]
    fn tables_in_any_order_of_rows_and_columns() {
        let dir = tempfile::tempdir().unwrap();
        let path = parquet(
            dir.path(),
            &[
                ("b", Column::F32(vec![0.75, 0.0, 0.5])),
                ("external_id", text(&["y", "other", "x"])),
                ("__index_level_0__", Column::I64(vec![0, 1, 2])),
                ("a", Column::F32(vec![0.25, 1.0, 0.5])),
            ],
        );
        let read = Predictions::read(&path, 2, &["a", "b"]).unwrap();
        let (values, left_out) = read.in_order(&["x".into(), "y".into()]).unwrap();
        assert_eq!((values, left_out), (array![[0.5, 0.5], [0.25, 0.75]], 1));
        let matrix = array![[0.25f32, 0.75], [1.0, 0.0]];
        let path = parquet(dir.path(), &[("id", text(&["y", "x"])), ("p", Column::Matrix(matrix))]);
        let read = Predictions::read(&path, 2, &["a", "b"]).unwrap();
        assert_eq!(read.in_order(&["x".into(), "y".into()]).unwrap().0, array![[1.0, 0.0], [0.25, 0.75]]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let ids = ("external_id", text(&["x", "y"]));
        let column = |name| (name, Column::F32(vec![0.5, 0.5]));
        let ask = |columns: &[(&str, Column)]| {
            let read = Predictions::read(&parquet(dir.path(), columns), 2, &["a", "b"]);
            read.and_then(|r| r.in_order(&["x".into(), "z".into()])).unwrap_err().to_string()
        };
        assert!(ask(&[column("a"), column("b")]).contains("external_id"));
        assert!(ask(&[ids.clone(), column("a")]).contains("class \"b\""));
        assert!(ask(&[ids.clone(), column("a"), column("b"), column("c")]).contains("\"c\" is no class"));
        assert!(
            ask(&[ids.clone(), column("a"), ("b", text(&["u", "v"]))]).contains("\"b\" holds no numbers")
        );
        assert!(ask(&[ids, column("a"), column("b")]).contains("no row for \"z\""));
        let twice = ask(&[("id", text(&["x", "x"])), column("a"), column("b")]);
        assert!(twice.contains("row 1 is for \"x\", as row 0"), "{twice}");
    }
}
