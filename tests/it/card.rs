//! The card of a sample: evidence that scans keep, what it shows of it, and what it must not show.

use std::io::{Cursor, Write};

use serde_json::{Value, json};
use sqlx::Row;
use tamis::domain::{Candidate, Issue, LabelCount, Neighbour, RankedIssue};
use tamis::jobs::import::MediaSource;
use uuid::Uuid;

use crate::predictions::npy;
use crate::support::TestApp;

/// `n` samples of three classes with frames and, but for every fifth, a title; every ninth label is wrong.
async fn import(app: &TestApp, n: usize) {
    let words = [
        ["ollie", "kickflip", "board", "ramp"],
        ["lipstick", "powder", "brush", "mirror"],
        ["robot", "arm", "motor", "servo"],
    ];
    let mut rows = String::new();
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..n {
        let truth = i % 3;
        let given = if i % 9 == 4 { (truth + 1) % 3 } else { truth };
        let title = (0..4).map(|w| words[truth][(i / 3 + w * w) % 4]).collect::<Vec<_>>().join(" ");
        let title = if i % 5 == 2 { String::new() } else { title };
        let label = ["a1", "a2", "b1"][given];
        rows += &format!("{}\n", json!({"id": format!("v{i}"), "label": label, "title": title}));
        let wave = |c: usize| ((i * 31 + c * 17) as f32 * 0.37).sin() * 0.4;
        let frame: Vec<f32> = (0..24).map(|c| f32::from(u8::from(c % 3 == truth)) + wave(c)).collect();
        zip.start_file(format!("v{i}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy(1, 24, &frame)).unwrap();
    }
    let mut args = app.import_args("d", "rows.jsonl", rows.as_bytes()).await;
    let frames = app.stage("frames.zip", &zip.finish().unwrap().into_inner()).await;
    args.media = Some(MediaSource::Features(frames));
    app.done(app.services.enqueue_import(&args).await.unwrap()).await;
}

async fn html(app: &TestApp, path: &str) -> String {
    let answer = app.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    String::from_utf8(answer.bytes).unwrap()
}

#[tokio::test]
async fn a_scan_keeps_the_candidates_and_what_each_field_says() {
    let app = TestApp::working().await;
    import(&app, 180).await;
    let dataset = app.services.store.dataset("d").await.unwrap().id;
    let scan = app.services.enqueue_scan(dataset, &Default::default()).await.unwrap();
    app.done(scan).await;
    let rows = sqlx::query(
        "select s.external_id, s.title, f.given_class, f.suggested_class, f.suspicion, f.suggested_p, f.candidates,
           f.field_votes, (f.reason ->> 'p_given')::real as p_given
         from findings f join samples s on s.id = f.sample_id",
    )
    .fetch_all(app.services.store.pool())
    .await
    .unwrap();
    assert_eq!(rows.len(), 180);
    for row in &rows {
        let id: String = row.get("external_id");
        let candidates: Vec<Candidate> = serde_json::from_value(row.get("candidates")).unwrap();
        assert_eq!(candidates.len(), 3, "{id}: all classes, there are no more");
        assert!(candidates.is_sorted_by(|a, b| a.p >= b.p), "{id}: {candidates:?}");
        assert!(candidates.iter().map(|c| c.p).sum::<f32>() <= 1.0, "{id}: {candidates:?}");
        let of = |class: &str| candidates.iter().find(|c| &*c.class == class).unwrap().p;
        let (given, suggested) =
            (row.get::<String, _>("given_class"), row.get::<String, _>("suggested_class"));
        assert_eq!(candidates.iter().find(|c| *c.class != given).unwrap().class.as_ref(), suggested);
        // half the log-odds of the suspicion; the sentence says the same figures
        let s = f64::from(row.get::<f32, _>("suspicion"));
        let odds = (s / (1.0 - s)).sqrt();
        assert!((f64::from(of(&given)) - 1.0 / (1.0 + odds)).abs() < 3e-4, "{id}: {candidates:?} at {s}");
        assert!((row.get::<f32, _>("p_given") - of(&given)).abs() < 2e-5);
        assert!((row.get::<f32, _>("suggested_p") - of(&suggested)).abs() < 2e-5);

        let votes: Value = row.get("field_votes");
        let fields: Vec<&str> = votes.as_object().unwrap().keys().map(String::as_str).collect();
        let expected: &[&str] =
            if row.get::<String, _>("title").is_empty() { &["frames"] } else { &["frames", "title"] };
        assert_eq!(fields, expected, "{id}");
        for vote in votes.as_object().unwrap().values() {
            assert!(["a1", "a2", "b1"].contains(&vote["class"].as_str().unwrap()));
            assert!((0.0..=1.0).contains(&vote["p"].as_f64().unwrap()));
        }
    }
    // v4 is a2 by its frames and its title, and was given b1
    let page = html(&app, "/datasets/d/samples/v4").await;
    let keys: Vec<&str> = page.split("data-candidate=\"").skip(1).map(|c| &c[..1]).collect();
    assert_eq!(keys, ["1", "2", "3"]);
    let first = page.split("data-candidate=\"1\"").nth(1).unwrap().split("</button>").next().unwrap();
    assert!(first.contains("data-class=\"a2\"") && first.contains("<svg"), "{first}");
    let fields = page.split("class=\"field-votes\"").nth(1).unwrap().split("</dl>").next().unwrap();
    assert_eq!(fields.matches("class=\"suggested\"").count(), 2, "frames and title: {fields}");
    assert_eq!(fields.matches("class=\"silent\"").count(), 2, "speech and text on screen: {fields}");
}

#[tokio::test]
async fn a_scan_from_before_shows_the_two_that_it_compared() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 6).await;
    app.scan(dataset, 3).await;
    let page = html(&app, "/datasets/d/samples/s0").await;
    let list = page.split("class=\"candidates\"").nth(1).unwrap().split("</ol>").next().unwrap();
    assert_eq!(list.matches("<li").count(), 2);
    assert!(
        list.contains("data-class=\"ski\"") && !list.contains("<svg"),
        "no bar without a probability: {list}"
    );
    // the label under its digit confirms it
    let kept = list.split("data-candidate=\"2\"").next().unwrap().rsplit("<button").next().unwrap();
    assert!(kept.contains("data-decision=\"keep\""), "{kept}");
    assert!(!page.contains("field-votes"), "nobody asked the fields");
}

