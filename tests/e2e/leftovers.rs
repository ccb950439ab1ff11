//! What people leave behind, or others do meanwhile: open sessions, objects,
//! grants by others, changed users, a changed ledger. The access is gone in
//! each, or a sentence says what remains and who has to act.

use anyhow::ensure;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::fixture::{BOT, Event, ORDERS, PERSON, SWEEP, World, count_orders, refusal, success};

fn denied() -> Result<i64, String> {
    Err("42501".to_owned())
}

/// Nobody can do anything with this session any more.
async fn is_ended(session: &Client) -> bool {
    matches!(count_orders(session).await, Err(code) if code == "57P01" || code == "closed")
}

async fn person(world: &World) -> Client {
    let session = world.login(PERSON, &world.person_password).await;
    session.expect("the person can log in")
}

fn has_set_option(world: &World) -> bool {
    world.postgres.install().major >= 16
}

// Of the strategy `role`: sessions.

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
        .sql("REVOKE pg_signal_backend FROM sym_bot")
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

// Of the strategy `role`: memberships.

#[tokio::test]
async fn a_grant_beside_ours_is_reported_or_was_none() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT readonly TO sym_user").await?;
    let body = world.body(&event.end()).await?;
    if has_set_option(&world) {
        // One row for each grantor: theirs stays, and is named.
        let note = "`sym_user` still has `readonly` by memberships that are not this function's";
        assert_eq!(body["note"], note);
        assert_eq!(
            body["remaining"],
            json!([{"through": "readonly", "grantor": "postgres"}])
        );
        assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    } else {
        // One row a pair: the second GRANT changed nothing.
        assert_eq!(body.get("remaining"), None);
        assert_eq!(world.person_counts_orders().await, denied());
    }
    Ok(())
}

#[tokio::test]
async fn a_membership_made_anew_by_somebody_else_is_theirs() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let by_bot = if has_set_option(&world) {
        "GRANTED BY sym_bot"
    } else {
        ""
    };
    world
        .sql(&format!(
            "REVOKE readonly FROM sym_user {by_bot}; GRANT readonly TO sym_user"
        ))
        .await?;
    let before = world.state().await?;
    let body = world.body(&event.end()).await?;
    assert_eq!(
        body["remaining"],
        json!([{"through": "readonly", "grantor": "postgres"}])
    );
    world.is_as(&before).await
}

#[tokio::test]
async fn access_through_another_role_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE staff; GRANT readonly TO staff")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT staff TO sym_user").await?;
    let body = world.body(&event.end()).await?;
    assert_eq!(
        body["remaining"],
        json!([{"through": "staff", "grantor": "postgres"}])
    );
    Ok(())
}

#[tokio::test]
async fn what_the_role_let_its_holder_grant_to_itself_is_reported() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT SELECT ON orders TO readonly WITH GRANT OPTION")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    person(&world)
        .await
        .batch_execute("GRANT SELECT ON orders TO sym_user")
        .await?;
    let body = world.body(&event.end()).await?;
    let note = "`sym_user` has 1 more privilege(s) of its own than when the run began: look where they come from";
    assert_eq!(body["gained"], note);
    Ok(())
}

#[tokio::test]
async fn standing_membership_that_was_taken_away_meanwhile_is_not_left_behind() -> anyhow::Result<()>
{
    for first_ends_first in [true, false] {
        let world = World::builder()
            .sql("GRANT readonly TO sym_user")
            .start()
            .await?;
        let (first, second) = (Event::escalate(), Event::escalate());
        world.body(&first).await?;
        world.sql("REVOKE readonly FROM sym_user").await?;
        world.body(&second).await?;
        let (one, other) = match first_ends_first {
            true => (&first, &second),
            false => (&second, &first),
        };
        world.body(&one.end()).await?;
        assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
        world.body(&other.end()).await?;
        assert_eq!(
            world.person_counts_orders().await,
            denied(),
            "{first_ends_first}"
        );
    }
    Ok(())
}

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
        so nothing was taken from it: an administrator has to look, and to revoke by hand [access-remains]";
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

// Of the strategy `temporary-user`.

struct TemporaryUser {
    event: Event,
    name: String,
    password: String,
}

impl TemporaryUser {
    async fn make(world: &World) -> anyhow::Result<TemporaryUser> {
        let event = Event::escalate_temporary_user();
        let body = world.body(&event).await?;
        let secret = world
            .secret(body["secret_name"].as_str().unwrap_or_default())
            .await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default().to_owned();
        Ok(TemporaryUser {
            event,
            name: text("username"),
            password: text("password"),
        })
    }

