//! From an event to its answer: the one module that knows the others.
//!
//! Whatever happens, there is an answer in Sym's shape: for a wrong
//! configuration, for a panic, and for time that runs out.

mod database;
mod doctor;
mod dry_run;
mod ending;
mod escalate;
mod meters;
mod passwords;
mod releases;
mod shadow;
mod sweep;
mod temporary_user;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{FutureExt as _, future};
use serde_json::{Map, Value};
use tokio::time::Instant;

use self::database::Database;
pub use self::doctor::Finding;
use self::ending::Ender;
use self::meters::Meters;
use self::passwords::Passwords;
use self::releases::Releases;
pub use self::sweep::Swept;
use crate::aws::Aws;
use crate::config::{self, Config, Mode};
use crate::env;
use crate::error::{Code, Error, Errors, Result};
use crate::event::{Event, Kind};
use crate::metrics::{self, Measured};
use crate::plan::Strategy;
use crate::plugin::{Source, Version};
use crate::postgres::Who;
use crate::postgres::sweep::{OpenGrant, Overdue};
use crate::record::Mask;
use crate::request::{Ending, Request, Run};
use crate::response::Response;
use crate::secrets::Store;

/// Kept back of the time that Lambda gives an event, for the answer.
const RESERVE: Duration = Duration::from_millis(400);

/// Longest time for an event where nobody says one: Sym's own invocation waits
/// no longer than a minute.
const LONGEST: Duration = Duration::from_secs(55);

/// Longest time for what is done ahead of the first event. Nobody waits for a
/// store or a database that doesn't answer: an event that needs it says so, and
/// one that doesn't isn't kept from ending an access.
const WARM_UP: Duration = Duration::from_secs(2);

/// The function, ready for events.
pub struct Host {
    /// Its name, for the log.
    function: String,
    state: State,
}

/// How much of the configuration is right.
enum State {
    /// All of it.
    Whole(Ready),
    /// What an end needs. What is wrong with the rest is beside it.
    OnlyEnds(Ready, Errors),
    /// Not even that.
    Broken(Errors),
}

/// What is known of one invocation besides its payload.
#[derive(Clone, Copy, Debug)]
pub struct Invocation<'a> {
    /// Lambda's id of it.
    pub request_id: &'a str,
    /// What is left of Lambda's time. `None` where that isn't known.
    pub time_left: Option<Duration>,
}

/// What came of an event.
pub struct Served {
    /// The answer.
    pub response: Response,
    /// The event's line for the log, with its metrics.
    pub log_line: String,
}

/// A host whose configuration is right.
struct Ready {
    config: Config,
    releases: Releases,
    database: Database,
    store: Store,
    passwords: Passwords,
    aws: Arc<Aws>,
    mask: Mask,
    meters: Arc<Meters>,
}

/// For the log line of an event.
#[derive(Default)]
struct Trace {
    kind: Option<Kind>,
    run: Option<Run>,
    release: Option<String>,
    measured: Measured,
}

impl Trace {
    /// Reads the event. What of it can be known is, also where it is refused.
    fn read(&mut self, payload: &str) -> Result<(Event, Kind)> {
        let event = Event::parse(payload).inspect_err(|_| {
            self.kind = Event::is_ending(payload).then_some(Kind::Deescalate);
        })?;
        self.run = Run::of(&event).ok();
        let kind = event.kind()?;
        self.kind = Some(kind);
        Ok((event, kind))
    }
}

type Body = Map<String, Value>;

impl Host {
    /// Reads the configuration. Where it is wrong, every problem is logged once
    /// and each event is answered with them.
    pub fn new(environment: impl Fn(&str) -> Option<String>) -> Self {
        Self::start(environment, Who::Function)
    }

