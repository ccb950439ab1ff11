//! The SQL that an administrator runs once, before the first event.

use std::fmt::Write as _;

use super::schema;
use crate::event::printable;
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
    /// The database that has pg_cron, which is to end what is overdue, every minute.
    pub pg_cron: Option<String>,
}

impl Setup {
    /// The statements, for psql, with the reason of each.
    ///
    /// Run by the administrator (RDS: the master user) while connected to
    /// `database`, and again as often as they like. Without passwords: `\password` sets
    /// the bot's. The first error ends it; lines that begin with `\` are psql's own.
    ///
    /// # Errors
    /// A name that can't be one: it holds a NUL.
    pub fn to_sql(&self) -> Result<String, QuoteError> {
        let bot = identifier(&self.bot)?;
        let name = quote_literal(&self.bot)?;
        let database = identifier(&self.database)?;
        let ledger = self.ledger.as_deref().unwrap_or(&self.database);
        let since_16 = self.major >= 16;
        let mut sql = String::new();
        let mut line = |text: &str| {
            let _ = writeln!(sql, "{text}");
        };
        line(&format!(
            "-- Setup for PostgreSQL {major}, strategy {}. Run it as the administrator (RDS: the master user) with psql,\n\
             -- while connected to database {}; again where something has changed.\n\n\
             \\set ON_ERROR_STOP on",
            self.strategy,
            printable(&self.database, 80),
            major = self.major,
        ));
        line(&format!(
            "-- Nothing that others have made in schema public is called below.\n{PIN}\n"
        ));
        line(&format!(
            "-- What may be said of a membership differs between versions.\n\
             DO $sym$ DECLARE major int := current_setting('server_version_num')::int / 10000; BEGIN\n    \
                 IF major <> {major} THEN\n        \
                     RAISE EXCEPTION 'this setup is for PostgreSQL {major}, and the server is %: print it with --pg %', major, major;\n    \
                 END IF;\n\
             END $sym$;\n",
            major = self.major,
        ));
        line(
            "-- Before anything is made: what is never lent, who can't be the function's user, and whose a ledger is.",
        );
        line(&self.refusal(&name)?);
        if ledger != self.database {
            // It is another session.
            line(&format!("\\connect {}\n{PIN}", identifier(ledger)?));
        }
        line(&schema::refusal(&name));
        if ledger != self.database {
            line(&format!("\\connect {database}\n{PIN}"));
        }
        line("");
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
        let (create_role, or_give_it) = if self.strategy == Strategy::TemporaryUser {
            (
                " CREATEROLE",
                format!(
                    "    ELSIF NOT (SELECT rolcreaterole FROM pg_roles WHERE rolname = {name}) THEN\n        \
                         ALTER ROLE {bot} CREATEROLE;\n"
                ),
            )
        } else {
            ("", String::new())
        };
        line(&format!(
            "DO $sym$ BEGIN\n    \
                 IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {name}) THEN\n        \
                     CREATE USER {bot} WITH{create_role} CONNECTION LIMIT 50;\n\
             {or_give_it}    \
                 END IF;\n\
             END $sym$;"
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
            " WITH ADMIN TRUE, INHERIT FALSE, SET FALSE"
        } else {
            " WITH ADMIN OPTION"
        };
        line("-- What is not yours to give may have been given before.");
        // Since 16 who made the function's user counts as an admin of what that may give, and then
        // "no possible grantors" are found: an internal error.
        let give = |group: &str, options: &str, privilege: &str| {
            let (text, group) = (quote_literal(group)?, identifier(group)?);
            Ok(format!(
                "DO $sym$ BEGIN\n    \
                     GRANT {group} TO {bot}{options};\n\
                 EXCEPTION WHEN insufficient_privilege OR internal_error THEN\n    \
                     IF NOT pg_has_role({name}, {text}, '{privilege}') THEN RAISE; END IF;\n\
                 END $sym$;"
            ))
        };
        for role in &self.roles {
            line(&give(role, lending, WITH_ADMIN)?);
        }
        let using = if since_16 {
            " WITH INHERIT TRUE, SET FALSE"
        } else {
            ""
        };
        line("\n-- It ends the sessions of people whose time is over.");
        line(&give_predefined(
            "pg_signal_backend",
            &bot,
            &name,
            using,
            "no session can be ended, and an open one outlives its access",
        ));
        if self.major >= 18 {
            line("-- And what autovacuum runs of theirs, where it is yours to give.");
            line(&give_predefined(
                "pg_signal_autovacuum_worker",
                &bot,
                &name,
                using,
                "an end waits for autovacuum where that runs a user''s functions",
            ));
        }
        if self.strategy == Strategy::TemporaryUser {
            line(
                "\n-- sym_managed marks the users that the function made: it touches no other. What one of them leaves\n\
                 -- behind gets a role of its own, sym_graveyard_…, which can't log in and has no rights. sym_admins lets\n\
                 -- another function's user, or a later one, remove them.",
            );
            let make = |group: &str| {
                format!(
                    "    IF to_regrole('{group}') IS NULL THEN CREATE ROLE {group} NOLOGIN; END IF;\n"
                )
            };
            let groups = ["sym_managed", "sym_graveyard", "sym_admins"].map(make);
            line(&format!("DO $sym$ BEGIN\n{}END $sym$;", groups.concat()));
            let inheriting = if since_16 {
                " WITH ADMIN TRUE, INHERIT TRUE, SET FALSE"
            } else {
                lending
            };
            let full = if since_16 {
                " WITH INHERIT TRUE, SET TRUE"
            } else {
                ""
            };
            line(&give("sym_managed", lending, WITH_ADMIN)?);
            line(&give("sym_graveyard", inheriting, WITH_ADMIN)?);
            line(&give("sym_admins", full, "MEMBER")?);
            line(
                "-- A new owner must be able to create where the object is: for that moment those are in sym_graveyard.\n\
                 DO $sym$ BEGIN\n    \
                     IF to_regnamespace('public') IS NULL THEN RETURN; END IF;\n    \
                     BEGIN\n        \
                         GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard;\n    \
                     EXCEPTION WHEN insufficient_privilege THEN\n        \
                         NULL;\n    \
                     END;\n    \
                     -- Where the schema is somebody else's, it mostly only warns.\n    \
                     IF NOT EXISTS (SELECT FROM pg_namespace n, aclexplode(n.nspacl) a WHERE n.nspname = 'public'\n                   \
                                    AND a.grantee = to_regrole('sym_graveyard') AND a.privilege_type = 'CREATE') THEN\n        \
                         RAISE WARNING 'schema public is not yours: have its owner run GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard';\n    \
                     END IF;\n\
                 END $sym$;",
            );
            if self.major < 15 {
                line(
                    "-- Before PostgreSQL 15 everybody may create there, temporary users too. If nothing of yours relies on it, and\n\
                     -- sym_graveyard may create there by itself, as the schema's owner:\n\
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
        line("-- All of it, or nothing.");
        line("BEGIN;");
        line(&schema::refusal(&name));
        line(&self.join(&bot, &name));
        line(&format!(
            "DO $sym$ BEGIN\n    \
                 IF to_regnamespace('sym') IS NULL THEN\n        \
                     CREATE SCHEMA sym AUTHORIZATION {bot};\n    \
                 END IF;\n\
             END $sym$;\nSET ROLE {bot};\n"
        ));
        line(&schema::to_sql());
        line(&format!("{}\nCOMMIT;", leave(&bot)));
        if let Some(cron) = &self.pg_cron {
            line(
                "\n-- Every minute the database itself ends what is overdue, whatever became of Lambda, Sym and AWS. This is in\n\
                 -- the database that has pg_cron (cron.database_name). Only a superuser may make another's job, so this one\n\
                 -- is made as the function's user, which has to be there too where it is taken away.",
            );
            if cron != ledger {
                line(&format!("\\connect {}\n{PIN}", identifier(cron)?));
            }
            line(
                "DO $sym$ BEGIN\n    \
                     IF to_regnamespace('cron') IS NULL THEN\n        \
                         RAISE EXCEPTION 'there is no pg_cron in database %: run CREATE EXTENSION pg_cron there first', current_database();\n    \
                     END IF;\n\
                 END $sym$;",
            );
            line(&format!(
                "BEGIN;\n\
                 GRANT USAGE ON SCHEMA cron TO {bot};\n\
                 GRANT EXECUTE ON FUNCTION cron.schedule_in_database(text, text, text, text, text, boolean) TO {bot};\n\
                 {}\n\
                 SET ROLE {bot};\n\
                 SELECT cron.schedule_in_database('sym-expire', '* * * * *', 'SELECT sym.expire()', {});\n\
                 {}\n\
                 COMMIT;",
                self.join(&bot, &name),
                quote_literal(ledger)?,
                leave(&bot)
            ));
        }
        line("\nRESET search_path;");
        Ok(sql)
    }

    /// Raises where one of the roles is never lent, as `sym.check_role` judges without a look at what
    /// it owns, and where the function's user, whose `name` is a literal, can't be that.
    fn refusal(&self, name: &str) -> Result<String, QuoteError> {
        let roles = self.roles.iter().map(|role| quote_literal(role));
        let roles = roles.collect::<Result<Vec<_>, _>>()?.join(", ");
        Ok(format!(
            "DO $sym$ DECLARE role text; through text; what text; BEGIN\n    \
                 IF {name} = current_user OR (SELECT rolsuper FROM pg_roles WHERE rolname = {name}) THEN\n        \
                     RAISE EXCEPTION '% runs this, or is a superuser: name a user by --user that is the function''s alone', {name};\n    \
                 END IF;\n    \
                 FOREACH role IN ARRAY ARRAY[{roles}]::text[] LOOP\n        \
                     SELECT r.name, r.what INTO through, what FROM (\n            \
                         SELECT a.name, CASE WHEN a.is_privileged THEN 'is privileged'\n                                \
                                             WHEN lower(left(a.name, 3)) IN ('pg_', 'rds') THEN 'belongs to the system'\n                                \
                                             WHEN lower(left(a.name, 4)) = 'sym_' OR a.name = {name} THEN 'belongs to the function' END AS what\n            \
                         FROM (SELECT role AS name, false AS is_privileged\n                  \
                               UNION ALL SELECT a.rolname::text, a.rolsuper OR a.rolcreaterole OR a.rolcreatedb OR a.rolreplication OR a.rolbypassrls\n                  \
                               FROM pg_roles b JOIN pg_roles a ON pg_has_role(b.oid, a.oid, 'MEMBER') WHERE b.rolname = role) a) r\n        \
                     WHERE r.what IS NOT NULL ORDER BY r.name <> role, r.what = 'is privileged' DESC, r.name LIMIT 1;\n        \
                     IF what IS NOT NULL THEN\n            \
                         RAISE EXCEPTION 'role % is never lent: it %', role, CASE WHEN through = role THEN what ELSE format('is a member of %s, which %s', through, what) END;\n        \
                     END IF;\n    \
                 END LOOP;\n\
             END $sym$;"
        ))
    }

    /// Makes the administrator a member of the function's user, to the end of the
    /// transaction: only a superuser may give somebody else a schema, or act as them,
    /// without being one.
    fn join(&self, bot: &str, name: &str) -> String {
        let (may_act, with_set) = match self.major >= 16 {
            true => ("SET", " WITH SET TRUE"),
            false => ("MEMBER", ""),
        };
        format!(
            "DO $sym$ BEGIN\n    \
                 IF NOT pg_has_role({name}, '{may_act}') THEN\n        \
                     GRANT {bot} TO CURRENT_USER{with_set};\n        \
                     PERFORM set_config('sym.setup_joined', 'true', true);\n    \
                 END IF;\n\
             END $sym$;"
        )
    }
}

/// The administrator is who they were, and a member only if they had been one.
fn leave(bot: &str) -> String {
    format!(
        "RESET ROLE;\n\
         DO $sym$ BEGIN\n    \
             IF current_setting('sym.setup_joined', true) = 'true' THEN\n        \
                 REVOKE {bot} FROM CURRENT_USER;\n    \
             END IF;\n\
         END $sym$;"
    )
}

/// Gives one of PostgreSQL's own roles, or warns what is `missed` without it: a managed
/// service may keep it for itself.
fn give_predefined(group: &str, bot: &str, name: &str, options: &str, missed: &str) -> String {
    format!(
        "DO $sym$ BEGIN\n    \
             GRANT {group} TO {bot}{options};\n\
         EXCEPTION WHEN insufficient_privilege THEN\n    \
             IF NOT pg_has_role({name}, '{group}', 'USAGE') THEN\n        \
                 RAISE WARNING '{group} is not yours to give: {missed}';\n    \
             END IF;\n\
         END $sym$;"
    )
}

/// The privilege of who may lend a role, as `pg_has_role` has it.
const WITH_ADMIN: &str = "MEMBER WITH ADMIN OPTION";

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
            pg_cron: Some("postgres".to_owned()),
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
        assert!(!sql.contains("sym_bot WITH ADMIN OPTION"));
    }

    #[test]
    fn the_ledgers_database_gets_the_ledger_alone() {
        let sql = Setup {
            ledger: Some("ledger".to_owned()),
            ..setup(15)
        };
        let sql = sql.to_sql().expect("is made");
        let (app, ledger) = sql.rsplit_once("\\connect ledger\n").expect("changes over");
        assert!(ledger.starts_with(PIN), "{ledger}");
        // Whose a ledger is that is there, is asked before anything is made.
        let (before, _) = app.split_once("CREATE ROLE").expect("makes something");
        let there_and_back = "\\connect ledger\nSET search_path";
        assert!(before.contains(there_and_back) && before.contains("\n\\connect app\n"));
        assert!(app.contains("GRANT SELECT ON ALL TABLES") && !app.contains("CREATE SCHEMA sym"));
        assert!(ledger.contains("CREATE SCHEMA sym"));
    }

    #[test]
    fn nothing_is_run_before_the_path_is_pinned() {
        let sql = setup(15).to_sql().expect("is made");
        let mut lines = sql
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("--") && !line.starts_with('\\'));
        assert_eq!(lines.next(), Some(PIN));
        assert_eq!(lines.next_back(), Some("RESET search_path;"));
    }

    /// pg_cron takes the name of another user from a superuser alone, and finds a job by its
    /// name where it is one's own.
    #[test]
    fn the_job_is_made_by_whom_it_is() {
        let sql = Setup {
            ledger: Some("ledger".to_owned()),
            ..setup(15)
        };
        let sql = sql.to_sql().expect("is made");
        let (_, cron) = sql
            .split_once("\\connect postgres\n")
            .expect("changes over");
        assert!(cron.starts_with(PIN), "{cron}");
        let job = "SET ROLE sym_bot;\nSELECT cron.schedule_in_database('sym-expire', '* * * * *', 'SELECT sym.expire()', \
                   'ledger');\nRESET ROLE;";
        assert!(cron.contains(job), "{cron}");
        let here = Setup {
            pg_cron: Some("app".to_owned()),
            ..setup(15)
        };
        assert!(!here.to_sql().expect("is made").contains("\\connect"));
    }

    /// What is behind a comment in it would run.
    #[test]
    fn a_comment_is_one_line() {
        let sql = Setup {
            database: "app\nSELECT 1; --".to_owned(),
            ..setup(15)
        };
        let sql = sql.to_sql().expect("is made");
        assert!(!sql.contains("\nSELECT 1; --."), "{sql}");
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
