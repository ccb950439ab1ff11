//! One run, and two that come to it at once: the one stands in between two steps of the other's.

use tokio_postgres::Client;

use crate::fixture::{BOT, Event, PERSON, World};

async fn bot(world: &World) -> anyhow::Result<Client> {
    let bot = world.login(BOT, &world.bot_password).await;
    bot.map_err(anyhow::Error::msg)
}

/// So many sessions of the function's user wait for a lock.
async fn wait_for(world: &World, waiting: u32) -> anyhow::Result<()> {
    let waits = format!(
        "SELECT count(*) = {waiting} FROM pg_stat_activity WHERE usename = '{BOT}' AND wait_event_type = 'Lock'"
    );
    world.wait_until(&waits).await
}

/// What a run of this name asks of the function that begins it.
fn request(run: &str, user: &str) -> String {
    format!(
        r#"{{"run": "{run}", "user": "{user}", "role": "readonly", "requester": "r", "target": "t", "release": "r",
             "secret": "/s/{run}", "lease_seconds": "3600", "replay_window_seconds": "900"}}"#
    )
}

#[tokio::test]
async fn a_run_does_not_begin_over_an_end_that_came_in_between() -> anyhow::Result<()> {
    let world = World::start().await?;
    let ending = bot(&world).await?;
    let mut refusals = Vec::new();
    for begin in ["lend", "prepare_user"] {
        let run = format!("o:run:f:1:{begin}");
        // The beginning finds no row, and then has to wait for this one.
        ending
            .batch_execute(&format!("BEGIN; SELECT sym.give_back('{run}', '{{}}')"))
            .await?;
        let beginning = bot(&world).await?;
        let sql = format!("SELECT sym.{begin}('{}')", request(&run, PERSON));
        let begun = tokio::spawn(async move { beginning.batch_execute(&sql).await });
        wait_for(&world, 1).await?;
        ending.batch_execute("COMMIT").await?;
        let refused = begun.await?.err();
        let state = refused.and_then(|error| Some(error.code()?.code().to_owned()));
        refusals.push(state.unwrap_or_default());
    }
    assert_eq!(refusals, ["40001", "SYMRF"]);
    assert_eq!(world.open_runs().await?, 0);
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

#[tokio::test]
async fn an_end_does_not_close_a_run_that_has_begun_anew_since() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let run = event.run_srn().to_lowercase();
    let ending = bot(&world).await?;
    ending
        .batch_execute(&format!("SELECT sym.give_back('{run}', '{{}}')"))
        .await?;
    // As if it had begun anew, and were being ended again.
    let admin = world.postgres.admin_in("app").await?;
    admin
        .batch_execute("BEGIN; UPDATE sym.grants SET created_at = created_at + interval '1 second'")
        .await?;
    let finish = format!("SELECT sym.finish('{run}', false)");
    let finished = tokio::spawn(async move { ending.batch_execute(&finish).await });
    wait_for(&world, 1).await?;
    admin.batch_execute("COMMIT").await?;
    finished.await??;
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ending"));
    assert_eq!(world.sweep().await?, 1);
    Ok(())
}

/// The secret is that of who begins then: of the run itself, and of another with its id.
#[tokio::test]
async fn an_end_that_comes_again_leaves_the_secret_of_a_run_that_has_begun_since()
-> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    world.body(&event).await?;
    world.body(&event.end()).await?;
    let run = event.run_srn().to_lowercase();
    let hold = format!("SELECT sym.hold_ended('{run}')");
    let ending = bot(&world).await?;
    let late: Option<String> = ending.query_one(&hold, &[]).await?.get(0);
    assert!(late.is_some());
    let admin = world.postgres.admin_in("app").await?;
    for begin in [
        "UPDATE sym.grants SET state = 'pending'",
        "UPDATE sym.grants SET created_at = created_at;
         INSERT INTO sym.grants (run, strategy, state, secret) SELECT 'o:run:f:1:other', strategy, 'pending', secret FROM sym.grants",
    ] {
        admin.batch_execute(&format!("BEGIN; {begin}")).await?;
        let held = ending.query_one(&hold, &[]);
        let commit = async {
            wait_for(&world, 1).await?;
            anyhow::Ok(admin.batch_execute("COMMIT").await?)
        };
        let (held, committed) = tokio::join!(held, commit);
        committed?;
        let held: Option<String> = held?.get(0);
        assert_eq!(held, None, "{begin}");
        world.sql("UPDATE sym.grants SET state = 'ended'").await?;
    }
    Ok(())
}

