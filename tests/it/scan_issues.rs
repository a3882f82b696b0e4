//! What a scan finds beside wrong labels, on a dataset in which each kind of issue was planted once, and the
//! ways to it: lists by kind, counts, the dataset's health, clusters, pages.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write};

use half::f16;
use serde_json::{Value, json};
use tamis::jobs::import::MediaSource;

use crate::support::TestApp;

const CLASSES: [&str; 3] = ["a1", "a2", "b1"];
const WORDS: [&str; 3] = [
    "skateboard ollie kickflip ramp street wheels board trick landing concrete deck grind",
    "lipstick mascara foundation blush palette brush eyeliner contour powder makeup gloss shade",
    "noodles garlic ginger wok simmer recipe pepper onion dumpling broth kitchen spicy",
];
/// Wrong labels, as many of each class as were taken from it.
const WRONG: [(usize, &str); 6] = [(60, "a2"), (61, "b1"), (62, "a1"), (63, "b1"), (64, "a1"), (65, "a2")];
const N: usize = 120;
const WIDTH: usize = 12;

/// Numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides
    }

    fn text(&mut self, class: usize, words: usize) -> String {
        let known: Vec<&str> = WORDS[class].split(' ').collect();
        (0..words).map(|_| known[self.roll(known.len())]).collect::<Vec<_>>().join(" ")
    }
}

struct Row {
    title: String,
    asr: String,
    label: &'static str,
    frame: Vec<f32>,
}

fn rows() -> Vec<Row> {
    let mut dice = Dice(7);
    let mut rows: Vec<Row> = (0..N)
        .map(|i| {
            let class = i % 3;
            let frame = (0..WIDTH)
                .map(|d| f32::from(u8::from(d % 3 == class)) + dice.roll(1000) as f32 / 2500.0)
                .collect();
            Row { title: dice.text(class, 7), asr: dice.text(class, 25), label: CLASSES[class], frame }
        })
        .collect();
    // the same clip again, with another label
    rows[3] = Row {
        title: rows[0].title.clone(),
        asr: rows[0].asr.clone(),
        label: "b1",
        frame: rows[0].frame.clone(),
    };
    // speech in which the letters stand in no order
    let mut letters: Vec<char> = rows[10].asr.chars().collect();
    (1..letters.len()).rev().for_each(|i| letters.swap(i, dice.roll(i + 1)));
    rows[10].asr = letters.into_iter().collect();
    rows[20].title = "subscribe now ".repeat(8).trim().to_owned();
    // a title of another class
    rows[30].title = dice.text(2, 7);
    rows[50].title = String::new();
    for (i, label) in WRONG {
        rows[i].label = label;
    }
    rows
}

fn npy(values: &[f32]) -> Vec<u8> {
    let mut header = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': (1, {WIDTH}), }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    values.iter().for_each(|v| out.extend(f16::from_f32(*v).to_le_bytes()));
    out
}

