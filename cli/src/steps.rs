//! Shows what takes a while, on standard error: each step with its time when it
//! is done, and meanwhile, on a terminal, how far it is.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output;

/// How often a terminal is drawn anew.
const TICK: Duration = Duration::from_millis(100);

/// The steps of one command.
pub(crate) struct Steps {
    since: Instant,
    bar: ProgressBar,
}

impl Steps {
    pub(crate) fn start() -> Self {
        Self {
            since: Instant::now(),
            bar: ProgressBar::hidden(),
        }
    }

    /// A step begins, which takes as long as it takes.
    pub(crate) fn begin(&mut self, what: &str) {
        self.show(
            ProgressBar::new_spinner(),
            "{spinner} {msg} {elapsed}",
            what,
        );
    }

    /// A step begins of which [`advance`](Self::advance) says how far it is.
    pub(crate) fn begin_of(&mut self, what: &str, total: usize) {
        let bar = ProgressBar::new(total as u64);
        self.show(
            bar,
            "{spinner} {msg} {wide_bar} {pos}/{len} {elapsed}",
            what,
        );
    }

    fn show(&mut self, bar: ProgressBar, template: &str, what: &str) {
        self.bar.finish_and_clear();
        // Where standard error is no terminal, nothing is drawn.
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(TICK);
        self.bar = bar;
    }

    /// The step is this much further.
    pub(crate) fn advance(&self, by: usize) {
        self.bar.inc(by as u64);
    }

    /// A step, or a part of one, is done.
    pub(crate) fn done(&mut self, what: &str) {
        let milliseconds = self.since.elapsed().as_millis();
        let line = format!("{milliseconds:>7} ms  {what}");
        self.bar.suspend(|| output::note(&line));
        self.since = Instant::now();
    }
}

impl Drop for Steps {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