/// s0 is given cat; s4, s8, s12, … are cats as well.
#[tokio::test]
async fn examples_are_good_and_are_other_samples() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 48).await;
    let ids = app.sample_ids(dataset).await;
    let near = |i: usize| Neighbour { sample_id: ids[i], similarity: 0.9 };
    let duplicate = |of: usize| RankedIssue {
        rank: i32::try_from(of).unwrap() + 1,
        issue: Issue::NearDuplicate {
            n: 1,
            labels: vec![LabelCount { class: "cat".into(), n: 1 }],
            samples: vec![ids[44 - of]],
        },
    };
    app.scan_with(dataset, 2, |i, f| {
        f.given_class = ["cat", "dog", "ski", "swim"][i % 4].into();
        f.suggested_class = "ski".into();
        f.neighbours = vec![];
        f.issues = vec![];
        match i {
            // s40 is near; s44 is the same clip
            0 => (f.neighbours, f.issues) = (vec![near(40), near(44)], vec![duplicate(0)]),
            44 => f.issues = vec![duplicate(44)],
            36 => f.issues = vec![RankedIssue { rank: 1, issue: Issue::Outlier { nearest: 0.1 } }],
            _ => {}
        }
    })
    .await;
    // a person has said that s8 is a cat, and that s32 is none
    for (sample, class) in [("s8", "cat"), ("s32", "dog"), ("s1", "cat")] {
        let body = json!({"client_id": Uuid::now_v7(), "decision": "relabel", "class": class});
        let path = format!("/api/v1/datasets/d/samples/{sample}/reviews");
        assert_eq!(app.post_json(&path, &body).await.status, 201);
    }
    let page = html(&app, "/datasets/d/samples/s0").await;
    let between = page.split("class=\"between\"").nth(1).unwrap();
    let of = |side: &str| -> Vec<String> {
        let part = between.split(&format!("<section class=\"{side}\"")).nth(1).unwrap();
        let links = part.split("</section>").next().unwrap().split("href=\"/datasets/d/samples/").skip(1);
        links.map(|l| l.split('"').next().unwrap().to_owned()).collect()
    };
    // confirmed ones first (s1 among them: it was flagged, but a person has looked), then the least suspicious:
    // not s44 (the same clip), s40 (a neighbour), s36 (an outlier), s32 (now a dog)
    let mut confirmed = of("given");
    let last = confirmed.pop().unwrap();
    confirmed.sort();
    assert_eq!((confirmed, last.as_str()), (vec!["s1".to_owned(), "s8".into()], "s28"));
    assert_eq!(of("suggested"), ["s46", "s42", "s38"]);
    assert_eq!(between.split("</section>").next().unwrap().matches("class=\"confirmed\"").count(), 2);
    // the neighbour that is the same clip is told once
    let near = page.split("id=\"near\"").nth(1).unwrap().split("</ul>").next().unwrap();
    assert!(near.contains("samples/s40\"") && !near.contains("samples/s44\""));
    let same = page.split("id=\"same\"").nth(1).unwrap().split("</ul>").next().unwrap();
    assert!(same.contains("samples/s44\"") && !same.contains("samples/s40\""));
}

