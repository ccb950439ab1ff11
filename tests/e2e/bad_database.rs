//! A database, or a store of secrets, that is down, wrong or refuses.

use std::fs;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::fixture::{Event, PERSON, World, refusal, success};

const UNAVAILABLE: &str = "the database is unavailable: try again, and if it stays so, see the function's log \
    [database-unavailable]";
const NO_LOGIN: &str = "the database doesn't let `sym_bot` log in: check the function's password and the server's rules \
    [database-login]";
const NO_SECRETS: &str = "the store of secrets is unavailable, or refuses the function: try again, and if it stays so, see \
    the function's log [secret-unavailable]";

#[tokio::test]
async fn a_server_that_is_down_is_said_and_comes_back() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    // In which the end, too, has to say it: it waits for the database.
    world.lambda.set_timeout(Duration::from_secs(4));
    world.postgres.stop();
    for event in [
        Event::escalate(),
        Event::escalate_temporary_user(),
        event.end(),
    ] {
        assert_eq!(world.send(&event).await?, refusal(UNAVAILABLE));
    }
    world.postgres.restart()?;
    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert!(!world.is_member(PERSON, "readonly").await?);
    world.still_works().await
}

#[tokio::test]
async fn a_server_that_is_down_at_the_start_is_no_different() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.postgres.stop();
    assert_eq!(world.send(&Event::escalate()).await?, refusal(UNAVAILABLE));
    world.postgres.restart()?;
    world.still_works().await
}

#[tokio::test]
async fn a_wrong_password_is_said_and_can_be_mended_in_the_database() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("DB_PASSWORD", "wrong")
        .start()
        .await?;
    world.refuses(&Event::escalate(), NO_LOGIN).await?;
    world.refuses(&Event::escalate().end(), NO_LOGIN).await?;
    world.sql("ALTER ROLE sym_bot PASSWORD 'wrong'").await?;
    world.still_works().await
}

#[tokio::test]
async fn a_bot_that_is_not_there_can_not_log_in() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("DB_USER", "sym_nobody")
        .start()
        .await?;
    world
        .refuses(
            &Event::escalate(),
            &NO_LOGIN.replace("sym_bot", "sym_nobody"),
        )
        .await
}

#[tokio::test]
async fn a_database_that_does_not_exist_is_said() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("DB_NAME", "nothing")
        .start()
        .await?;
    let sentence = "the database that the function connects to does not exist: check its variables `DB_NAME` and \
        `LEDGER_DB` [database-setup]";
    world.refuses(&Event::escalate(), sentence).await
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_unless_told_so() -> anyhow::Result<()> {
    let world = World::builder().without_variable("DB_TLS").start().await?;
    world.refuses(&Event::escalate(), UNAVAILABLE).await
}

#[tokio::test]
async fn a_server_without_room_is_unavailable() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER ROLE sym_bot CONNECTION LIMIT 0")
        .start()
        .await?;
    world.refuses(&Event::escalate(), UNAVAILABLE).await?;
    world.sql("ALTER ROLE sym_bot CONNECTION LIMIT 10").await?;
    world.still_works().await
}

/// Whose database it is says how everybody's sessions there begin.
#[tokio::test]
async fn a_database_that_begins_read_only_keeps_no_access() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let leaver = world.leaver().await?;
    world
        .sql(
            "ALTER DATABASE app SET default_transaction_read_only = on;
             ALTER ROLE sym_bot SET default_transaction_read_only = on",
        )
        .await?;
    world.end_bots_sessions().await?;
    world.body(&event.end()).await?;
    world.end_removes(&leaver).await?;
    world
        .sql("BEGIN READ WRITE; ALTER DATABASE app RESET ALL; ALTER ROLE sym_bot RESET ALL; COMMIT")
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_superuser_is_not_what_the_function_works_as() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER ROLE sym_bot SUPERUSER")
        .start()
        .await?;
    let sentence = "the function logs in as `sym_bot`, which is a superuser: give it a user of its own, see `symctl \
        setup-sql` [database-setup]";
    world.refuses(&Event::escalate(), sentence).await?;
    world.refuses(&Event::escalate().end(), sentence).await?;
    world.sql("ALTER ROLE sym_bot NOSUPERUSER").await?;
    world.still_works().await
}

#[tokio::test]
async fn a_database_that_was_not_set_up_is_said() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("DROP SCHEMA sym CASCADE")
        .start()
        .await?;
    let sentence = "schema `sym` in database `app` is missing or not the function's own: run what `symctl setup-sql` \
        prints [database-setup]";
    world.refuses(&Event::escalate(), sentence).await?;
    world.sql("CREATE SCHEMA sym AUTHORIZATION sym_bot").await?;
    world.still_works().await
}

