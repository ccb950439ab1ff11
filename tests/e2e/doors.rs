//! What a temporary user made by a right that PostgreSQL asks for when it is made, and never
//! again: it goes, or nobody uses it.

use anyhow::ensure;

use crate::fixture::{Builder, SWEEP, World};
use crate::heirs::world;

/// A function of a superuser's that notes who has called it, and that only who has `readonly`
/// may have a trigger call.
pub(crate) fn world_with_a_bell() -> Builder {
    world().sql(
        "CREATE FUNCTION noting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
             INSERT INTO work.notes VALUES ('trigger', current_user); RETURN NEW; END $$;
         REVOKE EXECUTE ON FUNCTION noting() FROM PUBLIC; GRANT EXECUTE ON FUNCTION noting() TO readonly",
    )
}

/// How often it was called.
pub(crate) async fn rung(world: &World) -> anyhow::Result<String> {
    let notes = world.query("SELECT count(*) FROM work.notes").await?;
    Ok(notes.unwrap_or_default())
}

/// PostgreSQL asks for these rights when something is made, and never again.
#[tokio::test]
async fn what_was_made_with_a_right_that_ended_goes() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql(
            "CREATE TABLE people (id int PRIMARY KEY); INSERT INTO people VALUES (1), (2);
             GRANT REFERENCES ON people TO readonly;
             CREATE SCHEMA private; GRANT USAGE ON SCHEMA private TO readonly;
             CREATE FUNCTION private.noting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO work.notes VALUES ('private', current_user); RETURN NEW; END $$;
             CREATE TABLE everybodys (id int PRIMARY KEY, other int); GRANT REFERENCES (id) ON everybodys TO PUBLIC;
             CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
             GRANT USAGE ON FOREIGN SERVER elsewhere TO readonly; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO readonly",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.referring (id int REFERENCES public.people); GRANT INSERT ON work.referring TO PUBLIC;
             CREATE TABLE work.ringing (id int); GRANT INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE TRIGGER private BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION private.noting();
             CREATE TRIGGER everybodys BEFORE UPDATE ON work.ringing
                 FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
             CREATE FOREIGN TABLE work.door (id int) SERVER elsewhere;
             CREATE SERVER mine FOREIGN DATA WRAPPER elsewhere; CREATE USER MAPPING FOR PUBLIC SERVER mine;
             CREATE FOREIGN TABLE work.other_door (id int) SERVER mine; GRANT USAGE ON FOREIGN SERVER mine TO PUBLIC;
             CREATE TABLE work.referring_too (id int REFERENCES public.everybodys);
             CREATE TABLE work.of_its_own (id int PRIMARY KEY REFERENCES work.of_its_own)",
        )
        .await?;
    stranger
        .batch_execute("INSERT INTO work.ringing VALUES (1)")
        .await?;
    ensure!(rung(&world).await? == "2");

    world.end_removes(&leaver).await?;
    // It is no oracle of who there is, and nobody's row is kept.
    world
        .sql("INSERT INTO work.referring VALUES (1), (3); INSERT INTO work.ringing VALUES (2); DELETE FROM people")
        .await?;
    stranger
        .batch_execute("INSERT INTO work.ringing VALUES (3)")
        .await?;
    ensure!(rung(&world).await? == "2");
    let left = "SELECT string_agg(what, ', ' ORDER BY what) FROM (
        SELECT relname FROM pg_class WHERE relnamespace = 'work'::regnamespace AND relkind IN ('r', 'f')
        UNION ALL SELECT conname FROM pg_constraint WHERE contype = 'f'
        UNION ALL SELECT srvname FROM pg_foreign_server
        UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal) AS left_there (what)";
    let left = world.query(left).await?;
    let kept = "elsewhere, everybodys, notes, of_its_own, of_its_own_id_fkey, referring, referring_too, \
                referring_too_id_fkey, ringing";
    ensure!(left.as_deref() == Some(kept), "{left:?}");
    Ok(())
}

