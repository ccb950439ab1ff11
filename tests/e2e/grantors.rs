//! A REVOKE takes what the first of the function's roles granted that could have granted it. Where
//! that isn't who did, it does nothing, and says nothing: an access ends all the same.

use anyhow::ensure;

use crate::doors::{rung, world_with_a_bell};
use crate::fixture::{Builder, SWEEP, World};
use crate::heirs::world;

/// A table `secret` of a role that the function's user is in, as one that passes on privileges
/// may be.
fn world_with_an_owner() -> Builder {
    world().sql(
        "CREATE ROLE owner; GRANT owner TO sym_bot; CREATE TABLE secret (id int); ALTER TABLE secret OWNER TO owner;
         CREATE ROLE third LOGIN PASSWORD 'third'",
    )
}

/// Whether `third` may read the column `id` of `secret`.
async fn third_reads(world: &World) -> anyhow::Result<bool> {
    let reads = world
        .query("SELECT has_column_privilege('third', 'secret', 'id', 'SELECT')::text")
        .await?;
    Ok(reads.as_deref() == Some("true"))
}

/// As a target's statement would.
async fn lend_select(world: &World, user: &str, option: &str) -> anyhow::Result<()> {
    let lend = format!("GRANT SELECT ON secret TO {user} {option}");
    world
        .sql(&format!("SET ROLE sym_bot; {lend}; RESET ROLE"))
        .await
}

/// The privileges on `secret` and its columns, but for its owner's and the function's.
async fn left_on_secret(world: &World) -> anyhow::Result<Option<String>> {
    world
        .query(
            "SELECT string_agg(format('%s by %s', acl.grantee::regrole, acl.grantor::regrole), ', ')
             FROM (SELECT relacl FROM pg_class WHERE oid = 'secret'::regclass
                   UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid = 'secret'::regclass) AS own (acl),
                  aclexplode(own.acl) acl
             WHERE acl.grantee <> 'sym_bot'::regrole
               AND acl.grantee <> (SELECT relowner FROM pg_class WHERE oid = 'secret'::regclass)",
        )
        .await
}

