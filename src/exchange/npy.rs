//! NumPy's `.npy` arrays: versions 1 to 3, booleans, integers of any size and float16, float32, float64,
//! little-endian. Read whole here (C order), or mapped (either order) by [`super::mapped`].
//!
//! Format: numpy/lib/format.py (magic, version, header length, a Python dict literal, raw data). Sizes
//! in a header are claims: they are checked against a limit before anything is allocated.

use std::io::{self, Read, Write};

use half::f16;

const MAGIC: &[u8; 6] = b"\x93NUMPY";
const MAX_HEADER_BYTES: usize = 64 << 10;

/// Element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    F16,
    F32,
    F64,
    Bool,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
}

/// Every element type with NumPy's name of it (single bytes have no order: `|`).
const DTYPES: [(Dtype, &str); 12] = [
    (Dtype::F16, "<f2"),
    (Dtype::F32, "<f4"),
    (Dtype::F64, "<f8"),
    (Dtype::Bool, "|b1"),
    (Dtype::I8, "|i1"),
    (Dtype::I16, "<i2"),
    (Dtype::I32, "<i4"),
    (Dtype::I64, "<i8"),
    (Dtype::U8, "|u1"),
    (Dtype::U16, "<u2"),
    (Dtype::U32, "<u4"),
    (Dtype::U64, "<u8"),
];

impl Dtype {
    pub fn bytes(self) -> usize {
        match self {
            Self::Bool | Self::I8 | Self::U8 => 1,
            Self::F16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F64 | Self::I64 | Self::U64 => 8,
        }
    }

    fn descr(self) -> &'static str {
        DTYPES.iter().find(|(d, _)| *d == self).map_or("", |(_, name)| name)
    }
}

/// What the header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub dtype: Dtype,
    /// The product is the number of elements. A 0-d array has an empty shape.
    pub shape: Vec<usize>,
    /// Column-major: the first index runs fastest. False where one order is the other.
    pub fortran: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum NpyError {
    #[error("not an .npy file: it does not start with the NumPy magic")]
    NotNpy,
    #[error("the .npy header is damaged: {0}")]
    BadHeader(String),
    #[error(
        "element type {0:?} is not read: save as little-endian floats (16 to 64 bits), integers or booleans"
    )]
    Dtype(String),
    #[error("the array is in Fortran order: save np.ascontiguousarray(x)")]
    Fortran,
    #[error("the array has {bytes} bytes; {limit} at most")]
    TooLarge { bytes: u128, limit: usize },
    #[error("the array ends after {found} of {expected} bytes")]
    Truncated { found: usize, expected: usize },
    #[error("there is more behind the end of the array")]
    Trailing,
    #[error("the elements are {found:?}; {wanted} needed")]
    Kind { found: Dtype, wanted: &'static str },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads the header and leaves `source` at the first element.
///
/// # Errors
/// Damaged headers, other element types.
pub fn read_header(source: &mut impl Read) -> Result<Header, NpyError> {
    let mut start = [0u8; 8];
    source.read_exact(&mut start).map_err(|e| early(e, NpyError::NotNpy))?;
    if &start[..6] != MAGIC {
        return Err(NpyError::NotNpy);
    }
    let damaged = |what: &str| NpyError::BadHeader(what.to_owned());
    let short = |e| early(e, NpyError::BadHeader("it ends too early".to_owned()));
    let length = match start[6] {
        1 => {
            let mut n = [0u8; 2];
            source.read_exact(&mut n).map_err(short)?;
            usize::from(u16::from_le_bytes(n))
        }
        2 | 3 => {
            let mut n = [0u8; 4];
            source.read_exact(&mut n).map_err(short)?;
            u32::from_le_bytes(n) as usize
        }
        v => return Err(NpyError::BadHeader(format!("version {v} is unknown"))),
    };
    if length > MAX_HEADER_BYTES {
        return Err(damaged("it is too long"));
    }
    let mut text = vec![0; length];
    source.read_exact(&mut text).map_err(short)?;
    let text = String::from_utf8(text).map_err(|_| damaged("it is not text"))?;
    let descr = value(&text, "descr").ok_or_else(|| damaged("no descr"))?;
    let descr = descr.trim_matches(['\'', '"']);
    // older writers put an order before single bytes too
    let (dtype, _) = DTYPES
        .into_iter()
        .find(|(d, name)| *name == descr || (d.bytes() == 1 && descr.get(1..) == name.get(1..)))
        .ok_or_else(|| NpyError::Dtype(descr.chars().take(40).collect()))?;
    let shape = value(&text, "shape").ok_or_else(|| damaged("no shape"))?;
    let shape = shape
        .strip_prefix('(')
        .and_then(|s| s.strip_suffix(')'))
        .ok_or_else(|| damaged("shape is no tuple"))?
        .split(',')
        .map(str::trim)
        .filter(|s| !s.is_empty())
        .map(|s| s.parse::<usize>().map_err(|_| damaged("shape is no tuple of whole numbers")))
        .collect::<Result<Vec<_>, _>>()?;
    let fortran = match value(&text, "fortran_order") {
        Some("False") => false,
        // One axis (or none longer than 1) lies the same either way.
        Some("True") => shape.iter().filter(|&&n| n > 1).count() > 1,
        _ => return Err(damaged("no fortran_order")),
    };
    Ok(Header { dtype, shape, fortran })
}

/// Reads a float array as f32 (float64 is rounded). `limit` bounds the bytes of the array as stored.
pub fn read_f32(source: &mut impl Read, limit: usize) -> Result<(Vec<usize>, Vec<f32>), NpyError> {
    let header = read_header(source)?;
    let data = read_data(source, &header, limit)?;
    let values = match header.dtype {
        Dtype::F16 => chunks(&data).map(|b| f16::from_le_bytes(b).to_f32()).collect(),
        Dtype::F32 => chunks(&data).map(f32::from_le_bytes).collect(),
        Dtype::F64 => chunks(&data).map(|b| f64::from_le_bytes(b) as f32).collect(),
        found => return Err(NpyError::Kind { found, wanted: "floats are" }),
    };
    Ok((header.shape, values))
}

/// Writes an f32 array as `dtype` F16 (beyond its range becomes infinite) or F32.
pub fn write_f32(out: &mut impl Write, dtype: Dtype, shape: &[usize], values: &[f32]) -> io::Result<()> {
    if shape.iter().product::<usize>() != values.len() || !matches!(dtype, Dtype::F16 | Dtype::F32) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "shape or type does not fit the values"));
    }
    write_header(out, dtype, shape)?;
    values.iter().try_for_each(|&v| match dtype {
        Dtype::F16 => out.write_all(&f16::from_f32(v).to_le_bytes()),
        _ => out.write_all(&v.to_le_bytes()),
    })
}

