//! Where a panic's text goes: to the plugin's log.
//!
//! wasm32-unknown-unknown has no standard error, so without this the host would
//! see a trap and nobody would know which `unwrap` it was.

use crate::log::{self, Level};

/// Has every panic from now on written to the log, with its place.
///
/// Called at the start of each exported function. An instance serves one call,
/// so it is the first thing that a plugin does.
pub(crate) fn install() {
    std::panic::set_hook(Box::new(|panic| {
        // Not the standard text, which has a line end between place and message.
        let message = panic.payload_as_str().unwrap_or("without a message");
        let line = match panic.location() {
            Some(location) => format!("panicked at {location}: {message}"),
            None => format!("panicked: {message}"),
        };
        log::write(Level::Error, &line);
    }));
}