#[tokio::test]
async fn a_bot_that_may_not_lend_says_which_statement_mends_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("REVOKE readonly FROM sym_bot GRANTED BY master")
        .start()
        .await?;
    let sentence = format!(
        "`sym_bot` may not lend role `readonly`: an administrator has to run `GRANT readonly TO sym_bot WITH {}` \
         [role-refused]",
        world.admin_options()
    );
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.refuses(&event, &sentence).await?;
    }
    world
        .sql("GRANT readonly TO sym_bot WITH ADMIN OPTION")
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_role_that_is_missing_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("DROP OWNED BY readonly; DROP ROLE readonly")
        .start()
        .await?;
    let sentence = "role `readonly` does not exist in the database: create it, or correct the target [role-missing]";
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.refuses(&event, sentence).await?;
    }
    world
        .sql("CREATE ROLE readonly; GRANT readonly TO sym_bot WITH ADMIN OPTION")
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn users_that_nothing_may_be_lent_to_are_refused() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE chief LOGIN SUPERUSER; CREATE ROLE maker LOGIN CREATEROLE; CREATE ROLE everybody NOLOGIN")
        .start()
        .await?;
    for (name, why) in [
        ("chief", "is privileged, so nothing is lent to it"),
        ("maker", "is privileged, so nothing is lent to it"),
        ("everybody", "may not log in, so nothing can be lent to it"),
    ] {
        let event = Event::escalate().user(&format!("{name}@healthy-health.co"));
        world
            .refuses(
                &event,
                &format!("database user `{name}` {why} [user-refused]"),
            )
            .await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_bot_that_may_not_make_users_says_so() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER ROLE sym_bot NOCREATEROLE")
        .start()
        .await?;
    let sentence = "`sym_bot` may not make users: an administrator has to run `ALTER ROLE sym_bot CREATEROLE` \
        [database-setup]";
    world
        .refuses(&Event::escalate_temporary_user(), sentence)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_directory_that_can_not_hold_secrets_makes_no_user() -> anyhow::Result<()> {
    let world = World::start().await?;
    fs::write(world.secrets_directory(), "in the way")?;
    let event = Event::escalate_temporary_user();
    world.refuses(&event, NO_SECRETS).await?;
    world.still_works().await?;

    fs::remove_file(world.secrets_directory())?;
    world.body(&event).await?;
    world.body(&event.end()).await?;
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_can_not_be_deleted_keeps_no_access_alive() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let (user, password) = (&secret["username"], &secret["password"]);
    let (user, password) = (
        user.as_str().unwrap_or_default(),
        password.as_str().unwrap_or_default(),
    );
    let aside = world.plugins_directory().join("aside");
    fs::rename(world.secrets_directory(), &aside)?;
    fs::write(world.secrets_directory(), "in the way")?;

    let remains = format!(
        "temporary user `{user}` can't log in any more, but its secret could not be deleted: \
         send the event again, or leave it to the sweep; the function's log has the reason [secret-unavailable]"
    );
    assert_eq!(world.send(&event.end()).await?, refusal(&remains));
    assert_eq!(
        world.count_orders(user, password).await,
        Err("28P01".to_owned())
    );

    fs::remove_file(world.secrets_directory())?;
    fs::rename(&aside, world.secrets_directory())?;
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    assert!(!world.role_exists(user).await?);
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn without_secrets_manager_no_user_is_made_and_roles_are_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("SECRETS", "aws")
        .variable("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        .variable("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .variable("AWS_SECRET_ACCESS_KEY", "not-a-secret")
        .start()
        .await?;
    let event = Event::escalate_temporary_user();
    world.refuses(&event, NO_SECRETS).await?;
    world.still_works().await
}

#[tokio::test]
async fn a_role_that_may_log_in_is_lent_where_nobody_can_become_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER ROLE readonly LOGIN")
        .start()
        .await?;
    if world.postgres.install().major >= 16 {
        return world.still_works().await;
    }
    let sentence = "role `readonly` is never lent: it may log in, and whoever it is lent to could set its password (before \
        PostgreSQL 16) [role-refused]";
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.refuses(&event, sentence).await?;
    }
    world.sql("ALTER ROLE readonly NOLOGIN").await?;
    world.still_works().await
}

/// What was answered is not to be undone by a crash of the server.
#[tokio::test]
async fn a_commit_is_durable_before_the_answer() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "ALTER DATABASE app SET synchronous_commit = off; CREATE TABLE seen (setting text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$ BEGIN
                 INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
             CREATE TRIGGER note AFTER UPDATE ON sym.grants FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .start()
        .await?;
    let seen = "SELECT string_agg(DISTINCT setting, ',') FROM seen";
    world.still_works().await?;
    assert_eq!(world.query(seen).await?.as_deref(), Some("local"));
    world.body(&Event::escalate()).await?;
    world.let_time_pass().await?;
    world.sql("DELETE FROM seen").await?;
    assert_eq!(
        world
            .query("SELECT count(*) FROM sym.expire()")
            .await?
            .as_deref(),
        Some("1")
    );
    assert_eq!(world.query(seen).await?.as_deref(), Some("local"));
    // What is stricter stays as it is.
    world
        .sql("ALTER DATABASE app SET synchronous_commit = remote_apply; DELETE FROM seen")
        .await?;
    let strict = world.another(&[]).await?;
    let event = Event::escalate();
    world.body_of(&strict, &event.to_string()).await?;
    world.body_of(&strict, &event.end().to_string()).await?;
    assert_eq!(world.query(seen).await?.as_deref(), Some("remote_apply"));
    Ok(())
}

/// PostgreSQL takes any name for a role, and reads one without quotes otherwise.
#[tokio::test]
async fn the_functions_user_may_have_any_name() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("DB_USER", "Sym.Bot")
        .sql(r#"ALTER ROLE sym_bot RENAME TO "Sym.Bot""#)
        .start()
        .await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    let leaver = world.leaver().await?;
    leaver
        .session
        .batch_execute("CREATE TEMP TABLE own (id int); SELECT lo_create(0)")
        .await?;
    world.end_removes(&leaver).await?;
    world.body(&lent.end()).await?;
    world.body(&Event::escalate().new_run().end()).await?;
    let open = "SELECT count(*) FROM sym.grants WHERE state <> 'ended'";
    ensure!(world.query(open).await?.as_deref() == Some("0"));
    ensure!(world.sweep().await? == 0);
    Ok(())
}
