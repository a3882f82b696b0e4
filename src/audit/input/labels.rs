//! Given labels, as columns of the classes or as their names.

use std::path::Path;

use super::tables::{Format, id_column, table, texts, whole};
use super::{InputError, fault};
use crate::domain::{Node, Taxonomy};
use crate::exchange::columns::Values;
use crate::exchange::mapped::Mapped;

/// Names under which a table may hold the labels; else its only column.
const LABEL_COLUMNS: [&str; 5] = ["given_label", "label", "labels", "y", "class"];

/// One a sample.
pub(in crate::audit) enum LabelValues {
    Columns(Vec<u32>),
    Names(Vec<String>),
}

impl LabelValues {
    /// The labels of the column `name`.
    pub(in crate::audit) fn of(path: &Path, name: &str, values: Values) -> Result<Self, InputError> {
        let bad = |row, value, why: &str| {
            let why = format!("{why} (column {name:?})");
            InputError::Label { path: path.to_owned(), row, value, why }
        };
        if let Values::Text(names) = values {
            return match names.iter().position(String::is_empty) {
                None => Ok(Self::Names(names)),
                Some(row) => Err(bad(row, "empty".into(), "but every sample needs a label")),
            };
        }
        let rule = "but labels are class columns: 0, 1, 2, …";
        let numbers = whole(values).map_err(|first| match first {
            Some((row, value)) => bad(row, value, rule),
            None => fault(path, "labels are whole numbers or class names"),
        })?;
        let class = |(row, v): (usize, i128)| {
            let class = u32::try_from(v).ok().filter(|v| *v < u32::MAX);
            class.ok_or_else(|| bad(row, v.to_string(), rule))
        };
        numbers.into_iter().enumerate().map(class).collect::<Result<_, _>>().map(Self::Columns)
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Columns(v) => v.len(),
            Self::Names(v) => v.len(),
        }
    }
}

pub(super) struct Labels {
    pub(super) values: LabelValues,
    pub(super) ids: Option<Vec<String>>,
}

impl Labels {
    pub(super) fn read(path: &Path) -> Result<Self, InputError> {
        let format = Format::of(path)?;
        if format == Format::Npy {
            let labels = Mapped::open(path)?.labels(path)?;
            return Ok(Self { values: LabelValues::Columns(labels), ids: None });
        }
        let mut columns = table(path, format)?;
        let named =
            LABEL_COLUMNS.iter().find_map(|n| columns.iter().position(|(c, _)| c.eq_ignore_ascii_case(n)));
        let at = match named {
            Some(at) => at,
            None if columns.len() == 1 => 0,
            None => {
                let why = format!("no column is called {}", LABEL_COLUMNS.join(", "));
                return Err(fault(path, &why));
            }
        };
        let (name, values) = columns.remove(at);
        let values = LabelValues::of(path, &name, values)?;
        let ids = match id_column(&columns) {
            Some(at) => {
                let (name, values) = columns.swap_remove(at);
                Some(texts(path, &name, values)?)
            }
            None => None,
        };
        Ok(Self { values, ids })
    }
}

/// Labels as columns of the classes, and these as a taxonomy.
pub(in crate::audit) fn classes(
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
