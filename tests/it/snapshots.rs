//! What changed between snapshots, and going back: every label stays in the history.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::people::Session;
use crate::support::TestApp;

const API: &str = "/api/v1/datasets/clips";

impl TestApp {
    async fn decide(&self, sample: &str, class: Option<&str>) {
        let mut body = json!({"client_id": Uuid::now_v7(), "decision": "keep"});
        if let Some(class) = class {
            body["decision"] = json!("relabel");
            body["class"] = json!(class);
        }
        let answer = self.post_json(&format!("{API}/samples/{sample}/reviews"), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
    }

    async fn taken(&self, reason: &str) -> String {
        let answer = self.post_json(&format!("{API}/snapshots"), &json!({"reason": reason})).await;
        assert_eq!(answer.status, StatusCode::CREATED);
        answer.json()["id"].as_str().unwrap().to_owned()
    }

    /// Class and source of each sample's current label, in order.
    async fn labels(&self, dataset: Uuid) -> Vec<(String, String)> {
        sqlx::query_as("select class, source from current_labels where dataset_id = $1 order by sample_id")
            .bind(dataset)
            .fetch_all(self.services.store.pool())
            .await
            .unwrap()
    }

    async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("select count(*) from {table}")))
            .fetch_one(self.services.store.pool())
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn what_changed_is_told_by_classes_and_samples() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 8).await;
    let first = app.taken("before").await;
    for sample in ["s0", "s4"] {
        app.decide(sample, Some("dog")).await;
    }
    app.decide("s1", Some("swim")).await;
    // the same class by somebody is no change of class
    app.decide("s2", None).await;
    let second = app.taken("after").await;
    let found = app.get_json(&format!("{API}/snapshots/{second}/changes?limit=2")).await;
    assert_eq!((&found["against"], &found["changed"]), (&json!(first), &json!(3)));
    assert_eq!(
        found["counts"],
        json!([{"from": "cat", "to": "dog", "n": 2}, {"from": "dog", "to": "swim", "n": 1}])
    );
    let ids = |v: &Value| -> Vec<String> {
        v["items"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&found), ["s0", "s1"]);
    let next = format!("{API}/snapshots/{second}/changes?limit=2&cursor={}", found["next"].as_str().unwrap());
    let rest = app.get_json(&next).await;
    assert_eq!((ids(&rest), &rest["next"]), (vec!["s4".to_owned()], &Value::Null));
    let some = app.get_json(&format!("{API}/snapshots/{second}/changes?from=dog")).await;
    assert_eq!((ids(&some), &some["changed"]), (vec!["s1".to_owned()], &json!(3)));
    // the other way round, and a first one: all of it is new
    let back = app.get_json(&format!("{API}/snapshots/{first}/changes?against={second}&to=cat")).await;
    assert_eq!(ids(&back), ["s0", "s4"]);
    let all = app.get_json(&format!("{API}/snapshots/{first}/changes?from=")).await;
    assert_eq!((&all["against"], &all["changed"]), (&Value::Null, &json!(8)));
    assert_eq!(all["counts"][0]["from"], Value::Null);
    let html =
        String::from_utf8(app.get(&format!("/datasets/clips/snapshots/{second}")).await.bytes).unwrap();
    assert!(html.contains("/datasets/clips/samples/s4") && html.contains("ANIMALS / DOG"), "{html}");
    let list = String::from_utf8(app.get("/datasets/clips/snapshots").await.bytes).unwrap();
    assert!(list.contains(&first) && list.contains(&second) && list.contains("after"));
    assert_eq!(app.get("/datasets/clips/snapshots/0123456789ab").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn going_back_and_forth_loses_nothing() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 6).await;
    app.decide("s5", Some("cat")).await;
    let first = app.taken("good").await;
    let then = app.labels(dataset).await;
    for sample in ["s0", "s4"] {
        app.decide(sample, Some("dog")).await;
    }
    // an adjudicated label outranks whatever people said; a decision that was taken back comes again
    let id = app.sample_ids(dataset).await;
    sqlx::query("insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, 'ski', 'adjudicated', 'x')")
        .bind(dataset)
        .bind(id[1])
        .execute(app.services.store.pool())
        .await
        .unwrap();
    sqlx::query("insert into label_retractions (label_id, author) select max(id), 'x' from labels where sample_id = $1")
        .bind(id[5])
        .execute(app.services.store.pool())
        .await
        .unwrap();
    sqlx::query("update verifications set state = 'gold' where sample_id = $1")
        .bind(id[0])
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let now = app.labels(dataset).await;
    let labels = app.count("labels").await;
    assert_eq!(now.iter().zip(&then).filter(|(a, b)| a != b).count(), 4);

    let restore = format!("{API}/snapshots/{first}/restore");
    app.post_json(&restore, &json!({"reason": " "})).await.problem_with("reason", "reason");
    let answer = app.post_json(&restore, &json!({"reason": "the others were wrong"})).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", String::from_utf8_lossy(&answer.bytes));
    let done = answer.json();
    assert_eq!((&done["changed"], &done["retracted"], &done["given"]), (&json!(4), &json!(3), &json!(1)));
    assert_eq!(app.labels(dataset).await, then);
    assert_eq!(app.taken("again").await, first, "the same labels are the same snapshot");
    assert_eq!(app.count("labels").await, labels + 1, "none was deleted");
    assert_eq!(app.count("verifications where state = 'gold'").await, 0, "another class is not verified");
    let history = app.get_json(&format!("{API}/samples/s0/history")).await.to_string();
    assert!(history.contains("the others were wrong"), "{history}");
    // the same again changes nothing
    let again = app.post_json(&restore, &json!({"reason": "again"})).await.json();
    assert_eq!((&again["changed"], &again["retracted"], &again["given"]), (&json!(0), &json!(0), &json!(0)));
    // and back to where it was
    let before = done["before"].as_str().unwrap();
    let forth = app
        .post_json(&format!("{API}/snapshots/{before}/restore"), &json!({"reason": "no, they were right"}))
        .await;
    assert_eq!(forth.json()["changed"], 4);
    assert_eq!(app.labels(dataset).await, now);
    let audit = app.get_json(&format!("{API}/audit")).await;
    assert_eq!(audit["items"][0]["action"], "snapshot_restored");
    assert_eq!(audit["items"][0]["facts"]["reason"], "no, they were right");
}

