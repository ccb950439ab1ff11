//! What holds for every text.

use proptest::prelude::*;
use proptest::string::string_regex;

use super::{AuthorizedStep, RoleName, SqlPolicy, authorize, plan, policy, role, run, sql};
use crate::plan::{Plan, Statement, Step, Value};

/// Words that make statements, and the ends of things.
const WORDS: &str = r#"(GRANT|REVOKE|ALTER|ROLE|SET|TO|FROM|ON|ALL|TABLE|IN|SCHEMA|WITH|OPTION|DO|SELECT|COMMIT|zoë|readonly|sym|sym_bot|our_bot|public|\{username\}|CREATE|FUNCTION|'|"|\$\$|/\*|\*/|--|;|,|\(|\)|\.|=|\\|E'|U&"|1|\n)"#;

fn texts() -> impl Strategy<Value = String> {
    let words =
        |most: usize| prop::collection::vec(string_regex(WORDS).expect("is a pattern"), 0..most);
    prop_oneof![
        any::<String>(),
        words(20).prop_map(|words| words.join(" ")),
        words(12).prop_map(|words| words.concat()),
    ]
}

proptest! {
    #[test]
    fn never_panics_and_never_lets_a_second_statement_through(text in texts(), name in any::<String>()) {
        for level in [SqlPolicy::Roles, SqlPolicy::Grants, SqlPolicy::Any] {
            let plan = Plan { username: name.clone(), ..plan(vec![sql(&text), role(&name)]) };
            let _ = authorize(&plan, &policy(level));
            for statement in run(&text, level).into_iter().flatten().filter(|step| !step.starts_with("role ")) {
                prop_assert_eq!(pg_query::parse(&statement, 0).expect("parses").protobuf.stmts.len(), 1);
            }
        }
    }

    /// Whatever a user or a role is called, they are who gets what.
    #[test]
    fn any_name_stays_a_name(user in "[^\0]{1,15}", schema in "[^\0]{1,15}") {
        let arg = ("s".to_owned(), Value::Identifier(schema.clone()));
        let statement = Statement { sql: "GRANT USAGE ON SCHEMA {s} TO {username}".to_owned(), args: vec![arg] };
        let plan = Plan { username: user.clone(), ..plan(vec![Step::Sql(statement)]) };
        if let Ok(plan) = plan.authorize(&policy(SqlPolicy::Grants)) {
            let AuthorizedStep::Sql(statement) = &plan.steps()[0] else { panic!("is a statement") };
            let tree = pg_query::parse(statement.as_sql(), 0).expect("parses").protobuf;
            prop_assert_eq!(tree.stmts.len(), 1);
            let tree = serde_json::to_value(&tree).expect("has a JSON form");
            let grant = &tree["stmts"][0]["stmt"]["node"]["GrantStmt"];
            prop_assert_eq!(grant["objects"][0]["node"]["String"]["sval"].as_str(), Some(&*schema));
            prop_assert_eq!(grant["grantees"][0]["node"]["RoleSpec"]["rolename"].as_str(), Some(&*user));
        } else {
            prop_assert!(RoleName::new(user).is_err() || schema.eq_ignore_ascii_case("sym"));
        }
    }
}
