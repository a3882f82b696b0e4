//! Writes a linear head as ONNX (opset 17, IR 8) by a hand-kept prost subset of onnx.proto.
//!
//! Input `embedding` f32 [batch, d]: raw, unstandardised features (the standardiser is folded into
//! the weights in f64). Outputs `logits` and `probabilities`, f32 [batch, k], columns in class order.

use prost::Message;

use super::linear::LinearHead;

pub const INPUT: &str = "embedding";
pub const LOGITS: &str = "logits";
pub const PROBABILITIES: &str = "probabilities";
pub const OPSET: i64 = 17;
pub const IR_VERSION: i64 = 8;

const FLOAT: i32 = 1;
const ATTRIBUTE_INT: i32 = 2;

#[derive(Clone, PartialEq, Message)]
struct ModelProto {
    #[prost(int64, tag = 1)]
    ir_version: i64,
    #[prost(string, tag = 2)]
    producer_name: String,
    #[prost(string, tag = 3)]
    producer_version: String,
    #[prost(message, optional, tag = 7)]
    graph: Option<GraphProto>,
    #[prost(message, repeated, tag = 8)]
    opset_import: Vec<OperatorSetId>,
    #[prost(message, repeated, tag = 14)]
    metadata_props: Vec<StringStringEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct OperatorSetId {
    #[prost(string, tag = 1)]
    domain: String,
    #[prost(int64, tag = 2)]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct StringStringEntry {
    #[prost(string, tag = 1)]
    key: String,
    #[prost(string, tag = 2)]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct GraphProto {
    #[prost(message, repeated, tag = 1)]
    node: Vec<NodeProto>,
    #[prost(string, tag = 2)]
    name: String,
    #[prost(message, repeated, tag = 5)]
    initializer: Vec<TensorProto>,
    #[prost(message, repeated, tag = 11)]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = 12)]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeProto {
    #[prost(string, repeated, tag = 1)]
    input: Vec<String>,
    #[prost(string, repeated, tag = 2)]
    output: Vec<String>,
    #[prost(string, tag = 3)]
    name: String,
    #[prost(string, tag = 4)]
    op_type: String,
    #[prost(message, repeated, tag = 5)]
    attribute: Vec<AttributeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct AttributeProto {
    #[prost(string, tag = 1)]
    name: String,
    #[prost(int64, tag = 3)]
    i: i64,
    #[prost(int32, tag = 20)]
    r#type: i32,
}

#[derive(Clone, PartialEq, Message)]
struct TensorProto {
    #[prost(int64, repeated, tag = 1)]
    dims: Vec<i64>,
    #[prost(int32, tag = 2)]
    data_type: i32,
    #[prost(string, tag = 8)]
    name: String,
    #[prost(bytes = "vec", tag = 9)]
    raw_data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = 1)]
    name: String,
    #[prost(message, optional, tag = 2)]
    r#type: Option<TypeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct TypeProto {
    #[prost(message, optional, tag = 1)]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = 1)]
    elem_type: i32,
    #[prost(message, optional, tag = 2)]
    shape: Option<ShapeProto>,
}

#[derive(Clone, PartialEq, Message)]
struct ShapeProto {
    #[prost(message, repeated, tag = 1)]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = 1)]
    dim_value: Option<i64>,
    #[prost(string, optional, tag = 2)]
    dim_param: Option<String>,
}

