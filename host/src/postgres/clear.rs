//! Clearing a database of what hangs on a temporary user that can't do anything any more:
//!
//! 1. What was granted to it is revoked.
//! 2. What it made by a right that PostgreSQL asks for only then ("doors": a foreign key, a
//!    trigger, a foreign table) is dropped. As long as some of it is there, or may be, and as
//!    long as there is a privilege, nobody uses anything that the user has made.
//! 3. What it owned goes to a powerless role that nobody else has, its heir.
//! 4. What is left goes.
//!
//! Each of the first three is in lists (`clear/`), which are committed piece by piece: what can
//! keep an access has to be gone, and what a failed try would have to do again. They end when
//! their time is over, and the next try goes on.

use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::{Connection, LOCK_TIMEOUT, Query, set_lock_timeout};
use super::failure::{Failure, Result};

/// Clears the connection's database, of a user that `may_act` still where not all that it could act
/// by was taken: its login, or a role. Where looking for what hangs on it `is_slow`, what it made is
/// closed before anything else. Where somebody keeps us waiting there, `end_lockers` ends who has
/// locked its catalogs, and says whether that was anybody.
///
/// # Errors
/// What the connection ran into, among it what we may not take or reassign, and what there was
/// no time for: see [`is_blocked`].
pub async fn clear(
    connection: &Connection,
    user_oid: u32,
    heir: Option<&str>,
    may_act: bool,
    is_slow: bool,
    end_lockers: impl AsyncFn() -> bool,
) -> Result<()> {
    let Some(leaver) = Leaver::find(connection, user_oid, heir, end_lockers).await? else {
        return Ok(());
    };
    // What is closed by this is opened again as soon as nothing is in the way.
    if is_slow
        && let Err(failure) = leaver.work_off(&CLOSING_OF_LEAVER).await
        && !is_blocked(&failure)
    {
        return Err(failure);
    }
    let granted = leaver.work_off(&GRANTED).await;
    if let Some(heir) = &leaver.heir {
        let look = leaver.fill(NOTHING_ELSE_GRANTED);
        let has_no_privilege = granted.is_ok() && !may_act && connection.run(&look).await.is_ok();
        leaver.shut_doors(has_no_privilege).await?;
        leaver.work_off(&MOVING).await?;
        let mut moved = leaver.move_the_rest(heir).await;
        if moved.as_ref().is_err_and(Failure::is_locked) && (leaver.end_lockers)().await {
            moved = leaver.move_the_rest(heir).await;
        }
        moved?;
        if !has_no_privilege {
            // What was closed for that privilege, which the heir doesn't have.
            leaver.work_off(&OPENING_FOR_HEIR).await?;
        }
    }
    granted.and(leaver.drop_the_rest().await)
}

/// Whether a failure of [`clear`] only means that the last stage of removing the user will say
/// what is in the way.
pub fn is_blocked(failure: &Failure) -> bool {
    failure.is_statement_refused() || failure.is_locked()
}

/// Who leaves, and who gets what that owned: as they stand in a statement.
struct Leaver<'a, F> {
    connection: &'a Connection,
    /// An `oid`.
    oid: String,
    /// An identifier.
    name: String,
    /// An identifier, where the leaver owns something.
    heir: Option<String>,
    /// A string, or `NULL`.
    heir_text: String,
    owns_routines: bool,
    end_lockers: F,
}

