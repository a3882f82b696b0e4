//! From a path in somebody's annotation file to a file under the media folder, or a reason why not.
//!
//! The result is canonical and lies under the canonical root: no `..`, no link leads out. Open the
//! returned path, not the given one.

use std::io;
use std::path::{Component, Path, PathBuf};

/// Why a path was refused.
#[derive(Debug, thiserror::Error)]
pub enum MediaPathError {
    #[error("the path is empty")]
    Empty,
    #[error("the path holds a NUL byte")]
    NulByte,
    #[error("the path is absolute; it should be relative to the media folder")]
    Absolute,
    #[error("the path has a part \"..\"")]
    Traversal,
    #[error("the file does not exist")]
    Missing,
    #[error("the path leads out of the media folder through a link")]
    OutsideRoot,
    #[error("the path is not a regular file")]
    NotAFile,
    #[error("the path cannot be read: {0}")]
    Unreadable(io::Error),
}

impl MediaPathError {
    /// Every code of [`Self::code`].
    pub const CODES: [&str; 8] = [
        "media_path_empty",
        "media_path_nul",
        "media_path_absolute",
        "media_path_traversal",
        "media_missing",
        "media_outside_root",
        "media_not_a_file",
        "media_unreadable",
    ];

    /// Stable code, the key into the message catalogue.
    pub fn code(&self) -> &'static str {
        Self::CODES[match self {
            Self::Empty => 0,
            Self::NulByte => 1,
            Self::Absolute => 2,
            Self::Traversal => 3,
            Self::Missing => 4,
            Self::OutsideRoot => 5,
            Self::NotAFile => 6,
            Self::Unreadable(_) => 7,
        }]
    }
}

/// Resolves `relative` under `root`. Links that stay inside the root are followed.
///
/// # Errors
/// [`MediaPathError`]; a root that does not exist counts as a missing file.
pub fn resolve(root: &Path, relative: &str) -> Result<PathBuf, MediaPathError> {
    if relative.trim().is_empty() {
        return Err(MediaPathError::Empty);
    }
    if relative.contains('\0') {
        return Err(MediaPathError::NulByte);
    }
    let mut letters = relative.chars();
    let drive = letters.next().is_some_and(|c| c.is_ascii_alphabetic()) && letters.next() == Some(':');
    if drive || relative.starts_with(['/', '\\']) {
        return Err(MediaPathError::Absolute);
    }
    // Back slashes part a path on Windows, where such files are often written.
    if relative.split(['/', '\\']).any(|part| part == "..") {
        return Err(MediaPathError::Traversal);
    }
    let path = Path::new(relative);
    if path.components().any(|c| !matches!(c, Component::Normal(_) | Component::CurDir)) {
        return Err(MediaPathError::Absolute);
    }
    let found = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => MediaPathError::Missing,
        _ => MediaPathError::Unreadable(e),
    };
    let root = root.canonicalize().map_err(found)?;
    let full = root.join(path).canonicalize().map_err(found)?;
    if !full.starts_with(&root) {
        return Err(MediaPathError::OutsideRoot);
    }
    if !full.metadata().map_err(found)?.is_file() {
        return Err(MediaPathError::NotAFile);
    }
    Ok(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_under_the_root_resolve() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("media");
        std::fs::create_dir_all(root.join("clips")).unwrap();
        std::fs::write(root.join("clips/a.mp4"), b"x").unwrap();
        std::fs::write(root.join("..b"), b"x").unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        std::fs::create_dir(dir.path().join("media2")).unwrap();
        std::fs::write(dir.path().join("media2/x"), b"x").unwrap();
        let real = root.canonicalize().unwrap();
        assert_eq!(resolve(&root, "clips/a.mp4").unwrap(), real.join("clips/a.mp4"));
        assert_eq!(resolve(&root, "./clips//a.mp4").unwrap(), real.join("clips/a.mp4"));
        assert_eq!(resolve(&root, "..b").unwrap(), real.join("..b"));
        let secret = dir.path().join("secret").display().to_string();
        for (path, code) in [
            ("", "media_path_empty"),
            ("clips/a.mp4\0.txt", "media_path_nul"),
            (secret.as_str(), "media_path_absolute"),
            ("C:\\clips\\a.mp4", "media_path_absolute"),
            ("c:a.mp4", "media_path_absolute"),
            ("\\\\host\\share\\a.mp4", "media_path_absolute"),
            ("../secret", "media_path_traversal"),
            ("clips/../clips/a.mp4", "media_path_traversal"),
            ("clips\\..\\..\\secret", "media_path_traversal"),
            ("clips/b.mp4", "media_missing"),
            ("clips/a.mp4/x", "media_missing"),
            ("clips", "media_not_a_file"),
        ] {
            assert_eq!(resolve(&root, path).unwrap_err().code(), code, "{path:?}");
        }
        assert_eq!(resolve(&dir.path().join("none"), "a").unwrap_err().code(), "media_missing");
    }

    #[cfg(unix)]
    #[test]
    fn links_may_not_lead_out() {
        use std::os::unix::fs::symlink;
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("media");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(root.join("a"), b"x").unwrap();
        std::fs::write(dir.path().join("secret"), b"x").unwrap();
        // A folder whose name only starts like the root's.
        std::fs::create_dir(dir.path().join("media2")).unwrap();
        std::fs::write(dir.path().join("media2/x"), b"x").unwrap();
        symlink("a", root.join("inside")).unwrap();
        symlink("../secret", root.join("file")).unwrap();
        symlink("../media2", root.join("folder")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        assert!(resolve(&root, "inside").unwrap().ends_with("a"));
        assert_eq!(resolve(&root, "file").unwrap_err().code(), "media_outside_root");
        assert_eq!(resolve(&root, "folder/x").unwrap_err().code(), "media_outside_root");
        assert_eq!(resolve(&root, "loop").unwrap_err().code(), "media_unreadable");
        // The root itself may be a link.
        symlink(&root, dir.path().join("link")).unwrap();
        assert!(resolve(&dir.path().join("link"), "a").is_ok());
        // A socket is no regular file.
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        assert_eq!(resolve(&root, "socket").unwrap_err().code(), "media_not_a_file");
    }
}
