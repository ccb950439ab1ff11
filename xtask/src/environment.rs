//! `cargo xtask env`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sym_test_support::tools::BuildEnvironment;

use crate::terminal;

/// Print the variables that a bare `cargo build` needs on a machine without
/// libclang, as commands for a shell. Gets libclang if need be.
#[derive(Args)]
#[command(after_help = "Example: eval \"$(cargo xtask env)\"; cargo build --workspace")]
pub(crate) struct EnvArgs {}

pub(crate) fn run(_: &EnvArgs) -> Result<ExitCode> {
    let environment = BuildEnvironment::get()?;
    for (name, value) in environment.variables() {
        // What `protoc` was left out of lives only as long as we do.
        if *name != "PATH" {
            let quoted = value.to_string_lossy().replace('\'', r"'\''");
            terminal::print(&format!("export {name}='{quoted}'\n"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
