//! One call's store: made for the call, and thrown away with everything in it,
//! so that nothing of one request is left for the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::Store;

use super::engine::Engine;
use super::limits::{Limiter, Limits};
use super::log::Log;
use super::wasi::Wasi;

/// How much fuel a guest burns before others get a turn. Without it a busy guest
/// never lets the timer fire. Here it is well below a millisecond.
const YIELD_INTERVAL: u64 = 100_000;

/// Most handles of resources that a component may hold. Only WASI has resources:
/// streams, pollables.
const MAX_HANDLES: usize = 256;

/// What the host keeps for a guest while a call lasts.
pub(super) struct State {
    pub(super) limiter: Limiter,
    pub(super) log: Log,
    pub(super) config: Arc<BTreeMap<String, String>>,
    pub(super) wasi: Option<Wasi>,
}

/// A store with every limit set.
pub(super) fn new(
    engine: &Engine,
    limits: Limits,
    log: Log,
    config: Arc<BTreeMap<String, String>>,
    wasi: Option<Wasi>,
) -> wasmtime::Result<Store<State>> {
    let state = State {
        limiter: Limiter::new(limits),
        log,
        config,
        wasi,
    };
    let mut store = Store::try_new(engine.wasmtime(), state)?;
    store.limiter(|state| &mut state.limiter);
    store.set_fuel(limits.fuel)?;
    store.fuel_async_yield_interval(Some(YIELD_INTERVAL))?;
    store.set_hostcall_fuel(usize::try_from(limits.output_bytes).unwrap_or(usize::MAX));
    store.set_max_component_handles(MAX_HANDLES);
    Ok(store)
}
