//! `cargo xtask dist`: the function's zip for Lambda's `provided.al2023`, with
//! checksums and a list of what is in it (CycloneDX), which then has to work in
//! AWS's own emulator of Lambda.
//!
//! The same source and toolchain make the same bytes: paths are written as on no
//! machine, and the zip has no time of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sym_test_support::tools::{self, BuildEnvironment};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use crate::{cargo, plugins, terminal};

/// The version of glibc in Amazon Linux 2023.
const GLIBC: (u32, u32) = (2, 34);

/// The libraries that Amazon Linux 2023's Lambda environment has.
const LIBRARIES: [&str; 7] = [
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
];

/// Make the function's zip, and run what it holds in AWS's emulator of Lambda.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask dist --arch aarch64")]
pub(crate) struct DistArgs {
    /// Build for this architecture, instead of this machine's: another one is
    /// cross-compiled with zig, and run under QEMU.
    #[arg(long, value_name = "ARCHITECTURE", default_value = std::env::consts::ARCH, hide_default_value = true)]
    #[arg(value_parser = ["x86_64", "aarch64"])]
    arch: String,
    /// Pack this `bootstrap`, instead of building one.
    #[arg(long, value_name = "PATH", conflicts_with = "arch")]
    bootstrap: Option<PathBuf>,
    /// Don't run it.
    #[arg(long)]
    untried: bool,
    /// Where to.
    #[arg(long, value_name = "DIR", default_value = "dist")]
    out: PathBuf,
}

