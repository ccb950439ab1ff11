//! What a plan may ask for and had better not: advice to who writes a target.
//!
//! Refuses nothing. What may run is decided by [`Plan::authorize`]; here is said
//! which statements leave something behind, give more than they seem to, or stop
//! nobody, and what to write instead.

use std::fmt;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AlterRoleSetStmt, GrantRoleStmt, GrantStmt, GrantTargetType, Node, ObjectType,
};

use super::membership::plain_name;
use super::tree::Tree;
use crate::event::printable;
use crate::name::MAX_BYTES;
use crate::plan::{Plan, Step};
use crate::sql::Template;

/// Advice about one step. Its `Display` is a sentence that begins with the
/// step's number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which step, from 1.
    pub step: usize,
    /// What about it.
    pub lint: Lint,
}

/// What a statement had better not do. [`name`](Self::name) is stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lint {
    /// Privileges on objects, where a role could have them.
    ObjectGrant,
    /// `ALL`, which means more with each version.
    AllPrivileges,
    /// `ON ALL … IN SCHEMA`, which is about today's objects.
    AllInSchema,
    /// The TRIGGER privilege.
    TriggerPrivilege,
    /// CREATE on a schema or a database.
    CreatePrivilege,
    /// The GRANT option or the ADMIN option.
    PassesOn,
    /// For somebody else than the user of the run.
    SomebodyElse,
    /// REVOKE, which denies nothing.
    Revoke,
    /// A setting of this name.
    Setting(String),
    /// Default privileges.
    DefaultPrivileges,
    /// Any other statement.
    Lasting,
}

impl Lint {
    /// A word for it, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ObjectGrant => "object-grant",
            Self::AllPrivileges => "all-privileges",
            Self::AllInSchema => "all-in-schema",
            Self::TriggerPrivilege => "trigger-privilege",
            Self::CreatePrivilege => "create-privilege",
            Self::PassesOn => "passes-on",
            Self::SomebodyElse => "somebody-else",
            Self::Revoke => "revoke",
            Self::Setting(_) => "setting",
            Self::DefaultPrivileges => "default-privileges",
            Self::Lasting => "lasting",
        }
    }
}

impl Plan {
    /// Advice about its statements, in their order. Steps that can't be read are
    /// left out: [`authorize`](Self::authorize) says what is wrong with them.
    ///
    /// # Examples
    /// ```
    /// use sym_host::plan::{Plan, Statement, Step, Strategy};
    ///
    /// let statement = Statement { sql: "GRANT SELECT ON t TO {username}".to_owned(), args: vec![] };
    /// let plan = Plan {
    ///     strategy: Strategy::TemporaryUser,
    ///     username: "zoë".to_owned(),
    ///     steps: vec![Step::Sql(statement)],
    /// };
    /// assert_eq!(plan.lint()[0].lint.name(), "object-grant");
    /// ```
    pub fn lint(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let Step::Sql(statement) = step else { continue };
            let sql = Template::parse(&statement.sql)
                .and_then(|template| template.render(&self.username, &statement.args));
            let Some(tree) = sql.ok().and_then(|sql| Tree::parse(&sql).ok()) else {
                continue;
            };
            let lints = tree.node().map_or_else(Vec::new, |node| self.lints(node));
            findings.extend(lints.into_iter().map(|lint| Finding {
                step: index + 1,
                lint,
            }));
        }
        findings
    }

    fn lints(&self, node: &NodeEnum) -> Vec<Lint> {
        match node {
            NodeEnum::GrantRoleStmt(grant) => self.roles(grant),
            NodeEnum::GrantStmt(grant) => self.privileges(grant),
            NodeEnum::AlterRoleSetStmt(alter) => self.setting(alter),
            NodeEnum::AlterDefaultPrivilegesStmt(_) => vec![Lint::DefaultPrivileges],
            _ => vec![Lint::Lasting],
        }
    }

    fn roles(&self, grant: &GrantRoleStmt) -> Vec<Lint> {
        let lints = [
            (!self.is_for_user(&grant.grantee_roles), Lint::SomebodyElse),
            (grant.is_grant && has_admin(&grant.opt), Lint::PassesOn),
            (!grant.is_grant, Lint::Revoke),
        ];
        kept(lints)
    }

    fn privileges(&self, grant: &GrantStmt) -> Vec<Lint> {
        let is_somebody_else = !self.is_for_user(&grant.grantees);
        if !grant.is_grant {
            return kept([(is_somebody_else, Lint::SomebodyElse), (true, Lint::Revoke)]);
        }
        let names: Vec<&str> = grant.privileges.iter().filter_map(privilege).collect();
        // No list at all is ALL, and so is `ALL (column)`.
        let is_all = names.is_empty() || names.contains(&"");
        let kind = ObjectType::try_from(grant.objtype).unwrap_or_default();
        let has_triggers = matches!(kind, ObjectType::ObjectTable)
            && (grant.privileges.is_empty() || names.contains(&"trigger"));
        let is_container = matches!(kind, ObjectType::ObjectSchema | ObjectType::ObjectDatabase);
        kept([
            (is_somebody_else, Lint::SomebodyElse),
            (true, Lint::ObjectGrant),
            (is_all, Lint::AllPrivileges),
            (
                grant.targtype == GrantTargetType::AclTargetAllInSchema as i32,
                Lint::AllInSchema,
            ),
            (has_triggers, Lint::TriggerPrivilege),
            (
                is_container && (is_all || names.contains(&"create")),
                Lint::CreatePrivilege,
            ),
            (grant.grant_option, Lint::PassesOn),
        ])
    }

    fn setting(&self, alter: &AlterRoleSetStmt) -> Vec<Lint> {
        let is_user = alter
            .role
            .as_ref()
            .is_some_and(|role| role.rolename == self.username);
        let name = alter.setstmt.as_ref().map_or("", |set| set.name.as_str());
        kept([
            (!is_user, Lint::SomebodyElse),
            (is_user, Lint::Setting(name.to_ascii_lowercase())),
        ])
    }

    fn is_for_user(&self, roles: &[Node]) -> bool {
        roles
            .iter()
            .all(|role| plain_name(role) == Some(self.username.as_str()))
    }
}

