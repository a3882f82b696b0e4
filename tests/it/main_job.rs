//! The main job on real clips: import, encode, scan, fix, snapshot, export, train.

use std::collections::HashMap;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use half::f16;
use serde_json::{Value, json};
use tamis::jobs::export::ExportArgs;
use tamis::jobs::import::MediaSource;
use tamis::jobs::train::TrainArgs;
use tamis::native::{Native, NativeSettings};

use crate::support::TestApp;

/// Draws a clip with ffmpeg's own sources.
pub(crate) fn draw_clip(path: &Path, source: &str, seconds: f64) {
    let ffmpeg = Native::resolve(&NativeSettings::default()).ffmpeg.expect("ffmpeg: run scripts/setup");
    let status = Command::new(ffmpeg)
        .args(["-v", "error", "-y", "-nostdin", "-f", "lavfi", "-t", &seconds.to_string(), "-i", source])
        .args(["-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-movflags", "+faststart"])
        .arg(path)
        .status()
        .unwrap();
    assert!(status.success(), "{source}");
}

/// class, source: easy to tell apart, so that a scan has to find the planted errors.
const SOURCES: [(&str, &str); 3] = [
    ("a1", "smptebars=s=160x120:r=8,hue=h={n}"),
    ("a2", "mandelbrot=s=160x120:r=8:start_scale=0.{n}"),
    ("b1", "testsrc=s=160x120:r=8,hue=h={n}"),
];
const EACH: usize = 14;

/// 42 clips of three classes, of which the first of each class has a wrong label; returns the rows.
pub(crate) fn draw_dataset(dir: &Path) -> (String, HashMap<String, &'static str>) {
    let (mut rows, mut wrong) = (String::new(), HashMap::new());
    for (c, (class, source)) in SOURCES.iter().enumerate() {
        for i in 0..EACH {
            let id = format!("{class}-{i:02}");
            draw_clip(&dir.join(format!("{id}.mp4")), &source.replace("{n}", &(10 + 2 * i).to_string()), 1.0);
            let given = if i == 0 { SOURCES[(c + 1) % 3].0 } else { class };
            if i == 0 {
                wrong.insert(id.clone(), *class);
            }
            let row =
                json!({"id": id, "video": format!("{id}.mp4"), "title": format!("clip {i}"), "label": given});
            rows += &format!("{row}\n");
        }
    }
    rows += &json!({"id": "extra", "title": "no label, no clip", "label": null}).to_string();
    (rows, wrong)
}

