//! The process that owns the embedded Postgres server: starts it, starts it again if it dies, stops it
//! when nobody holds `users.lock` any more, and then ends.
//!
//! Layout of `<state>/postgres/`: `users.lock` (shared by every user), `supervisor.lock` (held by the one
//! supervisor), `password`, `socket` (the folder of the server's socket), `failure` (why the last start
//! failed), `supervisor.log`, `cluster/` (the server's own: `data/`, `run/`, `server.log`).

use std::fs::{File, TryLockError};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};

use super::cluster::{Cluster, socket_path};
use super::postgres::open_lock;

/// The role and owner of the database.
pub(crate) const USER: &str = "tamis";

const POLL: Duration = Duration::from_millis(250);
/// A fast stop writes a checkpoint; on a slow disk that can take a while.
const STOP: Duration = Duration::from_secs(60);
const KILL: Duration = Duration::from_secs(10);
/// How long the server may take until it accepts connections, recovery after a crash included.
const START: Duration = Duration::from_secs(110);
/// A server that died this often in a row within `STEADY` each will not do better the next time.
const TRIES: u32 = 3;
const STEADY: Duration = Duration::from_secs(30);

/// Where the embedded server keeps its things.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    state: PathBuf,
    dir: PathBuf,
}

impl Layout {
    pub(crate) fn new(state: &Path) -> Layout {
        Layout { state: state.into(), dir: state.join("postgres") }
    }

    pub(crate) fn state(&self) -> &Path {
        &self.state
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// A folder, or a link to one where the server's user cannot enter the state directory.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.dir.join("cluster")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.cluster().join("data")
    }

    pub(crate) fn users_lock(&self) -> PathBuf {
        self.dir.join("users.lock")
    }

    pub(crate) fn supervisor_lock(&self) -> PathBuf {
        self.dir.join("supervisor.lock")
    }

    pub(crate) fn password_file(&self) -> PathBuf {
        self.dir.join("password")
    }

    pub(crate) fn socket_file(&self) -> PathBuf {
        self.dir.join("socket")
    }

    pub(crate) fn failure_file(&self) -> PathBuf {
        self.dir.join("failure")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("supervisor.log")
    }
}

/// Why the last supervisor failed.
pub(crate) fn read_failure(layout: &Layout) -> Option<String> {
    std::fs::read_to_string(layout.failure_file()).ok().filter(|text| !text.is_empty())
}

/// Writes a file as a whole or not at all, readable by its owner only.
pub(crate) fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let partial = path.with_extension(format!("{}.partial", std::process::id()));
    std::fs::write(&partial, "")?;
    std::fs::set_permissions(&partial, std::fs::Permissions::from_mode(0o600))?;
    std::fs::write(&partial, text)?;
    std::fs::rename(&partial, path)
}

/// Runs the supervisor of `state` with the server programs in `bin`: the body of the hidden subcommand
/// `tamis supervise-postgres --state DIR --bin DIR`. Returns when nobody uses the database any more,
/// at once when another supervisor runs already, or with the reason why the server cannot run.
pub fn supervise(state: &Path, bin: &Path) -> Result<()> {
    let layout = Layout::new(state);
    let bin = bin.to_owned();
    // A thread of its own: the server is to die with the *thread* that started it (PR_SET_PDEATHSIG),
    // and the caller may be inside an async runtime.
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(&layout, &bin))
    });
    thread.join().unwrap_or_else(|_| bail!("the supervisor panicked"))
}

async fn run(layout: &Layout, bin: &Path) -> Result<()> {
    std::fs::create_dir_all(layout.dir()).with_context(|| layout.dir().display().to_string())?;
    let Some(_alone) = lock_alone(&layout.supervisor_lock()).await? else {
        return Ok(());
    };
    let _ = std::fs::remove_file(layout.failure_file());
    let done = own_server(layout, bin).await;
    let _ = std::fs::remove_file(layout.socket_file());
    if let Err(e) = &done {
        write_private(&layout.failure_file(), &format!("{e:#}"))?;
    }
    done
}