    fn start(environment: impl Fn(&str) -> Option<String>, who: Who) -> Self {
        let function = environment(env::FUNCTION_NAME.name);
        let ready = |config| Ready::new(config, who).map_err(Errors::from);
        let state = match Config::from_env(&environment).and_then(ready) {
            Ok(ready) => State::Whole(ready),
            Err(errors) => {
                // A person is shown them with what they asked for.
                if who == Who::Function {
                    for error in errors.as_slice() {
                        tracing::error!(code = %error.code(), "{}", error.to_log());
                    }
                }
                match Config::to_end(&environment).and_then(ready) {
                    Ok(ready) => State::OnlyEnds(ready, errors),
                    Err(_) => State::Broken(errors),
                }
            }
        };
        Self {
            function: function.unwrap_or_else(|| config::DEFAULT_FUNCTION.to_owned()),
            state,
        }
    }

    /// Does ahead what the first event would wait for: the connection, the client
    /// for secrets and, where it is small, the release, side by side. What fails or
    /// panics here does so again, and is reported, when an event needs it.
    pub async fn warm_up(&self) {
        if let State::Whole(ready) = &self.state {
            let work = ready.warm_up(Instant::now() + WARM_UP);
            // A function that ended here could take no access back.
            if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
                tracing::error!(cause = panic_text(panic.as_ref()), "not warmed up");
            }
        }
    }

    /// Serves one event.
    pub async fn handle(&self, payload: &str, invocation: Invocation<'_>) -> Served {
        let start = Instant::now();
        let time = invocation
            .time_left
            .map_or(LONGEST, |left| left.min(LONGEST))
            .saturating_sub(RESERVE);
        let deadline = start + time;
        let mut trace = Trace::default();
        // The connection is not put back by a panic: what is reused afterwards
        // is whole.
        let serving =
            AssertUnwindSafe(Box::pin(self.serve(payload, deadline, &mut trace))).catch_unwind();
        let result = match tokio::time::timeout_at(deadline, serving).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::internal(panic_text(panic.as_ref())).into()),
            Err(_) => Err(Error::new(
                Code::OutOfTime,
                "the function's time was over before it was done: try again, and raise its timeout if it stays so",
            )
            .into()),
        };
        let errors = result.as_ref().err().map_or(&[][..], Errors::as_slice);
        self.log_causes(errors, &trace, invocation);
        let mut measured = std::mem::take(&mut trace.measured);
        measured.count(metrics::EVENTS, 1);
        measured.time(metrics::DURATION, start.elapsed());
        if let Ok(ready) = self.ready() {
            ready.meters.take(&mut measured);
            match ready.releases.take_compiled() {
                0 => {}
                count => measured.count(metrics::COMPILED_IN_PLACE, count),
            }
        }
        let line = metrics::Served {
            function: &self.function,
            request_id: invocation.request_id,
            event: trace.kind.map_or("unknown", Kind::as_str),
            run: trace.run.as_ref().map(Run::srn),
            release: trace.release.as_deref(),
            errors,
            measured,
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Served {
            log_line: line.to_line(u64::try_from(now.as_millis()).unwrap_or_default()),
            response: match result {
                Ok(body) => Response::success(body),
                Err(errors) => Response::failures(errors.as_slice()),
            },
        }
    }

    /// One line for each error: its causes are for nobody but the operator.
    fn log_causes(&self, errors: &[Error], trace: &Trace, invocation: Invocation<'_>) {
        for error in errors {
            tracing::error!(
                request_id = invocation.request_id,
                run = trace.run.as_ref().map(Run::srn),
                release = trace.release.as_deref(),
                code = error.code().as_str(),
                cause = error.to_log(),
                "error"
            );
        }
    }

    async fn serve(
        &self,
        payload: &str,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body, Errors> {
        // In any state: the alarm of this kind of event has to ring, and the log names the
        // run.
        let read = trace.read(payload);
        let (ready, wrong) = match &self.state {
            State::Whole(ready) => (ready, None),
            State::OnlyEnds(ready, errors) if trace.kind.is_some_and(Kind::only_ends) => {
                (ready, Some(errors))
            }
            State::OnlyEnds(_, errors) | State::Broken(errors) => return Err(errors.again()),
        };
        let (event, kind) = read?;
        let served = ready.serve(&event, kind, payload, deadline, trace).await;
        match wrong {
            // Its answer is nobody's but the operator's.
            Some(errors) if kind == Kind::Sweep => Err(errors.again().and(served.err())),
            _ => served,
        }
    }

    /// What can end access, and where the configuration is right give it.
    fn ready(&self) -> Result<&Ready, Errors> {
        match &self.state {
            State::Whole(ready) | State::OnlyEnds(ready, _) => Ok(ready),
            State::Broken(errors) => Err(errors.again()),
        }
    }
}

