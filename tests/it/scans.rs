//! Scans survive what can happen to their worker.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use tamis::domain::JobState;
use tamis::jobs::import::MediaSource;

use crate::predictions::npy;
use crate::support::TestApp;

/// A worker process on the test's database and state.
fn worker(app: &TestApp) -> Child {
    Command::new(env!("CARGO_BIN_EXE_tamis"))
        .args(["worker", "--state"])
        .arg(app.state.path())
        .env("DATABASE_URL", app.database_url())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// The finished folds under the state folder, with the time each was written.
fn folds(state: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut found = BTreeMap::new();
    let mut open = vec![state.join("blobs/scans")];
    while let Some(dir) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&dir) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_str().is_some_and(|p| p.contains("-fold") && p.ends_with(".json"))
                && let Ok(modified) = entry.metadata().and_then(|m| m.modified())
            {
                found.insert(path, modified);
            }
        }
    }
    found
}

/// Waits until `ready`, looking often.
async fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(180);
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// `n` samples of three classes in a space of `d` dimensions, near each other; every 17th label is wrong.
async fn import(app: &TestApp, n: usize, d: usize) -> uuid::Uuid {
    let mut rows = String::new();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut state = 1u64;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    for i in 0..n {
        let truth = i % 3;
        let given = if i % 17 == 0 { (truth + 1) % 3 } else { truth };
        let label = ["a1", "a2", "b1"][given];
        rows += &format!("{}\n", json!({"id": format!("v{i}"), "label": label}));
        let frame: Vec<f32> = (0..d).map(|c| if c % 3 == truth { 0.12 } else { 0.0 } + noise()).collect();
        zip.start_file(format!("v{i}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy(1, d, &frame)).unwrap();
    }
    let mut args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    args.media =
        Some(MediaSource::Features(app.stage("frames.zip", &zip.finish().unwrap().into_inner()).await));
    app.services.enqueue_import(&args).await.unwrap()
}

/// All findings of a scan but their scan's id.
async fn findings(app: &TestApp, scan: &Value) -> Vec<Value> {
    let scan = scan.as_str().unwrap();
    app.walk(&format!("/api/v1/datasets/d/suspects?all=true&scan={scan}"), 200).await
}

#[tokio::test]
async fn a_killed_scan_goes_on_with_the_next_fold_and_finds_the_same() {
    let app = TestApp::new().await;
    let mut first = worker(&app);
    let imported = import(&app, 1500, 192).await;
    app.done(imported).await;
    let dataset = app.services.store.dataset("d").await.unwrap().id;

    let id = app.services.enqueue_scan(dataset, &Default::default()).await.unwrap();
    until("a second fold", || (folds(app.state.path()).len() >= 2).then_some(())).await;
    first.kill().unwrap();
    first.wait().unwrap();
    let kept = folds(app.state.path());
    assert!((2..5).contains(&kept.len()), "killed too late to tell: {kept:?}");
    let job = app.services.store.job(id).await.unwrap();
    assert_eq!((job.state, job.starts), (JobState::Running, 1));

    // a decision that comes between does not make the finished folds worthless
    let decision = json!({"client_id": uuid::Uuid::new_v4(), "decision": "relabel", "class": "a2"});
    let reviewed = app.post_json("/api/v1/datasets/d/samples/v17/reviews", &decision).await;
    assert_eq!(reviewed.status, 201);

    let mut second = worker(&app);
    // while the folds after them are made, the finished ones lie untouched
    let later = until("a fold of the second start", || {
        let now = folds(app.state.path());
        (now.len() > kept.len()).then_some(now)
    })
    .await;
    for (fold, written) in &kept {
        assert_eq!(later.get(fold), Some(written), "{} was made again", fold.display());
    }
    let result = app.done(id).await;
    let store = &app.services.store;
    assert_eq!(store.job(id).await.unwrap().starts, 2);
    let log = store.job_log_lines(id, 0, 1000).await.unwrap();
    let said = log.iter().find_map(|l| l.note.as_ref().filter(|n| n.code == "folds_kept")).expect("a line");
    assert_eq!((said.args["n"].as_str(), said.args["of"].as_str()), (&*kept.len().to_string(), "5"));
    assert!(folds(app.state.path()).is_empty(), "cleared once the scan is kept");

    // one result, whole
    let scans = store.scans(dataset, None, 10).await.unwrap().items;
    assert_eq!(
        scans.iter().map(|s| s.id.to_string()).collect::<Vec<_>>(),
        [result["scan_id"].as_str().unwrap()]
    );
    let found = findings(&app, &result["scan_id"]).await;
    assert_eq!(found.len(), 1500);

    // and the findings of a scan of the same labels that nobody disturbed
    let args = tamis::jobs::scan::ScanArgs {
        snapshot: Some(result["snapshot_id"].as_str().unwrap().to_owned()),
        ..Default::default()
    };
    let undisturbed = app.done(app.services.enqueue_scan(dataset, &args).await.unwrap()).await;
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(findings(&app, &undisturbed["scan_id"]).await, found);
    assert_eq!(undisturbed["estimated_errors"], result["estimated_errors"]);
}
