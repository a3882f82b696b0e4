//! `tamis doctor`: runs every native part once and says whether it works, and if not, what to do.
//!
//! Nothing is changed, except that a file is written to and removed from the state directory.
//! Costs about a second, most of it the sha256 of the encoder files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Found, Native};

/// What was found out about one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The part: `onnxruntime`, `postgres`, `database`, `ffmpeg`, `encoder <name>`, `demo pictures`,
    /// `state`, `disk`.
    pub part: String,
    /// Whether it works.
    pub ok: bool,
    /// Whether Tamis cannot do its job without it.
    pub required: bool,
    /// Its version, where it has one.
    pub version: Option<String>,
    /// Where it is.
    pub path: Option<PathBuf>,
    /// How it was found, or why it does not work and what to do.
    pub note: String,
}

impl Check {
    fn new(part: impl Into<String>, required: bool, path: Option<PathBuf>) -> Check {
        Check { part: part.into(), ok: false, required, version: None, path, note: String::new() }
    }

    fn works(self, version: Option<String>, note: impl Into<String>) -> Check {
        Check { ok: true, version, note: note.into(), ..self }
    }

    fn fails(self, note: impl Into<String>) -> Check {
        Check { ok: false, note: note.into(), ..self }
    }
}

/// Less than this free in the state directory is reported as a failure (bytes).
const ENOUGH_DISK: u64 = 1 << 30;
/// No program takes longer than this to say its version.
const PATIENCE: Duration = Duration::from_secs(20);
const SET_UP: &str = "run scripts/setup";

/// Checks every part; `database_url` is the configured one, `None` means the embedded server.
/// Returns one check a part in a fixed order; never fails itself.
pub async fn doctor(native: &Native, database_url: Option<&str>, state: &Path) -> Vec<Check> {
    let mut checks = vec![onnxruntime(native).await];
    match database_url {
        Some(url) => checks.push(database(url).await),
        None => checks.push(postgres(native, state).await),
    }
    checks.push(ffmpeg(native).await);
    checks.push(ffprobe(native).await);
    let dirs = native.model_dirs.clone();
    let installed = native.dir.clone();
    let encoders = tokio::task::spawn_blocking(move || encoders(&dirs, installed.as_deref())).await;
    checks.extend(encoders.unwrap_or_default());
    checks.push(match &native.demo_stamps {
        Some(dir) => Check::new("demo pictures", false, Some(dir.clone())).works(None, "Tux Paint stamps"),
        None => {
            Check::new("demo pictures", false, None).fails(format!("the demo draws its own clips; {SET_UP}"))
        }
    });
    checks.push(state_dir(state));
    checks.push(disk(state).await);
    checks
}

fn how(found: Option<Found>) -> &'static str {
    match found {
        Some(Found::Setting) => "by setting",
        Some(Found::System) => "of the system",
        Some(Found::Installed) => "installed by scripts/setup",
        None => "",
    }
}

async fn onnxruntime(native: &Native) -> Check {
    let check = Check::new("onnxruntime", true, native.onnxruntime.clone());
    let Some(path) = native.onnxruntime.clone() else {
        return check.fails(format!("not found; {SET_UP} or set TAMIS_ONNXRUNTIME"));
    };
    // A library that is no ONNX Runtime can panic in the binding: the task turns that into an error.
    let loaded = tokio::task::spawn_blocking(move || {
        ort::init_from(&path).map(|_| ort::info().to_owned()).map_err(|e| e.to_string())
    });
    match loaded.await {
        Ok(Ok(info)) => {
            // Release builds do not all say their version; their file names do.
            let real = check.path.as_ref().and_then(|p| p.canonicalize().ok());
            let name = real.as_ref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
            check
                .works(name.and_then(|n| version_in(&n)).or(version_in(&info)), how(native.onnxruntime_found))
        }
        Ok(Err(reason)) => check.fails(reason),
        Err(panic) => check.fails(format!("the library cannot be used: {panic}")),
    }
}

async fn postgres(native: &Native, state: &Path) -> Check {
    let check = Check::new("postgres", true, native.postgres_bin.clone());
    let Some(bin) = &native.postgres_bin else {
        return check.fails(format!("not found; {SET_UP}, or set DATABASE_URL or TAMIS_POSTGRES_BIN"));
    };
    let version = match first_line(&bin.join("postgres"), "--version").await {
        Ok(line) => version_in(&line),
        Err(reason) => return check.fails(reason),
    };
    match super::postgres::data_version(state) {
        Some(data) if version.as_deref().is_some_and(|v| major(v) != data) => {
            let version = version.unwrap_or_default();
            check.fails(super::postgres::version_mismatch(&data, major(&version), state))
        }
        _ => check.works(version, how(native.postgres_found)),
    }
}

