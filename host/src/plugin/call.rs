//! One call of a plugin: a fresh instance, all limits, one answer or one error
//! that says which of the many things went wrong.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use wasmtime::component::Instance;
use wasmtime::{CallHook, Store};

use super::bindings::sym::postgres::types::Failure;
use super::component::{Plugin, Prepared};
use super::failure;
use super::instance;
use super::limits::{Limit, Limits};
use super::log::Line;
use super::store::State;
use super::wire;
use super::world::{Export, Resolver, TargetSetup};
use crate::error::{Code, Error, Result};
use crate::plan::{Step, Strategy};
use crate::request::Request;

/// What a plugin answered, and what that cost.
#[derive(Debug)]
pub struct Answer<T> {
    /// The answer.
    pub value: T,
    /// What it took.
    pub cost: Cost,
    /// What is left of the call.
    pub spent: Spent,
}

/// An instance after its one call, with the memory that it has to give back. That takes
/// a while, so it is dropped when nobody waits for it, and nothing else is done with it.
#[must_use]
pub struct Spent(#[expect(dead_code, reason = "is kept to be dropped")] Option<Store<State>>);

impl fmt::Debug for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Spent")
    }
}

/// What a call took. All zero where no plugin had to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Fuel. The same on every machine.
    pub fuel: u64,
    /// Time, instantiation included unless that was ahead, compiling not.
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

/// A call, and all that came of it: an answer or none.
#[derive(Debug)]
pub struct Called<T> {
    /// What the host makes of it.
    pub result: Result<T>,
    /// The plugin's own words, where it answered with a failure, or panicked.
    pub failure: Option<Said>,
    /// What it took.
    pub cost: Cost,
    /// What of it its start took: everything before its function was called.
    pub start: Cost,
    /// What it could have taken. `None` where no plugin was called.
    pub limits: Option<Limits>,
    /// What it logged, where the plugin is one [on trial](Plugin::on_trial).
    pub log: Vec<Line>,
    spent: Spent,
}

/// A plugin's `failure`, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `denied`, or a word of the plugin's.
    pub code: String,
    /// Its sentence.
    pub message: String,
}

impl Said {
    /// Whether nobody chose it: an exception, or a panic.
    pub fn is_breakage(&self) -> bool {
        self.code == failure::FAILED
    }
}

impl<T> Called<T> {
    /// Nothing was called.
    pub(super) fn not(result: Result<T>) -> Self {
        Self {
            result,
            failure: None,
            cost: Cost::default(),
            start: Cost::default(),
            limits: None,
            log: Vec::new(),
            spent: Spent(None),
        }
    }

    pub(super) fn map<U>(self, change: impl FnOnce(T) -> U) -> Called<U> {
        Called {
            result: self.result.map(change),
            failure: self.failure,
            cost: self.cost,
            start: self.start,
            limits: self.limits,
            log: self.log,
            spent: self.spent,
        }
    }

    pub(super) fn into_answer(self) -> Result<Answer<T>> {
        let Self {
            result,
            cost,
            spent,
            ..
        } = self;
        result.map(|value| Answer { value, cost, spent })
    }
}

/// Calls `resolve-user`.
pub(super) async fn resolve_user(
    plugin: &Arc<Plugin<Resolver>>,
    request: &Request,
    strategy: Strategy,
    deadline: Instant,
) -> Called<String> {
    let (mut call, prepared) = match Call::begin(plugin, request, deadline).await {
        Ok(begun) => begun,
        Err(error) => return Called::not(Err(error)),
    };
    let request = wire::request(request, strategy);
    let outcome = tokio::time::timeout_at(call.deadline, async {
        let instance = call.instance(plugin, prepared).await?;
        let guest = prepared.indices.load(&mut call.store, &instance)?;
        guest.call_resolve_user(&mut call.store, &request).await
    });
    let outcome = outcome.await.ok();
    call.end(plugin, outcome)
}

/// Calls `setup`.
pub(super) async fn setup(
    plugin: &Arc<Plugin<TargetSetup>>,
    request: &Request,
    strategy: Strategy,
    username: &str,
    deadline: Instant,
) -> Called<Vec<Step>> {
    let (mut call, prepared) = match Call::begin(plugin, request, deadline).await {
        Ok(begun) => begun,
        Err(error) => return Called::not(Err(error)),
    };
    let request = wire::request(request, strategy);
    let outcome = tokio::time::timeout_at(call.deadline, async {
        let instance = call.instance(plugin, prepared).await?;
        let guest = prepared.indices.load(&mut call.store, &instance)?;
        guest.call_setup(&mut call.store, &request, username).await
    });
    let outcome = outcome.await.ok();
    let mut called = call
        .end(plugin, outcome)
        .map(|steps| steps.into_iter().map(wire::step).collect::<Vec<_>>());
    if let Ok(steps) = &called.result
        && let Some(limit) = passed(plugin.limits(), steps)
    {
        called.result = Err(failure::exceeded(plugin, limit));
    }
    called
}

