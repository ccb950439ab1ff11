//! Everything that events will need, looked at before the first of them, each
//! with what mends it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::Ready;
use crate::config::Mode;
use crate::error::{Code, Error};
use crate::event::printable;
use crate::plan::Strategy;
use crate::plugin::{Loaded, Version};
use crate::postgres::doctor::{Facts, Held, Usable, facts, heirs_may_create};
use crate::postgres::failure;
use crate::postgres::schema::AS_OWNER;
use crate::postgres::sweep::{StrayUser, Unexplained};
use crate::postgres::{Connection, Names};
use crate::sql::quote_identifier;

/// Behind a statement for who made a grant.
const AS_GRANTOR: &str = "-- as a superuser, or as who is named last";

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What it is about.
    pub subject: String,
    /// Whether events will work as far as this goes.
    pub is_ok: bool,
    /// What was found.
    pub found: String,
    /// The statement or the command that mends it.
    pub fix: Option<String>,
}

impl Finding {
    fn ok(subject: &str, found: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            is_ok: true,
            found: found.into(),
            fix: None,
        }
    }

    fn wrong(subject: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            is_ok: false,
            found: found.into(),
            fix: Some(fix.into()),
        }
    }

    pub(super) fn of_configuration(error: &Error) -> Self {
        Self::error("configuration", error)
    }

    fn error(subject: &str, error: &Error) -> Self {
        Self {
            subject: subject.to_owned(),
            is_ok: false,
            found: error.to_log(),
            fix: None,
        }
    }
}

impl Ready {
    /// Looks at the release and at the database.
    pub(super) async fn diagnose(&self) -> Vec<Finding> {
        let mut findings = vec![Finding::ok("configuration", "every variable is right")];
        let mut makes_users = self.config.strategy == Strategy::TemporaryUser;
        let mut published = None;
        let mut wanted = BTreeSet::new();
        match self.releases.look().await {
            Ok(Loaded { release, version }) => {
                published = version;
                makes_users |= release
                    .targets()
                    .any(|(_, target)| target.strategy() == Some(Strategy::TemporaryUser));
                let roles = release.targets().filter_map(|(_, target)| target.role());
                wanted.extend(roles.map(str::to_owned));
                match release.check_all().await {
                    Ok(()) => {
                        let targets: Vec<&str> = release.targets().map(|(name, _)| name).collect();
                        findings.push(Finding::ok(
                            "plugins",
                            format!(
                                "release {} with targets {}",
                                release.id(),
                                targets.join(", ")
                            ),
                        ));
                    }
                    Err(errors) => {
                        findings.extend(errors.iter().map(|error| Finding::error("plugins", error)))
                    }
                }
            }
            Err(error) => findings.push(Finding::error("plugins", &error)),
        }
        let allowed = self.config.policy.grantable_roles.as_ref();
        let roles = allowed.into_iter().flatten().chain(&wanted);
        let roles: Vec<&str> = roles.map(String::as_str).collect();
        let databases = [
            self.config.database.ledger.as_str(),
            &self.config.database.name,
        ];
        let look = async |connection: &mut Connection| facts(connection, &roles, &databases).await;
        let mut looks_at_targets = self.database.is_split();
        let mut is_overdue = false;
        match self
            .database
            .with_ledger(&self.aws, Names::default(), look)
            .await
        {
            Ok(facts) => {
                looks_at_targets |= makes_users;
                is_overdue = facts.overdue > 0;
                findings.extend(database(&facts, allowed, &wanted, makes_users));
                if facts.owner != self.config.database.ledger_owner {
                    findings.push(other_owner(&facts.owner));
                }
                findings.extend(self.unexplained(&facts.unexplained));
                if let Some(version) = published {
                    findings.push(self.accepted_release(&version).await);
                }
            }
            Err(error) => findings.push(Finding::error("database", &error)),
        }
        if looks_at_targets {
            let name = &self.config.database.name;
            let connected = self.database.connect_to(&self.aws, name).await;
            if makes_users && let Ok(connection) = &connected {
                findings.extend(heirs(connection, name, is_overdue).await);
            }
            if self.database.is_split() {
                findings.push(targets_database(name, connected));
            }
        }
        findings
    }

