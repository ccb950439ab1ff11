//! What a temporary user made, and what others granted to it.

use serde_json::json;

use super::{TemporaryUser, is_ended};
use crate::fixture::{Event, PERSON, SWEEP, World, refusal, success};

#[tokio::test]
async fn everything_that_a_user_made_goes_to_its_heir() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "CREATE TABLE notes (id serial); CREATE VIEW seen AS SELECT * FROM orders; CREATE TYPE mood AS ENUM ('ok');
             CREATE DOMAIN positive AS int; CREATE FUNCTION leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 AS 'SELECT count(*) FROM public.orders';
             CREATE PROCEDURE nothing() LANGUAGE sql AS ''; CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; GRANT SELECT ON notes TO PUBLIC;
             SELECT lo_create(4711)",
        )
        .await?;
    assert_eq!(world.query("SELECT leak()").await?.as_deref(), Some("3"));

    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    assert!(is_ended(&session).await);
    assert!(!world.role_exists(&user.name).await?);
    let owners = "SELECT string_agg(DISTINCT owner, ',') FROM (
        SELECT relowner::regrole::text AS owner FROM pg_class WHERE relname IN ('notes', 'seen', 'notes_id_seq')
        UNION ALL SELECT typowner::regrole::text FROM pg_type WHERE typname IN ('mood', 'positive')
        UNION ALL SELECT proowner::regrole::text FROM pg_proc WHERE proname IN ('leak', 'nothing', 'total')
        UNION ALL SELECT lomowner::regrole::text FROM pg_largeobject_metadata) owned";
    let heir = world.heir_of(&user.name).await?;
    assert!(heir.is_some());
    assert_eq!(world.query(owners).await?, heir);
    assert_eq!(world.query("SELECT count(*) FROM pg_default_acl WHERE defaclrole NOT IN (SELECT oid FROM pg_roles)").await?.as_deref(), Some("0"));
    // They run as the heir, which may read nothing but what it has.
    let person = world.login(PERSON, &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    for leak in ["SELECT public.leak()", "SELECT FROM public.seen"] {
        assert!(person.batch_execute(leak).await.is_err(), "{leak}");
    }
    person.batch_execute("SELECT FROM public.notes").await?;
    Ok(())
}

#[tokio::test]
async fn what_one_user_left_does_not_read_what_another_left() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly; GRANT USAGE ON SCHEMA public TO PUBLIC")
        .start()
        .await?;
    let (reader, owner) = (
        TemporaryUser::make(&world).await?,
        TemporaryUser::make(&world).await?,
    );
    let session = owner.session(&world).await;
    session
        .batch_execute(&format!(
            "CREATE TABLE public.work AS SELECT id FROM orders; CREATE TABLE public.hook (id int);
             GRANT SELECT ON public.work TO {0}; GRANT SELECT ON public.hook TO PUBLIC",
            reader.name
        ))
        .await?;
    let session = reader.session(&world).await;
    session
        .batch_execute(
            "CREATE FUNCTION public.peek(OUT n bigint) LANGUAGE plpgsql SECURITY DEFINER
                 AS $$ BEGIN EXECUTE 'SELECT count(*) FROM public.work' INTO n; END $$;
             CREATE VIEW public.window AS SELECT id FROM public.work; GRANT SELECT ON public.window TO PUBLIC;
             CREATE TABLE public.bell (id int); GRANT INSERT, SELECT ON public.bell TO PUBLIC;
             CREATE TABLE public.copy (id int); GRANT SELECT ON public.copy TO PUBLIC;
             CREATE RULE ring AS ON INSERT TO public.bell DO ALSO INSERT INTO public.copy SELECT id FROM public.work;
             GRANT SELECT (id) ON public.window TO sym_user;
             CREATE TABLE public.key (id int PRIMARY KEY); INSERT INTO public.key VALUES (1);
             CREATE TABLE public.hanging (id int REFERENCES public.key ON DELETE CASCADE); INSERT INTO public.hanging VALUES (1);
             CREATE FUNCTION public.copying() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO public.copy SELECT id FROM public.work; RETURN OLD; END $$;
             CREATE TRIGGER copying AFTER DELETE ON public.hanging FOR EACH ROW EXECUTE FUNCTION public.copying();
             GRANT SELECT, DELETE ON public.key TO PUBLIC",
        )
        .await?;
    world.body(&owner.event.end()).await?;
    world.body(&reader.event.end()).await?;
    let person = world.login(PERSON, &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    for way in [
        "SELECT public.peek()",
        "SELECT id FROM public.window",
        "INSERT INTO public.bell VALUES (1)",
        "DELETE FROM public.key",
    ] {
        assert!(person.batch_execute(way).await.is_err(), "{way}");
    }
    // What needs nobody's rights stays as it was.
    person.batch_execute("SELECT FROM public.copy").await?;
    Ok(())
}

