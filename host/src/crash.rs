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
/// The one in `SYM_PANIC_AFTER_STEP` panics.
#[cfg(feature = "crash-steps")]
#[expect(
    clippy::print_stderr,
    reason = "the test reads it, and nothing else would get out before the abort"
)]
pub(crate) fn after(step: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static CRASH_AND_PANIC: OnceLock<[Option<u64>; 2]> = OnceLock::new();
    static STEPS: AtomicU64 = AtomicU64::new(0);
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let read = || ["SYM_CRASH_AFTER_STEP", "SYM_PANIC_AFTER_STEP"].map(number);
    let [crash, panic] = *CRASH_AND_PANIC.get_or_init(read);
    let this = STEPS.fetch_add(1, Ordering::Relaxed) + 1;
    let line = step.lines().next().unwrap_or_default();
    if crash == Some(this) {
        eprintln!("crash after step {this}: {line}");
        std::process::abort();
    }
    assert!(panic != Some(this), "asked to panic after `{line}`");
}

/// Nothing: see the feature `crash-steps`.
#[cfg(not(feature = "crash-steps"))]
#[inline(always)]
pub(crate) fn after(_step: &str) {}
