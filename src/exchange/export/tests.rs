use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int32Type, TimestampMicrosecondType};
use chrono::TimeZone;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

fn rows(n: usize) -> Vec<ExportRow> {
    (0..n)
        .map(|i| match i % 2 {
            0 => ExportRow {
                id: format!("v{i}"),
                title: Some("=HYPERLINK(\"x\"), 标题\n\"q\"".into()),
                given_label: Some("a".into()),
                label: Some("b".into()),
                label_source: Some(LabelSource::Annotator),
                decided_by: Some("ann".into()),
                decided_at: Utc.timestamp_micros(1_700_000_000_123_456).single(),
                status: "reviewed".into(),
                suspicion: Some(0.1),
                rank: Some(i as i32 + 1),
                suggested_label: Some("b".into()),
                suggested_p: Some(0.75),
                self_confidence: Some(0.25),
                normalized_margin: Some(-0.5),
                is_label_issue: true,
                issues: vec!["log_margin".into(), "neighbours".into()],
                split: Some(Split::Train),
                video: Some("clips/v.mp4".into()),
                taxonomy_path: Some("A / B".into()),
            },
            _ => ExportRow { id: format!("-{i}"), status: "open".into(), ..Default::default() },
        })
        .collect()
}

fn export(format: ExportFormat, rows: &[ExportRow], batch: usize) -> (tempfile::NamedTempFile, String, u64) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let (out, hash) = HashingWriter::new(file.reopen().unwrap());
    let metadata = [("tamis.snapshot".to_owned(), "abc".to_owned())].into();
    let mut w = writer(format, Box::new(out), &metadata).unwrap();
    rows.chunks(batch).for_each(|r| w.write(r).unwrap());
    w.finish().unwrap();
    let (sha256, bytes) = hash.result();
    (file, sha256, bytes)
}

#[test]
fn json_lines_have_every_column_in_order() {
    let (file, sha256, bytes) = export(ExportFormat::Jsonl, &rows(3), 2);
    let text = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(text.len() as u64, bytes);
    assert_eq!(sha256, hex::encode(Sha256::digest(&text)));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    let at: Vec<usize> = COLUMNS.iter().map(|c| lines[0].find(&format!("\"{c}\":")).unwrap()).collect();
    assert!(at.windows(2).all(|w| w[0] < w[1]));
    let v: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(v.as_object().unwrap().len(), COLUMNS.len());
    assert_eq!(v["issues"], serde_json::json!(["log_margin", "neighbours"]));
    assert_eq!(v["decided_at"], "2023-11-14T22:13:20.123456Z");
    assert_eq!(v["label_source"], "annotator");
    let v: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert!(v["label"].is_null() && v["suspicion"].is_null());
}

#[test]
fn csv_reads_back_and_defuses_formulas_in_free_text_only() {
    let (file, ..) = export(ExportFormat::Csv, &rows(2), 9);
    let mut r = csv::Reader::from_path(file.path()).unwrap();
    assert_eq!(r.headers().unwrap(), COLUMNS.as_slice());
    let got: Vec<csv::StringRecord> = r.records().map(Result::unwrap).collect();
    let cell =
        |row: usize, name: &str| got[row].get(COLUMNS.iter().position(|c| *c == name).unwrap()).unwrap();
    assert_eq!(cell(0, "title"), "'=HYPERLINK(\"x\"), 标题\n\"q\"");
    assert_eq!((cell(1, "id"), cell(1, "title"), cell(1, "rank")), ("-1", "", ""));
    assert_eq!((cell(0, "issues"), cell(0, "suspicion")), ("log_margin;neighbours", "0.1"));
    assert_eq!((cell(0, "normalized_margin"), cell(0, "is_label_issue")), ("-0.5", "true"));
}

