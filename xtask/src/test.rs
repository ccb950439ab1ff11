//! `cargo xtask test`: everything that CI runs, and nothing that CI doesn't.
//!
//! All parts run even where an early one fails, so that one run tells
//! everything; what a broken build makes pointless counts as failed.

use std::ffi::OsStr;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sym_test_support::tools::{self, BuildEnvironment, MAJORS, Major};

use crate::terminal::{self, Style};
use crate::{cargo, deploy, fuzz, languages, plugins, slim, tidy};

/// How long each fuzz target searches, in seconds, after what is in its corpus.
const FUZZ_SECONDS: u64 = 20;

/// Oldest, most common, newest.
const USUAL_MAJORS: [u32; 3] = [13, 15, 18];

/// Check everything: formatting, tidy rules, clippy, all tests, and the
/// end-to-end tests again for each version of PostgreSQL.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask test --matrix")]
pub(crate) struct TestArgs {
    /// Run the end-to-end tests on every supported version of PostgreSQL,
    /// instead of 13, 15 and 18.
    #[arg(long)]
    matrix: bool,
}

pub(crate) fn run(arguments: &TestArgs) -> Result<ExitCode> {
    let majors: &[u32] = if arguments.matrix {
        &MAJORS
    } else {
        &USUAL_MAJORS
    };
    let mut report = Report::default();
    report.part("formatting", || {
        ensure_component("rustfmt", "fmt")?;
        succeed(Command::new(cargo::program()).args(["fmt", "--all", "--check"]))?;
        let fuzz = ["--manifest-path", "fuzz/Cargo.toml"];
        succeed(
            Command::new(cargo::program())
                .args(["fmt", "--check"])
                .args(fuzz),
        )
    });
    report.part("tidy", || match tidy::check()? {
        0 => Ok(()),
        count => bail!("{count} rules are broken, see above"),
    });
    if let Some(Some(not_run)) = report.part("deploy", deploy::check) {
        report.note(not_run.to_owned());
    }
    if let Some(environment) = report.part("tools", || get_tools(majors)) {
        check_build(&mut report, &environment, majors);
    } else {
        report.skip("everything else", "there are no tools");
    }
    terminal::print(&report.table());
    Ok(report.exit_code())
}

/// Everything that needs the compiler.
fn check_build(report: &mut Report, environment: &BuildEnvironment, majors: &[u32]) {
    report.part("plugins", || plugins::build(tools::workspace()));
    report.part("clippy", || {
        ensure_component("clippy", "clippy")?;
        succeed(
            cargo::command(environment)
                .args(["clippy", "--workspace", "--all-targets"])
                .args(["--", "-D", "warnings"]),
        )
    });
    // Before the usual build, which takes its place.
    report.part("slim build", || slim::build(environment));
    // All targets: what tests need of a dependency is then built in from the
    // start, and the binary that they run is there.
    let built = report.part("build", || {
        succeed(cargo::command(environment).args(["build", "--workspace", "--all-targets"]))
    });
    if built.is_none() {
        report.skip("tests", "the build failed");
        return;
    }
    let mut made = Vec::new();
    let languages = report.part("languages", languages::all);
    for language in languages.unwrap_or_default() {
        let part = report.part(&format!("plugins in {language}"), || {
            languages::check(&language)
        });
        made.extend(part);
    }
    report.note(languages::table(&made));
    let runner = Runner::find();
    report.part("tests", || {
        succeed(&mut runner.all_but_end_to_end(environment))
    });
    report.part("documentation tests", || {
        succeed(cargo::command(environment).args(["test", "--doc", "--workspace"]))
    });
    report.part("fuzz targets", || fuzz::run_all(environment, FUZZ_SECONDS));
    for major in majors {
        report.part(&format!("end-to-end, PostgreSQL {major}"), || {
            let install = tools::postgres_install(Major::Exactly(*major))?;
            terminal::error(&format!(
                "PostgreSQL {}, {}",
                install.version, install.origin
            ));
            succeed(
                runner
                    .end_to_end(environment)
                    .env(Major::VARIABLE, major.to_string()),
            )
        });
    }
}

/// Gets everything at once, so that no test waits for it until its time is up.
///
/// A missing PostgreSQL fails the part that needs it, and not this one.
fn get_tools(majors: &[u32]) -> Result<BuildEnvironment> {
    let environment = BuildEnvironment::get()?;
    tools::moto()?;
    for major in majors {
        if let Err(error) = tools::postgres_install(Major::Exactly(*major)) {
            terminal::error(&format!("{error:#}"));
        }
    }
    Ok(environment)
}

/// What runs the tests: nextest, which gives each a process of its own, or what
/// comes with cargo.
enum Runner {
    Nextest,
    Cargo,
}

