//! Jobs through the API: queue, log, cancel, and the live view.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tamis::domain::{JobState, Note};
use tamis::store::jobs::Begin;
use tower::ServiceExt;
use uuid::Uuid;

use crate::support::TestApp;

async fn queued(app: &TestApp) -> Uuid {
    app.dataset_with_samples("d", 1).await;
    let answer = app.post_json("/api/v1/datasets/d/scans", &json!({})).await;
    assert_eq!(answer.status, 202);
    let job = answer.json();
    assert_eq!(answer.header("location"), format!("/api/v1/jobs/{}", job["id"].as_str().unwrap()));
    assert_eq!(job["state"], "queued");
    job["id"].as_str().unwrap().parse().unwrap()
}

async fn begin(app: &TestApp, id: Uuid) -> i32 {
    match app.services.store.begin_job(id, 3).await.unwrap() {
        Begin::Run(job) => job.starts,
        Begin::Skip | Begin::TooOften(_) => panic!("the job should start"),
    }
}

/// `(event, id, data)` of each event in a whole stream.
fn events(text: &str) -> Vec<(String, String, Value)> {
    text.split("\n\n")
        .filter(|e| e.contains("data:"))
        .map(|e| {
            let line = |name: &str| {
                e.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default().trim().to_owned()
            };
            (line("event:"), line("id:"), serde_json::from_str(&line("data:")).unwrap())
        })
        .collect()
}

async fn listen(app: &TestApp, id: Uuid, last: Option<&str>) -> (u16, String) {
    let mut request = Request::get(format!("/api/v1/jobs/{id}/events")).header("host", "localhost");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    let response = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let body = tokio::time::timeout(Duration::from_secs(60), response.into_body().collect());
    (status, String::from_utf8(body.await.expect("the stream ends").unwrap().to_bytes().to_vec()).unwrap())
}

#[tokio::test]
async fn a_queued_job_is_cancelled_at_once() {
    let app = TestApp::new().await;
    let id = queued(&app).await;
    let path = format!("/api/v1/jobs/{id}/cancel");
    let cancelled = app.post_json(&path, &json!({})).await;
    assert_eq!((cancelled.status.as_u16(), cancelled.json()["state"].clone()), (200, json!("cancelled")));
    assert_eq!(app.post_json(&path, &json!({})).await.json()["state"], "cancelled");
    assert_eq!(app.get_json(&format!("/api/v1/jobs/{id}")).await["state"], "cancelled");
}

#[tokio::test]
async fn the_log_goes_on_from_a_line() {
    let app = TestApp::new().await;
    let id = queued(&app).await;
    for i in 0..5 {
        app.services.store.job_log(id, "info", &format!("line {i}"), &Note::new("rule")).await.unwrap();
    }
    let first = app.get_json(&format!("/api/v1/jobs/{id}/log?limit=2")).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    let rest = app.get_json(&format!("/api/v1/jobs/{id}/log?after={}", first["next"])).await;
    let messages: Vec<_> = rest["items"].as_array().unwrap().iter().map(|l| l["message"].clone()).collect();
    assert_eq!(messages, ["line 2", "line 3", "line 4"]);
    assert_eq!(rest["next"], Value::Null);
}

#[tokio::test]
async fn the_live_view_tells_everything_and_ends_with_the_job() {
    let app = TestApp::new().await;
    let id = queued(&app).await;
    let store = app.services.store.clone();
    let work = async {
        let start = begin(&app, id).await;
        for done in [0, 10, 25] {
            store.job_progress(id, start, "stage.scan", done, Some(25)).await.unwrap();
            store
                .job_log(id, "info", &format!("at {done}"), &Note::new("rule").with("why", done))
                .await
                .unwrap();
            tokio::time::sleep(Duration::from_millis(600)).await;
        }
        store.job_log(id, "info", "last words", &Note::new("rule")).await.unwrap();
        store.end_job(id, start, JobState::Succeeded, Some(&json!({"ok": true}))).await.unwrap();
    };
    let ((status, text), ()) = tokio::join!(listen(&app, id, None), work);
    assert_eq!(status, 200);
    let events = events(&text);
    let logs: Vec<_> = events.iter().filter(|e| e.0 == "log").map(|e| e.2["message"].clone()).collect();
    assert_eq!(logs, ["at 0", "at 10", "at 25", "last words"]);
    let note = &events.iter().filter(|e| e.0 == "log").nth(1).unwrap().2["note"];
    assert_eq!(note, &json!({"code": "rule", "args": {"why": "10"}}));
    let progress: Vec<&Value> = events.iter().filter(|e| e.0 == "progress").map(|e| &e.2).collect();
    assert!(progress.windows(2).all(|w| w[0]["done"].as_i64() <= w[1]["done"].as_i64()));
    assert!(progress.iter().any(|p| p["rate_per_second"].as_f64().is_some_and(|r| r > 0.0)), "{text}");
    let last = events.last().unwrap();
    assert_eq!((last.0.as_str(), last.2["state"].clone()), ("progress", json!("succeeded")));
    // a browser that reconnects after the end is told to stop, one that missed a line gets it
    assert_eq!(listen(&app, id, Some(&last.1)).await.0, 204);
    let third = &events.iter().filter(|e| e.0 == "log").nth(2).unwrap().1;
    let missed = self::events(&listen(&app, id, Some(third)).await.1);
    assert_eq!(missed[0].2["message"], "last words");
    assert_eq!(missed.len(), 2);
}

#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_listeners() {
    let app = TestApp::new().await;
    let id = queued(&app).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(tamis::web::serve(app.services.clone(), listener, stopped));
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /api/v1/jobs/{id}/events HTTP/1.1\r\nHost: {address}\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut socket, request.as_bytes()).await.unwrap();
    let mut seen = vec![0; 4096];
    let n = tokio::io::AsyncReadExt::read(&mut socket, &mut seen).await.unwrap();
    let head = String::from_utf8_lossy(&seen[..n]).to_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("text/event-stream"), "{head}");
    stop.send(true).unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(60), server).await;
    ended.expect("the server stops").unwrap().unwrap();
}
