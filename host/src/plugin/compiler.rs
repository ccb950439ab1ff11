//! The compiler: wasmtime's, in a process of its own.
//!
//! What compiling a component takes hangs on more than can be counted beforehand: three
//! hundred bytes of it had wasmtime's compiler take gigabytes, and others never end. A
//! process is held by the system to what it may take, whatever it takes it for, and one that
//! dies of it takes nobody along. This one has the component, and of ours neither a variable
//! nor a descriptor. What came of it is loaded by another one first: that takes memory too
//! that nothing counts.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::Signal;

use super::component::Refusal;
use super::engine::{self, Engine, TARGET};
use super::native;
use super::sealed::{Sealed, Sealing};
use super::statement::MAX_NATIVE_BYTES;
use crate::event::printable;

/// The first argument of a process that compiles. Then follow its limits, see [`Limits`], and
/// the target.
const COMPILE: &str = "compile-component";

/// That of one that loads native code. Then follow its limits.
const LOAD: &str = "load-component";

/// Most memory of its own that a process that compiles may have, in bytes. A component from
/// Python takes 370,000,000.
const MEMORY_BYTES: u64 = 1 << 30;

/// Most time on a processor, in seconds. A component from Python takes 20.
const CPU_SECONDS: u64 = 120;

/// Most memory that loading a component takes beside its native code, in bytes.
const LOADED_BYTES: u64 = 32 << 20;

/// Most that is read of what a process says, in bytes.
const SAID_BYTES: u64 = 16 << 10;

/// What a process ends with that was refused memory, where it can say so.
const IS_OUT_OF_MEMORY: i32 = 3;

/// How the system says it: `ENOMEM`, which is 12 on each architecture of Linux's.
const OUT_OF_MEMORY: &str = "(os error 12)";

/// How this program has components compiled by itself, started again: see [`begin`].
static APART: OnceLock<Apart> = OnceLock::new();

struct Apart {
    memory_bytes: u64,
    is_function: bool,
}

/// Native code that we compiled: this process, another one of this program, or, in the cache
/// of `symctl`, one of the same user's before it.
pub(super) enum OwnCode {
    /// In memory.
    Bytes(Vec<u8>),
    /// As another process wrote it.
    Sealed(Sealed),
}

impl OwnCode {
    /// What it is made of.
    ///
    /// # Errors
    /// It can't be read.
    #[cfg(feature = "all-targets")]
    pub(super) fn into_bytes(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Sealed(sealed) => std::fs::read(sealed.path()),
        }
    }
}

/// The first thing in the `main` of a program that is to compile components in processes of
/// its own. In such a process it does so, and doesn't return. A program that doesn't call it,
/// as a test, compiles where it is; and so does one that isn't on Linux.
///
/// `function_megabytes`: the memory of the Lambda function that this is, if it is one.
pub fn begin(function_megabytes: Option<&str>) {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    // One that isn't UTF-8 is none of these.
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .collect();
    let ended = match *arguments.as_slice() {
        [COMPILE, memory, processor, file, target] => {
            alone([memory, processor, file], || compile_alone(target))
        }
        [LOAD, memory, processor, file] => alone([memory, processor, file], load_alone),
        _ => {
            if cfg!(target_os = "linux") {
                APART.get_or_init(|| Apart::new(function_megabytes));
            }
            return;
        }
    };
    std::process::exit(ended);
}

/// The section of the reference page, in Markdown, to which [`extent`](super::extent) adds a
/// row.
pub(super) fn reference() -> String {
    format!(
        "\n## Limits of a component\n\n\
         A component is compiled, and loaded for the first time, in a process of its own, which is given the component and \
         nothing else of ours.\n\
         The system holds that to these limits; a component that needs more is refused with `invalid-plugin`, \
         by the function, by `symctl plugin` and by `symctl publish`, and no key raises it.\n\
         A function has five eighths of its memory for compiling, where that is less: [from which memory on it compiles which language](releases.md#whom-the-function-believes). What comes with native code isn't compiled.\n\n\
         | most | of what | why |\n|---|---|---|\n\
         | {MEMORY_BYTES} | bytes of memory to compile it | Python takes 370,000,000. |\n\
         | {CPU_SECONDS} | seconds of a processor to compile it | Python takes 20. |\n\
         | {MAX_NATIVE_BYTES} | bytes of native code | Python has 36,000,000. |\n\
         | {LOADED_BYTES} | bytes of memory to load it, beside its native code | Python takes less than half of that. |\n"
    )
}