    /// What the function's user has given and no open run explains.
    fn unexplained(&self, found: &Unexplained) -> Vec<Finding> {
        let mut findings: Vec<Finding> = found
            .users
            .iter()
            .map(|StrayUser { user, run }| {
                let user = printable(user, 80);
                Finding::wrong(
                    "temporary user",
                    format!("`{user}` is of no run that is open in this ledger"),
                    format!("symctl revoke {}", printable(run, 200)),
                )
            })
            .collect();
        let is_templates = self.may_be_templates();
        findings.extend(found.memberships.iter().map(|membership| {
            let name = |text: &str| printable(text, 80);
            let found = format!(
                "`{}` has `{}` from the function's user, and no open run has lent it{}",
                name(&membership.user),
                name(&membership.role),
                if is_templates {
                    ": it may be the template's"
                } else {
                    ""
                }
            );
            Finding {
                is_ok: is_templates,
                ..Finding::wrong(
                    "membership",
                    found,
                    format!(
                        "{} -- as the function's user ({AS_OWNER}), or a superuser",
                        printable(&membership.revoke, 300)
                    ),
                )
            }
        }));
        findings
    }

    /// Whether Sym's template is at work, as the same user: what it has lent no run explains.
    pub(super) fn may_be_templates(&self) -> bool {
        self.config.migrates_from_template || self.config.mode == Mode::Shadow
    }

    /// Whether the function may take the release: its ledger may have seen a later one.
    async fn accepted_release(&self, version: &Version) -> Finding {
        let subject = "accepted release";
        match self.would_accept(version).await {
            Ok(()) => Finding::ok(subject, format!("the ledger takes {}", version.release)),
            // Its own words say why, and the server's nothing more.
            Err(error) if error.code() == Code::InvalidPlugin => {
                Finding::wrong(subject, error.message(), fix_of_release(error.message()))
            }
            Err(error) => Finding::error(subject, &error),
        }
    }
}

/// Where the ledger is `DB_USER`'s own, nothing else looks at the variable.
fn other_owner(owner: &str) -> Finding {
    Finding::wrong(
        "ledger owner",
        format!(
            "the ledger belongs to `{}`, who is `DB_USER`, and `LEDGER_OWNER` names another",
            printable(owner, 80)
        ),
        "take the variable `LEDGER_OWNER` away",
    )
}

/// The one in which targets' statements run, where the ledger's is another.
fn targets_database(name: &str, connected: failure::Result<Connection>) -> Finding {
    let subject = "targets' database";
    match connected {
        Ok(_) => Finding::ok(subject, format!("`{name}` can be connected to")),
        Err(failure) => Finding::error(subject, &failure.into_error(Names::default())),
    }
}

/// What keeps what temporary users make in schema `public` from getting an heir. Where nobody
/// may make anything there, it keeps nothing; where something `is_overdue`, it may wait for this.
async fn heirs(connection: &Connection, name: &str, is_overdue: bool) -> Option<Finding> {
    let subject = "sym_graveyard";
    match heirs_may_create(connection).await {
        Ok(Some(false)) => Some(Finding {
            is_ok: !is_overdue,
            ..Finding::wrong(
                subject,
                format!(
                    "may not create in schema `public` of database `{name}`, as that schema's owner has to let it: who has \
                     made something there can't be dropped"
                ),
                CREATE_IN_PUBLIC,
            )
        }),
        Ok(_) => None,
        Err(failure) => Some(Finding::error(
            subject,
            &failure.into_error(Names::default()),
        )),
    }
}

const CREATE_IN_PUBLIC: &str = "GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard;";

/// The commands that a refusal names, with the serial that they need.
fn fix_of_release(sentence: &str) -> String {
    let quoted = sentence.split('`').skip(1).step_by(2);
    let commands: Vec<&str> = quoted.filter(|text| text.starts_with("symctl ")).collect();
    match commands[..] {
        [] => "docs/releases.md, `When a key was stolen`".to_owned(),
        _ => commands.join(", or "),
    }
}

