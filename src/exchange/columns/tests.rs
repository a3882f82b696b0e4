use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use ::parquet::basic::{Compression, GzipLevel, ZstdLevel};
use ::parquet::file::properties::WriterProperties;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, DictionaryArray, Float64Array, RecordBatch, UInt8Array};
use ndarray::array;

use super::*;
use crate::exchange::columnar::{Column, write_table};

fn file(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, text).unwrap();
    (dir, path)
}

fn csv(text: &str) -> Result<Columns, String> {
    let (_dir, path) = file("x.csv", text);
    read_csv(&path).map_err(|e| e.to_string())
}

fn texts(of: &[&str]) -> Values {
    Values::Text(of.iter().map(|t| (*t).to_owned()).collect())
}

#[test]
fn csv_with_and_without_a_header() {
    let c = csv("\u{feff}id,label,p\na,0,0.5\nb,1,1\n").unwrap();
    assert_eq!(c[0], ("id".into(), texts(&["a", "b"])));
    assert_eq!(c[1], ("label".into(), Values::Whole(vec![0, 1])));
    assert_eq!(c[2], ("p".into(), Values::Double(vec![0.5, 1.0])));
    assert_eq!(csv("3\n4\n").unwrap(), [("0".into(), Values::Whole(vec![3, 4]))]);
    assert_eq!(csv("0,1\n5,6\n").unwrap()[1], ("1".into(), Values::Whole(vec![6])));
    assert_eq!(csv(",0\na,6\n").unwrap()[1], ("0".into(), Values::Whole(vec![6])));
    assert!(csv("a,b\n1\n").unwrap_err().contains("line: 2"));
    assert_eq!(csv("id,y\n").unwrap_err(), "there are no rows");
    assert_eq!(csv("b\na\n").unwrap(), [("0".into(), texts(&["b", "a"]))]);
    assert_eq!(csv("").unwrap_err(), "there are no rows");
}

#[test]
fn cells_without_a_value() {
    let c = csv("title,ms,none\nx,,\n,7,\n").unwrap();
    assert_eq!(c[0].1, texts(&["x", ""]));
    assert_eq!(c[2].1, texts(&["", ""]));
    let Values::Double(ms) = &c[1].1 else { panic!("{c:?}") };
    assert!(ms[0].is_nan() && ms[1] == 7.0);
}

#[test]
fn json_lines() {
    let text = "{\"id\": 1, \"title\": \"滑板\", \"ok\": true}\n\n{\"ocr\": [[0.5, \"a\"], {\"t\": 1, \"text\": \"b\"}], \"id\": 2, \"ok\": false, \"ms\": 1.5}\n";
    let (_dir, path) = file("x.jsonl", text);
    let columns: std::collections::BTreeMap<_, _> = read_jsonl(&path).unwrap().into_iter().collect();
    assert_eq!(columns["id"], Values::Whole(vec![1, 2]));
    assert_eq!(columns["title"], texts(&["滑板", ""]));
    assert_eq!(columns["ocr"], texts(&["", "a b"]));
    assert_eq!(columns["ok"], Values::Flags(vec![true, false]));
    assert!(matches!(&columns["ms"], Values::Double(v) if v[0].is_nan() && v[1] == 1.5));
    for (text, needle) in
        [("{}\n[1]\n", "line 2 is no JSON object"), ("{\n", "line 1 is no JSON"), ("", "no rows")]
    {
        let (_dir, path) = file("x.jsonl", text);
        let error = read_jsonl(&path).unwrap_err().to_string();
        assert!(error.contains(needle), "{error}");
    }
}

#[test]
fn parquet_round_trip() {
    let (_dir, path) = file("x.parquet", "PAR1 but not really");
    assert!(read_parquet(&path).unwrap_err().to_string().contains("Parquet"));
    let matrix = array![[0.25f32, 0.75], [1.0, 0.0]];
    let columns = [
        ("y", Column::I64(vec![1, 0])),
        ("id", Column::Utf8(vec!["a".into(), "b".into()])),
        ("p", Column::Matrix(matrix.clone())),
        ("b", Column::Bool(vec![true, false])),
    ];
    write_table(File::create(&path).unwrap(), &columns, &[]).unwrap();
    let read = read_parquet(&path).unwrap();
    assert_eq!(read[0].1, Values::Whole(vec![1, 0]));
    assert_eq!(read[1].1, texts(&["a", "b"]));
    assert_eq!(read[2].1, Values::Singles(matrix));
    assert_eq!(read[3].1, Values::Flags(vec![true, false]));
}

/// What pandas writes: categoricals as dictionaries, missing values, lists of integers and of texts; under
/// every compression that is common.
#[test]
fn parquet_of_other_tools() {
    let labels: DictionaryArray<Int32Type> = vec!["cat", "dog", "cat"].into_iter().collect();
    let mut words = ListBuilder::new(StringBuilder::new());
    words.append_value([Some("a"), Some("b")]);
    words.append_null();
    words.append_value([None::<&str>; 0]);
    let mut pixels = ListBuilder::new(arrow_array::builder::UInt8Builder::new());
    (0..3u8).for_each(|i| pixels.append_value([Some(i), Some(255)]));
    let batch = RecordBatch::try_from_iter([
        ("label", Arc::new(labels) as ArrayRef),
        ("ms", Arc::new(Float64Array::from(vec![Some(1.0), None, Some(3.0)]))),
        ("n", Arc::new(UInt8Array::from(vec![Some(1), None, Some(3)]))),
        ("ocr", Arc::new(words.finish())),
        ("x", Arc::new(pixels.finish())),
        ("day", Arc::new(arrow_array::Date32Array::from(vec![1, 2, 3]))),
    ])
    .unwrap();
    let (_dir, path) = file("x.parquet", "");
    for compression in [
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::UNCOMPRESSED,
    ] {
        let properties = WriterProperties::builder().set_compression(compression).build();
        let out = File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let read = read_parquet(&path).unwrap();
        assert_eq!(read[0], ("label".into(), texts(&["cat", "dog", "cat"])), "{compression}");
        for (_, values) in &read[1..3] {
            assert!(matches!(values, Values::Double(v) if v[0] == 1.0 && v[1].is_nan()), "{values:?}");
        }
        assert_eq!(read[3].1, texts(&["a b", "", ""]));
        assert_eq!(read[4].1, Values::Singles(array![[0.0, 255.0], [1.0, 255.0], [2.0, 255.0]]));
        assert!(matches!(&read[5].1, Values::Other(kind) if kind.contains("Date32")), "{:?}", read[5]);
    }
}
