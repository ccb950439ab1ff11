//! Events that come twice, late, out of order, and while the world changes.

use serde_json::{Value, json};

use crate::fixture::{Event, ORDERS, PERSON, SWEEP, World, refusal, success};

const REPLAYED: &str = "this run has ended, and can't begin again for another 900 seconds: send a new request; to try a \
    saved event again, give it another run id (`symctl invoke --new-run`) [run-ended]";

#[tokio::test]
async fn an_event_that_comes_twice_has_the_same_answer() -> anyhow::Result<()> {
    let world = World::start().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let first = world.send(&event).await?;
        let state = world.state().await?;
        assert_eq!(world.send(&event).await?, first);
        world.is_as(&state).await?;

        let first = world.send(&event.end()).await?;
        let state = world.state().await?;
        assert_eq!(world.send(&event.end()).await?, first);
        world.is_as(&state).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_repeat_after_a_cold_start_has_the_same_answer() -> anyhow::Result<()> {
    let world = World::start().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let first = world.send(&event).await?;
        world.lambda.restart().await?;
        assert_eq!(world.send(&event).await?, first);
        world.lambda.restart().await?;
        world.body(&event.end()).await?;
    }
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

#[tokio::test]
async fn a_run_that_has_ended_does_not_begin_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.body(&event).await?;
        world.body(&event.end()).await?;
        let before = world.state().await?;
        let answer = world.send(&event).await?;
        assert!(is_replay(&answer), "{answer}");
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_run_that_ends_before_it_begins_does_not_begin() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let note = success(json!({"note": "the run had not begun, and can't begin now"}));
        assert_eq!(world.send(&event.end()).await?, note);
        let answer = world.send(&event).await?;
        assert!(is_replay(&answer), "{answer}");
        world.is_as(&before).await?;
    }
    world.still_works().await
}

/// The seconds that are left may have begun to run.
fn is_replay(answer: &Value) -> bool {
    let sentence = |seconds: u32| REPLAYED.replace("900", &seconds.to_string());
    (890..=900).any(|seconds| *answer == refusal(&sentence(seconds)))
}

#[tokio::test]
async fn without_a_replay_window_a_run_may_begin_again() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("REPLAY_WINDOW_SECONDS", "0")
        .start()
        .await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        for _ in 0..2 {
            world.body(&event).await?;
            world.body(&event.end()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn of_two_runs_on_one_role_the_last_takes_it_back() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world.body(&second).await?;

    let body = world.body(&first.end()).await?;
    assert_eq!(body["username"], PERSON);
    assert_eq!(
        body["note"],
        "`sym_user` keeps `readonly` until 1 more run(s) end"
    );
    // The answer may have been lost.
    assert_eq!(world.body(&first.end()).await?, body);
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    for _ in 0..2 {
        assert_eq!(
            world.send(&second.end()).await?,
            success(json!({"username": PERSON}))
        );
    }
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    // Today nothing keeps it.
    assert_eq!(
        world.send(&first.end()).await?,
        success(json!({"username": PERSON}))
    );
    Ok(())
}

#[tokio::test]
async fn an_end_that_is_repeated_says_again_what_remains() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE staff; GRANT readonly TO staff")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT staff TO sym_user").await?;
    let note = "`sym_user` still has `readonly` by memberships that are not this function's";
    for _ in 0..2 {
        let body = world.body(&event.end()).await?;
        assert_eq!(body["note"], note);
        assert_eq!(
            body["remaining"],
            json!([{"through": "staff", "grantor": "postgres"}])
        );
    }
    Ok(())
}

#[tokio::test]
async fn standing_membership_is_not_taken_away() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT readonly TO sym_user")
        .start()
        .await?;
    let before = world.state().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    let body = world.body(&event.end()).await?;
    assert_eq!(body["username"], PERSON);
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    world.is_as(&before).await?;
    Ok(())
}

