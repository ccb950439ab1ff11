//! Ending what nobody has ended: runs whose event never came, users half
//! removed, grants that somebody else took back.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::{Body, Errors, Ready, Selection};
use crate::error::{Code, Error, Result};
use crate::metrics::{self, Measured};
use crate::postgres::sweep::{OpenGrant, Overdue};
use crate::postgres::{Connection, Names, sweep};
use crate::request::{Ending, Run};

/// Kept back of a sweep's time, to count what is left and to say what was done.
const RESERVE: Duration = Duration::from_secs(2);

/// What became of one run.
#[derive(Debug)]
pub struct Swept {
    /// The run.
    pub run: String,
    /// Why it was looked at; `None` where a person asked for it.
    pub why: Option<String>,
    /// The error that kept it from ending.
    pub result: Result<Body>,
}

impl Swept {
    fn of(overdue: Overdue, result: Result<Body>) -> Self {
        let (run, why) = (overdue.run, overdue.why);
        tracing::info!(run, why, is_ended = result.is_ok(), "sweep");
        Self {
            run,
            why: Some(why),
            result,
        }
    }
}

/// Nothing is begun when it is over.
async fn in_time<T>(until: Option<Instant>, work: impl Future<Output = Result<T>>) -> Result<T> {
    let late = || Error::new(Code::OutOfTime, "the time was over");
    match until {
        None => work.await,
        Some(until) if until <= Instant::now() => Err(late()),
        Some(until) => timeout_at(until, work).await.map_err(|_| late())?,
    }
}

impl Ready {
    /// What the sweep would end.
    pub(super) async fn overdue(&self) -> Result<Vec<Overdue>> {
        let look = async |connection: &mut Connection| sweep::overdue(connection).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Ends all that is overdue, as far as there is time. One that fails doesn't keep
    /// the others.
    pub(super) async fn sweep(&self, until: Option<Instant>) -> Result<Vec<Swept>> {
        let mut swept = Vec::new();
        let mut disabled = Vec::new();
        // In another order each time, so that no run waits for ever behind others.
        let order = RandomState::new();
        let overdue = self.overdue().await?;
        let is_known = |overdue: &Overdue| overdue.state == "ending";
        let (mut known, new): (Vec<_>, Vec<_>) = overdue.into_iter().partition(is_known);
        known.sort_by_cached_key(|overdue| order.hash_one(&overdue.run));
        // What was begun before, and keeps us long, leaves half of the time to clear away.
        let half = until.map(|until| Instant::now() + (until - Instant::now()) / 2);
        let first = new.into_iter().map(|overdue| (overdue, until));
        let second = known.into_iter().map(|overdue| (overdue, half));
        // Of all of them, what can still be used.
        for (overdue, until) in first.chain(second) {
            let run = &overdue.run;
            if overdue.strategy.as_deref() == Some("temporary-user") {
                let disable = async { self.disable(&Run::parse(run)?, "sweep").await };
                match in_time(until, disable).await {
                    Ok(user) => disabled.push((overdue, user)),
                    Err(error) => swept.push(Swept::of(overdue, Err(error))),
                }
            } else {
                let ended = in_time(until, self.end_by_name(run, "sweep")).await;
                swept.push(Swept::of(overdue, ended));
            }
        }
        // Then what has to be cleared away, which can take all the time there is.
        disabled.sort_by_cached_key(|(overdue, _)| order.hash_one(&overdue.run));
        for (overdue, user) in disabled {
            let tidy_up = async {
                let run = Run::parse(&overdue.run)?;
                Box::pin(self.tidy_up(&run, user)).await?;
                Ok(Body::new())
            };
            let ended = in_time(until, tidy_up).await;
            swept.push(Swept::of(overdue, ended));
        }
        Ok(swept)
    }

    /// The answer to the schedule's event. What failed is an error of its own,
    /// so that the alarm on errors rings.
    pub(super) async fn sweep_for_event(
        &self,
        deadline: Instant,
        measured: &mut Measured,
    ) -> Result<Body, Errors> {
        let swept = self.sweep(deadline.checked_sub(RESERVE)).await?;
        let failed = swept.iter().filter(|swept| swept.result.is_err()).count();
        measured.count(metrics::SWEEP_FOUND, swept.len() as u64);
        measured.count(metrics::SWEEP_FAILED, failed as u64);
        let count = async |connection: &mut Connection| sweep::count(connection).await;
        let count = self
            .database
            .with_ledger(&self.aws, Names::default(), count);
        match in_time(deadline.checked_sub(RESERVE / 4), count).await {
            Ok(counts) => {
                measured.count(metrics::GRANTS_OPEN, counts.open);
                measured.count(metrics::GRANTS_OVERDUE, counts.overdue);
            }
            // What was swept is swept.
            Err(error) => tracing::warn!(cause = error.to_log(), "grants could not be counted"),
        }
        let mut body = Body::new();
        body.insert(
            "swept".to_owned(),
            json!(swept.iter().filter(|swept| swept.result.is_ok()).count()),
        );
        let is_late = |error: &Error| error.code() == Code::OutOfTime;
        let errors = swept.into_iter().filter_map(|swept| swept.result.err());
        let (late, mut errors): (Vec<_>, Vec<_>) = errors.partition(is_late);
        if !late.is_empty() {
            errors.push(Error::new(
                Code::OutOfTime,
                format!(
                    "the function's time was over before {} overdue run(s) had ended: the next sweep goes on, and if it \
                     stays so, `symctl sweep` has no such limit",
                    late.len()
                ),
            ));
        }
        if errors.is_empty() {
            Ok(body)
        } else {
            Err(Errors(errors))
        }
    }

    /// Who has what until when.
    pub(super) async fn open_grants(&self) -> Result<Vec<OpenGrant>> {
        let look = async |connection: &mut Connection| sweep::open_grants(connection).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Ends runs by hand.
    pub(super) async fn revoke(&self, selection: &Selection) -> Result<Vec<Swept>> {
        let runs = match selection {
            Selection::Run(run) => vec![run.clone()],
            Selection::User(user) => self.open_runs(Some(user)).await?,
            Selection::All => self.open_runs(None).await?,
        };
        let mut ended = Vec::new();
        for run in runs {
            let result = self.end_by_name(&run, "revoke").await;
            ended.push(Swept {
                run,
                why: None,
                result,
            });
        }
        Ok(ended)
    }

    async fn open_runs(&self, user: Option<&str>) -> Result<Vec<String>> {
        let look = async |connection: &mut Connection| sweep::open_runs(connection, user).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    async fn end_by_name(&self, run: &str, by: &str) -> Result<Body> {
        Box::pin(self.end(Ending::of(Run::parse(run)?), by)).await
    }
}
