//! The strategy `temporary-user`: make a user, and everything it gets, in one
//! transaction, whose COMMIT the caller gives when the secret is safe.
//!
//! 1. [`make`]: a committed row says what may exist from now on. Then a transaction
//!    that holds the run, and makes the user; and beside it, as soon as the run is
//!    held, the caller's secret.
//! 2. [`equip`], when both are there: what the user gets, the row `granted`, and the
//!    COMMIT. What it gets locks what others need: since 16 a GRANT locks the role, so
//!    nothing outside is waited for while it is held.
//!
//! A crash anywhere leaves at most a `pending` row and a secret for a user that
//! doesn't exist; the same event again takes both up, and the sweep ends both.

use futures_util::future;
use serde_json::json;
use tokio_postgres::types::Type;

use super::connection::{Connection, Query, SETUP_SEARCH_PATH, rollback, undone};
use super::failure::{Failure, Result};
use super::ledger::{Grant, NewGrant};
use super::{clear, remove};
use crate::name::RoleName;
use crate::policy::AuthorizedStep;
use crate::request::Run;
use crate::secret::Verifier;

/// The user to make.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// Its run.
    pub run: &'a Run,
    /// What it is called. Where an earlier try of the run says otherwise, it isn't made.
    pub name: &'a RoleName,
    /// How many connections it may have.
    pub connection_limit: u16,
    /// What it gets: the statements in their order, and then the roles. Where `SQL_POLICY=any`
    /// let a statement pass, all of it in order.
    pub steps: &'a [AuthorizedStep],
}

/// Writes the row that says what may exist from now on. For a run that has one,
/// returns it as it is: the name, the secret and the expiry of the first try.
///
/// # Errors
/// A refusal of `sym.prepare_user`, or what the connection ran into.
pub async fn prepare(
    connection: &Connection,
    grant: &NewGrant<'_>,
    user: &RoleName,
    secret: &str,
) -> Result<Grant> {
    connection.check_begins().await?;
    let mut request = grant.to_json();
    request["user"] = json!(user.as_str());
    request["secret"] = json!(secret);
    let request = request.to_string();
    let answer = connection
        .call(&Query::new("SELECT sym.prepare_user($1::jsonb)::text").text(&request))
        .await?;
    Grant::from_json(&answer)
}

/// Prepares the run, opens a transaction and makes the user in it. `verifier` is
/// what the server stores of the password. `store` runs beside the user's making, and
/// only while the run is held; the transaction is still open afterwards. Of a run that
/// is `granted` already there is only its row, as it is: nothing is stored, and no
/// transaction is open.
///
/// # Errors
/// A refusal of the SQL functions, an error of the server. The transaction has failed
/// then: `ROLLBACK`. `store` may have run.
pub async fn make<T>(
    connection: &mut Connection,
    grant: &NewGrant<'_>,
    secret: &str,
    user: &NewUser<'_>,
    verifier: &Verifier,
    store: impl AsyncFnOnce(&Grant) -> T,
) -> Result<(Grant, Option<T>)> {
    connection.check_begins().await?;
    let sender = &*connection;
    let storing = async {
        let begun = future::join(
            prepare(sender, grant, user.name, secret),
            hold(sender, user.run, user.name),
        );
        let (prepared, held) = begun.await;
        let prepared = prepared?;
        match held {
            _ if prepared.state == "granted" => Ok((prepared, None)),
            // The same event, served at the same moment, was first.
            Err(failure) if failure.is_refusal("already-granted") => Ok((prepared, None)),
            held => {
                held?;
                let stored = store(&prepared).await;
                Ok((prepared, Some(stored)))
            }
        }
    };
    // Polled after the other, so sent behind it. Were the transaction not to begin,
    // `sym.confirm_user` would refuse.
    let creating = create(sender, user, verifier);
    let (stored, created): (Result<_>, _) = future::join(storing, creating).await;
    let (prepared, stored) = stored?;
    if stored.is_none() {
        rollback(connection).await?;
        let granted = prepare(connection, grant, user.name, secret).await?;
        return Ok((granted, None));
    }
    created?;
    Ok((prepared, stored))
}

