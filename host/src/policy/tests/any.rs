//! What `any` lets pass, and what not even `any` does.

use super::SqlPolicy::Any;
use super::*;

#[test]
fn what_the_bot_may_do_passes() {
    for statement in [
        "SELECT 1",
        "INSERT INTO audit (who) VALUES ('zoë')",
        "UPDATE t SET a = 1 WHERE sym = 'AMZN'",
        "DELETE FROM t",
        "CREATE TABLE t (a int, b jsonb DEFAULT '{}'::jsonb)",
        "ALTER TABLE t OWNER TO \"zoë\"",
        "DROP TABLE t CASCADE",
        "CREATE SCHEMA s AUTHORIZATION \"zoë\"",
        "CREATE INDEX i ON t USING btree (a)",
        "CREATE VIEW v AS SELECT 1",
        "COMMENT ON TABLE t IS 'x'",
        "DO $$ BEGIN COMMIT; END $$",
        "CALL p(1)",
        "EXPLAIN SELECT 1",
        "CREATE ROLE x",
        "ALTER ROLE x NOLOGIN",
        "DROP ROLE x",
        "DROP OWNED BY x",
        "REASSIGN OWNED BY x TO \"zoë\"",
        "GRANT a TO \"zoë\" WITH SET FALSE",
        "GRANT a TO x",
        "GRANT \"zoë\" TO x",
        "GRANT select ON t TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES FOR ROLE x IN SCHEMA s GRANT select ON TABLES TO \"zoë\"",
        "ALTER ROLE \"zoë\" SET \"app.tenant\" TO x",
        "NOTIFY c",
        "REFRESH MATERIALIZED VIEW v",
        "ANALYZE t",
    ] {
        assert!(
            run(statement, Any).is_ok(),
            "{statement} {:?}",
            run(statement, Any)
        );
        check_refused(statement, SqlPolicy::Grants, "`any` would allow it");
    }
    assert!(
        run(
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT 1; END",
            Any
        )
        .is_ok()
    );
}

#[test]
fn the_transaction_and_the_session_are_the_hosts() {
    for statement in [
        "BEGIN",
        "START TRANSACTION",
        "COMMIT",
        "END",
        "COMMIT AND CHAIN",
        "ROLLBACK",
        "ABORT",
        "SAVEPOINT a",
        "ROLLBACK TO a",
        "RELEASE a",
        "PREPARE TRANSACTION 'a'",
        "COMMIT PREPARED 'a'",
        "ROLLBACK PREPARED 'a'",
    ] {
        check_refused(statement, Any, "the transaction is the host's");
    }
    for statement in [
        "SET ROLE a",
        "SET LOCAL ROLE a",
        "RESET ROLE",
        "SET SESSION AUTHORIZATION a",
        "RESET SESSION AUTHORIZATION",
        "SET work_mem = 1",
        "SET LOCAL search_path = a",
        "RESET ALL",
        "SET TRANSACTION READ ONLY",
        "SHOW work_mem",
        "SET standard_conforming_strings = off",
        "SET CONSTRAINTS ALL DEFERRED",
        "DISCARD ALL",
        "PREPARE a AS SELECT 1",
        "EXECUTE a",
        "DEALLOCATE ALL",
        "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
        "FETCH c",
        "MOVE c",
        "CLOSE c",
        "LISTEN a",
        "UNLISTEN *",
    ] {
        check_refused(statement, Any, "the session is the host's");
    }
}