async fn database(url: &str) -> Check {
    use sqlx::Connection;
    let check = Check::new("database", true, None);
    let asked = async {
        let mut connection = sqlx::PgConnection::connect(url).await?;
        sqlx::query_scalar::<_, String>("show server_version").fetch_one(&mut connection).await
    };
    match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(version)) => check.works(version_in(&version), "DATABASE_URL"),
        Ok(Err(e)) => check.fails(format!("DATABASE_URL: {e}")),
        Err(_) => check.fails("DATABASE_URL: no answer"),
    }
}

async fn ffmpeg(native: &Native) -> Check {
    let check = Check::new("ffmpeg", true, native.ffmpeg.clone());
    let Some(program) = &native.ffmpeg else {
        return check.fails(format!("not found; {SET_UP} or set TAMIS_FFMPEG"));
    };
    match first_line(program, "-version").await {
        Ok(line) if line.starts_with("ffmpeg version") => {
            check.works(third_word(&line), how(native.ffmpeg_found))
        }
        Ok(line) => check.fails(format!("it is no ffmpeg; it says: {line}")),
        Err(reason) => check.fails(reason),
    }
}

async fn ffprobe(native: &Native) -> Check {
    let beside = native.ffmpeg.as_ref().map(|f| f.with_file_name("ffprobe"));
    let check = Check::new("ffprobe", false, beside.clone());
    match beside {
        Some(program) if program.is_file() => match first_line(&program, "-version").await {
            Ok(line) => check.works(third_word(&line), "beside ffmpeg"),
            Err(reason) => check.fails(reason),
        },
        _ => check.fails("not beside ffmpeg; files are probed by ffmpeg itself"),
    }
}

/// The parts of an encoder's manifest that are checked here.
#[derive(Deserialize)]
struct Manifest {
    name: String,
    kind: String,
    file: PathBuf,
    sha256: String,
    dimension: u32,
    text: Option<Text>,
}

#[derive(Deserialize)]
struct Text {
    tokenizer: Option<PathBuf>,
    tokenizer_sha256: Option<String>,
}

fn encoders(dirs: &[PathBuf], installed: Option<&Path>) -> Vec<Check> {
    let mut manifests: Vec<PathBuf> = dirs
        .iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    manifests.sort_by_key(|path| path.file_name().map(|n| n.to_owned()));
    manifests.iter().map(|path| encoder(path, installed)).collect()
}

fn encoder(path: &Path, installed: Option<&Path>) -> Check {
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let read = std::fs::read_to_string(path).map_err(|e| e.to_string());
    let manifest: Manifest = match read.and_then(|text| toml::from_str(&text).map_err(|e| e.to_string())) {
        Ok(manifest) => manifest,
        Err(reason) => return Check::new(format!("encoder {stem}"), false, Some(path.into())).fails(reason),
    };
    let beside = path.parent().map(Path::to_owned).unwrap_or_default();
    let files = [Some((manifest.file.clone(), manifest.sha256.clone())), {
        let text = manifest.text.as_ref();
        text.and_then(|t| Some((t.tokenizer.clone()?, t.tokenizer_sha256.clone()?)))
    }];
    let mut check = Check::new(format!("encoder {}", manifest.name), false, None);
    for (file, sha256) in files.into_iter().flatten() {
        let places = [
            Some(beside.join(&file)),
            installed.map(|dir| dir.join("models").join(&manifest.name).join(&file)),
        ];
        let Some(found) = places.into_iter().flatten().find(|p| p.is_file()) else {
            return check.fails(format!("{} not found; {SET_UP}", file.display()));
        };
        check.path.get_or_insert_with(|| found.clone());
        match hash(&found) {
            Ok(actual) if actual == sha256.to_lowercase() => {}
            Ok(actual) => {
                return check
                    .fails(format!("{}: sha256 {actual} is not the manifest's: refused", found.display()));
            }
            Err(e) => return check.fails(format!("{}: {e}", found.display())),
        }
    }
    check.works(None, format!("{}, {} dimensions, sha256 good", manifest.kind, manifest.dimension))
}

fn hash(path: &Path) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hasher)?;
    Ok(hex::encode(hasher.finalize()))
}

fn state_dir(state: &Path) -> Check {
    let check = Check::new("state", true, Some(state.into()));
    let probe = state.join(format!(".doctor-{}", std::process::id()));
    let tried = std::fs::create_dir_all(state).and_then(|()| std::fs::write(&probe, b"x"));
    let _ = std::fs::remove_file(&probe);
    match tried {
        Ok(()) => check.works(None, "can be written to"),
        Err(e) => check.fails(format!("cannot be written to: {e}; choose another with --state")),
    }
}

