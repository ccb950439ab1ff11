//! Each statement that `roles` and `grants` know, in both directions.

use super::SqlPolicy::{Grants, Roles};
use super::*;

#[test]
fn a_plain_grant_of_a_role_is_the_hosts_to_do() {
    for level in [Roles, Grants, SqlPolicy::Any] {
        check(
            "/* comment */ GRANT readonly TO {username};",
            level,
            "role readonly",
        );
        check("GRANT \"Read-Only\" TO zoë", level, "role Read-Only");
        check(
            "GRANT \"COMMIT; DROP ROLE x\" TO {username}",
            level,
            "role COMMIT; DROP ROLE x",
        );
        // No privilege: a role of that name.
        check("GRANT SELECT TO {username}", level, "role select");
        check_refused(
            "GRANT INSERT TO {username}",
            level,
            "grants role `insert`, which is not in GRANTABLE_ROLES",
        );
        check_refused(
            "GRANT sym_bot TO {username}",
            level,
            "reserved for this function",
        );
        check_refused("GRANT a, our_bot TO {username}", level, "logs in with");
        check_refused("GRANT a(b) TO {username}", level, "without saying on what");
    }
}

#[test]
fn a_grant_of_a_role_has_no_modifier_and_no_other_member() {
    let options = "the host sets these options itself";
    let somebody = "for somebody else";
    let new = "who is new and has no more than the plan grants";
    for (statement, expected) in [
        ("GRANT a TO {username} WITH ADMIN OPTION", options),
        ("GRANT a TO {username} WITH ADMIN FALSE", options),
        (
            "GRANT a TO {username} WITH INHERIT TRUE, SET FALSE",
            options,
        ),
        ("GRANT a TO {username} WITH SET TRUE", options),
        ("GRANT a TO {username} GRANTED BY our_bot", options),
        ("GRANT a TO {username} GRANTED BY CURRENT_USER", options),
        ("REVOKE ADMIN OPTION FOR a FROM {username}", options),
        ("REVOKE a FROM {username} CASCADE", options),
        ("REVOKE a FROM {username} GRANTED BY b", options),
        ("GRANT a TO b", somebody),
        ("GRANT a TO {username}, b", somebody),
        ("GRANT a TO PUBLIC", somebody),
        ("GRANT a TO \"public\"", somebody),
        ("GRANT a TO CURRENT_USER", somebody),
        ("GRANT a TO \"ZOË\"", somebody),
        ("GRANT {username} TO a", somebody),
        ("REVOKE a FROM b", somebody),
        ("REVOKE a FROM {username}", new),
        ("REVOKE a, b FROM {username} RESTRICT", new),
        ("REVOKE admin FROM {username}", new),
    ] {
        check_refused(statement, Grants, expected);
        check_refused(statement, Roles, "[not-allowed]");
    }
    check_same("REVOKE a FROM \"zoë\"", SqlPolicy::Any);
}

#[test]
fn nothing_is_named_twice() {
    for (statement, expected) in [
        ("GRANT SELECT ON t, u, t TO {username}", "names `t` twice"),
        ("GRANT SELECT ON t, \"t\" TO {username}", "names `t` twice"),
        (
            "GRANT SELECT ON d.s.t, d.s.t TO {username}",
            "names `d.s.t` twice",
        ),
        ("REVOKE SELECT ON t, t FROM {username}", "names `t` twice"),
        (
            "GRANT SELECT ON ALL TABLES IN SCHEMA q,q TO {username}",
            "names `q` twice",
        ),
        (
            "REVOKE SELECT ON ALL TABLES IN SCHEMA q,q FROM {username}",
            "names `q` twice",
        ),
        (
            "GRANT USAGE ON TYPE oid, Oid TO {username}",
            "names `oid` twice",
        ),
        (
            "GRANT USAGE ON SCHEMA s, s TO {username}",
            "names `s` twice",
        ),
        (
            "GRANT CONNECT ON DATABASE d, d TO {username}",
            "names `d` twice",
        ),
        (
            "GRANT SELECT ON LARGE OBJECT 1, 01 TO {username}",
            "names `1` twice",
        ),
        (
            "GRANT SELECT ON LARGE OBJECT 4294967295, 4294967295 TO {username}",
            "names `4294967295` twice",
        ),
        (
            "GRANT EXECUTE ON FUNCTION s.f(a int), s.f(b int) TO {username}",
            "names `s.f` twice",
        ),
        (
            "GRANT EXECUTE ON FUNCTION f(varchar(1)), f(varchar(2)) TO {username}",
            "names `f` twice",
        ),
        (
            "GRANT EXECUTE ON FUNCTION f(int[1]), f(int[2][3]) TO {username}",
            "names `f` twice",
        ),
        (
            "GRANT SELECT, select ON t TO {username}",
            "names `select` twice",
        ),
        (
            "GRANT SELECT (a, b, a) ON t TO {username}",
            "names `a` twice",
        ),
        (
            "GRANT SELECT (a), SELECT (b, a) ON t TO {username}",
            "names `a` twice",
        ),
        ("GRANT ALL (a, a) ON t TO {username}", "names `a` twice"),
        (
            "GRANT SELECT ON ALL TABLES IN SCHEMA s TO {username}, {username}",
            "names `zoë` twice",
        ),
        (
            "REVOKE SELECT ON t FROM {username}, \"zoë\"",
            "names `zoë` twice",
        ),
    ] {
        check_refused(statement, Grants, expected);
    }
    for statement in [
        "GRANT select ON s.t, t, u.t TO \"zoë\"",
        "GRANT execute ON FUNCTION f(int), f(text), f TO \"zoë\"",
        "GRANT select (a), insert (a), update ON t TO \"zoë\"",
    ] {
        check_same(statement, Grants);
    }
    let named = |count: usize| {
        let names: Vec<String> = (0..count).map(|index| format!("t{index}")).collect();
        format!("GRANT select ON {} TO \"zoë\"", names.join(", "))
    };
    check_same(&named(1000), Grants);
    check_refused(&named(1001), Grants, "names 1001 objects, at most 1000");
}

