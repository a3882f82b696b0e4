//! A category tree of any depth >= 1. Leaves are the classes; their order (a stable sort by path
//! position) is the order of columns in every probability matrix and ONNX output.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

/// Longest accepted node id or name, in bytes.
pub const MAX_NAME_BYTES: usize = 400;
/// Deepest accepted tree.
pub const MAX_DEPTH: usize = 16;

/// A category as it came in: stable id, names by language tag (`en`, `zh-CN`), parent id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Node {
    pub id: String,
    /// Language tag -> name; the first fallback is the id itself.
    pub names: BTreeMap<String, String>,
    pub parent: Option<String>,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TaxonomyError {
    #[error("taxonomy has no nodes")]
    Empty,
    #[error("node {0:?}: id is empty, too long or holds control characters")]
    BadId(String),
    #[error("node {0:?}: name is too long or holds control characters")]
    BadName(String),
    #[error("node id {0:?} appears twice")]
    Duplicate(String),
    #[error("node {id:?}: parent {parent:?} does not exist")]
    UnknownParent { id: String, parent: String },
    #[error("node {0:?} is its own ancestor")]
    Cycle(String),
    #[error("node {0:?} lies deeper than {MAX_DEPTH} levels")]
    TooDeep(String),
    #[error("taxonomy has only one class; at least two are needed")]
    OneClass,
}

/// A checked tree. Made only by [`Taxonomy::new`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taxonomy {
    nodes: Vec<Node>,
    by_id: HashMap<String, usize>,
    parent: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    level: Vec<usize>,
    /// Node index of each class, depth first in input order.
    classes: Vec<usize>,
    class_of: HashMap<String, usize>,
}

impl Taxonomy {
    /// Checks and indexes the nodes; siblings keep their input order. O(nodes x depth).
    pub fn new(nodes: Vec<Node>) -> Result<Self, TaxonomyError> {
        if nodes.is_empty() {
            return Err(TaxonomyError::Empty);
        }
        let mut by_id = HashMap::with_capacity(nodes.len());
        for (i, n) in nodes.iter().enumerate() {
            if n.id.trim().is_empty() || n.id.len() > MAX_NAME_BYTES || n.id.chars().any(char::is_control) {
                return Err(TaxonomyError::BadId(n.id.chars().take(60).collect()));
            }
            if n.names.values().any(|v| v.len() > MAX_NAME_BYTES || v.chars().any(char::is_control)) {
                return Err(TaxonomyError::BadName(n.id.clone()));
            }
            if by_id.insert(n.id.clone(), i).is_some() {
                return Err(TaxonomyError::Duplicate(n.id.clone()));
            }
        }
        let mut parent = Vec::with_capacity(nodes.len());
        let mut children = vec![Vec::new(); nodes.len()];
        for (i, n) in nodes.iter().enumerate() {
            parent.push(match &n.parent {
                None => None,
                Some(p) => {
                    let j = *by_id.get(p).ok_or_else(|| TaxonomyError::UnknownParent {
                        id: n.id.clone(),
                        parent: p.clone(),
                    })?;
                    children[j].push(i);
                    Some(j)
                }
            });
        }
        let mut level = vec![0; nodes.len()];
        for i in 0..nodes.len() {
            let (mut at, mut depth) = (i, 1);
            while let Some(p) = parent[at] {
                depth += 1;
                if depth > nodes.len() {
                    return Err(TaxonomyError::Cycle(nodes[i].id.clone()));
                }
                at = p;
            }
            if depth > MAX_DEPTH {
                return Err(TaxonomyError::TooDeep(nodes[i].id.clone()));
            }
            level[i] = depth;
        }
        let mut classes = Vec::new();
        let mut stack: Vec<usize> = (0..nodes.len()).rev().filter(|&i| parent[i].is_none()).collect();
        while let Some(i) = stack.pop() {
            if children[i].is_empty() {
                classes.push(i);
            }
            stack.extend(children[i].iter().rev());
        }
        if classes.len() < 2 {
            return Err(TaxonomyError::OneClass);
        }
        let class_of = classes.iter().enumerate().map(|(c, &i)| (nodes[i].id.clone(), c)).collect();
        Ok(Self { nodes, by_id, parent, children, level, classes, class_of })
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of classes K (leaves).
    pub fn n_classes(&self) -> usize {
        self.classes.len()
    }

    /// Class ids in column order, length K.
    pub fn class_ids(&self) -> impl Iterator<Item = &str> {
        self.classes.iter().map(|&i| self.nodes[i].id.as_str())
    }

    /// Column of a class id; `None` for unknown ids and inner nodes.
    pub fn class_index(&self, id: &str) -> Option<usize> {
        self.class_of.get(id).copied()
    }

    /// Id of the class in column `class`. Panics when out of range, as indexing does.
    pub fn class_id(&self, class: usize) -> &str {
        &self.nodes[self.classes[class]].id
    }

    pub fn node(&self, id: &str) -> Option<&Node> {
        self.by_id.get(id).map(|&i| &self.nodes[i])
    }

    /// 1 for a root.
    pub fn level(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).map(|&i| self.level[i])
    }

