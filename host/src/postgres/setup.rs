//! The SQL that an administrator runs once, before the first event.

use std::fmt::Write as _;

use crate::plan::Strategy;
use crate::sql::{QuoteError, quote_identifier};

/// What the SQL is for.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The server's major version.
    pub major: u32,
    /// The database that people want access to.
    pub database: String,
    /// The database of the ledger, where it is another one.
    pub ledger: Option<String>,
    /// The function's user.
    pub bot: String,
    /// The roles that people may get.
    pub roles: Vec<String>,
    /// `temporary-user` needs more than `role`.
    pub strategy: Strategy,
}

impl Setup {
    /// The statements, for psql, with the reason of each.
    ///
    /// Run by the administrator (RDS: the master user) while connected to the
    /// ledger's database. Without passwords: `\password` sets the bot's.
    ///
    /// # Errors
    /// A name that can't be one: it holds a NUL.
    pub fn to_sql(&self) -> Result<String, QuoteError> {
        let bot = quote_identifier(&self.bot)?;
        let database = quote_identifier(&self.database)?;
        let ledger = self.ledger.as_deref().unwrap_or(&self.database);
        let since_16 = self.major >= 16;
        let mut sql = String::new();
        let mut line = |text: &str| {
            let _ = writeln!(sql, "{text}");
        };
        line(&format!(
            "-- One-time setup for PostgreSQL {}, strategy {}. Run it as the administrator (RDS: the master user)\n\
             -- while connected to database {ledger}.\n",
            self.major, self.strategy
        ));
        line(
            "-- The roles that people ask for. Leave out those that you have, and give each just what it is for.",
        );
        for role in &self.roles {
            let role = quote_identifier(role)?;
            line(&format!(
                "CREATE ROLE {role};\nGRANT CONNECT ON DATABASE {database} TO {role};\n\
                 GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};\n\
                 ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role};"
            ));
            if self.major < 15 {
                line(&format!("GRANT USAGE ON SCHEMA public TO {role};"));
            }
            line("");
        }
        line(
            "-- The function's user. Set its password with \\password: it stays out of this file and of the server's log.",
        );
        let create_role = if self.strategy == Strategy::TemporaryUser {
            " CREATEROLE"
        } else {
            ""
        };
        line(&format!(
            "CREATE ROLE {bot} LOGIN{create_role} CONNECTION LIMIT 50;"
        ));
        line(&format!(
            "GRANT CONNECT ON DATABASE {} TO {bot};\n",
            quote_identifier(ledger)?
        ));
        line(if since_16 {
            "-- It may lend these roles, and with INHERIT and SET off it can't use them itself."
        } else {
            "-- It may lend these roles. Before PostgreSQL 16 that means that it can use them itself too."
        });
        let lending = if since_16 {
            "WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        } else {
            "WITH ADMIN OPTION"
        };
        for role in &self.roles {
            line(&format!(
                "GRANT {} TO {bot} {lending};",
                quote_identifier(role)?
            ));
        }
        line("\n-- It ends the sessions of people whose time is over.");
        line(&format!(
            "GRANT pg_signal_backend TO {bot}{};",
            if since_16 {
                " WITH INHERIT TRUE, SET FALSE"
            } else {
                ""
            }
        ));
        line("\n-- The ledger: who has what until when. The function makes what is in it.");
        line(&format!("CREATE SCHEMA sym AUTHORIZATION {bot};"));
        if self.strategy == Strategy::TemporaryUser {
            line(
                "\n-- sym_managed marks the users that the function made: it touches no other. sym_graveyard gets what\n\
                 -- they leave behind: it can't log in, and has no rights. sym_admins lets another function's user, or a\n\
                 -- later one, remove them.",
            );
            line(
                "CREATE ROLE sym_managed NOLOGIN;\nCREATE ROLE sym_graveyard NOLOGIN;\nCREATE ROLE sym_admins NOLOGIN;",
            );
            line(&format!("GRANT sym_managed TO {bot} {lending};"));
            let full = if since_16 {
                " WITH INHERIT TRUE, SET TRUE"
            } else {
                ""
            };
            line(&format!(
                "GRANT sym_graveyard TO {bot}{full};\nGRANT sym_admins TO {bot}{full};"
            ));
            line(
                "-- A new owner must be able to create where the object is; it can't log in to do so.",
            );
            line("GRANT CREATE ON SCHEMA public TO sym_graveyard;");
        }
        Ok(sql)
    }
}
