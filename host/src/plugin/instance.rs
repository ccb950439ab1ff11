//! An instance of a plugin: started for one call, and thrown away with it. Where the
//! start takes long, the next call's is started ahead, while an event waits for the
//! database anyway.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::Store;
use wasmtime::component::Instance;

use super::call::{Cost, used};
use super::component::{Plugin, Prepared};
use super::log::{Log, Origin};
use super::store::{self, State};
use super::wasi::Wasi;
use super::world::Export;
use crate::error::{Error, Result};
use crate::request::Request;

/// A start that takes longer is made ahead: starting an interpreter, which fills
/// tables of thousands of functions. Others take less than a thread does.
const LONG_START: Duration = Duration::from_micros(300);

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
pub(super) struct Ahead {
    is_worth_it: AtomicBool,
    next: Mutex<Option<oneshot::Receiver<Started>>>,
}

impl Ahead {
    /// Learns from a start. One that logged may not be made ahead, as the line has to
    /// say whose run it is.
    pub(super) fn learn(&self, start: &Cost, log: &Log) {
        let is_worth_it = start.wall >= LONG_START && log.is_empty();
        self.is_worth_it.store(is_worth_it, Ordering::Relaxed);
    }

    /// Gives up the one that was started ahead, and its memory.
    pub(super) fn give_up(&self) {
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The instance that was started ahead, if one was, for a call of this run. One
    /// that is still being started is awaited, which is shorter than another start.
    pub(super) async fn take(&self, run: &str) -> Option<Started> {
        let next = self
            .next
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()?;
        let started = next.await.ok()?;
        started.store.data().log.belong_to(run);
        Some(started)
    }
}

impl<E: Export + 'static> Plugin<E> {
    /// What starts the next call's instance, where that is worth it and not done.
    pub(super) fn get_ready(self: &Arc<Self>) -> Option<BoxFuture<'static, ()>> {
        let is_worth_it = self.ahead().is_worth_it.load(Ordering::Relaxed);
        is_worth_it.then(|| self.start_ahead()).flatten()
    }

    /// The same, worth it or not. WASI knows the request from the start, and a trial
    /// tells what each start took. What goes wrong does so again in the call.
    pub(super) fn start_ahead(self: &Arc<Self>) -> Option<BoxFuture<'static, ()>> {
        let next = self.ahead().next.lock();
        let mut next = next.unwrap_or_else(PoisonError::into_inner);
        if self.has_wasi() || self.is_on_trial() || next.is_some() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        *next = Some(receiver);
        let plugin = self.clone();
        let starting = async move {
            let prepared = plugin.already_prepared()?;
            let mut store = new_store(&plugin, None).ok()?;
            let limit = Duration::from_millis(plugin.limits().wall_milliseconds);
            let starting = start(&plugin, prepared, &mut store);
            let started = tokio::time::timeout(limit, starting).await.ok()?;
            let (instance, start) = started.ok()?;
            // Nobody waits where the release was replaced meanwhile.
            let _ = sender.send(Started {
                store,
                instance,
                start,
            });
            Some(())
        };
        Some(starting.map(drop).boxed())
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
pub(super) async fn start<E: Export + 'static>(
    plugin: &Plugin<E>,
    prepared: &Prepared<E>,
    store: &mut Store<State>,
) -> wasmtime::Result<(Instance, Cost)> {
    let begun = Instant::now();
    let instance = prepared.pre.instantiate_async(&mut *store).await?;
    Ok((instance, used(store, plugin.limits().fuel, begun)))
}
