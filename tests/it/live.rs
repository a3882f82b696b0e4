//! A dataset live: what a listener is told while somebody works.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use crate::people::Session;
use crate::support::TestApp;

/// An open stream.
struct Listener {
    body: Body,
    text: String,
}

impl Listener {
    async fn open(app: &TestApp, who: Option<&Session>) -> Self {
        let mut request = Request::get("/api/v1/datasets/clips/events").header("host", "localhost:8080");
        if let Some(who) = who {
            request = request.header("cookie", &who.cookie);
        }
        let answer = app.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The next event of this name.
    async fn next(&mut self, name: &str) -> Value {
        tokio::time::timeout(Duration::from_secs(20), async {
            loop {
                while let Some(end) = self.text.find("\n\n") {
                    let event: String = self.text.drain(..end + 2).collect();
                    let line = |start: &str| event.lines().find_map(|l| l.strip_prefix(start).map(str::trim));
                    if line("event:") == Some(name) {
                        return serde_json::from_str(line("data:").unwrap()).unwrap();
                    }
                }
                let frame = self.body.frame().await.expect("the stream ended").unwrap();
                self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
            }
        })
        .await
        .unwrap_or_else(|_| panic!("no {name} came: {}", self.text))
    }
}

#[tokio::test]
async fn a_lead_sees_who_holds_what_and_an_annotator_how_much_waits() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 6).await;
    app.scan(dataset, 3).await;
    let ada = app.first_admin().await;
    let (id, li) = app.person(&ada, "li").await;
    app.join(&ada, "clips", id, "annotator").await;
    let mut lead = Listener::open(&app, Some(&ada)).await;
    let mut annotator = Listener::open(&app, Some(&li)).await;
    assert_eq!(lead.next("leases").await, json!([]));
    let before = annotator.next("queue").await["last_review"].as_i64().unwrap();

    let draw = json!({"holder": Uuid::new_v4(), "count": 2});
    let drawn = app.as_(&li, Method::POST, "/api/v1/datasets/clips/queue/draw", Some(draw)).await.json();
    let leases = lead.next("leases").await;
    assert_eq!(leases.as_array().unwrap().len(), 2, "{leases}");
    assert!(leases.as_array().unwrap().iter().all(|l| l["person"] == "li"));
    let held = loop {
        let queue = annotator.next("queue").await;
        if let Some(first) = queue["waiting"].as_array().unwrap().first() {
            break first["held"].clone();
        }
    };
    assert_eq!(held, 2);

    let item = &drawn["items"][0];
    let path = format!("/api/v1/datasets/clips/samples/{}/reviews", item["sample"].as_str().unwrap());
    let decision = json!({"client_id": Uuid::now_v7(), "decision": "keep", "lease_id": item["lease_id"]});
    assert!(app.as_(&li, Method::POST, &path, Some(decision)).await.status.is_success());
    let after = annotator.next("queue").await;
    assert!(after["last_review"].as_i64().unwrap() > before, "{after}");
    assert_eq!(lead.next("leases").await.as_array().unwrap().len(), 1);
    // who holds what is not for annotators
    assert!(!annotator.text.contains("event: leases"));

    let job = app.services.enqueue_encode(dataset).await.unwrap();
    loop {
        let jobs = annotator.next("jobs").await;
        if jobs.as_array().unwrap().iter().any(|j| j["id"] == job.to_string()) {
            break;
        }
    }
}
