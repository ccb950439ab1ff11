//! What a temporary user made is used by nobody as long as it could have something by which that
//! reads what isn't its own.

use anyhow::ensure;

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

/// A policy, default privileges and user mappings, which a statement may give under
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
    for lend in [
        "CREATE POLICY lent ON docs FOR SELECT TO {user} USING (true)",
        "ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT ON TABLES TO {user}",
        "CREATE USER MAPPING FOR {user} SERVER other",
    ] {
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
