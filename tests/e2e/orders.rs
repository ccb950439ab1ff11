//! Events in any order, twice, and at once, against a model of what access there
//! should be.

use std::collections::BTreeSet;

use anyhow::ensure;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;
use sym_test_support::lambda::Lambda;

use crate::fixture::{Event, ORDERS, PERSON, SWEEP, World};

// One after the other.

#[derive(Clone, Copy, Debug)]
enum Step {
    Escalate(usize),
    Deescalate(usize),
    /// The time of this run is over.
    Expire(usize),
    Sweep,
    /// `sym.expire()`, and once more for the sessions.
    Switch,
    ColdStart,
}

/// What the ledger should say of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Run {
    Unknown,
    Granted {
        is_expired: bool,
    },
    /// Disabled by the database's own switch, not yet removed.
    Ending,
    Ended,
}

/// Two runs that lend the same role to the same user, and one temporary user.
const RUNS: usize = 3;
const TEMPORARY: usize = 2;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..RUNS).prop_map(Step::Escalate),
        6 => (0..RUNS).prop_map(Step::Deescalate),
        2 => (0..RUNS).prop_map(Step::Expire),
        2 => Just(Step::Sweep),
        1 => Just(Step::Switch),
        1 => Just(Step::ColdStart),
    ];
    prop::collection::vec(step, 1..14)
}

#[test]
fn any_order_of_events_leaves_the_access_that_there_should_be() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let world = runtime.block_on(World::start())?;
    let config = Config {
        cases: 24,
        max_shrink_iters: 60,
        failure_persistence: None,
        ..Config::default()
    };
    let cases = (steps(), any::<bool>());
    let tested = TestRunner::new(config).run(&cases, |(steps, is_standing)| {
        let played = runtime.block_on(play(&world, &steps, is_standing));
        played.map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    tested.map_err(|error| anyhow::anyhow!("{error}"))
}

async fn play(world: &World, steps: &[Step], is_standing: bool) -> anyhow::Result<()> {
    if is_standing {
        world.sql("GRANT readonly TO sym_user").await?;
    }
    let before = world.state().await?;
    let events = [
        Event::escalate(),
        Event::escalate(),
        Event::escalate_temporary_user(),
    ];
    let mut runs = [Run::Unknown; RUNS];
    let result = async {
        for (index, step) in steps.iter().enumerate() {
            let tag = format!("step {index}, {step:?}");
            take(world, &events, &mut runs, *step)
                .await
                .map_err(|error| error.context(tag.clone()))?;
            compare(world, &events, &runs, is_standing)
                .await
                .map_err(|error| error.context(tag))?;
        }
        anyhow::Ok(())
    }
    .await;
    // Also after a failure: the next case begins with a clean table.
    for event in &events {
        world.body(&event.end()).await?;
    }
    result?;
    world.is_as(&before).await?;
    if is_standing {
        world.sql("REVOKE readonly FROM sym_user").await?;
    }
    Ok(())
}

/// Does a step, and says what it should come to.
async fn take(world: &World, events: &[Event], runs: &mut [Run], step: Step) -> anyhow::Result<()> {
    match step {
        Step::Escalate(run) => {
            let answer = world.send(&events[run]).await?;
            let is_success = answer["errors"] == Value::Array(Vec::new());
            match runs[run] {
                Run::Unknown => {
                    ensure!(is_success, "{answer}");
                    runs[run] = Run::Granted { is_expired: false };
                }
                Run::Granted { is_expired: false } => ensure!(is_success, "{answer}"),
                _ => ensure!(answer.to_string().contains("[run-ended]"), "{answer}"),
            }
        }
        Step::Deescalate(run) => {
            world.body(&events[run].end()).await?;
            runs[run] = Run::Ended;
        }
        Step::Expire(run) => {
            let srn = events[run].run_srn();
            let sql = format!(
                "UPDATE sym.grants SET expires_at = now() - interval '1 second' WHERE run = '{srn}' AND state <> 'ended'"
            );
            if runs.iter().any(|run| *run != Run::Unknown) {
                world.ledger_sql(&sql).await?;
            }
            if let Run::Granted { is_expired } = &mut runs[run] {
                *is_expired = true;
            }
        }
        Step::Sweep => {
            let overdue =
                |run: &&mut Run| matches!(run, Run::Ending | Run::Granted { is_expired: true });
            let mut swept = 0;
            for run in runs.iter_mut().filter(overdue) {
                *run = Run::Ended;
                swept += 1;
            }
            let body = world.body_of(&world.lambda, SWEEP).await?;
            ensure!(body["swept"] == swept, "{body:?}, expected {swept}");
        }
        Step::Switch => {
            if runs.iter().all(|run| *run == Run::Unknown) {
                return Ok(());
            }
            for _ in 0..2 {
                world.query("SELECT count(*) FROM sym.expire()").await?;
            }
            for (index, run) in runs.iter_mut().enumerate() {
                if *run == (Run::Granted { is_expired: true }) {
                    *run = if index == TEMPORARY {
                        Run::Ending
                    } else {
                        Run::Ended
                    };
                }
            }
        }
        Step::ColdStart => world.lambda.restart().await?,
    }
    Ok(())
}

/// The catalogs and the ledger are as the model says.
async fn compare(
    world: &World,
    events: &[Event],
    runs: &[Run],
    is_standing: bool,
) -> anyhow::Result<()> {
    let is_granted = |run: &Run| matches!(run, Run::Granted { .. });
    let has_role = is_standing || runs[..TEMPORARY].iter().any(is_granted);
    ensure!(
        world.is_member(PERSON, "readonly").await? == has_role,
        "member: expected {has_role}, {runs:?}"
    );
    let expected = if has_role {
        Ok(ORDERS)
    } else {
        Err("42501".to_owned())
    };
    let counted = world.person_counts_orders().await;
    ensure!(counted == expected, "{counted:?}, expected {expected:?}");

    let users = world
        .query(
            "SELECT string_agg(rolcanlogin::text, ',') FROM pg_roles WHERE rolname LIKE 'symuser%'",
        )
        .await?;
    let expected = match runs[TEMPORARY] {
        Run::Granted { .. } => Some("true"),
        Run::Ending => Some("false"),
        Run::Unknown | Run::Ended => None,
    };
    ensure!(
        users.as_deref() == expected,
        "temporary users: {users:?}, expected {expected:?}"
    );
    // The database can't delete a secret.
    let secrets = world.secrets().await?.len();
    ensure!(
        secrets == usize::from(expected.is_some()),
        "{secrets} secrets"
    );

    for (event, run) in events.iter().zip(runs) {
        if runs.iter().all(|run| *run == Run::Unknown) {
            break;
        }
        let state = world.run_state(event).await?;
        let expected = match run {
            Run::Unknown => None,
            Run::Granted { .. } => Some("granted"),
            Run::Ending => Some("ending"),
            Run::Ended => Some("ended"),
        };
        ensure!(
            state.as_deref() == expected,
            "the ledger says {state:?}, expected {expected:?}"
        );
    }
    Ok(())
}

// At once, from several processes.

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
    join_all(answers.collect()).await.into_iter().collect()
}

