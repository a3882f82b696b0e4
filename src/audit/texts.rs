//! What is known of the samples beside their arrays: titles, recognised speech, text read off the picture,
//! lengths and sizes. Texts are judged by themselves, numbers by whether they give the label away.

use std::collections::HashMap;
use std::path::Path;

use rayon::prelude::*;

use super::input::tables::{Format, is_id, numbers_of, table, texts};
use super::input::{Input, InputError, distinct, fault};
use crate::detect::DetectError;
use crate::detect::imbalance::properties::{PropertyScore, property_score};
use crate::detect::text_quality::{TextIssue, TextReport, text_quality};
use crate::encode::words;
use crate::exchange::columns::Values;

/// A property whose score reaches this gives the label away: cleanlab's Datalab draws the same line.
pub const GIVEN_AWAY: f64 = 0.7;
/// Texts cut into words at a time.
const CHUNK: usize = 8192;

/// The values of one column, (N) in the order of the labels.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Empty where missing.
    Text(Vec<String>),
    /// NaN where missing.
    Number(Vec<f64>),
    Flag(Vec<bool>),
}

/// What a file of texts says of the samples.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Texts {
    /// By name, in file order.
    pub columns: Vec<(String, Known)>,
}

impl Texts {
    /// Reads `.csv`, `.parquet` or `.jsonl`. Where the file has ids and the input too, rows are found by
    /// them, in any order: samples without a row have no values, rows of other samples are passed over.
    /// Else the rows are those of the labels, in order. Columns that are neither text, numbers nor yes-no
    /// are left out.
    ///
    /// # Errors
    /// Files that cannot be read, an id twice, no id in common, another number of rows.
    pub fn read(path: &Path, input: &Input) -> Result<Self, InputError> {
        let columns = table(path, Format::of(path)?)?;
        let n = input.labels.len();
        let mut found = Vec::new();
        let mut ids = None;
        for (name, values) in columns {
            if is_id(&name) {
                if !name.is_empty() {
                    ids = Some(texts(path, &name, values)?);
                }
                continue;
            }
            let known = match values {
                Values::Text(v) => Known::Text(v),
                Values::Flags(v) => Known::Flag(v),
                Values::Singles(_) | Values::Doubles(_) | Values::Other(_) => continue,
                numbers => match numbers_of(&numbers) {
                    Some(v) => Known::Number(v),
                    None => continue,
                },
            };
            found.push((name, known));
        }
        if found.is_empty() {
            return Err(fault(path, "there is no column of texts or numbers beside ids"));
        }
        let rows = match ids.as_deref().zip(input.ids.as_deref()) {
            Some((here, there)) => {
                distinct(path, Some(here))?;
                Some(places(path, here, there)?)
            }
            None => {
                let rows = found[0].1.len();
                if rows != n {
                    let why =
                        format!("there are {rows} rows, but {n} labels; ids in both would find the rows");
                    return Err(fault(path, &why));
                }
                None
            }
        };
        if let Some(rows) = rows {
            found.iter_mut().for_each(|(_, known)| *known = known.take(&rows));
        }
        Ok(Self { columns: found })
    }

    /// Names and values of the texts.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.columns.iter().filter_map(|(name, known)| match known {
            Known::Text(texts) => Some((name.as_str(), texts.as_slice())),
            _ => None,
        })
    }

    /// Words of each sample's texts, in input order, every word once a sample: what is said over and over
    /// in one clip is not what its cluster is about. Calls `each` with the sample and its words.
    pub fn words(&self, mut each: impl FnMut(usize, Vec<String>)) {
        let fields: Vec<&[String]> = self.texts().map(|(_, texts)| texts).collect();
        let n = fields.first().map_or(0, |f| f.len());
        for start in (0..n).step_by(CHUNK) {
            let rows: Vec<usize> = (start..(start + CHUNK).min(n)).collect();
            let cut = |&row: &usize| {
                let mut all: Vec<String> = fields.iter().flat_map(|f| words(&f[row])).collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            let cut: Vec<Vec<String>> = rows.par_iter().map(cut).collect();
            rows.into_iter().zip(cut).for_each(|(row, words)| each(row, words));
        }
    }
}

impl Known {
    fn len(&self) -> usize {
        match self {
            Self::Text(v) => v.len(),
            Self::Number(v) => v.len(),
            Self::Flag(v) => v.len(),
        }
    }

