//! Jobs survive what can happen to their worker: kill -9, cancel, panics of the world around them.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tamis::domain::{JobKind, JobState, Note};
use tamis::jobs::import::MediaSource;
use tamis::store::jobs::Begin;

use crate::support::TestApp;

const TAMIS: &str = env!("CARGO_BIN_EXE_tamis");

/// A worker process on the test's database and state.
pub(crate) fn worker(app: &TestApp) -> std::process::Child {
    Command::new(TAMIS)
        .args(["worker", "--state"])
        .arg(app.state.path())
        .env("DATABASE_URL", app.database_url())
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_killed_workers_job_is_taken_up_again_and_loses_and_doubles_nothing() {
    let app = TestApp::new().await;
    let dir = tempfile::tempdir().unwrap();
    let n = 120;
    let mut rows = String::new();
    crate::main_job::draw_clip(&dir.path().join("c.mp4"), "testsrc2=s=320x240:r=25", 6.0);
    for i in 0..n {
        // different bytes, so that each is a clip of its own
        let path = dir.path().join(format!("{i}.mp4"));
        std::fs::copy(dir.path().join("c.mp4"), &path).unwrap();
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(&[0, 0, 0, 12, b'f', b'r', b'e', b'e', 0, 0, 0, i as u8]).unwrap();
        rows += &format!("{{\"id\": \"{i}\", \"video\": \"{i}.mp4\", \"label\": \"a1\"}}\n");
    }
    let mut args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    args.media = Some(MediaSource::Dir(dir.path().to_str().unwrap().to_owned()));
    let id = app.services.enqueue_import(&args).await.unwrap();
    let mut first = worker(&app);
    // killed in the middle of the media
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let job = app.services.store.job(id).await.unwrap();
        if job.stage == "media_inspect" && job.done > 0 {
            break;
        }
        assert!(!job.state.is_ended() && Instant::now() < deadline, "{job:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    first.kill().unwrap();
    first.wait().unwrap();
    let killed = Instant::now();
    let mut second = worker(&app);
    loop {
        let job = app.services.store.job(id).await.unwrap();
        if job.starts == 2 {
            break;
        }
        assert!(killed.elapsed() < Duration::from_secs(60), "not taken up again: {job:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("taken up again after {:.1} s", killed.elapsed().as_secs_f64());
    let result = app.done(id).await;
    second.kill().unwrap();
    second.wait().unwrap();
    assert_eq!(result["added"], n, "the rows were in before the kill and are not merged twice: {result}");
    assert_eq!(result["media_ready"], n, "counted over both starts: {result}");
    let store = &app.services.store;
    let log = store.job_log_lines(id, 0, 1000).await.unwrap();
    let inspected = log.iter().rev().find_map(|l| {
        let note = l.note.as_ref()?;
        (note.args.get("stage")? == "@stage.media_inspect").then(|| note.args["n"].parse::<i64>().unwrap())
    });
    assert!(inspected.unwrap() < n, "the second start only does the rest: {log:?}");
    let dataset = store.dataset("d").await.unwrap().id;
    let counts = store.dataset_counts(dataset).await.unwrap();
    assert_eq!((counts.samples, counts.labelled, counts.media_pending, counts.bad_media), (n, n, 0, 0));
    assert_eq!(store.media_ready(dataset, 0, 1000).await.unwrap().len() as i64, n);
}

#[tokio::test]
async fn a_poison_job_fails_for_good_after_three_starts() {
    let mut app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    let id = app.services.enqueue_encode(dataset).await.unwrap();
    let store = app.services.store.clone();
    for start in 1..=3 {
        // begins and never ends: its worker died
        let Begin::Run(job) = store.begin_job(id, 3).await.unwrap() else { panic!("start {start} refused") };
        assert_eq!(job.starts, start);
    }
    app.work();
    let job = app.ended(id).await;
    assert_eq!((job.state, job.starts), (JobState::Failed, 3));
    assert!(job.error.unwrap().contains("3 times"));
    assert_eq!(job.error_note, Some(Note::new("poison").with("n", 3)));
}

#[tokio::test]
async fn a_superseded_worker_cannot_write_over_its_successor() {
    let app = TestApp::new().await;
    let store = &app.services.store;
    let id = store.insert_job(JobKind::Encode, None, &serde_json::json!({})).await.unwrap();
    let Begin::Run(old) = store.begin_job(id, 3).await.unwrap() else { panic!() };
    let Begin::Run(new) = store.begin_job(id, 3).await.unwrap() else { panic!() };
    assert_eq!(store.job_progress(id, old.starts, "x", 1, None).await.unwrap(), None);
    store.fail_job(id, old.starts, "old", &Note::new("rule")).await.unwrap();
    assert_eq!(store.job_progress(id, new.starts, "y", 2, None).await.unwrap(), Some(false));
    assert_eq!(store.job(id).await.unwrap().state, JobState::Running);
    // and while one holds the lock nobody else runs it
    let lock = store.lock_job(id).await.unwrap();
    assert!(lock.is_some());
    assert!(store.lock_job(id).await.unwrap().is_none());
    drop(lock);
}

#[tokio::test]
async fn jobs_can_be_cancelled_while_queued_and_while_running() {
    let app = TestApp::new().await;
    let args = app.import_args("d", "rows.jsonl", br#"{"id": "1", "label": "a1"}"#).await;
    let queued = app.services.enqueue_import(&args).await.unwrap();
    assert_eq!(app.services.store.cancel_job(queued).await.unwrap().state, JobState::Cancelled);

    let app = TestApp::working().await;
    let mut rows = String::new();
    for i in 0..1_000_000 {
        rows += &format!("{{\"id\": \"{i}\", \"title\": \"row {i}\", \"label\": \"a1\"}}\n");
    }
    let args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    let id = app.services.enqueue_import(&args).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while app.services.store.job(id).await.unwrap().done == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    app.services.store.cancel_job(id).await.unwrap();
    let job = app.ended(id).await;
    assert_eq!(job.state, JobState::Cancelled, "{:?}", job.error);
    assert!(app.services.store.dataset("d").await.is_err(), "a cancelled import leaves nothing");
}

#[tokio::test]
async fn a_job_that_fails_says_why_and_is_not_tried_again() {
    let app = TestApp::working().await;
    let dataset = app.dataset_with_samples("d", 4).await;
    let id = app.services.enqueue_scan(dataset, &Default::default()).await.unwrap();
    let job = app.ended(id).await;
    assert_eq!((job.state, job.starts), (JobState::Failed, 1));
    assert!(job.error.unwrap().contains("at least"), "four samples are too few to scan");
    // and in the reader's language
    let answer = app.get(&format!("/jobs/{id}?lang=zh-CN")).await;
    let page = String::from_utf8(answer.bytes).unwrap();
    assert!(page.contains("有标签的样本：4 个"), "{page}");
    // each ended stage has its line
    let lines = app.services.store.job_log_lines(id, 0, 100).await.unwrap();
    let codes: Vec<_> = lines.iter().filter_map(|l| Some(l.note.as_ref()?.code.as_str())).collect();
    assert!(codes.contains(&"stage_over") && codes.last() == Some(&"too_few_labels"), "{codes:?}");
}

#[tokio::test]
async fn a_job_that_was_written_down_but_never_sent_is_taken_up_by_the_next_worker() {
    let mut app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    let id =
        app.services.store.insert_job(JobKind::Encode, Some(dataset), &serde_json::json!({})).await.unwrap();
    app.work();
    app.done(id).await;
}

#[tokio::test]
async fn a_job_for_a_dataset_that_is_gone_is_refused_as_not_found() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    app.services.store.delete_dataset(dataset).await.unwrap();
    let refused = app.services.enqueue_encode(dataset).await.unwrap_err();
    assert!(refused.to_string().contains("does not exist"), "{refused}");
}