/// The limit that a plan passes, if one.
fn passed(limits: Limits, steps: &[Step]) -> Option<Limit> {
    if steps.len() as u64 > limits.steps {
        return Some(Limit::Steps);
    }
    let is_long = |step: &Step| match step {
        Step::Sql(statement) => statement.sql.len() as u64 > limits.sql_bytes,
        Step::GrantRole(_) => false,
    };
    steps.iter().any(is_long).then_some(Limit::SqlBytes)
}

/// More bytes of linear memory than these are given back as soon as a call is over: a
/// small function hasn't them for two calls at once. An interpreter has more.
const LARGE_BYTES: u64 = 8 << 20;

/// What lasts as long as a call.
struct Call {
    store: Store<State>,
    /// The one that was started ahead.
    instance: Option<Instance>,
    begun: Instant,
    deadline: Instant,
    /// Whether the event's deadline comes before the plugin's.
    is_cut_short: bool,
    /// What was used when the instance was there.
    started: Option<Cost>,
}

/// `None`: its time was up.
type Outcome<T> = Option<wasmtime::Result<Result<T, Failure>>>;

impl Call {
    async fn begin<'a, E: Export + 'static>(
        plugin: &'a Arc<Plugin<E>>,
        request: &Request,
        deadline: Instant,
    ) -> Result<(Self, &'a Prepared<E>)> {
        let prepared = plugin.prepared(deadline).await?;
        let ahead = plugin.ahead().take(request.run.srn());
        let ahead = tokio::time::timeout_at(deadline, ahead).await;
        let (mut store, instance, started) = match ahead.ok().flatten() {
            Some(ahead) => (ahead.store, Some(ahead.instance), Some(ahead.start)),
            None => (instance::new_store(plugin, Some(request))?, None, None),
        };
        let begun = Instant::now();
        let wall_end = begun + Duration::from_millis(plugin.limits().wall_milliseconds);
        let is_cut_short = deadline < wall_end;
        let deadline = wall_end.min(deadline);
        // Asking the host costs no fuel, so who does little else hardly ever lets the
        // timer fire.
        store.call_hook(move |_, hook| match hook {
            CallHook::CallingHost if Instant::now() >= deadline => {
                Err(Limit::WallMilliseconds.into())
            }
            _ => Ok(()),
        });
        let call = Self {
            store,
            instance,
            begun,
            deadline,
            is_cut_short,
            started,
        };
        Ok((call, prepared))
    }

    /// The instance for the call, started now unless it was ahead.
    async fn instance<E: Export + 'static>(
        &mut self,
        plugin: &Plugin<E>,
        prepared: &Prepared<E>,
    ) -> wasmtime::Result<Instance> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        let starting = instance::start(plugin, prepared, &mut self.store, self.deadline);
        let (instance, start) = starting.await?;
        self.started = Some(start);
        Ok(instance)
    }

    fn end<T, E: Export + 'static>(self, plugin: &Plugin<E>, outcome: Outcome<T>) -> Called<T> {
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
            release = plugin.release(),
            fuel,
            microseconds,
            memory_bytes,
            log_lines,
            log_dropped_bytes,
            "plugin called"
        );
        let is_small = memory_bytes <= LARGE_BYTES;
        let mut failure = None;
        let outcome = outcome.filter(|outcome| match outcome {
            Ok(_) => true,
            Err(error) => error.downcast_ref() != Some(&Limit::WallMilliseconds),
        });
        let result = match outcome {
            Some(Ok(Ok(value))) => Ok(value),
            Some(Ok(Err(said))) => {
                let error = failure::failed(plugin, &said);
                failure = Some(Said {
                    code: said.code,
                    message: said.message,
                });
                Err(error)
            }
            Some(Err(error)) => {
                let log = &self.store.data().log;
                match log.last_words().filter(|_| failure::is_panic(&error)) {
                    Some(message) => {
                        let refusal = failure::panicked(plugin, &message, &error);
                        failure = Some(Said {
                            code: failure::FAILED.to_owned(),
                            message,
                        });
                        Err(refusal)
                    }
                    None => Err(failure::broken(plugin, &error)),
                }
            }
            None if self.is_cut_short => Err(Error::new(
                Code::OutOfTime,
                format!(
                    "{} was still running when the event's time was up",
                    plugin.subject()
                ),
            )),
            None => Err(failure::exceeded(plugin, Limit::WallMilliseconds)),
        };
        Called {
            result,
            failure,
            cost,
            start: self.started.unwrap_or(cost),
            limits: Some(plugin.limits()),
            log: self.store.data().log.take_lines(),
            // A trial keeps all that came of its calls.
            spent: Spent(Some(self.store).filter(|_| is_small && !plugin.is_on_trial())),
        }
    }

    fn cost(&self, budget: u64) -> Cost {
        let volume = self.store.data().log.finish();
        Cost {
            log_lines: volume.lines,
            log_bytes: volume.bytes,
            log_dropped_bytes: volume.dropped_bytes,
            ..used(&self.store, budget, self.begun)
        }
    }
}

/// What a store has used so far, its log left out.
pub(super) fn used(store: &Store<State>, budget: u64, begun: Instant) -> Cost {
    Cost {
        fuel: budget.saturating_sub(store.get_fuel().unwrap_or(0)),
        wall: begun.elapsed(),
        memory_bytes: store.data().limiter.memory_bytes(),
        ..Cost::default()
    }
}