#[tokio::test]
async fn from_files_to_suspects_to_a_fixed_export_and_a_model() {
    let app = TestApp::working().await;
    let dir = tempfile::tempdir().unwrap();
    let (rows, wrong) = draw_dataset(dir.path());
    let mut args = app.import_args("clips", "rows.jsonl", rows.as_bytes()).await;
    args.media = Some(MediaSource::Dir(dir.path().to_str().unwrap().to_owned()));
    let result = app.done(app.services.enqueue_import(&args).await.unwrap()).await;
    assert_eq!((&result["added"], &result["media_ready"]), (&json!(43), &json!(42)), "{result}");
    let store = &app.services.store;
    let dataset = store.dataset("clips").await.unwrap().id;

    // scan: the planted errors lead the ranking, each with the right suggestion
    let scan = app.done(app.services.enqueue_scan(dataset, &Default::default()).await.unwrap()).await;
    assert_eq!((&scan["samples"], &scan["labelled"], &scan["classes"]), (&json!(43), &json!(42), &json!(3)));
    let suspects = app.get_json("/api/v1/datasets/clips/suspects?all=true&limit=42").await;
    let top: Vec<&Value> = suspects["items"].as_array().unwrap().iter().take(3).collect();
    for s in &top {
        let id = s["external_id"].as_str().unwrap();
        assert_eq!(wrong.get(id).copied(), s["suggested_class"].as_str(), "{s}");
        assert_eq!(s["flagged"], true);
        assert!(s["detectors"].as_array().unwrap().len() >= 2, "{s}");
        assert_eq!(s["neighbours"].as_array().unwrap().len(), 12);
    }
    // all of them, in the order of review: by rank, with audits in between
    let mut ranks: Vec<i64> =
        suspects["items"].as_array().unwrap().iter().map(|s| s["rank"].as_i64().unwrap()).collect();
    ranks.sort_unstable();
    assert_eq!(ranks, (1..=42).collect::<Vec<_>>());

    // encode again: nothing is new
    let encoded = app.done(app.services.enqueue_encode(dataset).await.unwrap()).await;
    assert_eq!(encoded["encoded"]["frames"], 0, "{encoded}");
    assert_eq!(encoded["encoded"]["title"], 0, "{encoded}");

    // a model on the labels as they are
    let before = app.done(app.services.enqueue_train(dataset, &TrainArgs::default()).await.unwrap()).await;
    let metrics = &before["metrics"];
    assert_eq!(metrics["onnx_same_argmax"], true, "{metrics}");
    assert!(metrics["onnx_max_difference"].as_f64().unwrap() < 1e-4, "{metrics}");
    let mean = ["l1_micro_f1", "l1_macro_f1", "l2_micro_f1", "l2_macro_f1"]
        .map(|k| metrics[k].as_f64().unwrap())
        .iter()
        .sum::<f64>()
        / 4.0;
    assert!((metrics["mean_f1"].as_f64().unwrap() - mean).abs() < 1e-9);

    // fix them as the page does, take two exports
    for (id, class) in &wrong {
        let path = format!("/api/v1/datasets/clips/samples/{id}/reviews");
        let body =
            json!({"client_id": uuid::Uuid::new_v4(), "decision": "relabel", "class": class, "author": "li"});
        assert_eq!(app.post_json(&path, &body).await.status, 201);
    }
    let export = |format: &str| ExportArgs { format: format.into(), snapshot: None };
    let jsonl = app.done(app.services.enqueue_export(dataset, &export("jsonl")).await.unwrap()).await;
    assert_eq!(
        (&jsonl["manifest"]["rows"], &jsonl["manifest"]["changed"]),
        (&json!(43), &json!(3)),
        "{jsonl}"
    );
    let id = jsonl["export_id"].as_str().unwrap();
    let file = app.get(&format!("/api/v1/datasets/clips/exports/{id}/download")).await;
    use sha2::{Digest, Sha256};
    assert_eq!(jsonl["manifest"]["sha256"], hex::encode(Sha256::digest(&file.bytes)));
    let rows: Vec<Value> = file
        .bytes
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(rows.len(), 43);
    for row in &rows {
        let id = row["id"].as_str().unwrap();
        if let Some(class) = wrong.get(id) {
            assert_eq!(
                (row["label"].as_str(), row["decided_by"].as_str()),
                (Some(*class), Some("li")),
                "{row}"
            );
            assert_ne!(row["given_label"], row["label"]);
            assert_eq!(row["issues"], json!(["label"]));
        } else {
            assert_eq!(row["given_label"], row["label"], "{row}");
        }
        assert_eq!(row["rank"].is_null(), id == "extra");
    }
    for format in ["csv", "parquet"] {
        let result = app.done(app.services.enqueue_export(dataset, &export(format)).await.unwrap()).await;
        assert_eq!(result["manifest"]["rows"], 43, "{format}");
        assert_eq!(result["snapshot_id"], jsonl["snapshot_id"], "the same labels are the same snapshot");
    }
    let snapshots = store.snapshots(dataset, None, 10).await.unwrap().items;
    assert_eq!(snapshots.len(), 2, "before and after the fixes");
    assert_eq!((snapshots[0].n_changed, snapshots[0].parent.as_ref()), (3, Some(&snapshots[1].id)));

    // train on the fixed labels: compared with the run before
    let after = app.done(app.services.enqueue_train(dataset, &TrainArgs::default()).await.unwrap()).await;
    let training =
        store.training(dataset, after["training_id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    assert_eq!(training.previous_id.map(|p| p.to_string()).as_deref(), before["training_id"].as_str());
    assert!(after["metrics"]["mean_f1"].as_f64() >= before["metrics"]["mean_f1"].as_f64());
    let rounds = store.rounds(dataset, 5).await.unwrap();
    assert_eq!((rounds[0].reviews, rounds[0].corrections), (3, 3));

    // the same input gives the same findings
    let first = app.get_json("/api/v1/datasets/clips/suspects?all=true&limit=42").await;
    let again = json!({"snapshot": scan["snapshot_id"]});
    let answer = app.post_json("/api/v1/datasets/clips/scans", &again).await;
    assert_eq!(answer.status, 202);
    app.done(answer.json()["id"].as_str().unwrap().parse().unwrap()).await;
    let second = app.get_json("/api/v1/datasets/clips/suspects?all=true&limit=42").await;
    let scores = |v: &Value| -> Vec<(Value, Value)> {
        v["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["external_id"].clone(), s["suspicion"].clone()))
            .collect()
    };
    assert_eq!(scores(&first), scores(&second));
}

#[tokio::test]
async fn frame_features_stand_in_for_media() {
    let app = TestApp::working().await;
    let mut rows = String::new();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..60 {
        let class = ["a1", "a2", "b1"][i % 3];
        rows += &format!("{}\n", json!({"id": format!("v{i}"), "label": if i == 0 { "b1" } else { class }}));
        // two frames of four numbers, the class as a direction, a little noise that differs by sample
        let frame: Vec<f32> =
            (0..4).map(|d| if d == i % 3 { 1.0 } else { 0.0 } + (i * 7 + d) as f32 % 11.0 / 100.0).collect();
        let values: Vec<f16> = [frame.clone(), frame].concat().into_iter().map(f16::from_f32).collect();
        zip.start_file(format!("v{i}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy(&values)).unwrap();
    }
    let mut args = app.import_args("f", "rows.jsonl", rows.as_bytes()).await;
    args.media =
        Some(MediaSource::Features(app.stage("frames.zip", &zip.finish().unwrap().into_inner()).await));
    let result = app.done(app.services.enqueue_import(&args).await.unwrap()).await;
    assert_eq!(result["media_ready"], 60, "{result}");
    let dataset = app.services.store.dataset("f").await.unwrap().id;
    let files = app.services.store.embedding_files(dataset).await.unwrap();
    assert_eq!((files[0].dimension, files[0].n_rows), (4, 60));
    app.done(app.services.enqueue_scan(dataset, &Default::default()).await.unwrap()).await;
    let worst = app.get_json("/api/v1/datasets/f/suspects?all=true&limit=1").await;
    assert_eq!(worst["items"][0]["external_id"], "v0", "{worst}");
    assert_eq!(worst["items"][0]["suggested_class"], "a1");
}

/// A float16 `[2, 4]` array in NumPy's format 1.0.
fn npy(values: &[f16]) -> Vec<u8> {
    let mut header = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 4), }".to_owned();
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}