    /// Whether sample `i` has no value.
    pub fn is_missing(&self, i: usize) -> bool {
        match self {
            Self::Text(v) => v[i].trim().is_empty(),
            Self::Number(v) => v[i].is_nan(),
            Self::Flag(_) => false,
        }
    }

    /// The values of these rows; `None` = no value. Yes-no values that are missing for some are numbers.
    fn take(&self, rows: &[Option<usize>]) -> Self {
        match self {
            Self::Text(v) => {
                Self::Text(rows.iter().map(|r| r.map_or_else(String::new, |r| v[r].clone())).collect())
            }
            Self::Number(v) => Self::Number(rows.iter().map(|r| r.map_or(f64::NAN, |r| v[r])).collect()),
            Self::Flag(v) => match rows.iter().map(|r| r.map(|r| v[r])).collect() {
                Some(flags) => Self::Flag(flags),
                None => {
                    let number = |r: &Option<usize>| r.map_or(f64::NAN, |r| f64::from(u8::from(v[r])));
                    Self::Number(rows.iter().map(number).collect())
                }
            },
        }
    }
}

/// Where each of the ids `there` stands in `here`.
fn places(path: &Path, here: &[String], there: &[String]) -> Result<Vec<Option<usize>>, InputError> {
    let by_id: HashMap<&str, usize> = here.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let rows: Vec<Option<usize>> = there.iter().map(|id| by_id.get(id.as_str()).copied()).collect();
    if rows.iter().all(Option::is_none) {
        let (a, b) = (here.first(), there.first());
        let why = format!("no id is one of the labels': here {:?}, there {:?}", a, b);
        return Err(fault(path, &why));
    }
    Ok(rows)
}

/// One field of texts.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldTexts {
    pub name: String,
    pub report: TextReport,
}

/// What the texts and numbers say; (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct TextFindings {
    pub fields: Vec<FieldTexts>,
    /// In [0, 1], low where a text is bad: 1 - the largest share of repetition, unknown or symbols in any of
    /// its fields; 0 for one that is empty or cut short where that is rare.
    pub quality: Vec<f32>,
    /// Fields without a value, numbers included.
    pub missing: Vec<Vec<usize>>,
    /// Numbers by name and what they say of the label, the most telling first.
    pub properties: Vec<(String, PropertyScore)>,
}

impl TextFindings {
    /// Judges every column.
    ///
    /// # Errors
    /// Fewer than two classes.
    pub fn of(texts: &Texts, input: &Input) -> Result<Self, DetectError> {
        let n = input.labels.len();
        let columns = &texts.columns;
        let fields: Vec<FieldTexts> = texts
            .texts()
            .map(|(name, texts)| {
                let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
                FieldTexts { name: name.to_owned(), report: text_quality(&borrowed) }
            })
            .collect();
        let mut quality = vec![1.0f32; n];
        for text in fields.iter().flat_map(|f| f.report.texts.iter().enumerate()) {
            let (i, t) = text;
            let bad = match t.issue {
                Some(TextIssue::Empty | TextIssue::Short) => 1.0,
                _ => t.repetition.max(t.surprise).max(t.symbols),
            };
            quality[i] = quality[i].min(1.0 - bad);
        }
        let missing =
            (0..n).map(|i| (0..columns.len()).filter(|&c| columns[c].1.is_missing(i)).collect()).collect();
        let mut properties = Vec::new();
        for (name, known) in columns {
            if let Known::Number(values) = known {
                let values: Vec<f32> = values.iter().map(|v| *v as f32).collect();
                let score = property_score(&values, &input.labels, input.taxonomy.n_classes())?;
                properties.push((name.clone(), score));
            }
        }
        properties.sort_by(|a, b| b.1.score.unwrap_or(-1.0).total_cmp(&a.1.score.unwrap_or(-1.0)));
        Ok(Self { fields, quality, missing, properties })
    }

    /// Samples without a value in column `c` of the texts.
    pub fn missing_in(&self, c: usize) -> usize {
        self.missing.iter().filter(|m| m.contains(&c)).count()
    }

    /// The fields of sample `i` with an issue, and which.
    pub fn issues(&self, i: usize) -> impl Iterator<Item = (&str, TextIssue)> {
        self.fields.iter().filter_map(move |f| f.report.texts[i].issue.map(|issue| (f.name.as_str(), issue)))
    }
}

