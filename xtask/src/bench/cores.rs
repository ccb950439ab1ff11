//! Which core works for whom. The database is on another machine than the function,
//! and so it has a core of its own here: on a shared one the kernel runs a server in
//! the place of the client that has just asked it, and neither waits as it would.
//!
//! And they stay awake: a virtual machine's core that has nothing to do is given
//! back to the hypervisor, and gets it again a tenth of a millisecond late, twice in
//! each wait for the other core. That is neither the function's nor the template's.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result};
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

/// Turns until nobody asks for it any more, and looks now and then whether that has
/// ended without saying so.
const TURN: &str =
    "while kill -0 $PPID; do i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; done";

/// Keeps the core of each side busy for as long as it lives, with what runs only
/// where nobody else would.
pub(super) struct Awake(Vec<Child>);

impl Awake {
    /// Begins. This process works for [`Side::All`] afterwards.
    ///
    /// # Errors
    ///
    /// `chrt`, of util-linux, can't be started.
    pub(super) fn keep() -> Result<Awake> {
        let mut awake = Awake(Vec::new());
        for side in [Side::Database, Side::Function] {
            work_for(side)?;
            let turns = Command::new("chrt")
                .args(["--idle", "0", "sh", "-c", TURN])
                .stderr(Stdio::null())
                .spawn()
                .context("`chrt`, of the package util-linux, can't be started")?;
            awake.0.push(turns);
        }
        work_for(Side::All)?;
        Ok(awake)
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // It may have ended: then there is nothing to stop.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
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
