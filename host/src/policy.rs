//! What a plugin asks for, and the part of it that may run.
//!
//! Pure: no clock, no network, no environment. [`Plan::authorize`] is the only
//! way to make an [`AuthorizedPlan`], and an [`AuthorizedPlan`] is the only
//! thing `postgres` executes, so a step that skipped the check cannot run.
//!
//! Each statement goes the same way: template, values, PostgreSQL's own grammar,
//! the rules of [`SqlPolicy`] on the tree, and back to text. The text that runs
//! is made from the checked tree: the plugin's own never reaches the server.
//!
//! What only the server knows is decided there: who owns what, which attributes
//! a role has, what it reaches through membership, and what the bot may pass on.

mod any;
mod grants;
mod lint;
mod membership;
mod settings;
mod statement;
mod tree;

use std::collections::BTreeSet;
use std::fmt;

use crate::error::{Code, Error};
use crate::event::printable;
use crate::name::{MAX_BYTES, RoleName, RoleNameError};
use crate::plan::{Plan, Step, Strategy};
pub use crate::sql::MAX_SQL_BYTES;
use crate::sql::{Template, TemplateError};
pub use lint::{Finding, Lint};
pub use settings::settings_reference;

/// Most steps of one plan, both as asked for and after a `GRANT a, b` has become
/// two.
///
/// A plugin's own limit, [`Limits::steps`](crate::plugin::Limits::steps), is lower
/// where nobody raised it.
pub const MAX_STEPS: usize = 500;

/// Most bytes of a plan's statements together, as asked for and with their values:
/// checking them takes time by their length, and no timer ends it.
pub const MAX_PLAN_BYTES: usize = 2 * MAX_SQL_BYTES;

/// Which statements a plugin may have run for a temporary user: `SQL_POLICY`.
/// Each allows what the ones before it allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SqlPolicy {
    /// `GRANT role TO user`, and nothing else.
    Roles,
    /// Also privileges on objects, and harmless settings, of the run's user.
    Grants,
    /// Also nearly all else that the bot itself may do.
    ///
    /// Refused are still: transaction control; `SET`, `RESET` and what else
    /// changes the session or its identity; programs, files and libraries of the
    /// server (`COPY`, `LOAD`, `CREATE EXTENSION`, `ALTER SYSTEM`); what can't
    /// run in a transaction; and naming the bot, roles of ours or schema `sym`.
    ///
    /// This keeps accidents away, not a plugin that means harm: a `DO` block, a
    /// function's body, a trigger or a dynamic `EXECUTE` can do all of it
    /// unseen, and what it does outlives the user. Who chooses `any` trusts each
    /// plugin with everything that the bot can do.
    Any,
}

impl SqlPolicy {
    /// The word for it in `SQL_POLICY`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Roles => "roles",
            Self::Grants => "grants",
            Self::Any => "any",
        }
    }

    /// The policy of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Roles, Self::Grants, Self::Any]
            .into_iter()
            .find(|policy| policy.as_str() == text)
    }
}

impl fmt::Display for SqlPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the operator allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which statements: `SQL_POLICY`.
    pub sql: SqlPolicy,
    /// Which roles may be lent, by their exact names: `GRANTABLE_ROLES`. `None`:
    /// those that the database says the bot may lend. Empty: none.
    pub grantable_roles: Option<BTreeSet<String>>,
    /// The name that the host logs in with: `DB_USER`.
    pub bot: String,
}

/// A plan of which every step has been allowed. Made by [`Plan::authorize`]
/// alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedPlan {
    strategy: Strategy,
    username: RoleName,
    steps: Vec<AuthorizedStep>,
}

/// One thing that will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizedStep {
    /// Make the run's user a member of this role, without further options.
    GrantRole(RoleName),
    /// Run this statement.
    Sql(AuthorizedStatement),
}

/// One statement, as text made from the tree that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedStatement {
    sql: String,
    is_free: bool,
}

impl AuthorizedPlan {
    /// How.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// Which database user.
    pub fn username(&self) -> &RoleName {
        &self.username
    }

