//! The policy `any`: all that the bot may do, less what would break the run.
//!
//! A list of kinds that pass; what is not in it doesn't, also what a later
//! PostgreSQL brings. What a `DO` block, a function's body, a rule, a trigger or
//! an `EXECUTE` does can't be seen here: see [`SqlPolicy::Any`](super::SqlPolicy).

use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ObjectType};

use super::statement::Parsed;
use super::{Refusal, Scope, membership, settings, shown};
use crate::name::{RoleName, RoleNameError};

/// Checks a statement that is no plain grant of a role.
pub(super) fn check(statement: &Parsed<'_>, scope: &Scope<'_>) -> Result<(), Refusal> {
    kind(statement.node, statement, scope)?;
    names(statement, scope)?;
    functions(statement)
}

fn kind(node: &NodeEnum, statement: &Parsed<'_>, scope: &Scope<'_>) -> Result<(), Refusal> {
    match node {
        // Reading and writing data.
        NodeEnum::SelectStmt(_)
        | NodeEnum::InsertStmt(_)
        | NodeEnum::UpdateStmt(_)
        | NodeEnum::DeleteStmt(_)
        | NodeEnum::MergeStmt(_)
        | NodeEnum::TruncateStmt(_)
        | NodeEnum::LockStmt(_)
        | NodeEnum::NotifyStmt(_)
        | NodeEnum::RefreshMatViewStmt(_) => Ok(()),
        // Tables and what belongs to them.
        NodeEnum::CreateStmt(_)
        | NodeEnum::CreateTableAsStmt(_)
        | NodeEnum::AlterTableStmt(_)
        | NodeEnum::ViewStmt(_)
        | NodeEnum::CreateSeqStmt(_)
        | NodeEnum::AlterSeqStmt(_)
        | NodeEnum::CreateTrigStmt(_)
        | NodeEnum::RuleStmt(_)
        | NodeEnum::CreatePolicyStmt(_)
        | NodeEnum::AlterPolicyStmt(_)
        | NodeEnum::CreateStatsStmt(_)
        | NodeEnum::AlterStatsStmt(_) => Ok(()),
        // Types, functions and operators. The bodies are opaque.
        NodeEnum::CompositeTypeStmt(_)
        | NodeEnum::CreateEnumStmt(_)
        | NodeEnum::CreateRangeStmt(_)
        | NodeEnum::AlterEnumStmt(_)
        | NodeEnum::AlterTypeStmt(_)
        | NodeEnum::CreateDomainStmt(_)
        | NodeEnum::AlterDomainStmt(_)
        | NodeEnum::CreateFunctionStmt(_)
        | NodeEnum::AlterFunctionStmt(_)
        | NodeEnum::DefineStmt(_)
        | NodeEnum::CreateCastStmt(_)
        | NodeEnum::AlterOperatorStmt(_)
        | NodeEnum::DoStmt(_)
        | NodeEnum::CallStmt(_) => Ok(()),
        // Foreign data.
        NodeEnum::CreateForeignServerStmt(_)
        | NodeEnum::AlterForeignServerStmt(_)
        | NodeEnum::CreateForeignTableStmt(_)
        | NodeEnum::CreateUserMappingStmt(_)
        | NodeEnum::AlterUserMappingStmt(_)
        | NodeEnum::DropUserMappingStmt(_)
        | NodeEnum::ImportForeignSchemaStmt(_) => Ok(()),
        // SET and ALTER SYSTEM on settings, which are the server's.
        NodeEnum::GrantStmt(grant) if grant.objtype == ObjectType::ObjectParameterAcl as i32 => {
            Err(about_the_server(statement))
        }
        // Objects of any kind.
        NodeEnum::GrantStmt(_)
        | NodeEnum::AlterOwnerStmt(_)
        | NodeEnum::AlterObjectSchemaStmt(_)
        | NodeEnum::AlterObjectDependsStmt(_) => Ok(()),

        // Those of which only a part passes.
        NodeEnum::CommentStmt(comment) if comment.objtype == ObjectType::ObjectRole as i32 => {
            Err(Refusal::not_allowed(
                "comments on a role; such comments mark the users that this function made",
            ))
        }
        NodeEnum::CommentStmt(_) => Ok(()),
        NodeEnum::RenameStmt(rename) if rename.rename_type == ObjectType::ObjectRole as i32 => {
            Err(Refusal::not_allowed("renames a role"))
        }
        NodeEnum::RenameStmt(_) => Ok(()),
        NodeEnum::IndexStmt(index) if index.concurrent => Err(outside_transaction(statement)),
        NodeEnum::IndexStmt(_) => Ok(()),
        NodeEnum::DropStmt(drop) if drop.concurrent => Err(outside_transaction(statement)),
        NodeEnum::DropStmt(_) => Ok(()),
        NodeEnum::VacuumStmt(vacuum) if vacuum.is_vacuumcmd => Err(outside_transaction(statement)),
        NodeEnum::VacuumStmt(_) => Ok(()),
        NodeEnum::ExplainStmt(explain) => inner(explain.query.as_deref(), statement, scope),
        NodeEnum::CreateSchemaStmt(schema) => schema
            .schema_elts
            .iter()
            .try_for_each(|element| inner(Some(element), statement, scope)),
        NodeEnum::AlterDefaultPrivilegesStmt(alter) => default_privileges(&alter.options, scope),
        NodeEnum::AlterRoleSetStmt(alter) => settings::check_any(alter, scope),

        // Roles.
        NodeEnum::GrantRoleStmt(grant) => membership::check_any(grant, scope),
        NodeEnum::CreateRoleStmt(create) => {
            without_members(&create.options)?;
            not_the_user(membership::subject_name(&create.role, scope)?, scope)
        }
        NodeEnum::AlterRoleStmt(alter) => {
            without_members(&alter.options)?;
            not_the_user(membership::subject(alter.role.as_ref(), scope)?, scope)
        }
        NodeEnum::DropRoleStmt(drop) => drop.roles.iter().try_for_each(|role| {
            not_the_user(
                membership::subject(membership::role_spec(role), scope)?,
                scope,
            )
        }),
        NodeEnum::DropOwnedStmt(drop) => subjects(&drop.roles, scope),
        NodeEnum::ReassignOwnedStmt(reassign) => {
            subjects(&reassign.roles, scope)?;
            membership::subject(reassign.newrole.as_ref(), scope).map(|_| ())
        }

        // Those that don't pass, and why.
        NodeEnum::TransactionStmt(_) => Err(Refusal::not_allowed(format!(
            "is a statement `{}`; the transaction is the host's",
            statement.kind()
        ))),
        NodeEnum::VariableSetStmt(_)
        | NodeEnum::VariableShowStmt(_)
        | NodeEnum::ConstraintsSetStmt(_)
        | NodeEnum::DiscardStmt(_)
        | NodeEnum::PrepareStmt(_)
        | NodeEnum::ExecuteStmt(_)
        | NodeEnum::DeallocateStmt(_)
        | NodeEnum::DeclareCursorStmt(_)
        | NodeEnum::FetchStmt(_)
        | NodeEnum::ClosePortalStmt(_)
        | NodeEnum::ListenStmt(_)
        | NodeEnum::UnlistenStmt(_) => Err(Refusal::not_allowed(format!(
            "is a statement `{}`; the session is the host's",
            statement.kind()
        ))),
        NodeEnum::CopyStmt(_)
        | NodeEnum::LoadStmt(_)
        | NodeEnum::AlterSystemStmt(_)
        | NodeEnum::CreateExtensionStmt(_)
        | NodeEnum::AlterExtensionStmt(_)
        | NodeEnum::AlterExtensionContentsStmt(_)
        | NodeEnum::CreatePlangStmt(_)
        | NodeEnum::CreateFdwStmt(_)
        | NodeEnum::AlterFdwStmt(_)
        | NodeEnum::CreateTransformStmt(_)
        | NodeEnum::AlterDatabaseStmt(_)
        | NodeEnum::AlterDatabaseSetStmt(_)
        | NodeEnum::CreateEventTrigStmt(_)
        | NodeEnum::AlterEventTrigStmt(_) => Err(about_the_server(statement)),
        NodeEnum::CreatedbStmt(_)
        | NodeEnum::DropdbStmt(_)
        | NodeEnum::CreateTableSpaceStmt(_)
        | NodeEnum::DropTableSpaceStmt(_)
        | NodeEnum::ReindexStmt(_)
        | NodeEnum::ClusterStmt(_)
        | NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::DropSubscriptionStmt(_) => Err(outside_transaction(statement)),
        _ => Err(Refusal::not_allowed(format!(
            "is a statement `{}`, which no plan may hold",
            statement.kind()
        ))),
    }
}

