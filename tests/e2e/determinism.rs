//! The same release and the same event: the same answer and the same fuel, again
//! and again, and in another process.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use sym_host::aws::Aws;
use sym_host::event::Event;
use sym_host::plan::Strategy;
use sym_host::plugin::{Answer, Cost, Engine, Source};
use sym_host::request::{DurationUnit, Request};
use sym_test_support::tools;
use tokio::time::Instant;

use crate::fixture;

/// Before what another process prints.
const MARK: &str = "the answers are ";

/// What all plugins of `target/plugins` answer to all samples, and the fuel.
async fn answers() -> anyhow::Result<Value> {
    let engine = Engine::new()?;
    let directory = tools::target_directory().join("plugins");
    let source = Source::Directory(directory);
    let release = source.load(&engine, &Aws::default()).await?.release;
    let mut answers = Vec::new();
    for sample in [
        "v4/escalate-role",
        "v4/escalate-temporary-user",
        "v6/escalate-role",
        "v6/escalate-temporary-user",
    ] {
        let payload = fixture::Event::sample(sample).to_string();
        let event = Event::parse(&payload)?;
        for strategy in [Strategy::Role, Strategy::TemporaryUser] {
            for (target, _) in release.targets() {
                let mut request = Request::from_event(&event, &payload, DurationUnit::Minutes)?;
                target.clone_into(&mut request.target.name);
                let deadline = Instant::now() + Duration::from_secs(60);
                let user = release.resolve_user(&request, strategy, deadline).await?;
                let setup = release.setup(&request, strategy, &user.value, deadline);
                let setup = match setup.await {
                    Ok(Answer { value, cost }) => json!([format!("{value:?}"), counted(cost)]),
                    // An SQL file is nothing for a role that is lent.
                    Err(error) => json!(error.to_public()),
                };
                answers.push(json!([
                    release.id(),
                    sample,
                    strategy.as_str(),
                    target,
                    user.value,
                    counted(user.cost),
                    setup
                ]));
            }
        }
    }
    Ok(Value::from(answers))
}

/// What a call took, but for the time.
fn counted(cost: Cost) -> Value {
    json!([cost.fuel, cost.memory_bytes, cost.log_lines, cost.log_bytes])
}

#[tokio::test]
async fn plugins_answer_the_same_for_the_same_fuel_again_and_elsewhere() -> anyhow::Result<()> {
    let first = answers().await?;
    let count = first.as_array().map_or(0, Vec::len);
    ensure!(count >= 16, "{count} answers are too few: {first}");
    ensure!(
        first[0][5][0].as_u64() > Some(0),
        "no fuel was used: {first}"
    );
    assert_eq!(answers().await?, first);
    let output = Command::new(std::env::current_exe()?)
        .args(["--exact", "determinism::prints_the_answers"])
        .args(["--include-ignored", "--nocapture"])
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let other = text
        .lines()
        .find_map(|line| Some(line.split_once(MARK)?.1))
        .with_context(|| format!("the other process printed: {text}"))?;
    assert_eq!(serde_json::from_str::<Value>(other)?, first);
    Ok(())
}

#[tokio::test]
#[ignore = "is the other process of the test above"]
async fn prints_the_answers() -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{MARK}{}", answers().await?)?;
    Ok(())
}
