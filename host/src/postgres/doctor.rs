//! What has to be there before the first event, looked up by name.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use tokio_postgres::types::Type;

use super::connection::{Connection, Query};
use super::failure::{Names, Result};
use super::sweep::Unexplained;
use crate::error::Error;

/// What the server says of the function's user and of what it needs.
#[derive(Clone, Debug, Deserialize)]
pub struct Facts {
    /// Whose the ledger is. What is called from outside runs as this user, whoever we log in as.
    #[serde(skip)]
    pub owner: String,
    /// `server_version_num`.
    pub version: i32,
    /// May make users.
    pub can_create_roles: bool,
    /// `sym_managed`: whether it is there, and we may add members.
    pub marker: Option<bool>,
    /// What `sym_managed` owns, some of it.
    pub marker_owns: Vec<String>,
    /// `sym_graveyard`: whether it is there, and we have its rights and may add members.
    pub graveyard: Option<bool>,
    /// How many roles have what a temporary user left.
    pub heirs: i64,
    /// `sym_admins`: whether it is there, and we are in it.
    pub admins: Option<bool>,
    /// May end other people's sessions.
    pub can_signal: bool,
    /// May end workers of autovacuum; before 18 nobody may but superusers.
    pub can_signal_workers: Option<bool>,
    /// RDS keeps commands with passwords for `rds_password`, and we aren't in it.
    pub passwords_restricted: bool,
    /// The roles that the ledger lends: of those that were asked for, and of those on which we
    /// have the ADMIN option.
    pub lendable: BTreeSet<String>,
    /// The sentence for each of these that it never lends, whatever is granted.
    #[serde(skip)]
    pub never_lent: BTreeMap<String, String>,
    /// Since 16: the roles on which we have the ADMIN option and that we could use ourselves.
    pub usable: Vec<Usable>,
    /// Before 16: the roles on which we have the ADMIN option, and so are a member of, and that are
    /// privileged or the system's, or reach one that is.
    pub held: Vec<Held>,
    /// Which of the roles that were asked for don't exist.
    pub missing: Vec<String>,
    /// Databases in which the user seems to have a ledger besides this one.
    pub other_ledgers: Vec<String>,
    /// Which of the databases that were asked for are in SQL_ASCII.
    pub unencoded: Vec<String>,
    /// Commits wait for a synchronous standby, and no standby at all is connected.
    pub lacks_standby: bool,
    /// What it has given and no open run explains.
    pub unexplained: Unexplained,
    /// How many runs are open.
    pub open: i64,
    /// How many of them should not be.
    pub overdue: i64,
}

/// A membership in a role that is lent, with INHERIT or SET.
#[derive(Clone, Debug, Deserialize)]
pub struct Usable {
    /// The role, as a statement names it.
    pub role: String,
    /// The statement that takes INHERIT and SET, for a superuser or who granted it.
    pub fix: String,
}

/// A membership in a role that is never lent.
#[derive(Clone, Debug, Deserialize)]
pub struct Held {
    /// The role, as a statement names it.
    pub role: String,
    /// The statement that takes it.
    pub fix: String,
}

/// Whose the ledger is.
const OWNER: &str =
    "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'sym'";

