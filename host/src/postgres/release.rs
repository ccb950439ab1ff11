//! The highest serial of a release that was accepted, which the ledger keeps:
//! the bucket can't be asked, since it is who writes there that is feared.

use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::Result;

/// Accepts a release for a function.
///
/// # Errors
/// A refusal of `sym.accept_release` where a later one was accepted, or what the
/// connection ran into.
pub async fn accept(
    connection: &Connection,
    audience: &str,
    serial: i64,
    release: &str,
) -> Result<()> {
    let query = Query::new("SELECT sym.accept_release($1, $2, $3)")
        .text(&audience)
        .with(&serial, Type::INT8)
        .text(&release);
    connection.query(&query).await.map(drop)
}
