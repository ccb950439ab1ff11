//! The way of a new user: a project in each language, and the commands of its own
//! README, one after the other. In an empty home, so that whatever they would have
//! to get is got.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use sym_test_support::tools;

use crate::terminal;

/// Says how long each command took.
///
/// # Errors
///
/// One of them failed.
pub(super) fn walk(languages: &[String]) -> Result<()> {
    terminal::print("| language | command | seconds |\n|---|---|---:|\n");
    for language in languages {
        let home = tempfile::tempdir()?;
        let project = home.path().join("my-plugin");
        let new = format!("symctl plugin new my-plugin --lang {language}");
        timed(language, &new, home.path(), home.path())?;
        let readme = fs::read_to_string(project.join("README.md"))?;
        let commands = commands(&readme);
        ensure!(!commands.is_empty(), "the README for {language} has none");
        for command in commands {
            timed(language, command, home.path(), &project)?;
        }
    }
    Ok(())
}

/// What the first block for a shell has.
fn commands(readme: &str) -> Vec<&str> {
    let block = readme.split_once("```sh\n").map(|(_, rest)| rest);
    let block = block.and_then(|rest| rest.split_once("```"));
    let lines = block.map_or("", |(block, _)| block).lines();
    lines
        .map(|line| line.split_once(" #").map_or(line, |(line, _)| line).trim())
        .filter(|line| !line.is_empty())
        .collect()
}

fn timed(language: &str, command: &str, home: &Path, directory: &Path) -> Result<()> {
    let symctl = tools::binary("symctl")?;
    let own = symctl.parent().context("it is in a directory")?;
    let path = std::env::var("PATH").context("there is no search path")?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(directory)
        .env_clear()
        .env("HOME", home)
        .env("PATH", format!("{}:{path}", own.display()))
        .stdin(Stdio::null());
    // The toolchain is what a user of Rust has already; its crates aren't.
    if let Some(rustup) = rustup_home() {
        shell.env("RUSTUP_HOME", rustup);
    }
    let started_at = Instant::now();
    let output = shell.output().context("there is no `sh`")?;
    let seconds = started_at.elapsed().as_secs_f64();
    ensure!(
        output.status.success(),
        "{language}: `{command}` failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    terminal::print(&format!("| {language} | `{command}` | {seconds:.1} |\n"));
    Ok(())
}

fn rustup_home() -> Option<String> {
    let own = std::env::var("RUSTUP_HOME").ok();
    own.or_else(|| Some(format!("{}/.rustup", std::env::var("HOME").ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_readme_has_commands_that_end_in_a_check() {
        for language in super::super::all().expect("there are some") {
            let readme = format!("guest-sdk/templates/{language}/README.md");
            let readme = fs::read_to_string(tools::workspace().join(readme)).expect("is there");
            let commands = commands(&readme);
            assert!(commands.len() >= 4, "{language}: {commands:?}");
            assert_eq!(commands.last(), Some(&"symctl plugin check"), "{language}");
        }
    }
}
