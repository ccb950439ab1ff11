//! Rules for Rust: every module says what it is for, and pure modules are pure.

use super::{Violation, has_word};

/// Where every file must begin with what it is for.
const DOCUMENTED: [&str; 4] = ["host/src/", "cli/src/", "xtask/src/", "tests/support/src/"];

/// The host's modules that decide and do nothing else.
const PURE: [&str; 12] = [
    "config", "env", "error", "event", "metrics", "name", "plan", "policy", "record", "request",
    "response", "secret",
];

/// `sql` is pure too, and has a name that only whole paths tell from others.
const PURE_SQL: &str = "sql";

/// Words that give away a clock, a network, an environment or a runtime.
const IMPURE_WORDS: [&str; 6] = [
    "tokio",
    "wasmtime",
    "std::env",
    "std::fs",
    "std::net",
    "SystemTime",
];

/// How the names of the AWS SDK's crates begin; `aws_lc_rs` only computes.
const IMPURE_PREFIXES: [&str; 3] = ["aws_config", "aws_sdk_", "aws_smithy_"];

pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    let documented = DOCUMENTED.iter().any(|prefix| path.starts_with(prefix));
    if documented && !text.starts_with("//!") {
        broken.push(Violation {
            path: path.to_owned(),
            line: 1,
            sentence: "a file begins with `//!` and what it is for".to_owned(),
        });
    }
    if is_pure(path) {
        broken.extend(check_purity(path, text));
    }
    broken
}

/// Whether `path` is a pure module of the host, or a part of one.
fn is_pure(path: &str) -> bool {
    let Some(inside) = path.strip_prefix("host/src/") else {
        return false;
    };
    let module = inside
        .split('/')
        .next()
        .unwrap_or_default()
        .trim_end_matches(".rs");
    PURE.contains(&module) || module == PURE_SQL
}

fn check_purity(path: &str, text: &str) -> Vec<Violation> {
    if path.ends_with("/tests.rs") {
        return Vec::new();
    }
    text.lines()
        // Unit tests are at the foot of a file.
        .take_while(|line| line.trim() != "#[cfg(test)]")
        .enumerate()
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(index, line)| {
            let words = IMPURE_WORDS.into_iter().filter(|word| has_word(line, word));
            let prefixes = IMPURE_PREFIXES
                .into_iter()
                .filter(|prefix| has_word_that_starts(line, prefix));
            words.chain(prefixes).map(move |word| (index, word))
        })
        .map(|(index, word)| Violation {
            path: path.to_owned(),
            line: index + 1,
            sentence: format!(
                "names `{word}`, and a pure module knows no clock, network, environment or runtime"
            ),
        })
        .collect()
}

fn has_word_that_starts(line: &str, prefix: &str) -> bool {
    line.match_indices(prefix).any(|(start, _)| {
        let before = line[..start].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_lines(path: &str, text: &str, expected: &[usize]) {
        let lines: Vec<usize> = check(path, text).iter().map(|v| v.line).collect();
        assert_eq!(lines, expected, "{path}");
    }

    #[test]
    fn a_file_without_its_purpose_is_found() {
        check_lines("host/src/lib.rs", "//! All.\n", &[]);
        check_lines("host/src/lib.rs", "mod a;\n", &[1]);
        check_lines("cli/src/main.rs", "// Not documentation.\n", &[1]);
        check_lines("tests/e2e/main.rs", "mod a;\n", &[]);
    }

    #[test]
    fn a_pure_module_that_looks_around_is_found() {
        check_lines("host/src/name.rs", "//! A.\nuse tokio::net;\n", &[2]);
        check_lines("host/src/name.rs", "//! A.\nuse std::env;\n", &[2]);
        check_lines("host/src/policy/a.rs", "//! A.\naws_sdk_ssm::x();\n", &[2]);
        check_lines("host/src/sql.rs", "//! A.\nSystemTime::now();\n", &[2]);
        check_lines("host/src/postgres.rs", "//! A.\nuse tokio::net;\n", &[]);
        check_lines("host/src/name.rs", "//! Names no `tokio`.\n", &[]);
        check_lines("host/src/name.rs", "//! A.\nlet laws_of = 1;\n", &[]);
    }

    #[test]
    fn tests_of_a_pure_module_may_look_around() {
        let text = "//! A.\n#[cfg(test)]\nmod tests {\nuse std::fs;\n}\n";
        check_lines("host/src/name.rs", text, &[]);
        check_lines("host/src/policy/tests.rs", "//! A.\nuse std::fs;\n", &[]);
    }
}