#[tokio::test]
async fn a_user_renamed_in_between_still_loses_access() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("ALTER ROLE sym_user RENAME TO newly_wed").await?;
    // SCRAM's salt is not the name's: the password stays.
    assert_eq!(
        world
            .count_orders("newly_wed", &world.person_password)
            .await,
        Ok(ORDERS)
    );

    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert_eq!(
        world
            .count_orders("newly_wed", &world.person_password)
            .await,
        Err("42501".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn a_role_renamed_in_between_is_still_taken_back() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("ALTER ROLE readonly RENAME TO reading").await?;
    world.body(&event.end()).await?;
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    Ok(())
}

#[tokio::test]
async fn another_user_of_the_same_name_is_left_alone_and_said() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql("DROP ROLE sym_user; CREATE ROLE sym_user LOGIN; GRANT readonly TO sym_user")
        .await?;
    let sentence = "database user `sym_user` is not the one of this run any more (made anew, or restored from a backup), \
        so nothing was taken from it: an administrator has to look, and to revoke by hand; then the run can end [access-remains]";
    world.refuses(&event.end(), sentence).await?;
    // It has been tried, so it is overdue, whatever its lease; and who was made anew can
    // come back for good.
    world.refuses_text(SWEEP, sentence).await?;
    world.sql("REVOKE readonly FROM sym_user").await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_temporary_user_from_a_backup_is_removed() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    let comment = format!("SELECT shobj_description('{user}'::regrole, 'pg_authid')");
    let comment = world.query(&comment).await?.unwrap_or_default();
    // By its name, its marker and its comment it is the same.
    world
        .sql(&format!(
            "DROP ROLE {user}; SET SESSION AUTHORIZATION sym_bot; CREATE ROLE {user} LOGIN;
             GRANT sym_managed, readonly TO {user}; COMMENT ON ROLE {user} IS '{comment}'"
        ))
        .await?;
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    world.is_as(&before).await
}

#[tokio::test]
async fn a_person_who_has_left_needs_nothing_taken_away() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("DROP ROLE sym_user").await?;
    let answer = success(
        json!({"username": PERSON, "note": "the run's database user, `sym_user`, doesn't exist any more"}),
    );
    assert_eq!(world.send(&event.end()).await?, answer);
    Ok(())
}

#[tokio::test]
async fn a_temporary_user_that_somebody_dropped_ends_well() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world.sql(&format!("DROP ROLE {user}")).await?;
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_temporary_user_renamed_in_between_is_removed() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world
        .sql(&format!("ALTER ROLE {user} RENAME TO hidden"))
        .await?;
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    assert!(!world.role_exists("hidden").await?);
    Ok(())
}

#[tokio::test]
async fn one_persons_two_temporary_users_are_two() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (first, second) = (
        Event::escalate_temporary_user(),
        Event::escalate_temporary_user(),
    );
    let (one, two) = (world.body(&first).await?, world.body(&second).await?);
    assert_ne!(one["username"], two["username"]);
    world.body(&first.end()).await?;
    let secret = world
        .secret(two["secret_name"].as_str().unwrap_or_default())
        .await?;
    let (user, password) = (&secret["username"], &secret["password"]);
    let count = world.count_orders(
        user.as_str().unwrap_or_default(),
        password.as_str().unwrap_or_default(),
    );
    assert_eq!(count.await, Ok(ORDERS));
    world.body(&second.end()).await?;
    Ok(())
}

#[tokio::test]
async fn events_go_on_after_the_server_was_restarted() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    world.postgres.restart()?;
    world.body(&user).await?;
    world.postgres.restart()?;
    world.body(&role.end()).await?;
    world.postgres.restart()?;
    world.body(&user.end()).await?;
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    Ok(())
}

#[tokio::test]
async fn events_go_on_after_the_functions_session_was_ended() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    world.end_bots_sessions().await?;
    world.still_works().await
}

#[tokio::test]
async fn what_an_administrator_took_back_is_not_given_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql(&world.revoke()).await?;

    let sentence = "what this run lent to `sym_user` was taken back in the database by somebody else: send a new request \
        [run-ended]";
    world.refuses(&event, sentence).await?;
    world.body(&event.end()).await?;
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    world.still_works().await
}

/// Also of what was there before the run.
#[tokio::test]
async fn what_was_there_and_was_taken_back_is_not_said_to_be_kept() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world
        .sql("SET SESSION AUTHORIZATION sym_bot; GRANT readonly TO sym_user")
        .await?;
    world.body(&event).await?;
    world.sql(&world.revoke()).await?;
    let answer = world.send(&event).await?.to_string();
    assert!(answer.contains("[run-ended]"), "{answer}");
    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// What the next run lends is that one's alone.
#[tokio::test]
async fn what_an_administrator_took_back_lives_on_in_no_other_run() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world.sql(&world.revoke()).await?;
    world.body(&second).await?;
    let answer = world.send(&first).await?.to_string();
    assert!(answer.contains("[run-ended]"), "{answer}");
    assert_eq!(world.run_state(&first).await?.as_deref(), Some("ended"));
    let body = world.body(&second.end()).await?;
    assert_eq!(body.get("note"), None, "{body:?}");
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// Somebody else of the same name, to whom another run has lent the same.
#[tokio::test]
async fn who_was_made_anew_keeps_no_run_of_before_open() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world
        .sql("DROP ROLE sym_user; CREATE ROLE sym_user LOGIN")
        .await?;
    world.body(&second).await?;
    world.body(&first.end()).await?;
    assert!(world.is_member(PERSON, "readonly").await?);
    world.body(&second.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// Since 16 what was passed on by a membership keeps it, or goes with it.
#[tokio::test]
async fn what_was_passed_on_goes_with_what_was_lent() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE other").start().await?;
    if world.postgres.install().major < 16 {
        return Ok(());
    }
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql(
            "GRANT readonly TO sym_user WITH ADMIN TRUE GRANTED BY sym_bot;
             SET ROLE sym_user; GRANT readonly TO other; RESET ROLE",
        )
        .await?;
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    assert!(!world.is_member("other", "readonly").await?);
    Ok(())
}

