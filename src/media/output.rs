//! What a decoder process leaves: JPEG files in the output folder or raw frames on its standard
//! output, and whether they are whole.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use super::{frame::RgbFrame, graph};

/// Where a picture of input `index` goes.
pub(crate) fn picture_path(dir: &Path, index: usize, what: &str) -> PathBuf {
    dir.join(format!("{index:06}.{what}.jpg"))
}

pub(crate) fn outputs(graph: usize, index: usize, out_dir: &Path) -> Vec<OsString> {
    let mut args = graph::jpeg_output(&format!("[s{graph}]"), 2, &picture_path(out_dir, index, "strip"));
    args.extend(graph::jpeg_output(&format!("[p{graph}]"), 4, &picture_path(out_dir, index, "poster")));
    args
}

pub(crate) fn remove_pictures(index: usize, out_dir: &Path) {
    for what in ["poster", "strip"] {
        // Not being there is what is wanted.
        let _ = fs::remove_file(picture_path(out_dir, index, what));
    }
}

/// Starts and ends as a JPEG does: a process killed while writing leaves no end marker.
pub(crate) fn is_whole_jpeg(path: &Path) -> bool {
    fs::read(path).is_ok_and(|b| b.starts_with(&[0xff, 0xd8]) && b.ends_with(&[0xff, 0xd9]))
}

/// Bytes of `n` RGB frames.
pub(crate) fn raw_len(n: usize, (width, height): (u32, u32)) -> u64 {
    n as u64 * u64::from(width) * u64::from(height) * 3
}

pub(crate) fn with_raw_output(mut args: Vec<OsString>) -> Vec<OsString> {
    args.extend(graph::strings(&["-map", "[s0]", "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24"]));
    args.push("pipe:1".into());
    args
}

pub(crate) fn split_raw(bytes: &[u8], size: (u32, u32)) -> Vec<RgbFrame> {
    bytes
        .chunks_exact(raw_len(1, size) as usize)
        .map(|frame| RgbFrame::new(size.0, size.1, frame.to_vec()))
        .collect()
}
