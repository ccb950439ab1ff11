//! What people see: text, colours where there is a terminal, and a spinner
//! where they wait.
//!
//! Meaning never depends on colour, and nothing but results goes to standard
//! output.

use std::future::Future;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Below this, a wait needs no spinner.
const SPINNER_DELAY: Duration = Duration::from_millis(200);

/// How long a log without a terminal may stay without a line.
const QUIET_PATIENCE: Duration = Duration::from_secs(5);

const SPINNER_INTERVAL: Duration = Duration::from_millis(80);

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// Clears the line that the spinner is on.
const CLEAR_LINE: &str = "\r\x1b[2K";

/// Writes to standard output. A reader that has gone is no reason to fail.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}

/// Writes a line to standard error.
pub(crate) fn error(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Writes a line of progress to standard error, over the spinner's.
pub(crate) fn progress(line: &str) {
    if io::stderr().is_terminal() {
        error(&format!("{CLEAR_LINE}{line}"));
    } else {
        error(line);
    }
}

/// Colours of standard output, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Style {
    coloured: bool,
}

impl Style {
    /// Coloured on a terminal, unless `NO_COLOR` is set to something.
    pub(crate) fn for_stdout() -> Style {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Style {
            coloured: io::stdout().is_terminal() && !unwanted && !dumb,
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.coloured {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}

/// The latest word on what is being done, from whoever does it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<Mutex<String>>);

impl Progress {
    pub(crate) fn set(&self, text: &str) {
        text.trim().clone_into(&mut self.lock());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for `action`, with a spinner where somebody watches, and a line where
/// somebody reads the log of a long wait.
pub(crate) async fn wait<T>(
    title: &str,
    progress: &Progress,
    action: impl Future<Output = T>,
) -> T {
    let mut action = pin!(action);
    progress.set("");
    if !io::stderr().is_terminal() {
        if let Ok(output) = tokio::time::timeout(QUIET_PATIENCE, &mut action).await {
            return output;
        }
        error(&format!("{title}: this takes a while"));
        return action.await;
    }
    let started_at = Instant::now();
    if let Ok(output) = tokio::time::timeout(SPINNER_DELAY, &mut action).await {
        return output;
    }
    let _line = SpinnerLine;
    for turn in SPINNER.iter().cycle() {
        let seconds = started_at.elapsed().as_secs_f32();
        let line = format!("  {turn} {title} {seconds:.1} s  {}", progress.lock());
        // One line: what wraps can't be cleared.
        let line: String = line.chars().take(78).collect();
        let _ = write!(io::stderr(), "{CLEAR_LINE}{line}");
        if let Ok(output) = tokio::time::timeout(SPINNER_INTERVAL, &mut action).await {
            return output;
        }
    }
    unreachable!("the spinner turns until the action ends")
}

/// Cleared however the wait ends, also when it is interrupted.
struct SpinnerLine;

impl Drop for SpinnerLine {
    fn drop(&mut self) {
        let _ = write!(io::stderr(), "{CLEAR_LINE}");
    }
}

/// A duration for people: `12 ms`, `1.5 s`, `3 min 20 s`.
pub(crate) fn duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f32()),
        seconds => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_unit_that_fits() {
        for (milliseconds, expected) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1500, "1.5 s"),
            (200_000, "3 min 20 s"),
        ] {
            assert_eq!(duration(Duration::from_millis(milliseconds)), expected);
        }
    }
}
