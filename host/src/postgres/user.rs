//! The strategy `temporary-user`: make a user, and everything it gets, in one
//! transaction, whose COMMIT the caller gives when the secret is safe.
//!
//! 1. [`prepare`]: a committed row says what may exist from now on.
//! 2. [`create`]: one pipeline: BEGIN, the user, its setup, the row `granted`.
//! 3. The caller stores the secret. Where one was there, [`take_password`].
//! 4. [`commit`].
//!
//! A crash anywhere leaves at most a `pending` row and a secret for a user that
//! doesn't exist; the same event again takes both up, and the sweep ends both.

use serde_json::json;
use tokio_postgres::types::Type;

use super::connection::{Connection, Query, SETUP_SEARCH_PATH, rollback};
use super::failure::{Failure, Result};
use super::ledger::{Grant, NewGrant};
use crate::name::RoleName;
use crate::policy::AuthorizedStep;
use crate::request::Run;
use crate::secret::Verifier;

/// The user to make.
#[derive(Clone, Copy, Debug)]
pub struct NewUser<'a> {
    /// Its run, which has been prepared.
    pub run: &'a Run,
    /// What the server stores of its password.
    pub verifier: &'a Verifier,
    /// How many connections it may have.
    pub connection_limit: u16,
    /// What it gets, in order.
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
    let mut request = grant.to_json();
    request["user"] = json!(user.as_str());
    request["secret"] = json!(secret);
    let request = request.to_string();
    let answer = connection
        .call(&Query::new("SELECT sym.prepare_user($1::jsonb)::text").text(&request))
        .await?;
    Grant::from_json(&answer)
}

/// Opens a transaction and does everything in it. Afterwards it is still open.
///
/// # Errors
/// A refusal of the SQL functions, a warning of a setup statement, an error of
/// the server. The transaction has failed then: `ROLLBACK`.
pub async fn create(connection: &mut Connection, user: &NewUser<'_>) -> Result<()> {
    // Were it not to begin, `sym.confirm_user` would refuse.
    fill(connection, user, Some(Query::new("BEGIN"))).await
}

/// Does everything, and takes it back at once: what an escalate would run into,
/// and nothing changed.
///
/// # Errors
/// As [`prepare`] and [`create`].
pub async fn rehearse(
    connection: &mut Connection,
    grant: &NewGrant<'_>,
    name: &RoleName,
    secret: &str,
    user: &NewUser<'_>,
) -> Result<Grant> {
    connection.run("BEGIN").await?;
    let prepared = prepare(connection, grant, name, secret).await?;
    if prepared.state != "granted" {
        fill(connection, user, None).await?;
    }
    rollback(connection).await?;
    Ok(prepared)
}

/// The user, its setup, and the row `granted`, in the open transaction, or in the
/// one that `begin` opens.
async fn fill(
    connection: &mut Connection,
    user: &NewUser<'_>,
    begin: Option<Query<'_>>,
) -> Result<()> {
    // Those of earlier statements are not the setup's.
    connection.take_warnings();
    let (run, verifier) = (user.run.srn(), user.verifier.as_str());
    let connection_limit = i32::from(user.connection_limit);
    let roles: Vec<Option<&str>> = user.steps.iter().map(role_of).collect();
    if user.steps.iter().any(is_free) {
        connection.use_up();
    }
    let mut queries = Vec::with_capacity(user.steps.len() + 4);
    queries.extend(begin);
    queries.push(
        Query::new("SELECT sym.create_user($1, $2, $3, true)::text")
            .text(&run)
            .text(&verifier)
            .with(&connection_limit, Type::INT4),
    );
    if user
        .steps
        .iter()
        .any(|step| matches!(step, AuthorizedStep::Sql(_)))
    {
        queries.push(Query::new(SETUP_SEARCH_PATH));
    }
    for (index, step) in user.steps.iter().enumerate() {
        let query = match step {
            AuthorizedStep::GrantRole(_) => Query::new("SELECT sym.admit_user($1, $2)")
                .text(&run)
                .text(&roles[index]),
            AuthorizedStep::Sql(statement) => Query::new(statement.as_sql()).foreign(),
        };
        queries.push(query.of_step(index));
    }
    queries.push(Query::new("SELECT sym.confirm_user($1, true)::text").text(&run));
    connection.pipeline(&queries).await?;
    check_warnings(connection)
}

/// The same, where the setup's database is not the ledger's: no transaction
/// spans both, so the user is made without LOGIN and committed, the setup runs
/// and is committed, and LOGIN comes last, in a transaction that is still open
/// afterwards.
///
/// # Errors
/// As [`create`].
pub async fn create_across(
    ledger: &mut Connection,
    database: &mut Connection,
    user: &NewUser<'_>,
) -> Result<()> {
    let (run, verifier) = (user.run.srn(), user.verifier.as_str());
    let connection_limit = i32::from(user.connection_limit);
    let create = Query::new("SELECT sym.create_user($1, $2, $3, false)::text")
        .text(&run)
        .text(&verifier)
        .with(&connection_limit, Type::INT4);
    ledger.query(&create).await?;
    database.run(&format!("BEGIN; {SETUP_SEARCH_PATH}")).await?;
    for (index, step) in user.steps.iter().enumerate() {
        match step {
            AuthorizedStep::GrantRole(role) => {
                let role = role.as_str();
                let admit = Query::new("SELECT sym.admit_user($1, $2)")
                    .text(&run)
                    .text(&role);
                ledger.query(&admit.of_step(index)).await?;
            }
            AuthorizedStep::Sql(statement) => {
                let statement = Query::new(statement.as_sql()).foreign();
                database.pipeline(&[statement.of_step(index)]).await?;
            }
        }
    }
    check_warnings(database)?;
    database.run("COMMIT").await?;
    // By itself: were it not to begin, the next would be committed at once, before
    // there is a secret.
    ledger.run("BEGIN").await?;
    ledger
        .query(&Query::new("SELECT sym.confirm_user($1, false)::text").text(&run))
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

fn role_of(step: &AuthorizedStep) -> Option<&str> {
    match step {
        AuthorizedStep::GrantRole(role) => Some(role.as_str()),
        AuthorizedStep::Sql(_) => None,
    }
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
