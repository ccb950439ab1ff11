//! The one place where bytes become machine code.
//!
//! **Invariant:** [`load`] and `load_own` have the only `unsafe` that is run: the one for
//! what was published, the other for what was compiled here. The two below are in a
//! measurement, which loads what it has compiled itself.

use wasmtime::component::Component;
use wasmtime::{Engine as WasmtimeEngine, Precompiled};

#[cfg(feature = "compiler")]
use super::compiler::OwnCode;
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
    let kind = WasmtimeEngine::detect_precompiled_file(code.path());
    if !matches!(kind, Ok(Some(Precompiled::Component))) {
        return Err(Refusal::new(
            "has something else where its native code should be",
        ));
    }
    // SAFETY: what is deserialized has to come from wasmtime's own compiler, and
    // this is as far as anybody can know it: whoever holds a key that the
    // function's configuration trusts has signed for these very bytes, which were
    // sealed before their digest was taken, so that they can't change any more;
    // the mapping outlives the descriptor. Code of another wasmtime, or of other
    // settings, is an error and nothing worse.
    #[expect(
        unsafe_code,
        reason = "native code has no other door; the type of the argument is the proof"
    )]
    let component = unsafe { Component::deserialize_file(engine.wasmtime(), code.path()) };
    component.map_err(|error| {
        Refusal::new(format!(
            "has native code that this host can't load: {}",
            printable(&error.root_cause().to_string(), 200)
        ))
        .with_detail(format!("{error:#}"))
    })
}

/// Loads what we compiled ourselves, now or, of `symctl`, before.
#[cfg(feature = "compiler")]
pub(super) fn load_own(engine: &Engine, code: &OwnCode) -> wasmtime::Result<Component> {
    // SAFETY: these bytes are the result of our compiler in this process, or in one of the
    // same program's that this one started and nobody else has a descriptor of; or they
    // were read, whole, from a directory that nobody but this user may write, where
    // `code_cache` alone puts the results of the same. They are in our memory, or sealed,
    // and can't change any more.
    #[expect(
        unsafe_code,
        reason = "native code has no other door; the type of the argument is the proof"
    )]
    unsafe {
        match code {
            OwnCode::Bytes(bytes) => Component::deserialize(engine.wasmtime(), bytes),
            OwnCode::Sealed(code) => Component::deserialize_file(engine.wasmtime(), code.path()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::io::{Read as _, Write};
    use std::os::fd::AsRawFd as _;
    use std::path::{Path, PathBuf};
    use std::process::Command;
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

    /// Names the file with native code, for the process that loads it.
    const CODE: &str = "SYM_BENCH_NATIVE_CODE";
    /// Says how.
    const HOW: &str = "SYM_BENCH_NATIVE_HOW";

    // A buffer that is hashed, and which wasmtime copies; or a memfd that is hashed
    // and sealed, and which wasmtime maps. Each in a process of its own: what
    // compiling used and gave back would hide what loading takes.
    #[test]
    #[ignore = "a measurement: `cargo xtask bench --only releases` runs it"]
    #[expect(clippy::print_stdout, reason = "a table for the documents")]
    fn a_buffer_against_a_sealed_memfd() {
        let component = wat::parse_str("(component)").expect("is valid");
        let component = sym_test_support::padding::pad(component, 35 << 20);
        let target = crate::plugin::TARGET.expect("Linux");
        let code = precompile(&component, target).expect("compiles");
        let directory = tempfile::tempdir_in("/dev/shm").expect("is there");
        let source = directory.path().join("source");
        fs::write(&source, &code).expect("has room");
        for how in ["buffer, copied", "sealed memfd, mapped"] {
            let name = "plugin::native::tests::loads_in_a_process_of_its_own";
            let output = Command::new(std::env::current_exe().expect("is running"))
                .args(["--exact", name, "--ignored", "--nocapture"])
                .env(CODE, &source)
                .env(HOW, how)
                .output()
                .expect("starts");
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8_lossy(&output.stdout);
            let row = text.lines().find(|line| line.starts_with('|'));
            println!("{}", row.expect("prints a row"));
        }
    }

    #[test]
    #[ignore = "the second process of the measurement above"]
    #[expect(clippy::print_stdout, reason = "a row of its table")]
    fn loads_in_a_process_of_its_own() {
        let Some(source) = std::env::var_os(CODE).map(PathBuf::from) else {
            return;
        };
        let how = std::env::var(HOW).expect("is said");
        let megabytes = fs::metadata(&source).expect("is there").len() / 1_000_000;
        let expected = copy_hashed(&source, &mut std::io::sink());
        let engine = Engine::new().expect("starts");
        let (time, memory) = if how.starts_with("buffer") {
            measured(|| {
                let bytes = fs::read(&source).expect("is there");
                assert!(Digest::of(&bytes).to_string() == expected);
                #[expect(unsafe_code, reason = "these bytes are our compiler's")]
                // SAFETY: the process that started this one compiled them.
                let component = unsafe { Component::deserialize(engine.wasmtime(), &bytes) };
                component.expect("loads")
            })
        } else {
            let (time, memory) = measured(|| {
                let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
                let memory = memfd_create(c"native", flags).expect("Linux lets us");
                let mut memory = File::from(memory);
                assert!(copy_hashed(&source, &mut memory) == expected);
                let seals = SealFlag::F_SEAL_WRITE
                    | SealFlag::F_SEAL_GROW
                    | SealFlag::F_SEAL_SHRINK
                    | SealFlag::F_SEAL_SEAL;
                fcntl(&memory, FcntlArg::F_ADD_SEALS(seals)).expect("nobody has it mapped");
                let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
                #[expect(unsafe_code, reason = "these bytes are our compiler's")]
                // SAFETY: the process that started this one compiled them, and they
                // can't change any more.
                let component = unsafe { Component::deserialize_file(engine.wasmtime(), path) };
                component.expect("loads")
            });
            // The memfd is memory too, which no process is charged for.
            (time, memory + megabytes)
        };
        println!(
            "| {how} | {megabytes} MB | {} ms | {memory} MB |",
            time.as_millis()
        );
    }

    /// Copies what arrives, and gives its digest.
    fn copy_hashed(source: &Path, to: &mut impl Write) -> String {
        let mut arriving = File::open(source).expect("is there");
        let mut hash = sha2::Sha256::default();
        let mut chunk = vec![0; 64 << 10];
        loop {
            let count = arriving.read(&mut chunk).expect("is read");
            if count == 0 {
                break;
            }
            sha2::Digest::update(&mut hash, &chunk[..count]);
            to.write_all(&chunk[..count]).expect("has room");
        }
        let hash: [u8; 32] = sha2::Digest::finalize(hash).into();
        super::super::hex(&hash)
    }
}
