//! `tamis audit`, as a process: files in, files out, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tamis::exchange::npy::{Dtype, write_header};

pub(crate) fn npy(dir: &Path, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> PathBuf {
    let path = dir.join(name);
    let mut bytes = Vec::new();
    write_header(&mut bytes, dtype, shape).unwrap();
    bytes.extend_from_slice(data);
    std::fs::write(&path, bytes).unwrap();
    path
}

pub(crate) fn audit(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tamis")).current_dir(dir).arg("audit").args(arguments).output().unwrap()
}

pub(crate) fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// 40 samples of two classes; the model is sure, and rows 3 and 8 carry the other label.
pub(crate) fn arrays(dir: &Path) {
    let mut p = Vec::new();
    let mut y = Vec::new();
    for i in 0..40u8 {
        let class = i % 2;
        for c in 0..2 {
            p.extend_from_slice(&(if c == class { 0.9f32 } else { 0.1 }).to_le_bytes());
        }
        y.push(if matches!(i, 3 | 8) { 1 - class } else { class });
    }
    npy(dir, "p.npy", Dtype::F32, &[40, 2], &p);
    npy(dir, "y.npy", Dtype::U8, &[40], &y);
}

const INPUT: [&str; 4] = ["--labels", "y.npy", "--pred-probs", "p.npy"];

#[test]
fn a_filter_and_a_score_by_name() {
    let dir = tempfile::tempdir().unwrap();
    arrays(dir.path());
    let selected = |name: &str, more: &[&str]| {
        let arguments = [&INPUT[..], &["--select", name, "--out", "out"], more].concat();
        let output = audit(dir.path(), &arguments);
        assert!(output.status.success(), "{output:?}");
        let bytes = std::fs::read(dir.path().join("out/selected.npy")).unwrap();
        (String::from_utf8(output.stdout).unwrap(), bytes[128..].to_vec())
    };
    let wrong: Vec<u8> = (0..40).map(|i| u8::from(matches!(i, 3 | 8))).collect();
    for name in ["prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given"]
    {
        let (said, flags) = selected(name, &[]);
        assert_eq!(flags, wrong, "{name}");
        assert!(said.starts_with("2 of 40 labels"), "{said}");
    }
    let (said, values) = selected("self_confidence", &["--json", "--threads", "1"]);
    let summary: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&summary["samples"], &summary["classes"]), (&40.into(), &2.into()), "{summary}");
    let values: Vec<f64> = values.as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect();
    assert!((values[3] - 0.1).abs() < 1e-6 && (values[4] - 0.9).abs() < 1e-6);
}

