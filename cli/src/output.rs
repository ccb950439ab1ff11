//! The only file that prints.

use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;
use std::sync::OnceLock;

use anyhow::anyhow;
use sym_host::error::{Blame, Code};
use sym_host::event::shown;
use sym_host::response::Response;

/// Why standard output isn't whole.
static LOST: OnceLock<io::Error> = OnceLock::new();

/// What the exit code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    /// 0: done.
    Done,
    /// 1: the event, the plugin or the configuration has to change.
    Yours,
    /// 2: our bug, or a service that we use.
    Ours,
}

impl Status {
    /// The status of an answer: each error's sentence ends in its code.
    pub(crate) fn of(response: &Response) -> Self {
        let is_ours = |error: &String| {
            let code = Code::ALL
                .iter()
                .find(|code| error.ends_with(&format!("[{code}]")));
            code.is_none_or(|code| matches!(code.blame(), Blame::Upstream | Blame::Host))
        };
        match (response.is_success(), response.errors.iter().any(is_ours)) {
            (true, _) => Self::Done,
            (false, false) => Self::Yours,
            (false, true) => Self::Ours,
        }
    }
}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Done => ExitCode::SUCCESS,
            Status::Yours => ExitCode::from(1),
            Status::Ours => ExitCode::from(2),
        }
    }
}

/// Text for people, to standard output. Much of it is somebody else's: a store's, a
/// plugin's, an event's.
pub(crate) fn data(text: &str) {
    raw(&harmless(text));
}

/// Without what plays with a terminal.
fn harmless(text: &str) -> String {
    let harmless = |character| match character {
        '\n' | '\t' => character,
        other => shown(other),
    };
    text.chars().map(harmless).collect()
}

/// Text whose further lines are so far in that none of them looks like one of ours,
/// whoever wrote it.
pub(crate) fn indented(text: &str, columns: usize) -> String {
    text.replace('\n', &format!("\n{:columns$}", ""))
}

/// Text for programs, to standard output.
pub(crate) fn raw(text: &str) {
    let write = || {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            stdout.write_all(b"\n")?;
        }
        stdout.flush()
    };
    written(write());
}

/// Remembers output that was lost. A reader that has gone away has lost nothing.
pub(crate) fn written(result: io::Result<()>) {
    if let Err(error) = result
        && error.kind() != ErrorKind::BrokenPipe
    {
        let _ = LOST.set(error);
    }
}

/// The status of a command that is over, whose output may have been lost: nobody must
/// take the rest of it for all.
pub(crate) fn finish(status: Status) -> Status {
    let Some(why) = LOST.get() else {
        return status;
    };
    error(&anyhow!(
        "the output is not whole, standard output can't be written: {why}"
    ));
    Status::Ours
}

/// An error and its causes, to standard error.
pub(crate) fn error(error: &anyhow::Error) {
    let mut stderr = io::stderr().lock();
    let text = indented(&harmless(&format!("{error:#}")), "error: ".len());
    let _ = writeln!(stderr, "error: {text}");
}

/// A remark for the person, to standard error.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(text));
}

/// Data as JSON, to standard output.
pub(crate) fn json(value: &impl serde::Serialize) {
    raw(&serde_json::to_string_pretty(value).expect("our own types serialise"));
}

/// Rows with aligned columns, the first of them the heading.
pub(crate) fn table<const N: usize>(rows: &[[String; N]]) {
    data(&aligned(rows));
}

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let cell: String = cell.chars().map(shown).collect();
            // Not by a format's width, which has a limit of its own.
            let blanks = width - cell.chars().count() + 2;
            line.push_str(&cell);
            line.push_str(&" ".repeat(blanks));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_plays_with_a_terminal_is_replaced() {
        let foreign = "a\u{1b}[2K\u{1b}[1A\u{202e}b\r\tc\nd";
        let expected = "a\u{fffd}[2K\u{fffd}[1A\u{fffd}b\u{fffd}\tc\nd";
        assert_eq!(harmless(foreign), expected);
    }

    #[test]
    fn columns_are_aligned_however_wide_they_are() {
        let wide = "w".repeat(70_000);
        let row = |first: &str| [first.to_owned(), "b".to_owned()];
        let text = aligned(&[row("a"), row(&wide)]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("a ") && lines[0].ends_with("  b"));
        assert_eq!(lines[0].len(), 70_003);
        assert_eq!(lines[1], wide + "  b");
    }

    #[test]
    fn a_line_of_somebody_elses_does_not_begin_where_ours_do() {
        assert_eq!(indented("a\nok   b\n\nc", 2), "a\n  ok   b\n  \n  c");
    }
}
