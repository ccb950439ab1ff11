//! My plugin.

mod resolver;
mod target;