fn database(
    facts: &Facts,
    allowed: Option<&BTreeSet<String>>,
    wanted: &BTreeSet<String>,
    makes_users: bool,
) -> Vec<Finding> {
    let since_16 = facts.version >= 160_000;
    let bot = quote_identifier(&facts.owner).unwrap_or_default();
    let admin = if since_16 {
        "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
    } else {
        "WITH ADMIN OPTION"
    };
    let inheriting = if since_16 {
        "WITH ADMIN TRUE, INHERIT TRUE, SET FALSE"
    } else {
        admin
    };
    let full = if since_16 {
        " WITH INHERIT TRUE, SET TRUE"
    } else {
        ""
    };
    let mut findings = vec![Finding::ok(
        "database",
        format!(
            "PostgreSQL {}.{}, schema `sym` is in place",
            facts.version / 10_000,
            facts.version % 10_000
        ),
    )];
    findings.push(match allowed {
        Some(allowed) => allowed_roles(facts, allowed, &format!("TO {bot} {admin}")),
        None => any_roles(facts, wanted, format!("GRANT readonly TO {bot} {admin};")),
    });
    findings.extend(target_roles(facts, wanted, &format!("TO {bot} {admin}")));
    findings.extend(facts.usable.iter().map(|Usable { role, fix }| Finding {
        fix: Some(format!("{} {AS_GRANTOR}", printable(fix, 300))),
        ..Finding::ok(
            "roles to lend",
            format!(
                "the function's user could use `{}` itself, by INHERIT or SET, which it needs for nothing",
                printable(role, 80)
            ),
        )
    }));
    findings.extend(facts.held.iter().map(|Held { role, fix }| {
        Finding::wrong(
            "privileged roles",
            format!(
                "the function's user is a member of `{}` by the ADMIN option on it, and may do all that this may; and it is \
                 never lent",
                printable(role, 80)
            ),
            printable(fix, 300),
        )
    }));
    findings.push(if facts.can_signal {
        Finding::ok("ending sessions", "allowed")
    } else {
        let fix = format!("GRANT pg_signal_backend TO {bot};");
        Finding::wrong(
            "ending sessions",
            "not allowed: an open session would outlive its access",
            fix,
        )
    });
    // A managed service may keep this for itself, so nothing is wrong without it.
    if facts.can_signal_workers == Some(false) {
        findings.push(Finding {
            fix: Some(format!(
                "GRANT pg_signal_autovacuum_worker TO {bot} WITH INHERIT TRUE, SET FALSE;"
            )),
            ..Finding::ok(
                "ending workers",
                "not allowed: an end waits for autovacuum where that runs a user's functions",
            )
        });
    }
    if makes_users {
        findings.push(if facts.can_create_roles {
            Finding::ok("making users", "allowed")
        } else {
            Finding::wrong(
                "making users",
                "not allowed",
                format!("ALTER ROLE {bot} CREATEROLE;"),
            )
        });
        let groups = [
            ("sym_managed", facts.marker, admin),
            ("sym_graveyard", facts.graveyard, inheriting),
            ("sym_admins", facts.admins, full.trim_start()),
        ];
        for (group, state, options) in groups {
            let grant = format!("GRANT {group} TO {bot} {options}")
                .trim_end()
                .to_owned();
            findings.push(match state {
                Some(true) => Finding::ok(group, "in place"),
                Some(false) => Finding::wrong(
                    group,
                    "is there, but the function's user may not use it",
                    format!("{grant};"),
                ),
                None if group == "sym_graveyard" => Finding::wrong(
                    group,
                    "is missing",
                    format!("CREATE ROLE {group} NOLOGIN; {grant}; {CREATE_IN_PUBLIC}"),
                ),
                None => Finding::wrong(
                    group,
                    "is missing",
                    format!("CREATE ROLE {group} NOLOGIN; {grant};"),
                ),
            });
        }
        if !facts.marker_owns.is_empty() {
            let found = format!(
                "owns {}: it is to own nothing, as up to PostgreSQL 15 the temporary users of older versions were its \
                 members, and what is its own may use what they could",
                facts.marker_owns.join(", ")
            );
            let fix = "look at it, and in each database, as an administrator: GRANT sym_managed TO CURRENT_USER; DROP OWNED BY \
                 sym_managed; REVOKE sym_managed FROM CURRENT_USER;";
            findings.push(Finding::wrong("sym_managed", found, fix));
        }
        if facts.heirs > 0 {
            let found = format!(
                "{} role(s) `sym_graveyard_…` have what temporary users left: docs/operations.md says how to clear it away",
                facts.heirs
            );
            findings.push(Finding::ok("left behind", found));
        }
        if facts.passwords_restricted {
            let fix = format!("GRANT rds_password TO {bot};");
            findings.push(Finding::wrong(
                "passwords",
                "are kept for `rds_password` on this server",
                fix,
            ));
        }
    }
    for other in &facts.other_ledgers {
        findings.push(Finding::wrong(
            "ledger",
            format!("`{other}` seems to have another: no event ends what is open there"),
            format!(
                "LEDGER_DB={other} symctl revoke --all; then, in that database, as the schema's owner ({AS_OWNER}): DROP SCHEMA sym CASCADE; or name it in \
                 LEDGER_DB"
            ),
        ));
    }
    if facts.lacks_standby {
        findings.push(Finding {
            fix: Some("bring one back, or take it out of synchronous_standby_names".to_owned()),
            ..Finding::ok(
                "standby",
                "`synchronous_standby_names` asks for one and none is connected: each change waits two seconds for it, and is \
                 then on this server alone",
            )
        });
    }
    for name in &facts.unencoded {
        findings.push(Finding::wrong(
            "encoding",
            format!("`{name}` has SQL_ASCII: a name that is no text could keep an end from saying what is in its way"),
            "a database in UTF8, into which this one is dumped",
        ));
    }
    findings.push(if facts.overdue == 0 {
        Finding::ok("grants", format!("{} open, none overdue", facts.open))
    } else {
        let found = format!("{} open, {} of them overdue", facts.open, facts.overdue);
        Finding::wrong("grants", found, "symctl sweep")
    });
    findings
}

