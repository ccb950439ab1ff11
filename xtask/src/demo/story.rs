//! The order of events, and what each of them must show.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sym_test_support::postgres::Postgres;
use sym_test_support::tools::BuildEnvironment;

use super::narrator::{Check, Failed, Narrator};
use super::stage::{self, Function, PERSON, Passwords, ROLE, ROWS, TABLE};
use crate::terminal;

/// What the person who may not read the table meets.
const REFUSED: &str = "query refused (42501, insufficient privilege)";

/// The parts, once they run.
struct Parts {
    function: Function,
    postgres: Postgres,
    passwords: Passwords,
}

pub(super) async fn tell(narrator: &mut Narrator) -> Result<(), Failed> {
    let parts = prepare(narrator).await?;
    let told = tell_the_events(narrator, &parts).await;
    if told.is_err() {
        terminal::progress(&format!(
            "the function’s log:\n{}",
            parts.function.lambda.logs().trim()
        ));
        return told;
    }
    narrator.remark(
        "Next: README.md has the way to AWS, `events/` the events that were sent here,\n\
         `plugins/` the plugins that decided.",
    );
    Ok(())
}

async fn tell_the_events(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
    lend_a_role(narrator, parts).await?;
    make_a_temporary_user(narrator, parts).await?;
    refuse_a_bad_event(narrator, parts).await
}

async fn prepare(narrator: &mut Narrator) -> Result<Parts, Failed> {
    narrator.chapter(
        "Preparations",
        "All of it is private, and is gone at the end.",
    );
    let progress = narrator.progress();
    let environment = narrator
        .prepare("what the build needs", "", async {
            let environment = stage::blocking(BuildEnvironment::get).await?;
            let (_, libclang) = &environment.variables()[0];
            let seen = format!("libclang in {}", libclang.display());
            Ok((environment, seen))
        })
        .await?;
    let plugins = narrator
        .prepare(
            "the plugins, as WebAssembly components",
            "cargo xtask plugins",
            async {
                let directory = stage::build_plugins(&environment, &progress).await?;
                let seen = list_components(&directory)?;
                Ok((directory, seen))
            },
        )
        .await?;
    narrator
        .prepare(
            "the function (minutes, the first time)",
            "cargo build --workspace",
            async {
                stage::build_workspace(&environment, &progress).await?;
                Ok(((), "target/debug/bootstrap, target/debug/symctl".to_owned()))
            },
        )
        .await?;
    let store = narrator
        .prepare(
            "a release of the plugins, signed with a key of its own",
            "symctl keygen demo; symctl publish target/plugins --to file://… --key demo.key",
            async {
                let store = stage::Store::publish(&plugins).await?;
                let seen = "the function trusts this key, and nothing else: PLUGIN_TRUST";
                Ok((store, seen.to_owned()))
            },
        )
        .await?;
    let postgres = narrator
        .prepare("a private PostgreSQL", "", async {
            let postgres = stage::start_postgres().await?;
            let install = postgres.install();
            let seen = format!(
                "PostgreSQL {}, {}, on port {}",
                install.version,
                install.origin,
                postgres.port()
            );
            Ok((postgres, seen))
        })
        .await?;
    let passwords = narrator
        .prepare(
            "a database with a table, a person, and our one-time setup",
            "symctl setup-sql --database app --roles readonly --user sym_bot --strategy temporary-user",
            async {
                let passwords = stage::furnish(&postgres).await?;
                let seen = format!(
                    "role `{ROLE}` may read `{TABLE}`; `{PERSON}` may log in, and no more"
                );
                Ok((passwords, seen))
            },
        )
        .await?;
    let function = narrator
        .prepare(
            "the function, as Lambda starts it",
            "target/debug/bootstrap, with a runtime API of our own",
            async {
                let function = Function::start(&postgres, store, &passwords).await?;
                let lambda = &function.lambda;
                let seen = format!(
                    "it asked for its first event after {} ms, and uses {} MB",
                    lambda.init_duration().as_millis(),
                    lambda.peak_rss_bytes()? / 1_000_000
                );
                Ok((function, seen))
            },
        )
        .await?;
    Ok(Parts {
        function,
        postgres,
        passwords,
    })
}

