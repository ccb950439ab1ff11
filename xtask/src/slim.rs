//! `cargo xtask slim`: the function without a compiler, which starts from
//! native code alone.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sym_test_support::tools::{self, BuildEnvironment};

use crate::{cargo, terminal};

/// Packages whose features are, together, nearly those of the whole workspace,
/// and of which none asks for the compiler: what they share with the usual build
/// is built once. Some 40 crates are built twice, wasmtime first of all.
const PACKAGES: [&str; 3] = ["sym-host", "sym-test-support", "xtask"];

/// Build the function without a compiler into `target/slim`, for its tests.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask slim")]
pub(crate) struct SlimArgs {}

pub(crate) fn run(_: &SlimArgs) -> Result<ExitCode> {
    let path = build(&BuildEnvironment::get()?)?;
    terminal::print(&format!("{}\n", path.display()));
    Ok(ExitCode::SUCCESS)
}

/// Builds it, and returns where it is.
///
/// The usual `bootstrap` is gone afterwards, until the next `cargo build` puts it
/// back: cargo has one place for both.
///
/// # Errors
///
/// It doesn't compile.
pub(crate) fn build(environment: &BuildEnvironment) -> Result<PathBuf> {
    let mut command = cargo::command(environment);
    command.args(["build", "--no-default-features", "--bin", "bootstrap"]);
    for package in PACKAGES {
        command.args(["--package", package]);
    }
    let status = command.status().context("cargo can't be started")?;
    ensure!(status.success(), "cargo could not build it ({status})");
    let target = tools::target_directory();
    let (built, slim) = (target.join("debug/bootstrap"), target.join("slim"));
    fs::create_dir_all(&slim)?;
    let path = slim.join("bootstrap");
    fs::rename(&built, &path).with_context(|| format!("`{}` can't be moved", built.display()))?;
    Ok(path)
}
