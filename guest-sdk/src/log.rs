//! The plugin's log: lines that appear in the host's log, with the plugin's
//! name, its version and the run.
//!
//! The host limits their number and their size. No secrets, and no more of the
//! requester's words than it takes to find a fault.
//!
//! ```
//! use sym_guest_sdk::log;
//!
//! let username = "ada";
//! log::info!("{username} is on call");
//! log::write(log::Level::Debug, "a line without arguments");
//! ```

pub use crate::bindings::user_resolver::sym::postgres::log::Level;

/// Writes one line.
///
/// Outside of wasm32 it goes nowhere, unless [`crate::testing::with_log`] keeps it.
pub fn write(level: Level, message: &str) {
    crate::imports::log_write(level, message);
}

/// Writes a line for whoever debugs the plugin; takes what [`format!`] takes.
#[doc(inline)]
pub use crate::__log_debug as debug;
/// Writes that something failed; takes what [`format!`] takes.
#[doc(inline)]
pub use crate::__log_error as error;
/// Writes what is worth knowing; takes what [`format!`] takes.
#[doc(inline)]
pub use crate::__log_info as info;
/// Writes what somebody should look at; takes what [`format!`] takes.
#[doc(inline)]
pub use crate::__log_warn as warn;

#[doc(hidden)]
#[macro_export]
macro_rules! __log_debug {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($argument)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_info {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($argument)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_warn {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($argument)+))
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __log_error {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($argument)+))
    };
}

#[cfg(test)]
mod tests {
    use super::Level;
    use crate::testing;

    #[test]
    fn macros_write_at_their_own_level() {
        let ((), lines) = testing::with_log(|| {
            super::debug!("a");
            super::info!("b {}", 1);
            super::warn!("c {x}", x = 2);
            super::error!("d");
        });
        let expected = [
            (Level::Debug, "a".to_owned()),
            (Level::Info, "b 1".to_owned()),
            (Level::Warn, "c 2".to_owned()),
            (Level::Error, "d".to_owned()),
        ];
        assert_eq!(lines, expected);
    }
}
