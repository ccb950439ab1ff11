//! What others put in the way of an end by making much of it: more than can be looked through in
//! the time of a statement, or than can be taken in that of a list.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tokio_postgres::Client;

use crate::decoys::{leaks_nothing, leave_leak, world as world_with_leaks};
use crate::fixture::{Builder, Event, PERSON, World, count_orders};

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

    world.end_removes(&leaver).await?;
    world.body(&lent.end()).await?;
    ensure!(world.lambda.logs().contains(made));
    let sentence = "role `readonly` is never lent: it has so many privileges, a million or more, that nobody can tell whether it \
                    owns objects: look in pg_shdepend whose they are [role-refused]";
    world.refuses(&Event::escalate(), sentence).await?;
    ebb(&world).await?;
    world.still_works().await
}

/// As if somebody had, in a transaction that is open, the policies of tables of theirs name this role
/// more often than can be looked through in [`TIME`]. Nobody sees it, and a LIMIT doesn't count it.
async fn flood_unseen(world: &World, role: &str) -> anyhow::Result<Client> {
    let stranger = world.postgres.admin_in("app").await?;
    stranger.batch_execute("BEGIN").await?;
    let looker = world.admin_planning_as_the_function().await?;
    let look = format!(
        "SELECT count(*) FROM pg_catalog.pg_shdepend WHERE refclassid = 'pg_authid'::regclass AND refobjid = '{role}'::regrole"
    );
    // How many are enough hangs on the machine, and on what else it does.
    for part in 0..20 {
        stranger
            .batch_execute(&format!(
                "INSERT INTO pg_catalog.pg_shdepend (dbid, classid, objid, objsubid, refclassid, refobjid, deptype)
                     SELECT d.oid, 'pg_policy'::regclass, {part}00000000 + n, 0, 'pg_authid'::regclass, '{role}'::regrole, 'r'
                     FROM pg_database d, generate_series(1, 1000000) n WHERE d.datname = 'app'"
            ))
            .await?;
        let before = Instant::now();
        looker.batch_execute(&look).await?;
        if before.elapsed() > 3 * TIME {
            break;
        }
    }
    Ok(stranger)
}

/// How long a statement has while there is an unseen flood.
const TIME: Duration = Duration::from_millis(150);

/// An administrator who has that long.
async fn in_a_hurry(world: &World) -> anyhow::Result<Client> {
    let database = world.admin_planning_as_the_function().await?;
    let set = format!("SET statement_timeout = {}", TIME.as_millis());
    database.batch_execute(&set).await?;
    Ok(database)
}

async fn json(database: &Client, call: &str) -> anyhow::Result<serde_json::Value> {
    let text: String = database
        .query_one(&format!("SELECT ({call})::text"), &[])
        .await?
        .get(0);
    Ok(serde_json::from_str(&text)?)
}

#[tokio::test]
async fn what_nobody_sees_keeps_no_temporary_user() -> anyhow::Result<()> {
    let world = world_with_leaks()
        .sql("GRANT readonly TO sym_bot")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leave_leak(&leaver.session, &stranger).await?;
    let flooding = flood_unseen(&world, &leaver.user).await?;
    let database = in_a_hurry(&world).await?;
    let run = format!("lower('{}')", leaver.event.run_srn());

    let disabled = json(&database, &format!("sym.disable_user({run}, 'test')")).await?;
    ensure!(disabled["state"] == "ending", "{disabled}");
    let login = world.login(&leaver.user, &leaver.password).await;
    ensure!(login.is_err());
    ensure!(!world.is_member(&leaver.user, "readonly").await?);
    let found = json(&database, &format!("sym.prepare_clearing({run})")).await?;
    ensure!(
        found["is_cut"] == true && found["heir"].is_string(),
        "{found}"
    );
    let databases = found["databases"].to_string();
    ensure!(
        databases.contains("\"app\"") && databases.contains("\"postgres\""),
        "{databases}"
    );
    flooding.batch_execute("ROLLBACK").await?;
    world.send(&leaver.event.end()).await?;
    leaks_nothing(&world).await?;
    world.sweep().await?;
    ensure!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

/// Of a user of whom nobody could tell in time what hangs on it, to take what was granted takes as
/// long.
#[tokio::test]
async fn what_could_not_be_looked_for_is_closed_first() -> anyhow::Result<()> {
    let world = world_with_leaks().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leave_leak(&leaver.session, &stranger).await?;
    world
        .sql(
            "CREATE OR REPLACE FUNCTION sym.owners_of_granted(user_oid oid, most int) RETURNS oid[]
                 LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled; END $$;
             CREATE FUNCTION public.wait() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF current_query() LIKE '%What was granted to the leaver%' THEN PERFORM pg_sleep(60); END IF; END $$;
             CREATE EVENT TRIGGER wait ON ddl_command_start WHEN TAG IN ('REVOKE') EXECUTE FUNCTION public.wait()",
        )
        .await?;
    let meanwhile = async {
        world
            .wait_until("EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')")
            .await?;
        leaks_nothing(&world).await
    };
    let end = leaver.event.end();
    let (ended, closed) = tokio::join!(world.send(&end), meanwhile);
    closed?;
    ended?;
    leaks_nothing(&world).await
}

#[tokio::test]
async fn what_nobody_sees_keeps_no_lent_role() -> anyhow::Result<()> {
    let world = World::start().await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    match world.postgres.install().major {
        ..16 => session.batch_execute("SET ROLE readonly").await?,
        16.. => session.batch_execute("BEGIN; TABLE orders").await?,
    }
    let _flooding = flood_unseen(&world, "readonly").await?;
    let database = in_a_hurry(&world).await?;
    let run = format!("lower('{}')", lent.run_srn());

    // Others make no look long that comes before the COMMIT.
    let in_time = format!(
        "sym.give_back({run}, '{{\"by\": \"test\"}}') || jsonb_build_object('in_time', \
         clock_timestamp() < statement_timestamp() + interval '{} ms')",
        TIME.as_millis()
    );
    let taken = json(&database, &in_time).await?;
    ensure!(
        taken["outcome"] == "taken-back" && taken["in_time"] == true,
        "{taken}"
    );
    let finished = json(&database, &format!("sym.finish({run}, false)")).await?;
    ensure!(
        finished["sessions"] == 1 && finished["owners"].to_string().contains("readonly"),
        "{finished}"
    );
    ensure!(count_orders(&session).await.is_err());
    ensure!(world.open_runs().await? == 0);
    Ok(())
}

#[tokio::test]
async fn what_nobody_sees_keeps_nothing_from_the_databases_own_switch() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.body(&Event::escalate()).await?;
    let leaver = world.leaver().await?;
    world.let_time_pass().await?;
    world.lambda.kill();
    let _flooding = flood_unseen(&world, "readonly").await?;
    let database = in_a_hurry(&world).await?;
    let expire = "to_jsonb(ARRAY(SELECT split_part(outcome, ',', 1) FROM sym.expire() ORDER BY 1))";
    let outcomes = json(&database, expire).await?;
    ensure!(
        outcomes == serde_json::json!(["disabled", "taken-back"]),
        "{outcomes}"
    );
    ensure!(!world.is_member(PERSON, "readonly").await?);
    let login = world.login(&leaver.user, &leaver.password).await;
    ensure!(login.is_err());
    let outcomes = json(&database, expire).await?;
    ensure!(outcomes == serde_json::json!(["ended"]), "{outcomes}");
    Ok(())
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