async fn disk(state: &Path) -> Check {
    let check = Check::new("disk", false, Some(state.into()));
    match free_bytes(state).await {
        Some(free) if free >= ENOUGH_DISK => check.works(None, format!("{:.1} GiB free", gib(free))),
        Some(free) => check.fails(format!("only {:.1} GiB free", gib(free))),
        None => check.works(None, "free space unknown"),
    }
}

fn gib(bytes: u64) -> f64 {
    bytes as f64 / (1u64 << 30) as f64
}

/// Free bytes for this user, by `df` (the same on Linux and macOS).
async fn free_bytes(path: &Path) -> Option<u64> {
    let output =
        tokio::process::Command::new("df").arg("-Pk").arg(path).env("LC_ALL", "C").output().await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// The first line a program prints, or why it does not run.
async fn first_line(program: &Path, arg: &str) -> Result<String, String> {
    let run = tokio::process::Command::new(program).arg(arg).kill_on_drop(true).output();
    let output = match tokio::time::timeout(PATIENCE, run).await {
        Ok(Ok(output)) => output,
        Ok(Err(e)) => return Err(format!("does not run: {e}")),
        Err(_) => return Err("does not answer".into()),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).lines().next().unwrap_or_default().to_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{}: {}", output.status, text(&output.stderr))),
    }
}

/// The first thing in a text that looks like a version: digits and dots with at least one dot.
pub(crate) fn version_in(text: &str) -> Option<String> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.')
        .map(|word| word.trim_matches('.'))
        .find(|word| word.contains('.') && word.split('.').all(|n| !n.is_empty()))
        .map(str::to_owned)
}

pub(crate) fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn third_word(line: &str) -> Option<String> {
    line.split_whitespace().nth(2).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        let ort = "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=26250ae, build type=Release";
        assert_eq!(version_in(ort).as_deref(), Some("1.32.0"));
        assert_eq!(version_in("libonnxruntime.so.1.32.0").as_deref(), Some("1.32.0"));
        assert_eq!(
            version_in("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)").as_deref(),
            Some("15.18")
        );
        assert_eq!(major("15.18"), "15");
        assert_eq!(version_in("no version."), None);
        assert_eq!(third_word("ffmpeg version n7.1-static Copyright").as_deref(), Some("n7.1-static"));
    }

    #[test]
    fn a_model_that_differs_from_its_manifest_is_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let manifest = |sha256: &str| {
            let text = format!(
                "name = \"m\"\nkind = \"image\"\nfile = \"m.onnx\"\nsha256 = \"{sha256}\"\ndimension = 3\n[input]\nname = \"x\"\n"
            );
            std::fs::write(tmp.path().join("m.toml"), text).unwrap();
            encoders(&[tmp.path().to_owned()], None).remove(0)
        };
        // printf abc | sha256sum
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(manifest(abc).note.contains("not found"));
        std::fs::write(tmp.path().join("m.onnx"), "abc").unwrap();
        assert!(manifest(abc).ok);
        std::fs::write(tmp.path().join("m.onnx"), "abd").unwrap();
        let bad = manifest(abc);
        assert!(!bad.ok && bad.note.contains("refused"), "{bad:?}");
    }

    #[tokio::test]
    async fn parts_that_do_not_work_are_named_with_a_reason() {
        let tmp = tempfile::tempdir().unwrap();
        let not_ffmpeg = tmp.path().join("ffmpeg");
        std::os::unix::fs::symlink("/bin/echo", &not_ffmpeg).unwrap();
        let native = Native {
            ffmpeg: Some(not_ffmpeg),
            postgres_bin: Some(tmp.path().into()),
            onnxruntime: None,
            ..Default::default()
        };
        let checks = doctor(&native, None, &tmp.path().join("state")).await;
        let find = |part: &str| checks.iter().find(|c| c.part == part).unwrap();
        assert!(find("onnxruntime").note.contains("scripts/setup"));
        assert!(find("postgres").note.contains("does not run"));
        assert!(find("ffmpeg").note.contains("no ffmpeg"), "{:?}", find("ffmpeg"));
        assert!(checks.iter().filter(|c| c.required && c.part != "state").all(|c| !c.ok));
        assert!(find("state").ok && find("disk").ok);
    }

    #[tokio::test]
    async fn an_unreachable_database_is_a_failure() {
        let check = database("postgres://x@127.0.0.1:1/x").await;
        assert!(!check.ok && check.required, "{check:?}");
    }
}
