//! The ledger, what to do next, the round report, and the script that goes through the whole loop.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::predict::{WORDS, train};
use crate::support::TestApp;

/// 240 samples, of which 40 ski and 40 swim have each other's label: the majority of either.
const N: usize = 240;

fn truth(i: usize) -> usize {
    match i % 4 {
        2 if i < 160 => 3,
        3 if i < 160 => 2,
        c => c,
    }
}

async fn swapped(app: &TestApp) -> Uuid {
    let dataset = app.dataset_with_samples("d", N).await;
    for i in 0..N {
        sqlx::query("update samples set title = $3 where dataset_id = $1 and external_id = $2")
            .bind(dataset)
            .bind(format!("s{i}"))
            .bind(format!("{} {i}", WORDS[truth(i)]))
            .execute(app.services.store.pool())
            .await
            .unwrap();
    }
    dataset
}

/// Puts the 80 wrong labels right, as a person who takes four seconds each and forgets the first one for an
/// hour.
async fn correct(app: &TestApp) {
    let classes = ["cat", "dog", "ski", "swim"];
    for (n, i) in (0..N).filter(|&i| truth(i) != i % 4).enumerate() {
        let body = json!({"client_id": Uuid::new_v4(), "decision": "relabel", "class": classes[truth(i)],
            "time_spent_ms": if n == 0 { 3_600_000 } else { 4_000 }});
        let answer = app.post_json(&format!("/api/v1/datasets/d/samples/s{i}/reviews"), &body).await;
        assert_eq!(answer.status, 201);
    }
}

async fn page(app: &TestApp, path: &str) -> String {
    let answer = app.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.bytes).unwrap()
}