#[test]
fn the_server_is_nobodys() {
    for statement in [
        "COPY t TO PROGRAM 'sh'",
        "COPY t FROM '/etc/passwd'",
        "COPY t TO STDOUT",
        "LOAD 'x'",
        "ALTER SYSTEM SET a = 1",
        "CREATE EXTENSION dblink",
        "ALTER EXTENSION x UPDATE",
        "CREATE LANGUAGE x",
        "CREATE FOREIGN DATA WRAPPER x",
        "ALTER DATABASE d SET work_mem = 1",
        "ALTER DATABASE d WITH CONNECTION LIMIT 1",
        "CREATE EVENT TRIGGER x ON ddl_command_start EXECUTE FUNCTION f()",
        "GRANT SET ON PARAMETER work_mem TO {username}",
        "GRANT ALTER SYSTEM ON PARAMETER archive_command TO x",
        "GRANT ALL ON PARAMETER work_mem TO {username}",
    ] {
        check_refused(statement, Any, "about the server or the whole database");
    }
    for statement in [
        "VACUUM",
        "VACUUM FULL t",
        "CREATE DATABASE d",
        "DROP DATABASE d",
        "CREATE TABLESPACE t LOCATION '/x'",
        "DROP TABLESPACE t",
        "CREATE INDEX CONCURRENTLY ON t (a)",
        "DROP INDEX CONCURRENTLY i",
        "REINDEX TABLE t",
        "CLUSTER",
        "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION p",
        "DROP SUBSCRIPTION s",
    ] {
        check_refused(statement, Any, "can't run in a transaction");
    }
    for statement in [
        "CHECKPOINT",
        "SECURITY LABEL ON ROLE x IS 'y'",
        "CREATE PUBLICATION p",
        "CREATE ACCESS METHOD m TYPE INDEX HANDLER h",
        "ALTER DATABASE d REFRESH COLLATION VERSION",
        "ALTER TABLE ALL IN TABLESPACE a SET TABLESPACE b",
    ] {
        check_refused(statement, Any, "which no plan may hold");
    }
}

#[test]
fn nothing_of_ours_is_named() {
    for statement in [
        "DROP SCHEMA sym CASCADE",
        "DROP SCHEMA a, \"sym\"",
        "CREATE SCHEMA sym",
        "CREATE SCHEMA IF NOT EXISTS sym",
        "ALTER SCHEMA sym OWNER TO {username}",
        "ALTER SCHEMA a RENAME TO sym",
        "ALTER TABLE t SET SCHEMA sym",
        "CREATE TABLE sym.t (a int)",
        "DROP TABLE sym.grants",
        "DELETE FROM sym.grants",
        "SELECT sym.expire()",
        "SELECT 1 FROM a, sym.grants",
        "SELECT sym /**/ . grants",
        "TRUNCATE sym.grants",
        "LOCK TABLE sym.grants",
        "EXPLAIN ANALYZE DELETE FROM sym.grants",
        "CREATE OR REPLACE FUNCTION sym.lend() RETURNS int LANGUAGE sql AS ''",
        "CREATE SCHEMA x CREATE VIEW v AS SELECT * FROM sym.grants",
        "GRANT SELECT ON t TO sym_bot",
        "ALTER TABLE t OWNER TO sym_graveyard",
        "ALTER TABLE t OWNER TO our_bot",
        "GRANT SELECT ON t TO \"Our_Bot\"",
        "CREATE POLICY p ON t TO our_bot USING (true)",
        "ALTER DEFAULT PRIVILEGES FOR ROLE x GRANT SELECT ON TABLES TO sym_managed",
    ] {
        check_refused(statement, Any, "reserved for this function");
    }
}

// In a string it is no name to the rule on names, and comes out as one.
#[test]
fn no_search_path_leads_to_us() {
    for path in ["sym", "'sym'", "a, 'SYM'", "'pg_catalog', a"] {
        let statement = format!("ALTER ROLE {{username}} SET search_path = {path}");
        check_refused(&statement, Any, "search_path");
    }
    check_same("ALTER ROLE \"zoë\" SET search_path TO a, b", Any);
}

