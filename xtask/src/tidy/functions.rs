//! A rule for Markdown: a function that a page names, as `tests/e2e/role.rs::NAME`
//! or, after such a one on the same line, as `::NAME`, is in that file.

use std::path::Path;

use super::{Violation, has_word};

pub(super) fn check(root: &Path, path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (file, name) in named(line) {
            let source = std::fs::read_to_string(root.join(file));
            let why = match &source {
                Err(_) => "there is no such file",
                Ok(source) if !has_function(source, name) => "the file has no such function",
                Ok(_) => continue,
            };
            broken.push(Violation {
                path: path.to_owned(),
                line: index + 1,
                sentence: format!("names `{file}::{name}`, and {why}"),
            });
        }
    }
    broken
}

/// The files and functions in a line's code.
fn named(line: &str) -> Vec<(&str, &str)> {
    let mut named = Vec::new();
    let mut last = None;
    // What is between backquotes is every other part.
    for code in line.split('`').skip(1).step_by(2) {
        let Some((file, name)) = code.split_once("::") else {
            continue;
        };
        let file = match file {
            "" => last,
            file if file.ends_with(".rs") => Some(file),
            _ => None,
        };
        if let Some(file) = file {
            named.push((file, name));
            last = Some(file);
        }
    }
    named
}

fn has_function(source: &str, name: &str) -> bool {
    let function = format!("fn {name}");
    source.lines().any(|line| has_word(line, &function))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_functions_that_are_elsewhere() -> anyhow::Result<()> {
        let root = tempfile::tempdir()?;
        std::fs::write(root.path().join("a.rs"), "async fn one() {}\nfn two() {}\n")?;
        let check = |text: &str| -> Vec<String> {
            let broken = check(root.path(), "README.md", text).into_iter();
            broken.map(|violation| violation.to_string()).collect()
        };
        let fine = "`a.rs::one`, `::two`, `std::fs`, `::three` `b.rs` `x::y`\n";
        assert_eq!(
            check(fine),
            ["README.md:1: names `a.rs::three`, and the file has no such function"]
        );
        assert!(check("`std::fs::read`, `::one`\n").is_empty());
        assert_eq!(
            check("\n`a.rs::tw` and `b.rs::one`"),
            [
                "README.md:2: names `a.rs::tw`, and the file has no such function",
                "README.md:2: names `b.rs::one`, and there is no such file",
            ]
        );
        Ok(())
    }
}