    /// What they get, in order. For the role strategy it is one `GrantRole`. A
    /// statement that grants several roles is several steps here, so numbers may
    /// differ from the plan's.
    pub fn steps(&self) -> &[AuthorizedStep] {
        &self.steps
    }

    /// The one role that a plan of the role strategy lends.
    ///
    /// # Errors
    /// `internal`, for a plan of the other strategy.
    pub fn lent_role(&self) -> Result<&RoleName, Error> {
        match self.steps() {
            [AuthorizedStep::GrantRole(role)] => Ok(role),
            _ => Err(Error::internal("a plan for a role has one step")),
        }
    }
}

impl AuthorizedStep {
    fn sql_bytes(&self) -> usize {
        match self {
            Self::GrantRole(_) => 0,
            Self::Sql(statement) => statement.as_sql().len(),
        }
    }
}

impl AuthorizedStatement {
    /// The SQL to run: one statement, without a semicolon or parameters.
    pub fn as_sql(&self) -> &str {
        &self.sql
    }

    /// Whether [`SqlPolicy::Any`] let it pass: then it may change the session
    /// that it runs in, in ways that can't be seen.
    pub fn is_free(&self) -> bool {
        self.is_free
    }
}

impl fmt::Display for AuthorizedStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sql)
    }
}

impl Plan {
    /// Checks all of it against what the operator allows.
    ///
    /// # Errors
    /// `invalid-plan` for what could never run: bad names, too many steps, SQL
    /// that doesn't parse. `not-allowed` for what this policy refuses. Messages
    /// name the step, the rule and, where there is one, the setting that would
    /// let it pass; they never hold SQL.
    pub fn authorize(&self, policy: &Policy) -> Result<AuthorizedPlan, Error> {
        let username = username(&self.username, policy)?;
        let scope = Scope {
            policy,
            username: &username,
        };
        if self.steps.len() > MAX_STEPS {
            return Err(too_many_steps(self.steps.len()));
        }
        if self.strategy == Strategy::Role && !matches!(self.steps[..], [Step::GrantRole(_)]) {
            let what = match &self.steps[..] {
                [] => "nothing".to_owned(),
                [Step::Sql(_)] => "an SQL statement".to_owned(),
                steps => format!("{} steps", steps.len()),
            };
            let message = format!(
                "the strategy `role` lends exactly one role and does nothing else, the plan asks for {what}"
            );
            return Err(Error::new(Code::InvalidPlan, message));
        }
        let mut steps = Vec::new();
        let (mut asked, mut authorized) = (0, 0);
        for (index, step) in self.steps.iter().enumerate() {
            let more = match step {
                Step::GrantRole(role) => scope
                    .lendable(role)
                    .map(|role| vec![AuthorizedStep::GrantRole(role)]),
                Step::Sql(statement) => {
                    asked += statement.sql.len();
                    check_bytes(asked)?;
                    scope.statement(statement)
                }
            };
            let more = more.map_err(|refusal| refusal.into_error(index + 1))?;
            authorized += more.iter().map(AuthorizedStep::sql_bytes).sum::<usize>();
            check_bytes(authorized)?;
            steps.extend(more);
            if steps.len() > MAX_STEPS {
                return Err(too_many_steps(steps.len()));
            }
        }
        Ok(AuthorizedPlan {
            strategy: self.strategy,
            username,
            steps,
        })
    }
}

fn check_bytes(bytes: usize) -> Result<(), Error> {
    if bytes <= MAX_PLAN_BYTES {
        return Ok(());
    }
    Err(Error::new(
        Code::InvalidPlan,
        format!(
            "the plan's statements have {bytes} bytes and more together, at most {MAX_PLAN_BYTES} are allowed"
        ),
    ))
}

fn too_many_steps(steps: usize) -> Error {
    Error::new(
        Code::InvalidPlan,
        format!("the plan has {steps} steps, at most {MAX_STEPS} are allowed"),
    )
}

