//! The pages in a real browser: the program is started as a person would start it, and scripts of
//! `tests/browser` use it in Chromium: `main_job.py` goes through import, suspects, fix and export,
//! `reviewing.py` through the reviewing screen with cut networks, several tabs and ended sessions.
//!
//! Skipped with a line that says why where the browser or its driver is missing (`scripts/setup --test`
//! installs both); with `CI` set that is a failure.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tamis::native::{Native, NativeSettings};

use crate::support::TestApp;

/// The script's exit code when browser or driver is missing.
const SKIPPED: i32 = 77;

/// A running `tamis serve` with its own state; killed if the test ends before it was stopped.
pub(crate) struct Server {
    child: Child,
    pub(crate) url: String,
    /// What makes the first account.
    setup_code: String,
    log: PathBuf,
    state: tempfile::TempDir,
}

impl Server {
    /// With the embedded database in its state folder, or with the one at `database_url`.
    pub(crate) fn start(database_url: Option<String>) -> Self {
        let state = tempfile::tempdir().unwrap();
        let log = state.path().join("serve.log");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tamis"));
        command.env_remove("DATABASE_URL");
        if let Some(url) = database_url {
            command.env("DATABASE_URL", url);
        }
        let mut child = command
            .args(["serve", "--bind", "127.0.0.1:0", "--state"])
            .arg(state.path().join("state"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut server = Self { child, url: String::new(), setup_code: String::new(), log, state };
        let mut line = String::new();
        while server.setup_code.is_empty() {
            line.clear();
            let read = out.read_line(&mut line).unwrap();
            assert!(read > 0, "the server ended before it served:\n{}", server.log());
            if let Some(rest) = line.strip_prefix("Tamis serves ") {
                rest.split_whitespace().next().unwrap().clone_into(&mut server.url);
            } else if let Some((_, code)) = line.split_once("/setup?code=") {
                code.trim().clone_into(&mut server.setup_code);
            }
        }
        // whatever it prints later must not fill the pipe
        std::thread::spawn(move || out.read_to_end(&mut Vec::new()));
        server
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Ends it without a chance to tidy up.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Stops it as an init system would; returns its exit code.
    fn stop(&mut self) -> Option<i32> {
        let killed = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a script of `tests/browser` on a server of its own; `more` are further arguments for it.
async fn run(name: &str, more: impl FnOnce(&Server, &Path) -> Vec<OsString>) {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let native = Native::resolve(&NativeSettings::default());
    let installed = native.dir.clone().unwrap_or_else(|| project.join(".tamis"));
    // the embedded database as a newcomer has it; a machine without one has DATABASE_URL
    let lent = if native.postgres_bin.is_none() { Some(TestApp::new().await) } else { None };
    let mut server = Server::start(lent.as_ref().map(TestApp::database_url));
    let mut script = Command::new(std::env::var_os("PYTHON").unwrap_or_else(|| "python3".into()));
    script
        .arg(project.join("tests/browser").join(name))
        .arg(&server.url)
        .arg(server.state.path().join("data"))
        .arg("--screenshots")
        .arg(Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"))
        .args(more(&server, &installed))
        .env("PYTHONPATH", installed.join("python"))
        .env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(ffmpeg) = &native.ffmpeg {
        script.env("TAMIS_FFMPEG", ffmpeg);
    }
    let output = script.output().expect("python3 runs");
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(SKIPPED) {
        assert!(std::env::var_os("CI").is_none(), "CI must have a browser. {said}");
        // past the capture of the test harness, so that it is seen
        std::io::stderr().write_all(format!("{name}: {}\n", said.trim()).as_bytes()).unwrap();
        return;
    }
    assert!(
        output.status.success(),
        "{}\n{}\n--- the steps ---\n{said}\n--- the server's log ---\n{}",
        output.status,
        // first: what reports a failure may show the beginning only
        String::from_utf8_lossy(&output.stderr),
        server.log()
    );
    assert_eq!(server.stop(), Some(0), "SIGTERM: not a clean end\n{}", server.log());
}

#[tokio::test]
async fn main_job_in_a_browser() {
    run("main_job.py", |_, _| Vec::new()).await;
}

#[tokio::test]
async fn reviewing_in_a_browser() {
    run("reviewing.py", |server, installed| {
        let mut arguments: Vec<OsString> = vec!["--setup-code".into(), server.setup_code.clone().into()];
        let axe = installed.join("axe/axe.min.js");
        if axe.is_file() {
            arguments.extend(["--axe".into(), axe.into_os_string()]);
        } else {
            assert!(
                std::env::var_os("CI").is_none(),
                "CI must have axe-core: scripts/setup --test brings it"
            );
        }
        arguments
    })
    .await;
}
