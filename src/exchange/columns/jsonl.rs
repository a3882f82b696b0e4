//! `.jsonl`: an object a line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde_json::Value;

use super::{Columns, ColumnsError, Values, numbers};

/// Reads a file with one JSON object a line; blank lines are passed over. Every key becomes a column, in the
/// order of first appearance (of one line by name); a key that a line lacks has no value there. Texts in lists and objects (lines
/// with their times) are joined by blanks. A column of numbers is [`Values::Whole`] or [`Values::Double`],
/// of `true` and `false` [`Values::Flags`], else text.
///
/// # Errors
/// A line that is no object, a file without rows; with line numbers.
pub fn read_jsonl(path: &Path) -> Result<Columns, ColumnsError> {
    let mut names: Vec<String> = Vec::new();
    let mut place: HashMap<String, usize> = HashMap::new();
    let mut cells: Vec<Vec<Value>> = Vec::new();
    let mut rows = 0;
    for (at, line) in BufReader::new(File::open(path)?).lines().enumerate() {
        let line = line?;
        let text = line.trim_start_matches('\u{feff}').trim();
        if text.is_empty() {
            continue;
        }
        let bad = |what: String| ColumnsError::Line { line: at + 1, what };
        let value = serde_json::from_str(text).map_err(|e| bad(format!("is no JSON: {e}")))?;
        let Value::Object(object) = value else { return Err(bad("is no JSON object".into())) };
        for (key, value) in object {
            let column = *place.entry(key).or_insert_with_key(|key| {
                names.push(key.clone());
                cells.push(Vec::new());
                cells.len() - 1
            });
            cells[column].resize(rows, Value::Null);
            cells[column].push(value);
        }
        rows += 1;
    }
    if rows == 0 {
        return Err(ColumnsError::Empty);
    }
    let columns = names.into_iter().zip(cells).map(|(name, mut column)| {
        column.resize(rows, Value::Null);
        (name, values(column))
    });
    Ok(columns.collect())
}

fn values(cells: Vec<Value>) -> Values {
    let known = || cells.iter().filter(|c| !c.is_null());
    if known().next().is_some() && known().all(Value::is_number) {
        return numbers(cells.iter().map(|c| c.as_f64().unwrap_or(f64::NAN)).collect());
    }
    if let Some(flags) = cells.iter().map(Value::as_bool).collect() {
        return Values::Flags(flags);
    }
    Values::Text(cells.iter().map(text).collect())
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => joined(items.iter()),
        Value::Object(map) => joined(map.values()),
        other => other.to_string(),
    }
}

/// The texts inside a list or object; its numbers are times and places.
fn joined<'a>(items: impl Iterator<Item = &'a Value>) -> String {
    let texts = items.filter(|v| v.is_string() || v.is_array() || v.is_object()).map(text);
    texts.filter(|t| !t.is_empty()).collect::<Vec<_>>().join(" ")
}
