//! Every kind of statement, allowed and refused, one line each.

use super::*;
use crate::plan::{Statement, Value};

mod any;
mod escapes;
mod grants;
mod properties;

fn policy(sql: SqlPolicy) -> Policy {
    let roles = [
        "readonly",
        "Read-Only",
        "select",
        "a",
        "b",
        "COMMIT; DROP ROLE x",
    ];
    Policy {
        sql,
        grantable_roles: Some(roles.map(str::to_owned).into()),
        bot: "our_bot".to_owned(),
    }
}

fn plan(steps: Vec<Step>) -> Plan {
    Plan {
        strategy: Strategy::TemporaryUser,
        username: "zoë".to_owned(),
        steps,
    }
}

fn sql(sql: &str) -> Step {
    Step::Sql(Statement {
        sql: sql.to_owned(),
        args: Vec::new(),
    })
}

fn role(name: &str) -> Step {
    Step::GrantRole(name.to_owned())
}

/// The steps in one line each.
fn authorize(plan: &Plan, policy: &Policy) -> Result<Vec<String>, String> {
    let plan = plan.authorize(policy).map_err(|error| error.to_public())?;
    let line = |step: &AuthorizedStep| match step {
        AuthorizedStep::GrantRole(role) => format!("role {role}"),
        AuthorizedStep::Sql(statement) => statement.to_string(),
    };
    Ok(plan.steps().iter().map(line).collect())
}

fn run(statement: &str, level: SqlPolicy) -> Result<Vec<String>, String> {
    authorize(&plan(vec![sql(statement)]), &policy(level))
}

#[track_caller]
fn check(statement: &str, level: SqlPolicy, expected: &str) {
    assert_eq!(
        run(statement, level),
        Ok(vec![expected.to_owned()]),
        "{statement}"
    );
}

/// Passes, and runs as written.
#[track_caller]
fn check_same(statement: &str, level: SqlPolicy) {
    check(statement, level, statement);
}

#[track_caller]
fn check_refused(statement: &str, level: SqlPolicy, expected: &str) {
    let message = run(statement, level).expect_err(statement);
    assert!(message.contains(expected), "{statement}\n  {message}");
}

#[track_caller]
fn check_plan(plan: &Plan, expected: Result<&[&str], &str>) {
    match (authorize(plan, &policy(SqlPolicy::Grants)), expected) {
        (Ok(steps), Ok(expected)) => assert_eq!(steps, expected),
        (Err(message), Err(expected)) => assert!(message.contains(expected), "{message}"),
        (outcome, expected) => panic!("{outcome:?}, expected {expected:?}"),
    }
}

#[test]
fn a_role_plan_lends_exactly_one_role() {
    let plan = |steps| Plan {
        strategy: Strategy::Role,
        username: "zoë".to_owned(),
        steps,
    };
    check_plan(&plan(vec![role("readonly")]), Ok(&["role readonly"]));
    for (steps, what) in [
        (vec![], "nothing"),
        (vec![role("a"), role("b")], "2 steps"),
        (vec![sql("GRANT a TO {username}")], "an SQL statement"),
    ] {
        let why = format!(
            "lends exactly one role and does nothing else, the plan asks for {what} [invalid-plan]"
        );
        check_plan(&plan(steps), Err(&why));
    }
}

#[test]
fn a_temporary_user_gets_its_steps_in_order() {
    check_plan(&plan(vec![]), Ok(&[]));
    let steps = vec![
        role("b"),
        sql("GRANT SELECT ON t TO {username}"),
        sql("GRANT a, \"Read-Only\" TO {username}"),
    ];
    check_plan(
        &plan(steps),
        Ok(&[
            "role b",
            "GRANT select ON t TO \"zoë\"",
            "role a",
            "role Read-Only",
        ]),
    );
}

