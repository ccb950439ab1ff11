//! A plugin's log: the import `log`, and WASI's stdout and stderr.
//!
//! Lines go to `tracing`, target `plugin`, with the plugin, its version, the release
//! and the run. Control and format characters are replaced, so that a plugin can't forge
//! a line of somebody else's, or play with the terminal of who reads.
//!
//! Over the limit, the import ends the plugin (its author decided to log), while
//! the streams drop and count (a runtime's own chatter decided). Each of the two
//! has the whole limit, so that chatter can't take away a plugin's last words.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bindings::sym::postgres::log::Level;
use super::limits::{Limit, Limits};
use crate::event::shown;

/// One of WASI's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

/// A line of a plugin's log, as a trial keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// What was logged, as the host's log has it.
    pub message: String,
}

/// The log of one call, shared by the import and the streams.
#[derive(Clone)]
pub(super) struct Log(Arc<Mutex<Inner>>);

/// Whose lines they are, as each of them says.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) plugin: String,
    /// The plugin's.
    pub(super) version: String,
    /// The release's name.
    pub(super) release: String,
    /// The run's SRN.
    pub(super) run: String,
}

struct Inner {
    origin: Origin,
    limits: Limits,
    /// By the import.
    written: Usage,
    /// By the streams.
    streamed: Usage,
    dropped_bytes: u64,
    /// The last line by the import, where its level is `error`.
    last_error: Option<String>,
    /// What has come without the end of its line.
    unfinished: BTreeMap<Stream, Vec<u8>>,
    /// The lines, where somebody wants them back.
    kept: Option<Vec<Line>>,
}

#[derive(Default)]
struct Usage {
    bytes: u64,
    lines: u64,
}

/// How much a call logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) dropped_bytes: u64,
}