pub(crate) fn run(arguments: &DistArgs) -> Result<ExitCode> {
    let bootstrap = match &arguments.bootstrap {
        Some(path) => path.clone(),
        None => build(&arguments.arch)?,
    };
    let architecture = tools::architecture(&bootstrap)?;
    check_libraries(&readelf(&bootstrap, "--dynamic")?)?;
    check_glibc(&readelf(&bootstrap, "--version-info")?)?;
    let binary = std::fs::read(&bootstrap).with_context(|| format!("`{}`", bootstrap.display()))?;
    let files = [
        (format!("bootstrap-{architecture}.zip"), pack(&binary)?),
        (
            format!("bootstrap-{architecture}.cdx.json"),
            serde_json::to_vec_pretty(&bill_of_materials(&metadata()?)?)?,
        ),
    ];
    let out = tools::workspace().join(&arguments.out);
    std::fs::create_dir_all(&out)?;
    let mut sums = String::new();
    for (name, bytes) in &files {
        std::fs::write(out.join(name), bytes)?;
        let sum = hex(&Sha256::digest(bytes));
        sums.push_str(&format!("{sum}  {name}\n"));
        terminal::print(&format!("{sum}  {name}  {} bytes\n", bytes.len()));
    }
    std::fs::write(out.join(format!("SHA256SUMS-{architecture}")), sums)?;
    if !arguments.untried {
        emulate(&out.join(format!("bootstrap-{architecture}.zip")))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs what a zip holds in AWS's runtime interface emulator: the end-to-end tests
/// `emulator`, which otherwise run the debug build.
fn emulate(zip: &Path) -> Result<()> {
    let environment = BuildEnvironment::get()?;
    plugins::build(tools::workspace())?;
    let unpacked = tempfile::tempdir()?;
    let bootstrap = unpacked.path().join("bootstrap");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(zip)?)?;
    archive.extract(unpacked.path())?;
    // What publishes its plugins, and the tests, as `cargo xtask test` builds them.
    for what in [["build", "--all-targets"], ["test", "--test=e2e"]] {
        let mut command = cargo::command(&environment);
        command.arg(what[0]).args(["--workspace", what[1]]);
        if what[0] == "test" {
            command.args(["--", "emulator::", "--test-threads=1"]);
        }
        let status = command.env("SYM_TEST_BOOTSTRAP", &bootstrap).status()?;
        ensure!(
            status.success(),
            "`cargo {}` failed ({status}): don't use `{}`",
            what[0],
            zip.display()
        );
    }
    Ok(())
}

/// Where release builds are: with other features and flags than the tests', and
/// nothing of theirs would be left otherwise.
pub(crate) fn directory() -> PathBuf {
    tools::target_directory().join("dist")
}

/// The flags of every release build: paths are written as on no machine.
///
/// # Errors
///
/// Nobody says where cargo keeps the sources.
pub(crate) fn flags() -> Result<String> {
    let home = std::env::var("CARGO_HOME")
        .or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    Ok(format!(
        "--remap-path-prefix={}=/sym-postgres --remap-path-prefix={home}=/cargo",
        tools::workspace().display()
    ))
}

/// The function as it ships, built for this or another architecture.
///
/// # Errors
///
/// It doesn't compile, or what it needs can't be had.
pub(crate) fn build(architecture: &str) -> Result<PathBuf> {
    build_with(architecture, &directory(), &[])
}

/// The function without a compiler, built as it would ship, for this architecture.
///
/// # Errors
///
/// As [`build`].
pub(crate) fn build_slim() -> Result<PathBuf> {
    // It would take the other one's place.
    let target = tools::target_directory().join("dist-slim");
    build_with(std::env::consts::ARCH, &target, &["--no-default-features"])
}

fn build_with(architecture: &str, target: &Path, features: &[&str]) -> Result<PathBuf> {
    let environment = BuildEnvironment::get()?;
    let mut command = cargo::command(&environment);
    let mut built = target.to_owned();
    if architecture == std::env::consts::ARCH {
        command.arg("build");
    } else {
        let triple = format!("{architecture}-unknown-linux-gnu");
        command = zig_build(&environment, &triple)?;
        built.push(triple);
    }
    let status = command
        .args(["--release", "--locked", "-p", "sym-host"])
        .args(["--bin", "bootstrap", "--target-dir"])
        .arg(target)
        .args(features)
        .env("RUSTFLAGS", flags()?)
        .status()?;
    ensure!(status.success(), "the build failed ({status})");
    Ok(built.join("release/bootstrap"))
}

/// A build for another architecture, with Amazon Linux 2023's glibc.
fn zig_build(environment: &BuildEnvironment, triple: &str) -> Result<Command> {
    let added = Command::new("rustup")
        .args(["target", "add", triple])
        .status()
        .with_context(|| format!("there is no rustup to get Rust's library for {triple}"))?;
    ensure!(
        added.success(),
        "`rustup target add {triple}` failed ({added})"
    );
    let zig = tools::zig_build()?;
    let architecture = triple.split('-').next().unwrap_or_default();
    let mut command = Command::new(&zig.program);
    cargo::prepare(&mut command, environment);
    let (major, minor) = GLIBC;
    command
        .args(["zigbuild", "--target", &format!("{triple}.{major}.{minor}")])
        .env("CARGO", cargo::program())
        .env(
            "BINDGEN_EXTRA_CLANG_ARGS",
            zig.clang_arguments(environment, architecture),
        )
        .env("PATH", zig.path_after(environment)?);
    Ok(command)
}

fn readelf(binary: &Path, what: &str) -> Result<String> {
    let output = Command::new("readelf")
        .args(["--wide", what])
        .arg(binary)
        .env("LC_ALL", "C")
        .output()
        .context(
            "`readelf` can't be started: it comes with the linker, in the package `binutils`",
        )?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn check_libraries(dynamic: &str) -> Result<()> {
    for line in dynamic.lines().filter(|line| line.contains("(NEEDED)")) {
        let name = line.split(['[', ']']).nth(1).unwrap_or_default();
        ensure!(
            LIBRARIES.contains(&name),
            "the binary needs `{name}`, which Lambda's `provided.al2023` doesn't have"
        );
    }
    Ok(())
}

fn check_glibc(versions: &str) -> Result<()> {
    let mut newest = (0, 0);
    for name in versions.split("GLIBC_").skip(1) {
        let mut parts = name.split(|c: char| !c.is_ascii_digit());
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<u32>().ok());
        if let (Some(major), Some(minor)) = (number(parts.next()), number(parts.next())) {
            newest = newest.max((major, minor));
        }
    }
    ensure!(newest > (0, 0), "the binary names no version of glibc");
    ensure!(
        newest <= GLIBC,
        "the binary needs glibc {}.{}, and Amazon Linux 2023 has {}.{}: build it on a machine with that one, or an older",
        newest.0,
        newest.1,
        GLIBC.0,
        GLIBC.1
    );
    Ok(())
}

/// The zip: one file that may be run, of no time.
fn pack(binary: &[u8]) -> Result<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default())
        .unix_permissions(0o755);
    zip.start_file("bootstrap", options)?;
    zip.write_all(binary)?;
    Ok(zip.finish()?.into_inner())
}

