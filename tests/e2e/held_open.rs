//! What somebody who may log in can hold open, so that access doesn't end: it does.

use serde_json::json;
use sym_test_support::lambda::Answer;
use sym_test_support::proxy::Proxy;
use tokio_postgres::Client;

use crate::fixture::{
    BOT, Builder, Event, OLD_SCHEMA, PERSON, SWEEP, World, count_orders, success,
};

#[tokio::test]
async fn locks_that_anybody_can_take_keep_no_access() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (role, temporary) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    world.body(&temporary).await?;
    let stranger = world.stranger().await?;
    // What versions of the schema before 7 locked, and what the statements lock.
    let run = temporary.run_srn().to_lowercase();
    stranger
        .batch_execute(&format!(
            "SELECT pg_advisory_lock(hashtextextended('sym user ' || '{PERSON}'::regrole::oid::text, 0)), \
                    pg_advisory_lock(hashtextextended('sym run {run}', 0)), \
                    pg_advisory_lock(hashtextextended('sym schema', 0)); \
             BEGIN; LOCK TABLE pg_auth_members, pg_shdepend, pg_roles IN ACCESS SHARE MODE"
        ))
        .await?;
    for lock in ["sym.locks", "sym.grants", "sym.releases"] {
        let row = format!("SELECT FROM {lock} FOR UPDATE");
        let table = format!("LOCK TABLE {lock} IN ACCESS SHARE MODE");
        for statement in [row, table] {
            let other = world.login("stranger", "stranger").await;
            let refused = other
                .map_err(anyhow::Error::msg)?
                .batch_execute(&statement)
                .await;
            assert!(refused.is_err(), "{statement}");
        }
    }
    assert_eq!(
        world.send(&role.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert_eq!(world.send(&temporary.end()).await?, success(json!({})));
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_temporary_user_can_not_hold_what_its_end_has_to_change() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let hold = format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'");
    leaver.session.batch_execute(&hold).await?;
    // Others of its sessions wait for the same, each the next to hold it.
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let other = world.login(&leaver.user, &leaver.password).await;
        let other = other.map_err(anyhow::Error::msg)?;
        let hold = hold.clone();
        waiting.push(tokio::spawn(async move {
            let held = other.batch_execute(&hold).await;
            (other, held)
        }));
    }
    let waits = format!(
        "SELECT count(*) = 3 FROM pg_stat_activity WHERE usename = '{user}' AND wait_event_type = 'Lock'"
    );
    world.wait_until(&waits).await?;
    assert_eq!(world.send(&leaver.event.end()).await?, success(json!({})));
    assert!(count_orders(&leaver.session).await.is_err());
    for session in waiting {
        let (session, _) = session.await?;
        assert!(count_orders(&session).await.is_err());
    }
    world.is_as(&before).await
}

/// Since 16, a membership by a plain GRANT is one that SET ROLE can take.
#[tokio::test]
async fn a_session_does_not_keep_what_the_template_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("MIGRATE_FROM", "template")
        .start()
        .await?;
    for ends_by in ["event", "event after a crash", "sweep"] {
        let bot = world.login(BOT, &world.bot_password).await;
        let bot = bot.map_err(anyhow::Error::msg)?;
        bot.batch_execute("GRANT readonly TO sym_user").await?;
        let session = world.login(PERSON, &world.person_password).await;
        let session = session.map_err(anyhow::Error::msg)?;
        session.batch_execute("SET ROLE readonly").await?;
        let template = Event::escalate();
        if ends_by == "sweep" {
            // A run of ours that found it there, and is the last to end.
            world.body(&Event::escalate()).await?;
        }
        if ends_by == "event after a crash" {
            let dying = world.another(&[("SYM_CRASH_AFTER_STEP", "1")]).await?;
            let died = dying.invoke(&template.end().to_string()).await?;
            assert!(matches!(died, Answer::Died(_)));
            assert!(!world.is_member(PERSON, "readonly").await?);
        }
        world.body(&template.end()).await?;
        if ends_by == "sweep" {
            world.let_time_pass().await?;
            world.body_of(&world.lambda, SWEEP).await?;
        }
        assert!(!world.is_member(PERSON, "readonly").await?);
        let counted = count_orders(&session).await;
        assert!(counted.is_err(), "{ends_by}: {counted:?}");
        assert_eq!(world.open_runs().await?, 0);
    }
    Ok(())
}

