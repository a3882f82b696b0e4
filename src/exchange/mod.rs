//! Formats in and out, one file each: blocking readers and writers over `std::io`.
//!
//! Knows only `domain`: no database, no async. Everything that reads comes from strangers, so each
//! reader bounds its memory by its limits and not by the file, and says file, line, field and reason.

pub mod annotations;
pub mod columnar;
pub mod columns;
mod error;
pub mod export;
pub mod features;
pub mod frame_file;
mod json;
pub mod mapped;
pub mod media_path;
pub mod media_zip;
pub mod npy;
pub mod predictions;
pub mod snapshot_file;
pub mod taxonomy;

pub use error::{CODES, RowError};

/// Folder of the shared data sets for tests: `TAMIS_SHARED_DATA`, else beside the repository.
/// Says so on standard error when it is absent.
#[cfg(test)]
fn shared_data() -> Option<std::path::PathBuf> {
    let beside = || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let path = std::env::var_os("TAMIS_SHARED_DATA").map_or_else(beside, Into::into);
    if !path.is_dir() {
        eprintln!("SKIPPED: no shared data sets at {} (set TAMIS_SHARED_DATA)", path.display());
        return None;
    }
    Some(path)
}
