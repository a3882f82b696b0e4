//! `tamis audit`, as a process: files in, files out, exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tamis::exchange::npy::{Dtype, write_header};

fn npy(dir: &Path, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> PathBuf {
    let path = dir.join(name);
    let mut bytes = Vec::new();
    write_header(&mut bytes, dtype, shape).unwrap();
    bytes.extend_from_slice(data);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn audit(dir: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tamis")).current_dir(dir).arg("audit").args(arguments).output().unwrap()
}

fn failure(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// 40 samples of two classes; the model is sure, and rows 3 and 8 carry the other label.
fn arrays(dir: &Path) {
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
    assert!(run("both").contains("39 labels"));
    npy(dir.path(), "y.npy", Dtype::U8, &[40], &[0; 40]);
    let mut p: Vec<u8> = (0..80).flat_map(|_| 0.5f32.to_le_bytes()).collect();
    p[8 * 17..8 * 17 + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    npy(dir.path(), "p.npy", Dtype::F32, &[40, 2], &p);
    let error = run("both");
    assert!(error.contains("p.npy") && error.contains("row 17, column 0 is NaN"), "{error}");
    assert!(!dir.path().join("out").exists());
    // a command that was not understood
    assert_eq!(audit(dir.path(), &["--labels", "y.npy"]).status.code(), Some(2));
}
