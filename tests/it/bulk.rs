//! Decisions on many samples: tried, made once however often they are sent, taken back whole, and kept apart
//! from what people decide afterwards; by which sets, by whom, and through the death of a worker.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tamis::domain::{Decision, JobState};
use uuid::Uuid;

use crate::support::TestApp;

const BULK: &str = "/api/v1/datasets/d/bulk";

/// With an id of its own where `body` has none.
async fn bulk(app: &TestApp, mut body: Value) -> Value {
    if body["client_id"].is_null() {
        body["client_id"] = json!(Uuid::new_v4());
    }
    let answer = app.post_json(BULK, &body).await;
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

async fn undo(app: &TestApp, answer: &Value) -> Value {
    let at = format!("{BULK}/{}/undo", answer["bulk"]["id"].as_str().unwrap());
    let answer = app.post_json(&at, &json!({})).await;
    assert!(answer.status.is_success(), "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

async fn review(app: &TestApp, dataset: Uuid, sample_id: i64, decision: Decision) {
    let body = match &decision {
        Decision::Relabel { class } => json!({"decision": "relabel", "class": class}),
        other => json!({"decision": other.as_str()}),
    };
    let mut body = body;
    body["client_id"] = json!(Uuid::new_v4());
    let at = format!("/api/v1/datasets/{dataset}/samples/%23{sample_id}/reviews");
    let answer = app.post_json(&at, &body).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
}

async fn rows(app: &TestApp, sql: &str) -> Vec<String> {
    sqlx::query_scalar(sqlx::AssertSqlSafe(sql.to_owned()))
        .fetch_all(app.services.store.pool())
        .await
        .unwrap()
}

/// Labels and what was decided, as the lists read them.
async fn state(app: &TestApp) -> (Vec<String>, Vec<String>) {
    (
        rows(app, "select c::text from current_labels c order by sample_id").await,
        rows(app, "select r::text from review_status r order by sample_id").await,
    )
}

async fn classes(app: &TestApp) -> Vec<String> {
    rows(app, "select class from current_labels order by sample_id").await
}

async fn listed(app: &TestApp, set: Value) -> Vec<String> {
    let set: String = set.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    let tiles = app.walk(&format!("/api/v1/datasets/d/grid?set={set}"), 2).await;
    tiles.iter().map(|t| t["external_id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_dry_run_counts_by_class_and_changes_nothing() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 6).await; // cat dog ski swim cat dog
    let ids = app.sample_ids(dataset).await;
    review(&app, dataset, ids[0], Decision::Keep).await;
    sqlx::query("insert into labels (dataset_id, sample_id, class, source, author) values ($1, $2, 'swim', 'adjudicated', 'li')")
        .bind(dataset)
        .bind(ids[3])
        .execute(app.services.store.pool())
        .await
        .unwrap();
    let before = state(&app).await;
    let everything = json!({"of": "samples"});
    let tried =
        bulk(&app, json!({"action": "relabel", "class": "dog", "set": everything, "dry_run": true})).await;
    assert_eq!(
        tried["preview"],
        json!({"samples": 6, "changes": 3, "settled": 1, "classes": [
            {"class": "cat", "samples": 2, "changes": 2},
            {"class": "dog", "samples": 2, "changes": 0},
            {"class": "ski", "samples": 1, "changes": 1},
            {"class": "swim", "samples": 1, "changes": 0},
        ]})
    );
    assert_eq!((&tried["bulk"], &tried["job"]), (&Value::Null, &Value::Null));
    // a person's and a settled label need nobody's word
    let tried = bulk(&app, json!({"action": "keep", "set": everything, "dry_run": true})).await;
    assert_eq!((&tried["preview"]["samples"], &tried["preview"]["changes"]), (&json!(6), &json!(4)));
    let except = json!([ids[1], ids[2]]);
    let tried =
        bulk(&app, json!({"action": "exclude", "set": everything, "except": except, "dry_run": true})).await;
    assert_eq!((&tried["preview"]["samples"], &tried["preview"]["changes"]), (&json!(4), &json!(4)));
    assert_eq!(state(&app).await, before);
    assert_eq!(rows(&app, "select id::text from bulk_actions").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_relabel_is_done_once_and_undone_exactly() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 6).await; // cat dog ski swim cat dog
    let ids = app.sample_ids(dataset).await;
    review(&app, dataset, ids[1], Decision::Unsure).await;
    let before = state(&app).await;
    let body = json!({"client_id": Uuid::new_v4(), "action": "relabel", "class": "swim",
                      "set": {"of": "listed", "samples": [ids[0], ids[1], ids[3]]}, "expected": 3});
    let done = bulk(&app, body.clone()).await;
    let b = &done["bulk"];
    assert_eq!(
        (&b["state"], &b["n_samples"], &b["n_changed"]),
        (&json!("applied"), &json!(3), &json!(2)),
        "{done}"
    );
    assert_eq!(classes(&app).await, ["swim", "swim", "ski", "swim", "cat", "dog"]);
    let s = app.get_json("/api/v1/datasets/d/samples/s0").await;
    assert_eq!(
        (&s["label_source"], &s["label_author"], &s["review"]),
        (&json!("annotator"), &json!("local"), &json!("relabel"))
    );
    // the same again, at the same time and later: one action
    let (again, third) = tokio::join!(bulk(&app, body.clone()), bulk(&app, body.clone()));
    assert_eq!((&again["bulk"]["id"], &third["bulk"]["id"]), (&b["id"], &b["id"]));
    assert_eq!(rows(&app, "select id::text from labels where source = 'annotator'").await.len(), 3);
    let mut other = body.clone();
    other["class"] = json!("ski");
    app.post_json(BULK, &other).await.problem_with("client_id", "client_id_reused");
    // history tells it as one decision
    let kinds = async |sample: &str| {
        let items = app.walk(&format!("/api/v1/datasets/d/samples/{sample}/history"), 50).await;
        let said =
            items.iter().map(|h| format!("{} {} {}", h["kind"], h["what"], h["classes"]).replace('"', ""));
        said.collect::<Vec<_>>()
    };
    assert_eq!(kinds("s0").await, ["label import [cat]", "bulk relabel [swim]"]);
    assert_eq!(undo(&app, &done).await["bulk"]["state"], "undone");
    assert_eq!(state(&app).await, before);
    assert_eq!(kinds("s0").await, ["label import [cat]", "bulk relabel [swim]", "bulk_undone relabel []"]);
    let page = String::from_utf8(app.get("/datasets/d/samples/s0?lang=en").await.bytes).unwrap();
    assert!(page.contains("Relabelled in bulk") && page.contains("Relabelling in bulk taken back"), "{page}");
    let at = format!("{BULK}/{}/undo", b["id"].as_str().unwrap());
    app.post_json(&at, &json!({})).await.problem(409, "nothing_to_undo");
}

#[tokio::test]
async fn what_is_decided_afterwards_stands() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 4).await; // cat dog ski swim
    let ids = app.sample_ids(dataset).await;
    let first = bulk(&app, json!({"action": "relabel", "class": "swim", "set": {"of": "samples"}})).await;
    review(&app, dataset, ids[0], Decision::Relabel { class: "dog".into() }).await;
    review(&app, dataset, ids[1], Decision::Keep).await;
    let second = bulk(&app, json!({"action": "keep", "set": {"of": "listed", "samples": [ids[2]]}})).await;
    // a person has said so already, but that may be taken back
    assert_eq!(second["bulk"]["n_changed"], 0);
    undo(&app, &first).await;
    assert_eq!(classes(&app).await, ["dog", "swim", "swim", "swim"]);
    let decisions = "select coalesce(r.decision, '') from samples s left join review_status r on r.sample_id = s.id order by s.id";
    assert_eq!(rows(&app, decisions).await, ["relabel", "keep", "keep", ""]);
    undo(&app, &second).await;
    assert_eq!(classes(&app).await, ["dog", "swim", "ski", "swim"]);
    assert_eq!(rows(&app, decisions).await, ["relabel", "keep", "", ""]);
}

#[tokio::test]
async fn an_excluded_set_leaves_the_lists_and_comes_back() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 5).await;
    app.scan(dataset, 3).await; // s0 s1 s2 flagged, given cat, suggested ski
    let suspects = json!({"of": "suspects"});
    assert_eq!(listed(&app, suspects.clone()).await, ["s0", "s1", "s2"]);
    let cell = json!({"of": "suspects", "given": "cat", "suggested": "ski", "all": true});
    assert_eq!(listed(&app, cell.clone()).await.len(), 5);
    let done = bulk(&app, json!({"action": "exclude", "set": suspects, "expected": 3})).await;
    assert_eq!(done["bulk"]["n_changed"], 3);
    assert_eq!(listed(&app, suspects.clone()).await, Vec::<String>::new());
    assert_eq!(listed(&app, cell).await, ["s3", "s4"]);
    assert_eq!(listed(&app, json!({"of": "samples", "excluded": true})).await, ["s0", "s1", "s2"]);
    app.post_json(BULK, &json!({"client_id": Uuid::new_v4(), "action": "keep", "set": suspects}))
        .await
        .problem_with("set", "empty_set");
    undo(&app, &done).await;
    assert_eq!(listed(&app, suspects.clone()).await, ["s0", "s1", "s2"]);
    // decided in bulk is decided
    bulk(
        &app,
        json!({"action": "keep", "set": {"of": "suspects"}, "except": [app.sample_ids(dataset).await[2]]}),
    )
    .await;
    assert_eq!(listed(&app, json!({"of": "suspects", "status": "open"})).await, ["s2"]);
    assert_eq!(listed(&app, json!({"of": "suspects", "status": "kept"})).await, ["s0", "s1"]);
}

#[tokio::test]
async fn sets_by_text_selection_and_near_duplicates() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 12).await;
    let other = app.dataset_with_samples("other", 1).await;
    let ids = app.sample_ids(dataset).await;
    let stranger = app.sample_ids(other).await[0];
    // "clip 1", "clip 10", "clip 11"
    assert_eq!(listed(&app, json!({"of": "samples", "text": "CLIP 1"})).await, ["s1", "s10", "s11"]);
    assert_eq!(listed(&app, json!({"of": "samples", "text": "cl_p"})).await, Vec::<String>::new());
    let at = "/api/v1/datasets/d/selections";
    let kept = app.post_json(at, &json!({"samples": [ids[7], stranger, ids[2], ids[7]]})).await;
    assert_eq!((kept.status.as_u16(), &kept.json()["n_samples"]), (201, &json!(2)));
    let id = kept.json()["id"].as_str().unwrap().to_owned();
    let selection = json!({"of": "selection", "selection": id});
    assert_eq!(listed(&app, selection.clone()).await, ["s2", "s7"]);
    assert_eq!(app.get_json(&format!("{at}/{id}")).await["n_samples"], 2);
    app.get(&format!("/api/v1/datasets/other/selections/{id}")).await.problem(404, "not_found");
    app.post_json(at, &json!({"samples": [stranger]})).await.problem_with("samples", "empty_selection");
    assert_eq!(bulk(&app, json!({"action": "keep", "set": selection})).await["bulk"]["n_changed"], 2);
    // a group of 14 would list twelve of its members each: neighbours by rank find the others
    app.scan(dataset, 0).await;
    let group = [ids[1], ids[4], ids[9]];
    for (rank, id) in [(1, ids[0]), (2, group[0]), (3, group[1]), (4, group[2]), (5, ids[11])] {
        let others: Vec<i64> = if group.contains(&id) {
            group.into_iter().filter(|g| *g != id).take(1).collect()
        } else {
            vec![ids[5]]
        };
        let facts = json!({"kind": "near_duplicate", "n": if group.contains(&id) { 2 } else { 1 }, "labels": [], "samples": others});
        sqlx::query("insert into finding_issues (scan_id, sample_id, kind, rank, facts) select id, $1, 'near_duplicate', $2, $3 from scans")
            .bind(id)
            .bind(rank)
            .bind(facts)
            .execute(app.services.store.pool())
            .await
            .unwrap();
    }
    assert_eq!(listed(&app, json!({"of": "duplicates", "sample": group[1]})).await, ["s1", "s4", "s9"]);
    assert_eq!(listed(&app, json!({"of": "duplicates", "sample": ids[3]})).await, ["s3"]);
    assert_eq!(listed(&app, json!({"of": "duplicates", "sample": stranger})).await, Vec::<String>::new());
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 3).await;
    let ids = app.sample_ids(dataset).await;
    let send = async |mut body: Value| {
        body["client_id"] = json!(Uuid::new_v4());
        app.post_json(BULK, &body).await
    };
    let all = json!({"of": "samples"});
    send(json!({"action": "relabel", "set": all})).await.problem_with("class", "class_missing");
    send(json!({"action": "keep", "class": "cat", "set": all}))
        .await
        .problem_with("class", "class_not_taken");
    send(json!({"action": "relabel", "class": "animals", "set": all}))
        .await
        .problem_with("class", "unknown_class");
    send(json!({"action": "keep", "set": {"of": "samples", "clas": "cat"}})).await.problem(422, "json_data");
    send(json!({"action": "keep", "set": {"of": "samples", "rule": "none"}}))
        .await
        .problem_with("rule", "unknown_rule");
    send(json!({"action": "keep", "set": {"of": "selection", "selection": Uuid::new_v4()}}))
        .await
        .problem(404, "not_found");
    send(json!({"action": "keep", "set": all, "expected": 2})).await.problem(409, "set_changed");
    let many: Vec<i64> = (0..10_001).collect();
    send(json!({"action": "keep", "set": {"of": "listed", "samples": many}}))
        .await
        .problem_with("set", "too_many");
    app.get("/api/v1/datasets/d/grid?set=nonsense").await.problem_with("set", "bad_set");
    // nothing of another dataset
    app.dataset_with_samples("other", 2).await;
    let mine =
        json!({"client_id": Uuid::new_v4(), "action": "keep", "set": {"of": "listed", "samples": ids}});
    app.post_json("/api/v1/datasets/other/bulk", &mine).await.problem_with("set", "empty_set");
    let done = bulk(&app, json!({"action": "keep", "set": all})).await;
    let id = done["bulk"]["id"].as_str().unwrap();
    app.get(&format!("/api/v1/datasets/other/bulk/{id}")).await.problem(404, "not_found");
    app.post_json(&format!("/api/v1/datasets/other/bulk/{id}/undo"), &json!({}))
        .await
        .problem(404, "not_found");
    assert_eq!(app.walk(BULK, 1).await.len(), 1);
}

