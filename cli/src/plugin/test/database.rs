//! Carries plans out in a database, shows what the user has then, and rolls all
//! of it back.
//!
//! Not what the function does: there is no ledger here and no schema `sym`. It
//! shows what a plan means where the tables and roles are.

use anyhow::anyhow;
use sym_host::policy::{AuthorizedPlan, AuthorizedStep};
use sym_host::sql::quote_identifier;
use tokio_postgres::{Client, NoTls, Transaction};

/// Everything that a user has by name, by itself or through a role, in a fixed
/// order. What PUBLIC has, everybody has.
const PRIVILEGES: &str = "
WITH RECURSIVE roles(oid, name) AS (
    SELECT oid, rolname FROM pg_roles WHERE rolname = $1
    UNION
    SELECT r.oid, r.rolname FROM roles
    JOIN pg_auth_members m ON m.member = roles.oid
    JOIN pg_roles r ON r.oid = m.roleid
), objects(kind, object, acl) AS (
    SELECT CASE c.relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, c.oid::regclass::text, c.relacl
        FROM pg_class c
    UNION ALL SELECT 'column of ' || a.attrelid::regclass::text, quote_ident(a.attname), a.attacl
        FROM pg_attribute a
    UNION ALL SELECT 'schema', quote_ident(nspname), nspacl FROM pg_namespace
    UNION ALL SELECT 'database', quote_ident(datname), datacl
        FROM pg_database WHERE datname = current_database()
    UNION ALL SELECT 'function', p.oid::regprocedure::text, p.proacl FROM pg_proc p
)
SELECT 'member of ' || quote_ident(name) FROM roles WHERE name <> $1
UNION
SELECT a.privilege_type || ' on ' || kind || ' ' || object
    || CASE WHEN roles.name = $1 THEN '' ELSE ' (through ' || quote_ident(roles.name) || ')' END
FROM objects, aclexplode(acl) a, roles
WHERE a.grantee = roles.oid
ORDER BY 1";

/// Set before the setup, which has no reason to set one of that name.
const SAVEPOINT: &str = "symctl_before_setup";

/// A database for rehearsals.
pub(super) struct Database {
    client: Client,
    /// Statements that come first each time: the tables and roles that plans are
    /// about.
    setup: Option<String>,
}

impl Database {
    /// Connects, and tries the setup once: what is wrong with it is said once, and not of
    /// each case.
    pub(super) async fn connect(url: &str, setup: Option<String>) -> anyhow::Result<Self> {
        let (client, connection) = tokio_postgres::connect(url, NoTls)
            .await
            .map_err(|error| said(error).context("`--against-postgres` can't be connected to"))?;
        // It ends with the client.
        tokio::spawn(connection);
        let mut database = Self { client, setup };
        let transaction = database.begin().await?;
        transaction.rollback().await.map_err(said)?;
        Ok(database)
    }

    /// A transaction in which the setup has run.
    async fn begin(&mut self) -> anyhow::Result<Transaction<'_>> {
        let transaction = self.client.transaction().await.map_err(said)?;
        let Some(setup) = &self.setup else {
            return Ok(transaction);
        };
        // A savepoint ends with its transaction.
        let begin = format!("SAVEPOINT {SAVEPOINT}");
        transaction.batch_execute(&begin).await.map_err(said)?;
        transaction
            .batch_execute(setup)
            .await
            .map_err(|error| said(error).context("`--setup` failed"))?;
        let end = format!("RELEASE SAVEPOINT {SAVEPOINT}");
        transaction.batch_execute(&end).await.map_err(|error| {
            said(error).context(
                "`--setup` ends the transaction that is to be rolled back: leave BEGIN, COMMIT and ROLLBACK out of it, and \
                 remove from the database what it has committed",
            )
        })?;
        Ok(transaction)
    }

    /// What the plan's user has once all of it is done. Nothing of it stays.
    pub(super) async fn rehearse(&mut self, plan: &AuthorizedPlan) -> anyhow::Result<Vec<String>> {
        let transaction = self.begin().await?;
        let user = plan.username().as_str();
        let quoted_user = quote(user)?;
        let exists = transaction
            .query_opt("SELECT 1 FROM pg_roles WHERE rolname = $1", &[&user])
            .await
            .map_err(said)?;
        // A temporary user is made by the host, and a person's stands for one
        // that exists where the function runs.
        if exists.is_none() {
            transaction
                .batch_execute(&format!("CREATE ROLE {quoted_user} LOGIN"))
                .await
                .map_err(|error| said(error).context("the user can't be made"))?;
        }
        for (index, step) in plan.steps().iter().enumerate() {
            let sql = match step {
                AuthorizedStep::GrantRole(role) => {
                    format!("GRANT {} TO {quoted_user}", quote(role.as_str())?)
                }
                AuthorizedStep::Sql(statement) => statement.as_sql().to_owned(),
            };
            transaction
                .batch_execute(&sql)
                .await
                .map_err(|error| said(error).context(format!("step {}: {sql}", index + 1)))?;
        }
        // Where anybody may create could be what fits a call of ours better than PostgreSQL's
        // own. So names come with their schemas, whoever asks.
        transaction
            .batch_execute("SET LOCAL search_path = pg_catalog, pg_temp")
            .await
            .map_err(said)?;
        let rows = transaction
            .query(PRIVILEGES, &[&user])
            .await
            .map_err(said)?;
        let privileges = rows.iter().map(|row| row.get(0)).collect();
        transaction.rollback().await.map_err(said)?;
        Ok(privileges)
    }
}

fn quote(name: &str) -> anyhow::Result<String> {
    quote_identifier(name).map_err(|why| anyhow!("`{name}` {why}"))
}

/// The server's own words, which the error hides behind "db error".
fn said(error: tokio_postgres::Error) -> anyhow::Error {
    match error.as_db_error() {
        Some(db) => {
            let hint = db
                .hint()
                .map(|hint| format!(" ({hint})"))
                .unwrap_or_default();
            anyhow!("{}{hint} [{}]", db.message(), db.code().code())
        }
        None => anyhow::Error::from(error).context("the database"),
    }
}
