//! Removing a temporary user, in stages: each is committed, and each may run
//! again. The access ends with the first; the rest is tidying up, and making sure.
//!
//! 1. [`disable`]: no login, no memberships.
//! 2. [`end_sessions`].
//! 3. [`belongings`], and in each of the databases [`clear`]: what was granted to it is
//!    revoked, and then what it owned goes to a powerless role that nobody else has.
//! 4. Beside both, the caller deletes the secret.
//! 5. [`drop_user`].
//! 6. [`finish`], which is also the last stage of giving a role back: no session
//!    is left, and the run has ended.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, LOCK_TIMEOUT, Query, set_lock_timeout};
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

/// Stage 2: ends the user's sessions, and waits until they are gone.
///
/// # Errors
/// `access-remains` where they are not, or what the connection ran into.
pub async fn end_sessions(connection: &Connection, user_oid: u32) -> Result<()> {
    for _ in 0..SESSION_CHECKS {
        let query = Query::new("SELECT sym.end_sessions($1)").with(&user_oid, Type::OID);
        let rows = connection.query(&query).await?;
        let left: i32 = match rows.first() {
            Some(row) => row.try_get(0)?,
            None => 0,
        };
        if left == 0 {
            return Ok(());
        }
        tokio::time::sleep(SESSION_CHECK_INTERVAL).await;
    }
    let query = Query::new("SELECT sym.refuse_sessions($1)").with(&user_oid, Type::OID);
    connection.query(&query).await.map(drop)
}

/// What [`belongings`] has found.
#[derive(Clone, Debug)]
pub struct Belongings {
    /// The databases in which something hangs on the user.
    pub databases: Vec<String>,
    /// The name of the role that gets what the user owns, where it owns something: each
    /// user has one of its own.
    pub heir: Option<String>,
}

/// Stage 3: what hangs on the user, which we may take from now on.
///
/// # Errors
/// A refusal of `sym.belongings`, or what the connection ran into.
pub async fn belongings(connection: &Connection, run: &Run) -> Result<Belongings> {
    let run = run.srn();
    let answer = connection
        .call(&Query::new("SELECT sym.belongings($1)::text").text(&run))
        .await?;
    let databases = answer["databases"].as_array().into_iter().flatten();
    Ok(Belongings {
        databases: databases
            .filter_map(|name| name.as_str().map(str::to_owned))
            .collect(),
        heir: answer["heir"].as_str().map(str::to_owned),
    })
}

/// Stage 3, in one of these databases. What can keep an access, and what a failed try
/// would have to do again, is committed piece by piece; the rest is a transaction that moves
/// what it owned, and one that takes what is left.
///
/// # Errors
/// What the connection ran into, among it what we may not reassign.
pub async fn clear(connection: &Connection, user_oid: u32, heir: Option<&str>) -> Result<()> {
    let look = format!(
        "SELECT quote_ident(r.rolname), quote_ident($2), quote_nullable($2), {OWNS_ROUTINES} FROM pg_roles r WHERE r.oid = $1"
    );
    let look = Query::new(&look)
        .with(&user_oid, Type::OID)
        .with(&heir, Type::TEXT);
    let rows = connection.query(&look).await?;
    let Some(row) = rows.first() else {
        return Ok(());
    };
    let (user, heir): (&str, Option<&str>) = (row.try_get(0)?, row.try_get(1)?);
    let (heir_text, owns_routines): (&str, bool) = (row.try_get(2)?, row.try_get(3)?);
    let leaver = format!("{user_oid}::oid");
    let fill = |sql: &str| {
        sql.replace("{may_have}", MAY_HAVE)
            .replace("{rights}", RIGHTS)
            .replace("{owners}", OWNERS)
            .replace("{leaver}", &leaver)
            .replace("{heir}", heir_text)
    };
    let work_off = async |lists: &[List]| {
        // Each has its turn before any has more time.
        let mut left: Vec<&List> = lists.iter().collect();
        let mut result = Ok(());
        for time in LIST_TIMES {
            let statements: Vec<String> =
                left.iter().map(|list| fill(&list.to_sql(time))).collect();
            let results = connection.run_each(time + LIST_OVERTIME, &statements);
            result = Ok(());
            let mut unfinished = Vec::new();
            for (list, done) in left.into_iter().zip(results.await?) {
                if let Err(failure) = done {
                    unfinished.push(list);
                    result = Err(failure);
                }
            }
            left = unfinished;
            if left.is_empty() {
                break;
            }
        }
        result
    };
    let granted = work_off(&GRANTED).await;
    if heir.is_some() {
        // What can't be found out in time is as bad as what is there.
        let doors = work_off(&DOORS).await;
        let look = fill(NOTHING_KEPT);
        let no_doors = doors.and(connection.run(&look).await);
        if granted.is_err() || no_doors.is_err() {
            work_off(&CLOSING).await?;
        }
        no_doors?;
        // With a privilege of its own it would run again.
        if granted.is_ok() {
            work_off(&OPENING).await?;
        }
        work_off(&MOVING).await?;
    }
    // The lists have set their own.
    let wait = set_lock_timeout(LOCK_TIMEOUT);
    if let Some(heir) = heir {
        // PostgreSQL gives a routine only to who may create in its schema. Since 16 a GRANT
        // keeps those of the same role waiting, so none is open for long.
        let (wait, lend, take) = if owns_routines {
            (
                set_lock_timeout(LENDING),
                format!("GRANT sym_graveyard TO {heir}; "),
                format!("; REVOKE sym_graveyard FROM {heir}"),
            )
        } else {
            (wait.clone(), String::new(), String::new())
        };
        // One simple query is one transaction. What is moved stays so, also where something
        // that others have granted to the user keeps the last part from being done.
        let move_all = format!(
            "{wait}; {lend}REASSIGN OWNED BY {user} TO {heir}{take}; {}; {}",
            fill(NOTHING_LENT),
            fill(NOTHING_KEPT)
        );
        connection.run(&move_all).await?;
    }
    let drop = format!("{wait}; {}; DROP OWNED BY {user}", fill(NOTHING_OWNED));
    granted.and(connection.run(&drop).await)
}