#[test]
fn parquet_reads_back_equal_in_row_groups_with_its_metadata() {
    let want = rows(ROW_GROUP + 3);
    let (file, sha256, bytes) = export(ExportFormat::Parquet, &want, 7_000);
    assert_eq!(std::fs::metadata(file.path()).unwrap().len(), bytes);
    assert_eq!(sha256, hex::encode(Sha256::digest(std::fs::read(file.path()).unwrap())));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
    assert_eq!(reader.metadata().num_row_groups(), 2);
    let pairs = reader.metadata().file_metadata().key_value_metadata().unwrap();
    assert!(pairs.iter().any(|p| p.key == "tamis.snapshot" && p.value.as_deref() == Some("abc")));
    let mut at = 0;
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let names: Vec<&str> = batch.schema_ref().fields().iter().map(|f| f.name().as_str()).collect();
        assert_eq!(names, COLUMNS);
        let text = |name: &str, i: usize| {
            let column = batch.column_by_name(name).unwrap().as_string::<i32>();
            column.is_valid(i).then(|| column.value(i).to_owned())
        };
        let float = |name: &str, i: usize| {
            let column = batch.column_by_name(name).unwrap().as_primitive::<Float32Type>();
            column.is_valid(i).then(|| column.value(i))
        };
        for i in 0..batch.num_rows() {
            let rank = batch.column_by_name("rank").unwrap().as_primitive::<Int32Type>();
            let time = batch.column_by_name("decided_at").unwrap();
            let time = time.as_primitive::<TimestampMicrosecondType>();
            let issues = batch.column_by_name("issues").unwrap().as_list::<i32>().value(i);
            let got = ExportRow {
                id: text("id", i).unwrap(),
                title: text("title", i),
                given_label: text("given_label", i),
                label: text("label", i),
                label_source: text("label_source", i).and_then(|s| LabelSource::parse(&s)),
                decided_by: text("decided_by", i),
                decided_at: time.is_valid(i).then(|| Utc.timestamp_micros(time.value(i)).unwrap()),
                status: text("status", i).unwrap(),
                suspicion: float("suspicion", i),
                rank: rank.is_valid(i).then(|| rank.value(i)),
                suggested_label: text("suggested_label", i),
                suggested_p: float("suggested_p", i),
                self_confidence: float("self_confidence", i),
                normalized_margin: float("normalized_margin", i),
                is_label_issue: batch.column_by_name("is_label_issue").unwrap().as_boolean().value(i),
                issues: issues.as_string::<i32>().iter().flatten().map(str::to_owned).collect(),
                split: text("split", i).and_then(|s| Split::parse(&s)),
                video: text("video", i),
                taxonomy_path: text("taxonomy_path", i),
            };
            assert_eq!(got, want[at]);
            at += 1;
        }
    }
    assert_eq!(at, want.len());
    // The same rows give the same bytes, however they were batched.
    assert_eq!(export(ExportFormat::Jsonl, &want[..9], 1).1, export(ExportFormat::Jsonl, &want[..9], 9).1);
    assert_eq!(
        export(ExportFormat::Parquet, &want[..9], 9).1,
        export(ExportFormat::Parquet, &want[..9], 9).1
    );
}

#[test]
fn an_empty_snapshot_is_still_a_file() {
    for format in ExportFormat::ALL {
        let (file, ..) = export(format, &[], 1);
        let bytes = std::fs::read(file.path()).unwrap();
        match format {
            ExportFormat::Jsonl => assert!(bytes.is_empty()),
            ExportFormat::Csv => assert_eq!(bytes, format!("{}\n", COLUMNS.join(",")).as_bytes()),
            ExportFormat::Parquet => {
                let reader = ParquetRecordBatchReaderBuilder::try_new(file.reopen().unwrap()).unwrap();
                assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
            }
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    for format in ExportFormat::ALL {
        let result = writer(format, Box::new(Full), &BTreeMap::new()).and_then(|mut w| {
            w.write(&rows(2))?;
            w.finish()
        });
        assert!(result.is_err(), "{format:?}");
    }
}
