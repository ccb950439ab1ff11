//! What ends access when no event does: the sweep, the database itself, and
//! people. And what shows it without changing anything.

use anyhow::ensure;
use serde_json::{Value, json};

use crate::fixture::{BOT, Event, OLD_SCHEMA, ORDERS, PERSON, SWEEP, World, refusal, success};

/// The ledger, the catalogs and the secrets are as they were.
struct Everything {
    state: crate::fixture::State,
    ledger: String,
}

async fn everything(world: &World) -> anyhow::Result<Everything> {
    Ok(Everything {
        state: world.state().await?,
        ledger: world.ledger_rows().await?,
    })
}

async fn is_unchanged(world: &World, before: &Everything) -> anyhow::Result<()> {
    world.is_as(&before.state).await?;
    let ledger = world.ledger_rows().await?;
    ensure!(
        ledger == before.ledger,
        "{}\nbecame\n{ledger}",
        before.ledger
    );
    Ok(())
}

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
    let before = everything(&world).await?;
    assert_eq!(world.sweep().await?, 0);
    is_unchanged(&world, &before).await
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
    let by_bot = match world.postgres.install().major {
        16.. => "GRANTED BY sym_bot",
        _ => "",
    };
    for interference in [
        format!("REVOKE readonly FROM sym_user {by_bot}"),
        "DROP ROLE sym_user".to_owned(),
    ] {
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

#[tokio::test]
async fn people_see_who_has_what_and_end_it_by_hand() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE colleague LOGIN")
        .start()
        .await?;
    let before = world.state().await?;
    let dba = [
        ("DB_USER", "postgres"),
        ("DB_PASSWORD", world.postgres.superuser_password()),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let events = || {
        [
            Event::escalate(),
            Event::escalate_temporary_user(),
            Event::escalate().user("colleague@healthy-health.co"),
        ]
    };
    for login in [&[][..], &dba[..]] {
        let [role, temporary, other] = events();
        for event in [&role, &temporary, &other] {
            world.body(event).await?;
        }
        let grants = world.symctl_with(&["grants", "--json"], login).await?;
        assert_eq!(grants.code, Some(0), "{grants:?}");
        let grants = grants.json()?;
        let runs: Vec<Value> = [&role, &temporary, &other]
            .map(|event| json!(event.run_srn()))
            .into();
        let mut seen: Vec<Value> = grants
            .as_array()
            .into_iter()
            .flatten()
            .map(|grant| grant["run"].clone())
            .collect();
        seen.sort_by_key(Value::to_string);
        assert_eq!(seen, runs);
        let table = world.symctl_with(&["grants"], login).await?.stdout;
        assert!(
            table.contains("sym_user") && table.contains("colleague"),
            "{table}"
        );

        let ended = world
            .symctl_with(&["revoke", &role.run_srn(), "--json"], login)
            .await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()?[0]["result"], "ended");
        assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
        let user = ["revoke", "--user", "colleague@healthy-health.co"];
        assert_eq!(world.symctl_with(&user, login).await?.code, Some(0));
        assert!(!world.is_member("colleague", "readonly").await?);
        assert_eq!(world.open_runs().await?, 1);
        let all = world.symctl_with(&["revoke", "--all"], login).await?;
        assert_eq!(all.code, Some(0), "{all:?}");
        world.is_as(&before).await?;
        assert_eq!(world.open_runs().await?, 0);
    }
    Ok(())
}

