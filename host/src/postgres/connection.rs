//! One connection: made, watched, and thrown away when in doubt.

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::FromSqlOwned;
use tokio_postgres::{AsyncMessage, Client, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

mod greeting;
mod query;

use greeting::Behind;
pub use greeting::Who;
pub(crate) use query::Query;

use super::failure::{Failure, Result, Warning};
use super::schema;
use super::tls;
use crate::config::{Database, Tls};
use crate::crash;
use crate::error::Error;
use crate::secret::Password;

/// Longest wait for a connection, TLS and login included. tokio-postgres's own
/// limit covers the TCP connect only, so a server that accepts and stays silent
/// would hold us for ever; and where both ran out, it would be left to chance
/// whether the same is tried again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for an answer, a little longer than [`STATEMENT_TIMEOUT`]: a peer that vanished without a word says nothing at all.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9);

/// For each connection. The lengths of the timeouts leave room to answer within
/// the 10 seconds that the template's function has.
///
/// `standard_conforming_strings`: with it off, a backslash in a string would
/// move the end of the string from where the policy saw it.
/// `idle_in_transaction_session_timeout`: a sandbox that is frozen in the
/// middle of a run must not hold its locks.
/// `search_path`: whoever may create in `public` could have a function there that
/// fits a call of ours better than PostgreSQL's own (CVE-2018-1058), and it would
/// run as us. [`SETUP_SEARCH_PATH`] is for the statements that aren't ours.
/// `plan_cache_mode`: our functions look rows up by their keys, which one plan
/// does; a session has hardly five events, for which it would plan anew.
/// `enable_bitmapscan`: a row that changes its state leaves an entry in the index,
/// which a plain scan marks as dead when it meets it and a bitmap scan meets again
/// each time until the next VACUUM.
/// `enable_seqscan`: what was planned while a table was small reads all of it ever after,
/// and everybody may make the system's large. What we look for has an index.
/// `jit`: what is asked once is compiled for longer than it runs.
/// `client_connection_check_interval`: a statement whose function is gone holds its locks for
/// nobody. Since 14, and of a server's systems Linux is one that can.
/// `default_transaction_isolation`: in any other, what is read behind a lock is as it was
/// before it. `timezone`: of the times that people are shown.
/// `synchronous_commit`: with it off, a crash of the server undoes ends that were answered.
/// `default_transaction_read_only`: the owner of a database may set it there, and keeps no access by that.
const SESSION: &str = "SET standard_conforming_strings = on; SET client_min_messages = notice; \
    SET default_transaction_isolation = 'read committed'; SET default_transaction_read_only = off; SET timezone = 'UTC'; \
    SET idle_in_transaction_session_timeout = '30s'; SET search_path = pg_catalog, pg_temp; \
    SET plan_cache_mode = force_generic_plan; SET enable_bitmapscan = off; SET enable_seqscan = off; SET jit = off; \
    SELECT set_config('synchronous_commit', 'local', false) WHERE current_setting('synchronous_commit') = 'off'; \
    SELECT set_config('client_connection_check_interval', '1s', false) \
    WHERE current_setting('client_connection_check_interval', true) IS NOT NULL AND version() LIKE '%linux%'";

/// What is set for each connection: [`SESSION`], and how long it works and waits for locks.
fn session() -> String {
    let (work, wait) = (
        set_statement_timeout(STATEMENT_TIMEOUT),
        set_lock_timeout(LOCK_TIMEOUT),
    );
    format!("{SESSION}; {work}; {wait}")
}

/// Longest time of a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(8);

fn set_statement_timeout(longest: Duration) -> String {
    format!("SET statement_timeout = {}", longest.as_millis())
}

/// Longest wait for a lock, of a new session.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(3);

/// The statement that sets the longest wait for a lock.
pub(super) fn set_lock_timeout(longest: Duration) -> String {
    format!("SET lock_timeout = {}", longest.as_millis())
}

/// Until the end of the transaction: where a target's statements look for what
/// they name without a schema.
pub(super) const SETUP_SEARCH_PATH: &str = "SET LOCAL search_path = public, pg_temp";

/// Most warnings that wait for somebody to look. One is enough to refuse, and a
/// statement can raise millions.
const MAX_WARNINGS: usize = 16;

/// A connection to one database of the cluster.
pub struct Connection {
    client: Client,
    notices: mpsc::Receiver<Warning>,
    is_used_up: bool,
    acts_as: Option<String>,
    lock_timeout: Duration,
    /// Where the ledger is another's, and was older than this version.
    behind: Option<Behind>,
    /// Dropped with the rest, and behind `client`: see [`watch`](Self::watch).
    _in_use: oneshot::Sender<()>,
}

/// How many statements are under way at once. More gain nothing, and each waits
/// in memory.
const PIPELINE: usize = 24;

impl Connection {
    /// Of a call of ours that failed: a function that isn't there says which side is older.
    fn failed(&self, query: &Query<'_>, error: tokio_postgres::Error) -> Failure {
        let failure = query.failed(error);
        if query.is_foreign || !failure.is_of_missing_function() {
            return failure;
        }
        failure.because_of_setup(match &self.behind {
            Some(behind) => behind.sentence("and lacks what this needs"),
            None => "the ledger has no such function as this version calls, as another version has brought it up to date: \
                     upgrade this one too"
                .to_owned(),
        })
    }

    /// As whom a person does what they do, where that isn't their login.
    pub fn acts_as(&self) -> Option<&str> {
        self.acts_as.as_deref()
    }

    /// Connects to any database of the cluster, to act there as another than who logs
    /// in where `acts_as` says so.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn to_database(
        config: &Database,
        name: &str,
        password: &Password,
        acts_as: Option<&str>,
    ) -> Result<Self> {
        let mut connection = Self::open(config, name, password).await?;
        connection.run(&session()).await?;
        if let Some(owner) = acts_as {
            connection.act_as(owner, config).await?;
        }
        Ok(connection)
    }

    async fn open(config: &Database, name: &str, password: &Password) -> Result<Self> {
        let mut options = tokio_postgres::Config::new();
        options
            .host(&config.host)
            .port(config.port)
            .dbname(name)
            .user(&config.user)
            .password(password.expose())
            .application_name("sym-postgres")
            .tcp_user_timeout(Duration::from_secs(10))
            .keepalives_idle(Duration::from_secs(30));
        let failed = |error| Failure::while_connecting(error, &config.host);
        let connecting = async {
            match config.tls {
                Tls::Disable => {
                    options.ssl_mode(SslMode::Disable);
                    let connecting = options.connect(NoTls).await;
                    let (client, connection) = connecting.map_err(failed)?;
                    Ok(Self::watch(client, connection))
                }
                Tls::VerifyFull | Tls::Require => {
                    options.ssl_mode(SslMode::Require);
                    let tls = MakeRustlsConnect::new(tls::client_config(config)?);
                    let connecting = options.connect(tls).await;
                    let (client, connection) = connecting.map_err(failed)?;
                    Ok(Self::watch(client, connection))
                }
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting)
            .await
            .map_err(|_| Failure::unreached(&config.host, CONNECT_TIMEOUT))?
    }

    /// Drives the connection, and keeps what the server says by the way. Where ours is
    /// dropped, says goodbye if nothing is under way, and closes the socket in any case: the
    /// sandbox may be frozen in a moment, and what is open keeps its locks.
    fn watch<S, T>(client: Client, mut connection: tokio_postgres::Connection<S, T>) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, notices) = mpsc::channel(MAX_WARNINGS);
        let (in_use, dropped) = oneshot::channel();
        let driving = async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await
            {
                if let AsyncMessage::Notice(notice) = message
                    && is_warning(&notice)
                {
                    // Enough wait already, or nobody listens any more.
                    let _ = sender.try_send(Warning {
                        state: notice.code().code().to_owned(),
                        text: format!("{} {}", notice.code().code(), notice.message()),
                    });
                }
            }
        };
        tokio::spawn(async move {
            // The first is polled first.
            future::select(pin!(driving), dropped).await;
        });
        Self {
            client,
            notices,
            is_used_up: false,
            acts_as: None,
            lock_timeout: LOCK_TIMEOUT,
            behind: None,
            _in_use: in_use,
        }
    }

    /// Has the server prepare itself for a first event, and doesn't wait for it: what
    /// comes next waits behind it.
    pub fn get_ready(&self) {
        let sent = self
            .client
            .execute_typed("SELECT sym.get_ready()", &[])
            .now_or_never();
        // It is under way; what it comes to is nobody's business.
        drop(sent);
    }

    /// Whether the connection is known to have ended.
    pub async fn is_closed(&self) -> bool {
        // After a thaw the driver has to be polled before it can see that the
        // other side is gone.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        self.client.is_closed()
    }

    /// Whether the server answers, in one round trip that does nothing.
    pub async fn answers_within(&self, limit: Duration) -> bool {
        let answer = tokio::time::timeout(limit, self.client.batch_execute("")).await;
        matches!(answer, Ok(Ok(())))
    }

    /// Ends the open transaction, if there is one, after a failure: one round trip. Whether
    /// schema `sym` is at our version still. Somebody may have restored it, or made it anew,
    /// since the connection was made, which brought it there.
    ///
    /// # Errors
    /// What the connection ran into.
    pub async fn rollback_and_look(&self) -> Result<bool> {
        let look = format!("SELECT {}", schema::is_current());
        let look = self.client.query_typed(&look, &[]);
        let both = future::join(self.client.batch_execute(ROLLBACK), look);
        let (rolled_back, rows) = answer_in(ANSWER_TIMEOUT, both).await?;
        crash::after(ROLLBACK);
        rolled_back?;
        let is_current: Option<bool> = first_value(&rows?)?;
        Ok(is_current.unwrap_or_default())
    }

    /// Whether it must not serve another event: see [`use_up`](Self::use_up).
    pub fn is_used_up(&self) -> bool {
        self.is_used_up
    }

    /// Says that what runs now may leave something behind in the session that
    /// neither COMMIT nor ROLLBACK takes away: settings, locks, temporary tables.
    pub(crate) fn use_up(&mut self) {
        self.is_used_up = true;
    }

    /// Says how long what follows waits for a lock. A round trip where that is new.
    ///
    /// # Errors
    /// What the connection ran into.
    pub async fn wait_for_locks(&mut self, longest: Duration) -> Result<()> {
        if self.lock_timeout != longest {
            self.run(&set_lock_timeout(longest)).await?;
            self.lock_timeout = longest;
        }
        Ok(())
    }

    /// Runs statements of ours, as one simple query: one round trip.
    pub(crate) async fn run(&self, sql: &str) -> Result<()> {
        let result = answer_in(ANSWER_TIMEOUT, self.client.batch_execute(sql)).await?;
        crash::after(sql);
        Ok(result?)
    }

    /// Runs statements of ours, each in a transaction and with a time of its own, whatever
    /// becomes of the others: one round trip.
    ///
    /// # Errors
    /// What the connection ran into.
    pub(crate) async fn run_each(
        &self,
        limit: Duration,
        statements: &[String],
    ) -> Result<Vec<Result<()>>> {
        let (begin, end) = (
            set_statement_timeout(limit),
            set_statement_timeout(STATEMENT_TIMEOUT),
        );
        let all = std::iter::once(&begin)
            .chain(statements)
            .chain(std::iter::once(&end));
        let answers = future::join_all(all.map(|sql| self.client.batch_execute(sql)));
        let longest = limit * u32::try_from(statements.len()).unwrap_or(u32::MAX) + ANSWER_TIMEOUT;
        let results = answer_in(longest, answers).await?;
        crash::after("lists");
        let mut results: Vec<_> = results
            .into_iter()
            .map(|result| result.map_err(Failure::from))
            .collect();
        // What was set before and after them.
        results.pop().transpose()?;
        results.remove(0)?;
        Ok(results)
    }

    /// Runs one statement: one round trip, and nothing to prepare.
    pub(crate) async fn query(&self, query: &Query<'_>) -> Result<Vec<Row>> {
        let answer = self.client.query_typed(query.sql, &query.arguments);
        let result = answer_in(ANSWER_TIMEOUT, answer).await?;
        crash::after(query.sql);
        result.map_err(|error| self.failed(query, error))
    }

    /// The first value of a statement's first row, or the default where there is none.
    pub(crate) async fn value<T: FromSqlOwned + Default>(&self, query: &Query<'_>) -> Result<T> {
        first_value(&self.query(query).await?)
    }

    /// One call of one of our functions: JSON out.
    pub(crate) async fn call(&self, query: &Query<'_>) -> Result<serde_json::Value> {
        let text: Option<String> = self.value(query).await?;
        let value = serde_json::from_str(text.as_deref().unwrap_or("null"));
        value.map_err(|error| {
            Error::internal("a function of schema `sym` returned no JSON")
                .with_source(error)
                .into()
        })
    }

    /// Runs statements one behind the other, without waiting in between. The
    /// first error is the reason; those behind it only say that the transaction
    /// has failed.
    pub(crate) async fn pipeline(&self, queries: &[Query<'_>]) -> Result<()> {
        for batch in queries.chunks(PIPELINE) {
            // Rows are thrown away as they come: a target's SELECT may have any
            // number of them.
            let answers = batch
                .iter()
                .map(|query| self.client.execute_typed(query.sql, &query.arguments));
            let answers = future::join_all(answers);
            let results = answer_in(ANSWER_TIMEOUT * PIPELINE as u32, answers).await?;
            crash::after("pipeline");
            for (query, result) in batch.iter().zip(results) {
                result.map_err(|error| self.failed(query, error))?;
            }
        }
        Ok(())
    }

    /// Warnings of class 01 since the last call.
    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        std::iter::from_fn(|| self.notices.try_recv().ok()).collect()
    }
}

