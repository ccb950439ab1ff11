//! What a temporary user made is used by nobody as long as it could have something by which that
//! reads what isn't its own.

use anyhow::ensure;

use crate::decoys;
use crate::fixture::{Builder, World};

/// Who has `readonly` may make things in schema `elsewhere`, which no heir may have.
fn world() -> Builder {
    World::builder().sql(
        "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO PUBLIC; GRANT CREATE ON SCHEMA elsewhere TO readonly",
    )
}

const LEAK: &str = "SELECT elsewhere.leak()";

fn make_leak(table: &str) -> String {
    format!(
        "CREATE FUNCTION elsewhere.leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS 'SELECT count(*) FROM public.{table}'"
    )
}

/// A policy, default privileges, user mappings and parameters, which a statement may give under
/// `SQL_POLICY=any`, go with the user alone.
#[tokio::test]
async fn what_goes_with_the_user_alone_opens_nothing_until_then() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE ROLE owner; GRANT owner TO sym_bot; CREATE TABLE docs (id int); GRANT SELECT ON docs TO PUBLIC;
             ALTER TABLE docs OWNER TO owner; ALTER TABLE docs ENABLE ROW LEVEL SECURITY;
             CREATE FOREIGN DATA WRAPPER other; CREATE SERVER other FOREIGN DATA WRAPPER other; ALTER SERVER other OWNER TO owner",
        )
        .start()
        .await?;
    let stranger = world.stranger().await?;
    let mut lent = vec![
        "CREATE POLICY lent ON docs FOR SELECT TO {user} USING (true)",
        "ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON TABLES TO {user}",
        "CREATE USER MAPPING FOR {user} SERVER other",
    ];
    // Before, nobody could grant one.
    if world.postgres.install().major >= 15 {
        world
            .sql("GRANT SET ON PARAMETER log_min_messages TO sym_bot WITH GRANT OPTION")
            .await?;
        lent.push("GRANT SET ON PARAMETER log_min_messages TO {user}");
    }
    for lend in lent {
        let leaver = world.leaver().await?;
        let lend = lend.replace("{user}", &leaver.user);
        world
            .sql(&format!("SET ROLE sym_bot; {lend}; RESET ROLE"))
            .await?;
        leaver.session.batch_execute(&make_leak("docs")).await?;
        stranger.batch_execute(LEAK).await?;

        let answer = world.send(&leaver.event.end()).await?.to_string();
        ensure!(answer.contains("could not be dropped"), "{answer}");
        ensure!(stranger.batch_execute(LEAK).await.is_err(), "{lend}");
        world.sql("DROP FUNCTION elsewhere.leak()").await?;
        world.sweep_removes(&leaver).await?;
    }
    Ok(())
}

/// Where who made it has granted its columns alone, and where somebody has passed one on.
#[tokio::test]
async fn a_view_is_closed_of_which_a_column_is_granted() -> anyhow::Result<()> {
    let world = decoys::world()
        .sql("CREATE ROLE third LOGIN PASSWORD 'third'; CREATE SCHEMA own")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    let third = world.login("third", "third").await;
    let third = third.map_err(anyhow::Error::msg)?;
    leaver
        .session
        .batch_execute(
            "CREATE VIEW work.granted AS SELECT id FROM public.orders; REVOKE ALL ON work.granted FROM CURRENT_USER;
             GRANT SELECT (id) ON work.granted TO third;
             CREATE VIEW work.passed_on AS SELECT id FROM public.orders; GRANT SELECT ON work.passed_on TO stranger WITH GRANT OPTION",
        )
        .await?;
    stranger
        .batch_execute("GRANT SELECT (id) ON work.passed_on TO third")
        .await?;
    let looks = [
        "SELECT id FROM work.granted",
        "SELECT id FROM work.passed_on",
    ];
    for look in looks {
        third.batch_execute(look).await?;
    }
    // What keeps the privilege from being revoked, and the views from going to an heir.
    world
        .sql(&format!(
            "CREATE FUNCTION own.stays() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION own.stays() OWNER TO {}",
            leaver.user
        ))
        .await?;
    let holder = world.postgres.admin_in("app").await?;
    holder
        .batch_execute("BEGIN; GRANT TRIGGER ON orders TO third")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("could not be dropped"), "{answer}");
    for look in looks {
        ensure!(third.batch_execute(look).await.is_err(), "{look}");
    }
    holder.batch_execute("ROLLBACK").await?;
    world.sql("DROP FUNCTION own.stays()").await?;
    world.sweep_removes(&leaver).await
}

#[tokio::test]
async fn a_role_that_could_not_be_taken_opens_nothing() -> anyhow::Result<()> {
    let world = world()
        .sql(
            "CREATE ROLE another; CREATE ROLE administrator LOGIN CREATEROLE PASSWORD 'a';
             GRANT readonly TO administrator WITH ADMIN OPTION",
        )
        .start()
        .await?;
    if world.postgres.install().major < 16 {
        return Ok(()); // There a GRANT holds no role.
    }
    let leaver = world.leaver().await?;
    let stranger = world.stranger().await?;
    leaver.session.batch_execute(&make_leak("orders")).await?;
    stranger.batch_execute(LEAK).await?;
    let administrator = world.login("administrator", "a").await;
    let administrator = administrator.map_err(anyhow::Error::msg)?;
    administrator
        .batch_execute("BEGIN; GRANT readonly TO another")
        .await?;

    let answer = world.send(&leaver.event.end()).await?.to_string();
    ensure!(answer.contains("keeps a membership of its"), "{answer}");
    ensure!(stranger.batch_execute(LEAK).await.is_err());
    administrator.batch_execute("ROLLBACK").await?;
    world.sql("DROP FUNCTION elsewhere.leak()").await?;
    world.sweep_removes(&leaver).await
}

/// The server can be set up so that who makes a role gets its privileges.
#[tokio::test]
async fn the_function_has_nothing_of_its_users() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 16 {
        return Ok(()); // There is no such setting.
    }
    world
        .sql("ALTER ROLE sym_bot SET createrole_self_grant = 'set, inherit'")
        .await?;
    world.end_bots_sessions().await?;
    let leaver = world.leaver().await?;
    let privileges = format!(
        "SELECT count(*) FROM pg_auth_members WHERE member = 'sym_bot'::regrole AND roleid = '{}'::regrole
             AND (inherit_option OR set_option)",
        leaver.user
    );
    ensure!(world.query(&privileges).await?.as_deref() == Some("0"));
    world.end_removes(&leaver).await
}