#[test]
fn roles_of_ours_and_the_runs_user_are_left_alone() {
    let ours = "reserved for this function";
    let bot = "the role that this function logs in with";
    let user = "makes, changes or drops the user of the run";
    for (statement, expected) in [
        ("CREATE ROLE sym_x", ours),
        ("CREATE ROLE \"SYM_x\"", ours),
        ("ALTER ROLE sym_bot SUPERUSER", ours),
        ("DROP ROLE a, sym_managed", ours),
        ("DROP ROLE our_bot", ours),
        ("ALTER ROLE our_bot PASSWORD 'x'", ours),
        ("DROP OWNED BY sym_bot", ours),
        ("REASSIGN OWNED BY a TO our_bot", ours),
        ("GRANT a TO sym_bot", ours),
        ("GRANT a TO x GRANTED BY sym_bot", ours),
        ("GRANT sym_managed TO x", ours),
        ("REVOKE sym_managed FROM {username}", ours),
        ("GRANT our_bot TO x", "logs in with"),
        ("GRANT admin TO x", "not in GRANTABLE_ROLES"),
        ("GRANT rds_superuser TO x", "Amazon RDS"),
        ("GRANT pg_read_server_files TO x", "PostgreSQL"),
        ("ALTER ROLE CURRENT_USER SUPERUSER", bot),
        ("DROP OWNED BY CURRENT_ROLE", bot),
        ("GRANT a TO SESSION_USER", bot),
        ("REASSIGN OWNED BY x TO CURRENT_USER", bot),
        ("GRANT a TO x GRANTED BY CURRENT_USER", bot),
        ("CREATE ROLE {username}", user),
        ("ALTER ROLE {username} VALID UNTIL 'infinity'", user),
        ("DROP ROLE {username}", user),
        ("ALTER ROLE {username} RENAME TO x", "renames a role"),
        ("COMMENT ON ROLE {username} IS 'x'", "comments on a role"),
        (
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {username}",
            "what this function makes",
        ),
        (
            "ALTER DEFAULT PRIVILEGES FOR ROLE CURRENT_USER GRANT SELECT ON TABLES TO {username}",
            bot,
        ),
        ("ALTER ROLE x SET work_mem = 1", "settings of somebody else"),
        (
            "ALTER ROLE ALL SET work_mem = 1",
            "settings of somebody else",
        ),
        (
            "ALTER ROLE {username} SET standard_conforming_strings = off",
            "which no plan may change",
        ),
        (
            "ALTER ROLE {username} SET \"Session_Authorization\" = x",
            "which no plan may change",
        ),
    ] {
        check_refused(statement, Any, expected);
    }
}

#[test]
fn membership_needs_grant() {
    for statement in [
        "CREATE ROLE x IN ROLE admin",
        "CREATE ROLE x IN GROUP admin",
        "CREATE ROLE x ROLE y",
        "CREATE ROLE x ADMIN y",
        "CREATE GROUP x USER {username}",
        "ALTER GROUP admin ADD USER {username}",
        "ALTER GROUP admin DROP USER x",
    ] {
        check_refused(statement, Any, "a member of another without GRANT");
    }
    check_same("CREATE ROLE x WITH NOLOGIN CONNECTION LIMIT 1", Any);
}

#[test]
fn functions_that_reach_out_are_refused_where_they_can_be_seen() {
    for statement in [
        "SELECT set_config('role', 'admin', false)",
        "SELECT pg_catalog.set_config('a', 'b', true)",
        "SELECT \"set_config\" ('a', 'b', true)",
        "SELECT SET_CONFIG /**/ ('a', 'b', true)",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_read_binary_file('x')",
        "SELECT * FROM pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT lo_export(1, '/x')",
        "SELECT pg_advisory_unlock_all()",
        "SELECT dblink_exec('x', 'COMMIT')",
        "SELECT pg_reload_conf()",
        "CREATE VIEW v AS SELECT pg_read_file('x')",
        "SELECT query_to_xml('COMMIT', true, true, '')",
    ] {
        check_refused(statement, Any, "calls `");
    }
}
