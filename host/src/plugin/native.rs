//! The one place where bytes become machine code.
//!
//! **Invariant:** [`load`] has the only `unsafe` that the function runs, and
//! `load_own` the one that `symctl` runs besides. The two below are in a
//! measurement, which loads what it has compiled itself.

use wasmtime::component::Component;
use wasmtime::{Engine as WasmtimeEngine, Precompiled};

#[cfg(feature = "all-targets")]
use super::code_cache::OwnCode;
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

/// Loads what this user's own process compiled, now or before: for `symctl`, and
/// never in a function.
#[cfg(feature = "all-targets")]
pub(super) fn load_own(engine: &Engine, code: &OwnCode) -> wasmtime::Result<Component> {
    // SAFETY: these bytes are the result of our compiler in this process, or were
    // read, whole, from a directory that nobody but this user may write, where
    // `code_cache` alone puts the results of the same. They are in our memory and
    // can't change any more.
    #[expect(
        unsafe_code,
        reason = "native code has no other door; the type of the argument is the proof"
    )]
    unsafe {
        Component::deserialize(engine.wasmtime(), code.bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsRawFd as _;
    use std::time::{Duration, Instant};

    use nix::fcntl::{FcntlArg, SealFlag, fcntl};
    use nix::sys::memfd::{MFdFlags, memfd_create};

    use super::*;
    use crate::plugin::package::precompile;
    use crate::plugin::statement::Digest;

    /// Of this process, in megabytes: the most since the last reset, which this
    /// is too.
    fn peak_megabytes() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kilobytes = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        fs::write("/proc/self/clear_refs", "5").expect("Linux lets us");
        kilobytes.unwrap_or_default() / 1000
    }

    /// From bytes that arrive to a component: the median of some tries, and the
    /// memory that the worst took more.
    fn measured(mut load: impl FnMut() -> Component) -> (Duration, u64) {
        let mut times = Vec::new();
        peak_megabytes();
        let before = peak_megabytes();
        for _ in 0..9 {
            let start = Instant::now();
            drop(load());
            times.push(start.elapsed());
        }
        times.sort();
        (
            times[times.len() / 2],
            peak_megabytes().saturating_sub(before),
        )
    }

    // A buffer that is hashed, and which wasmtime copies; or a memfd that is hashed
    // and sealed, and which wasmtime maps.
    #[test]
    #[ignore = "a measurement: `cargo xtask bench --only releases` runs it"]
    #[expect(clippy::print_stdout, reason = "a table for the documents")]
    fn a_buffer_against_a_sealed_memfd() {
        let component = wat::parse_str("(component)").expect("is valid");
        let component = sym_test_support::padding::pad(component, 35 << 20);
        let target = crate::plugin::TARGET.expect("Linux");
        let code = precompile(&component, target).expect("compiles");
        drop(component);
        let directory = tempfile::tempdir_in("/dev/shm").expect("is there");
        let source = directory.path().join("source");
        fs::write(&source, &code).expect("has room");
        let (megabytes, digest) = (code.len() / 1_000_000, Digest::of(&code));
        drop(code);
        let engine = Engine::new().expect("starts");
        let buffer = measured(|| {
            let mut bytes = Vec::new();
            let mut arriving = File::open(&source).expect("is there");
            arriving.read_to_end(&mut bytes).expect("is read");
            assert!(Digest::of(&bytes) == digest);
            #[expect(unsafe_code, reason = "these bytes are our compiler's")]
            // SAFETY: they were compiled above.
            let component = unsafe { Component::deserialize(engine.wasmtime(), &bytes) };
            component.expect("loads")
        });
        let mapped = measured(|| {
            let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
            let mut memory = File::from(memfd_create(c"native", flags).expect("Linux lets us"));
            let mut arriving = File::open(&source).expect("is there");
            let mut hash = sha2::Sha256::default();
            let mut chunk = vec![0; 64 << 10];
            loop {
                let count = arriving.read(&mut chunk).expect("is read");
                if count == 0 {
                    break;
                }
                sha2::Digest::update(&mut hash, &chunk[..count]);
                memory.write_all(&chunk[..count]).expect("has room");
            }
            let hash: [u8; 32] = sha2::Digest::finalize(hash).into();
            assert!(super::super::hex(&hash) == digest.to_string());
            let seals = SealFlag::F_SEAL_WRITE
                | SealFlag::F_SEAL_GROW
                | SealFlag::F_SEAL_SHRINK
                | SealFlag::F_SEAL_SEAL;
            fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).expect("nobody has it mapped");
            let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
            #[expect(unsafe_code, reason = "these bytes are our compiler's")]
            // SAFETY: they were compiled above, and can't change any more.
            let component = unsafe { Component::deserialize_file(engine.wasmtime(), path) };
            component.expect("loads")
        });
        let say = |what: &str, (time, memory): (Duration, u64)| {
            println!(
                "| {what} | {megabytes} MB | {} ms | {memory} MB |",
                time.as_millis()
            );
        };
        say("buffer, copied", buffer);
        // The memfd is memory too, which no process is charged for.
        let (time, memory) = mapped;
        say("sealed memfd, mapped", (time, memory + megabytes as u64));
    }
}