/// Whoever reads a table keeps its trigger from being dropped, and nobody else is to ring it.
#[tokio::test]
async fn what_can_not_be_dropped_is_used_by_nobody() -> anyhow::Result<()> {
    let world = world_with_a_bell().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT, INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE FUNCTION work.ring() RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO work.ringing VALUES (1)'",
        )
        .await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    for ring in ["INSERT INTO work.ringing VALUES (1)", "SELECT work.ring()"] {
        ensure!(again.batch_execute(ring).await.is_err(), "{ring}");
    }
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await
}

/// A key that is there when the transaction is over that the move has waited for.
#[tokio::test]
async fn no_key_comes_in_between() -> anyhow::Result<()> {
    let world = world()
        .sql("CREATE TABLE people (id int PRIMARY KEY); GRANT REFERENCES ON people TO readonly")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.referring (id int);
             CREATE FUNCTION work.refer() RETURNS void LANGUAGE sql SECURITY DEFINER
                 AS 'ALTER TABLE work.referring ADD FOREIGN KEY (id) REFERENCES public.people'",
        )
        .await?;
    stranger.batch_execute("BEGIN; SELECT work.refer()").await?;
    let end = leaver.event.end();
    let ended = world.send(&end);
    let committed = async {
        let waits = "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE a.usename = 'sym_bot' AND NOT l.granted AND l.relation = 'work.referring'::regclass";
        world.wait_until(waits).await?;
        anyhow::Ok(stranger.batch_execute("COMMIT").await?)
    };
    tokio::pin!(ended);
    let answer = tokio::select! {
        answer = &mut ended => answer?,
        committed = committed => { committed?; ended.await? }
    };
    let owned = "SELECT count(*) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype = 'f' AND pg_get_userbyid(c.relowner) <> 'SESSION'";
    let owned = owned.replace("SESSION", &leaver.user);
    ensure!(
        world.query(&owned).await?.as_deref() == Some("0"),
        "{answer}"
    );
    if world.role_exists(&leaver.user).await? {
        ensure!(world.sweep().await? == 1, "{answer}");
    }
    let keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'";
    ensure!(world.query(keys).await?.as_deref() == Some("0"), "{answer}");
    Ok(())
}

/// Nobody may look into the schema but who was told so.
#[tokio::test]
async fn what_is_held_reads_nothing_in_a_schema_of_few() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO readonly, sym_graveyard;
             CREATE ROLE looking; GRANT USAGE ON SCHEMA work TO looking",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let another = world.leaver().await?;
    let stranger = world.stranger().await?;
    world.sql("GRANT looking TO stranger").await?;
    another
        .session
        .batch_execute(&format!(
            "CREATE TABLE work.secret (id int); GRANT SELECT ON work.secret TO {user}"
        ))
        .await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.own (id int); CREATE VIEW work.seen AS SELECT * FROM work.secret;
             GRANT SELECT ON work.own, work.seen TO stranger",
        )
        .await?;
    world.body(&another.event.end()).await?;
    stranger.batch_execute("SELECT FROM work.seen").await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.own")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    ensure!(again.batch_execute("SELECT FROM work.seen").await.is_err());
    stranger.batch_execute("ROLLBACK").await?;
    ensure!(world.sweep().await? == 1);
    world.ledger_agrees().await
}

