//! Requests that are sent again with their Idempotency-Key do nothing twice.

use serde_json::json;

use crate::support::TestApp;

const SCANS: &str = "/api/v1/datasets/d/scans";

#[tokio::test]
async fn the_same_key_gets_the_first_answer_again() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    let first = app.post_with_key(SCANS, &json!({}), Some("k1")).await;
    assert_eq!(first.status, 202);
    let again = app.post_with_key(SCANS, &json!({}), Some("k1")).await;
    assert_eq!(again.status, 202);
    assert_eq!(again.json(), first.json());
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(first.header("idempotency-replayed"), "");
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 1);
    // another key, and none at all, are other requests
    assert_ne!(app.post_with_key(SCANS, &json!({}), Some("k2")).await.json()["id"], first.json()["id"]);
    app.post_json(SCANS, &json!({})).await;
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 3);
    // the same key elsewhere is another one
    let train = app.post_with_key("/api/v1/datasets/d/trainings", &json!({}), Some("k1")).await;
    assert_eq!((train.status.as_u16(), train.json()["kind"].clone()), (202, json!("train")));
}

#[tokio::test]
async fn another_body_under_the_same_key_is_refused() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    assert_eq!(app.post_with_key(SCANS, &json!({}), Some("k")).await.status, 202);
    app.post_with_key(SCANS, &json!({"snapshot": null}), Some("k"))
        .await
        .problem_with("idempotency-key", "idempotency_mismatch");
    for key in ["", "with space", &"x".repeat(256)] {
        app.post_with_key(SCANS, &json!({}), Some(key))
            .await
            .problem_with("idempotency-key", "idempotency_key");
    }
}

#[tokio::test]
async fn a_refused_request_leaves_its_key_free() {
    let app = TestApp::new().await;
    app.post_with_key(SCANS, &json!({}), Some("k")).await.problem(404, "not_found");
    app.dataset_with_samples("d", 2).await;
    assert_eq!(app.post_with_key(SCANS, &json!({}), Some("k")).await.status, 202);
}

#[tokio::test]
async fn a_double_click_makes_one_job() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 2).await;
    let body = json!({});
    let sends = (0..8).map(|_| app.post_with_key(SCANS, &body, Some("k")));
    let answers = futures::future::join_all(sends).await;
    let mut made = 0;
    for answer in &answers {
        match answer.status.as_u16() {
            202 => made += 1,
            _ => drop(answer.problem(409, "idempotency_in_progress")),
        }
    }
    assert!(made >= 1);
    let jobs = app.walk("/api/v1/jobs", 10).await;
    assert_eq!(jobs.len(), 1);
    for answer in answers.iter().filter(|a| a.status == 202) {
        assert_eq!(answer.json()["id"], jobs[0]["id"]);
    }
}
