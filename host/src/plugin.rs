//! Plugins: the customer's code, run where it can do no harm.
//!
//! A [`Source`] gives a [`Release`]; a release answers two questions, who the
//! requester is in the database and what the target means, by calling components
//! in fresh sandboxes. What comes back is data that nobody has allowed yet.
//!
//! ```text
//! Source -> plugins.toml -> files, read once -> Release
//!                                                 | first use: compile, check imports and exports
//!                                                 v
//! Request -> store with limits -> instance -> call -> Answer, or one error for each way to fail
//! ```
//!
//! **Invariant:** nothing in here knows the database, a secret or a network. A
//! plugin's only ways out are its answer and its log.

mod bindings;
mod call;
mod component;
mod engine;
mod failure;
mod imports;
mod limits;
mod log;
pub mod manifest;
mod release;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod wasi;
mod wire;
mod world;

pub use self::call::{Answer, Cost};
pub use self::engine::{ENGINE_ID, Engine, TARGET, WASM_STACK_BYTES};
pub use self::limits::{Limit, Limits, limits_reference};
pub use self::release::{Release, TargetEntry};
pub use self::source::Source;

/// Lower case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
