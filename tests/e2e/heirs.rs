//! What a temporary user leaves gets an owner of its own, its heir: what runs with the rights
//! of who owns it, or can be made to, does so as that heir, which has nothing else.

use std::fs;

use anyhow::{Context as _, ensure};
use sym_host::sql::split_statements;
use sym_test_support::tools;
use tokio_postgres::Client;

use crate::fixture::{Builder, Event, World};
use crate::search_path::run_each;

/// Who has `readonly` may make things in schema `work`; everybody may note in it what ran as
/// whom.
pub(crate) fn world() -> Builder {
    World::builder().sql(
        "CREATE SCHEMA work; GRANT USAGE ON SCHEMA work TO PUBLIC; GRANT CREATE ON SCHEMA work TO readonly, sym_graveyard;
         CREATE TABLE work.notes (way text, runs_as name); GRANT INSERT ON work.notes TO PUBLIC",
    )
}

/// Has everything run that a leaver has made to run, and returns what did, and as whom.
async fn run_all(world: &World, stranger: &Client) -> anyhow::Result<Option<String>> {
    world.sql("TRUNCATE work.notes").await?;
    stranger
        .batch_execute(
            "SELECT work.routine(); DELETE FROM work.key WHERE id = (SELECT min(id) FROM work.key)",
        )
        .await?;
    world.sql("ANALYZE work.made; ANALYZE work.spans").await?;
    let notes = "SELECT string_agg(DISTINCT way || ' as ' || runs_as, ', ') FROM work.notes";
    world.query(notes).await
}

