//! Who may know whom, checked from the source text: each room's `crate::…` paths against the table.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Room -> rooms it may name. The design's rules; a room missing here fails the test.
fn allowed() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    let all = [
        "arrays", "audit", "blobs", "cli", "config", "deep", "demo", "detect", "domain", "encode",
        "exchange", "jobs", "media", "messages", "native", "outbound", "store", "train", "web",
    ];
    let table: &[(&str, &[&str])] = &[
        ("domain", &[]),
        ("arrays", &[]),
        ("config", &[]),
        ("blobs", &[]),
        ("media", &["domain"]),
        ("encode", &["arrays", "domain", "media"]),
        ("detect", &["domain", "arrays"]),
        ("train", &["domain", "arrays"]),
        ("deep", &["domain", "arrays", "train"]),
        ("exchange", &["arrays", "domain"]),
        ("audit", &["arrays", "detect", "domain", "encode", "exchange", "train"]),
        ("messages", &["domain"]),
        ("store", &["domain"]),
        ("native", &["config"]),
        ("demo", &[]),
        ("outbound", &[]),
        (
            "jobs",
            &[
                "arrays", "blobs", "config", "deep", "detect", "domain", "encode", "exchange", "media",
                "messages", "native", "outbound", "store", "train",
            ],
        ),
        ("web", &["blobs", "config", "domain", "jobs", "messages", "native", "outbound", "store"]),
        ("cli", &all),
    ];
    table.iter().map(|(room, may)| (*room, may.iter().copied().collect())).collect()
}

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// Rooms named in code (comments left out): as `crate::room`, but in `deep`, a crate of its own, as
/// `tamis_core::room`; `tamis_deep` is `deep`.
fn named(text: &str, room: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    let prefix = if room == "deep" { "tamis_core::" } else { "crate::" };
    for line in text.lines() {
        let code = line.split("//").next().unwrap_or_default();
        if code.contains("tamis_deep::") {
            rooms.insert("deep".to_owned());
        }
        for (at, _) in code.match_indices(prefix) {
            let room: String = code[at + prefix.len()..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !room.is_empty() {
                rooms.insert(room);
            }
        }
    }
    rooms
}

#[test]
fn rooms_know_only_whom_they_may() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let table = allowed();
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 40, "the source is not where this test looks");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        let room = inside.components().next().unwrap().as_os_str().to_string_lossy().replace(".rs", "");
        // the three crate roots name every room they hold
        if ["main", "lib", "core"].contains(&room.as_str()) {
            continue;
        }
        // a room's own tests may hold it against another (the catalogue against the codes it words)
        let of_tests = |path: &Path| path.file_stem().is_some_and(|s| s == "tests");
        if inside.ancestors().any(of_tests) {
            continue;
        }
        let Some(may) = table.get(room.as_str()) else { panic!("room {room} is not in the table") };
        for other in named(&std::fs::read_to_string(&file).unwrap(), &room) {
            if other != room && !may.contains(other.as_str()) {
                wrong.push(format!("{} names crate::{other}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn numerics_know_no_files_no_async_no_database() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ["detect", "train", "arrays", "deep"] {
        let mut files = Vec::new();
        rust_files(&src.join(room), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for word in ["sqlx::", "tokio::", "std::fs", "async fn"] {
                assert!(!text.contains(word), "{} uses {word}", file.display());
            }
        }
    }
}

#[test]
fn only_the_store_writes_sql() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    for file in files {
        let inside = file.strip_prefix(&src).unwrap();
        if inside.starts_with("store") || inside.starts_with("native") {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains("sqlx::query"), "{} writes SQL", inside.display());
    }
}
