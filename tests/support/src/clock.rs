//! A wall clock that a test can set, for one process.
//!
//! A library that is loaded before all others adds to the system's wall clock what stands
//! in a file; the monotonic clock goes on as it is, as in a sandbox that was frozen.

use std::fs;
use std::io::Write as _;
use std::process::Command;

use anyhow::ensure;
use tempfile::TempDir;

const LIBRARY: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (clock == CLOCK_REALTIME && result == 0) {
        FILE *file = fopen(getenv("SYM_TEST_CLOCK"), "r");
        long seconds = 0;
        if (file != NULL) {
            if (fscanf(file, "%ld", &seconds) == 1) time->tv_sec += seconds;
            fclose(file);
        }
    }
    return result;
}
"#;

/// A clock of a process that was started with [`Clock::env`].
pub struct Clock {
    directory: TempDir,
}

impl Clock {
    /// Makes it. It needs a C compiler, as the function's own build does.
    ///
    /// # Errors
    ///
    /// The compiler is missing.
    pub fn new() -> anyhow::Result<Clock> {
        let directory = tempfile::Builder::new().prefix("sym-clock-").tempdir()?;
        let source = directory.path().join("clock.c");
        fs::write(&source, LIBRARY)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .arg(directory.path().join("clock.so"))
            .arg(source)
            .output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{errors}");
        Ok(Clock { directory })
    }

    /// The variables of the process.
    pub fn env(&self) -> [(&'static str, String); 2] {
        let path = |name| self.directory.path().join(name).display().to_string();
        [
            ("LD_PRELOAD", path("clock.so")),
            ("SYM_TEST_CLOCK", path("offset")),
        ]
    }

    /// Sets it so many seconds before or behind the system's.
    ///
    /// # Errors
    ///
    /// The file can't be written.
    pub fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let directory = self.directory.path();
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        write!(file, "{seconds}")?;
        file.persist(directory.join("offset"))?;
        Ok(())
    }
}
