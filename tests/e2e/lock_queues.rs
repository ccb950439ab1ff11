//! Locks that aren't held by one but by one after the other, and those on the catalogs
//! that all use: an end doesn't wait for them.

use anyhow::ensure;
use tokio::task::JoinSet;

use crate::fixture::{Event, PERSON, World};

/// Waits in the queue until it has the lock, and keeps it.
const WAITS: &str = "BEGIN; LOCK TABLE sym.grants IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)";

/// Is in no queue, and has the lock as soon as nobody else has it.
const TRIES: &str = "DO $$ BEGIN LOOP
        BEGIN
            LOCK TABLE sym.grants IN ACCESS EXCLUSIVE MODE NOWAIT;
            PERFORM pg_sleep(600);
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.001);
        END;
    END LOOP; END $$";

/// Sessions of a stranger's that want the ledger, and come again when they are ended. They
/// are gone when this is dropped.
async fn crowd(world: &World, wants: &'static str) -> anyhow::Result<JoinSet<()>> {
    world.stranger().await?;
    world.sql("GRANT pg_write_all_data TO stranger").await?;
    let mut sessions = JoinSet::new();
    for _ in 0..6 {
        let config = world.postgres.login("stranger", "stranger", "app");
        sessions.spawn(async move {
            loop {
                let Ok((client, connection)) = config.connect(tokio_postgres::NoTls).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let connection = tokio::spawn(connection);
                let _ = client.batch_execute(wants).await;
                connection.abort();
            }
        });
    }
    let one_has_it = "SELECT count(*) = 6 AND bool_or(query ~ 'sym.grants' AND wait_event = 'PgSleep')
            AND EXISTS (SELECT FROM pg_locks l WHERE l.relation = 'sym.grants'::regclass AND l.granted)
        FROM pg_stat_activity WHERE usename = 'stranger' AND state = 'active'";
    world.wait_until(one_has_it).await?;
    Ok(sessions)
}

fn can_lock(world: &World) -> bool {
    world.postgres.install().major >= 14 // pg_write_all_data came with 14.
}

/// At the first try.
async fn ends_all_the_same(event: Event, wants: &'static str) -> anyhow::Result<()> {
    let world = World::start().await?;
    if !can_lock(&world) {
        return Ok(());
    }
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    let _crowd = crowd(&world, wants).await?;
    world.body(&event.end()).await?;
    match user {
        PERSON => ensure!(!world.is_member(PERSON, "readonly").await?, "it has it"),
        _ => ensure!(!world.role_exists(user).await?, "it is there"),
    }
    Ok(())
}

#[tokio::test]
async fn who_locks_the_ledger_again_and_again_keeps_no_lent_role() -> anyhow::Result<()> {
    ends_all_the_same(Event::escalate(), WAITS).await
}

#[tokio::test]
async fn nor_a_temporary_user() -> anyhow::Result<()> {
    ends_all_the_same(Event::escalate_temporary_user(), WAITS).await
}

#[tokio::test]
async fn nor_does_who_is_there_at_once_when_nobody_has_it() -> anyhow::Result<()> {
    ends_all_the_same(Event::escalate(), TRIES).await
}

#[tokio::test]
async fn nor_do_they_keep_the_databases_own_switch() -> anyhow::Result<()> {
    for wants in [WAITS, TRIES] {
        let world = World::start().await?;
        if !can_lock(&world) {
            return Ok(());
        }
        let event = Event::escalate();
        world.body(&event).await?;
        world.let_time_pass().await?;
        world.lambda.kill();
        let _crowd = crowd(&world, wants).await?;
        let outcome = "SELECT string_agg(outcome, ',') FROM sym.expire()";
        let outcome = world.query(outcome).await?;
        assert_eq!(outcome.as_deref(), Some("taken-back"), "{wants}");
        assert!(!world.is_member(PERSON, "readonly").await?, "{wants}");
    }
    Ok(())
}

#[tokio::test]
async fn who_may_maintain_everything_can_not_lock_the_catalogs() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 17 {
        return Ok(()); // pg_maintain came with 17.
    }
    world.stranger().await?;
    world.sql("GRANT pg_maintain TO stranger").await?;
    for (event, catalog) in [
        // To see what the user has of its own, and whether the role owns something.
        (Event::escalate(), "pg_shdepend"),
        // By its comment the user is known to be the run's.
        (Event::escalate_temporary_user(), "pg_shdescription"),
    ] {
        let body = world.body(&event).await?;
        let user = body["username"].as_str().unwrap_or_default();
        let holder = world.login("stranger", "stranger").await;
        let holder = holder.map_err(anyhow::Error::msg)?;
        let lock = format!("BEGIN; LOCK TABLE {catalog} IN ACCESS EXCLUSIVE MODE");
        holder.batch_execute(&lock).await?;
        world.body(&event.end()).await?;
        assert!(holder.batch_execute("SELECT 1").await.is_err(), "{catalog}");
        match user {
            PERSON => assert!(!world.is_member(PERSON, "readonly").await?, "{catalog}"),
            _ => assert!(!world.role_exists(user).await?, "{catalog}"),
        }
    }
    Ok(())
}