/// The head as the bytes of an ONNX file; `metadata` becomes `metadata_props` in the given order.
pub fn write(head: &LinearHead, metadata: &[(String, String)]) -> Vec<u8> {
    let (weights, bias) = head.folded();
    let (d, k) = (head.n_features() as i64, head.n_classes() as i64);
    let graph = GraphProto {
        name: "linear_head".to_owned(),
        node: vec![
            node("Gemm", &[INPUT, "weight", "bias"], LOGITS, vec![]),
            node("Softmax", &[LOGITS], PROBABILITIES, vec![int("axis", 1)]),
        ],
        initializer: vec![tensor("weight", vec![d, k], weights.iter()), tensor("bias", vec![k], bias.iter())],
        input: vec![matrix(INPUT, d)],
        output: vec![matrix(LOGITS, k), matrix(PROBABILITIES, k)],
    };
    ModelProto {
        ir_version: IR_VERSION,
        producer_name: "tamis".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| StringStringEntry { key: key.clone(), value: value.clone() })
            .collect(),
    }
    .encode_to_vec()
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        input: inputs.iter().map(|s| (*s).to_owned()).collect(),
        output: vec![output.to_owned()],
        name: output.to_owned(),
        op_type: op.to_owned(),
        attribute,
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i, r#type: ATTRIBUTE_INT }
}

fn tensor<'a>(name: &str, dims: Vec<i64>, values: impl Iterator<Item = &'a f32>) -> TensorProto {
    TensorProto {
        dims,
        data_type: FLOAT,
        name: name.to_owned(),
        raw_data: values.flat_map(|v| v.to_le_bytes()).collect(),
    }
}

/// An f32 [batch, columns] input or output.
fn matrix(name: &str, columns: i64) -> ValueInfo {
    let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
    let columns = Dimension { dim_value: Some(columns), dim_param: None };
    let shape = Some(ShapeProto { dim: vec![batch, columns] });
    ValueInfo {
        name: name.to_owned(),
        r#type: Some(TypeProto { tensor_type: Some(TensorType { elem_type: FLOAT, shape }) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::Array1;

    fn head() -> LinearHead {
        let mut r = rng(11);
        LinearHead {
            weights: gaussian_matrix(6, 3, &mut r),
            bias: Array1::from_vec(vec![0.1, -0.2, 0.3]),
            mean: gaussian_matrix(1, 6, &mut r).row(0).to_owned() * 10.0,
            scale: gaussian_matrix(1, 6, &mut r).row(0).mapv(|v| v.abs() + 0.1),
        }
    }

    fn floats(t: &TensorProto) -> Vec<f32> {
        t.raw_data.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    }

    #[test]
    fn the_graph_computes_what_the_head_predicts() {
        let head = head();
        let bytes = write(&head, &[("classes".into(), "a,b,c".into()), ("seed".into(), "7".into())]);
        let m = ModelProto::decode(bytes.as_slice()).unwrap();
        assert_eq!((m.ir_version, m.producer_name.as_str(), m.opset_import[0].version), (8, "tamis", 17));
        assert_eq!(m.metadata_props[1].value, "7");
        let g = m.graph.unwrap();
        let ops: Vec<_> = g.node.iter().map(|n| n.op_type.as_str()).collect();
        assert_eq!(ops, ["Gemm", "Softmax"]);
        assert_eq!(g.node[0].input, ["embedding", "weight", "bias"]);
        assert_eq!(g.node[1].input, g.node[0].output);
        // The graph's own arithmetic on raw features, from the bytes.
        let (w, b) = (floats(&g.initializer[0]), floats(&g.initializer[1]));
        assert_eq!(g.initializer[0].dims, [6, 3]);
        let x = gaussian_matrix(4, 6, &mut rng(12)) * 5.0;
        let p = head.predict_proba(x.view());
        for i in 0..4 {
            let z: Vec<f64> = (0..3)
                .map(|c| {
                    f64::from(b[c])
                        + (0..6).map(|j| f64::from(x[[i, j]]) * f64::from(w[j * 3 + c])).sum::<f64>()
                })
                .collect();
            let sum: f64 = z.iter().map(|v| v.exp()).sum();
            for c in 0..3 {
                assert!((z[c].exp() / sum - f64::from(p[[i, c]])).abs() < 2e-5);
            }
        }
    }

    #[test]
    fn same_head_same_bytes() {
        assert_eq!(write(&head(), &[]), write(&head(), &[]));
    }
}