#[tokio::test]
async fn objects_in_two_databases_go_there_too() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    world.postgres.create_database("other").await?;
    let setup = "GRANT CREATE, USAGE ON SCHEMA public TO readonly; GRANT CREATE ON SCHEMA public TO sym_graveyard";
    world.postgres.execute_sql("other", setup).await?;
    let user = TemporaryUser::make(&world).await?;
    let databases = ["app", "other"];
    for database in databases {
        let session = world
            .postgres
            .connect(&user.name, &user.password, database)
            .await?;
        session
            .batch_execute(
                "CREATE TABLE notes (); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
            )
            .await?;
    }

    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    assert!(!world.role_exists(&user.name).await?);
    let heir = world.heir_of(&user.name).await?;
    for database in databases {
        let admin = world.postgres.admin_in(database).await?;
        let owner = "SELECT tableowner::text FROM pg_tables WHERE tablename = 'notes'";
        let owner = admin.query_one(owner, &[]).await?;
        assert_eq!(owner.get::<_, Option<String>>(0), heir, "{database}");
    }
    Ok(())
}

#[tokio::test]
async fn what_blocks_a_removal_is_said_and_the_sweep_tries_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    for (blocker, remedy) in [
        (
            "GRANT SELECT ON orders TO {}",
            "REVOKE SELECT ON orders FROM {}",
        ),
        (
            "GRANT CONNECT ON DATABASE app TO {}",
            "REVOKE CONNECT ON DATABASE app FROM {}",
        ),
        (
            "CREATE SCHEMA theirs; CREATE FUNCTION theirs.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION theirs.f() OWNER TO {}",
            "DROP SCHEMA theirs CASCADE",
        ),
    ] {
        let before = world.state().await?;
        let user = TemporaryUser::make(&world).await?;
        world.sql(&blocker.replace("{}", &user.name)).await?;

        for _ in 0..2 {
            let answer = world.send(&user.event.end()).await?;
            assert_eq!(answer, user.blocked(), "{blocker}");
            user.is_disabled(&world).await?;
        }
        assert_eq!(world.send_text(SWEEP).await?, user.blocked(), "{blocker}");

        world.sql(&remedy.replace("{}", &user.name)).await?;
        assert_eq!(world.sweep().await?, 1, "{blocker}");
        assert!(!world.role_exists(&user.name).await?, "{blocker}");
        if !blocker.contains("DATABASE") {
            world.is_as(&before).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_prepared_transaction_blocks_and_is_named_in_the_log() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "5")
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute("BEGIN; CREATE TABLE notes (); PREPARE TRANSACTION 'time bomb'")
        .await?;

    let held = refusal(&format!(
        "the access of `{}` was taken back, but a prepared transaction may hold what was made with it: an administrator \
         has to look, and to end it by ROLLBACK PREPARED; the function's log names it [access-remains]",
        user.name
    ));
    assert_eq!(world.send(&user.event.end()).await?, held);
    user.is_disabled(&world).await?;
    assert!(
        world
            .lambda
            .logs()
            .contains("prepared transaction 'time bomb' in database app")
    );

    let admin = world.postgres.admin_in("app").await?;
    admin.batch_execute("ROLLBACK PREPARED 'time bomb'").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}

