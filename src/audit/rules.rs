//! Rules over what an audit knows of its samples: read before the work begins, tried at its end. Nothing is
//! changed: what a rule would do is written beside the findings.

use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::engine::Audit;
use super::input::Input;
use super::table::{self, Kind};
use super::texts::{Known, Texts};
use crate::detect::rules::{Action, Field, FieldType, Record, Rule, RuleError, Schema, parse_rules, preview};
use crate::domain::Taxonomy;
use crate::exchange::columnar::Column;

/// Names of rules in one cell are parted by this.
pub const BETWEEN: &str = "; ";
/// Faults shown of a file with many.
const SHOWN: usize = 10;

/// Why a file of rules cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("{}: {why}", path.display())]
    File { path: PathBuf, why: std::io::Error },
    #[error("{}: there are no rules", path.display())]
    Empty { path: PathBuf },
    #[error("{}", Pointed { path, source: text, faults })]
    Rules { path: PathBuf, text: String, faults: Vec<RuleError> },
}

/// Faults with the lines they are on, and a caret under the place.
struct Pointed<'a> {
    path: &'a Path,
    source: &'a str,
    faults: &'a [RuleError],
}

impl Display for Pointed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().take(SHOWN).enumerate() {
            f.write_str(if i > 0 { "\n" } else { "" })?;
            let line = self.source.lines().nth(fault.line.saturating_sub(1)).unwrap_or_default();
            let line = line.trim_start_matches('\u{feff}');
            // as wide as what stands before: tabs stay, wide letters take a wide blank
            let blank = |c: char| match c {
                '\t' => '\t',
                c if c as u32 >= 0x1100 => '\u{3000}',
                _ => ' ',
            };
            let before: String = line.chars().take(fault.column.saturating_sub(1)).map(blank).collect();
            write!(f, "{}: {fault}\n  {line}\n  {before}^", self.path.display())?;
        }
        match self.faults.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}

/// Fields a rule may use: the texts' columns, the columns of the issues, and `label` and `neighbours_agree`
/// for given_label and neighbour_agreement. Of two with one name the audit's own counts.
fn fields(input: &Input, texts: Option<&Texts>) -> Vec<(String, FieldType)> {
    let text = |(name, known): &(String, Known)| {
        let kind = match known {
            Known::Text(_) => FieldType::Text,
            Known::Number(_) => FieldType::Number,
            Known::Flag(_) => FieldType::Flag,
        };
        (name.clone(), kind)
    };
    let mut fields: Vec<(String, FieldType)> =
        texts.iter().flat_map(|t| t.columns.iter().map(text)).collect();
    let own = table::known(input, texts.is_some()).into_iter().map(|(name, kind)| {
        let kind = match kind {
            Kind::Text | Kind::Class => FieldType::Text,
            Kind::Number => FieldType::Number,
            Kind::Flag => FieldType::Flag,
        };
        (name.to_owned(), kind)
    });
    fields.extend(own);
    fields.push(("label".into(), FieldType::Text));
    if !input.features.is_empty() {
        fields.push(("neighbours_agree".into(), FieldType::Number));
    }
    fields
}

/// Reads rules for this input; see [`crate::detect::rules`] for the language.
///
/// # Errors
/// A file that cannot be read or has no rules; every faulty line, with a caret under the fault.
pub fn read_rules(path: &Path, input: &Input, texts: Option<&Texts>) -> Result<Vec<Rule>, RulesError> {
    let file = |why| RulesError::File { path: path.to_owned(), why };
    let text = std::fs::read_to_string(path).map_err(file)?;
    let schema = Schema::new(fields(input, texts)).with_taxonomy(input.taxonomy.clone());
    match parse_rules(&text, &schema) {
        Ok(rules) if rules.is_empty() => Err(RulesError::Empty { path: path.to_owned() }),
        Ok(rules) => Ok(rules),
        Err(faults) => Err(RulesError::Rules { path: path.to_owned(), text, faults }),
    }
}

/// What one rule would do.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleReport {
    pub rule: Rule,
    /// Rows it is true of, ascending.
    pub hits: Vec<usize>,
    /// Share of all samples.
    pub rate: f64,
    /// Labels that it would change; 0 for rules that relabel nothing.
    pub changes: usize,
}

/// What all rules would do; (N) in input order.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFindings {
    /// In the order of the file.
    pub rules: Vec<RuleReport>,
    /// Names of the rules that are true of the sample, joined by [`BETWEEN`].
    pub names: Vec<String>,
    /// A rule that flags is true.
    pub flagged: Vec<bool>,
    /// Class that the first relabelling rule would give.
    pub labels: Vec<Option<String>>,
    /// A rule would leave it out.
    pub excluded: Vec<bool>,
    /// Samples that two rules would give different classes.
    pub torn: usize,
}

