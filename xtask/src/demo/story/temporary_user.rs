//! A user is made, whose credentials go to a secret, and removed.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use sym_test_support::postgres::Postgres;

use super::{Parts, errors, is_one_sentence};
use crate::demo::narrator::{Check, Failed, Narrator};
use crate::demo::stage::{self, ROWS, TABLE};

pub(super) async fn make(narrator: &mut Narrator, parts: &Parts) -> Result<(), Failed> {
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
