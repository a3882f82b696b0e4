//! The audit trail: everything that was done, once, newest first, at any size of the page; for leads.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::json;
use tamis::store::trail::{Step, TrailCursor, TrailFilter};
use uuid::Uuid;

use crate::support::TestApp;

async fn walk(app: &TestApp, dataset: Uuid, filter: &TrailFilter, limit: i64) -> Vec<Step> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let (steps, next) = app.services.store.trail(dataset, filter, after.as_ref(), limit).await.unwrap();
        assert!(steps.len() as i64 <= limit);
        all.extend(steps);
        match next {
            // as it travels in an address
            Some(n) => after = Some(TrailCursor::parse(&n.text()).unwrap()),
            None => return all,
        }
        assert!(all.len() < 1000, "never ends");
    }
}

#[tokio::test]
async fn everything_is_told_once_newest_first() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("clips", 6).await;
    let api = "/api/v1/datasets/clips";
    let mut clients = Vec::new();
    for i in 0..6 {
        let client = Uuid::now_v7();
        clients.push(client);
        let body = json!({"client_id": client, "decision": "relabel", "class": "dog", "author": if i % 2 == 0 { "li" } else { "wu" }});
        let answer = app.post_json(&format!("{api}/samples/s{i}/reviews"), &body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", String::from_utf8_lossy(&answer.bytes));
        if i == 2 {
            let taken = app
                .post_json(&format!("{api}/snapshots"), &json!({"reason": "half way", "author": "li"}))
                .await;
            assert_eq!(taken.status, StatusCode::CREATED);
        }
    }
    let back = app.post_json(&format!("{api}/reviews/{}/undo", clients[0]), &json!({"author": "li"})).await;
    assert_eq!(back.status, StatusCode::OK, "{}", String::from_utf8_lossy(&back.bytes));
    let guide = json!({"markdown": "x", "base_version": 0, "reason": "first", "author": "wu"});
    let request = Request::put(format!("{api}/guides/cat")).header("content-type", "application/json");
    assert_eq!(app.send(request.body(Body::from(guide.to_string())).unwrap()).await.status, StatusCode::OK);
    app.post_json(&format!("{api}/guides/cat/decisions"), &json!({"text": "so", "author": "wu"})).await;
    app.services.store.audit("ada", "policy_set", Some(dataset), &json!({})).await.unwrap();

    let all = walk(&app, dataset, &TrailFilter::default(), 100).await;
    let kinds: Vec<&str> = all.iter().map(|s| s.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "change", "ruling", "guide", "undone", "review", "review", "review", "snapshot", "review",
            "review", "review"
        ]
    );
    assert!(all.is_sorted_by(|a, b| a.at >= b.at));
    let key = |s: &Step| (s.at, s.kind.clone(), s.seq);
    for limit in [1, 2, 3, 4, 10, 11] {
        let pages = walk(&app, dataset, &TrailFilter::default(), limit).await;
        assert_eq!(
            pages.iter().map(key).collect::<Vec<_>>(),
            all.iter().map(key).collect::<Vec<_>>(),
            "{limit}"
        );
    }
    let li = TrailFilter { author: Some("li".into()), ..TrailFilter::default() };
    assert_eq!(walk(&app, dataset, &li, 2).await.len(), 5, "three decisions, one taken back, a snapshot");
    let decisions = TrailFilter { kind: Some("review".into()), ..li };
    assert_eq!(walk(&app, dataset, &decisions, 2).await.len(), 3);
    let first = all.last().unwrap();
    assert_eq!(
        (first.sample.as_deref(), first.before.as_deref(), first.class.as_deref()),
        (Some("s0"), Some("cat"), Some("dog"))
    );
    for wrong in ["", "1.review.2", "x.review.1.1", "1.review.1.1.1"] {
        assert_eq!(TrailCursor::parse(wrong), None, "{wrong}");
    }
    let page = String::from_utf8(app.get("/datasets/clips/trail?kind=snapshot").await.bytes).unwrap();
    assert!(page.contains("half way") && !page.contains("/datasets/clips/samples/s1\""), "{page}");
}

#[tokio::test]
async fn for_leads_only() {
    let app = TestApp::new().await;
    app.dataset_with_samples("clips", 1).await;
    let admin = app.first_admin().await;
    let (_, stranger) = app.person(&admin, "stranger").await;
    let mut found = vec![app.as_(&stranger, Method::GET, "/datasets/clips/trail", None).await.status];
    for role in ["annotator", "reviewer", "lead"] {
        let (id, session) = app.person(&admin, role).await;
        app.join(&admin, "clips", id, role).await;
        found.push(app.as_(&session, Method::GET, "/datasets/clips/trail", None).await.status);
    }
    use StatusCode as S;
    assert_eq!(found, [S::NOT_FOUND, S::FORBIDDEN, S::FORBIDDEN, S::OK]);
}
