//! `cargo xtask tidy`: rules of this project that no compiler checks.
//!
//! Each rule is a function from a file's path and text to what breaks it. They
//! are coarse on purpose: a rule that is broken for a good reason is changed
//! here, where everybody sees it.

use std::fmt;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use clap::Args;
use sym_test_support::tools;

use crate::terminal;

mod functions;
mod links;
mod rust;
mod sql;
mod text;
mod wit;

/// Check the rules that no compiler checks.
#[derive(Args)]
#[command(after_help = "Example: cargo xtask tidy")]
pub(crate) struct TidyArgs {}

pub(crate) fn run(_: &TidyArgs) -> Result<ExitCode> {
    match check()? {
        0 => Ok(ExitCode::SUCCESS),
        _ => Ok(ExitCode::FAILURE),
    }
}

/// Checks all files, prints what breaks a rule, and gives the count.
///
/// # Errors
///
/// There is no git to say which files are ours, or one can't be read.
pub(crate) fn check() -> Result<usize> {
    let root = tools::workspace();
    let mut broken = Vec::new();
    for path in list_files(root)? {
        let bytes = std::fs::read(root.join(&path)).with_context(|| format!("`{path}`"))?;
        // What is no text has no words.
        if let Ok(text) = std::str::from_utf8(&bytes) {
            broken.extend(check_file(root, &path, text));
        }
    }
    for violation in &broken {
        terminal::print(&format!("{violation}\n"));
    }
    Ok(broken.len())
}

fn check_file(root: &Path, path: &str, text: &str) -> Vec<Violation> {
    let mut broken = text::check(root, path, text);
    if path.ends_with(".md") {
        broken.extend(links::check(root, path, text));
        broken.extend(functions::check(root, path, text));
        broken.extend(sql::check(path, text));
    }
    if path.ends_with(".rs") {
        broken.extend(rust::check(path, text));
    }
    if path.starts_with("wit/") && path.ends_with(".wit") {
        broken.extend(wit::check(path, text));
    }
    broken
}

/// What is committed, and what would be.
fn list_files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root)
        .output()
        .context("`git` can't be started")?;
    ensure!(
        output.status.success(),
        "`git ls-files` failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    let list = String::from_utf8(output.stdout).context("a file name is not UTF-8")?;
    Ok(list
        .split_terminator('\0')
        // Deleted, and not yet committed as such.
        .filter(|path| root.join(path).is_file())
        .map(str::to_owned)
        .collect())
}

/// A place where a rule is broken.
#[derive(Debug, PartialEq, Eq)]
struct Violation {
    path: String,
    /// From 1.
    line: usize,
    sentence: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}

/// Whether `word` is in `line`, not as a part of a longer word.
fn has_word(line: &str, word: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        let after = line[start + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_not_a_part_of_another() {
        assert!(has_word("use tokio::net;", "tokio"));
        assert!(!has_word("use tokio_util;", "tokio"));
        assert!(!has_word("mytokio", "tokio"));
        assert!(has_word("mytokio tokio", "tokio"));
    }

    #[test]
    fn a_violation_names_its_place() {
        let violation = Violation {
            path: "a.rs".to_owned(),
            line: 3,
            sentence: "it is wrong".to_owned(),
        };
        assert_eq!(violation.to_string(), "a.rs:3: it is wrong");
    }
}
