//! Moving here from Sym's Python template: beside it (`MODE=shadow`), and with
//! its open grants (`MIGRATE_FROM=template`).
//!
//! All that is left of the template's work is what its one statement does, run as
//! the bot; so that is what most tests run. The last ones run the template itself.

use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use sym_test_support::tools;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

use crate::fixture::{BOT, Builder, Event, PERSON, World, success};

const GRANT: &str = r#"GRANT "readonly" TO "sym_user""#;
const REVOKE: &str = r#"REVOKE "readonly" FROM "sym_user""#;

/// A statement of the template's.
async fn as_bot(world: &World, statement: &str) -> anyhow::Result<()> {
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    Ok(bot.batch_execute(statement).await?)
}

async fn has_role(world: &World) -> anyhow::Result<bool> {
    world.is_member(PERSON, "readonly").await
}

fn migrating() -> Builder {
    World::builder().variable("MIGRATE_FROM", "template")
}

async fn shadow() -> anyhow::Result<World> {
    World::builder().variable("MODE", "shadow").start().await
}

/// What a shadow answers, and nothing has changed.
async fn differences(world: &World, event: &Event) -> anyhow::Result<Vec<String>> {
    let (before, rows) = (world.state().await?, world.ledger_rows().await?);
    let body = world.body(event).await?;
    world.is_as(&before).await?;
    ensure!(world.ledger_rows().await? == rows, "the ledger was changed");
    ensure!(body["would"].is_string(), "{body:?}");
    Ok(serde_json::from_value(body["differences"].clone())?)
}

fn answered(event: &Event, answer: Value) -> Event {
    event.clone().with("/answer", answer)
}

#[tokio::test]
async fn a_shadow_says_nothing_where_both_do_the_same() -> anyhow::Result<()> {
    let world = shadow().await?;
    let event = Event::escalate();
    as_bot(&world, GRANT).await?;
    assert!(differences(&world, &event).await?.is_empty());
    let answer = success(json!({"username": PERSON}));
    assert!(
        differences(&world, &answered(&event, answer))
            .await?
            .is_empty()
    );
    as_bot(&world, REVOKE).await?;
    assert!(differences(&world, &event.end()).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_shadow_reports_each_difference() -> anyhow::Result<()> {
    let world = shadow().await?;
    let event = Event::escalate();
    let not_there = "`sym_user` has not got `readonly` by the template, or has it no more";
    assert_eq!(differences(&world, &event).await?, [not_there]);
    assert!(
        world.lambda.logs().contains("has not got"),
        "it is in the log: {}",
        world.lambda.logs()
    );

    let other = answered(&event, success(json!({"username": "someone_else"})));
    let another = "the database user is `sym_user` here, and `someone_else` by the template";
    assert_eq!(differences(&world, &other).await?, [another, not_there]);

    let failed = answered(
        &event,
        json!({"body": {}, "errors": ["role \"x\" does not exist"]}),
    );
    let error = "the template has answered with 1 error(s), and this function would not";
    assert_eq!(differences(&world, &failed).await?, [error]);

    let nobody = Event::escalate().user("nobody@healthy-health.co");
    let [refused] = &differences(&world, &nobody).await?[..] else {
        anyhow::bail!("one difference");
    };
    ensure!(
        refused.starts_with("this function refuses what the template does: ")
            && refused.ends_with("[user-missing]"),
        "{refused}"
    );

    as_bot(&world, GRANT).await?;
    let still = "`sym_user` still has `readonly`: the template has not taken it back";
    assert_eq!(differences(&world, &event.end()).await?, [still]);
    Ok(())
}

#[tokio::test]
async fn a_shadow_of_temporary_users_compares_their_names() -> anyhow::Result<()> {
    let world = shadow().await?;
    let event = Event::escalate_temporary_user();
    let name = format!(
        "/symops.com/sym-postgres/sym-user@healthy-health.co/{}",
        event.run_srn().rsplit(':').next().unwrap_or_default()
    );
    let same = answered(&event, success(json!({"secret_name": name})));
    assert!(differences(&world, &same).await?.is_empty());
    let other = answered(&event, success(json!({"secret_name": "/other"})));
    let sentence = format!("the secret's name is `{name}` here, and `/other` by the template");
    assert_eq!(differences(&world, &other).await?, [sentence]);
    Ok(())
}

#[tokio::test]
async fn a_shadow_sweeps_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.body(&Event::escalate()).await?;
    world.let_time_pass().await?;
    let rows = world.ledger_rows().await?;
    let shadow = world.another(&[("MODE", "shadow")]).await?;
    let body = world.body_of(&shadow, crate::fixture::SWEEP).await?;
    assert_eq!(body["would"], json!("end 1 run(s)"));
    assert_eq!(world.ledger_rows().await?, rows);
    assert!(has_role(&world).await?);
    Ok(())
}

#[tokio::test]
async fn what_the_template_lent_is_taken_back_once() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let before = world.state().await?;
    as_bot(&world, GRANT).await?;
    let end = Event::escalate().end();
    let answer = success(json!({"username": PERSON}));
    assert_eq!(world.send(&end).await?, answer);
    world.is_as(&before).await?;
    assert_eq!(world.run_state(&end).await?.as_deref(), Some("ended"));

    // It came twice; what is there now is another run's.
    as_bot(&world, GRANT).await?;
    world.body(&end).await?;
    assert!(has_role(&world).await?);
    Ok(())
}

