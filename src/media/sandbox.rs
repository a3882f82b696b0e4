//! Runs a decoder on untrusted bytes with as little power as the system lets us take away.
//!
//! Everywhere: resource limits, a cleared environment, no standard input, captured output with a
//! cap, and a wall-clock watchdog that kills. Linux adds Landlock (the child reads system
//! libraries, the decoder's own folder and the named inputs, writes only the output folder, opens
//! no TCP connection), a seccomp deny list (no sockets, ptrace, mounts, signals to others, ...) and
//! death with the parent. Landlock is best effort on older kernels; macOS has the first part only.

use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// What one decoder process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Wall-clock time; the process is killed after it.
    pub wall: Duration,
    /// CPU time in seconds over all its threads.
    pub cpu_seconds: u64,
    /// Address space in bytes (not resident memory: thread stacks and mapped libraries count).
    pub address_space_bytes: u64,
    /// Largest file it may write, in bytes.
    pub output_bytes: u64,
    /// Largest input file, in bytes.
    pub input_bytes: u64,
    /// Largest picture, in pixels.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 60 s wall, 60 s CPU, 3 GiB address space, 64 MiB output, 4 GiB input, 36 megapixels (8K).
    fn default() -> Self {
        Self {
            wall: Duration::from_secs(60),
            cpu_seconds: 60,
            address_space_bytes: 3 << 30,
            output_bytes: 64 << 20,
            input_bytes: 4 << 30,
            max_pixels: 36_000_000,
        }
    }
}

/// How much of the confinement this system enforces; for `tamis doctor`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enforcement {
    pub landlock: bool,
    pub seccomp: bool,
}

impl Enforcement {
    /// Asks the kernel; costs one system call.
    pub fn probe() -> Self {
        Self { landlock: platform::landlock_works(), seccomp: platform::seccomp_works() }
    }
}

/// Bytes of standard error kept: enough for every dump of a batch, not enough to fill memory.
const STDERR_CAP: u64 = 1 << 20;

pub(crate) struct Confined<'a> {
    pub(crate) program: &'a Path,
    pub(crate) args: Vec<OsString>,
    /// Files the child may read.
    pub(crate) read: &'a [PathBuf],
    /// The one folder the child may write into.
    pub(crate) write: Option<&'a Path>,
    pub(crate) limits: &'a Limits,
    /// More bytes than this on standard output end the process.
    pub(crate) stdout_cap: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Exited(i32),
    Signalled(i32),
    TimedOut,
    TooMuchOutput,
}

#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) ending: Ending,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Confined<'_> {
    /// Starts the child, waits for its end and returns what it said.
    ///
    /// # Errors
    /// Only when the child could not be started; how it ended is in the result.
    pub(crate) fn run(self) -> io::Result<Finished> {
        let mut command = Command::new(self.program);
        command
            .args(&self.args)
            .env_clear()
            // glibc reserves 64 MiB of address space a thread otherwise, which the limit would count.
            .env("MALLOC_ARENA_MAX", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let confinement = platform::Confinement::prepare(self.program, self.read, self.write)?;
        let rlimits = rlimits(self.limits);
        // SAFETY: between fork and exec the closure makes only raw system calls on values prepared
        // here, before the fork; it neither allocates nor takes a lock (an error is built from
        // errno alone). Tested by `tests::the_child_is_confined`.
        unsafe {
            command.pre_exec(move || {
                for (resource, value) in rlimits {
                    set_rlimit(resource, value)?;
                }
                confinement.apply()
            });
        }
        let child = command.spawn()?;
        drop(command);
        watch(child, self.limits.wall, self.stdout_cap)
    }
}

fn watch(mut child: Child, wall: Duration, stdout_cap: u64) -> io::Result<Finished> {
    let deadline = Instant::now() + wall;
    let overflow = Arc::new(AtomicBool::new(false));
    let stdout = child.stdout.take().map(|pipe| {
        let overflow = Arc::clone(&overflow);
        thread::spawn(move || read_capped(pipe, stdout_cap, &overflow))
    });
    // Standard error is drained to its end, so that a chatty child does not block, but kept capped.
    let stderr = child.stderr.take().map(|mut pipe| {
        thread::spawn(move || {
            let mut kept = Vec::new();
            let _ = (&mut pipe).take(STDERR_CAP).read_to_end(&mut kept);
            let _ = io::copy(&mut pipe, &mut io::sink());
            kept
        })
    });
    let (status, killed) = wait(&mut child, deadline, &overflow)?;
    let ending = match killed {
        Some(ending) => ending,
        None => ending_of(status),
    };
    let join = |t: Option<thread::JoinHandle<Vec<u8>>>| t.and_then(|t| t.join().ok()).unwrap_or_default();
    let stdout = join(stdout);
    let stderr = String::from_utf8_lossy(&join(stderr)).into_owned();
    // The reader may have met the cap in the instant in which the child ended by itself.
    let ending = if overflow.load(Ordering::Acquire) { Ending::TooMuchOutput } else { ending };
    Ok(Finished { ending, stdout, stderr })
}