const FACTS: &str = "SELECT jsonb_build_object( \
    'version', current_setting('server_version_num')::int, \
    'can_create_roles', (SELECT rolcreaterole FROM pg_roles WHERE rolname = $1), \
    'marker', (SELECT pg_has_role($1, oid, 'MEMBER WITH ADMIN OPTION') FROM pg_roles WHERE rolname = 'sym_managed'), \
    'marker_owns', ARRAY(SELECT CASE WHEN s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) \
            THEN pg_describe_object(s.classid, s.objid, s.objsubid) \
            ELSE (SELECT 'something in database ' || d.datname FROM pg_database d WHERE d.oid = s.dbid) END \
        FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid \
        WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = 'sym_managed' AND s.deptype = 'o' \
        GROUP BY 1 ORDER BY 1 LIMIT 10), \
    'graveyard', (SELECT pg_has_role($1, oid, 'MEMBER WITH ADMIN OPTION') AND pg_has_role($1, oid, 'USAGE') FROM pg_roles WHERE rolname = 'sym_graveyard'), \
    'heirs', (SELECT count(*) FROM pg_roles WHERE starts_with(rolname::text, 'sym_graveyard_')), \
    'admins', (SELECT pg_has_role($1, oid, 'MEMBER') FROM pg_roles WHERE rolname = 'sym_admins'), \
    'can_signal', pg_has_role($1, 'pg_signal_backend', 'USAGE'), \
    'can_signal_workers', (SELECT pg_has_role($1, oid, 'USAGE') FROM pg_roles WHERE rolname = 'pg_signal_autovacuum_worker'), \
    'passwords_restricted', coalesce(current_setting('rds.restrict_password_commands', true), 'off') IN ('on', '1') \
        AND NOT coalesce((SELECT pg_has_role($1, oid, 'USAGE') FROM pg_roles WHERE rolname = 'rds_password'), false), \
    'lendable', (SELECT coalesce(jsonb_agg(r.rolname ORDER BY r.rolname), '[]') FROM pg_auth_members m \
        JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles b ON b.oid = m.member \
        WHERE b.rolname = $1 AND m.admin_option AND r.rolname !~ '^sym_' \
          AND NOT EXISTS (SELECT FROM pg_auth_members t JOIN pg_roles s ON s.oid = t.roleid \
                          WHERE t.member = r.oid AND s.rolname = 'sym_managed')), \
    'usable', (SELECT coalesce(jsonb_agg(to_jsonb(u) ORDER BY u.role, u.fix), '[]') FROM ( \
        SELECT m.roleid::regrole::text AS role, format('GRANT %s TO %s WITH INHERIT FALSE, SET FALSE GRANTED BY %s;', \
                   m.roleid::regrole, m.member::regrole, m.grantor::regrole) AS fix \
        FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles b ON b.oid = m.member, \
             LATERAL (SELECT to_jsonb(m) AS options) o \
        WHERE b.rolname = $1 AND r.rolname !~ '^sym_' \
          AND ((o.options ->> 'inherit_option')::boolean OR (o.options ->> 'set_option')::boolean) \
          AND EXISTS (SELECT FROM pg_auth_members a WHERE a.roleid = m.roleid AND a.member = m.member AND a.admin_option) \
          AND NOT EXISTS (SELECT FROM pg_auth_members t JOIN pg_roles s ON s.oid = t.roleid \
                          WHERE t.member = r.oid AND s.rolname = 'sym_managed')) u), \
    'held', (SELECT coalesce(jsonb_agg(to_jsonb(h) ORDER BY h.role), '[]') FROM ( \
        SELECT r.oid::regrole::text AS role, format('REVOKE %s FROM %s;', r.oid::regrole, b.oid::regrole) AS fix \
        FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles b ON b.oid = m.member \
        WHERE b.rolname = $1 AND m.admin_option AND current_setting('server_version_num')::int < 160000 \
          AND EXISTS (SELECT FROM pg_roles a WHERE pg_has_role(r.oid, a.oid, 'MEMBER') \
                      AND (a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication OR a.rolbypassrls \
                           OR lower(left(a.rolname, 3)) IN ('pg_', 'rds') AND a.rolname <> 'pg_signal_backend'))) h), \
    'missing', (SELECT coalesce(jsonb_agg(n ORDER BY n), '[]') FROM unnest($2) n \
        WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = n)), \
    'other_ledgers', sym.other_ledgers(), \
    'unencoded', (SELECT coalesce(jsonb_agg(datname ORDER BY datname), '[]') FROM pg_database \
        WHERE datname = ANY ($3) AND pg_encoding_to_char(encoding) = 'SQL_ASCII'), \
    'lacks_standby', current_setting('synchronous_standby_names') <> '' AND NOT EXISTS (SELECT FROM pg_stat_replication), \
    'unexplained', sym.unexplained(), \
    'open', (SELECT count(*) FROM sym.open_grants()), \
    'overdue', (SELECT count(*) FROM sym.overdue()))::text";

/// Looks all of it up, for the ledger's owner, who should lend these roles, and works in these
/// databases.
///
/// # Errors
/// What the connection ran into.
pub async fn facts(connection: &Connection, roles: &[&str], databases: &[&str]) -> Result<Facts> {
    let rows = connection.query(&Query::new(OWNER)).await?;
    let owner = rows.first().map(|row| row.try_get::<_, String>(0));
    let owner = owner.transpose()?.unwrap_or_default();
    let bot = owner.as_str();
    let query = Query::new(FACTS)
        .with(&bot, Type::NAME)
        .with(&roles, Type::TEXT_ARRAY)
        .with(&databases, Type::TEXT_ARRAY);
    let answer = connection.call(&query).await?;
    let mut facts = Facts::deserialize(&answer).map_err(|error| {
        Error::internal("the server's answer is not as expected").with_source(error)
    })?;
    let asked = roles.iter().map(|role| (*role).to_owned());
    let mut looked_at: BTreeSet<String> = asked.chain(facts.lendable).collect();
    looked_at.retain(|role| !facts.missing.contains(role));
    facts.lendable = BTreeSet::new();
    for role in looked_at {
        let query = Query::new(CHECK).text(&role);
        match connection.query(&query).await {
            Ok(_) => {
                facts.lendable.insert(role);
            }
            Err(failure) if failure.refused_why() == Some("no-admin") => {}
            Err(failure) if failure.is_refusal("role-refused") => {
                let names = Names {
                    role: &role,
                    bot,
                    ..Names::default()
                };
                let sentence = failure.into_error(names).message().to_owned();
                facts.never_lent.insert(role, sentence);
            }
            Err(failure) => return Err(failure),
        }
    }
    facts.owner = owner;
    Ok(facts)
}

/// What an event asks before it lends a role.
const CHECK: &str = "SELECT sym.check_lendable($1)";

/// Whether an heir of what a temporary user has made in schema `public` may get it: of the
/// database of this connection. None where there is no such schema, or no `sym_graveyard`.
///
/// # Errors
/// What the connection ran into.
pub async fn heirs_may_create(connection: &Connection) -> Result<Option<bool>> {
    let sql = "SELECT has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_schema_privilege(r.oid, n.oid, 'CREATE') \
               FROM pg_roles r, pg_namespace n WHERE r.rolname = 'sym_graveyard' AND n.nspname = 'public'";
    let rows = connection.query(&Query::new(sql)).await?;
    Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
}
