//! What others put in the way of an end by making much of it: more than can be looked through in
//! the time of a statement, or than can be taken in that of a list.

use std::time::Duration;

use anyhow::ensure;

use crate::decoys::{leaks_nothing, leave_leak, world as world_with_leaks};
use crate::fixture::{Builder, Event, World};

/// As if somebody had granted that role more large objects than are looked through, which would
/// take a quarter of an hour.
pub(crate) async fn flood(world: &World, role: &str) -> anyhow::Result<()> {
    world
        .sql(&format!(
            "INSERT INTO pg_catalog.pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
                 SELECT d.oid, 'pg_largeobject'::regclass, 100000 + n, 0, 'pg_authid'::regclass, '{role}'::regrole, 'a'
                 FROM pg_database d, generate_series(1, 1000000) n WHERE d.datname = 'app'"
        ))
        .await
}

async fn ebb(world: &World) -> anyhow::Result<()> {
    world
        .sql("DELETE FROM pg_catalog.pg_shdepend WHERE classid = 'pg_largeobject'::regclass")
        .await?;
    world.sql("VACUUM pg_catalog.pg_shdepend").await
}

#[tokio::test]
async fn what_anybody_grants_to_a_role_keeps_no_access() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE base; GRANT base TO readonly")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    for role in ["readonly", "base"] {
        flood(&world, role).await?;
    }
    let made = "own something now, or too much is granted to them to tell: `base`, `readonly`;";

    // What was taken stays so, also where the look behind it has no time.
    let database = world.admin_planning_as_the_function().await?;
    database
        .batch_execute("SET statement_timeout = '300ms'")
        .await?;
    let run = leaver.event.run_srn();
    let disable = format!(
        "SELECT sym.disable_user(lower('{run}'), 'test') -> 'owners' = '[\"base\", \"readonly\"]'"
    );
    ensure!(database.query_one(&disable, &[]).await?.get::<_, bool>(0));
    ensure!(!world.is_member(&leaver.user, "readonly").await?);
    let run = lent.run_srn();
    let give_back = format!(
        "SELECT sym.give_back(lower('{run}'), '{{\"by\": \"test\"}}') ->> 'outcome' = 'taken-back'"
    );
    ensure!(database.query_one(&give_back, &[]).await?.get::<_, bool>(0));
    ensure!(world.person_counts_orders().await.is_err());

    world.end_removes(&leaver).await?;
    world.body(&lent.end()).await?;
    ensure!(world.lambda.logs().contains(made));
    let sentence = "role `readonly` is never lent: it has so many privileges, a million or more, that nobody can tell whether it \
                    owns objects: look in pg_shdepend whose they are [role-refused]";
    world.refuses(&Event::escalate(), sentence).await?;
    ebb(&world).await?;
    world.still_works().await
}

#[tokio::test]
async fn what_anybody_grants_to_a_temporary_user_hides_nothing() -> anyhow::Result<()> {
    let world = world_with_leaks().start().await?;
    world.postgres.create_database("another").await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leave_leak(&leaver.session, &stranger).await?;
    flood(&world, &leaver.user).await?;
    let run = leaver.event.run_srn();
    world
        .query(&format!(
            "SELECT sym.disable_user(lower('{run}'), 'test')::text"
        ))
        .await?;
    let databases = format!("SELECT (sym.prepare_clearing(lower('{run}')) -> 'databases')::text");
    let databases = world.query(&databases).await?.unwrap_or_default();
    ensure!(
        databases.starts_with("[\"app\", \"another\""),
        "{databases}"
    );

    // The user may be dropped with all of it, where there is time enough.
    world.lambda.set_timeout(Duration::from_secs(60));
    world.send(&leaver.event.end()).await?;
    leaks_nothing(&world).await?;
    ebb(&world).await?;
    world.sweep().await?;
    ensure!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

#[tokio::test]
async fn what_anybody_grants_to_the_function_hides_no_ledger() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    world.postgres.create_database("another").await?;
    let another = world.postgres.admin_in("another").await?;
    another
        .batch_execute(
            "CREATE SCHEMA made AUTHORIZATION sym_bot;
             SET ROLE sym_bot; CREATE FUNCTION made.made() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        )
        .await?;
    flood(&world, "sym_bot").await?;
    let database = world.admin_planning_as_the_function().await?;
    database
        .batch_execute("SET statement_timeout = '150ms'")
        .await?;
    let other = "SELECT sym.other_ledgers() = '{another}'";
    ensure!(database.query_one(other, &[]).await?.get::<_, bool>(0));
    Ok(())
}