/// Compiles a component, for `engine`, which is of this target.
///
/// # Errors
/// It is invalid, or takes too much.
pub(super) fn compile(
    engine: &wasmtime::Engine,
    target: Option<&str>,
    component: &[u8],
) -> Result<OwnCode, Refusal> {
    if let (Some(apart), Some(target)) = (APART.get(), target) {
        return apart.compile(target, component).map(OwnCode::Sealed);
    }
    engine
        .precompile_component(component)
        .map(OwnCode::Bytes)
        .map_err(|error| invalid(&error.root_cause().to_string(), &format!("{error:#}")))
}

fn invalid(cause: &str, detail: &str) -> Refusal {
    Refusal::new(format!("is no valid component: {}", printable(cause, 200))).with_detail(detail)
}

fn not_started(error: io::Error) -> Refusal {
    Refusal::new("can't be compiled, as no process can be started that does it")
        .with_detail(error)
        .passing()
}

impl Apart {
    fn new(function_megabytes: Option<&str>) -> Self {
        let megabytes = function_megabytes.and_then(|megabytes| megabytes.parse::<u64>().ok());
        Self {
            // The rest is the function's own, the program's that both run, and the code's.
            memory_bytes: megabytes.map_or(MEMORY_BYTES, |megabytes| {
                MEMORY_BYTES.min((megabytes << 20) / 8 * 5)
            }),
            is_function: megabytes.is_some(),
        }
    }

    fn compile(&self, target: &str, component: &[u8]) -> Result<Sealed, Refusal> {
        let code = Sealing::new().map_err(not_started)?;
        let limits = Limits {
            memory_bytes: self.memory_bytes,
            // What it writes is in memory too, and the function's.
            file_bytes: MAX_NATIVE_BYTES,
            ..Limits::default()
        };
        let mut process = process(COMPILE, &limits);
        process
            .arg(target)
            .stdin(Stdio::piped())
            .stdout(code.try_clone().map_err(not_started)?);
        let ended = Ended::of(&mut process, component).map_err(not_started)?;
        if ended.is_out_of_memory() {
            let refusal = self.too_much_memory();
            return Err(match ended.was_killed() {
                // There may be more the next time.
                true => refusal.passing(),
                false => refusal,
            });
        }
        ended.check()?;
        let code = code.seal().map_err(not_started)?;
        // Only this machine's can be loaded, and what that takes hangs on no target.
        if Some(target) == TARGET {
            check_loading(&code)?;
        }
        Ok(code)
    }

    fn too_much_memory(&self) -> Refusal {
        let megabytes = self.memory_bytes / 1_000_000;
        Refusal::new(match self.is_function {
            true => format!(
                "takes more than {megabytes} MB of memory to compile, which is what this function has for it: \
                 publish it with native code, or give the function more memory"
            ),
            false => format!(
                "takes more than {megabytes} MB of memory to compile: leave out of it what it doesn't need"
            ),
        })
    }
}

/// Refuses code that takes more memory than its own to load.
fn check_loading(code: &Sealed) -> Result<(), Refusal> {
    // It is read, and copied to where it can run.
    let limits = Limits {
        memory_bytes: 2 * code.bytes() + LOADED_BYTES,
        ..Limits::default()
    };
    let code = File::open(code.path()).map_err(not_started)?;
    let mut process = process(LOAD, &limits);
    process.stdin(code).stdout(Stdio::null());
    let ended = Ended::of(&mut process, &[]).map_err(not_started)?;
    if ended.status.success() {
        return Ok(());
    }
    // Our own compiler made it a moment ago: what else could be wrong with it? wasmtime has
    // several words for it.
    let refusal = Refusal::new(format!(
        "takes more than {} MB of memory to load, beside its native code: leave out of it what it doesn't need",
        LOADED_BYTES / 1_000_000
    ));
    Err(refusal.with_detail(ended.said()))
}

