//! Decisions: recorded once, checked against the taxonomy, visible in the history.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::TestApp;

fn relabel(class: &str) -> Value {
    json!({"client_id": Uuid::now_v7(), "decision": "relabel", "class": class, "author": "ann"})
}

#[tokio::test]
async fn a_review_changes_the_label_once() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    let path = "/api/v1/datasets/d/samples/s0/reviews";
    let body = relabel("swim");
    let first = app.post_json(path, &body).await;
    assert_eq!(first.status, 201);
    assert_eq!(first.json()["class_before"], "cat");
    let again = app.post_json(path, &body).await;
    assert_eq!(again.status, 200);
    assert_eq!(again.json(), first.json());
    let sample = app.get_json("/api/v1/datasets/d/samples/s0").await;
    assert_eq!(sample["given_class"], "cat");
    assert_eq!(sample["current_class"], "swim");
    assert_eq!(sample["label_author"], "ann");
    let history = app.walk("/api/v1/datasets/d/samples/s0/history", 1).await;
    let seen: Vec<_> = history.iter().map(|h| (h["kind"].clone(), h["what"].clone())).collect();
    assert_eq!(seen, [(json!("label"), json!("import")), (json!("review"), json!("relabel"))]);
}

#[tokio::test]
async fn the_same_client_id_for_another_sample_is_refused() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    app.dataset_with_samples("e", 1).await;
    let body = relabel("swim");
    assert_eq!(app.post_json("/api/v1/datasets/d/samples/s0/reviews", &body).await.status, 201);
    for other in ["/api/v1/datasets/d/samples/s1/reviews", "/api/v1/datasets/e/samples/s0/reviews"] {
        app.post_json(other, &body).await.problem_with("client_id", "client_id_reused");
    }
    // nor does it stand for another decision on the same sample
    let mut keep = body.clone();
    keep["decision"] = json!("keep");
    keep.as_object_mut().unwrap().remove("class");
    let same = "/api/v1/datasets/d/samples/s0/reviews";
    app.post_json(same, &keep).await.problem_with("client_id", "client_id_reused");
    assert_eq!(app.post_json(same, &body).await.status, 200);
}

#[tokio::test]
async fn impossible_decisions_are_refused_by_field() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 1).await;
    app.dataset_with_samples("e", 1).await;
    let foreign = app.scan(app.services.store.dataset("e").await.unwrap().id, 1).await;
    let path = "/api/v1/datasets/d/samples/s0/reviews";
    let review = |fields: Value| {
        let mut body = json!({"client_id": Uuid::now_v7()});
        body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        body
    };
    for (fields, field, code) in [
        (json!({"decision": "maybe"}), "decision", "unknown_decision"),
        (json!({"decision": "relabel"}), "class", "class_missing"),
        (json!({"decision": "relabel", "class": "animals"}), "class", "unknown_class"),
        (json!({"decision": "relabel", "class": "nope"}), "class", "unknown_class"),
        (json!({"decision": "keep", "class": "cat"}), "class", "class_not_taken"),
        (json!({"decision": "ambiguous", "classes": ["cat", "cat"]}), "classes", "too_few_classes"),
        (json!({"decision": "keep", "time_spent_ms": -1}), "time_spent_ms", "negative"),
        (json!({"decision": "keep", "author": ""}), "author", "author"),
        (json!({"decision": "keep", "comment": "x".repeat(10_001)}), "comment", "too_long"),
        (json!({"decision": "keep", "scan_id": foreign}), "scan_id", "unknown_scan"),
    ] {
        app.post_json(path, &review(fields)).await.problem_with(field, code);
    }
    assert_eq!(app.walk("/api/v1/datasets/d/samples/s0/history", 10).await.len(), 1);
    let scan = app.scan(d, 1).await;
    let fine = review(json!({"decision": "ambiguous", "classes": ["cat", "dog"], "scan_id": scan}));
    assert_eq!(app.post_json(path, &fine).await.status, 201);
    assert_eq!(app.walk("/api/v1/datasets/d/suspects?status=other", 5).await.len(), 1);
}

#[tokio::test]
async fn a_dataset_goes_with_everything_in_it() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 3).await;
    let scan = app.scan(d, 2).await;
    let mut body = relabel("dog");
    body["scan_id"] = json!(scan);
    assert_eq!(app.post_json("/api/v1/datasets/d/samples/s0/reviews", &body).await.status, 201);
    app.post_json("/api/v1/datasets/d/scans", &json!({})).await;
    let delete = axum::http::Request::delete("/api/v1/datasets/d").body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.send(delete).await.status, 204);
    app.get("/api/v1/datasets/d").await.problem(404, "not_found");
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 0);
}
