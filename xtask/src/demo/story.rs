//! The order of events, and what each of them must show.

mod role;
mod temporary_user;

use anyhow::{Context, Result};
use serde_json::Value;
use sym_test_support::postgres::Postgres;
use sym_test_support::tools::BuildEnvironment;

use super::narrator::{Check, Failed, Narrator};
use super::stage::{self, Function, PERSON, Passwords, ROLE, TABLE};
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
    role::lend(narrator, parts).await?;
    temporary_user::make(narrator, parts).await?;
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