/// What a person does with `symctl`. Each method needs as much of the configuration to be
/// right as an end does: its errors come first.
impl Host {
    /// A host for a person, who may be a DBA. Without `PLUGINS`: nothing that a
    /// person does here asks one.
    pub fn for_person(environment: impl Fn(&str) -> Option<String>) -> Self {
        let with_plugins = |name: &str| match environment(name) {
            None if name == env::PLUGINS.name => Some("dir:///".to_owned()),
            value => value,
        };
        Self::start(with_plugins, Who::Person)
    }

    /// The same for [`diagnose`](Self::diagnose), which looks at the plugins too.
    pub fn for_doctor(environment: impl Fn(&str) -> Option<String>) -> Self {
        Self::start(environment, Who::Person)
    }

    /// Who has what until when.
    ///
    /// # Errors
    /// The configuration's, or the database's.
    pub async fn open_grants(&self) -> Result<Vec<OpenGrant>, Errors> {
        Ok(self.ready()?.open_grants().await?)
    }

    /// What a sweep would end now.
    ///
    /// # Errors
    /// The configuration's, or the database's.
    pub async fn overdue(&self) -> Result<Vec<Overdue>, Errors> {
        Ok(self.ready()?.overdue().await?)
    }

    /// Ends what is overdue.
    ///
    /// # Errors
    /// The configuration's, or the database's; those of single runs are in the
    /// result.
    pub async fn sweep(&self) -> Result<Vec<Swept>, Errors> {
        Ok(self.ready()?.sweep(None).await?)
    }

    /// Whether there is something to end of the run with this SRN.
    ///
    /// # Errors
    /// The configuration's, or the database's.
    pub async fn is_open(&self, run: &str) -> Result<bool, Errors> {
        Ok(self.ready()?.is_open(run).await?)
    }

    /// Ends runs by hand, as their deescalate events would.
    ///
    /// # Errors
    /// As [`sweep`](Self::sweep).
    pub async fn revoke(&self, selection: &Selection) -> Result<Vec<Swept>, Errors> {
        Ok(self.ready()?.revoke(selection).await?)
    }

    /// Whether all is there that events will need, with what mends it.
    pub async fn diagnose(&self) -> Vec<Finding> {
        match &self.state {
            State::Whole(ready) => ready.diagnose().await,
            State::OnlyEnds(_, errors) | State::Broken(errors) => {
                let errors = errors.as_slice().iter();
                errors.map(Finding::of_configuration).collect()
            }
        }
    }
}

/// Which runs to end by hand.
#[derive(Clone, Debug)]
pub enum Selection {
    /// The run with this SRN, whether it is open or not.
    Run(String),
    /// Those of this requester or database user.
    User(String),
    /// All that are open, and those whose temporary user is there though they aren't.
    All,
}

