//! No bytes may panic the readers of Parquet, CSV, JSON Lines and mapped arrays.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tamis_core::exchange::columns::{read_csv, read_jsonl, read_parquet};
use tamis_core::exchange::mapped::Mapped;

fuzz_target!(|data: &[u8]| {
    let path = std::env::temp_dir().join(format!("tamis-fuzz-{}", std::process::id()));
    if std::fs::write(&path, data).is_err() {
        return;
    }
    let _ = read_parquet(&path);
    let _ = read_csv(&path);
    let _ = read_jsonl(&path);
    if let Ok(mapped) = Mapped::open(&path) {
        let _ = mapped.labels(&path);
        let _ = mapped.matrix(&path);
    }
});
