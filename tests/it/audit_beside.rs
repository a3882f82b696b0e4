//! `tamis audit` beyond the labels, as a process: texts, rules, clusters, heads, checked labels; and files
//! that must stay as they are.

use std::path::Path;

use serde_json::Value;
use tamis::exchange::columnar::{Column, read_table};
use tamis::exchange::npy::Dtype;

use crate::audit::{TABLES, arrays, audit, failure, features, npy};

const WORDS: [&str; 4] = ["skateboard ramp", "flip board", "kitten purring", "puppy barking"];

/// Titles by the true class; clip 5 says the same over and over, clip 6 nothing; the length gives the class
/// away, the size does not.
fn texts(dir: &Path) {
    let mut file = String::new();
    for i in (0..120usize).rev() {
        let title = match i {
            5 => "haha ".repeat(20),
            6 => String::new(),
            _ => format!("{} number {i} on a {} day", WORDS[i % 4], ["sunny", "rainy", "windy"][i % 3]),
        };
        let row = serde_json::json!({
            "id": format!("clip-{i:03}"), "title": title, "duration_ms": 1000 * (i % 4) + 10, "width": 640 + i % 3,
        });
        file.push_str(&format!("{row}\n"));
    }
    std::fs::write(dir.join("texts.jsonl"), file).unwrap();
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn column(dir: &Path, name: &str) -> Column {
    let file = std::fs::File::open(dir.join("out/issues.parquet")).unwrap();
    read_table(file, Some(&[name])).unwrap().swap_remove(0).1
}

fn strings(dir: &Path, name: &str) -> Vec<String> {
    let Column::Utf8(values) = column(dir, name) else { panic!("{name} is no text") };
    values
}

fn flags(dir: &Path, name: &str) -> Vec<bool> {
    let Column::Bool(values) = column(dir, name) else { panic!("{name} is no flag") };
    values
}

#[test]
fn texts_and_rules_over_everything_that_is_known() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = features(dir.path());
    texts(dir.path());
    let rules = "# what a person knows of these clips\n\
        purr: relabel \"cat\" when title contains \"purring\"\n\
        pets: relabel \"dog\" when under(label, \"pets\") and duration_ms = 2010\n\
        alone: flag when neighbours_agree < 0.3 and suspicion > 0.5\n\
        exclude when missing(title) or is_text_issue\n";
    std::fs::write(dir.path().join("rules.txt"), rules).unwrap();
    let more = ["--texts", "texts.jsonl", "--rules", "rules.txt", "--lang", "en"];
    let output = audit(dir.path(), &[&TABLES[..], &more].concat());
    assert!(output.status.success(), "{output:?}");

    assert_eq!(
        strings(dir.path(), "text_reason")[5..8],
        ["title: repeated over and over", "title: empty", ""]
    );
    let bad: Vec<usize> = (0..120).filter(|&i| flags(dir.path(), "is_text_issue")[i]).collect();
    assert_eq!(bad, [5, 6]);
    assert_eq!(strings(dir.path(), "missing_fields")[6], "title");

    // every cat clip by its title; two rules want the pets among them to be dogs
    let labels = strings(dir.path(), "rule_label");
    let given = strings(dir.path(), "given_label");
    for i in 0..120 {
        let purrs = i % 4 == 2 && i != 6;
        let dog = i % 4 == 2 && ["cat", "dog"].contains(&given[i].as_str());
        assert_eq!(
            labels[i],
            if purrs {
                "cat"
            } else if dog {
                "dog"
            } else {
                ""
            },
            "{i}"
        );
    }
    let flagged = flags(dir.path(), "is_rule_issue");
    assert!((0..120).all(|i| !flagged[i] || wrong[i]) && flagged.iter().filter(|f| **f).count() >= 10);
    assert_eq!((0..120).filter(|&i| flags(dir.path(), "rule_exclude")[i]).collect::<Vec<_>>(), [5, 6]);
    assert_eq!(strings(dir.path(), "rules")[6], "pets; rule 5");

    let summary = json(&dir.path().join("out/summary.json"));
    let tried = summary["rules"]["tried"].as_array().unwrap();
    // 30 cats less the one without a title; those labelled otherwise change
    let otherwise = (0..120).filter(|i| i % 4 == 2 && *i != 6 && given[*i] != "cat").count();
    assert_eq!((tried[0]["name"].as_str(), &tried[0]["hits"]), (Some("purr"), &29.into()));
    assert_eq!((&tried[0]["changes"], &tried[0]["examples"][0]), (&otherwise.into(), &"clip-002".into()));
    assert_eq!(tried[3]["rule"], "\"rule 5\": exclude when missing(title) or is_text_issue");
    assert_eq!(summary["rules"]["excluded"], 2);
    let properties = summary["properties"].as_array().unwrap();
    assert_eq!(
        (&properties[0]["property"], &properties[0]["gives_label_away"]),
        (&"duration_ms".into(), &true.into())
    );
    assert_eq!(properties[1]["gives_label_away"], false);
    let title = summary["texts"].as_array().unwrap().iter().find(|t| t["field"] == "title").unwrap();
    assert_eq!((&title["repetition"], &title["empty"], &title["missing"]), (&1.into(), &1.into(), &1.into()));

    // the words of the clusters are those of the class that lies there
    let clusters = summary["clusters"].as_array().unwrap();
    assert_eq!(clusters.iter().map(|c| c["samples"].as_u64().unwrap()).sum::<u64>(), 120);
    let names = ["ollie", "kickflip", "cat", "dog"];
    for cluster in clusters.iter().filter(|c| c["purity"].as_f64().unwrap() > 0.8) {
        let class = names.iter().position(|n| cluster["label"] == *n).unwrap();
        let first = cluster["words"][0].as_str().unwrap();
        assert!(WORDS[class].contains(first), "{cluster}");
    }
    let page = std::fs::read_to_string(dir.path().join("out/report.html")).unwrap();
    assert!(page.contains("skateboard") && page.contains("missing(title) or is_text_issue"));
    assert!(page.contains("Numbers that give the label away") && !page.contains("http"));
}

