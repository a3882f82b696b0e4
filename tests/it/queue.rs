//! The queue through the real router: who gets what, leases, batches, comments.

mod second_looks;

use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Answer, TestApp};

/// One browser tab of one person.
struct Tab<'a> {
    app: &'a TestApp,
    person: &'static str,
    holder: Uuid,
}

impl TestApp {
    fn tab(&self, person: &'static str) -> Tab<'_> {
        Tab { app: self, person, holder: Uuid::now_v7() }
    }

    async fn set_policy(&self, policy: Value) {
        let request = axum::http::Request::put("/api/v1/datasets/d/policy")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(policy.to_string()))
            .unwrap();
        let answer = self.send(request).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
    }

    async fn sql(&self, sql: &'static str) {
        sqlx::query(sql).execute(self.services.store.pool()).await.unwrap();
    }

    async fn standing(&self, sample: &str) -> (String, String, Option<String>, Option<String>) {
        let row: (String, String, Option<String>, Option<String>) = sqlx::query_as(
            "select c.class, c.source, v.state, v.class from samples s join current_labels c on c.sample_id = s.id
             left join verifications v on v.sample_id = s.id where s.external_id = $1",
        )
        .bind(sample)
        .fetch_one(self.services.store.pool())
        .await
        .unwrap();
        row
    }
}

impl Tab<'_> {
    async fn draw(&self, count: i64) -> Vec<Value> {
        let body = json!({"holder": self.holder, "count": count, "author": self.person});
        let answer = self.app.post_json("/api/v1/datasets/d/queue/draw", &body).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
        answer.json()["items"].as_array().unwrap().clone()
    }

    async fn draws(&self, count: i64) -> Vec<String> {
        self.draw(count).await.iter().map(|i| i["sample"].as_str().unwrap().to_owned()).collect()
    }

    /// Decides; the client id.
    async fn decides(&self, item: &Value, decision: Value) -> Uuid {
        let client_id = Uuid::now_v7();
        let mut body = json!({"client_id": client_id, "author": self.person, "lease_id": item["lease_id"]});
        body.as_object_mut().unwrap().extend(decision.as_object().unwrap().clone());
        let path = format!("/api/v1/datasets/d/samples/{}/reviews", item["sample"].as_str().unwrap());
        let answer = self.app.post_json(&path, &body).await;
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
        client_id
    }

    async fn undoes(&self, review: Uuid) -> Value {
        let answer = self.undo(review).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    async fn undo(&self, review: Uuid) -> Answer {
        let path = format!("/api/v1/datasets/d/reviews/{review}/undo");
        self.app.post_json(&path, &json!({"author": self.person})).await
    }
}

fn keep() -> Value {
    json!({"decision": "keep"})
}

fn relabel(class: &str) -> Value {
    json!({"decision": "relabel", "class": class})
}

/// Six samples, five of them flagged, in order.
async fn app() -> TestApp {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 6).await;
    app.scan(d, 5).await;
    app
}

