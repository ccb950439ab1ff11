//! Whose the ledger is: the function's, which alone makes it and brings it up to date.

use anyhow::Context as _;

use crate::fixture::{BOT, Event, OLD_SCHEMA, SWEEP, World, refusal};

/// Whose each thing in schema `sym` is.
const OWNERS: &str = "SELECT string_agg(DISTINCT owner::regrole::text, ',') FROM (
    SELECT relowner AS owner FROM pg_class WHERE relnamespace = to_regnamespace('sym')
    UNION ALL SELECT proowner FROM pg_proc WHERE pronamespace = to_regnamespace('sym')) owners";

/// As an earlier release left it: without what says that it is up to date.
const OLDER: &str = "DO $$ DECLARE marker regprocedure; BEGIN
    FOR marker IN SELECT p.oid::regprocedure FROM pg_proc p
                  WHERE p.pronamespace = 'sym'::regnamespace AND p.proname LIKE 'version\\_%' LOOP
        EXECUTE format('DROP FUNCTION %s', marker);
    END LOOP; END $$;
    COMMENT ON SCHEMA sym IS 'sym-postgres 1'; DROP FUNCTION sym.take_membership(oid, oid, oid, boolean)";

#[tokio::test]
async fn a_dbas_login_does_all_and_makes_nothing() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE dba SUPERUSER LOGIN PASSWORD 'dba'")
        .start()
        .await?;
    let dba = [
        ("DB_USER", "dba"),
        ("DB_PASSWORD", "dba"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let unnamed = world.symctl_with(&["grants"], &dba[..2]).await?;
    assert!(
        unnamed.stderr.contains("name it in `LEDGER_OWNER`"),
        "{unnamed:?}"
    );
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    let before = world.state().await?;
    world.body(&role).await?;
    world.body(&user).await?;
    world.sql(OLDER).await?;
    let refused = world.symctl_with(&["grants"], &dba).await?;
    assert_ne!(refused.code, Some(0), "{refused:?}");
    assert!(
        refused
            .stderr
            .contains("the ledger in database `app` is older than this `symctl`"),
        "{refused:?}"
    );
    world.end_bots_sessions().await?;
    world.body(&Event::escalate().end()).await?;
    assert_eq!(world.query(OWNERS).await?.as_deref(), Some("sym_bot"));

    let shown = world.symctl_with(&["grants", "--json"], &dba).await?;
    assert_eq!(shown.json()?.as_array().map(Vec::len), Some(2), "{shown:?}");
    let revoked = world.symctl_with(&["revoke", "--all"], &dba).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    world.is_as(&before).await?;
    assert_eq!(world.query(OWNERS).await?.as_deref(), Some("sym_bot"));
    Ok(())
}

#[tokio::test]
async fn an_administrator_acts_as_the_function_or_is_told_how() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("ALTER ROLE master LOGIN PASSWORD 'master'")
        .start()
        .await?;
    let master = [
        ("DB_USER", "master"),
        ("DB_PASSWORD", "master"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    world.body(&Event::escalate()).await?;
    let refused = world.symctl_with(&["grants"], &master).await?;
    assert!(
        refused
            .stderr
            .contains("`master` may not act as `sym_bot`, whose ledger it is")
            && refused.stderr.contains("`GRANT sym_bot TO master`"),
        "{refused:?}"
    );
    let set = match world.postgres.install().major {
        16.. => "WITH SET TRUE",
        _ => "",
    };
    world.sql(&format!("GRANT sym_bot TO master {set}")).await?;
    let revoked = world.symctl_with(&["revoke", "--all"], &master).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert_eq!(world.open_runs().await?, 0);

    world.postgres.create_database("empty").await?;
    let empty = [
        ("DB_USER", "master"),
        ("DB_PASSWORD", "master"),
        ("DB_NAME", "empty"),
    ];
    let refused = world.symctl_with(&["grants"], &empty).await?;
    assert!(
        refused
            .stderr
            .contains("there is no ledger in database `empty`"),
        "{refused:?}"
    );
    let schemas = world.postgres.admin_in("empty").await?;
    let schemas = schemas
        .query("SELECT FROM pg_namespace WHERE nspname = 'sym'", &[])
        .await?;
    assert!(schemas.is_empty());
    Ok(())
}

#[tokio::test]
async fn what_somebody_else_called_sym_is_not_run() -> anyhow::Result<()> {
    let marker = "(SELECT proname FROM pg_proc WHERE pronamespace = to_regnamespace('sym') AND proname LIKE 'version\\_%' \
                  ORDER BY length(proname) DESC, proname DESC LIMIT 1)";
    let world = World::builder()
        .sql(&format!(
            "CREATE ROLE squatter LOGIN; GRANT CREATE ON DATABASE app TO squatter;
             CREATE TABLE public.marker AS SELECT {marker} AS name; DROP SCHEMA sym CASCADE;
             SET SESSION AUTHORIZATION squatter; CREATE SCHEMA sym; GRANT USAGE, CREATE ON SCHEMA sym TO PUBLIC;
             RESET SESSION AUTHORIZATION; GRANT SELECT ON public.marker TO squatter; SET SESSION AUTHORIZATION squatter;
             DO $do$ DECLARE marker text := (SELECT name FROM public.marker); BEGIN
                 EXECUTE format('CREATE FUNCTION sym.%I() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$', marker);
                 CREATE FUNCTION sym.get_ready() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                     EXECUTE 'GRANT readonly TO squatter'; END $$;
                 CREATE FUNCTION sym.open_grants() RETURNS SETOF text LANGUAGE plpgsql AS $$ BEGIN
                     RESET ROLE; EXECUTE 'GRANT readonly TO squatter'; END $$;
                 CREATE FUNCTION sym.lend(jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
                     EXECUTE 'GRANT readonly TO squatter'; RETURN '{{}}'; END $$;
             END $do$; RESET SESSION AUTHORIZATION"
        ))
        .start()
        .await?;
    let sentence = "schema `sym` in database `app` belongs to `squatter`, and not to the function's user: where it was \
        restored, restore it with its owners; where it is no ledger, have it dropped, and run what `symctl setup-sql` prints \
        [database-setup]";
    world.refuses(&Event::escalate(), sentence).await?;
    // Least of all a superuser's `symctl` runs it.
    world
        .sql("CREATE ROLE dba SUPERUSER LOGIN PASSWORD 'dba'")
        .await?;
    for owner in ["sym_bot", "dba"] {
        let dba = [
            ("DB_USER", "dba"),
            ("DB_PASSWORD", "dba"),
            ("LEDGER_OWNER", owner),
        ];
        for command in [&["grants"][..], &["revoke", "--all"], &["doctor"]] {
            let refused = world.symctl_with(command, &dba).await?;
            assert_ne!(refused.code, Some(0), "{refused:?}");
        }
    }
    assert!(!world.is_member("squatter", "readonly").await?);
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
    let owner = "SELECT bool_and(proowner = 'sym_bot'::regrole AND proacl IS NOT NULL
            AND (NOT prosecdef OR 'search_path=pg_catalog, pg_temp' = ANY (proconfig))) FROM pg_proc
        WHERE pronamespace = 'sym'::regnamespace";
    assert_eq!(world.query(owner).await?.as_deref(), Some("true"), "{BOT}");
    world.body(&event.end()).await?;
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    Ok(())
}

/// What is open in the first would be ended by nobody.
#[tokio::test]
async fn there_is_one_ledger_for_a_user() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.postgres.create_database("moved").await?;
    let admin = world.postgres.admin_in("moved").await?;
    admin
        .batch_execute("CREATE SCHEMA sym AUTHORIZATION sym_bot")
        .await?;
    let moved = world.another(&[("LEDGER_DB", "moved")]).await?;
    for refused in [event.end(), Event::escalate()] {
        let answer = world.send_to(&moved, &refused.to_string()).await?;
        assert!(
            answer
                .to_string()
                .contains("has its ledger in database `app`: name that in `LEDGER_DB`"),
            "{answer}"
        );
    }
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("granted"));

    // One in which the function may make nothing, and for which an administrator is told so.
    world.postgres.create_database("bare").await?;
    let bare = world.another(&[("LEDGER_DB", "bare")]).await?;
    let answer = world.send_to(&bare, &event.end().to_string()).await?;
    assert!(
        answer
            .to_string()
            .contains("has its ledger in database `app`: name that in `LEDGER_DB`"),
        "{answer}"
    );
    let admin = world.postgres.admin_in("bare").await?;
    let setup = world.ledger_setup("bare", "sym_bot").await?;
    let refused = admin.batch_execute(&setup).await.expect_err("is refused");
    let refused = refused.as_db_error().context("is the server's")?.message();
    assert!(
        refused.contains("has its ledger in database app"),
        "{refused}"
    );
    admin.batch_execute("ROLLBACK").await?;

    // One that an administrator has made, as `setup-sql` printed it.
    let (_, ledger) = setup.split_once("SET ROLE").context("has the ledger")?;
    world.postgres.create_database("made").await?;
    let admin = world.postgres.admin_in("made").await?;
    admin
        .batch_execute(&format!(
            "CREATE SCHEMA sym AUTHORIZATION sym_bot; SET ROLE{ledger}"
        ))
        .await?;
    let made = world.another(&[("LEDGER_DB", "made")]).await?;
    let answer = world
        .send_to(&made, &event.end().to_string())
        .await?
        .to_string();
    assert!(
        answer.contains("seems to have another ledger, in database `app`")
            && answer.contains("[access-remains]"),
        "{answer}"
    );
    // What it can, a sweep does first.
    let overdue = "INSERT INTO sym.grants (run, strategy, state, user_name, expires_at)
        VALUES ('a:run:b:1.0.0:c', 'temporary-user', 'pending', 'gone', now() - interval '1 second')";
    let admin = world.postgres.admin_in("made").await?;
    admin.batch_execute(overdue).await?;
    let swept = world.send_to(&made, SWEEP).await?.to_string();
    assert!(
        swept.contains(
            "seems to have another ledger, in database `app`, and no sweep ends what is open there"
        ),
        "{swept}"
    );
    let open = "SELECT count(*) FROM sym.grants WHERE state <> 'ended'";
    assert_eq!(admin.query_one(open, &[]).await?.get::<_, i64>(0), 0);
    world.sql("DROP DATABASE made WITH (FORCE)").await?;
    world.body(&event.end()).await?;

    // One that was made by a version that didn't look.
    world.sql("ALTER SCHEMA sym RENAME TO kept").await?;
    world
        .body_of(&moved, &Event::escalate().to_string())
        .await
        .expect_err("a schema with functions is a ledger by any name");
    world.sql("DROP SCHEMA kept CASCADE").await?;
    let event = Event::escalate();
    world.body_of(&moved, &event.to_string()).await?;
    world.body_of(&moved, &event.end().to_string()).await?;
    world
        .sql(
            "CREATE SCHEMA other AUTHORIZATION sym_bot; SET ROLE sym_bot; CREATE FUNCTION other.made() RETURNS int LANGUAGE sql AS 'SELECT 1'; RESET ROLE",
        )
        .await?;
    let ill = world
        .symctl_with(&["doctor", "--json"], &[("LEDGER_DB", "moved")])
        .await?;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    assert!(
        ill.stdout.contains("`app` seems to have another"),
        "{ill:?}"
    );
    Ok(())
}

