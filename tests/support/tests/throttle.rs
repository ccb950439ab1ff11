//! A throttled process is stopped again and again, and goes on afterwards.

use std::fs;
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use sym_test_support::throttle::Throttle;

/// Ended with the test, whatever comes of it.
struct Busy(Child);

impl Drop for Busy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kernel's letter for what a process does: `R`uns, s`T`opped.
fn is_in_state(process: &Busy, letter: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.0.id())).expect("it runs");
    let (_, rest) = stat.rsplit_once(") ").expect("has a name in parentheses");
    rest.starts_with(letter)
}

#[track_caller]
fn wait_for_state(process: &Busy, letter: &str) {
    let begun = Instant::now();
    while !is_in_state(process, letter) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it never was in state {letter}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_busy_process_is_stopped_until_the_throttle_is_dropped() {
    let busy = Command::new("sh")
        .args(["-c", "while :; do :; done"])
        .spawn();
    let busy = Busy(busy.expect("there is a shell"));
    let throttle = Throttle::as_lambda(busy.0.id(), 128).expect("is ours");
    for _ in 0..3 {
        wait_for_state(&busy, "T");
        wait_for_state(&busy, "R");
    }
    drop(throttle);
    wait_for_state(&busy, "R");
}

#[test]
fn there_is_no_throttle_without_a_process() {
    let ended = Command::new("true").spawn().expect("starts");
    let id = ended.id();
    let mut ended = Busy(ended);
    ended.0.wait().expect("ends");
    assert!(Throttle::as_lambda(id, 128).is_err());
}
