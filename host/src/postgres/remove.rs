//! Removing a temporary user, in stages: each is committed, and each may run
//! again. The access ends with the first; the rest is tidying up, and making sure.
//!
//! 1. [`disable`]: no login, no memberships.
//! 2. [`end_sessions`].
//! 3. [`databases`], and in each of them [`clear`]: what was granted to it is revoked,
//!    what it owned goes to the powerless role `sym_graveyard`.
//! 4. Beside both, the caller deletes the secret.
//! 5. [`drop_user`].
//! 6. [`finish`], which is also the last stage of giving a role back: no session
//!    is left, and the run has ended.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::{Failure, Result};
use super::ledger::Grant;
use crate::request::Run;

/// How often, and how long apart, we look whether ended sessions are gone. A
/// session ends at its next interrupt check, which is a matter of milliseconds.
pub const SESSION_CHECKS: u32 = 40;
/// See [`SESSION_CHECKS`].
pub const SESSION_CHECK_INTERVAL: Duration = Duration::from_millis(25);

/// Stage 1. The OID in the row is that of the user as long as there is one.
///
/// # Errors
/// A refusal of `sym.disable_user`, or what the connection ran into.
pub async fn disable(connection: &Connection, run: &Run, by: &str) -> Result<Disabled> {
    let run = run.srn();
    let query = Query::new("SELECT sym.disable_user($1, $2)::text")
        .text(&run)
        .text(&by);
    let answer = connection.call(&query).await?;
    Ok(Disabled {
        has_user: answer["has_user"] == true,
        kept: answer["kept"].as_str().map(str::to_owned),
        owners: answer["owners"].as_array().cloned().unwrap_or_default(),
        grant: Grant::from_json(&answer)?,
    })
}

/// A user that can't do anything any more, unless `kept` says why it can.
#[derive(Clone, Debug)]
pub struct Disabled {
    /// The run's row.
    pub grant: Grant,
    /// Whether there is a user at all.
    pub has_user: bool,
    /// Why not all of that could be done: the user, or a `membership`, is `held` by an open
    /// transaction, or the user is `privileged`. The rest is done all the same.
    pub kept: Option<String>,
    /// Names of the roles it had that own something now, and owned nothing before.
    pub owners: Vec<serde_json::Value>,
}

/// Stage 2: ends the user's sessions, and waits until they are gone. Returns
/// whether they are.
///
/// # Errors
/// What the connection ran into.
pub async fn end_sessions(connection: &Connection, user_oid: u32) -> Result<bool> {
    for _ in 0..SESSION_CHECKS {
        let query = Query::new("SELECT sym.end_sessions($1)").with(&user_oid, Type::OID);
        let rows = connection.query(&query).await?;
        let left: i32 = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        if left == 0 {
            return Ok(true);
        }
        tokio::time::sleep(SESSION_CHECK_INTERVAL).await;
    }
    Ok(false)
}

/// Stage 3: the databases in which something hangs on the user.
///
/// # Errors
/// What the connection ran into.
pub async fn databases(connection: &Connection, run: &Run) -> Result<Vec<String>> {
    let run = run.srn();
    let rows = connection
        .query(&Query::new("SELECT sym.databases_of_user($1)").text(&run))
        .await?;
    match rows.first() {
        Some(row) => Ok(row.try_get(0)?),
        None => Ok(Vec::new()),
    }
}

/// Stage 3, in one of these databases. What can keep an access, and what a failed try
/// would have to do again, is committed piece by piece; the rest is one transaction.
///
/// # Errors
/// What the connection ran into, among it what we may not reassign.
pub async fn clear(connection: &Connection, user_oid: u32) -> Result<()> {
    let name = "SELECT quote_ident(rolname) FROM pg_roles WHERE oid = $1";
    let rows = connection
        .query(&Query::new(name).with(&user_oid, Type::OID))
        .await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let user: &str = row.try_get(0)?;
    let disarm = format!("DO $$ DECLARE leaver oid := {user_oid}; {DISARM} $$");
    connection.run(&disarm).await?;
    // One simple query is one transaction.
    let rest = format!(
        "SET lock_timeout = '3s'; REASSIGN OWNED BY {user} TO sym_graveyard; DROP OWNED BY {user}"
    );
    connection.run(&rest).await
}

