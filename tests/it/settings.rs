//! What people choose about the pages: kept for each of them, refused when it makes no sense.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::support::{Answer, TestApp};

const AT: &str = "/api/v1/account/settings";

async fn put(app: &TestApp, settings: &Value) -> Answer {
    let request = Request::put(AT).header("content-type", "application/json");
    app.send(request.body(Body::from(settings.to_string())).unwrap()).await
}

#[tokio::test]
async fn key_bindings_are_kept_and_replaced() {
    let app = TestApp::new().await;
    assert_eq!(app.get_json(AT).await, json!({"keys": {}}));
    for keys in [json!({"keep": "q", "take": "k"}), json!({"skip": "ö"}), json!({})] {
        let answer = put(&app, &json!({"keys": keys})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
        assert_eq!(app.get_json(AT).await, json!({"keys": keys}));
    }
}

#[tokio::test]
async fn keys_that_no_screen_could_use_are_refused() {
    let app = TestApp::new().await;
    put(&app, &json!({"keys": {"keep": "q"}})).await;
    let many: serde_json::Map<String, Value> =
        (0..65).map(|i| ("a".repeat(i % 40 + 1) + &"b".repeat(i / 40), json!("x"))).collect();
    for (keys, code) in [
        (json!({"keep": "qq"}), "bad_keys"),
        (json!({"keep": ""}), "bad_keys"),
        (json!({"keep": "\u{7}"}), "bad_keys"),
        (json!({"Keep!": "q"}), "bad_keys"),
        (Value::Object(many), "bad_keys"),
        (json!({"keep": "q", "take": "q"}), "key_twice"),
    ] {
        let answer = put(&app, &json!({"keys": keys})).await;
        assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "{keys}");
        assert_eq!(answer.json()["code"], code, "{keys}");
    }
    assert_eq!(app.get_json(AT).await, json!({"keys": {"keep": "q"}}), "a refusal changes nothing");
}
