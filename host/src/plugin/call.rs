//! One call of a plugin: a fresh instance, all limits, one answer or one error
//! that says which of the many things went wrong.

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::{Store, Trap, WasmBacktrace};

use super::bindings::sym::postgres::types::{self, Failure};
use super::component::Plugin;
use super::limits::Limit;
use super::log::Log;
use super::store::{self, State};
use super::wasi::Wasi;
use super::world::{Export, Resolver, TargetSetup};
use crate::error::{Code, Error, Result};
use crate::event::printable;
use crate::plan::{Statement, Step, Strategy, Value};
use crate::request::{Actor, Request};

/// Longest sentence of a plugin's that a requester gets to read, in characters.
const MAX_DENIAL_CHARACTERS: usize = 500;

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
    plugin: &std::sync::Arc<Plugin<Resolver>>,
    request: &Request,
    strategy: Strategy,
    deadline: Instant,
) -> Result<Answer<String>> {
    let prepared = plugin.prepared(deadline).await?;
    let mut call = Call::begin(plugin, request, deadline)?;
    let store = &mut call.store;
    let request = wire_request(request, strategy);
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
    plugin: &std::sync::Arc<Plugin<TargetSetup>>,
    request: &Request,
    strategy: Strategy,
    username: &str,
    deadline: Instant,
) -> Result<Answer<Vec<Step>>> {
    let prepared = plugin.prepared(deadline).await?;
    let mut call = Call::begin(plugin, request, deadline)?;
    let store = &mut call.store;
    let request = wire_request(request, strategy);
    let outcome = tokio::time::timeout_at(call.deadline, async {
        let instance = prepared.pre.instantiate_async(&mut *store).await?;
        let guest = prepared.indices.load(&mut *store, &instance)?;
        guest.call_setup(&mut *store, &request, username).await
    });
    let outcome = outcome.await;
    let answer = call.end(plugin, outcome)?;
    Ok(Answer {
        value: answer.value.into_iter().map(plan_step).collect(),
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
            Ok(Ok(Err(failure))) => Err(failed(plugin, &failure)),
            Ok(Err(error)) => Err(broken(plugin, &error)),
            Err(_) if self.is_cut_short => Err(Error::new(
                Code::OutOfTime,
                format!(
                    "{} was still running when the event's time was up",
                    plugin.subject()
                ),
            )),
            Err(_) => Err(exceeded(plugin, Limit::WallMilliseconds)),
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

/// The plugin said no, or that it can't.
fn failed<E: Export + 'static>(plugin: &Plugin<E>, failure: &Failure) -> Error {
    let said = printable(failure.message.trim(), MAX_DENIAL_CHARACTERS);
    if failure.code == "denied" {
        let said = if said.is_empty() {
            format!("{} denied it and gave no reason", plugin.subject())
        } else {
            said
        };
        return Error::new(Code::Denied, said);
    }
    // The sentence is meant for the operator. It may hold anything that the
    // plugin knows, so it is for the log; the code is a word, and short.
    Error::new(
        Code::PluginFailed,
        format!(
            "{} answered with failure `{}`: its message is in the function's log",
            plugin.subject(),
            printable(failure.code.trim(), 60)
        ),
    )
    .with_source(if said.is_empty() {
        "the plugin gave no message".to_owned()
    } else {
        said
    })
}

/// The plugin passed a limit.
fn exceeded<E: Export + 'static>(plugin: &Plugin<E>, limit: Limit) -> Error {
    Error::new(
        limit.code(),
        format!(
            "{} {}, its limit `{}` is {}: mend the plugin, or raise the limit in `[{}.limits]` of plugins.toml",
            plugin.subject(),
            limit.deed(),
            limit.key(),
            plugin.limits().get(limit),
            plugin.name()
        ),
    )
}

/// The call ended without an answer. Each cause that has a type is known by it;
/// two of wasmtime's have none that we can name, and are known by their text. A
/// test fails when an update of wasmtime changes it.
fn broken<E: Export + 'static>(plugin: &Plugin<E>, error: &wasmtime::Error) -> Error {
    if let Some(limit) = error.downcast_ref::<Limit>() {
        return exceeded(plugin, *limit);
    }
    let trapped = |how: &str| {
        Error::new(
            Code::PluginTrapped,
            format!(
                "{} {how}: the function's log says where, its author has to mend it",
                plugin.subject()
            ),
        )
        .with_source(detail(error))
    };
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return match trap {
            Trap::OutOfFuel => exceeded(plugin, Limit::Fuel),
            Trap::UnreachableCodeReached => trapped("panicked"),
            Trap::StackOverflow => trapped("called itself too deeply"),
            Trap::MemoryOutOfBounds => {
                trapped("read or wrote outside its memory, or called itself too deeply")
            }
            _ => trapped("trapped"),
        };
    }
    if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() {
        return trapped("exited instead of answering");
    }
    let text = error.root_cause().to_string();
    if text.contains("fuel allocated for hostcalls has been exhausted") {
        return exceeded(plugin, Limit::OutputBytes);
    }
    if text.starts_with("resource limit exceeded: ") {
        let counted = [
            ("table", Limit::Tables),
            ("memory", Limit::Memories),
            ("instance", Limit::Instances),
        ];
        if let Some((_, limit)) = counted
            .iter()
            .find(|(what, _)| text.contains(&format!(": {what} count")))
        {
            return exceeded(plugin, *limit);
        }
    }
    // What is left breaks the rules of the component model: text that isn't
    // UTF-8, a pointer outside its memory, a case that doesn't exist.
    trapped("answered with something malformed")
}

/// The root cause and the plugin's own functions on the way to it, innermost
/// first. `Display` of wasmtime's error has neither.
fn detail(error: &wasmtime::Error) -> String {
    let mut detail = printable(&error.root_cause().to_string(), 300);
    if let Some(backtrace) = error.downcast_ref::<WasmBacktrace>() {
        let names: Vec<String> = backtrace
            .frames()
            .iter()
            .take(8)
            .map(|frame| match frame.func_name() {
                Some(name) => printable(name, 100),
                None => format!("function {}", frame.func_index()),
            })
            .collect();
        if !names.is_empty() {
            detail = format!("{detail}, in {}", names.join(" < "));
        }
    }
    detail
}

fn wire_request(request: &Request, strategy: Strategy) -> types::Request {
    types::Request {
        run_id: request.run.id().to_owned(),
        strategy: strategy.as_str().to_owned(),
        requester: wire_actor(&request.requester),
        approver: request.approver.as_ref().map(wire_actor),
        target: types::Target {
            name: request.target.name.clone(),
            label: request.target.label.clone(),
            settings: request.target.settings.clone(),
        },
        flow: request.flow.clone(),
        reason: request.reason.clone(),
        duration_seconds: request.duration_seconds,
        event_time: request.event_time.clone(),
        context: request.context.clone(),
        event_json: request.event_json.clone(),
    }
}

fn wire_actor(actor: &Actor) -> types::Actor {
    types::Actor {
        username: actor.username.clone(),
        name: actor.name.clone(),
        identities: actor.identities.clone(),
    }
}

fn plan_step(step: types::Step) -> Step {
    match step {
        types::Step::GrantRole(role) => Step::GrantRole(role),
        types::Step::Sql(statement) => Step::Sql(Statement {
            sql: statement.sql,
            args: statement
                .args
                .into_iter()
                .map(|(name, value)| (name, plan_value(value)))
                .collect(),
        }),
    }
}

fn plan_value(value: types::Value) -> Value {
    match value {
        types::Value::Identifier(name) => Value::Identifier(name),
        types::Value::Literal(text) => Value::Literal(text),
    }
}
