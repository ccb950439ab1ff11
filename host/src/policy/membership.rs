//! `GRANT role TO user` and `REVOKE role FROM user`.
//!
//! A plain grant to the run's user never runs as SQL: it becomes a step that
//! the host does its own way, so that it is counted, recorded and taken back.

use pg_query::NodeEnum;
use pg_query::protobuf::{DropBehavior, GrantRoleStmt, Node, RoleSpec, RoleSpecType};

use super::{Refusal, Scope, shown};
use crate::name::RoleName;

/// The roles of a plain `GRANT a, b TO user`; `None` for every other statement.
///
/// # Errors
/// `GRANT SELECT TO user` is one too: it grants a role of that name. So roles
/// that may not be lent are refused here, whatever the policy.
pub(super) fn plain_grant(
    node: &NodeEnum,
    scope: &Scope<'_>,
) -> Result<Option<Vec<RoleName>>, Refusal> {
    match node {
        NodeEnum::GrantRoleStmt(grant)
            if grant.is_grant && options(grant).is_none() && is_for_user(grant, scope) =>
        {
            roles(grant, scope).map(Some)
        }
        _ => Ok(None),
    }
}

/// A membership statement under the policy `grants`, where `plain_grant` didn't
/// take it: none passes. The sentence is that of the first thing wrong with it.
pub(super) fn check(grant: &GrantRoleStmt, scope: &Scope<'_>) -> Result<(), Refusal> {
    if let Some(option) = options(grant) {
        return Err(Refusal::not_allowed(format!(
            "grants or revokes a role {option}; the host sets these options itself"
        )));
    }
    if !is_for_user(grant, scope) {
        return Err(Refusal::not_allowed(
            "grants or revokes a role for somebody else than the user of the run",
        ));
    }
    Err(Refusal::not_allowed(
        "revokes a role from the user of the run, who is new and has no more than the plan grants; leave both out",
    ))
}

/// The same under `any`: whoever it is for, and whatever the options.
pub(super) fn check_any(grant: &GrantRoleStmt, scope: &Scope<'_>) -> Result<(), Refusal> {
    let GrantRoleStmt {
        granted_roles,
        grantee_roles,
        is_grant: _,
        opt: _,
        grantor,
        behavior: _,
    } = grant;
    for role in granted_roles {
        let name = granted(role)?;
        if name != scope.username.as_str() {
            scope.lendable(name)?;
        }
    }
    for grantee in grantee_roles
        .iter()
        .map(role_spec)
        .chain(grantor.as_ref().map(Some))
    {
        subject(grantee, scope)?;
    }
    Ok(())
}

/// The name of a role that a statement under `any` does something to.
///
/// # Errors
/// Where it is the bot or ours, by its name or as `CURRENT_USER`. `PUBLIC` is
/// nobody in particular, and for the server to refuse.
pub(super) fn subject<'a>(
    role: Option<&'a RoleSpec>,
    scope: &Scope<'_>,
) -> Result<&'a str, Refusal> {
    let Some(role) = role else {
        return Err(Refusal::not_allowed("is about all roles at once"));
    };
    match RoleSpecType::try_from(role.roletype) {
        Ok(RoleSpecType::RolespecCstring) => subject_name(&role.rolename, scope),
        Ok(RoleSpecType::RolespecPublic) => Ok("public"),
        Ok(
            RoleSpecType::Undefined
            | RoleSpecType::RolespecCurrentRole
            | RoleSpecType::RolespecCurrentUser
            | RoleSpecType::RolespecSessionUser,
        )
        | Err(_) => Err(Refusal::not_allowed(
            "is about the role that this function logs in with",
        )),
    }
}

/// The same for a name.
pub(super) fn subject_name<'a>(name: &'a str, scope: &Scope<'_>) -> Result<&'a str, Refusal> {
    let is_ours = scope.is_bot(name) || name.to_lowercase().starts_with("sym_");
    if is_ours && name != scope.username.as_str() {
        return Err(Refusal::not_allowed(format!(
            "is about role `{}`, which is reserved for this function",
            shown(name)
        )));
    }
    Ok(name)
}

/// The name of a plain role: not `PUBLIC`, also where it is in quotes, and not
/// `CURRENT_USER` and its like.
pub(super) fn plain_name(node: &Node) -> Option<&str> {
    let role = role_spec(node)?;
    (role.roletype == RoleSpecType::RolespecCstring as i32).then_some(role.rolename.as_str())
}

/// Whether all of these are the run's user, and there is one.
pub(super) fn are_user(roles: &[Node], scope: &Scope<'_>) -> bool {
    !roles.is_empty()
        && roles
            .iter()
            .all(|role| plain_name(role) == Some(scope.username.as_str()))
}

pub(super) fn role_spec(node: &Node) -> Option<&RoleSpec> {
    match &node.node {
        Some(NodeEnum::RoleSpec(role)) => Some(role),
        _ => None,
    }
}

fn is_for_user(grant: &GrantRoleStmt, scope: &Scope<'_>) -> bool {
    are_user(&grant.grantee_roles, scope)
}

/// What makes it more than plain, in words for a message. Every field that can
/// hold a modifier is looked at.
fn options(grant: &GrantRoleStmt) -> Option<&'static str> {
    let GrantRoleStmt {
        granted_roles: _,
        grantee_roles: _,
        is_grant: _,
        opt,
        grantor,
        behavior,
    } = grant;
    if !opt.is_empty() {
        return Some("with the ADMIN, INHERIT or SET option");
    }
    if grantor.is_some() {
        return Some("with GRANTED BY");
    }
    (*behavior != DropBehavior::DropRestrict as i32).then_some("with CASCADE")
}

fn roles(grant: &GrantRoleStmt, scope: &Scope<'_>) -> Result<Vec<RoleName>, Refusal> {
    grant
        .granted_roles
        .iter()
        .map(|role| scope.lendable(granted(role)?))
        .collect()
}

fn granted(node: &Node) -> Result<&str, Refusal> {
    match &node.node {
        // With columns it would be a privilege that lacks its object.
        Some(NodeEnum::AccessPriv(role)) if role.cols.is_empty() => Ok(&role.priv_name),
        _ => Err(Refusal::invalid(
            "grants a privilege without saying on what",
        )),
    }
}
