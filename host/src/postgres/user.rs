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

use std::pin::Pin;

use futures_util::future::join_all;
use serde_json::json;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::connection::{Connection, rollback};
use super::failure::{Failure, Result};
use super::ledger::{Grant, NewGrant};
use crate::name::RoleName;
use crate::policy::AuthorizedStep;
use crate::request::Run;
use crate::secret::Verifier;

/// How many statements are under way at once. More gain nothing, and each waits
/// in memory.
const PIPELINE: usize = 24;

type Reply<'a> = Pin<Box<dyn Future<Output = Result<Vec<Row>, tokio_postgres::Error>> + Send + 'a>>;

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
        .call(
            "SELECT sym.prepare_user($1::jsonb)::text",
            &[(&request, Type::TEXT)],
        )
        .await?;
    Grant::from_json(&answer)
}

/// Opens a transaction and does everything in it. Afterwards it is still open.
///
/// # Errors
/// A refusal of the SQL functions, a warning of a setup statement, an error of
/// the server. The transaction has failed then: `ROLLBACK`.
pub async fn create(connection: &mut Connection, user: &NewUser<'_>) -> Result<()> {
    connection.client().batch_execute("BEGIN").await?;
    fill(connection, user).await
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
    connection.client().batch_execute("BEGIN").await?;
    let prepared = prepare(connection, grant, name, secret).await?;
    if prepared.state != "granted" {
        fill(connection, user).await?;
    }
    rollback(connection).await?;
    Ok(prepared)
}

/// The user, its setup, and the row `granted`, in the open transaction.
async fn fill(connection: &mut Connection, user: &NewUser<'_>) -> Result<()> {
    let client = connection.client();
    let (run, verifier) = (user.run.srn(), user.verifier.as_str());
    let connection_limit = i32::from(user.connection_limit);
    let creating = [
        (&run as _, Type::TEXT),
        (&verifier as _, Type::TEXT),
        (&connection_limit as _, Type::INT4),
    ];
    let confirming = [(&run as _, Type::TEXT)];
    let roles: Vec<&str> = user.steps.iter().filter_map(role_of).collect();
    let granting: Vec<_> = roles
        .iter()
        .map(|role| [(&run as _, Type::TEXT), (role as _, Type::TEXT)])
        .collect();
    let mut granting = granting.iter();

    let mut replies: Vec<(Option<usize>, Reply<'_>)> = Vec::with_capacity(user.steps.len() + 2);
    replies.push((
        None,
        Box::pin(client.query_typed("SELECT sym.create_user($1, $2, $3, true)::text", &creating)),
    ));
    for (index, step) in user.steps.iter().enumerate() {
        let reply: Reply<'_> = match step {
            AuthorizedStep::GrantRole(_) => {
                let arguments = granting.next().expect("one for each role");
                Box::pin(client.query_typed("SELECT sym.admit_user($1, $2)", arguments))
            }
            AuthorizedStep::Sql(statement) => Box::pin(client.query_typed(statement.as_sql(), &[])),
        };
        replies.push((Some(index), reply));
    }
    replies.push((
        None,
        Box::pin(client.query_typed("SELECT sym.confirm_user($1, true)::text", &confirming)),
    ));
    run_in_order(replies).await?;
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
    let client = ledger.client();
    let creating = [
        (&run as _, Type::TEXT),
        (&verifier as _, Type::TEXT),
        (&connection_limit as _, Type::INT4),
    ];
    client
        .query_typed("SELECT sym.create_user($1, $2, $3, false)::text", &creating)
        .await?;
    database.client().batch_execute("BEGIN").await?;
    for (index, step) in user.steps.iter().enumerate() {
        let reply = match step {
            AuthorizedStep::GrantRole(role) => {
                let role = role.as_str();
                client
                    .query_typed(
                        "SELECT sym.admit_user($1, $2)",
                        &[(&run, Type::TEXT), (&role, Type::TEXT)],
                    )
                    .await
            }
            AuthorizedStep::Sql(statement) => {
                database.client().query_typed(statement.as_sql(), &[]).await
            }
        };
        reply.map_err(|error| Failure::from(error).at_step(index))?;
    }
    check_warnings(database)?;
    database.client().batch_execute("COMMIT").await?;
    client.batch_execute("BEGIN").await?;
    client
        .query_typed(
            "SELECT sym.confirm_user($1, false)::text",
            &[(&run, Type::TEXT)],
        )
        .await?;
    Ok(())
}

/// Gives the user another password, in the open transaction.
///
/// # Errors
/// What the connection ran into.
pub async fn take_password(connection: &Connection, run: &Run, verifier: &Verifier) -> Result<()> {
    let arguments = [
        (&run.srn() as _, Type::TEXT),
        (&verifier.as_str() as _, Type::TEXT),
    ];
    connection
        .client()
        .query_typed("SELECT sym.set_verifier($1, $2)", &arguments)
        .await?;
    Ok(())
}

/// Ends the open transaction: all of it is true now.
///
/// # Errors
/// What the connection ran into. Whether it was committed is not known then;
/// the same event again finds out.
pub async fn commit(connection: &Connection) -> Result<()> {
    Ok(connection.client().batch_execute("COMMIT").await?)
}

fn role_of(step: &AuthorizedStep) -> Option<&str> {
    match step {
        AuthorizedStep::GrantRole(role) => Some(role.as_str()),
        AuthorizedStep::Sql(_) => None,
    }
}

/// Sends them one behind the other, without waiting in between. The first error
/// is the reason; those behind it only say that the transaction has failed.
async fn run_in_order(mut replies: Vec<(Option<usize>, Reply<'_>)>) -> Result<()> {
    while !replies.is_empty() {
        let rest = replies.split_off(replies.len().min(PIPELINE));
        let (steps, batch): (Vec<_>, Vec<_>) = replies.into_iter().unzip();
        for (step, reply) in steps.into_iter().zip(join_all(batch).await) {
            reply.map_err(|error| match step {
                Some(index) => Failure::from(error).at_step(index),
                None => Failure::from(error),
            })?;
        }
        replies = rest;
    }
    Ok(())
}

fn check_warnings(connection: &mut Connection) -> Result<()> {
    match connection.take_warnings().into_iter().next() {
        Some(warning) => Err(Failure::warning(warning)),
        None => Ok(()),
    }
}