// An answer would name a secret that opens nothing.
#[tokio::test]
async fn a_temporary_user_that_somebody_dropped_is_not_given_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world.sql(&format!("DROP ROLE {user}")).await?;
    let sentence = format!(
        "temporary user `{user}` of this run was removed in the database by somebody else: send a new request [run-ended]"
    );
    world.refuses(&event, &sentence).await?;
    world.body(&event.end()).await?;
    world.is_as(&before).await
}

#[tokio::test]
async fn a_panic_before_the_first_event_costs_nothing_but_time() -> anyhow::Result<()> {
    let world = World::start().await?;
    let reset = "DROP SCHEMA sym CASCADE; CREATE SCHEMA sym AUTHORIZATION sym_bot";
    world.sql(reset).await?;
    // In the middle of installing the schema.
    let variables = [("SYM_PANIC_AFTER_STEP", "1")];
    let panicking = world.another(&variables).await?;
    assert!(panicking.logs().contains("not warmed up"));
    let event = Event::escalate();
    world.body_of(&panicking, &event.to_string()).await?;
    world.body_of(&panicking, &event.end().to_string()).await?;
    world.lambda.restart().await?;
    world.still_works().await
}

#[tokio::test]
async fn a_panic_is_an_answer_and_the_next_event_works() -> anyhow::Result<()> {
    // After the first event's only step of I/O: the role is lent, and the answer
    // is lost. The same event finds out.
    let world = World::builder()
        .variable("SYM_PANIC_AFTER_STEP", "1")
        .start()
        .await?;
    let event = Event::escalate();
    let sentence =
        "internal error: please report it with the request id in the function's log [internal]";
    assert_eq!(world.send(&event).await?, refusal(sentence));
    assert_eq!(
        world.send(&event).await?,
        success(json!({"username": PERSON}))
    );
    world.body(&event.end()).await?;
    world.still_works().await
}

/// By the id alone a secret is called, and the database user too.
#[tokio::test]
async fn a_run_with_the_id_of_another_takes_nothing_of_it() -> anyhow::Result<()> {
    let world = World::start().await?;
    let leaver = world.leaver().await?;
    let of_flow = |flow: &str| {
        let srn = leaver.event.srn().replace(":postgres:", flow);
        leaver.event.clone().with("/run/srn", json!(srn))
    };
    let (refused, second) = (of_flow(":refused:"), of_flow(":second:"));
    let sentence = "another run that is open has this one's id, and so its secret's name: end that (`symctl grants`), and \
        send a new request [run-conflict]";
    world.refuses(&refused, sentence).await?;
    let answer = world.body(&refused.end()).await?;
    assert_eq!(
        answer["note"],
        json!("the run had not begun, and can't begin now")
    );
    world.ledger_agrees().await?;
    world.end_removes(&leaver).await?;

    world.body(&second).await?;
    // The secret is that one's now.
    world.body(&leaver.event.end()).await?;
    world.ledger_agrees().await?;
    world.body(&second.end()).await?;
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

/// A store may make it after the event that asked for it had no time left.
#[tokio::test]
async fn a_secret_that_came_after_the_end_goes_with_the_same_end_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    let leaver = world.leaver().await?;
    let secrets = world.secrets().await?;
    world.end_removes(&leaver).await?;
    for secret in &secrets {
        std::fs::write(secret, "{}")?;
    }
    world.body(&leaver.event.end()).await?;
    assert_eq!(world.secrets().await?, [""; 0]);
    // The run isn't held any more, so what comes next is committed.
    let held = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sym_bot' AND state = 'idle in transaction'";
    assert_eq!(world.query(held).await?.as_deref(), Some("0"));
    world.still_works().await?;

    // What can't be seen to is no success.
    std::fs::create_dir(&secrets[0])?;
    let sentence = "this run has ended, but whether a secret of it is left could not be seen to: send the event again; the \
        function's log has the reason [secret-unavailable]";
    assert_eq!(world.send(&leaver.event.end()).await?, refusal(sentence));
    Ok(())
}