fn username(name: &str, policy: &Policy) -> Result<RoleName, Error> {
    let error = |code, why: &dyn fmt::Display| {
        Error::new(code, format!("the user `{}` {why}", shown(name)))
    };
    let username = RoleName::new(name).map_err(|why| error(code_of(&why), &why))?;
    if is_same(name, &policy.bot) {
        return Err(error(
            Code::NotAllowed,
            &"is the one that this function logs in with",
        ));
    }
    Ok(username)
}

/// A name of somebody else's for a message.
fn shown(name: &str) -> String {
    printable(name, MAX_BYTES)
}

/// Whether two names are one, or could be taken for one.
fn is_same(name: &str, other: &str) -> bool {
    name.to_lowercase() == other.to_lowercase()
}

fn code_of(why: &RoleNameError) -> Code {
    match why {
        RoleNameError::Reserved(_) => Code::NotAllowed,
        RoleNameError::Empty
        | RoleNameError::TooLong { .. }
        | RoleNameError::ControlCharacter(_)
        | RoleNameError::InvisibleCharacter(_)
        | RoleNameError::OuterSpace => Code::InvalidPlan,
    }
}

/// What a step is held against.
#[derive(Clone, Copy)]
struct Scope<'a> {
    policy: &'a Policy,
    username: &'a RoleName,
}

impl Scope<'_> {
    /// A role that this plan may lend, as far as can be said without the server.
    fn lendable(&self, role: &str) -> Result<RoleName, Refusal> {
        let name = RoleName::new(role).map_err(|why| {
            Refusal::new(
                code_of(&why),
                format!("grants role `{}`, which {why}", shown(role)),
            )
        })?;
        let not_allowed = |why: &str| {
            Err(Refusal::not_allowed(format!(
                "grants role `{}`, which {why}",
                shown(role)
            )))
        };
        if role.to_lowercase().starts_with("sym_") {
            return not_allowed("is reserved for this function");
        }
        if self.is_bot(role) {
            return not_allowed("is the one that this function logs in with");
        }
        if is_same(role, self.username.as_str()) {
            return not_allowed("is the user that the grant is for");
        }
        match &self.policy.grantable_roles {
            Some(roles) if !roles.contains(role) => not_allowed("is not in GRANTABLE_ROLES"),
            Some(_) | None => Ok(name),
        }
    }

    fn is_bot(&self, name: &str) -> bool {
        is_same(name, &self.policy.bot)
    }

    fn statement(
        &self,
        statement: &crate::plan::Statement,
    ) -> Result<Vec<AuthorizedStep>, Refusal> {
        let template = Template::parse(&statement.sql)?;
        let sql = template.render(self.username.as_str(), &statement.args)?;
        statement::check(&sql, self)
    }
}

/// Why a step can't be, as the end of a sentence that begins with its number.
#[derive(Debug)]
struct Refusal {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
        }
    }

    fn not_allowed(message: impl Into<String>) -> Self {
        Self::new(Code::NotAllowed, message)
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidPlan, message)
    }

    fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    fn into_error(self, step: usize) -> Error {
        let error = Error::new(self.code, format!("step {step} {}", self.message));
        match self.source {
            Some(source) => error.with_source(source),
            None => error,
        }
    }
}

impl From<TemplateError> for Refusal {
    fn from(error: TemplateError) -> Self {
        // The template's own sentence is fit to show; only its cause is not.
        let message = error.to_string();
        match error {
            TemplateError::NotSql(source) => Self::invalid(message).with_source(source),
            TemplateError::Value { source, .. } => Self::invalid(format!("{message}: it {source}")),
            TemplateError::TooLong { .. }
            | TemplateError::NoStatement
            | TemplateError::Brace
            | TemplateError::InQuotes(_)
            | TemplateError::NotAlone(_)
            | TemplateError::Unknown(_)
            | TemplateError::Unused(_)
            | TemplateError::Twice(_)
            | TemplateError::BadName(_)
            | TemplateError::Username => Self::invalid(message),
        }
    }
}

#[cfg(test)]
mod tests;
