//! The one place where bytes become machine code.
//!
//! **Invariant:** no other line of this workspace's own code is `unsafe`.

use wasmtime::component::Component;
use wasmtime::{Engine as WasmtimeEngine, Precompiled};

use super::component::Refusal;
use super::engine::Engine;
use super::trust::VerifiedNative;
use crate::event::printable;

/// Loads native code. `code` says where it came from: its digest and length are
/// in a statement that a key of `PLUGIN_TRUST` signed (or that it pins), as
/// native code of just this engine and target, and these are the bytes that were
/// hashed.
pub(super) fn load(engine: &Engine, code: &VerifiedNative) -> Result<Component, Refusal> {
    // For the sentence, not for safety: the mark is the bytes' own word.
    if WasmtimeEngine::detect_precompiled(code.bytes()) != Some(Precompiled::Component) {
        return Err(Refusal::new(
            "has something else where its native code should be",
        ));
    }
    // SAFETY: what is deserialized has to come from wasmtime's own compiler, and
    // this is as far as anybody can know it: whoever holds a key that the
    // function's configuration trusts has signed for these very bytes, which are
    // in our memory and can't change any more. Code of another wasmtime, or of
    // other settings, is an error and nothing worse.
    #[expect(
        unsafe_code,
        reason = "native code has no other door; the type of the argument is the proof"
    )]
    let component = unsafe { Component::deserialize(engine.wasmtime(), code.bytes()) };
    component.map_err(|error| {
        Refusal::new(format!(
            "has native code that this host can't load: {}",
            printable(&error.root_cause().to_string(), 200)
        ))
        .with_detail(format!("{error:#}"))
    })
}