fn list_components(directory: &std::path::Path) -> Result<String> {
    let mut components = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".wasm") {
            components.push(format!("{name} ({} kB)", entry.metadata()?.len() / 1000));
        }
    }
    components.sort();
    Ok(components.join(", "))
}

async fn lend_a_role(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
    narrator.chapter(
        "Strategy `role`: an existing user is lent a role",
        "sym-user@healthy-health.co asks for the target `readonly`; a plugin says that they are the database user `sym_user`.",
    );
    let escalate = "events/v6/escalate-role.json";
    let deescalate = "events/v6/deescalate-role.json";
    let answer = json!({"body": {"username": PERSON}, "errors": []}).to_string();
    let rows = format!("{ROWS} rows");

    read_as_the_person(narrator, parts, "before: may they read?", REFUSED).await?;
    answer_is(narrator, parts, "Sym sends the approval", escalate, &answer).await?;
    read_as_the_person(narrator, parts, "during: may they read?", &rows).await?;
    answer_is(narrator, parts, "Sym sends it again", escalate, &answer).await?;
    answer_is(narrator, parts, "Sym sends the end", deescalate, &answer).await?;
    read_as_the_person(narrator, parts, "after: may they read?", REFUSED).await?;

    let check = Check {
        title: "who is a member of the role now?",
        detail: "SELECT … FROM pg_auth_members WHERE roleid = 'readonly'::regrole",
        expected: "nobody but the function’s own user",
    };
    narrator
        .check(check, members_of_the_role(&parts.postgres))
        .await
}

async fn read_as_the_person(
    narrator: &mut Narrator,
    parts: &Parts,
    title: &str,
    expected: &str,
) -> Result<(), Failed> {
    let detail = format!("{PERSON}: SELECT count(*) FROM {TABLE}");
    let check = Check {
        title,
        detail: &detail,
        expected,
    };
    let password = &parts.passwords.person;
    narrator
        .check(check, stage::read_table(&parts.postgres, PERSON, password))
        .await
}

/// Sends a sample event and expects the very answer.
async fn answer_is(
    narrator: &mut Narrator,
    parts: &Parts,
    title: &str,
    event: &str,
    expected: &str,
) -> Result<(), Failed> {
    let check = Check {
        title,
        detail: event,
        expected,
    };
    narrator
        .check(check, async {
            let answer = parts.function.send(&stage::sample_event(event)?).await?;
            Ok(answer.to_string())
        })
        .await
}

