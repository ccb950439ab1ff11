//! `symctl plugin bench`.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;

use crate::output::Status;

/// Not there yet.
#[derive(Args)]
pub(crate) struct BenchArgs {
    /// A directory with `plugins.toml`, or a component.
    #[arg(default_value = ".")]
    path: PathBuf,
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<Status> {
    bail!(
        "`symctl plugin bench` is not there yet ({})",
        args.path.display()
    )
}
