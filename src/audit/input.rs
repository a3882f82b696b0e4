//! The files of an audit, whatever their format, as arrays that fit together. Every error names the
//! file, and where there is one the row and the value.

use std::path::{Path, PathBuf};

use ndarray::{Array2, ArrayView2, Axis};

use crate::arrays::{Rows, first_not_finite};
use crate::domain::{Node, Taxonomy};
use crate::exchange::columns::{ColumnsError, Values, read_csv, read_parquet};
use crate::exchange::mapped::{Mapped, MappedError, Matrix};
use crate::exchange::npy::Dtype;
use crate::exchange::taxonomy::read_taxonomy;

/// Names under which a table may hold the labels, and the ids; else its only column.
const LABEL_COLUMNS: [&str; 5] = ["given_label", "label", "labels", "y", "class"];
/// (What pandas writes over its index is empty.)
const ID_COLUMNS: [&str; 4] = ["id", "ids", "sample_id", ""];

/// Paths as they were given.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    pub labels: &'a Path,
    pub pred_probs: Option<&'a Path>,
    pub features: &'a [PathBuf],
    pub taxonomy: Option<&'a Path>,
    pub ids: Option<&'a Path>,
}

#[derive(Debug, thiserror::Error)]
pub enum InputError {
    #[error(transparent)]
    Mapped(#[from] MappedError),
    #[error("{}: {why}", path.display())]
    Columns { path: PathBuf, why: ColumnsError },
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: String },
    #[error("{} has {found} {what}, {} has {expected}", path.display(), labels.display())]
    Rows { path: PathBuf, found: usize, what: &'static str, labels: PathBuf, expected: usize },
    #[error("{}: row {row} is {value}, {why}", path.display())]
    Label { path: PathBuf, row: usize, value: String, why: String },
}

/// Predicted probabilities (N, K), mapped or loaded.
#[derive(Debug)]
pub enum Probabilities {
    Mapped(Matrix),
    Single(Array2<f32>),
    Double(Array2<f64>),
}

impl Probabilities {
    /// Stored as doubles: then they are computed as doubles too.
    pub fn is_double(&self) -> bool {
        match self {
            Self::Mapped(m) => m.dtype() == Dtype::F64,
            Self::Single(_) => false,
            Self::Double(_) => true,
        }
    }
}

impl Rows<f32> for Probabilities {
    fn shape(&self) -> (usize, usize) {
        match self {
            Self::Mapped(m) => Rows::<f32>::shape(m),
            Self::Single(a) => a.dim(),
            Self::Double(a) => a.dim(),
        }
    }

    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::Mapped(m) => m.block(start, n, buffer),
            Self::Single(a) => rows(a, start, n),
            Self::Double(a) => {
                buffer.clear();
                buffer.extend(rows(a, start, n).iter().map(|v| *v as f32));
                buffer
            }
        }
    }
}

impl Rows<f64> for Probabilities {
    fn shape(&self) -> (usize, usize) {
        Rows::<f32>::shape(self)
    }

    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<f64>) -> &'a [f64] {
        match self {
            Self::Mapped(m) => m.block(start, n, buffer),
            Self::Double(a) => rows(a, start, n),
            Self::Single(a) => {
                buffer.clear();
                buffer.extend(rows(a, start, n).iter().map(|v| f64::from(*v)));
                buffer
            }
        }
    }
}

/// Loaded matrices are row-major.
fn rows<T>(a: &Array2<T>, start: usize, n: usize) -> &[T] {
    let k = a.ncols();
    a.as_slice().map_or(&[][..], |all| &all[start * k..(start + n) * k])
}

