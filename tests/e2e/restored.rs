//! Where roles, which are the cluster's, have outlived the rows of the ledger: a database that
//! was restored in place, or made anew, or followed by logical replication.

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::fixture::{Event, Leaver, OLD_SCHEMA, PERSON, SWEEP, World, success};

/// What the doctor says is wrong: subject and fix.
async fn wrong(world: &World, variables: &[(&str, &str)]) -> anyhow::Result<Vec<(String, String)>> {
    let doctor = world
        .symctl_with(&["doctor", "--json"], variables)
        .await?
        .json()?;
    let findings = doctor.as_array().context("is a list")?.iter();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
    Ok(findings
        .filter(|finding| finding["is_ok"] == false)
        .map(|finding| (text(finding, "subject"), text(finding, "fix")))
        .collect())
}

#[tokio::test]
async fn what_an_older_ledger_does_not_know_ends_or_is_named() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let role = Event::escalate();
    world.body(&role).await?;
    let (leaver, other) = (world.leaver().await?, world.leaver().await?);
    assert_eq!(wrong(&world, &[]).await?, []);
    world.sql("DELETE FROM sym.grants").await?;

    assert_eq!(world.sweep().await?, 0);
    let logs = world.lambda.logs();
    assert!(logs.contains("what no open run explains"), "{logs}");
    assert!(logs.contains("\"GrantsUnexplained\":3"), "{logs}");
    // The template lends as the same user, and keeps no record.
    let migrating = world.another(&[("MIGRATE_FROM", "template")]).await?;
    assert_eq!(world.body_of(&migrating, SWEEP).await?["swept"], 0);
    let logs = migrating.logs();
    assert!(logs.contains("\"GrantsUnexplained\":2"), "{logs}");
    let found = wrong(&world, &[]).await?;
    let subjects: Vec<&str> = found.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["temporary user", "temporary user", "membership"]);
    let migrating = wrong(&world, &[("MIGRATE_FROM", "template")]).await?;
    assert_eq!(migrating.len(), 2, "{migrating:?}");

    let answer = world.body(&role.end()).await?;
    assert_eq!(
        answer["note"],
        json!("the run had not begun, and can't begin now")
    );
    world.end_removes(&leaver).await?;
    assert!(leaver.session.simple_query("SELECT").await.is_err());
    // With its end the run is one of the ledger's, which can't begin again.
    assert_eq!(
        world.run_state(&leaver.event).await?.as_deref(),
        Some("ended")
    );
    let run = other.event.srn();
    let revoked = world.symctl(&["revoke", run]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert!(!world.role_exists(&other.user).await?);

    // What is there already is nobody's to take, and so stays named.
    let standing = Event::escalate();
    world.body(&standing).await?;
    let found = wrong(&world, &[]).await?;
    world.body(&standing.end()).await?;
    assert_eq!(found, wrong(&world, &[]).await?);
    let [(subject, fix)] = &found[..] else {
        anyhow::bail!("one finding: {found:?}");
    };
    assert_eq!(subject, "membership");
    world.sql(fix).await?;
    assert_eq!(wrong(&world, &[]).await?, []);
    world.sweep().await?;
    let logs = world.lambda.logs();
    assert!(logs.contains("\"GrantsUnexplained\":0"), "{logs}");
    for secret in world.secrets().await? {
        std::fs::remove_file(secret)?;
    }
    world.is_as(&before).await
}

