//! How we call cargo.
//!
//! **Invariant:** always for the whole workspace. `-p` resolves features for
//! that package alone, and everything would be built twice. [`slim`](crate::slim)
//! is the one that has to.

use std::process::Command;

use sym_test_support::tools::{BuildEnvironment, workspace};

/// A cargo that builds this workspace, without the variables that the cargo
/// which started us has set for us: build scripts would see them.
pub(crate) fn command(environment: &BuildEnvironment) -> Command {
    let mut command = Command::new(program());
    prepare(&mut command, environment);
    command
}

/// Has `command` run as every cargo of ours does.
pub(crate) fn prepare(command: &mut Command, environment: &BuildEnvironment) {
    command.current_dir(workspace());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let is_for_us = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ]
        .iter()
        .any(|prefix| text.starts_with(prefix))
            || text == "CARGO_PRIMARY_PACKAGE";
        if is_for_us {
            command.env_remove(&name);
        }
    }
    environment.apply(command);
}

/// The cargo that started us, or the one on the search path.
pub(crate) fn program() -> std::ffi::OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}
