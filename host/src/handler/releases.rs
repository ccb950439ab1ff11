//! The release that serves: loaded before the first event where that is quick and
//! small, otherwise at the first event that needs it; looked at again when it is
//! old, and replaced as a whole or not at all.
//!
//! Nothing happens behind an event's back but what an event began: between
//! events the sandbox is frozen. A look that takes longer than an event may wait
//! goes on, and a later event finds it done.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Ready;
use super::meters::Meters;
use crate::aws::Aws;
use crate::config::Mode;
use crate::error::{Code, Error, Result};
use crate::plugin::{Engine, Loaded, Release, Source, Version};
use crate::postgres::{Connection, Names, release, undone};

/// How long an event waits for a look at the store. Mostly it takes a tenth.
const PATIENCE: Duration = Duration::from_millis(250);

/// The release that serves, and the look for another.
pub(super) struct Releases {
    source: Source,
    engine: LazyEngine,
    aws: Arc<Aws>,
    refresh: Duration,
    meters: Arc<Meters>,
    state: Mutex<State>,
}

/// The engine, made where it is first needed, and not before the login to the
/// database has begun, which takes longer.
#[derive(Clone)]
struct LazyEngine {
    stack_bytes: usize,
    made: Arc<OnceLock<Engine>>,
}

impl LazyEngine {
    /// The engine, the same for all.
    ///
    /// # Errors
    /// Those of [`Engine::with_stack`].
    fn get(&self) -> Result<Engine> {
        if let Some(engine) = self.made.get() {
            return Ok(engine.clone());
        }
        let engine = Engine::with_stack(self.stack_bytes)?;
        // Somebody may have been first: what one engine loads, another can't run.
        Ok(self.made.get_or_init(|| engine).clone())
    }
}

#[derive(Default)]
struct State {
    serving: Option<Serving>,
    looking: Option<Looking>,
}

struct Serving {
    release: Arc<Release>,
    version: Option<Version>,
    /// By the wall clock: the other one may stand still in a frozen sandbox.
    looked_at: SystemTime,
}

/// A look that goes on when the event that began it has ended.
struct Looking {
    since: SystemTime,
    task: JoinHandle<Result<Option<Loaded>>>,
}

impl Looking {
    /// What it has found, or `None` where it hasn't by then. `looking` is empty
    /// afterwards, or goes on.
    async fn wait(
        looking: &mut Option<Self>,
        until: Instant,
    ) -> Option<(SystemTime, Result<Option<Loaded>>)> {
        let Self { since, task } = looking.as_mut()?;
        let since = *since;
        let found = tokio::time::timeout_at(until, task).await.ok()?;
        *looking = None;
        let found = found.unwrap_or_else(|panic| Err(Error::internal(panic.to_string())));
        Some((since, found))
    }
}

impl Releases {
    pub(super) fn new(
        source: Source,
        stack_bytes: usize,
        aws: Arc<Aws>,
        refresh: Duration,
        meters: Arc<Meters>,
    ) -> Self {
        Self {
            source,
            engine: LazyEngine {
                stack_bytes,
                made: Arc::default(),
            },
            aws,
            refresh,
            meters,
            state: Mutex::default(),
        }
    }

    /// The release for an event. `accept` has the ledger accept another one, when
    /// all of it is loaded and before anything of it runs.
    ///
    /// # Errors
    /// Only where there is none yet: the last good one stays otherwise.
    pub(super) async fn current(
        &self,
        deadline: Instant,
        accept: impl AsyncFn(&Version) -> Result<()>,
    ) -> Result<Arc<Release>> {
        let _timer = self.meters.release.start();
        let mut state = self.state.lock().await;
        let State { serving, looking } = &mut *state;
        let Some(serving) = serving else {
            let first = self.first(looking, deadline, &accept).await?;
            self.meters.releases_loaded.add(1);
            let release = first.release.clone();
            *serving = Some(first);
            return Ok(release);
        };
        if let (Some(version), true) = (&serving.version, self.is_old(serving.looked_at)) {
            looking.get_or_insert_with(|| self.look_for_another(Some(version.clone())));
            match Looking::wait(looking, Instant::now() + PATIENCE).await {
                Some((since, found)) => {
                    serving.looked_at = since;
                    let next = match found {
                        Ok(Some(loaded)) => accepted(loaded, since, &accept).await.map(Some),
                        Ok(None) => Ok(None),
                        Err(error) => Err(error),
                    };
                    match next {
                        Ok(None) => {}
                        Ok(Some(next)) => {
                            let (release, before) = (next.release.id(), serving.release.id());
                            tracing::info!(release, before, "release changed");
                            self.meters.releases_changed.add(1);
                            *serving = next;
                        }
                        Err(error) => self.keep(serving, error.code().as_str(), &error.to_log()),
                    }
                }
                // Nothing is wrong yet: a later event finds what it comes to.
                None => tracing::info!(
                    release = serving.release.id(),
                    "the store didn't answer in time"
                ),
            }
        }
        Ok(serving.release.clone())
    }

