//! The function's log: JSON, one line an event ([`metrics`](crate::metrics)) and
//! one a plugin's line. Never the event itself and never SQL, unless the operator
//! asks for records of them (`RECORD`); never a secret.

use std::io::Write as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::prelude::*;

/// Sends what the host and the plugins log to standard output, as Lambda
/// expects it. Libraries are heard from `warn` on.
pub fn init() {
    let ours = LevelFilter::INFO;
    let filter = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("sym_host", ours)
        .with_target("plugin", LevelFilter::DEBUG);
    let layer = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false);
    // Only a second call can fail, and then the first one's stays.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
}

/// Writes an event's own line, in one piece.
pub fn write_line(line: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody could be told of a log that takes nothing more.
    let _ = stdout.write_all(format!("{line}\n").as_bytes());
    let _ = stdout.flush();
}
