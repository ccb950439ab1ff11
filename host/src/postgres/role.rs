//! The strategy `role`: lend an existing user a role, and take it back. Each
//! is one call of one SQL function, and so one transaction and one round trip.

use serde_json::{Value, json};

use super::connection::{Connection, Query, undone};
use super::failure::Result;
use super::ledger::{Grant, NewGrant, texts};
use crate::config::Sessions;
use crate::name::RoleName;
use crate::request::{Ending, Run, Unknown};

/// Lends a role, and takes it back at once: what an escalate would run into, and
/// nothing changed.
///
/// # Errors
/// As [`lend`].
pub async fn rehearse(
    connection: &mut Connection,
    grant: &NewGrant<'_>,
    user: &RoleName,
    role: &RoleName,
) -> Result<Grant> {
    undone(connection, async |connection| {
        lend(connection, grant, user, role).await
    })
    .await
}

/// Lends a role.
///
/// # Errors
/// A refusal of `sym.lend`, or what the connection ran into.
pub async fn lend(
    connection: &Connection,
    grant: &NewGrant<'_>,
    user: &RoleName,
    role: &RoleName,
) -> Result<Grant> {
    connection.check_begins().await?;
    let mut request = grant.to_json();
    request["user"] = json!(user.as_str());
    request["role"] = json!(role.as_str());
    let request = request.to_string();
    let answer = connection
        .call(&Query::new("SELECT sym.lend($1::jsonb)::text").text(&request))
        .await?;
    Grant::from_json(&answer)
}

/// Ends a run, and takes that back at once: what a deescalate would do, and
/// nothing changed.
///
/// # Errors
/// As [`give_back`].
pub async fn rehearse_end(connection: &mut Connection, ending: &Ending) -> Result<Ended> {
    undone(connection, async |connection| {
        give_back(connection, ending, "shadow", Sessions::Keep).await
    })
    .await
}

/// Whether this run was one of ours: the ledger has a row of it, in whatever state, or its
/// temporary user is there.
///
/// # Errors
/// What the connection ran into.
pub async fn is_known(connection: &Connection, run: &Run) -> Result<bool> {
    let run = run.srn();
    let query = Query::new("SELECT sym.knows_run($1)").text(&run);
    connection.value(&query).await
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// The run, as the ledger has it now.
    pub grant: Grant,
    /// `taken-back`, `shared`, `standing`, `never-began`, `already-ended`,
    /// `user-gone`, `role-gone`, or `temporary-user`: not ended yet.
    pub outcome: String,
    /// Runs that still lend the same role to the same user.
    pub others: Vec<String>,
    /// What still leads from the user to the role: `{through, grantor}`.
    pub remaining: Vec<Value>,
    /// How many more privileges of its own the user has than when the run
    /// began: what the role let it grant to itself would be among them. 0 where the run is `ending`:
    /// [`finish`](super::remove::finish) looks.
    pub gained: u64,
    /// Names of the role, and of those above it, that own something now, or may: they owned nothing
    /// when it was lent. None where the run is `ending`, likewise.
    pub owners: Vec<String>,
}

/// Ends a run. One of a temporary user is only looked up: see
/// [`remove`](super::remove).
///
/// # Errors
/// A refusal of `sym.give_back`, or what the connection ran into.
pub async fn give_back(
    connection: &Connection,
    ending: &Ending,
    by: &str,
    sessions: Sessions,
) -> Result<Ended> {
    let mut details = json!({
        "by": by,
        "requester": ending.requester,
        "target": ending.target,
        "sessions": if sessions == Sessions::Keep { "keep" } else { "end" },
    });
    match &ending.unknown {
        Unknown::NeverBegan => {}
        Unknown::Templates(grant) => {
            details["template"] = json!({"user": grant.user, "role": grant.role});
        }
        Unknown::Untold => details["untold"] = json!(true),
    }
    let details = details.to_string();
    let run = ending.run.srn();
    let query = Query::new("SELECT sym.give_back($1, $2::jsonb)::text")
        .text(&run)
        .text(&details);
    let answer = connection.call(&query).await?;
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let texts = |key: &str| texts(&answer[key]);
    Ok(Ended {
        grant: Grant::from_json(&answer)?,
        outcome: answer["outcome"].as_str().unwrap_or_default().to_owned(),
        others: texts("others"),
        remaining: list("remaining"),
        gained: answer["gained"].as_u64().unwrap_or(0),
        owners: texts("owners"),
    })
}
