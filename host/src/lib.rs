//! The host: everything that happens between an event of Sym's and the answer.
//!
//! ```text
//! JSON -> Event -> Request -> [resolver, target plugin] -> Plan -> AuthorizedPlan -> one transaction -> Response
//! ```
//!
//! The modules in the first group are pure: no clock, no network, no
//! environment. Those in the second do I/O, and do not call each other: what they share
//! is in the third, where [`handler`] is the one that knows them all. `ARCHITECTURE.md`
//! draws the map.

pub mod config;
pub mod env;
pub mod error;
pub mod event;
pub mod metrics;
pub mod name;
pub mod plan;
pub mod policy;
pub mod record;
pub mod request;
pub mod response;
pub mod secret;
pub mod sql;

pub mod plugin;
pub mod postgres;
pub mod secrets;

pub mod aws;
mod blocking;
mod crash;
pub mod handler;
pub mod telemetry;
mod vault;
