//! Dying on purpose, for the crash matrix in `tests/`.
//!
//! Every step of I/O that changes something outside this process passes through
//! one of a handful of functions, and each of those calls [`after`]. So a new
//! step is in the matrix without anybody listing it. Without the feature
//! `crash-steps`, which no shipped binary has, nothing of it is compiled in.

/// Says that a step of I/O is done: the process may die here.
///
/// With the feature, the step with the number in `SYM_CRASH_AFTER_STEP` aborts
/// the process, without unwinding, and names itself on standard error first.
#[cfg(feature = "crash-steps")]
#[expect(
    clippy::print_stderr,
    reason = "the test reads it, and nothing else would get out before the abort"
)]
pub(crate) fn after(step: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CRASH_AFTER: OnceLock<Option<u64>> = OnceLock::new();
    static STEPS: AtomicU64 = AtomicU64::new(0);
    let read = || std::env::var("SYM_CRASH_AFTER_STEP").ok()?.parse().ok();
    let Some(crash_after) = *CRASH_AFTER.get_or_init(read) else {
        return;
    };
    if STEPS.fetch_add(1, Ordering::Relaxed) + 1 == crash_after {
        let line = step.lines().next().unwrap_or_default();
        eprintln!("crash after step {crash_after}: {line}");
        std::process::abort();
    }
}

/// Nothing: see the feature `crash-steps`.
#[cfg(not(feature = "crash-steps"))]
#[inline(always)]
pub(crate) fn after(_step: &str) {}
