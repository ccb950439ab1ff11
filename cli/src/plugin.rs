//! `symctl plugin`: what the author of a plugin does, from the first build to
//! the release.

mod before_publishing;
mod bench;
mod build;
mod cases;
mod check;
mod inspect;
mod new;
pub(crate) mod outcome;
pub(crate) mod release;
pub(crate) mod run;
mod show;
mod subject;
pub(crate) mod test;

use clap::{Args, Subcommand};

pub(crate) use self::before_publishing::try_out;
pub(crate) use self::subject::has_manifest;
use crate::output::Status;

/// Write, check, test and run a plugin, in the engine and under the policy that
/// the function has.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl plugin test && symctl plugin check")]
pub(crate) struct PluginArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Check(check::CheckArgs),
    Test(test::TestArgs),
    Run(run::RunArgs),
    Bench(bench::BenchArgs),
    Inspect(inspect::InspectArgs),
}

pub(crate) fn run(args: &PluginArgs) -> anyhow::Result<Status> {
    match &args.command {
        Command::New(args) => new::run(args),
        Command::Build(args) => build::run(args),
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Inspect(args) => inspect::run(args),
    }
}
