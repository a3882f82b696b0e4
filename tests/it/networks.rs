//! Networks, ensembles, students and options of recipes, trained by the job on stored embeddings and texts.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tamis::domain::JobState;
use tamis::jobs::import::MediaSource;
use tamis::jobs::train::TrainArgs;
use uuid::Uuid;

use crate::jobs::worker;
use crate::main_job::draw_dataset;
use crate::predict::WORDS;
use crate::support::TestApp;

/// 120 labelled samples whose titles say their class, and 60 without a label.
async fn told_by_title(app: &TestApp) -> Uuid {
    let dataset = app.dataset_with_samples("d", 180).await;
    let pool = app.services.store.pool();
    for i in 0..180 {
        sqlx::query("update samples set title = $3 where dataset_id = $1 and external_id = $2")
            .bind(dataset)
            .bind(format!("s{i}"))
            .bind(format!("{} {i}", WORDS[i % 4]))
            .execute(pool)
            .await
            .unwrap();
    }
    let unlabelled: Vec<String> = (120..180).map(|i| format!("s{i}")).collect();
    sqlx::query(
        "update current_labels set class = null, given_class = null
         where sample_id in (select id from samples where external_id = any($1))",
    )
    .bind(&unlabelled)
    .execute(pool)
    .await
    .unwrap();
    sqlx::query("update samples set split = 'unlabelled' where external_id = any($1)")
        .bind(&unlabelled)
        .execute(pool)
        .await
        .unwrap();
    dataset
}

/// A network that is small enough for a test.
fn small(family: &str, more: &str) -> String {
    let own = match family {
        "mlp" => "[network]\nfamily = \"mlp\"\nhidden = 32\n".to_owned(),
        _ => format!(
            "[network]\nfamily = \"{family}\"\ndim = 16\nheads = 2\nlayers = 1\nhidden = 32\n\
             [text]\nunit = \"word\"\ntitle = 8\nasr = 0\nocr = 0\n[frames]\ncount = 2\n"
        ),
    };
    format!(
        "holdout = 0.3\n{own}[optimise]\nepochs = 30\nbatch = 16\nlearning_rate = 0.01\n[regularise]\npatience = 30\n{more}"
    )
}

async fn trained(app: &TestApp, dataset: Uuid, recipe: &str) -> Value {
    let args = TrainArgs { recipe: Some(recipe.to_owned()), ..Default::default() };
    app.done(app.services.enqueue_train(dataset, &args).await.unwrap()).await
}

/// The exported files say what the trained models say, on everything that was held out.
fn same_in_onnx(metrics: &Value) {
    assert_eq!(metrics["onnx_same_argmax"], true, "{metrics}");
    assert!(metrics["onnx_max_difference"].as_f64().unwrap() < 1e-4, "{metrics}");
    assert_eq!(metrics["onnx_compared"], metrics["n"]);
}

#[tokio::test]
async fn each_family_learns_tells_its_epochs_and_answers_from_its_file() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    for family in ["mlp", "single", "dual"] {
        let done = trained(&app, dataset, &small(family, "")).await;
        let m = &done["metrics"];
        assert!(m["mean_f1"].as_f64().unwrap() > 0.95, "{family}: {m}");
        same_in_onnx(m);
        assert!(m["n_validation"].as_i64().unwrap() > 10 && m["memory_mib"].as_i64().unwrap() > 0, "{m}");
        let training = app
            .get_json(&format!("/api/v1/datasets/d/trainings/{}", done["training_id"].as_str().unwrap()))
            .await;
        let job = training["job_id"].as_str().unwrap();
        let curves = app.get_json(&format!("/api/v1/jobs/{job}/curves?limit=200")).await;
        let epochs = curves["items"].as_array().unwrap();
        assert!(epochs.len() > 3, "{curves}");
        let loss = |e: &Value| e["curve"]["loss"].as_f64().unwrap();
        assert!(loss(epochs.last().unwrap()) < loss(&epochs[0]), "{family}: {curves}");
        assert_eq!(epochs[0]["name"], format!("{family} 0"));
        assert!(epochs.iter().enumerate().all(|(i, e)| e["epoch"] == i));
        // the same answers over the API as when it was measured: the titles say the class
        let asked = json!({"samples": ["s3", "s0", "s121"]});
        let said = app.post_json("/api/v1/datasets/d/predict", &asked).await.json();
        let classes: Vec<_> =
            said["predictions"].as_array().unwrap().iter().map(|p| p["class"].clone()).collect();
        assert_eq!(classes, [json!("swim"), json!("cat"), json!("dog")], "{family}: {said}");
        for page in [
            format!("/jobs/{job}"),
            format!("/jobs/{job}/curves"),
            format!("/datasets/d/trainings/{}", done["training_id"].as_str().unwrap()),
        ] {
            let html = String::from_utf8(app.get(&page).await.bytes).unwrap();
            assert!(html.contains(&format!("{family} 0")) && html.contains("<polyline"), "{page}: {html}");
        }
    }
    // vectors are not what a sequence model reads
    let vectors = json!({"vectors": [[0.5, 0.5]]});
    app.post_json("/api/v1/datasets/d/predict", &vectors).await.problem_with("vectors", "not_pooled");
}

