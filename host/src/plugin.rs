//! Plugins: the customer's code, run where it can do no harm.
//!
//! A [`Source`] gives a [`Release`]; a release answers two questions, who the
//! requester is in the database and what the target means, by calling components
//! in fresh sandboxes. What comes back is data that nobody has allowed yet.
//!
//! ```text
//! Source -> [signed statement] -> plugins.toml -> files, read once -> Release
//!                                                 | first use: compile, check imports and exports
//!                                                 v
//! Request -> store with limits -> instance -> call -> Answer, or one error for each way to fail
//! ```
//!
//! **Invariant:** nothing in here knows the database or a secret, and
//! [`release_store`] alone a network. A plugin's only ways out are its answer and
//! its log.

mod bindings;
mod call;
#[cfg(feature = "all-targets")]
mod code_cache;
#[cfg(feature = "compiler")]
pub mod compiler;
mod component;
pub mod dsse;
mod engine;
#[cfg(feature = "compiler")]
mod extent;
mod failure;
mod imports;
mod instance;
mod limits;
mod log;
pub mod manifest;
mod native;
pub mod package;
mod published;
mod release;
pub mod release_store;
mod sealed;
mod source;
pub mod statement;
mod store;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod trust;
mod wasi;
mod wire;
mod world;

pub use self::call::{Answer, Called, Cost, Said, Spent};
#[cfg(feature = "all-targets")]
pub use self::code_cache::{CodeCache, Preparation};
pub use self::engine::{ENGINE_ID, Engine, STACK_BYTES, TARGET};
pub use self::limits::{Limit, Limits, limits_reference};
pub use self::log::Line;
pub use self::published::{Pointer, Published, Version};
pub use self::release::{Release, TargetEntry};
pub use self::source::{Loaded, Source};

/// Lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