    pub fn depth(&self) -> usize {
        self.level.iter().copied().max().unwrap_or(1)
    }

    pub fn is_leaf(&self, id: &str) -> bool {
        self.class_of.contains_key(id)
    }

    /// Ids from the root down to the node itself; empty for an unknown id.
    pub fn path(&self, id: &str) -> Vec<&str> {
        let mut out = Vec::new();
        let mut at = self.by_id.get(id).copied();
        while let Some(i) = at {
            out.push(self.nodes[i].id.as_str());
            at = self.parent[i];
        }
        out.reverse();
        out
    }

    /// Level-1 ancestor (itself for a root).
    pub fn root_of(&self, id: &str) -> Option<&str> {
        self.path(id).first().copied()
    }

    /// Level-1 ids in input order.
    pub fn roots(&self) -> Vec<&str> {
        (0..self.nodes.len())
            .filter(|&i| self.parent[i].is_none())
            .map(|i| self.nodes[i].id.as_str())
            .collect()
    }

    /// For every class (column) the index of its level-1 ancestor within [`Self::roots`]. Length K.
    pub fn class_roots(&self) -> Vec<usize> {
        let root_index: HashMap<&str, usize> =
            self.roots().into_iter().enumerate().map(|(i, id)| (id, i)).collect();
        self.class_ids()
            .map(|c| self.root_of(c).and_then(|r| root_index.get(r)).copied().unwrap_or(0))
            .collect()
    }

    /// Name in `lang`, else English, else the id.
    pub fn name<'a>(&'a self, id: &'a str, lang: &str) -> &'a str {
        self.node(id)
            .and_then(|n| n.names.get(lang).or_else(|| n.names.get("en")))
            .map_or(id, |s| if s.is_empty() { id } else { s.as_str() })
    }

    /// `Sports / Ollie`: names along the path.
    pub fn path_name(&self, id: &str, lang: &str) -> String {
        self.path(id).into_iter().map(|p| self.name(p, lang)).collect::<Vec<_>>().join(" / ")
    }

    /// sha256 over ids and parents in class order: names may change, the classes may not.
    pub fn hash(&self) -> String {
        let mut h = Sha256::new();
        for n in &self.nodes {
            for part in [n.id.as_str(), "\0", n.parent.as_deref().unwrap_or(""), "\n"] {
                h.update(part.as_bytes());
            }
        }
        hex::encode(h.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, parent: Option<&str>) -> Node {
        Node { id: id.into(), names: BTreeMap::new(), parent: parent.map(Into::into) }
    }

    #[test]
    fn classes_are_leaves_depth_first() {
        let t = Taxonomy::new(vec![
            node("b1", Some("b")),
            node("a", None),
            node("b", None),
            node("a2", Some("a")),
            node("a1", Some("a")),
            node("c", None),
        ])
        .unwrap();
        assert_eq!(t.class_ids().collect::<Vec<_>>(), ["a2", "a1", "b1", "c"]);
        assert_eq!(t.class_roots(), [0, 0, 1, 2]);
        assert_eq!(t.path("a1"), ["a", "a1"]);
        assert_eq!(t.class_index("a"), None);
        assert_eq!(t.level("a1"), Some(2));
    }

    #[test]
    fn bad_trees_are_refused_by_name() {
        assert_eq!(Taxonomy::new(vec![]), Err(TaxonomyError::Empty));
        assert_eq!(
            Taxonomy::new(vec![node("a", None), node("a", None)]),
            Err(TaxonomyError::Duplicate("a".into()))
        );
        assert!(matches!(
            Taxonomy::new(vec![node("a", Some("z")), node("b", None)]),
            Err(TaxonomyError::UnknownParent { .. })
        ));
        assert!(matches!(
            Taxonomy::new(vec![node("a", Some("b")), node("b", Some("a")), node("c", None)]),
            Err(TaxonomyError::Cycle(_))
        ));
        assert_eq!(Taxonomy::new(vec![node("a", None)]), Err(TaxonomyError::OneClass));
        assert!(matches!(Taxonomy::new(vec![node("a\u{0}", None)]), Err(TaxonomyError::BadId(_))));
    }
}