/// A worker process on the test's database and state.
fn worker(app: &TestApp) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_tamis"))
        .args(["worker", "--state"])
        .arg(app.state.path())
        .env("DATABASE_URL", app.database_url())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// Waits until the job has begun to write.
async fn writing(app: &TestApp, id: Uuid) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let job = app.services.store.job(id).await.unwrap();
        if job.stage == "bulk_apply" && job.done > 0 {
            return;
        }
        assert!(!job.state.is_ended() && Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// More samples than one worker writes between two looks.
async fn large(app: &TestApp) -> Value {
    app.dataset_with_samples("d", 120_000).await;
    let all = json!({"of": "samples"});
    let answer =
        bulk(app, json!({"action": "relabel", "class": "swim", "set": all, "expected": 120_000})).await;
    assert_eq!((&answer["bulk"]["state"], &answer["job"]["kind"]), (&json!("queued"), &json!("bulk")));
    answer
}

const LABELS: &str = "select count(*)::text from labels where source = 'annotator'";

#[tokio::test]
async fn a_job_goes_in_whole_or_not_at_all_whoever_is_killed() {
    let app = TestApp::new().await;
    let answer = large(&app).await;
    let id: Uuid = answer["job"]["id"].as_str().unwrap().parse().unwrap();
    let mut first = worker(&app);
    writing(&app, id).await;
    // as autovacuum does at times: it finds none of what is not committed, and the planner takes its word
    sqlx::query("analyze bulk_action_samples, labels, review_status")
        .execute(app.services.store.pool())
        .await
        .unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(rows(&app, LABELS).await, ["0"], "half of it would be seen");
    let mut second = worker(&app);
    let result = app.done(id).await;
    assert_eq!(app.services.store.job(id).await.unwrap().starts, 2);
    assert_eq!((&result["samples"], &result["changed"]), (&json!(120_000), &json!(90_000)));
    assert_eq!(rows(&app, LABELS).await, ["120000"]);
    // and back, as a job too
    let undone = undo(&app, &answer).await;
    let back = app.done(undone["job"]["id"].as_str().unwrap().parse().unwrap()).await;
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(back["undone"], 120_000);
    let left = "select count(*)::text from current_labels where class is distinct from given_class or source <> 'import'";
    assert_eq!(rows(&app, left).await, ["0"]);
    assert_eq!(rows(&app, "select count(*)::text from review_status").await, ["0"]);
}

#[tokio::test]
async fn a_cancelled_job_has_changed_nothing() {
    let app = TestApp::new().await;
    let answer = large(&app).await;
    let id: Uuid = answer["job"]["id"].as_str().unwrap().parse().unwrap();
    let mut child = worker(&app);
    writing(&app, id).await;
    app.services.store.cancel_job(id).await.unwrap();
    let job = app.ended(id).await;
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(job.state, JobState::Cancelled, "{:?}", job.error);
    assert_eq!(rows(&app, LABELS).await, ["0"]);
    let b = app.get_json(&format!("{BULK}/{id}")).await;
    assert_eq!((&b["state"], &b["n_samples"]), (&json!("cancelled"), &json!(0)));
    app.post_json(&format!("{BULK}/{id}/undo"), &json!({})).await.problem(409, "nothing_to_undo");
}

#[tokio::test]
async fn the_grid_page_shows_any_set_in_both_languages() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 70).await;
    app.scan(dataset, 3).await;
    let get = async |query: &str| {
        let answer = app.get(&format!("/datasets/d/grid?{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        String::from_utf8(answer.bytes).unwrap()
    };
    let first = get("lang=en").await;
    assert!(first.contains("Select all 70") && first.matches("<li class=\"cell").count() == 60, "{first}");
    let rest = get(&format!("of=samples&after={}", app.sample_ids(dataset).await[59])).await;
    assert_eq!(rest.matches("<li class=\"cell").count(), 10);
    let cell = get("of=suspects&given=cat&suggested=ski&lang=zh-CN").await;
    assert!(cell.contains("CAT → SKI") && cell.contains("全选 3 个"), "{cell}");
    assert_eq!(get("of=suspects&cluster=5&all=true").await.matches("<li class=\"cell").count(), 0);
    app.get(&format!("/datasets/d/grid?selection={}", Uuid::new_v4())).await;
    bulk(&app, json!({"action": "exclude", "set": {"of": "suspects"}})).await;
    let after = get("of=samples&text=clip%200&lang=en").await;
    assert!(after.contains("status excluded") && after.contains("data-undo="), "{after}");
    for page in ["suspects", "samples"] {
        let html = String::from_utf8(app.get(&format!("/datasets/d/{page}?all=true")).await.bytes).unwrap();
        // without a filter the grid is that of all samples
        let link = if page == "samples" { "grid\"" } else { "grid?of=suspects" };
        assert!(html.contains(&format!("class=\"button\" href=\"/datasets/d/{link}")), "{page}");
    }
}
