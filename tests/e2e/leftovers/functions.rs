//! More than one function on a cluster.

use serde_json::json;

use super::{TemporaryUser, denied, has_set_option};
use crate::fixture::{Event, ORDERS, World, success};

#[tokio::test]
async fn one_function_ends_what_another_began() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let other = world
        .another(&[("AWS_LAMBDA_FUNCTION_NAME", "sym-postgres-other")])
        .await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let body = world.body(&event).await?;
        // Whoever is asked again, the run's names are those of its first try.
        assert_eq!(world.body_of(&other, &event.to_string()).await?, body);
        world.body_of(&other, &event.end().to_string()).await?;
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_functions_with_users_of_their_own_count_the_same_runs() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE other_bot LOGIN PASSWORD 'other'; GRANT USAGE ON SCHEMA sym TO other_bot")
        .start()
        .await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world
        .sql("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO other_bot")
        .await?;
    let other = world
        .another(&[
            ("DB_USER", "other_bot"),
            ("DB_PASSWORD", "other"),
            ("LEDGER_OWNER", "sym_bot"),
        ])
        .await?;
    world.body_of(&other, &second.to_string()).await?;
    world.body(&first.end()).await?;
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    world.body(&second.end()).await?;
    assert_eq!(world.person_counts_orders().await, denied());
    Ok(())
}

#[tokio::test]
async fn a_function_with_a_user_of_its_own_removes_who_owns_nothing() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE other_bot LOGIN PASSWORD 'other'; GRANT USAGE ON SCHEMA sym TO other_bot;
             GRANT CREATE, USAGE ON SCHEMA public TO readonly",
        )
        .start()
        .await?;
    let before = world.state().await?;
    let (idle, busy) = (
        TemporaryUser::make(&world).await?,
        TemporaryUser::make(&world).await?,
    );
    world
        .sql("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO other_bot")
        .await?;
    let other = world
        .another(&[
            ("DB_USER", "other_bot"),
            ("DB_PASSWORD", "other"),
            ("LEDGER_OWNER", "sym_bot"),
        ])
        .await?;
    let answer = world.send_to(&other, &idle.event.end().to_string()).await?;
    assert_eq!(answer, success(json!({})));
    assert!(!world.role_exists(&idle.name).await?);

    // What a user owns is taken over only by the function that made it.
    let session = busy.session(&world).await;
    session.batch_execute("CREATE TABLE notes ()").await?;
    let answer = world.send_to(&other, &busy.event.end().to_string()).await?;
    assert_eq!(answer, busy.blocked());
    busy.is_disabled(&world).await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&busy.name).await?);
    world.ledger_agrees().await?;
    world.sql("DROP TABLE notes").await?;
    world.is_as(&before).await
}

#[tokio::test]
async fn the_functions_user_is_not_dropped_while_its_users_live() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE later_bot LOGIN CREATEROLE PASSWORD 'later' IN ROLE sym_admins")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    // Who drops it after all has made the ledger somebody else's first.
    world.sql("ALTER ROLE sym_bot RENAME TO former_bot").await?;
    assert!(world.sql("DROP ROLE former_bot").await.is_err());
    world.sql("ALTER ROLE former_bot RENAME TO sym_bot").await?;
    let owned = "REASSIGN OWNED BY sym_bot TO postgres; REVOKE ALL ON DATABASE app FROM sym_bot; DROP ROLE sym_bot";
    let is_kept = world.sql(owned).await.is_err();
    assert_eq!(is_kept, has_set_option(&world));

    // A later one removes them by what `sym_admins` may.
    let later = world.login("later_bot", "later").await;
    let later = later.map_err(anyhow::Error::msg)?;
    let name = &user.name;
    for statement in [
        format!("ALTER ROLE {name} NOLOGIN"),
        format!("DROP ROLE {name}"),
    ] {
        later.batch_execute(&statement).await?;
    }
    assert!(!world.role_exists(name).await?);
    Ok(())
}
