//! What reviews teach a scan: when the order learns, what stays where it is, and what random audits say.

use std::collections::HashMap;

use serde_json::{Value, json};
use tamis::domain::{JobKind, JobState};
use uuid::Uuid;

use crate::predictions::{npy, snapshot, upload};
use crate::support::TestApp;

const N: usize = 900;
const CLASSES: [&str; 4] = ["cat", "dog", "ski", "swim"];

/// Labels as `dataset_with_samples` gives them; the truth of each sample, and the probabilities of a model
/// that takes most dogs for cats: it suspects their labels, which are right.
struct World {
    truth: HashMap<String, usize>,
    p: Vec<f32>,
}

fn world() -> World {
    let mut state = 11u64;
    let mut draw = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let mut ids: Vec<usize> = (0..N).collect();
    ids.sort_by_key(|i| format!("s{i}"));
    let (mut truth, mut p) = (HashMap::new(), Vec::new());
    for i in ids {
        let given = i % 4;
        let is = if draw() < 0.2 { (given + 1 + (draw() * 3.0) as usize) % 4 } else { given };
        let seen = match () {
            () if is == 1 && draw() < 0.6 => 0,
            () if draw() < 0.1 => (is + 1 + (draw() * 3.0) as usize) % 4,
            () => is,
        };
        let sure = 0.45 + 0.5 * draw();
        p.extend((0..4).map(|c| if c == seen { sure } else { (1.0 - sure) / 3.0 }));
        truth.insert(format!("s{i}"), is);
    }
    World { truth, p }
}

/// A dataset that is scanned by the model's predictions alone; the scan.
async fn scanned(app: &TestApp, w: &World) -> (Uuid, Uuid) {
    let dataset = app.dataset_with_samples("d", N).await;
    sqlx::query("update samples set title = '' where dataset_id = $1")
        .bind(dataset)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let snapshot = snapshot(app).await;
    let set = upload(app, &snapshot, "p.npy", &npy(N, 4, &w.p)).await.json();
    let job = app.post_json("/api/v1/datasets/d/scans", &json!({"predictions": set["id"]})).await.json();
    let result = app.done(job["id"].as_str().unwrap().parse().unwrap()).await;
    (dataset, result["scan_id"].as_str().unwrap().parse().unwrap())
}

async fn queue(app: &TestApp) -> Vec<Value> {
    app.walk("/api/v1/datasets/d/suspects?all=true", 200).await
}

/// Decides on a suspect as somebody who knows the truth.
async fn review(app: &TestApp, w: &World, suspect: &Value) {
    let id = suspect["external_id"].as_str().unwrap();
    let truth = CLASSES[w.truth[id]];
    let mut body = json!({"client_id": Uuid::new_v4(), "decision": "keep"});
    if suspect["given_class"] != truth {
        body = json!({"client_id": Uuid::new_v4(), "decision": "relabel", "class": truth});
    }
    let answer = app.post_json(&format!("/api/v1/datasets/d/samples/{id}/reviews"), &body).await;
    assert_eq!(answer.status, 201);
}

async fn reranks(app: &TestApp, dataset: Uuid) -> Vec<tamis::store::jobs::Job> {
    let jobs = app.services.store.jobs(None, Some(dataset), None, 100).await.unwrap().items;
    jobs.into_iter().filter(|j| j.kind == JobKind::Rerank).collect()
}

fn wrong(w: &World, suspects: &[Value]) -> usize {
    let is = |s: &&Value| s["given_class"] != CLASSES[w.truth[s["external_id"].as_str().unwrap()]];
    suspects.iter().filter(is).count()
}

