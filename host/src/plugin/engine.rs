//! The engine: one configuration for the host, the CLI and the tests.
//!
//! **Invariant:** every setting that is part of the ABI of compiled code is set
//! here by name. wasmtime's defaults hang on cargo features and on one
//! environment variable, and code that `symctl` compiled must load in a host that
//! was built with other features.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(feature = "compiler")]
use wasmtime::component::Component;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, ModuleVersionStrategy, WasmBacktraceDetails, WasmFeatures};

use super::bindings::sym::postgres;
#[cfg(feature = "all-targets")]
use super::code_cache::CodeCache;
#[cfg(feature = "compiler")]
use super::compiler::{self, OwnCode};
#[cfg(feature = "compiler")]
use super::component::Refusal;
#[cfg(feature = "compiler")]
use super::native;
use super::store::State;
use super::wasi;
use crate::error::{Error, Result};

/// Names the ABI of compiled code: wasmtime's full version, and our revision of
/// this file's settings.
///
/// wasmtime's own check takes its major version alone, so a host patched for a
/// miscompilation would go on running the code with the hole in it.
pub const ENGINE_ID: &str = "48.0.8/2";

/// What compiled code is for: the baseline of the architecture, never the CPU
/// that it happens to be compiled on.
pub const TARGET: Option<&str> = if cfg!(all(target_os = "linux", target_arch = "x86_64")) {
    Some("x86_64-unknown-linux-gnu")
} else if cfg!(all(target_os = "linux", target_arch = "aarch64")) {
    Some("aarch64-unknown-linux-gnu")
} else {
    // A laptop: it compiles for itself, and publishes for the two above.
    None
};

/// Stack of a guest, in bytes, where nobody says otherwise. Enough for every
/// language tried; a deeper recursion is an error. It is a property of the engine,
/// so no plugin has its own.
pub const STACK_BYTES: usize = 512 << 10;

/// What the host's functions need on top of a guest's stack, in bytes.
const HOST_STACK_BYTES: usize = 512 << 10;

/// Compiles plugins, and knows what they may import.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    engine: wasmtime::Engine,
    pure: Linker<State>,
    wasi: Linker<State>,
    compiled: AtomicU64,
    stack_bytes: usize,
    #[cfg(feature = "all-targets")]
    code_cache: Option<CodeCache>,
}

impl Engine {
    /// The engine, whose guests have the usual stack.
    ///
    /// # Errors
    /// `internal`: this machine can't run what the configuration asks for.
    pub fn new() -> Result<Self> {
        Self::with_stack(STACK_BYTES)
    }

    /// The engine. One for the life of the process. Native code loads whatever the
    /// stack is.
    ///
    /// # Errors
    /// `internal`: this machine can't run what the configuration asks for.
    pub fn with_stack(stack_bytes: usize) -> Result<Self> {
        config(TARGET, stack_bytes)
            .and_then(|config| Self::build(&config, stack_bytes))
            .map_err(|error| {
                Error::internal(format!("the WebAssembly engine doesn't start: {error:#}"))
            })
    }

    /// The engine, which keeps what it compiles for the next process.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    #[cfg(feature = "all-targets")]
    pub fn with_code_cache(cache: CodeCache) -> Result<Self> {
        let mut engine = Self::new()?;
        // Nobody else has it yet.
        if let Some(inner) = Arc::get_mut(&mut engine.0) {
            inner.code_cache = Some(cache);
        }
        Ok(engine)
    }

    #[cfg(feature = "all-targets")]
    pub(super) fn code_cache(&self) -> Option<&CodeCache> {
        self.0.code_cache.as_ref()
    }

    /// One that makes other machine code of the same plugin.
    #[cfg(all(test, feature = "compiler"))]
    pub(super) fn compiling(
        target: Option<&str>,
        level: wasmtime::OptLevel,
    ) -> wasmtime::Result<Self> {
        let mut config = config(target, STACK_BYTES)?;
        Self::build(config.cranelift_opt_level(level), STACK_BYTES)
    }

