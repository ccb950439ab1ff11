//! The one connection to the ledger that lives from event to event: checked
//! before it is used, replaced without an error, and never put back in doubt.

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use backon::{ConstantBuilder, ExponentialBuilder, Retryable as _};
use futures_util::future::{self, Either};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::meters::Meters;
use crate::aws::Aws;
use crate::config::{self, PasswordSource};
use crate::error::Result;
use crate::postgres::{
    Connection, Failure, LOCK_TIMEOUT, Names, Who, failure, rollback, standby, sweep,
};
use crate::secret::Password;

/// For how long after the server's last answer a connection is taken for one that works.
/// What stands in between, such as a NAT gateway or a firewall, forgets one that says
/// nothing, and says nothing itself then; while the sandbox is frozen, no keepalive goes
/// out. The impatient ones wait for minutes, and to ask costs a round trip.
const TRUSTED: Duration = Duration::from_secs(60);

/// For how long after it was used, or looked at, a connection isn't looked at again. Each
/// look lets others go first.
const JUST_USED: Duration = Duration::from_millis(200);

/// From what age on a connection isn't used again. The server's name may stand for another one
/// by now (an alias that was switched, a copy that was promoted), while the old one answers
/// still; and each sweep keeps in use what there is. As long as two sweeps are apart by default.
const OLDEST: Duration = Duration::from_secs(300);

/// How long a connection may take to show that it still works: with a login behind it
/// that takes all of its time, it has to fit into the 10 seconds that the template's
/// function has.
const PROOF_TIMEOUT: Duration = Duration::from_secs(1);

/// Between the tries after a conflict, or a connection that was gone. All that
/// is called through here is the same twice as once.
fn retries() -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(20))
        .with_max_delay(Duration::from_millis(400))
        .with_max_times(4)
        .with_jitter()
}

/// Between the tries of an end, where the database is away, or doesn't let us in, for longer
/// than that.
const AWAY_INTERVAL: Duration = Duration::from_millis(500);

/// How long a COMMIT may wait for a synchronous standby from when it was seen to wait. We look when
/// work has taken as long, so it is up to twice this in all.
const STANDBY_TIME: Duration = Duration::from_secs(1);

/// For how long a standby that a commit has waited for in vain is taken for away. What else an
/// event commits doesn't wait as long again.
const STANDBY_AWAY: Duration = Duration::from_secs(10);

/// Between two looks for who has the lock that an end waits for, or for commits that wait.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// How long an end keeps at it: longer than what gives access, as nobody else takes it
/// back.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    /// Until when a database is asked again that is away, as in a failover, or doesn't let us
    /// in, as while our password is rotated. `None`: no longer than by anybody else.
    pub(super) away_until: Option<Instant>,
    /// Longest wait for a lock.
    pub(super) lock: Duration,
}

/// The database, as the handler uses it.
pub(super) struct Database {
    config: config::Database,
    who: Who,
    meters: Arc<Meters>,
    ledger: Mutex<Option<Kept>>,
    password: Mutex<Option<Password>>,
    /// See [`Connection::acts_as`].
    acts_as: OnceLock<String>,
    /// When a commit last waited for a synchronous standby in vain, by the wall clock.
    standby_missed_at: Mutex<Option<SystemTime>>,
}

/// A connection, from one use to the next. Times are by the wall clock: the other one may
/// stand still in a frozen sandbox.
struct Kept {
    connection: Connection,
    made_at: SystemTime,
    /// When the server last said something on it.
    answered_at: SystemTime,
    /// When it was last looked at, if only from here.
    looked_at: SystemTime,
}

impl Kept {
    /// One that was just made.
    fn new(connection: Connection) -> Self {
        let now = SystemTime::now();
        Self {
            connection,
            made_at: now,
            answered_at: now,
            looked_at: now,
        }
    }

    /// The same, on which the server has just answered.
    fn answering(self) -> Self {
        let now = SystemTime::now();
        Self {
            answered_at: now,
            looked_at: now,
            ..self
        }
    }