/// Who holds what keeps the door from being dropped uses what the leaver made through what is
/// its own: keys to it, and triggers that call it.
#[tokio::test]
async fn what_can_not_be_dropped_runs_with_nobodys_rights() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql("CREATE FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO readonly")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world
        .sql("CREATE SCHEMA strangers AUTHORIZATION stranger; GRANT USAGE ON SCHEMA strangers TO PUBLIC")
        .await?;
    stranger
        .batch_execute(
            "CREATE TABLE strangers.key (id int PRIMARY KEY); GRANT REFERENCES ON strangers.key TO PUBLIC;
             INSERT INTO strangers.key SELECT generate_series(1, 9);
             CREATE TABLE strangers.own (id int)",
        )
        .await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.hanging (id int REFERENCES strangers.key ON UPDATE CASCADE);
             INSERT INTO work.hanging SELECT generate_series(1, 9); GRANT SELECT ON work.hanging TO PUBLIC;
             CREATE TRIGGER ring BEFORE UPDATE ON work.hanging FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE TABLE work.ringing (id int); GRANT SELECT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE FUNCTION work.passing_on() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 INSERT INTO work.ringing VALUES (1); RETURN NEW; END $$;
             CREATE SERVER mine FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN SERVER mine TO PUBLIC",
        )
        .await?;
    stranger
        .batch_execute(
            "CREATE TRIGGER ring BEFORE INSERT ON strangers.own FOR EACH ROW EXECUTE FUNCTION work.passing_on();
             CREATE FOREIGN TABLE strangers.through (id int) SERVER mine",
        )
        .await?;
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    let insert = "INSERT INTO strangers.own VALUES (1)";
    for statement in ["UPDATE strangers.key SET id = id + 10 WHERE id = 1", insert] {
        again.batch_execute(statement).await?;
    }
    ensure!(rung(&world).await? == "2");
    stranger
        .batch_execute(
            "BEGIN; SELECT FROM work.hanging, work.ringing; COMMENT ON FOREIGN TABLE strangers.through IS NULL",
        )
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    for statement in [
        "UPDATE strangers.key SET id = id + 10 WHERE id = 2",
        insert,
        "CREATE FOREIGN TABLE strangers.another (id int) SERVER mine",
    ] {
        let outcome = again.batch_execute(statement).await;
        let denied = outcome.err().and_then(|error| error.code().cloned());
        ensure!(
            denied.as_ref().map(|code| code.code()) == Some("42501"),
            "{statement}: {denied:?}"
        );
    }
    ensure!(rung(&world).await? == "2");
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await?;
    world.ledger_agrees().await
}

/// There is no time to close all that it made.
#[tokio::test]
async fn doors_are_dropped_before_anything_is_closed() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql("DO $$ BEGIN FOR n IN 1..100 LOOP EXECUTE format('CREATE ROLE colleague_%s', n); END LOOP; END $$")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting()",
        )
        .await?;
    leaver.session
        .batch_execute(
            "DO $$ DECLARE colleagues text := (SELECT string_agg('colleague_' || n, ', ') FROM generate_series(1, 100) n);
             BEGIN FOR n IN 1..6000 LOOP
                 EXECUTE format('CREATE FUNCTION work.f%s() RETURNS int LANGUAGE sql SECURITY DEFINER AS ''SELECT 1''', n);
                 EXECUTE format('GRANT EXECUTE ON FUNCTION work.f%s() TO %s', n, colleagues);
                 IF n % 200 = 0 THEN COMMIT; END IF;
             END LOOP; END $$",
        )
        .await?;
    world.send(&leaver.event.end()).await?;
    let doors = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    ensure!(world.query(doors).await?.as_deref() == Some("0"));
    for _ in 0..4 {
        world.send(&leaver.event.end()).await?;
    }
    ensure!(!world.role_exists(&leaver.user).await?);
    world.ledger_agrees().await
}

/// Only when it is part of none any more, it can be dropped.
#[tokio::test]
async fn a_door_that_was_made_part_of_an_extension_goes() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
             GRANT USAGE ON FOREIGN SERVER elsewhere TO readonly; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO readonly;
             GRANT CREATE ON DATABASE app TO readonly, sym_graveyard",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(
            "CREATE FOREIGN TABLE work.door (id int) SERVER elsewhere; CREATE SERVER mine FOREIGN DATA WRAPPER elsewhere;
             CREATE EXTENSION hstore SCHEMA work;
             ALTER EXTENSION hstore ADD FOREIGN TABLE work.door; ALTER EXTENSION hstore ADD SERVER mine",
        )
        .await?;
    world.end_removes(&leaver).await?;
    let left = "SELECT count(*) FROM pg_foreign_table";
    ensure!(world.query(left).await?.as_deref() == Some("0"));
    let left = "SELECT string_agg(srvname, ', ') FROM pg_foreign_server";
    ensure!(world.query(left).await?.as_deref() == Some("elsewhere"));
    world.ledger_agrees().await
}

