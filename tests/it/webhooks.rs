//! Webhooks: what is sent to a real server, how it is signed, what happens when nobody takes it, and who
//! may see it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use tamis::jobs::webhooks::deliver_due;
use uuid::Uuid;

use crate::support::TestApp;

/// What came, and what the server answers to the next requests (200 when the list is empty).
#[derive(Clone, Default)]
struct Receiver {
    got: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
}

impl Receiver {
    async fn start() -> (Self, String) {
        let receiver = Self::default();
        let take = async |State(r): State<Self>, headers: HeaderMap, body: String| {
            r.got.lock().unwrap().push((headers, body));
            let status = r.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK);
            // a receiver that sends elsewhere must not be followed
            (status, [("location", "http://127.0.0.1:1/")])
        };
        let app = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (receiver, url)
    }

    fn bodies(&self) -> Vec<Value> {
        self.got.lock().unwrap().iter().map(|(_, b)| serde_json::from_str(b).unwrap()).collect()
    }
}

async fn app() -> TestApp {
    TestApp::with(|c| {
        c.webhooks.enabled = true;
        c.webhooks.allow_private = true;
    })
    .await
}

const HOOKS: &str = "/api/v1/datasets/clips/webhooks";

async fn hook(app: &TestApp, url: &str, events: &[&str]) -> (String, String) {
    let made = app.post_json(HOOKS, &json!({"url": url, "events": events})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&made.bytes));
    let json = made.json();
    (json["id"].as_str().unwrap().to_owned(), json["secret"].as_str().unwrap().to_owned())
}

async fn log(app: &TestApp, id: &str) -> Vec<Value> {
    app.walk(&format!("{HOOKS}/{id}/deliveries"), 50).await
}

/// Makes what waits due now.
async fn hurry(app: &TestApp) {
    sqlx::query("update webhook_deliveries set next_at = now() where next_at is not null")
        .execute(app.services.store.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_training_that_ends_is_told_with_what_came_of_it() {
    let mut app = app().await;
    app.work();
    let dataset = crate::predict::told_by_title(&app, "clips").await;
    let (receiver, url) = Receiver::start().await;
    hook(&app, &url, &["job.ended"]).await;
    let trained = crate::predict::train(&app, dataset).await;
    // the worker may have sent it already
    deliver_due(&app.services).await.unwrap();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while receiver.bodies().is_empty() && std::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let said = receiver.bodies();
    assert_eq!(said.len(), 1, "{said:?}");
    let data = &said[0]["data"];
    assert_eq!(
        (&said[0]["event"], &data["kind"], &data["state"]),
        (&json!("job.ended"), &json!("train"), &json!("succeeded"))
    );
    // whoever is told can fetch what came of it
    assert_eq!(data["result"]["training_id"], trained["training_id"]);
    assert_eq!(
        app.get_json(&format!("/api/v1/jobs/{}", data["id"].as_str().unwrap())).await["state"],
        "succeeded"
    );
}

#[tokio::test]
async fn what_happens_is_told_once_and_signed() {
    let app = app().await;
    app.dataset_with_samples("clips", 3).await;
    app.dataset_with_samples("other", 3).await;
    let (receiver, url) = Receiver::start().await;
    let (id, secret) = hook(&app, &url, &["review.recorded"]).await;
    for dataset in ["clips", "other"] {
        let path = format!("/api/v1/datasets/{dataset}/samples/s1/reviews");
        let decision = json!({"client_id": Uuid::now_v7(), "decision": "relabel", "class": "ski"});
        for _ in 0..2 {
            assert!(app.post_json(&path, &decision).await.status.is_success());
        }
    }
    assert_eq!(deliver_due(&app.services).await.unwrap(), 1);
    assert_eq!(deliver_due(&app.services).await.unwrap(), 0);
    let (headers, body) = receiver.got.lock().unwrap()[0].clone();
    let said: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((said["event"].as_str(), said["dataset"].as_str()), (Some("review.recorded"), Some("clips")));
    assert_eq!(said["data"]["sample"], "s1");
    assert_eq!(said["data"]["classes"], json!(["ski"]));

    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    let (msg, at) = (header("webhook-id"), header("webhook-timestamp"));
    let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
    assert_eq!(key.len(), 32);
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{msg}.{at}.{body}").as_bytes());
    assert_eq!(header("webhook-signature"), format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())));
    let age = chrono::Utc::now().timestamp() - at.parse::<i64>().unwrap();
    assert!((0..60).contains(&age), "{age}");
    let log = log(&app, &id).await;
    assert_eq!(log.len(), 1);
    assert_eq!((log[0]["status"].as_i64(), log[0]["delivered_at"].is_null()), (Some(200), false));
    // the secret was shown once
    let listed = app.get(HOOKS).await;
    assert!(!String::from_utf8_lossy(&listed.bytes).contains("whsec_"));
}