/// The lock of the one supervisor; `None` when another holds it (not just looks at it).
async fn lock_alone(path: &Path) -> Result<Option<File>> {
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        let file = open_lock(path)?;
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if Instant::now() > deadline => return Ok(None),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(POLL / 5).await,
            Err(TryLockError::Error(e)) => return Err(e.into()),
        }
    }
}

async fn own_server(layout: &Layout, bin: &Path) -> Result<()> {
    let users = open_lock(&layout.users_lock())?;
    let mut terminated = signal(SignalKind::terminate())?;
    // A terminal that closes or a ctrl-c is for the users, whose end is noticed by their locks.
    let (_hang_up, _interrupt) = (signal(SignalKind::hangup())?, signal(SignalKind::interrupt())?);

    let cluster = Cluster::prepare(layout, bin).await?;
    let socket = cluster.socket_dir()?;
    write_private(&layout.socket_file(), &socket.path().to_string_lossy())?;
    let (mut server, mut started) = (start(&cluster, socket.path()).await?, Instant::now());
    println!("{} server {} runs, socket in {}", now(), server.id().unwrap_or(0), socket.path().display());

    let mut deaths = 0;
    loop {
        tokio::select! {
            () = tokio::time::sleep(POLL) => match users.try_lock() {
                Ok(()) => break, // held until the server has stopped: newcomers wait
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(e)) => return Err(e.into()),
            },
            _ = terminated.recv() => break,
            status = server.wait() => {
                deaths = if started.elapsed() < STEADY { deaths + 1 } else { 1 };
                println!("{} server ended by itself: {}", now(), status?);
                if deaths >= TRIES {
                    bail!("the server keeps dying; the end of its log:\n{}", cluster.log_tail());
                }
                (server, started) = (start(&cluster, socket.path()).await?, Instant::now());
            }
        }
    }
    println!("{} stopping", now());
    stop(&mut server).await
}

/// Starts the server and waits until it listens. A server that is still going down (its supervisor was
/// killed) is waited for; one that goes on without a supervisor (no PR_SET_PDEATHSIG on macOS) is stopped.
async fn start(cluster: &Cluster, socket: &Path) -> Result<Child> {
    let deadline = Instant::now() + START;
    let listening = socket_path(socket);
    loop {
        if let Ok(stream) = tokio::net::UnixStream::connect(&listening).await {
            if let Some(pid) = stream.peer_cred().ok().and_then(|peer| peer.pid()) {
                println!("{} stopping server {pid}, which has lost its supervisor", now());
                send(pid, libc::SIGINT);
            }
        } else {
            let log = File::create(cluster.log())?;
            let mut server =
                cluster.server(socket).stdout(log.try_clone()?).stderr(log).stdin(Stdio::null()).spawn()?;
            loop {
                if tokio::net::UnixStream::connect(&listening).await.is_ok() {
                    return Ok(server);
                }
                if let Some(status) = server.try_wait()? {
                    // "lock file postmaster.pid already exists": the old one has not quite gone
                    if !cluster.log_tail().contains("postmaster.pid") {
                        bail!("the server ended with {status}; the end of its log:\n{}", cluster.log_tail());
                    }
                    break;
                }
                if Instant::now() > deadline {
                    stop(&mut server).await?;
                    bail!("the server does not listen; the end of its log:\n{}", cluster.log_tail());
                }
                tokio::time::sleep(POLL / 10).await;
            }
        }
        if Instant::now() > deadline {
            bail!("another server holds the data; the end of the log:\n{}", cluster.log_tail());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Fast stop (open transactions are rolled back); then ever less politely.
async fn stop(server: &mut Child) -> Result<()> {
    for (sign, patience) in [(libc::SIGINT, STOP), (libc::SIGQUIT, KILL), (libc::SIGKILL, KILL)] {
        let Some(pid) = server.id() else { return Ok(()) };
        send(pid.cast_signed(), sign);
        if tokio::time::timeout(patience, server.wait()).await.is_ok() {
            return Ok(());
        }
    }
    bail!("the server does not stop")
}

fn send(pid: i32, sign: i32) {
    // SAFETY: kill takes two numbers and touches no memory of ours; a pid that is gone is an error
    // return, which is what the callers' waiting finds out as well.
    unsafe { libc::kill(pid, sign) };
}

fn now() -> String {
    chrono::Utc::now().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