#[tokio::test]
async fn memberships_that_others_gave_do_not_keep_a_user_alive() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE payroll").start().await?;
    let before = world.state().await?;
    let user = TemporaryUser::make(&world).await?;
    world
        .sql(&format!(
            "GRANT payroll, readonly TO {0}; GRANT {0} TO sym_user; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {0}",
            user.name
        ))
        .await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    world.is_as(&before).await?;
    // What the server warned of then is not held against the next user.
    let user = TemporaryUser::make(&world).await?;
    world.body(&user.event.end()).await?;
    world.is_as(&before).await
}

#[tokio::test]
async fn a_statement_that_grants_less_than_it_says_fails_the_event() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON orders TO {username};",
        )
        .sql("GRANT SELECT ON orders TO sym_bot")
        .start()
        .await?;
    let sentence = "a statement of the target's setup granted less than it says: give `sym_bot` the grant option on what \
        it grants [database-refused]";
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    assert_eq!(world.send(&event).await?, refusal(sentence));
    world.is_as(&before).await?;

    world
        .sql("GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION")
        .await?;
    world.body(&event).await?;
    world.body(&event.end()).await?;
    Ok(())
}

// A dropped column keeps its privileges in the catalog, and their holder may be gone.
#[tokio::test]
async fn a_dropped_column_of_somebody_who_is_gone_is_in_nobodys_way() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly; CREATE ROLE gone")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "CREATE TABLE public.ruled (a int, b int); GRANT SELECT (b) ON public.ruled TO gone;
             CREATE RULE nothing AS ON INSERT TO public.ruled DO ALSO NOTHING; ALTER TABLE public.ruled DROP COLUMN b",
        )
        .await?;
    world.sql("DROP OWNED BY gone; DROP ROLE gone").await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    Ok(())
}

/// A schema of the person's own, where what is left may not be given to anybody, and a
/// view that is held: neither keeps an access.
#[tokio::test]
async fn what_can_not_be_cleared_away_reads_nothing() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT SELECT ON public.orders TO {username};",
        )
        .sql("GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION; CREATE SCHEMA own AUTHORIZATION sym_user")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let person = super::person(&world).await;
    let grant = format!("GRANT ALL ON SCHEMA own TO {}", user.name);
    person.batch_execute(&grant).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "CREATE FUNCTION own.leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.orders';
             CREATE VIEW own.seen AS SELECT * FROM public.orders; GRANT SELECT ON own.seen TO sym_user",
        )
        .await?;
    person
        .batch_execute("BEGIN; SELECT FROM own.seen; SELECT own.leak()")
        .await?;

    assert_eq!(world.send(&user.event.end()).await?, user.blocked());
    user.is_disabled(&world).await?;
    let other = super::person(&world).await;
    for leak in ["SELECT own.leak()", "SELECT FROM own.seen"] {
        assert!(other.batch_execute(leak).await.is_err(), "{leak}");
    }
    let drop = "ROLLBACK; DROP SCHEMA own CASCADE";
    person.batch_execute(drop).await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}

#[tokio::test]
async fn a_routine_that_can_not_be_reached_has_nothing_to_read() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT SELECT ON public.orders TO {username};",
        )
        .sql("GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION; CREATE SCHEMA own AUTHORIZATION sym_user")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let person = super::person(&world).await;
    let grant = format!("GRANT ALL ON SCHEMA own TO {}", user.name);
    person.batch_execute(&grant).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "CREATE FUNCTION own.leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.orders'",
        )
        .await?;
    person.batch_execute("SELECT own.leak()").await?;
    // Neither the user nor the function may look into it any more.
    let revoke = format!("REVOKE ALL ON SCHEMA own FROM {}", user.name);
    person.batch_execute(&revoke).await?;
    assert_eq!(world.send(&user.event.end()).await?, user.blocked());
    assert!(person.batch_execute("SELECT own.leak()").await.is_err());
    Ok(())
}

