//! Imports through the API: forms with files, paths under the allowed roots, and nothing else.

use std::convert::Infallible;

use axum::body::Body;
use axum::http::Request;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const BOUNDARY: &str = "tamis-test-boundary";

/// `(name, file name, content)` as a form.
fn form(fields: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, file, content) in fields {
        let file = file.map(|f| format!("; filename=\"{f}\"")).unwrap_or_default();
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{BOUNDARY}--\r\n").as_bytes());
    body
}

async fn post_form(app: &TestApp, dataset: &str, body: impl Into<Body>, key: Option<&str>) -> Answer {
    let mut request = Request::post(format!("/api/v1/datasets/{dataset}/imports"))
        .header("content-type", format!("multipart/form-data; boundary={BOUNDARY}"));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    app.send(request.body(body.into()).unwrap()).await
}

const ROWS: &[u8] = b"{\"id\": \"a\", \"label\": \"cat\"}\n";

#[tokio::test]
async fn a_form_becomes_a_job_with_its_files_stored() {
    let app = TestApp::new().await;
    let body = form(&[
        ("taxonomy", Some("tree.json"), b"[]"),
        ("annotations", Some("C:\\data\\rows.jsonl"), ROWS),
        ("columns", None, br#"{"id": "vid"}"#),
        ("partial", None, b"true"),
        ("media", Some("clips.zip"), b"PK"),
    ]);
    let answer = post_form(&app, "new", body, None).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
    let args = answer.json()["args"].clone();
    assert_eq!(args["dataset"], "new");
    assert_eq!(args["annotations"]["file_name"], "rows.jsonl");
    assert_eq!(args["columns"], json!({"id": "vid"}));
    assert_eq!((args["partial"].clone(), args["author"].clone()), (json!(true), json!("local")));
    let blob = |v: &Value| v["blob"].as_str().unwrap().to_owned();
    assert_eq!(app.services.blobs.get(&blob(&args["annotations"])).await.unwrap(), ROWS);
    assert_eq!(app.services.blobs.get(&blob(&args["taxonomy"]["file"])).await.unwrap(), b"[]");
    assert_eq!(app.services.blobs.get(&blob(&args["media"]["zip"])).await.unwrap(), b"PK");
    assert_eq!(std::fs::read_dir(app.state.path().join("scratch")).unwrap().count(), 0);
}

#[tokio::test]
async fn forms_that_make_no_sense_are_refused_by_field() {
    let app = TestApp::new().await;
    app.dataset_with_samples("old", 1).await;
    let rows = ("annotations", Some("r.jsonl"), ROWS);
    let tree = ("taxonomy", Some("t.json"), &b"[]"[..]);
    for (dataset, fields, field, code) in [
        ("bad%20name", vec![tree, rows], "name", "dataset_name"),
        ("new", vec![tree], "annotations", "annotations_missing"),
        ("new", vec![rows], "taxonomy", "taxonomy_missing"),
        (
            "new",
            vec![tree, ("taxonomy_builtin", None, b"wechat2022"), rows],
            "taxonomy_builtin",
            "two_taxonomies",
        ),
        ("new", vec![tree, rows, rows], "annotations", "duplicate_field"),
        ("new", vec![tree, rows, ("surprise", None, b"x")], "surprise", "unknown_field"),
        ("new", vec![tree, rows, ("columns", None, b"[1]")], "columns", "columns"),
        ("new", vec![tree, rows, ("partial", None, b"maybe")], "partial", "not_a_bool"),
        ("new", vec![tree, rows, ("author", None, b"a\nb")], "author", "author"),
        ("new", vec![tree, rows, ("author", None, b"\xff")], "author", "not_utf8"),
        (
            "new",
            vec![tree, rows, ("media", Some("m.zip"), b"PK"), ("features", Some("f.zip"), b"PK")],
            "features",
            "two_media",
        ),
    ] {
        post_form(&app, dataset, form(&fields), None).await.problem_with(field, code);
    }
    // a dataset that is there has a taxonomy
    assert_eq!(post_form(&app, "old", form(&[rows]), None).await.status, 202);
    post_form(&app, "new", b"not a form".to_vec(), None).await.problem(400, "bad_form");
    let cut = &form(&[tree, rows])[..60];
    post_form(&app, "new", cut.to_vec(), None).await.problem(400, "bad_form");
    let text = Request::post("/api/v1/datasets/new/imports").header("content-type", "text/csv");
    app.send(text.body(Body::from("a,b")).unwrap()).await.problem(415, "unsupported_media_type");
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 1);
}

