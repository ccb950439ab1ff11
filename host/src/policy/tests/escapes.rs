//! Texts that try to be read in another way than they were checked.

use super::SqlPolicy::{Any, Grants, Roles};
use super::*;

/// The statement with this value in `{v}`, of each kind.
#[track_caller]
fn check_value(sql: &str, value: Value, expected: Result<&str, &str>) {
    let args = vec![("v".to_owned(), value)];
    let statement = Step::Sql(Statement {
        sql: sql.to_owned(),
        args,
    });
    let expected = expected
        .as_ref()
        .map(std::slice::from_ref)
        .map_err(|text| *text);
    check_plan(&plan(vec![statement]), expected);
}

#[track_caller]
fn check_schema(name: &str, expected: &str) {
    let value = Value::Identifier(name.to_owned());
    let expected = format!("GRANT usage ON SCHEMA {expected} TO \"zoë\"");
    check_value(
        "GRANT USAGE ON SCHEMA {v} TO {username}",
        value,
        Ok(&expected),
    );
}

#[track_caller]
fn check_setting(text: &str, expected: &str) {
    let value = Value::Literal(text.to_owned());
    let expected = format!("ALTER ROLE \"zoë\" SET application_name TO {expected}");
    check_value(
        "ALTER ROLE {username} SET application_name = {v}",
        value,
        Ok(&expected),
    );
}

#[test]
fn a_name_that_is_a_statement_is_a_name() {
    check_schema("x\"; DROP ROLE y; --", "\"x\"\"; DROP ROLE y; --\"");
    check_schema("COMMIT", "\"COMMIT\"");
    check_schema("public TO PUBLIC", "\"public TO PUBLIC\"");
    check_schema("select", "\"select\"");
    check_schema("PUBLIC", "\"PUBLIC\"");
    check_schema("/*", "\"/*\"");
    check_schema("$$", "\"$$\"");
    check_schema("\\", "\"\\\"");
    check_schema("{username}", "\"{username}\"");
    check_schema("U&\"\\0041\"", "\"U&\"\"\\0041\"\"\"");
    check_schema("\"", "\"\"\"\"");
    check_schema("'", "\"'\"");
    check_schema("a\nb", "\"a\nb\"");
    check_schema("pub\u{200b}lic", "\"pub\u{200b}lic\"");
}

#[test]
fn a_text_that_is_a_statement_is_a_text() {
    check_setting("a'; DROP ROLE y; --", "\"a'; DROP ROLE y; --\"");
    check_setting("a\\'; DROP ROLE y; --", "\"a\\'; DROP ROLE y; --\"");
    check_setting("\\", "\"\\\"");
    check_setting("\\\\'", "\"\\\\'\"");
    check_setting("a\"; COMMIT; --", "\"a\"\"; COMMIT; --\"");
    check_setting("$$; COMMIT; $$", "\"$$; COMMIT; $$\"");
    check_setting("{username}", "\"{username}\"");
    check_setting("default", "\"default\"");
    check_setting("", "''");
}

#[test]
fn nul_is_refused_in_every_place() {
    let nul = || "a\0b".to_owned();
    check_value(
        "GRANT USAGE ON SCHEMA {v} TO {username}",
        Value::Identifier(nul()),
        Err("holds the character U+0000"),
    );
    check_value(
        "ALTER ROLE {username} SET application_name = {v}",
        Value::Literal(nul()),
        Err("holds the character U+0000"),
    );
    check_refused(
        "GRANT a TO {username}\0; DROP ROLE x",
        Any,
        "holds the character U+0000",
    );
}

#[test]
fn two_statements_are_refused_however_they_are_hidden() {
    for statement in [
        "GRANT a TO {username}; COMMIT",
        "GRANT a TO {username};;COMMIT;",
        "GRANT a TO {username} /* ; */ ; COMMIT",
        "GRANT a TO {username} -- x\n; COMMIT",
        "GRANT a TO {username} -- x\r; COMMIT",
        "/* /* */ */ GRANT a TO {username}; COMMIT /* */",
        "COMMENT ON ROLE x IS ''; DROP ROLE y; --'",
        "COMMENT ON ROLE x IS E'a\\\\'; DROP ROLE y; --'",
    ] {
        check_refused(
            statement,
            Any,
            "statements, expected exactly one [invalid-plan]",
        );
    }
}