/// All of these futures at once, on this task.
async fn join_all<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *output = Some(value);
            }
        }
        match outputs.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
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

#[tokio::test]
async fn two_hundred_events_at_once_on_one_user_and_one_role() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..60).map(|_| Event::escalate()).collect();
    // Each begins twice; the first half ends too, somewhere among it.
    let mut events = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        events.push((index, run.clone()));
        events.push((index + 1, run.clone()));
        if index < 30 {
            events.push((index + 2, run.end()));
            events.push((index + 3, run.end()));
        }
    }
    for answer in send_all(&world, &processes, &events).await? {
        is_success(&answer)?;
    }
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    assert_eq!(world.open_runs().await?, 30);

    let mut ends: Vec<(usize, Event)> = runs
        .iter()
        .enumerate()
        .map(|(index, run)| (index, run.end()))
        .collect();
    let last = ends.pop();
    for answer in send_all(&world, &processes, &ends).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    for answer in send_all(&world, &processes, last.as_slice()).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    assert_eq!(world.open_runs().await?, 0);
    world.is_as(&before).await
}

#[tokio::test]
async fn many_users_at_once_on_one_role_get_it_and_lose_it() -> anyhow::Result<()> {
    let users = 40;
    let world = World::builder()
        .sql(&format!(
            "DO $$ BEGIN FOR i IN 1..{users} LOOP EXECUTE format('CREATE ROLE person%s LOGIN', i); END LOOP; END $$"
        ))
        .start()
        .await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (1..=users)
        .map(|user| Event::escalate().user(&format!("person{user}@healthy-health.co")))
        .collect();
    let events: Vec<_> = runs.iter().cloned().enumerate().collect();
    for answer in send_all(&world, &processes, &events).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    let members = "SELECT count(*) FROM pg_auth_members WHERE roleid = 'readonly'::regrole AND member <> 'sym_bot'::regrole";
    assert_eq!(world.query(members).await?, Some(users.to_string()));
    let events: Vec<_> = runs.iter().map(Event::end).enumerate().collect();
    for answer in send_all(&world, &processes, &events).await? {
        ensure!(is_success(&answer)?, "{answer}");
    }
    assert_eq!(world.open_runs().await?, 0);
    world.is_as(&before).await
}

#[tokio::test]
async fn temporary_users_at_once_are_each_made_once() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let processes = processes(&world).await?;
    let runs: Vec<Event> = (0..8).map(|_| Event::escalate_temporary_user()).collect();
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
    assert_eq!(world.open_runs().await?, 0);
    world.is_as(&before).await
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
    let sweeps: Vec<_> = (0..PROCESSES).collect();
    world.let_time_pass().await?;
    let sweeps = sweeps
        .iter()
        .map(|process| world.body_of(&processes[*process], SWEEP));
    for swept in join_all(sweeps.collect()).await {
        swept?;
    }
    assert_eq!(world.open_runs().await?, 0);
    world.is_as(&before).await
}
