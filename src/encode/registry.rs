//! The encoders a machine has: every manifest in the model folders, broken ones with their error,
//! so that a page or `tamis doctor` can show them and the others still work.

use std::path::{Path, PathBuf};

use super::{EncodeError, Kind, Manifest, Result};

/// One manifest file.
#[derive(Debug)]
pub struct Entry {
    pub path: PathBuf,
    pub manifest: Result<Manifest>,
}

#[derive(Debug)]
pub struct Registry {
    dirs: Vec<PathBuf>,
    entries: Vec<Entry>,
}

impl Registry {
    /// Reads `*.toml` of every folder, in order of file name; a folder that is not there holds none.
    /// Of two encoders with one name the first is taken, the second becomes an error. Model files
    /// are looked for next to their manifest and in all of `dirs`; they are not read here.
    pub fn open(dirs: &[PathBuf]) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        for path in dirs.iter().flat_map(|dir| manifests_in(dir)) {
            let manifest = Manifest::load(&path).and_then(|m| {
                if entries.iter().any(|e| e.manifest.as_ref().is_ok_and(|other| other.name == m.name)) {
                    let message = format!("name = {:?}: taken by an earlier manifest", m.name);
                    return Err(EncodeError::Manifest { file: path.clone(), message });
                }
                Ok(m)
            });
            entries.push(Entry { path, manifest });
        }
        Self { dirs: dirs.to_vec(), entries }
    }

    /// Every manifest found, good or broken.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The good ones of a kind.
    pub fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Manifest> {
        self.entries.iter().filter_map(|e| e.manifest.as_ref().ok()).filter(move |m| m.kind == kind)
    }

    pub fn get(&self, name: &str) -> Option<&Manifest> {
        self.entries.iter().filter_map(|e| e.manifest.as_ref().ok()).find(|m| m.name == name)
    }

    /// Folders for [`Manifest::verify`].
    pub fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }
}

fn manifests_in(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "toml") && p.is_file())
        .collect();
    paths.sort();
    paths
}
