//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, built and run.
//!
//! libFuzzer comes with its crate and is built by the C++ compiler, and what it
//! needs of rustc is stable: so there is nothing to install, neither
//! `cargo-fuzz` nor a nightly toolchain. There is no AddressSanitizer, which
//! only a nightly has; unsafe code is in dependencies alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use sym_test_support::tools::{self, BuildEnvironment};

use crate::{cargo, terminal};

/// Each has a file in `fuzz/fuzz_targets` and a folder in `fuzz/corpus`.
const TARGETS: [&str; 5] = ["event", "manifest", "policy", "statement", "template"];

/// Longest input, in bytes: more than each limit that a short one can reach.
const MAX_INPUT_BYTES: u32 = 20_000;

/// What the compiler puts in for libFuzzer to see where an input leads. As
/// `cargo fuzz` has it.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
];

/// Search for inputs that break a promise, after those in `fuzz/corpus`.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask fuzz --seconds 600 policy")]
pub(crate) struct FuzzArgs {
    /// How long to search with each target. With 0, only the corpus is tried.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u64,
    /// Where the search begins: the same number, the same inputs. With 0, anywhere.
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    seed: u32,
    /// Only these targets.
    #[arg(value_parser = TARGETS, value_name = "TARGET")]
    targets: Vec<String>,
}

pub(crate) fn run(arguments: &FuzzArgs) -> Result<ExitCode> {
    let named: Vec<&str> = arguments.targets.iter().map(String::as_str).collect();
    let targets = if named.is_empty() {
        &TARGETS[..]
    } else {
        &named
    };
    let search = Search {
        seconds: arguments.seconds,
        seed: arguments.seed,
    };
    run_targets(&BuildEnvironment::get()?, targets, search)?;
    Ok(ExitCode::SUCCESS)
}

/// How to search.
#[derive(Clone, Copy)]
struct Search {
    seconds: u64,
    seed: u32,
}

/// Builds all targets and runs each for so long, always from the same place: who
/// changed nothing is not told of what is wrong since long ago.
///
/// # Errors
///
/// One doesn't build, or an input broke a promise: which, and where it is kept.
pub(crate) fn run_all(environment: &BuildEnvironment, seconds: u64) -> Result<()> {
    run_targets(environment, &TARGETS, Search { seconds, seed: 1 })
}

fn run_targets(environment: &BuildEnvironment, targets: &[&str], how: Search) -> Result<()> {
    let binaries = build(environment)?;
    let mut broken = Vec::new();
    for target in targets {
        match search(&binaries, target, how) {
            Ok(found) => terminal::print(&format!(
                "{target:<10} {:>12} executions in {}, {} kept of the corpus and what was found\n",
                found.executions,
                terminal::duration(found.took),
                found.kept
            )),
            Err(error) => broken.push(format!("{target}: {error:#}")),
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

/// Where the targets' binaries are.
fn build(environment: &BuildEnvironment) -> Result<PathBuf> {
    let host = host_triple()?;
    let directory = tools::target_directory().join("fuzz");
    let mut command = cargo::command(environment);
    command
        .args([
            "build",
            "--release",
            "--locked",
            "--manifest-path",
            "fuzz/Cargo.toml",
        ])
        // With a target that is named, neither build scripts nor macros get the
        // instrumentation.
        .args(["--target", &host, "--target-dir"])
        .arg(&directory)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "))
        .stdin(Stdio::null());
    let status = command.status().context("cargo can't be started")?;
    ensure!(
        status.success(),
        "the fuzz targets don't build: they need a C++ compiler beside what the rest needs"
    );
    Ok(directory.join(host).join("release"))
}

fn host_triple() -> Result<String> {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .context("rustc can't be started")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .context("rustc doesn't say for what it compiles")
}

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    executions: u64,
    kept: u64,
    took: Duration,
}

fn search(binaries: &Path, target: &str, how: Search) -> Result<Found> {
    let fuzz = tools::workspace().join("fuzz");
    // What is found goes on from run to run, beside the build; what is to stay
    // is put into the repository's corpus by hand.
    let found = binaries.join("corpus").join(target);
    let artifacts = fuzz.join("artifacts").join(target);
    for directory in [&found, &artifacts] {
        fs::create_dir_all(directory)
            .with_context(|| format!("`{}` can't be made", directory.display()))?;
    }
    let log = binaries.join(format!("{target}.log"));
    let mut command = Command::new(binaries.join(target));
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-seed={}", how.seed))
        .args(["-timeout=20", "-rss_limit_mb=1024", "-print_final_stats=1"]);
    if how.seconds == 0 {
        command.arg("-runs=0");
    } else {
        command.arg(format!("-max_total_time={}", how.seconds));
    }
    let dictionary = fuzz.join("dictionaries").join(format!("{target}.dict"));
    if dictionary.is_file() {
        command.arg(format!("-dict={}", dictionary.display()));
    }
    command.arg(&found).arg(fuzz.join("corpus").join(target));
    if target == "event" {
        command.arg(tools::workspace().join("events"));
    }
    let started_at = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).context("the log can't be made")?)
        .status()
        .with_context(|| format!("`{target}` can't be started"))?;
    let took = started_at.elapsed();
    let text = fs::read(&log).context("the log can't be read")?;
    let text = String::from_utf8_lossy(&text);
    if !status.success() {
        let lines: Vec<&str> = text.lines().collect();
        let last = lines[lines.len().saturating_sub(30)..].join("\n");
        bail!(
            "an input broke a promise; it is in `{}`\n{last}",
            artifacts.display()
        );
    }
    let (executions, kept) = statistics(&text).context("libFuzzer said no numbers")?;
    Ok(Found {
        executions,
        kept,
        took,
    })
}

/// How many inputs were tried, and how many are kept: the last line that tells
/// of the corpus has `corp: 123/45Kb`.
fn statistics(log: &str) -> Option<(u64, u64)> {
    let executions = log
        .lines()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))?;
    let kept = log
        .lines()
        .rev()
        .find_map(|line| line.split_once("corp: ")?.1.split_once('/'))?;
    Some((executions.trim().parse().ok()?, kept.0.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_numbers_of_libfuzzer() {
        let log = "INFO: Seed: 1\n#2\tINITED cov: 3 ft: 4 corp: 5/60b exec/s: 0 rss: 40Mb\n\
                   #900\tDONE   cov: 7 ft: 8 corp: 11/2Kb lim: 4096 exec/s: 90 rss: 41Mb\n\
                   Done 900 runs in 10 second(s)\nstat::number_of_executed_units: 900\n\
                   stat::average_exec_per_sec:     90\n";
        assert_eq!(statistics(log), Some((900, 11)));
        assert_eq!(statistics("==1== ERROR: libFuzzer: deadly signal\n"), None);
    }

    #[test]
    fn each_target_is_a_program_with_a_corpus() {
        let fuzz = tools::workspace().join("fuzz");
        let list = |directory: &str| {
            let entries = fs::read_dir(fuzz.join(directory)).expect("is a directory");
            let mut names: Vec<String> = entries
                .map(|entry| entry.expect("is an entry").path())
                .map(|path| {
                    path.file_stem()
                        .expect("has a name")
                        .to_string_lossy()
                        .into_owned()
                })
                .filter(|name| name != "common")
                .collect();
            names.sort();
            names
        };
        assert_eq!(list("fuzz_targets"), TARGETS);
        assert_eq!(list("corpus"), TARGETS);
    }
}
