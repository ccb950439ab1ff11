//! What `symctl doctor` says.

use anyhow::Context as _;
use serde_json::{Value, json};

use crate::fixture::{Event, World};

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

/// Who asks is not who needs it.
#[tokio::test]
async fn the_doctor_looks_at_the_function_whoever_asks() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .sql("CREATE ROLE dba SUPERUSER LOGIN PASSWORD 'dba'")
        .start()
        .await?;
    world.body(&Event::escalate()).await?;
    let dba = [
        ("DB_USER", "dba"),
        ("DB_PASSWORD", "dba"),
        ("LEDGER_OWNER", "sym_bot"),
    ];
    let healthy = world.symctl_with(&["doctor", "--json"], &dba).await?;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    world.sql("ALTER ROLE sym_bot NOCREATEROLE").await?;
    let ill = world.symctl_with(&["doctor"], &dba).await?;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    assert!(
        ill.stdout
            .contains("fix: ALTER ROLE \"sym_bot\" CREATEROLE;"),
        "{ill:?}"
    );
    world
        .sql(
            "ALTER ROLE sym_bot CREATEROLE;
             DO $$ BEGIN EXECUTE 'REVOKE pg_signal_autovacuum_worker FROM sym_bot GRANTED BY master';
             EXCEPTION WHEN undefined_object THEN NULL; END $$",
        )
        .await?;
    let noted = world.symctl_with(&["doctor", "--json"], &dba).await?;
    assert_eq!(noted.code, Some(0), "{noted:?}");
    let fixes = noted.json()?;
    let mut fixes = fixes
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|finding| finding["fix"].as_str());
    let is_since_18 = world
        .query("SELECT to_regrole('pg_signal_autovacuum_worker') IS NOT NULL")
        .await?;
    assert_eq!(
        fixes.next().is_some(),
        is_since_18.as_deref() == Some("true"),
        "{noted:?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_doctor_says_which_targets_can_not_work() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE support")
        .file(
            "plugins.toml",
            "[resolver]\ncomponent = \"default-resolver.wasm\"\n\
             [targets.readonly]\n[targets.support]\n[targets.other]\nrole = \"nosuch\"\n",
        )
        .start()
        .await?;
    let ill = world.symctl(&["doctor"]).await?;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    let found =
        "FAIL roles of targets: `nosuch` doesn't exist, the ADMIN option on `support` is missing";
    assert!(ill.stdout.contains(found), "{ill:?}");
    assert!(
        ill.stdout
            .contains("fix: GRANT \"support\" TO \"sym_bot\" WITH ADMIN"),
        "{ill:?}"
    );
    let unset = world
        .symctl_with(&["doctor", "--json"], &[("RECORD", "ful")])
        .await?;
    assert_eq!(unset.json()?[0]["subject"], "configuration", "{unset:?}");
    assert_eq!(unset.code, Some(1), "{unset:?}");
    assert_eq!(unset.stderr, "", "{unset:?}");
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

/// As where the administrator doesn't own the schema, and everybody's right was taken.
#[tokio::test]
async fn the_doctor_says_what_a_leaver_waits_for() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .sql("GRANT CREATE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    leaver
        .session
        .batch_execute("CREATE FUNCTION public.own() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        .await?;
    world
        .sql("REVOKE CREATE ON SCHEMA public FROM sym_graveyard, PUBLIC")
        .await?;
    let look = async || {
        let found = world.symctl(&["doctor", "--json"]).await?;
        let findings = found.json()?;
        let mut findings = findings.as_array().cloned().unwrap_or_default();
        findings.retain(|finding| {
            finding["fix"] == "GRANT USAGE, CREATE ON SCHEMA public TO sym_graveyard;"
        });
        anyhow::Ok((found.code, findings))
    };
    // Nothing waits for it yet.
    let (code, findings) = look().await?;
    assert_eq!((code, &findings[0]["is_ok"]), (Some(0), &json!(true)));
    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("could not be dropped"), "{answer}");
    let (code, findings) = look().await?;
    assert_eq!((code, &findings[0]["is_ok"]), (Some(1), &json!(false)));
    world
        .sql(findings[0]["fix"].as_str().unwrap_or_default())
        .await?;
    world.sweep_removes(&leaver).await?;
    assert_eq!(look().await?, (Some(0), Vec::new()));
    Ok(())
}

