//! Ending what nobody has ended: runs whose event never came, users half
//! removed, grants that somebody else took back.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::ending::{Disabled, Ender};
use super::{Body, Ready, Selection};
use crate::error::{Code, Error, Errors, Result};
use crate::event::printable;
use crate::metrics::{self, Measured};
use crate::postgres::schema::AS_OWNER;
use crate::postgres::sweep::{OpenGrant, Overdue, Strays};
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
        match &result {
            Ok(_) => tracing::info!(run, why, is_ended = true, "sweep"),
            Err(error) => {
                let (code, cause) = (error.code().as_str(), error.to_log());
                tracing::warn!(run, why, is_ended = false, code, cause, "sweep");
            }
        }
        Self {
            run,
            why: Some(why),
            result,
        }
    }
}

/// `None` where the time is over, before it begins or before it is done.
async fn in_time<T>(until: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match until {
        None => Some(work.await),
        Some(until) if until <= Instant::now() => None,
        Some(until) => timeout_at(until, work).await.ok(),
    }
}

fn late() -> Error {
    Error::new(Code::OutOfTime, "the time was over")
}

/// In another order each time, so that nothing waits for ever behind others. What isn't
/// known to be half removed comes first, and every second one: its access is whole.
fn shuffled(overdue: Vec<Overdue>) -> VecDeque<Overdue> {
    let order = RandomState::new();
    let is_known = |overdue: &Overdue| overdue.state == "ending";
    let (mut known, mut new): (Vec<_>, Vec<_>) = overdue.into_iter().partition(is_known);
    known.sort_by_cached_key(|overdue| order.hash_one(&overdue.run));
    new.sort_by_cached_key(|overdue| order.hash_one(&overdue.run));
    let mut known = known.into_iter();
    let mut mixed = VecDeque::new();
    for overdue in new {
        mixed.push_back(overdue);
        mixed.extend(known.next());
    }
    mixed.extend(known);
    mixed
}

/// What was taken of a run in the first place.
enum Taken {
    /// All of it.
    Whole(Body),
    /// All that can be used; the rest has to be cleared away.
    User(Box<Disabled>),
}

