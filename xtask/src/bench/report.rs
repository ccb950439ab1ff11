//! What people see of the figures: a table on the terminal, and the tables and
//! plots of `docs/performance.md`.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use sym_test_support::tools::{self, Major};

use super::budgets::Verdict;
use super::figures::{Figure, Figures};
use crate::terminal::Style;

/// Between these lines the page is ours; the rest is written by people.
const BEGIN: &str = "<!-- cargo xtask bench --docs: begin -->";
const END: &str = "<!-- cargo xtask bench --docs: end -->";

/// Everything, for the terminal.
pub(super) fn text(figures: &Figures, budgets: &[Verdict]) -> String {
    let style = Style::for_stdout();
    let mut text = String::new();
    let width = figures
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let mut group = "";
    for (name, figure) in figures.iter() {
        let this = name.rsplit_once('/').map_or("", |(group, _)| group);
        if this != group {
            text.push('\n');
            group = this;
        }
        let spread = Figure {
            value: figure.spread,
            ..*figure
        };
        let spread = if figure.spread > 0.0 {
            format!("± {spread}")
        } else {
            String::new()
        };
        let _ = writeln!(
            text,
            "{name:width$}  {:>10}  {}",
            figure.to_string(),
            style.dim(&spread)
        );
    }
    text.push('\n');
    for verdict in budgets {
        let word = verdict.word();
        let word = match word {
            "kept" => style.good(word),
            "too much" => style.bad(word),
            _ => style.dim(word),
        };
        let _ = writeln!(
            text,
            "{word}: {} ({} of {})",
            verdict.title,
            shown(verdict.figure.as_ref()),
            shown(verdict.limit.as_ref())
        );
    }
    text
}

fn shown(figure: Option<&Figure>) -> String {
    figure.map_or_else(|| "?".to_owned(), ToString::to_string)
}

/// What differs from an earlier run by more than the noise of both.
pub(super) fn moved(before: &Figures, now: &Figures) -> String {
    let mut text = String::from("\nAgainst the baseline:\n");
    let mut count = 0;
    for (name, figure) in now.iter() {
        let Some(earlier) = before.get(name) else {
            continue;
        };
        if figure.moved_from(earlier) {
            count += 1;
            let percent = (figure.value / earlier.value - 1.0) * 100.0;
            let _ = writeln!(text, "  {name}: {earlier} -> {figure} ({percent:+.0} %)");
        }
    }
    if count == 0 {
        text.push_str("  nothing moved beyond the noise\n");
    }
    text
}

/// Writes the page's tables, and the plots beside it.
pub(super) fn write_docs(figures: &Figures, budgets: &[Verdict]) -> Result<()> {
    let docs = tools::workspace().join("docs");
    let path = docs.join("performance.md");
    let page = fs::read_to_string(&path).context("there is no docs/performance.md")?;
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("docs/performance.md has no line `{BEGIN}`"))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("docs/performance.md has no line `{END}`"))?;
    ensure!(figures.iter().next().is_some(), "nothing was measured");
    let surroundings = surroundings()?;
    let tables = tables(figures, budgets);
    fs::write(
        &path,
        format!("{before}{BEGIN}\n\n{surroundings}\n{tables}{END}{after}"),
    )?;
    let plots = docs.join("performance");
    fs::create_dir_all(&plots)?;
    for (name, title, what) in PLOTS {
        fs::write(
            plots.join(format!("{name}.svg")),
            plot(figures, title, what),
        )?;
    }
    Ok(())
}

