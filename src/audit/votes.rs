//! Several people's labels of the same samples, from files: a matrix of samples by people, or a list of
//! who gave which sample which label.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use ndarray::Array2;

use super::input::labels::{LabelValues, classes};
use super::input::probabilities::{Probabilities, read_probabilities};
use super::input::tables::{Format, is_id, numbers_of, read_ids, table, texts};
use super::input::{InputError, distinct, fault, read_tree, same_ids};
use crate::arrays::Rows;
use crate::detect::annotators::{Vote, Votes};
use crate::domain::Taxonomy;
use crate::exchange::columns::{Columns, Values};
use crate::exchange::mapped::Mapped;

/// Columns of a list; the first of each that is there.
const ITEMS: [&str; 7] = ["item", "item_id", "task", "sample", "sample_id", "id", "example"];
const PEOPLE: [&str; 6] = ["annotator", "annotator_id", "worker", "worker_id", "rater", "user"];
const LABELS: [&str; 5] = ["label", "labels", "annotation", "class", "y"];

/// Paths as they were given.
#[derive(Clone, Copy, Debug)]
pub struct VoteFiles<'a> {
    pub labels: &'a Path,
    pub pred_probs: Option<&'a Path>,
    pub taxonomy: Option<&'a Path>,
    pub ids: Option<&'a Path>,
}

/// Everyone's labels, and what a model says.
#[derive(Debug)]
pub struct VoteInput {
    /// (N) names of the samples; `None`: row numbers.
    pub ids: Option<Vec<String>>,
    /// (M) names of the people.
    pub annotators: Vec<String>,
    pub taxonomy: Taxonomy,
    /// The labels came as numbers: they are written as such.
    pub numbered: bool,
    pub votes: Votes,
    /// (N, K)
    pub probabilities: Option<Array2<f32>>,
}

/// Before classes are known: who labelled which sample, and its row in the file.
struct Ballots {
    ids: Option<Vec<String>>,
    n: usize,
    annotators: Vec<String>,
    of: Vec<(u32, u32)>,
    rows: Vec<usize>,
    values: LabelValues,
}

impl VoteInput {
    /// Reads the files.
    ///
    /// # Errors
    /// The first file that cannot be read or does not fit, with row and value; a person who labels a sample
    /// twice.
    pub fn read(files: &VoteFiles<'_>) -> Result<Self, InputError> {
        let given = files.taxonomy.map(read_tree).transpose()?;
        let names = files.ids.map(read_ids).transpose()?;
        let (mut p, mut columns, mut p_ids) = (None, None, None);
        if let Some(path) = files.pred_probs {
            let (read, named, ids) = read_probabilities(path)?;
            p = Some(match given.as_ref().zip(named.as_ref()) {
                Some((tree, named)) if tree.n_classes() == named.len() => read.in_order(path, named, tree)?,
                _ => read,
            });
            (columns, p_ids) = (named, ids);
        }
        let ballots = Ballots::read(files.labels, names.as_deref().or(p_ids.as_deref()))?;
        if ballots.of.is_empty() {
            return Err(fault(files.labels, "there are no labels"));
        }
        let mut n = ballots.n;
        if let Some((path, p)) = files.pred_probs.zip(p.as_ref()) {
            let (rows, k) = Rows::<f32>::shape(p);
            if rows < n || (rows > n && ballots.ids.is_some()) {
                let labels = files.labels.to_owned();
                return Err(InputError::Rows {
                    path: path.to_owned(),
                    found: rows,
                    what: "rows",
                    labels,
                    expected: n,
                });
            }
            n = rows;
            if let Some(tree) = given.as_ref().filter(|t| t.n_classes() != k) {
                let why = format!("there are {k} columns, but the taxonomy has {} classes", tree.n_classes());
                return Err(fault(path, &why));
            }
            same_ids(path, p_ids.as_deref(), files.labels, ballots.ids.as_deref())?;
        }
        let k = p.as_ref().map(|p| Rows::<f32>::shape(p).1);
        let numbered = matches!(ballots.values, LabelValues::Columns(_));
        let Ballots { ids, annotators, of, rows, values, .. } = ballots;
        let (labels, taxonomy) = classes(files.labels, values, given, columns, k).map_err(|e| match e {
            InputError::Label { path, row, value, why } => {
                InputError::Label { path, row: rows[row], value, why }
            }
            e => e,
        })?;
        let cast = |(&(sample, annotator), &class): (&(u32, u32), &u32)| Vote { sample, annotator, class };
        let votes: Vec<Vote> = of.iter().zip(&labels).map(cast).collect();
        let votes = Votes::new(&votes, n, annotators.len(), taxonomy.n_classes())
            .map_err(|e| fault(files.labels, &e.to_string()))?;
        let ids = names.or(ids).or(p_ids);
        if ids.as_ref().is_some_and(|ids| ids.len() != n) {
            let path = files.ids.unwrap_or(files.labels);
            return Err(fault(path, &format!("there are not as many ids as samples, {n}")));
        }
        Ok(Self { ids, annotators, taxonomy, numbered, votes, probabilities: p.map(loaded) })
    }

