//! Gets what a clean machine lacks, once, into `target/tools`.
//!
//! What the machine has is used as it is. What it lacks is fetched under a lock
//! into a directory of its own, which takes its final name when it is complete:
//! two processes at once, or one that is killed, leave nothing half done.
//! Each fetch says on standard error what it gets and why.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, OnceLock};

use anyhow::{Context, ensure};

mod foreign;
mod languages;
mod libclang;
mod postgresql;
mod python;

pub use foreign::{ZigBuild, architecture, qemu, runtime_interface_emulator, zig_build};
pub use languages::language_path;
pub use libclang::BuildEnvironment;
pub use postgresql::{Install, MAJORS, Major, postgres_install};
pub use python::{Python, checkov, moto, psycopg2, shellcheck, template_packages};

/// The root of this workspace.
///
/// Looked for from the package that cargo runs, since what was built may have
/// been moved; without cargo it is where this was built.
pub fn workspace() -> &'static Path {
    static WORKSPACE: LazyLock<PathBuf> = LazyLock::new(|| {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
        let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let package = package.as_deref().unwrap_or(built_in);
        find_workspace(package)
            .or_else(|| find_workspace(built_in))
            .unwrap_or_else(|| built_in.to_owned())
    });
    &WORKSPACE
}

/// The directory at or above `path` that holds this crate's workspace.
fn find_workspace(path: &Path) -> Option<PathBuf> {
    let root = path
        .ancestors()
        .find(|ancestor| ancestor.join("tests/support/Cargo.toml").is_file())?;
    root.canonicalize().ok()
}

/// Where cargo builds: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub fn target_directory() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => workspace().join(directory),
        None => workspace().join("target"),
    }
}

/// A binary of this workspace's debug build, such as `bootstrap`.
///
/// # Errors
///
/// It was not built yet.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let path = target_directory().join("debug").join(name);
    ensure!(
        path.is_file(),
        "there is no `{}` yet: `cargo build --workspace` makes it",
        path.display()
    );
    Ok(path.canonicalize()?)
}

/// Something to fetch.
pub(crate) struct Wanted<'a> {
    /// Name of the directory that holds it: with its version, as each version
    /// has a directory of its own.
    pub(crate) name: &'a str,
    /// What it is, for people.
    pub(crate) what: &'a str,
    /// Who needs it, for people.
    pub(crate) why: &'a str,
    /// The command that gets it by hand.
    pub(crate) by_hand: &'a str,
}

impl Wanted<'_> {
    /// The directory of it below `parent`, where `make` fills it if it is new.
    ///
    /// # Errors
    ///
    /// `make` failed, or the directory can't be written; one sentence says what
    /// was wanted and how to get it by hand.
    pub(crate) fn get_in(
        &self,
        parent: &Path,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        self.get_or_make(parent, make)
            .with_context(|| format!("could not get {}; by hand: {}", self.what, self.by_hand))
    }

    fn get_or_make(
        &self,
        parent: &Path,
        make: impl FnOnce(&Path) -> anyhow::Result<()>,
    ) -> anyhow::Result<PathBuf> {
        let complete = parent.join(self.name);
        if complete.is_dir() {
            return Ok(complete);
        }
        fs::create_dir_all(parent)?;
        let lock = File::create(parent.join(format!("{}.lock", self.name)))?;
        if lock.try_lock().is_err() {
            say(&format!(
                "waiting for {}, which another process gets",
                self.what
            ));
            lock.lock()?;
        }
        if complete.is_dir() {
            return Ok(complete);
        }
        say(&format!("getting {}: {}", self.what, self.why));
        let unfinished = parent.join(format!("{}.unfinished", self.name));
        if unfinished.exists() {
            // Whoever began it was killed: we hold the lock.
            fs::remove_dir_all(&unfinished)?;
        }
        fs::create_dir(&unfinished)?;
        // Servers read it as another user, whatever our umask is.
        fs::set_permissions(&unfinished, Permissions::from_mode(0o755))?;
        make(&unfinished)?;
        fs::rename(&unfinished, &complete)?;
        Ok(complete)
    }
}

/// Where tools are kept.
pub(crate) fn tools_directory() -> PathBuf {
    target_directory().join("tools")
}

