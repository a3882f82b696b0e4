//! Where tests find ONNX Runtime, and tiny models with known answers. Tests fail with the command
//! to run rather than pass without having tested anything.

use std::path::{Path, PathBuf};

use prost::Message;
use sha2::{Digest, Sha256};

use super::{Manifest, Registry, Runtime};

const HINT: &str = "run scripts/setup (or set TAMIS_ONNXRUNTIME to the shared library)";

/// The repository, seen from the core package's manifest.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// `TAMIS_ONNXRUNTIME`, else what `scripts/setup` installed, else the system's.
pub(crate) fn require_runtime() -> Runtime {
    let dylib = std::env::var_os("TAMIS_ONNXRUNTIME")
        .map(PathBuf::from)
        .or_else(installed_runtime)
        .unwrap_or_else(|| panic!("ONNX Runtime was not found: {HINT}"));
    Runtime::load(&dylib, 1, &[]).unwrap_or_else(|e| panic!("{e}: {HINT}"))
}

fn installed_runtime() -> Option<PathBuf> {
    let native = std::env::var_os("TAMIS_NATIVE_DIR").map_or_else(|| root().join(".tamis"), PathBuf::from);
    let system = ["/usr/local/lib", "/usr/lib", "/usr/lib64", "/opt/homebrew/lib"].map(PathBuf::from);
    let dirs = std::iter::once(native.join("onnxruntime/onnxruntime/capi")).chain(system);
    let is_runtime = |p: &PathBuf| {
        let name = p.file_name().and_then(|n| n.to_str()).unwrap_or("");
        name.starts_with("libonnxruntime.so")
            || name.starts_with("libonnxruntime.") && name.ends_with("dylib")
    };
    dirs.filter_map(|dir| std::fs::read_dir(dir).ok())
        .flat_map(|entries| entries.flatten().map(|e| e.path()))
        .find(is_runtime)
}

/// The manifest `name` of the repository's `models/`, and where its files may be.
pub(crate) fn require_manifest(name: &str) -> (Manifest, Vec<PathBuf>) {
    let dirs = [root().join("models"), root().join(".tamis/models")];
    let registry = Registry::open(&dirs);
    let manifest = registry.get(name).unwrap_or_else(|| panic!("models/{name}.toml is missing or broken"));
    (manifest.clone(), dirs.to_vec())
}

pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Writes `model` and the manifest `text` (with `SHA` for the digest) into `dir` and loads it.
pub(crate) fn install(dir: &Path, name: &str, model: &[u8], text: &str) -> Manifest {
    std::fs::write(dir.join(format!("{name}.onnx")), model).expect("a writable folder");
    let path = dir.join(format!("{name}.toml"));
    std::fs::write(&path, text.replace("SHA", &digest(model))).expect("a writable folder");
    Manifest::load(&path).unwrap_or_else(|e| panic!("{e}"))
}

/// `vectors = mean over all pixels of each channel`: `[n, 3, side, side] -> [n, 3]`.
pub(crate) fn mean_colour_model(side: i64) -> Vec<u8> {
    let nodes =
        vec![node("GlobalAveragePool", &["pixels"], "pooled"), node("Flatten", &["pooled"], "colour")];
    let input = value("pixels", FLOAT, &[-1, 3, side, side]);
    model(nodes, vec![], vec![input], value("colour", FLOAT, &[-1, 3]))
}

/// The same over clips of two frames: `[n, 2, 3, side, side] -> [n, 3]`.
pub(crate) fn mean_clip_model(side: i64) -> Vec<u8> {
    let axes = ints("axes", &[1, 3, 4]);
    let mut mean = node("ReduceMean", &["pixels"], "colour");
    mean.attribute = vec![axes, int("keepdims", 0)];
    let input = value("pixels", FLOAT, &[-1, 2, 3, side, side]);
    model(vec![mean], vec![], vec![input], value("colour", FLOAT, &[-1, 3]))
}

