//! Files of columns, and what is read from them: ids, and matrices of numbers.

use std::path::Path;

use ndarray::{Array2, ArrayView2};

use super::{InputError, fault};
use crate::arrays::{Rows, first_not_finite};
use crate::exchange::columns::{Columns, Values, read_csv, read_jsonl, read_parquet};
use crate::exchange::mapped::Mapped;

/// (What pandas writes over its index is empty.)
const ID_COLUMNS: [&str; 4] = ["id", "ids", "sample_id", ""];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::audit) enum Format {
    Npy,
    Csv,
    Parquet,
    Jsonl,
}

impl Format {
    /// By the file's ending.
    pub(in crate::audit) fn of(path: &Path) -> Result<Self, InputError> {
        let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
        match ending.as_deref() {
            Some("npy") => Ok(Self::Npy),
            Some("csv" | "tsv" | "txt") => Ok(Self::Csv),
            Some("parquet" | "pq") => Ok(Self::Parquet),
            Some("jsonl" | "ndjson") => Ok(Self::Jsonl),
            _ => Err(fault(path, "its name must end in .npy, .csv, .tsv, .parquet or .jsonl")),
        }
    }
}

/// The columns of a file that is no `.npy`.
pub(in crate::audit) fn table(path: &Path, format: Format) -> Result<Columns, InputError> {
    let read = match format {
        Format::Npy => return Err(fault(path, "a table is needed: .csv, .tsv, .parquet or .jsonl")),
        Format::Csv => read_csv(path),
        Format::Parquet => read_parquet(path),
        Format::Jsonl => read_jsonl(path),
    };
    read.map_err(|why| InputError::Columns { path: path.to_owned(), why })
}

pub(in crate::audit) fn is_id(name: &str) -> bool {
    ID_COLUMNS.iter().any(|n| name.eq_ignore_ascii_case(n))
}

/// Place of the column that has ids.
pub(in crate::audit) fn id_column(columns: &[(String, Values)]) -> Option<usize> {
    ID_COLUMNS.iter().find_map(|n| columns.iter().position(|(c, _)| c.eq_ignore_ascii_case(n)))
}

/// Texts, or whole numbers as texts; none may be missing.
pub(in crate::audit) fn texts(path: &Path, name: &str, values: Values) -> Result<Vec<String>, InputError> {
    let of = if name.is_empty() { "ids".to_owned() } else { format!("column {name:?}") };
    let texts = match values {
        Values::Text(v) => v,
        Values::Other(kind) => {
            return Err(fault(path, &format!("{of} is {kind}, not text or whole numbers")));
        }
        values => match whole(values) {
            Ok(v) => v.into_iter().map(|v| v.to_string()).collect(),
            Err(Some((row, value))) => {
                return Err(fault(path, &format!("{of}: row {row} is {value}, no whole number")));
            }
            Err(None) => return Err(fault(path, &format!("{of} must be text or whole numbers"))),
        },
    };
    match texts.iter().position(String::is_empty) {
        Some(row) => Err(fault(path, &format!("{of}: row {row} is empty"))),
        None => Ok(texts),
    }
}

/// Numbers, all of them whole; else the first that is not, with its row, if they are single numbers at all.
pub(super) fn whole(values: Values) -> Result<Vec<i128>, Option<(usize, String)>> {
    let numbers: Vec<f64> = match values {
        Values::Whole(v) => return Ok(v),
        Values::Flags(v) => return Ok(v.into_iter().map(i128::from).collect()),
        Values::Single(v) => v.into_iter().map(f64::from).collect(),
        Values::Double(v) => v,
        _ => return Err(None),
    };
    let is = |v: &f64| v.fract() == 0.0 && v.abs() < 9.0e15;
    match numbers.iter().position(|v| !is(v)) {
        None => Ok(numbers.into_iter().map(|v| v as i128).collect()),
        Some(row) if numbers[row].is_nan() => Err(Some((row, "empty".into()))),
        Some(row) => Err(Some((row, numbers[row].to_string()))),
    }
}

/// A column of single numbers; yes is 1, what is missing NaN. `None` where it holds something else.
pub(in crate::audit) fn numbers_of(values: &Values) -> Option<Vec<f64>> {
    match values {
        Values::Whole(v) => Some(v.iter().map(|v| *v as f64).collect()),
        Values::Single(v) => Some(v.iter().map(|v| f64::from(*v)).collect()),
        Values::Double(v) => Some(v.clone()),
        Values::Flags(v) => Some(v.iter().map(|v| f64::from(u8::from(*v))).collect()),
        _ => None,
    }
}