#[tokio::test]
async fn what_a_leaver_left_runs_as_its_own_heir() -> anyhow::Result<()> {
    let world = world().start().await?;
    let mut ways = vec!["index", "key", "range", "routine"];
    let mut statistics = "";
    if world.postgres.install().major >= 14 {
        ways.push("statistics");
        statistics =
            "CREATE STATISTICS work.counted ON (work.noting('statistics', id)) FROM work.made;";
    }
    let all_as = |owner: &str| {
        let each: Vec<String> = ways.iter().map(|way| format!("{way} as {owner}")).collect();
        each.join(", ")
    };
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(&format!(
            "CREATE FUNCTION work.note(way text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO work.notes VALUES (way, current_user); RETURN 1; END $$;
             CREATE FUNCTION work.noting(way text, id int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                 RETURN work.note(way); END $$;
             CREATE FUNCTION work.routine() RETURNS int LANGUAGE sql SECURITY DEFINER AS $$ SELECT work.note('routine') $$;
             CREATE TABLE work.key (id int PRIMARY KEY);
             CREATE TABLE work.hanging (id int REFERENCES work.key ON DELETE CASCADE);
             CREATE FUNCTION work.deleted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 PERFORM work.note('key'); RETURN OLD; END $$;
             CREATE TRIGGER note BEFORE DELETE ON work.hanging FOR EACH ROW EXECUTE FUNCTION work.deleted();
             INSERT INTO work.key VALUES (1), (2); INSERT INTO work.hanging VALUES (1), (2);
             GRANT SELECT, DELETE ON work.key TO PUBLIC;
             CREATE TABLE work.made (id int); INSERT INTO work.made SELECT * FROM generate_series(1, 20);
             CREATE INDEX ON work.made (work.noting('index', id)); {statistics}
             CREATE FUNCTION work.apart(a int, b int) RETURNS float8 LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN
                 RETURN work.note('range'); END $$;
             CREATE TYPE work.span AS RANGE (subtype = int4, subtype_diff = work.apart);
             CREATE TABLE work.spans (span work.span);
             INSERT INTO work.spans SELECT work.span(n, n + 1) FROM generate_series(1, 20) n"
        ))
        .await?;
    ensure!(run_all(&world, &stranger).await? == Some(all_as(&leaver.user)));

    world.end_removes(&leaver).await?;
    let heir = world.heir_of(&leaver.user).await?.context("has an heir")?;
    let ran = run_all(&world, &stranger).await?;
    ensure!(ran == Some(all_as(&heir)), "{ran:?}");
    world.ledger_agrees().await
}

#[tokio::test]
async fn an_heir_has_what_was_left_to_it_and_nothing_else() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let another = world.leaver().await?;
    let stranger = world.stranger().await?;
    another
        .session
        .batch_execute(&format!(
            "CREATE TABLE work.others (id int); GRANT SELECT ON work.others TO {user}"
        ))
        .await?;
    leaver
        .session
        .batch_execute(
            "CREATE TABLE work.own (id int);
             CREATE FUNCTION work.run(statement text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN EXECUTE statement; END $$",
        )
        .await?;
    let own = "SELECT FROM work.own";
    let ended = [
        "SELECT FROM public.orders",
        "SELECT FROM work.others",
        "CREATE TABLE work.new (id int)",
        "CREATE FUNCTION work.new() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    ];
    let run = async |statement: &str| {
        let run = "SELECT work.run($1)";
        match stranger.execute(run, &[&statement]).await {
            Ok(_) => "ran".to_owned(),
            Err(error) => error
                .code()
                .map_or_else(String::new, |code| code.code().to_owned()),
        }
    };
    for statement in [&[own], &ended[..]].concat() {
        let outcome = run(statement).await;
        ensure!(outcome == "ran", "{outcome}: {statement}");
    }
    world.body(&another.event.end()).await?;
    world.body(&leaver.event.end()).await?;
    let outcome = run(own).await;
    ensure!(outcome == "ran", "{outcome}: {own}");
    for statement in ended {
        let outcome = run(statement).await;
        ensure!(outcome == "42501", "{outcome}: {statement}");
    }
    world.ledger_agrees().await
}

/// One that can't be removed has the function keep no more than a few of the others' heirs.
#[tokio::test]
async fn one_that_stays_keeps_the_function_out_of_many_heirs() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let another = world.leaver().await?;
    let stranger = world.stranger().await?;
    stranger
        .batch_execute(&format!(
            "CREATE TEMP TABLE mine (id int); GRANT SELECT ON mine TO {user}"
        ))
        .await?;
    for session in [&leaver.session, &another.session] {
        session.batch_execute("SELECT lo_create(0)").await?;
    }
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    // As if many had left since.
    world
        .ledger_sql(
            "SET SESSION AUTHORIZATION sym_bot;
             DO $$ BEGIN FOR n IN 1..120 LOOP EXECUTE format('CREATE ROLE sym_graveyard_%s_1', n);
                 PERFORM sym.join_heir(sym.role_named(format('sym_graveyard_%s_1', n))); END LOOP; END $$",
        )
        .await?;
    world.body(&another.event.end()).await?;
    let joined = "SELECT count(DISTINCT m.roleid) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
        JOIN pg_roles g ON g.oid = m.grantor
        WHERE m.member = 'sym_bot'::regrole AND starts_with(r.rolname::text, 'sym_graveyard_') AND NOT g.rolsuper";
    let first = world.query(joined).await?.unwrap_or_default();
    ensure!(first.parse::<u32>()? < 120, "{first}");
    stranger.batch_execute("DROP TABLE mine").await?;
    world.sweep_removes(&leaver).await?;
    let then = world.query(joined).await?.unwrap_or_default();
    ensure!(
        then.parse::<u32>()? < first.parse::<u32>()?,
        "{first}, then {then}"
    );
    Ok(())
}

/// Of whom it grants, one has left many things.
#[tokio::test]
async fn many_things_of_others_keep_no_end_waiting() -> anyhow::Result<()> {
    // What is planned before there are many stays so.
    let world = world().setting("autovacuum", "off").start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let another = world.leaver().await?;
    leaver.session.batch_execute("SELECT lo_create(0)").await?;
    another.session
        .batch_execute(&format!(
            "DO $$ DECLARE made oid; BEGIN FOR n IN 1..100000 LOOP
                 made := lo_create(0); EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO {user}', made);
                 IF n % 2000 = 0 THEN COMMIT; END IF; END LOOP; END $$"
        ))
        .await?;
    // A slow machine has no time for all of it at once.
    for end in [another.event.end(), leaver.event.end()] {
        for _ in 0..6 {
            world.send(&end).await?;
        }
    }
    let logs = world.lambda.logs();
    ensure!(!world.role_exists(&leaver.user).await?, "{logs}");
    world.ledger_agrees().await
}

/// An heir that was made for an end that got no further; with nothing yet, and with something.
#[tokio::test]
async fn an_heir_that_was_given_a_role_gets_nothing() -> anyhow::Result<()> {
    let world = world().start().await?;
    for has_something in [false, true] {
        let leaver = world.leaver().await?;
        leaver
            .session
            .batch_execute("CREATE TABLE work.own (id int)")
            .await?;
        let locking = world.postgres.admin_in("app").await?;
        locking.batch_execute("BEGIN; SELECT FROM work.own").await?;
        let answer = world.send(&leaver.event.end()).await?.to_string();
        ensure!(answer.contains("could not be dropped"), "{answer}");
        let heir = world.heir_of(&leaver.user).await?.context("has an heir")?;
        locking.batch_execute("ROLLBACK").await?;
        let give = match has_something {
            true => format!("CREATE TABLE work.others (); ALTER TABLE work.others OWNER TO {heir}"),
            false => "SELECT 1".to_owned(),
        };
        world
            .sql(&format!("{give}; GRANT readonly TO {heir}"))
            .await?;
        world.sweep_removes(&leaver).await?;
        let owns = |table: &str| {
            format!(
                "SELECT EXISTS (SELECT FROM pg_auth_members m WHERE m.member = relowner) || ' ' || relowner::regrole
                 FROM pg_class WHERE relname = '{table}'"
            )
        };
        let owner = world.query(&owns("own")).await?;
        ensure!(owner == Some(format!("false {heir}")), "{owner:?}");
        if has_something {
            let owner = world.query(&owns("others")).await?.unwrap_or_default();
            ensure!(owner.starts_with("true sym_graveyard_"), "{owner}");
        }
        world.sql("DROP TABLE work.own").await?;
    }
    Ok(())
}

/// Of everything that has an owner there may be more than one transaction can lock.
#[tokio::test]
async fn many_things_of_any_kind_go_to_the_heir() -> anyhow::Result<()> {
    let world = world()
        .setting("max_locks_per_transaction", "10")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(
            "DO $$ BEGIN FOR n IN 1..20000 LOOP EXECUTE format('CREATE COLLATION work.c%s FROM \"C\"', n);
                 IF n % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        )
        .await?;
    // A slow machine has no time for all of it at once.
    for _ in 0..8 {
        world.send(&leaver.event.end()).await?;
    }
    let logs = world.lambda.logs();
    ensure!(!world.role_exists(&leaver.user).await?, "{logs}");
    let heir = world.heir_of(&leaver.user).await?.context("has an heir")?;
    let moved = format!("SELECT count(*) FROM pg_collation WHERE collowner = '{heir}'::regrole");
    ensure!(world.query(&moved).await?.as_deref() == Some("20000"));
    world.ledger_agrees().await
}

#[tokio::test]
async fn who_is_called_as_an_heir_is_given_nothing() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    leaver
        .session
        .batch_execute("CREATE TABLE work.own ()")
        .await?;
    let heir = format!("SELECT sym.heir_name(g) FROM sym.grants g WHERE user_name = '{user}'");
    let heir = world.query(&heir).await?.unwrap_or_default();
    for comment in ["'mine'", "'{\"sym\": 1, \"run\": \"another\"}'", "NULL"] {
        world
            .sql(&format!(
                "CREATE ROLE {heir}; COMMENT ON ROLE {heir} IS {comment}"
            ))
            .await?;
        let answer = world.send(&leaver.event.end()).await?.to_string();
        let sentence = format!("`{heir}` doesn't look like the one");
        ensure!(answer.contains(&sentence), "{comment}: {answer}");
        world.sql(&format!("DROP ROLE {heir}")).await?;
    }
    world.sweep_removes(&leaver).await?;
    world.ledger_agrees().await
}