/// As after a switch to a server that has the rows of another, and not its roles.
#[tokio::test]
async fn what_has_ended_elsewhere_ends_here_or_is_named() -> anyhow::Result<()> {
    let world = World::start().await?;
    let role = Event::escalate();
    world.body(&role).await?;
    let (leaver, other) = (world.leaver().await?, world.leaver().await?);
    world
        .sql("UPDATE sym.grants SET state = 'ended', ended_at = now()")
        .await?;
    let found = wrong(&world, &[]).await?;
    assert_eq!(found.len(), 3, "{found:?}");
    let answer = world.body(&role.end()).await?;
    assert_eq!(
        answer["note"],
        json!(
            "`sym_user` still has `readonly` by a membership that this function's user granted: another run's, or one \
             that `symctl doctor` names"
        )
    );
    world.end_removes(&leaver).await?;
    let revoked = world.symctl(&["revoke", "--all"]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    assert!(!world.role_exists(&other.user).await?);
    assert_eq!(world.secrets().await?, Vec::<String>::new());
    Ok(())
}

/// A first try failed, a backup was made, and the second try made the user.
#[tokio::test]
async fn a_user_that_an_older_ledger_has_as_pending_is_named_and_ends() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (ended, expired) = (world.leaver().await?, world.leaver().await?);
    world
        .sql("UPDATE sym.grants SET state = 'pending', user_oid = NULL, granted_at = NULL")
        .await?;
    let found = wrong(&world, &[]).await?;
    let subjects: Vec<&str> = found.iter().map(|(subject, _)| subject.as_str()).collect();
    assert_eq!(subjects, ["temporary user", "temporary user"]);

    world.end_removes(&ended).await?;
    assert!(ended.session.simple_query("SELECT").await.is_err());
    world.let_time_pass().await?;
    let outcomes = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    assert_eq!(world.query(outcomes).await?.as_deref(), Some("disabled"));
    assert!(world.login(&expired.user, &expired.password).await.is_err());
    world.sweep_removes(&expired).await?;
    assert_eq!(wrong(&world, &[]).await?, []);
    world.ledger_agrees().await
}

/// Changes a field of the comment on a temporary user.
async fn rewrite(world: &World, user: &str, field: &str, value: &str) -> anyhow::Result<()> {
    world
        .sql(&format!(
            "DO $$ BEGIN EXECUTE format('COMMENT ON ROLE {user} IS %L',
                 shobj_description('{user}'::regrole, 'pg_authid')::jsonb || '{{\"{field}\": \"{value}\"}}'); END $$"
        ))
        .await
}

/// Nobody's event has to come, where no row says when the access is over.
#[tokio::test]
async fn a_user_without_a_run_ends_when_its_time_is_over() -> anyhow::Result<()> {
    const PAST: &str = "2020-01-01T00:00:00+00:00";
    let world = World::start().await?;
    let (over, expired) = (world.leaver().await?, world.leaver().await?);
    let (early, others, odd) = (
        world.leaver().await?,
        world.leaver().await?,
        world.leaver().await?,
    );
    for leaver in [&over, &expired, &others] {
        rewrite(&world, &leaver.user, "expires", PAST).await?;
    }
    rewrite(&world, &others.user, "by", "somebody").await?;
    rewrite(&world, &odd.user, "expires", "one day").await?;
    // A row that has ended, and none.
    let run = over.event.run_srn();
    world
        .sql(&format!(
            "UPDATE sym.grants SET state = 'ended', ended_at = now() WHERE run = lower('{run}');
             DELETE FROM sym.grants WHERE state <> 'ended'"
        ))
        .await?;
    // They may be those of a ledger in another database.
    world.postgres.create_database("another").await?;
    let another = world.postgres.admin_in("another").await?;
    another
        .batch_execute(
            "CREATE SCHEMA made AUTHORIZATION sym_bot; CREATE FUNCTION made.made() RETURNS int LANGUAGE sql AS 'SELECT 1';
             ALTER FUNCTION made.made() OWNER TO sym_bot",
        )
        .await?;
    let answer = world.send_text(SWEEP).await?.to_string();
    assert!(answer.contains("in database `another`"), "{answer}");
    assert!(over.session.simple_query("SELECT").await.is_ok());
    another.batch_execute("DROP SCHEMA made CASCADE").await?;
    let dry = world.symctl(&["sweep", "--dry-run", "--json"]).await?;
    let dry = dry.json()?;
    for leaver in [&over, &expired] {
        let run = leaver.event.run_srn().to_lowercase();
        let rows = dry.as_array().into_iter().flatten();
        let row = rows.clone().find(|row| row["run"] == run.as_str());
        let row = row.unwrap_or(&Value::Null);
        let shown = [&row["state"], &row["user_name"], &row["why"]];
        assert_eq!(shown, ["granted", leaver.user.as_str(), "expired"]);
        assert_eq!(rows.count(), 2, "{dry}");
    }
    // One that can't be taken up keeps no other.
    let holder = world.postgres.admin_in("app").await?;
    let hold = format!("BEGIN; SELECT FROM sym.grants WHERE run = lower('{run}') FOR UPDATE");
    holder.batch_execute(&hold).await?;
    world.sweep_removes(&expired).await?;
    assert!(expired.session.simple_query("SELECT").await.is_err());
    assert_eq!(
        world.run_state(&expired.event).await?.as_deref(),
        Some("ended")
    );
    holder.batch_execute("ROLLBACK").await?;

    let outcomes = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    // The one call finds it, and the next ends it.
    assert_eq!(world.query(outcomes).await?, None);
    assert_eq!(world.query(outcomes).await?.as_deref(), Some("disabled"));
    world.sweep_removes(&over).await?;
    assert!(over.session.simple_query("SELECT").await.is_err());

    assert_eq!(world.sweep().await?, 0);
    for leaver in [&early, &others, &odd] {
        assert!(leaver.session.simple_query("SELECT").await.is_ok());
    }
    Ok(())
}