fn kept<const N: usize>(lints: [(bool, Lint); N]) -> Vec<Lint> {
    lints
        .into_iter()
        .filter_map(|(is_so, lint)| is_so.then_some(lint))
        .collect()
}

fn privilege(node: &Node) -> Option<&str> {
    match &node.node {
        Some(NodeEnum::AccessPriv(privilege)) => Some(&privilege.priv_name),
        _ => None,
    }
}

/// Whether the ADMIN option is among them and isn't `FALSE`.
fn has_admin(options: &[Node]) -> bool {
    options.iter().any(|option| match &option.node {
        Some(NodeEnum::DefElem(option)) if option.defname == "admin" => {
            let value = option.arg.as_ref().and_then(|value| value.node.as_ref());
            !matches!(value, Some(NodeEnum::Boolean(value)) if !value.boolval)
        }
        _ => false,
    })
}

/// The end of a sentence whose subject is a step: what it does, why that is bad,
/// what to do instead.
///
/// Sources: PostgreSQL manual, "GRANT" (PUBLIC, TRIGGER, ALL), "CREATE TRIGGER",
/// "ALTER ROLE" (who may override a setting).
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ObjectGrant => f.write_str(
                "grants privileges on objects: each user adds to the object's access list, and one that somebody else granted keeps the user from being removed; \
                 give them to a role once, and grant that role",
            ),
            Self::AllPrivileges => f.write_str(
                "grants ALL, which is more in newer versions of PostgreSQL and more than one thinks (TRUNCATE, TRIGGER); name the privileges that are needed",
            ),
            Self::AllInSchema => f.write_str(
                "grants on all objects that the schema has at that moment, and on none that is made later, \
                 and fails as soon as anybody has made one there that the function's user can't pass on; \
                 give default privileges to a role, and grant that role",
            ),
            Self::TriggerPrivilege => f.write_str(
                "grants TRIGGER, with which the user can have code run as whoever writes to the table next; leave it out",
            ),
            Self::CreatePrivilege => f.write_str(
                "lets the user make objects: at the end they go to a role that nobody is, and an administrator has to clear them away; leave CREATE out where reading or writing is enough",
            ),
            Self::PassesOn => f.write_str(
                "lets the user pass access on, and what they pass on doesn't end with the run; leave the option out",
            ),
            Self::SomebodyElse => f.write_str(
                "changes the access of somebody else than the user of the run, and nothing takes it back at the end; write `{username}`",
            ),
            Self::Revoke => f.write_str(
                "revokes what a new user doesn't have: PostgreSQL knows no denial, and what PUBLIC or a role gives stays; grant a role that has less",
            ),
            Self::Setting(name) => write!(
                f,
                "sets `{}`, which the user can set otherwise in their session: it is a default and stops nobody; limit access by what the role may do",
                printable(name, MAX_BYTES)
            ),
            Self::DefaultPrivileges => f.write_str(
                "changes default privileges, which outlive the user; give them to a role once, and grant that role",
            ),
            Self::Lasting => f.write_str(
                "is neither GRANT nor ALTER ROLE … SET: it needs `SQL_POLICY=any`, and nothing takes back at the end what it does; do it once, and grant a role",
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} {}", self.step, self.lint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Statement, Strategy, Value};

    fn lint(steps: Vec<Step>) -> Vec<Finding> {
        let plan = Plan {
            strategy: Strategy::TemporaryUser,
            username: "zoë".to_owned(),
            steps,
        };
        plan.lint()
    }

    fn sql(sql: &str) -> Step {
        Step::Sql(Statement {
            sql: sql.to_owned(),
            args: Vec::new(),
        })
    }

    #[track_caller]
    fn check(statement: &str, expected: &[&str]) {
        let findings = lint(vec![sql(statement)]);
        let names: Vec<&str> = findings.iter().map(|finding| finding.lint.name()).collect();
        assert_eq!(names, expected, "{statement}");
    }

    #[test]
    fn memberships_are_what_is_advised() {
        check("GRANT readonly TO {username}", &[]);
        check("GRANT a, b TO \"zoë\"", &[]);
        check("GRANT a TO {username} WITH INHERIT TRUE, SET FALSE", &[]);
        check("GRANT a TO {username} WITH ADMIN FALSE", &[]);
        assert_eq!(lint(vec![Step::GrantRole("a".to_owned())]), []);
    }

    #[test]
    fn privileges_on_objects_belong_to_a_role() {
        check("GRANT SELECT ON t TO {username}", &["object-grant"]);
        check(
            "GRANT EXECUTE ON FUNCTION f() TO {username}",
            &["object-grant"],
        );
        check("GRANT USAGE ON SCHEMA s TO {username}", &["object-grant"]);
        check(
            "GRANT SELECT ON ALL TABLES IN SCHEMA s TO {username}",
            &["object-grant", "all-in-schema"],
        );
    }

    #[test]
    fn says_what_is_more_than_it_seems() {
        check(
            "GRANT ALL ON t TO {username}",
            &["object-grant", "all-privileges", "trigger-privilege"],
        );
        check(
            "GRANT ALL PRIVILEGES ON ALL SEQUENCES IN SCHEMA s TO {username}",
            &["object-grant", "all-privileges", "all-in-schema"],
        );
        // There is no TRIGGER for a column.
        check(
            "GRANT ALL (a) ON t TO {username}",
            &["object-grant", "all-privileges"],
        );
        check(
            "GRANT SELECT, TRIGGER ON t TO {username}",
            &["object-grant", "trigger-privilege"],
        );
        check(
            "GRANT USAGE, CREATE ON SCHEMA s TO {username}",
            &["object-grant", "create-privilege"],
        );
        check(
            "GRANT ALL ON DATABASE d TO {username}",
            &["object-grant", "all-privileges", "create-privilege"],
        );
        check(
            "GRANT SELECT ON t TO {username} WITH GRANT OPTION",
            &["object-grant", "passes-on"],
        );
        check("GRANT a TO {username} WITH ADMIN OPTION", &["passes-on"]);
        check("GRANT a TO {username} WITH ADMIN TRUE", &["passes-on"]);
    }

    #[test]
    fn says_what_outlives_the_run_or_stops_nobody() {
        check("GRANT a TO b", &["somebody-else"]);
        check(
            "GRANT SELECT ON t TO {username}, PUBLIC",
            &["somebody-else", "object-grant"],
        );
        check("REVOKE a FROM {username}", &["revoke"]);
        check("REVOKE ALL ON t FROM PUBLIC", &["somebody-else", "revoke"]);
        check(
            "ALTER ROLE {username} SET Statement_Timeout = 1",
            &["setting"],
        );
        check("ALTER ROLE b SET work_mem = 1", &["somebody-else"]);
        check("ALTER ROLE ALL SET work_mem = 1", &["somebody-else"]);
        check(
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {username}",
            &["default-privileges"],
        );
        for statement in ["CREATE TABLE t ()", "DO $$$$", "SELECT 1", "COMMIT"] {
            check(statement, &["lasting"]);
        }
    }

    #[test]
    fn names_the_step_and_leaves_out_what_can_not_be_read() {
        let value = Step::Sql(Statement {
            sql: "GRANT SELECT ON {table} TO {username}".to_owned(),
            args: vec![("table".to_owned(), Value::Identifier("t".to_owned()))],
        });
        let findings = lint(vec![
            sql("GRANT"),
            sql("GRANT SELECT ON {unknown} TO {username}"),
            sql("SELECT 1; SELECT 2"),
            value,
            sql("ALTER ROLE {username} SET \"a`b\" = 1"),
        ]);
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(
            lines[0].starts_with("step 4 grants privileges on objects: "),
            "{lines:?}"
        );
        assert!(lines[1].starts_with("step 5 sets `a'b`, "), "{lines:?}");
    }
}
