//! The example of a Sym flow, `deploy/sym/impl.py`, against the real function:
//! Sym's SDK is a double, and nothing else.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use sym_test_support::tools;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::fixture::{Event, World};

/// What a hook did.
#[derive(Debug, Default, PartialEq)]
struct Done {
    /// To whom, and what.
    messages: Vec<(String, String)>,
    returned: Value,
}

/// Runs a hook. Whatever it sends to the function gets there, unless nobody can.
async fn run_hook(
    world: &World,
    hook: &str,
    event: &Event,
    output: &Value,
    is_reachable: bool,
) -> anyhow::Result<Done> {
    let root = tools::workspace();
    let mut python = Command::new("python3")
        .arg(root.join("tests/e2e/sym_flow/runner.py"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = python.stdin.take().context("is piped")?;
    let mut lines = BufReader::new(python.stdout.take().context("is piped")?).lines();
    let event: Value = serde_json::from_str(&event.to_string())?;
    let task = json!({
        "implementation": root.join("deploy/sym/impl.py"), "hook": hook, "event": event, "output": output,
    });
    input.write_all(format!("{task}\n").as_bytes()).await?;
    let mut done = Done::default();
    while let Some(line) = lines.next_line().await? {
        let said: Value = serde_json::from_str(&line)?;
        if let Some(payload) = said.get("invoke") {
            let answer = match is_reachable {
                true => world.send_text(&payload.to_string()).await?,
                false => Value::Null,
            };
            input.write_all(format!("{answer}\n").as_bytes()).await?;
        } else if let (Some(to), Some(text)) = (said["to"].as_str(), said["message"].as_str()) {
            done.messages.push((to.to_owned(), text.to_owned()));
        } else if let Some(returned) = said.get("returned") {
            done.returned = returned.clone();
            return Ok(done);
        }
    }
    bail!("the hook ended early: {}", python.wait().await?)
}

fn to_requests(text: &str) -> Done {
    Done {
        messages: vec![("#sym-requests".to_owned(), text.to_owned())],
        returned: Value::Null,
    }
}

#[tokio::test]
async fn the_approver_sees_what_an_approval_would_give() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let request = Event::escalate().dry_run();

    let done = run_hook(&world, "after_request", &request, &Value::Null, true).await?;
    let [(to, text)] = done.messages.as_slice() else {
        bail!("{done:?}");
    };
    assert_eq!(to, "#sym-requests");
    assert!(
        text.starts_with("An approval would give: readonly for sym_user until 20"),
        "{text}"
    );
    world.is_as(&before).await
}

#[tokio::test]
async fn the_approver_sees_what_stands_in_the_way() -> anyhow::Result<()> {
    let world = World::start().await?;
    let request = Event::escalate().user("nobody@healthy-health.co").dry_run();

    let done = run_hook(&world, "after_request", &request, &Value::Null, true).await?;
    let sentence = &world.send(&request).await?["errors"][0];
    let expected = format!(
        "An approval would fail now:\n• {}",
        sentence.as_str().context("is refused")?
    );
    assert_eq!(done, to_requests(&expected));
    assert!(expected.ends_with("[user-missing]"), "{expected}");
    Ok(())
}

#[tokio::test]
async fn a_function_that_is_away_is_no_reason_against_a_request() -> anyhow::Result<()> {
    let world = World::start().await?;
    let request = Event::escalate().dry_run();
    let done = run_hook(&world, "after_request", &request, &Value::Null, false).await?;
    let expected = "No dry run: the function can't be asked (AwsLambdaError).";
    assert_eq!(done, to_requests(expected));
    Ok(())
}

#[tokio::test]
async fn the_requester_is_told_by_both_strategies() -> anyhow::Result<()> {
    let world = World::start().await?;
    let role = Event::escalate();
    let answer = world.send(&role).await?;
    let done = run_hook(&world, "after_escalate", &role, &answer, true).await?;
    let expected = "Your database user `sym_user` has access now.";
    let requester = "sym-user@healthy-health.co".to_owned();
    assert_eq!(done.messages, [(requester.clone(), expected.to_owned())]);

    let user = Event::escalate_temporary_user();
    let answer = world.send(&user).await?;
    let done = run_hook(&world, "after_escalate", &user, &answer, true).await?;
    let body = |field: &str| {
        answer["body"][field]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    let expected = format!(
        "Your database user is `{}`; it can log in until {} at the latest.\nIts password is in AWS Secrets Manager, in the secret `{}`.",
        body("username"),
        body("expires_at"),
        body("secret_name")
    );
    assert_eq!(done.messages, [(requester, expected)]);
    Ok(())
}

#[tokio::test]
async fn who_may_keep_a_role_is_told_of_at_its_end() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT readonly TO sym_user")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let answer = world.send(&event.end()).await?;
    let done = run_hook(&world, "after_deescalate", &event.end(), &answer, true).await?;
    let note = answer["body"]["note"].as_str().context("there is a note")?;
    let remains = "the membership in `readonly` that `postgres` granted remains";
    assert_eq!(
        done,
        to_requests(&format!("Access ended: {note}; {remains}."))
    );
    Ok(())
}

#[tokio::test]
async fn what_a_person_gained_is_told_at_the_end() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT SELECT ON orders TO sym_user").await?;
    let answer = world.send(&event.end()).await?;
    let done = run_hook(&world, "after_deescalate", &event.end(), &answer, true).await?;
    let gained = answer["body"]["gained"].as_str().context("is found")?;
    assert_eq!(done, to_requests(&format!("Access ended: {gained}.")));

    // Nothing to say, of this end and of one that failed.
    for answer in [
        json!({"body": {"username": "sym_user"}, "errors": []}),
        json!({"body": {}, "errors": ["no [internal]"]}),
    ] {
        let done = run_hook(&world, "after_deescalate", &event.end(), &answer, true).await?;
        assert_eq!(done.messages, []);
    }
    Ok(())
}

#[tokio::test]
async fn nobody_approves_their_own_request() -> anyhow::Result<()> {
    let world = World::start().await?;
    let request = Event::escalate().dry_run();
    let done = run_hook(&world, "get_permissions", &request, &Value::Null, true).await?;
    assert_eq!(done.returned["allow_self_approval"], json!(false));
    Ok(())
}
