//! Reviewing while things end: the server between draw and decision, the database in the middle of it. Nothing is
//! lost and nothing is there twice.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tamis::native::postgres::EmbeddedPostgres;
use tamis::native::{Native, NativeSettings};
use uuid::Uuid;

use crate::browser::Server;
use crate::postgres;
use crate::support::TestApp;

fn draw(person: &str, count: i64) -> Value {
    json!({"holder": Uuid::now_v7(), "count": count, "author": person})
}

fn samples(drawn: &Value) -> Vec<&str> {
    drawn["items"].as_array().unwrap().iter().map(|i| i["sample"].as_str().unwrap()).collect()
}

/// Posts JSON over a connection of its own; status and answer.
fn post(server: &Server, path: &str, body: &Value) -> (u16, Value) {
    let host = server.url.strip_prefix("http://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    let body = body.to_string();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let json = &body[body.find('{').unwrap()..=body.rfind('}').unwrap()];
    (status, serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {answer}")))
}

impl TestApp {
    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(self.services.store.pool()).await.unwrap()
    }
}

#[tokio::test]
async fn a_server_killed_between_draw_and_decision_loses_and_doubles_nothing() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 3).await;
    app.scan(dataset, 3).await;
    let mut server = Server::start(Some(app.database_url()));
    let (status, drawn) = post(&server, "/api/v1/datasets/d/queue/draw", &draw("ann", 1));
    assert_eq!((status, samples(&drawn)), (200, vec!["s0"]));
    server.kill();

    let server = Server::start(Some(app.database_url()));
    let (_, bobs) = post(&server, "/api/v1/datasets/d/queue/draw", &draw("bob", 3));
    assert_eq!(samples(&bobs), ["s1", "s2"], "ann still has the first");
    let decision = json!({"client_id": Uuid::now_v7(), "decision": "relabel", "class": "dog", "author": "ann",
        "lease_id": drawn["items"][0]["lease_id"]});
    let path = "/api/v1/datasets/d/samples/s0/reviews";
    let (status, first) = post(&server, path, &decision);
    assert_eq!(status, 201, "{first}");
    let (status, again) = post(&server, path, &decision);
    assert_eq!((status, &again["id"]), (200, &first["id"]), "sent again, it is the same one");
    assert_eq!(app.number("select count(*) from reviews").await, 1);
    assert_eq!(app.number("select count(*) from labels where source = 'annotator'").await, 1);
    assert_eq!(app.number("select count(*) from queue_items where state = 'open'").await, 2);
}

#[tokio::test]
async fn the_database_killed_in_the_middle_of_reviewing_loses_and_doubles_nothing() {
    let state = tempfile::tempdir().unwrap();
    let native = Native::resolve(&NativeSettings::default());
    let database =
        EmbeddedPostgres::start_with(&native, state.path(), Path::new(env!("CARGO_BIN_EXE_tamis"))).await;
    let database = database.expect("the embedded server starts");
    let app = TestApp::on(database.url()).await;
    let dataset = app.dataset_with_samples("d", 3).await;
    app.scan(dataset, 3).await;
    let drawn = app.post_json("/api/v1/datasets/d/queue/draw", &draw("ann", 2)).await.json();
    assert_eq!(samples(&drawn), ["s0", "s1"]);

    let before = postgres::server(state.path());
    assert!(postgres::signal("-9", &before.to_string()));
    // what the browser does: the decision is sent again, with its id, until somebody has it
    let decision = json!({"client_id": Uuid::now_v7(), "decision": "keep", "author": "ann",
        "lease_id": drawn["items"][0]["lease_id"]});
    let path = "/api/v1/datasets/d/samples/s0/reviews";
    let mut taken = None;
    for _ in 0..600 {
        let answer = app.post_json(path, &decision).await;
        if answer.status.is_success() {
            taken = Some(answer);
            break;
        }
        answer.problem(503, "unavailable");
        assert!(!answer.header("retry-after").is_empty());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let taken = taken.expect("the database came back");
    assert_ne!(postgres::server(state.path()), before, "it is another server");
    let again = app.post_json(path, &decision).await;
    assert_eq!((again.status.as_u16(), &again.json()["id"]), (200, &taken.json()["id"]));
    assert_eq!(app.number("select count(*) from reviews").await, 1);
    assert_eq!(app.number("select count(*) from labels where source = 'annotator'").await, 1);
    // the lease of the other sample holds
    let bobs = app.post_json("/api/v1/datasets/d/queue/draw", &draw("bob", 3)).await.json();
    assert_eq!(samples(&bobs), ["s2"]);
    let decision = json!({"client_id": Uuid::now_v7(), "decision": "keep", "author": "ann",
        "lease_id": drawn["items"][1]["lease_id"]});
    assert_eq!(app.post_json("/api/v1/datasets/d/samples/s1/reviews", &decision).await.status, 201);
}
