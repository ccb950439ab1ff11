//! What cargo needs around it to build this workspace.
//!
//! `pg_query`'s build script wants libclang, and must not meet `protoc`: it
//! would then write generated code of another version into its own sources, in
//! cargo's registry.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use tempfile::TempDir;

use super::{Wanted, python, run};
use crate::process::{find_program, is_executable};

/// The environment for every cargo that builds this workspace.
///
/// Keep it until they are done: it holds a directory that they search.
#[derive(Debug)]
pub struct BuildEnvironment {
    variables: Vec<(&'static str, OsString)>,
    _links: Option<TempDir>,
}

impl BuildEnvironment {
    /// Finds or fetches what is needed.
    ///
    /// # Errors
    ///
    /// libclang is not there and can't be fetched, or there is no `gcc`.
    pub fn get() -> anyhow::Result<BuildEnvironment> {
        let mut variables = vec![
            ("LIBCLANG_PATH", libclang()?.into_os_string()),
            ("BINDGEN_EXTRA_CLANG_ARGS", clang_arguments()?),
        ];
        let mut links = None;
        if let Some((path, directory)) = path_without_protoc()? {
            variables.push(("PATH", path));
            links = Some(directory);
        }
        Ok(BuildEnvironment {
            variables,
            _links: links,
        })
    }

    /// The variables to set, for people who call cargo themselves.
    pub fn variables(&self) -> &[(&'static str, OsString)] {
        &self.variables
    }

    /// Sets and removes variables of `command` as cargo needs it.
    pub fn apply<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .env_remove("PROTOC")
            .env_remove("REGENERATE_PROTOBUF")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
    }
}

/// The directory of libclang: the machine's own, or a fetched one.
fn libclang() -> anyhow::Result<PathBuf> {
    let set = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    if let Some(set) = set {
        return Ok(set);
    }
    if let Some(found) = installed_directories()
        .into_iter()
        .find(|d| has_libclang(d))
    {
        return Ok(found);
    }
    let wanted = Wanted {
        name: "libclang-18.1.1",
        what: "libclang 18.1.1",
        why: "PostgreSQL's own SQL grammar is built with it",
        by_hand: "`apt-get install libclang-dev`",
    };
    match python::install(&wanted, "libclang==18.1.1") {
        Ok(python) => Ok(python.packages.join("clang/native")),
        Err(error) => install_by_apt().map_err(|_| error),
    }
}

fn install_by_apt() -> anyhow::Result<PathBuf> {
    super::say("getting libclang by apt: pip could not");
    // A fresh container has no lists. Stale ones may do, so this may fail.
    let _ = run(Command::new("apt-get").args(["update", "--quiet"]));
    run(Command::new("apt-get")
        .args(["install", "--yes", "--quiet", "libclang-dev"])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    installed_directories()
        .into_iter()
        .find(|directory| has_libclang(directory))
        .context("libclang-dev brought no libclang")
}

/// Where distributions put libclang, the newest LLVM first.
fn installed_directories() -> Vec<PathBuf> {
    let mut directories = Vec::new();
    if let Ok(directory) = run(Command::new("llvm-config").arg("--libdir")) {
        directories.push(PathBuf::from(directory.trim()));
    }
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
        .map(|entry| entry.path().join("lib"))
        .collect();
    versions.sort();
    directories.extend(versions.into_iter().rev());
    let architecture = std::env::consts::ARCH;
    directories.extend([
        PathBuf::from(format!("/usr/lib/{architecture}-linux-gnu")),
        PathBuf::from("/usr/lib64"),
        PathBuf::from("/usr/lib"),
        PathBuf::from("/usr/local/lib"),
    ]);
    directories
}

/// Whether bindgen would find libclang in `directory`.
fn has_libclang(directory: &Path) -> bool {
    directory
        .read_dir()
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
}

/// `libclang-cpp.so` is another library.
fn is_libclang(name: &str) -> bool {
    let version = |text: &str| text.chars().all(|c| c.is_ascii_digit() || c == '.');
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    match rest.split_once(".so") {
        Some(("", after)) => version(after),
        Some((dashed, after)) => dashed.strip_prefix('-').is_some_and(version) && version(after),
        None => false,
    }
}

/// The compiler's own headers, which PyPI's libclang comes without.
///
/// Left out, the build stops at `stdbool.h` after minutes of other work.
fn clang_arguments() -> anyhow::Result<OsString> {
    if let Some(set) = std::env::var_os("BINDGEN_EXTRA_CLANG_ARGS") {
        return Ok(set);
    }
    let directory = run(Command::new("gcc").arg("-print-file-name=include"))
        .context("there is no C compiler; by hand: `apt-get install gcc`")?;
    let directory = directory.trim();
    ensure!(
        Path::new(directory).join("stdbool.h").is_file(),
        "gcc's headers are not in `{directory}`; by hand: `apt-get install gcc`"
    );
    Ok(format!("-I{directory}").into())
}

/// The search path with `protoc` left out, or `None` where there is none.
///
/// Each directory that has it is replaced by one of links to all the rest.
fn path_without_protoc() -> anyhow::Result<Option<(OsString, TempDir)>> {
    if find_program("protoc").is_none() {
        return Ok(None);
    }
    let links = tempfile::tempdir()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories = Vec::new();
    for (index, directory) in std::env::split_paths(&path).enumerate() {
        if is_executable(&directory.join("protoc")) {
            let replacement = links.path().join(index.to_string());
            link_all_but_protoc(&directory, &replacement)?;
            directories.push(replacement);
        } else {
            directories.push(directory);
        }
    }
    Ok(Some((std::env::join_paths(directories)?, links)))
}

fn link_all_but_protoc(directory: &Path, replacement: &Path) -> anyhow::Result<()> {
    fs::create_dir(replacement)?;
    for entry in directory.read_dir()? {
        let entry = entry?;
        if entry.file_name() != "protoc" {
            symlink(entry.path(), replacement.join(entry.file_name()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_libclang_from_its_neighbours() {
        for name in [
            "libclang.so",
            "libclang.so.1",
            "libclang-14.so.14.0.6",
            "libclang-14.so",
        ] {
            assert!(is_libclang(name), "{name}");
        }
        for name in [
            "libclang-cpp.so.14",
            "libclangAST.a",
            "libclang.a",
            "libLLVM.so",
        ] {
            assert!(!is_libclang(name), "{name}");
        }
    }

    #[test]
    fn leaves_out_protoc_and_keeps_its_neighbours() -> anyhow::Result<()> {
        let directory = tempfile::tempdir()?;
        for name in ["protoc", "gcc", "protoc-gen-x"] {
            fs::write(directory.path().join(name), "")?;
        }
        let replacement = directory.path().join("links");
        link_all_but_protoc(directory.path(), &replacement)?;
        assert!(!replacement.join("protoc").exists());
        assert!(replacement.join("gcc").exists());
        assert!(replacement.join("protoc-gen-x").exists());
        Ok(())
    }
}
