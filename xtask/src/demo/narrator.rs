//! Prints the demo's steps, as text while they happen or as JSON at the end.

use std::fmt::Write;
use std::future::Future;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

use crate::terminal::{self, Progress, Style};

/// How the demo is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Json,
}

/// A step did not show what it should. It was said already.
#[derive(Debug)]
pub(super) struct Failed;

/// What a step is about to show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Check<'a> {
    /// What happens, in a few words.
    pub(super) title: &'a str,
    /// How: the statement, the event.
    pub(super) detail: &'a str,
    /// What must be seen.
    pub(super) expected: &'a str,
}

/// A step that was taken.
struct Step {
    chapter: String,
    title: String,
    detail: String,
    expected: String,
    seen: String,
    ok: bool,
    took: Duration,
}

/// Tells the steps and keeps them.
pub(super) struct Narrator {
    format: Format,
    style: Style,
    progress: Progress,
    chapter: String,
    steps: Vec<Step>,
    started_at: Instant,
}

impl Narrator {
    pub(super) fn new(format: Format) -> Narrator {
        Narrator {
            format,
            style: Style::for_stdout(),
            progress: Progress::default(),
            chapter: String::new(),
            steps: Vec::new(),
            started_at: Instant::now(),
        }
    }

    /// Where a step that takes long says what it is at.
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Begins a chapter. `about` is a sentence for those who read.
    pub(super) fn chapter(&mut self, title: &str, about: &str) {
        title.clone_into(&mut self.chapter);
        let title = self.style.bold(title);
        self.print(&format!("\n{title}\n{}\n\n", self.style.dim(about)));
    }

    /// Takes a step that must work, and gives what it makes beside what it says.
    pub(super) async fn prepare<T>(
        &mut self,
        title: &str,
        detail: &str,
        action: impl Future<Output = Result<(T, String)>>,
    ) -> Result<T, Failed> {
        let (result, took) = self.time(title, action).await;
        let (made, seen) = match result {
            Ok((made, seen)) => (Some(made), seen),
            Err(error) => (None, format!("{error:#}")),
        };
        let check = Check {
            title,
            detail,
            expected: "it works",
        };
        self.settle(check, made.is_some(), seen, took)?;
        made.ok_or(Failed)
    }

    /// Takes a step that must show exactly what is expected.
    pub(super) async fn check(
        &mut self,
        check: Check<'_>,
        action: impl Future<Output = Result<String>>,
    ) -> Result<(), Failed> {
        self.check_by(check, |seen| seen == check.expected, action)
            .await
    }

    /// Takes a step whose expectation is a rule rather than a text.
    pub(super) async fn check_by(
        &mut self,
        check: Check<'_>,
        is_expected: impl FnOnce(&str) -> bool,
        action: impl Future<Output = Result<String>>,
    ) -> Result<(), Failed> {
        let (result, took) = self.time(check.title, action).await;
        let (ok, seen) = match result {
            Ok(seen) => (is_expected(&seen), seen),
            Err(error) => (false, format!("{error:#}")),
        };
        self.settle(check, ok, seen, took)
    }

    /// Says how it went, or prints all of it as data.
    pub(super) fn finish(&self, is_complete: bool) {
        match self.format {
            Format::Json => {
                let steps: Value = self.steps.iter().map(Step::to_json).collect();
                terminal::print(&format!("{steps:#}\n"));
            }
            Format::Text => {
                let count = self.steps.len();
                let took = terminal::duration(self.started_at.elapsed());
                let line = match self.steps.last() {
                    Some(step) if !step.ok => self.style.bad(&format!(
                        "Failed after {took}, at “{}” in “{}”.",
                        step.title, step.chapter
                    )),
                    _ if is_complete => format!("{count} steps, each as expected, in {took}."),
                    _ => format!("Interrupted after {took}: all that was started is stopped."),
                };
                self.print(&format!("\n{line}\n"));
            }
        }
    }

    /// Text that is no step: what to do next.
    pub(super) fn remark(&self, text: &str) {
        self.print(&format!("\n{text}\n"));
    }

    async fn time<T>(&self, title: &str, action: impl Future<Output = T>) -> (T, Duration) {
        let started_at = Instant::now();
        let output = terminal::wait(title, &self.progress, action).await;
        (output, started_at.elapsed())
    }

    fn settle(
        &mut self,
        check: Check<'_>,
        ok: bool,
        seen: String,
        took: Duration,
    ) -> Result<(), Failed> {
        let step = Step {
            chapter: self.chapter.clone(),
            title: check.title.to_owned(),
            detail: check.detail.to_owned(),
            expected: check.expected.to_owned(),
            seen,
            ok,
            took,
        };
        self.print(&step.to_text(self.style));
        self.steps.push(step);
        if ok { Ok(()) } else { Err(Failed) }
    }

    fn print(&self, text: &str) {
        if self.format == Format::Text {
            terminal::print(text);
        }
    }
}

impl Step {
    fn to_text(&self, style: Style) -> String {
        let mut text = String::new();
        let mark = if self.ok {
            style.good("✓")
        } else {
            style.bad("✗")
        };
        let took = style.dim(&format!("({})", terminal::duration(self.took)));
        // A string takes all that is written to it.
        let _ = writeln!(text, "  {mark} {} {took}", self.title);
        if !self.detail.is_empty() {
            let _ = writeln!(text, "      {}", style.dim(&self.detail));
        }
        if self.ok {
            let _ = writeln!(text, "      → {}", self.seen);
        } else {
            let _ = writeln!(text, "      expected: {}", self.expected);
            let _ = writeln!(text, "      {} {}", style.bad("seen:    "), self.seen);
        }
        text
    }

    fn to_json(&self) -> Value {
        json!({
            "chapter": self.chapter,
            "title": self.title,
            "detail": self.detail,
            "expected": self.expected,
            "seen": self.seen,
            "ok": self.ok,
            "milliseconds": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHECK: Check<'static> = Check {
        title: "look",
        detail: "",
        expected: "3 rows",
    };

    #[tokio::test]
    async fn a_step_that_shows_something_else_fails() {
        let mut narrator = Narrator::new(Format::Json);
        let good = narrator.check(CHECK, async { Ok("3 rows".to_owned()) });
        assert!(good.await.is_ok());
        let other = narrator.check(CHECK, async { Ok("4 rows".to_owned()) });
        assert!(other.await.is_err());
        let broken = narrator.check(CHECK, async { anyhow::bail!("no server") });
        assert!(broken.await.is_err());
        let steps: Vec<Value> = narrator.steps.iter().map(Step::to_json).collect();
        assert_eq!(steps[0]["ok"], true);
        assert_eq!(steps[1]["ok"], false);
        assert_eq!(steps[1]["seen"], "4 rows");
        assert_eq!(steps[2]["seen"], "no server");
    }

    #[tokio::test]
    async fn a_failure_says_what_was_expected() {
        let mut narrator = Narrator::new(Format::Json);
        let other = narrator.check(CHECK, async { Ok("4 rows".to_owned()) });
        assert!(other.await.is_err());
        let text = narrator.steps[0].to_text(Style::for_stdout());
        assert!(text.contains("expected: 3 rows"), "{text}");
        assert!(text.contains("4 rows"), "{text}");
    }
}
