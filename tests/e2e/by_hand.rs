//! People at the ledger: who has what, and ending it by hand.

use std::fs;

use anyhow::Context as _;
use serde_json::{Value, json};
use sym_test_support::tools;
use tokio_postgres::Client;

use crate::fixture::{Event, Everything, ORDERS, PERSON, World, success};

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
                "error: no run `{mistyped}` was open; now none of that name can begin for REPLAY_WINDOW_SECONDS: \
                 `symctl grants` shows those that are open\n"
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
    for name in ["2b1befa5-caf5-4a5e-8f6e-0d1c2b3a4f5e", "sym_user", ""] {
        let revoked = world.symctl(&["revoke", name]).await?;
        let sentence = format!(
            "error: `{name}` is no run's SRN, expected `<org>:run:<flow>:<version>:<id>`: `symctl grants` shows those of the \
             open runs, and `--user` ends a person's\n"
        );
        assert_eq!((revoked.code, revoked.stderr), (Some(1), sentence));
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
    let overdue = Everything::of(&world).await?;
    let shown = world.symctl(&["sweep", "--dry-run", "--json"]).await?;
    let shown = shown.json()?;
    assert_eq!(shown.as_array().map(Vec::len), Some(2), "{shown}");
    assert_eq!(shown[0]["run"], role.run_srn());
    assert_eq!(shown[1]["why"], "expired");
    overdue.is_still(&world).await?;

    let swept = world.symctl(&["sweep", "--json"]).await?;
    assert_eq!(swept.code, Some(0), "{swept:?}");
    assert_eq!(swept.json()?.as_array().map(Vec::len), Some(2));
    world.is_as(&before).await
}

// While Sym or Slack is away, nobody tries out first what the runbook says to send.
#[tokio::test]
async fn what_the_runbook_sends_gives_access_and_ends_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE ann LOGIN")
        .start()
        .await?;
    let page = fs::read_to_string(tools::workspace().join("docs/runbook.md"))?;
    let payload = |kind: &str| {
        let mut payloads = page
            .split("--payload '")
            .skip(1)
            .filter_map(|rest| rest.split('\'').next());
        let found = payloads.find(|payload| payload.contains(kind));
        let found = found.with_context(|| format!("the runbook has no {kind}"))?;
        anyhow::Ok(found.replace("<run>", "healthy-health:run:by-hand:1.0.0:1"))
    };
    let (begin, end) = (payload("\"escalate\"")?, payload("\"deescalate\"")?);
    let done = success(json!({"username": "ann"}));
    assert_eq!(world.send_text(&begin).await?, done);
    assert!(world.is_member("ann", "readonly").await?);
    assert_eq!(world.send_text(&end).await?, done);
    assert!(!world.is_member("ann", "readonly").await?);
    Ok(())
}

/// Whom the setup was piped into psql for has some of the roles already.
#[tokio::test]
async fn the_setup_gives_nothing_to_a_role_that_is_there() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE support").start().await?;
    world.postgres.create_database("second").await?;
    let second = world.postgres.admin_in("second").await?;
    second.batch_execute("CREATE TABLE salaries ()").await?;
    let roles = ["--roles", "support, sup port "];
    let sql = world
        .setup_sql_with("second", "another_bot", "role", &roles)
        .await?;
    second.batch_execute(&sql).await?;
    let reads = "SELECT string_agg(r || ' ' || has_table_privilege(r, 'salaries', 'SELECT'), ', ' ORDER BY r DESC)
        FROM unnest(ARRAY['support', 'sup port']) r";
    let reads: String = second.query_one(reads, &[]).await?.get(0);
    assert_eq!(reads, "support false, sup port true");
    let lends = "SELECT pg_has_role('another_bot', 'support', 'MEMBER WITH ADMIN OPTION')";
    assert_eq!(world.query(lends).await?.as_deref(), Some("true"));
    Ok(())
}

