//! Encoders in ONNX Runtime on tiny models whose answers are known, and on the default encoder.

use std::{path::Path, thread};

use ndarray::array;

use super::*;
use crate::encode::{
    OrtTextEncoder, Provider, TextEncoder,
    fixtures::{
        digest, install, mean_clip_model, mean_colour_model, require_manifest, require_runtime, token_model,
    },
};

const COLOUR: &str = r#"
name = "colour"
kind = "image"
file = "colour.onnx"
sha256 = "SHA"
source = "test"
licence = "Apache-2.0"
dimension = 3
input = { name = "pixels", shape = [-1, 3, 4, 4] }
output = { name = "colour" }
[image]
size = 4
resize = "stretch"
mean = [100, 0, 50]
std = [10, 1, 5]
layout = "nchw"
"#;

fn plain(r: u8, g: u8, b: u8, side: u32) -> RgbFrame {
    RgbFrame::new(side, side, [r, g, b].repeat((side * side) as usize))
}

#[test]
fn frames_are_normalised_and_keep_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = install(dir.path(), "colour", &mean_colour_model(4), COLOUR);
    let encoder = OrtImageEncoder::new(&require_runtime(), &manifest, &[], 1).unwrap();
    assert_eq!((encoder.dimension(), encoder.version()), (3, manifest.version().as_str()));
    assert_eq!(
        encoder.encode(&[plain(100, 7, 50, 4), plain(110, 9, 40, 9)]).unwrap(),
        array![[0.0, 7.0, 0.0], [1.0, 9.0, -2.0]]
    );
    // More than two batches.
    let many: Vec<RgbFrame> = (0..40).map(|k| plain(100, k, 50, 4)).collect();
    let rows = encoder.encode(&many).unwrap();
    assert_eq!(rows.column(1).to_vec(), (0..40).map(|k| k as f32).collect::<Vec<_>>());
    assert_eq!(encoder.encode(&[]).unwrap().dim(), (0, 3));
}

#[test]
fn several_threads_share_an_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = install(dir.path(), "colour", &mean_colour_model(4), COLOUR);
    for sessions in [1, 3] {
        let encoder = OrtImageEncoder::new(&require_runtime(), &manifest, &[], sessions).unwrap();
        thread::scope(|scope| {
            for t in 0..6u8 {
                let encoder = &encoder;
                scope.spawn(move || {
                    for k in 0..20 {
                        let rows = encoder.encode(&[plain(100, 10 * t + k, 50, 4)]).unwrap();
                        assert_eq!(rows[[0, 1]], f32::from(10 * t + k));
                    }
                });
            }
        });
    }
}

#[test]
fn video_encoders_take_whole_clips() {
    let dir = tempfile::tempdir().unwrap();
    let text =
        COLOUR.replace("[-1, 3, 4, 4]", "[-1, 2, 3, 4, 4]").replace("\"nchw\"", "\"ntchw\"\nframes = 2");
    let manifest = install(dir.path(), "colour", &mean_clip_model(4), &text);
    let encoder = OrtImageEncoder::new(&require_runtime(), &manifest, &[], 1).unwrap();
    assert_eq!(encoder.frames_per_row(), 2);
    let frames = [plain(100, 2, 50, 4), plain(100, 4, 50, 4), plain(100, 10, 50, 4), plain(100, 30, 50, 4)];
    assert_eq!(encoder.encode(&frames).unwrap(), array![[0.0, 3.0, 0.0], [0.0, 20.0, 0.0]]);
    assert!(encoder.encode(&frames[..3]).is_err(), "three frames are no clips of two");
}

#[test]
fn a_model_that_differs_from_its_manifest_is_refused() {
    let runtime = require_runtime();
    let refused = |from: &str, to: &str, word: &str| {
        let dir = tempfile::tempdir().unwrap();
        let text = COLOUR.replacen(from, to, 1);
        let manifest = install(dir.path(), "colour", &mean_colour_model(4), &text);
        let error = OrtImageEncoder::new(&runtime, &manifest, &[], 1).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains("colour"), "{to}: {error}");
    };
    refused("dimension = 3", "dimension = 5", "shape");
    refused("output = { name = \"colour\" }", "output = { name = \"feat\" }", "feat");
    refused("name = \"pixels\"", "name = \"images\"", "images");

    let dir = tempfile::tempdir().unwrap();
    let manifest = install(dir.path(), "colour", b"not a model", COLOUR);
    assert!(OrtImageEncoder::new(&runtime, &manifest, &[], 1).is_err());
    let manifest = install(dir.path(), "colour", &mean_colour_model(4), COLOUR);
    std::fs::write(dir.path().join("colour.onnx"), b"swapped").unwrap();
    let error = OrtImageEncoder::new(&runtime, &manifest, &[], 1).err().unwrap();
    assert!(matches!(error, EncodeError::HashMismatch { .. }), "{error}");
}

