//! Looking after what nobody has ended: for the sweep, and for people.

use serde::{Deserialize, Serialize};
use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::Result;
use crate::error::Error;
use crate::request::Run;

/// A run that somebody should look after.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Overdue {
    /// Its SRN.
    pub run: String,
    /// `role` or `temporary-user`.
    pub strategy: Option<String>,
    /// `pending`, `granted` or `ending`.
    pub state: String,
    /// The database user.
    pub user_name: Option<String>,
    /// The role that was lent.
    pub role_name: Option<String>,
    /// RFC 3339.
    pub expires_at: Option<String>,
    /// `expired`, `half-removed` or `ended-elsewhere`.
    pub why: String,
}

/// What the sweep has to end.
///
/// # Errors
/// What the connection ran into.
pub async fn overdue(connection: &Connection) -> Result<Vec<Overdue>> {
    list(
        connection,
        "SELECT coalesce(jsonb_agg(to_jsonb(o)), '[]')::text FROM sym.overdue() o",
    )
    .await
}

/// Temporary users whose time is over and whom no open run explains: what [`take_up_users`] makes
/// overdue. Reads all users that the function has made.
///
/// # Errors
/// What the connection ran into.
pub async fn overdue_users(connection: &Connection) -> Result<Vec<Overdue>> {
    list(
        connection,
        "SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY o.run), '[]')::text FROM sym.overdue_users() o",
    )
    .await
}

/// Makes those temporary users overdue whose time is over and whom no open run explains. Returns
/// their runs. Reads all users that the function has made.
///
/// # Errors
/// What the connection ran into.
pub async fn take_up_users(connection: &Connection, by: &str) -> Result<Vec<String>> {
    let query = Query::new("SELECT to_jsonb(sym.take_up_users($1))::text").text(&by);
    parse(connection.call(&query).await?)
}

/// Has the sweep try again what could not be ended, from now on and not only when its
/// lease is over.
///
/// # Errors
/// What the connection ran into.
pub async fn make_overdue(connection: &Connection, run: &Run) -> Result<()> {
    let run = run.srn();
    let query = Query::new("SELECT sym.make_overdue($1)").text(&run);
    connection.query(&query).await?;
    Ok(())
}

/// Ends the sessions that keep locks which only we have a use for: on the ledger, and
/// where `of_roles`, on roles and memberships. Returns how many.
///
/// # Errors
/// What the connection ran into.
pub async fn end_lockers(connection: &Connection, of_roles: bool) -> Result<i32> {
    let query = Query::new("SELECT sym.end_lockers($1)").with(&of_roles, Type::BOOL);
    connection.value(&query).await
}

/// Ends the sessions that have locked the catalogs of this database of the cluster. Returns how
/// many.
///
/// # Errors
/// What the connection ran into.
pub async fn end_catalog_lockers(connection: &Connection, database: &str) -> Result<i32> {
    let sql =
        "SELECT sym.end_lockers_in(false, d.oid) FROM pg_database d WHERE d.datname::text = $1";
    connection.value(&Query::new(sql).text(&database)).await
}

/// An open run, for people.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct OpenGrant {
    /// Its SRN.
    pub run: String,
    /// `role` or `temporary-user`.
    pub strategy: Option<String>,
    /// `pending`, `granted` or `ending`.
    pub state: String,
    /// Who asked.
    pub requester: Option<String>,
    /// Who approved.
    pub approver: Option<String>,
    /// What they asked for.
    pub target: Option<String>,
    /// The release of plugins that decided.
    pub release: Option<String>,
    /// The database user.
    pub user_name: Option<String>,
    /// The role that was lent.
    pub role_name: Option<String>,
    /// Whether the user had the role before.
    pub standing: bool,
    /// When it was given: RFC 3339.
    pub granted_at: Option<String>,
    /// When the database ends it by itself: RFC 3339.
    pub expires_at: Option<String>,
}

/// Who has what until when.
///
/// # Errors
/// What the connection ran into.
pub async fn open_grants(connection: &Connection) -> Result<Vec<OpenGrant>> {
    list(
        connection,
        "SELECT coalesce(jsonb_agg(to_jsonb(g)), '[]')::text FROM sym.open_grants() g",
    )
    .await
}

/// How many runs there are.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Counts {
    /// Open ones.
    pub open: u64,
    /// Those of them that the sweep has to end.
    pub overdue: u64,
}

/// Counts what is open.
///
/// # Errors
/// What the connection ran into.
pub async fn count(connection: &Connection) -> Result<Counts> {
    let sql = "SELECT jsonb_build_object('open', (SELECT count(*) FROM sym.open_grants()), \
               'overdue', (SELECT count(*) FROM sym.overdue()))::text";
    parse(connection.call(&Query::new(sql)).await?)
}

/// What this ledger doesn't know, or can't end.
#[derive(Clone, Debug, Deserialize)]
pub struct Strays {
    /// Databases in which the function's user seems to have another.
    pub other_ledgers: Vec<String>,
    /// What the function's user has given.
    pub unexplained: Unexplained,
}

/// What the function's user has given and no open run explains: a hundred of each at most.
#[derive(Clone, Debug, Deserialize)]
pub struct Unexplained {
    /// Temporary users.
    pub users: Vec<StrayUser>,
    /// Memberships of others.
    pub memberships: Vec<StrayMembership>,
}

/// A temporary user whose run isn't open.
#[derive(Clone, Debug, Deserialize)]
pub struct StrayUser {
    /// Its name, as a statement has it.
    pub user: String,
    /// The run's SRN, as the user's comment has it.
    pub run: String,
}

/// A membership that no open run has lent.
#[derive(Clone, Debug, Deserialize)]
pub struct StrayMembership {
    /// Who has it, as a statement names them.
    pub user: String,
    /// The role.
    pub role: String,
    /// The statement that takes it.
    pub revoke: String,
}

/// Looks for what is open elsewhere, or was lost. Reads all memberships of the cluster.
///
/// # Errors
/// What the connection ran into.
pub async fn strays(connection: &Connection) -> Result<Strays> {
    let sql = "SELECT jsonb_build_object('other_ledgers', sym.other_ledgers(), 'unexplained', sym.unexplained())::text";
    parse(connection.call(&Query::new(sql)).await?)
}

/// The open runs of one database user, or all.
///
/// # Errors
/// What the connection ran into.
pub async fn open_runs(connection: &Connection, user: Option<&str>) -> Result<Vec<String>> {
    let sql = "SELECT coalesce(jsonb_agg(g.run), '[]')::text FROM sym.open_grants() g \
               WHERE $1::text IS NULL OR g.user_name = $1 OR g.requester = $1";
    let answer = connection.call(&Query::new(sql).text(&user)).await?;
    parse(answer)
}

async fn list<T: for<'de> Deserialize<'de>>(connection: &Connection, sql: &str) -> Result<Vec<T>> {
    parse(connection.call(&Query::new(sql)).await?)
}

fn parse<T: for<'de> Deserialize<'de>>(answer: serde_json::Value) -> Result<T> {
    let parsed = serde_json::from_value(answer);
    parsed.map_err(|error| {
        Error::internal("a row of the ledger is not as expected")
            .with_source(error)
            .into()
    })
}