impl<'a, F: AsyncFn() -> bool> Leaver<'a, F> {
    /// None where there is no such user.
    async fn find(
        connection: &'a Connection,
        oid: u32,
        heir: Option<&str>,
        end_lockers: F,
    ) -> Result<Option<Self>> {
        let sql = format!(
            "SELECT quote_ident(r.rolname), quote_ident($2), quote_nullable($2), {OWNS_ROUTINES} FROM pg_roles r WHERE r.oid = $1"
        );
        let query = Query::new(&sql)
            .with(&oid, Type::OID)
            .with(&heir, Type::TEXT);
        let rows = connection.query(&query).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            connection,
            oid: format!("{oid}::oid"),
            name: row.try_get(0)?,
            heir: row.try_get(1)?,
            heir_text: row.try_get(2)?,
            owns_routines: row.try_get(3)?,
            end_lockers,
        }))
    }

    fn fill(&self, sql: &str) -> String {
        fill(sql, &self.oid, &self.heir_text)
    }

    /// Each list has its turn before any has more time.
    async fn work_off(&self, lists: &[List]) -> Result<()> {
        let mut left: Vec<&List> = lists.iter().collect();
        let mut result = Ok(());
        for (round, time) in LIST_TIMES.into_iter().enumerate() {
            if round > 0 {
                (self.end_lockers)().await;
            }
            let statements: Vec<String> = left
                .iter()
                .map(|list| self.fill(&list.to_sql(time)))
                .collect();
            let results = self.connection.run_each(time + LIST_OVERTIME, &statements);
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
    }

    /// # Errors
    /// Where one is there still, or may be.
    async fn shut_doors(&self, has_no_privilege: bool) -> Result<()> {
        let doors = self.work_off(&DOORS).await;
        let look = self.fill(NOTHING_KEPT);
        // What can't be found out in time is as bad as what is there.
        let no_doors = doors.and(self.connection.run(&look).await);
        if no_doors.is_err() {
            self.work_off(&CLOSING).await?;
        } else if !has_no_privilege
            && let Err(failure) = self.work_off(&CLOSING_OF_LEAVER).await
            && !is_blocked(&failure)
        {
            return Err(failure);
        }
        no_doors?;
        // With a privilege of its own it would run again.
        if has_no_privilege {
            self.work_off(&OPENING).await?;
        }
        Ok(())
    }

    /// What the lists have left is moved in one transaction. It stays so, also where something
    /// that others have granted to the user is still in the way.
    async fn move_the_rest(&self, heir: &str) -> Result<()> {
        // PostgreSQL gives a routine only to who may create in its schema. Since 16 a GRANT
        // keeps those of the same role waiting, so none is open for long.
        let (wait, lend, take) = if self.owns_routines {
            (
                set_lock_timeout(LENDING),
                format!("GRANT sym_graveyard TO {heir}; "),
                format!("; REVOKE sym_graveyard FROM {heir}"),
            )
        } else {
            (set_lock_timeout(LOCK_TIMEOUT), String::new(), String::new())
        };
        // One simple query is one transaction. The lists have set times of their own.
        let sql = format!(
            "{wait}; {lend}REASSIGN OWNED BY {} TO {heir}{take}; {}; {}",
            self.name,
            self.fill(NOTHING_LENT),
            self.fill(NOTHING_KEPT)
        );
        self.connection.run(&sql).await
    }

    /// The privileges that no list knows of.
    async fn drop_the_rest(&self) -> Result<()> {
        let sql = format!(
            "{}; {}; {}; DROP OWNED BY {}",
            set_lock_timeout(LOCK_TIMEOUT),
            self.fill(NOTHING_OWNED),
            self.fill(NOTHING_PASSED_ON),
            self.name
        );
        self.connection.run(&sql).await
    }
}

/// The statement for this leaver, and this heir. What stands for more than a name comes first, as
/// that has names in it.
fn fill(sql: &str, leaver: &str, heir: &str) -> String {
    sql.replace("{may_have}", MAY_HAVE)
        .replace("{most}", MOST)
        .replace("{passed_on}", PASSED_ON)
        .replace("{passing_on}", PASSING_ON)
        .replace("{column_grants}", COLUMN_GRANTS)
        .replace("{rights}", RIGHTS)
        .replace("{owners}", OWNERS)
        .replace("{heir_oid}", HEIR_OID)
        .replace("{leaver}", leaver)
        .replace("{heir}", heir)
}

/// One kind of what is taken from a leaver, or of what it has made, or of how it goes to the heir.
struct List {
    sql: &'static str,
    if_locked: IfLocked,
    /// Where what was done is looked at afterwards, as its `statements` are of what is there
    /// still: what says sooner that there is nothing more, or never.
    is_done: Option<&'static str>,
    /// Whose things it looks at, where that isn't the leaver alone: see [`OWNERS`].
    owners: &'static str,
}

/// What becomes of a list where something of it is locked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum IfLocked {
    /// It has failed, when it has done the others: what is left may be used.
    Fails,
    /// Nothing: what comes next does what is left, and waits for it.
    Leaves,
    /// It ends: what it drops others may have built on, and they would wait.
    Ends,
}

impl List {
    const fn new(sql: &'static str, if_locked: IfLocked) -> Self {
        Self {
            sql,
            if_locked,
            is_done: None,
            owners: OWNERS,
        }
    }

    const fn until(self, is_done: &'static str) -> Self {
        Self {
            is_done: Some(is_done),
            ..self
        }
    }

    /// The same, which looks at these owners' things alone.
    const fn of(self, owners: &'static str) -> Self {
        Self { owners, ..self }
    }

