//! The conformance plugin: tests/conformance/README.md says what it does.

mod orders;
mod resolver;
mod target;
