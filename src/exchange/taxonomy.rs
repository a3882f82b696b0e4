//! Taxonomy files: a parent list, a tree or nested names in JSON, or a parent list in CSV.
//!
//! All shapes become one list of nodes in file order, checked by `domain::Taxonomy`. Order decides
//! the order of classes, so keys are never sorted; language keys normalise to `en` and `zh-CN`.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::io;

use super::annotations::csv::{Cut, Record, Splitter};
use super::error::{Fault, RowError, shown};
use super::json::{self, Json};
use crate::domain::{Node, Taxonomy, TaxonomyError};

/// Largest accepted taxonomy file, in bytes.
pub const MAX_BYTES: usize = 16 << 20;
/// Most nodes of a taxonomy.
const MAX_NODES: usize = 200_000;

/// Names of the trees that come built in.
pub const BUILTIN: [&str; 1] = ["wechat2022"];

/// Children of each level-1 category of the WeChat Big Data Challenge 2022: 23 with 200 in all.
const WECHAT_2022: [usize; 23] = [9, 5, 9, 6, 6, 3, 3, 6, 6, 8, 4, 6, 6, 12, 4, 10, 11, 9, 7, 6, 16, 24, 24];

/// A tree that comes with Tamis. `wechat2022`: level-1 ids are two digits, classes four (`0000` to
/// `2223`); the challenge published no names, so a name is the id.
pub fn builtin(name: &str) -> Option<Taxonomy> {
    if name != BUILTIN[0] {
        return None;
    }
    let node = |id: String, parent| Node { names: [("en".to_owned(), id.clone())].into(), id, parent };
    let mut nodes = Vec::new();
    for (top, &children) in WECHAT_2022.iter().enumerate() {
        let parent = format!("{top:02}");
        nodes.push(node(parent.clone(), None));
        nodes.extend((0..children).map(|c| node(format!("{top:02}{c:02}"), Some(parent.clone()))));
    }
    Taxonomy::new(nodes).ok()
}

/// Reads a taxonomy in any accepted shape; `file_name` decides CSV (`.csv`, `.tsv`) and names the file
/// in errors.
///
/// JSON: `{"nodes": [{id, name, name_zh | name_<lang> | names{}, parent, level?}]}`, a bare list of such
/// nodes, a tree `{id|name, children: []}` or a list of trees, nested names
/// `{"sports": {"ollie": {}, "kickflip": null}}` or `{"sports": ["ollie", "kickflip"]}`. A node without
/// an id takes its name as the id, or the path of names `sports/other` where several share one name.
/// CSV: header `id, parent, name, name_zh, …`.
///
/// # Errors
/// The first fault, with its line. A given `level` that differs from the depth is one.
pub fn read_taxonomy(bytes: &[u8], file_name: &str) -> Result<Taxonomy, RowError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lower = file_name.to_ascii_lowercase();
    let read = || {
        if bytes.len() > MAX_BYTES {
            let message = format!("a taxonomy may have {MAX_BYTES} bytes at most");
            return Err((Fault::new("row_too_large", message), 1));
        }
        if bytes.trim_ascii().is_empty() {
            return Err((Fault::new("empty_file", "the file is empty"), 1));
        }
        let text = std::str::from_utf8(bytes).map_err(|e| (json::not_utf8(bytes, e), 1))?;
        let drafts = if lower.ends_with(".csv") || lower.ends_with(".tsv") {
            from_csv(bytes, if lower.ends_with(".tsv") { b'\t' } else { b',' })?
        } else {
            let mut drafts = Vec::new();
            top(json::parse(bytes, MAX_NODES).map_err(|f| (f, 1))?, &mut drafts).map_err(|f| (f, 1))?;
            drafts
        };
        build(drafts, text)
    };
    read().map_err(|(fault, line)| fault.at(file_name, line))
}

/// A node before ids are settled.
#[derive(Default)]
struct Draft {
    id: Option<String>,
    names: BTreeMap<String, String>,
    parent: Parent,
    level: Option<u64>,
    line: Option<u64>,
}

