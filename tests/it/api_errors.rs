//! Every kind of error is a problem: as JSON under `/api`, as a page for browsers elsewhere.

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn addresses_and_methods() {
    let app = TestApp::new().await;
    app.get("/api/v1/nothing").await.problem(404, "no_route");
    app.get("/api/v1/datasets/none").await.problem(404, "not_found");
    app.get("/api/v1/jobs/not-a-uuid").await.problem(404, "not_found");
    app.get("/api/v1/jobs/00000000-0000-0000-0000-000000000000").await.problem(404, "not_found");
    let put = app.send(Request::put("/api/v1/datasets").body(Body::empty()).unwrap()).await;
    put.problem(405, "method_not_allowed");
    assert!(put.header("allow").contains("GET"), "{:?}", put.headers);
}

#[tokio::test]
async fn queries_and_cursors() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 3).await;
    app.get("/api/v1/datasets?limit=0").await.problem_with("limit", "limit_range");
    app.get("/api/v1/datasets?limit=201").await.problem_with("limit", "limit_range");
    app.get("/api/v1/datasets?limit=x").await.problem_with("limit", "query");
    app.get("/api/v1/datasets?cursor=zz").await.problem_with("cursor", "bad_cursor");
    app.get("/api/v1/datasets/d/samples?split=none").await.problem(422, "query");
    // a cursor of another list
    let next = app.get_json("/api/v1/datasets/d/classes?limit=1").await["next"].clone();
    let path = format!("/api/v1/datasets/d/samples?cursor={}", next.as_str().unwrap());
    app.get(&path).await.problem_with("cursor", "bad_cursor");
    app.get("/api/v1/datasets/d/suspects").await.problem(404, "no_scan");
    app.get("/api/v1/datasets/d/suspects?detector=hunch").await.problem(422, "query");
}

#[tokio::test]
async fn bodies() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let post = |kind: Option<&str>, body: Vec<u8>| {
        let mut request = Request::post("/api/v1/datasets/d/samples/s0/reviews");
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        app.send(request.body(Body::from(body)).unwrap())
    };
    post(Some("application/json"), b"{".to_vec()).await.problem(400, "json_syntax");
    post(Some("application/json"), b"\xff\xfe".to_vec()).await.problem(400, "json_syntax");
    post(None, b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    post(Some("text/plain"), b"{}".to_vec()).await.problem(415, "unsupported_media_type");
    let json = Some("application/json");
    post(json, b"{}".to_vec()).await.problem_with("client_id", "json_data");
    post(json, br#"{"client_id": "x", "decision": "keep"}"#.to_vec())
        .await
        .problem_with("client_id", "json_data");
    post(json, br#"{"x": 1}"#.to_vec()).await.problem_with("x", "json_data");
    post(json, vec![b' '; (2 << 20) + 1]).await.problem(413, "too_large");
    let deep = "[".repeat(100_000);
    post(json, deep.into_bytes()).await.problem(422, "json_data");
}

#[tokio::test]
async fn what_postgres_cannot_keep_is_the_clients_fault() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    app.get("/api/v1/datasets/a%00b").await.problem(422, "bad_text");
    app.get("/api/v1/datasets/d/samples/a%00b").await.problem(422, "bad_text");
    app.get("/api/v1/datasets/d/samples?class=a%00b").await.problem(422, "bad_text");
    let review = json!({
        "client_id": "0192f0c1-2f6e-7cc0-8000-5d2b6d1f0a11", "decision": "unsure", "comment": "a\u{0}b"
    });
    app.post_json("/api/v1/datasets/d/samples/s0/reviews", &review).await.problem(422, "bad_text");
}

#[tokio::test]
async fn arguments_are_refused_before_they_are_queued() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    app.post_json("/api/v1/datasets/d/exports", &json!({"format": "xlsx"}))
        .await
        .problem_with("format", "unknown_format");
    app.post_json("/api/v1/datasets/d/scans", &json!({"snapshot": "0123456789"}))
        .await
        .problem_with("snapshot", "unknown_snapshot");
    app.post_json("/api/v1/datasets/d/scans", &json!({"snap": "x"})).await.problem_with("snap", "json_data");
    app.post_json("/api/v1/datasets/none/scans", &json!({})).await.problem(404, "not_found");
    assert_eq!(app.walk("/api/v1/jobs", 10).await.len(), 0);
}

#[tokio::test]
async fn a_database_that_is_gone_says_try_again() {
    let app = TestApp::new().await;
    assert_eq!(app.get("/readyz").await.status, 200);
    app.services.store.pool().close().await;
    let answer = app.get("/api/v1/datasets").await;
    answer.problem(503, "unavailable");
    assert_eq!(answer.header("retry-after"), "2");
    app.get("/readyz").await.problem(503, "not_ready");
    assert_eq!(app.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn browsers_get_a_page_and_programs_json() {
    let app = TestApp::new().await;
    let ask = |path: &str, accept: &str| {
        let request = Request::get(path).header("accept", accept).body(Body::empty()).unwrap();
        app.send(request)
    };
    let page = ask("/no/such/page", "text/html,*/*").await;
    assert_eq!(page.status, 404);
    assert!(page.header("content-type").starts_with("text/html"));
    assert!(String::from_utf8_lossy(&page.bytes).starts_with("<!doctype html>"));
    ask("/no", "application/json").await.problem(404, "no_route");
    ask("/api/no", "text/html").await.problem(404, "no_route");
}

#[tokio::test]
async fn a_nul_in_an_address_is_an_address_that_leads_nowhere() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    for path in ["/datasets/%00", "/datasets/d/samples/%00", "/datasets/d/samples?class=%00", "/?after=%00"] {
        assert_eq!(app.get(path).await.status, 404, "{path}");
    }
}