    /// Looks at it, and leaves one that is no good any more.
    async fn checked(mut self) -> Option<Self> {
        let now = SystemTime::now();
        if !is_less_ago(OLDEST, self.made_at, now) {
            return None;
        }
        if is_less_ago(JUST_USED, self.looked_at, now) {
            return Some(self);
        }
        if self.connection.is_closed().await {
            return None;
        }
        if is_less_ago(TRUSTED, self.answered_at, now) {
            self.looked_at = now;
            return Some(self);
        }
        let answers = self.connection.answers_within(PROOF_TIMEOUT).await;
        answers.then(|| self.answering())
    }
}

/// Whether something was so short a time ago. A clock that was set back doesn't say how
/// long that is.
fn is_less_ago(time: Duration, then: SystemTime, now: SystemTime) -> bool {
    now.duration_since(then).is_ok_and(|ago| ago < time)
}

impl Database {
    pub(super) fn new(config: config::Database, who: Who, meters: Arc<Meters>) -> Self {
        Self {
            config,
            who,
            meters,
            ledger: Mutex::new(None),
            password: Mutex::new(None),
            acts_as: OnceLock::new(),
            standby_missed_at: Mutex::new(None),
        }
    }

    /// Whether targets' statements run in another database than the ledger's.
    pub(super) fn is_split(&self) -> bool {
        self.config.ledger != self.config.name
    }

    /// What secrets say of the database.
    pub(super) fn config(&self) -> &config::Database {
        &self.config
    }

