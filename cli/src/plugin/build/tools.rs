//! The languages' own tools: where they are, and how they are run.

use std::ffi::OsStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

/// What installs the tools that PyPI has.
pub(super) const INSTALL_BY_PIP: &str =
    "`python3 -m venv .venv && .venv/bin/pip install -r requirements.txt` installs it";

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
    let name = command.get_program().to_owned();
    let name = Path::new(&name)
        .file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default();
    let stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    let status = command
        .stdin(Stdio::null())
        .stdout(stderr)
        .status()
        .with_context(|| format!("`{name}` can't be started"))?;
    ensure!(
        status.success(),
        "`{name}` could not build the plugin, see above"
    );
    Ok(())
}

/// Reads what a tool made.
pub(super) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("`{}` can't be read", path.display()))
}

/// The path from the project's root, where tools run.
pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("`{}` is no path", path.display()))
}
