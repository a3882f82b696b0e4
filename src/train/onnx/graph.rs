//! Builds an ONNX graph: nodes in the order of computation, each with a name of its own.

use std::collections::BTreeSet;

use prost::Message;

use super::merge::Guests;
use super::proto::{
    ATTRIBUTE_FLOAT, ATTRIBUTE_INT, ATTRIBUTE_INTS, AttributeProto, Dimension, FLOAT, GraphProto, INT64,
    ModelProto, NodeProto, ShapeProto, StringStringEntry, TensorProto, TensorType, TypeProto, ValueInfo,
};

#[derive(Default)]
pub(super) struct Graph {
    pub(super) proto: GraphProto,
    constants: BTreeSet<String>,
    pub(super) guests: Guests,
}

impl Graph {
    pub(super) fn new(name: &str) -> Self {
        Self { proto: GraphProto { name: name.to_owned(), ..GraphProto::default() }, ..Self::default() }
    }

    /// A node whose only output gets a name of its own, which is given back.
    pub(super) fn op(&mut self, op: &str, inputs: &[&str], attributes: Vec<AttributeProto>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.proto.node.len());
        self.named(op, inputs, &output, attributes);
        output
    }

    pub(super) fn named(&mut self, op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|s| (*s).to_owned()).collect(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op.to_owned(),
            attribute,
            ..NodeProto::default()
        });
    }

    /// A constant, once.
    pub(super) fn floats(&mut self, name: &str, shape: &[usize], values: impl Iterator<Item = f32>) {
        self.constant(name, shape, FLOAT, values.flat_map(f32::to_le_bytes).collect());
    }

    pub(super) fn scalar(&mut self, value: f32) -> String {
        let name = format!("value_{value:e}");
        self.floats(&name, &[], std::iter::once(value));
        name
    }

    /// A list of whole numbers: (values).
    pub(super) fn whole(&mut self, values: &[i64]) -> String {
        let parts: Vec<String> = values.iter().map(i64::to_string).collect();
        let name = format!("list_{}", parts.join("_"));
        let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(&name, &[values.len()], INT64, bytes);
        name
    }

    /// One whole number without dimensions.
    pub(super) fn index(&mut self, value: i64) -> String {
        let name = format!("index_{value}");
        self.constant(&name, &[], INT64, value.to_le_bytes().to_vec());
        name
    }

    fn constant(&mut self, name: &str, shape: &[usize], data_type: i32, raw_data: Vec<u8>) {
        if self.constants.insert(name.to_owned()) {
            let dims = shape.iter().map(|d| *d as i64).collect();
            let (name, raw_data) = (name.to_owned(), Some(raw_data));
            self.proto.initializer.push(TensorProto {
                dims,
                data_type,
                name,
                raw_data,
                ..TensorProto::default()
            });
        }
    }

    pub(super) fn input(&mut self, value: ValueInfo) {
        self.proto.input.push(value);
    }

    pub(super) fn output(&mut self, value: ValueInfo) {
        self.proto.output.push(value);
    }

    pub(super) fn into_bytes(self, metadata: &[(String, String)]) -> Vec<u8> {
        ModelProto {
            ir_version: self.guests.ir_version(),
            producer_name: "tamis".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(self.proto),
            opset_import: self.guests.opsets(),
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntry { key: key.clone(), value: value.clone() })
                .collect(),
            functions: self.guests.functions,
        }
        .encode_to_vec()
    }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: ATTRIBUTE_INT, ..AttributeProto::default() }
}

pub(super) fn real(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f, r#type: ATTRIBUTE_FLOAT, ..AttributeProto::default() }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    let ints = ints.to_vec();
    AttributeProto { name: name.to_owned(), ints, r#type: ATTRIBUTE_INTS, ..AttributeProto::default() }
}

/// An f32 input or output: dimensions of any size by their names, then fixed ones.
pub(super) fn float(name: &str, free: &[&str], fixed: &[usize]) -> ValueInfo {
    value(name, FLOAT, free, fixed)
}

/// The same of i64.
pub(super) fn whole(name: &str, free: &[&str]) -> ValueInfo {
    value(name, INT64, free, &[])
}

pub(super) fn value(name: &str, elem_type: i32, free: &[&str], fixed: &[usize]) -> ValueInfo {
    let free = free.iter().map(|n| Dimension { dim_value: None, dim_param: Some((*n).to_owned()) });
    let fixed = fixed.iter().map(|d| Dimension { dim_value: Some(*d as i64), dim_param: None });
    let shape = Some(ShapeProto { dim: free.chain(fixed).collect() });
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorType { elem_type, shape }),
            ..TypeProto::default()
        }),
    }
}
