//! What ends access when no event does: the sweep, and the database itself.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::fixture::{BOT, Event, Everything, ORDERS, PERSON, SWEEP, World, success};

#[tokio::test]
async fn the_sweep_ends_what_is_overdue_and_nothing_else() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    let (late_role, late_user) = (
        Event::escalate().user("colleague@healthy-health.co"),
        Event::escalate_temporary_user(),
    );
    world.sql("CREATE ROLE colleague LOGIN").await?;
    for event in [&late_role, &late_user] {
        world.body(event).await?;
    }
    assert_eq!(world.sweep().await?, 0);
    world.let_time_pass().await?;
    for event in [&role, &user] {
        world.body(event).await?;
    }

    assert_eq!(world.sweep().await?, 2);
    assert_eq!(world.run_state(&late_role).await?.as_deref(), Some("ended"));
    assert_eq!(world.run_state(&late_user).await?.as_deref(), Some("ended"));
    assert!(!world.is_member("colleague", "readonly").await?);
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    assert_eq!(world.secrets().await?.len(), 1);
    assert_eq!(world.sweep().await?, 0);

    // The late event finds it done.
    assert_eq!(
        world.send(&late_role.end()).await?,
        success(json!({"username": "colleague"}))
    );
    world.body(&role.end()).await?;
    world.body(&user.end()).await?;
    world.sql("DROP ROLE colleague").await?;
    world.is_as(&before).await
}

#[tokio::test]
async fn the_sweep_never_touches_what_the_function_did_not_make() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE symuser75c471289bca6deb6cd22ed7 LOGIN VALID UNTIL '2001-01-01';
             CREATE ROLE intern LOGIN VALID UNTIL '2001-01-01'; GRANT sym_managed, readonly TO intern;
             COMMENT ON ROLE intern IS '{\"sym\": 1, \"run\": \"a:run:b:1.0.0:c\", \"expires\": \"2001-01-01\"}'",
        )
        .start()
        .await?;
    world.still_works().await?;
    let before = Everything::of(&world).await?;
    assert_eq!(world.sweep().await?, 0);
    before.is_still(&world).await
}

#[tokio::test]
async fn the_sweep_comes_back_to_a_user_that_was_never_finished() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    // After the row, before the user; with the secret, before the COMMIT.
    for step in ["1", "3"] {
        let event = event.clone().new_run();
        let dying = world.another(&[("SYM_CRASH_AFTER_STEP", step)]).await?;
        ensure!(dying.invoke(&event).await?.response().is_err(), "it lives");
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("pending"));
        // It may still be tried again.
        assert_eq!(world.sweep().await?, 0);
        world.let_time_pass().await?;
        assert_eq!(world.sweep().await?, 1);
        world.is_as(&before).await?;
        let answer = world.send(&event).await?.to_string();
        assert!(answer.contains("[run-ended]"), "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn the_sweep_closes_runs_that_somebody_else_has_ended() -> anyhow::Result<()> {
    let world = World::start().await?;
    for interference in [world.revoke(), "DROP ROLE sym_user".to_owned()] {
        let event = Event::escalate();
        world.body(&event).await?;
        world.sql(&interference).await?;
        let overdue = world.symctl(&["sweep", "--dry-run", "--json"]).await?;
        assert_eq!(overdue.json()?[0]["why"], "ended-elsewhere");
        assert_eq!(world.sweep().await?, 1);
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    }
    Ok(())
}

#[tokio::test]
async fn one_that_can_not_be_ended_does_not_keep_the_others() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (stuck, role) = (Event::escalate_temporary_user(), Event::escalate());
    let body = world.body(&stuck).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world.body(&role).await?;
    world
        .sql(&format!("GRANT SELECT ON orders TO {user}"))
        .await?;
    world.let_time_pass().await?;

    let answer = world.send_text(SWEEP).await?;
    let errors = answer["errors"].as_array().map(Vec::len);
    assert_eq!(errors, Some(1), "{answer}");
    assert_eq!(world.run_state(&role).await?.as_deref(), Some("ended"));
    assert_eq!(world.run_state(&stuck).await?.as_deref(), Some("ending"));
    let by_hand = world.symctl(&["sweep"]).await?;
    assert_eq!(by_hand.code, Some(1), "{by_hand:?}");
    assert!(
        by_hand
            .stderr
            .contains("privileges for table public.orders"),
        "{by_hand:?}"
    );
    Ok(())
}

