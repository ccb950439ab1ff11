//! The project's own commands: `cargo xtask demo`, `cargo xtask test` and what
//! they are made of.
//!
//! **Invariant:** nothing here depends on the host: `xtask` gets the libclang
//! that the host is built with.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bench;
mod cargo;
mod demo;
mod deploy;
mod dist;
mod environment;
mod languages;
mod plugins;
mod plugins_command;
mod slim;
mod terminal;
mod test;
mod tidy;

/// The project's own commands.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Bench(bench::BenchArgs),
    Test(test::TestArgs),
    Plugins(plugins_command::PluginsArgs),
    Languages(languages::LanguagesArgs),
    Slim(slim::SlimArgs),
    Tidy(tidy::TidyArgs),
    Deploy(deploy::DeployArgs),
    Dist(dist::DistArgs),
    Env(environment::EnvArgs),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Plugins(arguments) => plugins_command::run(&arguments),
        Command::Languages(arguments) => languages::run(&arguments),
        Command::Slim(arguments) => slim::run(&arguments),
        Command::Tidy(arguments) => tidy::run(&arguments),
        Command::Dist(arguments) => dist::run(&arguments),
        Command::Deploy(arguments) => deploy::run(&arguments),
        Command::Env(arguments) => environment::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            terminal::error(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