    /// The name of sample `i`.
    pub fn id(&self, i: usize) -> String {
        self.ids.as_ref().map_or_else(|| i.to_string(), |ids| ids[i].clone())
    }
}

fn loaded(p: Probabilities) -> Array2<f32> {
    let (n, k) = Rows::<f32>::shape(&p);
    let mut buffer = Vec::new();
    let all = Rows::<f32>::block(&p, 0, n, &mut buffer).to_vec();
    Array2::from_shape_vec((n, k), all).unwrap_or_default()
}

/// Place of the first of these names.
fn column(columns: &Columns, names: &[&str]) -> Option<usize> {
    names.iter().find_map(|n| columns.iter().position(|(c, _)| c.eq_ignore_ascii_case(n)))
}

impl Ballots {
    fn read(path: &Path, ids: Option<&[String]>) -> Result<Self, InputError> {
        let format = Format::of(path)?;
        if format == Format::Npy {
            return Self::of_matrix(path);
        }
        let columns = table(path, format)?;
        match (column(&columns, &PEOPLE), column(&columns, &LABELS)) {
            (Some(person), Some(label)) => {
                let Some(item) = column(&columns, &ITEMS) else {
                    return Err(fault(path, &format!("no column is called {}", ITEMS.join(", "))));
                };
                Self::of_list(path, columns, item, person, label, ids)
            }
            _ => Self::of_columns(path, columns),
        }
    }