#[tokio::test]
async fn the_same_recipe_snapshot_and_seed_give_the_same_file() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let recipe = small("single", "").replace("epochs = 30", "epochs = 2");
    let mut files = Vec::new();
    for recipe in [&recipe, &recipe, &format!("seeds = 4\n{recipe}")] {
        let done = trained(&app, dataset, recipe).await;
        let path =
            format!("/api/v1/datasets/d/trainings/{}/model.onnx", done["training_id"].as_str().unwrap());
        files.push(app.get(&path).await.bytes);
    }
    assert!(files[0] == files[1] && files[0] != files[2]);
}

#[tokio::test]
async fn an_ensemble_is_averaged_by_weights_and_each_of_its_files_is_there() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let done = trained(&app, dataset, &format!("seeds = [1, 2]\n{}", small("mlp", ""))).await;
    let m = &done["metrics"];
    let members = m["members"].as_array().unwrap();
    let weights: f64 = members.iter().map(|m| m["weight"].as_f64().unwrap()).sum();
    assert_eq!(members.len(), 2);
    assert!((weights - 1.0).abs() < 1e-9, "{m}");
    assert_eq!(m["diversity"]["pairs"].as_array().unwrap().len(), 1);
    same_in_onnx(m);
    let path = format!("/api/v1/datasets/d/trainings/{}/model.onnx", done["training_id"].as_str().unwrap());
    let (first, second) = (app.get(&path).await, app.get(&format!("{path}?member=1")).await);
    assert!(first.status == 200 && second.status == 200);
    assert_ne!(first.bytes, second.bytes);
    app.get(&format!("{path}?member=2")).await.problem_with("member", "member");
    let said = app.post_json("/api/v1/datasets/d/predict", &json!({"samples": ["s2"]})).await.json();
    assert_eq!(said["predictions"][0]["class"], "ski", "{said}");
    let page = format!("/datasets/d/trainings/{}", done["training_id"].as_str().unwrap());
    let html = String::from_utf8(app.get(&page).await.bytes).unwrap();
    assert!(
        html.contains("mlp 1") && html.contains("mlp 2") && html.contains("model.onnx?member=1"),
        "{html}"
    );
}