#[test]
fn privileges_on_data_pass() {
    for statement in [
        "GRANT select ON t TO \"zoë\"",
        "GRANT select, insert, update, delete, truncate, references, trigger, maintain ON s.t, u TO \"zoë\"",
        "GRANT ALL ON t TO \"zoë\"",
        "GRANT ALL (a, b) ON t TO \"zoë\"",
        "GRANT select (a, b), insert ON t TO \"zoë\"",
        "GRANT select ON ALL TABLES IN SCHEMA s, \"S\" TO \"zoë\"",
        "GRANT usage ON SEQUENCE q TO \"zoë\"",
        "GRANT usage ON ALL SEQUENCES IN SCHEMA s TO \"zoë\"",
        "GRANT usage, create ON SCHEMA public TO \"zoë\"",
        "GRANT connect, temporary, temp ON DATABASE d TO \"zoë\"",
        "GRANT execute ON FUNCTION s.f(int), g TO \"zoë\"",
        "GRANT execute ON PROCEDURE p(text) TO \"zoë\"",
        "GRANT execute ON ROUTINE r TO \"zoë\"",
        "GRANT execute ON ALL FUNCTIONS IN SCHEMA s TO \"zoë\"",
        "GRANT execute ON ALL PROCEDURES IN SCHEMA s TO \"zoë\"",
        "GRANT execute ON ALL ROUTINES IN SCHEMA s TO \"zoë\"",
        "GRANT usage ON TYPE s.t TO \"zoë\"",
        "GRANT usage ON DOMAIN d TO \"zoë\"",
        "GRANT usage ON FOREIGN SERVER x TO \"zoë\"",
        "GRANT select ON LARGE OBJECT 1, 4294967295 TO \"zoë\"",
        // What is called as something of ours and isn't.
        "GRANT select ON public.sym TO \"zoë\"",
        "GRANT select ON our_bot TO \"zoë\"",
    ] {
        check_same(statement, Grants);
        check_same(statement, SqlPolicy::Any);
        check_refused(statement, Roles, "`grants` would allow it");
    }
    check(
        "REVOKE ALL PRIVILEGES ON TABLE t FROM {username} RESTRICT",
        Grants,
        "REVOKE ALL ON t FROM \"zoë\"",
    );
    check(
        "REVOKE SELECT ON ALL TABLES IN SCHEMA s FROM {username}",
        Grants,
        "REVOKE select ON ALL TABLES IN SCHEMA s FROM \"zoë\"",
    );
}

