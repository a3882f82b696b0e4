//! Predicted probabilities: mapped where they can be, loaded where not.

use std::path::Path;

use ndarray::{Array2, Axis};

use super::tables::{Format, matrix, table};
use super::{InputError, fault};
use crate::arrays::Rows;
use crate::domain::Taxonomy;
use crate::exchange::columns::Values;
use crate::exchange::mapped::{Mapped, Matrix};
use crate::exchange::npy::Dtype;

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

impl Probabilities {
    /// The columns in the order of the taxonomy's classes, by their names. Columns that are only numbered
    /// are taken as they come.
    pub(in crate::audit) fn in_order(
        self,
        path: &Path,
        names: &[String],
        tree: &Taxonomy,
    ) -> Result<Self, InputError> {
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

/// Probabilities, the classes of their columns and the ids of their rows, where the file names them.
pub(in crate::audit) type NamedProbabilities = (Probabilities, Option<Vec<String>>, Option<Vec<String>>);

pub(in crate::audit) fn read_probabilities(path: &Path) -> Result<NamedProbabilities, InputError> {
    let format = Format::of(path)?;
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