    /// The statement that works for so long, and fails where there is more to do.
    fn to_sql(&self, time: Duration) -> String {
        let Self {
            sql,
            if_locked,
            is_done,
            owners,
        } = *self;
        let is_undone = sql.contains("{begin_object}");
        let says = |is_so: bool| if is_so { "true" } else { "false" };
        format!("{BEGIN}{sql}{END}")
            .replace("{owners}", owners)
            .replace("{is_dropping}", says(if_locked == IfLocked::Ends))
            // As ourselves, as who granted it, and as ourselves after that; and then one look.
            .replace("{tries}", if is_done.is_some() { "3" } else { "0" })
            .replace("{is_done}", is_done.unwrap_or("true"))
            .replace("{begin_object}", BEGIN_OBJECT)
            .replace("{end_object}", if is_undone { END_OBJECT } else { "" })
            .replace("{undo}", if is_undone { UNDO } else { "" })
            .replace("{keep}", if is_undone { "" } else { KEEP })
            .replace("{needs_all}", says(if_locked == IfLocked::Fails))
            .replace("{time}", &format!("interval '{} ms'", time.as_millis()))
    }
}

const BEGIN: &str = include_str!("clear/begin.sql");
const END: &str = include_str!("clear/end.sql");

/// What was passed on from a privilege would be forgotten without it: where the one can't be taken,
/// the other stays.
const BEGIN_OBJECT: &str = "BEGIN";
const UNDO: &str = "IF passed_on <> '{}' THEN RAISE dependent_objects_still_exist; END IF;";
const END_OBJECT: &str = "EXCEPTION WHEN dependent_objects_still_exist THEN NULL; END;";

/// One object alone may take all of a list's time: what was done of it is done.
const KEEP: &str = "IF NOT lends AND clock_timestamp() > committed + interval '20 ms' THEN COMMIT; committed := clock_timestamp(); END IF;";

/// The privileges, without which nothing that runs as the leaver can do anything.
const GRANTED: [List; 3] = [
    List::new(include_str!("clear/relations.sql"), IfLocked::Fails).until(NOT_NAMED),
    List::new(include_str!("clear/columns.sql"), IfLocked::Fails).until(NOT_NAMED),
    List::new(include_str!("clear/others.sql"), IfLocked::Fails).until(NOT_NAMED),
];

/// Whether an object's privileges, from which nothing was passed on, don't name the leaver any
/// more. By the object, of which there are few, and not by the leaver.
const NOT_NAMED: &str = "coalesce(passed_on, '{}') = '{}' AND NOT EXISTS (SELECT FROM ( \
    SELECT s.refclassid, s.refobjid, s.deptype FROM pg_shdepend s WHERE s.dbid IN (0, here) \
        AND s.classid = object.classid AND s.objid = object.objid AND s.objsubid = object.objsubid OFFSET 0) s \
    WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = leaver AND s.deptype = 'a')";

/// What keeps a right.
const DOORS: [List; 1] = [List::new(include_str!("clear/doors.sql"), IfLocked::Ends)];

const CLOSE: List = List::new(include_str!("clear/closing.sql"), IfLocked::Fails).until("false");

/// As long as there are such.
const CLOSING: [List; 1] = [CLOSE];

/// As long as the leaver has a privilege, and there are none.
const CLOSING_OF_LEAVER: [List; 1] = [CLOSE.of("ARRAY[{leaver}]")];

const OPEN: List = List::new(include_str!("clear/opening.sql"), IfLocked::Fails);

/// When there is neither. Before anything is moved, as nobody would come back for it.
const OPENING: [List; 1] = [OPEN];

/// When all of it is the heir's.
const OPENING_FOR_HEIR: [List; 1] = [OPEN.of("ARRAY[{heir_oid}]")];

/// And then it goes to the heir.
const MOVING: [List; 2] = [
    List::new(include_str!("clear/schemas.sql"), IfLocked::Leaves),
    List::new(include_str!("clear/moving.sql"), IfLocked::Leaves),
];

/// How long each list is worked off; and once more, of those for which that was too short.
const LIST_TIMES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

/// How much longer it may take to find out what is in one.
const LIST_OVERTIME: Duration = Duration::from_secs(1);

/// What the leaver made by a right that its heir doesn't have, and PostgreSQL doesn't ask for
/// again.
const RIGHTS: &str = include_str!("clear/rights.sql");

/// Whether the leaver owns what needs CREATE in a schema to be given away: by REASSIGN
/// OWNED, relations and types need none. By the kinds of what the database has, and not by what
/// hangs on the leaver, of which anybody makes any number, as by policies.
const OWNS_ROUTINES: &str = "r.oid = ANY (ARRAY(SELECT s.refobjid FROM pg_shdepend s \
    WHERE s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())) AND s.deptype = 'o' \
        AND s.classid = ANY (ARRAY(SELECT c.oid FROM pg_class c \
            WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND c.oid NOT IN ('pg_class'::regclass, \
                'pg_type'::regclass, 'pg_largeobject'::regclass, 'pg_default_acl'::regclass, 'pg_user_mapping'::regclass, \
                'pg_policy'::regclass)))))";