#[tokio::test]
async fn the_order_learns_from_two_hundred_reviews_and_then_from_each_batch() {
    let mut app = TestApp::with(|c| c.scan.meta_batch = 30).await;
    app.work();
    let w = world();
    let (dataset, scan) = scanned(&app, &w).await;
    let learning = format!("/api/v1/datasets/d/scans/{scan}/learning");
    let first = queue(&app).await;
    assert_eq!(first.len(), N);
    assert!(first.iter().all(|s| s.get("audit").is_none()), "nobody sees which are drawn at random");

    for s in &first[..199] {
        review(&app, &w, s).await;
    }
    let before = app.get_json(&learning).await;
    assert_eq!((&before["reviews"], &before["needed"]), (&json!(199), &json!(200)));
    assert_eq!(before["model"], Value::Null);
    assert!(reranks(&app, dataset).await.is_empty());
    let page = String::from_utf8(app.get("/datasets/d").await.bytes).unwrap();
    assert!(page.contains("once there are 200; 1 are missing"), "the page says how many are missing");

    review(&app, &w, &first[199]).await;
    let jobs = reranks(&app, dataset).await;
    assert_eq!(jobs.len(), 1);
    let result = app.done(jobs[0].id).await;
    assert_eq!((&result["reviews"], &result["adopted"]), (&json!(200), &json!(true)), "{result}");
    let after = app.get_json(&learning).await;
    let model = &after["model"];
    let number = |key: &str| model[key].as_f64().unwrap();
    assert!(
        number("log_loss") < number("log_loss_before") && number("auroc") > number("auroc_before"),
        "{model}"
    );

    // what was reviewed stays; the others' order finds more
    let second = queue(&app).await;
    for (a, b) in first[..200].iter().zip(&second) {
        for key in ["external_id", "place", "rank", "suspicion", "flagged"] {
            assert_eq!(a[key], b[key]);
        }
    }
    let (was, is) = (wrong(&w, &first[200..260]), wrong(&w, &second[200..260]));
    assert!(is > was + 5, "of the next 60 {is} are wrong, before {was}");
    let places: Vec<i64> = second.iter().map(|s| s["place"].as_i64().unwrap()).collect();
    assert_eq!(places, (1..=N as i64).collect::<Vec<_>>());
    let mut by_rank = second.clone();
    by_rank.sort_by_key(|s| s["rank"].as_i64());
    let ranks: Vec<i64> = by_rank.iter().map(|s| s["rank"].as_i64().unwrap()).collect();
    assert_eq!(ranks, (1..=N as i64).collect::<Vec<_>>(), "still a permutation");
    let open = by_rank.iter().filter(|s| s["review"].is_null());
    assert!(open.map(|s| s["suspicion"].as_f64().unwrap()).is_sorted_by(|a, b| a >= b));
    let page = String::from_utf8(app.get("/datasets/d").await.bytes).unwrap();
    assert!(page.contains("learnt from 200 decisions"), "the page says what it learnt from");

    // the same again changes nothing
    let args = tamis::jobs::rerank::RerankArgs { scan };
    let again = app.services.enqueue_rerank(dataset, &args).await.unwrap();
    assert_eq!(app.done(again).await["moved"], 0);
    assert_eq!(queue(&app).await, second);

    // and a further batch is learnt from once it is whole
    for s in &second[200..229] {
        review(&app, &w, s).await;
    }
    assert_eq!(reranks(&app, dataset).await.len(), 2);
    review(&app, &w, &second[229]).await;
    let jobs = reranks(&app, dataset).await;
    assert_eq!(jobs.len(), 3);
    assert_eq!(app.done(jobs[0].id).await["reviews"], 230);

    // a new scan starts with what is known
    let sets = app.services.store.prediction_sets(dataset, None, 1).await.unwrap().items;
    let args = tamis::jobs::scan::ScanArgs { predictions: Some(sets[0].id), ..Default::default() };
    app.done(app.services.enqueue_scan(dataset, &args).await.unwrap()).await;
    let jobs = reranks(&app, dataset).await;
    assert_eq!(jobs.len(), 4);
    let result = app.done(jobs[0].id).await;
    assert_eq!((&result["reviews"], &result["adopted"]), (&json!(230), &json!(true)), "{result}");
}

#[tokio::test]
async fn every_tenth_is_an_audit_and_they_estimate_what_nobody_looked_at() {
    let app = TestApp::working().await;
    let w = world();
    let (_, scan) = scanned(&app, &w).await;
    let store = &app.services.store;
    let audits = |placed: &[tamis::store::learning::Placed]| {
        let mut of: Vec<(i32, i64, i32)> =
            placed.iter().filter_map(|p| Some((p.audit?, p.sample_id, p.place))).collect();
        of.sort_unstable();
        of
    };
    let placed = store.placed(scan).await.unwrap();
    let drawn = audits(&placed);
    let flagged = store.scan(store.dataset("d").await.unwrap().id, scan).await.unwrap().n_flagged;
    assert_eq!(drawn.len() as i64, flagged / 9 + 1);
    assert!(drawn.iter().all(|(number, _, place)| *place <= number * 10), "{drawn:?}");
    assert!(drawn.iter().filter(|(number, _, place)| *place == number * 10).count() * 2 > drawn.len());
    // those who walk the default queue meet them
    let queue = app.walk("/api/v1/datasets/d/suspects", 200).await;
    for (_, sample, _) in &drawn {
        assert!(queue.iter().any(|s| s["sample_id"] == *sample && s["flagged"] == true));
    }
    let reached = 6;
    for s in queue.iter().filter(|s| s["place"].as_i64().unwrap() <= reached * 10) {
        review(&app, &w, s).await;
    }
    // somebody who goes ahead does not count
    let ahead = drawn.last().unwrap().1;
    review(&app, &w, queue.iter().find(|s| s["sample_id"] == ahead).unwrap()).await;
    let external: HashMap<i64, &str> = queue
        .iter()
        .map(|s| (s["sample_id"].as_i64().unwrap(), s["external_id"].as_str().unwrap()))
        .collect();
    let is_wrong = |sample: &i64| {
        let id = external[sample];
        w.truth[id] != id[1..].parse::<usize>().unwrap() % 4
    };
    let hits = drawn.iter().take(reached as usize).filter(|(_, sample, _)| is_wrong(sample)).count();
    let learning = app.get_json(&format!("/api/v1/datasets/d/scans/{scan}/learning")).await;
    let audited = &learning["audited"]["wrong"];
    assert_eq!((&audited["n"], &audited["hits"]), (&json!(reached), &json!(hits)));
    let (low, high) = (audited["low"].as_f64().unwrap(), audited["high"].as_f64().unwrap());
    assert!(low <= 0.2 && 0.2 <= high, "{audited}");
    assert!(learning["audited"]["precision"]["n"].as_u64() <= audited["n"].as_u64());
    let page = String::from_utf8(app.get("/datasets/d?lang=zh-CN").await.bytes).unwrap();
    assert!(page.contains("随机抽查的 6 个标签"), "the page says what they found");

    // without audits the order is that of the ranks
    let mut app = TestApp::with(|c| c.scan.audit_share = 0.0).await;
    app.work();
    let (_, scan) = scanned(&app, &w).await;
    let placed = app.services.store.placed(scan).await.unwrap();
    assert!(placed.iter().all(|p| p.place == p.rank && p.audit.is_none()));
    let job = app.services.store.jobs(None, None, None, 1).await.unwrap().items;
    assert_eq!(job[0].state, JobState::Succeeded);
}