#[test]
fn commit_in_a_comment_or_in_quotes_is_none() {
    for statement in [
        "GRANT a TO {username} -- ; COMMIT",
        "/* COMMIT; /* COMMIT */ ; */ GRANT a TO {username}",
        "GRANT/**/a/* COMMIT; */TO/**/{username}",
        "GRANT a TO {username}; /* COMMIT */ ;",
    ] {
        check(statement, Roles, "role a");
    }
    check_refused(
        "/* GRANT a TO {username} */ COMMIT",
        Any,
        "the transaction is the host's",
    );
    check_refused(
        "-- GRANT a TO {username}\nCOMMIT",
        Any,
        "the transaction is the host's",
    );
    check_refused("GRANT a TO {username} /* ", Any, "isn't SQL");
    check_refused("/* /* */ GRANT a TO {username}", Any, "isn't SQL");
}

/// One statement with `standard_conforming_strings` on, two with it off.
#[test]
fn strings_read_the_same_whichever_way_the_server_is_set() {
    let steps = run("COMMENT ON TABLE x IS 'a\\''; DROP ROLE y; --'", Any);
    check_refused(
        "COMMENT ON TABLE x IS 'a\\'; DROP ROLE y; --'",
        Any,
        "expected exactly one",
    );
    assert_eq!(
        steps,
        Ok(vec![
            "COMMENT ON TABLE x IS E'a\\\\''; DROP ROLE y; --'".to_owned()
        ])
    );
    let off = pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS;
    for statement in steps.expect("passes") {
        assert_eq!(
            pg_query::parse(&statement, off)
                .expect("parses")
                .protobuf
                .stmts
                .len(),
            1
        );
    }
}

#[test]
fn a_name_that_postgresql_would_shorten_is_refused() {
    let name = |bytes: usize| "x".repeat(bytes);
    for (short, long) in [
        (name(63), name(64)),
        (format!("\"{}\"", name(63)), format!("\"{}\"", name(64))),
        (
            format!("\"{}\"", "\"\"".repeat(63)),
            format!("\"{}\"", "\"\"".repeat(64)),
        ),
        (format!("{}x", "é".repeat(31)), "é".repeat(32)),
        (
            format!("\"{}x\"", "é".repeat(31)),
            format!("\"{}\"", "é".repeat(32)),
        ),
    ] {
        let grant = |name: &str| format!("GRANT SELECT ON {name} TO {{username}}");
        assert!(run(&grant(&short), Grants).is_ok(), "{short}");
        check_refused(
            &grant(&long),
            Grants,
            "has a name of 64 bytes, at most 63 are allowed [invalid-plan]",
        );
    }
    // The first 63 bytes are a role that may be lent.
    let role = "r".repeat(63);
    let policy = Policy {
        grantable_roles: Some([role.clone()].into()),
        ..policy(Any)
    };
    let grant = |role: &str| plan(vec![sql(&format!("GRANT {role} TO {{username}}"))]);
    assert_eq!(
        authorize(&grant(&role), &policy),
        Ok(vec![format!("role {role}")])
    );
    assert!(authorize(&grant(&format!("{role}r")), &policy).is_err());
}

#[test]
fn names_in_unicode_escapes_are_refused() {
    check_refused(
        "GRANT U&\"\\0061\" TO {username}",
        Any,
        "has a name in the form `U&\"…\"`",
    );
    check_refused(
        "GRANT u&\"!0061\" UESCAPE '!' TO {username}",
        Any,
        "has a name in the form `U&\"…\"`",
    );
    check_refused(
        "GRANT a TO U&\"zo\\00eb\"",
        Any,
        "has a name in the form `U&\"…\"`",
    );
    check_refused(
        "SELECT 1 FROM U&\"s\\0079m\".grants",
        Any,
        "has a name in the form `U&\"…\"`",
    );
}

#[test]
fn quotes_of_all_kinds_have_an_end() {
    for statement in [
        "GRANT \"a TO {username}",
        "COMMENT ON TABLE t IS 'x",
        "DO $$ x",
        "DO $a$ x $b$",
        "SELECT E'\\'",
    ] {
        check_refused(statement, Any, "step 1 ");
    }
}

#[test]
fn parameters_have_no_value() {
    check_refused("SELECT $1", Any, "has a parameter such as `$1`");
}

#[test]
fn what_is_no_sql_is_refused() {
    for statement in [
        "",
        " ",
        ";",
        "--",
        "/**/",
        "GRANT",
        "\\d",
        "GRANT a TO",
        "\u{feff}GRANT a TO {username}",
        "GRANT\u{a0}a TO {username}",
    ] {
        check_refused(statement, Any, "[invalid-plan]");
    }
}