/// Longest wait for a lock while others may wait for `sym_graveyard`.
const LENDING: Duration = Duration::from_millis(300);

/// Privileges on columns that were granted by who can't grant them any more.
const PASSED_ON: &str = include_str!("clear/passed_on.sql");

/// Those that others than the table's owner have granted.
const COLUMN_GRANTS: &str = include_str!("clear/column_grants.sql");

/// Those that may become such.
const PASSING_ON: &str = include_str!("clear/passing_on.sql");

/// How much of what hangs on the leaver is looked through for what was granted to it.
const MOST: &str = "1000000";

/// Who has what the leaver made.
const OWNERS: &str = "ARRAY[{leaver}, {heir_oid}]";

const HEIR_OID: &str = "(SELECT heir.oid FROM pg_roles heir WHERE heir.rolname = {heir})";

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

/// What no list takes, but DROP OWNED: row level policies, default privileges, user mappings and
/// parameters. And whether the lists could see all: anybody may grant the leaver any number of large
/// objects, so that a look is never at its end.
const NOTHING_ELSE_GRANTED: &str = "DO $$ DECLARE has_more boolean; BEGIN \
    SELECT count(*) = {most} OR coalesce(bool_or(s.deptype = 'r' \
            OR s.deptype = 'a' AND s.classid IN ('pg_default_acl'::regclass, to_regclass('pg_catalog.pg_parameter_acl')) \
            OR s.classid = 'pg_user_mapping'::regclass), false) INTO has_more \
        FROM (SELECT s.deptype, s.classid FROM pg_shdepend s \
              WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {leaver} LIMIT {most}) s; \
    IF has_more THEN \
        RAISE lock_not_available USING MESSAGE = 'there are privileges that no list takes'; \
    END IF; END $$";

/// It would be dropped.
const NOTHING_OWNED: &str = "DO $$ BEGIN \
    IF EXISTS (SELECT FROM pg_shdepend s WHERE s.refclassid = 'pg_authid'::regclass \
               AND s.refobjid = {leaver} AND s.deptype = 'o' AND s.classid NOT IN ('pg_default_acl'::regclass, 'pg_user_mapping'::regclass) \
               AND s.dbid IN (0, (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))) THEN \
        RAISE lock_not_available USING MESSAGE = 'somebody has given something to the user meanwhile'; \
    END IF; END $$";

/// What was passed on by a column, and the lists could not take, would be forgotten.
const NOTHING_PASSED_ON: &str = "DO $$ DECLARE what text; BEGIN \
    SELECT format('%I of %s, by %I', a.attname, c.oid::regclass, pg_get_userbyid(further.grantor)) INTO what \
        FROM pg_shdepend s JOIN pg_class c ON c.oid = s.objid JOIN pg_attribute a ON a.attrelid = c.oid AND NOT a.attisdropped, \
             aclexplode(c.relacl) acl, aclexplode(a.attacl) further \
        WHERE s.refclassid = 'pg_authid'::regclass AND s.refobjid = {leaver} AND s.deptype = 'a' \
          AND s.dbid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) \
          AND s.classid = 'pg_class'::regclass AND s.objsubid = 0 \
          AND acl.grantee = {leaver} AND acl.is_grantable AND further.grantor <> c.relowner LIMIT 1; \
    IF FOUND THEN \
        RAISE lock_not_available USING MESSAGE = 'a column was passed on, and only who owns the table can take that: ' || what; \
    END IF; END $$";

#[cfg(test)]
mod tests {
    use super::*;

    /// The server would say so, to nobody but the log.
    #[test]
    fn nothing_is_left_to_be_filled_in() {
        let lists = [
            &GRANTED[..],
            &DOORS,
            &CLOSING,
            &CLOSING_OF_LEAVER,
            &OPENING,
            &OPENING_FOR_HEIR,
            &MOVING,
        ];
        let lists = lists.into_iter().flatten();
        let statements = lists.map(|list| list.to_sql(LIST_TIMES[0])).chain(
            [
                NOTHING_KEPT,
                NOTHING_LENT,
                NOTHING_ELSE_GRANTED,
                NOTHING_OWNED,
                NOTHING_PASSED_ON,
            ]
            .map(str::to_owned),
        );
        for sql in statements {
            let filled = fill(&sql, "1::oid", "'heir'");
            // An empty array is no name.
            let name = filled
                .split('{')
                .skip(1)
                .find(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
            assert_eq!(name, None);
        }
    }
}