/// Under a process that has a connection, and brings no ledger up to date but by a new one.
#[tokio::test]
async fn a_ledger_that_is_another_than_before_is_brought_up_to_date() -> anyhow::Result<()> {
    let world = World::start().await?;
    let anew = "DROP SCHEMA sym CASCADE; CREATE SCHEMA sym AUTHORIZATION sym_bot";
    let older = format!(
        "CREATE OR REPLACE FUNCTION sym.give_back(this_run text, ending jsonb) RETURNS jsonb LANGUAGE plpgsql
             AS $$ BEGIN PERFORM sym.refuse('access-remains', '{{\"why\": \"sessions\"}}'); END $$; {OLD_SCHEMA}"
    );
    for ledger in [anew, &older] {
        let leaver = world.leaver().await?;
        world.sql(ledger).await?;
        world.end_removes(&leaver).await?;
        let state = world.run_state(&leaver.event).await?;
        ensure!(state.as_deref() == Some("ended"), "{state:?}");
    }
    // By a sweep, too.
    world.sql(anew).await?;
    ensure!(world.sweep().await? == 0);
    // What can't be mended is said.
    world.sql("DROP SCHEMA sym CASCADE").await?;
    let answer = world.send(&Event::escalate().end()).await?.to_string();
    ensure!(
        answer.contains("schema `sym` in database `app` is missing"),
        "{answer}"
    );
    Ok(())
}

/// Up to 15, what was prepared after SET ROLE is the role's, and may be the user's work.
#[tokio::test]
async fn what_a_user_without_a_row_has_prepared_keeps_its_run_open() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .start()
        .await?;
    if world.postgres.install().major >= 16 {
        return Ok(());
    }
    let leaver = world.leaver().await?;
    let prepare = "BEGIN; SET ROLE readonly; SELECT lo_create(0); PREPARE TRANSACTION 'kept'";
    leaver.session.batch_execute(prepare).await?;
    world.sql("DELETE FROM sym.grants").await?;
    let answer = world.send(&leaver.event.end()).await?.to_string();
    assert!(answer.contains("[access-remains]"), "{answer}");
    let logs = world.lambda.logs();
    assert!(logs.contains("prepared transaction 'kept'"), "{logs}");
    world.sql("ROLLBACK PREPARED 'kept'").await?;
    world.sweep_removes(&leaver).await
}

/// The OIDs of a dump, where that was loaded, are nobody's, or somebody else's.
#[tokio::test]
async fn what_other_oids_have_lent_is_said_to_remain() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE bob LOGIN; CREATE ROLE billing; GRANT billing TO bob")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let rewrite = async |user: &str, role: &str, grantor: &str| {
        let set = format!("user_oid = {user}, role_oid = {role}, grantor_oid = {grantor}");
        let run = event.srn();
        world
            .sql(&format!("UPDATE sym.grants SET {set} WHERE run = '{run}'"))
            .await
    };
    let (user, role, grantor) = (
        "'sym_user'::regrole",
        "'readonly'::regrole",
        "'sym_bot'::regrole",
    );
    let remains = |what: &str| {
        format!(
            "{what} (made anew, or restored from a backup), so nothing was taken from {}: an administrator has to look, and \
             to revoke by hand; then the run can end [access-remains]",
            if what.starts_with("role") {
                "`sym_user`"
            } else {
                "it"
            }
        )
    };
    let another = remains("database user `sym_user` is not the one of this run any more");
    let another_role = remains("role `readonly` is not the one of this run any more");
    for other_grantor in [grantor, "999997"] {
        for other_role in ["'billing'::regrole", "999998", role] {
            for other_user in ["'bob'::regrole", "999999"] {
                rewrite(other_user, other_role, other_grantor).await?;
                world.refuses(&event.end(), &another).await?;
            }
            if other_role != role {
                rewrite(user, other_role, other_grantor).await?;
                world.refuses(&event.end(), &another_role).await?;
            }
        }
    }
    // Where nothing differs but who has granted, it is what was lent.
    rewrite(user, role, "999997").await?;
    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert!(!world.is_member(PERSON, "readonly").await?);

    // Another run's are there by the row's OIDs, and that goes on.
    let (event, bobs) = (Event::escalate(), Event::escalate());
    world.body(&event).await?;
    let bobs = bobs.user("bob@healthy-health.co");
    world.body(&bobs).await?;
    world
        .sql(&format!(
            "UPDATE sym.grants SET user_oid = 'bob'::regrole WHERE run = '{}'",
            event.srn()
        ))
        .await?;
    world.refuses(&event.end(), &another).await?;
    world.sql(&world.revoke()).await?;
    world.sweep().await?;
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("ended"));
    assert!(world.is_member("bob", "readonly").await?);
    assert!(world.is_member("bob", "billing").await?);
    world.body(&bobs.end()).await?;
    assert!(!world.is_member("bob", "readonly").await?);
    Ok(())
}