/// What cargo knows of the function's dependencies.
fn metadata() -> Result<Value> {
    let output = Command::new(cargo::program())
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(tools::workspace())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", errors.trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Every crate that `sym-host` is made of, those of other platforms and of
/// features that are off included: more than is in the binary, never less.
fn bill_of_materials(metadata: &Value) -> Result<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages: BTreeMap<String, Value> = list(&metadata["packages"])
        .into_iter()
        .map(|package| {
            (
                package["id"].as_str().unwrap_or_default().to_owned(),
                package,
            )
        })
        .collect();
    let nodes: BTreeMap<String, Value> = list(&metadata["resolve"]["nodes"])
        .into_iter()
        .map(|node| (node["id"].as_str().unwrap_or_default().to_owned(), node))
        .collect();
    let host = packages
        .iter()
        .find(|(_, package)| package["name"] == "sym-host")
        .context("there is no package `sym-host`")?;
    let mut seen = BTreeSet::new();
    let mut next = vec![host.0.clone()];
    while let Some(id) = next.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        for dependency in list(&nodes[&id]["deps"]) {
            // Tests' and build scripts' own are in no binary.
            let is_normal = list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null());
            if let (true, Some(id)) = (is_normal, dependency["pkg"].as_str()) {
                next.push(id.to_owned());
            }
        }
    }
    let mut components: Vec<Value> = seen
        .iter()
        .filter(|id| *id != host.0)
        .map(|id| component(&packages[id], "library"))
        .collect();
    components.sort_by_key(|component| component["purl"].to_string());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(host.1, "application")},
        "components": components,
    }))
}

fn component(package: &Value, kind: &str) -> Value {
    let text = |name: &str| package[name].as_str().unwrap_or_default();
    let (name, version) = (text("name"), text("version"));
    let mut component = json!({
        "type": kind, "name": name, "version": version,
        "bom-ref": format!("{name}@{version}"),
        "purl": format!("pkg:cargo/{name}@{version}"),
    });
    // What SPDX had before its operators.
    let license = text("license").replace('/', " OR ");
    if !license.is_empty() {
        component["licenses"] = json!([{"expression": license}]);
    }
    component
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_binary_is_the_same_zip_with_one_file_that_may_be_run() -> Result<()> {
        let binary = b"not much of a binary".repeat(1000);
        let zip = pack(&binary)?;
        assert_eq!(zip, pack(&binary)?);
        assert!(zip.len() < binary.len());
        let mut archive = zip::ZipArchive::new(Cursor::new(zip))?;
        assert_eq!(archive.len(), 1);
        let file = archive.by_index(0)?;
        assert_eq!(file.name(), "bootstrap");
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o755));
        Ok(())
    }

    #[test]
    fn a_binary_for_a_newer_system_is_refused() {
        assert!(check_glibc("Name: GLIBC_2.34  Name: GLIBC_2.2.5").is_ok());
        for versions in ["GLIBC_2.17 GLIBC_2.35", "GLIBC_3.0", ""] {
            assert!(check_glibc(versions).is_err(), "{versions}");
        }
        let needed = |name: &str| format!(" 0x1 (NEEDED)  Shared library: [{name}]");
        assert!(check_libraries(&needed("libc.so.6")).is_ok());
        assert!(check_libraries(&needed("libssl.so.3")).is_err());
    }

    #[test]
    fn the_bill_has_what_the_function_is_made_of() -> Result<()> {
        let bill = bill_of_materials(&metadata()?)?;
        let components = bill["components"].as_array().context("is a list")?;
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        assert!(has("tokio-postgres") && has("wasmtime") && has("rustls"));
        // The tests' own.
        assert!(!has("proptest") && !has("sym-host"));
        Ok(())
    }
}
