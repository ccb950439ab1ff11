//! A synchronous standby that is away, for which each COMMIT waits: an end must not.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use sym_test_support::clock::Clock;
use sym_test_support::tools;

use crate::fixture::{BOT, Builder, Event, ORDERS, PERSON, World};
use crate::search_path::run_each;

const WAITING: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
const COMMIT: &str = "SELECT pg_logical_emit_message(true, '', '')";
const WARNING: &str = "no synchronous standby answers";

/// Where a COMMIT waits for a standby, if there has to be one.
fn durable() -> Builder {
    World::builder().setting("synchronous_commit", "on")
}

/// From now on the server waits for a standby that isn't there. A superuser's COMMIT does so for
/// good.
async fn lose_standby(world: &World) -> anyhow::Result<()> {
    world.lambda.set_timeout(Duration::from_secs(15));
    let admin = world.postgres.admin_in("app").await?;
    let sql = "ALTER SYSTEM SET synchronous_standby_names = 'nobody'";
    admin.batch_execute(sql).await?;
    admin.batch_execute("SELECT pg_reload_conf()").await?;
    tokio::spawn(async move { while admin.batch_execute(COMMIT).await.is_ok() {} });
    world.wait_until(&format!("({WAITING}) = 1")).await
}

/// Nobody's wait was cancelled but the function's, and none of these goes on.
async fn only_others_wait(world: &World) -> anyhow::Result<()> {
    ensure!(world.query(WAITING).await?.as_deref() == Some("1"));
    Ok(())
}

#[tokio::test]
async fn ends_take_effect() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let before = world.state().await?;
    let role = Event::escalate();
    world.body(&role).await?;
    let leaver = world.leaver().await?;
    lose_standby(&world).await?;
    world.body(&role.end()).await?;
    ensure!(!world.is_member(PERSON, "readonly").await?);
    world.end_removes(&leaver).await?;
    only_others_wait(&world).await?;
    let log = world.lambda.logs();
    ensure!(log.contains(WARNING), "{log}");
    ensure!(world.open_runs().await? == 0, "a run is open");
    world.is_as(&before).await
}

/// A commit that has only begun to wait isn't one of those for which nobody answers.
#[tokio::test]
async fn what_has_just_begun_to_wait_goes_on_waiting() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let role = Event::escalate();
    lose_standby(&world).await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    let pid: i32 = bot.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
    let waits = format!(
        "SELECT wait_event IS NOT DISTINCT FROM 'SyncRep' FROM pg_stat_activity WHERE pid = {pid}"
    );
    let another = async {
        // Between the first look and the second.
        let looked = "SELECT EXISTS (SELECT FROM pg_stat_activity
            WHERE usename = 'sym_bot' AND state = 'idle' AND query LIKE '%SyncRep%')";
        world.wait_until(looked).await?;
        tokio::spawn(async move { bot.batch_execute(COMMIT).await });
        world.wait_until(&waits).await
    };
    tokio::try_join!(world.body(&role), another)?;
    ensure!(world.query(&waits).await?.as_deref() == Some("true"));
    Ok(())
}

/// Of the function's user's sessions all that wait are the ledger's; of a person's own login only
/// those of `symctl` are.
#[tokio::test]
async fn a_person_ends_what_the_function_left_waiting_and_nothing_of_their_own()
-> anyhow::Result<()> {
    let world = durable()
        .sql("CREATE ROLE dba LOGIN PASSWORD 'dba'; GRANT sym_bot TO dba")
        .start()
        .await?;
    let role = Event::escalate();
    world.body(&role).await?;
    world.let_time_pass().await?;
    lose_standby(&world).await?;
    world.lambda.set_timeout(Duration::from_secs(1));
    let answer = world.send(&role.end()).await?.to_string();
    ensure!(answer.contains("[out-of-time]"), "{answer}");
    let own = world.login("dba", "dba").await;
    let own = own.map_err(anyhow::Error::msg)?;
    tokio::spawn(async move { own.batch_execute(COMMIT).await });
    world.wait_until(&format!("({WAITING}) = 3")).await?;

    let dba = [
        ("DB_USER", "dba"),
        ("DB_PASSWORD", "dba"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let swept = world.symctl_with(&["sweep"], &dba).await?;
    ensure!(swept.code == Some(0), "{swept:?}");
    ensure!(!world.is_member(PERSON, "readonly").await?);
    ensure!(world.query(WAITING).await?.as_deref() == Some("2"));
    Ok(())
}

#[tokio::test]
async fn what_a_user_owned_is_cleared_away() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let leaver = world.leaver().await?;
    leaver.session.batch_execute("SELECT lo_create(0)").await?;
    lose_standby(&world).await?;
    world.end_removes(&leaver).await?;
    ensure!(world.heir_of(&leaver.user).await?.is_some(), "no heir");
    only_others_wait(&world).await
}

#[tokio::test]
async fn access_is_answered_as_what_it_is() -> anyhow::Result<()> {
    let world = durable().start().await?;
    lose_standby(&world).await?;
    let role = Event::escalate();
    world.body(&role).await?;
    ensure!(world.person_counts_orders().await == Ok(ORDERS));
    let leaver = world.leaver().await?;
    world.end_removes(&leaver).await?;
    world.body(&role.end()).await?;
    world.ledger_agrees().await
}

#[tokio::test]
async fn a_sweep_ends_what_others_left_waiting() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let (role, other) = (Event::escalate(), Event::escalate());
    let other = other.user("other@healthy-health.co");
    world.sql("CREATE ROLE other LOGIN").await?;
    world.body(&role).await?;
    world.body(&other).await?;
    let leaver = world.leaver().await?;
    world.let_time_pass().await?;
    lose_standby(&world).await?;
    // A function whose time is over leaves its COMMIT behind, and what that has locked.
    world.lambda.set_timeout(Duration::from_secs(1));
    for event in [&role, &leaver.event] {
        let answer = world.send(&event.end()).await?.to_string();
        ensure!(answer.contains("[out-of-time]"), "{answer}");
    }
    // Since 16 the second comes no further than to the role that the first has changed.
    let waiting = world.query(WAITING).await?;
    ensure!(matches!(waiting.as_deref(), Some("2" | "3")), "{waiting:?}");
    ensure!(world.is_member(PERSON, "readonly").await?);
    world.lambda.set_timeout(Duration::from_secs(30));
    ensure!(world.sweep().await? == 3);
    for user in [PERSON, "other"] {
        ensure!(!world.is_member(user, "readonly").await?, "{user}");
    }
    ensure!(!world.role_exists(&leaver.user).await?);
    ensure!(world.open_runs().await? == 0, "a run is open");
    only_others_wait(&world).await
}