#[test]
fn privileges_have_no_modifier_and_no_other_grantee() {
    let somebody = "somebody else than the user of the run";
    for (statement, expected) in [
        ("GRANT SELECT ON t TO b", somebody),
        ("GRANT SELECT ON t TO {username}, b", somebody),
        ("GRANT SELECT ON t TO PUBLIC", somebody),
        ("GRANT SELECT ON t TO {username}, \"public\"", somebody),
        ("GRANT SELECT ON t TO CURRENT_USER", somebody),
        ("GRANT SELECT ON t TO SESSION_USER", somebody),
        ("GRANT SELECT ON t TO CURRENT_ROLE", somebody),
        ("GRANT SELECT ON t TO ZOË", somebody),
        ("REVOKE SELECT ON t FROM b", somebody),
        (
            "GRANT SELECT ON t TO {username} WITH GRANT OPTION",
            "has the GRANT OPTION",
        ),
        (
            "REVOKE GRANT OPTION FOR SELECT ON t FROM {username}",
            "has the GRANT OPTION",
        ),
        (
            "GRANT SELECT ON t TO {username} GRANTED BY our_bot",
            "has GRANTED BY",
        ),
        (
            "GRANT SELECT ON t TO {username} GRANTED BY CURRENT_USER",
            "has GRANTED BY",
        ),
        ("REVOKE SELECT ON t FROM {username} CASCADE", "has CASCADE"),
    ] {
        check_refused(statement, Grants, expected);
    }
}

#[test]
fn privileges_on_the_server_and_on_our_schema_are_refused() {
    let kind = "a kind of object that isn't data";
    let ours = "is about schema `sym`, which is reserved for this function [not-allowed]";
    for (statement, expected) in [
        ("GRANT USAGE ON LANGUAGE plpgsql TO {username}", kind),
        ("GRANT USAGE ON FOREIGN DATA WRAPPER f TO {username}", kind),
        ("GRANT CREATE ON TABLESPACE t TO {username}", kind),
        (
            "GRANT SET ON PARAMETER work_mem TO {username}",
            "a privilege that isn't one on data",
        ),
        (
            "GRANT ALTER SYSTEM ON PARAMETER work_mem TO {username}",
            "a privilege that isn't one on data",
        ),
        ("GRANT ALL ON PARAMETER work_mem TO {username}", kind),
        (
            "GRANT nonsense ON t TO {username}",
            "a privilege that isn't one on data",
        ),
        (
            "GRANT \"SELECT\" ON t TO {username}",
            "a privilege that isn't one on data",
        ),
        ("GRANT SELECT ON sym.grants TO {username}", ours),
        ("GRANT SELECT ON a, \"sym\".grants TO {username}", ours),
        ("GRANT SELECT ON db.sym.grants TO {username}", ours),
        ("GRANT SELECT ON \"SYM\".grants TO {username}", ours),
        ("GRANT USAGE ON SEQUENCE sym.q TO {username}", ours),
        ("GRANT USAGE ON SCHEMA public, sym TO {username}", ours),
        (
            "GRANT SELECT ON ALL TABLES IN SCHEMA public, sym TO {username}",
            ours,
        ),
        (
            "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO {username}",
            ours,
        ),
        (
            "GRANT EXECUTE ON FUNCTION sym.lend(text) TO {username}",
            ours,
        ),
        (
            "GRANT EXECUTE ON FUNCTION db.sym.lend(text) TO {username}",
            ours,
        ),
        ("GRANT EXECUTE ON ROUTINE sym.lend TO {username}", ours),
        ("GRANT USAGE ON TYPE sym.state TO {username}", ours),
        ("GRANT USAGE ON DOMAIN sym.state TO {username}", ours),
    ] {
        check_refused(statement, Grants, expected);
    }
    check_same("GRANT select ON public.sym TO \"zoë\"", Grants);
}

#[test]
fn harmless_settings_of_the_user_pass() {
    for (statement, expected) in [
        (
            "ALTER ROLE {username} SET statement_timeout = '30s'",
            "ALTER ROLE \"zoë\" SET statement_timeout TO \"30s\"",
        ),
        (
            "ALTER USER {username} SET Work_Mem = 65536",
            "ALTER ROLE \"zoë\" SET work_mem TO 65536",
        ),
        (
            "ALTER ROLE {username} SET \"Work_Mem\" = -1",
            "ALTER ROLE \"zoë\" SET \"Work_Mem\" TO -1",
        ),
        (
            "ALTER ROLE {username} IN DATABASE d SET default_transaction_read_only = on",
            "ALTER ROLE \"zoë\" IN DATABASE d SET default_transaction_read_only TO ON",
        ),
        (
            "ALTER ROLE {username} SET TIME ZONE 'UTC'",
            "ALTER ROLE \"zoë\" SET TIME ZONE \"UTC\"",
        ),
        (
            "ALTER ROLE {username} SET search_path = app, \"Shop\", ''",
            "ALTER ROLE \"zoë\" SET search_path TO app, \"Shop\", ''",
        ),
        (
            "ALTER ROLE {username} SET application_name = 'it''s \"x\" \\'",
            "ALTER ROLE \"zoë\" SET application_name TO \"it's \"\"x\"\" \\\"",
        ),
    ] {
        check(statement, Grants, expected);
        check(statement, SqlPolicy::Any, expected);
        check_refused(statement, Roles, "`grants` would allow it");
    }
}

