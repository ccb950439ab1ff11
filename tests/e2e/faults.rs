//! A database that goes away: cut connections, silence, restarts, full tables.
//! An event that comes again converges, and none reports success of what was
//! not done.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use sym_test_support::clock::Clock;
use sym_test_support::proxy::Cut;

use crate::fixture::{Event, ORDERS, PERSON, World, refusal};

const UNAVAILABLE: &str = "the database is unavailable: try again, and if it stays so, see the function's log [database-unavailable]";

/// Gives access and takes it back, with a cut somewhere in each event. Returns
/// whether either came to it.
async fn survives(
    world: &World,
    escalate: &Event,
    cut: Cut,
    is_cold: bool,
) -> anyhow::Result<bool> {
    let before = world.state().await?;
    let mut body = Value::Null;
    let mut was_cut = false;
    for event in [escalate.clone(), escalate.end()] {
        if is_cold {
            world.proxy().cut_all();
        }
        world.proxy().reset();
        world.proxy().set_cut(Some(cut));
        // One loss is made good within the event.
        let answer = world.body(&event).await?;
        was_cut |= world.proxy().traffic().connections > u64::from(is_cold);
        if body.is_null() {
            body = answer.into();
            let counted = match body["secret_name"].as_str() {
                Some(name) => {
                    let secret = world.secret(name).await?;
                    let text = |field: &str| secret[field].as_str().unwrap_or_default();
                    world.count_orders(text("username"), text("password")).await
                }
                None => world.person_counts_orders().await,
            };
            ensure!(counted == Ok(ORDERS), "{counted:?}");
        }
    }
    world.proxy().reset();
    world.is_as(&before).await?;
    ensure!(world.open_runs().await? == 0, "a run is open");
    Ok(was_cut)
}

/// Cuts at 1, 2, 3, … until neither event comes that far.
async fn survives_all(
    escalate: fn() -> Event,
    step: u64,
    cut: fn(u64) -> Cut,
) -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    world.still_works().await?;
    world
        .body(&Event::escalate_temporary_user().new_run())
        .await?;
    world.symctl(&["revoke", "--all"]).await?;
    for is_cold in [false, true] {
        let mut at = step;
        while survives(&world, &escalate(), cut(at), is_cold).await? {
            at += step;
            ensure!(at < 60_000, "there is no end");
        }
        ensure!(at > step, "nothing was cut");
    }
    Ok(())
}

#[tokio::test]
async fn lending_survives_a_cut_before_any_request() -> anyhow::Result<()> {
    survives_all(Event::escalate, 1, Cut::BeforeRequest).await
}

#[tokio::test]
async fn lending_survives_a_cut_before_any_answer() -> anyhow::Result<()> {
    survives_all(Event::escalate, 1, Cut::BeforeAnswer).await
}

#[tokio::test]
async fn lending_survives_a_cut_after_any_number_of_bytes() -> anyhow::Result<()> {
    survives_all(Event::escalate, 61, Cut::AfterBytesToServer).await?;
    survives_all(Event::escalate, 61, Cut::AfterBytesToClient).await
}

#[tokio::test]
async fn a_temporary_user_survives_a_cut_before_any_request() -> anyhow::Result<()> {
    survives_all(Event::escalate_temporary_user, 1, Cut::BeforeRequest).await
}

#[tokio::test]
async fn a_temporary_user_survives_a_cut_before_any_answer() -> anyhow::Result<()> {
    survives_all(Event::escalate_temporary_user, 1, Cut::BeforeAnswer).await
}

#[tokio::test]
async fn a_temporary_user_survives_a_cut_after_any_number_of_bytes() -> anyhow::Result<()> {
    survives_all(Event::escalate_temporary_user, 149, Cut::AfterBytesToServer).await?;
    survives_all(Event::escalate_temporary_user, 149, Cut::AfterBytesToClient).await
}

#[tokio::test]
async fn without_a_database_nothing_is_reported_as_done() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    // An end waits for the database, nearly all of its time.
    world.lambda.set_timeout(Duration::from_secs(4));
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.postgres.stop();
        assert_eq!(world.send(&event).await?, refusal(UNAVAILABLE));
        world.postgres.restart()?;
        world.body(&event).await?;

        world.postgres.stop();
        assert_eq!(world.send(&event.end()).await?, refusal(UNAVAILABLE));
        assert_eq!(
            world.send_text(crate::fixture::SWEEP).await?,
            refusal(UNAVAILABLE)
        );
        world.postgres.restart()?;
        world.body(&event.end()).await?;
        world.is_as(&before).await?;
    }
    Ok(())
}