#[tokio::test]
async fn the_databases_own_switch_waits_for_nobody() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let (role, leaver) = (Event::escalate(), world.leaver().await?);
    world.body(&role).await?;
    world.let_time_pass().await?;
    lose_standby(&world).await?;
    world.lambda.set_timeout(Duration::from_secs(1));
    world.send(&role.end()).await?;
    ensure!(world.query(WAITING).await?.as_deref() == Some("2"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    let outcomes = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    let outcomes = tokio::time::timeout(Duration::from_secs(20), world.query(outcomes)).await??;
    let outcomes = outcomes.unwrap_or_default();
    ensure!(
        outcomes.contains("disabled") && !outcomes.contains("failed"),
        "{outcomes}"
    );
    ensure!(!world.is_member(PERSON, "readonly").await?);
    ensure!(world.login(&leaver.user, &leaver.password).await.is_err());
    only_others_wait(&world).await
}

// The statements of the runbook, as it has them. Nobody cancels what a person waits for.
#[tokio::test]
async fn by_hand_access_ends_as_the_runbook_says() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let (role, leaver) = (Event::escalate(), world.leaver().await?);
    world.body(&role).await?;
    lose_standby(&world).await?;
    let page = fs::read_to_string(tools::workspace().join("docs/runbook.md"))?;
    let (_, page) = page
        .split_once("## Without Lambda and AWS")
        .context("has the section")?;
    let (page, _) = page.split_once("\n## ").context("has an end")?;
    let (_, block) = page.split_once("```sql\n").context("has a block")?;
    let (block, table) = block.split_once("```").context("has an end")?;
    let (before, after) = block
        .split_once("-- Here what you came for.\n")
        .context("has a place")?;
    let statement = |function: &str, event: &Event| {
        let (_, statement) = table.split_once(&format!("`SELECT {function}("))?;
        let (arguments, _) = statement.split_once('`')?;
        let arguments = arguments.replace("<run>", &event.run_srn());
        Some(format!("SELECT {function}({arguments}\n"))
    };
    let lent = statement("sym.give_back", &role).context("is in the table")?;
    let temporary = statement("sym.disable_user", &leaver.event).context("is in the table")?;
    let session = world.postgres.admin_in("app").await?;
    let all = format!("{before}{lent}{temporary}{after}");
    let ran = run_each(&session, &all);
    tokio::time::timeout(Duration::from_secs(20), ran).await??;
    ensure!(!world.is_member(PERSON, "readonly").await?);
    ensure!(world.login(&leaver.user, &leaver.password).await.is_err());
    only_others_wait(&world).await
}

#[tokio::test]
async fn a_new_version_is_installed() -> anyhow::Result<()> {
    let world = durable().start().await?;
    let role = Event::escalate();
    world.body(&role).await?;
    world.sql(crate::fixture::OLD_SCHEMA).await?;
    lose_standby(&world).await?;
    let newer = world.another(&[]).await?;
    world.body_of(&newer, &role.end().to_string()).await?;
    ensure!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// The next event asks for the operator's durability again.
#[tokio::test]
async fn the_standby_is_asked_again_later() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let mut builder = durable();
    for (name, value) in clock.env() {
        builder = builder.variable(name, value);
    }
    let world = builder.start().await?;
    let (first, second, third) = (Event::escalate(), Event::escalate(), Event::escalate());
    lose_standby(&world).await?;
    let time = async |event: &Event| -> anyhow::Result<Duration> {
        Ok(world.lambda.invoke_timed(event).await?.1)
    };
    let (patience, soon) = (Duration::from_millis(1900), Duration::from_millis(1500));
    ensure!(time(&first).await? > patience);
    ensure!(time(&second).await? < soon);
    clock.set(60)?;
    ensure!(time(&third).await? > patience);
    Ok(())
}
