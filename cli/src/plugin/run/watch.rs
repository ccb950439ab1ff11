//! Runs something again after each change of some files.
//!
//! Looks at the files' times a few times a second: it is a few hundred of them,
//! and unlike the notifications of each system this works in containers, on
//! network file systems and with every editor's way of saving.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::output;
use crate::output::Status;

/// How often is looked.
const INTERVAL: Duration = Duration::from_millis(150);

/// Most files that are looked at: more are no sources of a plugin.
const MAX_FILES: usize = 20_000;

/// What builds make, and versions' histories: nobody writes there by hand.
const SKIPPED: &[&str] = &["target", "node_modules", "build", "dist", "__pycache__"];

/// Runs it, and again after each change, until the process is interrupted.
pub(crate) fn watch(paths: &[&Path], mut run: impl FnMut()) -> anyhow::Result<Status> {
    loop {
        // Before it runs: what changes meanwhile is a change.
        let before = snapshot(paths);
        run();
        // What the run itself wrote, a build's result, is none.
        let mut last = snapshot(paths);
        if sources(&last) == sources(&before) {
            output::note("\nwatching for changes; interrupt to end");
            while snapshot(paths) == last {
                std::thread::sleep(INTERVAL);
            }
        }
        // A save may be several writes: wait for the last.
        loop {
            std::thread::sleep(INTERVAL);
            let now = snapshot(paths);
            if now == last {
                break;
            }
            last = now;
        }
        output::note("");
    }
}

type Snapshot = Vec<(PathBuf, Option<SystemTime>, u64)>;

/// Those that people write.
fn sources(snapshot: &Snapshot) -> Vec<&(PathBuf, Option<SystemTime>, u64)> {
    let is_source = |path: &Path| path.extension().is_none_or(|extension| extension != "wasm");
    snapshot
        .iter()
        .filter(|(path, ..)| is_source(path))
        .collect()
}

/// The files below these paths, with their times and sizes.
fn snapshot(paths: &[&Path]) -> Snapshot {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    let is_asked = |path: &Path| paths.contains(&path);
    while let Some(path) = left.pop() {
        let Ok(metadata) = path.metadata() else {
            continue;
        };
        if metadata.is_file() {
            files.push((path, metadata.modified().ok(), metadata.len()));
            if files.len() >= MAX_FILES {
                break;
            }
            continue;
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_skipped = SKIPPED.contains(&&*name) || (name.starts_with('.') && name.len() > 1);
        if is_skipped && !is_asked(&path) {
            continue;
        }
        let entries = std::fs::read_dir(&path).into_iter().flatten().flatten();
        left.extend(entries.map(|entry| entry.path()));
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_and_what_builds_make_is_not() {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let root = directory.path();
        std::fs::write(root.join("plugins.toml"), "a").expect("is written");
        std::fs::create_dir(root.join("target")).expect("is made");
        let before = snapshot(&[root]);
        std::fs::write(root.join("target/x"), "a").expect("is written");
        assert_eq!(snapshot(&[root]), before);
        std::fs::write(root.join("plugins.toml"), "ab").expect("is written");
        assert_ne!(snapshot(&[root]), before);
    }
}
