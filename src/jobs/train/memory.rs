//! How much memory a training may take, said and checked before it starts.

use crate::domain::Note;
use crate::jobs::JobError;
use crate::jobs::progress::Progress;

/// Bytes that the machine has free for a process; unknown where the system does not say.
fn free() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| 1024 * kib)
}

fn mib(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// Says how much is needed in the job's log. `held`: bytes of it that are held already; `limit_mib`: the setting,
/// 0 for what is free.
///
/// # Errors
/// More is needed than may be taken.
pub(super) async fn check(
    needed: u64,
    held: u64,
    limit_mib: u64,
    progress: &Progress,
) -> Result<u64, JobError> {
    progress.log("info", Note::new("memory_needed").with("mib", mib(needed))).await?;
    let most = match limit_mib {
        0 => free().map(|f| f + held),
        limit => Some(limit << 20),
    };
    match most {
        Some(most) if needed > most => {
            Err(JobError::failed("memory_short", &[("mib", &mib(needed)), ("most", &mib(most))]))
        }
        _ => Ok(mib(needed)),
    }
}