/// As on RDS: the administrator is no superuser, and not everything is theirs.
#[tokio::test]
async fn the_setup_of_an_administrator_who_is_not_everything() -> anyhow::Result<()> {
    let world = World::start().await?;
    let memberships =
        "SELECT string_agg((to_jsonb(m) - 'oid')::text, ' ' ORDER BY (to_jsonb(m) - 'oid')::text)
         FROM pg_auth_members m WHERE m.roleid = 'sym_bot2'::regrole";
    world.postgres.create_database("theirs").await?;
    world
        .sql("CREATE ROLE owner; ALTER ROLE readonly RENAME TO another")
        .await?;
    let setup = world.setup_sql("theirs", "sym_bot2", "role").await?;
    let (roles, ledger) = setup.split_once("\nBEGIN;\n").context("has the ledger")?;
    let theirs = world.postgres.admin_in("theirs").await?;
    theirs
        .batch_execute(
            "GRANT CREATE ON SCHEMA public TO owner; SET SESSION AUTHORIZATION owner; CREATE TABLE public.theirs ();
             RESET SESSION AUTHORIZATION; SET SESSION AUTHORIZATION master",
        )
        .await?;
    // A table that is somebody else's keeps no role from being made.
    theirs.batch_execute(roles).await?;
    assert!(world.role_exists("readonly").await?);
    // What fails, as there is no CREATE on the database, leaves nobody who may act as the function.
    let before = world.query(memberships).await?;
    theirs
        .batch_execute(&format!("BEGIN;\n{ledger}"))
        .await
        .expect_err("may not create a schema");
    theirs.batch_execute("ROLLBACK").await?;
    assert_eq!(world.query(memberships).await?, before);

    // Once more, for who is a member of it, as `symctl` needs, and for who isn't.
    world.sql("ALTER DATABASE theirs OWNER TO master").await?;
    let set = match world.postgres.install().major {
        16.. => "WITH SET TRUE, INHERIT TRUE",
        _ => "",
    };
    for grant in ["", "GRANT sym_bot2 TO CURRENT_USER "] {
        if !grant.is_empty() {
            theirs.batch_execute(&format!("{grant}{set}")).await?;
        }
        let before = world.query(memberships).await?;
        for _ in 0..2 {
            theirs.batch_execute(&format!("BEGIN;\n{ledger}")).await?;
            assert_eq!(world.query(memberships).await?, before);
        }
    }
    Ok(())
}

/// A session of the administrator's, in a database of theirs.
async fn master_in(world: &World, database: &str) -> anyhow::Result<Client> {
    world.postgres.create_database(database).await?;
    world
        .sql(&format!("ALTER DATABASE {database} OWNER TO master"))
        .await?;
    let master = world.postgres.admin_in(database).await?;
    let become_master = "SET SESSION AUTHORIZATION master";
    master.batch_execute(become_master).await?;
    Ok(master)
}

#[tokio::test]
async fn the_setup_run_again_gives_what_is_missing_and_takes_nothing() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE foreign_role")
        .start()
        .await?;
    let master = master_in(&world, "second").await?;
    let setup = async |strategy: &str, roles: &str| {
        world
            .setup_sql_with("second", "sym_bot2", strategy, &["--roles", roles])
            .await
    };
    master
        .batch_execute(&setup("role", "readonly").await?)
        .await?;
    world
        .sql("ALTER ROLE sym_bot2 PASSWORD 'bot' CONNECTION LIMIT 7")
        .await?;
    let looked = "SELECT rolcreaterole || ' ' || rolconnlimit || ' ' || rolpassword FROM pg_authid WHERE rolname = 'sym_bot2'";
    let before = world.query(looked).await?.unwrap_or_default();
    assert!(before.starts_with("false 7 SCRAM-SHA-256$"), "{before}");

    let all = setup("temporary-user", "readonly,foreign_role").await?;
    if world.postgres.install().major >= 16 {
        // Nobody has given the administrator what it needs to lend that one.
        let refused = master.batch_execute(&all).await.expect_err("isn't theirs");
        let why = refused
            .as_db_error()
            .map(|error| error.message().to_owned());
        assert_eq!(
            why.as_deref(),
            Some("permission denied to grant role \"foreign_role\"")
        );
        world
            .sql("GRANT foreign_role TO sym_bot2 WITH ADMIN TRUE, INHERIT FALSE, SET FALSE")
            .await?;
    }
    for _ in 0..2 {
        master.batch_execute(&all).await?;
    }
    let expected = before.replacen("false", "true", 1);
    assert_eq!(world.query(looked).await?, Some(expected.clone()));
    // One who makes users goes on with that.
    master
        .batch_execute(&setup("role", "readonly").await?)
        .await?;
    assert_eq!(world.query(looked).await?, Some(expected));
    Ok(())
}

