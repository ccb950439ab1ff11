//! From an event to its answer: the one module that knows the others.
//!
//! Whatever happens, there is an answer in Sym's shape: for a wrong
//! configuration, for a panic, and for time that runs out.

mod database;
mod ending;
mod escalate;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt as _;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use self::database::Database;
use crate::aws::Aws;
use crate::config::Config;
use crate::error::{Code, Error, Result};
use crate::event::{Event, Kind, printable};
use crate::plugin::{Engine, Release, Source};
use crate::request::{Ending, Request, Run};
use crate::response::Response;
use crate::secrets::Store;

/// Kept back of the time that Lambda gives an event, for the answer.
const RESERVE: Duration = Duration::from_millis(400);

/// Longest time for an event where nobody says one: Sym's own invocation waits
/// no longer than a minute.
const LONGEST: Duration = Duration::from_secs(55);

/// The function, ready for events.
pub struct Host {
    state: std::result::Result<Ready, Vec<Error>>,
}

/// What is known of one invocation besides its payload.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Lambda's id of it.
    pub request_id: &'a str,
    /// What is left of Lambda's time. `None` where that isn't known.
    pub time_left: Option<Duration>,
}

/// A host whose configuration is right.
struct Ready {
    config: Config,
    source: Source,
    engine: Engine,
    release: Mutex<Option<std::sync::Arc<Release>>>,
    database: Database,
    store: Store,
    aws: Aws,
}

/// For the log line of an event.
#[derive(Default)]
struct Trace {
    kind: Option<Kind>,
    run: Option<Run>,
    release: Option<String>,
}

type Body = Map<String, Value>;

impl Host {
    /// Reads the configuration. Where it is wrong, every problem is logged once
    /// and each event is answered with them.
    pub fn new(environment: impl Fn(&str) -> Option<String>) -> Self {
        let state = Config::from_env(environment).and_then(|config| Ready::new(config).map_err(|error| vec![error]));
        if let Err(errors) = &state {
            for error in errors {
                tracing::error!(code = %error.code(), "{}", error.to_log());
            }
        }
        Self { state }
    }

    /// Serves one event.
    pub async fn handle(&self, payload: &str, invocation: Invocation<'_>) -> Response {
        let start = Instant::now();
        let time = invocation.time_left.map_or(LONGEST, |left| left.min(LONGEST)).saturating_sub(RESERVE);
        let deadline = start + time;
        let mut trace = Trace::default();
        // The connection is not put back by a panic: what is reused afterwards
        // is whole.
        let serving = AssertUnwindSafe(self.serve(payload, deadline, &mut trace)).catch_unwind();
        let result = match tokio::time::timeout_at(deadline, serving).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(vec![Error::internal(panic_text(panic.as_ref()))]),
            Err(_) => Err(vec![Error::new(
                Code::OutOfTime,
                "the function's time was over before it was done: try again, and raise its timeout if it stays so",
            )]),
        };
        let milliseconds = start.elapsed().as_secs_f64() * 1000.0;
        let kind = trace.kind.map_or("unknown", Kind::as_str);
        let run = trace.run.as_ref().map(Run::srn);
        let (request_id, release) = (invocation.request_id, trace.release.as_deref());
        match result {
            Ok(body) => {
                tracing::info!(request_id, event = kind, run, release, code = "ok", milliseconds, "event");
                Response::success(body)
            }
            Err(errors) => {
                for error in &errors {
                    let code = error.code().as_str();
                    let cause = error.to_log();
                    tracing::error!(request_id, event = kind, run, release, code, milliseconds, cause, "event");
                }
                Response::failures(&errors)
            }
        }
    }

    async fn serve(&self, payload: &str, deadline: Instant, trace: &mut Trace) -> std::result::Result<Body, Vec<Error>> {
        match &self.state {
            Ok(ready) => ready.serve(payload, deadline, trace).await.map_err(|error| vec![error]),
            Err(errors) => Err(errors.iter().map(|error| Error::new(error.code(), error.message())).collect()),
        }
    }
}

impl Ready {
    fn new(config: Config) -> Result<Self> {
        let source = Source::parse(&config.plugins).map_err(|why| {
            Error::new(Code::InvalidConfig, format!("the function's variable `PLUGINS` {}", printable(&why, 200)))
        })?;
        Ok(Self {
            source,
            engine: Engine::new()?,
            release: Mutex::new(None),
            database: Database::new(config.database.clone()),
            store: Store::new(&config.secrets),
            aws: Aws::default(),
            config,
        })
    }

    async fn serve(&self, payload: &str, deadline: Instant, trace: &mut Trace) -> Result<Body> {
        let event = Event::parse(payload)?;
        let kind = event.kind()?;
        trace.kind = Some(kind);
        // Boxed: the compiler's limits on nested futures are near, and the answer
        // to any of them shouldn't cost the memory of the largest.
        match kind {
            Kind::Escalate => {
                let request = Request::from_event(&event, payload, self.config.duration_unit)?;
                trace.run = Some(request.run.clone());
                self.check_org(&request.run)?;
                Box::pin(self.escalate(&request, deadline, trace)).await
            }
            Kind::Deescalate => {
                let ending = Ending::from_event(&event)?;
                trace.run = Some(ending.run.clone());
                self.check_org(&ending.run)?;
                Box::pin(self.end(&ending, "deescalate")).await
            }
            Kind::DryRun | Kind::Sweep => Err(Error::new(
                Code::UnsupportedEvent,
                format!("event type `{}` is not served yet, expected `escalate` or `deescalate`", kind.as_str()),
            )),
        }
    }

    fn check_org(&self, run: &Run) -> Result<()> {
        match &self.config.allowed_orgs {
            Some(allowed) if !allowed.contains(run.org()) => Err(Error::new(
                Code::ForeignEvent,
                format!("the run belongs to organisation `{}`, which this function doesn't serve", run.org()),
            )),
            _ => Ok(()),
        }
    }

    /// The release of plugins; loaded at the first event that needs it, and
    /// tried again at the next where that failed.
    async fn release(&self) -> Result<std::sync::Arc<Release>> {
        let mut release = self.release.lock().await;
        if let Some(release) = &*release {
            return Ok(release.clone());
        }
        let loaded = std::sync::Arc::new(self.source.load(&self.engine).await?);
        *release = Some(loaded.clone());
        Ok(loaded)
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a text"))
}
