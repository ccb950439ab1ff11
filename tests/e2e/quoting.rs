//! Any text is one value for a real PostgreSQL, however it reads strings.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sym_host::plan::Value;
use sym_host::sql::{Template, quote_identifier, quote_literal};
use sym_test_support::postgres::Postgres;
use sym_test_support::tools::{self, Major};
use tokio_postgres::{Client, SimpleQueryMessage};

/// Texts of all kinds, and those that PostgreSQL's lexer has a use for.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[^\0]{0,40}",
        r#"['"\\$/*;{}()%&:!-]{0,20}"#,
        r#"(E'|U&'|U&"|\$\$|\$a\$|/\*|\*/|--|\\'|''|""|\\\\|\r|\n|\u{2019}|\u{bf}|;|x){0,12}"#,
    ]
}

/// Those that fit a name.
fn name() -> impl Strategy<Value = String> {
    text().prop_map(|text| {
        let mut end = text.len().min(63);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        match &text[..end] {
            "" => "\"".repeat(63),
            name => name.to_owned(),
        }
    })
}

/// A server, and a session for each way to read strings.
struct Server {
    runtime: tokio::runtime::Runtime,
    sessions: Vec<Client>,
    _postgres: Postgres,
}

impl Server {
    fn start() -> anyhow::Result<Server> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let postgres = Postgres::start(&tools::postgres_install(Major::from_env()?)?)?;
        let mut sessions = Vec::new();
        runtime.block_on(async {
            for conforming in ["on", "off"] {
                let session = postgres.admin().await?;
                let settings = format!(
                    "SET standard_conforming_strings = {conforming}; SET escape_string_warning = off; \
                     SET client_min_messages = error"
                );
                session.batch_execute(&settings).await?;
                sessions.push(session);
            }
            anyhow::Ok(())
        })?;
        Ok(Server {
            runtime,
            sessions,
            _postgres: postgres,
        })
    }

    /// The one row of a text of exactly one statement, with its columns' names.
    /// By the simple protocol, which takes several: a second one would be seen.
    fn row(&self, session: &Client, sql: &str) -> Result<Vec<(String, String)>, TestCaseError> {
        let messages = self
            .runtime
            .block_on(session.simple_query(sql))
            .map_err(|error| TestCaseError::fail(format!("{error:?} in {sql}")))?;
        let mut rows = Vec::new();
        let mut completed = 0;
        for message in &messages {
            match message {
                SimpleQueryMessage::Row(row) => rows.push(row),
                SimpleQueryMessage::CommandComplete(_) => completed += 1,
                _ => {}
            }
        }
        prop_assert_eq!((rows.len(), completed), (1, 1), "{}", sql);
        let columns = rows[0].columns().iter().enumerate();
        Ok(columns
            .map(|(index, column)| {
                let value = rows[0].get(index).unwrap_or_default();
                (column.name().to_owned(), value.to_owned())
            })
            .collect())
    }
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn any_text_comes_back_as_a_literal_and_as_a_name() -> anyhow::Result<()> {
    let server = Server::start()?;
    let outcome = runner(500).run(&(text(), name()), |(text, name)| {
        let literal = quote_literal(&text).expect("has no NUL");
        let identifier = quote_identifier(&name).expect("fits");
        for session in &server.sessions {
            let sql = format!("SELECT {literal} AS {identifier}");
            let row = server.row(session, &sql)?;
            prop_assert_eq!(&row, &[(name.clone(), text.clone())]);
        }
        Ok(())
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

#[test]
fn any_value_of_a_template_comes_back() -> anyhow::Result<()> {
    let server = Server::start()?;
    let template = Template::parse(
        "SELECT {first} AS {username}, /* {first} */ '{{first}}' AS x, {second} AS {name} -- {second}",
    )?;
    let values = (text(), text(), name(), name());
    let outcome = runner(300).run(&values, |(first, second, username, name)| {
        let args = [
            ("first".to_owned(), Value::Literal(first.clone())),
            ("second".to_owned(), Value::Literal(second.clone())),
            ("name".to_owned(), Value::Identifier(name.clone())),
        ];
        let sql = template.render(&username, &args).expect("renders");
        for session in &server.sessions {
            let row = server.row(session, &sql)?;
            let expected = [
                (username.clone(), first.clone()),
                ("x".to_owned(), "{first}".to_owned()),
                (name.clone(), second.clone()),
            ];
            prop_assert_eq!(&row[..], &expected);
        }
        Ok(())
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}

#[test]
fn any_name_is_the_name_of_just_that_role() -> anyhow::Result<()> {
    let server = Server::start()?;
    let roles = "SELECT coalesce(json_agg(rolname), '[]') FROM pg_roles";
    let names = |row: Vec<(String, String)>| -> BTreeSet<String> {
        serde_json::from_str(&row[0].1).expect("is a list of names")
    };
    let outcome = runner(150).run(&name(), |name| {
        // The server keeps these for itself, and refuses.
        prop_assume!(!name.starts_with("pg_") && !["public", "none"].contains(&name.as_str()));
        let identifier = quote_identifier(&name).expect("fits");
        for session in &server.sessions {
            let before = names(server.row(session, roles)?);
            let run = |sql: String| {
                let done = server.runtime.block_on(session.batch_execute(&sql));
                done.map_err(|error| TestCaseError::fail(format!("{error:?} in {sql}")))
            };
            run(format!("BEGIN; CREATE ROLE {identifier}"))?;
            let during = names(server.row(session, roles)?);
            run(format!("DROP ROLE {identifier}; ROLLBACK"))?;
            let made: Vec<&String> = during.difference(&before).collect();
            prop_assert_eq!(made, [&name]);
        }
        Ok(())
    });
    outcome.map_err(|error| anyhow::anyhow!("{error}"))
}
