//! A linear head as ONNX: input `embedding` f32 [batch, d], raw, unstandardised features (the standardiser is
//! folded into the weights in f64).

use super::graph::{Graph, float, int};
use super::{INPUT, LOGITS, PROBABILITIES};
use crate::train::linear::LinearHead;

/// The head as the bytes of an ONNX file; `metadata` becomes `metadata_props` in the given order.
pub fn write(head: &LinearHead, metadata: &[(String, String)]) -> Vec<u8> {
    let (weights, bias) = head.folded();
    let (d, k) = (head.n_features(), head.n_classes());
    let mut graph = Graph::new("linear_head");
    graph.floats("weight", &[d, k], weights.iter().copied());
    graph.floats("bias", &[k], bias.iter().copied());
    graph.named("Gemm", &[INPUT, "weight", "bias"], LOGITS, vec![]);
    graph.named("Softmax", &[LOGITS], PROBABILITIES, vec![int("axis", 1)]);
    graph.input(float(INPUT, &["batch"], &[d]));
    graph.output(float(LOGITS, &["batch"], &[k]));
    graph.output(float(PROBABILITIES, &["batch"], &[k]));
    graph.into_bytes(metadata)
}

#[cfg(test)]
mod tests {
    use super::super::proto::{ModelProto, TensorProto};
    use super::*;
    use crate::arrays::{gaussian_matrix, rng};
    use ndarray::Array1;
    use prost::Message;

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
        t.raw_data
            .as_ref()
            .unwrap()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
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