    fn build(config: &Config, stack_bytes: usize) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(config)?;
        let mut pure = Linker::new(&engine);
        postgres::log::add_to_linker::<State, HasSelf<State>>(&mut pure, |state| state)?;
        postgres::config::add_to_linker::<State, HasSelf<State>>(&mut pure, |state| state)?;
        let mut wasi = pure.clone();
        wasi::add_to_linker(&mut wasi)?;
        Ok(Self(Arc::new(Inner {
            engine,
            pure,
            wasi,
            compiled: AtomicU64::new(0),
            stack_bytes,
            #[cfg(feature = "all-targets")]
            code_cache: None,
        })))
    }

    /// Stack of a guest, in bytes.
    pub(super) fn stack_bytes(&self) -> usize {
        self.0.stack_bytes
    }

    /// How many components were compiled in place since this was last asked.
    pub fn take_compiled(&self) -> u64 {
        self.0.compiled.swap(0, Ordering::Relaxed)
    }

    /// A component was compiled in place.
    #[cfg(feature = "compiler")]
    pub(super) fn count_compiled(&self) {
        self.0.compiled.fetch_add(1, Ordering::Relaxed);
    }

    /// Compiles a component for this machine.
    ///
    /// # Errors
    /// It is invalid, or takes too much.
    #[cfg(feature = "compiler")]
    pub(super) fn native_code(&self, component: &[u8]) -> Result<OwnCode, Refusal> {
        compiler::compile(&self.0.engine, TARGET, component)
    }

    /// Loads what was compiled.
    ///
    /// # Errors
    /// It isn't of this engine.
    #[cfg(feature = "compiler")]
    pub(super) fn load(&self, code: &OwnCode) -> Result<Component, Refusal> {
        native::load_own(self, code).map_err(|error| {
            Refusal::new("was compiled, and can't be loaded").with_detail(format!("{error:#}"))
        })
    }

    pub(super) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0.engine
    }

    /// What a plugin may import.
    pub(super) fn linker(&self, wasi: bool) -> &Linker<State> {
        if wasi { &self.0.wasi } else { &self.0.pure }
    }
}

/// An engine that compiles for a target that may not be this machine. It runs
/// nothing.
#[cfg(feature = "compiler")]
pub(super) fn compiler_for(target: &str) -> wasmtime::Result<wasmtime::Engine> {
    // Named only to be built for both architectures.
    #[cfg(feature = "all-targets")]
    use cranelift_codegen as _;
    wasmtime::Engine::new(&config(Some(target), STACK_BYTES)?)
}

