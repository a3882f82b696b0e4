//! `.npy` files mapped into memory: matrices that are read by blocks of rows, whatever their element type
//! and order, without ever being in memory as a whole; and vectors of labels.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Seek};
use std::path::{Path, PathBuf};

use bytemuck::AnyBitPattern;
use half::f16;
use memmap2::Mmap;

use super::npy::{Dtype, Header, NpyError, read_header};
use crate::arrays::Rows;

#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct MappedError {
    pub path: PathBuf,
    pub why: Why,
}

#[derive(Debug, thiserror::Error)]
pub enum Why {
    #[error(transparent)]
    Npy(#[from] NpyError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("the array has shape {0:?}; {1}")]
    Shape(Vec<usize>, &'static str),
    #[error("the elements are {0:?}; {1}")]
    Kind(Dtype, &'static str),
    #[error("row {row} is {value}; {rule}")]
    Value { row: usize, value: String, rule: &'static str },
}

/// One array of a file.
pub struct Mapped {
    map: Mmap,
    data: usize,
    header: Header,
}

impl std::fmt::Debug for Mapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mapped").field("header", &self.header).finish_non_exhaustive()
    }
}

impl Mapped {
    /// Maps the file; nothing but its header is read. The file must not be cut short while it is mapped:
    /// the system would end the process.
    ///
    /// # Errors
    /// No `.npy` file, another element type, fewer or more bytes than its header says.
    pub fn open(path: &Path) -> Result<Self, MappedError> {
        let open = || -> Result<Self, Why> {
            let file = File::open(path)?;
            if !file.metadata()?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file").into());
            }
            let mut reader = BufReader::new(&file);
            let header = read_header(&mut reader)?;
            let data = usize::try_from(reader.stream_position()?).unwrap_or(usize::MAX);
            let elements = header.shape.iter().try_fold(1u128, |n, &d| n.checked_mul(d as u128));
            let bytes = elements.and_then(|n| n.checked_mul(header.dtype.bytes() as u128));
            // SAFETY: the map is read-only and private to this value. The bytes may be any: every element
            // type read here allows all bit patterns. That the file is not cut short while it is mapped is
            // the caller's part (documented above), as for every program that maps files.
            let map = unsafe { Mmap::map(&file)? };
            let found = map.len().saturating_sub(data);
            match bytes.and_then(|b| usize::try_from(b).ok()) {
                Some(expected) if found < expected => Err(NpyError::Truncated { found, expected }.into()),
                Some(expected) if found > expected => Err(NpyError::Trailing.into()),
                Some(_) => Ok(Self { map, data, header }),
                None => Err(NpyError::Truncated { found, expected: usize::MAX }.into()),
            }
        };
        open().map_err(|why| MappedError { path: path.to_owned(), why })
    }

    fn bytes(&self) -> &[u8] {
        &self.map[self.data..]
    }

    /// The whole vector as class columns; floats where all are whole.
    ///
    /// # Errors
    /// More axes than one (a second of length 1 is passed over), negative, broken or huge values.
    pub fn labels(&self, path: &Path) -> Result<Vec<u32>, MappedError> {
        let fail = |why| MappedError { path: path.to_owned(), why };
        if !matches!(self.header.shape[..], [_] | [_, 1]) {
            return Err(fail(Why::Shape(self.header.shape.clone(), "labels are one vector")));
        }
        let rule = "labels are class columns: 0, 1, 2, …";
        let label = |(row, value): (usize, i128)| {
            let found = u32::try_from(value).ok().filter(|v| *v < u32::MAX);
            found.ok_or_else(|| fail(Why::Value { row, value: value.to_string(), rule }))
        };
        let whole = |(row, value): (usize, f64)| {
            let is = value >= 0.0 && value < f64::from(u32::MAX) && value.fract() == 0.0;
            if is { Ok(value as u32) } else { Err(fail(Why::Value { row, value: value.to_string(), rule })) }
        };
        let data = self.bytes();
        fn each<const N: usize, T>(data: &[u8], f: fn([u8; N]) -> T) -> impl Iterator<Item = (usize, T)> {
            data.as_chunks::<N>().0.iter().map(move |b| f(*b)).enumerate()
        }
        // NumPy's own integers, all of them labels: without a branch a value
        if matches!(self.header.dtype, Dtype::I64 | Dtype::U64) {
            let values = data.as_chunks::<8>().0;
            let mut seen = 0;
            let mut labels = Vec::with_capacity(values.len());
            labels.extend(values.iter().map(|b| {
                let value = u64::from_le_bytes(*b);
                seen |= value;
                value as u32
            }));
            // fewer than 32 bits in all of them together: none is negative or huge
            if seen < u64::from(u32::MAX) {
                return Ok(labels);
            }
        }
        match self.header.dtype {
            Dtype::I8 => each(data, |b| i8::from_le_bytes(b).into()).map(label).collect(),
            Dtype::I16 => each(data, |b| i16::from_le_bytes(b).into()).map(label).collect(),
            Dtype::I32 => each(data, |b| i32::from_le_bytes(b).into()).map(label).collect(),
            Dtype::I64 => each(data, |b| i64::from_le_bytes(b).into()).map(label).collect(),
            Dtype::Bool | Dtype::U8 => each(data, |b| u8::from_le_bytes(b).into()).map(label).collect(),
            Dtype::U16 => each(data, |b| u16::from_le_bytes(b).into()).map(label).collect(),
            Dtype::U32 => each(data, |b| u32::from_le_bytes(b).into()).map(label).collect(),
            Dtype::U64 => each(data, |b| u64::from_le_bytes(b).into()).map(label).collect(),
            Dtype::F16 => each(data, |b| f16::from_le_bytes(b).to_f64()).map(whole).collect(),
            Dtype::F32 => each(data, |b| f32::from_le_bytes(b).into()).map(whole).collect(),
            Dtype::F64 => each(data, f64::from_le_bytes).map(whole).collect(),
        }
    }

    /// The array as a matrix of numbers, read by blocks of floats.
    ///
    /// # Errors
    /// Not two axes, or booleans.
    pub fn matrix(self, path: &Path) -> Result<Matrix, MappedError> {
        let fail = |why| MappedError { path: path.to_owned(), why };
        let [rows, columns] = self.header.shape[..] else {
            return Err(fail(Why::Shape(self.header.shape.clone(), "rows and columns are needed")));
        };
        if self.header.dtype == Dtype::Bool {
            return Err(fail(Why::Kind(self.header.dtype, "numbers are needed")));
        }
        Ok(Matrix { shape: (rows, columns), array: self })
    }
}

/// A mapped matrix of numbers. As rows of `f32` it rounds doubles and integers of more than 24 bits.
#[derive(Debug)]
pub struct Matrix {
    shape: (usize, usize),
    array: Mapped,
}

impl Matrix {
    pub fn dtype(&self) -> Dtype {
        self.array.header.dtype
    }