// Who mistypes must not believe that access has ended.
#[tokio::test]
async fn revoking_what_is_not_open_fails_in_one_sentence() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let run = event.run_srn();
    let last = if run.ends_with('0') { '1' } else { '0' };
    let mistyped = format!("{}{last}", &run[..run.len() - 1]);
    // The second time the ledger has a row of it.
    for _ in 0..2 {
        for more in [&[][..], &["--json"]] {
            let arguments = [&["revoke", &mistyped], more].concat();
            let revoked = world.symctl(&arguments).await?;
            let sentence = format!(
                "error: no run `{mistyped}` was open: `symctl grants` shows those that are\n"
            );
            assert_eq!(
                (
                    revoked.code,
                    revoked.stderr.as_str(),
                    revoked.stdout.as_str()
                ),
                (Some(1), sentence.as_str(), "")
            );
        }
    }
    for name in ["Sym-User@healthy-health.co", "SYM_USER", "nobody"] {
        let revoked = world.symctl(&["revoke", "--user", name]).await?;
        let sentence = format!(
            "error: nobody has an open run as requester or database user `{name}`: `symctl grants` shows the names as they are \
             written\n"
        );
        assert_eq!((revoked.code, revoked.stderr), (Some(1), sentence));
        assert_eq!(revoked.stdout, "");
    }
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    // An SRN is the same in whatever case.
    let run = run.replacen("healthy", "Healthy", 1);
    let revoked = world.symctl(&["revoke", &run]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(world.open_runs().await?, 0);
    for more in [&[][..], &["--json"]] {
        let arguments = [&["revoke", "--all"], more].concat();
        let revoked = world.symctl(&arguments).await?;
        assert_eq!(revoked.code, Some(0), "{revoked:?}");
        assert_eq!(revoked.stderr, "nothing is open\n");
    }
    Ok(())
}

