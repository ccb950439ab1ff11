//! Removing a temporary user, in stages: each is committed, and each may run
//! again. The access ends with the first; the rest is tidying up, and making sure.
//!
//! 1. [`disable`]: no login, no memberships.
//! 2. [`end_sessions`].
//! 3. [`prepare_clearing`], and in each of the databases [`clear`](super::clear): what was granted to it is
//!    revoked, and then what it owned goes to a powerless role that nobody else has.
//! 4. Beside both, the caller deletes the secret.
//! 5. [`drop_user`].
//! 6. [`finish`], which is also the last stage of giving a role back: no session
//!    is left, and the run has ended.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::Result;
use super::ledger::{Grant, texts};
use crate::request::Run;

/// How often, and how long apart, we look whether ended sessions are gone. A
/// session ends at its next interrupt check, which is a matter of milliseconds.
pub const SESSION_CHECKS: u32 = 40;
/// See [`SESSION_CHECKS`].
pub const SESSION_CHECK_INTERVAL: Duration = Duration::from_millis(25);

/// Stage 1. The OID in the row is that of the user as long as there is one.
///
/// # Errors
/// A refusal of `sym.disable_user`, or what the connection ran into.
pub async fn disable(connection: &Connection, run: &Run, by: &str) -> Result<Disabled> {
    let run = run.srn();
    let query = Query::new("SELECT sym.disable_user($1, $2)::text")
        .text(&run)
        .text(&by);
    let answer = connection.call(&query).await?;
    Ok(Disabled {
        user: answer["user"].as_str().map(str::to_owned),
        kept: answer["kept"].as_str().map(str::to_owned),
        grant: Grant::from_json(&answer)?,
    })
}

/// A user that can't do anything any more, unless `kept` says why it can.
#[derive(Clone, Debug)]
pub struct Disabled {
    /// The run's row.
    pub grant: Grant,
    /// How a statement names the user, which somebody may have renamed. `None` where there is
    /// none any more.
    pub user: Option<String>,
    /// Why not all of that could be done: the user, or a `membership`, is `held` by an open
    /// transaction, the user is `privileged`, or we have `no-admin` on it or `no-createrole`. The rest is done all the same.
    pub kept: Option<String>,
}

/// Stage 2: ends the user's sessions, and waits until they are gone.
///
/// # Errors
/// `access-remains` where they are not, or what the connection ran into.
pub async fn end_sessions(connection: &Connection, user_oid: u32) -> Result<()> {
    for _ in 0..SESSION_CHECKS {
        let query = Query::new("SELECT sym.end_sessions($1)").with(&user_oid, Type::OID);
        let left: i32 = connection.value(&query).await?;
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(SESSION_CHECK_INTERVAL).await;
    }
    let query = Query::new("SELECT sym.refuse_sessions($1)").with(&user_oid, Type::OID);
    connection.query(&query).await.map(drop)
}

/// What [`prepare_clearing`] has found.
#[derive(Clone, Debug)]
pub struct Belongings {
    /// The databases in which something hangs on the user.
    pub databases: Vec<String>,
    /// The name of the role that gets what the user owns, where it owns something: each
    /// user has one of its own.
    pub heir: Option<String>,
    /// Whether there was no time to look: then there may be anything in each database.
    pub is_cut: bool,
    /// Names of the roles the user had, and of those above them, that own something now, and owned
    /// nothing before.
    pub owners: Vec<String>,
}

/// Stage 3: what hangs on the user, which we may take from now on. Makes the heir where there
/// has to be one.
///
/// # Errors
/// A refusal of `sym.prepare_clearing`, or what the connection ran into.
pub async fn prepare_clearing(connection: &Connection, run: &Run) -> Result<Belongings> {
    let run = run.srn();
    let answer = connection
        .call(&Query::new("SELECT sym.prepare_clearing($1)::text").text(&run))
        .await?;
    Ok(Belongings {
        databases: texts(&answer["databases"]),
        heir: answer["heir"].as_str().map(str::to_owned),
        is_cut: answer["is_cut"].as_bool().unwrap_or_default(),
        owners: texts(&answer["owners"]),
    })
}

/// Stage 5: there is no user any more.
///
/// # Errors
/// `access-remains` with what blocks it, or what the connection ran into.
pub async fn drop_user(connection: &Connection, run: &Run) -> Result<Grant> {
    let run = run.srn();
    let answer = connection
        .call(&Query::new("SELECT sym.drop_user($1)::text").text(&run))
        .await?;
    Grant::from_json(&answer)
}

/// Stage 6, of either strategy: ends the sessions that could keep the access, or
/// all of the user's where `all` is wanted, and with that the run.
///
/// # Errors
/// `access-remains` where one can't be ended, or what the connection ran into.
pub async fn finish(connection: &Connection, run: &Run, all: bool) -> Result<Finished> {
    let run = run.srn();
    let query = Query::new("SELECT sym.finish($1, $2)::text")
        .text(&run)
        .with(&all, Type::BOOL);
    let answer = connection.call(&query).await?;
    Ok(Finished {
        sessions: answer["sessions"].as_u64().unwrap_or_default(),
        owners: texts(&answer["owners"]),
        gained: answer["gained"].as_u64().unwrap_or_default(),
    })
}

/// Holds a run that has ended until the end of the open transaction: nobody begins it again
/// meanwhile. Returns the name of its secret, which may have come to be there since; `None`
/// where there is none to delete, or it is another run's.
///
/// # Errors
/// What the connection ran into.
pub async fn hold_ended(connection: &Connection, run: &Run) -> Result<Option<String>> {
    let run = run.srn();
    let query = Query::new("SELECT sym.hold_ended($1)").text(&run);
    connection.value(&query).await
}

/// What [`finish`] has found.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// How many sessions it has ended.
    pub sessions: u64,
    /// Names of the run's roles, and of those above them, that own something now, and owned
    /// nothing before. Nobody can make that any more.
    pub owners: Vec<String>,
    /// As [`Ended::gained`](super::role::Ended::gained).
    pub gained: u64,
}