/// The ADMIN option alone lends nothing.
#[tokio::test]
async fn the_doctor_says_which_roles_are_never_lent() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE owner1; CREATE TABLE owned (); ALTER TABLE owned OWNER TO owner1; CREATE ROLE above; GRANT owner1 TO above;
             CREATE ROLE login1 LOGIN; GRANT owner1, above, login1 TO sym_bot WITH ADMIN OPTION",
        )
        .file(
            "plugins.toml",
            "[resolver]\ncomponent = \"default-resolver.wasm\"\n\
             [targets.readonly]\n[targets.owner1]\n[targets.login1]\n",
        )
        .start()
        .await?;
    let owner = "role `owner1` is never lent: it owns objects";
    let above = "role `above` is never lent: it is a member of `owner1`, which owns objects";
    let login = "role `login1` is never lent: it may log in, and whoever it is lent to could set its password (before \
                 PostgreSQL 16)";
    let before_16 = world.postgres.install().major < 16;
    let look = async |allowed: &str| {
        let variables = [("GRANTABLE_ROLES", allowed)];
        let found = world
            .symctl_with(
                &["doctor", "--json"],
                &variables[usize::from(allowed.is_empty())..],
            )
            .await?;
        let findings = found.json()?;
        let of = |subject: &str| {
            let mut findings = findings.as_array().into_iter().flatten();
            let finding = findings.find(|finding| finding["subject"] == subject);
            finding.map(|finding| (finding["is_ok"].clone(), finding["found"].clone()))
        };
        anyhow::Ok((found.code, of("roles to lend"), of("roles of targets")))
    };
    let (code, lent, of_targets) = look("").await?;
    let (lendable, not_of_targets) = match before_16 {
        true => ("readonly", format!("{login}, {owner}")),
        false => ("login1, readonly", owner.to_owned()),
    };
    let not_of_targets = Some((json!(false), json!(not_of_targets)));
    let found = json!(format!("{lendable}; of others, {above}"));
    assert_eq!((code, lent), (Some(1), Some((json!(true), found))));
    assert_eq!(of_targets, not_of_targets);

    let (code, lent, of_targets) = look("readonly,above").await?;
    let found = json!(format!("readonly; of GRANTABLE_ROLES not all: {above}"));
    assert_eq!((code, lent), (Some(1), Some((json!(true), found))));
    assert_eq!(of_targets, not_of_targets);
    let (_, lent, _) = look("owner1").await?;
    let found = json!(format!("none of GRANTABLE_ROLES: {owner}"));
    assert_eq!(lent, Some((json!(false), found)));

    // It says what the event says.
    let event = Event::escalate().target("owner1");
    world
        .refuses(&event, &format!("{owner} [role-refused]"))
        .await
}

#[tokio::test]
async fn the_doctor_names_the_file_that_is_missing() -> anyhow::Result<()> {
    let world = World::start().await?;
    let file = world.plugins_directory().join("plugins.toml");
    std::fs::remove_file(&file)?;
    let ill = world.symctl(&["doctor"]).await?;
    let found = format!("{}: No such file or directory", file.display());
    assert!(ill.stdout.contains(&found), "{ill:?}");
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

// Who looks at grants needs no plugins; a function does.
#[tokio::test]
async fn the_doctor_misses_the_plugins() -> anyhow::Result<()> {
    let world = World::builder().without_variable("PLUGINS").start().await?;
    let doctor = world.symctl(&["doctor"]).await?;
    let found = "FAIL configuration: the function's variable `PLUGINS` is not set\n";
    assert_eq!(
        (doctor.code, doctor.stdout.as_str(), doctor.stderr.as_str()),
        (Some(1), found, "")
    );
    assert_eq!(world.symctl(&["grants"]).await?.code, Some(0));
    Ok(())
}

/// Before 16 the ADMIN option makes a member.
#[tokio::test]
async fn the_doctor_names_a_privileged_role_that_the_function_has() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE boss CREATEROLE; CREATE ROLE above; GRANT boss TO above;
             GRANT above, pg_monitor TO sym_bot WITH ADMIN OPTION",
        )
        .start()
        .await?;
    let is_before_16 = world.postgres.install().major < 16;
    for role in ["above", "pg_monitor"] {
        let ill = world.symctl(&["doctor"]).await?;
        let found = format!("FAIL privileged roles: the function's user is a member of `{role}`");
        assert_eq!(ill.stdout.contains(&found), is_before_16, "{ill:?}");
        let fix = format!("REVOKE {role} FROM sym_bot;");
        assert_eq!(ill.stdout.contains(&fix), is_before_16, "{ill:?}");
        assert_eq!(ill.code, Some(i32::from(is_before_16)), "{ill:?}");
        world.sql(&fix).await?;
    }
    let healthy = world.symctl(&["doctor"]).await?;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    Ok(())
}