#[tokio::test]
async fn a_form_sent_twice_is_one_import() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let rows = ("annotations", Some("r.jsonl"), ROWS);
    let partial = ("partial", None, &b"true"[..]);
    let first = post_form(&app, "d", form(&[rows, partial]), Some("k")).await;
    assert_eq!(first.status, 202);
    // the order of the fields is no difference, their content is
    let again = post_form(&app, "d", form(&[partial, rows]), Some("k")).await;
    assert_eq!((again.status, again.json()), (first.status, first.json()));
    let other = ("annotations", Some("r.jsonl"), &b"{}"[..]);
    post_form(&app, "d", form(&[other, partial]), Some("k"))
        .await
        .problem_with("idempotency-key", "idempotency_mismatch");
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 1);
}

#[tokio::test]
async fn only_paths_under_an_import_root_are_read() {
    let root = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(root.path().join("rows.jsonl"), ROWS).unwrap();
    std::fs::write(root.path().join("tree.json"), "[]").unwrap();
    std::fs::create_dir(root.path().join("clips")).unwrap();
    std::fs::write(outside.path().join("secret.jsonl"), ROWS).unwrap();
    std::os::unix::fs::symlink(outside.path(), root.path().join("link")).unwrap();
    let app = TestApp::with(|c| c.server.import_roots = vec![root.path().to_owned()]).await;
    let at = |p: &str| root.path().join(p).to_str().unwrap().to_owned();
    let out = |p: &str| outside.path().join(p).to_str().unwrap().to_owned();
    let post = async |annotations: String, media: Option<String>| {
        let body =
            json!({"taxonomy_path": at("tree.json"), "annotations_path": annotations, "media_dir": media});
        app.post_json("/api/v1/datasets/d/imports", &body).await
    };
    let fine = post(at("rows.jsonl"), Some(at("clips/../clips"))).await;
    assert_eq!(fine.status, 202, "{}", String::from_utf8_lossy(&fine.bytes));
    let real = std::fs::canonicalize(root.path().join("clips")).unwrap();
    assert_eq!(fine.json()["args"]["media"]["dir"], real.to_str().unwrap());
    // there or not there: the same answer outside the roots
    let escape = format!("../{}/secret.jsonl", outside.path().file_name().unwrap().to_str().unwrap());
    let mut told = Vec::new();
    for path in
        [out("secret.jsonl"), out("nothing"), at(&escape), at("link/secret.jsonl"), "/etc/passwd".into()]
    {
        let answer = post(path, None).await;
        answer.problem_with("annotations_path", "path_not_allowed");
        told.push(answer.json());
    }
    assert!(told.windows(2).all(|w| w[0] == w[1]));
    post(at("rows.jsonl"), Some(at("link"))).await.problem_with("media_dir", "path_not_allowed");
    post(at("rows.jsonl"), Some(at("rows.jsonl"))).await.problem_with("media_dir", "not_a_folder");
    post(at("clips"), None).await.problem_with("annotations_path", "not_a_file");
    let closed = TestApp::new().await;
    let body = json!({"taxonomy_builtin": "wechat2022", "annotations_path": at("rows.jsonl")});
    closed
        .post_json("/api/v1/datasets/d/imports", &body)
        .await
        .problem_with("annotations_path", "paths_not_allowed");
}

#[tokio::test]
async fn uploads_have_a_limit_of_their_own() {
    let app = TestApp::with(|c| c.server.max_upload_bytes = 5 << 20).await;
    app.dataset_with_samples("d", 1).await;
    // more than other routes take
    let fits = form(&[("annotations", Some("r"), &vec![b' '; 4 << 20])]);
    assert_eq!(post_form(&app, "d", fits, None).await.status, 202);
    let long = form(&[("annotations", Some("r"), &vec![b' '; 6 << 20])]);
    post_form(&app, "d", long, None).await.problem(413, "too_large");
    assert_eq!(std::fs::read_dir(app.state.path().join("scratch")).unwrap().count(), 0);
}

/// Resident memory of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_upload_is_never_held_in_memory() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const CHUNKS: usize = 200;
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let before = resident();
    let peak = Arc::new(AtomicUsize::new(before));
    let watched = peak.clone();
    let (head, tail) = {
        let whole = form(&[("annotations", Some("r"), b"")]);
        let at = whole.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
        (whole[..at].to_vec(), whole[at..].to_vec())
    };
    let chunks = (0..CHUNKS + 2).map(move |i| {
        watched.fetch_max(resident(), Ordering::Relaxed);
        Ok::<_, Infallible>(match i {
            0 => Bytes::from(head.clone()),
            i if i <= CHUNKS => Bytes::copy_from_slice(&chunk),
            _ => Bytes::from(tail.clone()),
        })
    });
    let answer = post_form(&app, "d", Body::from_stream(futures::stream::iter(chunks)), None).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
    let blob = answer.json()["args"]["annotations"]["blob"].as_str().unwrap().to_owned();
    assert_eq!(app.services.blobs.size(&blob).await.unwrap(), Some((CHUNKS << 20) as u64));
    let grown = peak.load(Ordering::Relaxed).max(resident()) - before;
    // other tests run beside this one and need some memory too
    assert!(grown < 100 << 20, "grew by {} MiB", grown >> 20);
}
