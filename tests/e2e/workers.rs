//! Autovacuum calls the functions of an index with the rights of who owns the table, in a
//! process that is nobody's session.

use std::time::Duration;

use anyhow::ensure;
use tokio_postgres::Client;

use crate::fixture::{BOT, Builder, Event, PERSON, SWEEP, World};

/// A world in which autovacuum looks each second.
fn world() -> Builder {
    World::builder()
        .setting("autovacuum_naptime", "1s")
        .sql(&format!(
            "CREATE SCHEMA work; GRANT USAGE ON SCHEMA work TO PUBLIC; GRANT CREATE ON SCHEMA work TO readonly, {PERSON}, sym_graveyard;
             CREATE SEQUENCE public.seen MINVALUE 0; GRANT ALL ON public.seen TO PUBLIC"
        ))
}

/// A table whose index calls a function that goes on, with what it may, in a worker alone.
fn going_on(act: &str) -> String {
    format!(
        "CREATE TABLE work.made (id int);
         CREATE FUNCTION work.going_on() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             IF session_user <> current_user THEN LOOP
                 BEGIN {act}; PERFORM pg_sleep(0.05); EXCEPTION WHEN query_canceled THEN NULL; END;
             END LOOP; END IF; END $$;
         CREATE FUNCTION work.made_of(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
             PERFORM work.going_on(); RETURN id; END $$;
         CREATE INDEX ON work.made (work.made_of(id));
         INSERT INTO work.made SELECT generate_series(1, 200)"
    )
}

/// Waits for the worker, behind which no other comes.
async fn at_work(world: &World, session: &Client) -> anyhow::Result<()> {
    // Before 15 what a session has done is counted with what it does next, if that is later.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    session.batch_execute("SELECT 1").await?;
    world
        .wait_until(
            "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
             WHERE l.relation = 'work.made'::regclass AND a.usesysid IS NULL",
        )
        .await?;
    world.sql("ALTER SYSTEM SET autovacuum = off").await?;
    world.sql("SELECT pg_reload_conf()").await
}

const END_IT: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'";

/// Whether the bot may end workers of autovacuum: since 18 what `setup-sql` prints lets it.
async fn can_end_workers(world: &World) -> anyhow::Result<bool> {
    let may = format!(
        "SELECT coalesce(pg_has_role('{BOT}', to_regrole('pg_signal_autovacuum_worker'), 'USAGE'), false)"
    );
    let can = world.query(&may).await?.as_deref() == Some("true");
    let version = world
        .query("SELECT current_setting('server_version_num')")
        .await?;
    ensure!(can == (version.unwrap_or_default().parse::<u32>()? >= 180_000));
    Ok(can)
}

#[tokio::test]
async fn a_role_that_a_worker_uses_is_not_said_to_have_ended() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let person = world.login(PERSON, &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    person
        .batch_execute(&going_on(
            "PERFORM setval('public.seen', (SELECT max(id) FROM public.orders))",
        ))
        .await?;
    at_work(&world, &person).await?;
    let answer = world.send(&event.end()).await?;
    if can_end_workers(&world).await? {
        ensure!(answer["errors"] == serde_json::json!([]), "{answer}");
    } else {
        ensure!(
            answer.to_string().contains("autovacuum is at a table"),
            "{answer}"
        );
        ensure!(world.open_runs().await? == 1);
        let answer = world.send_text(SWEEP).await?;
        ensure!(
            answer.to_string().contains("autovacuum is at a table"),
            "{answer}"
        );
        world.query(END_IT).await?;
        ensure!(world.sweep().await? == 1);
    }
    ensure!(world.open_runs().await? == 0);
    world.sql("INSERT INTO orders VALUES (12345)").await?;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let seen = world.query("SELECT last_value FROM public.seen").await?;
    ensure!(seen.as_deref() != Some("12345"));
    Ok(())
}

/// A VACUUM, too: of an index that sums up its table block by block.
#[tokio::test]
async fn a_role_that_a_vacuum_uses_is_not_said_to_have_ended() -> anyhow::Result<()> {
    let world = world()
        .setting("autovacuum_vacuum_insert_threshold", "10")
        .setting("autovacuum_vacuum_insert_scale_factor", "0")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let person = world.login(PERSON, &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    let made = going_on("PERFORM setval('public.seen', (SELECT max(id) FROM public.orders))");
    let made = made
        .replace(
            "(id int);",
            "(id int) WITH (autovacuum_analyze_threshold = 100000000);",
        )
        .replace(
            "work.made (work.made_of(id))",
            "work.made USING brin (work.made_of(id)) WITH (pages_per_range = 1)",
        )
        .replace("(1, 200)", "(1, 3000)");
    person.batch_execute(&made).await?;
    at_work(&world, &person).await?;
    let answer = world.send(&event.end()).await?;
    if can_end_workers(&world).await? {
        ensure!(answer["errors"] == serde_json::json!([]), "{answer}");
    } else {
        ensure!(
            answer.to_string().contains("autovacuum is at a table"),
            "{answer}"
        );
        world.query(END_IT).await?;
        ensure!(world.sweep().await? == 1);
    }
    ensure!(world.open_runs().await? == 0);
    Ok(())
}

/// The row of the user is locked, so nobody can take its login.
#[tokio::test]
async fn a_login_that_a_worker_keeps_is_named() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(&going_on(
            "EXECUTE format('ALTER ROLE %I PASSWORD %L', current_user, 'mine'); PERFORM pg_sleep(100)",
        ))
        .await?;
    at_work(&world, &leaver.session).await?;
    let answer = world.send(&leaver.event.end()).await?;
    if can_end_workers(&world).await? {
        ensure!(answer["errors"] == serde_json::json!([]), "{answer}");
    } else {
        ensure!(answer.to_string().contains("can still log in"), "{answer}");
        ensure!(answer.to_string().contains("autovacuum"), "{answer}");
        world.query(END_IT).await?;
        ensure!(world.sweep().await? == 1);
    }
    ensure!(world.login(&leaver.user, &leaver.password).await.is_err());
    ensure!(!world.role_exists(&leaver.user).await?);
    Ok(())
}
