//! Frame vectors of many samples in one scratch file, so that a training reads them at random without holding
//! them: float16, one sample after the other. Written once, then read by any number of threads. It never leaves
//! the machine, so it has no header.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use half::f16;
use half::slice::HalfFloatSliceExt;
use ndarray::ArrayView2;

/// Where each sample's frames lie. 12 bytes a sample in memory.
#[derive(Debug)]
pub struct FrameFile {
    file: File,
    dim: usize,
    /// First value and frames of each row; (0, 0) where there are none.
    rows: Vec<(u64, u32)>,
}

/// Writes a [`FrameFile`].
#[derive(Debug)]
pub struct FrameFileWriter {
    out: BufWriter<File>,
    dim: usize,
    rows: Vec<(u64, u32)>,
    values: u64,
}

impl FrameFileWriter {
    /// A new file for `rows` samples with frames of `dim` values; it is gone with its last handle.
    ///
    /// # Errors
    /// Making the file.
    pub fn create(folder: &Path, rows: usize, dim: usize) -> io::Result<Self> {
        let file = tempfile::tempfile_in(folder)?;
        Ok(Self { out: BufWriter::new(file), dim, rows: vec![(0, 0); rows], values: 0 })
    }

    /// The frames (f, dim) of a row, in order of time. Those of a row that is put twice are the later ones.
    ///
    /// # Errors
    /// Frames of another width, a row that there is not; writing.
    pub fn put(&mut self, row: usize, frames: ArrayView2<'_, f32>) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        if frames.ncols() != self.dim {
            return wrong("frames of another width");
        }
        let Some(place) = self.rows.get_mut(row) else { return wrong("no such row") };
        *place = (self.values, frames.nrows() as u32);
        for value in frames {
            self.out.write_all(&f16::from_f32(*value).to_le_bytes())?;
        }
        self.values += frames.len() as u64;
        Ok(())
    }

    /// # Errors
    /// Writing what is left.
    pub fn finish(self) -> io::Result<FrameFile> {
        let file = self.out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(FrameFile { file, dim: self.dim, rows: self.rows })
    }
}

impl FrameFile {
    /// Values of a frame.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Frames of a row; 0 for one that there is not.
    pub fn count(&self, row: usize) -> usize {
        self.rows.get(row).map_or(0, |r| r.1 as usize)
    }

    /// Appends all frames of a row, [f, dim] row-major, to `out`.
    ///
    /// # Errors
    /// Reading.
    pub fn load(&self, row: usize, out: &mut Vec<f32>) -> io::Result<()> {
        let Some(&(from, count)) = self.rows.get(row).filter(|r| r.1 > 0) else { return Ok(()) };
        let values = count as usize * self.dim;
        let mut bytes = vec![0u8; 2 * values];
        self.file.read_exact_at(&mut bytes, 2 * from)?;
        let halves: Vec<f16> = bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]])).collect();
        let at = out.len();
        out.resize(at + values, 0.0);
        halves.convert_to_f32_slice(&mut out[at..]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn each_row_gets_its_own_frames_back() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = FrameFileWriter::create(dir.path(), 3, 2).unwrap();
        writer.put(2, array![[0.5, 1.0], [-2.0, 0.25]].view()).unwrap();
        writer.put(0, array![[9.0, 9.0]].view()).unwrap();
        writer.put(0, array![[3.0, 4.0]].view()).unwrap();
        assert!(writer.put(1, array![[1.0, 2.0, 3.0]].view()).is_err());
        assert!(writer.put(3, array![[1.0, 2.0]].view()).is_err());
        let file = writer.finish().unwrap();
        let of = |row| {
            let mut out = vec![7.0];
            file.load(row, &mut out).unwrap();
            out
        };
        assert_eq!((of(2), of(0), of(1)), (vec![7.0, 0.5, 1.0, -2.0, 0.25], vec![7.0, 3.0, 4.0], vec![7.0]));
        assert_eq!((file.dim(), file.count(2), file.count(1), file.count(9)), (2, 2, 0, 0));
    }
}