/// Tries the rules on the samples; `columns` are those of the issues. O(rules x N x condition).
pub fn try_rules(
    rules: Vec<Rule>,
    input: &Input,
    audit: &Audit<'_>,
    texts: Option<&Texts>,
    columns: &[(&'static str, Column)],
) -> RuleFindings {
    let n = audit.scan.len();
    let classes = |of| Source::Class { of, taxonomy: &input.taxonomy };
    let source = |name: &str| match name {
        "label" | "given_label" => Some(classes(&input.labels)),
        "suggested_label" => Some(classes(&audit.scan.fused.suggested)),
        name => {
            let name = if name == "neighbours_agree" { "neighbour_agreement" } else { name };
            let own = columns.iter().find(|(c, _)| *c == name).map(|(_, column)| Source::Column(column));
            let beside = || texts.and_then(|t| t.columns.iter().find(|(c, _)| c == name));
            own.or_else(|| beside().map(|(_, known)| Source::Known(known)))
        }
    };
    let sources: Vec<Option<Source<'_>>> = fields(input, texts).iter().map(|(f, _)| source(f)).collect();
    let rows: Vec<Row<'_>> = (0..n).map(|i| Row { sources: &sources, i }).collect();
    let label = Schema::new(fields(input, texts)).field("label").map(|(field, _)| field);
    let reports: Vec<RuleReport> = rules
        .into_par_iter()
        .map(|rule| {
            let seen = preview(&rule, &rows, label.as_ref(), n);
            RuleReport { rule, hits: seen.examples, rate: seen.rate, changes: seen.changes }
        })
        .collect();
    let mut out = RuleFindings {
        rules: Vec::new(),
        names: vec![String::new(); n],
        flagged: vec![false; n],
        labels: vec![None; n],
        excluded: vec![false; n],
        torn: 0,
    };
    let mut torn = vec![false; n];
    for report in &reports {
        for &i in &report.hits {
            if !out.names[i].is_empty() {
                out.names[i].push_str(BETWEEN);
            }
            out.names[i].push_str(&report.rule.name);
            match &report.rule.action {
                Action::Flag => out.flagged[i] = true,
                Action::Exclude => out.excluded[i] = true,
                Action::Relabel(class) => match &out.labels[i] {
                    Some(first) => torn[i] |= first != class,
                    None => out.labels[i] = Some(class.clone()),
                },
            }
        }
    }
    out.torn = torn.into_iter().filter(|t| *t).count();
    out.rules = reports;
    out
}

/// Where a field's values are.
enum Source<'a> {
    Class { of: &'a [u32], taxonomy: &'a Taxonomy },
    Column(&'a Column),
    Known(&'a Known),
}

/// A sample as rules see it.
struct Row<'a> {
    sources: &'a [Option<Source<'a>>],
    i: usize,
}

impl Record for Row<'_> {
    fn text(&self, field: &Field) -> Option<&str> {
        match self.sources.get(field.index)?.as_ref()? {
            Source::Class { of, taxonomy } => Some(taxonomy.class_id(of[self.i] as usize)),
            Source::Column(Column::Utf8(v)) | Source::Known(Known::Text(v)) => Some(&v[self.i]),
            _ => None,
        }
    }

    fn number(&self, field: &Field) -> Option<f64> {
        match self.sources.get(field.index)?.as_ref()? {
            Source::Column(Column::F32(v)) => Some(f64::from(v[self.i])),
            Source::Column(Column::I32(v)) => Some(f64::from(v[self.i])),
            Source::Known(Known::Number(v)) => Some(v[self.i]),
            _ => None,
        }
    }

    fn flag(&self, field: &Field) -> Option<bool> {
        match self.sources.get(field.index)?.as_ref()? {
            Source::Column(Column::Bool(v)) | Source::Known(Known::Flag(v)) => Some(v[self.i]),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_fault() {
        let schema = Schema::new([("title", FieldType::Text)]);
        let text = "a: flag when missing(title)\n短: flag when titel ~ /x/\n";
        let faults = parse_rules(text, &schema).unwrap_err();
        let error = RulesError::Rules { path: "r.txt".into(), text: text.into(), faults }.to_string();
        let lines: Vec<&str> = error.lines().collect();
        assert!(lines[0].starts_with("r.txt: line 2, column 14: ") && lines[0].contains("title"), "{error}");
        assert_eq!(lines[1], "  短: flag when titel ~ /x/");
        assert_eq!(lines[2], "  \u{3000}            ^");
    }
}
