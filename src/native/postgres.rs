//! The embedded Postgres: started when no `DATABASE_URL` is set, shared by every Tamis process of one
//! state directory, stopped when the last of them is gone, however it went.
//!
//! Every process that uses the database holds a shared lock on `users.lock`; a small supervisor (this
//! program started again as `tamis supervise-postgres`) owns the server and tries for the exclusive
//! lock. When it gets it, nobody is left: it stops the server and ends. The kernel drops locks of
//! killed processes, so `kill -9` leaves nothing running and nothing to mend.

use std::fs::{File, TryLockError};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::Native;
pub use super::supervisor::supervise;
use super::supervisor::{Layout, USER, read_failure};

/// Why there is no embedded database.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// No server programs anywhere.
    #[error(
        "no Postgres server found: run scripts/setup, set TAMIS_POSTGRES_BIN to a folder with postgres and initdb, or set DATABASE_URL"
    )]
    NotFound,
    /// The supervisor could not start the server; its reason, which says what to do.
    #[error("the embedded Postgres cannot start: {0}")]
    Failed(String),
    /// The supervisor gave no reason in time.
    #[error("the embedded Postgres did not answer within {} s; see {}", .0.as_secs(), .1.display())]
    Timeout(Duration, PathBuf),
    /// A file of the state directory cannot be used.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The server answers, but not as it should.
    #[error("the embedded Postgres refused: {0}")]
    Refused(#[from] sqlx::Error),
}

/// Initialising takes a second, recovery after a crash some more, and a busy machine makes both slow.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
const WATCH: Duration = Duration::from_secs(1);
const DATABASE: &str = "tamis";

/// A share in the embedded server of one state directory. The server runs at least as long as this
/// value lives; dropping the last one anywhere stops it within a second or so.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    url: String,
    _users: File,
    _keeper: Keeper,
}

/// Watches that there is a supervisor: one that was killed took the server with it.
#[derive(Debug)]
struct Keeper {
    _stop: Sender<()>,
}

impl Keeper {
    fn new(layout: Layout, tamis: PathBuf, bin: PathBuf) -> Keeper {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            while stopped.recv_timeout(WATCH) == Err(RecvTimeoutError::Timeout) {
                if is_free(&layout.supervisor_lock()).unwrap_or(false) {
                    tracing::warn!("the supervisor of the embedded Postgres is gone: starting it again");
                    if let Err(e) = spawn(&tamis, &bin, &layout) {
                        tracing::error!("{e}");
                    }
                    std::thread::sleep(WATCH);
                }
            }
        });
        Keeper { _stop: stop }
    }
}

impl EmbeddedPostgres {
    /// Starts the server, or joins the one that runs for this state directory.
    ///
    /// First start about 1 s (it initialises the data folder), later ones 0.1 s. Waits for a server that
    /// is just stopping. Errors say what to do.
    pub async fn start(native: &Native, state: &Path) -> Result<EmbeddedPostgres, PostgresError> {
        let tamis = std::env::current_exe()
            .map_err(|source| PostgresError::Io { path: "current program".into(), source })?;
        EmbeddedPostgres::start_with(native, state, &tamis).await
    }

    /// As [`EmbeddedPostgres::start`], with the program that is run as `supervise-postgres` (for tests,
    /// whose own program has no such subcommand).
    pub async fn start_with(
        native: &Native,
        state: &Path,
        tamis: &Path,
    ) -> Result<EmbeddedPostgres, PostgresError> {
        let bin = native.postgres_bin.as_deref().ok_or(PostgresError::NotFound)?;
        let state = std::path::absolute(state).unwrap_or_else(|_| state.to_owned());
        let layout = Layout::new(&state);
        std::fs::create_dir_all(layout.dir())
            .map_err(|source| PostgresError::Io { path: layout.dir().into(), source })?;
        let deadline = Instant::now() + PATIENCE;

        let users = lock_shared(&layout.users_lock(), deadline).await?;
        let mut supervisor: Option<Receiver<bool>> = None;
        let options = loop {
            if let Some(options) = connect_options(&layout, "postgres") {
                match PgConnection::connect_with(&options).await {
                    Ok(_) if !is_free(&layout.supervisor_lock())? => break options.database(DATABASE),
                    // it outlived its supervisor; the next one stops it and starts another
                    Ok(_) => {}
                    Err(sqlx::Error::Database(e))
                        if !e.code().is_some_and(|code| code.starts_with("57P")) =>
                    {
                        return Err(PostgresError::Refused(sqlx::Error::Database(e)));
                    }
                    // not there yet, or (57P03) starting up
                    Err(_) => {}
                }
            }
            match supervisor.as_ref().map(Receiver::try_recv) {
                // it ended: well (another one was quicker), or with a reason
                Some(Ok(false) | Err(TryRecvError::Disconnected)) => {
                    let reason = read_failure(&layout);
                    return Err(PostgresError::Failed(
                        reason.unwrap_or_else(|| "the supervisor died".into()),
                    ));
                }
                Some(Ok(true)) => supervisor = None,
                Some(Err(TryRecvError::Empty)) => {}
                None if is_free(&layout.supervisor_lock())? => supervisor = Some(spawn(tamis, bin, &layout)?),
                None => {}
            }
            if Instant::now() > deadline {
                return Err(PostgresError::Timeout(PATIENCE, layout.log()));
            }
            tokio::time::sleep(POLL).await;
        };
        create_database(&layout).await?;
        let url = url(&options, &layout);
        let keeper = Keeper::new(layout, tamis.into(), bin.into());
        Ok(EmbeddedPostgres { url, _users: users, _keeper: keeper })
    }

