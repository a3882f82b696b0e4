//! Labelling guides and rulings through the real router: who may write them, what is kept, what is shown.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::people::Session;
use crate::support::TestApp;

const API: &str = "/api/v1/datasets/clips";

/// A dataset with a lead, a reviewer and an annotator, and somebody else.
struct Team {
    app: TestApp,
    lead: Session,
    reviewer: Session,
    annotator: Session,
    stranger: Session,
}

impl Team {
    async fn new() -> Self {
        let app = TestApp::new().await;
        app.dataset_with_samples("clips", 4).await;
        let admin = app.first_admin().await;
        let mut sessions = Vec::new();
        for role in ["lead", "reviewer", "annotator"] {
            let (id, session) = app.person(&admin, role).await;
            app.join(&admin, "clips", id, role).await;
            sessions.push(session);
        }
        let (_, stranger) = app.person(&admin, "stranger").await;
        let [lead, reviewer, annotator] = <[Session; 3]>::try_from(sessions).ok().unwrap();
        Self { app, lead, reviewer, annotator, stranger }
    }

    async fn put(&self, who: &Session, class: &str, body: Value) -> (StatusCode, Value) {
        let answer = self.app.as_(who, Method::PUT, &format!("{API}/guides/{class}"), Some(body)).await;
        (answer.status, answer.json())
    }

    async fn get(&self, who: &Session, path: &str) -> (StatusCode, Value) {
        let answer = self.app.as_(who, Method::GET, &format!("{API}/{path}"), None).await;
        (answer.status, answer.json())
    }

    async fn page(&self, who: &Session, path: &str) -> (StatusCode, String) {
        let answer = self.app.as_(who, Method::GET, &format!("/datasets/clips/{path}"), None).await;
        (answer.status, String::from_utf8(answer.bytes).unwrap())
    }
}

fn text(markdown: &str, base: i32) -> Value {
    json!({"markdown": markdown, "boundary": "not that", "base_version": base, "reason": "clearer"})
}