/// One that was lent again before the end of the first was through: of the two ends at
/// once, one has to end what the first left.
#[tokio::test]
async fn a_session_falls_between_no_two_ends() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("MIGRATE_FROM", "template")
        .start()
        .await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    bot.batch_execute("GRANT readonly TO sym_user").await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("SET ROLE readonly").await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    let dying = world.another(&[("SYM_CRASH_AFTER_STEP", "1")]).await?;
    let died = dying.invoke(&first.end().to_string()).await?;
    assert!(matches!(died, Answer::Died(_)));
    world.body(&second).await?;

    let end_second = format!(
        "BEGIN; SELECT sym.give_back(lower('{}'), '{{}}')",
        second.run_srn()
    );
    bot.batch_execute(&end_second).await?;
    let finisher = world.login(BOT, &world.bot_password).await;
    let finisher = finisher.map_err(anyhow::Error::msg)?;
    let finish_first = format!("SELECT sym.finish(lower('{}'), false)", first.run_srn());
    let finishing = tokio::spawn(async move { finisher.batch_execute(&finish_first).await });
    let waits = format!(
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = '{BOT}' AND wait_event_type = 'Lock'"
    );
    world.wait_until(&waits).await?;
    bot.batch_execute("COMMIT").await?;
    finishing.await??;
    world.body(&second.end()).await?;
    let counted = count_orders(&session).await;
    assert!(counted.is_err(), "{counted:?}");
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

/// Also where somebody else took the role back, so that the run that was left it is over.
#[tokio::test]
async fn a_session_is_left_to_the_next_run_whoever_took_the_role_back() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("MIGRATE_FROM", "template")
        .start()
        .await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    bot.batch_execute("GRANT readonly TO sym_user").await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("SET ROLE readonly").await?;
    let (first, second, third) = (Event::escalate(), Event::escalate(), Event::escalate());
    let dying = world.another(&[("SYM_CRASH_AFTER_STEP", "1")]).await?;
    let died = dying.invoke(&first.end().to_string()).await?;
    assert!(matches!(died, Answer::Died(_)));
    world.body(&second).await?;
    world.body(&first.end()).await?;
    bot.batch_execute("REVOKE readonly FROM sym_user").await?;
    world.body(&third).await?;
    assert_eq!(world.run_state(&second).await?.as_deref(), Some("ended"));
    world.body(&third.end()).await?;
    let counted = count_orders(&session).await;
    assert!(counted.is_err(), "{counted:?}");
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_stands_in_a_transaction_keeps_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    let idle = world.login(PERSON, &world.person_password).await;
    let idle = idle.map_err(anyhow::Error::msg)?;
    // It holds its locks already, so nothing has it look at memberships again.
    session
        .batch_execute(
            "PREPARE counted AS SELECT count(*) FROM orders; SET plan_cache_mode = force_generic_plan;
             BEGIN; EXECUTE counted",
        )
        .await?;
    let body = world.body(&event.end()).await?;
    assert!(session.batch_execute("EXECUTE counted").await.is_err());
    // Since 16 one that does nothing can't keep anything.
    if world.postgres.install().major >= 16 {
        assert_eq!(body["sessions_ended"], 1);
        assert_eq!(count_orders(&idle).await, Err("42501".to_owned()));
    }
    Ok(())
}