/// Why the server refused to go on.
async fn why_refused(session: &Client, setup: &str) -> anyhow::Result<String> {
    let refused = session.batch_execute(setup).await.expect_err("is refused");
    let refused = refused.as_db_error().context("is the server's")?;
    Ok(refused.message().to_owned())
}

/// Up to 15 the ADMIN option would make the function's user a member.
#[tokio::test]
async fn the_setup_makes_nothing_for_a_role_that_is_never_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE makes CREATEDB; CREATE ROLE above; GRANT makes TO above; CREATE ROLE watches; GRANT pg_monitor TO watches;
             CREATE ROLE \"RDS_x\"; CREATE ROLE boss SUPERUSER",
        )
        .start()
        .await?;
    let master = master_in(&world, "second").await?;
    for (roles, sentence) in [
        ("new,master", "role master is never lent: it is privileged"),
        ("new,boss", "role boss is never lent: it is privileged"),
        (
            "above",
            "role above is never lent: it is a member of makes, which is privileged",
        ),
        (
            "watches",
            "role watches is never lent: it is a member of pg_monitor, which belongs to the system",
        ),
        (
            "RDS_x",
            "role RDS_x is never lent: it belongs to the system",
        ),
        (
            "pg_monitor",
            "role pg_monitor is never lent: it belongs to the system",
        ),
        (
            "new,sym_x",
            "role sym_x is never lent: it belongs to the function",
        ),
        (
            "other_bot",
            "role other_bot is never lent: it belongs to the function",
        ),
    ] {
        let setup = world
            .setup_sql_with("second", "other_bot", "role", &["--roles", roles])
            .await?;
        assert_eq!(why_refused(&master, &setup).await?, sentence);
    }
    for user in ["master", "boss"] {
        let setup = world.setup_sql("second", user, "temporary-user").await?;
        assert_eq!(
            why_refused(&master, &setup).await?,
            format!(
                "{user} runs this, or is a superuser: name a user by --user that is the function's alone"
            )
        );
    }
    for role in ["new", "sym_x", "other_bot"] {
        assert!(!world.role_exists(role).await?, "{role}");
    }
    Ok(())
}

/// Who shares a ledger needs what the sentence says, and no setup.
#[tokio::test]
async fn the_setup_makes_nothing_by_the_ledger_of_another() -> anyhow::Result<()> {
    let world = World::start().await?;
    let setup = world.setup_sql("app", "sym_bot2", "role").await?;
    let master = world.postgres.admin_in("app").await?;
    master
        .batch_execute("SET SESSION AUTHORIZATION master")
        .await?;
    let why = why_refused(&master, &setup).await?;
    assert!(!world.role_exists("sym_bot2").await?);
    assert!(
        why.starts_with(
            "schema sym in database app is of sym_bot: if that is the user of another function"
        ),
        "{why}"
    );
    let (_, statements) = why.split_once(", run ").context("has them")?;
    let (make, statements) = statements.split_once("; as sym_bot (").context("has it")?;
    let (place, statements) = statements.split_once(") ").context("has it")?;
    let (grants, rest) = statements.split_once("; and set ").context("has it")?;
    master.batch_execute(make).await?;
    world.run_as_owner(place, grants).await?;
    world.sql("ALTER ROLE sym_bot2 PASSWORD 'second'").await?;
    let owner = rest.split(',').next().context("has it")?;
    let owner = owner.strip_prefix("LEDGER_OWNER=").context("has it")?;
    let shares = world
        .another(&[
            ("DB_USER", "sym_bot2"),
            ("DB_PASSWORD", "second"),
            ("LEDGER_OWNER", owner),
        ])
        .await?;
    let event = Event::escalate();
    world.body_of(&shares, &event.to_string()).await?;
    world.body_of(&shares, &event.end().to_string()).await?;
    Ok(())
}

#[tokio::test]
async fn the_setup_for_another_version_makes_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    let master = master_in(&world, "second").await?;
    let setup = world.setup_sql("second", "sym_bot2", "role").await?;
    let major = world.postgres.install().major;
    for other in [major - 1, major + 1] {
        let setup = setup.replace(&format!("<> {major} "), &format!("<> {other} "));
        let refused = master.batch_execute(&setup).await.expect_err("is another");
        let why = refused
            .as_db_error()
            .map(|error| error.message().to_owned());
        let told = format!("print it with --pg {major}");
        assert!(why.is_some_and(|why| why.ends_with(&told)), "{refused:?}");
    }
    assert!(!world.role_exists("sym_bot2").await?);
    Ok(())
}

