//! A component, from its bytes to what a call needs: compiled once, checked
//! once, and kept.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::time::Instant;
use wasmtime::component::{Component, InstancePre};

use super::engine::Engine;
#[cfg(feature = "compiler")]
use super::extent;
use super::instance::Ahead;
use super::limits::Limits;
use super::native;
use super::statement::Digest;
use super::store::State;
use super::trust::VerifiedNative;
use super::world::{self, Export};
use crate::error::{self, Error, Result};
use crate::event::printable;

/// Why a component can't be used: a clause that begins with a verb, whose subject
/// is the plugin.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    clause: String,
    detail: Option<String>,
    is_passing: bool,
}

impl Refusal {
    pub(super) fn new(clause: impl Into<String>) -> Self {
        Self {
            clause: clause.into(),
            detail: None,
            is_passing: false,
        }
    }

    /// Says that it isn't the plugin's alone: the next try may end otherwise.
    #[cfg(feature = "compiler")]
    pub(super) fn passing(mut self) -> Self {
        self.is_passing = true;
        self
    }

    pub(super) fn with_detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }
}

/// A component's bytes, and what was compiled of them. Shared by all entries that
/// name the same file.
pub(super) struct Artifact {
    path: String,
    /// The beginning of the component's digest.
    version: String,
    /// How many bytes the component has, also where it came as native code.
    bytes: u64,
    /// Gone once it has been loaded: it may be 18 MB, of 128, and more where it
    /// is native code.
    code: Mutex<Code>,
    compiled: Outcome<Component>,
}

/// What came of something that is done once, unless another try may end otherwise.
struct Outcome<T> {
    kept: OnceLock<Result<T, Refusal>>,
    /// Locked while it is done.
    doing: Mutex<()>,
}

impl<T> Outcome<T> {
    fn unknown() -> Self {
        Self {
            kept: OnceLock::new(),
            doing: Mutex::new(()),
        }
    }

    /// What there is already.
    fn get(&self) -> Option<Result<&T, Refusal>> {
        let kept = self.kept.get()?;
        Some(kept.as_ref().map_err(Clone::clone))
    }

    /// The same, or what comes of it now.
    fn get_or(&self, act: impl FnOnce() -> Result<T, Refusal>) -> Result<&T, Refusal> {
        let _doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.get() {
            return kept;
        }
        match act() {
            Err(refusal) if refusal.is_passing => Err(refusal),
            result => {
                let kept = self.kept.get_or_init(|| result);
                kept.as_ref().map_err(Clone::clone)
            }
        }
    }
}

/// What a component comes as.
enum Code {
    Component(Vec<u8>),
    Native(VerifiedNative),
    Loaded,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.clause)
    }
}

impl Artifact {
    /// `path` is for messages alone: nothing is read again.
    pub(super) fn new(path: &str, bytes: Vec<u8>) -> Self {
        let length = bytes.len() as u64;
        Self::of(path, Digest::of(&bytes), length, Code::Component(bytes))
    }

    /// The same for native code. Digest and length are the component's, so that a
    /// plugin's version and limits don't hang on how it came.
    pub(super) fn native(path: &str, sha256: Digest, bytes: u64, code: VerifiedNative) -> Self {
        Self::of(path, sha256, bytes, Code::Native(code))
    }

    fn of(path: &str, sha256: Digest, bytes: u64, code: Code) -> Self {
        Self {
            path: path.to_owned(),
            version: sha256.short(),
            bytes,
            code: Mutex::new(code),
            compiled: Outcome::unknown(),
        }
    }

    /// The beginning of the component's digest.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// Whether it came as native code, and isn't loaded yet.
    fn is_native(&self) -> bool {
        let code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*code, Code::Native(_))
    }

    pub(super) fn compiled(&self, engine: &Engine) -> Result<&Component, Refusal> {
        self.compiled.get_or(|| {
            let mut code = self.code.lock().unwrap_or_else(PoisonError::into_inner);
            let compiled = match &*code {
                Code::Component(bytes) => compile(engine, bytes),
                Code::Native(code) => native::load(engine, code),
                Code::Loaded => Err(Refusal::new("could not be loaded by an earlier event")),
            };
            if !compiled.as_ref().is_err_and(|refusal| refusal.is_passing) {
                *code = Code::Loaded;
            }
            compiled
        })
    }
}