impl Runner {
    fn find() -> Runner {
        let nextest = Command::new(cargo::program())
            .args(["nextest", "--version"])
            .stdin(Stdio::null())
            .output();
        if nextest.is_ok_and(|output| output.status.success()) {
            return Runner::Nextest;
        }
        terminal::error(
            "there is no cargo-nextest: `cargo test` does it too, with less to read \
             (`cargo install --locked cargo-nextest` gets it)",
        );
        Runner::Cargo
    }

    fn all_but_end_to_end(&self, environment: &BuildEnvironment) -> Command {
        let mut command = self.command(environment);
        match self {
            Runner::Nextest => command.args(["-E", "not binary(e2e)"]),
            // It can't leave one binary out. Naming what is left would resolve
            // features anew, so the suite runs once more than it must.
            Runner::Cargo => command.arg("--all-targets"),
        };
        command
    }

    fn end_to_end(&self, environment: &BuildEnvironment) -> Command {
        let mut command = self.command(environment);
        match self {
            Runner::Nextest => command.args(["-E", "binary(e2e)"]),
            Runner::Cargo => command.args(["--test", "e2e"]),
        };
        command
    }

    fn command(&self, environment: &BuildEnvironment) -> Command {
        let mut command = cargo::command(environment);
        match self {
            Runner::Nextest => command.args(["nextest", "run", "--workspace", "--no-fail-fast"]),
            Runner::Cargo => command.args(["test", "--workspace", "--no-fail-fast"]),
        };
        command
    }
}

/// Has rustup add a component where its cargo command is missing.
fn ensure_component(component: &str, subcommand: &str) -> Result<()> {
    let there = Command::new(cargo::program())
        .args([subcommand, "--version"])
        .stdin(Stdio::null())
        .output();
    if there.is_ok_and(|output| output.status.success()) {
        return Ok(());
    }
    terminal::error(&format!("getting {component}: the toolchain comes without"));
    succeed(Command::new("rustup").args(["component", "add", component]))
}

/// Runs a command that shows what it does itself.
fn succeed(command: &mut Command) -> Result<()> {
    let name = command
        .get_args()
        .next()
        .unwrap_or(command.get_program())
        .to_string_lossy()
        .into_owned();
    let status = command
        .current_dir(tools::workspace())
        .stdin(Stdio::null())
        .status()
        .with_context(|| {
            let program = command.get_program();
            format!("`{}` can't be started", OsStr::to_string_lossy(program))
        })?;
    ensure!(status.success(), "`{name}` failed ({status})");
    Ok(())
}

/// What ran and how it went.
#[derive(Default)]
struct Report {
    parts: Vec<Part>,
    notes: String,
}

struct Part {
    name: String,
    took: Duration,
    failure: Option<String>,
}

impl Report {
    /// Runs a part and gives what it makes, or `None` where it failed.
    fn part<T>(&mut self, name: &str, run: impl FnOnce() -> Result<T>) -> Option<T> {
        terminal::error(&format!("== {name}"));
        let started_at = Instant::now();
        let result = run();
        let failure = result.as_ref().err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            terminal::error(&format!("{name}: {failure}"));
        }
        self.parts.push(Part {
            name: name.to_owned(),
            took: started_at.elapsed(),
            failure,
        });
        result.ok()
    }

    /// Notes a part that can't run. That is a failure: nobody shall take a
    /// green run for a whole one.
    fn skip(&mut self, name: &str, reason: &str) {
        self.parts.push(Part {
            name: name.to_owned(),
            took: Duration::ZERO,
            failure: Some(format!("did not run: {reason}")),
        });
    }

    /// Has the table end with this.
    fn note(&mut self, text: String) {
        self.notes.push('\n');
        self.notes.push_str(&text);
    }

    fn table(&self) -> String {
        let style = Style::for_stdout();
        let mut table = String::from("\n");
        for part in &self.parts {
            let (mark, detail) = match &part.failure {
                None => (style.good("ok    "), ""),
                Some(failure) => (style.bad("FAILED"), failure.as_str()),
            };
            let line = format!(
                "{mark}  {:<28} {:>12}  {detail}",
                part.name,
                terminal::duration(part.took)
            );
            table.push_str(line.trim_end());
            table.push('\n');
        }
        table + &self.notes
    }

    fn exit_code(&self) -> ExitCode {
        if self.parts.iter().all(|part| part.failure.is_none()) {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_did_not_run_fails_the_whole() {
        let mut report = Report::default();
        assert_eq!(report.part("one", || Ok(1)), Some(1));
        assert_eq!(report.exit_code(), ExitCode::SUCCESS);
        report.skip("two", "no reason");
        assert_eq!(report.exit_code(), ExitCode::FAILURE);
        assert!(report.table().contains("did not run: no reason"));
    }

    #[test]
    fn the_usual_versions_are_supported_ones() {
        for major in USUAL_MAJORS {
            assert!(MAJORS.contains(&major));
        }
    }
}
