//! symctl: everything about the host that isn't an event of Sym's.
//!
//! Standard output is data; everything else goes to standard error. Exit codes:
//! 0 done, 1 yours (the event, the plugin, the configuration), 2 ours, or a
//! service that we use.

mod completions;
mod diff;
mod doctor;
mod engine;
mod files;
mod gc;
mod grants;
mod host;
mod input;
mod invoke;
mod keygen;
mod keys;
mod kms;
mod output;
mod plugin;
mod publish;
mod record;
mod releases;
mod replay;
mod revoke;
mod rollback;
mod setup_sql;
mod status;
mod steps;
mod store;
mod sweep;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

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
    Doctor(doctor::DoctorArgs),
    Grants(grants::GrantsArgs),
    Revoke(revoke::RevokeArgs),
    Sweep(sweep::SweepArgs),
    Keygen(keygen::KeygenArgs),
    Plugin(plugin::PluginArgs),
    Publish(publish::PublishArgs),
    Releases(releases::ReleasesArgs),
    Status(status::StatusArgs),
    Rollback(rollback::RollbackArgs),
    Verify(verify::VerifyArgs),
    Gc(gc::GcArgs),
    Record(record::RecordArgs),
    Replay(replay::ReplayArgs),
    Diff(diff::DiffArgs),
    Completions(completions::CompletionsArgs),
}

fn main() -> ExitCode {
    sym_host::plugin::compiler::begin(None);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and the version are no error. A wrong argument is one of the
        // user's, for which clap's own code would be 2.
        Err(error) => {
            let status = if error.use_stderr() {
                Status::Yours
            } else {
                Status::Done
            };
            output::written(error.print());
            return output::finish(status).into();
        }
    };
    let result = match cli.command {
        Command::Invoke(args) => invoke::run(&args),
        Command::SetupSql(args) => setup_sql::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Grants(args) => grants::run(&args),
        Command::Revoke(args) => revoke::run(&args),
        Command::Sweep(args) => sweep::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Plugin(args) => plugin::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Releases(args) => releases::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Rollback(args) => rollback::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Gc(args) => gc::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Completions(args) => completions::run(&args, Cli::command()),
    };
    let status = result.unwrap_or_else(|error| match error.downcast::<sym_host::error::Error>() {
        Ok(error) => host::failed(&[error]),
        Err(error) => {
            output::error(&error);
            match store::is_unreachable(&error) {
                true => Status::Ours,
                false => Status::Yours,
            }
        }
    });
    output::finish(status).into()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        super::Cli::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_ends_in_an_example() {
        #[track_caller]
        fn check(command: &clap::Command, path: &str) {
            for command in command.get_subcommands() {
                let path = format!("{path} {}", command.get_name());
                let after = command.get_after_help().map(ToString::to_string);
                let after = after.unwrap_or_default();
                assert!(after.contains("Example"), "`{path}` has no example");
                assert!(after.contains("symctl "), "`{path}` has no example");
                check(command, &path);
            }
        }
        check(&super::Cli::command(), "symctl");
    }

    #[test]
    fn every_shell_completes_every_command() {
        use clap_complete::Shell;
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut super::Cli::command(), "symctl", &mut script);
            let script = String::from_utf8(script).expect("is text");
            for word in ["record", "replay", "completions", "publish", "junit"] {
                assert!(script.contains(word), "{shell} doesn't know `{word}`");
            }
        }
    }
}