/// Who may act as a person has with that what the person is lent. Up to 14 everybody may make others
/// that, and would have their sessions ended by it.
#[tokio::test]
async fn a_colleague_keeps_nothing_of_what_was_lent_to_whom_they_may_act_as() -> anyhow::Result<()>
{
    let world = World::builder()
        .sql(
            "CREATE ROLE colleague LOGIN PASSWORD 'colleague'; CREATE ROLE team; GRANT sym_user TO team;
             GRANT team TO colleague",
        )
        .start()
        .await?;
    let major = world.postgres.install().major;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = world.login("colleague", "colleague").await;
    let session = session.map_err(anyhow::Error::msg)?;
    let keep = match major {
        ..16 => "SET ROLE readonly",
        16.. => "BEGIN; DECLARE kept CURSOR FOR TABLE orders; FETCH 1 FROM kept",
    };
    session.batch_execute(keep).await?;
    let body = world.body(&event.end()).await?;
    if major >= 15 {
        assert_eq!(body["sessions_ended"], 1);
        assert!(session.batch_execute("SELECT").await.is_err());
    } else {
        session.batch_execute("SELECT").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_temporary_user_that_changes_itself_all_the_time_is_ended() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let mut changing = Vec::new();
    for _ in 0..3 {
        let other = world.login(&leaver.user, &leaver.password).await;
        let other = other.map_err(anyhow::Error::msg)?;
        let change =
            format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'; SELECT pg_sleep(0.2); COMMIT");
        changing.push(tokio::spawn(async move {
            while other.batch_execute(&change).await.is_ok() {}
        }));
    }
    let waits = format!(
        "SELECT count(*) > 1 FROM pg_stat_activity WHERE usename = '{user}' AND wait_event_type = 'Lock'"
    );
    world.wait_until(&waits).await?;
    assert_eq!(world.send(&leaver.event.end()).await?, success(json!({})));
    assert!(count_orders(&leaver.session).await.is_err());
    for session in changing {
        session.await?;
    }
    world.is_as(&before).await
}

#[tokio::test]
async fn what_a_prepared_transaction_holds_is_said_and_the_rest_is_taken() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .start()
        .await?;
    let before = world.state().await?;
    let leaver = world.leaver().await?;
    let user = &leaver.user;
    let hold = format!("BEGIN; ALTER ROLE {user} PASSWORD 'mine'; PREPARE TRANSACTION 'kept'");
    leaver.session.batch_execute(&hold).await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("can still log in"), "{answer}");
    assert!(count_orders(&leaver.session).await.is_err());
    assert!(!world.is_member(&leaver.user, "readonly").await?);
    assert!(world.secrets().await?.is_empty());
    world.sql("ROLLBACK PREPARED 'kept'").await?;
    // At once, and not when its lease is over.
    assert_eq!(world.sweep().await?, 1);
    world.is_as(&before).await
}

#[tokio::test]
async fn who_may_write_everything_can_not_lock_the_ledger() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 14 {
        return Ok(()); // pg_write_all_data came with 14.
    }
    let (role, temporary) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    world.body(&temporary).await?;
    let _stranger = world.stranger().await?;
    world.sql("GRANT pg_write_all_data TO stranger").await?;
    for (event, answer) in [
        (&role, success(json!({"username": PERSON}))),
        (&temporary, success(json!({}))),
    ] {
        let holder = world.login("stranger", "stranger").await;
        let holder = holder.map_err(anyhow::Error::msg)?;
        holder
            .batch_execute("BEGIN; LOCK TABLE sym.grants, sym.locks IN ACCESS EXCLUSIVE MODE")
            .await?;
        assert_eq!(world.send(&event.end()).await?, answer);
        assert!(holder.batch_execute("SELECT 1").await.is_err());
    }
    world.body(&Event::escalate()).await?;
    world.let_time_pass().await?;
    let holder = world.login("stranger", "stranger").await;
    let holder = holder.map_err(anyhow::Error::msg)?;
    holder
        .batch_execute("BEGIN; LOCK TABLE sym.grants IN SHARE MODE")
        .await?;
    let outcome = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    assert_eq!(world.query(outcome).await?.as_deref(), Some("taken-back"));
    Ok(())
}