/// Renamed is the same person, and what an administrator grants to the next of the name is theirs.
#[tokio::test]
async fn who_has_the_old_name_keeps_what_is_theirs() -> anyhow::Result<()> {
    let world = World::start().await?;
    for is_taken in [false, true] {
        let event = Event::escalate();
        world.body(&event).await?;
        if is_taken {
            world.sql(&world.revoke()).await?;
        }
        world
            .sql("ALTER ROLE sym_user RENAME TO ann; CREATE ROLE sym_user LOGIN; GRANT readonly TO sym_user")
            .await?;
        world.body(&event.end()).await?;
        assert!(world.is_member(PERSON, "readonly").await?);
        assert!(!world.is_member("ann", "readonly").await?);
        world
            .sql("DROP ROLE sym_user; ALTER ROLE ann RENAME TO sym_user")
            .await?;
    }
    Ok(())
}

/// As after a dump: the row's OID is somebody else's, and the user has another.
#[tokio::test]
async fn a_user_whose_oid_is_somebody_elses_is_ended_by_its_name() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE newcomer LOGIN")
        .start()
        .await?;
    let before = world.state().await?;
    let other = world.leaver().await?;
    let point = async |leaver: &Leaver, to: &str| {
        let run = leaver.event.srn();
        world
            .sql(&format!(
                "UPDATE sym.grants SET user_oid = '{to}'::regrole WHERE run = '{run}'"
            ))
            .await
    };
    for to in ["newcomer", &other.user] {
        let (ended, expired) = (world.leaver().await?, world.leaver().await?);
        point(&ended, to).await?;
        world.end_removes(&ended).await?;
        assert!(ended.session.simple_query("SELECT").await.is_err());

        // One that was to be removed already, too.
        point(&expired, to).await?;
        world
            .sql(&format!(
                "UPDATE sym.grants SET state = 'ending' WHERE run = '{}'",
                expired.event.srn()
            ))
            .await?;
        let outcomes = "SELECT string_agg(outcome, ',') FROM sym.expire()";
        assert_eq!(world.query(outcomes).await?.as_deref(), Some("disabled"));
        assert!(world.login(&expired.user, &expired.password).await.is_err());
        world.sweep_removes(&expired).await?;
    }

    // It is gone, and who has its OID is another run's.
    let gone = world.leaver().await?;
    world.sql(&format!("DROP ROLE {0}", gone.user)).await?;
    point(&gone, "newcomer").await?;
    let answer = world.send(&gone.event.end()).await?.to_string();
    let sentence = "`newcomer` doesn't look like the one that was made for this run";
    assert!(answer.contains(sentence), "{answer}");
    point(&gone, &other.user).await?;
    world.end_removes(&gone).await?;
    assert_eq!(
        world.run_state(&gone.event).await?.as_deref(),
        Some("ended")
    );
    other.session.simple_query("SELECT FROM orders").await?;

    // Its run is open, and no run of that OID explains it: once is enough.
    point(&other, "newcomer").await?;
    let revoked = world.symctl(&["revoke", "--all"]).await?;
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let times = revoked.stdout.matches(other.event.srn()).count();
    assert_eq!(times, 1, "{revoked:?}");
    assert_eq!(world.open_runs().await?, 0);
    world.is_as(&before).await
}
