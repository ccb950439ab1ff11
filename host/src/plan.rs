//! What the plugins ask for, before anybody has allowed it.
//!
//! Pure data. Only [`policy`](crate::policy) turns it into something that the
//! database will see.

use std::fmt;

/// How access is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// Lend an existing user a role.
    Role,
    /// Make a user, and remove it later.
    TemporaryUser,
}

impl Strategy {
    /// The word for it in events, in `plugins.toml` and in the ledger.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Role => "role",
            Self::TemporaryUser => "temporary-user",
        }
    }

    /// The strategy of that name.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "role" => Some(Self::Role),
            "temporary-user" => Some(Self::TemporaryUser),
            _ => None,
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A value for a placeholder, as a plugin gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A name: of a role, a schema, a table.
    Identifier(String),
    /// A string constant.
    Literal(String),
}

/// A statement with placeholders, as a plugin gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// With `{name}` where a value belongs.
    pub sql: String,
    /// The values.
    pub args: Vec<(String, Value)>,
}

/// One thing that a target asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Membership in this role.
    GrantRole(String),
    /// A statement, for a temporary user.
    Sql(Statement),
}

/// All that the plugins ask for in one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How.
    pub strategy: Strategy,
    /// Which database user, as `resolve-user` named them.
    pub username: String,
    /// What they get, in order.
    pub steps: Vec<Step>,
}

impl Plan {
    /// How long its statements are together, with their values.
    pub(crate) fn sql_bytes(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::GrantRole(_) => 0,
            Step::Sql(statement) => {
                let values = statement.args.iter().map(|(_, value)| match value {
                    Value::Identifier(text) | Value::Literal(text) => text.len(),
                });
                statement.sql.len() + values.sum::<usize>()
            }
        };
        self.steps.iter().map(bytes).sum()
    }
}
