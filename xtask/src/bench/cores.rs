//! Which core works for whom. The database is on another machine than the function,
//! and so it has a core of its own here: on a shared one the kernel runs a server in
//! the place of the client that has just asked it, and neither waits as it would.

use std::fs;
use std::sync::OnceLock;

use anyhow::Result;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// Who is about to be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The database.
    Database,
    /// The function, and the doubles, which work while it waits.
    Function,
    /// Whoever, on any core.
    All,
}

/// Has this process, and all that it starts from now on, work for one side: each of
/// its threads, as the one that starts processes is none of ours. Nothing changes
/// where there is one core.
///
/// # Errors
///
/// The kernel refuses.
pub(super) fn work_for(side: Side) -> Result<()> {
    static WHOLE: OnceLock<nix::Result<CpuSet>> = OnceLock::new();
    let this = Pid::from_raw(0);
    let whole = (*WHOLE.get_or_init(|| sched_getaffinity(this)))?;
    let cores: Vec<usize> = (0..CpuSet::count())
        .filter(|core| whole.is_set(*core).unwrap_or(false))
        .collect();
    let [first, .., last] = cores.as_slice() else {
        return Ok(());
    };
    let wanted: &[usize] = match side {
        Side::Database => &[*last],
        Side::Function => &[*first],
        Side::All => &cores,
    };
    let mut set = CpuSet::new();
    for core in wanted {
        set.set(*core)?;
    }
    for thread in fs::read_dir("/proc/self/task")? {
        let id = thread?.file_name().to_string_lossy().parse()?;
        sched_setaffinity(Pid::from_raw(id), &set)?;
    }
    Ok(())
}