/// Ids from a table's id column, or its first; from any other file one a line.
pub(in crate::audit) fn read_ids(path: &Path) -> Result<Vec<String>, InputError> {
    if let Ok(format @ (Format::Csv | Format::Parquet | Format::Jsonl)) = Format::of(path)
        && path.extension().is_none_or(|e| !e.eq_ignore_ascii_case("txt"))
    {
        let columns = table(path, format)?;
        let at = id_column(&columns).unwrap_or(0);
        let column = columns.into_iter().nth(at);
        return column.map_or_else(|| Err(fault(path, "there are no columns")), |(n, v)| texts(path, &n, v));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(path, &e.to_string()))?;
    Ok(text.lines().map(|l| l.trim_start_matches('\u{feff}').to_owned()).collect())
}

/// A table's matrix, the names of its columns and its ids, where it has them.
type Table = (Option<Vec<String>>, Values, Option<Vec<String>>);

pub(super) fn read_features(path: &Path) -> Result<(Array2<f32>, Option<Vec<String>>), InputError> {
    let format = Format::of(path)?;
    let mut ids = None;
    let loaded = if format == Format::Npy {
        let mapped = Mapped::open(path)?.matrix(path)?;
        let (n, d) = Rows::<f32>::shape(&mapped);
        let mut all = Vec::with_capacity(n * d);
        let mut buffer = Vec::new();
        for start in (0..n).step_by(4096) {
            all.extend_from_slice(Rows::<f32>::block(&mapped, start, 4096.min(n - start), &mut buffer));
        }
        Array2::from_shape_vec((n, d), all).map_err(|e| fault(path, &e.to_string()))?
    } else {
        let (_, values, found) = matrix(path, table(path, format)?)?;
        ids = found;
        match values {
            Values::Singles(a) => a,
            Values::Doubles(a) => a.mapv(|v| v as f32),
            _ => return Err(fault(path, "features are numbers")),
        }
    };
    check_features(path, loaded.view())?;
    Ok((loaded, ids))
}

fn check_features(path: &Path, x: ArrayView2<'_, f32>) -> Result<(), InputError> {
    if x.ncols() == 0 {
        return Err(fault(path, "features have no columns"));
    }
    match first_not_finite(x) {
        None => Ok(()),
        Some(bad) => {
            let why = format!(
                "row {}, column {} is {}, but features must be finite",
                bad.row, bad.column, bad.value
            );
            Err(fault(path, &why))
        }
    }
}

/// A matrix from a table: its one column of lists, or all columns but ids, which are numbers.
pub(super) fn matrix(path: &Path, columns: Columns) -> Result<Table, InputError> {
    let mut names = Vec::new();
    let mut numbers: Vec<Vec<f64>> = Vec::new();
    let mut single = true;
    let (mut ids, mut lists) = (None, None);
    for (name, values) in columns {
        match values {
            values @ (Values::Singles(_) | Values::Doubles(_)) => {
                lists.get_or_insert(values);
                continue;
            }
            values if is_id(&name) => {
                // an index that is only counted names nothing
                ids = if name.is_empty() { None } else { Some(texts(path, &name, values)?) };
                continue;
            }
            Values::Text(v) => {
                let row = v.iter().position(|t| t.parse::<f64>().is_err()).unwrap_or(0);
                let why = format!("column {name:?}, row {row} is {:?}, which is no number", v[row]);
                return Err(fault(path, &why));
            }
            Values::Other(kind) => {
                return Err(fault(path, &format!("column {name:?} is {kind}, which are no numbers")));
            }
            values => {
                single &= !matches!(values, Values::Double(_));
                numbers.extend(numbers_of(&values));
            }
        }
        names.push(name);
    }
    if let Some(lists) = lists {
        return Ok((None, lists, ids));
    }
    let n = numbers.first().map_or(0, Vec::len);
    let shape = (n, numbers.len());
    let values = if single {
        Values::Singles(Array2::from_shape_fn(shape, |(i, j)| numbers[j][i] as f32))
    } else {
        Values::Doubles(Array2::from_shape_fn(shape, |(i, j)| numbers[j][i]))
    };
    // columns that are only numbered name nothing
    let named = names.iter().enumerate().any(|(i, n)| *n != i.to_string());
    Ok((named.then_some(names), values, ids))
}