/// All leavers' things get one owner. What runs as its owner could read what others
/// have left, and until then what the leaver was granted: so a routine runs as who calls
/// it, a view, or a table with a rule or a trigger, which a foreign key is too, is
/// nobody else's any more, and what the function granted is revoked, with what was
/// granted on. Over what the leaver didn't own, it works no more anyhow.
///
/// Of more things than one transaction can lock, or move in its time, many are moved
/// here: everybody may make large objects.
///
/// Each statement by itself: one that fails, or would wait, keeps no other, and what the
/// time is too short for is the next sweep's. First the privileges, without which nothing
/// that runs as the leaver can do anything: exactly those that are listed, as ALL would
/// be refused to who may grant a column, or the use of a sequence, alone.
const DISARM: &str = "todo text[]; statement text; number int := 0; here oid; \
    since timestamptz := clock_timestamp(); latest timestamptz := since; \
    BEGIN \
    here := (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()); \
    PERFORM set_config('lock_timeout', '100ms', false); \
    todo := ARRAY(SELECT DISTINCT format('REVOKE %s ON %s %s FROM %s CASCADE', acl.privilege_type, \
                          CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass, leaver::regrole) \
               FROM pg_shdepend s JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid, aclexplode(c.relacl) acl \
               WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here \
                 AND acl.grantee = leaver) \
        || ARRAY(SELECT DISTINCT format('REVOKE %s (%I) ON TABLE %s FROM %s CASCADE', acl.privilege_type, a.attname, a.attrelid::regclass, \
                          leaver::regrole) \
               FROM pg_shdepend s JOIN pg_attribute a ON s.classid = 'pg_class'::regclass AND a.attrelid = s.objid AND NOT a.attisdropped, \
                    aclexplode(a.attacl) acl \
               WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid = here \
                 AND acl.grantee = leaver) \
        || ARRAY(SELECT format('REVOKE ALL ON %s %s FROM %s CASCADE', granted.kind, granted.name, leaver::regrole) FROM ( \
               SELECT DISTINCT CASE s.classid WHEN 'pg_proc'::regclass THEN 'ROUTINE' \
                          WHEN 'pg_namespace'::regclass THEN 'SCHEMA' WHEN 'pg_database'::regclass THEN 'DATABASE' \
                          WHEN 'pg_type'::regclass THEN 'TYPE' WHEN 'pg_language'::regclass THEN 'LANGUAGE' \
                          WHEN 'pg_foreign_server'::regclass THEN 'FOREIGN SERVER' WHEN 'pg_tablespace'::regclass THEN 'TABLESPACE' \
                          WHEN 'pg_foreign_data_wrapper'::regclass THEN 'FOREIGN DATA WRAPPER' \
                          WHEN 'pg_largeobject'::regclass THEN 'LARGE OBJECT' END AS kind, \
                      coalesce((SELECT format('%I.%I', n.nspname, t.typname) FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace \
                                WHERE s.classid = 'pg_type'::regclass AND t.oid = s.objid), \
                               (pg_identify_object(s.classid, s.objid, 0)).identity) AS name \
               FROM pg_shdepend s \
               WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a' AND s.dbid IN (0, here)) granted \
               WHERE granted.kind IS NOT NULL) \
        || ARRAY(SELECT format('ALTER ROUTINE %s SECURITY INVOKER', p.oid::regprocedure) \
                  FROM pg_proc p WHERE p.proowner = leaver AND p.prosecdef) \
        || ARRAY(SELECT DISTINCT format('REVOKE ALL ON %s FROM %s CASCADE', c.oid::regclass, CASE WHEN acl.grantee = 0 THEN 'PUBLIC' \
                          ELSE acl.grantee::regrole::text END) \
               FROM pg_class c, \
                    LATERAL (SELECT c.relacl UNION ALL SELECT a.attacl FROM pg_attribute a \
                             WHERE a.attrelid = c.oid AND NOT a.attisdropped) AS every (one), \
                    LATERAL aclexplode(every.one) acl \
               WHERE c.relowner = leaver AND (c.relkind = 'v' OR c.relhasrules OR c.relhastriggers) AND acl.grantee <> leaver \
                 AND (acl.grantee = 0 OR EXISTS (SELECT FROM pg_roles r WHERE r.oid = acl.grantee))) \
        || ARRAY(SELECT CASE s.classid WHEN 'pg_class'::regclass THEN format('ALTER TABLE %s OWNER TO sym_graveyard', s.objid::regclass) \
                          ELSE format('ALTER LARGE OBJECT %s OWNER TO sym_graveyard', s.objid) END \
               FROM pg_shdepend s LEFT JOIN pg_class c ON s.classid = 'pg_class'::regclass AND c.oid = s.objid \
               WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'o' AND s.dbid = here \
                 AND (s.classid = 'pg_largeobject'::regclass OR c.relkind IN ('r', 'p', 'v', 'm', 'f')) \
               OFFSET 500 LIMIT 200000); \
    FOREACH statement IN ARRAY todo LOOP \
        BEGIN \
            EXECUTE statement; \
        EXCEPTION WHEN OTHERS THEN NULL; \
        END; \
        number := number + 1; \
        IF number % 50 = 0 OR clock_timestamp() > latest + interval '20 ms' THEN \
            COMMIT; \
            latest := clock_timestamp(); \
            EXIT WHEN latest > since + interval '6 s'; \
        END IF; \
    END LOOP; END";

/// Stage 5: there is no user any more.
///
/// # Errors
/// `access-remains` with what blocks it, or what the connection ran into.
pub async fn drop_user(connection: &Connection, run: &Run) -> Result<Grant> {
    let run = run.srn();
    let answer = connection
        .call(&Query::new("SELECT sym.drop_user($1)::text").text(&run))
        .await?;
    Grant::from_json(&answer)
}

/// Stage 6, of either strategy: ends the sessions that could keep the access, or
/// all of the user's where `all` is wanted, and with that the run.
///
/// # Errors
/// `access-remains` where one can't be ended, or what the connection ran into.
pub async fn finish(connection: &Connection, run: &Run, all: bool) -> Result<Finished> {
    let run = run.srn();
    let query = Query::new("SELECT sym.finish($1, $2)::text")
        .text(&run)
        .with(&all, Type::BOOL);
    let answer = connection.call(&query).await?;
    Ok(Finished {
        sessions: answer["sessions"].as_u64().unwrap_or_default(),
        role_owns: answer["role_owns"] == true,
    })
}

/// What [`finish`] has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finished {
    /// How many sessions it has ended.
    pub sessions: u64,
    /// Whether the role, which owned nothing when it was lent, owns something now.
    pub role_owns: bool,
}

/// Whether a failure of [`clear`] only means that the last stage will say what
/// is in the way.
pub fn is_blocked(failure: &Failure) -> bool {
    failure.is_statement_refused() || failure.is_locked()
}