/// Waits for an answer, but not for ever. What was asked may be done all the
/// same; the connection has to go.
async fn answer_in<T>(limit: Duration, answer: impl Future<Output = T>) -> Result<T> {
    let answer = tokio::time::timeout(limit, answer).await;
    answer.map_err(|_| Failure::gone(format!("no answer within {} s", limit.as_secs())))
}

/// Works in a transaction of its own, and takes it back: nothing of it has happened. Where the
/// work fails, the transaction is still open, and has to be ended as after every failure.
///
/// # Errors
/// Those of `work`, or what the connection ran into.
pub async fn undone<T>(
    connection: &mut Connection,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T>,
) -> Result<T> {
    connection.run("BEGIN").await?;
    let done = work(connection).await?;
    rollback(connection).await?;
    Ok(done)
}

/// Ends the open transaction, if there is one: nothing of it has happened.
///
/// # Errors
/// What the connection ran into. The server rolls back when it is closed.
pub async fn rollback(connection: &Connection) -> Result<()> {
    connection.run(ROLLBACK).await
}

const ROLLBACK: &str = "ROLLBACK";

fn first_value<T: FromSqlOwned + Default>(rows: &[Row]) -> Result<T> {
    match rows.first() {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(T::default()),
    }
}

/// A GRANT without the grant option succeeds, and only warns that it granted
/// nothing (01007). Any other warning of class 01 is as good as a failure too, but that a
/// COMMIT doesn't wait for a standby any more: it was carried out.
fn is_warning(notice: &tokio_postgres::error::DbError) -> bool {
    notice.parsed_severity() == Some(tokio_postgres::error::Severity::Warning)
        && notice.code().code().starts_with("01")
        && notice.routine() != Some("SyncRepWaitForLSN")
}