/// Its function is called by an ANALYZE, too, with the rights of the table's owner.
#[tokio::test]
async fn what_is_closed_opens_itself_by_no_analyze() -> anyhow::Result<()> {
    let world = world_with_a_bell().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT, INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE TABLE work.made (id int);
             CREATE FUNCTION work.opening() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                 IF session_user <> current_user THEN GRANT ALL ON work.ringing TO PUBLIC; END IF; END $$;
             CREATE FUNCTION work.made_of(id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                 PERFORM work.opening(); RETURN id; END $$;
             CREATE INDEX ON work.made (work.made_of(id)); INSERT INTO work.made SELECT generate_series(1, 9)",
        )
        .await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    ensure!(world.sql("ANALYZE work.made").await.is_err());
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    let ring = "INSERT INTO work.ringing VALUES (1)";
    ensure!(again.batch_execute(ring).await.is_err());
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await?;
    // Nothing of it is broken for good.
    world.sql("ANALYZE work.made").await?;
    world.ledger_agrees().await
}

/// What was a SECURITY DEFINER function doesn't run with the rights of who calls it, either.
#[tokio::test]
async fn what_is_closed_runs_with_no_callers_rights() -> anyhow::Result<()> {
    let world = world_with_a_bell().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE FUNCTION work.helper() RETURNS int LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
                 IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
                     ALTER ROLE stranger SUPERUSER; END IF;
                 RETURN 1; END $$",
        )
        .await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    ensure!(world.sql("SELECT work.helper()").await.is_err());
    let is_super = "SELECT rolsuper FROM pg_roles WHERE rolname = 'stranger'";
    ensure!(world.query(is_super).await?.as_deref() == Some("false"));
    stranger.batch_execute("ROLLBACK").await?;
    ensure!(world.sweep().await? == 1);
    world.sql("SELECT work.helper()").await?;
    ensure!(world.query(is_super).await?.as_deref() == Some("false"));
    Ok(())
}

/// A key to it is somebody else's, too: they are to go on with what is theirs.
#[tokio::test]
async fn what_was_closed_keeps_nobody_from_what_is_theirs() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql(
            "CREATE TABLE everybodys (id int PRIMARY KEY); INSERT INTO everybodys SELECT generate_series(1, 9);
             GRANT REFERENCES ON everybodys TO PUBLIC",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting();
             CREATE TABLE work.referring (id int REFERENCES public.everybodys)",
        )
        .await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    stranger.batch_execute("ROLLBACK").await?;
    ensure!(world.sweep().await? == 1);
    world.sql("DELETE FROM everybodys WHERE id = 1").await
}

/// USAGE is asked for where a foreign table is made, and not where it is read.
#[tokio::test]
async fn a_server_that_can_not_be_dropped_lets_nobody_through() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO readonly;
             CREATE SCHEMA strangers",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world
        .sql("ALTER SCHEMA strangers OWNER TO stranger")
        .await?;
    leaver.session
        .batch_execute(
            "CREATE SERVER mine FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN SERVER mine TO PUBLIC;
             CREATE USER MAPPING FOR PUBLIC SERVER mine OPTIONS (password 'elsewhere');
             CREATE USER MAPPING FOR CURRENT_USER SERVER mine OPTIONS (password 'elsewhere')",
        )
        .await?;
    for statements in [
        "CREATE FOREIGN TABLE strangers.through (id int) SERVER mine",
        "BEGIN; COMMENT ON FOREIGN TABLE strangers.through IS NULL",
    ] {
        stranger.batch_execute(statements).await?;
    }
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let mappings = "SELECT count(*) FROM pg_user_mappings";
    ensure!(world.query(mappings).await?.as_deref() == Some("0"));
    stranger.batch_execute("ROLLBACK").await?;
    ensure!(world.sweep().await? == 1);
    world.ledger_agrees().await
}