/// Makes relations with as many columns as there can be, each of which is granted to many.
fn world_with_wide_relations() -> Builder {
    world_with_leaks().sql(
        "DO $$ BEGIN FOR n IN 1..60 LOOP EXECUTE format('CREATE ROLE r%s', n); END LOOP; END $$;
         CREATE ROLE third LOGIN PASSWORD 'third';
         CREATE FUNCTION columns(of text) RETURNS text LANGUAGE sql
             AS $$ SELECT string_agg(replace(of, '#', n::text), ', ') FROM generate_series(1, 1590) n $$;
         CREATE FUNCTION pass_on(what text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN
             EXECUTE format('GRANT SELECT (%1$s), INSERT (%1$s), UPDATE (%1$s), REFERENCES (%1$s) ON %2$s TO %3$s',
                 columns('c#'), what, (SELECT string_agg('r' || n, ', ') FROM generate_series(1, 60) n)); END $$",
    )
}

#[tokio::test]
async fn tables_with_many_columns_keep_no_privilege() -> anyhow::Result<()> {
    let world = world_with_wide_relations().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    let third = world.login("third", "third").await;
    let third = third.map_err(anyhow::Error::msg)?;
    let user = &leaver.user;
    leave_leak(&leaver.session, &stranger).await?;
    for table in ["work.a", "work.b", "work.c", "work.d", "work.e", "work.f"] {
        stranger
            .batch_execute(&format!(
                "DO $$ BEGIN EXECUTE format('CREATE TABLE {table} (%s)', columns('c# bool')); END $$;
                 SELECT pass_on('{table}'); GRANT ALL ON {table} TO {user}, third WITH GRANT OPTION"
            ))
            .await?;
        third
            .batch_execute(&format!("SELECT pass_on('{table}')"))
            .await?;
    }

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let lent = format!("SELECT has_table_privilege('{user}', 'orders', 'SELECT')::text");
    ensure!(world.query(&lent).await?.as_deref() == Some("false"));
    Ok(())
}

#[tokio::test]
async fn a_view_with_many_columns_is_closed() -> anyhow::Result<()> {
    let world = world_with_wide_relations().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    let third = world.login("third", "third").await;
    let third = third.map_err(anyhow::Error::msg)?;
    leaver
        .session
        .batch_execute(
            "DO $$ BEGIN EXECUTE format('CREATE VIEW work.v AS SELECT %s FROM public.orders', columns('id AS c#')); END $$;
             GRANT SELECT ON work.v TO PUBLIC; GRANT ALL ON work.v TO stranger, third WITH GRANT OPTION;
             SELECT pass_on('work.v')",
        )
        .await?;
    for who in [&stranger, &third] {
        who.batch_execute("SELECT pass_on('work.v')").await?;
    }
    let look = "SELECT c1 FROM work.v";
    stranger.batch_execute(look).await?;
    // What keeps the privilege from being revoked, and the view from going to an heir.
    let user = &leaver.user;
    world
        .sql(&format!(
            "CREATE SCHEMA own; CREATE FUNCTION own.stays() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION own.stays() OWNER TO {user}"
        ))
        .await?;
    let holder = world.postgres.admin_in("app").await?;
    holder
        .batch_execute("BEGIN; GRANT TRIGGER ON orders TO third")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    ensure!(stranger.batch_execute(look).await.is_err());
    holder.batch_execute("ROLLBACK").await?;
    world.sql("DROP FUNCTION own.stays()").await?;
    world.sweep_removes(&leaver).await
}