/// Writes a whole vector of booleans.
pub fn write_bools(out: &mut impl Write, values: &[bool]) -> io::Result<()> {
    write_header(out, Dtype::Bool, &[values.len()])?;
    out.write_all(bytemuck::cast_slice(values))
}

/// Writes a whole vector of doubles. (Not generic, so that it is compiled here, optimised.)
pub fn write_f64(mut out: &mut dyn Write, values: &[f64]) -> io::Result<()> {
    write_header(&mut out, Dtype::F64, &[values.len()])?;
    if cfg!(target_endian = "little") {
        return out.write_all(bytemuck::cast_slice(values));
    }
    values.iter().try_for_each(|v| out.write_all(&v.to_le_bytes()))
}

/// Writes a version 1 header, padded to 64 bytes as NumPy does.
pub fn write_header(out: &mut impl Write, dtype: Dtype, shape: &[usize]) -> io::Result<()> {
    let tuple = match shape {
        [n] => format!("({n},)"),
        _ => format!("({})", shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")),
    };
    let dict = format!("{{'descr': '{}', 'fortran_order': False, 'shape': {tuple}, }}", dtype.descr());
    let total = (MAGIC.len() + 4 + dict.len() + 1).div_ceil(64) * 64;
    let length = u16::try_from(total - MAGIC.len() - 4)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "too many axes"))?;
    out.write_all(MAGIC)?;
    out.write_all(&[1, 0])?;
    out.write_all(&length.to_le_bytes())?;
    writeln!(out, "{dict:width$}", width = usize::from(length) - 1)
}

/// The elements' bytes, exactly as many as the header claims. Never allocates far beyond what came.
fn read_data(source: &mut impl Read, header: &Header, limit: usize) -> Result<Vec<u8>, NpyError> {
    if header.fortran {
        return Err(NpyError::Fortran);
    }
    let bytes = header
        .shape
        .iter()
        .try_fold(header.dtype.bytes() as u128, |n, &d| n.checked_mul(d as u128))
        .unwrap_or(u128::MAX);
    let expected =
        usize::try_from(bytes).ok().filter(|&n| n <= limit).ok_or(NpyError::TooLarge { bytes, limit })?;
    let mut data = Vec::with_capacity(expected.min(1 << 20));
    source.by_ref().take(expected as u64).read_to_end(&mut data)?;
    if data.len() < expected {
        return Err(NpyError::Truncated { found: data.len(), expected });
    }
    if source.read(&mut [0])? != 0 {
        return Err(NpyError::Trailing);
    }
    Ok(data)
}

fn chunks<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks::<N>().0.iter().copied()
}

fn early(e: io::Error, instead: NpyError) -> NpyError {
    if e.kind() == io::ErrorKind::UnexpectedEof { instead } else { NpyError::Io(e) }
}

