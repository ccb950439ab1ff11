//! A server's directory, which is removed even if nobody is left to do it.
//!
//! Who makes one holds a lock in it. A process that was killed leaves its
//! directories behind without: the next to make one removes them.

use std::fs::{self, File, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

const PREFIX: &str = "sym-postgres-";

/// Below this age, a directory without a lock is one that is being made.
const LEFTOVER_AGE: Duration = Duration::from_secs(60);

/// A directory in the temporary directory that everybody may enter, removed
/// when dropped.
pub(super) struct Directory {
    // Removed first, then unlocked.
    directory: TempDir,
    _lock: File,
}

impl Directory {
    pub(super) fn make() -> io::Result<Directory> {
        // Others may be at it too; what stays is removed next time.
        let _ = remove_leftovers(&std::env::temp_dir());
        let directory = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o755))
            .tempdir()?;
        let lock = File::create(directory.path().join("lock"))?;
        lock.lock()?;
        Ok(Directory {
            directory,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in parent.read_dir()? {
        let entry = entry?;
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if is_ours && is_leftover(&entry.path()).unwrap_or(false) {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

fn is_leftover(directory: &Path) -> io::Result<bool> {
    // Not through a link: another user may have made it.
    let metadata = directory.symlink_metadata()?;
    let age = SystemTime::now().duration_since(metadata.modified()?);
    if !metadata.is_dir() || age.unwrap_or_default() < LEFTOVER_AGE {
        return Ok(false);
    }
    match File::open(directory.join("lock"))?.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make_old(parent: &Path, name: &str) -> io::Result<File> {
        let directory = parent.join(name);
        fs::create_dir(&directory)?;
        let lock = File::create(directory.join("lock"))?;
        let old = SystemTime::now() - 2 * LEFTOVER_AGE;
        File::open(&directory)?.set_modified(old)?;
        Ok(lock)
    }

    #[test]
    fn removes_what_nobody_holds_and_nothing_else() -> io::Result<()> {
        let parent = tempfile::tempdir()?;
        make_old(parent.path(), "sym-postgres-left")?;
        make_old(parent.path(), "another-left")?;
        let held = make_old(parent.path(), "sym-postgres-held")?;
        held.lock()?;
        fs::create_dir(parent.path().join("sym-postgres-new"))?;
        remove_leftovers(parent.path())?;
        let there = |name: &str| parent.path().join(name).is_dir();
        assert!(!there("sym-postgres-left"));
        assert!(there("another-left"));
        assert!(there("sym-postgres-held"));
        assert!(there("sym-postgres-new"));
        Ok(())
    }
}