#[tokio::test]
async fn snapshots_and_ended_jobs_are_told() {
    let mut app = app().await;
    let dataset = app.dataset_with_samples("clips", 3).await;
    let (receiver, url) = Receiver::start().await;
    hook(&app, &url, &["job.ended", "snapshot.created"]).await;
    app.snapshot(dataset, &"cd".repeat(32)).await;
    let args = tamis::jobs::export::ExportArgs { format: "csv".into(), snapshot: None };
    let job = app.services.enqueue_export(dataset, &args).await.unwrap();
    app.work();
    app.ended(job).await;
    while deliver_due(&app.services).await.unwrap() > 0 {}
    let said = receiver.bodies();
    let ended: Vec<&Value> = said.iter().filter(|b| b["event"] == "job.ended").collect();
    assert_eq!(ended.len(), 1, "{said:?}");
    assert_eq!(ended[0]["data"]["id"], job.to_string());
    assert_eq!(ended[0]["data"]["kind"], "export");
    assert!(said.iter().any(|b| b["event"] == "snapshot.created" && b["data"]["id"] == "cd".repeat(32)));
}

#[tokio::test]
async fn what_nobody_takes_is_tried_again_and_given_up_in_the_end() {
    let app = app().await;
    app.dataset_with_samples("clips", 1).await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = hook(&app, &url, &["job.ended"]).await;
    // a redirect is not followed and counts as not taken
    let answers = [StatusCode::FOUND, StatusCode::INTERNAL_SERVER_ERROR];
    receiver.answers.lock().unwrap().extend(answers);
    let ping = app.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    assert_eq!(ping.status, StatusCode::ACCEPTED);
    for (attempt, status) in [(1, 302), (2, 500), (3, 200)] {
        assert_eq!(deliver_due(&app.services).await.unwrap(), 1);
        let log = log(&app, &id).await;
        assert_eq!((log[0]["attempts"].as_i64(), log[0]["status"].as_i64()), (Some(attempt), Some(status)));
        assert_eq!(log[0]["delivered_at"].is_null(), status != 200);
        assert_eq!(deliver_due(&app.services).await.unwrap(), 0, "it waits");
        hurry(&app).await;
    }
    let ids: Vec<String> = receiver
        .got
        .lock()
        .unwrap()
        .iter()
        .map(|(h, _)| h["webhook-id"].to_str().unwrap().to_owned())
        .collect();
    assert!(ids.iter().all(|i| *i == ids[0]), "one thing, one id: {ids:?}");

    receiver.answers.lock().unwrap().extend([StatusCode::BAD_GATEWAY; 20]);
    app.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    let mut tries = 0;
    while deliver_due(&app.services).await.unwrap() > 0 {
        tries += 1;
        hurry(&app).await;
    }
    assert_eq!(tries, 8);
    let given_up = log(&app, &id).await.remove(0);
    assert!(given_up["next_at"].is_null() && given_up["delivered_at"].is_null(), "{given_up}");
    // by hand it goes out again
    receiver.answers.lock().unwrap().clear();
    let again = format!("{HOOKS}/{id}/deliveries/{}/redeliver", given_up["id"]);
    assert_eq!(app.post_json(&again, &json!({})).await.status, StatusCode::ACCEPTED);
    assert_eq!(deliver_due(&app.services).await.unwrap(), 1);
    assert!(!log(&app, &id).await[0]["delivered_at"].is_null());
    // a removed one gets nothing more
    app.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    let gone = axum::http::Request::delete(format!("{HOOKS}/{id}")).body(axum::body::Body::empty()).unwrap();
    assert_eq!(app.send(gone).await.status, StatusCode::NO_CONTENT);
    assert_eq!(deliver_due(&app.services).await.unwrap(), 0);
}

