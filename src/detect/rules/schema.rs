//! Which fields a rule may speak of, and how their values are asked for.

use std::collections::BTreeMap;

use super::error::nearest;
use crate::domain::taxonomy::Taxonomy;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldType {
    Text,
    Number,
    /// Yes or no.
    Flag,
}

impl FieldType {
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Flag => "a yes-no field",
        }
    }
}

/// A field of a rule: its name, and its place in the list the schema was made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    pub index: usize,
}

/// The known fields with their types, and the tree of classes where there is one.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    fields: BTreeMap<String, (usize, FieldType)>,
    taxonomy: Option<Taxonomy>,
}

impl Schema {
    /// Field i of the list gets index i; of fields of one name the last counts.
    pub fn new<N: Into<String>>(fields: impl IntoIterator<Item = (N, FieldType)>) -> Self {
        let fields = fields.into_iter().enumerate().map(|(i, (name, t))| (name.into(), (i, t))).collect();
        Self { fields, taxonomy: None }
    }

    /// Lets rules use `under`, and checks the classes they relabel to.
    pub fn with_taxonomy(mut self, taxonomy: Taxonomy) -> Self {
        self.taxonomy = Some(taxonomy);
        self
    }

    pub fn field(&self, name: &str) -> Option<(Field, FieldType)> {
        self.fields.get(name).map(|&(index, t)| (Field { name: name.to_owned(), index }, t))
    }

    pub(super) fn nearest_field(&self, name: &str) -> Option<String> {
        nearest(name, self.fields.keys().map(String::as_str)).map(|n| format!("`{n}`"))
    }

    /// Ids of the node and of everything below it, sorted; else the nearest known id.
    pub(super) fn below(&self, node: &str) -> Result<Vec<String>, Option<String>> {
        let Some(taxonomy) = &self.taxonomy else { return Err(None) };
        let ids = || taxonomy.nodes().iter().map(|n| n.id.as_str());
        let Some(node) = ids().find(|id| *id == node).or_else(|| by_path(taxonomy, node)) else {
            return Err(nearest(node, ids()).map(|n| format!("{n:?}")));
        };
        let mut below: Vec<String> =
            ids().filter(|id| taxonomy.path(id).contains(&node)).map(str::to_owned).collect();
        below.sort_unstable();
        Ok(below)
    }

    /// Id of the class named by its id or by the ids on the way to it, `street/fight`; else the nearest.
    pub(super) fn class(&self, name: &str) -> Result<String, Option<String>> {
        let Some(taxonomy) = &self.taxonomy else { return Ok(name.to_owned()) };
        let found = if taxonomy.is_leaf(name) { Some(name) } else { by_path(taxonomy, name) };
        match found.filter(|id| taxonomy.is_leaf(id)) {
            Some(id) => Ok(id.to_owned()),
            None => Err(nearest(name, taxonomy.class_ids()).map(|n| format!("{n:?}"))),
        }
    }

    pub(super) fn has_taxonomy(&self) -> bool {
        self.taxonomy.is_some()
    }
}

/// The node whose ids from the root, joined by slashes, are `path`.
fn by_path<'a>(taxonomy: &'a Taxonomy, path: &str) -> Option<&'a str> {
    let node = taxonomy.node(path.rsplit('/').next()?)?;
    (taxonomy.path(&node.id).join("/") == path).then_some(node.id.as_str())
}

/// A sample as rules see it. `None` = no value. A rule asks only for fields of its schema, each by the type
/// that the schema gives it; a number that is not a number counts as missing.
pub trait Record {
    fn text(&self, field: &Field) -> Option<&str>;
    fn number(&self, field: &Field) -> Option<f64>;
    fn flag(&self, field: &Field) -> Option<bool>;
}
