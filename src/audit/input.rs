//! The files of an audit, whatever their format, as arrays that fit together. Every error names the
//! file, and where there is one the row and the value.

pub(super) mod labels;
pub(super) mod probabilities;
pub(super) mod tables;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use ndarray::Array2;

use self::labels::{LabelValues, Labels, classes};
use self::probabilities::read_probabilities;
use self::tables::{read_features, read_ids};
use crate::arrays::Rows;
use crate::domain::Taxonomy;
use crate::exchange::columns::ColumnsError;
use crate::exchange::mapped::MappedError;
use crate::exchange::taxonomy::read_taxonomy;

pub use self::probabilities::Probabilities;

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
        distinct(files.ids.unwrap_or(files.labels), ids.as_deref())?;
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

/// Every sample has an id of its own.
pub(super) fn distinct(path: &Path, ids: Option<&[String]>) -> Result<(), InputError> {
    let mut rows = HashMap::new();
    for (row, id) in ids.unwrap_or_default().iter().enumerate() {
        if let Some(first) = rows.insert(id, row) {
            return Err(fault(path, &format!("rows {first} and {row} have the same id {id:?}")));
        }
    }
    Ok(())
}

pub(super) fn fault(path: &Path, why: &str) -> InputError {
    InputError::File { path: path.to_owned(), why: why.to_owned() }
}

fn stem(path: &Path) -> String {
    path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned())
}

pub(super) fn read_tree(path: &Path) -> Result<Taxonomy, InputError> {
    let bytes = std::fs::read(path).map_err(|e| fault(path, &e.to_string()))?;
    read_taxonomy(&bytes, &path.to_string_lossy()).map_err(|e| fault(path, &e.to_string()))
}

/// The rows of two files must be the same samples where both say which.
pub(super) fn same_ids(
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