#[tokio::test]
async fn what_an_administrator_holds_keeps_no_login() -> anyhow::Result<()> {
    let roles = ["r1", "r2", "r3", "r4", "r5", "r6"];
    let list = roles.join(", ");
    let create: String = roles.map(|role| format!("CREATE ROLE {role};")).concat();
    let world = World::builder()
        .sql(&format!(
            "{create} GRANT {list} TO sym_bot WITH ADMIN OPTION; CREATE ROLE administrator LOGIN CREATEROLE PASSWORD 'a';
             GRANT {list} TO administrator WITH ADMIN OPTION"
        ))
        .file("readonly.sql", format!("GRANT {list}, readonly TO {{username}};"))
        .start()
        .await?;
    let leaver = world.leaver().await?;
    let administrator = world.login("administrator", "a").await;
    let administrator = administrator.map_err(anyhow::Error::msg)?;
    // Since 16 this holds each of the roles.
    administrator
        .batch_execute(&format!("BEGIN; GRANT {list} TO {PERSON}"))
        .await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    if world.postgres.install().major >= 16 {
        assert!(answer.contains("keeps a membership of its"), "{answer}");
    }
    assert!(count_orders(&leaver.session).await.is_err());
    assert!(world.login(&leaver.user, &leaver.password).await.is_err());
    assert!(world.secrets().await?.is_empty());
    administrator.batch_execute("ROLLBACK").await?;
    world.sweep().await?;
    assert!(!world.role_exists(&leaver.user).await?);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn who_administers_the_ledger_is_not_ended_for_a_lock() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE dba LOGIN PASSWORD 'dba'")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql(
            "GRANT USAGE ON SCHEMA sym TO dba; GRANT UPDATE ON sym.grants TO dba;
             GRANT EXECUTE ON FUNCTION sym.give_back(text, jsonb) TO dba",
        )
        .await?;
    let dba = world
        .login("dba", "dba")
        .await
        .map_err(anyhow::Error::msg)?;
    let superuser = world.postgres.admin_in("app").await?;
    for holder in [&dba, &superuser] {
        holder
            .batch_execute("BEGIN; LOCK TABLE sym.grants IN SHARE MODE")
            .await?;
    }
    let answer = world.send(&event.end()).await?.to_string();
    assert!(answer.contains("[database-conflict]"), "{answer}");
    dba.batch_execute("ROLLBACK").await?;
    superuser.batch_execute("ROLLBACK").await?;
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// Who may act as the function, and has its rights only then.
#[tokio::test]
async fn a_persons_symctl_is_not_ended_in_the_midst_of_an_end() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    // As where the function only lends roles, which needs no CREATEROLE.
    world
        .sql(
            "ALTER ROLE sym_bot NOCREATEROLE; CREATE ROLE person LOGIN NOINHERIT PASSWORD 'person';
             GRANT sym_bot TO person",
        )
        .await?;
    let person = world.login("person", "person").await;
    let person = person.map_err(anyhow::Error::msg)?;
    person
        .batch_execute(&format!(
            "SET ROLE sym_bot; BEGIN; SELECT sym.give_back(lower('{}'), '{{}}')",
            event.run_srn()
        ))
        .await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    let ended = bot.query_one("SELECT sym.end_lockers(true)", &[]).await?;
    assert_eq!(ended.get::<_, i32>(0), 0);
    person.batch_execute("COMMIT").await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// Up to 15 the role can be taken by SET ROLE, since 16 things can be given to it: what a
/// prepared transaction does with it is there when it is committed.
#[tokio::test]
async fn what_was_made_in_the_roles_name_does_not_wait_for_the_end() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .sql("CREATE SCHEMA own; GRANT CREATE, USAGE ON SCHEMA own TO readonly, sym_user")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    let make = if world.postgres.install().major < 16 {
        "BEGIN; SET ROLE readonly; CREATE FUNCTION own.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
             AS 'SELECT count(*) FROM public.orders'; PREPARE TRANSACTION 'peek'"
    } else {
        "BEGIN; CREATE VIEW own.peek AS SELECT * FROM public.orders; REASSIGN OWNED BY sym_user TO readonly; \
             PREPARE TRANSACTION 'peek'"
    };
    session.batch_execute(make).await?;
    let held = "the access of `sym_user` was taken back, but a prepared transaction may hold what was made with it: an \
        administrator has to look, and to end it by ROLLBACK PREPARED; the function's log names it [access-remains]";
    assert_eq!(
        world.send(&event.end()).await?["errors"],
        json!([held]),
        "{}",
        world.lambda.logs()
    );
    assert!(!world.is_member(PERSON, "readonly").await?);
    assert!(world.lambda.logs().contains("prepared transaction 'peek'"));
    assert_eq!(world.open_runs().await?, 1);
    world.sql("ROLLBACK PREPARED 'peek'").await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