/// Gives the user what it gets, and the password of a secret that was there already,
/// in the transaction of [`make`], and ends that: all of it is true then.
///
/// # Errors
/// A refusal of the SQL functions, a warning of a setup statement, an error of
/// the server. The transaction has failed then: `ROLLBACK`. Whether a COMMIT that got no
/// answer was carried out is not known; the same event again finds out.
pub async fn equip(
    connection: &mut Connection,
    user: &NewUser<'_>,
    password: Option<&Verifier>,
) -> Result<()> {
    if let Some(verifier) = password {
        take_password(connection, user.run, verifier).await?;
    }
    begin_setup(connection, user);
    if !user.steps.iter().any(is_statement) {
        // Nothing of it can raise a warning. Behind an error a COMMIT is a ROLLBACK.
        return fill(connection, user, Some(Query::new("COMMIT"))).await;
    }
    fill(connection, user, None).await?;
    check_warnings(connection)?;
    commit(connection).await
}

/// Opens a transaction that holds a run whose user is still to be made.
///
/// # Errors
/// A refusal: the run is `already-granted`, has ended, or is another user's.
pub async fn hold(connection: &Connection, run: &Run, name: &RoleName) -> Result<()> {
    let (run, name) = (run.srn(), name.as_str());
    let hold = Query::new("SELECT sym.hold_run($1, $2)")
        .text(&run)
        .text(&name);
    connection.pipeline(&[Query::new("BEGIN"), hold]).await
}

/// Does everything, and takes it back at once: what an escalate would run into,
/// and nothing changed.
///
/// # Errors
/// As [`prepare`], [`make`] and [`equip`].
pub async fn rehearse(
    connection: &mut Connection,
    grant: &NewGrant<'_>,
    secret: &str,
    user: &NewUser<'_>,
    verifier: &Verifier,
) -> Result<Grant> {
    undone(connection, async |connection| {
        let prepared = prepare(connection, grant, user.name, secret).await?;
        if prepared.state != "granted" {
            create(connection, user, verifier).await?;
            begin_setup(connection, user);
            fill(connection, user, None).await?;
            check_warnings(connection)?;
        }
        Ok(prepared)
    })
    .await
}

/// Before the first statement of a setup.
fn begin_setup(connection: &mut Connection, user: &NewUser<'_>) {
    // Those of earlier statements are not the setup's.
    connection.take_warnings();
    if user.steps.iter().any(is_free) {
        connection.use_up();
    }
}

/// The user, in the open transaction.
async fn create(connection: &Connection, user: &NewUser<'_>, verifier: &Verifier) -> Result<()> {
    let (run, verifier) = (user.run.srn(), verifier.as_str());
    let connection_limit = i32::from(user.connection_limit);
    let create = Query::new("SELECT sym.create_user($1, $2, $3, true)::text")
        .text(&run)
        .text(&verifier)
        .with(&connection_limit, Type::INT4);
    connection.pipeline(&[create]).await
}

/// The user's setup, and the row `granted`, in the open transaction; and `last`.
async fn fill(connection: &Connection, user: &NewUser<'_>, last: Option<Query<'_>>) -> Result<()> {
    let run = user.run.srn();
    let roles: Vec<Option<&str>> = user.steps.iter().map(role_of).collect();
    let mut queries = Vec::with_capacity(user.steps.len() + 4);
    if user.steps.iter().any(is_statement) {
        queries.push(Query::new(SETUP_SEARCH_PATH));
    }
    for (index, step) in in_order(user.steps) {
        let query = match step {
            AuthorizedStep::GrantRole(_) => Query::new("SELECT sym.admit_user($1, $2, NULL)")
                .text(&run)
                .text(&roles[index]),
            AuthorizedStep::Sql(statement) => Query::new(statement.as_sql()).foreign(),
        };
        queries.push(query.of_step(index));
    }
    if user.steps.iter().any(is_free) {
        // What a statement has put off to the COMMIT is done here, as its own.
        queries.push(Query::new("SET CONSTRAINTS ALL IMMEDIATE").foreign());
    }
    queries.push(Query::new("SELECT sym.confirm_user($1, NULL)::text").text(&run));
    queries.extend(last);
    connection.pipeline(&queries).await
}