    /// Looks ahead whether the connection still works, and connects where there is none,
    /// beside other work. Most of what fails here fails again, and is reported, when the
    /// connection is used.
    ///
    /// # Errors
    /// `database-unavailable` where nobody was reached: for a second try there is no time.
    pub(super) async fn ensure_connected(&self, aws: &Aws) -> Result<()> {
        let mut ledger = self.ledger.lock().await;
        match self.usable(&mut ledger, aws).await {
            Ok(kept) => *ledger = Some(kept),
            Err(failure) if failure.is_unreached() => {
                return Err(failure.into_error(self.with_bot(Names::default())));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// The connection that was kept where it still works, or a new one.
    async fn usable(&self, kept: &mut Option<Kept>, aws: &Aws) -> failure::Result<Kept> {
        let checked = match kept.take() {
            Some(kept) => kept.checked().await,
            None => None,
        };
        match checked {
            Some(kept) => Ok(kept),
            None => self.connect(aws).await.map(Kept::new),
        }
    }

    /// Has what comes next begin with a new connection.
    pub(super) async fn renew(&self) {
        *self.ledger.lock().await = None;
    }

    /// Has the server make its plans while we ask for the first event.
    pub(super) async fn get_ready(&self) {
        if let Some(kept) = &*self.ledger.lock().await {
            kept.connection.get_ready();
        }
    }

    /// Does something with the ledger, again where that may help.
    pub(super) async fn with_ledger<T>(
        &self,
        aws: &Aws,
        names: Names<'_>,
        operation: impl AsyncFn(&mut Connection) -> failure::Result<T>,
    ) -> Result<T> {
        let result = self.try_often(aws, None, operation).await;
        result.map_err(|failure| failure.into_error(self.with_bot(names)))
    }

    /// The same for an end: who holds the lock of a role that it waits for loses its
    /// session, and a database that is away, or doesn't let us in, is waited for.
    pub(super) async fn with_ledger_to_end<T>(
        &self,
        aws: &Aws,
        names: Names<'_>,
        patience: Patience,
        operation: impl AsyncFn(&mut Connection) -> failure::Result<T>,
    ) -> Result<T> {
        let began = Cell::new(Instant::now());
        let attempt = async || {
            began.set(Instant::now());
            self.try_often(aws, Some(patience.lock), &operation).await
        };
        // One more may take as long as the last one.
        let has_time =
            |until: Instant| Instant::now() + began.get().elapsed() + AWAY_INTERVAL < until;
        let result = attempt
            .retry(
                ConstantBuilder::default()
                    .with_delay(AWAY_INTERVAL)
                    .without_max_times(),
            )
            .sleep(tokio::time::sleep)
            .when(|failure: &Failure| {
                failure.is_shut_out() && patience.away_until.is_some_and(has_time)
            })
            .await;
        result.map_err(|failure| failure.into_error(self.with_bot(names)))
    }

    fn with_bot<'a>(&'a self, names: Names<'a>) -> Names<'a> {
        Names {
            bot: &self.config.user,
            ..names
        }
    }

    /// `to_end`: how long an end waits for a lock.
    async fn try_often<T>(
        &self,
        aws: &Aws,
        to_end: Option<Duration>,
        operation: impl AsyncFn(&mut Connection) -> failure::Result<T>,
    ) -> failure::Result<T> {
        let operation = async |connection: &mut Connection| {
            connection
                .wait_for_locks(to_end.unwrap_or(LOCK_TIMEOUT))
                .await?;
            operation(connection).await
        };
        let (is_outdated, was_renewed) = (Cell::new(false), Cell::new(false));
        let attempt = async || {
            let mut ledger = self.ledger.lock().await;
            let mut kept = self.usable(&mut ledger, aws).await?;
            let connection = &mut kept.connection;
            let timer = self.meters.database.start();
            let mut result = self.hurrying(aws, operation(connection)).await;
            // Somebody who can't be meant to may hold what we wait for.
            if matches!(&result, Err(failure) if failure.is_locked())
                && rollback(connection).await.is_ok()
                && self.make_way(connection, to_end.is_some()).await
            {
                let again = async {
                    match to_end {
                        Some(_) => {
                            self.again_against_lockers(aws, connection, &operation)
                                .await
                        }
                        None => operation(connection).await,
                    }
                };
                result = self.hurrying(aws, again).await;
            }
            drop(timer);
            let is_whole = match &result {
                Ok(_) => true,
                Err(failure) if failure.is_gone() => false,
                // What had begun is undone, before anybody else uses it.
                Err(_) => match kept.connection.rollback_and_look().await {
                    Ok(is_current) => {
                        is_outdated.set(!is_current);
                        is_current
                    }
                    Err(_) => false,
                },
            };
            if is_whole && !kept.connection.is_used_up() {
                *ledger = Some(kept.answering());
            }
            result
        };
        attempt
            .retry(retries())
            .sleep(tokio::time::sleep)
            .when(|failure: &Failure| {
                // A new connection brings a ledger up to date that is another than before: once.
                let is_renewed = is_outdated.take() && !was_renewed.replace(true);
                failure.is_transient() || is_renewed
            })
            .await
    }

    /// Ends who holds what we wait for, as far as nobody has a reason to. Whether there was
    /// anybody.
    async fn make_way(&self, connection: &Connection, to_end: bool) -> bool {
        let ended = sweep::end_lockers(connection, to_end).await;
        let ended = ended.is_ok_and(|ended| ended > 0);
        // An end of our own, be it of a process that is gone.
        let cancelled = self.cancel_waits(connection).await;
        ended || cancelled.is_ok_and(|cancelled| cancelled > 0)
    }

    /// Does work that commits, and has no commit of ours wait for a synchronous standby for
    /// longer than [`STANDBY_TIME`]: as long as it waits, an end is none.
    pub(super) async fn hurrying<T>(&self, aws: &Aws, work: impl Future<Output = T>) -> T {
        let hurry = Box::pin(self.hurry(aws));
        match future::select(pin!(work), hurry).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn hurry(&self, aws: &Aws) -> Infallible {
        // Whoever logs in sees what their own sessions wait for.
        let connect = async |password: &Password| {
            Connection::to_database(&self.config, &self.config.ledger, password, None).await
        };
        loop {
            tokio::time::sleep(self.standby_time().await).await;
            if let Ok(another) = self.log_in(aws, connect).await {
                while self.cancel_waits(&another).await.is_ok() {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
        }
    }

    /// Cancels the waits of our commits for a synchronous standby. Returns how many it were.
    pub(super) async fn cancel_waits(&self, connection: &Connection) -> failure::Result<i64> {
        let owner = &self.config.ledger_owner;
        let waiting = standby::waiting(connection, owner).await?;
        if waiting.is_empty() {
            return Ok(0);
        }
        tokio::time::sleep(self.standby_time().await).await;
        let mut in_vain = standby::waiting(connection, owner).await?;
        in_vain.retain(|transaction| waiting.contains(transaction));
        if in_vain.is_empty() {
            return Ok(0);
        }
        // Before it is done: the work that was waited for ends this, too.
        *self.standby_missed_at.lock().await = Some(SystemTime::now());
        tracing::warn!(
            commits = in_vain.len(),
            "no synchronous standby answers: what was committed is in effect, on this server alone until one has it"
        );
        standby::cancel_waits(connection, owner, &in_vain).await
    }

    /// How long a commit may wait for a synchronous standby.
    async fn standby_time(&self) -> Duration {
        match *self.standby_missed_at.lock().await {
            Some(then) if is_less_ago(STANDBY_AWAY, then, SystemTime::now()) => LOOK_INTERVAL,
            _ => STANDBY_TIME,
        }
    }

    /// Tries once more, and ends who has the lock while that waits: others who come again
    /// and again have it before anybody who only asks for it next.
    async fn again_against_lockers<T>(
        &self,
        aws: &Aws,
        connection: &mut Connection,
        operation: impl AsyncFn(&mut Connection) -> failure::Result<T>,
    ) -> failure::Result<T> {
        let ending = async {
            if let Ok(another) = self.connect_to(aws, &self.config.ledger).await {
                while sweep::end_lockers(&another, true).await.is_ok() {
                    tokio::time::sleep(LOOK_INTERVAL).await;
                }
            }
            future::pending::<Infallible>().await
        };
        match future::select(pin!(operation(connection)), pin!(ending)).await {
            Either::Left((result, _)) => result,
            Either::Right((never, _)) => match never {},
        }
    }

    /// A connection to another database of the cluster, for one use.
    pub(super) async fn connect_to(&self, aws: &Aws, name: &str) -> failure::Result<Connection> {
        let acts_as = self.acts_as.get().map(String::as_str);
        let connect = async |password: &Password| {
            Connection::to_database(&self.config, name, password, acts_as).await
        };
        self.log_in(aws, connect).await
    }

    async fn connect(&self, aws: &Aws) -> failure::Result<Connection> {
        let connect = async |password: &Password| {
            Connection::to_ledger(&self.config, password, self.who).await
        };
        let connection = self.log_in(aws, connect).await?;
        if let Some(owner) = connection.acts_as() {
            self.acts_as.get_or_init(|| owner.to_owned());
        }
        Ok(connection)
    }

    async fn log_in(
        &self,
        aws: &Aws,
        connect: impl AsyncFn(&Password) -> failure::Result<Connection>,
    ) -> failure::Result<Connection> {
        let _timer = self.meters.connect.start();
        let password = self.password(aws).await?;
        match connect(&password).await {
            // It may have been rotated since we read it: read it again, once.
            Err(failure)
                if failure.is_login()
                    && !matches!(self.config.password, PasswordSource::Given(_)) =>
            {
                *self.password.lock().await = None;
                let password = self.password(aws).await?;
                connect(&password).await
            }
            result => result,
        }
    }

    async fn password(&self, aws: &Aws) -> Result<Password> {
        let mut password = self.password.lock().await;
        if let Some(password) = &*password {
            return Ok(password.clone());
        }
        // A token lives for 15 minutes, and signing one costs next to nothing.
        let read = aws.password(&self.config).await?;
        if !matches!(self.config.password, PasswordSource::IamToken) {
            *password = Some(read.clone());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_in_doubt_after_a_minute_or_where_the_clock_was_set_back() {
        let answered_at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let is_trusted = |now| is_less_ago(TRUSTED, answered_at, now);
        assert!(is_trusted(answered_at));
        assert!(is_trusted(answered_at + TRUSTED - Duration::from_nanos(1)));
        assert!(!is_trusted(answered_at + TRUSTED));
        assert!(!is_trusted(answered_at - Duration::from_nanos(1)));
    }
}