/// After an upgrade of the function no access can end before the ledger is migrated.
#[tokio::test]
async fn who_reads_the_ledger_keeps_no_end_away() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 14 {
        return Ok(()); // pg_read_all_data came with 14.
    }
    let event = Event::escalate();
    world.body(&event).await?;
    let reader = world.stranger().await?;
    world.sql("GRANT pg_read_all_data TO stranger").await?;
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM sym.grants")
        .await?;
    // As version 7 was.
    world
        .sql(&format!(
            "{OLD_SCHEMA} COMMENT ON SCHEMA sym IS 'sym-postgres 7'"
        ))
        .await?;
    world.lambda.restart().await?;
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    assert!(reader.batch_execute("SELECT 1").await.is_err());
    Ok(())
}

/// Another function's, or a person's: they may be in the midst of an end.
#[tokio::test]
async fn who_works_with_the_ledger_is_not_ended_when_it_is_migrated() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE person LOGIN NOINHERIT PASSWORD 'person'; GRANT sym_bot TO person;
             CREATE ROLE other LOGIN PASSWORD 'other'",
        )
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql("GRANT USAGE ON SCHEMA sym TO other; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO other")
        .await?;
    // As version 7 was.
    world
        .sql(&format!(
            "{OLD_SCHEMA} COMMENT ON SCHEMA sym IS 'sym-postgres 7'"
        ))
        .await?;
    let person = world.login("person", "person").await;
    let other = world.login("other", "other").await;
    let (person, other) = person
        .and_then(|person| Ok((person, other?)))
        .map_err(anyhow::Error::msg)?;
    person.batch_execute("SET ROLE sym_bot").await?;
    for session in [&person, &other] {
        session
            .batch_execute("BEGIN; SELECT sym.open_grants()")
            .await?;
    }
    world.lambda.restart().await?;
    let answer = world.send(&event.end()).await?.to_string();
    assert!(answer.contains("[database-conflict]"), "{answer}");
    for session in [&person, &other] {
        session.batch_execute("COMMIT").await?;
    }
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