/// The very program that this one is, also where another lies in its place by now.
fn process(what: &str, limits: &Limits) -> Command {
    let mut process = Command::new("/proc/self/exe");
    process
        .arg(what)
        .args(limits.to_arguments())
        .env_clear()
        .stderr(Stdio::piped());
    process
}

/// What a process may take that compiles or loads.
struct Limits {
    /// Of its own memory.
    memory_bytes: u64,
    /// Of time on a processor.
    processor_seconds: u64,
    /// Of what it writes to a file, which a memfd is too.
    file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_bytes: MEMORY_BYTES,
            processor_seconds: CPU_SECONDS,
            file_bytes: 0,
        }
    }
}

impl Limits {
    fn to_arguments(&self) -> [String; 3] {
        [self.memory_bytes, self.processor_seconds, self.file_bytes].map(|limit| limit.to_string())
    }

    fn from_arguments(arguments: [&str; 3]) -> wasmtime::Result<Self> {
        let [memory, processor, file] = arguments;
        Ok(Self {
            memory_bytes: memory.parse()?,
            processor_seconds: processor.parse()?,
            file_bytes: file.parse()?,
        })
    }

    /// From here on this process has no more than that.
    fn hold(&self) -> wasmtime::Result<()> {
        use nix::sys::resource::{Resource, setrlimit};
        setrlimit(Resource::RLIMIT_DATA, self.memory_bytes, self.memory_bytes)?;
        // At the second one it would be killed, as where memory runs out.
        let seconds = self.processor_seconds;
        setrlimit(Resource::RLIMIT_CPU, seconds, seconds + 5)?;
        setrlimit(Resource::RLIMIT_FSIZE, self.file_bytes, self.file_bytes)?;
        setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
        // Where memory runs out all the same, this one has to go, and not the function.
        let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
        Ok(())
    }
}

/// How a process has ended, and what it said.
struct Ended {
    status: ExitStatus,
    /// On its standard error.
    said: String,
}

impl Ended {
    /// Starts a process, and waits for its end.
    fn of(process: &mut Command, input: &[u8]) -> io::Result<Self> {
        let mut process = process.spawn()?;
        if let Some(mut stdin) = process.stdin.take() {
            // One that has ended already says why.
            let _ = stdin.write_all(input);
        }
        let mut said = Vec::new();
        if let Some(stderr) = process.stderr.take() {
            // An error may have a name in it that is as long as the component.
            stderr.take(SAID_BYTES).read_to_end(&mut said)?;
        }
        Ok(Self {
            status: process.wait()?,
            said: String::from_utf8_lossy(&said).into_owned(),
        })
    }

    /// By its own word, by the last one of Rust's standard library, or by the system, which had
    /// none left.
    fn is_out_of_memory(&self) -> bool {
        let signal = self.status.signal();
        self.status.code() == Some(IS_OUT_OF_MEMORY)
            || signal == Some(Signal::SIGABRT as i32) && self.said.contains("memory allocation of")
            || self.was_killed()
    }

    fn was_killed(&self) -> bool {
        self.status.signal() == Some(Signal::SIGKILL as i32)
    }

    /// Whether it did what it was started for.
    fn check(&self) -> Result<(), Refusal> {
        if self.status.success() {
            return Ok(());
        }
        let signal = self.status.signal();
        if signal == Some(Signal::SIGXCPU as i32) {
            return Err(Refusal::new(format!(
                "takes more than {CPU_SECONDS} seconds to compile: leave out of it what it doesn't need"
            )));
        }
        if signal == Some(Signal::SIGXFSZ as i32) {
            return Err(Refusal::new(format!(
                "becomes more than {MAX_NATIVE_BYTES} bytes of native code: leave out of it what it doesn't need"
            )));
        }
        Err(match (self.status.code(), self.said.split_once('\n')) {
            (Some(1), Some((cause, detail))) => invalid(cause, detail.trim_end()),
            _ => Refusal::new("makes the compiler fail: build it by other tools, and report it")
                .with_detail(self.said()),
        })
    }

    /// For the log.
    fn said(&self) -> String {
        format!("{}: {}", self.status, printable(&self.said, 500))
    }
}

