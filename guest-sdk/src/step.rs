//! What a target asks for.
//!
//! Nothing here quotes anything: the host does, by the kind of each value.

use crate::{Statement, Step, Value};

impl Step {
    /// Makes the user a member of this role.
    pub fn grant_role(role: impl Into<String>) -> Self {
        Self::GrantRole(role.into())
    }

    /// Runs this statement: an SQL text without placeholders other than
    /// `{username}`, or a [`Statement`]. Only for a temporary user.
    ///
    /// ```
    /// use sym_guest_sdk::{Statement, Step};
    ///
    /// Step::sql("GRANT USAGE ON SCHEMA public TO {username}");
    /// Step::sql(Statement::new("GRANT USAGE ON SCHEMA {schema} TO {username}").identifier("schema", "app"));
    /// ```
    pub fn sql(statement: impl Into<Statement>) -> Self {
        Self::Sql(statement.into())
    }
}

impl From<Statement> for Step {
    fn from(statement: Statement) -> Self {
        Self::Sql(statement)
    }
}

impl Statement {
    /// One SQL statement, without values yet. `{username}` is always there.
    ///
    /// Never write a value into `sql` yourself: give it a placeholder, and the
    /// host quotes it.
    ///
    /// ```
    /// use sym_guest_sdk::{Statement, Value};
    ///
    /// let statement = Statement::new("GRANT SELECT ON TABLE {table} TO {username}")
    ///     .identifier("table", "orders");
    /// assert_eq!(
    ///     statement.args,
    ///     [("table".to_owned(), Value::Identifier("orders".to_owned()))],
    /// );
    /// ```
    pub fn new(sql: impl Into<String>) -> Self {
        Self {
            sql: sql.into(),
            args: Vec::new(),
        }
    }

    /// Gives `{name}` the name of something: a role, a schema, a table. At most
    /// 63 bytes. `name` is `[a-z][a-z0-9_]*`.
    #[must_use]
    pub fn identifier(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(name.into(), Value::Identifier(value.into()))
    }

    /// Gives `{name}` a string constant. `name` is `[a-z][a-z0-9_]*`.
    #[must_use]
    pub fn literal(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.with(name.into(), Value::Literal(value.into()))
    }

    fn with(mut self, name: String, value: Value) -> Self {
        self.args.push((name, value));
        self
    }
}

impl From<&str> for Statement {
    fn from(sql: &str) -> Self {
        Self::new(sql)
    }
}

impl From<String> for Statement {
    fn from(sql: String) -> Self {
        Self::new(sql)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_values_apart_from_the_text_and_in_order() {
        let hostile = "x\"; DROP ROLE admin; --";
        let step = Step::from(
            Statement::new("COMMENT ON ROLE {username} IS {note}")
                .literal("note", hostile)
                .identifier("schema", hostile),
        );
        let expected = Step::Sql(Statement {
            sql: "COMMENT ON ROLE {username} IS {note}".to_owned(),
            args: vec![
                ("note".to_owned(), Value::Literal(hostile.to_owned())),
                ("schema".to_owned(), Value::Identifier(hostile.to_owned())),
            ],
        });
        assert_eq!(step, expected);
    }
}
