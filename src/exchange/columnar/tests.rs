use std::fs::File;

use super::*;

fn file() -> (tempfile::NamedTempFile, File) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let open = file.reopen().unwrap();
    (file, open)
}

/// Values that float16 holds exactly.
fn exact(n: usize, seed: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 37 + seed * 11) % 2_048) as f32 / 64.0 - 16.0).collect()
}

#[test]
fn only_the_samples_that_are_wanted_come_back() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let vectors: Vec<Vec<f32>> = (0..20_000u16).map(|i| vec![f32::from(i % 2000), 1.0]).collect();
    let rows = vectors.iter().enumerate().map(|(i, v)| EmbeddingRow {
        sample_id: i as i64,
        input_hash: -(i as i64),
        vector: v,
        frames: (i % 3 == 0).then_some(v.as_slice()),
        n_frames: u8::from(i % 3 == 0),
    });
    write_embeddings(file.reopen().unwrap(), 2, rows).unwrap();
    let bytes = bytes::Bytes::from(std::fs::read(file.path()).unwrap());
    let wanted = |id: i64| [3, 4, 5, 8191, 8192, 19_999].contains(&id);
    let some = read_embeddings_of(bytes.clone(), true, wanted).unwrap();
    assert_eq!(some.sample_ids, [3, 4, 5, 8191, 8192, 19_999]);
    assert_eq!(some.input_hashes, [-3, -4, -5, -8191, -8192, -19_999]);
    assert_eq!(some.vectors.column(0).to_vec(), [3.0, 4.0, 5.0, 191.0, 192.0, 1999.0]);
    let frames = some.frames.unwrap();
    assert_eq!(
        frames.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, false, false, false, false, false]
    );
    assert_eq!(
        read_embeddings_of(bytes.clone(), false, |_| true).unwrap(),
        read_embeddings(bytes.clone(), false).unwrap()
    );
    assert!(read_embeddings_of(bytes, true, |_| false).unwrap().sample_ids.is_empty());
}

#[test]
fn embeddings_read_back_equal() {
    let (dim, n) = (5, ROW_GROUP + BATCH + 3);
    let vectors: Vec<Vec<f32>> = (0..n).map(|i| exact(dim, i)).collect();
    let frames: Vec<Vec<f32>> = (0..n).map(|i| exact(dim * (i % 4), i + 7)).collect();
    let rows = (0..n).map(|i| EmbeddingRow {
        sample_id: i as i64 * 3 - 5,
        input_hash: i64::MIN + i as i64,
        vector: &vectors[i],
        frames: (i % 5 != 0).then_some(frames[i].as_slice()),
        n_frames: (i % 4) as u8,
    });
    let (path, out) = file();
    assert_eq!(write_embeddings(out, dim, rows).unwrap(), n as u64);
    let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
    assert_eq!(got.sample_ids, (0..n).map(|i| i as i64 * 3 - 5).collect::<Vec<_>>());
    assert_eq!(got.vectors.dim(), (n, dim));
    assert!((0..n).all(|i| got.vectors.row(i).to_slice() == Some(&vectors[i])));
    let matrices = got.frames.as_ref().unwrap();
    for i in 0..n {
        let want = (i % 5 != 0).then(|| Array2::from_shape_vec((i % 4, dim), frames[i].clone()).unwrap());
        assert_eq!(matrices[i], want, "row {i}");
    }
    let without = read_embeddings(path.reopen().unwrap(), false).unwrap();
    assert_eq!((without.frames, without.vectors), (None, got.vectors));
    assert_eq!(read_ids(path.reopen().unwrap()).unwrap(), (got.sample_ids, got.input_hashes));
}

