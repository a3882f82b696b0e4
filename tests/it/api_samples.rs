//! Datasets and samples, with ids that nobody would choose but some files hold.

use serde_json::json;

use crate::support::TestApp;

/// Percent-encodes everything.
fn segment(id: &str) -> String {
    id.bytes().map(|b| format!("%{b:02X}")).collect()
}

#[tokio::test]
async fn strange_ids_are_addresses_too() {
    let app = TestApp::new().await;
    let ids = [
        "a/b/c.mp4",
        "视频 1",
        "100%",
        "%2F",
        "a?b#c",
        "a\"b'c",
        "#1",
        "a&b=c",
        "<x>",
        " ",
        "é\u{301}",
        "😀",
        "..",
        "a\\b",
        "+",
        "history",
    ];
    app.dataset_with_ids("d", &ids).await;
    for id in ids {
        let path = format!("/api/v1/datasets/d/samples/{}", segment(id));
        let sample = app.get_json(&path).await;
        assert_eq!(sample["external_id"], id);
        let history = app.walk(&format!("{path}/history"), 5).await;
        assert_eq!(history.len(), 1, "{id}");
        let review = json!({"client_id": uuid::Uuid::now_v7(), "decision": "keep"});
        assert_eq!(app.post_json(&format!("{path}/reviews"), &review).await.status, 201, "{id}");
        // `#` and the internal id lead to the same sample
        if id != "#1" {
            let internal = format!("/api/v1/datasets/d/samples/%23{}", sample["id"]);
            let found = app.get_json(&internal).await;
            assert!(found["external_id"] == id || found["external_id"] == "#1", "{id}");
        }
    }
    // not encoded, a slash divides
    app.get("/api/v1/datasets/d/samples/a/b/c.mp4").await.problem(404, "no_route");
    app.get("/api/v1/datasets/d/samples/nope").await.problem(404, "not_found");
}

#[tokio::test]
async fn a_dataset_shows_its_counts_and_tree() {
    let app = TestApp::new().await;
    let id = app.dataset_with_samples("d", 10).await;
    let by_name = app.get_json("/api/v1/datasets/d").await;
    assert_eq!(by_name, app.get_json(&format!("/api/v1/datasets/{id}")).await);
    assert_eq!(by_name["counts"]["samples"], 10);
    assert_eq!(by_name["counts"]["labelled"], 10);
    let tree = app.get_json("/api/v1/datasets/d/taxonomy").await;
    assert_eq!((tree["depth"].clone(), tree["n_classes"].clone()), (json!(2), json!(4)));
    assert_eq!(
        tree["nodes"][0],
        json!({"id": "animals", "names": {"en": "ANIMALS"}, "parent": null, "level": 1, "class_index": null})
    );
    assert_eq!(tree["nodes"][4]["class_index"], 2);
    let classes = app.walk("/api/v1/datasets/d/classes", 3).await;
    assert_eq!(classes[0], json!({"class": "cat", "given": 3, "current": 3}));
    assert_eq!(classes[3], json!({"class": "swim", "given": 2, "current": 2}));
}

#[tokio::test]
async fn samples_of_one_dataset_are_nothing_in_another() {
    let app = TestApp::new().await;
    let d = app.dataset_with_samples("d", 1).await;
    app.dataset_with_ids("e", &["x"]).await;
    let id = app.sample_ids(d).await[0];
    app.get("/api/v1/datasets/e/samples/s0").await.problem(404, "not_found");
    app.get(&format!("/api/v1/datasets/e/samples/%23{id}")).await.problem(404, "not_found");
    app.get(&format!("/media/e/{id}")).await.problem(404, "not_found");
}

#[tokio::test]
async fn samples_are_found_by_what_they_lack() {
    let app = TestApp::working().await;
    let rows =
        br#"{"id": "whole", "title": "t", "asr": "a", "ocr": [{"time": 0, "text": "o"}], "label": "a1"}
{"id": "mute", "title": "t", "ocr": [{"time": 0, "text": "o"}], "label": "a2"}
{"id": "bare", "title": "", "label": null}
"#;
    let args = app.import_args("d", "rows.jsonl", rows).await;
    let id = app.services.enqueue_import(&args).await.unwrap();
    app.done(id).await;
    for (missing, expected) in [
        ("label", vec!["bare"]),
        ("title", vec!["bare"]),
        ("asr", vec!["mute", "bare"]),
        ("ocr", vec!["bare"]),
        ("media", vec!["whole", "mute", "bare"]),
        ("bad_media", vec![]),
        ("media_pending", vec![]),
    ] {
        let found = app.walk(&format!("/api/v1/datasets/d/samples?missing={missing}"), 2).await;
        let ids: Vec<_> = found.iter().map(|s| s["external_id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{missing}");
        let page = app.get(&format!("/datasets/d/samples?missing={missing}&lang=zh-CN")).await;
        let html = String::from_utf8(page.bytes).unwrap();
        assert_eq!(page.status, 200);
        assert_eq!(html.matches("<a class=\"title\"").count(), expected.len(), "{missing}");
    }
    app.get("/api/v1/datasets/d/samples?missing=everything").await.problem_with("missing", "query");
    // the dataset's page leads there
    let page = String::from_utf8(app.get("/datasets/d").await.bytes).unwrap();
    assert!(page.contains("/datasets/d/samples?missing=asr"), "{page}");
}
