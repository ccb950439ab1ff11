//! A server that is restarted in the midst of an event: before each of its
//! requests, by a fast shutdown and by an immediate one, which is a crash. The
//! same event again converges.

use anyhow::ensure;
use serde_json::{Map, Value};
use sym_test_support::postgres::Shutdown;

use crate::fixture::{Event, ORDERS, World};

/// Sends an event and restarts the server before its request with this number,
/// then sends it again. `None` where the event has fewer requests.
async fn interrupted(
    world: &World,
    event: &Event,
    request: u64,
    (shutdown, is_cold): (Shutdown, bool),
) -> anyhow::Result<Option<Map<String, Value>>> {
    if is_cold {
        world.proxy().cut_all();
    }
    world.proxy().reset();
    world.proxy().set_gate(request);
    let mut sending = Box::pin(world.send(event));
    tokio::select! {
        answer = &mut sending => {
            world.proxy().open_gate();
            let answer = answer?;
            ensure!(answer["errors"] == Value::Array(Vec::new()), "{answer}");
            return Ok(None);
        }
        () = world.proxy().gate_reached() => {}
    }
    world.postgres.restart_by(shutdown)?;
    world.proxy().open_gate();
    let answer = sending.await?;
    ensure!(
        answer["errors"] == Value::Array(Vec::new())
            || answer.to_string().contains("[database-unavailable]"),
        "{answer}"
    );
    let again = world.body(event).await?;
    ensure!(
        answer["errors"] != Value::Array(Vec::new())
            || answer["body"] == Value::from(again.clone()),
        "{answer}, then {again:?}"
    );
    Ok(Some(again))
}

/// Restarts before the first, second, third, … request of both events of a run,
/// until neither has so many. Cold, the login is among them.
async fn survives(escalate: fn() -> Event, shutdown: Shutdown) -> anyhow::Result<()> {
    let world = World::builder()
        .proxy()
        // What was committed is there after a crash.
        .setting("synchronous_commit", "on")
        .start()
        .await?;
    world.still_works().await?;
    for is_cold in [false, true] {
        survives_each(&world, escalate, (shutdown, is_cold)).await?;
    }
    Ok(())
}

async fn survives_each(
    world: &World,
    escalate: fn() -> Event,
    how: (Shutdown, bool),
) -> anyhow::Result<()> {
    let before = world.state().await?;
    for request in 1.. {
        ensure!(request < 60, "there is no end");
        let event = escalate();
        let begun = interrupted(world, &event, request, how).await?;
        if let Some(body) = &begun {
            let counted = match body.get("secret_name").and_then(Value::as_str) {
                Some(name) => {
                    let secret = world.secret(name).await?;
                    let text = |field: &str| secret[field].as_str().unwrap_or_default();
                    world.count_orders(text("username"), text("password")).await
                }
                None => world.person_counts_orders().await,
            };
            ensure!(counted == Ok(ORDERS), "request {request}: {counted:?}");
        }
        let ended = interrupted(world, &event.end(), request, how).await?;
        world.is_as(&before).await?;
        world.ledger_agrees().await?;
        ensure!(world.open_runs().await? == 0, "a run is open");
        if begun.is_none() && ended.is_none() {
            ensure!(request > 1, "nothing was interrupted");
            return Ok(());
        }
    }
    Ok(())
}

#[tokio::test]
async fn lending_survives_a_restart_before_any_request() -> anyhow::Result<()> {
    survives(Event::escalate, Shutdown::Fast).await
}

#[tokio::test]
async fn lending_survives_a_crash_of_the_server_before_any_request() -> anyhow::Result<()> {
    survives(Event::escalate, Shutdown::Immediate).await
}

#[tokio::test]
async fn a_temporary_user_survives_a_restart_before_any_request() -> anyhow::Result<()> {
    survives(Event::escalate_temporary_user, Shutdown::Fast).await
}

#[tokio::test]
async fn a_temporary_user_survives_a_crash_of_the_server_before_any_request() -> anyhow::Result<()>
{
    survives(Event::escalate_temporary_user, Shutdown::Immediate).await
}