#[tokio::test]
async fn two_tabs_and_two_people_hold_different_samples() {
    let app = app().await;
    let (ann, again, bob) = (app.tab("ann"), app.tab("ann"), app.tab("bob"));
    assert_eq!(ann.draws(2).await, ["s0", "s1"]);
    assert_eq!(again.draws(1).await, ["s2"]);
    assert_eq!(bob.draws(4).await, ["s3", "s4"]);
    assert_eq!(ann.draws(3).await, ["s0", "s1"], "what the tab holds, and no more there is");
    let held = ann.draw(2).await;
    assert_eq!(held[0]["purpose"], "review");
    ann.decides(&held[0], keep()).await;
    assert_eq!(ann.draws(1).await, ["s1"]);
    let status = app.get_json("/api/v1/datasets/d/queue").await;
    assert_eq!(status["counts"], json!([{"purpose": "first", "open": 4, "held": 4, "done": 1}]));
    assert_eq!(status["held"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_lease_runs_out_and_its_decision_still_counts() {
    let app = app().await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let old = ann.draw(1).await.remove(0);
    app.sql("update queue_items set leased_until = now() - interval '1 minute' where lease_id is not null")
        .await;
    let new = bob.draw(1).await.remove(0);
    assert_eq!(new["sample"], "s0");
    let path = format!("/api/v1/datasets/d/queue/leases/{}/extend", old["lease_id"].as_str().unwrap());
    app.post_json(&path, &json!({"author": "ann"})).await.problem(409, "lease_expired");
    bob.decides(&new, relabel("dog")).await;
    assert_eq!(
        app.standing("s0").await,
        ("dog".into(), "annotator".into(), Some("verified".into()), Some("dog".into()))
    );
    // a further look: it differs, so somebody has to settle it
    ann.decides(&old, keep()).await;
    assert_eq!(app.standing("s0").await.2, Some("adjudicate".into()));
    // an expired lease that nobody took is still good
    let mine = ann.draw(1).await.remove(0);
    app.sql("update queue_items set leased_until = now() - interval '1 minute' where state = 'open' and lease_id is not null").await;
    let path = format!("/api/v1/datasets/d/queue/leases/{}/extend", mine["lease_id"].as_str().unwrap());
    let longer = app.post_json(&path, &json!({"author": "ann"})).await.json();
    assert_eq!(longer["lease_id"], mine["lease_id"]);
    app.post_json(&path, &json!({"author": "bob"})).await.problem(409, "lease_expired");
}

#[tokio::test]
async fn a_lease_of_somebody_else_decides_nothing() {
    let app = app().await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let item = ann.draw(1).await.remove(0);
    let body = json!({"client_id": Uuid::now_v7(), "author": bob.person, "lease_id": item["lease_id"], "decision": "keep"});
    app.post_json("/api/v1/datasets/d/samples/s0/reviews", &body)
        .await
        .problem_with("lease_id", "unknown_lease");
}

#[tokio::test]
async fn skipped_samples_come_back_last_and_to_others_at_once() {
    let app = app().await;
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    let item = ann.draw(1).await.remove(0);
    let path = format!("/api/v1/datasets/d/queue/leases/{}/release", item["lease_id"].as_str().unwrap());
    let answer = app.post_json(&path, &json!({"author": "ann", "skip": true})).await;
    assert_eq!(answer.status, 204);
    assert_eq!(ann.draws(1).await, ["s1"]);
    assert_eq!(bob.draws(1).await, ["s0"]);
    let path = format!(
        "/api/v1/datasets/d/queue/leases/{}/release",
        bob.draw(1).await[0]["lease_id"].as_str().unwrap()
    );
    app.post_json(&path, &json!({"author": "bob"})).await;
    assert_eq!(ann.draws(4).await, ["s1", "s2", "s3", "s4"]);
    for item in ann.draw(4).await {
        ann.decides(&item, keep()).await;
    }
    assert_eq!(ann.draws(4).await, ["s0"]);
}

#[tokio::test]
async fn comments_are_kept_once() {
    let app = app().await;
    let path = "/api/v1/datasets/d/samples/s0/comments";
    let body = json!({"client_id": Uuid::now_v7(), "text": "两类都像", "author": "ann"});
    assert_eq!(app.post_json(path, &body).await.status, 201);
    assert_eq!(app.post_json(path, &body).await.status, 200);
    app.post_json("/api/v1/datasets/d/samples/s1/comments", &body)
        .await
        .problem_with("client_id", "client_id_reused");
    app.post_json(path, &json!({"client_id": Uuid::now_v7(), "text": " "}))
        .await
        .problem_with("text", "empty");
    let comments = app.walk(path, 5).await;
    assert_eq!(comments.len(), 1);
    assert_eq!(comments[0]["text"], "两类都像");
}

#[tokio::test]
async fn a_lead_puts_samples_in_front() {
    let app = app().await;
    let ann = app.tab("ann");
    assert_eq!(ann.draws(1).await, ["s0"]);
    let fill = json!({"order": "newest", "limit": 2, "filter": {"all": true}});
    let filled = app.post_json("/api/v1/datasets/d/queue/fill", &fill).await.json();
    assert_eq!(filled["queued"], 2);
    assert_eq!(ann.draws(4).await, ["s0", "s5", "s4", "s1"], "what is held first");
    app.post_json("/api/v1/datasets/d/queue/fill", &json!({"order": "value", "limit": 0}))
        .await
        .problem_with("limit", "limit_range");
    app.dataset_with_samples("e", 1).await;
    app.post_json("/api/v1/datasets/e/queue/fill", &json!({"order": "value", "limit": 1}))
        .await
        .problem_with("order", "no_scan");
}

#[tokio::test]
async fn batches_have_an_owner_progress_and_an_end() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 30).await;
    app.scan(d, 30).await;
    let path = "/api/v1/datasets/d/batches";
    let new = json!({"name": "urgent", "owner": "ann", "priority": 5, "due_on": "2020-01-31", "order": "newest", "limit": 12});
    let made = app.post_json(path, &new).await;
    assert_eq!(made.status, 201, "{}", String::from_utf8_lossy(&made.bytes));
    let made = made.json();
    assert_eq!(
        (&made["size"], &made["open"], &made["pace"], &made["late"]),
        (&json!(12), &json!(12), &Value::Null, &json!(true))
    );
    app.post_json(path, &new).await.problem(409, "batch_exists");
    let empty = json!({"name": "none", "order": "value", "limit": 5, "filter": {"given": "dog"}});
    app.post_json(path, &empty).await.problem_with("filter", "empty_batch");
    let rest = json!({"name": "rest", "owner": "cy", "order": "newest", "limit": 2});
    assert_eq!(
        app.post_json(path, &rest).await.json()["size"],
        2,
        "those of the first batch are passed over"
    );
    let (ann, bob) = (app.tab("ann"), app.tab("bob"));
    assert_eq!(ann.draws(2).await, ["s29", "s28"], "the urgent ones first");
    assert_eq!(bob.draws(1).await, ["s0"], "and only to their owner");
    for _ in 0..11 {
        let item = ann.draw(1).await.remove(0);
        assert_eq!(item["batch"], made["id"]);
        ann.decides(&item, keep()).await;
    }
    let one = format!("{path}/{}", made["id"].as_str().unwrap());
    for (lang, word) in [("en", "Batches"), ("zh-CN", "批次")] {
        let page = app.get(&format!("/datasets/d/work?lang={lang}")).await;
        let html = String::from_utf8(page.bytes).unwrap();
        assert_eq!(page.status, 200);
        assert!(html.contains(word) && html.contains("urgent") && html.contains("review?batch="), "{html}");
    }
    let now = app.get_json(&one).await;
    assert_eq!((&now["size"], &now["open"]), (&json!(12), &json!(1)));
    assert!(now["pace"].as_f64().unwrap() > 0.0 && now["finish"].is_string(), "{now}");
    let patch = async |body: Value| {
        let request = axum::http::Request::patch(&one)
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.to_string()))
            .unwrap();
        app.send(request).await
    };
    let changed = patch(json!({"owner": null, "priority": 0, "due_on": "2999-01-01"})).await.json();
    assert_eq!((&changed["owner"], &changed["late"]), (&Value::Null, &json!(false)));
    patch(json!({"priority": 1000})).await.problem_with("priority", "priority_range");
    let closed = patch(json!({"closed": true})).await.json();
    assert!(closed["closed_at"].is_string());
    // what is left of it comes in the order of review again, the one in ann's hands among the others
    let left: i64 =
        sqlx::query_scalar("select count(*) from queue_items where batch_id = (select id from batches where name = 'urgent') and state = 'open'")
            .fetch_one(app.services.store.pool())
            .await
            .unwrap();
    assert_eq!(left, 0);
    assert_eq!(app.walk(path, 1).await.len(), 2);
}