/// What an audit works on; all of N rows.
#[derive(Debug)]
pub struct Input {
    /// `None`: none were given, and row numbers stand for them; see [`Input::id`].
    pub ids: Option<Vec<String>>,
    /// Class columns.
    pub labels: Vec<u32>,
    /// The labels came as numbers: they are written as such.
    pub numbered: bool,
    /// Given, or a flat one of the classes that the other files name.
    pub taxonomy: Taxonomy,
    pub probabilities: Option<Probabilities>,
    /// (name of the file without its ending, (N, D))
    pub features: Vec<(String, Array2<f32>)>,
    /// Classes without a sample.
    pub missing_classes: Vec<usize>,
}

impl Input {
    /// Reads the files. Features are loaded, probabilities in `.npy` are mapped.
    ///
    /// # Errors
    /// The first file that cannot be read or does not fit the labels.
    pub fn read(files: &Files<'_>) -> Result<Self, InputError> {
        let labels = Labels::read(files.labels)?;
        let n = labels.values.len();
        if n == 0 {
            return Err(fault(files.labels, "there are no labels"));
        }
        let fits = |path: &Path, found: usize, what: &'static str| {
            if found == n {
                return Ok(());
            }
            let labels = files.labels.to_owned();
            Err(InputError::Rows { path: path.to_owned(), found, what, labels, expected: n })
        };
        let given = files.taxonomy.map(read_tree).transpose()?;
        let (probabilities, columns) = match files.pred_probs {
            Some(path) => {
                let (mut p, names, ids) = read_probabilities(path)?;
                same_ids(path, ids.as_deref(), files.labels, labels.ids.as_deref())?;
                let (rows, k) = Rows::<f32>::shape(&p);
                fits(path, rows, "rows")?;
                if k < 2 {
                    let why = format!("there is {k} class; a label can only be wrong among two or more");
                    return Err(fault(path, &why));
                }
                if let Some(tree) = given.as_ref().filter(|t| t.n_classes() != k) {
                    let why =
                        format!("there are {k} columns, but the taxonomy has {} classes", tree.n_classes());
                    return Err(fault(path, &why));
                }
                if let Some((tree, names)) = given.as_ref().zip(names.as_ref()) {
                    p = p.in_order(path, names, tree)?;
                }
                (Some((p, k)), names)
            }
            None => (None, None),
        };
        let mut features = Vec::new();
        for path in files.features {
            let (matrix, ids) = read_features(path)?;
            same_ids(path, ids.as_deref(), files.labels, labels.ids.as_deref())?;
            fits(path, matrix.nrows(), "rows")?;
            features.push((stem(path), matrix));
        }
        let ids = match files.ids {
            Some(path) => {
                let ids = read_ids(path)?;
                fits(path, ids.len(), "ids")?;
                Some(ids)
            }
            None => labels.ids,
        };
        let k = probabilities.as_ref().map(|(_, k)| *k);
        let numbered = matches!(labels.values, LabelValues::Columns(_));
        let (labels, taxonomy) = classes(files.labels, labels.values, given, columns, k)?;
        let mut seen = vec![false; taxonomy.n_classes()];
        labels.iter().for_each(|&y| seen[y as usize] = true);
        let missing_classes = (0..seen.len()).filter(|&c| !seen[c]).collect();
        let probabilities = probabilities.map(|(p, _)| p);
        Ok(Self { ids, labels, numbered, taxonomy, probabilities, features, missing_classes })
    }
}

impl Input {
    /// The name of sample `i`.
    pub fn id(&self, i: usize) -> String {
        self.ids.as_ref().map_or_else(|| i.to_string(), |ids| ids[i].clone())
    }
}

fn fault(path: &Path, why: &str) -> InputError {
    InputError::File { path: path.to_owned(), why: why.to_owned() }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Npy,
    Csv,
    Parquet,
}

fn format(path: &Path) -> Result<Format, InputError> {
    let ending = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase());
    match ending.as_deref() {
        Some("npy") => Ok(Format::Npy),
        Some("csv" | "tsv" | "txt") => Ok(Format::Csv),
        Some("parquet" | "pq") => Ok(Format::Parquet),
        _ => Err(fault(path, "its name must end in .npy, .csv, .tsv or .parquet")),
    }
}