/// With one part of an extension all of it would go, and what others have built on it.
#[tokio::test]
async fn no_extension_goes_with_what_the_leaver_made() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN DATA WRAPPER elsewhere TO readonly;
             GRANT CREATE ON SCHEMA work TO PUBLIC; GRANT CREATE ON DATABASE app TO PUBLIC; CREATE TABLE team (id int)",
        )
        .start()
        .await?;
    let stranger = world.stranger().await?;
    let is_there = "SELECT (SELECT count(*) FROM team WHERE tags IS NOT NULL) + count(*)
        FROM pg_extension WHERE extname = 'hstore'";
    // Of the leaver's own it may be taken out, of the stranger's not.
    for is_strangers in [false, true] {
        let leaver = world.leaver().await?;
        leaver.session
            .batch_execute(
                "CREATE SERVER mine FOREIGN DATA WRAPPER elsewhere; GRANT USAGE ON FOREIGN SERVER mine TO PUBLIC",
            )
            .await?;
        let extension = if is_strangers {
            &stranger
        } else {
            &leaver.session
        };
        extension
            .batch_execute(
                "CREATE EXTENSION hstore SCHEMA work; CREATE FOREIGN TABLE work.part (id int) SERVER mine;
                 CREATE VIEW work.of_part AS SELECT * FROM work.part;
                 ALTER EXTENSION hstore ADD FOREIGN TABLE work.part; ALTER EXTENSION hstore ADD VIEW work.of_part",
            )
            .await?;
        world
            .sql(
                "ALTER TABLE team ADD COLUMN tags work.hstore; INSERT INTO team VALUES (1, 'a=>b')",
            )
            .await?;
        let answer = world.send(&leaver.event.end()).await?.to_string();
        ensure!(
            world.query(is_there).await?.as_deref() == Some("2"),
            "{answer}"
        );
        if is_strangers {
            ensure!(answer.contains("could not be dropped"), "{answer}");
            stranger
                .batch_execute("ALTER EXTENSION hstore DROP VIEW work.of_part; ALTER EXTENSION hstore DROP FOREIGN TABLE work.part")
                .await?;
            ensure!(world.sweep().await? == 1);
        }
        ensure!(!world.role_exists(&leaver.user).await?, "{answer}");
        ensure!(world.query(is_there).await?.as_deref() == Some("2"));
        world
            .sql("DROP EXTENSION hstore CASCADE; TRUNCATE team")
            .await?;
    }
    Ok(())
}

/// The server takes a table's own type for a part by itself.
#[tokio::test]
async fn no_extension_goes_with_the_type_of_a_table() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
             GRANT USAGE ON FOREIGN SERVER elsewhere TO readonly; GRANT CREATE ON SCHEMA work TO PUBLIC;
             GRANT CREATE ON DATABASE app TO PUBLIC; CREATE TABLE team (id int)",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(
            "CREATE EXTENSION hstore SCHEMA work; CREATE FOREIGN TABLE work.door (id int) SERVER elsewhere;
             ALTER EXTENSION hstore ADD TYPE work.door",
        )
        .await?;
    world
        .sql("ALTER TABLE team ADD COLUMN tags work.hstore; INSERT INTO team VALUES (1, 'a=>b')")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    let is_there = "SELECT count(*) FROM team WHERE tags IS NOT NULL";
    ensure!(
        world.query(is_there).await?.as_deref() == Some("1"),
        "{answer}"
    );
    if world.role_exists(&leaver.user).await? {
        ensure!(answer.contains("could not be dropped"), "{answer}");
        world
            .sql("ALTER EXTENSION hstore DROP TYPE work.door")
            .await?;
        ensure!(world.sweep().await? == 1);
    }
    ensure!(world.query(is_there).await?.as_deref() == Some("1"));
    Ok(())
}

