//! What the server runs by itself with the rights of a table's owner is not handed on to
//! `sym_graveyard`, which owns what all others left.

use anyhow::ensure;

use crate::fixture::{Event, World};
use crate::foreign_keys::world;
use crate::held_open::{stranger, temporary_user};

/// A function that says it is immutable, and notes as whom it runs.
const NOTING: &str = "CREATE FUNCTION work.note() RETURNS int LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO work.notes VALUES (current_user); RETURN 1; END $$;
     CREATE FUNCTION work.noting(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN work.note(); END $$;
     CREATE FUNCTION work.noting(a int, b int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN work.note(); END $$;";

/// As whom anything ran, besides the superuser.
async fn runs_as(world: &World) -> anyhow::Result<Option<String>> {
    let notes =
        "SELECT string_agg(DISTINCT runs_as, ',') FROM work.notes WHERE runs_as <> 'postgres'";
    world.query(notes).await
}

#[tokio::test]
async fn an_index_and_statistics_compute_nothing_after_the_end() -> anyhow::Result<()> {
    let world = world().start().await?;
    let statistics = match world.postgres.install().major {
        ..14 => "",
        _ => "CREATE STATISTICS work.counted ON (work.noting(id)) FROM work.made;",
    };
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    session
        .batch_execute(&format!(
            "{NOTING} CREATE TABLE work.made (id int);
             INSERT INTO work.made SELECT * FROM generate_series(1, 20);
             CREATE INDEX ON work.made (work.noting(id)); CREATE INDEX kept ON work.made (id);
             CREATE INDEX ON work.made (id) WHERE work.noting(id) > 0; {statistics}
             CREATE TABLE work.ranges (id int4range, EXCLUDE USING gist (id WITH &&) WHERE (NOT isempty(id)))"
        ))
        .await?;
    world.sql("TRUNCATE work.notes; ANALYZE work.made").await?;
    ensure!(runs_as(&world).await?.as_deref() == Some(user.as_str()));

    world.body(&event.end()).await?;
    let owned = "SELECT string_agg(c.oid::regclass::text, ', ' ORDER BY c.relname) FROM pg_class c
        WHERE c.relowner = 'sym_graveyard'::regrole AND c.relnamespace = 'work'::regnamespace";
    let owned = world.query(owned).await?;
    ensure!(
        owned.as_deref() == Some("work.kept, work.made, work.ranges"),
        "{owned:?}"
    );
    world.sql("TRUNCATE work.notes; ANALYZE work.made").await?;
    let runs_as = runs_as(&world).await?;
    ensure!(runs_as.is_none(), "{runs_as:?}");
    Ok(())
}

/// Otherwise somebody's own cast would run when they refer to it, even after the end.
#[tokio::test]
async fn nobody_refers_to_what_a_leaver_left() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (_, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    session
        .batch_execute(
            "CREATE TABLE work.key (id int PRIMARY KEY);
             GRANT REFERENCES (id), SELECT ON work.key TO stranger",
        )
        .await?;
    world.body(&event.end()).await?;
    let refer = "CREATE TABLE work.mine (id int REFERENCES work.key)";
    let refused = stranger.batch_execute(refer).await;
    let code = refused.err().and_then(|error| error.code().cloned());
    ensure!(
        code.as_ref().is_some_and(|code| code.code() == "42501"),
        "{code:?}"
    );
    // What runs nothing is left as it was.
    stranger.batch_execute("SELECT * FROM work.key").await?;
    Ok(())
}

/// What its ANALYZE runs can't be taken away: it stays with a user that can do nothing.
#[tokio::test]
async fn what_can_not_be_disarmed_stays_and_is_named() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    session
        .batch_execute(&format!(
            "{NOTING} CREATE TYPE work.span AS RANGE (subtype = int4, subtype_diff = work.noting);
             CREATE TABLE work.spans (span work.span); CREATE TABLE work.plain (id int)"
        ))
        .await?;
    let answer = world.send(&event.end()).await?.to_string();
    ensure!(answer.contains("[access-remains]"), "{answer}");
    let logs = world.lambda.logs();
    ensure!(logs.contains("rights of its owner: work.spans"), "{logs}");
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'work.spans'::regclass";
    ensure!(world.query(owner).await?.as_deref() == Some(user.as_str()));
    let may_log_in = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{user}'");
    ensure!(world.query(&may_log_in).await?.as_deref() == Some("false"));
    world.sql("DROP TABLE work.spans").await?;
    ensure!(world.sweep().await? == 1);
    Ok(())
}

/// An index that its owner makes computes, of each partition, as who owns that.
#[tokio::test]
async fn a_partition_of_somebody_elses_table_stays() -> anyhow::Result<()> {
    let world = world()
        .sql("CREATE TABLE work.parent (id int) PARTITION BY LIST (id)")
        .start()
        .await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    session
        .batch_execute("CREATE TABLE work.part (id int)")
        .await?;
    world
        .sql("ALTER TABLE work.parent ATTACH PARTITION work.part DEFAULT")
        .await?;
    let answer = world.send(&event.end()).await?.to_string();
    ensure!(answer.contains("[access-remains]"), "{answer}");
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = 'work.part'::regclass";
    ensure!(world.query(owner).await?.as_deref() == Some(user.as_str()));
    world
        .sql("ALTER TABLE work.parent DETACH PARTITION work.part")
        .await?;
    ensure!(world.sweep().await? == 1);
    ensure!(world.query(owner).await?.as_deref() == Some("sym_graveyard"));
    Ok(())
}

/// What people make is nothing of the kind.
#[tokio::test]
async fn types_that_compute_nothing_are_in_nobodys_way() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    session
        .batch_execute(
            "CREATE TYPE work.mood AS ENUM ('sad', 'happy'); CREATE DOMAIN work.moods AS work.mood;
             CREATE DOMAIN work.few AS work.moods CHECK (VALUE::text <> 'sad');
             CREATE TYPE work.span AS RANGE (subtype = float8, subtype_diff = float8mi);
             CREATE TABLE work.made (mood work.mood, few work.few, span work.span)",
        )
        .await?;
    world.body(&event.end()).await?;
    ensure!(!world.role_exists(&user).await?);
    Ok(())
}