#[test]
fn faulty_rules_stop_before_the_work_with_a_caret() {
    let dir = tempfile::tempdir().unwrap();
    features(dir.path());
    texts(dir.path());
    std::fs::write(dir.path().join("rules.txt"), "a: flag when suspicion > 0.5\nb: flag when titel ~ /x/\n")
        .unwrap();
    let more = ["--rules", "rules.txt", "--texts", "texts.jsonl"];
    let error = failure(&audit(dir.path(), &[&TABLES[..], &more].concat()));
    assert!(
        error.contains("rules.txt: line 2, column 14") && error.contains("did you mean `title`"),
        "{error}"
    );
    assert!(error.contains("\n  b: flag when titel ~ /x/\n               ^"), "{error}");
    assert!(!dir.path().join("out").exists());
    // without the texts there is no title
    let error = failure(&audit(dir.path(), &[&TABLES[..], &more[..2]].concat()));
    assert!(error.contains("line 2") && !error.contains("`title`"), "{error}");
    std::fs::write(dir.path().join("texts.jsonl"), "{\"id\": \"other\", \"title\": \"x\"}\n").unwrap();
    let error = failure(&audit(dir.path(), &[&TABLES[..], &more].concat()));
    assert!(error.contains("texts.jsonl: no id is one of the labels'"), "{error}");
}

#[test]
fn heads_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = features(dir.path());
    for heads in ["mlp", "prototype", "neighbours", "linear,prototype,neighbours,mlp"] {
        let output = audit(dir.path(), &[&TABLES[..], &["--head", heads, "--json"]].concat());
        assert!(output.status.success(), "{output:?}");
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let names: Vec<&str> =
            summary["heads"].as_array().unwrap().iter().map(|h| h["head"].as_str().unwrap()).collect();
        assert_eq!(names.join(","), heads);
        let Column::I32(ranks) = column(dir.path(), "rank") else { panic!() };
        let hits = (0..120).filter(|&i| wrong[i] && ranks[i] <= 12).count();
        assert!(hits >= 10, "{hits} of 12 by {heads}");
    }
    assert_eq!(audit(dir.path(), &[&TABLES[..], &["--head", "forest"]].concat()).status.code(), Some(2));
    let given = [&TABLES[..], &["--pred-probs", "p.npy", "--head", "mlp"]].concat();
    assert_eq!(audit(dir.path(), &given).status.code(), Some(2));
}