#[tokio::test]
async fn a_round_is_measured_on_the_same_samples_and_foretells_the_next() {
    let app = TestApp::working().await;
    let dataset = swapped(&app).await;
    train(&app, dataset).await;
    let first = app.get_json("/api/v1/datasets/d/ledger").await["items"][0].clone();
    assert_eq!(
        (&first["step"], &first["measured"], &first["reviews"]),
        (&json!("first"), &Value::Null, &json!(0))
    );
    let next = app.get_json("/api/v1/datasets/d/next").await;
    let unknown = |a: &Value| a["predicted"].is_null() && a["gain_per_hour"].is_null();
    assert!(next["actions"].as_array().unwrap().iter().all(unknown), "nothing is known yet: {next}");
    assert_eq!(next["record"], Value::Null);

    app.scan_with(dataset, 20, |_, f| f.suspicion = 0.9).await;
    // the next snapshot is compared with the scan's, which has no file of its own
    sqlx::query(
        "update snapshots set blob = (select blob from snapshots where blob <> 'snapshots/test' limit 1)
         where blob = 'snapshots/test'",
    )
    .execute(app.services.store.pool())
    .await
    .unwrap();
    correct(&app).await;
    // an answer on a sample whose label was known takes time and corrects nothing
    sqlx::query(
        "insert into reviews (client_id, dataset_id, sample_id, author, decision, classes, class_before, time_spent_ms, purpose)
         select gen_random_uuid(), dataset_id, sample_id, author, decision, classes, class_before, 4000, 'gold'
         from reviews limit 1",
    )
    .execute(app.services.store.pool())
    .await
    .unwrap();
    let asked = json!({"hypothesis": "ski and swim were swapped", "expected_gain": 0.2});
    let job = app.post_json("/api/v1/datasets/d/trainings", &asked).await;
    assert_eq!(job.status, 202, "{}", String::from_utf8_lossy(&job.bytes));
    let trained = app.done(job.json()["id"].as_str().unwrap().parse().unwrap()).await;
    let metrics = &trained["metrics"];
    assert_eq!(metrics["mean_f1"], 1.0, "titles tell the classes: {metrics}");
    let n = |part: &str| metrics[part]["n"].as_i64().unwrap();
    assert_eq!(n("verified") + n("unverified"), metrics["n"].as_i64().unwrap());

    let line = app.get_json("/api/v1/datasets/d/ledger?limit=1").await["items"][0].clone();
    assert_eq!(line["training_id"], trained["training_id"]);
    assert_eq!((&line["step"], &line["hypothesis"]), (&json!("labels"), &asked["hypothesis"]));
    assert_eq!((&line["reviews"], &line["corrections"]), (&json!(81), &json!(80)));
    assert_eq!(line["human_ms"], 80 * 4_000 + 300_000, "a review counts for five minutes at most");
    // The model before takes ski for swim and swim for ski: level 1 is right (1, 1); of level 2 micro F1 is the
    // share of cats and dogs, macro F1 a half. With half of the samples cats or dogs the gain is a quarter.
    let measured = &line["measured"];
    let value = |key: &str| measured[key].as_f64().unwrap();
    assert!((value("gain") - 0.25).abs() < 0.05, "{line}");
    assert!(0.0 < value("low") && value("low") <= value("gain") && value("gain") <= value("high"), "{line}");
    assert_eq!(measured["over"], "samples");
    assert!(measured["n"].as_i64().unwrap() >= 20);
    // everything is right now, so the model before had what is missing to 1
    assert!((value("before") + value("gain") - 1.0).abs() < 1e-12, "{line}");

    // what it measured foretells what the next reviews bring
    let next = app.get_json("/api/v1/datasets/d/next").await;
    let review = &next["actions"][0];
    assert_eq!(review["action"], "review", "{next}");
    let net = |code: &str, key: &str| {
        let note = review["evidence"].as_array().unwrap().iter().find(|n| n["code"] == code).unwrap();
        note["args"][key].as_str().unwrap().parse::<f64>().unwrap()
    };
    let corrections = net("next_outlook", "corrects") - net("next_outlook", "breaks");
    let predicted = review["predicted"]["gain"].as_f64().unwrap();
    // the evidence is rounded to whole labels
    assert!(
        (predicted - value("gain") / 80.0 * corrections).abs() <= value("gain") / 80.0 + 1e-9,
        "{review}"
    );
    assert_eq!(next["record"]["predictions"], 1);
    assert!((next["record"]["mean_error"].as_f64().unwrap() - (value("gain") - 0.2).abs()).abs() < 1e-12);

    let html = page(&app, "/datasets/d/next").await;
    assert!(html.contains("Review ") && html.contains("Predicted gain +"));
    assert!(page(&app, "/datasets/d/next?lang=zh-CN").await.contains("预计提升 +"));
    assert!(page(&app, "/datasets/d/ledger").await.contains("ski and swim were swapped"));
    let training = trained["training_id"].as_str().unwrap();
    let html = page(&app, &format!("/datasets/d/trainings/{training}")).await;
    assert!(html.contains("On the same samples and labels as the training before: +"));

    // the errors of the round's training by cause, over the API as on the page
    let round = app.get_json("/api/v1/datasets/d/rounds").await["items"][0].clone();
    assert_eq!(round["training_id"], trained["training_id"]);
    let cases = &round["bad_cases"];
    assert_eq!((&cases["n"], &cases["errors"]), (&metrics["n"], &json!(0)), "{round}");
    assert_eq!(cases["causes"].as_array().unwrap().len(), 8, "{round}");

    // the round as one file
    let answer = app.get("/datasets/d/rounds/1/report?lang=en").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-disposition"), "attachment; filename=\"d-round-1-en.html\"");
    let report = String::from_utf8(answer.bytes).unwrap();
    for part in ["SKI", "SWIM", "<td class=\"num\">40</td>", "F1 by class, before and after", "1.000"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    let led = format!("Mean F1 from {:.3} to 1.000, on {} samples", value("before"), measured["n"]);
    assert!(report.find(&led).unwrap() < report.find("What was wrong").unwrap(), "{led}: {report}");
    for part in ["http://", "https://", "<script", "<link", "/static/"] {
        assert!(!report.contains(part), "{part}");
    }
    assert!(page(&app, "/datasets/d/rounds/1/report?lang=zh-CN").await.contains("改正了什么"));
    assert_eq!(app.get("/datasets/d/rounds/7/report").await.status, 404);
}