/// Value of a key in the header's dict literal: up to the next comma outside parentheses.
fn value<'a>(dict: &'a str, key: &str) -> Option<&'a str> {
    let at = [format!("'{key}'"), format!("\"{key}\"")]
        .iter()
        .find_map(|quoted| dict.find(quoted.as_str()).map(|i| i + quoted.len()))?;
    let rest = dict[at..].trim_start().strip_prefix(':')?.trim_start();
    let mut depth = 0usize;
    let end = rest.find(|c| {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(c, ',' | '}')
    })?;
    Some(rest[..end].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    fn file(dict: &str, data: &[u8]) -> Vec<u8> {
        let mut out = b"\x93NUMPY\x01\x00".to_vec();
        out.extend_from_slice(&(dict.len() as u16).to_le_bytes());
        out.extend_from_slice(dict.as_bytes());
        out.extend_from_slice(data);
        out
    }

    #[test]
    fn numpy_files_read() {
        // np.save of np.array([[1.5, -2, 0.1], [65504, 0, -0.25]], '<f2'), NumPy 2.
        let mut golden = hex::decode(GOLDEN_F16).unwrap();
        let (shape, values) = read_f32(&mut golden.as_slice(), MB).unwrap();
        assert_eq!(shape, [2, 3]);
        assert_eq!(values, [1.5, -2.0, 0.099975586, 65504.0, 0.0, -0.25]);
        // Our writer gives the same bytes.
        let mut ours = Vec::new();
        write_f32(&mut ours, Dtype::F16, &shape, &values).unwrap();
        assert_eq!(ours, golden);
        golden.push(0);
        assert!(matches!(read_f32(&mut golden.as_slice(), MB), Err(NpyError::Trailing)));
        golden.truncate(golden.len() - 2);
        assert!(matches!(
            read_f32(&mut golden.as_slice(), MB),
            Err(NpyError::Truncated { found: 11, expected: 12 })
        ));
        // np.save of np.array([-1, 2**40]).
        let golden = hex::decode(GOLDEN_I64).unwrap();
        let header = read_header(&mut golden.as_slice()).unwrap();
        assert_eq!(header, Header { dtype: Dtype::I64, shape: vec![2], fortran: false });
        assert!(matches!(read_f32(&mut golden.as_slice(), MB), Err(NpyError::Kind { .. })));
    }

    const GOLDEN_F16: &str = "934e554d5059010076007b276465736372273a20273c6632272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028322c2033292c207d202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020200a003e00c0662eff7b000000b4";
    const GOLDEN_I64: &str = "934e554d5059010076007b276465736372273a20273c6938272c2027666f727472616e5f6f72646572273a2046616c73652c20277368617065273a2028322c292c207d2020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020202020200affffffffffffffff0000000000010000";

    #[test]
    fn other_layouts_are_refused_by_name() {
        let header = |d: &str| read_header(&mut file(d, &[]).as_slice());
        let ok = header("{\"descr\": \"<f8\", 'shape': (), 'fortran_order': False}").unwrap();
        assert_eq!(ok, Header { dtype: Dtype::F64, shape: vec![], fortran: false });
        let d = "{'descr': '<f4', 'fortran_order': True, 'shape': (3, 2), }";
        assert!(header(d).unwrap().fortran);
        assert!(matches!(read_f32(&mut file(d, &[0; 24]).as_slice(), MB), Err(NpyError::Fortran)));
        for (dtype, name) in DTYPES {
            let d = format!("{{'descr': '{name}', 'fortran_order': False, 'shape': (1,)}}");
            assert_eq!(header(&d).unwrap().dtype, dtype);
        }
        assert_eq!(
            header("{'descr': '<i1', 'fortran_order': False, 'shape': (1,)}").unwrap().dtype,
            Dtype::I8
        );
        assert_eq!(header("{'descr': '<f4', 'fortran_order': True, 'shape': (3,), }").unwrap().shape, [3]);
        let d = "{'descr': '>f4', 'fortran_order': False, 'shape': (3,), }";
        assert!(matches!(header(d), Err(NpyError::Dtype(t)) if t == ">f4"));
        let d = "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }";
        assert!(matches!(header(d), Err(NpyError::Dtype(_))));
        for d in ["", "{}", "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"] {
            assert!(matches!(header(d), Err(NpyError::BadHeader(_))), "{d}");
        }
        assert!(matches!(read_header(&mut &b"PK\x03\x04abcdefgh"[..]), Err(NpyError::NotNpy)));
        assert!(matches!(read_header(&mut &b"\x93NUM"[..]), Err(NpyError::NotNpy)));
    }

    #[test]
    fn claimed_sizes_are_not_believed() {
        for shape in ["(1000000000000, 768)", "(18446744073709551615, 18446744073709551615)"] {
            let f = file(&format!("{{'descr': '<f2', 'fortran_order': False, 'shape': {shape}}}"), &[0; 8]);
            assert!(matches!(read_f32(&mut f.as_slice(), MB), Err(NpyError::TooLarge { .. })), "{shape}");
        }
        let f = file("{'descr': '<f8', 'fortran_order': False, 'shape': (1000,)}", &[0; 8]);
        assert!(matches!(read_f32(&mut f.as_slice(), MB), Err(NpyError::Truncated { found: 8, .. })));
    }

    #[test]
    fn float64_is_rounded() {
        let data: Vec<u8> = [0.1f64, -1e300].iter().flat_map(|x| x.to_le_bytes()).collect();
        let f = file("{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}", &data);
        assert_eq!(read_f32(&mut f.as_slice(), MB).unwrap().1, [0.1, f32::NEG_INFINITY]);
    }
}
