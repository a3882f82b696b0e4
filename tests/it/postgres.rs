//! The embedded Postgres with the real server and the real supervisor process: starts, is shared, goes
//! when the last user goes, and heals after every kind of kill.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tamis::native::postgres::{EmbeddedPostgres, PostgresError};
use tamis::native::{Native, NativeSettings};

const TAMIS: &str = env!("CARGO_BIN_EXE_tamis");

async fn start(state: &Path) -> EmbeddedPostgres {
    let native = Native::resolve(&NativeSettings::default());
    EmbeddedPostgres::start_with(&native, state, Path::new(TAMIS)).await.expect("starts")
}

async fn ask(url: &str, sql: &'static str) -> String {
    let mut connection = PgConnection::connect(url).await.expect("connects");
    sqlx::query_scalar(sql).fetch_one(&mut connection).await.expect("answers")
}

/// The pid of the server, by its own file.
pub(crate) fn server(state: &Path) -> i32 {
    let text = std::fs::read_to_string(state.join("postgres/cluster/data/postmaster.pid")).expect("runs");
    text.lines().next().and_then(|line| line.parse().ok()).expect("a pid")
}

pub(crate) fn signal(sign: &str, pid: &str) -> bool {
    let status = Command::new("kill").args([sign, pid]).stderr(Stdio::null()).status();
    status.is_ok_and(|s| s.success())
}

/// Waits for something that must come soon; the long limit is for busy machines.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn gone(pid: i32) {
    wait_until("the server goes away", || !signal("-0", &pid.to_string()));
}

fn state() -> (tempfile::TempDir, PathBuf) {
    let tmp = tempfile::tempdir().expect("a folder");
    let state = tmp.path().join("state");
    (tmp, state)
}

/// The supervisors of a state directory (by their command lines, Linux only).
fn supervisors(state: &Path) -> Vec<String> {
    let output = Command::new("ps").args(["-eo", "pid=,args="]).output().expect("ps runs");
    let state = state.to_string_lossy().into_owned();
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| line.contains("supervise-postgres") && line.contains(&state))
        .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn is_shared_and_goes_with_its_last_user() {
    let (_tmp, state) = state();
    let first = start(&state).await;
    assert_eq!(ask(first.url(), "select current_database() || ' ' || current_user").await, "tamis tamis");
    assert_eq!(ask(first.url(), "show server_encoding").await, "UTF8");
    assert_eq!(ask(first.url(), "show listen_addresses").await, "", "no network");
    let pid = server(&state);

    let second = start(&state).await;
    assert_eq!(server(&state), pid, "one server for both");
    assert_eq!(supervisors(&state).len(), 1);
    drop(first);
    std::thread::sleep(Duration::from_millis(700)); // the supervisor has looked at the lock by now
    assert_eq!(ask(second.url(), "select 'still here'").await, "still here");
    drop(second);
    gone(pid);

    let again = start(&state).await;
    assert_ne!(server(&state), pid);
    assert_eq!(ask(again.url(), "select 'again'").await, "again");
}

#[tokio::test]
async fn needs_the_password() {
    let (_tmp, state) = state();
    let postgres = start(&state).await;
    let secret = std::fs::read_to_string(state.join("postgres/password")).expect("is there");
    assert!(postgres.url().contains(secret.trim()));
    let refused = PgConnection::connect(&postgres.url().replace(secret.trim(), "wrong")).await;
    assert!(matches!(refused, Err(sqlx::Error::Database(_))), "{refused:?}");
}

#[tokio::test]
async fn many_may_start_at_once() {
    let (_tmp, state) = state();
    let all = futures::future::join_all((0..6).map(|_| start(&state))).await;
    assert_eq!(ask(all[5].url(), "select 'one'").await, "one");
    wait_until("one supervisor is left", || supervisors(&state).len() == 1);
}

