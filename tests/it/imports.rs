//! Imports: good rows go in once, bad rows are named, nothing is half done.

use serde_json::json;
use tamis::domain::{JobState, MediaState};
use tamis::jobs::import::MediaSource;
use tamis::store::imports::ImportError;
use tamis::store::jobs::Job;

use crate::support::TestApp;

/// Runs an import of these annotations; the ended job and its refused rows.
async fn run(app: &TestApp, name: &str, file: &str, bytes: &[u8], partial: bool) -> (Job, Vec<ImportError>) {
    let mut args = app.import_args(name, file, bytes).await;
    args.partial = partial;
    let id = app.services.enqueue_import(&args).await.unwrap();
    let job = app.ended(id).await;
    let errors = app.services.store.import_errors(id, -1, 1000).await.unwrap().items;
    (job, errors)
}

#[tokio::test]
async fn the_same_file_twice_changes_nothing_and_a_changed_row_keeps_the_old_label() {
    let app = TestApp::working().await;
    let first = br#"{"id": "1", "title": "one", "label": "a1"}
{"id": "2", "title": "two", "ocr": [{"time": 1.5, "text": "x"}], "label": null}
{"id": 3, "title": "tab\there \\N", "category_id": "b1"}"#;
    let (job, _) = run(&app, "d", "rows.jsonl", first, false).await;
    let result = job.result.unwrap();
    assert_eq!((&result["added"], &result["labels_added"]), (&json!(3), &json!(2)), "{result}");
    let (job, _) = run(&app, "d", "rows.jsonl", first, false).await;
    let result = job.result.unwrap();
    assert_eq!(
        (&result["added"], &result["changed"], &result["unchanged"]),
        (&json!(0), &json!(0), &json!(3))
    );
    assert_eq!(result["labels_added"], 0);

    let changed = br#"[{"id": "1", "title": "one", "label": "b1"}]"#;
    let (job, _) = run(&app, "d", "rows.json", changed, false).await;
    assert_eq!(job.result.unwrap()["labels_added"], 1);
    let store = &app.services.store;
    let dataset = store.dataset("d").await.unwrap().id;
    let sample = store.sample(dataset, "1").await.unwrap();
    assert_eq!(sample.given_class.as_deref(), Some("b1"));
    let history = store.history(dataset, sample.id).await.unwrap();
    assert_eq!(history.iter().map(|h| h.classes[0].as_str()).collect::<Vec<_>>(), ["a1", "b1"]);
    assert_eq!(
        store.sample(dataset, "3").await.unwrap().text.title,
        "tab\there \\N",
        "COPY keeps every character"
    );
    assert_eq!(store.sample(dataset, "2").await.unwrap().split.as_str(), "unlabelled");
}