    /// The connection string, password included: keep it out of logs.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The major version of the data in a state directory, `None` when there is none yet.
pub(crate) fn data_version(state: &Path) -> Option<String> {
    std::fs::read_to_string(Layout::new(state).data().join("PG_VERSION")).ok().map(|v| v.trim().to_owned())
}

/// What to do about data that these programs cannot read.
pub(crate) fn version_mismatch(data: &str, programs: &str, state: &Path) -> String {
    let layout = Layout::new(state);
    format!(
        "the data in {data_dir} was written by Postgres {data}, the server found is Postgres {programs}. Either set \
         TAMIS_POSTGRES_BIN to the bin folder of Postgres {data}; or move the data: start Tamis once more with \
         Postgres {data}, save it with `pg_dump -Fc -h SOCKET_FOLDER -U {USER} {DATABASE} -f tamis.dump` (the socket \
         folder and the password are in {dir}), stop Tamis, rename {data_dir}, start Tamis with Postgres {programs} and \
         `pg_restore --clean --if-exists -d {DATABASE}` the dump",
        data_dir = layout.data().display(),
        dir = layout.dir().display(),
    )
}

async fn lock_shared(path: &Path, deadline: Instant) -> Result<File, PostgresError> {
    let io = |source| PostgresError::Io { path: path.into(), source };
    loop {
        let file = open_lock(path).map_err(io)?;
        match file.try_lock_shared() {
            Ok(()) => return Ok(file),
            // the supervisor is stopping the server; the folder may be a new one by the time it is done
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(POLL).await,
            Err(TryLockError::WouldBlock) => return Err(PostgresError::Timeout(PATIENCE, path.into())),
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
    }
}

pub(super) fn open_lock(path: &Path) -> std::io::Result<File> {
    File::options().read(true).write(true).create(true).truncate(false).open(path)
}

/// Whether nobody holds the lock at this moment.
fn is_free(path: &Path) -> Result<bool, PostgresError> {
    let io = |source| PostgresError::Io { path: path.into(), source };
    match open_lock(path).map_err(io)?.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

/// Starts the supervisor away from this process's terminal. The receiver gets one value when it ends:
/// whether it ended well.
fn spawn(tamis: &Path, bin: &Path, layout: &Layout) -> Result<Receiver<bool>, PostgresError> {
    let path = layout.log();
    let log = File::options().create(true).append(true).open(&path);
    let log = log.and_then(|log| Ok((log.try_clone()?, log)));
    let (out, err) = log.map_err(|source| PostgresError::Io { path, source })?;
    let mut child = Command::new(tamis)
        .arg("supervise-postgres")
        .arg("--state")
        .arg(layout.state())
        .arg("--bin")
        .arg(bin)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0) // ctrl-c at the terminal is for Tamis; the supervisor notices that it went
        .spawn()
        .map_err(|source| PostgresError::Io { path: tamis.into(), source })?;
    let (tell, told) = std::sync::mpsc::channel();
    // reaps it, so that no zombie stays behind in a long-lived Tamis
    std::thread::spawn(move || tell.send(child.wait().is_ok_and(|status| status.success())));
    Ok(told)
}

/// How to connect, once the supervisor has written the password and the socket's folder.
fn connect_options(layout: &Layout, database: &str) -> Option<PgConnectOptions> {
    let socket = std::fs::read_to_string(layout.socket_file()).ok()?;
    let password = std::fs::read_to_string(layout.password_file()).ok()?;
    let options = PgConnectOptions::new_without_pgpass().username(USER).password(password.trim());
    Some(options.socket(socket.trim()).port(5432).database(database))
}

async fn create_database(layout: &Layout) -> Result<(), PostgresError> {
    let Some(options) = connect_options(layout, DATABASE) else { return Ok(()) };
    match PgConnection::connect_with(&options).await {
        Ok(_) => return Ok(()),
        // 3D000: there is no such database yet
        Err(sqlx::Error::Database(e)) if e.code().as_deref() == Some("3D000") => {}
        Err(e) => return Err(e.into()),
    }
    let mut admin = PgConnection::connect_with(&options.database("postgres")).await?;
    match sqlx::query("create database tamis").execute(&mut admin).await {
        // 42P04 and 23505: another process was quicker
        Err(sqlx::Error::Database(e)) if matches!(e.code().as_deref(), Some("42P04" | "23505")) => Ok(()),
        done => done.map(|_| ()).map_err(PostgresError::from),
    }
}

fn url(options: &PgConnectOptions, layout: &Layout) -> String {
    let password = std::fs::read_to_string(layout.password_file()).unwrap_or_default();
    let socket = options.get_socket().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let host: String = socket
        .bytes()
        .map(|b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect();
    format!("postgres://{USER}:{}@localhost/{DATABASE}?host={host}", password.trim())
}