fn inner(node: Option<&Node>, statement: &Parsed<'_>, scope: &Scope<'_>) -> Result<(), Refusal> {
    match node.and_then(|node| node.node.as_ref()) {
        Some(node) => kind(node, statement, scope),
        None => Err(Refusal::invalid("holds no statement")),
    }
}

fn about_the_server(statement: &Parsed<'_>) -> Refusal {
    Refusal::not_allowed(format!(
        "is a statement `{}`, which is about the server or the whole database",
        statement.kind()
    ))
}

fn outside_transaction(statement: &Parsed<'_>) -> Refusal {
    Refusal::not_allowed(format!(
        "is a statement `{}`, which can't run in a transaction",
        statement.kind()
    ))
}

/// The run's user is made, changed and removed by the host: an endless `VALID
/// UNTIL`, or another password, would be access that nobody ends.
fn not_the_user(name: &str, scope: &Scope<'_>) -> Result<(), Refusal> {
    if name == scope.username.as_str() {
        return Err(Refusal::not_allowed(
            "makes, changes or drops the user of the run, which the host does",
        ));
    }
    Ok(())
}

/// `CREATE ROLE … IN ROLE r`, `ALTER GROUP r ADD USER u` and their like lend
/// roles without saying GRANT, so they would go past the roles that may be lent.
fn without_members(options: &[Node]) -> Result<(), Refusal> {
    let is_membership = |option: &Node| match &option.node {
        Some(NodeEnum::DefElem(option)) => {
            matches!(
                option.defname.as_str(),
                "addroleto" | "adminmembers" | "rolemembers"
            )
        }
        _ => true,
    };
    if options.iter().any(is_membership) {
        return Err(Refusal::not_allowed(
            "makes a role a member of another without GRANT",
        ));
    }
    Ok(())
}