impl Log {
    pub(super) fn new(origin: Origin, limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            origin,
            limits,
            written: Usage::default(),
            streamed: Usage::default(),
            dropped_bytes: 0,
            last_error: None,
            unfinished: BTreeMap::new(),
            kept: None,
        })))
    }

    /// Says whose run it is, where that was not known before.
    pub(super) fn belong_to(&self, run: &str) {
        run.clone_into(&mut self.lock().origin.run);
    }

    /// Whether nothing was logged yet.
    pub(super) fn is_empty(&self) -> bool {
        let inner = self.lock();
        inner.written.lines == 0 && inner.streamed.bytes == 0
    }

    /// The same, which keeps its lines for [`take_lines`](Self::take_lines).
    pub(super) fn keeping_lines(self) -> Self {
        self.lock().kept = Some(Vec::new());
        self
    }

    /// The lines so far, where they are kept.
    pub(super) fn take_lines(&self) -> Vec<Line> {
        self.lock().kept.take().unwrap_or_default()
    }

    /// What a plugin that panicked said last: its panic hook writes one line, of
    /// level `error`, and nothing after it. The plugin's own words, whatever they
    /// are.
    pub(super) fn last_words(&self) -> Option<String> {
        self.lock().last_error.clone()
    }

    /// The import `log.write`.
    pub(super) fn write(&self, level: Level, message: &str) -> Result<(), Limit> {
        let mut inner = self.lock();
        if inner.written.lines >= inner.limits.log_lines {
            return Err(Limit::LogLines);
        }
        if inner.written.bytes + message.len() as u64 > inner.limits.log_bytes {
            return Err(Limit::LogBytes);
        }
        inner.written.lines += 1;
        inner.written.bytes += message.len() as u64;
        let line = inner.emit(level, message);
        inner.last_error = (level == Level::Error).then_some(line);
        Ok(())
    }

    /// What a stream gets. Never fails: what is too much is dropped.
    pub(super) fn output(&self, stream: Stream, bytes: &[u8]) {
        let mut inner = self.lock();
        let room = inner.limits.log_bytes.saturating_sub(inner.streamed.bytes);
        let taken = bytes.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        inner.streamed.bytes += taken as u64;
        inner.dropped_bytes += (bytes.len() - taken) as u64;
        let mut unfinished = inner.unfinished.remove(&stream).unwrap_or_default();
        unfinished.extend_from_slice(&bytes[..taken]);
        while let Some(end) = unfinished.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = unfinished.drain(..=end).collect();
            inner.finish_line(stream, &line[..end]);
        }
        inner.unfinished.insert(stream, unfinished);
    }

    /// Ends what hasn't ended, and says how much there was.
    pub(super) fn finish(&self) -> Volume {
        let mut inner = self.lock();
        for (stream, line) in std::mem::take(&mut inner.unfinished) {
            if !line.is_empty() {
                inner.finish_line(stream, &line);
            }
        }
        Volume {
            bytes: inner.written.bytes + inner.streamed.bytes,
            lines: inner.written.lines + inner.streamed.lines,
            dropped_bytes: inner.dropped_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here is left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn finish_line(&mut self, stream: Stream, line: &[u8]) {
        if self.streamed.lines >= self.limits.log_lines {
            self.dropped_bytes += line.len() as u64;
            return;
        }
        self.streamed.lines += 1;
        let level = match stream {
            Stream::Stdout => Level::Info,
            Stream::Stderr => Level::Warn,
        };
        self.emit(level, &String::from_utf8_lossy(line));
    }

    /// Writes a line, and gives it as it was written.
    fn emit(&mut self, level: Level, message: &str) -> String {
        let message: String = message
            .trim_end_matches(['\r', '\n'])
            .chars()
            .map(shown)
            .collect();
        if let Some(kept) = &mut self.kept {
            kept.push(Line {
                level: word(level),
                message: message.clone(),
            });
        }
        let Origin {
            plugin,
            version,
            release,
            run,
        } = &self.origin;
        match level {
            Level::Debug => {
                tracing::debug!(target: "plugin", plugin, version, release, run, "{message}")
            }
            Level::Info => {
                tracing::info!(target: "plugin", plugin, version, release, run, "{message}")
            }
            Level::Warn => {
                tracing::warn!(target: "plugin", plugin, version, release, run, "{message}")
            }
            Level::Error => {
                tracing::error!(target: "plugin", plugin, version, release, run, "{message}")
            }
        }
        message
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Debug => "debug",
        Level::Info => "info",
        Level::Warn => "warn",
        Level::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Log {
        Log::new(
            Origin::default(),
            Limits {
                log_bytes: 10,
                log_lines: 2,
                ..Limits::default()
            },
        )
    }

    #[test]
    fn streams_drop_what_is_too_much_and_count_it() {
        let log = log();
        log.output(Stream::Stdout, b"abc\nde");
        log.output(Stream::Stderr, b"f");
        log.output(Stream::Stdout, b"123456");
        assert_eq!(
            log.finish(),
            Volume {
                bytes: 10,
                lines: 2,
                dropped_bytes: 3 + 1
            }
        );
    }

    #[test]
    fn chatter_leaves_room_for_last_words() {
        let log = log();
        log.output(Stream::Stdout, b"123456789\n\n\n");
        assert_eq!(log.write(Level::Info, "1234567890"), Ok(()));
        assert_eq!(log.write(Level::Info, "1"), Err(Limit::LogBytes));
        assert_eq!(log.write(Level::Info, ""), Ok(()));
        assert_eq!(log.write(Level::Info, ""), Err(Limit::LogLines));
    }

    #[test]
    fn lines_cannot_be_forged() {
        #[derive(Clone, Default)]
        struct Written(Arc<Mutex<Vec<u8>>>);
        impl std::io::Write for Written {
            fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                self.0.lock().expect("is whole").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let written = Written::default();
        let writer = written.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || writer.clone())
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let origin = Origin {
                plugin: "resolver".to_owned(),
                release: "r7-0123456789ab".to_owned(),
                ..Origin::default()
            };
            let log = Log::new(origin, Limits::default());
            assert!(log.is_empty());
            // Known only when the call begins.
            log.belong_to("org:run:flow:1.0.0:one");
            log.write(Level::Warn, "a\nERROR forged \u{1b}[31m\u{202E}")
                .expect("is within the limits");
            log.output(Stream::Stdout, b"\xff\r\nlast");
            log.finish();
        });
        let written =
            String::from_utf8(written.0.lock().expect("is whole").clone()).expect("is text");
        let lines: Vec<&str> = written.lines().collect();
        assert_eq!(lines.len(), 3, "{written}");
        assert!(
            lines[0].contains("WARN plugin: a\u{FFFD}ERROR forged \u{FFFD}[31m\u{FFFD}"),
            "{written}"
        );
        assert!(
            lines[1].contains("INFO plugin: \u{FFFD} ") && lines[2].contains("last"),
            "{written}"
        );
        assert!(
            written.matches("plugin=\"resolver\"").count()
                + written.matches("plugin=resolver").count()
                == 3
        );
        assert_eq!(written.matches("r7-0123456789ab").count(), 3, "{written}");
        assert_eq!(
            written.matches("org:run:flow:1.0.0:one").count(),
            3,
            "{written}"
        );
    }
}
