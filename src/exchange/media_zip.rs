//! Uploaded media: a zip unpacked into a folder, with guards against bombs and against names that
//! leave the folder. Sizes are counted while reading; what the zip's headers claim is not trusted.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use zip::ZipArchive;

/// Most bytes one zip may unpack to.
const MOST_BYTES: u64 = 64 << 30;
/// Most bytes of one member.
const MOST_MEMBER_BYTES: u64 = 4 << 30;
/// Most members.
const MOST_MEMBERS: usize = 2_000_000;
/// Video hardly compresses: a member that unpacks to more than this many times its size is a bomb.
const MOST_RATIO: u64 = 200;

#[derive(Debug, thiserror::Error)]
pub enum MediaZipError {
    #[error("not a readable zip: {0}")]
    Zip(#[from] zip::result::ZipError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("member {0:?} would land outside the folder")]
    Outside(String),
    #[error("member {0:?} unpacks to far more than a video would (a zip bomb?)")]
    Bomb(String),
    #[error("it has more than {MOST_MEMBERS} members")]
    TooMany,
}

/// Unpacks regular files into `target` (made here); folders are made as needed, links are left out.
/// Memory is one buffer. Returns the number of files.
pub fn unpack(file: &Path, target: &Path) -> Result<usize, MediaZipError> {
    let mut zip = ZipArchive::new(io::BufReader::new(File::open(file)?))?;
    if zip.len() > MOST_MEMBERS {
        return Err(MediaZipError::TooMany);
    }
    std::fs::create_dir_all(target)?;
    let (mut total, mut files) = (0, 0);
    for i in 0..zip.len() {
        let mut member = zip.by_index(i)?;
        if !member.is_file() {
            continue;
        }
        let name = member.name().to_owned();
        let Some(inside) = member.enclosed_name() else { return Err(MediaZipError::Outside(name)) };
        let path = target.join(inside);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let most = MOST_MEMBER_BYTES
            .min(MOST_BYTES - total)
            .min(member.compressed_size().saturating_mul(MOST_RATIO).max(1 << 20));
        let mut out = File::create(&path)?;
        let written = io::copy(&mut member.by_ref().take(most + 1), &mut out)?;
        out.flush()?;
        if written > most {
            return Err(MediaZipError::Bomb(name));
        }
        total += written;
        files += 1;
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zip::write::{SimpleFileOptions, ZipWriter};

    fn zip_of(members: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut zip = ZipWriter::new(file.reopen().unwrap());
        for (name, bytes) in members {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
        file
    }

    #[test]
    fn files_land_inside_and_tricks_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let good = zip_of(&[("a/b.mp4", b"x"), ("c.mp4", b"yy")]);
        assert_eq!(unpack(good.path(), &dir.path().join("1")).unwrap(), 2);
        assert_eq!(std::fs::read(dir.path().join("1/a/b.mp4")).unwrap(), b"x");
        let out = zip_of(&[("../evil.mp4", b"x")]);
        assert!(matches!(unpack(out.path(), &dir.path().join("2")), Err(MediaZipError::Outside(_))));
        assert!(!dir.path().join("evil.mp4").exists());
        let bomb = zip_of(&[("big.mp4", &vec![0; 64 << 20])]);
        assert!(matches!(unpack(bomb.path(), &dir.path().join("3")), Err(MediaZipError::Bomb(_))));
        std::fs::write(dir.path().join("t"), "text").unwrap();
        assert!(matches!(unpack(&dir.path().join("t"), &dir.path().join("4")), Err(MediaZipError::Zip(_))));
    }
}