/// What the first eight bytes say: a preamble, and whether it is of a module or of
/// a component.
///
/// Source: component model, `Binary.md`, "Component Definitions".
fn check_kind(bytes: &[u8]) -> Result<(), Refusal> {
    match bytes {
        [0, b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => Err(Refusal::new(
            "is a core module, expected a component: `symctl plugin build` or `wasm-tools component new` makes one of it",
        )),
        [0, b'a', b's', b'm', ..] => Err(Refusal::new(
            "is of another version of WebAssembly, expected a component",
        )),
        // Native code comes in signed releases alone, never in a component's place.
        [0x7f, b'E', b'L', b'F', ..] => Err(Refusal::new(
            "is native code, expected a WebAssembly component",
        )),
        _ => Err(Refusal::new(
            "is no WebAssembly, expected a component in binary form",
        )),
    }
}

#[cfg(feature = "compiler")]
fn compile(engine: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
    check_kind(bytes)?;
    extent::check(bytes)?;
    engine.count_compiled();
    #[cfg(feature = "all-targets")]
    if let Some(cache) = engine.code_cache() {
        return cache.component(engine, bytes);
    }
    engine.load(&engine.native_code(bytes)?)
}

#[cfg(not(feature = "compiler"))]
fn compile(_: &Engine, bytes: &[u8]) -> Result<Component, Refusal> {
    check_kind(bytes)?;
    Err(Refusal::new(concat!(
        "has no native code for this function, which was built without a compiler: run `symctl publish` of version ",
        env!("CARGO_PKG_VERSION"),
        ", which makes it, or use the standard build"
    )))
}

/// One entry of `plugins.toml` that has a component.
pub(super) struct Plugin<E: Export> {
    engine: Engine,
    release: Arc<str>,
    artifact: Arc<Artifact>,
    section: String,
    limits: Limits,
    config: Arc<BTreeMap<String, String>>,
    wasi: bool,
    is_on_trial: bool,
    prepared: Outcome<Prepared<E>>,
    ahead: Ahead,
}

/// What is left to do at a call: make an instance.
pub(super) struct Prepared<E: Export> {
    pub(super) pre: InstancePre<State>,
    pub(super) indices: E::Indices,
}

impl<E: Export + 'static> Plugin<E> {
    pub(super) fn new(
        engine: Engine,
        release: Arc<str>,
        artifact: Arc<Artifact>,
        section: String,
        limits: Limits,
        config: Arc<BTreeMap<String, String>>,
        wasi: bool,
    ) -> Self {
        Self {
            engine,
            release,
            artifact,
            section,
            limits,
            config,
            wasi,
            is_on_trial: false,
            prepared: Outcome::unknown(),
            ahead: Ahead::default(),
        }
    }

    /// The same component with other settings and limits, whose calls keep what
    /// they log.
    pub(super) fn on_trial(&self, config: BTreeMap<String, String>, limits: Limits) -> Self {
        Self {
            engine: self.engine.clone(),
            release: self.release.clone(),
            artifact: self.artifact.clone(),
            section: self.section.clone(),
            limits,
            config: Arc::new(config),
            wasi: self.wasi,
            is_on_trial: true,
            prepared: Outcome::unknown(),
            ahead: Ahead::default(),
        }
    }

    /// The name of the release that it is of.
    pub(super) fn release(&self) -> &str {
        &self.release
    }

    pub(super) fn is_on_trial(&self) -> bool {
        self.is_on_trial
    }

    /// The file's name, for messages.
    pub(super) fn path(&self) -> &str {
        &self.artifact.path
    }

    /// What messages call it: its table in `plugins.toml`.
    pub(super) fn name(&self) -> &str {
        &self.section
    }

    /// The beginning of its digest: tells two builds apart, whatever they call
    /// themselves.
    pub(super) fn version(&self) -> &str {
        &self.artifact.version
    }

    /// Whether it came as native code, and isn't loaded yet.
    pub(super) fn is_native(&self) -> bool {
        self.artifact.is_native()
    }

    /// Length of the component, in bytes.
    pub(super) fn component_bytes(&self) -> u64 {
        self.artifact.bytes
    }

    /// What of the next call is done already.
    pub(super) fn ahead(&self) -> &Ahead {
        &self.ahead
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn config(&self) -> Arc<BTreeMap<String, String>> {
        self.config.clone()
    }

    pub(super) fn has_wasi(&self) -> bool {
        self.wasi
    }

    /// Compiles and checks it, the first time.
    ///
    /// On a thread of its own: compiling 18 MB takes seconds, and meanwhile the
    /// one thread of the host has to see that the event's time is up. The work
    /// then goes on, and the next event finds it done. What is ready is returned
    /// without any of that.
    pub(super) async fn prepared(self: &Arc<Self>, deadline: Instant) -> Result<&Prepared<E>> {
        if self.prepared.get().is_none() {
            let plugin = self.clone();
            let work = tokio::task::spawn_blocking(move || plugin.prepare_now().map(drop));
            match tokio::time::timeout_at(deadline, work).await {
                Ok(Ok(done)) => done.map_err(|refusal| self.refused(&refusal))?,
                Ok(Err(panic)) => {
                    return Err(Error::new(
                        error::Code::InvalidPlugin,
                        format!("{} can't be compiled", self.subject()),
                    )
                    .with_source(panic));
                }
                Err(_) => {
                    return Err(Error::new(
                        error::Code::OutOfTime,
                        format!(
                            "{} was still being compiled when the event's time was up: try again in a minute, \
                             or publish it with native code",
                            self.subject()
                        ),
                    ));
                }
            }
        }
        self.prepare_now().map_err(|refusal| self.refused(&refusal))
    }

    /// The same where it has been, and nothing was wrong.
    pub(super) fn already_prepared(&self) -> Option<&Prepared<E>> {
        self.prepared.get()?.ok()
    }

    fn prepare_now(&self) -> Result<&Prepared<E>, Refusal> {
        self.prepared.get_or(|| {
            let component = self.artifact.compiled(&self.engine)?;
            world::check_imports(&self.engine, component, self.wasi)?;
            world::check_export::<E>(&self.engine, component)?;
            let pre = self
                .engine
                .linker(self.wasi)
                .instantiate_pre(component)
                .map_err(|error| {
                    Refusal::new(format!(
                        "imports what this host has in another form: {}",
                        printable(&error.root_cause().to_string(), 200)
                    ))
                    .with_detail(format!("{error:#}"))
                })?;
            let indices = E::indices(&pre).map_err(|error| {
                Refusal::new("lacks an export").with_detail(format!("{error:#}"))
            })?;
            Ok(Prepared { pre, indices })
        })
    }

    /// For the beginning of a sentence.
    pub(super) fn subject(&self) -> String {
        format!("plugin `{}` (sha256 {})", self.name(), self.version())
    }

    fn refused(&self, refusal: &Refusal) -> Error {
        let error = Error::new(
            error::Code::InvalidPlugin,
            format!(
                "{}, `{}`, {}",
                self.subject(),
                self.artifact.path,
                refusal.clause
            ),
        );
        match &refusal.detail {
            Some(detail) => error.with_source(detail.clone()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_may_pass_is_not_kept() {
        let outcome = Outcome::unknown();
        let passing = || Err(Refusal::new("is killed").passing());
        outcome.get_or(passing).expect_err("is refused");
        assert!(outcome.get().is_none());
        assert_eq!(outcome.get_or(|| Ok(1)).expect("is another try"), &1);
        assert_eq!(outcome.get_or(passing).expect("is kept"), &1);

        let outcome = Outcome::<u8>::unknown();
        let lasting = || Err(Refusal::new("is invalid"));
        outcome.get_or(lasting).expect_err("is refused");
        let kept = outcome.get_or(|| Ok(1)).expect_err("is kept");
        assert_eq!(kept.to_string(), "is invalid");
    }
}
