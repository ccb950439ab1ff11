//! What the host gives a plugin, or, on any other machine than wasm32, what
//! [`crate::testing`] gives a test in its place.

#[cfg(target_arch = "wasm32")]
pub(crate) use host::*;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use native::*;

#[cfg(target_arch = "wasm32")]
mod host {
    use crate::bindings::user_resolver::sym::postgres::{config, log};
    use crate::log::Level;

    pub(crate) fn config_get(key: &str) -> Option<String> {
        config::get(key)
    }

    pub(crate) fn config_all() -> Vec<(String, String)> {
        config::get_all()
    }

    pub(crate) fn log_write(level: Level, message: &str) {
        log::write(level, message);
    }
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use crate::log::Level;

    // Of the thread, because `cargo test` runs one test a thread: no test sees
    // another one's configuration or log.
    thread_local! {
        pub(crate) static CONFIG: RefCell<BTreeMap<String, String>> = RefCell::default();
        pub(crate) static LOG: RefCell<Option<Vec<(Level, String)>>> = RefCell::default();
    }

    pub(crate) fn config_get(key: &str) -> Option<String> {
        CONFIG.with_borrow(|config| config.get(key).cloned())
    }

    pub(crate) fn config_all() -> Vec<(String, String)> {
        CONFIG.with_borrow(|config| config.clone().into_iter().collect())
    }

    pub(crate) fn log_write(level: Level, message: &str) {
        LOG.with_borrow_mut(|log| {
            if let Some(lines) = log {
                lines.push((level, message.to_owned()));
            }
        });
    }
}
