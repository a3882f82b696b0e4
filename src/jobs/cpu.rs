//! What processors spend on a piece of work: of the thread that does it and of the pool that it hands parts to. Other
//! work that the pool does at the same time is counted too, so it is what the work cost at most.

/// Runs `work` on this thread; its result and the CPU seconds, user and system, of this thread and of rayon's pool.
pub(super) fn counted<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let before = spent();
    let done = work();
    (done, (spent() - before).max(0.0))
}

fn spent() -> f64 {
    thread() + rayon::broadcast(|_| thread()).into_iter().sum::<f64>()
}

/// CPU seconds of this thread since it began.
fn thread() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is one that every supported system has, and `time` outlives the call.
    let answer = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if answer != 0 {
        return 0.0;
    }
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spin() -> u64 {
        (0..60_000_000u64).fold(1, |a, b| std::hint::black_box(a.wrapping_mul(31) ^ b))
    }

    #[test]
    fn work_of_this_thread_and_of_the_pool_is_counted_and_sleep_is_not() {
        let (_, asleep) = counted(|| std::thread::sleep(std::time::Duration::from_millis(50)));
        let (_, here) = counted(spin);
        let (_, both) = counted(|| rayon::join(spin, spin));
        assert!(here > 0.0 && asleep < here, "{asleep} {here}");
        assert!(both > 1.2 * here, "{here} {both}");
    }
}