#[tokio::test]
async fn what_a_file_does_not_speak_of_stays_as_it_is() {
    let app = TestApp::working().await;
    let whole =
        br#"{"id": "1", "title": "one", "asr": "said", "ocr": ["seen"], "label": "a1", "split": "validation"}
{"id": "2", "title": "two", "asr": "said"}"#;
    run(&app, "d", "rows.jsonl", whole, false).await;
    let (job, _) = run(&app, "d", "labels.csv", b"id,label\n1,a2\n2,b1\n", false).await;
    let result = job.result.unwrap();
    // the second is labelled now, so it is no longer of the unlabelled
    assert_eq!((&result["changed"], &result["labels_added"]), (&json!(1), &json!(2)), "{result}");
    let store = &app.services.store;
    let dataset = store.dataset("d").await.unwrap().id;
    let one = store.sample(dataset, "1").await.unwrap();
    assert_eq!((one.text.title.as_str(), one.text.asr.as_str()), ("one", "said"));
    assert_eq!((one.text.ocr.len(), one.split.as_str()), (1, "validation"));
    assert_eq!(store.sample(dataset, "2").await.unwrap().split.as_str(), "train");
    // null and an empty cell say that there is none
    run(&app, "d", "rows.jsonl", br#"{"id": "1", "asr": null}"#, false).await;
    run(&app, "d", "rows.csv", b"id,title\n2,\n", false).await;
    let one = store.sample(dataset, "1").await.unwrap();
    assert_eq!((one.text.title.as_str(), one.text.asr.as_str()), ("one", ""));
    let two = store.sample(dataset, "2").await.unwrap();
    assert_eq!((two.text.title.as_str(), two.text.asr.as_str()), ("", "said"));
}

#[tokio::test]
async fn bad_rows_are_named_and_nothing_goes_in_unless_partial() {
    let app = TestApp::working().await;
    let long = format!(r#"{{"id": "9", "title": "{}"}}"#, "x".repeat(10 << 20));
    let deep = format!(r#"{{"id": "9", "ocr": {}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let good = r#"{"id": "good", "label": "a1"}"#;
    // what, file, the bad line (line 2 of the file), expected field, expected code
    let cases: Vec<(&str, Vec<u8>, Option<&str>, &str)> = vec![
        ("unknown label", br#"{"id": "9", "label": "zebra"}"#.to_vec(), Some("label"), "unknown_label"),
        ("inner node", br#"{"id": "9", "label": "a"}"#.to_vec(), Some("label"), "unknown_label"),
        ("duplicate id", br#"{"id": "good", "label": "a2"}"#.to_vec(), Some("id"), "duplicate_id"),
        ("not UTF-8", b"{\"id\": \"9\", \"title\": \"\xff\xfe\"}".to_vec(), None, "not_utf8"),
        ("truncated", br#"{"id": "9", "title": "abc"#.to_vec(), None, "truncated_json"),
        ("10 MB title", long.into_bytes(), None, "row_too_large"),
        ("NUL", br#"{"id": "9", "title": "a\u0000b"}"#.to_vec(), Some("title"), "nul_byte"),
        ("deep nesting", deep.into_bytes(), None, "too_deep"),
    ];
    for (i, (what, bad, field, code)) in cases.iter().enumerate() {
        let name = format!("d{i}");
        let file = [good.as_bytes(), b"\n", bad].concat();
        let (job, errors) = run(&app, &name, "rows.jsonl", &file, false).await;
        assert_eq!(job.state, JobState::Failed, "{what}");
        assert_eq!(errors.len(), 1, "{what}: {errors:?}");
        let e = &errors[0];
        assert_eq!((e.file.as_str(), e.line, e.code.as_str()), ("rows.jsonl", 2, *code), "{what}: {e:?}");
        if field.is_some() {
            assert_eq!(e.field.as_deref(), *field, "{what}");
        }
        assert!(app.services.store.dataset(&name).await.is_err(), "{what}: nothing may be there");

        let (job, errors) = run(&app, &name, "rows.jsonl", &file, true).await;
        assert_eq!(job.state, JobState::Succeeded, "{what}: {:?}", job.error);
        assert_eq!(errors.len(), 1, "{what}");
        let dataset = app.services.store.dataset(&name).await.unwrap().id;
        assert_eq!(app.services.store.dataset_counts(dataset).await.unwrap().samples, 1, "{what}");
    }
}

#[tokio::test]
async fn another_taxonomy_is_refused_for_a_dataset_that_has_one() {
    let app = TestApp::working().await;
    run(&app, "d", "rows.jsonl", br#"{"id": "1", "label": "a1"}"#, false).await;
    let mut args = app.import_args("d", "rows.jsonl", br#"{"id": "2", "label": "x1"}"#).await;
    args.taxonomy =
        tamis::jobs::import::TaxonomySource::File(app.stage("t.json", br#"{"x": ["x1", "x2"]}"#).await);
    let id = app.services.enqueue_import(&args).await.unwrap();
    let job = app.ended(id).await;
    assert_eq!(job.state, JobState::Failed);
    assert!(job.error.unwrap().contains("another taxonomy"));
}

#[tokio::test]
async fn media_paths_cannot_leave_the_folder_and_bad_media_stop_nothing() {
    let app = TestApp::working().await;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("media");
    std::fs::create_dir(&root).unwrap();
    std::fs::write(dir.path().join("secret.mp4"), b"secret").unwrap();
    std::os::unix::fs::symlink(dir.path().join("secret.mp4"), root.join("link.mp4")).unwrap();
    crate::main_job::draw_clip(&root.join("good.mp4"), "testsrc=s=160x120:r=10", 1.0);
    std::fs::write(root.join("empty.mp4"), b"").unwrap();
    std::fs::write(root.join("text.mp4"), b"this is not a video").unwrap();

    let row = |id: &str, video: &str| format!("{}\n", json!({"id": id, "video": video, "label": "a1"}));
    let refused =
        [row("1", "../secret.mp4"), row("2", "link.mp4"), row("3", "gone.mp4"), row("4", "/etc/passwd")];
    let mut args = app.import_args("d", "rows.jsonl", refused.concat().as_bytes()).await;
    args.media = Some(MediaSource::Dir(root.to_str().unwrap().to_owned()));
    let id = app.services.enqueue_import(&args).await.unwrap();
    assert_eq!(app.ended(id).await.state, JobState::Failed);
    let errors = app.services.store.import_errors(id, -1, 10).await.unwrap().items;
    let codes: Vec<&str> = errors.iter().map(|e| e.code.as_str()).collect();
    assert_eq!(codes, ["media_path_traversal", "media_outside_root", "media_missing", "media_path_absolute"]);
    assert!(errors.iter().all(|e| e.field.as_deref() == Some("video")));

    let rows = [row("good", "good.mp4"), row("empty", "empty.mp4"), row("text", "text.mp4")].concat();
    args.annotations = app.stage("rows.jsonl", rows.as_bytes()).await;
    let id = app.services.enqueue_import(&args).await.unwrap();
    let result = app.done(id).await;
    assert_eq!((&result["media_ready"], &result["media_bad"]), (&json!(1), &json!(2)), "{result}");
    let store = &app.services.store;
    let dataset = store.dataset("d").await.unwrap().id;
    for (id, state, error) in [
        ("good", MediaState::Ready, None),
        ("empty", MediaState::Bad, Some("empty_file")),
        ("text", MediaState::Bad, Some("not_video")),
    ] {
        let s = store.sample(dataset, id).await.unwrap();
        assert_eq!((s.media_state, s.media_error.as_deref()), (state, error), "{id}");
    }
    let good = store.sample(dataset, "good").await.unwrap();
    assert!((900..=1100).contains(&good.duration_ms.unwrap()), "{:?}", good.duration_ms);
    // what is served is what was imported
    let answer = app.get(&format!("/media/d/{}", good.id)).await;
    assert_eq!(answer.bytes, std::fs::read(root.join("good.mp4")).unwrap());
    assert_eq!(answer.header("content-type"), "video/mp4");
    assert_eq!(app.get(&format!("/strip/d/{}", good.id)).await.header("content-type"), "image/jpeg");
}

#[tokio::test]
async fn one_label_before_does_not_make_the_next_thousands_slow() {
    // plpgsql keeps plans per connection: a plan made for one row must not serve 100,000. Not a timed
    // test: the statement's own timeout is far above what it takes, far below what a nested loop takes.
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 1).await;
    let sample = app.sample_ids(dataset).await[0];
    let mut one = app.services.store.pool().acquire().await.unwrap();
    let label = "insert into labels (dataset_id, sample_id, class, source, author)
                 select $1, id, 'cat', 'import', 'x' from samples where dataset_id = $1 and ($2::bigint is null or id = $2)";
    sqlx::query(label).bind(dataset).bind(sample).execute(&mut *one).await.unwrap();
    sqlx::query(
        "insert into samples (dataset_id, external_id) select $1, 'n' || i from generate_series(1, 40000) i",
    )
    .bind(dataset)
    .execute(&mut *one)
    .await
    .unwrap();
    sqlx::query("set statement_timeout = '60s'").execute(&mut *one).await.unwrap();
    sqlx::query(label).bind(dataset).bind(None::<i64>).execute(&mut *one).await.unwrap();
    one.close().await.unwrap();
}

#[tokio::test]
async fn an_import_without_its_clips_says_so_and_a_later_one_brings_only_its_own() {
    let app = TestApp::working().await;
    let zip = |names: &[&str]| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in names {
            zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            std::io::Write::write_all(&mut zip, b"not a clip").unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let import = async |rows: &[u8], names: Option<&[&str]>| {
        let mut args = app.import_args("d", "rows.jsonl", rows).await;
        if let Some(names) = names {
            args.media = Some(MediaSource::Zip(app.stage("m.zip", &zip(names)).await));
        }
        let id = app.services.enqueue_import(&args).await.unwrap();
        (id, app.done(id).await)
    };
    let (id, _) = import(br#"{"id": "a", "video": "a.mp4", "label": "a1"}"#, None).await;
    let store = &app.services.store;
    let lines = store.job_log_lines(id, 0, 100).await.unwrap();
    assert!(lines.iter().any(|l| l.note.as_ref().is_some_and(|n| n.code == "media_not_given")), "{lines:?}");
    // another import whose zip happens to hold a file of that name
    let (_, result) = import(br#"{"id": "b", "video": "b.mp4"}"#, Some(&["a.mp4", "b.mp4"])).await;
    assert_eq!((&result["media_ready"], &result["media_bad"]), (&json!(0), &json!(1)));
    let dataset = store.dataset("d").await.unwrap().id;
    let state = async |id: &str| store.sample(dataset, id).await.unwrap().media_state.as_str();
    assert_eq!((state("a").await, state("b").await), ("none", "bad"));
    // the same row again, with its file; the row itself did not change
    let (_, result) = import(br#"{"id": "a", "video": "a.mp4", "label": "a1"}"#, Some(&["a.mp4"])).await;
    assert_eq!((&result["changed"], &result["media_bad"]), (&json!(0), &json!(1)), "{result}");
    assert_eq!(state("a").await, "bad");
}

#[tokio::test]
async fn an_archive_that_is_none_leaves_nothing_behind() {
    let app = TestApp::working().await;
    let mut args = app.import_args("d", "rows.jsonl", br#"{"id": "a", "label": "a1"}"#).await;
    args.media = Some(MediaSource::Features(app.stage("f.zip", b"no zip").await));
    let id = app.services.enqueue_import(&args).await.unwrap();
    assert_eq!(app.ended(id).await.state, JobState::Failed);
    assert!(app.services.store.dataset("d").await.is_err());
}

#[tokio::test]
async fn vectors_of_texts_that_are_gone_do_not_count() {
    let app = TestApp::working().await;
    let rows = |title: &dyn Fn(usize) -> serde_json::Value| {
        let row = |i: usize| {
            let label = ["a1", "b1"][i % 2];
            json!({"id": format!("s{i}"), "title": title(i), "asr": format!("said {i}"), "label": label})
        };
        (0..20).map(|i| row(i).to_string()).collect::<Vec<_>>().join("\n")
    };
    let fields = async || {
        let dataset = app.services.store.dataset("d").await.unwrap().id;
        let id = app.services.enqueue_scan(dataset, &Default::default()).await.unwrap();
        app.done(id).await;
        let scan = app.services.store.latest_scan(dataset).await.unwrap().unwrap();
        let blocks = scan.summary["fields"].as_array().unwrap().clone();
        blocks
            .iter()
            .map(|b| b["field"].as_str().unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    run(&app, "d", "rows.jsonl", rows(&|i| json!(format!("title {i}"))).as_bytes(), false).await;
    assert_eq!(fields().await, ["asr".to_owned(), "title".to_owned()].into());
    run(&app, "d", "rows.jsonl", rows(&|_| json!(null)).as_bytes(), false).await;
    assert_eq!(fields().await, ["asr".to_owned()].into());
}