/// What a process does that was started for it, within limits; and what it ends with. Of an
/// error it says two lines.
fn alone(limits: [&str; 3], work: impl FnOnce() -> wasmtime::Result<()>) -> i32 {
    let held = Limits::from_arguments(limits).and_then(|limits| limits.hold());
    let done = held.and_then(|()| work());
    let Err(error) = done else { return 0 };
    let cause = error.root_cause().to_string().replace('\n', " ");
    // wasmtime's own word, and the system's, of whichever crate's type it is.
    if error.is::<wasmtime::OutOfMemory>() || cause.ends_with(OUT_OF_MEMORY) {
        return IS_OUT_OF_MEMORY;
    }
    let _ = write!(io::stderr(), "{cause}\n{error:#}\n");
    1
}

/// Reads a component, and writes native code.
fn compile_alone(target: &str) -> wasmtime::Result<()> {
    let engine = engine::compiler_for(target)?;
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component)?;
    let code = engine.precompile_component(&component)?;
    io::stdout().write_all(&code)?;
    Ok(())
}

/// Reads native code of this program's, and loads it.
fn load_alone() -> wasmtime::Result<()> {
    let engine = Engine::new().map_err(wasmtime::Error::new)?;
    // A file, whose length is known: it has to be in memory once and not twice.
    let code = std::fs::read("/proc/self/fd/0")?;
    native::load_own(&engine, &OwnCode::Bytes(code))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_keeps_memory_for_itself() {
        let memory = |megabytes| Apart::new(megabytes).memory_bytes >> 20;
        assert_eq!(memory(Some("128")), 80);
        assert_eq!(memory(Some("512")), 320);
        assert_eq!(memory(Some("10240")), 1024);
        assert_eq!(memory(None), 1024);
    }

    // What holds files holds the memory that native code is written to.
    #[test]
    fn too_much_native_code_is_not_written() {
        let code = Sealing::new().expect("there is memory");
        let mut process = Command::new("sh");
        process
            .args(["-c", "ulimit -f 64; exec head -c 1000000 /dev/zero"])
            .stdout(code.try_clone().expect("there are descriptors"))
            .stderr(Stdio::piped());
        let ended = Ended::of(&mut process, &[]).expect("there is a shell");
        let refusal = ended.check().expect_err("was held");
        assert!(
            refusal.to_string().starts_with("becomes more than"),
            "{refusal}"
        );
        assert!(code.seal().expect("can be read").bytes() < 1_000_000);
    }

    // Where the database's password may be.
    #[test]
    fn what_compiles_has_none_of_our_variables() {
        let process = format!("{:?}", process(COMPILE, &Limits::default()));
        assert!(process.starts_with("env -i "), "{process}");
    }

    #[test]
    fn how_a_process_ended_is_a_sentence() {
        let refused = |script: &str| {
            let mut process = Command::new("sh");
            process.args(["-c", script]).stderr(Stdio::piped());
            let ended = Ended::of(&mut process, &[]).expect("there is a shell");
            match ended.is_out_of_memory() {
                true => "out of memory".to_owned(),
                false => ended
                    .check()
                    .map_or_else(|refusal| refusal.to_string(), |()| "well".to_owned()),
            }
        };
        assert_eq!(refused("true"), "well");
        assert_eq!(
            refused("echo of no kind >&2; echo 'in detail: of no kind' >&2; exit 1"),
            "is no valid component: of no kind"
        );
        for script in [
            format!("exit {IS_OUT_OF_MEMORY}"),
            "kill -KILL $$".to_owned(),
            "echo memory allocation of 9 bytes failed >&2; kill -ABRT $$".to_owned(),
        ] {
            assert_eq!(refused(&script), "out of memory", "{script}");
        }
        assert!(refused("kill -XCPU $$").starts_with("takes more than 120 seconds to compile"));
        let mut long = Command::new("sh");
        long.args(["-c", "head -c 1000000 /dev/zero >&2; exit 101"])
            .stderr(Stdio::piped());
        let ended = Ended::of(&mut long, &[]).expect("there is a shell");
        assert_eq!(ended.said.len() as u64, SAID_BYTES);
        for script in ["exit 101", "echo overflow >&2; kill -ABRT $$", "exit 1"] {
            assert!(
                refused(script).starts_with("makes the compiler fail"),
                "{script}"
            );
        }
    }
}
