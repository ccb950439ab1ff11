//! Many people at once; and what one event costs as ledgers, roles and releases
//! grow.

use std::fmt::Write as _;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sym_test_support::lambda::Lambda;

use super::figures::{Figure, Figures, Unit, milliseconds, quantile};
use super::scenario::timed;
use super::world::{Plugins, Run, Wire, World};
use crate::demo::stage::{DATABASE, Store};
use crate::terminal;

/// Different people, each of whom gets access and loses it.
const PEOPLE: usize = 1_000;
/// Functions that serve them, as concurrent sandboxes of Lambda's do.
const FUNCTIONS: usize = 32;
/// Warm pairs of events at each size.
const PAIRS: u32 = 40;
const SIZES: [u32; 3] = [10, 1_000, 100_000];
const TARGETS: [u32; 3] = [1, 50, 500];

pub(super) async fn measure(figures: &mut Figures) -> Result<()> {
    let world = World::start().await?;
    people(&world, figures).await?;
    growth(&world, figures).await?;
    targets(&world, figures).await
}

/// `PEOPLE` escalate and deescalate, by `FUNCTIONS` functions on one database.
async fn people(world: &World, figures: &mut Figures) -> Result<()> {
    terminal::error(&format!("scale: {PEOPLE} people, {FUNCTIONS} functions"));
    let sql = format!(
        "DO $$ BEGIN FOR i IN 0..{PEOPLE}-1 LOOP EXECUTE format('CREATE ROLE person_%s LOGIN', i); END LOOP; END $$"
    );
    world.postgres.execute_sql(DATABASE, &sql).await?;
    let mut functions = Vec::new();
    for _ in 0..FUNCTIONS {
        let variables = world.hosts_variables("role", Wire::Direct, Plugins::File);
        functions.push(Lambda::start(&super::bootstrap()?, variables).await?);
    }
    let done = tokio::sync::watch::Sender::new(false);
    let serve = |index: usize| {
        let function = &functions[index];
        async move {
            let mut durations = (Vec::new(), Vec::new());
            for person in (index..PEOPLE).step_by(FUNCTIONS) {
                let username = format!("person-{person}@healthy-health.co");
                let run = Run::new("role", &username, "readonly")?;
                durations.0.push(timed(function, &run.escalate).await?);
                durations.1.push(timed(function, &run.deescalate).await?);
            }
            anyhow::Ok(durations)
        }
    };
    let started_at = Instant::now();
    let (results, connections) = tokio::join!(
        async {
            let all = futures_util::future::try_join_all((0..FUNCTIONS).map(serve)).await;
            done.send_replace(true);
            all
        },
        most_connections(world, done.subscribe()),
    );
    let elapsed = started_at.elapsed();
    let (mut escalate, mut deescalate) = (Vec::new(), Vec::new());
    for (given, taken) in results? {
        escalate.extend(milliseconds(&given));
        deescalate.extend(milliseconds(&taken));
    }
    let left = world
        .count(
            "SELECT count(*) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member WHERE r.rolname LIKE 'person\\_%'",
        )
        .await?;
    let ended = world
        .count(
            "SELECT count(*) FROM sym.grants WHERE state = 'ended' AND user_name LIKE 'person\\_%'",
        )
        .await?;
    ensure!(
        left == 0 && ended == PEOPLE as i64,
        "{left} people have access still, and {ended} of {PEOPLE} runs have ended"
    );
    let events = (2 * PEOPLE) as f64 / elapsed.as_secs_f64();
    figures.set(
        "scale/people/events",
        Figure::single(events, Unit::PerSecond),
    );
    figures.set(
        "scale/people/seconds",
        Figure::single(elapsed.as_secs_f64(), Unit::Count),
    );
    figures.set(
        "scale/people/connections",
        Figure::single(connections? as f64, Unit::Count),
    );
    for (what, samples) in [("escalate", &escalate), ("deescalate", &deescalate)] {
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            if let Some(value) = quantile(samples, part) {
                figures.set(
                    format!("scale/people/{what}-{name}"),
                    Figure::single(value, Unit::Milliseconds),
                );
            }
        }
    }
    Ok(())
}

/// The most sessions that the function's user had, until `done`.
async fn most_connections(
    world: &World,
    mut done: tokio::sync::watch::Receiver<bool>,
) -> Result<i64> {
    let admin = world.postgres.admin_in(DATABASE).await?;
    let mut most = 0;
    loop {
        let row = admin
            .query_one(
                "SELECT count(*) FROM pg_stat_activity WHERE usename = 'sym_bot'",
                &[],
            )
            .await?;
        most = most.max(row.get(0));
        let tick = tokio::time::sleep(Duration::from_millis(100));
        tokio::select! {
            () = tick => {}
            _ = done.wait_for(|done| *done) => return Ok(most),
        }
    }
}

