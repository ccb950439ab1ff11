//! End to end: the built `bootstrap`, Lambda's runtime API, a real PostgreSQL
//! and, where AWS is concerned, moto. An event in; an answer, a state of the
//! database and logins out.
//!
//! `SYM_TEST_POSTGRES=16` chooses the version. What is tested was built before:
//! `cargo build --workspace --all-targets`, and `cargo xtask plugins`.

mod at_once;
mod aws_outage;
mod bad_configuration;
mod bad_database;
mod bad_events;
mod bad_plugins;
mod bot_password;
mod by_hand;
mod closed;
mod cold_starts;
mod crash;
mod decoys;
mod determinism;
mod doctor;
mod doors;
mod dry_run;
mod emulator;
mod expire;
mod faults;
mod fixture;
mod floods;
mod grantors;
mod heirs;
mod held_open;
mod hostile;
mod iam;
mod in_the_way;
mod ledger_owner;
mod leftovers;
mod lock_queues;
mod locks;
mod lost_output;
mod manifest_schema;
mod metrics;
mod migration;
mod orders;
mod overtaken;
mod plans;
mod plugin_commands;
mod quoting;
mod releases;
mod repeats;
mod replay;
mod restarts;
mod restored;
mod role;
mod round_trips;
mod search_path;
mod secrecy;
mod slim;
mod standby;
mod sweep;
mod sym_flow;
mod temporary_user;
mod throttled;
mod tls;
mod tunnel;
mod vault;
mod workers;
