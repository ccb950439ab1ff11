//! Schema `sym`: installed and brought up to date by the host, which owns it.
//!
//! The version is in the schema's comment; and in the name of a function, which a
//! new connection finds quicker, and beside what it asks anyway.

use tokio_postgres::error::SqlState;

use super::connection::{Connection, Query, rollback};
use super::failure::{Failure, Result};

/// Raised with every change of `schema/`: of the tables, and of the functions.
pub const VERSION: i32 = 14;

/// Changes of the tables, in order: the version that each leads to. Each runs
/// once, on a ledger in use.
const TABLES: &[(i32, &str)] = &[
    (1, include_str!("schema/tables_1.sql")),
    (2, include_str!("schema/tables_2.sql")),
    (7, include_str!("schema/tables_7.sql")),
    (8, include_str!("schema/tables_8.sql")),
    (13, include_str!("schema/tables_13.sql")),
    (14, include_str!("schema/tables_14.sql")),
];

/// Where it says how an administrator who is no superuser runs what the ledger's owner alone may.
pub(crate) const AS_OWNER: &str = "docs/runbook.md, `Without Lambda and AWS`";

/// What a migration locks, and so the first thing that is made.
const LOCKS: &str = "CREATE TABLE IF NOT EXISTS sym.locks (user_oid oid PRIMARY KEY);";

/// All functions. They are replaced as a whole.
const FUNCTIONS: &str = concat!(
    include_str!("schema/functions/older.sql"),
    include_str!("schema/functions/common.sql"),
    include_str!("schema/functions/checks.sql"),
    include_str!("schema/functions/template.sql"),
    include_str!("schema/functions/role.sql"),
    include_str!("schema/functions/sessions.sql"),
    include_str!("schema/functions/user.sql"),
    include_str!("schema/functions/removal.sql"),
    include_str!("schema/functions/ends.sql"),
    include_str!("schema/functions/release.sql"),
    include_str!("schema/functions/privileges.sql"),
);

/// All of it, for a schema that is empty.
pub(crate) fn to_sql() -> String {
    let tables: String = TABLES.iter().map(|(_, tables)| *tables).collect();
    format!("{LOCKS}\n{tables}\n{FUNCTIONS}\n{}", version())
}

/// Raises where a schema may not be made, or replaced, for the user with this name, a literal:
/// it has a ledger in another database, or somebody else's or a newer one is in this.
pub(crate) fn refusal(user: &str) -> String {
    format!(
        "DO $sym$ DECLARE other text; owner text; installed int; BEGIN\n    \
             other := ({other});\n    \
             IF other IS NOT NULL THEN\n        \
                 RAISE EXCEPTION 'the function''s user has its ledger in database %: name that by --ledger; or, to move it, end all that is open there (symctl revoke --all), and then drop its schema sym, as its owner ({AS_OWNER})', other;\n    \
             END IF;\n    \
             owner := (SELECT pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'sym' AND pg_get_userbyid(nspowner) <> {user});\n    \
             IF owner IS NOT NULL THEN\n        \
                 RAISE EXCEPTION 'schema sym in database % is of %: if that is the user of another function, whose ledger this one is to share, and in no case otherwise, run CREATE USER %; as % ({AS_OWNER}) GRANT USAGE ON SCHEMA sym TO %; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO %; and set LEDGER_OWNER=%, with the password that you give it',\n            \
                     current_database(), quote_ident(owner), quote_ident({user}), quote_ident(owner), quote_ident({user}), quote_ident({user}), owner;\n    \
             END IF;\n    \
             installed := (SELECT {INSTALLED} FROM pg_namespace WHERE nspname = 'sym');\n    \
             IF installed > {VERSION} THEN\n        \
                 RAISE EXCEPTION 'the ledger has version %, and this setup''s is {VERSION}: take the symctl of the function''s release', installed;\n    \
             END IF;\n\
         END $sym$;",
        other = other_ledger(user)
    )
}

/// The function whose being there says that the schema is at [`VERSION`], or was.
pub(crate) fn marker() -> String {
    format!("sym.version_{VERSION}")
}

/// Whether the schema is at [`VERSION`], or was: NULL where there is none that we may use.
pub(crate) fn is_current() -> String {
    format!(
        "CASE WHEN has_schema_privilege(to_regnamespace('sym')::oid, 'USAGE') THEN to_regproc('{}') IS NOT NULL END",
        marker()
    )
}

