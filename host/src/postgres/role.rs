//! The strategy `role`: lend an existing user a role, and take it back. Each
//! is one call of one SQL function, and so one transaction and one round trip.

use serde_json::{Value, json};
use tokio_postgres::types::Type;

use super::connection::Connection;
use super::failure::Result;
use super::ledger::{Grant, NewGrant};
use crate::name::RoleName;
use crate::request::Ending;

/// Lends a role.
///
/// # Errors
/// A refusal of `sym.lend`, or what the connection ran into.
pub async fn lend(connection: &Connection, grant: &NewGrant<'_>, user: &RoleName, role: &RoleName) -> Result<Grant> {
    let mut request = grant.to_json();
    request["user"] = json!(user.as_str());
    request["role"] = json!(role.as_str());
    let request = request.to_string();
    let answer = connection.call("SELECT sym.lend($1::jsonb)::text", &[(&request, Type::TEXT)]).await?;
    Grant::from_json(&answer)
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
}

/// Ends a run. One of a temporary user is only looked up: see
/// [`remove`](super::remove).
///
/// # Errors
/// A refusal of `sym.give_back`, or what the connection ran into.
pub async fn give_back(connection: &Connection, ending: &Ending, by: &str) -> Result<Ended> {
    let details = json!({"by": by, "requester": ending.requester, "target": ending.target}).to_string();
    let answer = connection
        .call(
            "SELECT sym.give_back($1, $2::jsonb)::text",
            &[(&ending.run.srn(), Type::TEXT), (&details, Type::TEXT)],
        )
        .await?;
    let list = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    Ok(Ended {
        grant: Grant::from_json(&answer)?,
        outcome: answer["outcome"].as_str().unwrap_or_default().to_owned(),
        others: list("others").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        remaining: list("remaining"),
    })
}
