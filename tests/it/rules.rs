//! Rules in the service: a preview writes nothing, a run goes in whole and comes out whole, and what people
//! say is never touched.

use serde_json::{Value, json};
use tamis::domain::Decision;
use tamis::jobs::export::ExportArgs;
use tamis::store::imports::{StagedRow, Staging};
use tamis::store::reviews::NewReview;
use tamis::store::samples::SampleFilter;
use tamis::store::telling::Audience;
use uuid::Uuid;

use crate::retractions::{kept_by_triggers, recomputed};
use crate::support::{TestApp, taxonomy};

const RULES: &str = "/api/v1/datasets/d/rules";

/// Keeps a rule; its id.
async fn keep(app: &TestApp, name: &str, rule: &str) -> String {
    let answer = app.post_json(RULES, &json!({"name": name, "rule": rule})).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
    answer.json()["id"].as_str().unwrap().to_owned()
}

/// Applies a rule and waits; the run as the API shows it.
async fn apply(app: &TestApp, rule: &str) -> Value {
    let answer = app.post_json(&format!("{RULES}/{rule}/runs"), &json!({"author": "li"})).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    app.done(id.parse().unwrap()).await;
    app.get_json(&format!("/api/v1/datasets/d/rule-runs/{id}")).await
}

async fn undo(app: &TestApp, run: &Value) -> Value {
    let at = format!("/api/v1/datasets/d/rule-runs/{}/undo", run["id"].as_str().unwrap());
    let answer = app.post_json(&at, &json!({"author": "wang"})).await;
    assert_eq!(answer.status, 202, "{}", String::from_utf8_lossy(&answer.bytes));
    app.done(answer.json()["id"].as_str().unwrap().parse().unwrap()).await
}

/// Every row of `current_labels`, as text.
async fn current(app: &TestApp) -> Vec<String> {
    sqlx::query_scalar("select c::text from current_labels c order by sample_id")
        .fetch_all(app.services.store.pool())
        .await
        .unwrap()
}

async fn decide(app: &TestApp, dataset: Uuid, sample_id: i64, class: &str) {
    let review = NewReview {
        client_id: Uuid::new_v4(),
        dataset_id: dataset,
        sample_id,
        scan_id: None,
        lease_id: None,
        may_adjudicate: false,
        author: "zhao".into(),
        decision: Decision::Relabel { class: class.into() },
        comment: String::new(),
        time_spent_ms: None,
    };
    app.services.store.record_review(&review).await.unwrap();
}

async fn import(app: &TestApp, rows: &[(&str, &str)]) {
    let rows: Vec<StagedRow> = rows
        .iter()
        .map(|(id, class)| StagedRow {
            line: 1,
            external_id: (*id).into(),
            class: Some((*class).into()),
            ..Default::default()
        })
        .collect();
    let mut staging = Staging::begin(&app.services.store).await.unwrap();
    staging.copy(&rows).await.unwrap();
    let dataset = staging.dataset("d", &taxonomy()).await.unwrap();
    staging.merge(dataset, "test", Uuid::now_v7()).await.unwrap();
    staging.commit().await.unwrap();
}

/// Current classes of `s0`, `s1`, …
async fn classes(app: &TestApp, dataset: Uuid) -> Vec<String> {
    let page = app
        .services
        .store
        .samples(dataset, &SampleFilter::default(), Audience::Knowing, 0, 1000)
        .await
        .unwrap();
    page.items.into_iter().map(|s| s.current_class.unwrap_or_default()).collect()
}

/// Rows of every table that a rule could write to.
async fn written(app: &TestApp) -> Vec<i64> {
    let mut out = Vec::new();
    for table in ["labels", "label_retractions", "rules", "rule_runs", "rule_hits", "exclusions", "jobs"] {
        let sql = sqlx::AssertSqlSafe(format!("select count(*) from {table}"));
        out.push(sqlx::query_scalar(sql).fetch_one(app.services.store.pool()).await.unwrap());
    }
    out
}