/// Somebody else's key to a table holds the table's own entry in the catalogs, and the privilege
/// on it can't be taken.
#[tokio::test]
async fn what_waits_for_somebody_is_closed_until_it_is_taken() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE TABLE secret (id int PRIMARY KEY); INSERT INTO secret VALUES (42);
             GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             CREATE SCHEMA strangers",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    world
        .sql(&format!(
            "ALTER SCHEMA strangers OWNER TO stranger; GRANT REFERENCES ON secret TO stranger;
             SET ROLE sym_bot; GRANT SELECT ON secret TO {user}"
        ))
        .await?;
    // Nothing of theirs goes to an heir.
    let own =
        "GRANT USAGE ON SCHEMA strangers TO PUBLIC; GRANT CREATE ON SCHEMA strangers TO LEAVER";
    stranger.batch_execute(&own.replace("LEAVER", user)).await?;
    leaver.session
        .batch_execute("CREATE FUNCTION strangers.leak() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT id FROM public.secret'")
        .await?;
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    let leak = "SELECT strangers.leak()";
    again.batch_execute(leak).await?;
    stranger
        .batch_execute("BEGIN; CREATE TABLE strangers.mine (id int REFERENCES public.secret)")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    ensure!(again.batch_execute(leak).await.is_err());
    world.send_text(SWEEP).await?;
    ensure!(again.batch_execute(leak).await.is_err());
    // It is open again, and has nothing to read.
    stranger.batch_execute("ROLLBACK").await?;
    world.send_text(SWEEP).await?;
    ensure!(again.batch_execute(leak).await.is_err());
    let config = "SELECT proconfig IS NULL FROM pg_proc WHERE proname = 'leak'";
    ensure!(world.query(config).await?.as_deref() == Some("true"));
    Ok(())
}

/// What was closed for a privilege of the leaver's is its heir's, which has none.
#[tokio::test]
async fn what_was_moved_is_open_again() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE TABLE secret (id int PRIMARY KEY); GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             CREATE SCHEMA strangers",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    world
        .sql(&format!(
            "ALTER SCHEMA strangers OWNER TO stranger; GRANT REFERENCES ON secret TO stranger;
             SET ROLE sym_bot; GRANT SELECT ON secret TO {user}"
        ))
        .await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.parent (id int PRIMARY KEY); INSERT INTO work.parent VALUES (1), (2);
             GRANT REFERENCES ON work.parent TO PUBLIC",
        )
        .await?;
    stranger
        .batch_execute("CREATE TABLE strangers.child (id int REFERENCES work.parent)")
        .await?;
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    stranger
        .batch_execute("BEGIN; CREATE TABLE strangers.mine (id int REFERENCES public.secret)")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    again
        .batch_execute("INSERT INTO strangers.child VALUES (1)")
        .await?;
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await?;
    again
        .batch_execute("INSERT INTO strangers.child VALUES (2)")
        .await?;
    world.ledger_agrees().await
}

/// Since 17 `pg_maintain` may lock the catalogs.
#[tokio::test]
async fn who_locks_the_catalogs_keeps_no_privilege_and_no_door() -> anyhow::Result<()> {
    let world = world_with_a_bell().start().await?;
    if world.postgres.install().major < 17 {
        return Ok(());
    }
    world.postgres.create_database("other").await?;
    let setup = "CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO PUBLIC;
        CREATE TABLE public.secret (id int); GRANT SELECT ON public.secret TO sym_bot WITH GRANT OPTION";
    let other = world.postgres.admin_in("other").await?;
    other.batch_execute(setup).await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world.sql("GRANT pg_maintain TO stranger").await?;
    other
        .batch_execute(&format!(
            "SET ROLE sym_bot; GRANT SELECT ON public.secret TO {}",
            leaver.user
        ))
        .await?;
    let there = world
        .postgres
        .connect(&leaver.user, &leaver.password, "other")
        .await?;
    there
        .batch_execute("CREATE FUNCTION work.leak() RETURNS SETOF int LANGUAGE sql SECURITY DEFINER AS 'SELECT id FROM public.secret'")
        .await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT, INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting()",
        )
        .await?;
    let maintaining = world
        .postgres
        .connect("stranger", "stranger", "other")
        .await?;
    for session in [&stranger, &maintaining] {
        session
            .batch_execute(
                "BEGIN; LOCK TABLE pg_catalog.pg_class, pg_catalog.pg_proc IN SHARE MODE",
            )
            .await?;
    }
    world.send(&leaver.event.end()).await?;
    let again = world
        .postgres
        .connect("stranger", "stranger", "other")
        .await?;
    ensure!(again.batch_execute("SELECT work.leak()").await.is_err());
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    // It may be gone already.
    let _ = again
        .batch_execute("INSERT INTO work.ringing VALUES (1)")
        .await;
    ensure!(rung(&world).await? == "0");
    for session in [&stranger, &maintaining] {
        ensure!(session.batch_execute("SELECT 1").await.is_err());
    }
    Ok(())
}

