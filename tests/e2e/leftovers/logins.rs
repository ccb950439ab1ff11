//! Logins that are under way when the access ends. Any client may have its own
//! stand still after the password was accepted (`post_auth_delay`), with the
//! role taken already (`-c role=…`): no view of the server's names it meanwhile.

use anyhow::ensure;
use tokio_postgres::{Client, NoTls};

use super::{TemporaryUser, has_set_option, is_ended};
use crate::fixture::{Builder, Event, PERSON, World};

/// Longer than any test: who waits for it has lost.
const STANDS_STILL: &str = "-c post_auth_delay=600";

fn world() -> Builder {
    World::builder().setting("log_connections", "on")
}

/// A login that was accepted, and doesn't come to its end.
struct Login(tokio::task::JoinHandle<Result<Client, tokio_postgres::Error>>);

impl Login {
    async fn begin(world: &World, user: &str, password: &str) -> anyhow::Result<Login> {
        let before = world.postgres.log_text().len();
        let mut config = world.postgres.login(user, password, "app");
        config.options(match has_set_option(world) {
            // Since 16 nobody can take a lent role.
            true => STANDS_STILL.to_owned(),
            false => format!("{STANDS_STILL} -c role=readonly"),
        });
        let login = tokio::spawn(async move {
            let (client, connection) = config.connect(NoTls).await?;
            tokio::spawn(connection);
            Ok(client)
        });
        let accepted = format!("connection authorized: user={user} ");
        while !world.postgres.log_text()[before..].contains(&accepted) {
            ensure!(!login.is_finished(), "{:?}", login.await?.err());
            tokio::task::yield_now().await;
        }
        let hidden = format!("SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = '{user}'");
        ensure!(
            world.query(&hidden).await?.as_deref() == Some("true"),
            "it shows"
        );
        Ok(Login(login))
    }

    /// The server has thrown it out, before any statement.
    async fn was_ended(self) -> anyhow::Result<()> {
        if let Ok(session) = self.0.await? {
            ensure!(is_ended(&session).await, "the session is there");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_login_under_way_does_not_keep_a_lent_role() -> anyhow::Result<()> {
    let world = world().variable("SESSIONS", "terminate").start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let login = Login::begin(&world, PERSON, &world.person_password).await?;
    world.body(&event.end()).await?;
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    login.was_ended().await
}

#[tokio::test]
async fn nor_where_only_sessions_that_could_keep_it_are_ended() -> anyhow::Result<()> {
    let world = world().start().await?;
    if has_set_option(&world) {
        // There is none that could: a role that was lent can't be taken.
        let event = Event::escalate();
        world.body(&event).await?;
        let mut config = world.postgres.login(PERSON, &world.person_password, "app");
        let refused = config.options("-c role=readonly").connect(NoTls).await;
        let refused = refused.err().and_then(|error| error.code().cloned());
        assert_eq!(refused.as_ref().map(|code| code.code()), Some("42501"));
        return Ok(());
    }
    for by_expire in [false, true] {
        let event = Event::escalate();
        world.body(&event).await?;
        let login = Login::begin(&world, PERSON, &world.person_password).await?;
        if by_expire {
            world.let_time_pass().await?;
            for _ in 0..2 {
                world.query("SELECT count(*) FROM sym.expire()").await?;
            }
        } else {
            world.body(&event.end()).await?;
        }
        assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
        login.was_ended().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_temporary_users_login_under_way_does_not_outlive_it() -> anyhow::Result<()> {
    let world = world().start().await?;
    let before = world.state().await?;
    let user = TemporaryUser::make(&world).await?;
    let login = Login::begin(&world, &user.name, &user.password).await?;
    world.body(&user.event.end()).await?;
    assert_eq!(
        world.run_state(&user.event).await?.as_deref(),
        Some("ended")
    );
    login.was_ended().await?;
    world.is_as(&before).await
}

/// What somebody grants keeps the user, and not what stands still.
#[tokio::test]
async fn nor_a_user_that_can_not_be_dropped() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    let colleague = world.login(PERSON, &world.person_password).await;
    let colleague = colleague.map_err(anyhow::Error::msg)?;
    let grant = format!(
        "CREATE TEMP TABLE mine (id int); GRANT SELECT ON mine TO {}",
        user.name
    );
    colleague.batch_execute(&grant).await?;
    let login = Login::begin(&world, &user.name, &user.password).await?;
    assert_eq!(world.send(&user.event.end()).await?, user.blocked());
    login.was_ended().await?;
    colleague.batch_execute("DROP TABLE mine").await?;
    assert_eq!(world.sweep().await?, 1);
    world.ledger_agrees().await
}

#[tokio::test]
async fn nor_the_databases_own_switch() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    let login = Login::begin(&world, &user.name, &user.password).await?;
    world.let_time_pass().await?;
    let expire = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    assert_eq!(world.query(expire).await?.as_deref(), Some("disabled"));
    // The next call ends what had begun before the first was committed.
    world.query(expire).await?;
    login.was_ended().await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_removal_that_died_after_any_step_is_not_over_before_it_has_looked() -> anyhow::Result<()>
{
    let world = world().start().await?;
    let before = world.state().await?;
    for step in 1..20 {
        let user = TemporaryUser::make(&world).await?;
        let login = Login::begin(&world, &user.name, &user.password).await?;
        let step = step.to_string();
        let dying = world.another(&[("SYM_CRASH_AFTER_STEP", &step)]).await?;
        ensure!(
            dying.invoke(user.event.end()).await?.response().is_err(),
            "it lives"
        );
        let is_dropped = !world.role_exists(&user.name).await?;
        let state = world.run_state(&user.event).await?;
        if state.as_deref() == Some("ended") {
            // The look was the last step.
            ensure!(is_dropped && step != "1", "{step}");
            return login.was_ended().await;
        }
        world.let_time_pass().await?;
        assert_eq!(world.sweep().await?, 1, "after step {step}");
        login.was_ended().await?;
        world.is_as(&before).await?;
    }
    anyhow::bail!("the last step never came")
}

#[tokio::test]
async fn a_login_that_can_not_be_ended_is_said() -> anyhow::Result<()> {
    let world = world()
        .sql("REVOKE pg_signal_backend FROM sym_bot GRANTED BY master")
        .start()
        .await?;
    let user = TemporaryUser::make(&world).await?;
    let login = Login::begin(&world, &user.name, &user.password).await?;
    let answer = world.send(&user.event.end()).await?.to_string();
    assert!(
        answer.contains("an open session of theirs could not be ended"),
        "{answer}"
    );
    assert_eq!(
        world.run_state(&user.event).await?.as_deref(),
        Some("ending")
    );
    world.sql("GRANT pg_signal_backend TO sym_bot").await?;
    assert_eq!(world.sweep().await?, 1);
    login.was_ended().await
}
