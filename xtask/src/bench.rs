//! `cargo xtask bench`: the measurements that the documents name.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use sym_test_support::tools::{self, BuildEnvironment};

use crate::cargo;

/// Tells the measurement of cold starts which build of the function it is about.
const BOOTSTRAP: &str = "SYM_BENCH_BOOTSTRAP";

/// Measure cold starts, with native code and compiling in place, and how native
/// code is best loaded. Prints tables in Markdown.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask bench --bootstrap target/release/bootstrap")]
pub(crate) struct BenchArgs {
    /// The build of the function to measure, instead of a release build that is
    /// made for it, which takes ten minutes the first time.
    #[arg(long, value_name = "PATH")]
    bootstrap: Option<PathBuf>,
}

pub(crate) fn run(arguments: &BenchArgs) -> Result<ExitCode> {
    let environment = BuildEnvironment::get()?;
    let bootstrap = match &arguments.bootstrap {
        Some(path) => path
            .canonicalize()
            .with_context(|| format!("can't read `{}`", path.display()))?,
        None => {
            succeed(
                &environment,
                &[
                    "build",
                    "--release",
                    "--package",
                    "sym-host",
                    "--bin",
                    "bootstrap",
                ],
                None,
            )?;
            tools::target_directory().join("release/bootstrap")
        }
    };
    // The usual features: what tests have built is used again.
    succeed(
        &environment,
        &["build", "--workspace", "--all-targets"],
        None,
    )?;
    let run = ["test", "--quiet", "--workspace"];
    let with = ["--", "--ignored", "--nocapture", "--test-threads", "1"];
    for (target, name) in [
        (
            &["--test", "e2e"][..],
            "cold_starts_by_size_and_native_code",
        ),
        (&["--lib"][..], "a_buffer_against_mapped_memory"),
    ] {
        let arguments = [&run[..], target, &with[..], &[name]].concat();
        succeed(&environment, &arguments, Some(&bootstrap))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn succeed(
    environment: &BuildEnvironment,
    arguments: &[&str],
    bootstrap: Option<&PathBuf>,
) -> Result<()> {
    let mut command = cargo::command(environment);
    command.args(arguments);
    if let Some(path) = bootstrap {
        command.env(BOOTSTRAP, path);
    }
    let status = command.status().context("cargo can't be started")?;
    ensure!(
        status.success(),
        "`cargo {}` failed ({status})",
        arguments.join(" ")
    );
    Ok(())
}