#[test]
fn a_missing_runtime_or_provider_is_an_error() {
    let missing = Runtime::load(Path::new("/no/such/libonnxruntime.so"), 1, &[]).err().unwrap();
    assert!(matches!(missing, EncodeError::Runtime { .. }), "{missing}");

    let runtime = require_runtime();
    let cuda = Runtime::load(runtime.dylib(), 1, &[Provider::Cuda]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let manifest = install(dir.path(), "colour", &mean_colour_model(4), COLOUR);
    // On a machine with CUDA it works, elsewhere it says so; it never falls back silently.
    match OrtImageEncoder::new(&cuda, &manifest, &[], 1) {
        Ok(encoder) => assert_eq!(encoder.encode(&[plain(100, 7, 50, 4)]).unwrap()[[0, 1]], 7.0),
        Err(e) => assert!(matches!(e, EncodeError::Provider { name: "cuda", .. }), "{e}"),
    }
    assert_eq!(Provider::parse("tensorrt"), Some(Provider::TensorRt));
    assert_eq!(Provider::parse("gpu"), None);
}

const TOKENS: &str = r#"
name = "tokens"
kind = "text"
file = "tokens.onnx"
sha256 = "SHA"
source = "test"
licence = "Apache-2.0"
dimension = 2
input = { name = "ids", shape = [-1, -1] }
output = { name = "states" }
[text]
tokenizer = "tokenizer.json"
tokenizer_sha256 = "TOK"
max_tokens = 4
inputs = { ids = "ids", attention_mask = "mask" }
pooling = "mean"
normalize = false
"#;

const TOKENIZER: &str = r#"{
"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
"pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
"model": {"type": "WordLevel", "unk_token": "<unk>",
          "vocab": {"<unk>": 0, "<pad>": 90, "one": 1, "three": 3, "five": 5, "title": 7}}}"#;

#[test]
fn texts_are_cut_padded_pooled_and_put_back_in_order() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), TOKENIZER).unwrap();
    let runtime = require_runtime();
    let encoder = |text: &str| {
        let text = text.replace("TOK", &digest(TOKENIZER.as_bytes()));
        let manifest = install(dir.path(), "tokens", &token_model(), &text);
        OrtTextEncoder::new(&runtime, &manifest, &[], 1).unwrap()
    };
    let texts = ["one three five", "five", "", " \t", "one one one one five five five", "what"];
    let rows = encoder(TOKENS).encode(&texts).unwrap();
    let expected = array![[3.0, 1.0], [5.0, 1.0], [0.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]];
    assert_eq!(rows, expected);

    let prefixed = encoder(&TOKENS.replace("max_tokens", "prefix = \"title \"\nmax_tokens"));
    assert_eq!(prefixed.encode(&["five"]).unwrap(), array![[6.0, 1.0]]);

    let unit = encoder(&TOKENS.replace("normalize = false", "").replace("\"mean\"", "\"cls\""));
    let rows = unit.encode(&["three one"]).unwrap();
    let norm = 10f32.sqrt();
    assert!((&rows - &array![[3.0 / norm, 1.0 / norm]]).iter().all(|d| d.abs() < 1e-6), "{rows}");

    // Batches are made by length; every text still gets its own row.
    let many: Vec<String> = (0..100)
        .map(|i| ["five "; 4][..1 + i % 3].concat() + if i % 2 == 0 { "one" } else { "three" })
        .collect();
    let texts: Vec<&str> = many.iter().map(String::as_str).collect();
    let rows = encoder(TOKENS).encode(&texts).unwrap();
    for (i, row) in rows.rows().into_iter().enumerate() {
        let fives = (1 + i % 3) as f32;
        let last = if i % 2 == 0 { 1.0 } else { 3.0 };
        assert_eq!(row[0], (5.0 * fives + last) / (fives + 1.0), "{}", many[i]);
    }
}

/// The default encoder of the repository tells pictures apart and gives the same numbers however
/// the frames are batched.
#[test]
fn the_default_image_encoder_runs() {
    let (manifest, dirs) = require_manifest("efficientnet-lite0-int8");
    let encoder = OrtImageEncoder::new(&require_runtime(), &manifest, &dirs, 1).unwrap();
    let side = encoder.spec().size;
    let noise = |seed: u32| {
        let next = |s: u32| s.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let bytes = std::iter::successors(Some(seed), |s| Some(next(*s))).map(|s| (s >> 24) as u8);
        RgbFrame::new(side, side, bytes.take(3 * (side * side) as usize).collect())
    };
    let frames = [plain(200, 30, 30, side), noise(1), plain(205, 28, 31, side)];
    let rows = encoder.encode(&frames).unwrap();
    assert_eq!(rows.dim(), (3, manifest.dimension));
    let cosine = |a: usize, b: usize| {
        let (x, y) = (rows.row(a), rows.row(b));
        x.dot(&y) / (x.dot(&x) * y.dot(&y)).sqrt()
    };
    assert!(cosine(0, 2) > 0.95 && cosine(0, 1) < cosine(0, 2) - 0.1, "{} {}", cosine(0, 2), cosine(0, 1));
    let alone = encoder.encode(&frames[1..2]).unwrap();
    assert!((&alone.row(0) - &rows.row(1)).iter().all(|d| d.abs() < 1e-3));
}
