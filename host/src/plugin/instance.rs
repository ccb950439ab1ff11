//! An instance of a plugin: started for one call, and thrown away with it. The next
//! call's is started ahead, while an event waits for the database anyway.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::call::{Cost, used};
use super::component::{Plugin, Prepared};
use super::limits::Limit;
use super::log::{Log, Origin};
use super::store::{self, State};
use super::wasi::Wasi;
use super::world::Export;
use crate::error::{Error, Result};
use crate::request::Request;

/// A start that takes longer is made ahead on another thread, so that it doesn't keep
/// the event's from the database's answer: starting an interpreter, which fills tables
/// of thousands of functions. Others take less than a thread does.
const LONG_START: Duration = Duration::from_micros(300);

/// Most linear memory that a start ahead may take, in bytes: the resolver's and a target's
/// stay from one event to the next, and a small function has to do without.
const AHEAD_BYTES: u64 = 32 << 20;

/// An instance before its one call.
pub(super) struct Started {
    pub(super) store: Store<State>,
    pub(super) instance: Instance,
    /// What the start took.
    pub(super) start: Cost,
}

/// The instance of the next call, where it is started ahead. It is a fresh one: it
/// has seen no request.
#[derive(Default)]
pub(super) struct Ahead(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    next: Option<oneshot::Receiver<Started>>,
    /// The last start's.
    start: Option<Start>,
}

/// How a plugin starts.
#[derive(Clone, Copy)]
struct Start {
    is_long: bool,
    may_be_ahead: bool,
}

/// What starts the next call's instance.
pub(super) struct Starting {
    pub(super) start: BoxFuture<'static, ()>,
    /// Whether that would keep others waiting.
    pub(super) is_long: bool,
}

impl Ahead {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn learn(&self, start: &Cost, log: &Log, is_late: bool) {
        self.lock().start = Some(Start {
            is_long: start.wall >= LONG_START,
            // A line that is logged has to say whose run it is.
            may_be_ahead: !is_late && log.is_empty() && start.memory_bytes <= AHEAD_BYTES,
        });
    }

    /// Gives up the one that was started ahead: its memory, with what is returned.
    #[must_use]
    pub(super) fn give_up(&self) -> Option<oneshot::Receiver<Started>> {
        self.lock().next.take()
    }

    /// The instance that was started ahead, if one was, for a call of this run. One
    /// that is still being started is awaited, which is shorter than another start.
    pub(super) async fn take(&self, run: &str) -> Option<Started> {
        let next = self.lock().next.take()?;
        let started = next.await.ok()?;
        started.store.data().log.belong_to(run);
        Some(started)
    }
}

impl<E: Export + 'static> Plugin<E> {
    /// What starts the next call's instance, where that may be ahead and isn't done.
    /// WASI knows the request from the start, and a trial tells what each start took.
    /// What goes wrong does so again in the call.
    pub(super) fn start_ahead(self: &Arc<Self>) -> Option<Starting> {
        let mut inner = self.ahead().lock();
        let Start {
            is_long,
            may_be_ahead,
        } = inner.start?;
        if !may_be_ahead || self.has_wasi() || self.is_on_trial() || inner.next.is_some() {
            return None;
        }
        let (mut sender, receiver) = oneshot::channel();
        inner.next = Some(receiver);
        let plugin = self.clone();
        let starting = async move {
            let prepared = plugin.already_prepared()?;
            let mut store = new_store(&plugin, None).ok()?;
            let limit = Duration::from_millis(plugin.limits().wall_milliseconds);
            let deadline = Instant::now() + limit;
            let starting = start(&plugin, prepared, &mut store, deadline);
            let starting = tokio::time::timeout_at(deadline, starting);
            let (instance, start) = tokio::select! {
                biased;
                // It was given up, or the release was replaced.
                () = sender.closed() => return None,
                started = starting => started.ok()?.ok()?,
            };
            let _ = sender.send(Started {
                store,
                instance,
                start,
            });
            Some(())
        };
        Some(Starting {
            start: starting.map(drop).boxed(),
            is_long,
        })
    }
}

/// A store for one call, of this request where it is known.
pub(super) fn new_store<E: Export + 'static>(
    plugin: &Plugin<E>,
    request: Option<&Request>,
) -> Result<Store<State>> {
    let limits = plugin.limits();
    let run = request.map_or("", |request| request.run.srn());
    let origin = Origin {
        plugin: plugin.name().to_owned(),
        version: plugin.version().to_owned(),
        release: plugin.release().to_owned(),
        run: run.to_owned(),
    };
    let mut log = Log::new(origin, limits);
    if plugin.is_on_trial() {
        log = log.keeping_lines();
    }
    let wasi = request
        .filter(|_| plugin.has_wasi())
        .map(|request| Wasi::new(request, &log));
    store::new(plugin.engine(), limits, log, plugin.config(), wasi)
        .map_err(|error| Error::internal(format!("no store for a plugin: {error:#}")))
}

/// Starts an instance in a store, and says what that took.
///
/// # Errors
/// [`Limit::WallMilliseconds`] where the deadline is over when it is started: what
/// the host does for a start costs no fuel, so no timer fires meanwhile.
pub(super) async fn start<E: Export + 'static>(
    plugin: &Plugin<E>,
    prepared: &Prepared<E>,
    store: &mut Store<State>,
    deadline: Instant,
) -> wasmtime::Result<(Instance, Cost)> {
    let begun = Instant::now();
    let instance = prepared.pre.instantiate_async(&mut *store).await?;
    let start = used(store, plugin.limits().fuel, begun);
    let is_late = Instant::now() >= deadline;
    plugin.ahead().learn(&start, &store.data().log, is_late);
    if is_late {
        return Err(Limit::WallMilliseconds.into());
    }
    Ok((instance, start))
}
