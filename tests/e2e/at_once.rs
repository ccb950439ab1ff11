//! Many events at once, from several processes: no lost effect and no double
//! one, no deadlock, and a ledger that agrees with the server's catalogs.

use std::collections::BTreeSet;

use anyhow::ensure;
use futures_util::future::join_all;
use serde_json::Value;
use sym_test_support::lambda::Lambda;
use sym_test_support::postgres::Shutdown;

use crate::fixture::{BOT, Event, ORDERS, PERSON, SWEEP, State, World};

/// Runs that are open at once.
const RUNS: usize = 200;

const PROCESSES: usize = 4;

async fn processes(world: &World) -> anyhow::Result<Vec<Lambda>> {
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(world.another(&[]).await?);
    }
    Ok(processes)
}

/// Sends all at once, each to the process that it names, and gives the answers
/// in the same order.
async fn send_all(
    world: &World,
    processes: &[Lambda],
    events: &[(usize, Event)],
) -> anyhow::Result<Vec<Value>> {
    let answers = events.iter().map(|(process, event)| {
        let lambda = &processes[process % processes.len()];
        async move { world.send_to(lambda, &event.to_string()).await }
    });
    join_all(answers).await.into_iter().collect()
}

/// Whether an answer is a success, or says that the run has ended. Anything else
/// is a fault.
fn is_success(answer: &Value) -> anyhow::Result<bool> {
    let is_success = answer["errors"] == Value::Array(Vec::new());
    ensure!(
        is_success || answer.to_string().contains("[run-ended]"),
        "{answer}"
    );
    Ok(is_success)
}

/// Each of these runs begins twice, and every second one ends twice, all at once:
/// whichever comes first of a run's beginning and end, that one counts.
fn storm(runs: &[Event]) -> Vec<(usize, Event)> {
    let mut events = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        events.push((index, run.clone()));
        events.push((index + 1, run.clone()));
        if index % 2 == 0 {
            events.push((index + 2, run.end()));
            events.push((index + 3, run.end()));
        }
    }
    events
}

/// The end of every run.
fn ends(runs: &[Event]) -> Vec<(usize, Event)> {
    runs.iter().map(Event::end).enumerate().collect()
}

/// Nothing is left of these runs, and each of them is in the ledger, once.
async fn all_have_ended(world: &World, runs: usize, before: &State) -> anyhow::Result<()> {
    let counts = "SELECT string_agg(state || ' ' || count, ',') FROM
        (SELECT state, count(*) FROM sym.grants GROUP BY state) counts";
    ensure!(
        world.ledger(counts).await? == Some(format!("ended {runs}")),
        "{:?}",
        world.ledger(counts).await?
    );
    world.ledger_agrees().await?;
    world.is_as(before).await
}

#[tokio::test]
async fn two_hundred_runs_at_once_on_one_user_and_one_role() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..RUNS).map(|_| Event::escalate()).collect();
    for answer in send_all(&world, &processes, &storm(&runs)).await? {
        is_success(&answer)?;
    }
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    assert_eq!(world.open_runs().await?, RUNS as u64 / 2);
    world.ledger_agrees().await?;

    // Until the last of them ends, nothing is taken away.
    let mut ends = ends(&runs);
    let last = ends.pop();
    for answer in send_all(&world, &processes, &ends).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    assert_eq!(world.open_runs().await?, 1);
    for answer in send_all(&world, &processes, last.as_slice()).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    all_have_ended(&world, RUNS, &before).await
}

#[tokio::test]
async fn two_hundred_runs_at_once_on_one_user_and_many_roles() -> anyhow::Result<()> {
    let roles = 8;
    let manifest: String = (0..roles)
        .map(|role| format!("[targets.role{role}]\n"))
        .collect();
    let world = World::builder()
        .file(
            "plugins.toml",
            format!("[resolver]\ncomponent = \"default-resolver.wasm\"\n{manifest}"),
        )
        .sql(&format!(
            "DO $$ BEGIN FOR i IN 0..{roles} - 1 LOOP EXECUTE format('CREATE ROLE role%s', i);
             EXECUTE format('GRANT role%s TO sym_bot WITH ADMIN OPTION', i); END LOOP; END $$"
        ))
        .start()
        .await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..RUNS)
        .map(|run| Event::escalate().target(&format!("role{}", run % roles)))
        .collect();
    for answer in send_all(&world, &processes, &storm(&runs)).await? {
        is_success(&answer)?;
    }
    // Every second run is open: those of the roles with odd numbers.
    assert_eq!(world.open_runs().await?, RUNS as u64 / 2);
    for role in 0..roles {
        let is_member = world.is_member(PERSON, &format!("role{role}")).await?;
        assert_eq!(is_member, role % 2 == 1, "{role}");
    }
    world.ledger_agrees().await?;
    for answer in send_all(&world, &processes, &ends(&runs)).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    all_have_ended(&world, RUNS, &before).await
}