/// The one configuration. Changing anything of it but the stack makes all compiled
/// code unloadable: [`ENGINE_ID`]'s revision goes up with it.
fn config(target: Option<&str>, stack_bytes: usize) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.module_version(ModuleVersionStrategy::Custom(ENGINE_ID.to_owned()))?;
    if let Some(target) = target {
        config.target(target)?;
    }
    #[cfg(feature = "compiler")]
    {
        config.strategy(wasmtime::Strategy::Cranelift);
        config.cranelift_opt_level(wasmtime::OptLevel::Speed);
        // Two machines must not differ in the bits of a NaN.
        config.cranelift_nan_canonicalization(true);
    }
    // Fuel is the same number on every machine, and needs no ticking thread,
    // which a frozen sandbox would stop.
    config.consume_fuel(true);
    config.epoch_interruption(false);
    config.concurrency_support(false);
    // What no plugin needs is off: less to get wrong, and artifacts that load in
    // every build. A feature is switched on here when a language needs it.
    config.wasm_features(
        WasmFeatures::THREADS
            | WasmFeatures::SHARED_EVERYTHING_THREADS
            | WasmFeatures::EXCEPTIONS
            | WasmFeatures::LEGACY_EXCEPTIONS
            | WasmFeatures::GC
            | WasmFeatures::GC_TYPES
            | WasmFeatures::FUNCTION_REFERENCES
            | WasmFeatures::STACK_SWITCHING
            | WasmFeatures::MEMORY64
            | WasmFeatures::RELAXED_SIMD
            | WasmFeatures::TAIL_CALL
            | WasmFeatures::CUSTOM_PAGE_SIZES
            | WasmFeatures::WIDE_ARITHMETIC
            | WasmFeatures::MEMORY_CONTROL
            | WasmFeatures::CM_ASYNC
            | WasmFeatures::CM_ERROR_CONTEXT
            | WasmFeatures::CM_GC,
        false,
    );
    config.wasm_features(
        WasmFeatures::MUTABLE_GLOBAL
            | WasmFeatures::SATURATING_FLOAT_TO_INT
            | WasmFeatures::SIGN_EXTENSION
            | WasmFeatures::REFERENCE_TYPES
            | WasmFeatures::MULTI_VALUE
            | WasmFeatures::BULK_MEMORY
            | WasmFeatures::SIMD
            | WasmFeatures::FLOATS
            | WasmFeatures::EXTENDED_CONST
            // The code that wasmtime itself makes for calls between the components
            // of a component reads one memory and writes the other: componentize-qjs
            // makes such, and compiling them would panic.
            | WasmFeatures::MULTI_MEMORY
            | WasmFeatures::COMPONENT_MODEL,
        true,
    );
    config.shared_memory(false);
    config.relaxed_simd_deterministic(true);
    config.max_wasm_stack(stack_bytes);
    config.async_stack_size(stack_bytes + HOST_STACK_BYTES);
    config.signals_based_traps(true);
    config.native_unwind_info(false);
    config.generate_address_map(true);
    config.debug_info(false);
    // The default reads WASMTIME_BACKTRACE_DETAILS.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config.wasm_backtrace_max_frames(NonZeroUsize::new(32));
    // Address space is free; with 4 GiB of it reserved and a guard behind, no
    // access to memory needs a check of its own.
    config.memory_reservation(4 << 30);
    config.memory_reservation_for_growth(2 << 30);
    config.memory_guard_size(32 << 20);
    config.guard_before_linear_memory(true);
    config.memory_may_move(true);
    config.memory_init_cow(true);
    config.table_lazy_init(true);
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    // An update of wasmtime has to make all compiled code anew.
    #[test]
    fn the_id_names_the_version_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        let version = lock
            .split("name = \"wasmtime\"\nversion = \"")
            .nth(1)
            .and_then(|rest| rest.split('"').next());
        assert_eq!(ENGINE_ID.split('/').next(), version);
    }

    /// Feeds a hash into something that is the same in every build.
    #[cfg(feature = "all-targets")]
    struct Fingerprint(Vec<u8>);

    #[cfg(feature = "all-targets")]
    impl std::hash::Hasher for Fingerprint {
        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }

        fn finish(&self) -> u64 {
            0
        }
    }

    // Everything that native code is checked against when it is loaded, and more.
    #[test]
    #[cfg(feature = "all-targets")]
    fn native_code_that_was_published_still_loads() {
        use std::hash::Hash as _;
        let fingerprint = |target| {
            let engine = compiler_for(target).expect("compiles for it");
            let mut fingerprint = Fingerprint(Vec::new());
            engine
                .precompile_compatibility_hash()
                .hash(&mut fingerprint);
            super::super::statement::Digest::of(&fingerprint.0).short()
        };
        assert_eq!(
            super::super::package::TARGETS.map(fingerprint),
            ["3f91f90ccfd1", "1b40fa2f5c89"],
            "what native code hangs on has changed, so none that was published loads any more: raise the revision in \
             ENGINE_ID, have everybody publish anew, and put the new values here"
        );
    }

    #[test]
    fn it_starts() {
        Engine::new().expect("the configuration is valid here");
    }
}