#[tokio::test]
async fn reviewers_write_annotators_read_strangers_see_nothing() {
    let team = Team::new().await;
    let (status, none) = team.get(&team.annotator, "guides/cat").await;
    assert_eq!((status, none["code"].as_str()), (StatusCode::NOT_FOUND, Some("no_guide")));
    let (status, refused) = team.put(&team.annotator, "cat", text("x", 0)).await;
    assert_eq!((status, refused["code"].as_str()), (StatusCode::FORBIDDEN, Some("role")));
    let (status, written) = team.put(&team.reviewer, "cat", text("A **cat**", 0)).await;
    assert_eq!(status, StatusCode::OK, "{written}");
    assert_eq!(written["markdown_html"], "<p>A <strong>cat</strong></p>");
    assert_eq!((written["version"].as_i64(), written["author"].as_str()), (Some(1), Some("reviewer")));
    assert_eq!(team.get(&team.annotator, "guides/cat").await.1, written);
    // the dataset's own, an inner node, and no node at all
    assert_eq!(team.put(&team.lead, "%23", text("All", 0)).await.0, StatusCode::OK);
    assert_eq!(team.put(&team.lead, "animals", text("Those", 0)).await.0, StatusCode::OK);
    assert_eq!(team.put(&team.lead, "unicorn", text("x", 0)).await.0, StatusCode::NOT_FOUND);

    for path in ["guides", "guides/cat", "guides/cat/versions", "guides/cat/decisions"] {
        assert_eq!(team.get(&team.stranger, path).await.0, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(team.put(&team.stranger, "cat", text("x", 1)).await.0, StatusCode::NOT_FOUND);
    for page in ["guide", "guide/cat", "guide/%23"] {
        assert_eq!(team.page(&team.stranger, page).await.0, StatusCode::NOT_FOUND, "{page}");
    }
    let (status, html) = team.page(&team.annotator, "guide/cat").await;
    assert_eq!(status, StatusCode::OK);
    assert!(html.contains("<p>A <strong>cat</strong></p>") && !html.contains("id=\"edit\""));
    assert!(team.page(&team.reviewer, "guide/cat").await.1.contains("id=\"edit\""));
    assert_eq!(team.page(&team.annotator, "guide/unicorn").await.0, StatusCode::NOT_FOUND);
    let (_, index) = team.page(&team.annotator, "guide").await;
    assert!(index.contains("/datasets/clips/guide/%23") && index.contains("/datasets/clips/guide/cat"));
    assert_eq!(index.matches("no guide yet").count(), 4, "dog, sports, ski and swim");
}

#[tokio::test]
async fn every_version_is_kept_and_an_old_one_comes_back_as_a_new_one() {
    let team = Team::new().await;
    for (markdown, base) in [("one\ntwo", 0), ("one\nthree", 1)] {
        assert_eq!(team.put(&team.lead, "cat", text(markdown, base)).await.0, StatusCode::OK);
    }
    // the same again is no version
    let (_, same) = team.put(&team.lead, "cat", text("one\nthree", 1)).await;
    assert_eq!(same["version"], 2);
    // somebody else was faster
    let (status, late) = team.put(&team.reviewer, "cat", text("mine", 1)).await;
    assert_eq!((status, late["code"].as_str()), (StatusCode::CONFLICT, Some("guide_changed")));
    let back = json!({"from_version": 1, "base_version": 2, "reason": "it was right"});
    let (status, back) = team.put(&team.reviewer, "cat", back).await;
    assert_eq!((status, back["version"].as_i64()), (StatusCode::OK, Some(3)), "{back}");
    assert_eq!((back["markdown"].as_str(), back["author"].as_str()), (Some("one\ntwo"), Some("reviewer")));
    for wrong in [
        json!({"base_version": 3}),
        json!({"base_version": 3, "from_version": 1, "markdown": "x"}),
        json!({"base_version": 3, "markdown": "x".repeat(20_001)}),
        json!({"base_version": 3, "markdown": "a\u{0}b"}),
    ] {
        assert_eq!(team.put(&team.lead, "cat", wrong).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let missing = json!({"from_version": 9, "base_version": 3});
    assert_eq!(team.put(&team.lead, "cat", missing).await.0, StatusCode::NOT_FOUND);

    let (_, versions) = team.get(&team.annotator, "guides/cat/versions?limit=2").await;
    let numbers = |v: &Value| -> Vec<i64> {
        v["items"].as_array().unwrap().iter().map(|i| i["version"].as_i64().unwrap()).collect()
    };
    assert_eq!(numbers(&versions), [3, 2]);
    let next = format!("guides/cat/versions?limit=2&cursor={}", versions["next"].as_str().unwrap());
    assert_eq!(numbers(&team.get(&team.annotator, &next).await.1), [1]);
    let (_, second) = team.get(&team.annotator, "guides/cat?version=2").await;
    assert_eq!(second["markdown"], "one\nthree");
    let (_, html) = team.page(&team.annotator, "guide/cat?compare=2").await;
    assert!(html.contains("<del>") && html.contains("two</del>") && html.contains("three</ins>"), "{html}");
    let changed =
        sqlx::query("update guides set markdown = 'x'").execute(team.app.services.store.pool()).await;
    assert!(changed.is_err(), "versions are append-only");
}

#[tokio::test]
async fn rulings_are_dated_and_linked_to_samples() {
    let team = Team::new().await;
    let path = format!("{API}/guides/cat/decisions");
    let add = async |who: &Session, body: Value| {
        let answer = team.app.as_(who, Method::POST, &path, Some(body)).await;
        (answer.status, answer.json())
    };
    let ruling = json!({"text": "A *toy* cat is no cat", "samples": ["s3", "s1", "s3"]});
    assert_eq!(add(&team.annotator, ruling.clone()).await.0, StatusCode::FORBIDDEN);
    assert_eq!(add(&team.stranger, ruling.clone()).await.0, StatusCode::NOT_FOUND);
    let (status, made) = add(&team.reviewer, ruling).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(made["samples"], json!(["s1", "s3"]));
    let (status, wrong) = add(&team.reviewer, json!({"text": "x", "samples": ["s9"]})).await;
    assert_eq!(
        (status, wrong["errors"][0]["field"].as_str()),
        (StatusCode::UNPROCESSABLE_ENTITY, Some("samples"))
    );
    assert_eq!(add(&team.reviewer, json!({"text": " \n"})).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    add(&team.lead, json!({"text": "later"})).await;
    let (_, all) = team.get(&team.annotator, "guides/cat/decisions").await;
    let texts: Vec<&str> =
        all["items"].as_array().unwrap().iter().map(|r| r["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["later", "A *toy* cat is no cat"], "the one that was refused left nothing behind");
    let (_, html) = team.page(&team.annotator, "guide/cat").await;
    assert!(html.contains("A <em>toy</em> cat") && html.contains("/datasets/clips/samples/s3"), "{html}");
    let (_, list) = team.get(&team.annotator, "guides").await;
    assert_eq!(
        (list["items"][0]["class"].as_str(), list["items"][0]["decisions"].as_i64()),
        (Some("cat"), Some(2))
    );
}

#[tokio::test]
async fn nothing_that_is_typed_runs() {
    let team = Team::new().await;
    let evil = "<script>alert(1)</script>\n\n[a](javascript:alert(1)) <img src=x onerror=alert(1)>";
    let (_, written) =
        team.put(&team.lead, "cat", json!({"markdown": evil, "boundary": evil, "base_version": 0})).await;
    team.app
        .as_(&team.lead, Method::POST, &format!("{API}/guides/cat/decisions"), Some(json!({"text": evil})))
        .await;
    let previewed = team
        .app
        .as_(&team.lead, Method::POST, &format!("{API}/guide-previews"), Some(json!({"markdown": evil})))
        .await
        .json();
    assert_eq!(previewed["html"], written["markdown_html"]);
    let html = written["markdown_html"].as_str().unwrap();
    assert!(!html.contains("<script") && !html.contains("<img") && !html.contains("href"), "{html}");
    // once as text to edit, and elsewhere only defused
    for who in [&team.lead, &team.annotator] {
        let (_, page) = team.page(who, "guide/cat?compare=1").await;
        assert!(!page.contains("<script>alert") && !page.contains("<img src=x"), "{page}");
        assert!(!page.contains("href=\"javascript:"));
    }
}