/// Waits by polling with growing pauses (1 to 10 ms): short beside the cost of a process start.
fn wait(
    child: &mut Child,
    deadline: Instant,
    overflow: &AtomicBool,
) -> io::Result<(ExitStatus, Option<Ending>)> {
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status, None));
        }
        let ending = if overflow.load(Ordering::Acquire) {
            Some(Ending::TooMuchOutput)
        } else if Instant::now() >= deadline {
            Some(Ending::TimedOut)
        } else {
            None
        };
        if ending.is_some() {
            child.kill()?;
            return Ok((child.wait()?, ending));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn ending_of(status: ExitStatus) -> Ending {
    match (status.code(), status.signal()) {
        (_, Some(libc::SIGXCPU)) => Ending::TimedOut,
        (_, Some(libc::SIGXFSZ)) => Ending::TooMuchOutput,
        (_, Some(signal)) => Ending::Signalled(signal),
        (code, None) => Ending::Exited(code.unwrap_or(-1)),
    }
}

fn read_capped(pipe: impl Read, cap: u64, overflow: &AtomicBool) -> Vec<u8> {
    let mut kept = Vec::new();
    let _ = pipe.take(cap.saturating_add(1)).read_to_end(&mut kept);
    if kept.len() as u64 > cap {
        overflow.store(true, Ordering::Release);
        kept.truncate(cap as usize);
    }
    kept
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
type Resource = libc::c_int;

fn rlimits(limits: &Limits) -> [(Resource, u64); 5] {
    [
        (libc::RLIMIT_AS, limits.address_space_bytes),
        (libc::RLIMIT_CPU, limits.cpu_seconds),
        (libc::RLIMIT_FSIZE, limits.output_bytes),
        (libc::RLIMIT_NOFILE, 128),
        (libc::RLIMIT_CORE, 0),
    ]
}

fn set_rlimit(resource: Resource, value: u64) -> io::Result<()> {
    // The hard limit for CPU time is one second later, so that SIGXCPU comes first and the cause
    // can be told from any other kill.
    let hard = if resource == libc::RLIMIT_CPU { value + 1 } else { value };
    let limit = libc::rlimit { rlim_cur: value as libc::rlim_t, rlim_max: hard as libc::rlim_t };
    // SAFETY: `limit` is a valid, initialised struct that outlives the call.
    // Tested by `tests::cpu_time_and_output_are_limited`.
    if unsafe { libc::setrlimit(resource, &limit) } == 0 {
        return Ok(());
    }
    // macOS refuses RLIMIT_AS below what is already mapped; the wall clock still holds there.
    if cfg!(target_os = "macos") && resource == libc::RLIMIT_AS {
        return Ok(());
    }
    Err(io::Error::last_os_error())
}

#[cfg(target_os = "linux")]
#[path = "sandbox_linux.rs"]
mod platform;

#[cfg(not(target_os = "linux"))]
mod platform {
    //! No Landlock and no seccomp here: limits, protocol and format lists are what there is.
    use std::{
        io,
        path::{Path, PathBuf},
    };

    pub(super) struct Confinement;

    impl Confinement {
        pub(super) fn prepare(_: &Path, _: &[PathBuf], _: Option<&Path>) -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) fn apply(&self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(super) fn landlock_works() -> bool {
        false
    }

    pub(super) fn seccomp_works() -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, read: &[PathBuf], write: Option<&Path>, limits: &Limits) -> Finished {
        let args = vec!["-c".into(), script.into()];
        Confined { program: Path::new("/bin/sh"), args, read, write, limits, stdout_cap: 1000 }
            .run()
            .expect("a shell starts")
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_child_is_confined() {
        assert!(
            Enforcement::probe().landlock,
            "this kernel has no Landlock: the decoder would run unconfined"
        );
        let dir = tempfile::tempdir().unwrap();
        let (open, secret) = (dir.path().join("open"), dir.path().join("secret"));
        std::fs::write(&open, "fine").unwrap();
        std::fs::write(&secret, "hidden").unwrap();
        let out = dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        let limits = Limits::default();
        let read = [open.clone()];
        let run = |script: String| shell(&script, &read, Some(&out), &limits);

        assert_eq!(run(format!("cat {}", open.display())).stdout, b"fine");
        let refused = run(format!("cat {}", secret.display()));
        assert!(refused.stdout.is_empty(), "the child read a file it was not given");
        assert!(refused.stderr.contains("Permission denied"), "{}", refused.stderr);
        assert!(run("cat /etc/passwd".into()).stdout.is_empty());

        assert_eq!(run(format!("echo x > {}/new", out.display())).ending, Ending::Exited(0));
        assert!(out.join("new").exists());
        assert_ne!(run(format!("echo x > {}/elsewhere", dir.path().display())).ending, Ending::Exited(0));
        assert_ne!(run(format!("echo x > {}", open.display())).ending, Ending::Exited(0));
        assert_eq!(std::fs::read(&open).unwrap(), b"fine");

        // A signal to another process is refused, and nothing of the environment is inherited.
        assert_ne!(run(format!("kill -0 {}", std::process::id())).ending, Ending::Exited(0));
        assert!(!String::from_utf8_lossy(&run("export".into()).stdout).contains("CARGO"));
    }

    #[test]
    fn a_child_that_takes_too_long_is_killed() {
        let limits = Limits { wall: Duration::from_millis(200), ..Limits::default() };
        assert_eq!(shell("while :; do :; done", &[], None, &limits).ending, Ending::TimedOut);
        // Closing its outputs does not hide it from the watchdog.
        assert_eq!(shell("exec >&- 2>&-; while :; do :; done", &[], None, &limits).ending, Ending::TimedOut);
    }

    #[test]
    fn cpu_time_and_output_are_limited() {
        let limits = Limits { cpu_seconds: 1, ..Limits::default() };
        assert_eq!(shell("while :; do :; done", &[], None, &limits).ending, Ending::TimedOut);

        let flood = shell("while :; do echo 0123456789; done", &[], None, &Limits::default());
        assert_eq!((flood.ending, flood.stdout.len()), (Ending::TooMuchOutput, 1000));
    }
}
