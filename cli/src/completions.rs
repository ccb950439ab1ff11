//! `symctl completions`: what a shell needs to complete commands.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::output::{self, Status};

/// Print what a shell needs to complete symctl's commands.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl completions bash > ~/.local/share/bash-completion/completions/symctl\n  symctl completions zsh > ~/.zfunc/_symctl\n  symctl completions fish > ~/.config/fish/completions/symctl.fish"
)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<Status> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "symctl", &mut script);
    output::raw(&String::from_utf8(script)?);
    Ok(Status::Done)
}
