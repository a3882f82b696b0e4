//! The Linux part of the sandbox: Landlock and seccomp rules are built in the parent; the child
//! only applies them with raw system calls, which is all that is safe between fork and exec.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, Scope, path_beneath_rules,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

/// The newest Landlock version whose rights we name; older kernels enforce what they know.
const LANDLOCK: ABI = ABI::V6;

/// Where programs find their libraries. Home-grown prefixes are reached through the decoder's own
/// folder and the `lib` beside it.
const SYSTEM: [&str; 8] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/nix/store",
    "/home/linuxbrew/.linuxbrew",
];

pub(super) struct Confinement {
    /// `None` when the kernel has no Landlock.
    landlock: Option<OwnedFd>,
    /// Empty on processors for which the filter has no system-call table.
    seccomp: BpfProgram,
    parent: libc::pid_t,
}

impl Confinement {
    pub(super) fn prepare(program: &Path, read: &[PathBuf], write: Option<&Path>) -> io::Result<Self> {
        Ok(Self {
            landlock: ruleset(program, read, write).map_err(io::Error::other)?,
            seccomp: deny_list().map_err(io::Error::other)?,
            parent: std::process::id() as libc::pid_t,
        })
    }

    /// Runs in the child, after fork and before exec: system calls only.
    pub(super) fn apply(&self) -> io::Result<()> {
        // SAFETY: plain system calls with integer arguments and, for seccomp, a pointer to a
        // program that lives as long as `self`. Tested by `sandbox::tests::the_child_is_confined`.
        unsafe {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL).into())?;
            // The parent may have died before the line above.
            if libc::getppid() != self.parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            if let Some(fd) = &self.landlock {
                check(libc::syscall(libc::SYS_landlock_restrict_self, fd.as_raw_fd(), 0))?;
            }
            if !self.seccomp.is_empty() {
                let program = libc::sock_fprog {
                    len: self.seccomp.len() as u16,
                    filter: self.seccomp.as_ptr().cast_mut().cast(),
                };
                let mode = libc::SECCOMP_SET_MODE_FILTER;
                check(libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program))?;
            }
        }
        Ok(())
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn ruleset(program: &Path, read: &[PathBuf], write: Option<&Path>) -> Result<Option<OwnedFd>, RulesetError> {
    let read_only = AccessFs::ReadFile | AccessFs::ReadDir;
    // The folder of the real binary (a wheel's, a user's own build) and the `lib` next to `bin`.
    let real = program.canonicalize().unwrap_or_else(|_| program.to_path_buf());
    let own = real.parent().map(Path::to_path_buf);
    let own_lib = own.as_deref().and_then(Path::parent).map(|p| p.join("lib"));
    let created = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read_only | AccessFs::Execute))?
        .add_rules(path_beneath_rules(own.iter().chain(&own_lib), read_only | AccessFs::Execute))?
        .add_rules(path_beneath_rules(["/dev/urandom"], AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::ReadFile | AccessFs::WriteFile))?
        .add_rules(path_beneath_rules(read, AccessFs::ReadFile))?
        .add_rules(path_beneath_rules(write, AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate))?;
    Ok(created.into())
}

/// System calls that no decoder needs; each answers EPERM.
fn deny_list() -> Result<BpfProgram, seccompiler::BackendError> {
    let Some(arch) = target_arch() else { return Ok(Vec::new()) };
    let denied = [
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
        libc::SYS_tkill,
        libc::SYS_pidfd_open,
        libc::SYS_pidfd_send_signal,
        libc::SYS_rt_sigqueueinfo,
        libc::SYS_mount,
        libc::SYS_umount2,
        libc::SYS_pivot_root,
        libc::SYS_chroot,
        libc::SYS_unshare,
        libc::SYS_setns,
        libc::SYS_bpf,
        libc::SYS_perf_event_open,
        libc::SYS_userfaultfd,
        libc::SYS_keyctl,
        libc::SYS_add_key,
        libc::SYS_request_key,
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_init_module,
        libc::SYS_finit_module,
        libc::SYS_kexec_load,
    ];
    SeccompFilter::new(
        denied.into_iter().map(|call| (call, Vec::new())).collect(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::EPERM as u32),
        arch,
    )?
    .try_into()
}

fn target_arch() -> Option<TargetArch> {
    if cfg!(target_arch = "x86_64") {
        Some(TargetArch::x86_64)
    } else if cfg!(target_arch = "aarch64") {
        Some(TargetArch::aarch64)
    } else {
        None
    }
}

pub(super) fn landlock_works() -> bool {
    matches!(ruleset(Path::new("/bin/sh"), &[], None), Ok(Some(_)))
}

pub(super) fn seccomp_works() -> bool {
    target_arch().is_some()
}