async fn members_of_the_role(postgres: &Postgres) -> Result<String> {
    let members: Vec<String> = postgres
        .admin()
        .await?
        .query(
            "SELECT DISTINCT member::regrole::text FROM pg_auth_members \
             WHERE roleid = $1::text::regrole AND member::regrole::text <> 'sym_bot' ORDER BY 1",
            &[&ROLE],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    if members.is_empty() {
        return Ok("nobody but the function’s own user".to_owned());
    }
    Ok(members.join(", "))
}

async fn make_a_temporary_user(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
    narrator.chapter(
        "Strategy `temporary-user`: a user is made, and removed",
        "The same person asks for the target `readonly-sql`, whose setup is a file of SQL; the password goes to them by a secret.",
    );
    let Parts {
        function, postgres, ..
    } = parts;
    let escalate = "events/v6/escalate-temporary-user.json";
    let deescalate = "events/v6/deescalate-temporary-user.json";
    // The template's own names, byte for byte: people have policies on them.
    let secret =
        "/symops.com/sym-postgres/sym-user@healthy-health.co/c0ffd5b0-64f4-4c1e-9d0a-0b8e2f6a7d31";
    let user = "symuserc25fe475217e16f1046d5d15";
    let gone = "no such user";

    let look_for_user = Check {
        title: "before: is there such a user?",
        detail: "SELECT … FROM pg_roles",
        expected: gone,
    };
    narrator
        .check(look_for_user, role_state(postgres, user))
        .await?;

    let check = Check {
        title: "Sym sends the approval",
        detail: escalate,
        expected: secret,
    };
    narrator
        .check(check, async {
            secret_name(&function.send(&stage::sample_event(escalate)?).await?)
        })
        .await?;

    let credentials = narrator
        .prepare("the person opens their secret", secret, async {
            let secret = function
                .secret(secret)?
                .context("there is no such secret")?;
            let credentials = Credentials::from_secret(&secret)?;
            let seen = credentials.without_password();
            Ok((credentials, seen))
        })
        .await?;
    let detail = format!("{}: SELECT count(*) FROM {TABLE}", credentials.username);
    let rows = format!("{ROWS} rows");
    let read = |title, expected| Check {
        title,
        detail: &detail,
        expected,
    };
    narrator
        .check(
            read("during: they log in with it, and read", &rows),
            async {
                ensure_same_server(postgres, &credentials)?;
                stage::read_table(postgres, user, &credentials.password).await
            },
        )
        .await?;
    let check = Check {
        title: "did the password ever reach the server?",
        detail: "in its catalogue, and in its log of every statement",
        expected: "no: a SCRAM verifier in the catalogue, nothing in the log",
    };
    narrator
        .check(check, look_for_password(postgres, &credentials))
        .await?;

    let check = Check {
        title: "Sym sends it again",
        detail: escalate,
        expected: "the same secret, the same password",
    };
    narrator
        .check(check, async {
            let answer = function.send(&stage::sample_event(escalate)?).await?;
            let now = function.secret(&secret_name(&answer)?)?;
            let now = Credentials::from_secret(&now.context("the secret is gone")?)?;
            Ok(if now == credentials {
                "the same secret, the same password".to_owned()
            } else {
                "other credentials".to_owned()
            })
        })
        .await?;

    let session = narrator
        .prepare("the person leaves a session open", "", async {
            let password = &credentials.password;
            let session = postgres.connect(user, password, stage::DATABASE).await?;
            session.simple_query("SELECT 1").await?;
            Ok((session, "it is".to_owned()))
        })
        .await?;
    let check = Check {
        title: "Sym sends the end",
        detail: deescalate,
        expected: "no errors",
    };
    narrator
        .check(check, async {
            let answer = function.send(&stage::sample_event(deescalate)?).await?;
            Ok(match errors(&answer)?.as_slice() {
                [] => "no errors".to_owned(),
                errors => errors.join("; "),
            })
        })
        .await?;

    let check = Check {
        title: "after: does the open session go on?",
        detail: "SELECT 1",
        expected: "no",
    };
    narrator
        .check(check, async {
            let alive = session.simple_query("SELECT 1").await.is_ok();
            Ok(if alive { "yes" } else { "no" }.to_owned())
        })
        .await?;
    narrator
        .check_by(
            read("after: they log in once more", "login refused"),
            |seen| seen.starts_with("login refused (28"),
            stage::read_table(postgres, user, &credentials.password),
        )
        .await?;
    let check = Check {
        title: "after: is there such a secret?",
        detail: secret,
        expected: "no",
    };
    narrator
        .check(check, async {
            let there = function.secret(secret)?.is_some();
            Ok(if there { "yes" } else { "no" }.to_owned())
        })
        .await?;
    let look_for_user = Check {
        title: "after: is there such a user?",
        ..look_for_user
    };
    narrator
        .check(look_for_user, role_state(postgres, user))
        .await?;

    let check = Check {
        title: "the approval arrives once more, late",
        detail: escalate,
        expected: "one sentence that refuses it",
    };
    narrator
        .check_by(check, is_one_sentence, async {
            let answer = function.send(&stage::sample_event(escalate)?).await?;
            Ok(errors(&answer)?.join("\n"))
        })
        .await
}

async fn refuse_a_bad_event(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
    narrator.chapter(
        "What goes wrong is said in a sentence",
        "In the answer’s shape, which Sym shows in Slack; nothing was changed.",
    );
    let check = Check {
        title: "an event that names no target",
        detail: "events/v6/escalate-role.json, without fields.target",
        expected: "one sentence that names `fields.target`",
    };
    let names_the_field = |seen: &str| is_one_sentence(seen) && seen.contains("fields.target");
    narrator
        .check_by(check, names_the_field, async {
            let mut event = stage::sample_event("events/v6/escalate-role.json")?;
            let fields = event["fields"].as_object_mut().context("no fields")?;
            fields.remove("target").context("no target")?;
            let answer = parts.function.send(&event).await?;
            Ok(errors(&answer)?.join("\n"))
        })
        .await?;
    read_as_the_person(narrator, parts, "may anybody read now?", REFUSED).await?;
    let check = Check {
        title: "what the ledger keeps",
        detail: "SELECT strategy, user_name, state FROM sym.grants",
        expected: "role sym_user ended, temporary-user symuserc25fe475217e16f1046d5d15 ended",
    };
    narrator.check(check, ledger(&parts.postgres)).await
}

async fn ledger(postgres: &Postgres) -> Result<String> {
    let rows: Vec<String> = postgres
        .admin_in(stage::DATABASE)
        .await?
        .query(
            "SELECT concat_ws(' ', strategy, user_name, state) FROM sym.grants ORDER BY granted_at",
            &[],
        )
        .await?
        .iter()
        .map(|row| row.get(0))
        .collect();
    Ok(rows.join(", "))
}

fn is_one_sentence(text: &str) -> bool {
    !text.is_empty() && !text.contains('\n')
}

/// What a temporary user logs in with.
#[derive(PartialEq, Eq)]
struct Credentials {
    host: String,
    port: u16,
    database: String,
    username: String,
    password: String,
}

impl Credentials {
    fn from_secret(secret: &Value) -> Result<Credentials> {
        let text = |name: &str| {
            let value = secret[name].as_str();
            value
                .map(str::to_owned)
                .with_context(|| format!("the secret has no `{name}`"))
        };
        // Sym's templates have it as a number, RDS as either.
        let port = match &secret["port"] {
            Value::Number(port) => port.as_u64().and_then(|port| u16::try_from(port).ok()),
            Value::String(port) => port.parse().ok(),
            _ => None,
        };
        Ok(Credentials {
            host: text("host")?,
            port: port.context("the secret has no `port`")?,
            database: text("dbname")?,
            username: text("username")?,
            password: text("password")?,
        })
    }

    fn without_password(&self) -> String {
        format!(
            "{} on {}:{}/{}, with a password of {} characters",
            self.username,
            self.host,
            self.port,
            self.database,
            self.password.chars().count()
        )
    }
}

/// The credentials are for where we log in.
fn ensure_same_server(postgres: &Postgres, credentials: &Credentials) -> Result<()> {
    if credentials.host != "127.0.0.1"
        || credentials.port != postgres.port()
        || credentials.database != stage::DATABASE
    {
        bail!(
            "the secret names another server: {}",
            credentials.without_password()
        );
    }
    Ok(())
}

async fn look_for_password(postgres: &Postgres, credentials: &Credentials) -> Result<String> {
    let stored: Option<String> = postgres
        .admin()
        .await?
        .query_one(
            "SELECT rolpassword FROM pg_authid WHERE rolname = $1",
            &[&credentials.username],
        )
        .await?
        .get(0);
    let log = postgres.log_text();
    Ok(if !log.contains(&credentials.username) {
        "the log doesn’t even have the user".to_owned()
    } else if log.contains(&credentials.password) {
        "yes: it is in the log".to_owned()
    } else if stored.is_some_and(|stored| stored.starts_with("SCRAM-SHA-256$")) {
        "no: a SCRAM verifier in the catalogue, nothing in the log".to_owned()
    } else {
        "the catalogue has no SCRAM verifier".to_owned()
    })
}

async fn role_state(postgres: &Postgres, name: &str) -> Result<String> {
    let row = postgres
        .admin()
        .await?
        .query_opt(
            "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1",
            &[&name],
        )
        .await?;
    Ok(match row.map(|row| row.get(0)) {
        None => "no such user",
        Some(true) => "a user who may log in",
        Some(false) => "a user who may not log in",
    }
    .to_owned())
}

fn secret_name(answer: &Value) -> Result<String> {
    let name = answer["body"]["secret_name"].as_str();
    match (errors(answer)?.as_slice(), name) {
        ([], Some(name)) => Ok(name.to_owned()),
        _ => bail!("the answer names no secret: {answer}"),
    }
}

/// The answer's `errors`, which it always has.
fn errors(answer: &Value) -> Result<Vec<String>> {
    let errors = answer["errors"]
        .as_array()
        .with_context(|| format!("the answer has no `errors`: {answer}"))?;
    Ok(errors
        .iter()
        .map(|error| match error {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect())
}