/// The machine, the command and the versions, as a sentence.
fn surroundings() -> Result<String> {
    let line_of = |path: &str, key: &str| -> Result<String> {
        let text = fs::read_to_string(path).with_context(|| format!("`{path}`"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        let value = line.and_then(|rest| rest.split_once(':'));
        let (_, value) = value.with_context(|| format!("`{path}` doesn't tell `{key}`"))?;
        Ok(value.trim().to_owned())
    };
    let said = |program: &str, arguments: &[&str]| -> Result<String> {
        let mut command = Command::new(program);
        let output = command.args(arguments).output();
        let output = output.with_context(|| format!("`{program}` can't be started"))?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // Not where else the figures went.
    let mut arguments = Vec::new();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        match argument.as_str() {
            "--json" | "--baseline" => drop(given.next()),
            _ => arguments.push(argument),
        }
    }
    let memory = line_of("/proc/meminfo", "MemTotal")?;
    let kilobytes = memory.strip_suffix(" kB").unwrap_or(&memory);
    let kilobytes: f64 = kilobytes.parse().context("`/proc/meminfo`")?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let postgres = tools::postgres_install(Major::from_env()?)?.version;
    Ok(format!(
        "By `cargo xtask {}` at the commit `{}`, on {} cores of {} with {:.1} GB, Linux {}; {}, PostgreSQL {postgres}, {}.\n",
        arguments.join(" "),
        said("git", &["rev-parse", "--short", "HEAD"])?,
        std::thread::available_parallelism()?,
        line_of("/proc/cpuinfo", "model name")?,
        kilobytes * 1024.0 / 1e9,
        kernel.trim(),
        said("rustc", &["--version"])?,
        said("python3", &["--version"])?,
    ))
}

const PLOTS: [(&str, &str, &str); 3] = [
    (
        "cold",
        "Cold start: from exec to the first answer, ms",
        "cold",
    ),
    ("escalate", "Warm escalate, median, ms", "escalate"),
    ("memory", "Peak memory, MB", "memory"),
];

fn tables(figures: &Figures, budgets: &[Verdict]) -> String {
    let mut text =
        String::from("### Budgets\n\n| budget | at most | measured | |\n|---|---:|---:|---|\n");
    for verdict in budgets {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            verdict.title,
            shown(verdict.limit.as_ref()),
            shown(verdict.figure.as_ref()),
            verdict.word()
        );
    }
    text.push_str("\n### Functions\n\n");
    let columns = [
        "init",
        "first",
        "cold",
        "escalate",
        "escalate-p99",
        "deescalate",
        "memory",
        "charged",
        "round-trips",
    ];
    let _ = writeln!(text, "| function | {} |", columns.join(" | "));
    let _ = writeln!(text, "|---|{}", "---:|".repeat(columns.len()));
    let mut functions: Vec<&str> = figures
        .iter()
        .filter_map(|(name, _)| name.strip_suffix("/cold"))
        .filter(|name| !name.starts_with("scale/"))
        .collect();
    functions.dedup();
    for function in functions {
        let cells = columns.map(|column| {
            let name = format!("{function}/{column}");
            figures
                .get(&name)
                .map(ToString::to_string)
                .unwrap_or_default()
        });
        let _ = writeln!(text, "| {function} | {} |", cells.join(" | "));
    }
    for (title, prefix) in [
        ("At least", "least/"),
        ("Parts", "parts/"),
        ("Scale", "scale/"),
    ] {
        let mut rows = figures.below(prefix).peekable();
        if rows.peek().is_none() {
            continue;
        }
        let _ = writeln!(text, "\n### {title}\n\n| | |\n|---|---:|");
        for (name, figure) in rows {
            let _ = writeln!(text, "| {name} | {figure} |");
        }
    }
    text.push('\n');
    for (name, title, _) in PLOTS {
        let _ = writeln!(text, "![{title}](performance/{name}.svg)\n");
    }
    text
}

/// Bars of one figure of each function. Light on dark and dark on light: the
/// text has the reader's own colour.
fn plot(figures: &Figures, title: &str, what: &str) -> String {
    const LEFT: f64 = 150.0;
    const WIDTH: f64 = 420.0;
    const LINE: f64 = 24.0;
    let suffix = format!("/{what}");
    let bars: Vec<(&str, &Figure)> = figures
        .iter()
        .filter_map(|(name, figure)| Some((name.strip_suffix(&suffix)?, figure)))
        .collect();
    let longest = bars
        .iter()
        .map(|(_, figure)| figure.value)
        .fold(0.0, f64::max);
    let height = LINE * (bars.len() as f64 + 1.5);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 {height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" aria-label=\"{title}\">\n<style>text {{ fill: #333 }} @media (prefers-color-scheme: dark) {{ text {{ fill: #ddd }} }}</style>\n<text x=\"0\" y=\"14\" font-weight=\"bold\">{title}</text>\n"
    );
    for (index, (name, figure)) in bars.iter().enumerate() {
        let y = LINE * (index as f64 + 1.0);
        let width = if longest > 0.0 {
            figure.value / longest * WIDTH
        } else {
            0.0
        };
        let colour = if name.starts_with("host") {
            "#2a78d6"
        } else {
            "#9a9a94"
        };
        let text_y = y + 15.0;
        let _ = writeln!(
            svg,
            "<text x=\"0\" y=\"{text_y}\">{name}</text><rect x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\"/><text x=\"{:.1}\" y=\"{text_y}\">{figure}</text>",
            LEFT + width + 6.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

#[cfg(test)]
mod tests {
    use super::super::figures::Unit;
    use super::*;

    fn figures(cold: f64) -> Figures {
        let mut figures = Figures::default();
        figures.set("host/role/cold", Figure::single(cold, Unit::Milliseconds));
        figures.set(
            "template/role/cold",
            Figure::single(200.0, Unit::Milliseconds),
        );
        figures
    }

    #[test]
    fn only_what_moved_is_named() {
        assert!(moved(&figures(10.0), &figures(10.1)).contains("nothing moved"));
        let text = moved(&figures(10.0), &figures(15.0));
        assert!(
            text.contains("host/role/cold: 10 ms -> 15 ms (+50 %)"),
            "{text}"
        );
        assert!(!text.contains("template"), "{text}");
    }

    #[test]
    fn a_plot_has_a_bar_for_each_function() {
        let svg = plot(&figures(10.0), "Cold", "cold");
        assert_eq!(svg.matches("<rect").count(), 2);
        assert!(
            svg.contains("width=\"420.0\"") && svg.contains("width=\"21.0\""),
            "{svg}"
        );
    }
}