#[tokio::test]
async fn two_hundred_users_at_once_on_one_role_get_it_and_lose_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(&format!(
            "DO $$ BEGIN FOR i IN 1..{RUNS} LOOP EXECUTE format('CREATE ROLE person%s LOGIN', i); END LOOP; END $$"
        ))
        .start()
        .await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (1..=RUNS)
        .map(|user| Event::escalate().user(&format!("person{user}@healthy-health.co")))
        .collect();
    let begins: Vec<_> = runs.iter().cloned().enumerate().collect();
    for answer in send_all(&world, &processes, &begins).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    let members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'readonly'::regrole AND NOT admin_option";
    assert_eq!(world.query(members).await?, Some(RUNS.to_string()));
    world.ledger_agrees().await?;
    for answer in send_all(&world, &processes, &ends(&runs)).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    all_have_ended(&world, RUNS, &before).await
}

/// The server is restarted in the midst of it: what fails says that the database
/// was away, and the same event again makes it good.
#[tokio::test]
async fn a_restart_among_two_hundred_runs_loses_nothing() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("synchronous_commit", "on")
        .start()
        .await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..RUNS)
        .map(|run| match run % 10 {
            0 => Event::escalate_temporary_user(),
            _ => Event::escalate(),
        })
        .collect();
    for (events, shutdown) in [
        (
            runs.iter().cloned().enumerate().collect(),
            Shutdown::Immediate,
        ),
        (ends(&runs), Shutdown::Fast),
    ] {
        let events: Vec<(usize, Event)> = events;
        let restart = async {
            // When a part of them is done.
            let served = format!(
                "SELECT count(*) > {} FROM sym.grants WHERE {}",
                RUNS / 4,
                match shutdown {
                    Shutdown::Immediate => "true",
                    Shutdown::Fast => "state = 'ended'",
                }
            );
            while !world.has_ledger().await? {}
            world.wait_until(&served).await?;
            world.postgres.restart_by(shutdown)
        };
        let (answers, restarted) = tokio::join!(send_all(&world, &processes, &events), restart);
        restarted?;
        for ((process, event), answer) in events.iter().zip(answers?) {
            if answer["errors"] != Value::Array(Vec::new()) {
                ensure!(
                    answer.to_string().contains("[database-unavailable]"),
                    "{answer}"
                );
            }
            // A lost answer may be to an event that was carried out.
            let lambda = &processes[process % processes.len()];
            world.body_of(lambda, &event.to_string()).await?;
        }
        world.ledger_agrees().await?;
    }
    all_have_ended(&world, RUNS, &before).await
}

#[tokio::test]
async fn temporary_users_at_once_are_each_made_once() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..25).map(|_| Event::escalate_temporary_user()).collect();
    let events: Vec<_> = runs
        .iter()
        .flat_map(|run| (0..PROCESSES).map(|process| (process, run.clone())))
        .collect();
    let answers = send_all(&world, &processes, &events).await?;
    for same in answers.chunks(PROCESSES) {
        ensure!(is_success(&same[0])?, "{}", same[0]);
        // One user, one secret, one expiry.
        let distinct: BTreeSet<String> = same.iter().map(Value::to_string).collect();
        ensure!(distinct.len() == 1, "{distinct:?}");
        let body = &same[0]["body"];
        let secret = world
            .secret(body["secret_name"].as_str().unwrap_or_default())
            .await?;
        let text = |field: &str| secret[field].as_str().unwrap_or_default();
        assert_eq!(
            world.count_orders(text("username"), text("password")).await,
            Ok(ORDERS)
        );
    }
    assert_eq!(world.secrets().await?.len(), runs.len());

    let ends: Vec<_> = runs
        .iter()
        .flat_map(|run| (0..PROCESSES).map(|process| (process, run.end())))
        .collect();
    for answer in send_all(&world, &processes, &ends).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    all_have_ended(&world, runs.len(), &before).await
}

#[tokio::test]
async fn a_temporary_user_that_begins_and_ends_at_once_is_not_left_behind() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..20).map(|_| Event::escalate_temporary_user()).collect();
    let events: Vec<_> = runs
        .iter()
        .enumerate()
        .flat_map(|(index, run)| {
            [
                (index, run.clone()),
                (index + 1, run.end()),
                (index + 2, run.clone()),
            ]
        })
        .collect();
    for answer in send_all(&world, &processes, &events).await? {
        is_success(&answer)?;
    }
    world.let_time_pass().await?;
    let sweeps = processes
        .iter()
        .map(|process| world.body_of(process, SWEEP));
    for swept in join_all(sweeps).await {
        swept?;
    }
    all_have_ended(&world, runs.len(), &before).await
}

