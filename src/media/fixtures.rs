//! Real clips for tests, made by ffmpeg's own sources in a temporary folder.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// The ffmpeg of the tests: `TAMIS_FFMPEG`, else the first on `PATH`.
pub(crate) fn ffmpeg() -> PathBuf {
    if let Some(path) = std::env::var_os("TAMIS_FFMPEG") {
        return path.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|dir| dir.join("ffmpeg"))
        .find(|p| p.is_file())
        .expect("no ffmpeg: run scripts/setup, or set TAMIS_FFMPEG")
}

/// Runs ffmpeg unconfined with `args`, which end with the output `name` in `dir`.
pub(crate) fn make(dir: &Path, args: &str, name: &str) -> PathBuf {
    let out = dir.join(name);
    let done = Command::new(ffmpeg())
        .args(["-v", "error", "-nostdin", "-y"])
        .args(args.split_whitespace())
        .arg(&out)
        .output()
        .expect("ffmpeg starts");
    assert!(done.status.success(), "{args}: {}", String::from_utf8_lossy(&done.stderr));
    out
}

/// A grey clip whose brightness runs from black to white with time (`seconds` at 25 a second).
pub(crate) fn brightening(dir: &Path, seconds: u32, codec: &str, name: &str) -> PathBuf {
    let args = format!(
        "-f lavfi -i color=gray:size=96x64:rate=25:duration={seconds} \
         -vf format=gray,geq=lum=255*T/{seconds},format=yuv420p {codec}"
    );
    make(dir, &args, name)
}