#[test]
fn other_settings_and_other_ways_are_refused() {
    let not_listed = "isn't among the harmless settings";
    let way = "in another way than `SET name = value`";
    let somebody = "settings of somebody else";
    for (statement, expected) in [
        (
            "ALTER ROLE {username} SET standard_conforming_strings = off",
            not_listed,
        ),
        ("ALTER ROLE {username} SET backslash_quote = on", not_listed),
        (
            "ALTER ROLE {username} SET escape_string_warning = off",
            not_listed,
        ),
        (
            "ALTER ROLE {username} SET client_encoding = 'SJIS'",
            not_listed,
        ),
        ("ALTER ROLE {username} SET NAMES 'SJIS'", not_listed),
        ("ALTER ROLE {username} SET ROLE admin", not_listed),
        ("ALTER ROLE {username} SET \"Role\" = admin", not_listed),
        (
            "ALTER ROLE {username} SET SESSION AUTHORIZATION admin",
            not_listed,
        ),
        (
            "ALTER ROLE {username} SET local_preload_libraries = 'x'",
            not_listed,
        ),
        (
            "ALTER ROLE {username} SET session_preload_libraries = 'x'",
            not_listed,
        ),
        (
            "ALTER ROLE {username} SET log_statement = 'none'",
            not_listed,
        ),
        ("ALTER ROLE {username} SET app.tenant = 'x'", not_listed),
        ("ALTER ROLE {username} SET XML OPTION DOCUMENT", not_listed),
        (
            "ALTER ROLE {username} SET search_path = app, pg_catalog",
            "search_path",
        ),
        (
            "ALTER ROLE {username} SET search_path = 'PG_TEMP'",
            "search_path",
        ),
        ("ALTER ROLE {username} SET search_path = sym", "search_path"),
        (
            "ALTER ROLE {username} SET SCHEMA 'pg_catalog'",
            "search_path",
        ),
        ("ALTER ROLE {username} SET search_path = 1", "search_path"),
        (
            "ALTER ROLE {username} SET TIME ZONE INTERVAL '1' HOUR",
            "no plain constant",
        ),
        ("ALTER ROLE {username} SET work_mem FROM CURRENT", way),
        ("ALTER ROLE {username} SET work_mem TO DEFAULT", way),
        ("ALTER ROLE {username} RESET work_mem", way),
        ("ALTER ROLE {username} RESET ALL", way),
        (
            "ALTER ROLE {username} SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            way,
        ),
        ("ALTER ROLE ALL SET work_mem = 1", somebody),
        ("ALTER ROLE ALL IN DATABASE d RESET ALL", somebody),
        ("ALTER ROLE b SET work_mem = 1", somebody),
        ("ALTER ROLE CURRENT_USER SET work_mem = 1", somebody),
        ("ALTER ROLE ZOË SET work_mem = 1", somebody),
    ] {
        check_refused(statement, Grants, expected);
    }
    // No name, so nothing is shortened.
    let text = "x".repeat(64);
    let sql = format!("ALTER ROLE \"zoë\" SET application_name TO '{text}'");
    check_same(&sql, Grants);
}

#[test]
fn all_else_needs_any() {
    for statement in [
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {username}",
        "ALTER DEFAULT PRIVILEGES FOR ROLE our_bot IN SCHEMA s GRANT SELECT ON TABLES TO {username}",
        "COMMENT ON ROLE {username} IS 'x'",
        "COMMENT ON TABLE t IS 'x'",
        "ALTER ROLE {username} SUPERUSER",
        "ALTER ROLE {username} VALID UNTIL 'infinity'",
        "ALTER ROLE {username} RENAME TO x",
        "CREATE USER x PASSWORD 'x'",
        "DROP ROLE b",
        "REASSIGN OWNED BY b TO {username}",
        "DROP OWNED BY b",
        "DO $$ BEGIN END $$",
        "COPY t TO PROGRAM 'sh'",
        "ALTER SYSTEM SET work_mem = 1",
        "SET ROLE admin",
        "COMMIT",
        "SELECT 1",
        "SELECT set_config('role', 'admin', false)",
        "INSERT INTO t VALUES (1)",
        "CREATE TABLE t (a int)",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "ALTER TABLE t OWNER TO {username}",
        "SECURITY LABEL ON ROLE {username} IS 'x'",
    ] {
        check_refused(statement, Grants, "[not-allowed]");
        check_refused(statement, Roles, "[not-allowed]");
    }
}
