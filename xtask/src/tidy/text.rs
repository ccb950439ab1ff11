//! Rules for every text: nothing left to do, and nothing that is true on one
//! machine alone.

use std::path::Path;

use super::{Violation, has_word};

pub(super) fn check(root: &Path, path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut report = |sentence: String| {
            broken.push(Violation {
                path: path.to_owned(),
                line: index + 1,
                sentence,
            });
        };
        for word in reminders() {
            if has_word(line, &word) {
                report(format!("says {word}: do it, or write an issue"));
            }
        }
        for place in machine_paths(root) {
            if line.contains(&place) {
                report(format!("names `{place}`, which is a place on one machine"));
            }
        }
        // Cargo writes the name of its registry there itself.
        if !path.ends_with("Cargo.lock") {
            for host in registry_hosts() {
                if line.contains(&host) {
                    report(format!(
                        "names the registry `{host}`: which one is used is each machine’s own affair"
                    ));
                }
            }
        }
    }
    broken
}

// The words are put together, or this file would break its own rules.

fn reminders() -> [String; 3] {
    [["TO", "DO"], ["FIX", "ME"], ["XX", "X"]].map(|parts| parts.concat())
}

fn machine_paths(root: &Path) -> Vec<String> {
    let mut paths: Vec<String> = ["work", "root"]
        .map(|name| format!("/{name}/"))
        .into_iter()
        .collect();
    // Wherever it is: but `/w` alone is in too many other words.
    if root.components().count() > 2 {
        paths.push(root.display().to_string());
    }
    paths
}

fn registry_hosts() -> [String; 6] {
    [
        ["crates", "io"],
        ["npmjs", "org"],
        ["npmjs", "com"],
        ["pypi", "org"],
        ["static.rust-lang", "org"],
        ["pythonhosted", "org"],
    ]
    .map(|parts| parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_line(path: &str, line: &str) -> usize {
        check(Path::new("/some/where"), path, line).len()
    }

    #[test]
    fn finds_what_is_left_to_do() {
        for word in reminders() {
            assert_eq!(
                check_line("a.md", &format!("// {word}: later")),
                1,
                "{word}"
            );
            assert_eq!(check_line("a.md", &format!("mktemp {word}X")), 0, "{word}");
        }
    }

    #[test]
    fn finds_places_of_one_machine() {
        for path in machine_paths(Path::new("/some/where")) {
            assert_eq!(check_line("a.md", &format!("see {path}")), 1, "{path}");
        }
        assert_eq!(check_line("a.md", "cd framework/rootless/"), 0);
    }

    #[test]
    fn finds_registries_except_where_cargo_names_them() {
        for host in registry_hosts() {
            assert_eq!(
                check_line("a.md", &format!("https://{host}/x")),
                1,
                "{host}"
            );
            assert_eq!(check_line("Cargo.lock", &host), 0, "{host}");
        }
    }
}
