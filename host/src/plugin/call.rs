//! One call of a plugin: a fresh instance, all limits, one answer or one error
//! that says which of the many things went wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Store;

use super::bindings::sym::postgres::types::Failure;
use super::component::Plugin;
use super::failure;
use super::limits::Limit;
use super::log::Log;
use super::store::{self, State};
use super::wasi::Wasi;
use super::wire;
use super::world::{Export, Resolver, TargetSetup};
use crate::error::{Code, Error, Result};
use crate::plan::{Step, Strategy};
use crate::request::Request;

/// What a plugin answered, and what that cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// What it took.
    pub cost: Cost,
}

/// What a call took. All zero where no plugin had to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Fuel. The same on every machine.
    pub fuel: u64,
    /// Time, instantiation included, compiling not.
    pub wall: Duration,
    /// Peak of all linear memories together, in bytes.
    pub memory_bytes: u64,
    /// Lines logged.
    pub log_lines: u64,
    /// Bytes logged.
    pub log_bytes: u64,
    /// Bytes of stdout and stderr beyond the limit.
    pub log_dropped_bytes: u64,
}

/// Calls `resolve-user`.
pub(super) async fn resolve_user(
    plugin: &Arc<Plugin<Resolver>>,
    request: &Request,
    strategy: Strategy,
    deadline: Instant,
) -> Result<Answer<String>> {
    let prepared = plugin.prepared(deadline).await?;
    let mut call = Call::begin(plugin, request, deadline)?;
    let store = &mut call.store;
    let request = wire::request(request, strategy);
    let outcome = tokio::time::timeout_at(call.deadline, async {
        let instance = prepared.pre.instantiate_async(&mut *store).await?;
        let guest = prepared.indices.load(&mut *store, &instance)?;
        guest.call_resolve_user(&mut *store, &request).await
    });
    let outcome = outcome.await;
    call.end(plugin, outcome)
}

/// Calls `setup`.
pub(super) async fn setup(
    plugin: &Arc<Plugin<TargetSetup>>,
    request: &Request,
    strategy: Strategy,
    username: &str,
    deadline: Instant,
) -> Result<Answer<Vec<Step>>> {
    let prepared = plugin.prepared(deadline).await?;
    let mut call = Call::begin(plugin, request, deadline)?;
    let store = &mut call.store;
    let request = wire::request(request, strategy);
    let outcome = tokio::time::timeout_at(call.deadline, async {
        let instance = prepared.pre.instantiate_async(&mut *store).await?;
        let guest = prepared.indices.load(&mut *store, &instance)?;
        guest.call_setup(&mut *store, &request, username).await
    });
    let outcome = outcome.await;
    let answer = call.end(plugin, outcome)?;
    Ok(Answer {
        value: answer.value.into_iter().map(wire::step).collect(),
        cost: answer.cost,
    })
}

/// What lasts as long as a call.
struct Call {
    store: Store<State>,
    begun: Instant,
    deadline: Instant,
    /// Whether the event's deadline comes before the plugin's.
    is_cut_short: bool,
}

type Outcome<T> = Result<wasmtime::Result<Result<T, Failure>>, tokio::time::error::Elapsed>;

impl Call {
    fn begin<E: Export + 'static>(
        plugin: &Plugin<E>,
        request: &Request,
        deadline: Instant,
    ) -> Result<Self> {
        let limits = plugin.limits();
        let log = Log::new(plugin.name(), plugin.version(), request.run.srn(), limits);
        let wasi = plugin.has_wasi().then(|| Wasi::new(request, &log));
        let store = store::new(plugin.engine(), limits, log, plugin.config(), wasi)
            .map_err(|error| Error::internal(format!("no store for a plugin: {error:#}")))?;
        let begun = Instant::now();
        let wall_end = begun + Duration::from_millis(limits.wall_milliseconds);
        Ok(Self {
            store,
            begun,
            deadline: wall_end.min(deadline),
            is_cut_short: deadline < wall_end,
        })
    }

    fn end<T, E: Export + 'static>(
        self,
        plugin: &Plugin<E>,
        outcome: Outcome<T>,
    ) -> Result<Answer<T>> {
        let cost = self.cost(plugin.limits().fuel);
        let Cost {
            fuel,
            memory_bytes,
            log_lines,
            log_dropped_bytes,
            ..
        } = cost;
        let microseconds = u64::try_from(cost.wall.as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(
            plugin = plugin.name(),
            version = plugin.version(),
            fuel,
            microseconds,
            memory_bytes,
            log_lines,
            log_dropped_bytes,
            "plugin called"
        );
        match outcome {
            Ok(Ok(Ok(value))) => Ok(Answer { value, cost }),
            Ok(Ok(Err(said))) => Err(failure::failed(plugin, &said)),
            Ok(Err(error)) => Err(failure::broken(plugin, &error)),
            Err(_) if self.is_cut_short => Err(Error::new(
                Code::OutOfTime,
                format!(
                    "{} was still running when the event's time was up",
                    plugin.subject()
                ),
            )),
            Err(_) => Err(failure::exceeded(plugin, Limit::WallMilliseconds)),
        }
    }

    fn cost(&self, budget: u64) -> Cost {
        let volume = self.store.data().log.finish();
        Cost {
            fuel: budget.saturating_sub(self.store.get_fuel().unwrap_or(0)),
            wall: self.begun.elapsed(),
            memory_bytes: self.store.data().limiter.memory_bytes(),
            log_lines: volume.lines,
            log_bytes: volume.bytes,
            log_dropped_bytes: volume.dropped_bytes,
        }
    }
}