#[tokio::test]
async fn an_end_that_says_too_little_keeps_none_from_coming() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let before = world.state().await?;
    as_bot(&world, GRANT).await?;
    let end = Event::escalate().end();
    let says_nobody = end.clone().without("/run/actors");
    world
        .refuses(
            &says_nobody,
            "the ledger doesn't know this run, and Sym's role template may have begun it (`MIGRATE_FROM`): only a \
             deescalate event with its requester and target can end it [access-remains]",
        )
        .await?;
    // Somebody has to look, and the alarm is for them.
    let logs = world.lambda.logs();
    ensure!(logs.contains("\"Outcome\":\"failed\""), "{logs}");
    assert_eq!(world.run_state(&end).await?, None);
    assert!(has_role(&world).await?);

    world.body(&end).await?;
    world.is_as(&before).await?;
    // Of one that the ledger knows, nobody needs to say more.
    world.body(&says_nobody).await?;
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_templates_is_taken_without_being_told() -> anyhow::Result<()> {
    let world = World::start().await?;
    as_bot(&world, GRANT).await?;
    let body = world.body(&Event::escalate().end()).await?;
    assert_eq!(
        body["note"],
        json!("the run had not begun, and can't begin now")
    );
    assert!(has_role(&world).await?);
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_granted_stays() -> anyhow::Result<()> {
    let world = migrating()
        .sql("GRANT readonly TO sym_user")
        .start()
        .await?;
    world.body(&Event::escalate().end()).await?;
    assert!(has_role(&world).await?);
    Ok(())
}

#[tokio::test]
async fn what_an_open_run_explains_stays() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    // Another run of the same person's, which nobody knows.
    world.body(&Event::escalate().end()).await?;
    assert!(has_role(&world).await?);
    world.body(&event.end()).await?;
    assert!(!has_role(&world).await?);
    Ok(())
}

#[tokio::test]
async fn the_last_of_both_to_end_takes_it_back() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    as_bot(&world, GRANT).await?;
    let ours = Event::escalate();
    world.body(&ours).await?;
    let templates = Event::escalate().end();
    world.body(&templates).await?;
    assert!(has_role(&world).await?, "our run is open");
    world.body(&ours.end()).await?;
    assert!(!has_role(&world).await?, "both have ended");
    Ok(())
}

#[tokio::test]
async fn roles_of_ours_were_never_the_templates() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let user = Event::escalate_temporary_user();
    let body = world.body(&user).await?;
    let name = body["username"].as_str().context("has a name")?;
    for role in ["sym_managed", "readonly"] {
        let end = Event::escalate()
            .user(&format!("{name}@healthy-health.co"))
            .target(role)
            .end();
        world.body(&end).await?;
    }
    assert_eq!(world.run_state(&user).await?.as_deref(), Some("granted"));
    assert!(world.is_member(name, "readonly").await?);
    let is_marked = world.postgres.install().major >= 16;
    assert_eq!(world.is_member(name, "sym_managed").await?, is_marked);
    Ok(())
}

#[tokio::test]
async fn what_the_template_ended_is_closed_by_the_sweep() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    as_bot(&world, REVOKE).await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

/// The template's own answers to events, one after the other.
async fn template(world: &World, events: &[Event]) -> anyhow::Result<Vec<Value>> {
    let checkout = std::env::var("SYM_TEMPLATES").context("SYM_TEMPLATES is not set")?;
    let packages = tools::psycopg2()?;
    let mut python = Command::from(packages.command())
        .arg(tools::workspace().join("tests/e2e/migration/template.py"))
        .arg(format!(
            "{checkout}/advanced/postgres_role_strategy/lambda_src"
        ))
        .env("PG_HOST", "127.0.0.1")
        .env("PG_PORT", world.postgres.port().to_string())
        .env("PG_NAME", "app")
        .env("PG_USER", BOT)
        .env("PG_PASSWORD", &world.bot_password)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = python.stdin.take().context("is piped")?;
    let mut lines = BufReader::new(python.stdout.take().context("is piped")?).lines();
    let mut answers = Vec::new();
    for event in events {
        input.write_all(format!("{event}\n").as_bytes()).await?;
        let line = lines.next_line().await?.context("the template ended")?;
        answers.push(serde_json::from_str(&line)?);
    }
    Ok(answers)
}

#[tokio::test]
#[ignore = "SYM_TEMPLATES must be a checkout of github.com/symopsio/examples"]
async fn the_template_itself_escalates_and_we_deescalate() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let before = world.state().await?;
    let event = Event::sample("v6/escalate-role");
    let [answer] = &template(&world, std::slice::from_ref(&event)).await?[..] else {
        anyhow::bail!("one answer");
    };
    assert_eq!(*answer, success(json!({"username": PERSON})));
    assert!(has_role(&world).await?);
    assert_eq!(world.send(&event.end()).await?, *answer);
    world.is_as(&before).await
}

#[tokio::test]
#[ignore = "SYM_TEMPLATES must be a checkout of github.com/symopsio/examples"]
async fn we_escalate_and_the_template_itself_deescalates() -> anyhow::Result<()> {
    let world = migrating().start().await?;
    let before = world.state().await?;
    let event = Event::sample("v6/escalate-role");
    let answer = world.send(&event).await?;
    let answers = template(&world, &[event.end()]).await?;
    assert_eq!(answers, [answer]);
    world.is_as(&before).await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
#[ignore = "SYM_TEMPLATES must be a checkout of github.com/symopsio/examples"]
async fn a_shadow_beside_the_template_itself_finds_no_difference() -> anyhow::Result<()> {
    let world = shadow().await?;
    let event = Event::sample("v6/escalate-role");
    for event in [event.clone(), event.end()] {
        let answer = template(&world, std::slice::from_ref(&event))
            .await?
            .remove(0);
        assert!(
            differences(&world, &answered(&event, answer))
                .await?
                .is_empty()
        );
    }
    Ok(())
}
