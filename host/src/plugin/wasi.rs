//! WASI, for the plugins that are granted it: no more of it than what the
//! runtimes of Rust, Go and the like need to start.
//!
//! **Invariant:** no sockets, no HTTP, no preopened directory, no environment, no
//! arguments, no real clock and no real randomness. The same request gives the
//! same bytes, here and in the test harness.
//!
//! What remains: a guest can sleep, in real time. The wall time ends that.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, io, random};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView};
use wasmtime_wasi::{
    Deterministic, HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView,
    WasiView, async_trait,
};

use super::log::{Log, Stream};
use super::store::State;
use crate::request::Request;

/// The interfaces that `wasi = true` grants, without their versions.
pub(super) const INTERFACES: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
];

/// The version of WASI that those are of, as names of imports have it.
pub(super) const VERSION: &str = "0.2.";

/// Most bytes of randomness in one call of the import. Without a bound of ours
/// the host would allocate what the guest asks for, up to 64 MiB.
const MAX_RANDOM_BYTES: u64 = 4096;

/// After how many bytes the randomness repeats itself.
const RANDOM_CYCLE_BYTES: usize = 1024;

/// How much a guest may write at once before it has to ask again.
const WRITE_BYTES: usize = 4096;

/// Most open streams and pollables.
const MAX_RESOURCES: usize = 256;

/// WASI's state for one call.
pub(super) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl Wasi {
    pub(super) fn new(request: &Request, log: &Log) -> Self {
        let run = request.run.id();
        // The time was checked with the event; without one, a plugin sees 1970.
        let time = request.event_time.parse::<jiff::Timestamp>().ok();
        let time = time
            .and_then(|time| Duration::try_from(time.as_duration()).ok())
            .unwrap_or_default();
        let seed: [u8; 32] = Sha256::digest(format!("insecure-seed {run}")).into();
        let context = WasiCtxBuilder::new()
            .wall_clock(FixedClock(time))
            .monotonic_clock(FixedClock(Duration::ZERO))
            .secure_random(random_bytes("random", run))
            .insecure_random(random_bytes("insecure", run))
            .insecure_random_seed(u128::from_le_bytes(std::array::from_fn(|index| {
                seed[index]
            })))
            .max_random_size(MAX_RANDOM_BYTES)
            .stdout(LogStream {
                log: log.clone(),
                stream: Stream::Stdout,
            })
            .stderr(LogStream {
                log: log.clone(),
                stream: Stream::Stderr,
            })
            .build();
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        Self { context, table }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        // `component` prepares a plugin with the linker that has WASI, and a call
        // of such a plugin makes a `Wasi`: both by the same flag of the plugin.
        let wasi = self
            .wasi
            .as_mut()
            .expect("only plugins with WASI are linked to it");
        WasiCtxView {
            ctx: &mut wasi.context,
            table: &mut wasi.table,
        }
    }
}

struct Io;

impl HasData for Io {
    type Data<'a> = &'a mut ResourceTable;
}

/// Links [`INTERFACES`], one by one.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    type S = State;
    io::error::add_to_linker::<S, Io>(linker, |state| state.ctx().table)?;
    io::poll::add_to_linker::<S, Io>(linker, |state| state.ctx().table)?;
    io::streams::add_to_linker::<S, Io>(linker, |state| state.ctx().table)?;
    cli::environment::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::exit::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::stdin::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::stdout::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::stderr::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::terminal_input::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::terminal_output::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::terminal_stdin::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::terminal_stdout::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    cli::terminal_stderr::add_to_linker::<S, WasiCli>(linker, S::cli)?;
    clocks::monotonic_clock::add_to_linker::<S, WasiClocks>(linker, S::clocks)?;
    clocks::wall_clock::add_to_linker::<S, WasiClocks>(linker, S::clocks)?;
    // Rust's std imports these two whatever it does; nothing is behind them.
    filesystem::types::add_to_linker::<S, WasiFilesystem>(linker, S::filesystem)?;
    filesystem::preopens::add_to_linker::<S, WasiFilesystem>(linker, S::filesystem)?;
    random::random::add_to_linker::<S, WasiRandom>(linker, S::random)?;
    random::insecure::add_to_linker::<S, WasiRandom>(linker, S::random)?;
    random::insecure_seed::add_to_linker::<S, WasiRandom>(linker, S::random)?;
    Ok(())
}

/// Bytes that look random and hang on the run alone. Nothing secret is made of
/// them: passwords are the host's to make.
fn random_bytes(purpose: &str, run: &str) -> Deterministic {
    let blocks = RANDOM_CYCLE_BYTES / 32;
    Deterministic::new(
        (0..blocks)
            .flat_map(|block| Sha256::digest(format!("{purpose} {block} {run}")))
            .collect(),
    )
}

/// A clock that stands still.
struct FixedClock(Duration);

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        self.0
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        1_000_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }
}

/// stdout or stderr, into the plugin's log.
#[derive(Clone)]
struct LogStream {
    log: Log,
    stream: Stream,
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for LogStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    // The default writes through a task, which may not have run by the time that
    // a plugin traps: its last words would be lost.
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.output(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.log.output(self.stream, bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
