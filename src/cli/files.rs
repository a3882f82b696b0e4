//! What commands that work on files alone share: writing, printing, and leaving the inputs as they are.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::messages::Lang;

/// Written beside its place and renamed, so that a full disk leaves the old file whole.
pub(super) fn write(
    folder: &Path,
    name: &str,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> anyhow::Result<PathBuf> {
    let file = folder.join(name);
    let write = || {
        let part = folder.join(format!("{name}.part"));
        let mut out = BufWriter::with_capacity(1 << 16, File::create(&part)?);
        content(&mut out)?;
        out.flush()?;
        out.get_ref().sync_all()?;
        std::fs::rename(&part, &file)
    };
    if let Err(e) = write() {
        let _ = std::fs::remove_file(folder.join(format!("{name}.part")));
        return Err(e).with_context(|| format!("{} could not be written", file.display()));
    }
    Ok(file)
}

/// Refuses to write `names` into `folder` where one of them, or what it is called while it is written, is an
/// input; before any work.
pub(super) fn keep_inputs<'a>(
    inputs: impl IntoIterator<Item = &'a Path>,
    folder: &Path,
    names: &[String],
) -> anyhow::Result<()> {
    let inputs: Vec<(&Path, PathBuf)> =
        inputs.into_iter().filter_map(|p| Some((p, std::fs::canonicalize(p).ok()?))).collect();
    for name in names.iter().flat_map(|n| [n.clone(), format!("{n}.part")]) {
        let Ok(there) = std::fs::canonicalize(folder.join(&name)) else { continue };
        if let Some((input, _)) = inputs.iter().find(|(_, at)| *at == there) {
            bail!("{} is an input and would be overwritten; --out needs another folder", input.display());
        }
    }
    Ok(())
}

/// JSON on standard output. Whoever reads it may stop; that it cannot be written is an error.
pub(super) fn print_json(value: &serde_json::Value) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    let text = serde_json::to_string_pretty(value)?;
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("standard output"),
        _ => Ok(()),
    }
}

/// A share in [0, 1] from the command line.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text} is no number"))?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("it must lie between 0 and 1".into()) }
}

/// A language from the command line.
pub(super) fn language(text: &str) -> Result<Lang, String> {
    Lang::parse(text).ok_or_else(|| "en or zh-CN".into())
}