fn table(path: &Path, format: Format) -> Result<Vec<(String, Values)>, InputError> {
    let read = if format == Format::Csv { read_csv(path) } else { read_parquet(path) };
    read.map_err(|why| InputError::Columns { path: path.to_owned(), why })
}

enum LabelValues {
    Columns(Vec<u32>),
    Names(Vec<String>),
}

impl LabelValues {
    fn len(&self) -> usize {
        match self {
            Self::Columns(v) => v.len(),
            Self::Names(v) => v.len(),
        }
    }
}

struct Labels {
    values: LabelValues,
    ids: Option<Vec<String>>,
}

impl Labels {
    fn read(path: &Path) -> Result<Self, InputError> {
        let format = format(path)?;
        if format == Format::Npy {
            let labels = Mapped::open(path)?.labels(path)?;
            return Ok(Self { values: LabelValues::Columns(labels), ids: None });
        }
        let mut columns = table(path, format)?;
        let named = |names: &[&str], columns: &[(String, Values)]| {
            names.iter().find_map(|n| columns.iter().position(|(c, _)| c.eq_ignore_ascii_case(n)))
        };
        let at = match named(&LABEL_COLUMNS, &columns) {
            Some(at) => at,
            None if columns.len() == 1 => 0,
            None => {
                let why = format!("no column is called {}", LABEL_COLUMNS.join(", "));
                return Err(fault(path, &why));
            }
        };
        let (_, values) = columns.remove(at);
        let values = match values {
            Values::Whole(numbers) => LabelValues::Columns(
                numbers
                    .into_iter()
                    .enumerate()
                    .map(|(row, v)| {
                        u32::try_from(v).ok().filter(|v| *v < u32::MAX).ok_or_else(|| InputError::Label {
                            path: path.to_owned(),
                            row,
                            value: v.to_string(),
                            why: "but labels are class columns: 0, 1, 2, …".into(),
                        })
                    })
                    .collect::<Result<_, _>>()?,
            ),
            Values::Text(names) => LabelValues::Names(names),
            _ => return Err(fault(path, "labels are whole numbers or class names")),
        };
        let ids = named(&ID_COLUMNS, &columns).map(|at| texts(columns.swap_remove(at).1));
        Ok(Self { values, ids: ids.flatten() })
    }
}

fn texts(values: Values) -> Option<Vec<String>> {
    match values {
        Values::Text(v) => Some(v),
        Values::Whole(v) => Some(v.into_iter().map(|v| v.to_string()).collect()),
        _ => None,
    }
}

fn read_ids(path: &Path) -> Result<Vec<String>, InputError> {
    if path.extension().is_some_and(|e| e == "parquet" || e == "csv" || e == "tsv") {
        let columns = table(path, format(path)?)?;
        let at = columns.iter().position(|(c, _)| ID_COLUMNS.iter().any(|n| c.eq_ignore_ascii_case(n)));
        let column = columns.into_iter().nth(at.unwrap_or(0)).and_then(|(_, v)| texts(v));
        return column.ok_or_else(|| fault(path, "ids are text or whole numbers"));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(path, &e.to_string()))?;
    Ok(text.lines().map(|l| l.trim_start_matches('\u{feff}').to_owned()).collect())
}

fn read_tree(path: &Path) -> Result<Taxonomy, InputError> {
    let bytes = std::fs::read(path).map_err(|e| fault(path, &e.to_string()))?;
    read_taxonomy(&bytes, &path.to_string_lossy()).map_err(|e| fault(path, &e.to_string()))
}

/// The rows of two files must be the same samples where both say which.
fn same_ids(
    path: &Path,
    ids: Option<&[String]>,
    labels: &Path,
    expected: Option<&[String]>,
) -> Result<(), InputError> {
    let Some((ids, expected)) = ids.zip(expected) else { return Ok(()) };
    match ids.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(row) => {
            let (here, there) = (&ids[row], &expected[row]);
            let why = format!("row {row} is {here:?}, but in {} it is {there:?}", labels.display());
            Err(fault(path, &why))
        }
    }
}