/// What is open in the ledger of its own, the shared one doesn't know.
#[tokio::test]
async fn a_function_that_moves_to_a_shared_ledger_keeps_none_of_its_own() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE dba SUPERUSER LOGIN PASSWORD 'dba'")
        .start()
        .await?;
    world.postgres.create_database("second").await?;
    let second = world.postgres.admin_in("second").await?;
    second
        .batch_execute(&world.setup_sql("second", "sym_bot2", "role").await?)
        .await?;
    second
        .batch_execute("ALTER ROLE sym_bot2 PASSWORD 'second'")
        .await?;
    let login = [
        ("DB_USER", "sym_bot2"),
        ("DB_PASSWORD", "second"),
        ("DB_NAME", "second"),
    ];
    let event = Event::escalate();
    let alone = world.another(&login).await?;
    world.body_of(&alone, &event.to_string()).await?;

    world
        .sql("GRANT USAGE ON SCHEMA sym TO sym_bot2; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO sym_bot2")
        .await?;
    let shared = [("LEDGER_DB", "app"), ("LEDGER_OWNER", "sym_bot")];
    let moved = world.another(&[&login[..], &shared].concat()).await?;
    for sent in [event.end().to_string(), SWEEP.to_owned()] {
        let answer = world.send_to(&moved, &sent).await?.to_string();
        assert!(
            answer.contains("seems to have another ledger, in database `second`")
                && answer.contains("[access-remains]"),
            "{answer}"
        );
    }
    assert!(world.is_member("sym_user", "readonly").await?);
    // What an administrator has in other databases is no ledger.
    second
        .batch_execute(
            "SET SESSION AUTHORIZATION dba; CREATE SCHEMA work; CREATE FUNCTION work.f() RETURNS int LANGUAGE sql AS 'SELECT 1';
             RESET SESSION AUTHORIZATION",
        )
        .await?;
    let dba = [
        ("DB_USER", "dba"),
        ("DB_PASSWORD", "dba"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let revoked = world
        .symctl_with(&["revoke", Event::escalate().srn()], &dba)
        .await?;
    assert!(revoked.stderr.contains("was open"), "{revoked:?}");

    world.body_of(&alone, &event.end().to_string()).await?;
    second.batch_execute("DROP SCHEMA sym CASCADE").await?;
    world.body_of(&moved, &event.end().to_string()).await?;
    Ok(())
}

/// Who is on call may end what is open, and is given no more by an upgrade.
#[tokio::test]
async fn an_upgrade_gives_functions_to_those_alone_who_had_them_all() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE on_call; CREATE ROLE other_bot; GRANT USAGE ON SCHEMA sym TO on_call, other_bot;
             GRANT EXECUTE ON FUNCTION sym.give_back(text, jsonb), sym.open_grants() TO on_call;
             GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO other_bot",
        )
        .start()
        .await?;
    world
        .sql(&format!(
            "{OLD_SCHEMA} DROP FUNCTION sym.overdue(); CREATE FUNCTION sym.version_99() RETURNS int LANGUAGE sql AS 'SELECT 99'"
        ))
        .await?;
    world.lambda.restart().await?;
    world.still_works().await?;
    let may =
        "SELECT string_agg(who || has_function_privilege(who, f, 'EXECUTE'), ' ' ORDER BY who, f)
        FROM unnest(ARRAY['on_call', 'other_bot']) who,
             unnest(ARRAY['sym.give_back(text, jsonb)', 'sym.lend(jsonb)', 'sym.overdue()']) f";
    assert_eq!(
        world.query(may).await?.as_deref(),
        Some("on_calltrue on_callfalse on_callfalse other_bottrue other_bottrue other_bottrue")
    );
    // A version that was here and is so no longer brings its own functions again.
    let markers = "SELECT count(*) FROM pg_proc WHERE pronamespace = 'sym'::regnamespace AND proname ~ '^version_'";
    assert_eq!(world.query(markers).await?.as_deref(), Some("1"));
    Ok(())
}