#[tokio::test]
async fn a_worker_that_dies_with_a_delivery_leaves_it_to_another() {
    let app = app().await;
    app.dataset_with_samples("clips", 1).await;
    let (receiver, url) = Receiver::start().await;
    let (id, _) = hook(&app, &url, &["job.ended"]).await;
    app.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    // claimed, and then nothing more is heard
    assert_eq!(app.services.store.claim_deliveries(8, 60).await.unwrap().len(), 1);
    assert_eq!(deliver_due(&app.services).await.unwrap(), 0);
    hurry(&app).await;
    assert_eq!(deliver_due(&app.services).await.unwrap(), 1);
    assert_eq!(receiver.bodies().len(), 1);
}

#[tokio::test]
async fn addresses_inside_are_refused_and_off_is_off() {
    let guarded = TestApp::with(|c| c.webhooks.enabled = true).await;
    guarded.dataset_with_samples("clips", 1).await;
    for url in ["http://127.0.0.1/x", "http://2130706433/", "http://[::ffff:10.0.0.1]/", "file:///etc/passwd"]
    {
        let refused = guarded.post_json(HOOKS, &json!({"url": url, "events": ["job.ended"]})).await;
        refused.problem_with("url", "url");
    }
    let unknown = guarded.post_json(HOOKS, &json!({"url": "https://a.example/", "events": ["x"]})).await;
    unknown.problem_with("events", "events");
    // a name is looked up when it is used
    let (receiver, url) = Receiver::start().await;
    let by_name = url.replace("127.0.0.1", "localhost");
    let (id, _) = hook(&guarded, &by_name, &["job.ended"]).await;
    guarded.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    deliver_due(&guarded.services).await.unwrap();
    let log = log(&guarded, &id).await;
    assert_eq!(log[0]["error"], "the address leads to this machine or a private network");
    assert!(receiver.bodies().is_empty());

    let off = TestApp::new().await;
    off.dataset_with_samples("clips", 1).await;
    let refused = off.post_json(HOOKS, &json!({"url": "https://a.example/", "events": ["job.ended"]})).await;
    refused.problem(409, "webhooks_off");
}

/// GHSA-p3c9-m7jr-jxxj and its like: the deliveries of another's webhook.
#[tokio::test]
async fn another_datasets_webhooks_are_nobodys_business() {
    let app = app().await;
    app.dataset_with_samples("clips", 1).await;
    app.dataset_with_samples("mine", 1).await;
    let (_, url) = Receiver::start().await;
    let (id, _) = hook(&app, &url, &["job.ended"]).await;
    app.post_json(&format!("{HOOKS}/{id}/ping"), &json!({})).await;
    let delivery = log(&app, &id).await[0]["id"].clone();
    let ada = app.first_admin().await;
    let (account, eve) = app.person(&ada, "eve").await;
    app.join(&ada, "mine", account, "lead").await;
    let mine = "/api/v1/datasets/mine/webhooks";
    for (method, path) in [
        (Method::GET, format!("{mine}/{id}/deliveries")),
        (Method::POST, format!("{mine}/{id}/deliveries/{delivery}/redeliver")),
        (Method::POST, format!("{mine}/{id}/ping")),
        (Method::DELETE, format!("{mine}/{id}")),
        (Method::GET, format!("{HOOKS}/{id}/deliveries")),
    ] {
        let body = (method == Method::POST).then(|| json!({}));
        let answer = app.as_(&eve, method.clone(), &path, body).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}");
    }
    let page = app.as_(&ada, Method::GET, "/datasets/clips/webhooks", None).await;
    assert!(String::from_utf8_lossy(&page.bytes).contains(&url));
}