    /// -1 and NaN: not given.
    fn of_matrix(path: &Path) -> Result<Self, InputError> {
        let matrix = Mapped::open(path)?.matrix(path)?;
        let (n, m) = Rows::<f64>::shape(&matrix);
        let annotators = (0..m).map(|a| a.to_string()).collect();
        let (mut of, mut rows, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let mut buffer = Vec::new();
        for i in 0..n {
            for (a, &v) in Rows::<f64>::block(&matrix, i, 1, &mut buffer).iter().enumerate() {
                if !v.is_nan() && v != -1.0 {
                    of.push((i as u32, a as u32));
                    rows.push(i);
                    values.push(v);
                }
            }
        }
        let values = numbered(path, "labels", &rows, values)?;
        Ok(Self { ids: None, n, annotators, of, rows, values })
    }

    /// A column a person; empty, NaN and -1: not given.
    fn of_columns(path: &Path, columns: Columns) -> Result<Self, InputError> {
        let mut ids = None;
        let mut people = Vec::new();
        for (name, values) in columns {
            if is_id(&name) {
                if !name.is_empty() {
                    ids = Some(texts(path, &name, values)?);
                }
            } else {
                people.push((name, values));
            }
        }
        distinct(path, ids.as_deref())?;
        let named = |values: &Values| matches!(values, Values::Text(v) if v.iter().any(|t| !t.is_empty()));
        let names = people.iter().any(|(_, v)| named(v));
        let mut n = 0;
        let (mut of, mut rows) = (Vec::new(), Vec::new());
        let (mut numbers, mut classes) = (Vec::new(), Vec::new());
        for (a, (name, values)) in people.iter().enumerate() {
            let mut cast = |i: usize| {
                of.push((i as u32, a as u32));
                rows.push(i);
            };
            match (values, numbers_of(values)) {
                (Values::Text(v), _) => {
                    n = v.len();
                    for (i, t) in v.iter().enumerate().filter(|(_, t)| !t.is_empty()) {
                        cast(i);
                        classes.push(t.clone());
                    }
                }
                (_, Some(v)) => {
                    n = v.len();
                    for (i, v) in v.iter().enumerate().filter(|(_, v)| !v.is_nan() && **v != -1.0) {
                        cast(i);
                        if names { classes.push(v.to_string()) } else { numbers.push(*v) }
                    }
                }
                _ => {
                    return Err(fault(
                        path,
                        &format!("column {name:?} holds neither class numbers nor names"),
                    ));
                }
            }
        }
        let values =
            if names { LabelValues::Names(classes) } else { numbered(path, "labels", &rows, numbers)? };
        let annotators = people.into_iter().map(|(name, _)| name).collect();
        Ok(Self { ids, n, annotators, of, rows, values })
    }

    /// A row a label. Samples are `ids` where those are known; else, where all are numbers, rows counted
    /// from 0; else they come in the order of their first label. People come in the order of theirs.
    fn of_list(
        path: &Path,
        mut columns: Columns,
        item: usize,
        person: usize,
        label: usize,
        ids: Option<&[String]>,
    ) -> Result<Self, InputError> {
        let mut take =
            |at: usize| std::mem::replace(&mut columns[at], (String::new(), Values::Other(String::new())));
        let ((item, items), (person, people), (label, labels)) = (take(item), take(person), take(label));
        let rows_of_numbers = matches!(items, Values::Whole(_)) && ids.is_none();
        let items = texts(path, &item, items)?;
        let people = texts(path, &person, people)?;
        let values = LabelValues::of(path, &label, labels)?;
        let mut order = Names::default();
        ids.unwrap_or_default().iter().for_each(|id| {
            order.number(id);
        });
        let mut annotators = Names::default();
        let mut seen = HashMap::new();
        let mut of = Vec::with_capacity(items.len());
        let mut most = 0;
        for (row, (item, person)) in items.iter().zip(&people).enumerate() {
            let bad = |why: &str| InputError::Label {
                path: path.to_owned(),
                row,
                value: format!("{item:?}"),
                why: why.to_owned(),
            };
            let sample = match (rows_of_numbers, ids) {
                (true, _) => item.parse().map_err(|_| bad("but rows are counted from 0"))?,
                (_, Some(_)) => order.known(item).ok_or_else(|| bad("which is none of the ids"))?,
                (_, None) => order.number(item),
            };
            let annotator = annotators.number(person);
            if let Some(first) = seen.insert((sample, annotator), row) {
                let why = format!("rows {first} and {row}: {person:?} labels {item:?} twice");
                return Err(fault(path, &why));
            }
            most = most.max(sample as usize + 1);
            of.push((sample, annotator));
        }
        // one stray number must not make millions of samples
        if rows_of_numbers && most > 100 * items.len() + 100 {
            let why = format!(
                "column {item:?} would make {most} samples of {} labels; --ids names them",
                items.len()
            );
            return Err(fault(path, &why));
        }
        let n = if rows_of_numbers { most } else { order.all.len() };
        let ids = (!rows_of_numbers).then_some(order.all);
        Ok(Self { ids, n, annotators: annotators.all, rows: (0..of.len()).collect(), of, values })
    }
}

/// Numbers that are class columns; of others the row is named.
fn numbered(path: &Path, name: &str, rows: &[usize], values: Vec<f64>) -> Result<LabelValues, InputError> {
    LabelValues::of(path, name, Values::Double(values)).map_err(|e| match e {
        InputError::Label { path, row, value, why } => InputError::Label { path, row: rows[row], value, why },
        e => e,
    })
}

/// Names, numbered as they come.
#[derive(Default)]
struct Names {
    all: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn known(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.known(name) {
            return number;
        }
        let number = self.all.len() as u32;
        self.all.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}