#[tokio::test]
async fn an_older_setup_replaces_no_newer_ledger() -> anyhow::Result<()> {
    let world = World::start().await?;
    let comment = "SELECT obj_description('sym'::regnamespace)";
    let today = world.query(comment).await?;
    let setup = world.ledger_setup("app", "sym_bot").await?;
    // Of the same version it may be run again.
    let admin = world.postgres.admin_in("app").await?;
    admin.batch_execute(&setup).await?;
    assert_eq!(world.query(comment).await?, today);
    world
        .sql("COMMENT ON SCHEMA sym IS 'sym-postgres 99'")
        .await?;
    let refused = admin.batch_execute(&setup).await.expect_err("is refused");
    let refused = refused.as_db_error().context("is the server's")?.message();
    assert!(refused.contains("the ledger has version 99"), "{refused}");
    Ok(())
}

/// What a function with a user of its own logs in with, which shares the ledger.
const OWN_USER: [(&str, &str); 3] = [
    ("DB_USER", "sym_bot2"),
    ("DB_PASSWORD", "second"),
    ("LEDGER_OWNER", "sym_bot"),
];

const MAKE_OWN_USER: &str =
    "CREATE ROLE sym_bot2 LOGIN PASSWORD 'second'; GRANT USAGE ON SCHEMA sym TO sym_bot2;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO sym_bot2";