#[tokio::test]
async fn ends_at_once_take_the_role_back_whatever_the_databases_isolation() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER DATABASE app SET default_transaction_isolation = 'repeatable read'")
        .start()
        .await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    for _ in 0..3 {
        let runs: Vec<Event> = (0..processes.len()).map(|_| Event::escalate()).collect();
        for event in &runs {
            world.body(event).await?;
        }
        for answer in send_all(&world, &processes, &ends(&runs)).await? {
            ensure!(is_success(&answer)?, "{answer}");
        }
        world.is_as(&before).await?;
    }
    // pg_cron logs in as the function's user, and gets that user's level. Who calls the
    // functions in another way is told.
    let lent = Event::escalate();
    world.body(&lent).await?;
    world.let_time_pass().await?;
    let bot = world.login("sym_bot", &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    let outcome = bot
        .query_one("SELECT outcome FROM sym.expire()", &[])
        .await?;
    assert_eq!(outcome.get::<_, &str>(0), "taken-back");
    world.sweep().await?;
    let lent = Event::escalate();
    world.body(&lent).await?;
    let end = format!("SELECT sym.give_back(lower('{}'), '{{}}')", lent.run_srn());
    assert!(world.query(&end).await.is_err());
    Ok(())
}

/// Somebody waits for a lock in a transaction of the function's.
const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE application_name LIKE 'sym-postgres%' AND wait_event_type = 'Lock'";

#[tokio::test]
async fn the_same_user_at_once_with_a_ledger_apart_has_the_password_of_its_secret()
-> anyhow::Result<()> {
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .file(
            "readonly.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON pay TO {username}",
        )
        .sql("CREATE TABLE pay (); GRANT SELECT ON pay TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    world.make_ledger_database().await?;
    let before = world.state().await?;
    let other = world.another(&[]).await?;
    let event = Event::escalate_temporary_user();
    let admin = world.postgres.admin_in("app").await?;
    // Both have made the user, and wait in its setup, the first of them first.
    admin
        .batch_execute("BEGIN; GRANT SELECT ON pay TO PUBLIC")
        .await?;
    let waits = |count: u32| format!("({WAITING}) = {count}");
    let second = async {
        world.wait_until(&waits(1)).await?;
        world.send_to(&other, &event.to_string()).await
    };
    let release = async {
        world.wait_until(&waits(2)).await?;
        admin.batch_execute("ROLLBACK").await?;
        anyhow::Ok(())
    };
    let (first, second, released) = tokio::join!(world.send(&event), second, release);
    released?;
    let (first, second) = (first?, second?);
    ensure!(is_success(&first)?, "{first}");
    assert_eq!(first, second);
    let secret = world
        .secret(first["body"]["secret_name"].as_str().unwrap_or_default())
        .await?;
    let text = |field: &str| secret[field].as_str().unwrap_or_default();
    assert_eq!(
        world.count_orders(text("username"), text("password")).await,
        Ok(ORDERS)
    );
    world.body(&event.end()).await?;
    world.is_as(&before).await
}

/// Of two that make the same user, with a ledger apart, the one that was overtaken gives it nothing.
#[tokio::test]
async fn who_was_overtaken_gives_no_role() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE writer").start().await?;
    let admin = world.admin_options();
    world
        .sql(&format!("GRANT writer TO sym_bot WITH {admin}"))
        .await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    let made = async |release: &str| {
        let prepare = format!(
            r#"SELECT sym.prepare_user('{{"run": "o:run:f:1:x", "user": "tu_x", "target": "t", "release": "{release}",
                "lease_seconds": "3600", "replay_window_seconds": "900", "secret": "/s/x"}}')"#
        );
        bot.batch_execute(&prepare).await?;
        let create = "SELECT sym.create_user('o:run:f:1:x', 'md500000000000000000000000000000000', 5, false) ->> 'made_by'";
        let made_by: String = bot.query_one(create, &[]).await?.get(0);
        anyhow::Ok(made_by)
    };
    let admit = async |role: &str, made_by: &str| {
        let sql = format!("SELECT sym.admit_user('o:run:f:1:x', '{role}', '{made_by}')");
        let admitted = bot.batch_execute(&sql).await;
        admitted.map_err(|error| error.code().map_or("", |code| code.code()).to_owned())
    };
    let first = made("one").await?;
    let second = made("two").await?;
    assert_eq!(admit("writer", &first).await, Err("40001".to_owned()));
    assert_eq!(admit("readonly", &second).await, Ok(()));
    assert!(!world.is_member("tu_x", "writer").await?);
    bot.batch_execute("SELECT sym.disable_user('o:run:f:1:x', 'test')")
        .await?;
    assert_eq!(admit("writer", &second).await, Err("SYMRF".to_owned()));
    assert!(!world.is_member("tu_x", "writer").await?);
    Ok(())
}
