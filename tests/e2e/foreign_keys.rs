//! A foreign key runs statements as the owner of one of its tables, for whoever changes
//! the other one: what a leaver's tables had would run what people wrote as
//! `sym_graveyard`, which owns what all others left.

use anyhow::ensure;
use tokio_postgres::Client;

use crate::fixture::{Builder, Event, World};
use crate::held_open::{stranger, temporary_user};

/// What was run notes as whom.
pub(crate) fn world() -> Builder {
    World::builder().sql(
        "CREATE SCHEMA work; GRANT CREATE, USAGE ON SCHEMA work TO PUBLIC; GRANT CREATE ON SCHEMA work TO sym_graveyard;
         CREATE TABLE work.notes (runs_as name); GRANT INSERT ON work.notes TO PUBLIC",
    )
}

/// A trigger of this table's that notes as whom it runs.
fn noting(table: &str) -> String {
    format!(
        "CREATE FUNCTION work.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             INSERT INTO work.notes VALUES (current_user); RETURN OLD; END $$;
         CREATE TRIGGER note BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION work.note()"
    )
}

/// As the leaver it ran; when that is gone, nothing runs as who has its things.
async fn ends_with_the_leaver(
    world: &World,
    event: &Event,
    user: &str,
    stranger: &Client,
    attack: &str,
) -> anyhow::Result<()> {
    stranger.batch_execute(&attack.replace("{}", "1")).await?;
    let notes =
        "SELECT string_agg(DISTINCT runs_as, ',') FROM work.notes WHERE runs_as <> 'stranger'";
    let runs_as = world.query(notes).await?;
    ensure!(runs_as.as_deref() == Some(user), "{runs_as:?}: {attack}");

    world.body(&event.end()).await?;
    // It may be refused, or do what needs nobody else.
    let _ = stranger.batch_execute(&attack.replace("{}", "2")).await;
    let runs_as = world.query(notes).await?;
    ensure!(runs_as.as_deref() == Some(user), "{runs_as:?}: {attack}");
    let keys = "SELECT string_agg(conname || ' on ' || conrelid::regclass, ', ') FROM pg_constraint k
        WHERE contype = 'f' AND EXISTS (SELECT FROM pg_class c WHERE c.oid IN (k.conrelid, k.confrelid)
                                        AND c.relowner = 'sym_graveyard'::regrole)";
    let keys = world.query(keys).await?;
    ensure!(keys.is_none(), "{keys:?} is left: {attack}");
    Ok(())
}

#[tokio::test]
async fn a_key_of_somebody_elses_runs_no_trigger_of_a_leavers_table() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    stranger
        .batch_execute(&format!(
            "CREATE TABLE work.key (id int PRIMARY KEY); INSERT INTO work.key VALUES (1), (2);
             GRANT REFERENCES, SELECT ON work.key TO {user}"
        ))
        .await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE work.hanging (id int REFERENCES work.key ON DELETE CASCADE); {};
             INSERT INTO work.hanging VALUES (1), (2)",
            noting("work.hanging")
        ))
        .await?;
    // What is granted to it by others would keep it from being dropped.
    let revoke = format!("REVOKE ALL ON work.key FROM {user}");
    stranger.batch_execute(&revoke).await?;
    let attack = "DELETE FROM work.key WHERE id = {}";
    ends_with_the_leaver(&world, &event, &user, &stranger, attack).await
}

/// Who deletes from the parent needs no right to the child, which has the key.
#[tokio::test]
async fn a_parent_without_any_trigger_leads_to_none() -> anyhow::Result<()> {
    for tables in [
        "CREATE TABLE work.parent (id int); CREATE TABLE work.key (PRIMARY KEY (id)) INHERITS (work.parent)",
        "CREATE TABLE work.parent (id int) PARTITION BY LIST (id);
         CREATE TABLE work.key PARTITION OF work.parent (PRIMARY KEY (id)) DEFAULT",
    ] {
        let world = world().start().await?;
        let event = Event::escalate_temporary_user();
        let (user, _, session) = temporary_user(&world, &event).await?;
        let stranger = stranger(&world).await?;
        session
            .batch_execute(&format!(
                "{tables}; CREATE TABLE work.hanging (id int REFERENCES work.key ON DELETE CASCADE); {};
                 INSERT INTO work.key VALUES (1), (2); INSERT INTO work.hanging VALUES (1), (2);
                 GRANT SELECT, DELETE ON work.parent TO PUBLIC",
                noting("work.hanging")
            ))
            .await?;
        let attack = "DELETE FROM work.parent WHERE id = {}";
        ends_with_the_leaver(&world, &event, &user, &stranger, attack).await?;
    }
    Ok(())
}

