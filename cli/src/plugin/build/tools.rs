//! The languages' own tools: where they are, and how they are run.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// What installs the tools that PyPI has.
pub(super) const INSTALL_BY_PIP: &str =
    "`python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` installs it";

/// How long a tool may take that runs a plugin's modules while it builds: some seconds
/// is what it needs.
const PATIENCE: Duration = Duration::from_secs(180);

/// A tool that a language needs.
pub(super) struct Tool<'a> {
    /// Its names, the preferred one first: PyPI's zig is `python-zig`.
    pub(super) names: &'a [&'a str],
    /// Where a project has its own, relative to its root.
    pub(super) directory: &'a str,
    /// How it is installed, in the project's root.
    pub(super) install: &'a str,
}

impl Tool<'_> {
    /// A command for it: the project's own, or the one on the search path.
    ///
    /// # Errors
    /// It is nowhere: with the command that installs it.
    pub(super) fn command(&self, root: &Path) -> Result<Command> {
        let root = root
            .canonicalize()
            .with_context(|| format!("`{}` can't be read", root.display()))?;
        let own = root.join(self.directory);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::iter::once(own).chain(std::env::split_paths(&path));
        let found = directories
            .flat_map(|directory| self.names.iter().map(move |name| directory.join(name)))
            .find(|path| path.is_file());
        let Some(program) = found else {
            bail!("{} is not installed: {}", self.names[0], self.install);
        };
        let mut command = Command::new(program);
        command.current_dir(&root);
        Ok(command)
    }
}

/// Runs a tool. Whatever it prints is for the person, so it goes to standard
/// error: standard output is ours.
///
/// # Errors
/// It can't be started, or it fails.
pub(super) fn run(command: &mut Command) -> Result<()> {
    run_by(command, Child::wait)
}

/// The same for a tool that runs what stands outside of a plugin's functions.
///
/// # Errors
/// As [`run`], and that never ends.
pub(super) fn run_modules(command: &mut Command) -> Result<()> {
    run_by(command, |child| wait_at_most(child, PATIENCE))
}

fn run_by(
    command: &mut Command,
    wait: impl FnOnce(&mut Child) -> std::io::Result<ExitStatus>,
) -> Result<()> {
    let name = command.get_program().to_owned();
    let name = Path::new(&name)
        .file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(stderr)
        .spawn()
        .with_context(|| format!("`{name}` can't be started"))?;
    let status = wait(&mut child).with_context(|| format!("`{name}` was ended"))?;
    ensure!(
        status.success(),
        "`{name}` could not build the plugin, see above"
    );
    Ok(())
}

/// Waits for a tool, and ends it once it took too long.
fn wait_at_most(child: &mut Child, patience: Duration) -> std::io::Result<ExitStatus> {
    let started_at = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if started_at.elapsed() >= patience {
            child.kill()?;
            child.wait()?;
            return Err(std::io::Error::other(format!(
                "it took more than {} s: what stands outside a function in `src/` runs while the plugin is built, so look \
                 for a loop there that doesn't end",
                patience.as_secs()
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Reads what a tool made.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("`{}` can't be read", path.display()))
}

/// The path from the project's root, where tools run.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_that_never_ends_is_ended() {
        let mut tool = Command::new("sleep");
        let patience = Duration::from_millis(100);
        let ended = run_by(tool.arg("60"), |child| wait_at_most(child, patience));
        let error = format!("{:#}", ended.expect_err("takes longer"));
        assert!(
            error.starts_with("`sleep` was ended: it took more than 0 s"),
            "{error}"
        );
        let mut tool = Command::new("true");
        run_by(&mut tool, |child| wait_at_most(child, PATIENCE)).expect("ends by itself");
    }
}