/// Since 16 a GRANT of a role locks it until the COMMIT.
#[tokio::test]
async fn a_user_whose_secret_takes_long_keeps_no_other_end_waiting() -> anyhow::Result<()> {
    let world = World::builder().aws().start().await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    let wire = Proxy::start(world.aws().port())?;
    let endpoint = format!("http://127.0.0.1:{}", wire.port());
    let slow = world
        .another(&[
            ("AWS_ENDPOINT_URL", &endpoint),
            ("STRATEGY", "temporary-user"),
        ])
        .await?;
    wire.set_silent(true);
    let making = Event::escalate_temporary_user();
    let run = making.run_srn().to_lowercase();
    let making = tokio::spawn(async move { slow.invoke(&making.to_string()).await });
    world
        .wait_until(&format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name LIKE '%' || right('{run}', 12) \
             AND state = 'idle in transaction')"
        ))
        .await?;
    assert_eq!(
        world.send(&lent.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert!(!making.is_finished());
    wire.set_silent(false);
    making.await??;
    Ok(())
}

/// Documents that are somebody else's, and that only who has `readonly` sees; a schema into which
/// only they may look.
fn world_with_policies() -> Builder {
    World::builder().sql(
        "CREATE TABLE docs (who text); INSERT INTO docs VALUES ('other'); GRANT SELECT ON docs TO PUBLIC;
         ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY support ON docs FOR SELECT TO readonly USING (true);
         CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO PUBLIC",
    )
}

async fn number(session: &Client, query: &str) -> anyhow::Result<i64> {
    Ok(session.query_one(query, &[]).await?.get(0))
}

/// Which policies apply, the server asks when it plans.
#[tokio::test]
async fn a_statement_of_before_reads_by_no_policy_of_the_role() -> anyhow::Result<()> {
    let world = world_with_policies().start().await?;
    let is_with_idle_sessions = world.postgres.install().major >= 16;
    let stranger = world.stranger().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session
        .batch_execute(
            "CREATE FUNCTION work.counted() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
                 AS 'BEGIN RETURN (SELECT count(*) FROM public.docs); END';
             CREATE VIEW work.seen AS SELECT * FROM public.docs; GRANT SELECT ON work.seen TO PUBLIC;
             PREPARE mine AS SELECT count(*) FROM docs",
        )
        .await?;
    stranger
        .batch_execute("PREPARE theirs AS SELECT count(*) FROM work.seen")
        .await?;
    let of_stranger = ["SELECT work.counted()", "EXECUTE theirs"];
    for query in of_stranger {
        assert_eq!(number(&stranger, query).await?, 1, "{query}");
    }
    assert_eq!(number(&session, "EXECUTE mine").await?, 1);

    let body = world.body(&event.end()).await?;
    for query in of_stranger {
        assert_eq!(number(&stranger, query).await?, 0, "{query}");
    }
    if is_with_idle_sessions {
        assert!(body.get("sessions_ended").is_none());
        assert_eq!(number(&session, "EXECUTE mine").await?, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_statement_of_a_temporary_user_reads_by_no_policy_of_its_role() -> anyhow::Result<()> {
    let world = world_with_policies().start().await?;
    let stranger = world.stranger().await?;
    let leaver = world.leaver().await?;
    // Where no heir may have anything, so that the user stays.
    leaver
        .session
        .batch_execute(
            "CREATE FUNCTION work.counted() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
                 AS 'BEGIN RETURN (SELECT count(*) FROM public.docs); END'",
        )
        .await?;
    world
        .sql("REVOKE ALL ON SCHEMA work FROM PUBLIC; GRANT USAGE ON SCHEMA work TO stranger")
        .await?;
    let counted = "SELECT work.counted()";
    assert_eq!(number(&stranger, counted).await?, 1);
    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("could not be dropped"), "{answer}");
    assert_eq!(number(&stranger, counted).await?, 0);
    Ok(())
}

/// What has the server plan anew can wait.
#[tokio::test]
async fn who_changes_the_ledgers_schema_keeps_no_temporary_user() -> anyhow::Result<()> {
    let world = world_with_policies().start().await?;
    let leaver = world.leaver().await?;
    let holder = world.postgres.admin_in("app").await?;
    holder
        .batch_execute("BEGIN; GRANT USAGE ON SCHEMA sym TO sym_user")
        .await?;
    world.end_removes(&leaver).await
}

/// There the function has nothing that it could change, which would have the server plan anew.
#[tokio::test]
async fn a_statement_in_another_database_reads_by_no_policy_of_the_role() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.postgres.create_database("other").await?;
    let other = world.postgres.admin_in("other").await?;
    other
        .batch_execute(
            "CREATE TABLE docs (who text); INSERT INTO docs VALUES ('other'); GRANT SELECT ON docs TO PUBLIC;
             ALTER TABLE docs ENABLE ROW LEVEL SECURITY; CREATE POLICY support ON docs FOR SELECT TO readonly USING (true)",
        )
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let there = world
        .postgres
        .connect(PERSON, &world.person_password, "other")
        .await?;
    let here = world.login(PERSON, &world.person_password).await;
    let here = here.map_err(anyhow::Error::msg)?;
    there
        .batch_execute("PREPARE mine AS SELECT count(*) FROM docs")
        .await?;
    assert_eq!(number(&there, "EXECUTE mine").await?, 1);
    world.body(&event.end()).await?;
    assert!(number(&there, "EXECUTE mine").await.is_err());
    let is_with_idle_sessions = world.postgres.install().major >= 16;
    assert_eq!(
        here.batch_execute("SELECT 1").await.is_ok(),
        is_with_idle_sessions
    );
    Ok(())
}