#[test]
fn names_the_step_and_the_rule() {
    let message =
        |steps| authorize(&plan(steps), &policy(SqlPolicy::Roles)).expect_err("is refused");
    assert_eq!(
        message(vec![role("a"), role("admin")]),
        "step 2 grants role `admin`, which is not in GRANTABLE_ROLES [not-allowed]"
    );
    assert_eq!(
        message(vec![sql("GRANT SELECT ON t TO {username}")]),
        "step 1 is a statement `GRANT SELECT`, expected `GRANT role TO {username}` (SQL_POLICY is `roles`, `grants` would allow it) [not-allowed]"
    );
    assert_eq!(
        message(vec![sql("DROP TABLE hunter2")]),
        "step 1 is a statement `DROP TABLE`, expected `GRANT role TO {username}` (SQL_POLICY is `roles`, `any` would allow it) [not-allowed]"
    );
    assert_eq!(
        message(vec![sql("COMMIT")]),
        "step 1 is a statement `COMMIT`, expected `GRANT role TO {username}` [not-allowed]"
    );
}

#[test]
fn the_database_decides_where_no_roles_are_listed() {
    let policy = Policy {
        grantable_roles: None,
        ..policy(SqlPolicy::Roles)
    };
    assert_eq!(
        authorize(&plan(vec![role("whatever")]), &policy),
        Ok(vec!["role whatever".to_owned()])
    );
    let policy = Policy {
        grantable_roles: Some(BTreeSet::new()),
        ..policy
    };
    assert!(authorize(&plan(vec![role("whatever")]), &policy).is_err());
}

#[test]
fn some_roles_are_never_lent_even_where_they_are_listed() {
    for (name, why) in [
        ("our_bot", "logs in with"),
        ("Our_Bot", "logs in with"),
        ("zoë", "the grant is for"),
        ("ZOË", "the grant is for"),
        ("sym_bot", "reserved for this function"),
        ("SYM_managed", "reserved for this function"),
        ("sym_anything", "reserved for this function"),
        ("pg_execute_server_program", "reserved for PostgreSQL"),
        ("rds_superuser", "reserved for Amazon RDS"),
        ("postgres", "reserved for"),
        ("public", "reserved for"),
        ("", "is empty"),
        ("a\0", "control character"),
        (" a", "white space"),
        ("read\u{200b}only", "invisible"),
    ] {
        let policy = Policy {
            grantable_roles: Some([name.to_owned()].into()),
            ..policy(SqlPolicy::Any)
        };
        let message = authorize(&plan(vec![role(name)]), &policy).expect_err(name);
        assert!(message.contains(why), "{message}");
    }
}

#[test]
fn roles_are_compared_by_their_exact_names() {
    for name in [
        "Readonly",
        "read-only",
        "readonlу",
        "readonly2",
        "re\u{301}adonly",
    ] {
        check_plan(&plan(vec![role(name)]), Err("not in GRANTABLE_ROLES"));
    }
}

#[test]
fn some_users_are_nobody_to_grant_to() {
    for (name, why) in [
        ("our_bot", "this function logs in with [not-allowed]"),
        ("OUR_BOT", "this function logs in with [not-allowed]"),
        ("sym_bot", "reserved for this function [not-allowed]"),
        ("pg_monitor", "reserved for PostgreSQL [not-allowed]"),
        ("current_user", "reserved for PostgreSQL [not-allowed]"),
        ("", "is empty [invalid-plan]"),
        (
            &"x".repeat(64),
            "64 bytes long, at most 63 are allowed [invalid-plan]",
        ),
    ] {
        check_plan(
            &Plan {
                username: name.to_owned(),
                ..plan(vec![role("a")])
            },
            Err(why),
        );
    }
    let steps = vec![role("a"), sql("GRANT SELECT ON t TO {username}")];
    let plan = Plan {
        username: "sym_user".to_owned(),
        ..plan(steps)
    };
    check_plan(&plan, Ok(&["role a", "GRANT select ON t TO sym_user"]));
}