/// Where to keep what PostgreSQL's server reads.
///
/// It refuses to run as root, so root runs it as another user, who can't look
/// into a workspace below a private home: then it is a directory of root's in
/// the temporary directory.
///
/// # Errors
///
/// Somebody else owns that directory, or may write to it.
pub(crate) fn server_directory() -> anyhow::Result<PathBuf> {
    let tools = tools_directory();
    fs::create_dir_all(&tools)?;
    let tools = tools.canonicalize()?;
    if !nix::unistd::Uid::effective().is_root() || is_open_to_all(&tools) {
        return Ok(tools);
    }
    let shared = std::env::temp_dir().join("sym-postgres-tools");
    if fs::create_dir(&shared).is_ok() {
        fs::set_permissions(&shared, Permissions::from_mode(0o755))?;
    }
    // Anyone may make names in the temporary directory: what we run as a server
    // must not come from a directory that somebody else made.
    let metadata = fs::symlink_metadata(&shared)?;
    ensure!(
        metadata.is_dir() && metadata.uid() == 0 && metadata.mode() & 0o022 == 0,
        "`{}` must be a directory that only root may write to: remove it, it will be made anew",
        shared.display()
    );
    ensure!(
        is_open_to_all(&shared),
        "other users can't reach `{}`, and PostgreSQL's server doesn't run as root: set TMPDIR to a directory that they can reach",
        shared.display()
    );
    Ok(shared)
}

/// Whether every user may pass through `path` and all that is above it.
pub(crate) fn is_open_to_all(path: &Path) -> bool {
    path.ancestors().all(|directory| {
        directory
            .metadata()
            .is_ok_and(|metadata| metadata.mode() & 0o001 != 0)
    })
}

/// Runs a command to its end and gives its standard output.
///
/// # Errors
///
/// It can't be started, or it fails: with the end of what it wrote.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .with_context(|| format!("`{program}` can't be started"))?;
    ensure!(
        output.status.success(),
        "`{program} {}` failed ({}): {}",
        command
            .get_args()
            .map(OsStr::to_string_lossy)
            .collect::<Vec<_>>()
            .join(" "),
        output.status,
        last_lines(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn last_lines(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    lines[lines.len().saturating_sub(5)..].join("; ")
}

/// What shows progress, where it is not standard error as it is.
static SHOW_PROGRESS: OnceLock<fn(&str)> = OnceLock::new();

/// Has `show` show each line of progress from now on: the first call counts.
///
/// For programs that draw on the terminal themselves.
pub fn show_progress_by(show: fn(&str)) {
    let _ = SHOW_PROGRESS.set(show);
}

/// Shows one line of progress.
pub(crate) fn say(line: &str) {
    match SHOW_PROGRESS.get() {
        Some(show) => show(line),
        // Progress that can't be shown is no reason to stop.
        None => drop(writeln!(std::io::stderr(), "{line}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Wanted<'_> {
        Wanted {
            name,
            what: "a thing",
            why: "the test wants it",
            by_hand: "`make thing`",
        }
    }

    #[test]
    fn what_was_made_once_is_not_made_again() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let first = wanted("thing").get_in(parent.path(), |path| {
            Ok(fs::write(path.join("it"), "here")?)
        })?;
        let second =
            wanted("thing").get_in(parent.path(), |_| unreachable!("it is there already"))?;
        assert_eq!(first, second);
        assert_eq!(fs::read_to_string(second.join("it"))?, "here");
        Ok(())
    }

    #[test]
    fn a_failure_leaves_nothing_and_names_the_command() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let error = wanted("thing")
            .get_in(parent.path(), |_| anyhow::bail!("no network"))
            .expect_err("it can't be made");
        assert_eq!(
            format!("{error:#}"),
            "could not get a thing; by hand: `make thing`: no network"
        );
        assert!(!parent.path().join("thing").exists());
        wanted("thing").get_in(parent.path(), |_| Ok(()))?;
        Ok(())
    }

    #[test]
    fn two_at_once_make_it_once() -> anyhow::Result<()> {
        let parent = tempfile::tempdir()?;
        let times = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    wanted("thing").get_in(parent.path(), |_| {
                        times.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                        Ok(())
                    })
                });
            }
        });
        assert_eq!(times.into_inner(), 1);
        Ok(())
    }

    #[test]
    fn the_workspace_is_found_from_any_package() {
        let root = workspace();
        assert!(root.join("Cargo.toml").is_file());
        assert_eq!(find_workspace(&root.join("xtask")).as_deref(), Some(root));
        assert_eq!(find_workspace(Path::new("/")), None);
    }

    #[test]
    fn a_private_directory_is_not_open_to_all() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        let below = directory.path().join("below");
        fs::create_dir(&below)?;
        fs::set_permissions(directory.path(), Permissions::from_mode(0o700))?;
        assert!(!is_open_to_all(&below));
        assert!(is_open_to_all(Path::new("/")));
        Ok(())
    }
}