impl Probabilities {
    /// The columns in the order of the taxonomy's classes, by their names. Columns that are only numbered
    /// are taken as they come.
    fn in_order(self, path: &Path, names: &[String], tree: &Taxonomy) -> Result<Self, InputError> {
        if names.iter().all(|n| tree.class_index(n).is_none() && n.parse::<usize>().is_ok()) {
            return Ok(self);
        }
        let mut order = vec![usize::MAX; names.len()];
        for (column, name) in names.iter().enumerate() {
            let class = tree.class_index(name).filter(|&c| order.get(c) == Some(&usize::MAX));
            let class = class.ok_or_else(|| {
                fault(path, &format!("column {name:?} is no class of the taxonomy, or is there twice"))
            })?;
            order[class] = column;
        }
        Ok(match self {
            Self::Single(a) => Self::Single(a.select(Axis(1), &order).as_standard_layout().into_owned()),
            Self::Double(a) => Self::Double(a.select(Axis(1), &order).as_standard_layout().into_owned()),
            mapped @ Self::Mapped(_) => mapped,
        })
    }
}

/// A table's matrix, the names of its columns and its ids, where it has them.
type Table = (Option<Vec<String>>, Values, Option<Vec<String>>);
/// Probabilities, the classes of their columns and the ids of their rows, where the file names them.
type NamedProbabilities = (Probabilities, Option<Vec<String>>, Option<Vec<String>>);

fn read_probabilities(path: &Path) -> Result<NamedProbabilities, InputError> {
    let format = format(path)?;
    if format == Format::Npy {
        return Ok((Probabilities::Mapped(Mapped::open(path)?.matrix(path)?), None, None));
    }
    let (names, values, ids) = matrix(path, table(path, format)?)?;
    let p = match values {
        Values::Singles(a) => Probabilities::Single(a),
        Values::Doubles(a) => Probabilities::Double(a),
        _ => return Err(fault(path, "probabilities are numbers")),
    };
    Ok((p, names, ids))
}