/// A plugin may call a user anything of 63 bytes, which leaves no room for more.
#[tokio::test]
async fn the_longest_name_of_a_user_keeps_no_end_away() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    leaver
        .session
        .batch_execute("CREATE TABLE work.own ()")
        .await?;
    let longest = "u".repeat(63);
    world
        .sql(&format!(
            "ALTER ROLE {user} RENAME TO {longest}; UPDATE sym.grants SET user_name = '{longest}'"
        ))
        .await?;
    world.body(&leaver.event.end()).await?;
    ensure!(!world.role_exists(&longest).await?);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'own'";
    ensure!(world.query(owner).await? == world.heir_of(&longest).await?);
    world.ledger_agrees().await
}

/// As versions before 11 were set up: the function was in `sym_graveyard`, and could have
/// nobody else in it.
#[tokio::test]
async fn a_setup_of_before_is_mended_as_the_doctor_says() -> anyhow::Result<()> {
    let world = world()
        .variable("STRATEGY", "temporary-user")
        .start()
        .await?;
    if world.postgres.install().major < 16 {
        return Ok(()); // CREATEROLE is enough there.
    }
    let leaver = world.leaver().await?;
    leaver
        .session
        .batch_execute("CREATE FUNCTION work.own() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        .await?;
    world
        .sql("GRANT sym_graveyard TO sym_bot WITH ADMIN FALSE, INHERIT TRUE, SET TRUE GRANTED BY master")
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let ill = world.symctl(&["doctor", "--json"]).await?.json()?;
    let findings = ill.as_array().into_iter().flatten();
    let mut fixes = findings.filter_map(|finding| finding["fix"].as_str());
    // The other one is the run that is overdue.
    let fix = fixes.find(|fix| fix.contains("sym_graveyard"));
    world.sql(fix.unwrap_or_default()).await?;
    world.sweep_removes(&leaver).await?;
    world.ledger_agrees().await
}

/// As the administrator who set it up, with what the page says, and nothing else.
#[tokio::test]
async fn what_the_page_on_operations_says_clears_all_of_it_away() -> anyhow::Result<()> {
    let page = fs::read_to_string(tools::workspace().join("docs/operations.md"))?;
    let blocks = |from: &str, to: &str| -> anyhow::Result<Vec<String>> {
        let (_, rest) = page.split_once(from).context("has the section")?;
        let (section, _) = rest.split_once(to).unwrap_or((rest, ""));
        let blocks = section.split("```sql\n").skip(1);
        Ok(blocks
            .map(|block| block.split("```").next().unwrap_or_default().to_owned())
            .collect())
    };
    let world = world()
        .sql("ALTER SCHEMA work OWNER TO master")
        .start()
        .await?;
    world.postgres.create_database("other").await?;
    for _ in 0..2 {
        let leaver = world.leaver().await?;
        let name = &leaver.user;
        let made = format!("CREATE TABLE work.{name} (id int); SELECT lo_create(0)");
        leaver.session.batch_execute(&made).await?;
        let other = world
            .postgres
            .connect(&leaver.user, &leaver.password, "other")
            .await?;
        other.batch_execute("SELECT lo_create(0)").await?;
        world.body(&leaver.event.end()).await?;
    }
    let databases = ["app", "other"];
    let mut run = Vec::new();
    for database in databases {
        let session = world.postgres.admin_in(database).await?;
        session
            .batch_execute("SET SESSION AUTHORIZATION master")
            .await?;
        run.push(session);
    }
    let [look, drop_owned, drop_heirs] = &blocks("## What temporary users left", "\n## ")?[..]
    else {
        anyhow::bail!("other blocks than there were");
    };
    let looked = split_statements(look)?;
    let [pin, look] = &looked[..] else {
        anyhow::bail!("it looks by other statements than it did: {looked:?}");
    };
    run[0].batch_execute(pin).await?;
    let found = run[0].query(look, &[]).await?;
    ensure!(found.len() == 4, "{found:?}");
    run_each(&run[0], drop_owned).await?;
    // The other database was forgotten.
    ensure!(run_each(&run[0], drop_heirs).await.is_err());
    run_each(&run[1], drop_owned).await?;
    run_each(&run[0], drop_heirs).await?;
    let ours = "SELECT string_agg(rolname, ', ' ORDER BY rolname) FROM pg_roles WHERE starts_with(rolname::text, 'sym_')
        AND rolname <> 'sym_user'";
    let left = world.query(ours).await?;
    ensure!(
        left.as_deref() == Some("sym_admins, sym_bot, sym_graveyard, sym_managed"),
        "{left:?}"
    );

    let [drop_owned, drop_roles] = &blocks("## Take the function away", "\n## ")?[..] else {
        anyhow::bail!("other blocks than there were");
    };
    world.lambda.kill();
    for session in &run {
        run_each(session, drop_owned).await?;
    }
    run_each(&run[0], drop_roles).await?;
    let left = world.query(ours).await?;
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

/// While one is being removed the function may grant what that made, and a statement of a
/// target's may name everything in a schema.
#[tokio::test]
async fn nobody_gets_what_another_has_left() -> anyhow::Result<()> {
    let world = world()
        .sql("CREATE TABLE work.everybodys (id int); GRANT SELECT ON ALL TABLES IN SCHEMA work TO sym_bot WITH GRANT OPTION")
        .file("readonly.sql", "GRANT readonly TO {username}; GRANT SELECT ON ALL TABLES IN SCHEMA work TO {username};")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    leaver
        .session
        .batch_execute("CREATE TABLE work.copied AS SELECT * FROM public.orders")
        .await?;
    stranger
        .batch_execute(&format!(
            "CREATE TEMP TABLE mine (id int); GRANT SELECT ON mine TO {user}"
        ))
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let heir = world.heir_of(&leaver.user).await?.context("has an heir")?;
    let next = Event::escalate_temporary_user();
    let answer = world.send(&next).await?.to_string();
    ensure!(
        answer.contains(&format!(
            "what a temporary user has made, and `{heir}` owns"
        )),
        "{answer}"
    );
    // Roles outlive the ledger.
    world
        .sql("CREATE TABLE kept AS TABLE sym.grants; DELETE FROM sym.grants")
        .await?;
    let unknown = Event::escalate_temporary_user();
    let answer = world.send(&unknown).await?.to_string();
    ensure!(answer.contains(&format!("and `{heir}` owns")), "{answer}");
    world
        .sql("DELETE FROM sym.grants; INSERT INTO sym.grants TABLE kept; DROP TABLE kept")
        .await?;
    world.sql("DROP TABLE work.copied").await?;
    let next = world.leaver_of(next).await?;
    next.session
        .batch_execute("SELECT FROM work.everybodys")
        .await?;
    world.body(&next.event.end()).await?;
    stranger.batch_execute("DROP TABLE mine").await?;
    ensure!(world.sweep().await? == 1);
    world.ledger_agrees().await
}

/// Whose database it is says how everybody's sessions there begin.
#[tokio::test]
async fn a_database_that_begins_read_only_keeps_nothing() -> anyhow::Result<()> {
    let world = world().start().await?;
    world.postgres.create_database("other").await?;
    let leaver = world.leaver().await?;
    let other = world
        .postgres
        .connect(&leaver.user, &leaver.password, "other")
        .await?;
    other.batch_execute("SELECT lo_create(0)").await?;
    world
        .sql("ALTER DATABASE other SET default_transaction_read_only = on")
        .await?;
    world.end_removes(&leaver).await?;
    world.ledger_agrees().await
}

/// A function is given to nobody who may not create in its schema, and this one is the leaver's.
#[tokio::test]
async fn what_is_in_schemas_of_its_own_is_moved() -> anyhow::Result<()> {
    let world = world()
        .sql("GRANT CREATE ON DATABASE app TO readonly, sym_graveyard")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver.session
        .batch_execute(
            "CREATE FUNCTION work.earlier() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE SCHEMA later;
             ALTER FUNCTION work.earlier() SET SCHEMA later;
             CREATE SCHEMA closed; CREATE FUNCTION closed.inside() RETURNS int LANGUAGE sql AS 'SELECT 1';
             REVOKE CREATE ON SCHEMA closed FROM CURRENT_USER",
        )
        .await?;
    world.end_removes(&leaver).await?;
    world.sql("SELECT later.earlier(), closed.inside()").await?;
    world.ledger_agrees().await
}

/// Each column that was granted is one more row to look through.
#[tokio::test]
async fn columns_of_others_keep_nothing_from_being_taken() -> anyhow::Result<()> {
    let world = world()
        .setting("max_locks_per_transaction", "256")
        .sql(
            "CREATE TABLE secret (id int); GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             CREATE SCHEMA strangers",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    world
        .sql(&format!(
            "ALTER SCHEMA strangers OWNER TO stranger; SET ROLE sym_bot; GRANT SELECT ON secret TO {user}"
        ))
        .await?;
    leaver.session
        .batch_execute("CREATE FUNCTION work.leak() RETURNS SETOF int LANGUAGE sql SECURITY DEFINER AS 'SELECT id FROM public.secret'")
        .await?;
    stranger.batch_execute("SELECT work.leak()").await?;
    stranger
        .batch_execute(&format!(
            "DO $$ DECLARE names text := (SELECT string_agg('c' || n, ', ') FROM generate_series(1, 1500) n);
                 columns text := (SELECT string_agg('c' || n || ' int', ', ') FROM generate_series(1, 1500) n); BEGIN
                 FOR n IN 1..50 LOOP
                     EXECUTE format('CREATE TABLE strangers.t%s (%s)', n, columns);
                     EXECUTE format('GRANT SELECT (%s) ON strangers.t%s TO {user}', names, n);
                     COMMIT; END LOOP; END $$"
        ))
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let leak = stranger.batch_execute("SELECT work.leak()").await;
    ensure!(leak.is_err(), "{answer}");
    world.sql("DROP SCHEMA strangers CASCADE").await?;
    ensure!(world.sweep().await? == 1);
    world.ledger_agrees().await
}

/// The function's user stays in none: one that was taken up has a name that needs quotes, and each
/// has where the database says so.
#[tokio::test]
async fn the_function_is_in_no_heir_whatever_it_is_called() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let is_in_none = "SELECT NOT EXISTS (SELECT FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
             WHERE m.member = 'sym_bot'::regrole AND starts_with(r.rolname::text, 'sym_graveyard_')
               AND (current_setting('server_version_num')::int < 160000 OR m.grantor = 'sym_bot'::regrole))";
    for (before, table) in [
        ("DELETE FROM sym.grants", "one"),
        ("ALTER DATABASE app SET quote_all_identifiers = on", "two"),
    ] {
        let leaver = world.leaver().await?;
        let make = format!("CREATE TABLE public.{table} ()");
        leaver.session.batch_execute(&make).await?;
        world.sql(before).await?;
        world.lambda.restart().await?;
        world.end_removes(&leaver).await?;
        assert!(world.heir_of(&leaver.user).await?.is_some(), "{before}");
        let is_in_none = world.query(is_in_none).await?;
        assert_eq!(is_in_none.as_deref(), Some("true"), "{before}");
    }
    Ok(())
}