/// The user is somebody else's work then, and its secret with it.
#[tokio::test]
async fn who_was_overtaken_deletes_no_secret() -> anyhow::Result<()> {
    let world = World::builder()
        .file("readonly.sql", "GRANT SELECT ON pay TO {username}")
        .sql("CREATE TABLE pay (); GRANT SELECT ON pay TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    let event = Event::escalate_temporary_user();
    let run = event.run_srn().to_lowercase();
    let admin = world.postgres.admin_in("app").await?;
    admin
        .batch_execute("BEGIN; GRANT SELECT ON pay TO PUBLIC")
        .await?;
    let other = world.postgres.admin_in("app").await?;
    let overtake = async {
        // In its setup, with the secret stored.
        wait_for(&world, 1).await?;
        let waits = format!("usename = '{BOT}' AND wait_event_type = 'Lock'");
        let first = format!("SELECT pid FROM pg_stat_activity WHERE {waits}");
        let first = world.query(&first).await?.unwrap_or_default();
        // The next that has the ledger, before the first can look at it again.
        let lock = other.batch_execute("BEGIN; LOCK TABLE sym.grants IN EXCLUSIVE MODE");
        let fail = async {
            let is_next =
                "SELECT count(*) = 1 FROM pg_locks WHERE mode = 'ExclusiveLock' AND NOT granted
                AND relation = 'sym.grants'::regclass";
            world.wait_until(is_next).await?;
            let cancel = format!("SELECT pg_cancel_backend({first})");
            world.query(&cancel).await
        };
        let (locked, failed) = tokio::join!(lock, fail);
        failed?;
        locked?;
        let make = format!(
            "SELECT sym.create_user('{run}', 'md500000000000000000000000000000000', 5, true);
             SELECT sym.confirm_user('{run}', NULL); COMMIT"
        );
        anyhow::Ok(other.batch_execute(&make).await?)
    };
    let (answer, overtaken) = tokio::join!(world.send(&event), overtake);
    overtaken?;
    let answer = answer?.to_string();
    assert!(answer.contains("[database-refused]"), "{answer}");
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("granted"));
    assert_eq!(world.secrets().await?.len(), 1);
    admin.batch_execute("ROLLBACK").await?;
    world.body(&event.end()).await?;
    assert!(world.secrets().await?.is_empty());
    Ok(())
}

/// A resolver may give several runs one name.
#[tokio::test]
async fn a_later_runs_user_of_the_same_name_keeps_no_run_open() -> anyhow::Result<()> {
    let world = World::start().await?;
    let bot = bot(&world).await?;
    let make = async |run: &str| {
        let sql = format!(
            "SELECT sym.prepare_user('{}');
             SELECT sym.create_user('{run}', 'md500000000000000000000000000000000', 5, true);
             SELECT sym.confirm_user('{run}', NULL)",
            request(run, "tu_x")
        );
        bot.batch_execute(&sql).await
    };
    make("o:run:f:1:one").await?;
    world.sql("DROP ROLE tu_x").await?;
    make("o:run:f:1:two").await?;
    let disable = "SELECT sym.disable_user('o:run:f:1:one', 'test') ->> 'has_user'";
    let has_user: String = bot.query_one(disable, &[]).await?.get(0);
    assert_eq!(has_user, "false");
    let can_login = "SELECT rolcanlogin FROM pg_roles WHERE rolname = 'tu_x'";
    assert_eq!(world.query(can_login).await?.as_deref(), Some("true"));
    Ok(())
}
