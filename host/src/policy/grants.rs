//! The policy `grants`: privileges on objects, for the run's user alone.

use std::collections::HashSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AccessPriv, DropBehavior, GrantStmt, GrantTargetType, Node, ObjectType, ObjectWithArgs,
};

use super::statement::Parsed;
use super::{Refusal, Scope, membership, settings, shown, tree};

/// Most objects that one statement may name. The server does not stop in the middle of
/// one, whatever its time limit.
const MAX_OBJECTS: usize = 1000;

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
    no_repeats(privileges, objects, grantees)
}

/// Refuses a statement in which something stands twice: the server does it as often as
/// it is written, each time slower than the last, and takes no cancel in between.
fn no_repeats(privileges: &[Node], objects: &[Node], grantees: &[Node]) -> Result<(), Refusal> {
    if objects.len() > MAX_OBJECTS {
        return Err(Refusal::not_allowed(format!(
            "names {} objects, at most {MAX_OBJECTS} are allowed in one statement",
            objects.len()
        )));
    }
    let twice = |name: &str| {
        Err(Refusal::not_allowed(format!(
            "names `{}` twice",
            shown(name)
        )))
    };
    // All of them are the run's user.
    if let [_, again, ..] = grantees {
        return twice(membership::plain_name(again).unwrap_or_default());
    }
    let mut seen = HashSet::new();
    for privilege in privileges {
        let Some(NodeEnum::AccessPriv(AccessPriv { priv_name, cols })) = &privilege.node else {
            continue;
        };
        if cols.is_empty() && !seen.insert((priv_name.as_str(), None)) {
            return twice(priv_name);
        }
        for column in cols.iter().filter_map(string) {
            if !seen.insert((priv_name.as_str(), Some(column))) {
                return twice(column);
            }
        }
    }
    let mut seen = HashSet::new();
    for object in objects {
        if !seen.insert(key(object)?) {
            return twice(&name(object));
        }
    }
    Ok(())
}

/// What two mentions of one object have in common.
fn key(object: &Node) -> Result<Vec<u8>, Refusal> {
    match &object.node {
        // Without the names of its arguments, which say nothing about which one it is.
        Some(NodeEnum::ObjectWithArgs(function)) => tree::comparable(&ObjectWithArgs {
            objfuncargs: Vec::new(),
            objargs: function.objargs.iter().map(of_any_length).collect(),
            ..function.clone()
        }),
        _ => tree::comparable(object),
    }
}

/// The type of an argument. Its length and those of its arrays, of which a function's type has
/// none, are read and forgotten.
fn of_any_length(argument: &Node) -> Node {
    let mut argument = argument.clone();
    if let Some(NodeEnum::TypeName(of)) = &mut argument.node {
        of.typmods.clear();
        if !of.array_bounds.is_empty() {
            of.array_bounds = vec![Node { node: None }];
        }
    }
    argument
}

/// An object's name for a message.
fn name(object: &Node) -> String {
    let joined = |parts: &[Node]| -> String {
        let parts: Vec<&str> = parts.iter().filter_map(string).collect();
        parts.join(".")
    };
    match &object.node {
        Some(NodeEnum::RangeVar(relation)) => {
            let parts = [
                &relation.catalogname,
                &relation.schemaname,
                &relation.relname,
            ];
            let parts: Vec<&str> = parts
                .into_iter()
                .map(String::as_str)
                .filter(|part| !part.is_empty())
                .collect();
            parts.join(".")
        }
        Some(NodeEnum::ObjectWithArgs(function)) => joined(&function.objname),
        Some(NodeEnum::List(name)) => joined(&name.items),
        Some(NodeEnum::String(name)) => name.sval.clone(),
        Some(NodeEnum::Integer(number)) => number.ival.to_string(),
        Some(NodeEnum::Float(number)) => number.fval.clone(),
        _ => String::new(),
    }
}

fn string(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::String(string)) => Some(&string.sval),
        _ => None,
    }
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
    string(schema)
}