/// Without GRANTABLE_ROLES: which can be lent, and why others can't on which there is the
/// ADMIN option. What targets want has a finding of its own.
fn any_roles(facts: &Facts, wanted: &BTreeSet<String>, fix: String) -> Finding {
    let subject = "roles to lend";
    let never = |is_shown: &dyn Fn(&String) -> bool| {
        let shown = facts.never_lent.iter().filter(|(role, _)| is_shown(role));
        let sentences: Vec<&str> = shown.map(|(_, sentence)| sentence.as_str()).collect();
        sentences.join(", ")
    };
    if facts.lendable.is_empty() {
        let why = match facts.never_lent.is_empty() {
            true => "the ADMIN option is missing on every role".to_owned(),
            false => never(&|_| true),
        };
        return Finding::wrong(subject, format!("none: {why}"), fix);
    }
    let names: Vec<&str> = facts.lendable.iter().map(String::as_str).collect();
    let names = names.join(", ");
    let why = never(&|role| !wanted.contains(role));
    if why.is_empty() {
        return Finding::ok(subject, names);
    }
    Finding::ok(subject, format!("{names}; of others, {why}"))
}

/// Of the roles that GRANTABLE_ROLES allows, which can be lent, and why others can't.
/// One that can is enough: functions of several databases may share a list.
fn allowed_roles(facts: &Facts, allowed: &BTreeSet<String>, to_bot: &str) -> Finding {
    let (lendable, others): (Vec<&String>, Vec<&String>) = allowed
        .iter()
        .partition(|role| facts.lendable.contains(*role));
    let (why, grants) = why_not_lendable(facts, &others, to_bot);
    let fix = if grants.is_empty() {
        "name in GRANTABLE_ROLES what can be lent".to_owned()
    } else {
        grants
    };
    let subject = "roles to lend";
    if lendable.is_empty() {
        return Finding::wrong(subject, format!("none of GRANTABLE_ROLES: {why}"), fix);
    }
    let names: Vec<&str> = lendable.into_iter().map(String::as_str).collect();
    let names = names.join(", ");
    if why.is_empty() {
        return Finding::ok(subject, names);
    }
    Finding {
        fix: Some(fix),
        ..Finding::ok(
            subject,
            format!("{names}; of GRANTABLE_ROLES not all: {why}"),
        )
    }
}

/// Of the roles that targets lend by themselves, those that can't be.
fn target_roles(facts: &Facts, wanted: &BTreeSet<String>, to_bot: &str) -> Option<Finding> {
    let others: Vec<&String> = wanted
        .iter()
        .filter(|role| !facts.lendable.contains(*role))
        .collect();
    if others.is_empty() {
        return None;
    }
    let (why, grants) = why_not_lendable(facts, &others, to_bot);
    let is_missing = |role: &&String| facts.missing.contains(role);
    let fix = if !grants.is_empty() {
        grants
    } else if others.iter().any(is_missing) {
        "create it, or name another in plugins.toml".to_owned()
    } else {
        "name another in plugins.toml".to_owned()
    };
    Some(Finding::wrong("roles of targets", why, fix))
}

/// Why these roles can't be lent, and the statements that mend it where there are any.
fn why_not_lendable(facts: &Facts, roles: &[&String], to_bot: &str) -> (String, String) {
    let mut why = Vec::new();
    let mut grants = Vec::new();
    for role in roles {
        if facts.missing.contains(role) {
            why.push(format!("`{role}` doesn't exist"));
        } else if let Some(sentence) = facts.never_lent.get(*role) {
            why.push(sentence.clone());
        } else {
            why.push(format!("the ADMIN option on `{role}` is missing"));
            let role = quote_identifier(role).unwrap_or_default();
            grants.push(format!("GRANT {role} {to_bot};"));
        }
    }
    (why.join(", "), grants.join(" "))
}
