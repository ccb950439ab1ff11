//! Users and rows that are not what they were: made anew, raised, rewritten.

use serde_json::json;

use super::{TemporaryUser, denied, has_set_option, is_ended};
use crate::fixture::{BOT, Event, SWEEP, World, refusal, success};

#[tokio::test]
async fn a_row_that_names_another_user_takes_nothing_from_them() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE colleague LOGIN; GRANT readonly TO colleague")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql("UPDATE sym.grants SET user_oid = 'colleague'::regrole")
        .await?;
    let sentence = "database user `sym_user` is not the one of this run any more (made anew, or restored from a backup), \
        so nothing was taken from it: an administrator has to look, and to revoke by hand; then the run can end [access-remains]";
    world.refuses(&event.end(), sentence).await?;
    world.let_time_pass().await?;
    world.refuses_text(SWEEP, sentence).await?;

    world
        .sql("UPDATE sym.grants SET user_oid = 'sym_user'::regrole")
        .await?;
    world.body(&event.end()).await?;
    assert!(world.is_member("colleague", "readonly").await?);
    assert_eq!(world.person_counts_orders().await, denied());
    Ok(())
}

#[tokio::test]
async fn a_user_that_was_made_a_superuser_is_said() -> anyhow::Result<()> {
    let world = World::start().await?;
    let user = TemporaryUser::make(&world).await?;
    world
        .sql(&format!("ALTER ROLE {} SUPERUSER", user.name))
        .await?;
    let sentence = format!(
        "temporary user `{0}` is more privileged than the function's user, so it could not be disabled: an administrator \
         has to run `ALTER ROLE {0} NOLOGIN NOSUPERUSER NOREPLICATION NOBYPASSRLS` [access-remains]",
        user.name
    );
    assert_eq!(world.send(&user.event.end()).await?, refusal(&sentence));
    // What could be taken is taken.
    assert!(!world.is_member(&user.name, "readonly").await?);
    assert!(world.secrets().await?.is_empty());
    world
        .sql(&format!("ALTER ROLE {} NOLOGIN NOSUPERUSER", user.name))
        .await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}

/// `pg_upgrade` and `pg_dumpall` make all memberships a superuser's, and nobody gets ADMIN on a user
/// that was made before 16.
#[tokio::test]
async fn a_user_from_before_an_upgrade_is_said_to_need_its_admin_option() -> anyhow::Result<()> {
    let world = World::start().await?;
    if !has_set_option(&world) {
        return Ok(()); // An upgrade to 16 or later is what this is about.
    }
    let user = TemporaryUser::make(&world).await?;
    let name = &user.name;
    let upgrade = format!(
        "REVOKE {name} FROM sym_bot GRANTED BY postgres CASCADE; REVOKE sym_managed FROM {name} GRANTED BY sym_bot;
         REVOKE readonly FROM {name} GRANTED BY sym_bot; GRANT readonly TO {name};
         UPDATE sym.grants SET server_version = 150000"
    );
    world.sql(&upgrade).await?;
    let grant = format!("GRANT {name} TO sym_bot WITH ADMIN TRUE, INHERIT FALSE, SET FALSE");
    let sentence = format!(
        "temporary user `{name}` could not be disabled, and can still log in: `sym_bot` has no ADMIN option on it, as after \
         an upgrade of the server from 15 or older; a superuser has to run `{grant}`, and the next sweep ends it \
         [access-remains]"
    );
    let end = user.event.end().to_string();
    for sent in [end.as_str(), SWEEP] {
        let session = user.session(&world).await;
        assert_eq!(world.send_text(sent).await?, refusal(&sentence));
        // Until then each try ends the sessions.
        assert!(is_ended(&session).await);
        assert_eq!(
            world.run_state(&user.event).await?.as_deref(),
            Some("ending")
        );
    }
    world.sql(&grant).await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(name).await?);
    Ok(())
}

#[tokio::test]
async fn a_user_that_the_function_may_not_change_is_said() -> anyhow::Result<()> {
    let world = World::start().await?;
    let user = TemporaryUser::make(&world).await?;
    world.sql("ALTER ROLE sym_bot NOCREATEROLE").await?;
    let mend = "ALTER ROLE sym_bot CREATEROLE";
    let sentence = format!(
        "temporary user `{}` could not be disabled, and can still log in: `sym_bot` may not change users; an administrator \
         has to run `{mend}`, and the next sweep ends it [access-remains]",
        user.name
    );
    assert_eq!(world.send(&user.event.end()).await?, refusal(&sentence));
    world.sql(mend).await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}

