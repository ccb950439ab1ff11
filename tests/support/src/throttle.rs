//! A share of a CPU for a process, as a small Lambda function has it.
//!
//! Lambda gives a function CPU in proportion to its memory: one vCPU at 1,769 MB,
//! so 128 MB have 7.2 % of one. There it is a quota of the kernel's; here the
//! process is stopped for the rest of each period in which it has used its
//! share, which needs no control groups and no privileges.
//!
//! Source: AWS Lambda developer guide, "Configure Lambda function memory".

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// As long as the kernel's own periods are by default.
const PERIOD: Duration = Duration::from_millis(100);

/// How often is looked how much was used.
const INTERVAL: Duration = Duration::from_micros(500);

/// A process that gets a share of a CPU, until this is dropped.
pub struct Throttle {
    process: Pid,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Throttle {
    /// The share of a function with so many megabytes.
    ///
    /// # Errors
    ///
    /// There is no such process, or it isn't ours to stop.
    pub fn as_lambda(process_id: u32, megabytes: u32) -> anyhow::Result<Throttle> {
        Throttle::start(process_id, f64::from(megabytes) / 1769.0)
    }

    /// This share of one CPU.
    ///
    /// # Errors
    ///
    /// As for [`Throttle::as_lambda`].
    pub fn start(process_id: u32, share: f64) -> anyhow::Result<Throttle> {
        let process = Pid::from_raw(process_id.cast_signed());
        let clock = clock_getcpuclockid(process).context("there is no such process")?;
        kill(process, Signal::SIGCONT).context("the process can't be stopped")?;
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&is_over);
        let thread = thread::Builder::new()
            .name("throttle".to_owned())
            .spawn(move || throttle(process, clock, PERIOD.mul_f64(share), &ends))?;
        Ok(Throttle {
            process,
            is_over,
            thread: Some(thread),
        })
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = kill(self.process, Signal::SIGCONT);
    }
}

/// Lets the process use `quota` in each period. What it uses beyond that, since
/// it is looked at only now and then, is taken off the next.
fn throttle(process: Pid, clock: ClockId, quota: Duration, is_over: &AtomicBool) {
    // An ended process uses nothing any more.
    let used = || clock_gettime(clock).map_or(Duration::MAX, Duration::from);
    let mut allowed = used();
    let mut begun = Instant::now();
    while !is_over.load(Ordering::Relaxed) {
        allowed = allowed.saturating_add(quota);
        if used() < allowed && kill(process, Signal::SIGCONT).is_err() {
            return;
        }
        while used() < allowed && begun.elapsed() < PERIOD {
            thread::sleep(INTERVAL);
        }
        if used() >= allowed && kill(process, Signal::SIGSTOP).is_err() {
            return;
        }
        thread::sleep(PERIOD.saturating_sub(begun.elapsed()));
        // What a waiting process doesn't use is not kept for later.
        allowed = allowed.min(used());
        begun = Instant::now();
    }
}