/// The one that the ledger belongs to is upgraded at another time.
#[tokio::test]
async fn a_function_with_a_user_of_its_own_ends_access_by_an_older_ledger() -> anyhow::Result<()> {
    let world = World::builder().sql(MAKE_OWN_USER).start().await?;
    let before = world.state().await?;
    let (role, user, lost) = (
        Event::escalate(),
        Event::escalate_temporary_user(),
        Event::escalate(),
    );
    for event in [&role, &user] {
        world.body(event).await?;
    }
    world.sql(OLD_SCHEMA).await?;
    let own = world.another(&OWN_USER).await?;
    let sentence = "the ledger in database `app` is older than this function, so no access begins: the function of \
        `sym_bot`, of the same release, brings it up to date with its next event [database-setup]";
    for begins in [
        Event::escalate(),
        Event::escalate_temporary_user(),
        Event::escalate().dry_run(),
        Event::escalate_temporary_user().dry_run(),
    ] {
        let answer = world.send_to(&own, &begins.to_string()).await?;
        assert_eq!(answer, refusal(sentence));
    }
    for event in [&role, &user] {
        world.body_of(&own, &event.end().to_string()).await?;
    }
    assert_eq!(world.body_of(&own, SWEEP).await?["swept"], 0);
    world.is_as(&before).await?;
    let comment = "SELECT obj_description('sym'::regnamespace)";
    assert_eq!(
        world.query(comment).await?.as_deref(),
        Some("sym-postgres 0")
    );

    // The same connection finds it up to date.
    world.lambda.restart().await?;
    world.body(&lost).await?;
    let event = Event::escalate();
    world.body_of(&own, &event.to_string()).await?;

    // What an older one doesn't have is said, and written down.
    world
        .sql(&format!(
            "{OLD_SCHEMA} DROP FUNCTION sym.finish(text, boolean)"
        ))
        .await?;
    let own = world.another(&OWN_USER).await?;
    world.body_of(&own, &event.end().to_string()).await?;
    let answer = world.send_to(&own, &lost.end().to_string()).await?;
    let sentence = "the ledger in database `app` is older than this function, and lacks what this needs: the function of \
        `sym_bot`, of the same release, brings it up to date with its next event [database-setup]";
    assert_eq!(answer, refusal(sentence));
    assert!(!world.is_member("sym_user", "readonly").await?);
    world.lambda.restart().await?;
    assert_eq!(world.sweep().await?, 1);
    world.is_as(&before).await
}

