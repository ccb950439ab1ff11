//! What a plugin may use up in one call.
//!
//! Each limit is the operator's: `[limits]` in `plugins.toml` for all plugins,
//! `[resolver.limits]` and `[targets.NAME.limits]` for one. A plugin that passes
//! one is ended, and the error names the plugin, the limit, its value and where
//! to raise it.

use std::fmt;

use serde::Deserialize;
use toml::Spanned;

use super::manifest::MAX_COMPONENT_BYTES;
use crate::error::Code;
use crate::policy::{MAX_SQL_BYTES, MAX_STEPS};

macro_rules! limits {
    ($($(#[doc = $doc:literal])* $variant:ident $field:ident = $default:expr, $most:expr, $code:ident, $did:literal;)*) => {
        /// One of the limits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Limit { $($(#[doc = $doc])* $variant,)* }

        impl Limit {
            /// Every limit, for the reference page.
            pub const ALL: &[Limit] = &[$(Limit::$variant,)*];

            /// Its key in `plugins.toml`.
            pub fn key(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field),)* }
            }

            /// What it is where `plugins.toml` doesn't say.
            pub fn default_value(self) -> u64 {
                match self { $(Self::$variant => $default,)* }
            }

            /// The highest that `plugins.toml` may say.
            pub fn most(self) -> u64 {
                match self { $(Self::$variant => $most,)* }
            }

            /// The code of the error of a plugin that passes it.
            pub fn code(self) -> Code {
                match self { $(Self::$variant => Code::$code,)* }
            }

            /// What it limits and why it is what it is, for the reference page.
            pub fn documentation(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)*),)* }
            }

            /// What a plugin that passes it did.
            pub(super) fn deed(self) -> &'static str {
                match self { $(Self::$variant => $did,)* }
            }
        }

        /// A value for every limit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Limits { $($(#[doc = $doc])* pub $field: u64,)* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }

        impl Limits {
            /// The value of one limit.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit { $(Limit::$variant => self.$field,)* }
            }

            /// Sets one by its key in `plugins.toml`.
            ///
            /// # Errors
            /// A clause whose subject is the key.
            pub fn set(&mut self, key: &str, value: u64) -> Result<(), String> {
                let Some(limit) = Limit::ALL.iter().find(|limit| limit.key() == key) else {
                    let keys: Vec<&str> = Limit::ALL.iter().map(|limit| limit.key()).collect();
                    return Err(format!("is no limit, expected one of {}", keys.join(", ")));
                };
                if !(1..=limit.most()).contains(&value) {
                    return Err(format!("is {value}, expected 1 to {}", limit.most()));
                }
                match limit { $(Limit::$variant => self.$field = value,)* }
                Ok(())
            }

            /// These, with what a table of `plugins.toml` says instead. `wrong` is
            /// told of every value that is out of range.
            pub(super) fn with(mut self, raw: &RawLimits, mut wrong: impl FnMut(Limit, &Spanned<u64>)) -> Self {
                $(if let Some(value) = &raw.$field {
                    if (1..=$most).contains(value.get_ref()) {
                        self.$field = *value.get_ref();
                    } else {
                        wrong(Limit::$variant, value);
                    }
                })*
                self
            }
        }

        /// A table of limits as it is in the file.
        #[derive(Debug, Default, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub(super) struct RawLimits { $($field: Option<Spanned<u64>>,)* }
    };
}

const MIB: u64 = 1 << 20;

