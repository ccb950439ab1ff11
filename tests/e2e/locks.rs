//! Somebody else's transaction that is open, and holds what an event needs. The
//! event waits for a while; then it says so, and nothing of it was done.

use crate::fixture::{BOT, Event, ORDERS, SWEEP, World, refusal};

const CONFLICT: &str =
    "another change was in progress in the database: try again in a moment [database-conflict]";

/// With the lock held the event fails, with nothing done; without it, it succeeds.
async fn fails_until_it_is_released(
    world: &World,
    event: &Event,
    lock: &str,
) -> anyhow::Result<()> {
    let holder = world.postgres.admin_in("app").await?;
    holder.batch_execute(&format!("BEGIN; {lock}")).await?;
    let before = world.state().await?;
    assert_eq!(world.send(event).await?, refusal(CONFLICT), "{lock}");
    world.is_as(&before).await?;
    holder.batch_execute("ROLLBACK").await?;
    world.body(event).await?;
    world.ledger_agrees().await
}

#[tokio::test]
async fn a_locked_user_is_lent_nothing_until_it_is_released() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    // Another event of the same person's, in another process.
    let same_person = "SELECT FROM sym.locks WHERE user_oid = 'sym_user'::regrole FOR UPDATE";
    // An administrator does the same, and hasn't committed yet.
    let grant = "GRANT readonly TO sym_user";
    let revoke = world.revoke();
    for (to_begin, to_end) in [
        (same_person, same_person),
        (grant, revoke.as_str()),
        (grant, "SELECT FROM sym.grants FOR UPDATE"),
    ] {
        let event = Event::escalate();
        fails_until_it_is_released(&world, &event, to_begin).await?;
        assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
        fails_until_it_is_released(&world, &event.end(), to_end).await?;
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_locked_temporary_user_is_removed_when_it_is_released() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    fails_until_it_is_released(&world, &event, "LOCK TABLE pg_authid IN EXCLUSIVE MODE").await?;
    let user = "SELECT user_name FROM sym.grants WHERE state = 'granted'";
    let user = world.query(user).await?.unwrap_or_default();
    // What an administrator keeps is said; and all that can be taken is taken.
    let holder = world.postgres.admin_in("app").await?;
    let lock = format!("BEGIN; ALTER ROLE {user} CONNECTION LIMIT 3");
    holder.batch_execute(&lock).await?;
    let kept = format!(
        "temporary user `{user}` can still log in: a transaction that could not be ended keeps it; an administrator has \
         to end that (an open one of an administrator's, one of autovacuum's that runs the user's functions, or see pg_prepared_xacts, ROLLBACK PREPARED), and the next sweep \
         tries again [access-remains]"
    );
    assert_eq!(world.send(&event.end()).await?, refusal(&kept));
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ending"));
    assert!(!world.is_member(&user, "readonly").await?);
    assert!(world.secrets().await?.is_empty());
    assert_eq!(world.send_text(SWEEP).await?, refusal(&kept));
    holder.batch_execute("ROLLBACK").await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    world.is_as(&before).await
}

#[tokio::test]
async fn an_event_that_waits_goes_on_when_the_other_commits() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = world.state().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let body = world.body(&event).await?;
        let user = body["username"].as_str().unwrap_or_default();
        let holder = world.postgres.admin_in("app").await?;
        // It changes the rows that the event is about to change: the user's, or
        // that of the membership.
        let change = match body.contains_key("secret_name") {
            true => format!("ALTER ROLE {user} CONNECTION LIMIT 3"),
            false => "UPDATE pg_auth_members SET admin_option = admin_option WHERE member = 'sym_user'::regrole".to_owned(),
        };
        holder.batch_execute(&format!("BEGIN; {change}")).await?;
        let end = event.end();
        let release = async {
            let waits = format!(
                "SELECT bool_or(wait_event_type = 'Lock') FROM pg_stat_activity WHERE usename = '{BOT}'"
            );
            world.wait_until(&waits).await?;
            anyhow::Ok(holder.batch_execute("COMMIT").await?)
        };
        let (ended, released) = tokio::join!(world.body(&end), release);
        ended?;
        released?;
        world.ledger_agrees().await?;
        world.is_as(&before).await?;
    }
    Ok(())
}

/// Somebody waits for a lock in a transaction of the function's.
const WAITS: &str = "EXISTS (SELECT FROM pg_stat_activity
    WHERE application_name LIKE 'sym-postgres%' AND wait_event_type = 'Lock')";

#[tokio::test]
async fn a_long_setup_keeps_no_role_from_being_taken_back() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON pay TO {username}",
        )
        .sql("CREATE TABLE pay (); GRANT SELECT ON pay TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    let other = world.another(&[]).await?;
    let admin = world.postgres.admin_in("app").await?;
    admin
        .batch_execute("BEGIN; GRANT SELECT ON pay TO PUBLIC")
        .await?;
    let event = Event::escalate_temporary_user();
    let ending = async {
        world.wait_until(WAITS).await?;
        world.body_of(&other, &lent.end().to_string()).await?;
        let waits = world.query(&format!("SELECT {WAITS}")).await?;
        admin.batch_execute("ROLLBACK").await?;
        anyhow::Ok(waits)
    };
    let (made, waits) = tokio::join!(world.body(&event), ending);
    made?;
    assert_eq!(
        waits?.as_deref(),
        Some("true"),
        "the end came after the setup"
    );
    world.body(&event.end()).await?;
    world.ledger_agrees().await
}

/// Nobody sends an end again: each sweep tries from now on, whatever the lease.
#[tokio::test]
async fn an_end_that_failed_is_the_next_sweeps() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    assert_eq!(world.sweep().await?, 0);
    let holder = world.postgres.admin_in("app").await?;
    holder
        .batch_execute(&format!("BEGIN; {}", world.revoke()))
        .await?;
    assert_eq!(world.send(&event.end()).await?, refusal(CONFLICT));
    holder.batch_execute("ROLLBACK").await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    Ok(())
}