#[derive(Default)]
enum Parent {
    #[default]
    Root,
    /// Position of the enclosing node of a tree.
    Index(usize),
    Id(String),
}

impl Draft {
    fn own_name(&self) -> Option<&str> {
        self.names.get("en").or_else(|| self.names.values().next()).map(String::as_str)
    }
}

/// The whole document.
fn top<'a>(value: Json<'a>, out: &mut Vec<Draft>) -> Result<(), Fault> {
    let Json::Object(entries) = value else { return children(value, None, out) };
    let is_list = |v: &Json<'_>| match v {
        Json::List(items, _) => items.iter().any(|i| matches!(i, Json::Object(_))),
        _ => false,
    };
    let mut nodes = None;
    let mut rest = Vec::new();
    for (key, value) in entries {
        if key == "nodes" && nodes.is_none() && is_list(&value) {
            nodes = Some(value);
        } else {
            rest.push((key, value));
        }
    }
    match nodes {
        Some(nodes) => children(nodes, None, out),
        None if is_node(&rest) => node(rest, None, out),
        None => children(Json::Object(rest), None, out),
    }
}

/// An object that describes one node, as opposed to one whose keys are names.
fn is_node(entries: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> bool {
    entries.iter().any(|(k, v)| match k.as_ref() {
        "id" => matches!(v, Json::Text(_) | Json::Unsigned(_) | Json::Signed(_)),
        "name" => matches!(v, Json::Text(_)),
        _ => false,
    })
}

/// What stands under a node: a list of nodes or names, or an object whose keys are names.
fn children(value: Json<'_>, parent: Option<usize>, out: &mut Vec<Draft>) -> Result<(), Fault> {
    let under = |parent: Option<usize>| parent.map_or(Parent::Root, Parent::Index);
    let named = |name: &str| BTreeMap::from([("en".to_owned(), name.to_owned())]);
    match value {
        Json::Null => Ok(()),
        Json::List(items, total) => {
            if total > items.len() {
                return Err(Fault::new("taxonomy_invalid", format!("more than {MAX_NODES} nodes")));
            }
            items.into_iter().try_for_each(|item| match item {
                Json::Text(name) => {
                    out.push(Draft { names: named(&name), parent: under(parent), ..Draft::default() });
                    Ok(())
                }
                Json::Object(entries) if is_node(&entries) => node(entries, parent, out),
                Json::Object(entries) => children(Json::Object(entries), parent, out),
                other => Err(Fault::new(
                    "wrong_type",
                    format!("a node is {} but should be an object with an id or a name", other.kind()),
                )),
            })
        }
        Json::Object(entries) => entries.into_iter().try_for_each(|(name, value)| {
            let at = out.len();
            out.push(Draft { names: named(&name), parent: under(parent), ..Draft::default() });
            children(value, Some(at), out)
        }),
        other => Err(Fault::new(
            "wrong_type",
            format!("the children of a node are {} but should be a list or an object", other.kind()),
        )),
    }
}

fn node(
    entries: Vec<(std::borrow::Cow<'_, str>, Json<'_>)>,
    parent: Option<usize>,
    out: &mut Vec<Draft>,
) -> Result<(), Fault> {
    let wrong = |field: &'static str, v: &Json<'_>, rule: &str| {
        Fault::field("wrong_type", field, format!("is {} but should be {rule}", v.kind()))
    };
    let id_of = |field: &'static str, v: Json<'_>| match v {
        Json::Null => Ok(None),
        v => v
            .into_id()
            .map(|id| Some(id).filter(|id| !id.is_empty()))
            .map_err(|v| wrong(field, &v, "a string or a whole number")),
    };
    let mut draft = Draft { parent: parent.map_or(Parent::Root, Parent::Index), ..Draft::default() };
    let mut below = None;
    let mut seen: Vec<String> = Vec::new();
    for (key, value) in entries {
        let key = key.into_owned();
        if seen.contains(&key) {
            return Err(Fault::new("duplicate_key", format!("a node has the key {} twice", shown(&key))));
        }
        match (key.as_str(), value) {
            ("id", v) => draft.id = id_of("id", v)?,
            ("parent" | "parent_id", v) => {
                if let Some(id) = id_of("parent", v)? {
                    draft.parent = Parent::Id(id);
                }
            }
            ("level", Json::Unsigned(n)) => draft.level = Some(n),
            ("level", Json::Null) => {}
            ("level", v) => return Err(wrong("level", &v, "a whole number")),
            ("children", v) => below = Some(v),
            ("names", Json::Object(names)) => {
                for (lang, name) in names {
                    let Json::Text(name) = name else { return Err(wrong("names", &name, "a string")) };
                    draft.names.insert(language(&lang), name.into_owned());
                }
            }
            (other, value) => {
                let lang = match other {
                    "name" => Some("en".to_owned()),
                    _ => other.strip_prefix("name_").map(language),
                };
                match (lang, value) {
                    (Some(lang), Json::Text(name)) => {
                        // An explicit `name_en` or `names.en` beats the plain name.
                        if other != "name" || !draft.names.contains_key(&lang) {
                            draft.names.insert(lang, name.into_owned());
                        }
                    }
                    (None, _) | (Some(_), Json::Null) => {}
                    (Some(_), v) => return Err(wrong("name", &v, "a string")),
                }
            }
        }
        seen.push(key);
    }
    let at = out.len();
    out.push(draft);
    below.map_or(Ok(()), |value| children(value, Some(at), out))
}

/// `en-US` -> `en`; `zh`, `zh_CN`, `zh-Hans`, `cn` -> `zh-CN`; others with hyphens, as they are.
fn language(key: &str) -> String {
    let key = key.trim().replace('_', "-");
    match key.to_ascii_lowercase().as_str() {
        "en" | "en-us" | "en-gb" => "en".into(),
        "zh" | "cn" | "zh-cn" | "zh-hans" | "zh-hans-cn" => "zh-CN".into(),
        _ => key,
    }
}

/// Parent list with a header.
fn from_csv(bytes: &[u8], delimiter: u8) -> Result<Vec<Draft>, (Fault, u64)> {
    let mut splitter = Splitter::new(bytes, delimiter);
    let mut record = Record::default();
    let mut header: Option<Vec<String>> = None;
    let mut out = Vec::new();
    loop {
        let cut = splitter.next(&mut record, MAX_BYTES, |r: &mut &[u8]| io::BufRead::fill_buf(r));
        let line = splitter.line;
        match cut {
            Ok(Cut::Record) => {}
            Ok(Cut::End) => break,
            Ok(Cut::OpenQuote) => {
                return Err((Fault::new("unclosed_quote", "a quote is opened and never closed"), line));
            }
            Ok(Cut::TooLarge) => return Err((Fault::new("row_too_large", "the row is too long"), line)),
            Err(e) => return Err((Fault::new("read_failed", e.to_string()), line)),
        }
        let cells: Vec<String> =
            (0..record.len()).map(|i| String::from_utf8_lossy(record.cell(i)).trim().to_owned()).collect();
        let Some(names) = &header else {
            if !cells.iter().any(|c| c == "id") {
                let message = format!("no column \"id\"; the header has {}", shown(&cells.join(", ")));
                return Err((Fault::field("missing_column", "id", message), line));
            }
            header = Some(cells);
            continue;
        };
        if cells.len() != names.len() {
            let message = format!("the row has {} cells, the header has {}", cells.len(), names.len());
            return Err((Fault::new("column_count", message), line));
        }
        let mut draft = Draft { line: Some(line), ..Draft::default() };
        for (name, cell) in names.iter().zip(cells).filter(|(_, cell)| !cell.is_empty()) {
            match name.as_str() {
                "id" => draft.id = Some(cell),
                "parent" | "parent_id" => draft.parent = Parent::Id(cell),
                "level" => draft.level = cell.parse().ok(),
                "name" => {
                    draft.names.entry("en".into()).or_insert(cell);
                }
                other => {
                    if let Some(lang) = other.strip_prefix("name_") {
                        draft.names.insert(language(lang), cell);
                    }
                }
            }
        }
        if draft.id.is_none() {
            return Err((Fault::field("missing_id", "id", "is missing or empty"), line));
        }
        out.push(draft);
    }
    Ok(out)
}

/// Settles ids, checks the tree and puts a line to what is wrong.
fn build(drafts: Vec<Draft>, text: &str) -> Result<Taxonomy, (Fault, u64)> {
    let mut uses: HashMap<&str, usize> = HashMap::new();
    for d in drafts.iter().filter(|d| d.id.is_none()) {
        *uses.entry(d.own_name().unwrap_or("")).or_default() += 1;
    }
    let mut ids: Vec<String> = Vec::with_capacity(drafts.len());
    for d in &drafts {
        ids.push(match (&d.id, d.own_name()) {
            (Some(id), _) => id.clone(),
            (None, Some(name)) if uses.get(name) == Some(&1) => name.to_owned(),
            // An enclosing node always stands before its children.
            (None, Some(name)) => match d.parent {
                Parent::Index(p) => format!("{}/{name}", ids[p]),
                _ => name.to_owned(),
            },
            (None, None) => {
                return Err((Fault::field("missing_id", "id", "a node has neither id nor name"), 1));
            }
        });
    }
    let nodes: Vec<Node> = drafts
        .iter()
        .zip(&ids)
        .map(|(d, id)| Node {
            id: id.clone(),
            names: d.names.clone(),
            parent: match &d.parent {
                Parent::Root => None,
                Parent::Index(p) => Some(ids[*p].clone()),
                Parent::Id(p) => Some(p.clone()),
            },
        })
        .collect();
    let line_of = |id: &str, nth: usize| {
        let in_csv = drafts.iter().zip(&ids).filter(|(_, i)| *i == id).filter_map(|(d, _)| d.line).nth(nth);
        in_csv.unwrap_or_else(|| line_of_string(text, id, nth))
    };
    let levels: Vec<Option<u64>> = drafts.iter().map(|d| d.level).collect();
    let taxonomy = Taxonomy::new(nodes).map_err(|e| {
        let (id, nth) = match &e {
            TaxonomyError::Duplicate(id) => (id.as_str(), 1),
            TaxonomyError::BadId(id)
            | TaxonomyError::BadName(id)
            | TaxonomyError::Cycle(id)
            | TaxonomyError::TooDeep(id)
            | TaxonomyError::UnknownParent { id, .. } => (id.as_str(), 0),
            TaxonomyError::Empty | TaxonomyError::OneClass => ("", 0),
        };
        let line = if id.is_empty() { 1 } else { line_of(id, nth) };
        (Fault::new("taxonomy_invalid", e.to_string()), line)
    })?;
    for (id, level) in ids.iter().zip(levels) {
        let depth = taxonomy.level(id).unwrap_or(0) as u64;
        if level.is_some_and(|l| l != depth) {
            let message = format!(
                "node {} says level {} but lies on level {depth}",
                shown(id),
                level.unwrap_or_default()
            );
            return Err((Fault::field("level_mismatch", "level", message), line_of(id, 0)));
        }
    }
    Ok(taxonomy)
}

/// Line of the n-th place where the JSON text has this string; 1 when it cannot be told.
fn line_of_string(text: &str, value: &str, nth: usize) -> u64 {
    let quoted = serde_json::to_string(value).unwrap_or_default();
    let mut at = text.match_indices(&quoted).map(|(i, _)| i);
    at.nth(nth).map_or(1, |i| 1 + text[..i].bytes().filter(|&b| b == b'\n').count() as u64)
}