limits! {
    /// Fuel: about one unit for each WebAssembly instruction. The same number on
    /// every machine, so a plugin that passes its tests has enough everywhere. The
    /// default is some thousand times what our own plugins take, and ends a busy
    /// loop before the wall time does on a function of 128 MB, which has a
    /// fourteenth of a CPU: `cargo nextest run --workspace -E 'test(/^throttled/)'`.
    Fuel fuel = 50_000_000, 1_000_000_000_000, PluginFuel, "used up its fuel";
    /// Wall time of one call, in milliseconds, and of starting its instance: together,
    /// or of each where that is started ahead. For what fuel doesn't measure: a guest
    /// that sleeps. Never longer than what is left of the event's own time.
    WallMilliseconds wall_milliseconds = 2_000, 900_000, PluginTime, "took too long";
    /// All linear memories together, in bytes. A plugin in Rust begins with 1.1 MB,
    /// one in Python with about 12 MB; a function of 128 MB has room for one call.
    MemoryBytes memory_bytes = 64 * MIB, 4096 * MIB, PluginMemory, "asked for too much memory";
    /// Elements of all tables together. Large interpreters have some ten thousand
    /// functions, each with an element of eight bytes.
    TableElements table_elements = 100_000, 10_000_000, PluginMemory, "asked for too large a table";
    /// Tables. Each core module has one or two.
    Tables tables = 32, 1_000, PluginMemory, "has too many tables";
    /// Linear memories. A component has one, or a few where it is made of parts.
    Memories memories = 16, 1_000, PluginMemory, "has too many memories";
    /// Core module instances. A component from Rust has two to four, one from Python
    /// a few dozen.
    Instances instances = 100, 1_000, PluginMemory, "has too many core instances";
    /// Bytes that one call hands to the host: what it returns, and what it passes in
    /// one call of an import. A plan has some hundred.
    OutputBytes output_bytes = MIB, 64 * MIB, PluginOutput, "returned or passed too much data";
    /// Bytes logged in one call. WASI's stdout and stderr have as much again; what
    /// they get beyond it is dropped and counted.
    LogBytes log_bytes = 16 << 10, MIB, PluginLog, "logged too much";
    /// Lines logged in one call. WASI's stdout and stderr have as many again; what
    /// they get beyond it is dropped and counted.
    LogLines log_lines = 100, 10_000, PluginLog, "logged too many lines";
    /// Steps of a plan. Each is a round trip while locks are held, and Sym waits. Our
    /// plugins have one; a target that needs this many wants a role of its own.
    Steps steps = 50, MAX_STEPS as u64, PluginOutput, "asked for too many steps";
    /// Bytes of one statement as the plugin has it, its values not yet put in.
    /// PostgreSQL's parser gets all of it. Ours have less than 200; a grant that
    /// names a hundred tables has about 8,000.
    SqlBytes sql_bytes = 16 << 10, MAX_SQL_BYTES as u64, PluginOutput, "returned too long a statement";
    /// Bytes of the component. One from Rust has some ten thousand, one from Python
    /// 18 million.
    ComponentBytes component_bytes = 32 * MIB, MAX_COMPONENT_BYTES, InvalidPlugin, "is too large";
}

/// As the cause of a trap: a plugin that passed this limit.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the plugin {} (limit `{}`)", self.deed(), self.key())
    }
}

impl std::error::Error for Limit {}

/// Counts what the instances of one call take.
///
/// wasmtime asks for each memory and each table alone; the limits are on all of
/// them together, so that a component can't multiply its share.
pub(super) struct Limiter {
    limits: Limits,
    memory_bytes: u64,
    table_elements: u64,
}

impl Limiter {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            memory_bytes: 0,
            table_elements: 0,
        }
    }

    /// Memories never shrink, so this is the peak.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }
}

/// Whether a guest asked for more than its own module allows: it gets nothing, and is
/// told so as the module's author expects.
fn is_beyond(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

impl wasmtime::ResourceLimiter for Limiter {
    // An error ends the plugin, where `Ok(false)` would make its allocator fail:
    // most guests abort then, which looks like a panic of theirs.
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_beyond(desired, maximum) {
            return Ok(false);
        }
        let total = self.memory_bytes.saturating_add((desired - current) as u64);
        if total > self.limits.memory_bytes {
            return Err(Limit::MemoryBytes.into());
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if is_beyond(desired, maximum) {
            return Ok(false);
        }
        let total = self
            .table_elements
            .saturating_add((desired - current) as u64);
        if total > self.limits.table_elements {
            return Err(Limit::TableElements.into());
        }
        self.table_elements = total;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances as usize
    }

    fn tables(&self) -> usize {
        self.limits.tables as usize
    }

    fn memories(&self) -> usize {
        self.limits.memories as usize
    }
}

/// The reference page, in Markdown.
pub fn limits_reference() -> String {
    let mut page = String::from(
        "# Limits of plugins\n\n\
         What a plugin may use up in one call.\n\
         `[limits]` in `plugins.toml` sets a limit for all plugins, `[resolver.limits]` and `[targets.NAME.limits]` for one.\n\
         The stack is one for all of them: the function's variable `PLUGIN_STACK_BYTES` in [configuration.md](configuration.md).\n\
         This page is generated from `host/src/plugin/limits.rs`.\n\n\
         | key | default | most | what and why | error |\n|---|---|---|---|---|\n",
    );
    for limit in Limit::ALL {
        page.push_str(&format!(
            "| `{}` | {} | {} | {} | `{}` |\n",
            limit.key(),
            limit.default_value(),
            limit.most(),
            limit.documentation().trim(),
            limit.code()
        ));
    }
    #[cfg(feature = "compiler")]
    {
        page.push_str(&super::compiler::reference());
        page.push_str(&super::extent::reference());
    }
    page
}
