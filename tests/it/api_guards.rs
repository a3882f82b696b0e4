//! The guards in front of the handlers: host names, writes of other sites, headers, compression.

use axum::body::Body;
use axum::http::Request;

use crate::support::TestApp;

#[tokio::test]
async fn only_this_machines_names_are_answered() {
    let app = TestApp::new().await;
    let ask =
        |host: &str| app.send(Request::get("/healthz").header("host", host).body(Body::empty()).unwrap());
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(ask(host).await.status, 200, "{host}");
    }
    for host in ["evil.example", "127.0.0.1.evil.example:8080", ""] {
        ask(host).await.problem(421, "host_not_allowed");
    }
    let absolute = Request::get("http://evil.example/healthz").header("host", "localhost");
    app.send(absolute.body(Body::empty()).unwrap()).await.problem(421, "host_not_allowed");
    let remote = TestApp::with(|c| c.server.allow_remote = true).await;
    let request = Request::get("/healthz").header("host", "tamis.example").body(Body::empty()).unwrap();
    assert_eq!(remote.send(request).await.status, 200);
}

#[tokio::test]
async fn writes_of_other_sites_are_refused() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let delete = |pairs: &[(&str, &str)]| {
        let mut request = Request::delete("/api/v1/datasets/d").header("host", "localhost:8080");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        app.send(request.body(Body::empty()).unwrap())
    };
    delete(&[("sec-fetch-site", "cross-site")]).await.problem(403, "cross_site");
    delete(&[("sec-fetch-site", "same-site")]).await.problem(403, "cross_site");
    delete(&[("origin", "http://evil.example")]).await.problem(403, "cross_site");
    delete(&[("origin", "http://localhost:9999")]).await.problem(403, "cross_site");
    assert_eq!(app.get("/api/v1/datasets/d").await.status, 200);
    // reading is for everyone; what the browser lets a page read is its own matter
    let read = Request::get("/api/v1/datasets").header("sec-fetch-site", "cross-site");
    assert_eq!(app.send(read.body(Body::empty()).unwrap()).await.status, 200);
    assert_eq!(delete(&[("origin", "http://localhost:8080")]).await.status, 204);
    delete(&[]).await.problem(404, "not_found");
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let app = TestApp::new().await;
    for path in ["/healthz", "/api/v1/datasets", "/api/docs", "/api/nothing", "/nothing"] {
        let answer = app.get(path).await;
        let csp = answer.header("content-security-policy");
        assert!(
            csp.contains("default-src 'self'") && csp.contains("frame-ancestors 'none'"),
            "{path}: {csp}"
        );
        assert!(!csp.contains("unsafe"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("x-frame-options"), "DENY", "{path}");
        assert_eq!(answer.header("referrer-policy"), "same-origin", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn long_json_is_compressed() {
    let app = TestApp::new().await;
    let request = Request::get("/api/openapi.json").header("accept-encoding", "gzip");
    let packed = app.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.bytes.len() * 3 < app.get("/api/openapi.json").await.bytes.len());
}