/// A key of a partitioned table's is one of each partition's too, which can't be dropped by
/// itself.
#[tokio::test]
async fn no_key_of_a_partitioned_table_is_left() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    session
        .batch_execute(&format!(
            "CREATE TABLE work.key (id int, PRIMARY KEY (id)) PARTITION BY LIST (id);
             CREATE TABLE work.keys PARTITION OF work.key DEFAULT;
             CREATE TABLE work.hanging (id int REFERENCES work.key ON DELETE CASCADE) PARTITION BY LIST (id);
             CREATE TABLE work.hangings PARTITION OF work.hanging DEFAULT; {};
             ALTER TABLE work.key ADD CONSTRAINT itself FOREIGN KEY (id) REFERENCES work.key;
             INSERT INTO work.key VALUES (1), (2); INSERT INTO work.hanging VALUES (1), (2);
             GRANT SELECT, DELETE ON work.key TO PUBLIC",
            noting("work.hangings")
        ))
        .await?;
    let attack = "DELETE FROM work.key WHERE id = {}";
    ends_with_the_leaver(&world, &event, &user, &stranger, attack).await
}

/// It goes with the topmost one.
#[tokio::test]
async fn no_key_of_a_partition_is_left() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (_, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    session
        .batch_execute(
            "CREATE TABLE work.key (id int, PRIMARY KEY (id)) PARTITION BY LIST (id);
             CREATE TABLE work.keys PARTITION OF work.key DEFAULT; INSERT INTO work.key VALUES (1);
             GRANT REFERENCES, SELECT ON work.keys TO stranger",
        )
        .await?;
    stranger
        .batch_execute("CREATE TABLE work.mine (id int REFERENCES work.keys)")
        .await?;
    world.body(&event.end()).await?;
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conrelid = 'work.mine'::regclass";
    assert_eq!(world.query(keys).await?.as_deref(), Some("0"));
    Ok(())
}

/// It is there when the transaction is over that the move has waited for.
#[tokio::test]
async fn no_key_comes_in_between() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    // With a trigger already, nothing else waits for the table's row.
    session
        .batch_execute(&format!(
            "CREATE TABLE work.key (id int PRIMARY KEY); {};
             GRANT REFERENCES, SELECT ON work.key TO stranger",
            noting("work.key")
        ))
        .await?;
    stranger
        .batch_execute("BEGIN; CREATE TABLE work.mine (id int REFERENCES work.key)")
        .await?;
    let end = event.end();
    let ended = world.send(&end);
    let committed = async {
        let waits = "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.usename = 'sym_bot' AND NOT l.granted AND l.relation = 'work.key'::regclass
                AND clock_timestamp() > a.query_start + interval '200 ms'";
        world.wait_until(waits).await?;
        anyhow::Ok(stranger.batch_execute("COMMIT").await?)
    };
    tokio::pin!(ended);
    let answer = tokio::select! {
        answer = &mut ended => answer?,
        committed = committed => { committed?; ended.await? }
    };
    let owner = "SELECT pg_get_userbyid(relowner) FROM pg_class c WHERE oid = 'work.key'::regclass
        AND EXISTS (SELECT FROM pg_constraint WHERE confrelid = c.oid)";
    let owner = world.query(owner).await?;
    ensure!(owner.is_none_or(|owner| owner == user), "{answer}");
    // It may have been too late for it.
    let _ = stranger.batch_execute("ROLLBACK").await;
    world.send(&end).await?;
    ensure!(!world.role_exists(&user).await?);
    Ok(())
}

/// Somebody else's view is not dropped with the key that it stands on, or a partition's.
#[tokio::test]
async fn what_else_stands_on_a_key_stays_and_is_in_the_way() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (_, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    session
        .batch_execute(
            "CREATE TABLE work.key (id int PRIMARY KEY, text text) PARTITION BY LIST (id);
             CREATE TABLE work.part PARTITION OF work.key DEFAULT;
             GRANT REFERENCES, SELECT ON work.key, work.part TO stranger",
        )
        .await?;
    stranger
        .batch_execute(
            "CREATE VIEW work.mine AS SELECT id, text FROM work.part GROUP BY id;
             CREATE TABLE work.hanging (id int REFERENCES work.key)",
        )
        .await?;
    let answer = world.send(&event.end()).await?.to_string();
    ensure!(answer.contains("[access-remains]"), "{answer}");
    stranger.batch_execute("DROP VIEW work.mine").await?;
    ensure!(world.sweep().await? == 1);
    Ok(())
}

/// Looking for the key runs a cast of the other table's owner.
#[tokio::test]
async fn a_key_that_a_leaver_left_looks_nothing_up() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate_temporary_user();
    let (user, _, session) = temporary_user(&world, &event).await?;
    let stranger = stranger(&world).await?;
    session
        .batch_execute(
            "CREATE TABLE work.key (id int PRIMARY KEY); INSERT INTO work.key VALUES (1), (2);
             GRANT REFERENCES, SELECT ON work.key TO stranger",
        )
        .await?;
    stranger
        .batch_execute(
            "CREATE TYPE work.word AS ENUM ('1', '2');
             CREATE FUNCTION work.number(word work.word) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO work.notes VALUES (current_user); RETURN enum_out(word)::text::int; END $$;
             CREATE CAST (work.word AS int) WITH FUNCTION work.number(work.word) AS IMPLICIT;
             CREATE TABLE work.mine (word work.word REFERENCES work.key)",
        )
        .await?;
    let attack = "INSERT INTO work.mine VALUES ('{}')";
    ends_with_the_leaver(&world, &event, &user, &stranger, attack).await
}
