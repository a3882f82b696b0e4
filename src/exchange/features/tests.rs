use std::io::Write;

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;
use crate::exchange::npy::Dtype;

fn array(dtype: Dtype, shape: &[usize], values: &[f32]) -> Vec<u8> {
    let mut out = Vec::new();
    npy::write_f32(&mut out, dtype, shape, values).unwrap();
    out
}

fn archive(members: &[(&str, Vec<u8>)]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut zip = ZipWriter::new(file.reopen().unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
    file
}

fn open(members: &[(&str, Vec<u8>)]) -> Result<Features, FeatureError> {
    Features::open(archive(members).path())
}

#[test]
fn members_read_by_id_and_in_order() {
    let a = array(Dtype::F16, &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 0.1]);
    let b = array(Dtype::F32, &[1, 3], &[0.1, 0.2, 0.3]);
    let mut f = open(&[
        ("train/b.npy", b),
        ("a.npy", a.clone()),
        ("README.txt", b"hello".to_vec()),
        ("__MACOSX/._a.npy", b"x".to_vec()),
        ("../../etc/evil.npy", a.clone()),
        ("/abs.npy", a.clone()),
        ("..\\win.npy", a),
    ])
    .unwrap();
    assert_eq!(f.ids(), ["b", "a"]);
    assert_eq!(f.ignored().len(), 5);
    let got = f.get("a").unwrap().unwrap();
    assert_eq!((got.n_frames, got.dim), (2, 3));
    // float16 of 0.1 is 0x2e66.
    assert_eq!(got.values, [1.0, 2.0, 3.0, 4.0, 5.0, 0.099975586]);
    assert!(f.get("evil").unwrap().is_none());
    let all: Vec<_> = f.iter().map(|(id, r)| (id, r.unwrap().values.len())).collect();
    assert_eq!(all, [("b".to_owned(), 3), ("a".to_owned(), 6)]);
    assert_eq!(f.dim(), Some(3));
}

#[test]
fn bad_members_are_named_and_leave_the_others_alone() {
    let mut f = open(&[
        ("ok.npy", array(Dtype::F32, &[1, 2], &[1.0, 2.0])),
        ("dim.npy", array(Dtype::F32, &[1, 3], &[1.0; 3])),
        ("flat.npy", array(Dtype::F32, &[2], &[1.0; 2])),
        ("none.npy", array(Dtype::F32, &[0, 2], &[])),
        ("nan.npy", array(Dtype::F32, &[1, 2], &[f32::NAN, 0.0])),
        ("inf.npy", array(Dtype::F16, &[1, 2], &[1e6, 0.0])),
        ("text.npy", b"not an array".to_vec()),
        ("last.npy", array(Dtype::F32, &[1, 2], &[3.0, 4.0])),
    ])
    .unwrap();
    let codes: Vec<_> = f.iter().map(|(id, r)| (id, r.map_or_else(|e| e.code(), |_| "ok"))).collect();
    let codes: Vec<_> = codes.iter().map(|(id, c)| (id.as_str(), *c)).collect();
    assert_eq!(
        codes,
        [
            ("ok", "ok"),
            ("dim", "features_other_dim"),
            ("flat", "features_bad_shape"),
            ("none", "features_bad_shape"),
            ("nan", "features_not_finite"),
            ("inf", "features_not_finite"),
            ("text", "features_bad_array"),
            ("last", "ok"),
        ]
    );
}

#[test]
fn bombs_stop_at_their_limits() {
    // 12 MB of zeros pack a thousandfold.
    let zeros = array(Dtype::F16, &[200, 8_192 * 4], &vec![0.0; 200 * 8_192 * 4]);
    let small = array(Dtype::F16, &[32, 768], &vec![0.0; 32 * 768]);
    let mut big = Vec::new();
    npy::write_header(&mut big, Dtype::F16, &[10_000_000, 768]).unwrap();
    big.extend_from_slice(&vec![0; 2 << 20]);
    let mut long = small.clone();
    long.extend_from_slice(&vec![0; 4 << 20]);
    let mut f =
        open(&[("bomb.npy", zeros), ("big.npy", big), ("long.npy", long), ("zeros.npy", small)]).unwrap();
    assert_eq!(f.get("bomb").unwrap_err().code(), "features_bomb");
    assert!(matches!(
        f.get("big").unwrap_err(),
        FeatureError::BadArray { source: NpyError::TooLarge { .. }, .. }
    ));
    assert!(matches!(f.get("long").unwrap_err(), FeatureError::BadArray { source: NpyError::Trailing, .. }));
    assert_eq!(f.get("zeros").unwrap().unwrap().n_frames, 32);
    let many: Vec<(String, Vec<u8>)> = (0..5).map(|i| (format!("{i}.npy"), vec![])).collect();
    let many: Vec<(&str, Vec<u8>)> = many.iter().map(|(n, b)| (n.as_str(), b.clone())).collect();
    let file = archive(&many);
    let limits = FeatureLimits { entries: 4, ..Default::default() };
    assert_eq!(Features::open_with(file.path(), limits).unwrap_err().code(), "features_too_many_entries");
}

#[test]
fn a_header_that_lies_about_its_size_gains_nothing() {
    // The unpacked size in both headers of the only member is set to 8 bytes.
    let file = archive(&[("a.npy", array(Dtype::F16, &[200, 8_192 * 4], &vec![0.0; 200 * 8_192 * 4]))]);
    let mut bytes = std::fs::read(file.path()).unwrap();
    bytes[22..26].copy_from_slice(&8u32.to_le_bytes());
    let at = bytes.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    bytes[at + 24..at + 28].copy_from_slice(&8u32.to_le_bytes());
    std::fs::write(file.path(), bytes).unwrap();
    let e = Features::open(file.path()).unwrap().get("a").unwrap_err();
    assert!(["features_bomb", "features_bad_array"].contains(&e.code()), "{e}");
}

#[test]
fn two_members_for_one_sample_are_refused() {
    let a = array(Dtype::F16, &[1, 1], &[1.0]);
    let e = open(&[("x/a.npy", a.clone()), ("y/a.npy", a.clone())]).unwrap_err();
    assert_eq!(e.code(), "features_duplicate");
    // The same name twice, which no zip writer allows: rename one in the bytes.
    let file = archive(&[("a.npy", a.clone()), ("b.npy", a)]);
    let mut bytes = std::fs::read(file.path()).unwrap();
    while let Some(at) = bytes.windows(5).position(|w| w == b"b.npy") {
        bytes[at] = b'a';
    }
    std::fs::write(file.path(), bytes).unwrap();
    assert_eq!(Features::open(file.path()).unwrap_err().code(), "features_duplicate");
}

#[test]
fn what_is_no_archive_says_so() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), b"hello").unwrap();
    assert_eq!(Features::open(file.path()).unwrap_err().code(), "features_bad_zip");
    assert_eq!(open(&[("a.txt", vec![])]).unwrap_err().code(), "features_none");
    let missing = file.path().with_extension("missing");
    assert_eq!(Features::open(&missing).unwrap_err().code(), "read_failed");
}
