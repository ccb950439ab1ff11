//! Rust: cargo, for a target without WASI.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use super::project::Project;
use super::tools::{self, Tool};

/// What a plugin imports is what `wit/` says, and no more.
const TARGET: &str = "wasm32-unknown-unknown";

const CARGO: Tool<'_> = Tool {
    names: &["cargo"],
    directory: ".cargo/bin",
    install: "rustup installs it, see https://rustup.rs",
};

pub(super) fn compile(project: &Project) -> Result<Vec<u8>> {
    ensure_target(project)?;
    let target_directory = target_directory(project)?;
    let mut cargo = CARGO.command(&project.root)?;
    cargo
        .args(["build", "--quiet", "--locked", "--release", "--lib"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(&target_directory)
        // Not RUSTFLAGS, which splits at blanks. It has precedence over that, too.
        .env("CARGO_ENCODED_RUSTFLAGS", remap_cargo_home()?);
    if let Err(error) = tools::run(&mut cargo) {
        ensure!(
            !is_lock_behind(project)?,
            "`Cargo.lock` doesn't match `Cargo.toml`: run `cargo update --workspace`, then build again"
        );
        return Err(error);
    }
    let module = target_directory
        .join(TARGET)
        .join("release")
        .join(project.name.replace('-', "_"))
        .with_extension("wasm");
    tools::read(&module)
}

/// Whether it is for the lock that cargo refuses to build: what it prints of that
/// names an option that nobody gave.
fn is_lock_behind(project: &Project) -> Result<bool> {
    let mut cargo = CARGO.command(&project.root)?;
    let output = cargo
        .args(["metadata", "--quiet", "--locked", "--format-version", "1"])
        .output()
        .context("`cargo` can't be started")?;
    let says_locked = || String::from_utf8_lossy(&output.stderr).contains("--locked");
    Ok(!output.status.success() && says_locked())
}

/// Where cargo builds: as everywhere, `CARGO_TARGET_DIR` comes first.
fn target_directory(project: &Project) -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => tools::absolute(directory.as_ref()),
        None => tools::absolute(&project.root.join("target")),
    }
}

/// Asked of rustc, not of rustup: a distribution's compiler brings it along.
fn ensure_target(project: &Project) -> Result<()> {
    let mut cargo = CARGO.command(&project.root)?;
    let output = cargo
        .args(["rustc", "--quiet", "--lib", "--target", TARGET])
        .args(["--print", "target-libdir"])
        .output()
        .context("`cargo` can't be started")?;
    if !output.status.success() {
        // What is wrong with the project, the build will say.
        return Ok(());
    }
    let directory = String::from_utf8(output.stdout)?;
    ensure!(
        PathBuf::from(directory.trim()).is_dir(),
        "Rust has no standard library for {TARGET}: `rustup target add {TARGET}` installs it"
    );
    Ok(())
}

/// The compiler's flag, so that no component tells whose home it was built in.
fn remap_cargo_home() -> Result<OsString> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => match std::env::home_dir() {
            Some(home) => home.join(".cargo"),
            None => bail!("there is no home directory: set CARGO_HOME"),
        },
    };
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(home);
    flag.push("=cargo");
    Ok(flag)
}