/// A process of its own that starts the database and holds it: this test, run again.
#[tokio::test]
async fn holder() {
    let Some(state) = std::env::var_os("TAMIS_TEST_HOLD") else { return };
    let state = PathBuf::from(state);
    let postgres = start(&state).await;
    let mut connection = PgConnection::connect(postgres.url()).await.expect("connects");
    for sql in ["create table t (x text)", "insert into t values ('kept')"] {
        sqlx::query(sql).execute(&mut connection).await.expect("works");
    }
    std::fs::write(state.join("held"), "").expect("is writable");
    std::thread::sleep(Duration::from_secs(600));
}

#[tokio::test]
async fn a_killed_user_leaves_nothing_running_and_loses_nothing() {
    let (_tmp, state) = state();
    let mut holder = Command::new(std::env::current_exe().expect("has a path"))
        .args(["postgres::holder", "--exact"])
        .env("TAMIS_TEST_HOLD", &state)
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    wait_until("the holder has it", || state.join("held").exists());
    let pid = server(&state);
    holder.kill().expect("dies"); // SIGKILL
    holder.wait().expect("is dead");
    gone(pid);
    wait_until("the supervisor ends", || supervisors(&state).is_empty());

    let postgres = start(&state).await;
    assert_eq!(ask(postgres.url(), "select x from t").await, "kept");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_killed_supervisor_takes_the_server_along_and_both_come_back() {
    let (_tmp, state) = state();
    let postgres = start(&state).await;
    let pid = server(&state);
    let mut connection = PgConnection::connect(postgres.url()).await.expect("connects");
    sqlx::query("create table t as select 'kept' x").execute(&mut connection).await.expect("works");
    assert!(signal("-9", &supervisors(&state)[0]));
    gone(pid);
    // the user that is still there notices
    let mut connected = None;
    for _ in 0..600 {
        match PgConnection::connect(postgres.url()).await {
            Ok(connection) => connected = Some(connection),
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
        if connected.is_some() {
            break;
        }
    }
    assert!(connected.is_some(), "the server came back");
    assert_eq!(ask(postgres.url(), "select x from t").await, "kept");
}

#[tokio::test]
async fn an_interrupted_initialisation_is_healed() {
    let (_tmp, state) = state();
    let leftover = state.join("postgres/cluster/data.tmp123");
    std::fs::create_dir_all(&leftover).expect("made");
    std::fs::write(leftover.join("PG_VERSION"), "1").expect("made");
    std::fs::write(state.join("postgres/password"), "from before").expect("made");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o711);
        std::fs::set_permissions(state.join("postgres/cluster"), open).expect("set");
    }
    let postgres = start(&state).await;
    assert_eq!(ask(postgres.url(), "select 'healed'").await, "healed");
    assert!(!leftover.exists());
}

#[tokio::test]
async fn data_of_another_major_version_are_left_alone_with_advice() {
    let (_tmp, state) = state();
    let data = state.join("postgres/cluster/data");
    std::fs::create_dir_all(&data).expect("made");
    std::fs::write(data.join("PG_VERSION"), "9.6\n").expect("made");
    let native = Native::resolve(&NativeSettings::default());
    let refused = EmbeddedPostgres::start_with(&native, &state, Path::new(TAMIS)).await;
    let Err(PostgresError::Failed(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("pg_dump") && why.contains("TAMIS_POSTGRES_BIN") && why.contains("9.6"), "{why}");
    assert_eq!(std::fs::read_to_string(data.join("PG_VERSION")).expect("is there"), "9.6\n");
}

#[tokio::test]
async fn a_long_state_path_works() {
    let (tmp, _) = state();
    let state = tmp.path().join("a-rather-long-name/".repeat(6)).join("state");
    let postgres = start(&state).await;
    assert_eq!(ask(postgres.url(), "select 'ok'").await, "ok");
}

#[tokio::test]
async fn no_programs_is_said_plainly() {
    let (_tmp, state) = state();
    let none = EmbeddedPostgres::start(&Native::default(), &state).await;
    assert!(matches!(none, Err(PostgresError::NotFound)), "{none:?}");
    let empty = Native { postgres_bin: Some(state.clone()), ..Native::default() };
    let none = EmbeddedPostgres::start_with(&empty, &state, Path::new(TAMIS)).await;
    let Err(PostgresError::Failed(why)) = none else { panic!("{none:?}") };
    assert!(why.contains("postgres"), "{why}");
}
