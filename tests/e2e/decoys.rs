//! What others put in the way of clearing up after a temporary user, so that its time is
//! over before the access is: what counts goes first, and is not to be hidden.

use anyhow::Context as _;
use tokio_postgres::Client;

use crate::fixture::{Builder, Event, PERSON, World};

/// A temporary user may read `orders` by what the function has granted to it, and
/// anybody may make things in schema `work`.
pub(crate) fn world() -> Builder {
    World::builder()
        .file(
            "readonly.sql",
            "GRANT SELECT ON public.orders TO {username};",
        )
        .sql(
            "GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION; CREATE SCHEMA work;
             GRANT CREATE, USAGE ON SCHEMA work TO PUBLIC; GRANT CREATE ON SCHEMA work TO sym_graveyard",
        )
}

/// What reads with the rights of whom the session is, for everybody.
pub(crate) async fn leave_leak(leaver: &Client, stranger: &Client) -> anyhow::Result<()> {
    leaver
        .batch_execute(
            "CREATE FUNCTION work.leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.orders'",
        )
        .await?;
    Ok(stranger.batch_execute("SELECT work.leak()").await?)
}

/// It is there, and reads nothing.
pub(crate) async fn leaks_nothing(world: &World) -> anyhow::Result<()> {
    let stranger = world.login("stranger", "stranger").await;
    let leak = stranger
        .map_err(anyhow::Error::msg)?
        .batch_execute("SELECT work.leak()")
        .await;
    let code = leak.err().and_then(|error| error.code().cloned());
    let code = code.context("it leaks, or the session is gone")?;
    anyhow::ensure!(code.code() == "42501", "{code:?}");
    Ok(())
}

/// Each column is an entry of its own in the catalogs, and has all the others beside it.
#[tokio::test]
async fn a_table_with_many_columns_keeps_no_routine_alive() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    leave_leak(&leaver.session, &stranger).await?;
    // As many as a table can have.
    let columns: Vec<String> = (0..1600).map(|number| format!("c{number}")).collect();
    let list = columns.join(", ");
    let table = columns.join(" bool, ");
    stranger
        .batch_execute(&format!(
            "CREATE TEMP TABLE wide ({table} bool);
             GRANT SELECT ({list}), INSERT ({list}), UPDATE ({list}), REFERENCES ({list}) ON wide TO {user}"
        ))
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("could not be dropped"), "{answer}");
    leaks_nothing(&world).await?;
    stranger.batch_execute("DROP TABLE wide").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

/// Each would have to be waited for, and none of them is the function's to revoke.
#[tokio::test]
async fn tables_that_somebody_is_changing_use_no_time_up() -> anyhow::Result<()> {
    let world = world().start().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    leave_leak(&leaver.session, &stranger).await?;
    let each = |statement: &str| -> String {
        (0..80)
            .map(|number| statement.replace("{}", &format!("work.a{number}")))
            .collect()
    };
    let make = each(&format!(
        "CREATE TABLE {{}} (); GRANT DELETE ON {{}} TO {user};"
    ));
    stranger.batch_execute(&make).await?;
    let change = each("GRANT SELECT ON {} TO PUBLIC;");
    stranger.batch_execute(&format!("BEGIN; {change}")).await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("could not be dropped"), "{answer}");
    leaks_nothing(&world).await?;
    let drop = each("DROP TABLE {};");
    stranger.batch_execute(&format!("ROLLBACK; {drop}")).await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

/// Since 14 procedures have OUT arguments, which are no part of a routine's name: then two
/// routines have one, and no statement may use it that doesn't say which of them it means.
#[tokio::test]
async fn a_procedure_beside_a_function_hides_neither() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT EXECUTE ON FUNCTION work.lent(int, int) TO {username};",
        )
        .variable("SQL_POLICY", "any")
        .sql(
            "CREATE SCHEMA work; GRANT CREATE, USAGE ON SCHEMA work TO PUBLIC; CREATE SCHEMA own;
             GRANT CREATE ON SCHEMA work TO sym_graveyard;
             CREATE FUNCTION work.lent(a int, b int) RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 AS 'SELECT count(*) FROM public.orders';
             REVOKE EXECUTE ON FUNCTION work.lent(int, int) FROM PUBLIC;
             GRANT EXECUTE ON FUNCTION work.lent(int, int) TO sym_bot WITH GRANT OPTION",
        )
        .start()
        .await?;
    if world.postgres.install().major < 14 {
        return Ok(()); // OUT arguments of procedures came with 14.
    }
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let stranger = world.stranger().await?;
    leaver.session
        .batch_execute(
            "CREATE FUNCTION work.leak(a int, b int) RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT work.lent(1, 2)';
             CREATE PROCEDURE work.leak(a int, OUT b int) LANGUAGE plpgsql AS $$ BEGIN b := 1; END $$;
             CREATE PROCEDURE work.lent(a int, OUT b int) LANGUAGE plpgsql AS $$ BEGIN b := 1; END $$",
        )
        .await?;
    stranger.batch_execute("SELECT work.leak(1, 2)").await?;
    // Where no heir may have anything, so that the user stays.
    world
        .sql(&format!(
            "CREATE FUNCTION own.stays() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION own.stays() OWNER TO {user}"
        ))
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("could not be dropped"), "{answer}");
    let may_execute = format!(
        "SELECT has_function_privilege('{user}', oid, 'EXECUTE') FROM pg_proc WHERE proname = 'lent' AND prokind = 'f'"
    );
    assert_eq!(world.query(&may_execute).await?.as_deref(), Some("false"));
    let leak = stranger.batch_execute("SELECT work.leak(1, 2)").await;
    assert!(leak.is_err());
    world.sql("DROP FUNCTION own.stays()").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

/// Anybody may make more large objects, and grant them, than are looked through.
#[tokio::test]
async fn large_objects_do_not_hide_what_the_role_let_its_holder_keep() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT SELECT ON orders TO readonly WITH GRANT OPTION")
        .start()
        .await?;
    let stranger = world.stranger().await?;
    stranger
        .batch_execute(
            "DO $$ DECLARE made oid; BEGIN FOR n IN 1..10000 LOOP
                 made := lo_create(0); EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO sym_user', made);
                 IF n % 1000 = 0 THEN COMMIT; END IF; END LOOP; END $$",
        )
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = world.login(PERSON, &world.person_password).await;
    session
        .map_err(anyhow::Error::msg)?
        .batch_execute("GRANT SELECT ON orders TO sym_user")
        .await?;
    let body = world.body(&event.end()).await?;
    let gained = body["gained"].as_str().unwrap_or_default();
    assert!(gained.contains("has 1 more"), "{gained}");
    Ok(())
}