#[test]
fn what_reviews_and_checks_say_of_the_labels_left() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = features(dir.path());
    let mut checked = String::from("id,wrong\n");
    (0..60).for_each(|i| checked.push_str(&format!("clip-{i:03},{}\n", wrong[i])));
    std::fs::write(dir.path().join("checked.csv"), &checked).unwrap();
    let run = |more: &[&str]| {
        let output =
            audit(dir.path(), &[&TABLES[..], &["--json", "--checked", "checked.csv"], more].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let summary = run(&[]);
    let found = &summary["checked"];
    assert_eq!((&found["labels"], &found["wrong"]), (&60.into(), &6.into()));
    // of the other 60 labels six are wrong
    let (low, high) = (found["left_wrong_low"].as_f64().unwrap(), found["left_wrong_high"].as_f64().unwrap());
    assert!((low..=high).contains(&6.0) && high < 30.0, "{found}");
    let number = |s: &Value, key: &str| s["next_reviews"][key].as_f64().unwrap();
    assert!((number(&summary, "break_even") - 0.05).abs() < 1e-9);
    let now = summary["left_wrong"][0]["wrong"].as_f64().unwrap();
    let gone = number(&summary, "corrected") - number(&summary, "broken");
    assert!((number(&summary, "left_wrong") - (now - gone)).abs() < 1e-6);
    assert!(number(&summary, "left_wrong_then") < now);
    // a person who errs in three of ten breaks even much earlier
    let careless = run(&["--reviewer-accuracy", "0.7"]);
    assert!(number(&careless, "worth_reviewing") <= number(&summary, "worth_reviewing"));
    assert!((number(&careless, "break_even") - 0.3).abs() < 1e-9);
    std::fs::write(dir.path().join("checked.csv"), "id,wrong\nclip-000,maybe\n").unwrap();
    let error = failure(&audit(dir.path(), &[&TABLES[..], &["--checked", "checked.csv"]].concat()));
    assert!(error.contains("checked.csv") && error.contains("row 0 is \"maybe\""), "{error}");
}

#[test]
fn inputs_stay_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    features(dir.path());
    std::fs::create_dir(dir.path().join("out")).unwrap();
    let labels = std::fs::read(dir.path().join("y.csv")).unwrap();
    for name in ["issues.csv", "summary.json.part"] {
        let there = dir.path().join("out").join(name);
        std::fs::write(&there, &labels).unwrap();
        let ids = format!("out/../out/{name}");
        let error = failure(&audit(dir.path(), &[&TABLES[..], &["--ids", &ids]].concat()));
        assert!(error.contains("would be overwritten"), "{error}");
        assert_eq!(std::fs::read(&there).unwrap(), labels);
        std::fs::remove_file(there).unwrap();
    }
    arrays(dir.path());
    std::fs::copy(dir.path().join("p.npy"), dir.path().join("out/selected.npy")).unwrap();
    let select =
        ["--labels", "y.npy", "--pred-probs", "out/selected.npy", "--select", "both", "--out", "out"];
    assert!(failure(&audit(dir.path(), &select)).contains("would be overwritten"));
}

#[test]
fn a_full_disk_under_the_summary_is_an_error() {
    if !Path::new("/dev/full").exists() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    arrays(dir.path());
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_tamis"))
        .current_dir(dir.path())
        .args(["audit", "--labels", "y.npy", "--pred-probs", "p.npy", "--out", "out", "--json"])
        .stdout(full)
        .output()
        .unwrap();
    assert!(failure(&output).contains("standard output"));
}

#[test]
fn labels_and_features_of_any_number_type() {
    let dir = tempfile::tempdir().unwrap();
    let mut labels = Vec::new();
    let mut pixels = Vec::new();
    for i in 0..60usize {
        let class = i % 2;
        labels.extend_from_slice(&(if i == 7 { 0.0f32 } else { class as f32 }).to_le_bytes());
        pixels.extend(
            (0..8).map(|j| if j / 4 == class { 200 + (i * 7 + j) % 50 } else { (i * 3 + j) % 60 } as u8),
        );
    }
    npy(dir.path(), "y.npy", Dtype::F32, &[60], &labels);
    npy(dir.path(), "x.npy", Dtype::U8, &[60, 8], &pixels);
    std::fs::write(
        dir.path().join("t.json"),
        format!("{{\"r\": {:?}}}", (0..12).map(|c| c.to_string()).collect::<Vec<_>>()),
    )
    .unwrap();
    let arguments =
        ["--labels", "y.npy", "--features", "x.npy", "--taxonomy", "t.json", "--out", "out", "--lang", "en"];
    let output = audit(dir.path(), &arguments);
    assert!(output.status.success(), "{output:?}");
    // ten classes without a sample are one line
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.trim(), "y.npy: classes without a sample: 10 (2, 3, 4, 5, 6, …)");
    let Column::I32(ranks) = column(dir.path(), "rank") else { panic!() };
    assert_eq!(ranks[7], 1);
}