fn version() -> String {
    let marker = marker();
    format!(
        // A newer one's marker would keep that from putting its functions back.
        "DO $$ DECLARE other regprocedure; BEGIN \
             FOR other IN SELECT p.oid FROM pg_proc p WHERE p.pronamespace = 'sym'::regnamespace \
                          AND p.proname ~ '^version_[0-9]+$' AND p.proname <> 'version_{VERSION}' LOOP \
                 EXECUTE format('DROP FUNCTION %s', other); \
             END LOOP; END $$;\n\
         CREATE OR REPLACE FUNCTION {marker}() RETURNS int LANGUAGE sql AS 'SELECT {VERSION}';\n\
         REVOKE ALL ON FUNCTION {marker}() FROM PUBLIC;\n\
         COMMENT ON SCHEMA sym IS 'sym-postgres {VERSION}';"
    )
}

/// Waits for whoever else is at it: of two that make the same thing, the second waits
/// for the first, and then finds it there. No advisory lock, which everybody could
/// keep who may log in.
fn lock() -> String {
    format!(
        "DO $$ BEGIN \
             IF to_regnamespace('sym') IS NULL THEN CREATE SCHEMA sym; END IF; \
         EXCEPTION WHEN duplicate_schema OR unique_violation THEN NULL; END $$; \
         DO $$ BEGIN {LOCKS} EXCEPTION WHEN duplicate_table OR unique_violation THEN NULL; END $$; \
         LOCK TABLE sym.locks IN SHARE UPDATE EXCLUSIVE MODE"
    )
}

/// Brings the schema to [`VERSION`], in one transaction. Two hosts that do it
/// at once do it one after the other, and the second finds nothing to do.
///
/// # Errors
/// `database-setup` where the schema is missing and we may not make it, or it
/// isn't ours.
pub(crate) async fn migrate(connection: &Connection, database: &str) -> Result<()> {
    let mut migrated = bring_up_to_date(connection, database).await;
    for _ in 0..TRIES {
        if !matches!(&migrated, Err(failure) if failure.is_locked()) {
            break;
        }
        // No access can end before this is done, so nobody may keep us from it by reading.
        rollback(connection).await?;
        let ended = connection.query(&Query::new(END_HOLDERS)).await;
        // Not all of them could be ended, or it is nobody who may be.
        if ended.map_or(true, |ended| ended.is_empty()) {
            break;
        }
        migrated = bring_up_to_date(connection, database).await;
    }
    migrated
}

/// How often those are ended that come again.
const TRIES: u32 = 4;

/// Ends the sessions of others that have a lock on a table of ours, or wait for one. Not a
/// superuser's, nor another function's, nor a person's `symctl`.
const END_HOLDERS: &str = "SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity a JOIN pg_roles r ON r.oid = a.usesysid \
    WHERE NOT r.rolsuper AND r.rolname <> current_user \
      AND NOT has_function_privilege(a.usesysid, 'sym.give_back(text, jsonb)', 'EXECUTE') \
      AND NOT pg_has_role(a.usesysid, current_user, \
                          CASE WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END) AND a.pid IN ( \
        SELECT l.pid FROM pg_locks l JOIN pg_class c ON c.oid = l.relation WHERE l.locktype = 'relation' \
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
          AND c.relnamespace = to_regnamespace('sym'))";

/// The same as `sym.other_ledgers` of a user, which isn't there yet. None where there is a ledger
/// in this database.
fn other_ledger(user: &str) -> String {
    format!(
        "SELECT d.datname::text FROM pg_database d, pg_roles r \
         WHERE r.rolname = {user} AND d.datname <> current_database() \
           AND NOT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                           WHERE n.nspname = 'sym' AND c.relname = 'grants') \
           AND r.oid = ANY (ARRAY(SELECT s.refobjid FROM pg_shdepend s \
                   WHERE s.dbid = d.oid AND s.classid = 'pg_namespace'::regclass AND s.deptype = 'o')) \
           AND r.oid = ANY (ARRAY(SELECT s.refobjid FROM pg_shdepend s \
                   WHERE s.dbid = d.oid AND s.classid = 'pg_proc'::regclass AND s.deptype = 'o')) \
         ORDER BY d.datname LIMIT 1"
    )
}

/// What is open in another would be ended by nobody.
async fn refuse_a_second_ledger(connection: &Connection) -> Result<()> {
    let sql = other_ledger("current_user");
    let rows = connection.query(&Query::new(&sql)).await?;
    match rows.first() {
        None => Ok(()),
        Some(row) => {
            let other: &str = row.try_get(0)?;
            Err(Failure::setup(format!(
                "the function's user has its ledger in database `{other}`: name that in `LEDGER_DB`; or, to move it, end all \
                 that is open there (`symctl revoke --all`), and then drop its schema `sym`, as its owner ({AS_OWNER})"
            )))
        }
    }
}