#[tokio::test]
async fn a_student_learns_from_teachers_on_samples_without_labels() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let mut teachers = Vec::new();
    for family in ["mlp", "single"] {
        teachers.push(trained(&app, dataset, &small(family, "")).await["training_id"].clone());
    }
    let distil = "/api/v1/datasets/d/distillations";
    let asked = json!({"teachers": teachers, "recipe": small("single", ""), "rounds": 2, "finetune": true,
        "hypothesis": "unlabelled clips help"});
    let job = app.post_json(distil, &asked).await;
    assert_eq!(job.status, 202, "{}", String::from_utf8_lossy(&job.bytes));
    let done = app.done(job.json()["id"].as_str().unwrap().parse().unwrap()).await;
    let m = &done["metrics"];
    assert!(m["mean_f1"].as_f64().unwrap() > 0.95, "{m}");
    assert_eq!(m["n_pseudo_labels"], 60);
    let stages: Vec<_> = m["stages"].as_array().unwrap().iter().map(|s| s["stage"].clone()).collect();
    assert_eq!(stages, ["student", "student", "finetune"]);
    same_in_onnx(m);
    let line = app.get_json("/api/v1/datasets/d/ledger?limit=1").await["items"][0].clone();
    assert_eq!(line["hypothesis"], "unlabelled clips help");
    let page = format!("/datasets/d/trainings/{}", done["training_id"].as_str().unwrap());
    assert!(
        String::from_utf8(app.get(&page).await.bytes).unwrap().contains("Student, finished on the labels")
    );

    // classes with enough labels get no pseudo-labels
    let mut quota = asked.clone();
    (quota["quota"], quota["rounds"], quota["finetune"]) = (json!(3), json!(1), json!(false));
    let job = app.post_json(distil, &quota).await.json();
    let done = app.done(job["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(done["metrics"]["n_pseudo_labels"], 0, "{done}");

    for (field, value) in [
        ("recipe", json!("quick")),
        ("temperature", json!(0)),
        ("hard_share", json!(2)),
        ("rounds", json!(0)),
        ("teachers", json!([])),
    ] {
        let mut wrong = asked.clone();
        wrong[field] = value;
        app.post_json(distil, &wrong).await.problem_with(field, field);
    }
    let mut unknown = asked.clone();
    unknown["teachers"][1] = json!(Uuid::nil());
    app.post_json(distil, &unknown).await.problem_with("teachers[1]", "unknown_training");
    // one teacher of the student's own family has nothing to teach it
    let mut own = asked;
    own["teachers"] = json!([teachers[1]]);
    let job = app.post_json(distil, &own).await.json();
    let ended = app.ended(job["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(ended.error_note.unwrap().code, "self_distillation");
}

#[tokio::test]
async fn options_of_a_recipe_become_lines_of_the_ledger() {
    let app = TestApp::working().await;
    told_by_title(&app).await;
    let recipe = small("mlp", "").replace("epochs = 30", "epochs = 3");
    let asked = json!({"recipe": recipe, "seeds": [3, 5], "keys": ["regularise.ema", "balance.oversample"],
        "hypothesis": "what helps"});
    let job = app.post_json("/api/v1/datasets/d/ablations", &asked).await;
    assert_eq!(job.status, 202, "{}", String::from_utf8_lossy(&job.bytes));
    let done = app.done(job.json()["id"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(done["base"].as_array().unwrap().len(), 2);
    let options = done["options"].as_array().unwrap();
    assert_eq!(options.len(), 2);
    let lines = app.get_json("/api/v1/datasets/d/ledger").await["items"].clone();
    assert_eq!(lines.as_array().unwrap().len(), 2);
    for (line, option) in lines.as_array().unwrap().iter().rev().zip(options) {
        assert_eq!((&line["step"], &line["hypothesis"]), (&json!("ablation"), &json!("what helps")));
        assert_eq!(line["changes"][0], option["change"]);
        let gains: Vec<f64> =
            option["gains"].as_array().unwrap().iter().map(|g| g.as_f64().unwrap()).collect();
        let measured = line["measured"]["gain"].as_f64().unwrap();
        assert!((measured - gains.iter().sum::<f64>() / 2.0).abs() < 1e-12, "{line} {option}");
        assert_eq!((&line["measured"]["over"], &line["measured"]["n"]), (&json!("seeds"), &json!(2)));
    }
    app.post_json("/api/v1/datasets/d/ablations", &json!({"seeds": [1]}))
        .await
        .problem_with("seeds", "seeds");
    app.post_json("/api/v1/datasets/d/ablations", &json!({"recipe": "winner"}))
        .await
        .problem_with("recipe", "recipe");
    let keys = json!({"recipe": "single", "keys": ["ema"]});
    app.post_json("/api/v1/datasets/d/ablations", &keys).await.problem_with("keys", "keys");
}

#[tokio::test]
async fn what_a_recipe_needs_and_the_data_lack_is_said() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let failed = async |recipe: String, code: &str| {
        let args = TrainArgs { recipe: Some(recipe), ..Default::default() };
        let job = app.services.enqueue_train(dataset, &args).await.unwrap();
        let ended = app.ended(job).await;
        assert_eq!(ended.error_note.as_ref().unwrap().code, code, "{ended:?}");
    };
    failed(small("mlp", "[loss]\nsample_weights = true\n"), "recipe_needs_scan").await;
    failed(small("mlp", "").replace("hidden = 32", "hidden = 65536\nlayers = 48"), "memory_short").await;
}

#[tokio::test]
async fn frames_of_real_clips_and_what_a_scan_says_of_labels_are_learnt_from() {
    let app = TestApp::working().await;
    let dir = tempfile::tempdir().unwrap();
    let (rows, _) = draw_dataset(dir.path());
    let mut args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    args.media = Some(MediaSource::Dir(dir.path().to_str().unwrap().to_owned()));
    app.done(app.services.enqueue_import(&args).await.unwrap()).await;
    app.done(
        app.services
            .enqueue_scan(app.services.store.dataset("d").await.unwrap().id, &Default::default())
            .await
            .unwrap(),
    )
    .await;
    let dataset = app.services.store.dataset("d").await.unwrap().id;
    let objectives = "[auxiliary]\nmlm = 0.2\nmfm = 0.2\nvtm = 0.2\ncontrastive = 0.2\npretrain_epochs = 1\n";
    for (family, more) in [
        ("single", objectives),
        ("dual", "[balance]\noversample = true\nprior_boost = 5.0\n"),
        ("mlp", "[loss]\nkind = \"forward\"\n"),
        ("mlp", "[loss]\nkind = \"three_state\"\nsample_weights = true\n"),
    ] {
        let done = trained(&app, dataset, &small(family, more)).await;
        let m = &done["metrics"];
        assert!(m["mean_f1"].as_f64().unwrap() > 0.6, "pictures tell the classes: {family} {more} {m}");
        same_in_onnx(m);
    }
    let newest = app.get_json("/api/v1/datasets/d/trainings?limit=3").await["items"][2].clone();
    let asked = json!({"training": newest["id"], "samples": ["a1-03", "b1-05", "a2-07"]});
    let said = app.post_json("/api/v1/datasets/d/predict", &asked).await.json();
    assert_eq!(said["input"][0]["field"], "frames", "{said}");
    let classes: Vec<_> =
        said["predictions"].as_array().unwrap().iter().map(|p| p["class"].clone()).collect();
    assert_eq!(classes, [json!("a1"), json!("b1"), json!("a2")], "{said}");
}

#[tokio::test]
async fn a_killed_training_goes_on_where_it_was_and_ends_with_the_same_bytes() {
    let app = TestApp::new().await;
    let dataset = told_by_title(&app).await;
    let recipe = small("single", "").replace("epochs = 30", "epochs = 12").replace("dim = 16", "dim = 64");
    let args =
        TrainArgs { recipe: Some(recipe.replace("hidden = 32", "hidden = 512")), ..Default::default() };
    let file = async |training: &Value| {
        let path =
            format!("/api/v1/datasets/d/trainings/{}/model.onnx", training["training_id"].as_str().unwrap());
        app.get(&path).await.bytes
    };
    let id = app.services.enqueue_train(dataset, &args).await.unwrap();
    let mut first = worker(&app);
    let deadline = Instant::now() + Duration::from_secs(120);
    let told = loop {
        let told = app.services.store.curves(id, 0, 100).await.unwrap();
        if told.len() >= 3 {
            break told;
        }
        assert!(!app.services.store.job(id).await.unwrap().state.is_ended() && Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    first.kill().unwrap();
    first.wait().unwrap();
    let killed_at = chrono::Utc::now();
    let mut second = worker(&app);
    let resumed = app.done(id).await;
    second.kill().unwrap();
    second.wait().unwrap();
    let curves = app.services.store.curves(id, 0, 100).await.unwrap();
    let epochs: Vec<i32> = curves.iter().map(|c| c.epoch).collect();
    assert_eq!(epochs, (0..epochs.len() as i32).collect::<Vec<_>>(), "each epoch once, in order");
    assert_eq!(
        curves[..told.len()].iter().map(|c| c.id).collect::<Vec<_>>(),
        told.iter().map(|c| c.id).collect::<Vec<_>>()
    );
    let job = app.services.store.job(id).await.unwrap();
    assert!(job.starts == 2 && job.finished_at.unwrap() > killed_at);

    let mut third = worker(&app);
    let whole = app.done(app.services.enqueue_train(dataset, &args).await.unwrap()).await;
    third.kill().unwrap();
    third.wait().unwrap();
    assert!(file(&resumed).await == file(&whole).await, "the same bytes as without the kill");
    let left =
        std::fs::read_dir(app.state.path().join("blobs/models").join(dataset.simple().to_string())).unwrap();
    let checkpoints =
        left.filter(|f| f.as_ref().unwrap().file_name().to_string_lossy().ends_with("checkpoint"));
    assert_eq!(checkpoints.count(), 0, "what was kept for a crash is gone");
}

#[tokio::test]
async fn a_cancelled_training_ends_within_an_epoch_and_leaves_nothing() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let recipe = small("dual", "")
        .replace("epochs = 30", "epochs = 10000")
        .replace("patience = 30", "patience = 10000");
    let args = TrainArgs { recipe: Some(recipe), ..Default::default() };
    let id = app.services.enqueue_train(dataset, &args).await.unwrap();
    while app.services.store.curves(id, 0, 1).await.unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.services.store.cancel_job(id).await.unwrap();
    assert_eq!(app.ended(id).await.state, JobState::Cancelled);
    assert!(app.get_json("/api/v1/datasets/d/trainings").await["items"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_trainings_errors_are_sorted_and_each_kind_leads_to_its_samples() {
    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let pool = app.services.store.pool();
    // every tenth title speaks of the next class: to a model that reads titles its label is wrong
    for i in (0..120).step_by(10) {
        sqlx::query("update samples set title = $3 where dataset_id = $1 and external_id = $2")
            .bind(dataset)
            .bind(format!("s{i}"))
            .bind(format!("{} {i}", WORDS[(i + 1) % 4]))
            .execute(pool)
            .await
            .unwrap();
    }
    let done = trained(&app, dataset, "holdout = 0.5").await;
    let (m, id) = (&done["metrics"], done["training_id"].as_str().unwrap());
    let report = app.get_json(&format!("/api/v1/datasets/d/trainings/{id}/report")).await;
    let wrong = report["confusion"]["within_parent"].as_i64().unwrap()
        + report["confusion"]["cross_parent"].as_i64().unwrap();
    assert_eq!(report["confusion"]["right"].as_i64().unwrap() + wrong, m["n"].as_i64().unwrap());
    let cells = report["confusion"]["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|c| c["count"].as_i64().unwrap()).sum::<i64>(), wrong);
    let nodes = report["confusion"]["nodes"].as_array().unwrap();
    let sum = |key: &str| nodes.iter().map(|c| c[key].as_i64().unwrap()).sum::<i64>();
    assert_eq!((sum("count"), sum("wrong")), (m["n"].as_i64().unwrap(), wrong), "{report}");
    let classes = ["cat", "dog", "ski", "swim"];
    let behind = async |selection: &Value| -> Vec<usize> {
        let ids: Vec<String> = sqlx::query_scalar(
            "select s.external_id from selection_samples t join samples s on s.id = t.sample_id where t.selection_id = $1",
        )
        .bind(selection.as_str().unwrap().parse::<Uuid>().unwrap())
        .fetch_all(pool)
        .await
        .unwrap();
        ids.iter().map(|id| id[1..].parse().unwrap()).collect()
    };
    let mut seen = 0;
    for cell in cells {
        let samples = behind(&cell["selection"]).await;
        assert_eq!(samples.len() as i64, cell["count"].as_i64().unwrap());
        assert!(samples.iter().all(|i| cell["truth"] == classes[i % 4]), "{cell} {samples:?}");
        seen += samples.iter().filter(|i| *i % 10 == 0).count();
        let html =
            app.get(&format!("/datasets/d/grid?selection={}", cell["selection"].as_str().unwrap())).await;
        assert!(
            html.status == 200
                && String::from_utf8(html.bytes).unwrap().contains(&format!("/samples/s{}", samples[0]))
        );
    }
    for node in nodes.iter().filter(|n| n["wrong"] != 0) {
        let samples = behind(&node["selection"]).await;
        assert_eq!(samples.len() as i64, node["wrong"].as_i64().unwrap(), "{node}");
        assert!(
            samples.iter().all(|i| node["truth"] == ["animals", "sports"][i % 4 / 2]),
            "{node} {samples:?}"
        );
    }
    assert!(seen >= 3, "some of the mislabelled titles were held out: {report}");
    // without a scan: nothing but how sure the model is, and the size of classes
    let explained: i64 =
        report["bad_cases"].as_array().unwrap().iter().map(|c| c["main"].as_i64().unwrap()).sum();
    assert_eq!(explained + report["unexplained"].as_i64().unwrap(), wrong);
    assert_eq!((&report["noise"], &report["verified"]), (&Value::Null, &Value::Null));
    let mean = m["mean_f1"].as_f64().unwrap();
    let at = |end: &str| report["unverified"]["mean_f1"][end].as_f64().unwrap();
    assert!(at("low") < mean && mean < at("high"), "{report}");
    assert_eq!(report["calibration"]["n"], m["n"]);
    assert_eq!(report["curves"].as_array().unwrap().len(), 4);
    for (lang, words) in [("en", "Errors by cause"), ("zh-CN", "错误原因")] {
        let page = app.get(&format!("/datasets/d/trainings/{id}?lang={lang}")).await;
        let html = String::from_utf8(page.bytes).unwrap();
        assert!(
            html.contains(words) && html.contains("data-thresholds") && html.contains("grid?selection="),
            "{html}"
        );
    }
    let unknown = format!("/api/v1/datasets/d/trainings/{}/report", Uuid::nil());
    app.get(&unknown).await.problem(404, "not_found");

    // a person says of one of the errors that it fits no class: from then on that is its cause
    let case = |report: &Value| {
        let cases = report["bad_cases"].as_array().unwrap();
        cases.iter().find(|c| c["case"] == "out_of_taxonomy").unwrap().clone()
    };
    let odd = behind(&cells[0]["selection"]).await[0];
    let decision = json!({"client_id": Uuid::new_v4(), "decision": "out_of_taxonomy"});
    let said = app.post_json(&format!("/api/v1/datasets/d/samples/s{odd}/reviews"), &decision).await;
    assert_eq!(said.status, 201, "{}", String::from_utf8_lossy(&said.bytes));
    let again = trained(&app, dataset, "holdout = 0.5").await;
    let path = format!("/api/v1/datasets/d/trainings/{}/report", again["training_id"].as_str().unwrap());
    let found = case(&app.get_json(&path).await);
    assert!(behind(&found["selection"]).await.contains(&odd), "s{odd}: {found}");
}

#[tokio::test]
async fn tokens_start_from_the_sentence_encoder_or_the_recipes_key_is_named() {
    let recipe = small("single", "").replace("title = 8", "title = 8\ntokens_from = \"encoder\"");
    let mut app = TestApp::with(|c| c.encode.text = String::new()).await;
    app.work();
    let dataset = told_by_title(&app).await;
    let args = TrainArgs { recipe: Some(recipe.clone()), ..Default::default() };
    let id = app.services.enqueue_train(dataset, &args).await.unwrap();
    let job = app.ended(id).await;
    assert_eq!(job.state, JobState::Failed);
    let why = app.get_json(&format!("/api/v1/jobs/{id}")).await.to_string();
    assert!(why.contains("recipe_needs_encoder") || why.contains("text.tokens_from"), "{why}");

    let app = TestApp::working().await;
    let dataset = told_by_title(&app).await;
    let few = recipe.replace("epochs = 30", "epochs = 2");
    let mut files = Vec::new();
    for recipe in [&few.replace("\ntokens_from = \"encoder\"", ""), &few, &few] {
        let done = trained(&app, dataset, recipe).await;
        same_in_onnx(&done["metrics"]);
        let path =
            format!("/api/v1/datasets/d/trainings/{}/model.onnx", done["training_id"].as_str().unwrap());
        files.push(app.get(&path).await.bytes);
        if !app.get_json("/api/v1/datasets/d/embeddings").await.to_string().contains("use-multilingual") {
            eprintln!("no sentence encoder is installed: tokens were not started from it");
            return;
        }
    }
    assert!(files[1] == files[2], "the vectors that were kept are those that were encoded");
    assert!(files[0] != files[1]);
    let kept = app.state.path().join("blobs/fitted").join(dataset.simple().to_string()).join("tokens");
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1, "one vocabulary, encoded once");
    assert!(trained(&app, dataset, &recipe).await["metrics"]["mean_f1"].as_f64().unwrap() > 0.95);
}
