//! Puts another ONNX model into a graph: its names get a prefix, its inputs are fed by values of the graph.

use std::collections::BTreeMap;

use prost::Message;

use super::graph::Graph;
use super::proto::{GraphProto, ModelProto, OperatorSetId, TensorProto};
use super::{IR_VERSION, OPSET};

/// Oldest opset whose operators mean the same in [`OPSET`]: what changed between them are further types that they
/// take.
const OLDEST: i64 = 13;

/// Why a model cannot be part of another.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum MergeError {
    #[error("{model} is no ONNX model: {why}")]
    NotOnnx { model: String, why: String },
    #[error("{model} is of opset {found}; opsets {OLDEST} to {OPSET} can be put together")]
    Opset { model: String, found: i64 },
    #[error("{model} uses version {found} of the operators {domain:?}, another part uses version {taken}")]
    Domain { model: String, domain: String, found: i64, taken: i64 },
    #[error("{model} has its weights in files of their own, or sparse ones")]
    Weights { model: String },
    #[error("{model} has no {what} {name:?}")]
    Missing { model: String, what: &'static str, name: String },
    #[error("{model} and another part bring functions of their own")]
    Functions { model: String },
}

/// What models that were put in need beside their nodes.
#[derive(Default)]
pub(super) struct Guests {
    ir_version: i64,
    domains: BTreeMap<String, i64>,
    pub(super) functions: Vec<Vec<u8>>,
}

impl Guests {
    pub(super) fn ir_version(&self) -> i64 {
        self.ir_version.max(IR_VERSION)
    }

    pub(super) fn opsets(&self) -> Vec<OperatorSetId> {
        let own = OperatorSetId { domain: String::new(), version: OPSET };
        let others = self.domains.iter().map(|(d, v)| OperatorSetId { domain: d.clone(), version: *v });
        std::iter::once(own).chain(others).collect()
    }

    fn welcome(&mut self, model: &str, proto: &mut ModelProto) -> Result<(), MergeError> {
        let model = || model.to_owned();
        let used = proto.graph.as_ref().map(domains).unwrap_or_default();
        for set in &proto.opset_import {
            if matches!(set.domain.as_str(), "" | "ai.onnx") {
                if !(OLDEST..=OPSET).contains(&set.version) {
                    return Err(MergeError::Opset { model: model(), found: set.version });
                }
                continue;
            }
            // exporters name domains of which nothing is used
            if !used.contains_key(&set.domain) && proto.functions.is_empty() {
                continue;
            }
            let taken = *self.domains.entry(set.domain.clone()).or_insert(set.version);
            if taken != set.version {
                let (domain, found) = (set.domain.clone(), set.version);
                return Err(MergeError::Domain { model: model(), domain, found, taken });
            }
        }
        if !self.functions.is_empty() && !proto.functions.is_empty() {
            return Err(MergeError::Functions { model: model() });
        }
        self.functions.append(&mut proto.functions);
        self.ir_version = self.ir_version.max(proto.ir_version);
        Ok(())
    }
}

/// Operator domains of a graph and those within it.
fn domains(graph: &GraphProto) -> BTreeMap<String, ()> {
    let mut found = BTreeMap::new();
    for node in &graph.node {
        found.insert(node.domain.clone(), ());
        for a in &node.attribute {
            a.g.iter().chain(&a.graphs).for_each(|g| found.append(&mut domains(g)));
        }
    }
    found
}

impl Graph {
    /// Puts `file` in. `feed`: its inputs and the values that they get; `wanted`: one of its outputs, whose name in
    /// this graph is given back. Names inside become `{prefix}/{name}`. O(bytes).
    ///
    /// # Errors
    /// No such input or output, an input that is not fed, and the other faults of [`MergeError`].
    pub(super) fn embed(
        &mut self,
        prefix: &str,
        file: &[u8],
        feed: &[(&str, &str)],
        wanted: &str,
    ) -> Result<String, MergeError> {
        let model = || prefix.to_owned();
        let mut proto = ModelProto::decode(file)
            .map_err(|e| MergeError::NotOnnx { model: model(), why: e.to_string() })?;
        self.guests.welcome(prefix, &mut proto)?;
        let no_graph = || MergeError::NotOnnx { model: model(), why: "it has no graph".to_owned() };
        let mut graph = proto.graph.take().ok_or_else(no_graph)?;
        if !is_whole(&graph) {
            return Err(MergeError::Weights { model: model() });
        }
        let missing = |what, name: &str| MergeError::Missing { model: model(), what, name: name.to_owned() };
        // before IR 4 weights were inputs too
        let given: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let inputs: Vec<&str> =
            graph.input.iter().map(|i| i.name.as_str()).filter(|n| !given.contains(n)).collect();
        if let Some((name, _)) = feed.iter().find(|(name, _)| !inputs.contains(name)) {
            return Err(missing("input", name));
        }
        if let Some(name) = inputs.iter().find(|name| !feed.iter().any(|(fed, _)| fed == *name)) {
            return Err(missing("value for its input", name));
        }
        if !graph.output.iter().any(|o| o.name == wanted) {
            return Err(missing("output", wanted));
        }
        let fed: BTreeMap<String, String> =
            feed.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let named = Named { prefix, fed: &fed };
        named.graph(&mut graph);
        self.proto.node.append(&mut graph.node);
        self.proto.initializer.append(&mut graph.initializer);
        Ok(named.of(wanted))
    }
}