#[tokio::test]
async fn more_than_one_transaction_can_move_is_moved_bit_by_bit() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .setting("max_locks_per_transaction", "10")
        .start()
        .await?;
    let before = world.state().await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    // More than there are locks; each is small, as one transaction must make it.
    for batch in 0..20 {
        session
            .batch_execute(&format!(
                "DO $$ BEGIN FOR n IN 1..75 LOOP
                     EXECUTE format('CREATE TABLE many_{batch}_%s ()', n); EXECUTE format('CREATE SEQUENCE numbers_{batch}_%s', n);
                     EXECUTE format('CREATE TYPE pair_{batch}_%s AS (id int)', n);
                     EXECUTE format('CREATE PROCEDURE doing_{batch}_%s(a int, INOUT b public.pair_{batch}_%s) LANGUAGE sql AS ''SELECT b''', n, n);
                 END LOOP; END $$"
            ))
            .await?;
    }
    session
        .batch_execute("SELECT count(lo_create(0)) FROM generate_series(1, 3000)")
        .await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    world.is_as(&before).await?;
    let heir = world.heir_of(&user.name).await?.unwrap_or_default();
    let owned = format!(
        "SELECT count(*) FROM pg_shdepend WHERE refobjid = '{heir}'::regrole AND deptype = 'o'"
    );
    let moved = world.query(&owned).await?.unwrap_or_default();
    assert!(moved.parse::<u32>()? >= 9000, "{moved}");
    Ok(())
}

/// To revoke ALL is refused to who may grant no more than this.
#[tokio::test]
async fn the_use_of_a_sequence_and_a_column_are_taken_with_what_was_passed_on() -> anyhow::Result<()>
{
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT USAGE ON SEQUENCE public.numbers TO {username} WITH GRANT OPTION;
             GRANT SELECT (id) ON public.orders TO {username} WITH GRANT OPTION;",
        )
        .variable("SQL_POLICY", "any")
        .sql(
            "CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO sym_bot WITH GRANT OPTION;
             GRANT SELECT (id) ON orders TO sym_bot WITH GRANT OPTION",
        )
        .start()
        .await?;
    let before = world.state().await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "GRANT USAGE ON SEQUENCE public.numbers TO sym_user; GRANT SELECT (id) ON public.orders TO sym_user",
        )
        .await?;
    let reads = [
        "SELECT nextval('public.numbers')",
        "SELECT id FROM public.orders",
    ];
    let person = super::person(&world).await;
    for read in reads {
        person.batch_execute(read).await?;
    }
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    for read in reads {
        assert!(person.batch_execute(read).await.is_err(), "{read}");
    }
    world.is_as(&before).await
}

/// What waits keeps nothing that doesn't.
#[tokio::test]
async fn objects_that_somebody_is_changing_keep_no_other_access() -> anyhow::Result<()> {
    let world = World::builder()
        .file("readonly.sql", "GRANT SELECT ON public.orders TO {username};")
        .sql(
            "GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION; CREATE SCHEMA work;
             GRANT CREATE, USAGE ON SCHEMA work TO PUBLIC; GRANT CREATE ON SCHEMA work TO sym_graveyard",
        )
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    let names = ["a0", "a1", "a2", "a3", "a4"];
    for name in names {
        session
            .batch_execute(&format!(
                "CREATE FUNCTION work.{name}() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.orders';
                 GRANT EXECUTE ON FUNCTION work.{name}() TO sym_user WITH GRANT OPTION"
            ))
            .await?;
    }
    let person = super::person(&world).await;
    person.batch_execute("BEGIN").await?;
    for name in names {
        let grant = format!("GRANT EXECUTE ON FUNCTION work.{name}() TO readonly");
        person.batch_execute(&grant).await?;
    }
    assert_eq!(world.send(&user.event.end()).await?, user.blocked());
    let other = super::person(&world).await;
    for name in names {
        let leak = format!("SELECT work.{name}()");
        assert!(other.batch_execute(&leak).await.is_err(), "{leak}");
    }
    person.batch_execute("ROLLBACK").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}