/// One kind of what is taken from a leaver, or of what it has made, or of how it goes to the heir.
struct List {
    sql: &'static str,
    /// Whether it drops what others may have built on: the first that is locked ends it.
    is_dropping: bool,
}

impl List {
    const fn new(sql: &'static str) -> Self {
        Self {
            sql,
            is_dropping: false,
        }
    }

    /// The statement that works for so long, and fails where there is more to do.
    fn to_sql(&self, time: Duration) -> String {
        let Self { sql, is_dropping } = *self;
        format!("{BEGIN}{sql}{END}")
            .replace("{is_dropping}", if is_dropping { "true" } else { "false" })
            .replace("{time}", &format!("interval '{} ms'", time.as_millis()))
    }
}

const BEGIN: &str = include_str!("clear/begin.sql");
const END: &str = include_str!("clear/end.sql");

/// The privileges, without which nothing that runs as the leaver can do anything.
const GRANTED: [List; 3] = [
    List::new(include_str!("clear/relations.sql")),
    List::new(include_str!("clear/columns.sql")),
    List::new(include_str!("clear/others.sql")),
];

/// What keeps a right.
const DOORS: [List; 1] = [List {
    sql: include_str!("clear/doors.sql"),
    is_dropping: true,
}];

/// As long as there are such, or a privilege.
const CLOSING: [List; 1] = [List::new(include_str!("clear/closing.sql"))];

/// When there are none. Before anything is moved, as nobody would come back for it.
const OPENING: [List; 1] = [List::new(include_str!("clear/opening.sql"))];

/// And then it goes to the heir.
const MOVING: [List; 2] = [
    List::new(include_str!("clear/schemas.sql")),
    List::new(include_str!("clear/moving.sql")),
];

/// How long each list is worked off; and once more, of those for which that was too short.
const LIST_TIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How much longer it may take to find out what is in one.
const LIST_OVERTIME: Duration = Duration::from_secs(1);

/// What the leaver made by a right that its heir doesn't have, and PostgreSQL doesn't ask for
/// again.
const RIGHTS: &str = include_str!("clear/rights.sql");

/// Whether the leaver owns what needs CREATE in a schema to be given away: by REASSIGN
/// OWNED, relations and types need none.
const OWNS_ROUTINES: &str = "EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass \
    AND s.refobjid = r.oid AND s.deptype = 'o' AND s.classid NOT IN ('pg_class'::regclass, 'pg_type'::regclass, \
        'pg_largeobject'::regclass, 'pg_default_acl'::regclass, 'pg_user_mapping'::regclass))";

/// Longest wait for a lock while others may wait for `sym_graveyard`.
const LENDING: Duration = Duration::from_millis(300);

/// Who has what the leaver made.
const OWNERS: &str =
    "ARRAY[{leaver}, (SELECT heir.oid FROM pg_roles heir WHERE heir.rolname = {heir})]";

/// Whether the heir may have something: it is to have nothing that keeps a right, and no role.
const MAY_HAVE: &str = "NOT EXISTS (SELECT FROM ({rights}) AS rights) \
    AND NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = {heir})";

/// Refuses to move anything as long as some of it is left: behind the locks, as who had one
/// may have done something meanwhile.
const NOTHING_KEPT: &str = "DO $$ DECLARE what text; BEGIN \
    SELECT rights.what INTO what FROM ({rights}) AS rights LIMIT 1; \
    IF FOUND THEN \
        RAISE lock_not_available USING MESSAGE = 'not moved, as it was made with a right that has ended: ' || what; \
    END IF; END $$";

/// What runs with the rights of its owner has none but over what that owns.
const NOTHING_LENT: &str = "DO $$ BEGIN \
    IF EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = {heir}) THEN \
        RAISE lock_not_available USING MESSAGE = 'what the user owns is not moved to who has a role'; \
    END IF; END $$";

/// It would be dropped.
const NOTHING_OWNED: &str = "DO $$ BEGIN \
    IF EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass \
               AND s.refobjid = {leaver} AND s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass) \
               AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))) THEN \
        RAISE lock_not_available USING MESSAGE = 'somebody has given something to the user meanwhile'; \
    END IF; END $$";

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