#[test]
fn the_list_names_what_can_be_selected() {
    let dir = tempfile::tempdir().unwrap();
    let output = audit(dir.path(), &["--list"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for name in ["prune_by_noise_rate", "low_normalized_margin", "confidence_weighted_entropy", "log_margin"]
    {
        assert!(text.contains(name), "{text}");
    }
}

#[test]
fn mistakes_name_the_array_the_row_and_the_value() {
    let dir = tempfile::tempdir().unwrap();
    arrays(dir.path());
    let run =
        |name: &str| failure(&audit(dir.path(), &[&INPUT[..], &["--select", name, "--out", "out"]].concat()));
    assert!(run("self_confidance").contains("--list"));
    npy(dir.path(), "y.npy", Dtype::I32, &[40], &[0u8; 160].map(|_| 7));
    let error = run("both");
    assert!(error.contains("y.npy") && error.contains("row 0") && error.contains("2 classes"), "{error}");
    npy(dir.path(), "y.npy", Dtype::U8, &[39], &[0; 39]);
    assert!(run("both").contains("y.npy has 39"));
    npy(dir.path(), "y.npy", Dtype::U8, &[40], &[0; 40]);
    let mut p: Vec<u8> = (0..80).flat_map(|_| 0.5f32.to_le_bytes()).collect();
    p[8 * 17..8 * 17 + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    npy(dir.path(), "p.npy", Dtype::F32, &[40, 2], &p);
    let error = run("both");
    assert!(error.contains("p.npy") && error.contains("row 17, column 0 is NaN"), "{error}");
    assert!(!dir.path().join("out").exists());
    // commands that were not understood
    assert_eq!(audit(dir.path(), &["--labels", "y.npy"]).status.code(), Some(2));
    let above = [&INPUT[..], &["--out", "out", "--fail-above", "7"]].concat();
    assert_eq!(audit(dir.path(), &above).status.code(), Some(2));
    assert!(failure(&audit(dir.path(), &["--labels", "y.npy", "--out", "out"])).contains("--features"));
}

#[test]
fn several_at_once_come_in_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    arrays(dir.path());
    let run = |names: &str| audit(dir.path(), &[&INPUT[..], &["--select", names, "--out", "out"]].concat());
    assert!(run("self_confidence,both").status.success());
    let read = |name: &str| std::fs::read(dir.path().join("out").join(name)).unwrap();
    let (scores, flags) = (read("self_confidence.npy"), read("both.npy"));
    assert!(run("self_confidence").status.success());
    assert_eq!(scores, read("selected.npy"));
    assert!(run("both").status.success());
    assert_eq!(flags, read("selected.npy"));
    assert!(failure(&run("both,both")).contains("twice"));
}

/// 120 samples of four classes under two parents in two dimensions; every tenth carries the next class.
pub(crate) fn features(dir: &Path) -> Vec<bool> {
    let mut x = String::new();
    let mut y = String::from("id,label\n");
    let names = ["ollie", "kickflip", "cat", "dog"];
    let mut wrong = Vec::new();
    for i in 0..120usize {
        let class = i % 4;
        wrong.push(i % 10 == 0);
        let label = names[(class + usize::from(i % 10 == 0)) % 4];
        y.push_str(&format!("clip-{i:03},{label}\n"));
        let angle = class as f64 * 1.5 + (i as f64 * 0.7).sin() * 0.3;
        x.push_str(&format!("{},{},{}\n", angle.cos(), angle.sin(), (i as f64).cos() * 0.1));
    }
    std::fs::write(dir.join("x.csv"), x).unwrap();
    std::fs::write(dir.join("y.csv"), y).unwrap();
    std::fs::write(dir.join("t.json"), r#"{"skate": ["ollie", "kickflip"], "pets": ["cat", "dog"]}"#)
        .unwrap();
    wrong
}

pub(crate) const TABLES: [&str; 8] =
    ["--labels", "y.csv", "--features", "x.csv", "--taxonomy", "t.json", "--out", "out"];

#[test]
fn a_report_from_features_alone() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = features(dir.path());
    let output = audit(dir.path(), &[&TABLES[..], &["--json", "--lang", "en", "--threads", "1"]].concat());
    assert!(output.status.success(), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let out = dir.path().join("out");
    let written: serde_json::Value =
        serde_json::from_slice(&std::fs::read(out.join("summary.json")).unwrap()).unwrap();
    assert_eq!(written, summary);
    assert_eq!((&summary["samples"], &summary["classes"]), (&120.into(), &4.into()));
    assert_eq!(summary["parents"].as_array().unwrap().len(), 2);

    let text = std::fs::read_to_string(out.join("issues.csv")).unwrap();
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap().split(',').collect();
    for name in [
        "id",
        "given_label",
        "rank",
        "suspicion",
        "is_label_issue",
        "label_quality",
        "suggested_label",
        "near_duplicate_group",
        "outlier_score",
        "reason",
        "aum",
        "is_cross_parent",
    ] {
        assert!(header.contains(&name), "{header:?}");
    }
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let rows: Vec<Vec<&str>> = lines.map(|l| l.split(',').collect()).collect();
    assert_eq!((rows.len(), rows[7][0]), (120, "clip-007"));
    let mut ranks: Vec<u32> = rows.iter().map(|r| r[column("rank")].parse().unwrap()).collect();
    let hits = (0..120).filter(|&i| wrong[i] && ranks[i] <= 12).count();
    assert!(hits >= 11, "{hits} of 12 planted errors among the first 12");
    for (i, row) in rows.iter().enumerate() {
        let suspicion: f32 = row[column("suspicion")].parse().unwrap();
        let flagged = row[column("is_label_issue")] == "True";
        assert_eq!(flagged, suspicion > 0.5);
        assert_eq!(flagged, u64::from(ranks[i]) <= summary["estimated_errors"].as_u64().unwrap());
    }
    ranks.sort_unstable();
    assert_eq!(ranks, (1..=120).collect::<Vec<u32>>());

    let table = std::fs::File::open(out.join("issues.parquet")).unwrap();
    let columns =
        tamis::exchange::columnar::read_table(table, Some(&["id", "rank", "suggested_label"])).unwrap();
    assert_eq!(columns[0].1.len(), 120);

    // other threads, the same bytes
    let kept = std::fs::read(out.join("issues.csv")).unwrap();
    assert!(audit(dir.path(), &[&TABLES[..], &["--lang", "en", "--threads", "2"]].concat()).status.success());
    assert!(std::fs::read(out.join("issues.csv")).unwrap() == kept);

    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("clip-") && page.contains("Noise matrix"));
    assert!(!page.contains("http"), "the report asks the network for nothing");
    assert!(audit(dir.path(), &[&TABLES[..], &["--lang", "zh-CN"]].concat()).status.success());
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("噪声矩阵") && page.contains("lang=\"zh-CN\""));
}

#[test]
fn exit_codes_that_scripts_can_use() {
    let dir = tempfile::tempdir().unwrap();
    features(dir.path());
    let code = |more: &[&str]| audit(dir.path(), &[&TABLES[..], more].concat()).status.code();
    assert_eq!(code(&["--fail-above", "0.02"]), Some(3));
    assert_eq!(code(&["--fail-above", "0.9"]), Some(0));
    std::fs::write(dir.path().join("y.csv"), "id,label\na,ollie\nb,mouse\n").unwrap();
    let error = failure(&audit(dir.path(), &TABLES));
    assert!(error.contains("x.csv has 120 rows"), "{error}");
    std::fs::write(dir.path().join("x.csv"), "1,2\n3,4\n").unwrap();
    let error = failure(&audit(dir.path(), &TABLES));
    assert!(error.contains("y.csv: row 1 is \"mouse\""), "{error}");
}

#[test]
fn several_features_are_fields_that_are_asked_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    features(dir.path());
    let x = std::fs::read_to_string(dir.path().join("x.csv")).unwrap();
    for name in ["title.csv", "asr.csv"] {
        // clip 41's title is that of clip 42, another class
        let rows: Vec<&str> = x.lines().collect();
        let other = |i: usize| if name == "title.csv" && i == 41 { rows[42] } else { rows[i] };
        let text: String = (0..rows.len()).map(|i| format!("{}\n", other(i))).collect();
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let more = ["--features", "title.csv", "--features", "asr.csv"];
    let output = audit(dir.path(), &[&TABLES[..], &more].concat());
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(dir.path().join("out/issues.csv")).unwrap();
    let header: Vec<&str> = text.lines().next().unwrap().split(',').collect();
    let column = |name: &str| header.iter().position(|h| *h == name).unwrap();
    let row = |i: usize| text.lines().nth(i + 1).unwrap().split(',').collect::<Vec<_>>();
    assert_eq!((row(41)[column("odd_field")], row(41)[column("is_field_issue")]), ("title", "True"));
    assert_eq!(row(41)[column("field_votes")], "x=kickflip title=cat asr=kickflip");
    // a wrong label: all three against it
    assert_eq!((row(40)[column("odd_field")], row(40)[column("fields_against")]), ("", "3"));
}