/// A variable that is looked at by nothing else where the ledger is the login's own.
#[tokio::test]
async fn the_doctor_judges_whose_the_ledger_is() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .start()
        .await?;
    for owner in ["master", "nobody"] {
        let variables = [("LEDGER_OWNER", owner)];
        let ill = world.symctl_with(&["doctor", "--json"], &variables).await?;
        let findings = ill.json()?;
        let wrong: Vec<&Value> = findings
            .as_array()
            .into_iter()
            .flatten()
            .filter(|finding| finding["is_ok"] == false)
            .collect();
        let expected = json!({
            "subject": "ledger owner", "is_ok": false,
            "found": "the ledger belongs to `sym_bot`, who is `DB_USER`, and `LEDGER_OWNER` names another",
            "fix": "take the variable `LEDGER_OWNER` away",
        });
        assert_eq!((ill.code, wrong), (Some(1), vec![&expected]), "{findings}");
        let events = [Event::escalate(), Event::escalate_temporary_user()];
        let function = world.another(&variables).await?;
        for event in events {
            world.body_of(&function, &event.to_string()).await?;
            world.body_of(&function, &event.end().to_string()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_doctor_says_that_there_is_no_standby() -> anyhow::Result<()> {
    let world = World::start().await?;
    let look = async || {
        let found = world.symctl(&["doctor"]).await?;
        assert_eq!(found.code, Some(0), "{found:?}");
        anyhow::Ok(found.stdout.contains("ok   standby: "))
    };
    assert!(!look().await?);
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = 'nobody'",
        "SELECT pg_reload_conf()",
    ] {
        world.sql(sql).await?;
    }
    world
        .wait_until("current_setting('synchronous_standby_names') = 'nobody'")
        .await?;
    assert!(look().await?);
    Ok(())
}

#[tokio::test]
async fn the_doctor_names_a_database_without_an_encoding() -> anyhow::Result<()> {
    let world = World::start().await?;
    world
        .postgres
        .execute_sql(
            "postgres",
            "CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'",
        )
        .await?;
    let apart = [("DB_NAME", "bytes"), ("LEDGER_DB", "app")];
    let ill = world.symctl_with(&["doctor"], &apart).await?;
    assert_eq!(ill.code, Some(1), "{ill:?}");
    assert!(
        ill.stdout.contains("FAIL encoding: `bytes` has SQL_ASCII"),
        "{ill:?}"
    );
    let healthy = world.symctl(&["doctor"]).await?;
    assert_eq!(healthy.code, Some(0), "{healthy:?}");
    Ok(())
}

/// Since 16; before, ADMIN comes with it.
#[tokio::test]
async fn the_doctor_says_which_roles_the_function_could_use_itself() -> anyhow::Result<()> {
    let world = World::start().await?;
    if world.postgres.install().major < 16 {
        let healthy = world.symctl(&["doctor"]).await?;
        assert!(!healthy.stdout.contains("INHERIT"), "{healthy:?}");
        return Ok(());
    }
    // As a server that was 15 has it.
    world
        .sql("GRANT readonly TO sym_bot WITH INHERIT TRUE, SET TRUE GRANTED BY master")
        .await?;
    let noted = world.symctl(&["doctor", "--json"]).await?;
    assert_eq!(noted.code, Some(0), "{noted:?}");
    let noted = noted.json()?;
    let fix = noted
        .as_array()
        .into_iter()
        .flatten()
        .filter(|finding| finding["subject"] == "roles to lend")
        .find_map(|finding| finding["fix"].as_str());
    let fix = fix.unwrap_or_else(|| panic!("{noted}"));
    assert!(
        fix.starts_with(
            "GRANT readonly TO sym_bot WITH INHERIT FALSE, SET FALSE GRANTED BY master;"
        ),
        "{fix}"
    );
    world.sql(fix).await?;
    let mended = world.symctl(&["doctor"]).await?;
    assert!(!mended.stdout.contains("INHERIT"), "{mended:?}");
    world.still_works().await
}

/// Who runs a fix is mostly no superuser, as on RDS.
#[tokio::test]
async fn an_administrator_can_run_what_the_doctor_says() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .sql("CREATE TABLE theirs (); ALTER TABLE theirs OWNER TO sym_managed")
        .sql("SET SESSION AUTHORIZATION sym_bot; GRANT readonly TO sym_user; RESET SESSION AUTHORIZATION")
        .start()
        .await?;
    let ill = world.symctl(&["doctor", "--json"]).await?.json()?;
    let fix = |subject: &str| {
        let findings = ill.as_array().into_iter().flatten();
        let mut wrong = findings.filter(|finding| finding["is_ok"] == false);
        let found = wrong.find(|finding| finding["subject"] == subject);
        found
            .and_then(|finding| finding["fix"].as_str())
            .unwrap_or_default()
    };
    let master = world.postgres.admin_in("app").await?;
    master
        .batch_execute("SET SESSION AUTHORIZATION master")
        .await?;
    let owned = fix("sym_managed");
    let (_, owned) = owned.split_once("administrator: ").context("has it")?;
    master.batch_execute(owned).await?;
    // As the page says that it names.
    let taken = fix("membership");
    let (statement, _) = taken.split_once(';').context("is one")?;
    world.run_as_owner(taken, statement).await?;
    let mended = world.symctl(&["doctor"]).await?;
    assert_eq!(mended.code, Some(0), "{mended:?}");
    let memberships = "SELECT count(*) FROM pg_auth_members
        WHERE member = 'master'::regrole AND roleid IN ('sym_bot'::regrole, 'sym_managed'::regrole)
          AND (to_jsonb(pg_auth_members) ->> 'set_option') IS DISTINCT FROM 'false'";
    assert_eq!(world.query(memberships).await?.as_deref(), Some("0"));
    Ok(())
}