/// One event, beside 10 to 100,000 ended runs, roles and open grants.
async fn growth(world: &World, figures: &mut Figures) -> Result<()> {
    let mut from = 0;
    for size in SIZES {
        terminal::error(&format!("scale: {size} ledger rows, roles and open grants"));
        // Since 16 a transaction has a lock for each membership that it makes.
        while from < size {
            let to = size.min(from + 2_000);
            world
                .postgres
                .execute_sql(DATABASE, &crowd(from, to))
                .await
                .with_context(|| format!("can't make {size} roles"))?;
            from = to;
        }
        let analyze = "ANALYZE sym.grants; ANALYZE pg_authid; ANALYZE pg_auth_members";
        world.postgres.execute_sql(DATABASE, analyze).await?;
        for strategy in ["role", "temporary-user"] {
            let variables = world.hosts_variables(strategy, Wire::Direct, Plugins::File);
            let prefix = format!("scale/rows-{size}/{strategy}");
            pairs(&variables, strategy, "readonly", &prefix, figures).await?;
        }
    }
    Ok(())
}

/// People with a role each, an open grant of `readonly`, and an ended run.
fn crowd(from: u32, to: u32) -> String {
    format!(
        "SET synchronous_commit = off;
         DO $$ BEGIN FOR i IN {from}..{to}-1 LOOP
             EXECUTE format('CREATE ROLE crowd_%s LOGIN', i);
             EXECUTE format('GRANT readonly TO crowd_%s', i);
         END LOOP; END $$;
         INSERT INTO sym.grants (run, strategy, state, requester, target, release, user_oid, user_name, role_oid, role_name, grantor_oid, standing, created_at, granted_at, expires_at)
         SELECT 'crowd:run:open:1.0.0:' || i, 'role', 'granted', 'crowd-' || i || '@example.com', 'readonly', 'bench', r.oid, r.rolname, 'readonly'::regrole, 'readonly', 'sym_bot'::regrole, false, now(), now(), now() + interval '1 day'
         FROM generate_series({from}, {to}-1) i JOIN pg_roles r ON r.rolname = 'crowd_' || i;
         INSERT INTO sym.grants (run, strategy, state, requester, target, release, user_oid, user_name, role_oid, role_name, grantor_oid, standing, created_at, granted_at, expires_at, ended_at, ended_by)
         SELECT 'crowd:run:ended:1.0.0:' || i, 'role', 'ended', 'crowd-' || i || '@example.com', 'readonly', 'bench', r.oid, r.rolname, 'readonly'::regrole, 'readonly', 'sym_bot'::regrole, false, now(), now(), now(), now(), 'deescalate'
         FROM generate_series({from}, {to}-1) i JOIN pg_roles r ON r.rolname = 'crowd_' || i"
    )
}

/// One event, with releases of 1 to 500 targets.
async fn targets(world: &World, figures: &mut Figures) -> Result<()> {
    for count in TARGETS {
        terminal::error(&format!("scale: {count} targets"));
        let directory = world.scratch(&format!("targets-{count}"))?;
        let plugins = sym_test_support::tools::workspace().join("target/plugins");
        fs::copy(
            plugins.join("default-resolver.wasm"),
            directory.join("default-resolver.wasm"),
        )?;
        let mut manifest = String::from("[resolver]\ncomponent = \"default-resolver.wasm\"\n");
        for target in 1..=count {
            writeln!(
                manifest,
                "[targets.t{target}]\nstrategy = \"temporary-user\"\nsql = \"t{target}.sql\""
            )?;
            let sql = "GRANT readonly TO {username};\n";
            fs::write(directory.join(format!("t{target}.sql")), sql)?;
        }
        fs::write(directory.join("plugins.toml"), manifest)?;
        // A function of its own: the ledger keeps serials by function.
        let function = format!("sym-postgres-{count}");
        let store = Store::publish_for(&function, &directory).await?;
        let mut variables = world.hosts_variables("temporary-user", Wire::Direct, Plugins::File);
        for (name, value) in [
            ("PLUGINS", store.url()),
            ("PLUGIN_TRUST", store.trust.clone()),
        ] {
            variables.retain(|(other, _)| other != name);
            variables.push((name.to_owned(), value));
        }
        variables.push(("AWS_LAMBDA_FUNCTION_NAME".to_owned(), function));
        let prefix = format!("scale/targets-{count}");
        let target = format!("t{count}");
        pairs(&variables, "temporary-user", &target, &prefix, figures).await?;
    }
    Ok(())
}

/// A cold start and warm pairs of one person's events.
async fn pairs(
    variables: &[(String, String)],
    strategy: &str,
    target: &str,
    prefix: &str,
    figures: &mut Figures,
) -> Result<()> {
    let lambda = Lambda::start(&super::bootstrap()?, variables.to_vec()).await?;
    let run = || Run::new(strategy, "sym-user@healthy-health.co", target);
    let first = run()?;
    let cold = lambda.init_duration() + timed(&lambda, &first.escalate).await?;
    timed(&lambda, &first.deescalate).await?;
    let (mut escalate, mut deescalate) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        let run = run()?;
        escalate.push(timed(&lambda, &run.escalate).await?);
        deescalate.push(timed(&lambda, &run.deescalate).await?);
    }
    figures.set_median(
        format!("{prefix}/cold"),
        &milliseconds(&[cold]),
        Unit::Milliseconds,
    );
    figures.set_median(
        format!("{prefix}/escalate"),
        &milliseconds(&escalate),
        Unit::Milliseconds,
    );
    figures.set_median(
        format!("{prefix}/deescalate"),
        &milliseconds(&deescalate),
        Unit::Milliseconds,
    );
    Ok(())
}