// Nobody reads the answer of a sweep, nor keeps a terminal's.
#[tokio::test]
async fn what_an_end_finds_is_in_the_log_whoever_ends_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "GRANT SELECT ON orders TO readonly WITH GRANT OPTION;
             CREATE ROLE staff; GRANT readonly TO staff",
        )
        .start()
        .await?;
    for ended_by in ["event", "sweep", "symctl"] {
        let event = Event::escalate();
        world.body(&event).await?;
        let person = world.login(PERSON, &world.person_password).await;
        person
            .map_err(anyhow::Error::msg)?
            .batch_execute("GRANT SELECT ON orders TO sym_user")
            .await?;
        world.sql("GRANT staff TO sym_user").await?;
        let run = event.run_srn().to_lowercase();
        let lines: Vec<String> = match ended_by {
            "symctl" => {
                let ended = world.symctl(&["revoke", &run]).await?;
                assert_eq!(ended.code, Some(0), "{ended:?}");
                ended.stderr.lines().map(str::to_owned).collect()
            }
            _ => {
                if ended_by == "event" {
                    world.body(&event.end()).await?;
                } else {
                    world.let_time_pass().await?;
                    assert_eq!(world.sweep().await?, 1);
                }
                world.lambda.logs().lines().map(str::to_owned).collect()
            }
        };
        for found in [
            "`sym_user` has 1 more privilege(s) of its own than when the run began",
            "the membership in `staff` that `postgres` granted remains",
        ] {
            let told = |line: &&String| {
                line.contains("WARN") && line.contains(&run) && line.contains(found)
            };
            assert_eq!(
                lines.iter().filter(told).count(),
                1,
                "{ended_by}: {found}: {lines:#?}"
            );
        }
        world
            .sql("REVOKE staff FROM sym_user; SET ROLE readonly; REVOKE SELECT ON orders FROM sym_user")
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_database_ends_what_is_overdue_by_itself() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let (role, temporary) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    let body = world.body(&temporary).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let text = |field: &str| secret[field].as_str().unwrap_or_default();
    let (user, password) = (text("username"), text("password"));
    let session = world.login(user, password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    let outcomes =
        "SELECT coalesce(string_agg(outcome, ',' ORDER BY outcome), '') FROM sym.expire()";
    assert_eq!(world.query(outcomes).await?.as_deref(), Some(""));

    world.let_time_pass().await?;
    world.lambda.kill();
    assert_eq!(
        world.query(outcomes).await?.as_deref(),
        Some("disabled,taken-back")
    );
    let denied = Err("42501".to_owned());
    assert_eq!(world.person_counts_orders().await, denied);
    assert_eq!(
        world.count_orders(user, password).await,
        Err("28P01".to_owned())
    );
    assert!(crate::fixture::count_orders(&session).await.is_err());
    // Again, for sessions that could have kept the role.
    assert_eq!(world.query(outcomes).await?.as_deref(), Some("ended"));
    assert_eq!(world.query(outcomes).await?.as_deref(), Some(""));

    world.lambda.restart().await?;
    assert_eq!(world.sweep().await?, 1);
    world.is_as(&before).await?;
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_took_the_role_does_not_outlive_the_databases_own_switch()
-> anyhow::Result<()> {
    let world = World::start().await?;
    world.body(&Event::escalate()).await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    let _ = session.batch_execute("SET ROLE readonly").await;
    world.let_time_pass().await?;
    world.query("SELECT count(*) FROM sym.expire()").await?;
    let counted = crate::fixture::count_orders(&session).await;
    assert!(counted.is_err(), "{counted:?}");
    Ok(())
}

/// Each of them keeps a sweep waiting, and there is no time for all; who is behind them
/// comes first another time.
#[tokio::test]
async fn what_an_administrator_holds_keeps_no_other_access_alive() -> anyhow::Result<()> {
    // By their names before the other two.
    let names = ["ann", "bea", "col"];
    let world = World::builder()
        .file(
            "plugins.toml",
            "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.held]\n[targets.readonly]\n\
             [targets.readonly-sql]\nstrategy = \"temporary-user\"\nsql = \"readonly.sql\"\n",
        )
        .sql(
            "CREATE ROLE ann LOGIN; CREATE ROLE bea LOGIN; CREATE ROLE col LOGIN; CREATE ROLE held;
             CREATE ROLE administrator LOGIN CREATEROLE PASSWORD 'a';
             GRANT held TO sym_bot, administrator WITH ADMIN OPTION",
        )
        .start()
        .await?;
    let held = names.map(|name| {
        let event = Event::escalate().user(&format!("{name}@healthy-health.co"));
        event.target("held")
    });
    let role = Event::escalate();
    for event in held.iter().chain([&role]) {
        world.body(event).await?;
    }
    let another = world.leaver().await?;
    world.let_time_pass().await?;
    let administrator = world.login("administrator", "a").await;
    let administrator = administrator.map_err(anyhow::Error::msg)?;
    let change = match world.postgres.install().major {
        // This holds the role.
        16.. => "GRANT held TO sym_user",
        _ => "REVOKE held FROM ann, bea, col",
    };
    administrator
        .batch_execute(&format!("BEGIN; {change}"))
        .await?;

    // Two of those that are held use it up. So each of the others has its turn in three
    // sweeps of four: all of these pass it by in one of a million.
    world.lambda.set_timeout(Duration::from_secs(6));
    let mut sweeps = 0..10;
    let is_whole = async |event: &Event| {
        let state = world.run_state(event).await?;
        anyhow::Ok(state.as_deref() == Some("granted"))
    };
    while is_whole(&role).await? || is_whole(&another.event).await? {
        ensure!(sweeps.next().is_some(), "{}", world.lambda.logs());
        world.send_text(SWEEP).await?;
    }
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    let counted = world.count_orders(&another.user, &another.password).await;
    assert_eq!(counted, Err("28P01".to_owned()));
    for event in &held {
        assert!(is_whole(event).await?);
    }

    administrator.batch_execute("ROLLBACK").await?;
    world.lambda.set_timeout(Duration::from_secs(30));
    world.sweep().await?;
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

/// The event has hardly time for what it waits for, and the next sweep is to know.
#[tokio::test]
async fn what_a_short_event_could_not_take_is_the_next_sweeps() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let administrator = world.postgres.admin_in("app").await?;
    administrator
        .batch_execute(
            "BEGIN; UPDATE pg_auth_members SET admin_option = admin_option
                 WHERE roleid = 'readonly'::regrole AND member = 'sym_user'::regrole",
        )
        .await?;
    // With somebody to end, there is a second try.
    let person = world.login(PERSON, &world.person_password).await;
    let person = person.map_err(anyhow::Error::msg)?;
    person
        .batch_execute(&format!(
            "BEGIN; ALTER ROLE sym_user PASSWORD '{}'",
            world.person_password
        ))
        .await?;
    world.lambda.set_timeout(Duration::from_secs(5));
    let answer = world.send(&event.end()).await?.to_string();
    ensure!(!answer.contains("\"errors\":[]"), "{answer}");
    let overdue = "SELECT string_agg(why, ',') FROM sym.overdue()";
    assert_eq!(world.query(overdue).await?.as_deref(), Some("expired"));
    administrator.batch_execute("ROLLBACK").await?;
    world.lambda.set_timeout(Duration::from_secs(30));
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

#[tokio::test]
async fn a_sweep_goes_on_where_something_took_long_and_time_is_left() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    let before = world.state().await?;
    let events = [
        Event::escalate(),
        Event::escalate(),
        Event::escalate_temporary_user(),
    ];
    for event in &events {
        world.body(event).await?;
    }
    world.let_time_pass().await?;
    world.proxy().reset();
    // Nothing answers what comes behind the questions what waits and what is overdue. That takes all but
    // the last quarter of the sweep's time, and less than the wait for an answer. A sweep begins
    // with a farewell and a login, which are five requests.
    world.proxy().set_gate(8);
    world.lambda.set_timeout(Duration::from_secs(10));
    assert_eq!(world.sweep().await?, 3);
    world.proxy().open_gate();
    world.is_as(&before).await
}

/// Sooner than the event asks for, and with the grace after it.
#[tokio::test]
async fn no_event_gets_more_than_the_longest_lease() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("MAX_DURATION_SECONDS", "60")
        .start()
        .await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        // Minutes.
        world
            .body(&event.with("/fields/duration", json!(30)))
            .await?;
        let expiry =
            "SELECT expires_at - created_at FROM sym.grants ORDER BY created_at DESC LIMIT 1";
        assert_eq!(world.query(expiry).await?.as_deref(), Some("00:16:00"));
    }
    Ok(())
}

/// With a ledger apart, a try that failed leaves its user, and a run that is `pending`.
#[tokio::test]
async fn a_pending_run_that_could_not_be_ended_is_the_next_sweeps() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    let run = event.run_srn().to_lowercase();
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    bot.batch_execute(&format!(
        r#"SELECT sym.prepare_user('{{"run": "{run}", "user": "tu_x", "target": "t", "release": "r", "secret": "/s/x",
               "lease_seconds": "3600", "replay_window_seconds": "900"}}');
           SELECT sym.create_user('{run}', 'md500000000000000000000000000000000', 5, false)"#
    ))
    .await?;
    let comment = "SELECT shobj_description('tu_x'::regrole, 'pg_authid')";
    let comment = world.query(comment).await?.unwrap_or_default();
    // It doesn't look like ours.
    world.sql("COMMENT ON ROLE tu_x IS 'x'").await?;
    let answer = world.send(&event.end()).await?.to_string();
    assert!(answer.contains("[access-remains]"), "{answer}");
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("pending"));
    world
        .sql(&format!("COMMENT ON ROLE tu_x IS '{comment}'"))
        .await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    world.is_as(&before).await
}
