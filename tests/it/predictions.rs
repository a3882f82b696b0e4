//! Predictions of somebody's own model: what is taken, what is refused and why, and the scan that uses them.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, TestApp};

/// An `.npy` file of float32.
pub(crate) fn npy(rows: usize, columns: usize, values: &[f32]) -> Vec<u8> {
    assert_eq!(values.len(), rows * columns);
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    values.iter().for_each(|v| out.extend(v.to_le_bytes()));
    out
}

/// Posts a form; files have a name.
async fn post_form(app: &TestApp, path: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
        body.extend(
            format!("--edge\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend(*bytes);
        body.extend(b"\r\n");
    }
    body.extend(b"--edge--\r\n");
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=edge");
    app.send(request.body(Body::from(body)).unwrap()).await
}

pub(crate) async fn upload(app: &TestApp, snapshot: &str, name: &str, array: &[u8]) -> Answer {
    let path = format!("/api/v1/datasets/d/snapshots/{snapshot}/predictions");
    let parts = [
        ("model", None, &b"swin"[..]),
        ("out_of_sample", None, b"true"),
        ("author", None, b"mei"),
        ("array", Some(name), array),
    ];
    post_form(app, &path, &parts).await
}

pub(crate) async fn snapshot(app: &TestApp) -> String {
    let answer = app.post_json("/api/v1/datasets/d/snapshots", &json!({"reason": "to predict"})).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Samples s0, s1, …, labelled cat, dog, ski, swim in turn; of these the labels of `wrong` are not what
/// the array says. In byte order of the id: s0, s1, s10, s11, …, s2, s20, …
fn array(n: usize, wrong: &[usize]) -> Vec<f32> {
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by_key(|i| format!("s{i}"));
    let row = |i: &usize| {
        let truth = if wrong.contains(i) { (i + 1) % 4 } else { i % 4 };
        let p = 0.9 + (i % 7) as f32 * 0.01;
        (0..4).map(move |c| if c == truth { p } else { (1.0 - p) / 3.0 })
    };
    order.iter().flat_map(row).collect()
}

async fn ranking(app: &TestApp) -> Vec<Value> {
    app.walk("/api/v1/datasets/d/suspects?all=true", 100).await
}

#[tokio::test]
async fn a_dataset_without_embeddings_is_scanned_by_uploaded_predictions() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 40).await;
    sqlx::query("update samples set title = '' where dataset_id = $1")
        .bind(dataset)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let snapshot = snapshot(&app).await;
    let answer = upload(&app, &snapshot, "p.npy", &npy(40, 4, &array(40, &[5, 13, 22]))).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
    let set = answer.json();
    assert_eq!((&set["n_rows"], &set["n_classes"], &set["model"]), (&json!(40), &json!(4), &json!("swin")));
    assert_eq!((&set["author"], &set["snapshot_id"]), (&json!("mei"), &json!(snapshot)));
    assert!(answer.header("location").ends_with(set["id"].as_str().unwrap()));

    // without them there is nothing to go by
    let scan = app.post_json("/api/v1/datasets/d/scans", &json!({})).await.json();
    let job = app.ended(scan["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(job.error_note.unwrap().code, "nothing_encoded");

    let args = json!({"predictions": set["id"]});
    let scan = app.post_json("/api/v1/datasets/d/scans", &args).await.json();
    let result = app.done(scan["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(result["snapshot_id"], json!(snapshot));
    let found = ranking(&app).await;
    let mut top: Vec<&str> = found[..3].iter().map(|f| f["external_id"].as_str().unwrap()).collect();
    top.sort_unstable();
    assert_eq!(top, ["s13", "s22", "s5"]);
    let s5 = found.iter().find(|f| f["external_id"] == "s5").unwrap();
    assert_eq!((&s5["given_class"], &s5["suggested_class"]), (&json!("dog"), &json!("ski")));
    assert_eq!((&s5["detectors"], &s5["neighbours"]), (&json!(["log_margin"]), &json!([])));
    // p of another class: a third of what is left of 0.9 + 5 * 0.01
    assert!((s5["self_confidence"].as_f64().unwrap() - 0.05 / 3.0).abs() < 1e-6, "{s5}");
    let done =
        app.get_json(&format!("/api/v1/datasets/d/scans/{}", result["scan_id"].as_str().unwrap())).await;
    assert_eq!(done["summary"]["head"], json!({"predictions": set["id"], "model": "swin"}));
    let page = String::from_utf8(app.get("/datasets/d").await.bytes).unwrap();
    assert!(page.contains("by predictions of “swin”"), "the dataset page says whose probabilities they are");
}

#[tokio::test]
async fn with_embeddings_neighbours_speak_too_and_no_fold_is_fitted() {
    let app = TestApp::working().await;
    app.dataset_with_samples("d", 40).await;
    let snapshot = snapshot(&app).await;
    let set = upload(&app, &snapshot[..12], "p.npy", &npy(40, 4, &array(40, &[5]))).await.json();
    let args = json!({"predictions": set["id"], "snapshot": snapshot});
    let scan = app.post_json("/api/v1/datasets/d/scans", &args).await.json();
    let id: Uuid = scan["id"].as_str().unwrap().parse().unwrap();
    app.done(id).await;
    let found = ranking(&app).await;
    assert_eq!(found[0]["external_id"], "s5");
    assert!(!found[0]["neighbours"].as_array().unwrap().is_empty());
    let log = app.services.store.job_log_lines(id, 0, 100).await.unwrap();
    let stages: Vec<&str> =
        log.iter().filter_map(|l| l.note.as_ref()?.args.get("stage").map(String::as_str)).collect();
    assert!(
        stages.contains(&"@stage.load_predictions") && stages.contains(&"@stage.neighbours"),
        "{stages:?}"
    );
    assert!(!stages.contains(&"@stage.out_of_fold"), "{stages:?}");
}

#[tokio::test]
async fn predictions_are_listed_and_deleted() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 4).await;
    let other = app.dataset_with_samples("e", 4).await;
    let snapshot = snapshot(&app).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let set = upload(&app, &snapshot, "p.npy", &npy(4, 4, &array(4, &[]))).await.json();
        ids.insert(0, set["id"].clone());
    }
    let list = app.walk("/api/v1/datasets/d/predictions", 2).await;
    assert_eq!(list.iter().map(|s| s["id"].clone()).collect::<Vec<_>>(), ids);
    let one = format!("/api/v1/datasets/d/predictions/{}", ids[0].as_str().unwrap());
    assert_eq!(app.get_json(&one).await["id"], ids[0]);
    // what belongs to another dataset is not there
    let elsewhere = one.replace("/d/", "/e/");
    app.get(&elsewhere).await.problem(404, "not_found");
    let store = &app.services.store;
    let id: Uuid = ids[0].as_str().unwrap().parse().unwrap();
    assert!(store.prediction_set(other, id).await.is_err());
    let blob = store.prediction_set(dataset, id).await.unwrap().blob;
    assert!(app.services.blobs.exists(&blob).await.unwrap());
    let delete = |path: &str| Request::delete(path).body(Body::empty()).unwrap();
    assert_eq!(app.send(delete(&elsewhere)).await.status, StatusCode::NOT_FOUND);
    assert_eq!(app.send(delete(&one)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(app.send(delete(&one)).await.status, StatusCode::NOT_FOUND);
    assert!(!app.services.blobs.exists(&blob).await.unwrap());
    let scan = app.post_json("/api/v1/datasets/d/scans", &json!({"predictions": ids[0]})).await;
    scan.problem_with("predictions", "unknown_predictions");
    let args = json!({"predictions": ids[1], "snapshot": "f".repeat(64)});
    app.post_json("/api/v1/datasets/d/scans", &args).await.problem_with("snapshot", "unknown_snapshot");
    store.delete_dataset(dataset).await.unwrap();
    app.get("/api/v1/datasets/d/predictions").await.problem(404, "not_found");
}

#[tokio::test]
async fn arrays_that_cannot_be_used_are_refused_with_file_row_and_value() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 4).await;
    let snapshot = snapshot(&app).await;
    let good = array(4, &[]);
    let changed = |at: usize, v: f32| {
        let mut values = good.clone();
        values[at] = v;
        npy(4, 4, &values)
    };
    for (bytes, needles) in [
        (npy(2, 4, &good[..8]), vec!["my.npy", "(2, 4)", "(4, 4)"]),
        (changed(6, f32::NAN), vec!["my.npy", "row 1", "column 2", "NaN"]),
        (changed(9, -0.25), vec!["row 2", "column 1", "-0.25", "[0, 1]"]),
        (changed(15, 0.5), vec!["row 3", "sums to"]),
        (b"0.5,0.5".to_vec(), vec!["my.npy", "neither"]),
        (changed(0, 0.9)[..100].to_vec(), vec!["my.npy"]),
    ] {
        let answer = upload(&app, &snapshot, "my.npy", &bytes).await;
        let problem = answer.problem(422, "array");
        assert_eq!(problem["errors"][0]["field"], "array");
        let detail = problem["detail"].as_str().unwrap();
        assert!(needles.iter().all(|n| detail.contains(n)), "{detail} lacks one of {needles:?}");
    }
    let path = format!("/api/v1/datasets/d/snapshots/{snapshot}/predictions");
    let file = npy(4, 4, &good);
    let array = ("array", Some("p.npy"), &file[..]);
    let said = ("out_of_sample", None, &b"true"[..]);
    let model = ("model", None, &b"m"[..]);
    post_form(&app, &path, &[array, model]).await.problem_with("out_of_sample", "not_out_of_sample");
    let unsaid = ("out_of_sample", None, &b"false"[..]);
    post_form(&app, &path, &[array, model, unsaid]).await.problem_with("out_of_sample", "not_out_of_sample");
    post_form(&app, &path, &[array, said]).await.problem_with("model", "model");
    post_form(&app, &path, &[model, said]).await.problem_with("array", "array_missing");
    let nowhere = path.replace(&snapshot, &"e".repeat(64));
    post_form(&app, &nowhere, &[array, model, said]).await.problem(404, "not_found");
    assert_eq!(app.walk("/api/v1/datasets/d/predictions", 10).await.len(), 0, "nothing was kept");
}