#[test]
fn statements_have_a_limit_together() {
    let too_much = Err("and more together, at most 131072 are allowed [invalid-plan]");
    // As asked for: what runs has no spaces at its end.
    let short = "GRANT SELECT ON t TO {username}";
    let spaces = " ".repeat(MAX_SQL_BYTES - short.len());
    let longest = sql(&format!("{short}{spaces}"));
    check_plan(
        &plan(vec![longest.clone(); 2]),
        Ok(&["GRANT select ON t TO \"zoë\""; 2]),
    );
    check_plan(&plan(vec![longest.clone(), longest, sql(short)]), too_much);
    // As it runs: with a space after each comma.
    let columns: Vec<String> = (1000..8000).map(|index| format!("c{index}")).collect();
    let runs = sql(&format!(
        "GRANT SELECT ({}) ON t TO {{username}}",
        columns.join(",")
    ));
    check_plan(&plan(vec![runs; 3]), too_much);
}

#[test]
fn steps_have_a_limit_before_and_after() {
    check_plan(
        &plan(vec![role("a"); MAX_STEPS]),
        Ok(&["role a"; MAX_STEPS]),
    );
    check_plan(
        &plan(vec![role("a"); MAX_STEPS + 1]),
        Err("the plan has 501 steps, at most 500 are allowed [invalid-plan]"),
    );
    let grant = |roles: usize| {
        sql(&format!(
            "GRANT {} TO {{username}}",
            vec!["a"; roles].join(", ")
        ))
    };
    check_plan(&plan(vec![grant(MAX_STEPS)]), Ok(&["role a"; MAX_STEPS]));
    check_plan(
        &plan(vec![grant(MAX_STEPS), role("a")]),
        Err("the plan has 501 steps"),
    );
}

#[test]
fn statements_have_a_limit() {
    let statement = |bytes: usize| {
        format!(
            "GRANT a TO zoë{}",
            " ".repeat(bytes - "GRANT a TO zoë".len())
        )
    };
    check(&statement(MAX_SQL_BYTES), SqlPolicy::Roles, "role a");
    check_refused(
        &statement(MAX_SQL_BYTES + 1),
        SqlPolicy::Any,
        "is 65537 bytes long, at most 65536 are allowed [invalid-plan]",
    );
}

#[test]
fn a_template_error_is_the_plugins() {
    let step = |sql: &str, args: &[(&str, Value)]| {
        let args = args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        plan(vec![Step::Sql(Statement {
            sql: sql.to_owned(),
            args,
        })])
    };
    let value = |text: &str| Value::Identifier(text.to_owned());
    check_plan(
        &step("GRANT {r} TO {username}", &[("r", value("a"))]),
        Ok(&["role a"]),
    );
    check_plan(
        &step("GRANT {r} TO {username}", &[]),
        Err("step 1 has the placeholder `{r}`, for which there is no value [invalid-plan]"),
    );
    check_plan(
        &step("GRANT a TO {username}", &[("r", value("a"))]),
        Err("has no placeholder for the value `r`"),
    );
    check_plan(
        &step("GRANT a TO {username}", &[("username", value("admin"))]),
        Err("which only the host gives"),
    );
    check_plan(
        &step("GRANT {r} TO {username}", &[("r", value(&"a".repeat(64)))]),
        Err("has a value `r` that can't be used: it is a name of 64 bytes, at most 63 are allowed"),
    );
    check_plan(
        &step(
            "GRANT {r} TO {username}",
            &[("r", Value::Literal("a".to_owned()))],
        ),
        Err("isn't a statement that PostgreSQL can read [invalid-plan]"),
    );
}

#[test]
fn the_cause_is_in_the_log_alone() {
    let error = plan(vec![sql("GRANT hunter2 hunter3")])
        .authorize(&policy(SqlPolicy::Any))
        .expect_err("is refused");
    assert!(!error.to_public().contains("hunter"));
    assert!(error.to_log().contains("hunter3"));
}

#[test]
fn policies_have_names() {
    for policy in [SqlPolicy::Roles, SqlPolicy::Grants, SqlPolicy::Any] {
        assert_eq!(SqlPolicy::parse(policy.as_str()), Some(policy));
    }
    assert_eq!(SqlPolicy::parse("ANY"), None);
}
