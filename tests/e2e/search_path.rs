//! What an administrator is told to run, runs nothing of those who may create in `public`:
//! everybody up to PostgreSQL 14, and longer where a cluster is older than that
//! (CVE-2018-1058).

use std::fs;

use anyhow::{Context as _, ensure};
use sym_host::sql::split_statements;
use sym_test_support::tools;
use tokio_postgres::Client;

use crate::fixture::World;

/// Each fits a call, or a comparison, better than PostgreSQL's own, and makes `eve` a
/// superuser where a superuser comes by.
const TRAPS: &str = r#"
    CREATE FUNCTION public.seize() RETURNS void LANGUAGE plpgsql AS $$ DECLARE was text := current_user; BEGIN
        RESET ROLE; ALTER ROLE eve SUPERUSER; PERFORM set_config('role', was, false);
    EXCEPTION WHEN insufficient_privilege THEN NULL; END $$;
    CREATE FUNCTION public.equal(oid, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN $1 = $2::oid; END $$;
    CREATE FUNCTION public.differ(oid, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN $1 <> $2::oid; END $$;
    CREATE FUNCTION public.equal(oid, regprocedure) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN $1 = $2::oid; END $$;
    CREATE FUNCTION public.equal(oid, regrole) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN $1 = $2::oid; END $$;
    CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = int, FUNCTION = public.equal);
    CREATE OPERATOR public.<> (LEFTARG = oid, RIGHTARG = int, FUNCTION = public.differ);
    CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regprocedure, FUNCTION = public.equal);
    CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = regrole, FUNCTION = public.equal);
    CREATE FUNCTION public.format(text, regrole) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN pg_catalog.format($1, $2::text); END $$;
    CREATE FUNCTION public.pg_has_role(text, text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN false; END $$;
    CREATE FUNCTION public.shobj_description(oid, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
        PERFORM public.seize(); RETURN ''; END $$"#;

/// A database in which `eve`, who may do nothing but create in `public`, has set them.
async fn lay_traps(world: &World, database: &str) -> anyhow::Result<()> {
    // By default, up to 14.
    let create =
        format!("GRANT CREATE ON SCHEMA public TO eve; SET SESSION AUTHORIZATION eve; {TRAPS}");
    world.postgres.execute_sql(database, &create).await
}

/// Runs the statements one by one, as psql does.
pub(crate) async fn run_each(session: &Client, sql: &str) -> anyhow::Result<()> {
    for statement in split_statements(sql)? {
        let ran = session.batch_execute(&statement).await;
        ran.with_context(|| statement.clone())?;
    }
    Ok(())
}

async fn eve_is_nobody(world: &World) -> anyhow::Result<()> {
    let is_super = "SELECT rolsuper FROM pg_roles WHERE rolname = 'eve'";
    ensure!(world.query(is_super).await?.as_deref() == Some("false"));
    Ok(())
}

/// They are traps: a superuser who searches `public` steps into them.
async fn they_are_traps(world: &World, database: &str, statement: &str) -> anyhow::Result<()> {
    let careless = world.postgres.admin_in(database).await?;
    careless.batch_execute(statement).await?;
    eve_is_nobody(world).await.expect_err("is a trap");
    Ok(())
}

#[tokio::test]
async fn who_runs_the_setup_runs_nothing_of_others() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE eve LOGIN")
        .start()
        .await?;
    for (database, strategy) in [("first", "temporary-user"), ("second", "role")] {
        world.postgres.create_database(database).await?;
        lay_traps(&world, database).await?;
        let bot = format!("bot_of_{database}");
        let setup = world.setup_sql(database, &bot, strategy).await?;
        let admin = world.postgres.admin_in(database).await?;
        run_each(&admin, &setup).await?;
        eve_is_nobody(&world).await?;
        let path: String = admin.query_one("SHOW search_path", &[]).await?.get(0);
        ensure!(path == "\"$user\", public", "{path}");
    }
    they_are_traps(&world, "second", "SELECT 1::oid <> 1").await
}

#[tokio::test]
async fn who_runs_what_a_page_says_runs_nothing_of_others() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE eve LOGIN; CREATE ROLE ann; CREATE ROLE sym_graveyard_1")
        .start()
        .await?;
    lay_traps(&world, "app").await?;
    let mut count = 0;
    for page in ["migration.md", "operations.md", "runbook.md"] {
        let text = fs::read_to_string(tools::workspace().join("docs").join(page))?;
        for block in text.split("```sql\n").skip(1) {
            let (block, _) = block.split_once("```").context("has an end")?;
            // The others take the function away.
            if block.contains("SELECT") {
                let session = world.postgres.admin_in("app").await?;
                run_each(&session, block).await?;
                eve_is_nobody(&world).await.context(block.to_owned())?;
                count += 1;
            }
        }
    }
    ensure!(count == 6, "{count}");
    they_are_traps(&world, "app", "SELECT format('%s', 10::regrole)").await
}