#[tokio::test]
async fn a_function_with_a_user_of_its_own_works_with_a_newer_ledger() -> anyhow::Result<()> {
    let world = World::builder().sql(MAKE_OWN_USER).start().await?;
    let before = world.state().await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    for event in [&role, &user] {
        world.body(event).await?;
    }
    world
        .sql(&format!(
            "{OLD_SCHEMA} COMMENT ON SCHEMA sym IS 'sym-postgres 99'"
        ))
        .await?;
    let own = world.another(&OWN_USER).await?;
    for event in [&role, &user] {
        world.body_of(&own, &event.end().to_string()).await?;
    }
    assert_eq!(world.body_of(&own, SWEEP).await?["swept"], 0);
    let events = [Event::escalate(), Event::escalate_temporary_user()];
    for event in &events {
        world
            .body_of(&own, &event.to_string())
            .await
            .with_context(|| event.to_string())?;
    }
    world.sql("DROP FUNCTION sym.finish(text, boolean)").await?;
    // What an upgrade has dropped is said, and written down.
    for event in &events {
        let answer = world.send_to(&own, &event.end().to_string()).await?;
        assert!(
            answer.to_string().contains("upgrade this one too"),
            "{answer}"
        );
    }
    world.sql(OLD_SCHEMA).await?;
    world.lambda.restart().await?;
    assert_eq!(world.sweep().await?, 2);
    world.is_as(&before).await
}

