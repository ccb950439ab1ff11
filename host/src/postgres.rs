//! PostgreSQL: connections, the ledger, and the changes.
//!
//! What decides is SQL: the functions of schema `sym` (`schema/functions/`),
//! which a DBA in psql calls too. Rust carries arguments and answers, and
//! does what needs a COMMIT in between or runs plugins' statements.

pub mod clear;
pub mod connection;
pub mod doctor;
pub mod failure;
pub mod ledger;
mod refusal;
pub mod release;
pub mod remove;
pub mod role;
pub mod schema;
pub mod setup;
pub mod standby;
pub mod sweep;
mod tls;
pub mod user;

pub use connection::{Connection, LOCK_TIMEOUT, Who, rollback, undone};
pub use failure::{Failure, Names};
pub use ledger::{Grant, NewGrant};