async fn import(app: &TestApp) -> uuid::Uuid {
    let (mut lines, mut zip) = (String::new(), zip::ZipWriter::new(Cursor::new(Vec::new())));
    for (i, row) in rows().iter().enumerate() {
        let id = format!("v{i:03}");
        lines += &json!({"id": id, "title": row.title, "asr": row.asr, "label": row.label}).to_string();
        lines.push('\n');
        zip.start_file(format!("{id}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&npy(&row.frame)).unwrap();
    }
    let mut args = app.import_args("d", "rows.jsonl", lines.as_bytes()).await;
    args.media =
        Some(MediaSource::Features(app.stage("frames.zip", &zip.finish().unwrap().into_inner()).await));
    app.done(app.services.enqueue_import(&args).await.unwrap()).await;
    // as if the clips had been looked at: 6 to 10 seconds, one of 0.3
    sqlx::query(
        "update samples set duration_ms = case external_id when 'v040' then 300 else 6000 + id % 5 * 1000 end,
           width = 1280, height = 720, fps = 25",
    )
    .execute(app.services.store.pool())
    .await
    .unwrap();
    app.services.store.dataset("d").await.unwrap().id
}

fn kinds(suspect: &Value) -> BTreeSet<String> {
    let issues = suspect["issues"].as_array().unwrap();
    issues.iter().map(|i| i["kind"].as_str().unwrap().to_owned()).collect()
}

fn ids(suspects: &[Value]) -> Vec<&str> {
    suspects.iter().map(|s| s["external_id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn each_planted_issue_is_found_and_nothing_in_clean_samples() {
    let mut app = TestApp::with(|c| c.encode.text = String::new()).await;
    app.work();
    let dataset = import(&app).await;
    let job = app.services.enqueue_scan(dataset, &Default::default()).await.unwrap();
    app.done(job).await;

    // what was planted, and what may come with it: a text of nothing also lies apart
    let planted: BTreeMap<&str, (&[&str], &[&str])> = BTreeMap::from([
        ("v000", (&["near_duplicate", "near_duplicate_conflict"][..], &[][..])),
        ("v003", (&["label", "near_duplicate", "near_duplicate_conflict"], &[])),
        ("v010", (&["text_quality"], &["outlier"])),
        ("v020", (&["text_quality"], &["outlier"])),
        ("v030", (&["odd_field"], &["outlier"])),
        ("v040", (&["media"], &[])),
        ("v050", (&["missing_field"], &["outlier"])),
        ("v060", (&["label"], &[])),
        ("v061", (&["label"], &[])),
        ("v062", (&["label"], &[])),
        ("v063", (&["label"], &[])),
        ("v064", (&["label"], &[])),
        ("v065", (&["label"], &[])),
    ]);
    let all = app.walk("/api/v1/datasets/d/suspects?all=true", 50).await;
    assert_eq!(all.len(), N);
    for s in &all {
        let (must, may) = planted.get(s["external_id"].as_str().unwrap()).copied().unwrap_or_default();
        let found = kinds(s);
        let missed: Vec<_> = must.iter().filter(|k| !found.contains(**k)).collect();
        let extra: Vec<_> =
            found.iter().filter(|k| !must.contains(&k.as_str()) && !may.contains(&k.as_str())).collect();
        assert!(missed.is_empty() && extra.is_empty(), "missed {missed:?}, extra {extra:?}: {s}");
    }
    let issue = |id: &str, kind: &str| {
        let s = all.iter().find(|s| s["external_id"] == id).unwrap();
        s["issues"].as_array().unwrap().iter().find(|i| i["kind"] == kind).unwrap().clone()
    };
    assert_eq!(issue("v000", "near_duplicate_conflict")["labels"], json!([{"class": "b1", "n": 1}]));
    let twin = app.get_json("/api/v1/datasets/d/samples/v003").await;
    assert_eq!(issue("v000", "near_duplicate")["samples"], json!([twin["id"]]));
    assert_eq!(issue("v010", "text_quality")["faults"][0]["problem"], "gibberish");
    assert_eq!(issue("v020", "text_quality")["faults"][0]["problem"], "repetition");
    let odd = issue("v030", "odd_field");
    assert_eq!((&odd["field"], &odd["class"]), (&json!("title"), &json!("b1")));
    assert_eq!(issue("v040", "media")["faults"][0]["problem"], "short");
    assert_eq!(issue("v050", "missing_field")["fields"], json!(["title"]));

    // lists by kind: every sample at its place, as many as counted, in the count of the dataset too
    let counts = app.get_json("/api/v1/datasets/d/suspects/counts").await;
    let health = app.get_json("/api/v1/datasets/d/health").await;
    assert_eq!(counts, health["issues"]);
    for count in counts.as_array().unwrap() {
        let kind = count["kind"].as_str().unwrap();
        let list = app.walk(&format!("/api/v1/datasets/d/suspects?issue={kind}"), 1).await;
        assert_eq!(list.len() as u64, count["n"].as_u64().unwrap(), "{kind}");
        assert!(list.iter().all(|s| kinds(s).contains(kind)));
        let places: Vec<u64> = list.iter().map(|s| s["place"].as_u64().unwrap()).collect();
        assert_eq!(places, (1..=list.len() as u64).collect::<Vec<_>>(), "{kind}");
        let holders = all.iter().filter(|s| kinds(s).contains(kind)).count();
        assert_eq!(holders, list.len(), "{kind}");
    }
    let of = async |query: &str| app.walk(&format!("/api/v1/datasets/d/suspects?{query}"), 50).await;
    assert_eq!(ids(&of("issue=text_quality&field=asr").await), ["v010"]);
    assert_eq!(ids(&of("issue=near_duplicate").await).len(), 2);
    let pair: BTreeSet<String> =
        ids(&of("given=b1&suggested=a1").await).into_iter().map(Into::into).collect();
    assert_eq!(pair, BTreeSet::from(["v003".to_owned(), "v063".to_owned()]));
    assert_eq!(ids(&of("issue=media&class=b1").await), [""; 0]);
    let narrowed = app.get_json("/api/v1/datasets/d/suspects/counts?given=b1").await;
    let conflict = narrowed.as_array().unwrap().iter().find(|c| c["kind"] == "near_duplicate_conflict");
    assert_eq!(conflict.unwrap()["n"], 1, "{narrowed}");
    app.get("/api/v1/datasets/d/suspects?issue=nonsense").await.problem(422, "query");

    // the dataset as a whole
    assert_eq!(health["duplicates"], json!({"groups": 1, "samples": 2, "exact": 2, "conflicts": 1}));
    assert_eq!(health["fields"][0]["field"], "title");
    assert_eq!((&health["fields"][0]["missing"], &health["fields"][0]["odd"]), (&json!(1), &json!(1)));
    // a1 and a2 are under one node
    assert_eq!((&health["cross_parent"], &health["within_parent"]), (&json!(5), &json!(2)), "{health}");
    let sizes: Vec<u64> =
        health["balance"][1]["sizes"].as_array().unwrap().iter().map(|s| s["n"].as_u64().unwrap()).collect();
    assert_eq!(sizes, [41, 40, 39]);

    // clusters: a partition, named by the words of their class
    let clusters = app.walk("/api/v1/datasets/d/clusters", 2).await;
    assert_eq!(clusters.iter().map(|c| c["n"].as_u64().unwrap()).sum::<u64>(), N as u64);
    let minorities: Vec<u64> = clusters.iter().map(|c| c["minority"].as_u64().unwrap()).collect();
    assert!(minorities.is_sorted_by(|a, b| a >= b) && minorities.iter().sum::<u64>() == 7, "{minorities:?}");
    for c in &clusters {
        let members = of(&format!("cluster={}&all=true", c["cluster"])).await;
        assert_eq!(members.len() as u64, c["n"].as_u64().unwrap());
        let class = CLASSES.iter().position(|k| c["class"] == *k).unwrap();
        let words = c["words"].as_array().unwrap();
        let known = |w: &Value| WORDS[class].split(' ').any(|k| w == k);
        assert!(words.len() == 6 && words.iter().all(known), "{c}");
    }
    let at = &all.iter().find(|s| s["external_id"] == "v003").unwrap()["cluster"];
    let minority = of(&format!("cluster={at}&given=b1&all=true")).await;
    assert!(ids(&minority).contains(&"v003") && minority.iter().all(|s| s["given_class"] == "b1"));
    let mixed = clusters.iter().find(|c| c["cluster"] == *at).unwrap();
    let counted = mixed["labels"].as_array().unwrap().iter().find(|l| l["class"] == "b1").unwrap();
    assert_eq!(counted["n"].as_u64().unwrap(), minority.len() as u64, "{mixed}");

    // each part of the work had its name
    let log = app.walk(&format!("/api/v1/jobs/{job}/log"), 100).await;
    for stage in ["Reading the texts", "Looking at lengths and sizes", "Gathering the issues"] {
        assert!(log.iter().any(|l| l["message"].as_str().unwrap().starts_with(stage)), "{stage}: {log:?}");
    }
    pages(&app).await;
}

/// The pages lead to the same lists.
async fn pages(app: &TestApp) {
    let page = async |path: &str| {
        let answer = app.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8(answer.bytes).unwrap()
    };
    for lang in ["en", "zh-CN"] {
        let health = page(&format!("/datasets/d/health?lang={lang}")).await;
        let links: BTreeSet<&str> = health
            .split("href=\"/datasets/d/suspects?")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        assert!(
            links.contains("issue=missing_field&#38;field=title")
                || links.contains("issue=missing_field&amp;field=title"),
            "{links:?}"
        );
        for link in links {
            let list =
                page(&format!("/datasets/d/suspects?{}", link.replace("&#38;", "&").replace("&amp;", "&")))
                    .await;
            assert!(list.contains("<h1"), "{link}");
        }
        let clusters = page(&format!("/datasets/d/clusters?lang={lang}")).await;
        assert!(clusters.contains("skateboard") && clusters.contains("given=b1"));
    }
    let list = page("/datasets/d/suspects?issue=odd_field&lang=en").await;
    assert!(list.contains("By its title alone it is"), "{list}");
    assert!(
        list.contains("samples/v030?queue=issue%3Dodd_field&#38;rank=1")
            || list.contains("samples/v030?queue=issue%3Dodd_field&amp;rank=1")
    );
    let sample = page("/datasets/d/samples/v000?lang=en").await;
    assert!(sample.contains("a near-duplicate of 1 clip labelled") && sample.contains("samples/v003\""));
}

#[tokio::test]
async fn without_a_scan_there_is_nothing_to_show() {
    let app = TestApp::new().await;
    let dataset = app.dataset_with_samples("d", 12).await;
    for path in ["health", "clusters", "suspects/counts"] {
        app.get(&format!("/api/v1/datasets/d/{path}")).await.problem(404, "no_scan");
    }
    for path in ["health", "clusters"] {
        assert_eq!(app.get(&format!("/datasets/d/{path}")).await.status, 200);
    }
    // a scan of a version that knew only labels
    app.scan(dataset, 5).await;
    app.get("/api/v1/datasets/d/health").await.problem(404, "no_health");
    assert_eq!(app.get("/datasets/d/health").await.status, 200);
    assert_eq!(app.walk("/api/v1/datasets/d/clusters", 10).await, Vec::<Value>::new());
    assert_eq!(app.walk("/api/v1/datasets/d/suspects?issue=label", 2).await.len(), 5);
}