/// As on RDS up to PostgreSQL 14, and where the database is somebody else's.
#[tokio::test]
async fn the_setup_says_whose_schema_public_is() -> anyhow::Result<()> {
    let world = World::start().await?;
    let master = master_in(&world, "second").await?;
    let second = world.postgres.admin_in("second").await?;
    second
        .batch_execute("ALTER SCHEMA public OWNER TO postgres")
        .await?;
    let setup = world
        .setup_sql("second", "sym_bot2", "temporary-user")
        .await?;
    let warnings = || {
        let said = "schema public is not yours: have its owner run GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard";
        world.postgres.log_text().matches(said).count()
    };
    let before = warnings();
    master.batch_execute(&setup).await?;
    assert_eq!(warnings(), before + 1);
    second
        .batch_execute("GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard")
        .await?;
    master.batch_execute(&setup).await?;
    assert_eq!(warnings(), before + 1);
    Ok(())
}

/// What pg_cron asks of who makes a job, or takes it away: `src/job_metadata.c`.
const CRON: &str = "CREATE SCHEMA cron;
    CREATE TABLE cron.job (jobname text, command text, database text, username text DEFAULT current_user,
                           UNIQUE (jobname, username));
    GRANT ALL ON cron.job TO PUBLIC;
    CREATE FUNCTION cron.schedule_in_database(job_name text, schedule text, command text, database text,
                                              username text DEFAULT NULL, active boolean DEFAULT true) RETURNS bigint
    LANGUAGE plpgsql AS $$ BEGIN
        IF schedule_in_database.username IS NOT NULL AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            RAISE EXCEPTION 'must be superuser to create a job for another role';
        END IF;
        INSERT INTO cron.job VALUES (job_name, schedule_in_database.command, schedule_in_database.database)
            ON CONFLICT ON CONSTRAINT job_jobname_username_key DO UPDATE SET database = excluded.database;
        RETURN 1;
    END $$;
    REVOKE ALL ON FUNCTION cron.schedule_in_database(text, text, text, text, text, boolean) FROM PUBLIC;
    CREATE FUNCTION cron.unschedule(job_name text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
        DELETE FROM cron.job WHERE jobname = job_name AND username = current_user;
        IF NOT FOUND THEN RAISE EXCEPTION 'could not find valid entry for job ''%''', job_name; END IF;
        RETURN true;
    END $$;
    GRANT USAGE ON SCHEMA cron TO master WITH GRANT OPTION;
    GRANT EXECUTE ON FUNCTION cron.schedule_in_database(text, text, text, text, text, boolean) TO master WITH GRANT OPTION;";

#[tokio::test]
async fn the_job_of_pg_cron_is_the_functions() -> anyhow::Result<()> {
    let world = World::builder().start().await?;
    let members =
        "SELECT string_agg((to_jsonb(m) - 'oid')::text, ' ' ORDER BY (to_jsonb(m) - 'oid')::text)
        FROM pg_auth_members m WHERE m.roleid = 'sym_bot'::regrole";
    let before = world.query(members).await?;
    let options = ["--roles", "readonly", "--pg-cron=app"];
    let setup = world
        .setup_sql_with("app", "sym_bot", "temporary-user", &options)
        .await?;
    let master = world.postgres.admin_in("app").await?;
    master
        .batch_execute("SET SESSION AUTHORIZATION master")
        .await?;
    let why = "there is no pg_cron in database app: run CREATE EXTENSION pg_cron there first";
    assert_eq!(why_refused(&master, &setup).await?, why);
    world.sql(CRON).await?;
    for _ in 0..2 {
        master.batch_execute(&setup).await?;
    }
    assert_eq!(world.query(members).await?, before);
    let jobs = "SELECT string_agg(format('%s: %s in %s as %s', jobname, command, database, username), ', ') FROM cron.job";
    let expected = "sym-expire: SELECT sym.expire() in app as sym_bot";
    assert_eq!(world.query(jobs).await?.as_deref(), Some(expected));

    let page = fs::read_to_string(tools::workspace().join("docs/operations.md"))?;
    let mut code = page.split('`');
    let unschedule = code.find(|code| code.contains("cron.unschedule"));
    master
        .batch_execute(unschedule.context("is in the page")?)
        .await?;
    assert_eq!(world.query(jobs).await?, None);
    Ok(())
}
