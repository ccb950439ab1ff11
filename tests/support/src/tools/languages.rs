//! The tools that plugins in other languages are built with, in the versions that
//! our templates pin.

use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{Wanted, python, run, tools_directory, workspace};

/// The search path for building a plugin in `language`: with what its template's
/// `requirements.txt` or `package-lock.json` names, got into `target/tools`.
///
/// # Errors
///
/// There is no such template, or its tools can't be fetched.
pub fn language_path(language: &str) -> anyhow::Result<OsString> {
    let template = workspace().join("guest-sdk/templates").join(language);
    let mut directories = Vec::new();
    let requirements = template.join("requirements.txt");
    if requirements.is_file() {
        directories.extend(from_pypi(&requirements)?);
    }
    if template.join("package-lock.json").is_file() {
        directories.push(from_npm(&template)?.join("node_modules/.bin"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories.extend(std::env::split_paths(&path));
    Ok(std::env::join_paths(directories)?)
}

/// The directories of the programs that a `requirements.txt` brings.
fn from_pypi(requirements: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let text = fs::read_to_string(requirements)?;
    let requirement = text
        .lines()
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .with_context(|| format!("`{}` requires nothing", requirements.display()))?;
    let python = python::install(
        &Wanted {
            name: &requirement.replace("==", "-"),
            what: &requirement.replace("==", " "),
            why: "plugins are built with it",
            by_hand: &format!("`python3 -m pip install {requirement}`"),
        },
        requirement,
    )?;
    // The programs that pip wrote name the environment's first place: these are
    // what they start.
    let mut directories = vec![
        python.packages.join("ziglang"),
        python.packages.join("go/bin"),
    ];
    directories.retain(|directory| directory.is_dir());
    if python.packages.join("componentize_py").is_dir() {
        directories.push(shim(&python, "componentize-py", "componentize_py")?);
    }
    Ok(directories)
}

/// A directory with a program that runs `script` of a Python module.
fn shim(python: &python::Python, name: &str, module: &str) -> anyhow::Result<PathBuf> {
    let directory = python.packages.join("shims");
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let text = format!(
        "#!/bin/sh\nPYTHONPATH={} exec {} -c 'import sys, {module}; sys.argv[0] = \"{name}\"; sys.exit({module}.script())' \"$@\"\n",
        quoted(&python.packages),
        quoted(&python.program),
    );
    fs::create_dir_all(&directory)?;
    // Another process may be running it: it is replaced as a whole.
    let temporary = directory.join(format!("{name}.{}", std::process::id()));
    fs::write(&temporary, text)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755))?;
    fs::rename(&temporary, directory.join(name))?;
    Ok(directory)
}

/// A directory with the `node_modules` of a template's lock file.
fn from_npm(template: &Path) -> anyhow::Result<PathBuf> {
    let lock = fs::read_to_string(template.join("package-lock.json"))?;
    let mut hasher = DefaultHasher::new();
    lock.hash(&mut hasher);
    let wanted = Wanted {
        name: &format!("javascript-{:016x}", hasher.finish()),
        what: "esbuild and componentize-qjs",
        why: "plugins in JavaScript and TypeScript are built with them",
        by_hand: "`npm install` in a copy of guest-sdk/templates/typescript",
    };
    wanted.get_in(&tools_directory(), |directory| {
        for name in ["package.json", "package-lock.json"] {
            fs::copy(template.join(name), directory.join(name))?;
        }
        run(Command::new("npm")
            // Not `ci`: it refuses a lock that lacks optional packages which were
            // never published, such as those of other systems.
            .args(["install", "--no-audit", "--no-fund"])
            .current_dir(directory))?;
        Ok(())
    })
}