/// Makes the user of a run that [is prepared](prepare), where the setup's database
/// is not the ledger's: no transaction spans both, so the user is made without LOGIN
/// and committed, the setup runs and is committed, and LOGIN comes last, in a
/// transaction that is still open afterwards. Of two that make the same user at the same
/// moment, the one that took it up last goes on.
///
/// # Errors
/// As [`make`]. A conflict where somebody else has taken the user up since: it may have
/// another password then, and lack what was given to it here.
pub async fn make_across(
    ledger: &mut Connection,
    database: &mut Connection,
    user: &NewUser<'_>,
    verifier: &Verifier,
) -> Result<()> {
    let (run, verifier) = (user.run.srn(), verifier.as_str());
    let connection_limit = i32::from(user.connection_limit);
    let create = Query::new("SELECT sym.create_user($1, $2, $3, false)::text")
        .text(&run)
        .text(&verifier)
        .with(&connection_limit, Type::INT4);
    let created = ledger.call(&create).await?;
    let made_by = created["made_by"].as_str();
    if created["taken_up"] == true
        && let Some(oid) = Grant::from_json(&created)?.user_oid
    {
        let left = remove::prepare_clearing(ledger, user.run).await?;
        if !left.databases.is_empty() {
            // What gives access ends nobody.
            let heir = left.heir.as_deref();
            clear::clear(database, oid, heir, false, left.is_cut, async || false).await?;
        }
    }
    database.run(&format!("BEGIN; {SETUP_SEARCH_PATH}")).await?;
    for (index, step) in in_order(user.steps) {
        match step {
            AuthorizedStep::GrantRole(role) => {
                let role = role.as_str();
                let admit = Query::new("SELECT sym.admit_user($1, $2, $3)")
                    .text(&run)
                    .text(&role)
                    .text(&made_by);
                ledger.query(&admit.of_step(index)).await?;
            }
            AuthorizedStep::Sql(statement) => {
                let statement = Query::new(statement.as_sql()).foreign();
                database.pipeline(&[statement.of_step(index)]).await?;
            }
        }
    }
    if user.steps.iter().any(is_free) {
        let now = Query::new("SET CONSTRAINTS ALL IMMEDIATE").foreign();
        database.pipeline(&[now]).await?;
    }
    check_warnings(database)?;
    database.run("COMMIT").await?;
    // By itself: were it not to begin, the next would be committed at once, before
    // there is a secret.
    ledger.run("BEGIN").await?;
    ledger
        .query(
            &Query::new("SELECT sym.confirm_user($1, $2)::text")
                .text(&run)
                .text(&made_by),
        )
        .await?;
    Ok(())
}

/// Gives the user another password, in the open transaction.
///
/// # Errors
/// What the connection ran into.
pub async fn take_password(connection: &Connection, run: &Run, verifier: &Verifier) -> Result<()> {
    let (run, verifier) = (run.srn(), verifier.as_str());
    connection
        .query(
            &Query::new("SELECT sym.set_verifier($1, $2)")
                .text(&run)
                .text(&verifier),
        )
        .await?;
    Ok(())
}

/// Ends the open transaction: all of it is true now.
///
/// # Errors
/// What the connection ran into. Whether it was committed is not known then;
/// the same event again finds out.
pub async fn commit(connection: &Connection) -> Result<()> {
    connection.run("COMMIT").await
}

/// The steps with their indexes, as they run: the roles behind the statements. Since 16 a
/// GRANT of a role keeps everybody else from granting and revoking it until the COMMIT,
/// and a plugin says how long its statements take. What runs under `any` may hang on the
/// order, and so keeps it.
fn in_order(steps: &[AuthorizedStep]) -> impl Iterator<Item = (usize, &AuthorizedStep)> {
    let keeps_order = steps.iter().any(is_free);
    let of_kind = move |is_first: bool| {
        let steps = steps.iter().enumerate();
        steps.filter(move |(_, step)| (keeps_order || is_statement(step)) == is_first)
    };
    of_kind(true).chain(of_kind(false))
}

fn role_of(step: &AuthorizedStep) -> Option<&str> {
    match step {
        AuthorizedStep::GrantRole(role) => Some(role.as_str()),
        AuthorizedStep::Sql(_) => None,
    }
}

fn is_statement(step: &AuthorizedStep) -> bool {
    matches!(step, AuthorizedStep::Sql(_))
}

fn is_free(step: &AuthorizedStep) -> bool {
    matches!(step, AuthorizedStep::Sql(statement) if statement.is_free())
}

fn check_warnings(connection: &mut Connection) -> Result<()> {
    match connection.take_warnings().into_iter().next() {
        Some(warning) => Err(Failure::warning(warning)),
        None => Ok(()),
    }
}