/// The names of classes are kept in memory; an import that brings others is seen at once, in every process.
#[tokio::test]
async fn names_that_change_are_shown() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 3).await;
    app.scan(dataset, 1).await;
    assert!(html(&app, "/datasets/d/samples/s0").await.contains("data-name=\"CAT\""));
    let before = app.services.store.dataset("d").await.unwrap();
    // the same names again change nothing
    app.dataset_with_samples("d", 3).await;
    let same = app.services.store.dataset("d").await.unwrap();
    assert_eq!(same.taxonomy_version, before.taxonomy_version);
    let other = tamis::store::Store::connect(&app.database_url()).await.unwrap();
    let warm = other.taxonomy_of(&before).await.unwrap();
    assert_eq!(warm.name("cat", "en"), "CAT");
    let mut staging = tamis::store::imports::Staging::begin(&other).await.unwrap();
    let mut nodes = crate::support::taxonomy().nodes().to_vec();
    nodes[1].names.insert("en".into(), "Tomcat".into());
    staging.dataset("d", &tamis::domain::Taxonomy::new(nodes).unwrap()).await.unwrap();
    staging.commit().await.unwrap();
    for path in ["/datasets/d/samples/s0", "/datasets/d/suspects"] {
        let page = html(&app, path).await;
        assert!(page.contains("Tomcat") && !page.contains(">CAT<"), "{path}");
    }
    let after = other.dataset("d").await.unwrap();
    assert_eq!(other.taxonomy_of(&after).await.unwrap().name("cat", "en"), "Tomcat");
    other.pool().close().await;
}

/// Draws a sample for `author` (`local` is who the pages see) and returns its item.
async fn draw(app: &TestApp, author: &str, purpose: &str) -> Value {
    let body = json!({"holder": Uuid::now_v7(), "count": 1, "author": author});
    let answer = app.post_json("/api/v1/datasets/d/queue/draw", &body).await;
    let item = answer.json()["items"][0].clone();
    assert_eq!(item["purpose"], purpose, "{item}");
    item
}

async fn decide(app: &TestApp, author: &str, item: &Value, class: &str, comment: &str) {
    let body = json!({"client_id": Uuid::now_v7(), "author": author, "lease_id": item["lease_id"],
        "decision": "relabel", "class": class, "comment": comment});
    let path = format!("/api/v1/datasets/d/samples/{}/reviews", item["sample"].as_str().unwrap());
    assert_eq!(app.post_json(&path, &body).await.status, 201);
}