#[tokio::test]
async fn experiments_from_elsewhere_are_written_down_with_the_interval_over_their_seeds() {
    let app = TestApp::new().await;
    app.dataset_with_samples("d", 8).await;
    let ledger = "/api/v1/datasets/d/ledger";
    let said = json!({"hypothesis": "an average of the weights", "gains": [0.012, 0.009, 0.015],
        "changes": [{"key": "ema", "from": "false", "to": "true"}], "machine_seconds": 90.0, "human_minutes": 1.5});
    let answer = app.post_json(ledger, &said).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.bytes));
    let line = answer.json();
    assert_eq!(
        (&line["step"], &line["human_ms"], &line["author"]),
        (&json!("elsewhere"), &json!(90_000), &json!("local"))
    );
    // mean and Student's t over three seeds: 0.012 +- 4.303 * 0.003 / sqrt(3)
    let value = |key: &str| line["measured"][key].as_f64().unwrap();
    assert!((value("gain") - 0.012).abs() < 1e-12 && (value("low") - 0.004_547).abs() < 1e-5, "{line}");
    assert_eq!(app.get_json(ledger).await["items"][0], line);

    let next = app.get_json("/api/v1/datasets/d/next").await;
    let action = &next["actions"][0];
    assert_eq!((&action["action"], &action["change"]["to"]), (&json!("switch"), &json!("true")), "{next}");
    assert!((action["gain_per_hour"].as_f64().unwrap() - 0.012 / (90.0 / 3600.0)).abs() < 1e-9);

    for (key, value) in [
        ("gains", json!([0.1])),
        ("gains", json!([0.1, 3.0])),
        ("hypothesis", json!("  ")),
        ("expected_gain", json!(2)),
        ("machine_seconds", json!(-1)),
    ] {
        let mut wrong = said.clone();
        wrong[key] = value;
        app.post_json(ledger, &wrong).await.problem_with(key, key);
    }
    let training = app.post_json("/api/v1/datasets/d/trainings", &json!({"expected_gain": 7})).await;
    training.problem_with("expected_gain", "expected_gain");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_with_nothing_but_requests_goes_through_the_whole_loop() {
    let installed = Command::new("python3").args(["-c", "import requests"]).output();
    if !installed.is_ok_and(|o| o.status.success()) {
        assert!(std::env::var_os("CI").is_none(), "CI must have python3 with requests");
        eprintln!("examples/loop.py was not run: python3 has no requests");
        return;
    }
    let app = TestApp::working().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let server = tokio::spawn(tamis::web::serve(app.services.clone(), listener, stopped));

    let dir = tempfile::tempdir().unwrap();
    let classes = ["cat", "dog", "ski", "swim"];
    let (mut rows, mut right) = (String::new(), serde_json::Map::new());
    for i in 0..N {
        let label = if i % 12 == 0 { classes[(i + 1) % 4] } else { classes[i % 4] };
        rows += &format!(
            "{}\n",
            json!({"id": format!("v{i}"), "title": format!("{} {i}", WORDS[i % 4]), "label": label})
        );
        right.insert(format!("v{i}"), json!(classes[i % 4]));
    }
    let put = |name: &str, text: String| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let rows = put("rows.jsonl", rows);
    let tree =
        put("taxonomy.json", json!({"animals": ["cat", "dog"], "sports": ["ski", "swim"]}).to_string());
    let truth = put("truth.json", Value::Object(right).to_string());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/loop.py");
    let output = tokio::task::spawn_blocking(move || {
        Command::new("python3")
            .arg(script)
            .args([&url, "--dataset", "loop", "--budget", "30"])
            .arg("--annotations")
            .arg(rows)
            .arg("--taxonomy")
            .arg(tree)
            .arg("--truth")
            .arg(truth)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env_remove("TAMIS_TOKEN")
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("imported 240 samples") && said.contains("next:"), "{said}");
    // the scan finds the twenty wrong labels, titles tell the classes
    assert!(said.contains("corrected 20"), "{said}");
    assert!(said.contains("on the same samples and labels: "), "{said}");
    let store = &app.services.store;
    let dataset = store.dataset("loop").await.unwrap().id;
    assert_eq!(store.trainings(dataset, None, 5).await.unwrap().items.len(), 2);
    assert_eq!(store.dataset_counts(dataset).await.unwrap().corrected, 20);
    stop.send_replace(true);
    server.await.unwrap().unwrap();
}
