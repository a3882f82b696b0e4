//! The graph's own rules, on networks with weights of every name. That ONNX Runtime computes what the network
//! does is compared where both are at hand, in the job that trains.

use std::collections::BTreeSet;

use super::super::proto::ModelProto;
use super::*;
use crate::arrays::{gaussian_matrix, rng};
use prost::Message;

const LAYERS: usize = 2;

/// Weights of a network of width 8 on `frames` (3 of width 5) and text (11 pieces, 7 tokens), 4 classes.
fn weights(family: Family, frames: bool, text: bool) -> BTreeMap<String, (Vec<usize>, Vec<f32>)> {
    let (d, h, k, width) = (8, 12, 4, 5);
    let mut shapes: Vec<(String, Vec<usize>)> = Vec::new();
    let linear = |all: &mut Vec<(String, Vec<usize>)>, name: &str, out: usize, input: usize| {
        all.push((format!("{name}.weight"), vec![out, input]));
        all.push((format!("{name}.bias"), vec![out]));
    };
    let norm = |all: &mut Vec<(String, Vec<usize>)>, name: &str| {
        all.push((format!("{name}.weight"), vec![d]));
        all.push((format!("{name}.bias"), vec![d]));
    };
    let stacks: &[&str] = match family {
        Family::Dense => &[],
        Family::Single => &["encoder"],
        Family::Dual => &["text.encoder", "frames.encoder", "cross.text", "cross.frames"],
    };
    for stack in stacks {
        for i in 0..LAYERS {
            let block = format!("{stack}.{i}");
            ["norm1", "norm2"].iter().for_each(|n| norm(&mut shapes, &format!("{block}.{n}")));
            ["q", "k", "v", "o"].iter().for_each(|n| linear(&mut shapes, &format!("{block}.{n}"), d, d));
            linear(&mut shapes, &format!("{block}.ff1"), h, d);
            linear(&mut shapes, &format!("{block}.ff2"), d, h);
        }
    }
    shapes.extend([("input.mean".to_owned(), vec![width]), ("input.scale".to_owned(), vec![width])]);
    shapes.push(("output.boost".to_owned(), vec![k]));
    match family {
        Family::Dense => {
            linear(&mut shapes, "layers.0", h, width);
            linear(&mut shapes, "layers.1", h, h);
            linear(&mut shapes, "head", k, h);
        }
        Family::Single => {
            norm(&mut shapes, "encoder.norm");
            linear(&mut shapes, "head", k, 2 * d);
        }
        Family::Dual => {
            ["text.norm", "frames.norm", "cross.text.norm", "cross.frames.norm"]
                .iter()
                .for_each(|n| norm(&mut shapes, n));
            linear(&mut shapes, "head", k, 4 * d);
        }
    }
    if family != Family::Dense {
        norm(&mut shapes, "embed.norm");
        shapes.extend([("cls".to_owned(), vec![d]), ("sep".to_owned(), vec![d])]);
        shapes.push(("kind.weight".to_owned(), vec![4, d]));
    }
    if family != Family::Dense && frames {
        linear(&mut shapes, "frames.proj", d, width);
        shapes.push(("frames.position.weight".to_owned(), vec![3, d]));
    }
    if family != Family::Dense && text {
        shapes.push(("text.embed.weight".to_owned(), vec![11, d]));
        shapes.push(("text.position.weight".to_owned(), vec![7, d]));
    }
    let mut r = rng(5);
    let of = |(name, shape): (String, Vec<usize>)| {
        let n = shape.iter().product();
        let values =
            gaussian_matrix(1, n, &mut r).mapv(|v| if name == "output.boost" { v.abs() } else { 0.4 * v });
        (name, (shape, values.into_raw_vec_and_offset().0))
    };
    shapes.into_iter().map(of).collect()
}

fn network(family: Family, weights: &BTreeMap<String, (Vec<usize>, Vec<f32>)>) -> Network<'_> {
    Network {
        family,
        layers: LAYERS,
        heads: 2,
        weights: weights.iter().map(|(n, (shape, values))| (n.as_str(), Weight { shape, values })).collect(),
    }
}

#[test]
fn every_value_is_made_once_before_it_is_read_and_every_weight_is_used() {
    for (family, frames, text) in [
        (Family::Dense, true, true),
        (Family::Single, true, true),
        (Family::Single, false, true),
        (Family::Dual, true, true),
        (Family::Dual, true, false),
    ] {
        let weights = weights(family, frames, text);
        let bytes = write_network(&network(family, &weights), &[("snapshot".into(), "ab".into())]).unwrap();
        assert_eq!(
            bytes,
            write_network(&network(family, &weights), &[("snapshot".into(), "ab".into())]).unwrap()
        );
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        assert_eq!((model.opset_import[0].version, model.metadata_props[0].value.as_str()), (17, "ab"));
        let g = model.graph.unwrap();
        let mut made: BTreeSet<&str> = g.initializer.iter().map(|t| t.name.as_str()).collect();
        assert_eq!(made.len(), g.initializer.len(), "a constant is there twice");
        made.extend(g.input.iter().map(|i| i.name.as_str()));
        let mut read = BTreeSet::new();
        for node in &g.node {
            for input in &node.input {
                assert!(made.contains(input.as_str()), "{} reads {input}", node.name);
                read.insert(input.as_str());
            }
            assert!(made.insert(&node.output[0]), "{} is made twice", node.output[0]);
        }
        assert!(g.output.iter().all(|o| made.contains(o.name.as_str())));
        for name in weights.keys().filter(|n| frames || !n.starts_with("input.")) {
            let marker = name == "kind.weight" && !text;
            assert!(read.contains(name.as_str()) || marker, "{family:?} leaves out {name}");
        }
        assert!(g.input.iter().all(|i| read.contains(i.name.as_str())));
        assert_eq!(
            g.input.len(),
            if family == Family::Dense { 1 } else { 2 * (usize::from(frames) + usize::from(text)) }
        );
        // matrices are written as they are multiplied
        let head = g.initializer.iter().find(|t| t.name == "head.weight").unwrap();
        let (shape, values) = &weights["head.weight"];
        assert_eq!(head.dims, [shape[1] as i64, shape[0] as i64]);
        assert_eq!(head.raw_data.as_ref().unwrap()[4..8], values[shape[1]].to_le_bytes());
    }
}

#[test]
fn what_is_missing_or_misshapen_is_named() {
    let all = weights(Family::Single, true, true);
    let without = |name: &str| {
        let mut network = network(Family::Single, &all);
        network.weights.remove(name);
        write_network(&network, &[]).unwrap_err()
    };
    assert_eq!(without("encoder.1.ff2.bias"), OnnxError::Missing("encoder.1.ff2.bias".into()));
    assert_eq!(without("head.weight"), OnnxError::Missing("head.weight".into()));
    let mut short = network(Family::Single, &all);
    short.weights.insert("head.bias", Weight { shape: &[4], values: &[0.0] });
    let shape = OnnxError::Shape { name: "head.bias".into(), shape: vec![4], values: 1 };
    assert_eq!(write_network(&short, &[]).unwrap_err(), shape);
    let heads = Network { heads: 3, ..network(Family::Single, &all) };
    assert_eq!(write_network(&heads, &[]).unwrap_err(), OnnxError::Heads { heads: 3, width: 8 });
}