#[test]
fn values_are_rounded_to_float16_and_clamped() {
    fn row(vector: &[f32]) -> EmbeddingRow<'_> {
        EmbeddingRow { sample_id: 1, input_hash: 2, vector, frames: None, n_frames: 0 }
    }
    let (path, out) = file();
    write_embeddings(out, 4, [row(&[0.1, 1e9, f32::NEG_INFINITY, 1e-9])]).unwrap();
    let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
    assert_eq!(got.vectors.as_slice().unwrap(), [0.099975586, 65504.0, -65504.0, 0.0]);
    assert_eq!(got.frames, Some(vec![None]));
    let bad = |v: &[f32]| write_embeddings(Vec::new(), 4, [row(v)]).unwrap_err();
    assert!(matches!(bad(&[0.0; 3]), ColumnarError::Length { sample_id: 1, found: 3, expected: 4, .. }));
    assert!(matches!(bad(&[0.0, f32::NAN, 0.0, 0.0]), ColumnarError::NotANumber(1)));
    let frames = EmbeddingRow { frames: Some(&[0.0; 9]), n_frames: 2, ..row(&[0.0; 4]) };
    assert!(matches!(write_embeddings(Vec::new(), 4, [frames]), Err(ColumnarError::Length { found: 9, .. })));
    assert!(write_embeddings(Vec::new(), 0, []).is_err());
}

#[test]
fn no_rows_are_a_file_too() {
    let (path, out) = file();
    assert_eq!(write_embeddings(out, 3, []).unwrap(), 0);
    let got = read_embeddings(path.reopen().unwrap(), true).unwrap();
    assert_eq!((got.sample_ids.len(), got.vectors.nrows(), got.frames), (0, 0, Some(vec![])));
}

fn table(n: usize) -> Vec<(&'static str, Column)> {
    vec![
        ("sample_id", Column::I64((0..n as i64).collect())),
        ("rank", Column::I32((0..n as i32).rev().collect())),
        ("suspicion", Column::F32((0..n).map(|i| i as f32 / 3.0).collect())),
        ("flagged", Column::Bool((0..n).map(|i| i % 3 == 0).collect())),
        ("suggested", Column::Utf8((0..n).map(|i| format!("类{}", i % 7)).collect())),
        ("p", Column::Matrix(Array2::from_shape_fn((n, 4), |(i, k)| (i * 4 + k) as f32 * 0.1))),
    ]
}

#[test]
fn tables_read_back_equal_and_by_column() {
    for n in [0, 1, ROW_GROUP + 1] {
        let want = table(n);
        let (path, out) = file();
        write_table(out, &want, &[("scan".into(), "7".into())]).unwrap();
        let got = read_table(path.reopen().unwrap(), None).unwrap();
        let got: Vec<(&str, Column)> = got.iter().map(|(k, c)| (k.as_str(), c.clone())).collect();
        assert_eq!(got, want, "{n} rows");
        let some = read_table(path.reopen().unwrap(), Some(&["p", "rank"])).unwrap();
        assert_eq!(some, [("rank".to_owned(), want[1].1.clone()), ("p".to_owned(), want[5].1.clone())]);
        let none = read_table(path.reopen().unwrap(), Some(&["colour"]));
        assert!(matches!(none, Err(ColumnarError::Column(c)) if c == "colour"));
    }
    let ragged = [("a", Column::I32(vec![1])), ("b", Column::I32(vec![]))];
    assert!(matches!(write_table(Vec::new(), &ragged, &[]), Err(ColumnarError::Ragged(1, 0))));
}

#[test]
fn files_are_a_function_of_their_content_and_others_are_refused() {
    let bytes = || {
        let mut out = Vec::new();
        write_table(&mut out, &table(100), &[]).unwrap();
        out
    };
    assert_eq!(bytes(), bytes());
    let (path, out) = file();
    write_table(out, &table(2), &[]).unwrap();
    assert!(matches!(read_embeddings(path.reopen().unwrap(), false), Err(ColumnarError::Column(_))));
    std::fs::write(path.path(), b"PAR1 not really PAR1").unwrap();
    assert!(matches!(read_ids(path.reopen().unwrap()), Err(ColumnarError::Parquet(_))));
}