    /// Loads the first release ahead, where that is quick and small.
    ///
    /// # Errors
    /// Those of [`current`](Self::current), which loads it otherwise.
    pub(super) async fn warm_up(&self, accept: impl AsyncFn(&Version) -> Result<()>) -> Result<()> {
        let _timer = self.meters.release.start();
        let mut state = self.state.lock().await;
        let now = SystemTime::now();
        let (source, engine) = (self.source.clone(), self.engine.clone());
        let aws = self.aws.clone();
        // On a thread of its own: it reads, hashes and maps, and meanwhile the login
        // to the database is to go on.
        let runtime = Handle::current();
        let load = move || runtime.block_on(source.load_light(&engine.get()?, &aws));
        let loaded = tokio::task::spawn_blocking(load).await;
        let loaded = loaded.map_err(|panic| Error::internal(panic.to_string()))??;
        if let Some(loaded) = loaded {
            state.serving = Some(accepted(loaded, now, &accept).await?);
            self.meters.releases_loaded.add(1);
        }
        Ok(())
    }

    /// The first release. Loading it may outlast an event: the next one finds it
    /// done.
    async fn first(
        &self,
        looking: &mut Option<Looking>,
        deadline: Instant,
        accept: &impl AsyncFn(&Version) -> Result<()>,
    ) -> Result<Serving> {
        let slow = || {
            Error::new(
                Code::OutOfTime,
                "the plugins were still being loaded when the event's time was up: try again in a minute, or publish \
                 them with native code",
            )
        };
        looking.get_or_insert_with(|| self.look_for_another(None));
        let found = Looking::wait(looking, deadline).await;
        let (since, found) = found.ok_or_else(slow)?;
        let loaded = found?.ok_or_else(|| Error::internal("a first release that is no news"))?;
        let version = loaded.version.clone();
        let refused = match (accepted(loaded, since, accept).await, version) {
            (Err(error), Some(version)) if error.code() == Code::InvalidPlugin => (error, version),
            (result, _) => return result,
        };
        // Meanwhile another one may have been published, and accepted for another
        // sandbox: then this one was too late, and not wrong.
        let (error, version) = refused;
        looking.get_or_insert_with(|| self.look_for_another(Some(version)));
        let found = Looking::wait(looking, deadline).await;
        let (since, found) = found.ok_or_else(slow)?;
        match found? {
            Some(loaded) => accepted(loaded, since, accept).await,
            None => Err(error),
        }
    }

    /// What would be loaded now. Nothing is kept and nothing accepted: it is for
    /// a person who looks.
    pub(super) async fn look(&self) -> Result<Loaded> {
        self.source.load(&self.engine.get()?, &self.aws).await
    }

    fn is_old(&self, looked_at: SystemTime) -> bool {
        // A clock that was set back is no reason to wait.
        looked_at.elapsed().map_or(true, |age| age >= self.refresh)
    }

    fn look_for_another(&self, known: Option<Version>) -> Looking {
        let (source, engine) = (self.source.clone(), self.engine.clone());
        let aws = self.aws.clone();
        Looking {
            since: SystemTime::now(),
            task: tokio::spawn(async move {
                let engine = engine.get()?;
                source.load_another(&engine, &aws, known.as_ref()).await
            }),
        }
    }

    fn keep(&self, serving: &Serving, code: &str, cause: &str) {
        self.meters.releases_kept.add(1);
        tracing::warn!(release = serving.release.id(), code, cause, "release kept");
    }

    /// Plugins that were compiled in place since this was last asked.
    pub(super) fn take_compiled(&self) -> u64 {
        self.engine.made.get().map_or(0, Engine::take_compiled)
    }
}

async fn accepted(
    loaded: Loaded,
    since: SystemTime,
    accept: &impl AsyncFn(&Version) -> Result<()>,
) -> Result<Serving> {
    if let Some(version) = &loaded.version {
        accept(version).await?;
    }
    Ok(Serving {
        release: Arc::new(loaded.release),
        version: loaded.version,
        looked_at: since,
    })
}

/// What of a question about a release stays in the ledger.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Answer,
    Nothing,
}

impl Ready {
    /// Has the ledger accept a release, unless the configuration pins it, or this
    /// is a shadow, which changes nothing.
    pub(super) async fn accept(&self, version: &Version) -> Result<()> {
        self.ask_ledger(version, Keeps::Answer).await
    }

    /// Whether the ledger would accept it: asked in the same way, so that there is one
    /// answer.
    pub(super) async fn would_accept(&self, version: &Version) -> Result<()> {
        self.ask_ledger(version, Keeps::Nothing).await
    }

    async fn ask_ledger(&self, version: &Version, keeps: Keeps) -> Result<()> {
        let serial = match (version.serial, self.config.mode) {
            (Some(serial), Mode::Live) => serial,
            _ => return Ok(()),
        };
        let serial = i64::try_from(serial).map_err(|_| Error::internal("a serial is checked"))?;
        let audience = &self.config.secrets.function;
        let accept = async |connection: &mut Connection| {
            release::accept(connection, audience, serial, &version.release).await
        };
        let accept = async |connection: &mut Connection| match keeps {
            Keeps::Answer => accept(connection).await,
            Keeps::Nothing => undone(connection, accept).await,
        };
        self.database
            .with_ledger(&self.aws, Names::default(), accept)
            .await
    }
}