// As in a failover. Nobody can write down meanwhile that the access has to end.
#[tokio::test]
async fn an_end_waits_for_a_database_that_is_away_for_a_moment() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    let before = world.state().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.body(&event).await?;
        world.proxy().set_refusing(true);
        world.proxy().cut_all();
        let end = event.end();
        let back = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.proxy().set_refusing(false);
        };
        let (ended, ()) = tokio::join!(world.body(&end), back);
        ended?;
        world.is_as(&before).await?;
        ensure!(world.open_runs().await? == 0, "a run is open");
    }
    Ok(())
}

#[tokio::test]
async fn an_end_waits_for_a_database_that_is_closed_for_a_moment() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let event = Event::escalate();
    for (close, open) in [
        (
            "ALTER DATABASE app ALLOW_CONNECTIONS false",
            "ALTER DATABASE app ALLOW_CONNECTIONS true",
        ),
        (
            "ALTER DATABASE app RENAME TO aside",
            "ALTER DATABASE aside RENAME TO app",
        ),
    ] {
        let event = event.clone().new_run();
        world.body(&event).await?;
        world.end_bots_sessions().await?;
        world.postgres.execute_sql("postgres", close).await?;
        let end = event.end();
        let back = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            world.postgres.execute_sql("postgres", open).await
        };
        let (ended, opened) = tokio::join!(world.body(&end), back);
        opened?;
        ended.with_context(|| close)?;
        world.is_as(&before).await?;
        ensure!(world.open_runs().await? == 0, "a run is open");
    }
    Ok(())
}

#[tokio::test]
async fn silence_ends_before_lambdas_patience_and_the_next_try_works() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    world.lambda.set_timeout(Duration::from_secs(2));
    for escalate in [Event::escalate(), Event::escalate_temporary_user()] {
        for event in [escalate.clone(), escalate.end()] {
            world.proxy().set_silent(true);
            let answer = world.send(&event).await?.to_string();
            ensure!(
                answer.contains("[out-of-time]") || answer.contains("[database-unavailable]"),
                "{answer}"
            );
            // What was held back arrives after all, and may be carried out.
            world.proxy().set_silent(false);
            world.body(&event).await?;
        }
        world.is_as(&before).await?;
        ensure!(world.open_runs().await? == 0, "a run is open");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_lets_nobody_in_is_said_within_the_functions_time() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    world.lambda.set_timeout(Duration::from_secs(10));
    let event = Event::escalate();
    world.body(&event).await?;
    world.proxy().set_silent(true);
    for event in [Event::escalate_temporary_user(), event.end()] {
        world.proxy().cut_all();
        // What was just used is taken for good.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let (answer, time) = world.lambda.invoke_timed(&event).await?;
        assert_eq!(answer.response()?, refusal(UNAVAILABLE));
        ensure!(time < Duration::from_secs(8), "{time:?}");
    }
    let log = world.lambda.logs();
    let causes = log
        .matches("try again: no connection to 127.0.0.1 within 5 s")
        .count();
    ensure!(causes == 2, "{log}");
    world.proxy().set_silent(false);
    world.body(&event.end()).await?;
    world.still_works().await
}

#[tokio::test]
async fn a_connection_that_died_while_the_sandbox_was_frozen_is_replaced() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    for escalate in [Event::escalate(), Event::escalate_temporary_user()] {
        for event in [escalate.clone(), escalate.end()] {
            world.lambda.freeze()?;
            world.end_bots_sessions().await?;
            // What it finds when it wakes: the end of its connection, and an event.
            let send = world.body(&event);
            let thaw = async {
                tokio::task::yield_now().await;
                world.lambda.thaw()
            };
            let (answer, thawed) = tokio::join!(send, thaw);
            thawed?;
            answer?;
        }
        world.is_as(&before).await?;
    }
    world.ledger_agrees().await
}

