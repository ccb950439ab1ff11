//! Sessions that were open when a lent role was taken back.

use serde_json::json;

use super::{denied, has_set_option, is_ended, person};
use crate::fixture::{BOT, Event, ORDERS, PERSON, SWEEP, World, count_orders, refusal, success};

#[tokio::test]
async fn a_session_that_took_the_role_does_not_keep_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = person(&world).await;
    let set_role = session.batch_execute("SET ROLE readonly").await;
    // With SET FALSE nobody can, and a REVOKE bites at the next statement.
    assert_eq!(set_role.is_err(), has_set_option(&world));
    assert_eq!(count_orders(&session).await, Ok(ORDERS));

    let body = world.body(&event.end()).await?;
    if has_set_option(&world) {
        assert_eq!(count_orders(&session).await, denied());
        assert_eq!(body.get("sessions_ended"), None);
    } else {
        assert!(is_ended(&session).await);
        assert_eq!(body["sessions_ended"], 1);
    }
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    Ok(())
}

#[tokio::test]
async fn an_open_cursor_does_not_read_on() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = person(&world).await;
    let cursor = "BEGIN; DECLARE reader CURSOR FOR SELECT id FROM orders; FETCH 1 FROM reader";
    session.batch_execute(cursor).await?;

    assert_eq!(world.body(&event.end()).await?["sessions_ended"], 1);
    assert!(session.batch_execute("FETCH 1 FROM reader").await.is_err());
    assert!(is_ended(&session).await);
    Ok(())
}

#[tokio::test]
async fn a_session_of_later_is_left_alone_by_the_same_event() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let first = world.send(&event.end()).await?;
    let session = person(&world).await;
    assert_eq!(world.send(&event.end()).await?, first);
    assert_eq!(count_orders(&session).await, denied());
    Ok(())
}

#[tokio::test]
async fn a_session_that_began_while_the_end_was_waiting_does_not_keep_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    // Holds the end back until the session is there.
    let holder = world.postgres.admin_in("app").await?;
    holder
        .batch_execute("BEGIN; SELECT FROM sym.grants FOR UPDATE")
        .await?;
    let end = event.end();
    let meanwhile = async {
        let waits = format!(
            "SELECT bool_or(wait_event_type = 'Lock') FROM pg_stat_activity WHERE usename = '{BOT}'"
        );
        world.wait_until(&waits).await?;
        let session = person(&world).await;
        let _ = session.batch_execute("SET ROLE readonly").await;
        assert_eq!(count_orders(&session).await, Ok(ORDERS));
        holder.batch_execute("COMMIT").await?;
        anyhow::Ok(session)
    };
    let (ended, session) = tokio::join!(world.body(&end), meanwhile);
    let (_, session) = (ended?, session?);
    let counted = count_orders(&session).await;
    assert!(counted.is_err(), "{counted:?}");
    Ok(())
}

#[tokio::test]
async fn a_session_that_took_the_role_ends_also_when_the_function_dies_before_it_looks()
-> anyhow::Result<()> {
    for by_sweep in [true, false] {
        let world = World::start().await?;
        let event = Event::escalate();
        world.body(&event).await?;
        let session = person(&world).await;
        let cursor = "BEGIN; DECLARE reader CURSOR FOR SELECT id FROM orders; FETCH 1 FROM reader";
        session.batch_execute(cursor).await?;

        let dying = world.another(&[("SYM_CRASH_AFTER_STEP", "1")]).await?;
        assert!(dying.invoke(event.end()).await?.response().is_err());
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ending"));
        if by_sweep {
            assert_eq!(world.sweep().await?, 1);
        } else {
            let ended = world
                .query("SELECT string_agg(outcome, ',') FROM sym.expire()")
                .await?;
            assert_eq!(ended.as_deref(), Some("ended"));
        }
        assert!(is_ended(&session).await);
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    }
    Ok(())
}

#[tokio::test]
async fn sessions_are_kept_where_the_operator_says_so() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("SESSIONS", "keep")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = person(&world).await;
    let _ = session.batch_execute("SET ROLE readonly").await;
    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert!(!is_ended(&session).await);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    Ok(())
}

#[tokio::test]
async fn all_sessions_end_where_the_operator_says_so() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("SESSIONS", "terminate")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let sessions = [person(&world).await, person(&world).await];
    assert_eq!(world.body(&event.end()).await?["sessions_ended"], 2);
    for session in sessions {
        assert!(is_ended(&session).await);
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_can_not_be_ended_is_said_and_looked_after() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("REVOKE pg_signal_backend FROM sym_bot GRANTED BY master")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = person(&world).await;
    let cursor = "BEGIN; DECLARE reader CURSOR FOR SELECT id FROM orders; FETCH 1 FROM reader";
    session.batch_execute(cursor).await?;

    let sentence = "the access of `sym_user` was taken back, but an open session of theirs could not be ended: an \
        administrator has to end it, or grant `pg_signal_backend` to the function's user [access-remains]";
    assert_eq!(world.send(&event.end()).await?, refusal(sentence));
    assert!(!world.is_member(PERSON, "readonly").await?);
    assert_eq!(world.send_text(SWEEP).await?, refusal(sentence));
    assert_eq!(world.open_runs().await?, 1);

    world.sql("GRANT pg_signal_backend TO sym_bot").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(is_ended(&session).await);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}