/// What is held first keeps nothing from being closed.
#[tokio::test]
async fn who_holds_many_things_keeps_no_door_open() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql("CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE ROLE third")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "DO $$ BEGIN FOR n IN 1..600 LOOP
                 EXECUTE format('CREATE TABLE work.t%s (); CREATE TRIGGER t BEFORE INSERT ON work.t%1$s
                     FOR EACH ROW EXECUTE FUNCTION public.harmless(); GRANT SELECT ON work.t%1$s TO stranger WITH GRANT OPTION', n);
                 IF n % 50 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        )
        .await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.ringing (id int); GRANT SELECT, INSERT ON work.ringing TO PUBLIC;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting()",
        )
        .await?;
    let holding = world.login("stranger", "stranger").await;
    let holding = holding.map_err(anyhow::Error::msg)?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    holding
        .batch_execute(
            "BEGIN; DO $$ BEGIN FOR n IN 1..600 LOOP EXECUTE format('GRANT SELECT ON work.t%s TO third', n); END LOOP; END $$",
        )
        .await?;
    // One of them has time for it, in whatever order it looks.
    world.send(&leaver.event.end()).await?;
    let again = world.login("stranger", "stranger").await;
    let again = again.map_err(anyhow::Error::msg)?;
    for _ in 0..6 {
        let ring = "INSERT INTO work.ringing VALUES (1)";
        if again.batch_execute(ring).await.is_err() {
            return Ok(());
        }
        world.send_text(SWEEP).await?;
    }
    anyhow::bail!("it rings still")
}

/// A REVOKE of a table's privilege takes those of its columns that the grantee has, and none
/// that the grantee has granted.
#[tokio::test]
async fn a_column_that_was_passed_on_is_taken_with_its_table() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql(
            "CREATE ROLE owner; GRANT owner TO sym_bot; CREATE TABLE secret (id int, other int); ALTER TABLE secret OWNER TO owner;
             CREATE ROLE third; CREATE ROLE fourth; GRANT SELECT ON secret TO third WITH GRANT OPTION;
             SET ROLE third; GRANT SELECT (other) ON secret TO fourth; RESET ROLE",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    world
        .sql(&format!(
            "SET ROLE owner; GRANT SELECT ON secret TO {user} WITH GRANT OPTION"
        ))
        .await?;
    leaver.session
        .batch_execute(
            "GRANT SELECT (id) ON public.secret TO third; GRANT SELECT ON public.secret TO stranger WITH GRANT OPTION;
             CREATE TABLE work.ringing (id int); GRANT SELECT, INSERT ON work.ringing TO stranger WITH GRANT OPTION;
             CREATE TRIGGER ring BEFORE INSERT ON work.ringing FOR EACH ROW EXECUTE FUNCTION public.noting()",
        )
        .await?;
    stranger
        .batch_execute(
            "GRANT SELECT (other) ON public.secret TO third; GRANT SELECT (id), INSERT (id) ON work.ringing TO third",
        )
        .await?;
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let columns = "SELECT string_agg(format('%s.%s %s', attrelid::regclass, attname, attacl), ', ') FROM pg_attribute
        WHERE attrelid IN ('secret'::regclass, 'work.ringing'::regclass) AND cardinality(attacl) > 0";
    let left = world.query(columns).await?;
    // Who may go on granting has granted it.
    ensure!(
        left.as_deref() == Some("secret.other {fourth=r/third}"),
        "{left:?}"
    );
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await
}
