//! The SQL that an administrator runs once, before the first event.

use std::fmt::Write as _;

use super::schema;
use crate::plan::Strategy;
use crate::sql::{QuoteError, identifier, quote_literal};

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
    /// Have pg_cron end what is overdue, every minute.
    pub pg_cron: bool,
}

impl Setup {
    /// The statements, for psql, with the reason of each.
    ///
    /// Run by the administrator (RDS: the master user) while connected to
    /// `database`. Without passwords: `\password` sets the bot's.
    ///
    /// # Errors
    /// A name that can't be one: it holds a NUL.
    pub fn to_sql(&self) -> Result<String, QuoteError> {
        let bot = identifier(&self.bot)?;
        let database = identifier(&self.database)?;
        let ledger = self.ledger.as_deref().unwrap_or(&self.database);
        let since_16 = self.major >= 16;
        let mut sql = String::new();
        let mut line = |text: &str| {
            let _ = writeln!(sql, "{text}");
        };
        line(&format!(
            "-- One-time setup for PostgreSQL {}, strategy {}. Run it as the administrator (RDS: the master user)\n\
             -- with psql, while connected to database {}.\n",
            self.major, self.strategy, self.database
        ));
        line(&format!(
            "-- Nothing that others have made in schema public is called below.\n{PIN}\n"
        ));
        line(
            "-- The roles that people ask for. Give each just what it is for; one that you have stays as it is.",
        );
        for role in &self.roles {
            let (text, role) = (quote_literal(role)?, identifier(role)?);
            line(&format!(
                "DO $sym$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {text}) THEN\n    \
                     CREATE ROLE {role};\n    \
                     GRANT CONNECT ON DATABASE {database} TO {role};\n    \
                     BEGIN\n        \
                         GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role};\n    \
                     EXCEPTION WHEN insufficient_privilege THEN\n        \
                         RAISE WARNING 'not all tables in schema public are yours: have each owner run GRANT SELECT ON ALL TABLES IN SCHEMA public TO %', {text};\n    \
                     END;\n    \
                     ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO {role};\n\
                 END IF; END $sym$;"
            ));
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
            "CREATE USER {bot} WITH{create_role} CONNECTION LIMIT 50;"
        ));
        line(&format!("GRANT CONNECT ON DATABASE {database} TO {bot};"));
        if ledger != self.database {
            let ledger = identifier(ledger)?;
            line(&format!("GRANT CONNECT ON DATABASE {ledger} TO {bot};"));
        }
        line("");
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
            line(&format!("GRANT {} TO {bot} {lending};", identifier(role)?));
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
        if self.major >= 18 {
            line(&format!(
                "-- And what autovacuum runs of theirs, where it is yours to give.\n\
                 DO $$ BEGIN\n    \
                     GRANT pg_signal_autovacuum_worker TO {bot} WITH INHERIT TRUE, SET FALSE;\n\
                 EXCEPTION WHEN insufficient_privilege THEN\n    \
                     RAISE WARNING 'pg_signal_autovacuum_worker is not yours to give: an end waits for autovacuum where that runs a user''s functions';\n\
                 END $$;"
            ));
        }
        if self.strategy == Strategy::TemporaryUser {
            line(
                "\n-- sym_managed marks the users that the function made: it touches no other. What one of them leaves\n\
                 -- behind gets a role of its own, sym_graveyard_…, which can't log in and has no rights. sym_admins lets\n\
                 -- another function's user, or a later one, remove them.",
            );
            line(
                "CREATE ROLE sym_managed NOLOGIN;\nCREATE ROLE sym_graveyard NOLOGIN;\nCREATE ROLE sym_admins NOLOGIN;",
            );
            line(&format!("GRANT sym_managed TO {bot} {lending};"));
            let inheriting = if since_16 {
                "WITH ADMIN TRUE, INHERIT TRUE, SET FALSE"
            } else {
                lending
            };
            line(&format!("GRANT sym_graveyard TO {bot} {inheriting};"));
            let full = if since_16 {
                " WITH INHERIT TRUE, SET TRUE"
            } else {
                ""
            };
            line(&format!("GRANT sym_admins TO {bot}{full};"));
            line(
                "-- A new owner must be able to create where the object is: for that moment those are in sym_graveyard.",
            );
            line("GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard;");
            if self.major < 15 {
                line(
                    "-- Before PostgreSQL 15 everybody may create there, temporary users too. If nothing of yours relies on it:\n\
                     -- REVOKE CREATE ON SCHEMA public FROM PUBLIC;",
                );
            }
        }
        line(
            "\n-- The ledger: who has what until when, and the functions that change it. They belong to the\n\
             -- function's user, which would make the same at its first event, and brings them up to date later.",
        );
        if ledger != self.database {
            // It is another session.
            line(&format!("\\connect {}\n{PIN}", identifier(ledger)?));
        }
        let name = quote_literal(&self.bot)?;
        line("-- All of it, or nothing.");
        line("BEGIN;");
        line(&schema::refusal(&name));
        // Only a superuser may give somebody else a schema without being a member of theirs.
        let (may_act, with_set) = match since_16 {
            true => ("SET", " WITH SET TRUE"),
            false => ("MEMBER", ""),
        };
        line(&format!(
            "DO $sym$ BEGIN\n    \
                 IF NOT pg_has_role({name}, '{may_act}') THEN\n        \
                     GRANT {bot} TO CURRENT_USER{with_set};\n        \
                     PERFORM set_config('sym.setup_joined', 'true', true);\n    \
                 END IF;\n    \
                 IF to_regnamespace('sym') IS NULL THEN\n        \
                     CREATE SCHEMA sym AUTHORIZATION {bot};\n    \
                 END IF;\n\
             END $sym$;\nSET ROLE {bot};\n"
        ));
        line(&schema::to_sql());
        line(&format!(
            "RESET ROLE;\n\
             DO $sym$ BEGIN\n    \
                 IF current_setting('sym.setup_joined', true) = 'true' THEN\n        \
                     REVOKE {bot} FROM CURRENT_USER;\n    \
                 END IF;\n\
             END $sym$;\n\
             COMMIT;"
        ));
        if self.pg_cron {
            let text = |text: &str| quote_literal(text);
            line(&format!(
                "\n-- Every minute the database itself ends what is overdue, whatever became of Lambda, Sym and AWS.\n\
                 -- Run this one in the database that has pg_cron (cron.database_name).\n\
                 SELECT cron.schedule_in_database('sym-expire', '* * * * *', 'SELECT sym.expire()', {}, {});",
                text(ledger)?,
                text(&self.bot)?
            ));
        }
        line("\nRESET search_path;");
        Ok(sql)
    }
}

