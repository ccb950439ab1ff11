//! Commits that wait for a synchronous standby (`synchronous_standby_names`). Until one has it,
//! nobody sees what the transaction did, and it keeps its locks. PostgreSQL never gives up by
//! itself, and `statement_timeout` is over by then. A wait that is cancelled undoes nothing: the
//! transaction is in effect on this server, and is answered as a success.

use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::Result;

/// Sessions of ours that wait so: of the ledger's owner (`$1`), or of our login, which a person
/// may have for other things too. What is cancelled is this wait alone, and no statement: of one
/// that works, or waits for a lock, nothing would be left.
const WAITING: &str = "pg_stat_activity a WHERE a.wait_event = 'SyncRep' AND a.backend_xid IS NOT NULL \
    AND (a.usename::text = $1 OR a.usename = session_user AND starts_with(a.application_name, 'sym-postgres'))";

/// A transaction, as a value of SQL.
const TRANSACTION: &str = "a.pid || ' ' || a.backend_xid";

/// Our transactions of which the COMMIT waits now, whichever process of the function has begun
/// it, and whether that is there still.
///
/// # Errors
/// What the connection ran into.
pub async fn waiting(connection: &Connection, owner: &str) -> Result<Vec<String>> {
    let sql = format!("SELECT coalesce(array_agg({TRANSACTION}), '{{}}') FROM {WAITING}");
    connection.value(&Query::new(&sql).text(&owner)).await
}

/// Cancels the waits of these transactions, as far as they wait still. Returns how many did.
///
/// # Errors
/// What the connection ran into.
pub async fn cancel_waits(
    connection: &Connection,
    owner: &str,
    transactions: &[String],
) -> Result<i64> {
    let sql = format!(
        "SELECT count(pg_cancel_backend(a.pid)) FROM {WAITING} AND {TRANSACTION} = ANY ($2)"
    );
    let query = Query::new(&sql)
        .text(&owner)
        .with(&transactions, Type::TEXT_ARRAY);
    connection.value(&query).await
}
