//! Write a plugin for the sym PostgreSQL host in Rust.
//!
//! A plugin answers one or both of two questions: who is which database user
//! ([`Resolver`]), and what a target means ([`Target`]). Implement the trait for
//! a type of your own and name the type in [`export_resolver!`],
//! [`export_target!`] or [`export_plugin!`]. Everything else (the bindings, a
//! log line for a panic) the macro brings.
//!
//! A plugin gets data and answers data. It has no network, no files, no clock
//! and no database: [`log`] and [`config`] are all it can call. Each call runs
//! in a fresh instance, so nothing that a plugin keeps lives on.
//!
//! # A whole plugin, and its test
//!
//! ```
//! use sym_guest_sdk::prelude::*;
//!
//! struct Support;
//!
//! impl Resolver for Support {
//!     fn resolve_user(request: &Request) -> Result<String, Failure> {
//!         let email = request
//!             .requester
//!             .email()
//!             .ok_or_else(|| Failure::denied("Only people get access here, bots don't."))?;
//!         // A temporary user is another one for each run: the end of its id says which.
//!         let name = email.local_part().replace('-', "_");
//!         let end = request.run_id.len().saturating_sub(8);
//!         Ok(format!("{name}_{}", &request.run_id[end..]))
//!     }
//! }
//!
//! impl Target for Support {
//!     fn setup(request: &Request, username: &str) -> Result<Vec<Step>, Failure> {
//!         let table = request.target.setting("table").ok_or("the target has no setting `table`")?;
//!         log::info!("{username} gets {table}");
//!         Ok(vec![
//!             Step::grant_role("readonly"),
//!             Statement::new("GRANT UPDATE ON TABLE {table} TO {username}")
//!                 .identifier("table", table)
//!                 .into(),
//!         ])
//!     }
//! }
//!
//! export_plugin!(Support);
//!
//! // In a test, on the machine that you work on:
//! let request = testing::request()
//!     .requester("sym-user@a.example")
//!     .setting("table", "orders")
//!     .build();
//! let user = Support::resolve_user(&request).unwrap();
//! assert_eq!(user, "sym_user_2c15cb7d");
//! assert_eq!(
//!     Support::setup(&request, &user).unwrap()[0],
//!     Step::grant_role("readonly"),
//! );
//! ```
//!
//! # Building it
//!
//! In `Cargo.toml`, `crate-type = ["cdylib", "rlib"]`; the second is for `cargo
//! test`. Then `cargo build --release --target wasm32-unknown-unknown` makes a
//! core module, which becomes a component without another description of the
//! interface: the macro put that into the module.

// The generator writes `unsafe` functions: the ones that the canonical ABI calls.
// Nothing that a person wrote is in that module. (`unsafe_code` says nothing
// about another crate's macro, so there is no exception to make here.)
#[expect(
    missing_docs,
    reason = "the generator documents what `wit/` documents, not its own modules and traits"
)]
mod bindings;

mod email;
mod export;
mod failure;
mod imports;
mod json_strings;
mod panic_hook;
mod request;
mod step;

pub mod config;
pub mod log;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;

#[doc(hidden)]
pub use export::__private;

pub use bindings::user_resolver::sym::postgres::types::{
    Actor, Failure, Request, Statement, Step, Target as RequestedTarget, Value,
};
pub use email::Email;
pub use request::Strategy;

/// Everything that a plugin usually names: `use sym_guest_sdk::prelude::*`.
pub mod prelude {
    #[cfg(not(target_arch = "wasm32"))]
    pub use crate::testing;
    pub use crate::{
        Actor, Email, Failure, Request, RequestedTarget, Resolver, Statement, Step, Strategy,
        Target, Value, config, export_plugin, export_resolver, export_target, log,
    };
}

/// Says who is which database user.
pub trait Resolver {
    /// The database user of the person who asked.
    ///
    /// For [`Strategy::Role`] a user that exists; for
    /// [`Strategy::TemporaryUser`] the name of the user to make, which has to be
    /// another one for each run. At most 63 bytes: the host refuses a longer
    /// name rather than shorten it. Never called when access ends.
    ///
    /// # Errors
    ///
    /// [`Failure::denied`] is a decision, and the requester reads its text. Any
    /// other failure is a fault of the plugin, and goes to the operator.
    fn resolve_user(request: &Request) -> Result<String, Failure>;
}

/// Says what a target means.
pub trait Target {
    /// What the user gets, in order. All of it happens, or nothing.
    ///
    /// [`Strategy::Role`] takes [`Step::GrantRole`] alone, once. Never called
    /// when access ends.
    ///
    /// # Errors
    ///
    /// As for [`Resolver::resolve_user`].
    fn setup(request: &Request, username: &str) -> Result<Vec<Step>, Failure>;
}
