//! How the server finds rows of a large ledger: by an index, and never by reading
//! all of it. `--no-capture` shows the plans, which docs/performance.md has.

use anyhow::{Context as _, ensure};

use crate::fixture::{Event, World};

/// Runs that are over, of a ledger that nobody ever tidied.
const ENDED: u32 = 100_000;

/// Runs that are open.
const OPEN: u32 = 200;

/// What a function of schema `sym` looks rows up by: the function, its condition
/// as it stands there, and the types of what is `$1`, `$2`, … here.
const LOOKUPS: [(&str, &str, &str, &str); 6] = [
    ("lend", "g.run = this_run", "g.run = $1", "text"),
    (
        "lend",
        "g.user_oid = this_user AND g.role_oid = this_role AND g.state = 'granted' AND g.run <> this_run",
        "g.user_oid = $1 AND g.role_oid = $2 AND g.state = 'granted' AND g.run <> $3",
        "oid, oid, text",
    ),
    (
        "other_runs",
        "g.user_oid = other_runs.user_oid AND g.role_oid = other_runs.role_oid AND g.state = 'granted'",
        "g.user_oid = $1 AND g.role_oid = $2 AND g.state = 'granted'",
        "oid, oid",
    ),
    (
        "prepare_user",
        "g.secret = request ->> 'secret' AND g.state <> 'ended' AND g.run <> this_run",
        "g.secret = $1 AND g.state <> 'ended' AND g.run <> $2",
        "text, text",
    ),
    ("overdue", "g.state <> 'ended'", "g.state <> 'ended'", ""),
    (
        "leave_heirs",
        "g.state IN ('pending', 'ending') AND g.strategy = 'temporary-user'",
        "g.state IN ('pending', 'ending') AND g.strategy = 'temporary-user'",
        "",
    ),
];

#[tokio::test]
#[expect(clippy::print_stdout, reason = "the plans are for the documents too")]
async fn a_large_ledger_is_never_read_as_a_whole() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let database = world.postgres.admin_in("app").await?;
    let fill = |from: u32, count: u32, state: &str| {
        format!(
            "INSERT INTO sym.grants (run, strategy, state, user_oid, role_oid, expires_at) \
             SELECT 'o:run:f:1.0.0:' || i, 'role', '{state}', i % 1000, i % 10, now() + interval '1 hour' \
             FROM generate_series({from}, {from} + {count} - 1) i"
        )
    };
    database.batch_execute(&fill(0, ENDED, "ended")).await?;
    database
        .batch_execute(&fill(ENDED, OPEN, "granted"))
        .await?;
    // As the function's own session plans.
    let settings = "ANALYZE sym.grants; SET plan_cache_mode = force_generic_plan";
    database.batch_execute(settings).await?;
    for (index, (function, condition, lookup, types)) in LOOKUPS.iter().enumerate() {
        let source = database
            .query_one(
                "SELECT prosrc FROM pg_proc WHERE proname = $1 AND pronamespace = 'sym'::regnamespace",
                &[function],
            )
            .await?;
        ensure!(
            source.get::<_, &str>(0).contains(condition),
            "`sym.{function}` looks rows up otherwise: change it here too"
        );
        let (types, values) = match types.split(", ").filter(|kind| !kind.is_empty()).count() {
            0 => (String::new(), String::new()),
            count => (
                format!("({types})"),
                format!("({})", vec!["'1'"; count].join(", ")),
            ),
        };
        let prepare =
            format!("PREPARE lookup_{index} {types} AS SELECT * FROM sym.grants g WHERE {lookup}");
        database.batch_execute(&prepare).await?;
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE lookup_{index} {values}");
        let rows = database.query(&explain, &[]).await?;
        let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        println!("{lookup}\n  {}", plan.join("\n  "));
        ensure!(
            plan.iter().any(|line| line.contains("Index")) && !plan.join("\n").contains("Seq Scan"),
            "{lookup}: {plan:#?}"
        );
        // A person waits for it.
        ensure!(
            !lookup.contains("g.secret") || plan[0].contains("using grants_open_by_secret"),
            "{lookup}: {plan:#?}"
        );
        // There may be any number that are open, and few of them are under way.
        ensure!(
            !lookup.contains("'pending'") || plan[0].contains("using grants_under_way"),
            "{lookup}: {plan:#?}"
        );
    }
    let event = Event::escalate();
    world.body(&event).await.context("in a large ledger")?;
    world.body(&event.end()).await?;
    Ok(())
}

/// Members of the one role that everybody has.
const MEMBERS: u32 = 2_000;

#[tokio::test]
async fn a_users_memberships_are_found_beside_any_number_of_others() -> anyhow::Result<()> {
    let crowd = format!(
        "DO $$ BEGIN FOR i IN 1..{MEMBERS} LOOP EXECUTE format('CREATE ROLE crowd_%s IN ROLE readonly', i); END LOOP; END $$;
         ANALYZE pg_auth_members; ANALYZE pg_authid"
    );
    let world = World::builder().sql(&crowd).start().await?;
    world.still_works().await?;
    let database = world.admin_planning_as_the_function().await?;
    database
        .batch_execute("PREPARE lookup (oid) AS SELECT * FROM sym.memberships_of($1)")
        .await?;
    let rows = database
        .query("EXPLAIN (COSTS OFF) EXECUTE lookup (1)", &[])
        .await?;
    let plan: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    let plan = plan.join("\n");
    for condition in [
        "Index Cond: (member = $1)",
        "Index Cond: ((roleid >= $1) AND (roleid <= $1))",
    ] {
        ensure!(plan.contains(condition), "{condition}: {plan}");
    }
    ensure!(!plan.contains("Join"), "it may read all roles: {plan}");
    Ok(())
}