#[tokio::test]
async fn a_function_with_a_user_of_its_own_is_told_what_it_lacks() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE sym_bot2 LOGIN PASSWORD 'second'; GRANT CREATE ON DATABASE app TO sym_bot2")
        .start()
        .await?;
    let own = world.another(&OWN_USER).await?;
    let event = Event::escalate();
    let answer = world.send_to(&own, &event.to_string()).await?;
    let text = answer.to_string();
    let (_, advice) = text
        .split_once(", in database `app`, `")
        .context("has it")?;
    let (grants, _) = advice.split_once('`').context("has it")?;
    // And not to become a member of the owner, which is all that another function may.
    let doctor = world.symctl_with(&["doctor"], &OWN_USER).await?;
    let told = format!(
        "where it is a function's user, have an administrator run as `sym_bot` (docs/runbook.md, `Without Lambda and AWS`), in \
         database `app`, `{grants}`; a person"
    );
    assert!(doctor.stdout.contains(&told), "{doctor:?}");
    world.run_as_owner(&text, grants).await?;
    let doctor = world.symctl_with(&["doctor"], &OWN_USER).await?;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    world.body_of(&own, &event.to_string()).await?;
    world.body_of(&own, &event.end().to_string()).await?;
    // It makes none of its own.
    world.sql("ALTER SCHEMA sym RENAME TO kept").await?;
    let own = world.another(&OWN_USER).await?;
    let answer = world.send_to(&own, &event.to_string()).await?;
    assert!(
        answer
            .to_string()
            .contains("there is no ledger in database `app`"),
        "{answer}"
    );
    Ok(())
}

/// Not even with the login that may.
#[tokio::test]
async fn a_person_brings_no_ledger_up_to_date() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.sql(OLD_SCHEMA).await?;
    let comment = "SELECT obj_description('sym'::regnamespace)";
    for command in [
        &["grants"][..],
        &["sweep", "--dry-run"],
        &["sweep"],
        &["revoke", "--all"],
        &["doctor"],
    ] {
        let refused = world.symctl(command).await?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        let said = format!("{}{}", refused.stdout, refused.stderr);
        assert!(
            said.contains("is older than this `symctl`")
                && said.contains("brings it up to date with its next event"),
            "{refused:?}"
        );
        assert_eq!(
            world.query(comment).await?.as_deref(),
            Some("sym-postgres 0")
        );
    }
    world.sql("DROP SCHEMA sym CASCADE").await?;
    let doctor = world.symctl(&["doctor"]).await?;
    let found = "FAIL database: there is no ledger in database `app`: check `LEDGER_DB` and `DB_NAME`; where they are right, \
        run what `symctl setup-sql` prints";
    assert!(doctor.stdout.contains(found), "{doctor:?}");
    let setup = world.ledger_setup("app", "sym_bot").await?;
    let admin = world.postgres.admin_in("app").await?;
    admin.batch_execute(&setup).await?;
    let doctor = world.symctl(&["doctor"]).await?;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    Ok(())
}

#[tokio::test]
async fn symctl_works_with_the_variables_of_a_function_with_a_user_of_its_own() -> anyhow::Result<()>
{
    let world = World::builder()
        .sql(MAKE_OWN_USER)
        .sql(
            "CREATE ROLE on_call LOGIN PASSWORD 'on call'; GRANT USAGE ON SCHEMA sym TO on_call;
             GRANT EXECUTE ON FUNCTION sym.give_back(text, jsonb), sym.open_grants() TO on_call",
        )
        .start()
        .await?;
    let before = world.state().await?;
    for _ in 0..2 {
        world.body(&Event::escalate()).await?;
        world.body(&Event::escalate_temporary_user()).await?;
    }
    let doctor = world.symctl_with(&["doctor"], &OWN_USER).await?;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    let grants = world.symctl_with(&["grants", "--json"], &OWN_USER).await?;
    assert_eq!(
        grants.json()?.as_array().map(Vec::len),
        Some(4),
        "{grants:?}"
    );
    world.let_time_pass().await?;
    world.body(&Event::escalate()).await?;
    let swept = world.symctl_with(&["sweep", "--json"], &OWN_USER).await?;
    assert_eq!(swept.json()?.as_array().map(Vec::len), Some(4), "{swept:?}");
    let revoked = world.symctl_with(&["revoke", "--all"], &OWN_USER).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    world.is_as(&before).await?;

    let on_call = [
        ("DB_USER", "on_call"),
        ("DB_PASSWORD", "on call"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let refused = world.symctl_with(&["grants"], &on_call).await?;
    assert!(
        refused.stderr.contains("log in as `sym_bot`") && !refused.stderr.contains("GRANT"),
        "{refused:?}"
    );
    Ok(())
}