#[tokio::test]
async fn a_preview_counts_and_changes_nothing() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 8).await; // cat dog ski swim cat dog ski swim
    app.scan(dataset, 2).await;
    let ids = app.sample_ids(dataset).await;
    decide(&app, dataset, ids[4], "dog").await;
    let (before, rows) = (current(&app).await, written(&app).await);
    let preview = async |rule: &str| {
        let answer = app.post_json("/api/v1/datasets/d/rule-previews", &json!({"rule": rule})).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    };
    // s0 cat -> changes; s1 dog, s5 dog -> dog already; s4 was labelled dog by a person: already
    let p = preview("relabel \"dog\" when under(label, \"animals\")").await;
    assert_eq!((&p["records"], &p["hits"], &p["changes"]), (&json!(8), &json!(4), &json!(1)), "{p}");
    assert_eq!((&p["rate"], &p["kept_by_people"]), (&json!(0.5), &json!(0)));
    assert_eq!(
        p["classes"],
        json!([{"class": "cat", "hits": 1, "changes": 1}, {"class": "dog", "hits": 3, "changes": 0}])
    );
    assert_eq!(p["examples"], json!([ids[0], ids[1], ids[4], ids[5]]));
    let p = preview("relabel \"ski\" when label = \"dog\"").await;
    assert_eq!((&p["hits"], &p["changes"], &p["kept_by_people"]), (&json!(3), &json!(2), &json!(1)), "{p}");
    // fields of the scan: suspicion 1, 1/2, 1/3 …; one of ten neighbours agrees
    for (rule, hits) in [
        ("flag when suspicion >= 0.25", 4),
        ("flag when suspicion = 0.5", 1),
        ("flag when flagged", 2),
        ("flag when neighbours_agree = 0.1 and cross_parent and suggested_label = \"ski\"", 8),
        ("flag when missing(asr) and title contains \"clip\" and len(title) = 6", 8),
        ("flag when title ~ /[0-3]$/ and level1 = \"sports\"", 2),
        ("flag when label_source = \"annotator\"", 1),
        ("flag when external_id in (\"s1\", \"s7\") and not excluded", 2),
        ("flag when missing(duration_ms) and split = \"train\"", 8),
        ("flag when given_label != label", 1),
    ] {
        assert_eq!(preview(rule).await["hits"], hits, "{rule}");
    }
    assert_eq!(written(&app).await, rows);
    assert_eq!(current(&app).await, before);
}

#[tokio::test]
async fn without_a_scan_its_fields_are_missing() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 3).await;
    let body = json!({"rule": "flag when suspicion > 0 or missing(rank)"});
    let p = app.post_json("/api/v1/datasets/d/rule-previews", &body).await.json();
    assert_eq!((&p["hits"], &p["scan_id"]), (&json!(3), &Value::Null));
    let body = json!({"rule": "flag when suspicion >= 0 or rank > 0 or log_margin > 0"});
    assert_eq!(app.post_json("/api/v1/datasets/d/rule-previews", &body).await.json()["hits"], 0);
}

#[tokio::test]
async fn a_relabel_keeps_people_and_its_undo_restores_the_rest_exactly() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 6).await; // cat dog ski swim cat dog
    let ids = app.sample_ids(dataset).await;
    decide(&app, dataset, ids[1], "cat").await;
    let before = current(&app).await;
    let rule = keep(&app, "all skis", "relabel \"ski\" when true").await;
    let run = apply(&app, &rule).await;
    assert_eq!(
        (&run["n_records"], &run["n_hits"], &run["n_changed"], &run["n_kept"], &run["state"]),
        (&json!(6), &json!(6), &json!(4), &json!(1), &json!("applied")),
        "{run}"
    );
    assert_eq!(classes(&app, dataset).await, ["ski", "cat", "ski", "ski", "ski", "ski"]);
    let s = app.get_json("/api/v1/datasets/d/samples/s0").await;
    assert_eq!((&s["label_source"], &s["label_author"]), (&json!("rule"), &json!("rule:all skis")));
    let left = undo(&app, &run).await;
    assert_eq!(left["undone"], 4);
    assert_eq!(current(&app).await, before);
    let history = app.get_json("/api/v1/datasets/d/samples/s0/history").await;
    let kinds: Vec<(&str, &str)> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| (h["kind"].as_str().unwrap(), h["what"].as_str().unwrap()))
        .collect();
    assert_eq!(kinds, [("label", "import"), ("label", "rule"), ("retraction", "rule")]);
    // once is enough
    let at = format!("/api/v1/datasets/d/rule-runs/{}/undo", run["id"].as_str().unwrap());
    app.post_json(&at, &json!({})).await.problem(409, "nothing_to_undo");
}

