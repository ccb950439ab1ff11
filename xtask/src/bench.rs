//! `cargo xtask bench`: speed and memory of the function as it ships, beside the
//! Python templates that it replaces.
//!
//! Every figure of ours is taken in turns with theirs, in one run on one
//! machine: ratios count, absolutes don't travel.
//!
//! | module | what it does |
//! |---|---|
//! | [`world`] | the database, the AWS double, the releases |
//! | [`scenario`] | what is measured: one function, one way to set it up |
//! | [`cores`] | a core for the database, and one for the function |
//! | [`least`] | what a warm event takes at least, whoever serves it |
//! | [`control_group`] | the memory of Lambda's smallest function |
//! | [`releases`] | cold starts by the size of the plugins |
//! | [`template`] | the Python templates, from a checkout of the reader's |
//! | [`figures`] | medians, spreads, and what a run found, as JSON |
//! | [`budgets`] | `xtask/budgets.toml` against the figures |
//! | [`scale`] | many people at once, large ledgers, many targets |
//! | [`report`] | tables, plots, and the page in `docs/` |

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use sym_test_support::tools::{self, BuildEnvironment};

use crate::{cargo, dist, plugins, terminal};

mod budgets;
mod control_group;
mod cores;
mod figures;
mod least;
mod releases;
mod report;
mod scale;
mod scenario;
mod template;
mod world;

use figures::Figures;

/// Measure cold starts, events, memory and scale of the release build, beside
/// the Python templates, and check the budgets. Wants a quiet machine.
#[derive(Args)]
#[command(
    after_help = "Example: git clone https://github.com/symopsio/examples && cargo xtask bench --template examples --docs"
)]
pub(crate) struct BenchArgs {
    /// A checkout of github.com/symopsio/examples: its Python templates are
    /// measured beside us. Without it, budgets that need them stay open.
    #[arg(long, value_name = "DIR")]
    template: Option<PathBuf>,
    /// Another build's `bootstrap`: measured in turns with this one, each by a database of
    /// its own, as `beside/role` and so on.
    #[arg(long, value_name = "FILE")]
    beside: Option<PathBuf>,
    /// Which parts to run.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::ALL)]
    only: Vec<Part>,
    /// Of the whole functions these alone, such as `host/role`.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    functions: Vec<String>,
    /// Cold starts of each kind; each is followed by warm events.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Say what moved against an earlier `--json` file, beyond the noise.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Write docs/performance.md's tables and plots anew.
    #[arg(long)]
    docs: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Parts of the library, by `cargo bench`.
    Parts,
    /// Whole functions: cold, warm, memory, round trips.
    Functions,
    /// Cold starts by the size of the plugins; how native code is loaded.
    Releases,
    /// Many at once, large ledgers, many targets.
    Scale,
    /// The size of the function without a compiler, which is built for it.
    Slim,
}

impl Part {
    const ALL: [Part; 5] = [
        Part::Parts,
        Part::Functions,
        Part::Releases,
        Part::Scale,
        Part::Slim,
    ];
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

pub(crate) fn run(arguments: &BenchArgs) -> Result<ExitCode> {
    let baseline = arguments
        .baseline
        .as_deref()
        .map(Figures::read)
        .transpose()?;
    let environment = BuildEnvironment::get()?;
    plugins::build(tools::workspace())?;
    terminal::error("building symctl, and the function as it ships");
    run_cargo(
        &environment,
        &["build", "--workspace", "--all-targets"],
        &[],
    )?;
    dist::build(std::env::consts::ARCH)?;
    if cfg!(debug_assertions) {
        // The doubles and the wire must not be what is measured.
        return again_as_release(&environment);
    }
    let mut figures = Figures::default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let awake = cores::Awake::keep()?;
    runtime.block_on(async {
        if arguments.only.contains(&Part::Parts) {
            scenario::parts(&environment, &mut figures).await?;
        }
        if arguments.only.contains(&Part::Functions) {
            let template = arguments.template.as_deref().map(template::Template::find);
            let others = scenario::Others {
                template: template.transpose()?,
                bootstrap: arguments.beside.as_deref().map(existing).transpose()?,
            };
            let (rounds, names) = (arguments.rounds, &arguments.functions);
            scenario::functions(&others, names, rounds, &mut figures).await?;
        }
        if arguments.only.contains(&Part::Scale) {
            scale::measure(&mut figures).await?;
        }
        cores::work_for(cores::Side::All)
    })?;
    drop(awake);
    if arguments.only.contains(&Part::Releases) {
        releases::measure(&environment, &bootstrap()?)?;
    }
    if arguments.only.contains(&Part::Slim) {
        let megabytes = scenario::zip_megabytes(&dist::build_slim()?)?;
        let figure = figures::Figure::single(megabytes, figures::Unit::Megabytes);
        figures.set("host/zip-slim", figure);
    }
    let budgets = budgets::check(&figures)?;
    terminal::print(&report::text(&figures, &budgets));
    if let Some(baseline) = &baseline {
        terminal::print(&report::moved(baseline, &figures));
    }
    if let Some(path) = &arguments.json {
        figures.write(path)?;
    }
    if arguments.docs {
        report::write_docs(&figures, &budgets)?;
    }
    Ok(match budgets.iter().any(budgets::Verdict::is_broken) {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}

/// Runs cargo, with some variables more.
fn run_cargo(
    environment: &BuildEnvironment,
    arguments: &[&str],
    variables: &[(&str, &OsStr)],
) -> Result<()> {
    let status = cargo::command(environment)
        .args(arguments)
        .envs(variables.iter().copied())
        .status()
        .context("cargo can't be started")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// This command, by an optimised build of itself.
fn again_as_release(environment: &BuildEnvironment) -> Result<ExitCode> {
    let flags = dist::flags()?;
    let directory = dist::directory();
    run_cargo(
        environment,
        &["build", "--release", "--package", "xtask"],
        &[
            ("RUSTFLAGS", flags.as_ref()),
            ("CARGO_TARGET_DIR", directory.as_ref()),
        ],
    )?;
    let program = directory.join("release/xtask");
    let status = Command::new(&program)
        .args(std::env::args_os().skip(1))
        .status()
        .with_context(|| format!("`{}` can't be started", program.display()))?;
    Ok(match status.success() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn existing(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("`{}`", path.display()))
}

/// The function as it ships.
fn bootstrap() -> Result<PathBuf> {
    Ok(dist::directory().join("release/bootstrap").canonicalize()?)
}