#[tokio::test]
async fn a_connection_that_was_forgotten_on_the_way_costs_a_second() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let mut builder = World::builder().proxy();
    for (name, value) in clock.env() {
        builder = builder.variable(name, value);
    }
    let world = builder.start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    // Later, and where the clock was set back.
    for (offset, escalate) in [(61, Event::escalate()), (0, Event::escalate())] {
        clock.set(offset)?;
        world.proxy().forget_all();
        world.proxy().reset();
        let (answer, time) = world.lambda.invoke_timed(&escalate).await?;
        ensure!(
            answer.response()?["errors"] == Value::Array(Vec::new()),
            "{escalate}"
        );
        ensure!(time < Duration::from_secs(4), "{time:?}");
        ensure!(world.proxy().traffic().connections == 1, "not replaced");
        world.body(&escalate.end()).await?;
    }

    // What asks the database nothing keeps no connection from being in doubt.
    let event = Event::escalate();
    world.body(&event).await?;
    clock.set(50)?;
    let unknown =
        "target `nosuch` is not in `plugins.toml`: add it, or ask for another [unknown-target]";
    world
        .refuses(&Event::escalate().target("nosuch"), unknown)
        .await?;
    clock.set(100)?;
    world.proxy().forget_all();
    let (answer, time) = world.lambda.invoke_timed(&event.end()).await?;
    ensure!(
        answer.response()?["errors"] == Value::Array(Vec::new()) && time < Duration::from_secs(4),
        "{time:?}"
    );

    // One that works is asked once, and stays.
    clock.set(161)?;
    world.proxy().reset();
    let event = Event::escalate();
    world.body(&event).await?;
    let traffic = world.proxy().traffic();
    ensure!(
        traffic.round_trips == 2 && traffic.connections == 0,
        "{traffic:?}"
    );
    world.proxy().reset();
    world.body(&event.end()).await?;
    let traffic = world.proxy().traffic();
    ensure!(traffic.connections == 0, "{traffic:?}");
    world.is_as(&before).await
}

/// Its name may stand for another server by now, while the old one answers still.
#[tokio::test]
async fn a_connection_that_works_is_made_anew_after_five_minutes() -> anyhow::Result<()> {
    let clock = Clock::new()?;
    let mut builder = World::builder().proxy();
    for (name, value) in clock.env() {
        builder = builder.variable(name, value);
    }
    let world = builder.start().await?;
    world.still_works().await?;
    for (offset, expected) in [(50, 0), (170, 0), (290, 0), (301, 1), (302, 0), (602, 1)] {
        clock.set(offset)?;
        world.proxy().reset();
        let event = Event::escalate();
        world.body(&event).await?;
        world.body(&event.end()).await?;
        let made = world.proxy().traffic().connections;
        ensure!(made == expected, "{made} at {offset} s");
    }
    // By a sweep it is, however young the old one.
    world.proxy().reset();
    world.sweep().await?;
    ensure!(world.proxy().traffic().connections == 1, "not made anew");
    Ok(())
}

#[tokio::test]
async fn a_slow_wire_is_only_slow() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    world.proxy().set_latency(Duration::from_millis(40));
    let before = world.state().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.body(&event).await?;
        world.body(&event.end()).await?;
    }
    world.is_as(&before).await
}

#[tokio::test]
async fn a_full_connection_table_is_an_error_until_there_is_room() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_connections", "10")
        .setting("superuser_reserved_connections", "3")
        .start()
        .await?;
    // It connected when it started.
    world.end_bots_sessions().await?;
    let mut sessions = Vec::new();
    let full = loop {
        match world.login(PERSON, &world.person_password).await {
            Ok(session) => sessions.push(session),
            Err(code) => break code,
        }
    };
    assert_eq!(full, "53300");
    let event = Event::escalate();
    assert_eq!(world.send(&event).await?, refusal(UNAVAILABLE));
    sessions.clear();
    world
        .wait_until(&format!(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = '{PERSON}'"
        ))
        .await?;
    world.body(&event).await?;
    world.body(&event.end()).await?;
    world.still_works().await
}

#[tokio::test]
async fn a_server_that_has_become_a_standby_is_no_place_to_write() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    world
        .sql(
            "DO $$ BEGIN EXECUTE format('COPY (SELECT WHERE false) TO %L', current_setting('data_directory') || '/standby.signal'); END $$",
        )
        .await?;
    world.postgres.restart()?;
    let event = Event::escalate();
    assert_eq!(world.send(&event).await?, refusal(UNAVAILABLE));
    let log = world.lambda.logs();
    assert!(log.contains("try again: the server is read-only"), "{log}");
    world.sql("SELECT pg_promote()").await?;
    world.is_as(&before).await?;
    world.body(&event).await?;
    world.body(&event.end()).await?;
    world.is_as(&before).await
}