/// Classes that a number gives away, and the share of each that it recognises; the most telling first.
pub fn given_away(score: &PropertyScore) -> Vec<(usize, f64)> {
    let told = |(class, recall): (usize, &Option<f64>)| Some((class, recall.filter(|r| *r >= GIVEN_AWAY)?));
    let mut classes: Vec<(usize, f64)> = score.recalls.iter().enumerate().filter_map(told).collect();
    classes.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    classes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Node, Taxonomy};

    fn input(ids: Option<&[&str]>, n: usize) -> Input {
        let node = |c: usize| Node { id: c.to_string(), names: Default::default(), parent: None };
        Input {
            ids: ids.map(|ids| ids.iter().map(|i| (*i).to_owned()).collect()),
            labels: (0..n as u32).map(|i| i % 2).collect(),
            numbered: true,
            taxonomy: Taxonomy::new((0..2).map(node).collect()).unwrap(),
            probabilities: None,
            features: vec![],
            missing_classes: vec![],
        }
    }

    fn read(name: &str, text: &str, input: &Input) -> Result<Texts, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        Texts::read(&path, input).map_err(|e| e.to_string())
    }

    #[test]
    fn rows_are_found_by_id_or_stand_in_order() {
        let known = input(Some(&["a", "b", "c"]), 3);
        let file = "id,title,ms\nc,see,3\nz,other,9\na,aye,1\n";
        let texts = read("t.csv", file, &known).unwrap();
        assert_eq!(texts.columns[0].1, Known::Text(vec!["aye".into(), String::new(), "see".into()]));
        assert!(
            matches!(&texts.columns[1].1, Known::Number(v) if v[0] == 1.0 && v[1].is_nan() && v[2] == 3.0)
        );
        let nameless = input(None, 3);
        assert_eq!(
            read("t.csv", file, &nameless).unwrap().columns[0].1,
            Known::Text(vec!["see".into(), "other".into(), "aye".into()])
        );
        let flags = "{\"id\": \"a\", \"ok\": true}\n{\"id\": \"c\", \"ok\": false}\n";
        assert!(
            matches!(&read("t.jsonl", flags, &known).unwrap().columns[0].1, Known::Number(v) if v[0] == 1.0 && v[1].is_nan())
        );
        for (name, text, input, needle) in [
            ("t.csv", "id,title\nx,1\n", &known, "no id is one of the labels'"),
            ("t.csv", "id,title\na,1\na,2\n", &known, "rows 0 and 1 have the same id"),
            ("t.csv", "id,title\nx,1\n", &nameless, "1 rows, but 3 labels"),
            ("t.csv", "id\nx\ny\nz\n", &nameless, "no column of texts"),
            ("t.npy", "", &nameless, "a table is needed"),
        ] {
            let error = read(name, text, input).unwrap_err();
            assert!(error.contains(needle), "{error}");
        }
    }

    #[test]
    fn bad_texts_and_telling_numbers_are_found() {
        let n = 200;
        let input = input(None, n);
        let mut file = String::from("title,ms,size\n");
        let verbs = ["rides", "jumps", "falls", "turns", "grinds"];
        for i in 0..n {
            let title = match i {
                7 => "ha ha ha ha ha ha ha ha ha ha ha ha".to_owned(),
                9 => String::new(),
                _ => {
                    format!("the skater {} over the old {} near house {i}", verbs[i % 5], verbs[(i / 5) % 5])
                }
            };
            // the length gives the class away, the size does not
            file.push_str(&format!("{title},{},{}\n", 1000 + i % 2 * 500, i / 2 % 7));
        }
        let texts = read("t.csv", &file, &input).unwrap();
        let found = TextFindings::of(&texts, &input).unwrap();
        assert_eq!(found.issues(7).collect::<Vec<_>>(), [("title", TextIssue::Repetition)]);
        assert_eq!(found.issues(9).collect::<Vec<_>>(), [("title", TextIssue::Empty)]);
        assert_eq!((found.quality[9], found.missing_in(0), &found.missing[9]), (0.0, 1, &vec![0]));
        assert!(found.quality[7] < 0.2 && found.quality[8] > found.quality[7]);
        assert_eq!(found.properties[0].0, "ms");
        assert!(found.properties[0].1.score.unwrap() > GIVEN_AWAY);
        assert!(found.properties[1].1.score.unwrap() < 0.3, "{:?}", found.properties[1]);
        let mut words = vec![Vec::new(); n];
        texts.words(|i, w| words[i] = w);
        assert_eq!(words[7], ["ha"]);
        assert!(words[9].is_empty() && words[0].contains(&"skater".to_owned()));
    }
}
