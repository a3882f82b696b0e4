//! The models of a training on its page: members with their weights, how alike their mistakes are, the stages of a
//! distillation, and how to use the files.

use serde_json::Value;

use super::Reader;
use super::names::{figure, score};
use crate::store::trainings::Training;

pub(super) struct ModelsView {
    pub(super) members: Vec<MemberView>,
    pub(super) pairs: Vec<PairView>,
    pub(super) stages: Vec<StageView>,
}

pub(super) struct MemberView {
    pub(super) name: String,
    pub(super) weight: String,
    pub(super) own: String,
    pub(super) file: String,
}

pub(super) struct PairView {
    pub(super) a: String,
    pub(super) b: String,
    pub(super) correlation: String,
    pub(super) disagreement: String,
    pub(super) alike: bool,
}

pub(super) struct StageView {
    pub(super) name: String,
    pub(super) validation: String,
    pub(super) held_out: String,
}

pub(super) fn view(page: &Reader, t: &Training, dataset_href: &str) -> ModelsView {
    let list = |path: &str| t.metrics.pointer(path).and_then(Value::as_array).cloned().unwrap_or_default();
    let figure = |v: &Value, key: &str| v.get(key).and_then(Value::as_f64).map_or_else(|| "–".into(), score);
    let text = |v: &Value, key: &str| v.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let members: Vec<MemberView> = list("/members")
        .iter()
        .enumerate()
        .map(|(i, m)| MemberView {
            name: text(m, "name"),
            weight: figure(m, "weight"),
            own: figure(m, "mean_f1"),
            file: format!("/api/v1{dataset_href}/trainings/{}/model.onnx?member={i}", t.id),
        })
        .collect();
    let name = |v: &Value, key: &str| {
        let at = v.get(key).and_then(Value::as_u64).and_then(|i| usize::try_from(i).ok());
        at.and_then(|i| members.get(i)).map_or_else(String::new, |m| m.name.clone())
    };
    let pairs = list("/diversity/pairs")
        .iter()
        .map(|p| PairView {
            a: name(p, "a"),
            b: name(p, "b"),
            correlation: figure(p, "error_correlation"),
            disagreement: figure(p, "disagreement"),
            alike: p.get("alike").and_then(Value::as_bool).unwrap_or(false),
        })
        .collect();
    let stages = list("/stages")
        .iter()
        .map(|s| StageView {
            name: page.lang.text(&format!("model_stage.{}", text(s, "stage"))).to_owned(),
            validation: figure(s, "validation"),
            held_out: figure(s, "held_out"),
        })
        .collect();
    ModelsView { members, pairs, stages }
}

/// A training and its encoders as one file.
pub(super) struct BundleView {
    pub(super) check: String,
    pub(super) href: String,
    pub(super) download: String,
    pub(super) snippet: String,
}

pub(super) fn bundle(page: &Reader, t: &Training, dataset: &str, dataset_href: &str) -> Option<BundleView> {
    let b = &t.bundle.as_ref()?.0;
    let number = |n: usize| page.lang.number(i64::try_from(n).unwrap_or(i64::MAX));
    let check = match b.compared {
        0 => page.lang.text("training.bundle_unchecked").to_owned(),
        n => page.lang.fill(
            "training.bundle_check",
            &[
                ("n", &number(n)),
                ("same", &number(b.same_argmax)),
                ("difference", &figure(f64::from(b.max_difference))),
            ],
        ),
    };
    let size = format!("{:.0} MiB", (b.bytes as f64 / f64::from(1 << 20)).max(1.0));
    Some(BundleView {
        check,
        href: format!("/api/v1{dataset_href}/trainings/{}/bundle.onnx", t.id),
        download: page.lang.t1("training.bundle_download", "size", size),
        snippet: bundle_snippet(&format!("{dataset}-{}-bundle.onnx", t.id)),
    })
}

/// How to use a bundle: pictures from files, texts as they are. Inputs are asked of the file, so the lines hold for any
/// training; vectors that no ONNX model makes stay zero, which counts as missing.
pub(super) fn bundle_snippet(file: &str) -> String {
    BUNDLE.replace("BUNDLE_FILE", file)
}

const BUNDLE: &str = include_str!("bundle_snippet.py");

/// How to use the files. What their inputs are made of is asked of the files themselves, so the lines hold for any
/// recipe.
pub(super) fn snippet(t: &Training, name: &str) -> String {
    let files = match t.models.0.len() {
        1 => format!("files = [\"{name}.onnx\"]"),
        n => format!("files = [f\"{name}-{{i}}.onnx\" for i in range({n})]"),
    };
    format!(
        r#"import json
import numpy as np
import onnxruntime as ort

{files}
total = 0.0
for file in files:
    model = ort.InferenceSession(file)
    about = model.get_modelmeta().custom_metadata_map
    classes = json.loads(about["classes"])
    # stored embeddings, joined in this order
    # (files of them: /api/v1/.../embeddings)
    print(json.loads(about["input"]))
    # of texts: vocabulary and budget
    text = json.loads(about.get("text", "null"))
    kinds = {{"tensor(float)": np.float32, "tensor(int64)": np.int64}}
    x = {{}}
    for i in model.get_inputs():
        shape = [n if isinstance(n, int) else 1 for n in i.shape]
        x[i.name] = np.zeros(shape, kinds[i.type])
    place = json.loads(about.get("ensemble", '{{"weight": 1}}'))
    total += place["weight"] * model.run(["probabilities"], x)[0]
print([classes[i] for i in total.argmax(axis=1)])"#
    )
}
