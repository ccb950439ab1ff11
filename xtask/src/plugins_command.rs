//! `cargo xtask plugins`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use sym_test_support::tools;

use crate::{plugins, terminal};

/// Build our plugins into `target/plugins`, for `PLUGINS=dir://…`.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask plugins")]
pub(crate) struct PluginsArgs {}

pub(crate) fn run(_: &PluginsArgs) -> Result<ExitCode> {
    let directory = plugins::build(tools::workspace())?;
    terminal::print(&format!("{}\n", directory.display()));
    Ok(ExitCode::SUCCESS)
}
