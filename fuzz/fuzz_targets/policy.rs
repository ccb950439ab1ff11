//! The policies: a user's name on a line, and a statement in the rest.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, RoleSpecType};
use sym_host::error::Code;
use sym_host::plan::{Plan, Statement, Step, Strategy};
use sym_host::policy::{AuthorizedPlan, AuthorizedStep, Policy, SqlPolicy};

mod common;

const ROLES: [&str; 4] = ["readonly", "Read-Only", "select", "a"];

const LEVELS: [SqlPolicy; 3] = [SqlPolicy::Roles, SqlPolicy::Grants, SqlPolicy::Any];

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Corpus::Reject;
    };
    let Some((username, sql)) = text.split_once('\n') else {
        return Corpus::Reject;
    };
    let plan = Plan {
        strategy: Strategy::TemporaryUser,
        username: username.to_owned(),
        steps: vec![statement(sql)],
    };
    for finding in plan.lint() {
        common::check_sentence(&finding.to_string());
    }
    let mut narrower: Option<AuthorizedPlan> = None;
    for level in LEVELS {
        match plan.authorize(&policy(level)) {
            Ok(authorized) => {
                for step in authorized.steps() {
                    check_step(step, level, username);
                }
                narrower = Some(authorized);
            }
            Err(error) => {
                common::check_error(&error);
                let code = error.code();
                assert!(
                    matches!(code, Code::InvalidPlan | Code::NotAllowed),
                    "{code}"
                );
                // Each policy allows what the ones before it do.
                assert!(narrower.is_none(), "{level} refuses: {}", error.to_public());
            }
        }
    }
    Corpus::Keep
});

fn policy(sql: SqlPolicy) -> Policy {
    Policy {
        sql,
        grantable_roles: Some(ROLES.map(str::to_owned).into()),
        bot: "our_bot".to_owned(),
    }
}

fn statement(sql: &str) -> Step {
    Step::Sql(Statement {
        sql: sql.to_owned(),
        args: Vec::new(),
    })
}

fn check_step(step: &AuthorizedStep, level: SqlPolicy, username: &str) {
    let sql = match step {
        AuthorizedStep::GrantRole(role) => {
            assert!(ROLES.contains(&role.as_str()), "{role} is lent");
            return;
        }
        AuthorizedStep::Sql(statement) => statement.as_sql(),
    };
    assert_ne!(level, SqlPolicy::Roles, "runs {sql}");
    // However the server is set to read strings.
    let node = only_statement(sql, pg_query::ParserOptions::DEFAULT);
    let lax = only_statement(
        sql,
        pg_query::ParserOptions::DISABLE_STANDARD_CONFORMING_STRINGS,
    );
    assert_eq!(without_places(&node), without_places(&lax), "{sql}");
    match level {
        SqlPolicy::Roles => {}
        SqlPolicy::Grants => check_grants(&node, username, sql),
        SqlPolicy::Any => check_any(&node, sql),
    }
    check_again(sql, level, username);
}

/// Written anew without the host: what `grants` promises, and no field more.
fn check_grants(node: &NodeEnum, username: &str, sql: &str) {
    match node {
        NodeEnum::GrantStmt(grant) => {
            assert!(!grant.grant_option && grant.grantor.is_none(), "{sql}");
            assert!(are_user(&grant.grantees, username), "{sql}");
        }
        NodeEnum::AlterRoleSetStmt(alter) => {
            let role = alter.role.as_ref().expect("has a role");
            assert_eq!(role.roletype, RoleSpecType::RolespecCstring as i32, "{sql}");
            assert_eq!(role.rolename, username, "{sql}");
            let set = alter.setstmt.as_ref().expect("sets something");
            // Those that change how SQL is read, who reads it, and what it loads.
            for never in [
                "standard_conforming_strings",
                "backslash_quote",
                "client_encoding",
                "role",
                "session_authorization",
                "session_preload_libraries",
                "local_preload_libraries",
            ] {
                assert!(!set.name.eq_ignore_ascii_case(never), "{sql}");
            }
            assert!(!set.name.contains('.'), "{sql}");
        }
        _ => panic!("`grants` lets pass: {sql}"),
    }
    assert!(!mentions_schema_sym(node), "{sql}");
}

/// What not even `any` lets pass.
fn check_any(node: &NodeEnum, sql: &str) {
    assert!(
        !matches!(
            node,
            NodeEnum::TransactionStmt(_)
                | NodeEnum::VariableSetStmt(_)
                | NodeEnum::DiscardStmt(_)
                | NodeEnum::PrepareStmt(_)
                | NodeEnum::ExecuteStmt(_)
                | NodeEnum::CopyStmt(_)
                | NodeEnum::LoadStmt(_)
                | NodeEnum::AlterSystemStmt(_)
                | NodeEnum::CreateExtensionStmt(_)
                | NodeEnum::RawStmt(_)
        ),
        "`any` lets pass: {sql}"
    );
}

/// What runs is what would be allowed, and would run the same.
fn check_again(sql: &str, level: SqlPolicy, username: &str) {
    // As a template, braces have a meaning; and under `any` a setting's value may
    // be a string that comes out as a name of ours, which the rule on names then
    // refuses. Where it could do harm, in `search_path`, it never gets here.
    let is_setting = sql.starts_with("ALTER ROLE") && level == SqlPolicy::Any;
    if sql.contains('{') || is_setting {
        return;
    }
    let plan = Plan {
        strategy: Strategy::TemporaryUser,
        username: username.to_owned(),
        steps: vec![statement(sql)],
    };
    let again = match plan.authorize(&policy(level)) {
        Ok(again) => again,
        // Written out it is longer than it may be.
        Err(_) if sql.len() > sym_host::policy::MAX_SQL_BYTES => return,
        Err(error) => panic!("{sql}: {}", error.to_public()),
    };
    let [AuthorizedStep::Sql(again)] = again.steps() else {
        panic!("{sql} becomes another step");
    };
    assert_eq!(again.as_sql(), sql);
}

fn are_user(roles: &[Node], username: &str) -> bool {
    let is_user = |role: &Node| match &role.node {
        Some(NodeEnum::RoleSpec(role)) => {
            role.roletype == RoleSpecType::RolespecCstring as i32 && role.rolename == username
        }
        _ => false,
    };
    !roles.is_empty() && roles.iter().all(is_user)
}

/// Whether a `schema.name` or a schema of a GRANT is `sym`.
fn mentions_schema_sym(node: &NodeEnum) -> bool {
    let tree = without_places(node);
    let text = tree.to_string();
    text.contains("\"schemaname\":\"sym\"")
        || tree.pointer("/GrantStmt/objects/0/node/String/sval") == Some(&"sym".into())
}

fn only_statement(sql: &str, options: pg_query::ParserOptions) -> NodeEnum {
    let mut tree = pg_query::parse(sql, options).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert_eq!(tree.protobuf.stmts.len(), 1, "{sql}");
    let statement = tree.protobuf.stmts.remove(0).stmt;
    statement
        .and_then(|node| node.node)
        .expect("is a statement")
}

fn without_places(node: &NodeEnum) -> serde_json::Value {
    fn remove(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.retain(|name, value| !(name.ends_with("location") && value.is_number()));
                fields.values_mut().for_each(remove);
            }
            serde_json::Value::Array(items) => items.iter_mut().for_each(remove),
            _ => {}
        }
    }
    let mut value = serde_json::to_value(node).expect("has a JSON form");
    remove(&mut value);
    value
}
