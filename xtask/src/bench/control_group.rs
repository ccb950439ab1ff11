//! A control group with as much memory as Lambda's smallest function has. What
//! the kernel charges it for is more than what a process has mapped: files that it
//! is the first to read, sealed memory, and the kernel's own for it. Who needs more
//! is killed.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
use tempfile::TempDir;

/// In bytes. Source: AWS Lambda quotas, "Function memory allocation".
const LEAST: u64 = 128 << 20;

/// Removed when it is dropped, which needs its processes to have ended.
pub(super) struct ControlGroup {
    directory: PathBuf,
    /// The file that has the most that it was charged for.
    peak: &'static str,
    scripts: TempDir,
}

impl ControlGroup {
    /// An empty one. `None` where the kernel has none, or they aren't ours to make.
    pub(super) fn new() -> Result<Option<ControlGroup>> {
        let name = format!("sym-bench-{}", std::process::id());
        // Of the first version, and of the second.
        for (parent, limit, peak) in [
            (
                "/sys/fs/cgroup/memory",
                "memory.limit_in_bytes",
                "memory.max_usage_in_bytes",
            ),
            ("/sys/fs/cgroup", "memory.max", "memory.peak"),
        ] {
            let directory = Path::new(parent).join(&name);
            if fs::create_dir(&directory).is_err() {
                continue;
            }
            let group = ControlGroup {
                directory,
                peak,
                scripts: tempfile::tempdir()?,
            };
            let limited = fs::write(group.directory.join(limit), LEAST.to_string());
            if limited.is_ok() && group.directory.join(peak).exists() {
                return Ok(Some(group));
            }
        }
        Ok(None)
    }

    /// A program that is `program` in this group. What of its file is in memory is
    /// forgotten, so that reading it counts.
    pub(super) fn enter(&self, program: &Path) -> Result<PathBuf> {
        let file = File::open(program)?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        let script = self.scripts.path().join("bootstrap");
        let members = self.directory.join("cgroup.procs");
        let text = format!(
            "#!/bin/sh\necho $$ > {} && exec {} \"$@\"\n",
            members.display(),
            program.display()
        );
        fs::write(&script, text)?;
        fs::set_permissions(&script, Permissions::from_mode(0o755))?;
        Ok(script)
    }

    /// The most that it was charged for, in bytes.
    pub(super) fn peak_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(self.directory.join(self.peak))?;
        text.trim().parse().context("a size in bytes")
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        // In the way of nobody, where that fails.
        let _ = fs::remove_dir(&self.directory);
    }
}