#[tokio::test]
async fn another_role_of_a_temporary_users_name_is_left_alone() -> anyhow::Result<()> {
    let world = World::start().await?;
    let user = TemporaryUser::make(&world).await?;
    world
        .sql(&format!(
            "DROP ROLE {0}; CREATE ROLE {0} LOGIN; GRANT readonly TO {0}",
            user.name
        ))
        .await?;
    let sentence = format!(
        "database user `{}` is not the one of this run any more (made anew, or restored from a backup), so nothing was \
         taken from it: an administrator has to look, and to revoke by hand; then the run can end [access-remains]",
        user.name
    );
    world.refuses(&user.event.end(), &sentence).await?;
    world.sql(&format!("DROP ROLE {}", user.name)).await?;
    world.body(&user.event.end()).await?;
    assert!(world.secrets().await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_row_that_names_somebody_elses_user_never_removes_them() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE intern LOGIN; GRANT sym_managed TO intern; COMMENT ON ROLE intern IS 'not JSON';
              CREATE ROLE trainee LOGIN; GRANT sym_managed TO trainee")
        .start()
        .await?;
    let other = TemporaryUser::make(&world).await?;
    for name in [
        "sym_user",
        "intern",
        "trainee",
        "postgres",
        BOT,
        other.name.as_str(),
    ] {
        let before = world.state().await?;
        let user = TemporaryUser::make(&world).await?;
        let run = user.event.run_srn();
        // By its name its own is there, or by none.
        let away = format!("ALTER ROLE {} RENAME TO away", user.name);
        let back = format!("ALTER ROLE away RENAME TO {}", user.name);
        world
            .sql(&format!(
                "{away}; UPDATE sym.grants SET user_oid = '{name}'::regrole WHERE run = '{run}'"
            ))
            .await?;
        if name != other.name {
            let sentence = format!(
                "database user `{name}` doesn't look like the one that was made for this run, so it was left alone: an \
                 administrator has to look [access-remains]"
            );
            world.refuses(&user.event.end(), &sentence).await?;
        }
        world.sql(&back).await?;
        world.body(&user.event.end()).await?;
        world.is_as(&before).await?;
    }
    world.body(&other.event.end()).await?;
    assert!(world.role_exists("intern").await?);
    Ok(())
}

#[tokio::test]
async fn who_may_write_all_data_can_not_change_the_ledger() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE mallory LOGIN PASSWORD 'mallory'; GRANT USAGE ON SCHEMA sym TO mallory")
        .start()
        .await?;
    if world.postgres.install().major >= 14 {
        world
            .sql("GRANT pg_write_all_data, pg_read_all_data TO mallory")
            .await?;
    }
    let event = Event::escalate();
    world.body(&event).await?;
    let before = world.ledger_rows().await?;
    let mallory = world
        .login("mallory", "mallory")
        .await
        .map_err(anyhow::Error::msg)?;
    for statement in [
        "UPDATE sym.grants SET expires_at = 'infinity'",
        "DELETE FROM sym.grants",
        "TRUNCATE sym.grants",
        "INSERT INTO sym.grants (run, state) VALUES ('x', 'ended')",
        "ALTER TABLE sym.grants DISABLE ROW LEVEL SECURITY",
        "DROP TABLE sym.grants",
        "SELECT sym.expire()",
        "SELECT sym.give_back('x', '{}')",
        "SELECT sym.lend('{}')",
        "SELECT sym.grant_membership(0, 0)",
        "SELECT sym.end_these_sessions(0, '{}')",
        "CREATE OR REPLACE FUNCTION sym.expire() RETURNS void LANGUAGE sql AS ''",
    ] {
        // Of rows that it doesn't see, it changes none.
        let _ = mallory.batch_execute(statement).await;
        assert_eq!(world.ledger_rows().await?, before, "{statement}");
    }
    if let Ok(row) = mallory
        .query_one("SELECT count(*) FROM sym.grants", &[])
        .await
    {
        assert_eq!(row.get::<_, i64>(0), 0);
    }
    let callable = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'sym'::regnamespace
        AND has_function_privilege('mallory', oid, 'EXECUTE')";
    assert_eq!(world.query(callable).await?.as_deref(), Some("0"));
    world.body(&event.end()).await?;
    Ok(())
}

/// Since 16 the marker role says so too, which needs its ADMIN option; a comment needs less.
#[tokio::test]
async fn a_comment_alone_makes_nobody_ours() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 16 {
        return Ok(());
    }
    let user = TemporaryUser::make(&world).await?;
    let as_bot = |statement: &str| {
        format!(
            "SET SESSION AUTHORIZATION sym_bot; {statement} {}; RESET SESSION AUTHORIZATION",
            user.name
        )
    };
    world.sql(&as_bot("REVOKE sym_managed FROM")).await?;
    let sentence = format!(
        "database user `{}` doesn't look like the one that was made for this run, so it was left alone: an \
         administrator has to look [access-remains]",
        user.name
    );
    world.refuses(&user.event.end(), &sentence).await?;
    world.sql(&as_bot("GRANT sym_managed TO")).await?;
    world.body(&user.event.end()).await?;
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}