    async fn session(&self, world: &World) -> Client {
        let session = world.login(&self.name, &self.password).await;
        session.expect("the user can log in")
    }

    /// It was disabled, and is looked after by the sweep until it is gone.
    async fn is_disabled(&self, world: &World) -> anyhow::Result<()> {
        let login = world.count_orders(&self.name, &self.password).await;
        ensure!(login == Err("28P01".to_owned()), "{login:?}");
        let has_role = format!("SELECT pg_has_role('{}', 'readonly', 'MEMBER')", self.name);
        ensure!(
            world.query(&has_role).await?.as_deref() == Some("false"),
            "it has the role"
        );
        ensure!(world.secrets().await?.is_empty(), "its secret is there");
        ensure!(
            world.run_state(&self.event).await?.as_deref() == Some("ending"),
            "it isn't ending"
        );
        Ok(())
    }

    fn blocked(&self) -> Value {
        refusal(&format!(
            "temporary user `{}` can't log in any more and has no access, but could not be dropped: something in the \
             database still depends on it; the function's log names it [access-remains]",
            self.name
        ))
    }
}

#[tokio::test]
async fn everything_that_a_user_made_goes_to_the_graveyard() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(
            "CREATE TABLE notes (id serial); CREATE VIEW seen AS SELECT * FROM orders; CREATE TYPE mood AS ENUM ('ok');
             CREATE DOMAIN positive AS int; CREATE FUNCTION leak() RETURNS bigint LANGUAGE sql SECURITY DEFINER
                 AS 'SELECT count(*) FROM public.orders';
             CREATE PROCEDURE nothing() LANGUAGE sql AS ''; CREATE AGGREGATE total (int) (sfunc = int4pl, stype = int);
             ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; GRANT SELECT ON notes TO PUBLIC;
             SELECT lo_create(4711)",
        )
        .await?;
    assert_eq!(world.query("SELECT leak()").await?.as_deref(), Some("3"));

    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    assert!(is_ended(&session).await);
    assert!(!world.role_exists(&user.name).await?);
    let owners = "SELECT string_agg(DISTINCT owner, ',') FROM (
        SELECT relowner::regrole::text AS owner FROM pg_class WHERE relname IN ('notes', 'seen', 'notes_id_seq')
        UNION ALL SELECT typowner::regrole::text FROM pg_type WHERE typname IN ('mood', 'positive')
        UNION ALL SELECT proowner::regrole::text FROM pg_proc WHERE proname IN ('leak', 'nothing', 'total')
        UNION ALL SELECT lomowner::regrole::text FROM pg_largeobject_metadata) owned";
    assert_eq!(world.query(owners).await?.as_deref(), Some("sym_graveyard"));
    assert_eq!(world.query("SELECT count(*) FROM pg_default_acl WHERE defaclrole NOT IN (SELECT oid FROM pg_roles)").await?.as_deref(), Some("0"));
    // It runs with the owner's rights, and the owner has none.
    assert!(world.query("SELECT leak()").await.is_err());
    Ok(())
}

#[tokio::test]
async fn objects_in_another_database_go_there_too() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.postgres.create_database("other").await?;
    let setup = "GRANT CREATE, USAGE ON SCHEMA public TO readonly; GRANT CREATE ON SCHEMA public TO sym_graveyard";
    world.postgres.execute_sql("other", setup).await?;
    let user = TemporaryUser::make(&world).await?;
    let session = world
        .postgres
        .connect(&user.name, &user.password, "other")
        .await?;
    session
        .batch_execute(
            "CREATE TABLE notes (); CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        )
        .await?;

    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    assert!(!world.role_exists(&user.name).await?);
    let owner = world.postgres.admin_in("other").await?;
    let owner = owner
        .query_one(
            "SELECT tableowner::text FROM pg_tables WHERE tablename = 'notes'",
            &[],
        )
        .await?;
    assert_eq!(owner.get::<_, &str>(0), "sym_graveyard");
    Ok(())
}