#[tokio::test]
async fn an_undo_leaves_what_people_and_imports_said_since() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 4).await; // cat dog ski swim
    let ids = app.sample_ids(dataset).await;
    let first = apply(&app, &keep(&app, "one", "relabel \"swim\" when true").await).await;
    decide(&app, dataset, ids[0], "dog").await;
    import(&app, &[("s1", "ski")]).await;
    // another rule on top of the first, on s2
    let second = apply(&app, &keep(&app, "two", "relabel \"cat\" when external_id = \"s2\"").await).await;
    assert_eq!(classes(&app, dataset).await, ["dog", "swim", "cat", "swim"]);
    undo(&app, &first).await;
    assert_eq!(classes(&app, dataset).await, ["dog", "ski", "cat", "swim"]);
    undo(&app, &second).await;
    assert_eq!(classes(&app, dataset).await, ["dog", "ski", "ski", "swim"]);
    assert_eq!(kept_by_triggers(&app).await, recomputed(&app).await);
}

#[tokio::test]
async fn an_excluded_sample_leaves_snapshots_and_exports_until_it_is_undone() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 6).await;
    let snapshot =
        async || app.post_json("/api/v1/datasets/d/snapshots", &json!({"reason": ""})).await.json();
    let exported = async |snapshot: Option<&str>| {
        let args = ExportArgs { format: "jsonl".into(), snapshot: snapshot.map(str::to_owned) };
        let done = app.done(app.services.enqueue_export(dataset, &args).await.unwrap()).await;
        let at = format!("/api/v1/datasets/d/exports/{}/download", done["export_id"].as_str().unwrap());
        let bytes = app.get(&at).await.bytes;
        let rows = String::from_utf8(bytes).unwrap();
        let ids = rows
            .lines()
            .map(|l| serde_json::from_str::<Value>(l).unwrap()["id"].as_str().unwrap().to_owned());
        ids.collect::<Vec<_>>()
    };
    let whole = snapshot().await;
    assert_eq!(whole["n_labelled"], 6);
    let rule = keep(&app, "tail", "exclude when external_id in (\"s4\", \"s5\")").await;
    let run = apply(&app, &rule).await;
    assert_eq!((&run["n_hits"], &run["n_changed"]), (&json!(2), &json!(2)));
    let part = snapshot().await;
    assert_eq!(part["n_labelled"], 4);
    assert_eq!(exported(None).await, ["s0", "s1", "s2", "s3"]);
    // a snapshot from before is what it was
    assert_eq!(exported(whole["id"].as_str()).await.len(), 6);
    let listed = async |query: &str| {
        let items = app.walk(&format!("/api/v1/datasets/d/samples?{query}"), 10).await;
        items.iter().map(|s| s["external_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("excluded=true").await, ["s4", "s5"]);
    assert_eq!(listed("excluded=false").await, ["s0", "s1", "s2", "s3"]);
    assert_eq!(listed("rule=tail").await, ["s4", "s5"]);
    let s = app.get_json("/api/v1/datasets/d/samples/s4").await;
    assert_eq!(s["excluded_by"], json!(["tail"]));
    // a second run excludes nothing new, and holds them out when the first is undone
    let again = apply(&app, &rule).await;
    assert_eq!((&again["n_hits"], &again["n_changed"]), (&json!(2), &json!(0)));
    undo(&app, &run).await;
    assert_eq!(snapshot().await["id"], part["id"]);
    undo(&app, &again).await;
    assert_eq!(snapshot().await["id"], whole["id"]);
    assert_eq!(exported(None).await.len(), 6);
    assert_eq!(listed("excluded=true").await, Vec::<String>::new());
    assert_eq!(listed("rule=tail").await, Vec::<String>::new());
    assert_eq!(listed(&format!("rule={}", run["id"].as_str().unwrap())).await, ["s4", "s5"]);
    app.get("/api/v1/datasets/d/samples?rule=nothing").await.problem_with("rule", "unknown_rule");
}

#[tokio::test]
async fn a_flag_is_shown_and_dropped() {
    let app = TestApp::working().await;
    app.dataset_with_samples("d", 4).await;
    let run = apply(&app, &keep(&app, "odd", "flag when title ~ /[13]/").await).await;
    assert_eq!((&run["n_hits"], &run["n_changed"]), (&json!(2), &json!(2)));
    assert_eq!(app.get_json("/api/v1/datasets/d/samples/s1").await["flagged_by"], json!(["odd"]));
    assert_eq!(app.get_json("/api/v1/datasets/d/samples/s0").await["flagged_by"], json!([]));
    for page in ["/datasets/d/samples?rule=odd", "/datasets/d/samples/s1"] {
        let html = String::from_utf8(app.get(page).await.bytes).unwrap();
        assert!(html.contains("Flagged by rule: odd"), "{page}");
    }
    undo(&app, &run).await;
    let s = app.get_json("/api/v1/datasets/d/samples/s1").await;
    assert_eq!(s["flagged_by"], json!([]));
    let history = app.get_json("/api/v1/datasets/d/samples/s1/history").await;
    let last: Vec<&Value> = history["items"].as_array().unwrap().iter().skip(1).collect();
    assert_eq!((&last[0]["kind"], &last[0]["author"]), (&json!("rule"), &json!("rule:odd")));
    assert_eq!((&last[1]["kind"], &last[1]["author"]), (&json!("rule_undone"), &json!("wang")));
}

#[tokio::test]
async fn one_job_of_a_rule_at_a_time_and_one_answer_to_a_key() {
    let mut app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 4).await;
    let rule = keep(&app, "r", "relabel \"dog\" when true").await;
    let at = format!("{RULES}/{rule}/runs");
    let body = json!({});
    let (a, b) = tokio::join!(app.post_json(&at, &body), app.post_json(&at, &body));
    let (won, lost) = if a.status == 202 { (a, b) } else { (b, a) };
    assert_eq!(won.status, 202);
    lost.problem(409, "rule_busy");
    app.post_json(&format!("{RULES}/{rule}/archive"), &body).await;
    app.work();
    app.done(won.json()["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(classes(&app, dataset).await, ["dog"; 4]);
    app.post_json(&at, &body).await.problem(409, "rule_archived");
    let other = keep(&app, "s", "flag when true").await;
    let at = format!("{RULES}/{other}/runs");
    let first = app.post_with_key(&at, &body, Some("k")).await.json();
    app.done(first["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(app.post_with_key(&at, &body, Some("k")).await.json()["id"], first["id"]);
    assert_eq!(app.walk(&at, 10).await.len(), 1);
}

#[tokio::test]
async fn a_run_that_is_started_twice_is_applied_once() {
    let mut app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 3).await;
    let run = apply(&app, &keep(&app, "r", "relabel \"dog\" when label = \"cat\"").await).await;
    let id: Uuid = run["id"].as_str().unwrap().parse().unwrap();
    let before = current(&app).await;
    // as after a crash between the commit and the job's end
    sqlx::query("update jobs set state = 'queued', finished_at = null where id = $1")
        .bind(id)
        .execute(app.services.store.pool())
        .await
        .unwrap();
    app.work();
    assert_eq!(app.done(id).await["changed"], 1);
    assert_eq!(current(&app).await, before);
    assert_eq!(classes(&app, dataset).await, ["dog", "dog", "ski"]);
}

#[tokio::test]
async fn bad_rules_are_refused_with_their_place() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    app.dataset_with_samples("other", 1).await;
    let preview = "/api/v1/datasets/d/rule-previews";
    let bad =
        app.post_json(preview, &json!({"rule": "flag when\n  titel ~ /a/"})).await.problem(422, "bad_rule");
    let e = &bad["errors"][0];
    assert_eq!((&e["field"], &e["line"], &e["column"]), (&json!("rule"), &json!(2), &json!(3)), "{bad}");
    assert_eq!(e["suggestion"], "`title`");
    for rule in [
        "",
        "delete when true",
        "relabel \"lion\" when true",
        "flag when title ~ /(/",
        // a bomb: refused when compiled
        "flag when title ~ /((((a{100}){100}){100}){100})/",
        "flag when title = 1",
    ] {
        app.post_json(preview, &json!({"rule": rule})).await.problem_with("rule", "bad_rule");
        app.post_json(RULES, &json!({"name": "n", "rule": rule})).await.problem_with("rule", "bad_rule");
    }
    // a bomb elsewhere: linear here
    let slow = json!({"rule": "flag when title ~ /^(a|a)*(a*)*b$/"});
    assert_eq!(app.post_json(preview, &slow).await.status, 200);
    for (body, code) in [
        (json!({"rule": "flag when true"}), "rule_name"),
        (json!({"rule": "a: flag when true", "name": "b"}), "rule_name"),
        (json!({"rule": "flag when true", "name": "x".repeat(101)}), "rule_name"),
        (json!({"rule": "flag when true", "name": "a", "author": ""}), "author"),
    ] {
        app.post_json(RULES, &body).await.problem(422, code);
    }
    let named = app.post_json(RULES, &json!({"rule": "\"of its own\": flag when true"})).await.json();
    assert_eq!(named["name"], "of its own");
    app.post_json(RULES, &json!({"rule": "flag when false", "name": "of its own"}))
        .await
        .problem(409, "rule_exists");
    let id = named["id"].as_str().unwrap();
    for path in [format!("/api/v1/datasets/other/rules/{id}"), format!("/api/v1/datasets/none/rules/{id}")] {
        app.get(&path).await.problem(404, "not_found");
        app.post_json(&format!("{path}/runs"), &json!({})).await.problem(404, "not_found");
        app.post_json(&format!("{path}/archive"), &json!({})).await.problem(404, "not_found");
    }
    app.post_json(&format!("/api/v1/datasets/d/rule-runs/{id}/undo"), &json!({}))
        .await
        .problem(404, "not_found");
}

#[tokio::test]
async fn a_rule_changes_its_text_and_not_its_name() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 1).await;
    let id = keep(&app, "r", "flag when true").await;
    let put = async |rule: &str| {
        let request = axum::http::Request::put(format!("{RULES}/{id}"))
            .header("content-type", "application/json")
            .body(json!({"rule": rule}).to_string().into())
            .unwrap();
        app.send(request).await
    };
    let changed = put("exclude when label = \"cat\"").await.json();
    assert_eq!((&changed["action"], &changed["name"]), (&json!("exclude"), &json!("r")));
    put("q: flag when true").await.problem(422, "rule_name");
    put("flag when").await.problem(422, "bad_rule");
    assert_eq!(app.post_json(&format!("{RULES}/{id}/archive"), &json!({})).await.status, 200);
    put("flag when true").await.problem(409, "rule_archived");
    assert_eq!(app.walk(RULES, 10).await.len(), 0);
    assert_eq!(app.walk(&format!("{RULES}?archived=true"), 10).await[0]["text"], changed["text"]);
}

#[tokio::test]
async fn the_page_tries_a_rule_without_scripts_and_loses_nothing_typed() {
    let app = TestApp::working().await;
    app.dataset_with_samples("d", 4).await;
    let get = async |query: &str, lang: &str| {
        let answer = app.get(&format!("/datasets/d/rules?lang={lang}{query}")).await;
        assert_eq!(answer.status, 200, "{query}");
        String::from_utf8(answer.bytes).unwrap()
    };
    assert!(get("", "en").await.contains("No rules yet"));
    let bad = get("&rule=flag%20when%20%3Ctitel%3E%20~%20%2Fa%2F", "en").await;
    assert!(bad.contains("flag when &#60;titel&#62; ~ /a/</textarea>"), "what was typed is gone");
    assert!(
        bad.contains("Line 1, column 11") && bad.contains("<mark>&#60;</mark>"),
        "the place is not shown"
    );
    let good = "&name=r&rule=relabel%20%22dog%22%20when%20label%20%3D%20%22cat%22";
    let en = get(good, "en").await;
    assert!(en.contains("Apply: 1 sample changes") && en.contains("/datasets/d/samples/s0"), "{en}");
    assert!(get(good, "zh-CN").await.contains("应用：改动 1 个样本"));
    let run = apply(&app, &keep(&app, "r", "relabel \"dog\" when label = \"cat\"").await).await;
    let listed = get("", "en").await;
    let undo = format!("rule-runs/{}/undo", run["id"].as_str().unwrap());
    assert!(listed.contains(&undo) && listed.contains("Applied"), "{listed}");
}

#[tokio::test]
async fn a_deleted_dataset_leaves_nothing_of_its_rules() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 4).await;
    for rule in ["flag when true", "relabel \"dog\" when true", "exclude when true"] {
        let run = apply(&app, &keep(&app, rule, rule).await).await;
        assert_ne!(run["n_changed"], 0, "{rule}");
        if rule.starts_with("relabel") {
            undo(&app, &run).await;
        }
    }
    app.services.store.delete_dataset(dataset).await.unwrap();
    assert_eq!(written(&app).await, vec![0; 7]);
}