#[tokio::test]
async fn what_is_no_longer_verified_waits_again() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 4).await;
    let first = app.taken("good").await;
    app.scan(dataset, 4).await;
    // the scan's snapshot is of the same labels
    sqlx::query("update snapshots set blob = (select blob from snapshots where id = $1)")
        .bind(&first)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    app.decide("s1", Some("ski")).await;
    app.decide("s3", None).await;
    let holder = Uuid::now_v7();
    let draws = async || -> Vec<String> {
        let answer =
            app.post_json(&format!("{API}/queue/draw"), &json!({"holder": holder, "count": 4})).await.json();
        answer["items"].as_array().unwrap().iter().map(|i| i["sample"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(draws().await, ["s0", "s2"]);
    let restore = format!("{API}/snapshots/{first}/restore");
    let done = app.post_json(&restore, &json!({"reason": "no ski"})).await.json();
    // s3 has the class that was confirmed, but nobody's word stands for it any more
    assert_eq!(
        (&done["changed"], &done["fallen"], &done["queued"]),
        (&json!(2), &json!(2), &json!(2)),
        "{done}"
    );
    assert_eq!(app.count("verifications").await, 0);
    assert_eq!(draws().await, ["s0", "s2", "s1", "s3"]);
    let again = app.post_json(&restore, &json!({"reason": "no ski"})).await.json();
    assert_eq!((&again["fallen"], &again["queued"]), (&json!(0), &json!(0)));
    app.decide("s1", None).await;
    assert_eq!(app.count("verifications where class = 'dog'").await, 1);
    assert_eq!(draws().await, ["s0", "s2", "s3"]);
}

impl TestApp {
    /// `who` says `class` of a sample, or that she is unsure.
    async fn word(&self, who: &Session, sample: &str, class: Option<&str>) {
        let mut body = json!({"client_id": Uuid::now_v7(), "decision": "unsure"});
        if let Some(class) = class {
            body["decision"] = json!("relabel");
            body["class"] = json!(class);
        }
        let path = format!("{API}/samples/{sample}/reviews");
        let answer = self.as_(who, Method::POST, &path, Some(body)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
    }

    /// State and class of each verification, and purpose of each open place in the queue, by sample.
    async fn standings(&self, dataset: Uuid) -> Vec<(String, Option<String>, Option<String>)> {
        sqlx::query_as(
            "select coalesce(v.state, ''), v.class, q.purpose from samples s
             left join verifications v on v.sample_id = s.id
             left join queue_items q on q.sample_id = s.id and q.state = 'open'
             where s.dataset_id = $1 order by s.id",
        )
        .bind(dataset)
        .fetch_all(self.services.store.pool())
        .await
        .unwrap()
    }
}

#[tokio::test]
async fn decisions_made_after_a_snapshot_are_no_votes_once_it_is_restored() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 5).await;
    let first = app.taken("imported").await;
    app.scan(dataset, 5).await;
    // the scan's snapshot is of the same labels
    sqlx::query("update snapshots set blob = (select blob from snapshots where id = $1)")
        .bind(&first)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let ada = app.first_admin().await;
    let policy = json!({"double_check": "all", "gold_share": 0});
    assert_eq!(
        app.as_(&ada, Method::PUT, &format!("{API}/policy"), Some(policy)).await.status,
        StatusCode::OK
    );
    let mut people = Vec::new();
    for name in ["ann", "bob"] {
        let (id, session) = app.person(&ada, name).await;
        app.join(&ada, "clips", id, "annotator").await;
        people.push(session);
    }
    let [ann, bob] = &people[..] else { panic!() };
    // before the snapshot: ann of s0, both of s1
    for (who, sample, class) in [(ann, "s0", "dog"), (ann, "s1", "ski"), (bob, "s1", "ski")] {
        app.word(who, sample, Some(class)).await;
    }
    let take = json!({"reason": "good"});
    let taken = app.as_(&ada, Method::POST, &format!("{API}/snapshots"), Some(take)).await.json();
    let then = app.labels(dataset).await;
    let stood = app.standings(dataset).await;
    // after it: bob agrees on s0, both on s2, they differ on s3, ann is unsure of s4
    for (who, sample, class) in [
        (bob, "s0", Some("dog")),
        (ann, "s2", Some("cat")),
        (bob, "s2", Some("cat")),
        (ann, "s3", Some("cat")),
        (bob, "s3", Some("dog")),
        (ann, "s4", None),
    ] {
        app.word(who, sample, class).await;
    }
    let some = |s: &str| Some(s.to_owned());
    let of = |state: &str, class: Option<&str>, purpose: Option<&str>| {
        (state.to_owned(), class.map(str::to_owned), purpose.map(str::to_owned))
    };
    assert_eq!(
        app.standings(dataset).await,
        [
            of("verified", Some("dog"), None),
            of("verified", Some("ski"), None),
            of("verified", Some("cat"), None),
            of("adjudicate", None, Some("adjudicate")),
            of("", None, Some("first")),
        ]
    );
    let path = format!("{API}/snapshots/{}/restore", taken["id"].as_str().unwrap());
    let done = app.as_(&ada, Method::POST, &path, Some(json!({"reason": "a bad afternoon"}))).await.json();
    assert_eq!((&done["fallen"], &done["queued"]), (&json!(6), &json!(2)), "{done}");
    assert_eq!(app.labels(dataset).await, then);
    // s0 waits for its second look again, s1 stands, the others wait for a first one
    let now = app.standings(dataset).await;
    assert_eq!(now[..2], stood[..2]);
    assert_eq!(now[0], of("second", None, Some("second")));
    assert!(now[2..].iter().all(|s| *s == of("", None, Some("first"))), "{now:?}");
    assert_eq!(app.count("reviews").await, 9, "nothing is deleted");
    assert_eq!(app.count("review_status").await, 2);
    let history = app.as_(&ada, Method::GET, &format!("{API}/samples/s3/history"), None).await.json();
    let undone = history["items"].as_array().unwrap().iter().filter(|e| e["kind"] == "undo");
    assert!(undone.clone().all(|e| e["comment"] == "a bad afternoon" && e["author"] == "ada"), "{history}");
    assert_eq!(undone.count(), 2);
    // going back is one line of the trail, beside the decisions
    let trail = app.as_(&ada, Method::GET, "/datasets/clips/trail?kind=undone", None).await;
    assert!(!String::from_utf8(trail.bytes).unwrap().contains("/samples/s3"));
    // ann, who has forgotten nothing of s2, may look at it first again; one vote alone verifies nothing
    app.word(ann, "s2", Some("swim")).await;
    assert_eq!(app.standings(dataset).await[2], of("second", None, Some("second")));
    app.word(bob, "s2", Some("swim")).await;
    assert_eq!(app.standings(dataset).await[2].1, some("swim"));
    // and bob's second word on s0 counts as if he had never spoken
    app.word(bob, "s0", Some("dog")).await;
    assert_eq!(app.standings(dataset).await[0], of("verified", Some("dog"), None));
    assert_eq!(app.labels(dataset).await[0], ("dog".to_owned(), "consensus".to_owned()));
}

#[tokio::test]
async fn only_leads_go_back() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 2).await;
    let first = app.taken("good").await;
    let admin = app.first_admin().await;
    let (id, li) = app.person(&admin, "li").await;
    app.join(&admin, "clips", id, "reviewer").await;
    let (_, stranger) = app.person(&admin, "stranger").await;
    let path = format!("{API}/snapshots/{first}/restore");
    for (who, status) in
        [(&li, StatusCode::FORBIDDEN), (&stranger, StatusCode::NOT_FOUND), (&admin, StatusCode::OK)]
    {
        let answer = app.as_(who, Method::POST, &path, Some(json!({"reason": "x"}))).await;
        assert_eq!(answer.status, status);
    }
    for page in ["snapshots".to_owned(), format!("snapshots/{first}")] {
        let path = format!("/datasets/clips/{page}");
        assert_eq!(app.as_(&stranger, Method::GET, &path, None).await.status, StatusCode::NOT_FOUND);
        assert_eq!(app.as_(&li, Method::GET, &path, None).await.status, StatusCode::OK);
    }
}