    /// Copies elements of rows `start..start + n` into `out`, row-major.
    fn copy<S: AnyBitPattern, T: Copy + Default>(
        &self,
        start: usize,
        n: usize,
        out: &mut Vec<T>,
        f: impl Fn(S) -> T,
    ) {
        let (rows, columns) = self.shape;
        let data = self.array.bytes();
        let size = size_of::<S>();
        let at = |i: usize| f(bytemuck::pod_read_unaligned(&data[i * size..(i + 1) * size]));
        out.clear();
        if self.array.header.fortran {
            out.resize(n * columns, T::default());
            for j in 0..columns {
                for i in 0..n {
                    out[i * columns + j] = at(j * rows + start + i);
                }
            }
        } else {
            out.extend((start * columns..(start + n) * columns).map(at));
        }
    }

    /// The block where it lies, if it lies as `T` in row order.
    fn direct<T: AnyBitPattern>(&self, dtype: Dtype, start: usize, n: usize) -> Option<&[T]> {
        if self.array.header.fortran || self.array.header.dtype != dtype || cfg!(target_endian = "big") {
            return None;
        }
        let width = self.shape.1 * size_of::<T>();
        bytemuck::try_cast_slice(&self.array.bytes()[start * width..(start + n) * width]).ok()
    }
}

/// Copies integers of whatever size as floats.
macro_rules! integers {
    ($matrix:expr, $kind:expr, $start:expr, $n:expr, $buffer:expr, $float:ty) => {
        match $kind {
            Dtype::I8 => $matrix.copy($start, $n, $buffer, |b| i8::from_le_bytes(b) as $float),
            Dtype::I16 => $matrix.copy($start, $n, $buffer, |b| i16::from_le_bytes(b) as $float),
            Dtype::I32 => $matrix.copy($start, $n, $buffer, |b| i32::from_le_bytes(b) as $float),
            Dtype::I64 => $matrix.copy($start, $n, $buffer, |b| i64::from_le_bytes(b) as $float),
            Dtype::U16 => $matrix.copy($start, $n, $buffer, |b| u16::from_le_bytes(b) as $float),
            Dtype::U32 => $matrix.copy($start, $n, $buffer, |b| u32::from_le_bytes(b) as $float),
            Dtype::U64 => $matrix.copy($start, $n, $buffer, |b| u64::from_le_bytes(b) as $float),
            _ => $matrix.copy($start, $n, $buffer, |b: [u8; 1]| <$float>::from(b[0])),
        }
    };
}

impl Rows<f32> for Matrix {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        if let Some(slice) = self.direct(Dtype::F32, start, n) {
            return slice;
        }
        match self.array.header.dtype {
            Dtype::F16 => self.copy(start, n, buffer, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::F64 => self.copy(start, n, buffer, |b| f64::from_le_bytes(b) as f32),
            Dtype::F32 => self.copy(start, n, buffer, f32::from_le_bytes),
            kind => integers!(self, kind, start, n, buffer, f32),
        }
        buffer
    }
}

impl Rows<f64> for Matrix {
    fn shape(&self) -> (usize, usize) {
        self.shape
    }

    fn block<'a>(&'a self, start: usize, n: usize, buffer: &'a mut Vec<f64>) -> &'a [f64] {
        if let Some(slice) = self.direct(Dtype::F64, start, n) {
            return slice;
        }
        match self.array.header.dtype {
            Dtype::F16 => self.copy(start, n, buffer, |b| f16::from_le_bytes(b).to_f64()),
            Dtype::F32 => self.copy(start, n, buffer, |b| f32::from_le_bytes(b).into()),
            Dtype::F64 => self.copy(start, n, buffer, f64::from_le_bytes),
            kind => integers!(self, kind, start, n, buffer, f64),
        }
        buffer
    }
}
