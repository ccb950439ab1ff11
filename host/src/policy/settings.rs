//! `ALTER ROLE user [IN DATABASE d] SET name = value`.
//!
//! The settings go with the user: dropping a role drops them.

use pg_query::NodeEnum;
use pg_query::protobuf::a_const::Val;
use pg_query::protobuf::{
    AlterRoleSetStmt, Node, RoleSpec, RoleSpecType, VariableSetKind, VariableSetStmt,
};

use super::{Refusal, Scope, shown};

/// Settings that the policy `grants` lets a plugin give the run's user.
///
/// Each is one that any user may change for their own session anyway, so it
/// only sets a beginning. None of them changes how SQL is read, who the session
/// is, what code it loads, or what is logged.
///
/// Not here, and why: `standard_conforming_strings`, `backslash_quote`,
/// `escape_string_warning` and `client_encoding` change how SQL is read; `role`
/// and `session_authorization` change who runs it; `*_preload_libraries` and
/// `dynamic_library_path` load code; `log_*` and `row_security` are the
/// operator's; names with a dot belong to extensions and applications, some of
/// which take them for a proof of identity.
const ALLOWED: &[&str] = &[
    // How long, and how much.
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "jit",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_workers_per_gather",
    "statement_timeout",
    "transaction_timeout",
    "work_mem",
    // What a transaction may do.
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    // How values and the session look.
    "application_name",
    "bytea_output",
    "client_min_messages",
    "datestyle",
    "extra_float_digits",
    "intervalstyle",
    "timezone",
    // Where tables are looked for: see `names`.
    SEARCH_PATH,
];

const SEARCH_PATH: &str = "search_path";

/// Settings that not even `any` may change: how SQL is read, who the session is,
/// what code it loads.
const NEVER: &[&str] = &[
    "backslash_quote",
    "client_encoding",
    "dynamic_library_path",
    "escape_string_warning",
    "local_preload_libraries",
    "role",
    "session_authorization",
    "session_preload_libraries",
    "session_replication_role",
    "standard_conforming_strings",
];

/// The settings that `SQL_POLICY=grants` allows, as a part of `docs/plugins.md`.
pub fn settings_reference() -> String {
    let names: Vec<String> = ALLOWED.iter().map(|name| format!("`{name}`")).collect();
    format!("{}.\n", names.join(", "))
}

/// The rule of the policy `grants`.
pub(super) fn check(alter: &AlterRoleSetStmt, scope: &Scope<'_>) -> Result<(), Refusal> {
    let (name, values) = setting(alter, scope)?;
    if !ALLOWED.contains(&name.as_str()) {
        return Err(Refusal::not_allowed(format!(
            "sets `{}`, which isn't among the harmless settings (docs/plugins.md names them)",
            shown(&name)
        )));
    }
    if name == SEARCH_PATH {
        names(values)?;
    }
    Ok(())
}

/// The rule of the policy `any`.
pub(super) fn check_any(alter: &AlterRoleSetStmt, scope: &Scope<'_>) -> Result<(), Refusal> {
    let (name, values) = setting(alter, scope)?;
    if NEVER.contains(&name.as_str()) {
        return Err(Refusal::not_allowed(format!(
            "sets `{}`, which no plan may change",
            shown(&name)
        )));
    }
    // A schema may be written as a string, where no rule on names looks.
    if name == SEARCH_PATH {
        names(values)?;
    }
    Ok(())
}

/// The name, in lower case as the server compares it, and the values. Only a
/// plain `SET name = constant, …` for the run's user.
fn setting<'a>(
    alter: &'a AlterRoleSetStmt,
    scope: &Scope<'_>,
) -> Result<(String, &'a [Node]), Refusal> {
    // The database doesn't matter: the setting is the user's own in each.
    let AlterRoleSetStmt {
        role,
        database: _,
        setstmt,
    } = alter;
    let is_user = |role: &RoleSpec| {
        role.roletype == RoleSpecType::RolespecCstring as i32
            && role.rolename == scope.username.as_str()
    };
    if !role.as_ref().is_some_and(is_user) {
        return Err(Refusal::not_allowed(
            "changes settings of somebody else than the user of the run",
        ));
    }
    let plain = Refusal::not_allowed("changes settings in another way than `SET name = value`");
    let Some(VariableSetStmt {
        kind,
        name,
        args,
        jumble_args: _,
        is_local: false,
        location: _,
    }) = setstmt
    else {
        return Err(plain);
    };
    if *kind != VariableSetKind::VarSetValue as i32 {
        return Err(plain);
    }
    for value in args {
        match constant(value) {
            Some(Val::Sval(_) | Val::Ival(_) | Val::Fval(_)) => {}
            Some(Val::Boolval(_) | Val::Bsval(_)) | None => {
                return Err(Refusal::not_allowed(format!(
                    "sets `{}` to something that is no plain constant",
                    shown(name)
                )));
            }
        }
    }
    Ok((name.to_ascii_lowercase(), args))
}

/// The schemas of a `search_path`.
///
/// While `pg_catalog` isn't named it is searched first, and the temporary
/// schema never for functions: so nothing that a schema in the list holds can
/// take the place of a built-in function. Where they are named, it could.
fn names(values: &[Node]) -> Result<(), Refusal> {
    for value in values {
        let is_reserved = match constant(value) {
            Some(Val::Sval(name)) => {
                let name = name.sval.to_lowercase();
                name.starts_with("pg_") || name == "sym"
            }
            _ => true,
        };
        if is_reserved {
            return Err(Refusal::not_allowed(
                "sets `search_path` to a schema of PostgreSQL's or of this function's",
            ));
        }
    }
    Ok(())
}

fn constant(node: &Node) -> Option<&Val> {
    match &node.node {
        Some(NodeEnum::AConst(constant)) => constant.val.as_ref(),
        _ => None,
    }
}
