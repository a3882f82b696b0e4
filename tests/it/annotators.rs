//! `tamis annotators`, as a process: the numbers of cleanlab 2.9's `multiannotator` (golden.json, written by
//! `benches/golden_annotators.py`) from files, however they are laid out.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tamis::exchange::npy::Dtype;

use crate::audit::{failure, npy};

fn run(dir: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
    command.current_dir(dir).arg("annotators").args(arguments).args(["--lang", "en"]).output().unwrap()
}

fn table(path: &Path) -> BTreeMap<String, Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|l| l.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<Vec<String>> = lines.collect();
    names.into_iter().enumerate().map(|(c, n)| (n, rows.iter().map(|r| r[c].clone()).collect())).collect()
}

/// The votes (N, M), -1 where not given, and predictions (N, K) of the golden file.
fn generated(n: usize, m: usize, k: usize, unlabelled: usize) -> (Vec<Vec<i8>>, Vec<f32>) {
    let mut state = 12_345u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state >> 40
    };
    let classes = k as u64;
    let (mut votes, mut p) = (vec![vec![-1i8; m]; n], Vec::new());
    for (i, row) in votes.iter_mut().enumerate() {
        let truth = (draw() % classes).min(draw() % classes);
        for (a, cell) in row.iter_mut().enumerate() {
            let (gives, right, other) = (draw() % 3 < 2, draw() % 10 < 9 - a as u64, draw() % classes);
            if (gives || a == i % m) && i < n - unlabelled {
                *cell = if right { truth } else { other } as i8;
            }
        }
        let leans = if draw() % 4 < 3 { truth } else { draw() % classes };
        let raw: Vec<u64> = (0..k).map(|_| draw() % 1000 + 1).collect();
        let total = raw.iter().sum::<u64>() + 150 * classes;
        for (j, raw) in raw.iter().enumerate() {
            p.push((raw + if j as u64 == leans { 150 * classes } else { 0 }) as f32 / total as f32);
        }
    }
    (votes, p)
}

#[test]
fn the_numbers_of_cleanlab() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/detect/annotators/golden.json");
    let golden: Value = serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    let golden = &golden[0];
    let size = |key: &str| golden[key].as_u64().unwrap() as usize;
    let (n, m, k) = (size("n"), size("m"), size("k"));
    let (votes, p) = generated(n, m, k, size("unlabelled"));
    let dir = tempfile::tempdir().unwrap();
    let flat: Vec<u8> = votes.iter().flatten().map(|v| *v as u8).collect();
    npy(dir.path(), "v.npy", Dtype::I8, &[n, m], &flat);
    npy(
        dir.path(),
        "p.npy",
        Dtype::F32,
        &[n, k],
        &p.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>(),
    );
    let output = run(dir.path(), &["--labels", "v.npy", "--pred-probs", "p.npy", "--out", "out", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["method"], "crowdlab");
    let consensus = table(&dir.path().join("out/consensus.csv"));
    let people = table(&dir.path().join("out/annotators.csv"));
    let close = |found: &[String], key: &str| {
        for (i, (found, want)) in found.iter().zip(golden[key].as_array().unwrap()).enumerate() {
            let (a, b) = (found.parse::<f64>().unwrap(), want.as_f64().unwrap());
            assert!((a - b).abs() < 2e-6, "{key} {i}: {a}, cleanlab {b}");
        }
    };
    close(&consensus["consensus_label"], "labels");
    close(&consensus["consensus_quality_score"], "quality");
    close(&consensus["annotator_agreement"], "agreement");
    close(&consensus["active_learning_score"], "active");
    close(&people["annotator_quality"], "annotator_quality");
    close(&people["agreement_with_consensus"], "annotator_agreement");
    close(&people["worst_class"], "worst_class");
    assert!(
        (summary["model_weight"].as_f64().unwrap() - golden["model_weight"].as_f64().unwrap()).abs() < 2e-6
    );
    // the first to label next has the least score
    let first = consensus["label_next_rank"].iter().position(|r| r == "1").unwrap();
    let scores: Vec<f64> = consensus["active_learning_score"].iter().map(|s| s.parse().unwrap()).collect();
    assert!(scores.iter().all(|s| *s >= scores[first]));
    let parquet = std::fs::File::open(dir.path().join("out/consensus.parquet")).unwrap();
    assert_eq!(tamis::exchange::columnar::read_table(parquet, None).unwrap().len(), consensus.len());

    // a row a label, backwards: the same consensus
    let mut list = String::from("item,annotator,label\n");
    for (i, row) in votes.iter().enumerate().rev() {
        for (a, v) in row.iter().enumerate().filter(|(_, v)| **v >= 0) {
            list.push_str(&format!("{i},p{a},{v}\n"));
        }
    }
    std::fs::write(dir.path().join("v.csv"), list).unwrap();
    let output = run(dir.path(), &["--labels", "v.csv", "--pred-probs", "p.npy", "--out", "two"]);
    assert!(output.status.success(), "{output:?}");
    let again = table(&dir.path().join("two/consensus.csv"));
    assert_eq!(again["consensus_label"], consensus["consensus_label"]);
    close(&again["consensus_quality_score"], "quality");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("4 people gave") && said.contains("consensus.csv"), "{said}");
}

/// Three people, the third of whom says dog to everything; without a model.
#[test]
fn names_without_a_model() {
    let dir = tempfile::tempdir().unwrap();
    let mut file = String::from("id,anna,ben,carl\n");
    for i in 0..30 {
        let class = if i % 2 == 0 { "cat" } else { "dog" };
        let ben = if i % 5 == 0 { "" } else { class };
        file.push_str(&format!("clip-{i},{class},{ben},dog\n"));
    }
    file.push_str("clip-30,,,\n");
    std::fs::write(dir.path().join("v.csv"), file).unwrap();
    for method in ["dawid-skene", "majority"] {
        let output = run(dir.path(), &["--labels", "v.csv", "--method", method, "--out", "out"]);
        assert!(output.status.success(), "{output:?}");
        let consensus = table(&dir.path().join("out/consensus.csv"));
        let wrong = (0..30).filter(|&i| consensus["consensus_label"][i] != ["cat", "dog"][i % 2]).count();
        // where ben says nothing, the vote of anna and carl is tied: the lower class, cat, is right
        assert_eq!(wrong, 0, "{method}");
        assert_eq!(
            (consensus["id"][30].as_str(), consensus["consensus_label"][30].as_str()),
            ("clip-30", "")
        );
        assert_eq!(consensus["num_annotations"][30], "0");
        let people = table(&dir.path().join("out/annotators.csv"));
        assert_eq!(people["annotator"], ["anna", "ben", "carl"]);
        assert_eq!(people["num_examples_labeled"], ["30", "24", "30"]);
        let quality: Vec<f64> = people["annotator_quality"].iter().map(|q| q.parse().unwrap()).collect();
        assert!(quality[0] > 0.95 && quality[1] > 0.95 && quality[2] < 0.6, "{quality:?}");
        assert_eq!(people["worst_class"][2], "dog");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.lines().nth(1).unwrap().contains("carl"), "{said}");
    }
    let error = failure(&run(dir.path(), &["--labels", "v.csv", "--method", "crowdlab", "--out", "out"]));
    assert!(error.contains("--pred-probs"), "{error}");
    let error = failure(&run(dir.path(), &["--labels", "out/consensus.csv", "--out", "out"]));
    assert!(error.contains("would be overwritten"), "{error}");
    assert_eq!(
        run(dir.path(), &["--labels", "v.csv", "--method", "guess", "--out", "out"]).status.code(),
        Some(2)
    );
}
