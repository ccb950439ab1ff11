//! The release that serves: loaded at the first event that needs it, looked at
//! again when it is old, and replaced as a whole or not at all.
//!
//! Nothing happens behind an event's back but what an event began: between
//! events the sandbox is frozen. A look that takes longer than an event may wait
//! goes on, and a later event finds it done.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::Ready;
use crate::aws::Aws;
use crate::error::{Error, Result};
use crate::plugin::{Engine, Loaded, Release, Source, Version};
use crate::postgres::{Connection, Names, release};

/// How long an event waits for a look at the store. Mostly it takes a tenth.
const PATIENCE: Duration = Duration::from_millis(250);

/// The release that serves, and the look for another.
pub(super) struct Releases {
    source: Source,
    engine: Engine,
    aws: Arc<Aws>,
    refresh: Duration,
    state: Mutex<State>,
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

struct Looking {
    since: SystemTime,
    task: JoinHandle<Result<Option<Loaded>>>,
}

impl Releases {
    pub(super) fn new(source: Source, engine: Engine, aws: Arc<Aws>, refresh: Duration) -> Self {
        Self {
            source,
            engine,
            aws,
            refresh,
            state: Mutex::default(),
        }
    }

    /// The release for an event. `accept` has the ledger accept another one
    /// before anything of it runs.
    ///
    /// # Errors
    /// Only where there is none yet: the last good one stays otherwise.
    pub(super) async fn current(
        &self,
        accept: impl AsyncFn(&Version) -> Result<()>,
    ) -> Result<Arc<Release>> {
        let mut state = self.state.lock().await;
        let State { serving, looking } = &mut *state;
        let Some(serving) = serving else {
            let since = SystemTime::now();
            let loaded = self.source.load(&self.engine, &self.aws).await?;
            let first = accepted(loaded, since, &accept).await?;
            let release = first.release.clone();
            *serving = Some(first);
            return Ok(release);
        };
        if let (Some(version), true) = (&serving.version, self.is_old(serving.looked_at)) {
            let Looking { since, task } =
                looking.get_or_insert_with(|| self.look_for_another(version.clone()));
            if let Ok(found) = tokio::time::timeout(PATIENCE, task).await {
                serving.looked_at = *since;
                *looking = None;
                let found = found.unwrap_or_else(|panic| Err(Error::internal(panic.to_string())));
                let next = match found {
                    Ok(None) => Ok(None),
                    Ok(Some(loaded)) => {
                        accepted(loaded, serving.looked_at, &accept).await.map(Some)
                    }
                    Err(error) => Err(error),
                };
                match next {
                    Ok(None) => {}
                    Ok(Some(next)) => {
                        let (release, before) = (next.release.id(), serving.release.id());
                        tracing::info!(release, before, "release changed");
                        *serving = next;
                    }
                    Err(error) => kept(serving, error.code().as_str(), &error.to_log()),
                }
            } else {
                kept(serving, "slow", "the store didn't answer in time");
            }
        }
        Ok(serving.release.clone())
    }

    /// What would be loaded now. Nothing is kept and nothing accepted: it is for
    /// a person who looks.
    pub(super) async fn look(&self) -> Result<Release> {
        let loaded = self.source.load(&self.engine, &self.aws).await?;
        Ok(loaded.release)
    }

    fn is_old(&self, looked_at: SystemTime) -> bool {
        // A clock that was set back is no reason to wait.
        looked_at.elapsed().map_or(true, |age| age >= self.refresh)
    }

    fn look_for_another(&self, known: Version) -> Looking {
        let (source, engine) = (self.source.clone(), self.engine.clone());
        let aws = self.aws.clone();
        Looking {
            since: SystemTime::now(),
            task: tokio::spawn(async move { source.refresh(&engine, &aws, &known).await }),
        }
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

fn kept(serving: &Serving, code: &str, cause: &str) {
    tracing::warn!(release = serving.release.id(), code, cause, "release kept");
}

impl Ready {
    /// Has the ledger accept a release, unless the configuration pins it.
    pub(super) async fn accept(&self, version: &Version) -> Result<()> {
        let Some(serial) = version.serial else {
            return Ok(());
        };
        let serial = i64::try_from(serial).map_err(|_| Error::internal("a serial is checked"))?;
        let audience = &self.config.secrets.function;
        let accept = async |connection: &mut Connection| {
            release::accept(connection, audience, serial, &version.release).await
        };
        self.database
            .with_ledger(&self.aws, Names::default(), accept)
            .await
    }
}