fn read_features(path: &Path) -> Result<(Array2<f32>, Option<Vec<String>>), InputError> {
    let format = format(path)?;
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
fn matrix(path: &Path, columns: Vec<(String, Values)>) -> Result<Table, InputError> {
    let is_id = |name: &str| ID_COLUMNS.iter().any(|n| name.eq_ignore_ascii_case(n));
    let mut names = Vec::new();
    let mut numbers: Vec<Vec<f64>> = Vec::new();
    let mut single = true;
    let mut ids = None;
    for (name, values) in columns {
        match values {
            lists @ (Values::Singles(_) | Values::Doubles(_)) => return Ok((None, lists, ids)),
            values if is_id(&name) => {
                // an index that is only counted names nothing
                ids = if name.is_empty() { None } else { texts(values) };
                continue;
            }
            Values::Single(v) => numbers.push(v.into_iter().map(f64::from).collect()),
            Values::Double(v) => {
                single = false;
                numbers.push(v);
            }
            Values::Whole(v) => numbers.push(v.into_iter().map(|v| v as f64).collect()),
            Values::Text(v) => {
                let row = v.iter().position(|t| t.parse::<f64>().is_err()).unwrap_or(0);
                let why = format!("column {name:?}, row {row} is {:?}, which is no number", v[row]);
                return Err(fault(path, &why));
            }
        }
        names.push(name);
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

/// Labels as columns of the classes, and these as a taxonomy.
fn classes(
    path: &Path,
    values: LabelValues,
    given: Option<Taxonomy>,
    columns: Option<Vec<String>>,
    k: Option<usize>,
) -> Result<(Vec<u32>, Taxonomy), InputError> {
    let labels = match values {
        LabelValues::Columns(labels) => {
            let most = labels.iter().max().map_or(0, |m| *m as usize + 1);
            // one stray number must not make millions of classes
            let plausible = 2 * labels.len() + 100;
            if given.is_none() && k.is_none() && most > plausible {
                let row = labels.iter().position(|&y| y as usize + 1 == most).unwrap_or(0);
                let n = labels.len();
                return Err(InputError::Label {
                    path: path.to_owned(),
                    row,
                    value: labels[row].to_string(),
                    why: format!(
                        "which would make {most} classes of {n} samples; --taxonomy names the classes"
                    ),
                });
            }
            let tree = match (given, columns) {
                (Some(tree), _) => tree,
                (None, Some(names)) => flat(path, names)?,
                (None, None) => flat(path, (0..k.unwrap_or(most)).map(|c| c.to_string()).collect())?,
            };
            let n_classes = tree.n_classes();
            if let Some(row) = labels.iter().position(|&y| y as usize >= n_classes) {
                return Err(InputError::Label {
                    path: path.to_owned(),
                    row,
                    value: labels[row].to_string(),
                    why: format!("but there are only {n_classes} classes"),
                });
            }
            (labels, tree)
        }
        LabelValues::Names(names) => {
            let tree = match (given, columns) {
                (Some(tree), _) => tree,
                (None, Some(columns)) => flat(path, columns)?,
                (None, None) if k.is_some() => {
                    let why = "class names need --taxonomy, or probabilities whose columns are named";
                    return Err(fault(path, why));
                }
                (None, None) => {
                    let mut all = names.clone();
                    all.sort_unstable();
                    all.dedup();
                    flat(path, all)?
                }
            };
            let column = |(row, name): (usize, &String)| {
                tree.class_index(name).map(|c| c as u32).ok_or_else(|| InputError::Label {
                    path: path.to_owned(),
                    row,
                    value: format!("{name:?}"),
                    why: "which is no class".into(),
                })
            };
            let labels = names.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
            (labels, tree)
        }
    };
    if labels.1.n_classes() < 2 {
        let why =
            format!("there is {} class; a label can only be wrong among two or more", labels.1.n_classes());
        return Err(fault(path, &why));
    }
    Ok(labels)
}

fn flat(path: &Path, ids: Vec<String>) -> Result<Taxonomy, InputError> {
    if ids.len() < 2 {
        let why = "there is only one class; a label can only be wrong among two or more";
        return Err(fault(path, why));
    }
    let node = |id: String| Node { names: [("en".to_owned(), id.clone())].into(), id, parent: None };
    Taxonomy::new(ids.into_iter().map(node).collect()).map_err(|e| fault(path, &e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn read(files: &[(&str, &str)]) -> Result<Input, String> {
        let dir = tempfile::tempdir().unwrap();
        let mut paths = std::collections::BTreeMap::new();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            paths.insert(name.split('.').next().unwrap(), path);
        }
        let features: Vec<PathBuf> = paths.get("f").cloned().into_iter().collect();
        let path = |name: &str| paths.get(name).map(PathBuf::as_path);
        Input::read(&Files {
            labels: path("y").unwrap(),
            pred_probs: path("p"),
            features: &features,
            taxonomy: path("t"),
            ids: path("ids"),
        })
        .map_err(|e| e.to_string())
    }

    #[test]
    fn tables_that_fit() {
        let p = "0.5,0.5\n0.9,0.1\n0.25,0.75\n";
        let input = read(&[("y.csv", "id,label\na,0\nb,0\nc,1\n"), ("p.csv", p)]).unwrap();
        assert_eq!((input.id(2), &input.labels), ("c".to_owned(), &vec![0, 0, 1]));
        assert!(input.probabilities.unwrap().is_double() && input.numbered);
        let input =
            read(&[("y.csv", "b\na\nb\n"), ("p.csv", &format!("a,b\n{p}")), ("ids.txt", "x\ny\nz\n")]);
        let input = input.unwrap();
        assert_eq!((input.id(2), &input.labels), ("z".to_owned(), &vec![1, 0, 1]));
        let tree = ("t.json", "{\"r\": [\"a\", \"b\"]}");
        let input = read(&[("y.csv", "b\na\nb\n"), ("p.csv", &format!("b,a\n{p}")), tree]).unwrap();
        let first = Rows::<f64>::block(input.probabilities.as_ref().unwrap(), 2, 1, &mut Vec::new()).to_vec();
        assert_eq!((input.labels, first), (vec![1, 0, 1], vec![0.75, 0.25]));
        let input = read(&[("y.csv", "0\n3\n"), ("f.csv", "1,2\n3,4\n")]).unwrap();
        assert_eq!((&input.missing_classes, input.features[0].0.as_str()), (&vec![1, 2], "f"));
        assert_eq!(input.id(1), "1");
    }

    #[test]
    fn tables_that_do_not_fit_are_named() {
        let p = "0.5,0.5\n0.9,0.1\n";
        for (files, needles) in [
            (vec![("y.csv", "0\n1\n0\n"), ("p.csv", p)], vec!["p.csv has 2 rows", "y.csv has 3"]),
            (vec![("y.csv", "0\n2\n"), ("p.csv", p)], vec!["y.csv: row 1 is 2", "only 2 classes"]),
            (vec![("y.csv", "0\n-1\n"), ("p.csv", p)], vec!["y.csv: row 1 is -1"]),
            (vec![("y.csv", "a\nb\n"), ("p.csv", p)], vec!["y.csv", "--taxonomy"]),
            (vec![("y.csv", "0\n0\n"), ("p.csv", "1\n1\n")], vec!["p.csv: there is 1 class"]),
            (vec![("y.csv", "0\n0\n"), ("f.csv", "1\n1\n")], vec!["y.csv", "only one class"]),
            (vec![("y.csv", "0\n1\n"), ("f.csv", "1,NaN\n1,inf\n")], vec!["f.csv: row 0, column 1 is NaN"]),
            (vec![("y.csv", "0\n1\n"), ("f.csv", "1,a\n1,2\n")], vec!["f.csv", "row 0 is \"a\""]),
            (vec![("y.csv", "0\n1\n"), ("p.csv", p), ("ids.txt", "x\n")], vec!["ids.txt has 1 ids"]),
            (vec![("y.csv", "u,v\n0,1\n"), ("p.csv", p)], vec!["no column is called given_label"]),
            (vec![("y.csv", ""), ("p.csv", p)], vec!["y.csv: there are no rows"]),
            (
                vec![("y.csv", "id,y\na,0\nb,1\n"), ("p.csv", "id,u,v\na,0.5,0.5\nc,0.9,0.1\n")],
                vec!["p.csv: row 1 is \"c\"", "y.csv it is \"b\""],
            ),
            (
                vec![("y.csv", "0\n999\n"), ("f.csv", "1,2\n3,4\n")],
                vec!["y.csv: row 1 is 999", "1000 classes of 2"],
            ),
            (
                vec![
                    ("y.csv", "0\n1\n"),
                    ("p.csv", "b,x\n0.5,0.5\n0.9,0.1\n"),
                    ("t.json", "{\"a\": [\"b\", \"c\"]}"),
                ],
                vec!["p.csv", "\"x\" is no class"],
            ),
            (vec![("y.json", "0"), ("p.csv", p)], vec!["must end in .npy"]),
            (
                vec![("y.csv", "0\n1\n"), ("p.csv", p), ("t.json", "{\"a\": [\"b\", \"c\", \"d\"]}")],
                vec!["2 columns", "3 classes"],
            ),
        ] {
            let error = read(&files).unwrap_err();
            assert!(needles.iter().all(|n| error.contains(n)), "{error} lacks one of {needles:?}");
        }
    }
}
