//! Events in any order, and twice, with sweeps and people in between, against a
//! model of what access there should be. After each step the ledger, the catalogs
//! and the secrets agree.

use anyhow::ensure;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use crate::fixture::{Event, ORDERS, PERSON, SWEEP, World};

#[derive(Clone, Copy, Debug)]
enum Step {
    Escalate(usize),
    Deescalate(usize),
    /// By a person, with `symctl`.
    Revoke(usize),
    RevokeAll,
    /// The dry run, which changes nothing.
    Request(usize),
    /// The time of this run is over.
    Expire(usize),
    Sweep,
    /// `sym.expire()`, and once more for the sessions.
    Switch,
    ColdStart,
    ServerRestart,
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
        1 => (0..RUNS).prop_map(Step::Revoke),
        1 => Just(Step::RevokeAll),
        1 => (0..RUNS).prop_map(Step::Request),
        2 => (0..RUNS).prop_map(Step::Expire),
        2 => Just(Step::Sweep),
        1 => Just(Step::Switch),
        1 => Just(Step::ColdStart),
        1 => Just(Step::ServerRestart),
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
        Step::Revoke(run) => {
            let revoked = world.symctl(&["revoke", &events[run].run_srn()]).await?;
            let is_open = matches!(runs[run], Run::Granted { .. } | Run::Ending);
            ensure!(revoked.code == Some(i32::from(!is_open)), "{revoked:?}");
            runs[run] = Run::Ended;
        }
        Step::RevokeAll => {
            let revoked = world.symctl(&["revoke", "--all"]).await?;
            ensure!(revoked.code == Some(0), "{revoked:?}");
            let open = |run: &&mut Run| !matches!(run, Run::Unknown);
            runs.iter_mut()
                .filter(open)
                .for_each(|run| *run = Run::Ended);
        }
        Step::Request(run) => {
            let before = (world.state().await?, world.ledger_rows().await?);
            let answer = world.send(&events[run].clone().dry_run()).await?;
            let is_planned = answer["errors"] == Value::Array(Vec::new());
            let may_begin = matches!(runs[run], Run::Unknown | Run::Granted { is_expired: false });
            ensure!(is_planned == may_begin, "{answer}");
            let after = (world.state().await?, world.ledger_rows().await?);
            ensure!(before == after, "the dry run changed something");
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
        Step::ServerRestart => world.postgres.restart()?,
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

    if world.has_ledger().await? {
        world.ledger_agrees().await?;
    }
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