impl Ready {
    /// What the sweep would end.
    pub(super) async fn overdue(&self) -> Result<Vec<Overdue>> {
        let look = async |connection: &mut Connection| {
            let mut overdue = sweep::overdue(connection).await?;
            overdue.extend(sweep::overdue_users(connection).await?);
            Ok(overdue)
        };
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Ends all that is overdue, as far as there is time. One that fails doesn't keep
    /// the others.
    pub(super) async fn sweep(&self, until: Option<Instant>) -> Result<Vec<Swept>> {
        let look = async |connection: &mut Connection| {
            // What a process left waiting whose time was over holds roles, too, for which an end
            // of another run waits less long.
            // Of another's process it may not be ours to cancel.
            if let Err(failure) = self.database.cancel_waits(connection).await {
                let cause = failure.into_error(Names::default()).to_log();
                tracing::warn!(
                    cause,
                    "nobody looked for commits that wait for a standby in vain"
                );
            }
            sweep::overdue(connection).await
        };
        let overdue = self.database.with_ledger(&self.aws, Names::default(), look);
        let mut swept = Vec::new();
        self.end_all(overdue.await?, until, &mut swept).await;
        // To look for them keeps nothing waiting that is known.
        let taken_up = in_time(until, self.take_up_users()).await;
        let taken_up = taken_up.unwrap_or_default();
        self.end_all(taken_up, until, &mut swept).await;
        Ok(swept)
    }

    async fn end_all(&self, overdue: Vec<Overdue>, until: Option<Instant>, swept: &mut Vec<Swept>) {
        let mut left = shuffled(overdue);
        // What keeps us long leaves a quarter of the time to clear away; where that needs
        // less, the rest goes on.
        let most = until.map(|until| until - until.saturating_duration_since(Instant::now()) / 4);
        for until_disabled in [most, until] {
            let disabled = self.take(&mut left, until_disabled, swept).await;
            self.clear_away(disabled, until, swept).await;
        }
        let left = left.into_iter();
        swept.extend(left.map(|overdue| Swept::of(overdue, Err(late()))));
    }

    /// The runs of users whose time is over and whom no open run explained: they are overdue from
    /// now on.
    async fn take_up_users(&self) -> Vec<Overdue> {
        let by = Ender::SWEEP.name();
        let take_up = async |connection: &mut Connection| {
            let runs = sweep::take_up_users(connection, by).await?;
            if runs.is_empty() {
                return Ok(Vec::new());
            }
            let mut overdue = sweep::overdue(connection).await?;
            overdue.retain(|overdue| runs.contains(&overdue.run));
            Ok(overdue)
        };
        let taken_up = self
            .database
            .with_ledger(&self.aws, Names::default(), take_up)
            .await;
        taken_up.unwrap_or_else(|error| {
            let cause = error.to_log();
            tracing::warn!(
                cause,
                "nobody looked for users whose time is over without a run"
            );
            Vec::new()
        })
    }

    /// Takes what can still be used. What there was no time for is left.
    async fn take(
        &self,
        left: &mut VecDeque<Overdue>,
        until: Option<Instant>,
        swept: &mut Vec<Swept>,
    ) -> Vec<(Overdue, Disabled)> {
        let mut disabled = Vec::new();
        while let Some(overdue) = left.pop_front() {
            match in_time(until, self.take_one(&overdue)).await {
                Some(Ok(Taken::User(user))) => disabled.push((overdue, *user)),
                Some(Ok(Taken::Whole(body))) => swept.push(Swept::of(overdue, Ok(body))),
                Some(Err(error)) => swept.push(Swept::of(overdue, Err(error))),
                None => {
                    // Behind the others: it may be what took the time.
                    left.push_back(overdue);
                    break;
                }
            }
        }
        disabled
    }

    async fn take_one(&self, overdue: &Overdue) -> Result<Taken> {
        let run = Run::parse(&overdue.run)?;
        if overdue.strategy.as_deref() == Some("temporary-user") {
            return Ok(Taken::User(Box::new(
                self.disable(&run, Ender::SWEEP).await?,
            )));
        }
        let ended = Box::pin(self.end(Ending::of(run), Ender::SWEEP)).await?;
        Ok(Taken::Whole(ended))
    }

    /// What has to be cleared away of users that can't do anything any more, which can
    /// take all the time there is.
    async fn clear_away(
        &self,
        disabled: Vec<(Overdue, Disabled)>,
        until: Option<Instant>,
        swept: &mut Vec<Swept>,
    ) {
        for (overdue, user) in disabled {
            let tidy_up = async {
                let run = Run::parse(&overdue.run)?;
                Box::pin(self.tidy_up(&run, user, Ender::SWEEP)).await?;
                Ok(Body::new())
            };
            let ended = in_time(until, tidy_up).await;
            swept.push(Swept::of(overdue, ended.unwrap_or_else(|| Err(late()))));
        }
    }

    /// The answer to the schedule's event. What failed is an error of its own,
    /// and counted (`SweepFailed`), so that an alarm rings.
    pub(super) async fn sweep_for_event(
        &self,
        deadline: Instant,
        measured: &mut Measured,
    ) -> Result<Body, Errors> {
        // Nobody waits for it, and what comes between this one and the next has a connection that
        // was made lately.
        self.database.renew().await;
        let swept = self.sweep(deadline.checked_sub(RESERVE)).await?;
        let failed = swept.iter().filter(|swept| swept.result.is_err()).count();
        measured.count(metrics::SWEEP_FOUND, swept.len() as u64);
        measured.count(metrics::SWEEP_FAILED, failed as u64);
        let count = async |connection: &mut Connection| sweep::count(connection).await;
        let count = self
            .database
            .with_ledger(&self.aws, Names::default(), count);
        let counted = in_time(deadline.checked_sub(RESERVE / 4), count).await;
        match counted.unwrap_or_else(|| Err(late())) {
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
        let elsewhere = in_time(
            deadline.checked_sub(RESERVE / 4),
            self.look_elsewhere(measured),
        )
        .await;
        let elsewhere = elsewhere.flatten();
        measured.count(metrics::SWEEP_FAILED, elsewhere.iter().count() as u64);
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
        errors.extend(elsewhere);
        Errors::none(errors)?;
        Ok(body)
    }

    /// Runs that aren't open, and whose users are there. Where that can't be looked up, nothing
    /// else waits for it.
    async fn stray_runs(&self) -> Vec<String> {
        match self.strays().await {
            Ok(strays) => {
                let users = strays.unexplained.users.into_iter();
                users.map(|user| user.run).collect()
            }
            Err(error) => {
                tracing::warn!(
                    cause = error.to_log(),
                    "nobody looked for users without a run"
                );
                Vec::new()
            }
        }
    }

    async fn strays(&self) -> Result<Strays> {
        let look = async |connection: &mut Connection| sweep::strays(connection).await;
        self.database
            .with_ledger(&self.aws, Names::default(), look)
            .await
    }

    /// Whether there is something to end of a run.
    pub(super) async fn is_open(&self, run: &str) -> Result<bool> {
        let is_it = |other: &str| other.eq_ignore_ascii_case(run);
        let is_open = self
            .open_grants()
            .await?
            .iter()
            .any(|open| is_it(&open.run));
        Ok(is_open || self.stray_runs().await.iter().any(|stray| is_it(stray)))
    }

    /// What no sweep of this ledger ends: that in another is an error, and what no run explains
    /// a warning and counted, as somebody may have granted it by hand.
    async fn look_elsewhere(&self, measured: &mut Measured) -> Option<Error> {
        let Strays {
            other_ledgers,
            unexplained,
        } = match self.strays().await {
            Ok(strays) => strays,
            Err(error) => {
                tracing::warn!(cause = error.to_log(), "nobody looked for other ledgers");
                return None;
            }
        };
        let (users, memberships) = (unexplained.users.len(), unexplained.memberships.len());
        let counted = match self.may_be_templates() {
            true => users,
            false => users + memberships,
        };
        measured.count(metrics::GRANTS_UNEXPLAINED, counted as u64);
        if users + memberships > 0 {
            tracing::warn!(
                users,
                memberships,
                "the function's user has given what no open run explains: `symctl doctor` names it"
            );
        }
        let other = printable(other_ledgers.first()?, 80);
        Some(Error::new(
            Code::AccessRemains,
            format!(
                "the function's user seems to have another ledger, in database `{other}`, and no sweep ends what is open \
                 there: look at `LEDGER_DB`; or end all of that (`symctl revoke --all`), and drop its schema `sym`, as its owner ({AS_OWNER})"
            ),
        ))
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
            Selection::All => {
                let mut runs = self.open_runs(None).await?;
                // One that is open, and whose user has another OID than its row, is both.
                let mut strays = self.stray_runs().await;
                strays.retain(|stray| !runs.contains(stray));
                runs.extend(strays);
                runs
            }
        };
        let mut ended = Vec::new();
        for run in runs {
            let end = async {
                let ending = Ending::of(Run::parse(&run)?);
                Box::pin(self.end(ending, Ender::PERSON)).await
            };
            let result = end.await;
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
}