/// It is what the server would take for the one who has granted the rest. In the second of these
/// schemas only who has the role can find anything.
#[tokio::test]
async fn a_grant_option_for_the_function_keeps_nothing_open() -> anyhow::Result<()> {
    let world = world_with_a_bell()
        .sql(
            "CREATE SCHEMA inside; CREATE ROLE third; GRANT USAGE ON SCHEMA inside TO readonly, third, sym_bot;
             GRANT CREATE ON SCHEMA inside TO readonly; GRANT CREATE, USAGE ON SCHEMA inside TO sym_graveyard",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world.sql("GRANT third TO stranger").await?;
    for table in ["work.ringing", "inside.ringing"] {
        leaver
            .session
            .batch_execute(&format!(
                "CREATE TABLE {table} (id int); GRANT SELECT, INSERT ON {table} TO PUBLIC;
                 CREATE TRIGGER ring BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION public.noting();
                 GRANT ALL ON {table} TO sym_bot WITH GRANT OPTION"
            ))
            .await?;
        stranger
            .batch_execute(&format!("INSERT INTO {table} VALUES (1)"))
            .await?;
    }
    ensure!(rung(&world).await? == "2");
    // Somebody else's open transaction keeps what was made from being taken.
    stranger
        .batch_execute("BEGIN; SELECT FROM work.ringing; SELECT FROM inside.ringing")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    for table in ["work.ringing", "inside.ringing"] {
        let written = world
            .sql(&format!(
                "SET ROLE third; INSERT INTO {table} VALUES (2); RESET ROLE"
            ))
            .await;
        ensure!(written.is_err(), "{table}");
    }
    ensure!(rung(&world).await? == "2");
    stranger.batch_execute("ROLLBACK").await?;
    world.sweep_removes(&leaver).await
}

/// Nobody did anything odd: the function may pass on one privilege itself, and another as its
/// owner, so what it grants at once and what it takes one by one goes by another's name.
#[tokio::test]
async fn what_was_granted_as_the_owner_is_taken_as_the_owner() -> anyhow::Result<()> {
    let world = world_with_an_owner()
        .sql(
            "CREATE SCHEMA owned AUTHORIZATION owner; CREATE FUNCTION owned.routine() RETURNS int LANGUAGE sql AS 'SELECT 1';
             SET ROLE owner; GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             GRANT USAGE ON SCHEMA owned TO sym_bot WITH GRANT OPTION; RESET ROLE;
             -- What can't be moved to an heir.
             CREATE SCHEMA elsewhere; GRANT CREATE, USAGE ON SCHEMA elsewhere TO readonly",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    world
        .sql(&format!(
            "SET ROLE sym_bot; GRANT SELECT, UPDATE ON secret TO {user}; GRANT USAGE ON SCHEMA owned TO {user}; RESET ROLE",
            user = leaver.user
        ))
        .await?;
    leaver
        .session
        .batch_execute("CREATE FUNCTION elsewhere.stays() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT id FROM public.secret'")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let left = left_on_secret(&world).await?;
    ensure!(left.is_none(), "{left:?}");
    world.sql("DROP FUNCTION elsewhere.stays()").await?;
    world.sweep_removes(&leaver).await
}

/// The same, where the leaver sees to it that the function looks like the one who granted.
#[tokio::test]
async fn what_was_passed_on_beside_a_decoy_goes() -> anyhow::Result<()> {
    let world = world_with_an_owner().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    lend_select(&world, &leaver.user, "WITH GRANT OPTION").await?;
    leaver
        .session
        .batch_execute(
            "GRANT SELECT ON public.secret TO sym_bot WITH GRANT OPTION;
             GRANT SELECT ON public.secret TO stranger WITH GRANT OPTION",
        )
        .await?;
    stranger
        .batch_execute("GRANT SELECT (id) ON public.secret TO third")
        .await?;
    ensure!(third_reads(&world).await?);

    world.end_removes(&leaver).await?;
    let left = left_on_secret(&world).await?;
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

/// Only the table's owner could take it, who the function isn't. Were the rest taken, nobody
/// would know of it any more.
#[tokio::test]
async fn what_a_colleague_passed_on_is_not_forgotten() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE TABLE secret (id int); GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             CREATE ROLE owner; CREATE ROLE third LOGIN PASSWORD 'third'",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    lend_select(&world, &leaver.user, "WITH GRANT OPTION").await?;
    leaver
        .session
        .batch_execute("GRANT SELECT ON public.secret TO stranger WITH GRANT OPTION")
        .await?;
    stranger
        .batch_execute("GRANT SELECT (id) ON public.secret TO third")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    ensure!(
        world
            .send_text(SWEEP)
            .await?
            .to_string()
            .contains("could not be dropped")
    );
    ensure!(third_reads(&world).await?);
    // As the runbook has it: then the rest goes by itself.
    world
        .sql("GRANT SELECT (id) ON secret TO stranger; REVOKE SELECT (id) ON secret FROM stranger; ALTER TABLE secret OWNER TO owner; GRANT owner TO sym_bot")
        .await?;
    world.sweep_removes(&leaver).await?;
    ensure!(!third_reads(&world).await?);
    Ok(())
}

/// A column that somebody's GRANT OPTION has outlived, and that no run ever touched.
#[tokio::test]
async fn what_others_had_before_stays_theirs() -> anyhow::Result<()> {
    let world = world_with_an_owner()
        .sql(
            "CREATE ROLE lead; SET ROLE owner; GRANT SELECT ON secret TO lead WITH GRANT OPTION; SET ROLE lead;
             GRANT SELECT (id) ON secret TO third; SET ROLE owner;
             REVOKE GRANT OPTION FOR SELECT ON secret FROM lead CASCADE; RESET ROLE",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    lend_select(&world, &leaver.user, "WITH GRANT OPTION").await?;
    // What goes with the leaver's stands beside it.
    leaver
        .session
        .batch_execute("GRANT SELECT (id) ON public.secret TO sym_user")
        .await?;
    world.end_removes(&leaver).await?;
    ensure!(third_reads(&world).await?);
    let left = left_on_secret(&world).await?.unwrap_or_default();
    ensure!(!left.contains("sym_user"), "{left}");
    Ok(())
}

/// Who changes the same row of a catalog, and is done while the end waits, has it fail with what
/// is no lock any more.
#[tokio::test]
async fn a_change_at_the_same_moment_keeps_no_privilege() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE TABLE secret (id int); GRANT SELECT ON secret TO sym_bot WITH GRANT OPTION;
             CREATE FUNCTION harmless() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
             CREATE SCHEMA elsewhere; GRANT CREATE, USAGE ON SCHEMA elsewhere TO readonly",
        )
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world
        .sql(&format!(
            "SET ROLE sym_bot; GRANT SELECT ON secret TO {}; RESET ROLE; GRANT TRIGGER ON secret TO stranger",
            leaver.user
        ))
        .await?;
    leaver
        .session
        .batch_execute("CREATE FUNCTION elsewhere.stays() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT id FROM public.secret'")
        .await?;
    stranger
        .batch_execute(
            "BEGIN; CREATE TRIGGER harmless BEFORE INSERT ON public.secret FOR EACH ROW EXECUTE FUNCTION public.harmless()",
        )
        .await?;
    let end = leaver.event.end();
    let commit = async {
        // As soon as somebody waits for it.
        stranger
            .batch_execute(
                "DO $$ BEGIN FOR n IN 1..10000 LOOP
                     EXIT WHEN EXISTS (SELECT FROM pg_locks WHERE NOT granted); PERFORM pg_sleep(0.001);
                 END LOOP; END $$; COMMIT",
            )
            .await
    };
    let (answer, committed) = tokio::join!(world.send(&end), commit);
    committed?;
    let answer = answer?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    let left = left_on_secret(&world).await?;
    ensure!(left.as_deref() == Some("stranger by postgres"), "{left:?}");
    Ok(())
}

/// A colleague who has a column from the table's owner, and passes on what the leaver gave.
#[tokio::test]
async fn what_a_colleague_has_from_the_owner_stays() -> anyhow::Result<()> {
    let world = world_with_an_owner().start().await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    world
        .sql("SET ROLE owner; GRANT SELECT (id) ON secret TO stranger; RESET ROLE")
        .await?;
    lend_select(&world, &leaver.user, "WITH GRANT OPTION").await?;
    leaver
        .session
        .batch_execute("GRANT SELECT ON secret TO stranger WITH GRANT OPTION")
        .await?;
    stranger
        .batch_execute("GRANT SELECT (id) ON secret TO third")
        .await?;

    world.end_removes(&leaver).await?;
    ensure!(!third_reads(&world).await?);
    stranger.batch_execute("SELECT id FROM secret").await?;
    let left = left_on_secret(&world).await?;
    ensure!(left.as_deref() == Some("stranger by owner"), "{left:?}");
    Ok(())
}

/// A leaver has passed on a column by a GRANT OPTION on the table that its owner has taken since:
/// what was passed on outlives that. `has` is what the leaver has still. Ends its run.
async fn pass_on_what_outlives(has: &str) -> anyhow::Result<()> {
    let world = world_with_an_owner().start().await?;
    let leaver = world.leaver().await?;
    let as_owner = async |sql: &str| {
        let sql = sql.replace("{user}", &leaver.user);
        world
            .sql(&format!("SET ROLE owner; {sql}; RESET ROLE"))
            .await
    };
    as_owner("GRANT UPDATE ON secret TO {user} WITH GRANT OPTION").await?;
    as_owner(has).await?;
    leaver
        .session
        .batch_execute("GRANT UPDATE (id) ON public.secret TO third")
        .await?;
    as_owner("REVOKE UPDATE ON secret FROM {user} CASCADE").await?;
    let updates = "SELECT has_column_privilege('third', 'secret', 'id', 'UPDATE')::text";
    ensure!(world.query(updates).await?.as_deref() == Some("true"));

    world.end_removes(&leaver).await?;
    let left = left_on_secret(&world).await?;
    ensure!(left.is_none(), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn what_outlives_its_grant_option_goes_with_another_on_the_table() -> anyhow::Result<()> {
    pass_on_what_outlives("GRANT SELECT ON secret TO {user} WITH GRANT OPTION").await
}

#[tokio::test]
async fn what_outlives_its_grant_option_goes_with_another_on_the_column() -> anyhow::Result<()> {
    pass_on_what_outlives("GRANT SELECT (id) ON secret TO {user} WITH GRANT OPTION").await
}

#[tokio::test]
async fn what_outlives_its_grant_option_goes_where_there_is_no_other() -> anyhow::Result<()> {
    pass_on_what_outlives("").await
}