async fn bring_up_to_date(connection: &Connection, database: &str) -> Result<()> {
    let result = async {
        // Before anything is made here, for which we may lack the right: its advice would be to
        // make a second one by hand.
        refuse_a_second_ledger(connection).await?;
        // Undone by a failover to a standby that doesn't have it, it is done again by the next
        // connection; and all access waits for it.
        let begin = "BEGIN; SET LOCAL synchronous_commit = local";
        connection.run(&format!("{begin}; {}", lock())).await?;
        let rows = connection
            .query(&Query::new(&format!(
                "SELECT {INSTALLED}, pg_get_userbyid(nspowner)::text, pg_get_userbyid(nspowner) = current_user \
                 FROM pg_namespace WHERE nspname = 'sym'"
            )))
            .await?;
        let installed: Option<i32> = match rows.first() {
            Some(row) if row.try_get(2)? => row.try_get(0)?,
            Some(row) => return Err(belongs_to(row.try_get(1)?, database)),
            None => return Err(missing(database)),
        };
        let installed = installed.unwrap_or(0);
        if installed < VERSION {
            for (version, tables) in TABLES {
                if *version > installed {
                    connection.run(tables).await?;
                }
            }
            connection.run(FUNCTIONS).await?;
            connection.run(&version()).await?;
        }
        connection.run("COMMIT").await?;
        Ok::<(), Failure>(())
    }
    .await;
    result.map_err(|failure| {
        if failure.is_state(&SqlState::INSUFFICIENT_PRIVILEGE) {
            missing(database)
        } else {
            failure
        }
    })
}

/// It isn't there, or not all that is in it is ours.
fn missing(database: &str) -> Failure {
    Failure::setup(format!(
        "schema `sym` in database `{database}` is missing or not the function's own: run what `symctl setup-sql` prints"
    ))
}

/// Whose functions the schema has, we don't know.
pub(super) fn belongs_to(owner: &str, database: &str) -> Failure {
    Failure::setup(format!(
        "schema `sym` in database `{database}` belongs to `{owner}`, and not to the function's user: where it was restored, \
         restore it with its owners; where it is no ledger, have it dropped, and run what `symctl setup-sql` prints"
    ))
}

/// The version in the schema's comment. NULL where somebody has put another there.
const INSTALLED: &str =
    "substring(obj_description(oid, 'pg_namespace') FROM 'sym-postgres ([0-9]{1,6})')::int4";

/// How schema `sym`, which is another's, stands to who logs in.
pub(super) struct Standing {
    /// Whether it is of this version, or a later one.
    pub(super) is_current: bool,
    /// Whether any of its functions may be called.
    pub(super) may_use: bool,
    /// Whether each may.
    pub(super) may_call_all: bool,
}

/// Looks how it stands, where there is one.
pub(super) async fn standing(connection: &Connection) -> Result<Standing> {
    // Who may not look into a schema may not ask for its functions by name.
    let sql = format!(
        "SELECT EXISTS (SELECT FROM pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'version_{VERSION}') \
                    OR coalesce({INSTALLED} >= {VERSION}, false), \
                has_schema_privilege(n.oid, 'USAGE') AND coalesce(f.some, false), \
                has_schema_privilege(n.oid, 'USAGE') AND coalesce(f.each, false) \
         FROM (SELECT oid FROM pg_namespace WHERE nspname = 'sym') n, \
              LATERAL (SELECT bool_or(may) AS some, bool_and(may) AS each \
                       FROM (SELECT has_function_privilege(p.oid, 'EXECUTE') AS may \
                             FROM pg_proc p WHERE p.pronamespace = n.oid) p) f"
    );
    let rows = connection.query(&Query::new(&sql)).await?;
    match rows.first() {
        Some(row) => Ok(Standing {
            is_current: row.try_get(0)?,
            may_use: row.try_get(1)?,
            may_call_all: row.try_get(2)?,
        }),
        None => Ok(Standing {
            is_current: false,
            may_use: false,
            may_call_all: false,
        }),
    }
}

/// Refuses a person's work with a ledger of an earlier version, which is the function's to bring
/// up to date.
///
/// # Errors
/// `database-setup`.
pub(super) async fn check(connection: &Connection, database: &str) -> Result<()> {
    if standing(connection).await?.is_current {
        return Ok(());
    }
    Err(Failure::setup(format!(
        "the ledger in database `{database}` is older than this `symctl`, whose version is {VERSION}: the function of the \
         same release brings it up to date with its next event, such as its sweep"
    )))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    /// A ledger of the same version is never brought up to date.
    #[test]
    fn what_is_installed_changes_with_the_version_alone() {
        let mut digest = Sha256::new();
        for (_, tables) in TABLES {
            digest.update(tables);
        }
        digest.update(FUNCTIONS);
        let digest = format!("{:x}", digest.finalize());
        assert_eq!(
            (VERSION, digest.as_str()),
            (
                14,
                "2f11b51bc5596edfca99a4910202dcecbe1760c521dec2710c5cce62e40589fc"
            ),
            "`schema/` has changed: raise VERSION, unless what it was is in no release, and put both here"
        );
    }
}