/// All weights are in the file, and dense.
fn is_whole(graph: &GraphProto) -> bool {
    let inside = |t: &TensorProto| t.data_location == 0 && t.external_data.is_empty();
    graph.sparse_initializer.is_empty()
        && graph.initializer.iter().all(inside)
        && graph
            .node
            .iter()
            .flat_map(|n| &n.attribute)
            .all(|a| a.t.iter().chain(&a.tensors).all(inside) && a.g.iter().chain(&a.graphs).all(is_whole))
}

/// New names for those of a model.
struct Named<'a> {
    prefix: &'a str,
    fed: &'a BTreeMap<String, String>,
}

impl Named<'_> {
    /// An empty name stands for an input or output that is left out.
    fn of(&self, name: &str) -> String {
        match self.fed.get(name) {
            Some(value) => value.clone(),
            None if name.is_empty() => String::new(),
            None => format!("{}/{name}", self.prefix),
        }
    }

    fn graph(&self, graph: &mut GraphProto) {
        let renamed = |name: &mut String| *name = self.of(name);
        graph.initializer.iter_mut().for_each(|t| renamed(&mut t.name));
        graph.input.iter_mut().chain(&mut graph.output).for_each(|v| renamed(&mut v.name));
        for node in &mut graph.node {
            renamed(&mut node.name);
            node.input.iter_mut().chain(&mut node.output).for_each(renamed);
            for a in &mut node.attribute {
                a.g.iter_mut().chain(&mut a.graphs).for_each(|inner| self.graph(inner));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::float;
    use super::*;

    /// y = relu(x) + w, and a node within a branch that reads the outer w.
    fn guest() -> Graph {
        let mut inner = Graph::new("inner");
        inner.named("Identity", &["w"], "kept", vec![]);
        let mut g = Graph::new("guest");
        g.floats("w", &[2], [1.0, 2.0].into_iter());
        let r = g.op("Relu", &["x"], vec![]);
        g.named("Add", &[&r, "w"], "y", vec![]);
        g.named("If", &["x"], "z", vec![]);
        g.proto.node[2].attribute = vec![super::super::proto::AttributeProto {
            name: "then_branch".into(),
            g: Some(inner.proto),
            r#type: 5,
            ..Default::default()
        }];
        g.input(float("x", &["n"], &[2]));
        g.output(float("y", &["n"], &[2]));
        g
    }

    #[test]
    fn names_are_kept_apart_and_inputs_are_fed() {
        let file = guest().into_bytes(&[]);
        let mut host = Graph::new("host");
        let first = host.embed("a", &file, &[("x", "pixels")], "y").unwrap();
        let second = host.embed("b", &file, &[("x", &first)], "y").unwrap();
        assert_eq!((first.as_str(), second.as_str()), ("a/y", "b/y"));
        let inputs: Vec<&[String]> = host.proto.node.iter().map(|n| n.input.as_slice()).collect();
        assert_eq!(inputs[0], ["pixels"]);
        assert_eq!(inputs[1], ["a/relu_0", "a/w"]);
        assert_eq!(inputs[3], ["a/y"]);
        let inner = host.proto.node[5].attribute[0].g.as_ref().unwrap();
        assert_eq!(inner.node[0].input, ["b/w"]);
        let weights: Vec<&str> = host.proto.initializer.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(weights, ["a/w", "b/w"]);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let file = guest().into_bytes(&[]);
        let embed = |feed: &[(&str, &str)], wanted| Graph::new("h").embed("enc", &file, feed, wanted);
        assert_eq!(
            embed(&[("x", "p"), ("mask", "m")], "y").unwrap_err().to_string(),
            "enc has no input \"mask\""
        );
        assert_eq!(embed(&[], "y").unwrap_err().to_string(), "enc has no value for its input \"x\"");
        assert_eq!(embed(&[("x", "p")], "q").unwrap_err().to_string(), "enc has no output \"q\"");
        let of = |change: &dyn Fn(&mut ModelProto)| {
            let mut m = ModelProto::decode(file.as_slice()).unwrap();
            change(&mut m);
            Graph::new("h").embed("enc", &m.encode_to_vec(), &[("x", "p")], "y")
        };
        assert!(of(&|_| {}).is_ok());
        let old = of(&|m| m.opset_import[0].version = 11).unwrap_err();
        assert_eq!(old, MergeError::Opset { model: "enc".into(), found: 11 });
        let outside = of(&|m| m.graph.as_mut().unwrap().initializer[0].data_location = 1).unwrap_err();
        assert_eq!(outside, MergeError::Weights { model: "enc".into() });
        assert!(Graph::new("h").embed("enc", b"\xff\xff", &[], "y").is_err());
    }

    #[test]
    fn domains_that_are_used_must_agree_and_others_do_not_matter() {
        let of = |version: i64, used: bool| {
            let mut m = ModelProto::decode(guest().into_bytes(&[]).as_slice()).unwrap();
            m.opset_import.push(OperatorSetId { domain: "com.microsoft".into(), version });
            if used {
                m.graph.as_mut().unwrap().node[0].domain = "com.microsoft".into();
            }
            m.encode_to_vec()
        };
        let mut host = Graph::new("h");
        host.embed("a", &of(1, true), &[("x", "p")], "y").unwrap();
        host.embed("b", &of(2, false), &[("x", "p")], "y").unwrap();
        let refused = host.embed("c", &of(2, true), &[("x", "p")], "y").unwrap_err();
        assert!(matches!(refused, MergeError::Domain { found: 2, taken: 1, .. }), "{refused}");
        let sets: Vec<(String, i64)> =
            host.guests.opsets().into_iter().map(|s| (s.domain, s.version)).collect();
        assert_eq!(sets, [(String::new(), OPSET), ("com.microsoft".into(), 1)]);
    }
}