/// Whoever may create in `public`, which is everybody up to PostgreSQL 14, could have
/// something there that fits better than PostgreSQL's own, and the administrator would run it.
const PIN: &str = "SET search_path = pg_catalog, pg_temp;";

#[cfg(test)]
mod tests {
    use super::*;

    fn setup(major: u32) -> Setup {
        Setup {
            major,
            database: "app".to_owned(),
            ledger: None,
            bot: "sym_bot".to_owned(),
            roles: vec![
                "readonly".to_owned(),
                "Read \"Write\"".to_owned(),
                "select".to_owned(),
            ],
            strategy: Strategy::TemporaryUser,
            pg_cron: true,
        }
    }

    #[test]
    fn the_pages_own_statements_are_in_it() {
        let sql = setup(15).to_sql().expect("is made");
        for statement in [
            "CREATE ROLE readonly;",
            "GRANT CONNECT ON DATABASE app TO readonly;",
            "GRANT SELECT ON ALL TABLES IN SCHEMA public TO readonly;",
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO readonly;",
            "GRANT readonly TO sym_bot WITH ADMIN OPTION;",
        ] {
            assert!(sql.contains(statement), "{statement}");
        }
    }

    #[test]
    fn since_16_the_bot_cannot_use_what_it_lends() {
        let sql = setup(16).to_sql().expect("is made");
        // What comes after it is the schema, for all versions.
        let (sql, _) = sql.split_once("CREATE SCHEMA sym").expect("has a schema");
        assert!(
            sql.contains("GRANT readonly TO sym_bot WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;")
        );
        assert!(!sql.contains("ADMIN OPTION"));
    }

    #[test]
    fn the_ledgers_database_gets_the_ledger_alone() {
        let sql = Setup {
            ledger: Some("ledger".to_owned()),
            ..setup(15)
        };
        let sql = sql.to_sql().expect("is made");
        let (app, ledger) = sql.split_once("\\connect ledger\n").expect("changes over");
        assert!(ledger.starts_with(PIN), "{ledger}");
        assert!(app.contains("GRANT SELECT ON ALL TABLES") && !app.contains("CREATE SCHEMA sym"));
        assert!(ledger.contains("CREATE SCHEMA sym"));
    }

    #[test]
    fn nothing_is_run_before_the_path_is_pinned() {
        let sql = setup(15).to_sql().expect("is made");
        let mut lines = sql
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("--"));
        assert_eq!(lines.next(), Some(PIN));
        assert_eq!(lines.next_back(), Some("RESET search_path;"));
    }

    #[test]
    fn odd_names_are_quoted() {
        let sql = setup(15).to_sql().expect("is made");
        assert!(sql.contains("CREATE ROLE \"Read \"\"Write\"\"\";"));
        assert!(sql.contains("CREATE ROLE \"select\";"));
    }

    #[test]
    fn there_is_no_password_in_it() {
        assert!(
            !setup(15)
                .to_sql()
                .expect("is made")
                .contains("WITH PASSWORD")
        );
    }
}