fn subjects(roles: &[Node], scope: &Scope<'_>) -> Result<(), Refusal> {
    roles
        .iter()
        .try_for_each(|role| membership::subject(membership::role_spec(role), scope).map(|_| ()))
}

/// Without `FOR ROLE` it is about what the bot makes: the ledger, at the next
/// migration.
fn default_privileges(options: &[Node], scope: &Scope<'_>) -> Result<(), Refusal> {
    let roles = options.iter().find_map(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) if option.defname == "roles" => option.arg.as_deref(),
        _ => None,
    });
    match roles.and_then(|roles| roles.node.as_ref()) {
        Some(NodeEnum::List(roles)) => subjects(&roles.items, scope),
        _ => Err(Refusal::not_allowed(
            "changes the default privileges of what this function makes; say FOR ROLE",
        )),
    }
}

/// No name of ours, wherever in the statement it is.
///
/// In a query a name alone may be a column's (`sym` is a stock symbol, too), so
/// there only `sym.` counts.
fn names(statement: &Parsed<'_>, scope: &Scope<'_>) -> Result<(), Refusal> {
    let is_query = matches!(
        statement.node,
        NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_)
    );
    for (index, token) in statement.tokens.iter().enumerate() {
        let Some(name) = token.identifier() else {
            continue;
        };
        let is_qualifier = statement
            .tokens
            .get(index + 1)
            .is_some_and(|next| next.is('.'));
        let is_schema = name.eq_ignore_ascii_case("sym") && (is_qualifier || !is_query);
        let is_role =
            !is_query && name != scope.username.as_str() && (scope.is_bot(&name) || is_ours(&name));
        if is_schema || is_role {
            return Err(Refusal::not_allowed(format!(
                "names `{}`, which is reserved for this function",
                shown(&name)
            )));
        }
    }
    Ok(())
}

fn is_ours(name: &str) -> bool {
    name.to_lowercase().starts_with("sym_")
        && matches!(RoleName::new(name), Err(RoleNameError::Reserved(_)))
}

/// Functions that change the session, reach files or programs of the server, or
/// let go of the host's locks, and begin like this. Called under another name,
/// or from a body, they can't be seen.
const FUNCTIONS: &[&str] = &[
    "dblink",
    "lo_export",
    "lo_import",
    "pg_advisory_",
    "pg_file_",
    "pg_ls_",
    "pg_read_binary_file",
    "pg_read_file",
    "pg_reload_conf",
    "pg_rotate_logfile",
    "pg_stat_file",
    "pg_try_advisory_",
    "query_to_xml",
    "set_config",
];

fn functions(statement: &Parsed<'_>) -> Result<(), Refusal> {
    for pair in statement.tokens.windows(2) {
        let Some(name) = pair[0].identifier() else {
            continue;
        };
        if pair[1].is('(') && FUNCTIONS.iter().any(|function| name.starts_with(function)) {
            return Err(Refusal::not_allowed(format!(
                "calls `{}`, which no plan may",
                shown(&name)
            )));
        }
    }
    Ok(())
}
