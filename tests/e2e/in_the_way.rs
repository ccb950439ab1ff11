//! What somebody makes that the function stumbles over, and by which the access of others
//! could neither begin nor end: it goes around it.

use crate::decoys::{leaks_nothing, leave_leak, world};
use crate::fixture::{Event, OLD_SCHEMA, PERSON, World};
use crate::floods::flood;

#[tokio::test]
async fn a_database_that_lets_nobody_in_keeps_no_other_from_being_cleared() -> anyhow::Result<()> {
    // By its name it is the first.
    let world = world().start().await?;
    let stranger = world.stranger().await?;
    world.postgres.create_database("aaa").await?;
    world.sql("ALTER DATABASE aaa OWNER TO stranger").await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    leave_leak(&leaver.session, &stranger).await?;
    let in_theirs = world
        .postgres
        .connect(&leaver.user, &leaver.password, "aaa")
        .await?;
    in_theirs.batch_execute("SELECT lo_create(0)").await?;
    stranger
        .batch_execute("ALTER DATABASE aaa CONNECTION LIMIT 0")
        .await?;

    let answer = world.send(&leaver.event.end()).await?;
    assert_ne!(answer["errors"], serde_json::json!([]), "{answer}");
    assert_eq!(
        world.run_state(&leaver.event).await?.as_deref(),
        Some("ending")
    );
    leaks_nothing(&world).await?;
    // All of it: nothing in this database is the user's, or granted to it.
    let left = format!(
        "SELECT count(*) FROM pg_shdepend s JOIN pg_database d ON d.oid = s.dbid
         WHERE d.datname = 'app' AND s.refobjid = '{user}'::regrole"
    );
    assert_eq!(world.query(&left).await?.as_deref(), Some("0"));
    stranger
        .batch_execute("ALTER DATABASE aaa CONNECTION LIMIT -1")
        .await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

/// No access can end before the schema is up to date. Who may look into it is who has USAGE,
/// as pg_read_all_data has since 14; a view asks for no more to be made.
#[tokio::test]
async fn a_view_on_a_function_of_an_earlier_version_keeps_none_from_ending() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let stranger = world.stranger().await?;
    // As version 8 was.
    world
        .sql(&format!(
            "{OLD_SCHEMA} COMMENT ON SCHEMA sym IS 'sym-postgres 8'; SET SESSION AUTHORIZATION sym_bot;
             CREATE FUNCTION sym.take_membership(oid, oid, boolean) RETURNS boolean LANGUAGE sql AS 'SELECT true';
             RESET SESSION AUTHORIZATION; GRANT USAGE ON SCHEMA sym TO stranger"
        ))
        .await?;
    stranger
        .batch_execute("CREATE TEMP VIEW kept AS SELECT sym.take_membership(0, 0, true)")
        .await?;
    world.lambda.restart().await?;
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// What makes a role an owner without any right to make things: nothing runs with it.
#[tokio::test]
async fn what_can_do_nothing_keeps_no_role_from_being_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE colleague LOGIN")
        .start()
        .await?;
    let defaults = "ALTER DEFAULT PRIVILEGES FOR ROLE readonly GRANT SELECT ON TABLES TO sym_user";
    let large_object = "SELECT lo_create(0); REASSIGN OWNED BY sym_user TO readonly";
    let ways = match world.postgres.install().major {
        // Since 16 a large object can be given to no role that can't be taken by SET ROLE.
        16.. => &[defaults][..],
        _ => &[defaults, large_object],
    };
    for way in ways {
        let (first, second) = (
            Event::escalate(),
            Event::escalate().user("colleague@healthy-health.co"),
        );
        world.body(&first).await?;
        let person = world.login(PERSON, &world.person_password).await;
        let person = person.map_err(anyhow::Error::msg)?;
        person.batch_execute(way).await?;
        world.body(&second).await?;
        assert!(world.is_member("colleague", "readonly").await?, "{way}");
        world.body(&first.end()).await?;
        world.body(&second.end()).await?;
        world.still_works().await?;
    }
    Ok(())
}

/// By what was looked through nobody can tell: the user may own something, and a policy may name
/// its role.
#[tokio::test]
async fn what_is_looked_through_in_part_may_be_anything() -> anyhow::Result<()> {
    let world = World::start().await?;
    let leaver = world.leaver().await?;
    let run = leaver.event.run_srn();
    flood(&world, &leaver.user).await?;
    let disable = format!("SELECT sym.disable_user(lower('{run}'), 'test')::text");
    world.query(&disable).await?;
    let heir = format!("SELECT sym.prepare_clearing(lower('{run}')) ->> 'heir' IS NOT NULL");
    assert_eq!(world.query(&heir).await?.as_deref(), Some("true"));

    world
        .sql(
            "UPDATE pg_catalog.pg_shdepend SET classid = 'pg_policy'::regclass, refobjid = 0
                 WHERE classid = 'pg_largeobject'::regclass",
        )
        .await?;
    let databases =
        "SELECT cardinality(sym.databases_of_policies(ARRAY['readonly'::regrole::oid]))";
    assert_eq!(world.query(databases).await?.as_deref(), Some("1"));
    Ok(())
}