/// s0, given cat and suggested ski, is the only suspect; everything is looked at twice.
async fn twice(hide_model: bool) -> TestApp {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 10).await;
    let ids = app.sample_ids(dataset).await;
    app.scan_with(dataset, 1, |_, f| {
        f.neighbours = vec![Neighbour { sample_id: ids[1], similarity: 0.9 }];
        f.candidates = [("ski", 0.7), ("cat", 0.2), ("dog", 0.1)]
            .map(|(class, p)| Candidate { class: class.into(), p })
            .into();
    })
    .await;
    let policy = json!({"double_check": "all", "blind": true, "hide_model": hide_model});
    let request = axum::http::Request::put("/api/v1/datasets/d/policy")
        .header("content-type", "application/json")
        .body(axum::body::Body::from(policy.to_string()))
        .unwrap();
    assert_eq!(app.send(request).await.status, 200);
    app
}

/// What is said of people in the first look: none of it may be in the page of the second.
const SAID: [&str; 5] = ["zoe-first", "pool-comment", "SWIM", "\"swim\"", "status relabelled"];

#[tokio::test]
async fn a_blind_second_look_gives_nothing_away() {
    for hide_model in [false, true] {
        let app = twice(hide_model).await;
        let first = draw(&app, "zoe-first", "review").await;
        decide(&app, "zoe-first", &first, "swim", "pool-comment").await;
        let open = html(&app, "/datasets/d/samples/s0").await;
        assert!(SAID.iter().all(|w| open.contains(w)), "who browses sees it all");

        let item = draw(&app, "local", "second_look").await;
        let page = html(&app, &format!("/datasets/d/review/{}", item["lease_id"].as_str().unwrap())).await;
        for word in SAID {
            assert!(!page.contains(word), "{word} is in the page (hide_model: {hide_model})");
        }
        assert!(page.contains("data-purpose=\"second_look\"") && page.contains("data-blind=\"true\""));
        let keep = page.split("data-decision=\"keep\"").nth(1).unwrap().split('>').next().unwrap();
        assert!(keep.contains("data-id=\"cat\""), "the label that the first look began with: {keep}");
        for word in ["SKI", "data-candidate", "data-suggestion", "The model", "field-votes"] {
            assert_eq!(
                page.contains(word),
                !hide_model && word != "field-votes",
                "{word}, hidden: {hide_model}"
            );
        }
        // the neighbour is there, whoever may be heard
        assert!(page.contains("samples/s1\""));
    }
}

#[tokio::test]
async fn who_settles_sees_both_looks_and_the_model() {
    let app = twice(true).await;
    let first = draw(&app, "zoe-first", "review").await;
    decide(&app, "zoe-first", &first, "swim", "pool-comment").await;
    let second = draw(&app, "max-second", "second_look").await;
    decide(&app, "max-second", &second, "dog", "").await;
    let item = draw(&app, "local", "adjudicate").await;
    let page = html(&app, &format!("/datasets/d/review/{}", item["lease_id"].as_str().unwrap())).await;
    let looks = page.split("class=\"looks\"").nth(1).unwrap().split("</ul>").next().unwrap();
    assert_eq!(looks.matches("<li>").count(), 3, "two people and the model: {looks}");
    let takes: Vec<&str> =
        looks.split("data-class=\"").skip(1).map(|b| b.split('"').next().unwrap()).collect();
    assert_eq!(takes, ["swim", "dog"]);
    assert!(looks.contains("pool-comment") && looks.contains("SKI"));
    // under a blind policy not even the history tells whose they are
    assert!(!page.contains("zoe-first") && !page.contains("max-second"));
}

#[tokio::test]
async fn a_lease_is_its_holders_and_ends_with_the_decision() {
    let app = twice(false).await;
    let path = |item: &Value| format!("/datasets/d/review/{}", item["lease_id"].as_str().unwrap());
    let foreign = draw(&app, "zoe-first", "review").await;
    app.get(&path(&foreign)).await.problem(410, "lease_gone");
    decide(&app, "zoe-first", &foreign, "swim", "").await;
    let own = draw(&app, "local", "second_look").await;
    assert_eq!(app.get(&path(&own)).await.status, 200);
    decide(&app, "local", &own, "swim", "").await;
    app.get(&path(&own)).await.problem(410, "lease_gone");
    app.get(&format!("/datasets/d/review/{}", Uuid::now_v7())).await.problem(410, "lease_gone");
    // agreed by two: a good example of a swimmer, and s0 is none of cats
    let page = html(&app, "/datasets/d/samples/s0").await;
    assert!(page.contains("status relabelled"));
}
