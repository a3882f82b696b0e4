//! Walking a list page by page shows everything once, in order, whatever the page size.

use serde_json::{Value, json};
use tamis::store::imports::ImportError;
use uuid::Uuid;

use crate::support::TestApp;

fn texts(items: &[Value], key: &str) -> Vec<String> {
    items.iter().map(|i| i[key].to_string()).collect()
}

#[tokio::test]
async fn every_list_is_walked_once() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 23).await;
    for name in ["a", "b", "c"] {
        app.dataset_with_samples(name, 1).await;
    }
    app.scan(d, 15).await;
    app.scan(d, 15).await;
    for i in 0..5 {
        app.post_json("/api/v1/datasets/d/exports", &json!({"format": "csv"})).await;
        app.snapshot(d, &format!("{i}").repeat(64)).await;
    }
    for (path, key, count) in [
        ("/api/v1/datasets", "name", 4),
        ("/api/v1/datasets/d/samples", "id", 23),
        ("/api/v1/datasets/d/samples?class=cat", "id", 6),
        ("/api/v1/datasets/d/samples?split=test", "id", 0),
        ("/api/v1/datasets/d/classes", "class", 4),
        ("/api/v1/datasets/d/suspects", "rank", 15),
        ("/api/v1/datasets/d/suspects?all=true", "rank", 23),
        ("/api/v1/datasets/d/suspects?all=true&class=animals", "rank", 23),
        ("/api/v1/datasets/d/suspects?class=swim", "rank", 0),
        ("/api/v1/datasets/d/suspects?cross_parent=false", "rank", 0),
        ("/api/v1/datasets/d/suspects?detector=log_margin&status=open", "rank", 15),
        ("/api/v1/datasets/d/scans", "id", 2),
        ("/api/v1/datasets/d/rounds", "number", 2),
        ("/api/v1/datasets/d/snapshots", "id", 6),
        ("/api/v1/datasets/d/trainings", "id", 0),
        ("/api/v1/datasets/d/exports", "id", 0),
        ("/api/v1/datasets/d/embeddings", "id", 0),
        ("/api/v1/jobs", "id", 5),
        ("/api/v1/jobs?dataset=d", "id", 5),
        ("/api/v1/jobs?dataset=a", "id", 0),
    ] {
        let whole = texts(&app.walk(path, 200).await, key);
        assert_eq!(whole.len(), count, "{path}");
        for limit in [1, 2, 4] {
            assert_eq!(texts(&app.walk(path, limit).await, key), whole, "{path} by {limit}");
        }
    }
}

#[tokio::test]
async fn rows_added_meanwhile_shift_nothing() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 4).await;
    for i in 0..4 {
        app.snapshot(d, &format!("{i}").repeat(64)).await;
    }
    let page = app.get_json("/api/v1/datasets/d/snapshots?limit=2").await;
    app.snapshot(d, &"f".repeat(64)).await;
    let next = page["next"].as_str().unwrap();
    let rest = app.get_json(&format!("/api/v1/datasets/d/snapshots?limit=2&cursor={next}")).await;
    assert_eq!(
        texts(rest["items"].as_array().unwrap(), "id"),
        [format!("{:?}", "1".repeat(64)), format!("{:?}", "0".repeat(64))]
    );
}

#[tokio::test]
async fn refused_rows_come_in_pages_and_as_one_file() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let job = app.post_json("/api/v1/datasets/d/scans", &json!({})).await.json();
    let id: Uuid = job["id"].as_str().unwrap().parse().unwrap();
    let errors: Vec<ImportError> = (0..2500)
        .map(|i| ImportError {
            file: "a.jsonl".into(),
            line: i,
            field: Some("label".into()),
            code: "unknown_label".into(),
            message: format!("line {i}\nwith a break"),
        })
        .collect();
    app.services.store.save_import_errors(id, &errors).await.unwrap();
    let walked = app.walk(&format!("/api/v1/jobs/{id}/import-errors"), 200).await;
    assert_eq!(walked.len(), 2500);
    let file = app.get(&format!("/api/v1/jobs/{id}/import-errors.jsonl")).await;
    assert_eq!(file.header("content-type"), "application/x-ndjson");
    assert!(file.header("content-disposition").starts_with("attachment"));
    let lines: Vec<Value> =
        String::from_utf8(file.bytes).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines, walked);
}
