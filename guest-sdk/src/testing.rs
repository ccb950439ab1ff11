//! Testing a plugin with plain `cargo test`, without WebAssembly.
//!
//! Not there on wasm32: what is here stands in for the host.
//!
//! ```
//! use sym_guest_sdk::{config, log, testing};
//!
//! let (role, lines) = testing::with_log(|| {
//!     testing::with_config(&[("role", "auditor")], || {
//!         log::info!("looking");
//!         config::get("role")
//!     })
//! });
//! assert_eq!(role.as_deref(), Some("auditor"));
//! assert_eq!(lines, [(log::Level::Info, "looking".to_owned())]);
//! ```

use crate::imports::{CONFIG, LOG};
use crate::log::Level;
use crate::{Actor, Request, RequestedTarget};

/// Runs `body` with this configuration, and with no other key.
///
/// A value that is no string in `plugins.toml` arrives as JSON: write it so.
pub fn with_config<T>(config: &[(&str, &str)], body: impl FnOnce() -> T) -> T {
    let config = config
        .iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect();
    let _restored = Restore::set(&CONFIG, config);
    body()
}

/// Runs `body`, and gives back what it logged too.
pub fn with_log<T>(body: impl FnOnce() -> T) -> (T, Vec<(Level, String)>) {
    let _restored = Restore::set(&LOG, Some(Vec::new()));
    let result = body();
    (result, LOG.take().unwrap_or_default())
}

/// Puts a value back when it is dropped: also when the test panicked, since the
/// next test may run on the same thread.
struct Restore<T: 'static> {
    cell: &'static std::thread::LocalKey<std::cell::RefCell<T>>,
    before: Option<T>,
}

impl<T: Default> Restore<T> {
    fn set(cell: &'static std::thread::LocalKey<std::cell::RefCell<T>>, value: T) -> Self {
        let before = Some(cell.replace(value));
        Self { cell, before }
    }
}

impl<T> Drop for Restore<T> {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            self.cell.set(before);
        }
    }
}

/// A request to change in the test: `sym-user@healthy-health.co` asks for the
/// target `readonly`, strategy `role`, for half an hour.
pub fn request() -> RequestBuilder {
    let person = |username: &str| Actor {
        username: username.to_owned(),
        name: None,
        identities: Vec::new(),
    };
    RequestBuilder(Request {
        run_id: "2b1befa5-caf5-4ac3-8509-64732c15cb7d".to_owned(),
        strategy: "role".to_owned(),
        requester: person("sym-user@healthy-health.co"),
        approver: Some(person("sym-implementer@healthy-health.co")),
        target: RequestedTarget {
            name: "readonly".to_owned(),
            label: Some("Read Only".to_owned()),
            settings: Vec::new(),
        },
        flow: "healthy-health:flow:postgres:2.0.0".to_owned(),
        reason: Some("Fix Ticket 123".to_owned()),
        duration_seconds: Some(1800),
        event_time: "2022-05-10T14:47:29.442289Z".to_owned(),
        context: Vec::new(),
        event_json: "{}".to_owned(),
    })
}

/// What [`request`] starts and [`RequestBuilder::build`] ends. For fields that
/// have no method here, change the built [`Request`]: its fields are public.
#[derive(Clone, Debug)]
#[must_use]
pub struct RequestBuilder(Request);

impl RequestBuilder {
    /// Sets the requester's `username`.
    pub fn requester(mut self, username: impl Into<String>) -> Self {
        self.0.requester.username = username.into();
        self
    }

    /// Sets the strategy.
    pub fn strategy(mut self, strategy: impl Into<String>) -> Self {
        self.0.strategy = strategy.into();
        self
    }

    /// Sets the run's id.
    pub fn run_id(mut self, run_id: impl Into<String>) -> Self {
        self.0.run_id = run_id.into();
        self
    }

    /// Sets the target's name.
    pub fn target(mut self, name: impl Into<String>) -> Self {
        self.0.target.name = name.into();
        self
    }

    /// Adds one of the target's settings.
    pub fn setting(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.target.settings.push((key.into(), value.into()));
        self
    }

    /// Adds one pair to the context.
    pub fn context(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.context.push((key.into(), value.into()));
        self
    }

    /// Sets the event as Sym sent it.
    pub fn event_json(mut self, json: impl Into<String>) -> Self {
        self.0.event_json = json.into();
        self
    }

    /// The request.
    #[must_use]
    pub fn build(self) -> Request {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    #[test]
    fn configuration_ends_with_its_body_even_after_a_panic() {
        let panicked = std::panic::catch_unwind(|| {
            with_config(&[("a", "1")], || panic!("in the test"));
        });
        assert!(panicked.is_err());
        assert_eq!(config::all(), []);
    }

    #[test]
    fn configurations_nest_and_come_back() {
        with_config(&[("a", "1"), ("b", "2")], || {
            with_config(&[("a", "3")], || {
                assert_eq!(config::all(), [("a".to_owned(), "3".to_owned())]);
            });
            assert_eq!(config::get("b").as_deref(), Some("2"));
        });
    }
}
