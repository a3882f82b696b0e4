//! What of a bundle can be seen without running it; that it answers as the service does is tested with ONNX Runtime.

use prost::Message;

use super::*;
use crate::train::onnx::proto::ModelProto;

/// An encoder that hands its input on.
fn encoder(inputs: &[&str]) -> Vec<u8> {
    let mut g = Graph::new("encoder");
    g.named("Identity", &[inputs[0]], "out", vec![]);
    inputs.iter().for_each(|i| g.input(whole(i, &["n"])));
    g.output(float("out", &["n"], &[4]));
    g.into_bytes(&[])
}

fn model(inputs: &[&str]) -> Vec<u8> {
    let mut g = Graph::new("model");
    g.named("Identity", &[inputs[0]], PROBABILITIES, vec![]);
    inputs.iter().for_each(|i| g.input(whole(i, &["n"])));
    g.output(float(PROBABILITIES, &["n"], &[2]));
    g.into_bytes(&[])
}

fn bundle() -> Bundle {
    let pictures = PictureEncoder {
        name: "eye".into(),
        file: encoder(&["x"]),
        input: "x".into(),
        output: "out".into(),
        side: 16,
        frames: 8,
        channels_last: false,
        mean: [1.0; 3],
        std: [2.0; 3],
        dimension: 4,
    };
    let sentences = SentenceEncoder {
        name: "ear".into(),
        file: encoder(&["ids", "mask"]),
        ids: "ids".into(),
        lengths: None,
        attention_mask: Some("mask".into()),
        token_type_ids: None,
        wide: false,
        output: "out".into(),
        pooled: Pooled::Mean,
        dimension: 4,
        fields: 2,
    };
    let pooled = Reads::Pooled(vec![
        Source::Pictures(0),
        Source::Text { encoder: 0, field: 1 },
        Source::Vector { name: "title_vector".into(), dimension: 3 },
    ]);
    let sequence = Reads::Sequence { frames: Some((0, 4)), tokens: Some(0) };
    Bundle {
        pictures: vec![pictures],
        sentences: vec![sentences],
        tokens: 1,
        members: vec![
            BundleMember { file: model(&[INPUT]), weight: 0.25, reads: pooled },
            BundleMember {
                file: model(&[FRAMES, FRAMES_LIVE, TOKENS, TOKEN_KINDS]),
                weight: 0.75,
                reads: sequence,
            },
        ],
        classes: 2,
    }
}

#[test]
fn everything_is_fed_from_the_inputs_and_nothing_is_named_twice() {
    let file = write_bundle(&bundle(), &[("classes".into(), "[]".into())]).unwrap();
    let graph = ModelProto::decode(file.as_slice()).unwrap().graph.unwrap();
    let mut known: Vec<&str> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
    known.extend(graph.input.iter().map(|i| i.name.as_str()));
    for node in &graph.node {
        for input in node.input.iter().filter(|i| !i.is_empty()) {
            assert!(known.contains(&input.as_str()), "{} reads {input} before it is there", node.name);
        }
        for output in &node.output {
            assert!(!known.contains(&output.as_str()), "{output} twice");
            known.push(output);
        }
    }
    let inputs: Vec<&str> = graph.input.iter().map(|i| i.name.as_str()).collect();
    assert_eq!(
        inputs,
        ["pixels", "frames_live", "text_ids", "text_lengths", "tokens", "token_kinds", "title_vector"]
    );
    let shape = |name: &str| -> Vec<i64> {
        let input = graph.input.iter().find(|i| i.name == name).unwrap();
        let tensor = input.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
        tensor.shape.as_ref().unwrap().dim.iter().map(|d| d.dim_value.unwrap_or(-1)).collect()
    };
    // a transformer reads frames: their number is the encoder's
    assert_eq!(shape("pixels"), [-1, 8, 16, 16, 3]);
    assert_eq!(shape("text_ids"), [-1, 2, -1]);
    assert_eq!(shape("title_vector"), [-1, 3]);
    assert!(known.contains(&"model.1/probabilities") && known.contains(&PROBABILITIES));
}

#[test]
fn without_transformers_any_number_of_frames_goes_in() {
    let mut b = bundle();
    b.members.truncate(1);
    b.tokens = 0;
    let file = write_bundle(&b, &[]).unwrap();
    let graph = ModelProto::decode(file.as_slice()).unwrap().graph.unwrap();
    let tensor = graph.input[0].r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let free = tensor.shape.as_ref().unwrap().dim.iter().filter_map(|d| d.dim_param.as_deref());
    assert_eq!(free.collect::<Vec<_>>(), ["batch", "frames"]);
}

#[test]
fn a_model_that_wants_more_is_refused_by_the_name_of_its_input() {
    let mut b = bundle();
    b.sentences[0].attention_mask = None;
    assert_eq!(write_bundle(&b, &[]).unwrap_err().to_string(), "ear has no value for its input \"mask\"");
    assert_eq!(
        (input_name("pixels", 0, 1), input_name("pixels", 1, 2)),
        ("pixels".into(), "pixels.1".into())
    );
}
