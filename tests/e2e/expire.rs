//! The database's own switch, `sym.expire()`: what it ends without the function, in which
//! order, and what it says of what it can't.

use crate::fixture::{Event, PERSON, World};

#[tokio::test]
async fn the_databases_own_switch_ends_all_but_what_is_held() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE colleague LOGIN")
        .start()
        .await?;
    let (held, temporary) = (Event::escalate(), Event::escalate_temporary_user());
    let free = Event::escalate().user("colleague@healthy-health.co");
    for event in [&held, &free, &temporary] {
        world.body(event).await?;
    }
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let hold = format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'");
    leaver.session.batch_execute(&hold).await?;
    world.let_time_pass().await?;
    world.lambda.kill();
    let administrator = world.postgres.admin_in("app").await?;
    let lock =
        format!("BEGIN; SELECT FROM sym.locks WHERE user_oid = '{PERSON}'::regrole FOR UPDATE");
    administrator.batch_execute(&lock).await?;
    let outcomes =
        "SELECT string_agg(split_part(outcome, ':', 1), ',' ORDER BY outcome) FROM sym.expire()";
    assert_eq!(
        world.query(outcomes).await?.as_deref(),
        Some("disabled,disabled,failed,taken-back")
    );
    assert!(!world.is_member("colleague", "readonly").await?);
    assert!(world.is_member(PERSON, "readonly").await?);
    administrator.batch_execute("ROLLBACK").await?;
    let outcomes = world.query(outcomes).await?.unwrap_or_default();
    assert!(outcomes.contains("taken-back"), "{outcomes}");
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

#[tokio::test]
async fn what_can_still_be_used_is_ended_before_what_is_cleared_away() -> anyhow::Result<()> {
    let world = World::start().await?;
    // By its name alone it would be the first.
    let (cleared, used) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&cleared).await?;
    world.body(&used).await?;
    world.let_time_pass().await?;
    let ending = format!(
        "UPDATE sym.grants SET state = 'ending' WHERE run = lower('{}')",
        cleared.run_srn()
    );
    world.ledger_sql(&ending).await?;
    let order = "SELECT string_agg(strategy, ',') FROM sym.overdue()";
    assert_eq!(
        world.ledger(order).await?.as_deref(),
        Some("temporary-user,role")
    );
    Ok(())
}

#[tokio::test]
async fn the_databases_own_switch_tries_again_what_it_could_not_take() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let hold = format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'; PREPARE TRANSACTION 'kept'");
    leaver.session.batch_execute(&hold).await?;
    world.let_time_pass().await?;
    let outcome = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    for _ in 0..2 {
        let outcome = world.query(outcome).await?;
        assert_eq!(
            outcome.as_deref(),
            Some("failed: the user can still log in")
        );
    }
    world.sql("ROLLBACK PREPARED 'kept'").await?;
    assert_eq!(world.query(outcome).await?.as_deref(), Some("disabled"));
    let can_login = format!("SELECT rolcanlogin FROM pg_roles WHERE rolname = '{user}'");
    assert_eq!(world.query(&can_login).await?.as_deref(), Some("false"));
    assert_eq!(world.query(outcome).await?, None);
    Ok(())
}

#[tokio::test]
async fn the_databases_own_switch_takes_what_no_session_can_keep() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.body(&Event::escalate()).await?;
    let leaver = world.leaver().await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("BEGIN").await?;
    world.let_time_pass().await?;
    world
        .sql("REVOKE pg_signal_backend FROM sym_bot GRANTED BY master")
        .await?;
    let outcomes =
        "SELECT string_agg(split_part(outcome, ':', 2), ',' ORDER BY outcome) FROM sym.expire()";
    assert_eq!(
        world.query(outcomes).await?.as_deref(),
        Some(" disabled, but sessions remain, taken-back, but sessions remain")
    );
    assert!(!world.is_member(PERSON, "readonly").await?);
    assert!(world.login(&leaver.user, &leaver.password).await.is_err());
    Ok(())
}

#[tokio::test]
async fn what_the_databases_own_switch_has_ended_stays_so_when_its_time_is_over()
-> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .start()
        .await?;
    world.body(&Event::escalate()).await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let hold = format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'; PREPARE TRANSACTION 'kept'");
    leaver.session.batch_execute(&hold).await?;
    world.let_time_pass().await?;
    let admin = world.postgres.admin_in("app").await?;
    admin.batch_execute("SET statement_timeout = '1s'").await?;
    let outcomes = "SELECT string_agg(split_part(outcome, ':', 1), ',') FROM sym.expire()";
    let outcomes = admin.query_one(outcomes, &[]).await?;
    assert_eq!(outcomes.get::<_, &str>(0), "taken-back,failed");
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}
