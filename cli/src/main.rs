//! symctl: everything about the host that isn't an event of Sym's.
//!
//! Standard output is data; everything else goes to standard error. Exit codes:
//! 0 done, 1 yours (the event, the plugin, the configuration), 2 ours, or a
//! service that we use.

mod invoke;
mod output;
mod setup_sql;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::Status;

/// Lend PostgreSQL access for a while: the host's own path, from your machine.
#[derive(Parser)]
#[command(name = "symctl", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Invoke(invoke::InvokeArgs),
    SetupSql(setup_sql::SetupSqlArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Invoke(args) => invoke::run(&args),
        Command::SetupSql(args) => setup_sql::run(&args),
    };
    match result {
        Ok(status) => status.into(),
        Err(error) => {
            output::error(&error);
            Status::Yours.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
