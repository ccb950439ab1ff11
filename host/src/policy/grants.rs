//! The policy `grants`: privileges on objects, for the run's user alone.

use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, GrantStmt, GrantTargetType, Node, ObjectType};

use super::statement::Parsed;
use super::{Refusal, Scope, membership, settings};

/// Checks a statement that is no plain grant of a role.
pub(super) fn check(statement: &Parsed<'_>, scope: &Scope<'_>) -> Result<(), Refusal> {
    match statement.node {
        NodeEnum::GrantRoleStmt(grant) => membership::check(grant, scope),
        NodeEnum::GrantStmt(grant) => privileges(grant, scope),
        NodeEnum::AlterRoleSetStmt(alter) => settings::check(alter, scope),
        // Without FOR ROLE it would be about what the bot makes later, which is
        // the ledger's own tables and functions. With it, the rest outlives the
        // statement in the hands of another role. A role that has the default
        // privileges can be lent instead.
        NodeEnum::AlterDefaultPrivilegesStmt(_) => Err(Refusal::not_allowed(
            "changes default privileges; have them given to a role, and grant that role",
        )),
        _ => Err(Refusal::not_allowed(format!(
            "is a statement `{}`, expected GRANT, REVOKE or ALTER ROLE … SET",
            statement.kind()
        ))),
    }
}

fn privileges(grant: &GrantStmt, scope: &Scope<'_>) -> Result<(), Refusal> {
    let GrantStmt {
        is_grant: _,
        targtype,
        objtype,
        objects,
        privileges,
        grantees,
        grant_option,
        grantor,
        behavior,
    } = grant;
    if !membership::are_user(grantees, scope) {
        return Err(Refusal::not_allowed(
            "grants or revokes for somebody else than the user of the run",
        ));
    }
    if *grant_option {
        return Err(Refusal::not_allowed(
            "has the GRANT OPTION, with which the user could pass access on",
        ));
    }
    if grantor.is_some() {
        return Err(Refusal::not_allowed("has GRANTED BY"));
    }
    if *behavior != DropBehavior::DropRestrict as i32 {
        return Err(Refusal::not_allowed(
            "has CASCADE, with which others could lose access",
        ));
    }
    for privilege in privileges {
        if !is_known_privilege(privilege) {
            return Err(Refusal::not_allowed(
                "has a privilege that isn't one on data",
            ));
        }
    }
    let target = GrantTargetType::try_from(*targtype).unwrap_or_default();
    let kind = ObjectType::try_from(*objtype).unwrap_or_default();
    for object in objects {
        let schema = schema(target, kind, object).ok_or_else(|| {
            Refusal::not_allowed("is about a kind of object that isn't data: only tables, sequences, schemas, databases, functions, types, foreign servers and large objects are")
        })?;
        if schema.is_some_and(|schema| schema.eq_ignore_ascii_case("sym")) {
            return Err(Refusal::not_allowed(
                "is about schema `sym`, which is reserved for this function",
            ));
        }
    }
    Ok(())
}

/// Privileges on data. None at all is `ALL`: what the bot may pass on.
///
/// Not here: `SET` and `ALTER SYSTEM`, which are about settings of the server.
fn is_known_privilege(node: &Node) -> bool {
    const KNOWN: &[&str] = &[
        "connect",
        "create",
        "delete",
        "execute",
        "insert",
        "maintain",
        "references",
        "select",
        "temp",
        "temporary",
        "trigger",
        "truncate",
        "update",
        "usage",
    ];
    match &node.node {
        // An empty name is `ALL (column, …)`.
        Some(NodeEnum::AccessPriv(privilege)) => {
            privilege.priv_name.is_empty() || KNOWN.contains(&privilege.priv_name.as_str())
        }
        _ => false,
    }
}

/// The schema that an object is in, or is; `Some(None)` where it is in none, or
/// doesn't say. `None` for a kind of object, or a way to name it, that isn't
/// allowed: languages, foreign-data wrappers, tablespaces and parameters are the
/// server's, not data.
fn schema(target: GrantTargetType, kind: ObjectType, object: &Node) -> Option<Option<&str>> {
    use {GrantTargetType as Target, ObjectType as Kind};
    match (target, kind, object.node.as_ref()?) {
        (
            Target::AclTargetObject,
            Kind::ObjectTable | Kind::ObjectSequence,
            NodeEnum::RangeVar(relation),
        ) => Some(Some(&relation.schemaname)),
        (
            Target::AclTargetObject,
            Kind::ObjectFunction | Kind::ObjectProcedure | Kind::ObjectRoutine,
            NodeEnum::ObjectWithArgs(function),
        ) => Some(qualifier(&function.objname)),
        (Target::AclTargetObject, Kind::ObjectType | Kind::ObjectDomain, NodeEnum::List(name)) => {
            Some(qualifier(&name.items))
        }
        (Target::AclTargetObject, Kind::ObjectSchema, NodeEnum::String(name)) => {
            Some(Some(&name.sval))
        }
        (
            Target::AclTargetObject,
            Kind::ObjectDatabase | Kind::ObjectForeignServer,
            NodeEnum::String(_),
        ) => Some(None),
        (
            Target::AclTargetObject,
            Kind::ObjectLargeobject,
            NodeEnum::Integer(_) | NodeEnum::Float(_),
        ) => Some(None),
        (
            Target::AclTargetAllInSchema,
            Kind::ObjectTable
            | Kind::ObjectSequence
            | Kind::ObjectFunction
            | Kind::ObjectProcedure
            | Kind::ObjectRoutine,
            NodeEnum::String(schema),
        ) => Some(Some(&schema.sval)),
        _ => None,
    }
}

/// The schema in `schema.name` or `database.schema.name`.
fn qualifier(name: &[Node]) -> Option<&str> {
    let [.., schema, _] = name else { return None };
    match &schema.node {
        Some(NodeEnum::String(schema)) => Some(&schema.sval),
        _ => None,
    }
}