#[tokio::test]
async fn what_blocks_a_removal_is_said_and_the_sweep_tries_again() -> anyhow::Result<()> {
    let world = World::start().await?;
    for (blocker, remedy) in [
        (
            "GRANT SELECT ON orders TO {}",
            "REVOKE SELECT ON orders FROM {}",
        ),
        (
            "GRANT CONNECT ON DATABASE app TO {}",
            "REVOKE CONNECT ON DATABASE app FROM {}",
        ),
        (
            "CREATE SCHEMA theirs; CREATE FUNCTION theirs.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION theirs.f() OWNER TO {}",
            "DROP SCHEMA theirs CASCADE",
        ),
    ] {
        let before = world.state().await?;
        let user = TemporaryUser::make(&world).await?;
        world.sql(&blocker.replace("{}", &user.name)).await?;

        for _ in 0..2 {
            let answer = world.send(&user.event.end()).await?;
            assert_eq!(answer, user.blocked(), "{blocker}");
            user.is_disabled(&world).await?;
        }
        assert_eq!(world.send_text(SWEEP).await?, user.blocked(), "{blocker}");

        world.sql(&remedy.replace("{}", &user.name)).await?;
        assert_eq!(world.sweep().await?, 1, "{blocker}");
        assert!(!world.role_exists(&user.name).await?, "{blocker}");
        if !blocker.contains("DATABASE") {
            world.is_as(&before).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_prepared_transaction_blocks_and_is_named_in_the_log() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "5")
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute("BEGIN; CREATE TABLE notes (); PREPARE TRANSACTION 'time bomb'")
        .await?;

    assert_eq!(world.send(&user.event.end()).await?, user.blocked());
    user.is_disabled(&world).await?;
    assert!(
        world
            .lambda
            .logs()
            .contains("prepared transaction 'time bomb' in database app")
    );

    let admin = world.postgres.admin_in("app").await?;
    admin.batch_execute("ROLLBACK PREPARED 'time bomb'").await?;
    assert_eq!(world.sweep().await?, 1);
    assert!(!world.role_exists(&user.name).await?);
    Ok(())
}

#[tokio::test]
async fn memberships_that_others_gave_do_not_keep_a_user_alive() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE payroll").start().await?;
    let before = world.state().await?;
    let user = TemporaryUser::make(&world).await?;
    world
        .sql(&format!(
            "GRANT payroll, readonly TO {0}; GRANT {0} TO sym_user; ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {0}",
            user.name
        ))
        .await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
    world.is_as(&before).await?;
    // What the server warned of then is not held against the next user.
    let user = TemporaryUser::make(&world).await?;
    world.body(&user.event.end()).await?;
    world.is_as(&before).await
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
    world.refuses(&user.event.end(), &sentence).await?;
    world
        .sql(&format!("ALTER ROLE {} NOLOGIN NOSUPERUSER", user.name))
        .await?;
    assert_eq!(world.send(&user.event.end()).await?, success(json!({})));
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
         taken from it: an administrator has to look, and to revoke by hand [access-remains]",
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
    let user = TemporaryUser::make(&world).await?;
    let other = TemporaryUser::make(&world).await?;
    for name in [
        "sym_user",
        "intern",
        "trainee",
        "postgres",
        BOT,
        other.name.as_str(),
    ] {
        let run = user.event.run_srn();
        world
            .sql(&format!(
                "UPDATE sym.grants SET user_oid = '{name}'::regrole WHERE run = '{run}'"
            ))
            .await?;
        let sentence = format!(
            "database user `{name}` doesn't look like the one that was made for this run, so it was left alone: an \
             administrator has to look [access-remains]"
        );
        world.refuses(&user.event.end(), &sentence).await?;
    }
    world
        .sql(&format!(
            "UPDATE sym.grants SET user_oid = '{}'::regrole WHERE run = '{}'",
            user.name,
            user.event.run_srn()
        ))
        .await?;
    world.body(&user.event.end()).await?;
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

#[tokio::test]
async fn a_statement_that_grants_less_than_it_says_fails_the_event() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON orders TO {username};",
        )
        .sql("GRANT SELECT ON orders TO sym_bot")
        .start()
        .await?;
    let sentence = "a statement of the target's setup granted less than it says: give `sym_bot` the grant option on what \
        it grants [database-refused]";
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    assert_eq!(world.send(&event).await?, refusal(sentence));
    world.is_as(&before).await?;

    world
        .sql("GRANT SELECT ON orders TO sym_bot WITH GRANT OPTION")
        .await?;
    world.body(&event).await?;
    world.body(&event.end()).await?;
    Ok(())
}

// More than one function on a cluster.

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
        .another(&[("DB_USER", "other_bot"), ("DB_PASSWORD", "other")])
        .await?;
    world.body_of(&other, &second.to_string()).await?;
    world.body(&first.end()).await?;
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    world.body(&second.end()).await?;
    assert_eq!(world.person_counts_orders().await, denied());
    Ok(())
}