#[tokio::test]
async fn revoking_says_which_access_goes_on() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world.body(&second).await?;
    let revoked = world.symctl(&["revoke", &first.run_srn()]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    for part in [
        "NOTE",
        "`sym_user` keeps `readonly` until 1 more run(s) end; the membership in `readonly` that `sym_bot` granted remains",
    ] {
        assert!(revoked.stdout.contains(part), "{revoked:?}");
    }
    let session = world.login(PERSON, &world.person_password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("BEGIN; SELECT 1").await?;
    session
        .batch_execute("DECLARE kept CURSOR FOR SELECT * FROM orders")
        .await?;
    let revoked = world.symctl(&["revoke", &second.run_srn()]).await?;
    assert!(revoked.stdout.contains("1 session(s) ended"), "{revoked:?}");
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));

    world.sql("GRANT readonly TO sym_user").await?;
    let standing = Event::escalate();
    world.body(&standing).await?;
    world.sql("GRANT SELECT ON orders TO sym_user").await?;
    let revoked = world.symctl(&["revoke", "--user", PERSON]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    // Since 16 a membership of ours stands beside another's.
    let goes_on = match world.postgres.install().major {
        16.. => "`sym_user` still has `readonly` by memberships that are not this function's; ",
        _ => "`sym_user` had `readonly` before this run, and keeps it; ",
    };
    for part in [
        goes_on,
        "`sym_user` has 1 more privilege(s) of its own",
        "; the membership in `readonly` that `postgres` granted remains",
    ] {
        assert!(revoked.stdout.contains(part), "{revoked:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sweep_by_hand_is_the_same_and_its_dry_run_changes_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    world.body(&user).await?;
    world.let_time_pass().await?;
    let overdue = everything(&world).await?;
    let shown = world.symctl(&["sweep", "--dry-run", "--json"]).await?;
    let shown = shown.json()?;
    assert_eq!(shown.as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown[0]["run"], role.run_srn());
    assert_eq!(shown[1]["why"], "expired");
    is_unchanged(&world, &overdue).await?;

    let swept = world.symctl(&["sweep", "--json"]).await?;
    assert_eq!(swept.code, Some(0), "{swept:?}");
    assert_eq!(swept.json()?.as_array().map(Vec::len), Some(2));
    world.is_as(&before).await
}

#[tokio::test]
async fn a_request_is_answered_with_the_plan_and_changes_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = everything(&world).await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    let plan = world.body(&role.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.starts_with("readonly for sym_user until 2") && plan.ends_with(" UTC"),
        "{plan}"
    );
    let plan = world.body(&user.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.starts_with("temporary user symuser")
            && plan.contains(" with readonly until 2")
            && plan.ends_with(" UTC"),
        "{plan}"
    );
    is_unchanged(&world, &before).await?;

    // The run may begin all the same, and then the plan says so.
    world.body(&role).await?;
    world.body(&user).await?;
    let lent = everything(&world).await?;
    let plan = world.body(&role.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(plan.ends_with("; lent already by this run"), "{plan}");
    world.body(&user.clone().dry_run()).await?;
    is_unchanged(&world, &lent).await
}

#[tokio::test]
async fn a_request_is_answered_with_what_stands_in_the_way() -> anyhow::Result<()> {
    let world = World::start().await?;
    let nobody = Event::escalate().user("nobody@healthy-health.co").dry_run();
    let missing = "database user `nobody` does not exist: create it, or have the resolver name another [user-missing]";
    world.still_works().await?;
    let before = everything(&world).await?;
    assert_eq!(world.send(&nobody).await?, refusal(missing));
    is_unchanged(&world, &before).await?;

    world
        .sql("REVOKE ADMIN OPTION FOR readonly FROM sym_bot GRANTED BY master")
        .await?;
    let before = everything(&world).await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let answer = world.send(&event.dry_run()).await?.to_string();
        assert!(
            answer.contains("`symctl setup-sql --roles readonly`")
                && answer.contains("[role-refused]"),
            "{answer}"
        );
    }
    is_unchanged(&world, &before).await
}

#[tokio::test]
async fn the_plan_says_who_is_a_member_already() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT readonly TO sym_user")
        .start()
        .await?;
    let plan = world.body(&Event::escalate().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.ends_with("; already a member, and stays one"),
        "{plan}"
    );
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_the_statement_that_mends_it() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .start()
        .await?;
    let healthy = world.symctl(&["doctor", "--json"]).await?;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    for (damage, subject) in [
        (
            "REVOKE pg_signal_backend FROM sym_bot GRANTED BY master",
            "ending sessions",
        ),
        ("ALTER ROLE sym_bot NOCREATEROLE", "making users"),
        (
            "REVOKE readonly FROM sym_bot GRANTED BY master CASCADE",
            "roles to lend",
        ),
        (
            "REVOKE sym_managed FROM sym_bot GRANTED BY master CASCADE",
            "sym_managed",
        ),
        (
            "REVOKE sym_graveyard FROM sym_bot GRANTED BY master",
            "sym_graveyard",
        ),
        (
            "DROP OWNED BY sym_graveyard; DROP ROLE sym_graveyard",
            "sym_graveyard",
        ),
        (
            "REVOKE sym_admins FROM sym_bot GRANTED BY master",
            "sym_admins",
        ),
    ] {
        world.sql(damage).await?;
        let ill = world.symctl(&["doctor", "--json"]).await?;
        assert_eq!(ill.code, Some(1), "{damage}: {ill:?}");
        let ill = ill.json()?;
        let findings: Vec<&Value> = ill
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["is_ok"] == false)
            .collect();
        assert_eq!(findings.len(), 1, "{damage}: {ill}");
        assert_eq!(findings[0]["subject"], subject, "{damage}");
        let fix = findings[0]["fix"].as_str().unwrap_or_default();
        world.sql(fix).await?;
        let mended = world.symctl(&["doctor", "--json"]).await?;
        assert_eq!(mended.code, Some(0), "{damage}, then {fix}: {mended:?}");
    }
    let event = Event::escalate_temporary_user();
    world.body(&event).await?;
    world.body(&event.end()).await?;
    Ok(())
}

