use super::*;
use crate::exchange::npy::write_header;
use std::io::Write;

/// A file of this header and data; kept by the folder.
fn file(dir: &Path, name: &str, dtype: Dtype, shape: &[usize], data: &[u8]) -> PathBuf {
    let path = dir.join(name);
    let mut out = File::create(&path).unwrap();
    write_header(&mut out, dtype, shape).unwrap();
    out.write_all(data).unwrap();
    path
}

fn fortran(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let at = bytes.windows(5).position(|w| w == b"False").unwrap();
    let mut changed = bytes;
    changed.splice(at..at + 5, *b"True ");
    std::fs::write(path, changed).unwrap();
}

#[test]
fn every_type_and_order_reads_the_same_rows() {
    let dir = tempfile::tempdir().unwrap();
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    let want = [6.0, 7.0, 8.0];
    let halves: Vec<u8> = values.iter().flat_map(|v| f16::from_f64(*v).to_le_bytes()).collect();
    let singles: Vec<u8> = values.iter().flat_map(|v| (*v as f32).to_le_bytes()).collect();
    let doubles: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    for (dtype, data) in [(Dtype::F16, halves), (Dtype::F32, singles), (Dtype::F64, doubles)] {
        let path = file(dir.path(), "c.npy", dtype, &[4, 3], &data);
        let m = Mapped::open(&path).unwrap().matrix(&path).unwrap();
        assert_eq!(Rows::<f32>::shape(&m), (4, 3));
        assert_eq!(Rows::<f32>::block(&m, 2, 1, &mut Vec::new()), want.map(|v| v as f32), "{dtype:?}");
        assert_eq!(Rows::<f64>::block(&m, 2, 1, &mut Vec::new()), want, "{dtype:?}");
        // the same bytes as columns of a (4, 3) array: element (i, j) is 4 j + i
        fortran(&path);
        let m = Mapped::open(&path).unwrap().matrix(&path).unwrap();
        assert_eq!(Rows::<f64>::block(&m, 1, 2, &mut Vec::new()), [1.0, 5.0, 9.0, 2.0, 6.0, 10.0]);
    }
}

#[test]
fn integers_are_features_too() {
    let dir = tempfile::tempdir().unwrap();
    let rows = |dtype, data: &[u8]| {
        let path = file(dir.path(), "x.npy", dtype, &[2, 2], data);
        let m = Mapped::open(&path).unwrap().matrix(&path).unwrap();
        let singles = Rows::<f32>::block(&m, 0, 2, &mut Vec::new()).to_vec();
        let doubles: Vec<f32> =
            Rows::<f64>::block(&m, 0, 2, &mut Vec::new()).iter().map(|v| *v as f32).collect();
        assert_eq!(singles, doubles, "{dtype:?}");
        singles
    };
    assert_eq!(rows(Dtype::U8, &[0, 255, 7, 1]), [0.0, 255.0, 7.0, 1.0]);
    assert_eq!(rows(Dtype::I8, &[0, 255, 7, 1]), [0.0, -1.0, 7.0, 1.0]);
    let wide: Vec<u8> = [-3i64, 0, 1 << 40, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(rows(Dtype::I64, &wide), [-3.0, 0.0, 1_099_511_600_000.0, 5.0]);
    assert_eq!(rows(Dtype::U64, &wide[8..].repeat(2)[..32])[..2], [0.0, 1_099_511_600_000.0]);
    let short: Vec<u8> = [-3i16, 0, 300, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(rows(Dtype::I16, &short), [-3.0, 0.0, 300.0, 5.0]);
    assert_eq!(rows(Dtype::U16, &short)[0], 65533.0);
    let middle: Vec<u8> = [-3i32, 0, 70_000, 5].iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(rows(Dtype::I32, &middle), [-3.0, 0.0, 70_000.0, 5.0]);
    assert_eq!(rows(Dtype::U32, &middle)[2], 70_000.0);
}

#[test]
fn labels_of_any_integer_type() {
    let dir = tempfile::tempdir().unwrap();
    let labels = |dtype, data: &[u8], shape: &[usize]| {
        let path = file(dir.path(), "y.npy", dtype, shape, data);
        Mapped::open(&path).unwrap().labels(&path).map_err(|e| e.to_string())
    };
    assert_eq!(labels(Dtype::U8, &[3, 0, 255], &[3]), Ok(vec![3, 0, 255]));
    assert_eq!(labels(Dtype::I16, &[2, 1], &[1, 1]), Ok(vec![258]));
    assert_eq!(labels(Dtype::U64, &7u64.to_le_bytes(), &[1]), Ok(vec![7]));
    let error = labels(Dtype::I8, &[0, 255], &[2]).unwrap_err();
    assert!(error.contains("y.npy") && error.contains("row 1 is -1"), "{error}");
    assert!(labels(Dtype::I64, &i64::MAX.to_le_bytes(), &[1]).unwrap_err().contains("class columns"));
    assert_eq!(
        labels(Dtype::F32, &[3.0f32.to_le_bytes(), 0f32.to_le_bytes()].concat(), &[2]),
        Ok(vec![3, 0])
    );
    assert_eq!(labels(Dtype::F64, &7.0f64.to_le_bytes(), &[1]), Ok(vec![7]));
    assert_eq!(labels(Dtype::F16, &f16::from_f32(2.0).to_le_bytes(), &[1]), Ok(vec![2]));
    for (value, said) in
        [(1.5, "row 0 is 1.5"), (-1.0, "row 0 is -1"), (f32::NAN, "row 0 is NaN"), (1e10, "row 0 is 1")]
    {
        let error = labels(Dtype::F32, &value.to_le_bytes(), &[1]).unwrap_err();
        assert!(error.contains(said) && error.contains("class columns"), "{error}");
    }
    assert!(labels(Dtype::U8, &[0; 4], &[2, 2]).unwrap_err().contains("[2, 2]"));
}

#[test]
fn claims_of_a_header_are_checked_against_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let error = |dtype, shape: &[usize], data: &[u8]| {
        let path = file(dir.path(), "x.npy", dtype, shape, data);
        Mapped::open(&path).and_then(|m| m.matrix(&path)).unwrap_err().to_string()
    };
    assert!(error(Dtype::F32, &[3, 2], &[0; 20]).contains("20 of 24"));
    assert!(error(Dtype::F32, &[2, 2], &[0; 20]).contains("behind the end"));
    assert!(error(Dtype::F64, &[usize::MAX, usize::MAX], &[0; 8]).contains("ends after"));
    assert!(error(Dtype::F32, &[4], &[0; 16]).contains("rows and columns"));
    assert!(error(Dtype::Bool, &[2, 2], &[0; 4]).contains("numbers are needed"));
    let text = dir.path().join("t.npy");
    std::fs::write(&text, "hello").unwrap();
    assert!(Mapped::open(&text).unwrap_err().to_string().contains("not an .npy file"));
    assert!(Mapped::open(dir.path()).is_err());
    assert!(Mapped::open(&dir.path().join("none")).unwrap_err().to_string().contains("none"));
}