/// Token `i` becomes `[i, mask]`: `[n, tokens], [n, tokens] -> [n, tokens, 2]`, so that what stands
/// in the padding shows.
pub(crate) fn token_model() -> Vec<u8> {
    let to_float = |input: &str, output: &str| {
        let mut cast = node("Cast", &[input], output);
        cast.attribute = vec![int("to", i64::from(FLOAT))];
        cast
    };
    let axis = Tensor { dims: vec![1], data_type: INT64, int64_data: vec![2], name: "axis".into() };
    let mut concat = node("Concat", &["a", "b"], "states");
    concat.attribute = vec![int("axis", 2)];
    let nodes = vec![
        to_float("ids", "i"),
        to_float("mask", "m"),
        node("Unsqueeze", &["i", "axis"], "a"),
        node("Unsqueeze", &["m", "axis"], "b"),
        concat,
    ];
    let inputs = vec![value("ids", INT64, &[-1, -1]), value("mask", INT64, &[-1, -1])];
    model(nodes, vec![axis], inputs, value("states", FLOAT, &[-1, -1, 2]))
}

const FLOAT: i32 = 1;
const INT64: i32 = 7;

fn node(op: &str, inputs: &[&str], output: &str) -> Node {
    Node {
        input: inputs.iter().map(|s| s.to_string()).collect(),
        output: vec![output.into()],
        op_type: op.into(),
        attribute: vec![],
    }
}

fn int(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, ints: vec![], kind: 2 }
}

fn ints(name: &str, ints: &[i64]) -> Attribute {
    Attribute { name: name.into(), i: 0, ints: ints.to_vec(), kind: 7 }
}

fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfo {
    let dim = dims
        .iter()
        .enumerate()
        .map(|(k, d)| match d {
            -1 => Dimension { value: None, param: Some(format!("d{k}")) },
            d => Dimension { value: Some(*d), param: None },
        })
        .collect();
    let tensor_type = TensorType { elem_type, shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), r#type: Some(Type { tensor_type: Some(tensor_type) }) }
}

fn model(node: Vec<Node>, initializer: Vec<Tensor>, input: Vec<ValueInfo>, output: ValueInfo) -> Vec<u8> {
    let graph = Graph { node, name: "test".into(), initializer, input, output: vec![output] };
    let opset_import = vec![Opset { domain: String::new(), version: 17 }];
    Model { ir_version: 8, graph: Some(graph), opset_import }.encode_to_vec()
}

// The few messages of onnx.proto that the models above need.

#[derive(Clone, PartialEq, Message)]
struct Model {
    #[prost(int64, tag = "1")]
    ir_version: i64,
    #[prost(message, optional, tag = "7")]
    graph: Option<Graph>,
    #[prost(message, repeated, tag = "8")]
    opset_import: Vec<Opset>,
}

#[derive(Clone, PartialEq, Message)]
struct Opset {
    #[prost(string, tag = "1")]
    domain: String,
    #[prost(int64, tag = "2")]
    version: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Graph {
    #[prost(message, repeated, tag = "1")]
    node: Vec<Node>,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "5")]
    initializer: Vec<Tensor>,
    #[prost(message, repeated, tag = "11")]
    input: Vec<ValueInfo>,
    #[prost(message, repeated, tag = "12")]
    output: Vec<ValueInfo>,
}

#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(string, repeated, tag = "1")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    output: Vec<String>,
    #[prost(string, tag = "4")]
    op_type: String,
    #[prost(message, repeated, tag = "5")]
    attribute: Vec<Attribute>,
}

#[derive(Clone, PartialEq, Message)]
struct Attribute {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "3")]
    i: i64,
    #[prost(int64, repeated, packed = "false", tag = "8")]
    ints: Vec<i64>,
    #[prost(int32, tag = "20")]
    kind: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Tensor {
    #[prost(int64, repeated, packed = "false", tag = "1")]
    dims: Vec<i64>,
    #[prost(int32, tag = "2")]
    data_type: i32,
    #[prost(int64, repeated, tag = "7")]
    int64_data: Vec<i64>,
    #[prost(string, tag = "8")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct ValueInfo {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    r#type: Option<Type>,
}

#[derive(Clone, PartialEq, Message)]
struct Type {
    #[prost(message, optional, tag = "1")]
    tensor_type: Option<TensorType>,
}

#[derive(Clone, PartialEq, Message)]
struct TensorType {
    #[prost(int32, tag = "1")]
    elem_type: i32,
    #[prost(message, optional, tag = "2")]
    shape: Option<Shape>,
}

#[derive(Clone, PartialEq, Message)]
struct Shape {
    #[prost(message, repeated, tag = "1")]
    dim: Vec<Dimension>,
}

#[derive(Clone, PartialEq, Message)]
struct Dimension {
    #[prost(int64, optional, tag = "1")]
    value: Option<i64>,
    #[prost(string, optional, tag = "2")]
    param: Option<String>,
}