#[tokio::test]
async fn the_doctor_says_which_allowed_roles_can_not_be_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE support; CREATE ROLE \"lent\nok   grants: none\"")
        .start()
        .await?;
    world
        .sql("GRANT \"lent\nok   grants: none\" TO sym_bot WITH ADMIN OPTION")
        .await?;
    // One that may be lent comes from the database, and begins no line.
    let all = world.symctl(&["doctor"]).await?;
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(!all.stdout.contains("\nok   grants: none"), "{all:?}");
    assert!(all.stdout.contains("readonly"), "{all:?}");

    let look = async |allowed: &str| {
        let variables = [("GRANTABLE_ROLES", allowed)];
        let found = world.symctl_with(&["doctor", "--json"], &variables).await?;
        let findings = found.json()?;
        let findings = findings.as_array().cloned().unwrap_or_default();
        let is_it = |finding: &&Value| finding["subject"] == "roles to lend";
        let finding = findings.iter().find(is_it).cloned().unwrap_or_default();
        anyhow::Ok((found.code, finding))
    };
    let (code, finding) = look("readonly").await?;
    assert_eq!((code, &finding["found"]), (Some(0), &json!("readonly")));
    assert_eq!(finding["fix"], Value::Null);

    let (code, finding) = look("nosuch").await?;
    let found = "none of GRANTABLE_ROLES: `nosuch` doesn't exist";
    assert_eq!((code, &finding["found"]), (Some(1), &json!(found)));
    let (code, finding) = look("nosuch,support").await?;
    let found =
        "none of GRANTABLE_ROLES: `nosuch` doesn't exist, the ADMIN option on `support` is missing";
    assert_eq!((code, &finding["found"]), (Some(1), &json!(found)));
    let (code, finding) = look("readonly,support").await?;
    let found = "readonly; of GRANTABLE_ROLES not all: the ADMIN option on `support` is missing";
    assert_eq!((code, &finding["found"]), (Some(0), &json!(found)));
    world
        .sql(finding["fix"].as_str().unwrap_or_default())
        .await?;
    let (_, finding) = look("readonly,support").await?;
    assert_eq!(finding["found"], "readonly, support");
    Ok(())
}

#[tokio::test]
async fn the_doctor_looks_at_the_database_of_targets_too() -> anyhow::Result<()> {
    let world = World::start().await?;
    let look = async |name: &str| {
        let variables = [("LEDGER_DB", "app"), ("DB_NAME", name)];
        world.symctl_with(&["doctor"], &variables).await
    };
    let found = look("nope").await?;
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.stdout.contains("ok   database: "), "{found:?}");
    let wrong = "FAIL targets' database: the database that the function connects to does not exist: check its variables \
        `DB_NAME` and `LEDGER_DB`";
    assert!(found.stdout.contains(wrong), "{found:?}");
    world.sql("CREATE DATABASE other").await?;
    let found = look("other").await?;
    assert_eq!(found.code, Some(0), "{found:?}");
    let right = "ok   targets' database: `other` can be connected to";
    assert!(found.stdout.contains(right), "{found:?}");
    world
        .sql("REVOKE CONNECT ON DATABASE other FROM PUBLIC")
        .await?;
    let found = look("other").await?;
    assert_eq!(found.code, Some(1), "{found:?}");
    let wrong = "permission denied for database \"other\"";
    assert!(found.stdout.contains(wrong), "{found:?}");
    Ok(())
}

#[tokio::test]
async fn the_schema_is_brought_up_to_date_on_a_ledger_in_use() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let ledger = world.ledger_rows().await?;
    for comment in ["NULL", "'sym-postgres 0'", "'our access tool'"] {
        let old = format!(
            "{OLD_SCHEMA} COMMENT ON SCHEMA sym IS {comment};
             CREATE OR REPLACE FUNCTION sym.is_granted_by(role_oid oid, user_oid oid, grantor_oid oid) RETURNS boolean
             LANGUAGE sql AS 'SELECT false'"
        );
        world.sql(&old).await?;
        world.lambda.restart().await?;
        assert_eq!(world.sweep().await?, 0, "{comment}");
        assert_eq!(world.ledger_rows().await?, ledger, "{comment}");
        let comment = world
            .query("SELECT obj_description('sym'::regnamespace)")
            .await?;
        assert!(comment.is_some_and(|comment| comment.starts_with("sym-postgres ")));
    }
    let owner = "SELECT bool_and(proowner = 'sym_bot'::regrole AND proacl IS NOT NULL) FROM pg_proc
        WHERE pronamespace = 'sym'::regnamespace";
    assert_eq!(world.query(owner).await?.as_deref(), Some("true"), "{BOT}");
    world.body(&event.end()).await?;
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    Ok(())
}