impl Ready {
    fn new(config: Config, who: Who) -> Result<Self> {
        let audience = &config.secrets.function;
        let source = Source::parse(&config.plugins, config.plugin_trust.as_ref(), audience)
            .map_err(|why| {
                Error::new(
                    Code::InvalidConfig,
                    format!("the function's variable `PLUGINS` {why}"),
                )
            })?;
        let aws = Arc::new(Aws::default());
        let meters = Arc::new(Meters::default());
        let refresh = Duration::from_secs(u64::from(config.plugin_refresh_seconds));
        Ok(Self {
            releases: Releases::new(
                source,
                config.plugin_stack_bytes,
                aws.clone(),
                refresh,
                meters.clone(),
            ),
            database: Database::new(config.database.clone(), who, meters.clone()),
            store: Store::new(&config.secrets),
            passwords: Passwords::default(),
            aws,
            mask: mask()?,
            meters,
            config,
        })
    }

    async fn warm_up(&self, deadline: Instant) {
        let accept = async |version: &Version| self.accept(version).await;
        let release = Box::pin(self.releases.warm_up(accept));
        let secrets = async {
            if self.config.strategy == Strategy::TemporaryUser {
                self.passwords.begin();
                self.store.warm_up(&self.aws).await;
            }
        };
        // The server does its part of a login while the others go on.
        let all = future::join3(self.database.ensure_connected(&self.aws), secrets, release);
        let _ = tokio::time::timeout_at(deadline, all).await;
        self.database.get_ready().await;
    }

    async fn serve(
        &self,
        event: &Event,
        kind: Kind,
        payload: &str,
        deadline: Instant,
        trace: &mut Trace,
    ) -> Result<Body, Errors> {
        if self.config.mode == Mode::Shadow {
            return Ok(Box::pin(self.shadow(event, kind, payload, deadline, trace)).await?);
        }
        // Boxed: the compiler's limits on nested futures are near, and the answer
        // to any of them shouldn't cost the memory of the largest.
        match kind {
            Kind::Escalate => {
                let request = Request::from_event(event, payload, self.config.duration_unit)?;
                self.check_org(&request.run)?;
                Ok(Box::pin(self.escalate(&request, deadline, trace)).await?)
            }
            Kind::Deescalate => {
                let ending = Ending::from_event(event)?;
                let by = Ender::event(deadline);
                self.check_org_of_end(&ending.run, by).await?;
                Ok(Box::pin(self.end(ending, by)).await?)
            }
            Kind::DryRun => {
                let request = Request::from_event(event, payload, self.config.duration_unit)?;
                self.check_org(&request.run)?;
                Ok(Box::pin(self.dry_run(&request, deadline, trace)).await?)
            }
            Kind::Sweep => Box::pin(self.sweep_for_event(deadline, &mut trace.measured)).await,
        }
    }

    /// A run that the ledger has was served when it began, and ends whatever is served now.
    async fn check_org_of_end(&self, run: &Run, by: Ender) -> Result<()> {
        let Err(foreign) = self.check_org(run) else {
            return Ok(());
        };
        match self.is_known(run, by).await? {
            true => Ok(()),
            false => Err(foreign),
        }
    }

    fn check_org(&self, run: &Run) -> Result<()> {
        match &self.config.allowed_orgs {
            // Only where nothing but ends is served.
            Some(allowed) if allowed.is_empty() => Err(Error::new(
                Code::InvalidConfig,
                format!(
                    "the function's variable `{}` names nothing, so no run that the ledger doesn't know is served: mend \
                     it, and send the event again",
                    env::ALLOWED_ORGS.name
                ),
            )),
            Some(allowed) if !allowed.contains(run.org()) => Err(Error::new(
                Code::ForeignEvent,
                format!(
                    "the run belongs to organisation `{}`, which this function doesn't serve",
                    run.org()
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Pseudonyms for as long as this process lives: nobody keeps their key.
fn mask() -> Result<Mask> {
    let mut key = [0u8; 32];
    getrandom::fill(&mut key).map_err(|error| Error::internal(error.to_string()))?;
    Ok(Mask::new(&key))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panic: {}", text.unwrap_or("without a text"))
}
