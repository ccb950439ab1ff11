//! Rules for Markdown: every link to a file leads somewhere, and the book's table
//! of contents names every page.

use std::path::{Component, Path, PathBuf};

use super::Violation;

pub(super) fn check(root: &Path, path: &str, text: &str) -> Vec<Violation> {
    let mut broken = Vec::new();
    let mut is_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        if is_code {
            continue;
        }
        for link in links(line) {
            if let Some(why) = why_broken(root, path, text, link) {
                broken.push(Violation {
                    path: path.to_owned(),
                    line: index + 1,
                    sentence: format!("links to `{link}`, {why}"),
                });
            }
        }
    }
    if path == "docs/SUMMARY.md" {
        broken.extend(missing_pages(root, text));
    }
    broken
}

/// What stands in `](…)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let (link, _) = rest.split_once(')')?;
        Some(link.split_whitespace().next().unwrap_or_default())
    })
}

fn why_broken(root: &Path, path: &str, text: &str, link: &str) -> Option<&'static str> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    if file.is_empty() {
        return (!has_heading(text, anchor)).then_some("a heading that isn't there");
    }
    let target = resolve(&Path::new(path).parent()?.join(file));
    let target = root.join(target);
    if !target.exists() {
        return Some("which isn't there");
    }
    let is_page = target
        .extension()
        .is_some_and(|extension| extension == "md");
    if anchor.is_empty() || !is_page {
        return None;
    }
    let text = std::fs::read_to_string(&target).unwrap_or_default();
    (!has_heading(&text, anchor)).then_some("a heading that isn't there")
}

/// A path without `.` and `..`, which need nothing to be there.
fn resolve(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            Component::CurDir => {}
            other => resolved.push(other),
        }
    }
    resolved
}

fn has_heading(text: &str, anchor: &str) -> bool {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .any(|line| slug(line.trim_start_matches('#').trim()) == anchor)
}

/// A heading's anchor, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    heading
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// Pages of `docs/` that its table of contents leaves out.
fn missing_pages(root: &Path, text: &str) -> Vec<Violation> {
    let listed: Vec<&str> = text.lines().flat_map(links).collect();
    let entries = std::fs::read_dir(root.join("docs")).into_iter().flatten();
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".md") && name != "SUMMARY.md")
        .filter(|name| !listed.contains(&name.as_str()))
        .collect();
    names.sort();
    names
        .into_iter()
        .map(|name| Violation {
            path: "docs/SUMMARY.md".to_owned(),
            line: 1,
            sentence: format!("doesn't name `{name}`: no reader of the book would find it"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str) -> anyhow::Result<Vec<String>> {
        let root = tempfile::tempdir()?;
        std::fs::create_dir(root.path().join("docs"))?;
        std::fs::write(root.path().join("docs/a.md"), "# The first, and last\n")?;
        std::fs::write(root.path().join("README.md"), "# It\n")?;
        let broken = check(root.path(), "docs/SUMMARY.md", text);
        Ok(broken
            .into_iter()
            .map(|violation| violation.sentence)
            .collect())
    }

    #[test]
    fn finds_links_that_lead_nowhere() -> anyhow::Result<()> {
        let fine = "[a](a.md) [b](../README.md) [c](a.md#the-first-and-last) [d](https://x.y/z)\n\
            [e](#here)\n# Here\n```\n[f](nowhere.md)\n```\n";
        assert!(check_text(fine)?.is_empty());
        for (text, why) in [
            ("[b](b.md)", "links to `b.md`, which isn't there"),
            (
                "[b](a.md#second)",
                "links to `a.md#second`, a heading that isn't there",
            ),
            (
                "[b](#there)",
                "links to `#there`, a heading that isn't there",
            ),
        ] {
            assert_eq!(check_text(&format!("[a](a.md) {text}"))?, [why]);
        }
        Ok(())
    }

    #[test]
    fn finds_pages_that_the_book_leaves_out() -> anyhow::Result<()> {
        let sentence = "doesn't name `a.md`: no reader of the book would find it";
        assert_eq!(check_text("# Summary\n")?, [sentence]);
        Ok(())
    }
}
