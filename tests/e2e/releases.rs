//! Releases: published by `symctl`, used by the function without a restart.

mod backwards;
mod garbage;
mod lost;
pub(crate) mod publisher;
mod tampered;

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::Stdio;

use anyhow::bail;
use serde_json::{Value, json};
use sym_test_support::aws::{Aws, Service};
use sym_test_support::tools;

use self::publisher::{Publisher, SECOND};
use crate::fixture::{Behaviour, Builder, Event, PERSON, World, refusal, resolver_of_all, success};

const DENIED: &str = "Not today. [denied]";

/// A function that looks for another release before each event.
pub(crate) async fn world(publisher: &Publisher) -> anyhow::Result<World> {
    world_of(World::builder(), publisher).await
}

/// The same, otherwise as it is built.
pub(crate) async fn world_of(builder: Builder, publisher: &Publisher) -> anyhow::Result<World> {
    let mut builder = builder
        .variable("PLUGINS", publisher.url())
        .variable("PLUGIN_TRUST", publisher.trust())
        .variable("PLUGIN_REFRESH_SECONDS", "0");
    for (name, value) in publisher.environment() {
        builder = builder.variable(name, value);
    }
    builder.start().await
}

/// The release that the ledger names for the last run.
async fn ledgers_release(world: &World) -> anyhow::Result<String> {
    let sql = "SELECT release FROM sym.grants ORDER BY created_at DESC LIMIT 1";
    Ok(world.query(sql).await?.unwrap_or_default())
}

/// Events that a new release may take to be in use. It is one, unless the machine
/// is so busy that an event doesn't wait for it.
pub(crate) const EVENTS: usize = 100;

/// The second release is in use.
pub(crate) async fn is_denied(world: &World) -> anyhow::Result<()> {
    serves(world, &refusal(DENIED)).await
}

/// The plugins of the first release are in use.
async fn is_served(world: &World) -> anyhow::Result<()> {
    serves(world, &success(json!({"username": PERSON}))).await?;
    world.still_works().await
}

async fn serves(world: &World, expected: &Value) -> anyhow::Result<()> {
    let mut answer = Value::Null;
    for _ in 0..EVENTS {
        let event = Event::escalate();
        answer = world.send(&event).await?;
        world.send(&event.end()).await?;
        if answer == *expected {
            return Ok(());
        }
    }
    bail!("expected {expected}: {answer}")
}

/// Publishes, changes, rolls back and collects, with one function all the time.
async fn a_life(publisher: &Publisher) -> anyhow::Result<()> {
    let world = world(publisher).await?;
    let sentence = "nothing was published to the plugins' store yet, `current.json` is missing: `symctl publish`, or \
        correct `PLUGINS` [release-unavailable]";
    world.refuses(&Event::escalate(), sentence).await?;

    let first = publisher.publish_first()?;
    world.still_works().await?;
    assert_eq!(ledgers_release(&world).await?, first);

    let second = publisher.publish_second()?;
    is_denied(&world).await?;
    assert!(
        world
            .lambda
            .logs()
            .contains(&format!("\"release\":\"{second}\""))
    );

    let third = publisher.run(&["rollback", &publisher.url(), "--key", "team.key"])?;
    is_served(&world).await?;
    assert_eq!(ledgers_release(&world).await?, third.trim());
    assert!(third.starts_with("r3-"), "{third}");

    let listed = publisher.json(&["releases", &publisher.url(), "--json"])?;
    let ids: Vec<&str> = listed
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|entry| entry["release"].as_str())
        .collect();
    assert_eq!(ids, [third.trim(), &second, &first]);
    let status = publisher.json(&["status", &publisher.url(), "--json"])?;
    assert_eq!(status["release"], third.trim());
    assert_eq!(status["signed_by"], json!(["team"]));
    let trust = publisher.trust();
    let verified = publisher.run(&["verify", &publisher.url(), "--trust", &trust])?;
    assert_eq!(verified, third);

    // What the third holds is the first's: only the first's statement goes.
    let gone = publisher.collect(&["--keep", "0"])?;
    assert_eq!(gone["releases"], json!([first]));
    assert_eq!(gone["objects"], 0);
    world.lambda.restart().await?;
    world.still_works().await?;
    publisher.run(&["rollback", &publisher.url(), &second, "--key", "team.key"])?;
    is_denied(&world).await?;

    // Two more with what the first had: nothing needs what the second had alone.
    publisher.publish_first()?;
    publisher.publish_first()?;
    let would = publisher.collect(&["--keep", "0", "--dry-run"])?;
    let gone = publisher.collect(&["--keep", "0"])?;
    assert_eq!(would["objects"], gone["objects"]);
    // The resolver that refuses everybody, and its native code for two targets.
    assert_eq!(gone["objects"], 3);
    assert_eq!(gone["releases"].as_array().map(Vec::len), Some(3));
    let gone = publisher.collect(&["--keep", "0"])?;
    assert_eq!(gone["objects"], 0);
    publisher.run(&["verify", &publisher.url(), "--trust", &trust])?;
    world.lambda.restart().await?;
    world.still_works().await
}

#[tokio::test]
async fn a_directory_serves_the_life_of_releases() -> anyhow::Result<()> {
    a_life(&Publisher::in_directory()?).await
}

#[tokio::test]
async fn a_bucket_serves_the_life_of_releases() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    a_life(&Publisher::in_bucket(&aws, "releases")?).await
}

#[tokio::test]
async fn a_p256_key_signs_as_well() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.run(&["keygen", "kms", "--algorithm", "p256"])?;
    publisher.publish(publisher.first(), "kms.key", &[])?;
    let trust = format!("{},{}", publisher.trust(), publisher.trust_in("kms.pub")?);
    let world = World::builder()
        .variable("PLUGINS", publisher.url())
        .variable("PLUGIN_TRUST", trust)
        .start()
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_key_that_never_leaves_kms_signs_as_well() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    let key = json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"});
    let key = aws.call(Service::Kms, "CreateKey", &key).await?;
    let id = key["KeyMetadata"]["Arn"].as_str().unwrap_or_default();
    publisher.run(&["keygen", "kms", "--kms-key", id])?;
    assert!(!publisher.path("kms.key").exists());
    let absent = publisher.run(&["keygen", "absent", "--kms-key", "alias/absent"]);
    let error = absent.expect_err("is no key").to_string();
    assert!(error.contains("`alias/absent`: there is none"), "{error}");
    let url = publisher.url();
    let publish = ["publish", publisher.first(), "--to", &url, "--kms-key", id];
    publisher.run(&publish)?;
    let trust = publisher.trust_in("kms.pub")?;
    publisher.run(&["verify", &url, "--trust", &trust])?;
    let error = publisher.run(&["verify", &url, "--trust", &publisher.trust()]);
    let error = error.expect_err("is another key's").to_string();
    assert!(
        error.contains("no key of `PLUGIN_TRUST` signed it"),
        "{error}"
    );
    Ok(())
}

#[test]
fn verify_says_what_functions_have_to_compile_themselves() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let verify = || -> anyhow::Result<String> {
        let mut command = publisher.command();
        let url = publisher.url();
        command.args(["verify", &url, "--trust", &publisher.trust()]);
        let output = command.output()?;
        anyhow::ensure!(output.status.success(), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    publisher.publish_first()?;
    let said = verify()?;
    assert!(!said.contains("warning"), "{said}");

    let native = |said: &str, targets: &str| {
        let warning = said.lines().find(|line| line.starts_with("warning: "));
        let warning = warning.unwrap_or_default();
        assert!(
            warning.contains(&format!(" for {targets} and this")),
            "{said}"
        );
        for part in [
            " has no native code of `",
            "resolver.wasm`",
            "have too little memory for that",
        ] {
            assert!(warning.contains(part), "`{part}`: {said}");
        }
    };
    let mut statement = publisher.statement()?;
    let entries = statement["native"].as_array_mut();
    if let Some(entries) = entries {
        entries.retain(|entry| entry["target"] != "aarch64-unknown-linux-gnu");
    }
    publisher.sign(&statement)?;
    native(&verify()?, "aarch64-unknown-linux-gnu");
    let more = ["--without-native"];
    publisher.publish(publisher.first(), "team.key", &more)?;
    native(
        &verify()?,
        "x86_64-unknown-linux-gnu and aarch64-unknown-linux-gnu",
    );
    Ok(())
}

#[tokio::test]
async fn a_pinned_release_stays_whatever_is_published() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let verified = publisher.json(&["verify", &url, "--trust", &trust, "--json"])?;
    let sha256 = verified["sha256"].as_str().unwrap_or_default();
    let world = World::builder()
        .variable("PLUGINS", publisher.url())
        .variable("PLUGIN_TRUST", format!("sha256:{sha256}"))
        .variable("PLUGIN_REFRESH_SECONDS", "0")
        .start()
        .await?;
    world.still_works().await?;
    publisher.publish_second()?;
    world.still_works().await?;
    world.lambda.restart().await?;
    world.still_works().await
}

// The components themselves are taken away: what runs is the native code.
#[tokio::test]
async fn a_shadow_leaves_no_mark_of_the_release_that_it_asks() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let world = world_of(World::builder().variable("MODE", "shadow"), &publisher).await?;
    let body = world.body(&Event::escalate()).await?;
    assert!(body["would"].is_string(), "{body:?}");
    let releases = world.query("SELECT count(*) FROM sym.releases").await?;
    assert_eq!(releases.as_deref(), Some("0"));
    Ok(())
}

#[tokio::test]
async fn native_code_that_symctl_made_runs_in_the_bootstrap() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    for file in publisher.statement()?["files"]
        .as_array()
        .into_iter()
        .flatten()
    {
        if file["path"]
            .as_str()
            .is_some_and(|path| path.ends_with(".wasm"))
        {
            std::fs::remove_file(publisher.object(&file["sha256"]))?;
        }
    }
    world(&publisher).await?.still_works().await
}

#[tokio::test]
async fn a_release_without_native_code_is_compiled_in_place() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish(publisher.first(), "team.key", &["--without-native"])?;
    assert_eq!(publisher.statement()?["native"], json!([]));
    world(&publisher).await?.still_works().await
}

// A release that is too much for the function must not keep it from ending access,
// which is killed with it where memory runs out.
#[tokio::test]
async fn what_is_to_be_compiled_waits_for_an_event_that_asks_it() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish(publisher.first(), "team.key", &["--without-native"])?;
    let world = world(&publisher).await?;
    let loaded = |world: &World| world.lambda.logs().contains("ReleaseLoaded");
    world.body(&Event::escalate().end()).await?;
    assert!(!loaded(&world), "{}", world.lambda.logs());
    world.still_works().await?;
    assert!(loaded(&world), "{}", world.lambda.logs());

    // With native code it is loaded before the first event, whose line says so.
    publisher.publish_first()?;
    world.lambda.restart().await?;
    let before = world.lambda.logs().len();
    world.body(&Event::escalate().end()).await?;
    let log = world.lambda.logs()[before..].to_owned();
    assert!(log.contains("ReleaseLoaded"), "{log}");
    Ok(())
}

#[tokio::test]
async fn without_the_store_warm_goes_on_and_cold_refuses_but_access_ends() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    publisher.publish_first()?;
    let world = world(&publisher).await?;
    let event = Event::escalate();
    world.body(&event).await?;
    drop(aws);

    // An event waits for the store for a while only.
    for _ in 0..EVENTS {
        world.body(&Event::escalate()).await?;
        if world.lambda.logs().contains("release kept") {
            break;
        }
    }
    assert!(
        world.lambda.logs().contains("release kept"),
        "{}",
        world.lambda.logs()
    );
    world.lambda.restart().await?;
    let sentence = "the plugins' release can't be reached: try again, and if it stays so, see the function's log \
        [release-unavailable]";
    world.refuses(&Event::escalate(), sentence).await?;
    world.body(&event.end()).await?;
    Ok(())
}

// Both have read the same pointer when the first of them may write.
#[tokio::test]
async fn of_two_publishers_at_once_one_wins_and_the_other_is_told() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish_first()?;
    let lock = std::fs::File::create(publisher.store().join(".lock"))?;
    lock.lock()?;
    let mut running = Vec::new();
    for other in ["one", "two"] {
        // What they sign differs: the same in the same second is one release.
        let audience = format!("--audience=sym-postgres,{other}");
        let more = [audience.as_str()];
        let mut command = publisher.publish_command(publisher.second(), "team.key", &more);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut errors = BufReader::new(child.stderr.take().expect("is piped"));
        let mut line = String::new();
        while !line.contains("signed r2-") {
            line.clear();
            assert_ne!(errors.read_line(&mut line)?, 0, "it ended early");
        }
        running.push((child, errors));
    }
    lock.unlock()?;
    let mut won = 0;
    for (mut child, mut errors) in running {
        let mut text = String::new();
        errors.read_to_string(&mut text)?;
        if child.wait()?.success() {
            won += 1;
        } else {
            assert!(text.contains("published to"), "{text}");
            assert!(text.contains("at the same time"), "{text}");
        }
    }
    assert_eq!(won, 1);
    // What the loser signed lies nowhere: nobody can put it in use later.
    let statements = std::fs::read_dir(publisher.store().join("releases"))?;
    assert_eq!(statements.count(), 2);
    Ok(())
}

// Whatever way they meet: each winner has a serial of its own, and each loser
// is told. Some round has a loser.
#[tokio::test]
async fn of_publishers_to_a_bucket_at_once_nobody_undoes_another() -> anyhow::Result<()> {
    const ROUNDS: usize = 20;
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    let mut serials = BTreeSet::new();
    for _ in 0..ROUNDS {
        let mut running = Vec::new();
        for other in ["one", "two", "three"] {
            // What they sign differs: the same in the same second is one release.
            let audience = format!("--audience=sym-postgres,{other}");
            let mut command = publisher.publish_command(
                publisher.first(),
                "team.key",
                &["--without-native", "--json", &audience],
            );
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            running.push(command.spawn()?);
        }
        let mut losers = 0;
        for child in running {
            let output = child.wait_with_output()?;
            if output.status.success() {
                let published: Value = serde_json::from_slice(&output.stdout)?;
                let serial = published["statement"]["serial"].as_u64();
                assert!(serials.insert(serial), "{published}");
            } else {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                assert!(text.contains("at the same time"), "{text}");
                losers += 1;
            }
        }
        let status = publisher.json(&["status", &publisher.url(), "--json"])?;
        let last = serials.last().copied().flatten();
        assert_eq!(status["statement"]["serial"].as_u64(), last, "{status}");
        // A loser leaves nothing behind.
        let listed = publisher.json(&["releases", &publisher.url(), "--json"])?;
        assert_eq!(listed.as_array().map(Vec::len), Some(serials.len()));
        if losers > 0 {
            return Ok(());
        }
    }
    bail!("in {ROUNDS} rounds nobody met anybody")
}

// Who changes a plugin says what it has to answer; what answers otherwise is not
// signed.
#[tokio::test]
async fn what_fails_its_own_cases_is_not_published() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let cases = tools::workspace().join("plugins/cases");
    for name in [publisher.first(), publisher.second()] {
        publisher::copy(&cases, &publisher.path(name).join("cases"))?;
    }
    publisher.publish_first()?;
    let error = publisher.publish_second().expect_err("is refused");
    let error = error.to_string();
    assert!(error.contains("cases failed (`"), "{error}");
    assert!(
        error.contains("`symctl plugin test second` shows"),
        "{error}"
    );
    let status = publisher.json(&["status", &publisher.url(), "--json"])?;
    assert_eq!(status["statement"]["serial"], 1);
    Ok(())
}

// What was checked and what would be signed are not the same any more.
#[tokio::test]
async fn what_changes_while_it_is_checked_is_not_published() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let mut command =
        publisher.publish_command(publisher.first(), "team.key", &["--without-native"]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut errors = BufReader::new(child.stderr.take().expect("is piped"));
    let mut line = String::new();
    while !line.contains("checked ") {
        line.clear();
        assert_ne!(errors.read_line(&mut line)?, 0, "it ended early");
    }
    let sql = publisher.path(publisher.first()).join("readonly.sql");
    std::fs::write(sql, "GRANT SELECT ON orders TO {username}")?;
    let mut text = String::new();
    errors.read_to_string(&mut text)?;
    assert_eq!(child.wait()?.code(), Some(1), "{text}");
    let sentence = "error: the plugins in `first` were changed while they were checked; nothing was published: publish \
        again\n";
    assert!(text.ends_with(sentence), "{text}");
    assert!(!publisher.store().exists());
    Ok(())
}

#[tokio::test]
async fn what_is_not_published_changes_nothing() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let url = publisher.url();
    let plan = publisher.json(&[
        "publish",
        publisher.first(),
        "--to",
        &url,
        "--key",
        "team.key",
        "--dry-run",
        "--json",
    ])?;
    assert_eq!(plan["dry_run"], Value::Bool(true));
    assert!(!publisher.store().exists());
    std::fs::write(publisher.path(SECOND).join("plugins.toml"), "[resolver]\n")?;
    let error = publisher
        .publish_second()
        .expect_err("is refused")
        .to_string();
    assert!(error.contains("line 1"), "{error}");
    assert!(!publisher.store().exists());
    let error = publisher
        .run(&["keygen", "team"])
        .expect_err("is there")
        .to_string();
    assert!(error.contains("never overwritten"), "{error}");
    Ok(())
}

// What no function could do for anybody is not signed, whatever its SQL_POLICY; what
// some could, or would for somebody, is advice.
#[tokio::test]
async fn what_can_work_for_nobody_is_not_published() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let first = publisher.path(publisher.first());
    let manifest = std::fs::read_to_string(first.join("plugins.toml"))?;
    let publish = |more: &[&str]| {
        let more = [&["--without-native"], more].concat();
        let mut command = publisher.publish_command(publisher.first(), "team.key", &more);
        let output = command.output()?;
        let errors = String::from_utf8(output.stderr)?;
        anyhow::Ok((output.status.code(), errors))
    };
    for (sql, why) in [
        (
            "GRANT SELECT ON ON orders TO {username}",
            "isn't a statement that PostgreSQL can read",
        ),
        (
            "GRANT pg_write_server_files TO {username}",
            "is reserved for PostgreSQL [not-allowed]",
        ),
        ("ALTER USER {username} SUPERUSER", "[not-allowed]"),
        ("COMMIT", "[not-allowed]"),
    ] {
        std::fs::write(first.join("readonly.sql"), sql)?;
        let (code, errors) = publish(&[])?;
        assert_eq!(code, Some(1), "{sql}: {errors}");
        let sentence =
            "target `readonly-sql`, file `readonly.sql`, can't work under any SQL_POLICY: step 1 ";
        assert_eq!(errors.matches(sentence).count(), 1, "{errors}");
        assert!(errors.contains(why), "{sql}: {errors}");
        assert!(errors.ends_with("; nothing was published\n"), "{errors}");
        assert!(!publisher.store().exists(), "{sql}");
    }
    let role = "[targets.all]\nrole = \"pg_read_all_data\"\n";
    std::fs::write(first.join("readonly.sql"), "DROP TABLE orders")?;
    std::fs::write(first.join("plugins.toml"), format!("{manifest}\n{role}"))?;
    let (code, errors) = publish(&[])?;
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("target `all`, role `pg_read_all_data`"),
        "{errors}"
    );
    std::fs::write(first.join("plugins.toml"), &manifest)?;

    let failure = Behaviour::Failure("failed", "it has no resolve_user");
    std::fs::write(
        first.join("default-resolver.wasm"),
        resolver_of_all(&failure),
    )?;
    let (code, errors) = publish(&[])?;
    assert_eq!(code, Some(1), "{errors}");
    let parts = [
        "warning: targets.readonly-sql: step 1 ",
        "warning: resolver: strategy role: breaks for ",
        "resolver: breaks on an ordinary request: ",
        "it has no resolve_user",
    ];
    for part in parts {
        assert!(errors.contains(part), "`{part}`: {errors}");
    }
    assert!(
        errors.ends_with("; nothing was published: `--despite-errors` publishes it all the same\n"),
        "{errors}"
    );
    assert!(!publisher.store().exists());
    let (code, errors) = publish(&["--despite-errors"])?;
    assert_eq!(code, Some(0), "{errors}");
    for part in parts {
        assert!(errors.contains(part), "`{part}`: {errors}");
    }
    Ok(())
}

#[test]
fn whom_a_release_is_for_is_looked_at() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let publish = |key: &str, more: &[&str]| {
        let more = [&["--without-native"], more].concat();
        let mut command = publisher.publish_command(publisher.first(), key, &more);
        let output = command.output()?;
        anyhow::Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    for (names, shown) in [
        ("a,,b", "``"),
        ("a,b c", "`b c`"),
        ("prod:1", "`prod:1`"),
        ("", "``"),
    ] {
        let (code, errors) = publish("team.key", &["--audience", names])?;
        assert_eq!(code, Some(1), "{names}: {errors}");
        let sentence = format!(
            "error: {shown} in `--audience` is no function's name, expected up to 64 letters, digits, `-` and `_`\n"
        );
        assert_eq!(errors, sentence, "{names}");
    }
    let (code, errors) = publish("team.key", &["--audience", "one, two"])?;
    assert_eq!(code, Some(0), "{errors}");
    assert!(!errors.contains("warning"), "{errors}");
    assert_eq!(publisher.statement()?["audience"], json!(["one", "two"]));
    let (code, errors) = publish("team.key", &["--audience", "one,two,three"])?;
    assert_eq!(
        (code, errors.contains("warning")),
        (Some(0), false),
        "{errors}"
    );
    let (code, errors) = publish("team.key", &["--audience", "two"])?;
    assert_eq!(code, Some(0), "{errors}");
    let warning = "warning: the release in use is for `one`, `three` too, and this one isn't: name with `--audience` \
        all functions that are to use it\n";
    assert!(errors.contains(warning), "{errors}");

    // Whose key didn't sign the release in use is told before anything takes long.
    publisher.run(&["keygen", "other"])?;
    let (code, errors) = publish("other.key", &["--audience", "two"])?;
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.starts_with("error: the release in use, r3-"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn a_key_is_made_whole_and_over_nothing() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let shell = |script: &str| {
        let mut command = std::process::Command::new("sh");
        let symctl = tools::binary("symctl")?;
        command.current_dir(publisher.path(".")).args([
            "-c",
            &script.replace("symctl", &symctl.display().to_string()),
        ]);
        let output = command.output()?;
        anyhow::Ok((output.status.code(), String::from_utf8(output.stderr)?))
    };
    // As on a full disk: the file can be made, and nothing be written to it.
    let (code, errors) = shell("trap '' XFSZ; ulimit -f 0; symctl keygen full")?;
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.starts_with("error: can't write `full.key`: "),
        "{errors}"
    );
    // One whose directory has gone is there no more than its key is.
    let (code, errors) = shell("mkdir gone && cd gone && rmdir ../gone && symctl keygen full")?;
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.starts_with("error: can't write `full.key`: "),
        "{errors}"
    );
    std::fs::write(publisher.path("full.pub"), "somebody's")?;
    let (code, errors) = shell("symctl keygen full")?;
    assert_eq!(code, Some(1), "{errors}");
    let sentence =
        "error: `full.pub` is there already, and a key is never overwritten: choose another name\n";
    assert_eq!(errors, sentence);
    assert_eq!(publisher.trust_in("full.pub")?, "somebody's");
    assert!(!publisher.path("full.key").exists());
    std::fs::remove_file(publisher.path("full.pub"))?;
    let (code, notes) = shell("symctl keygen full")?;
    assert_eq!(code, Some(0), "{notes}");
    let last = notes.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("`full.key` signs releases: keep it"),
        "{notes}"
    );

    let (code, errors) = shell("symctl keygen full")?;
    assert_eq!(code, Some(1), "{errors}");
    let sentence = "error: `full.key` is there already, and a key is never overwritten: choose another name, or write its \
        public half with `symctl keygen full --key full.key`\n";
    assert_eq!(errors, sentence);
    let public = publisher.trust_in("full.pub")?;
    std::fs::remove_file(publisher.path("full.pub"))?;
    publisher.run(&["keygen", "full", "--key", "full.key"])?;
    assert_eq!(publisher.trust_in("full.pub")?, public);

    // Several files, each a line.
    let both = format!("{}\n{public}\n", publisher.trust());
    let error = publisher.run(&["verify", &publisher.url(), "--trust", &both]);
    let error = error.expect_err("is empty").to_string();
    assert!(error.contains("nothing was published"), "{error}");

    // Its file in place of what it says.
    let error = publisher.run(&["verify", &publisher.url(), "--trust", "full.pub"]);
    let error = error.expect_err("is no key").to_string();
    let hint = "takes keys, and not a file of them: `--trust \"$(cat full.pub)\"`";
    assert!(error.contains(hint), "{error}");
    Ok(())
}

#[tokio::test]
async fn who_verifies_goes_by_the_functions_name_as_the_function_does() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let more = ["--without-native", "--audience", "other"];
    publisher.publish(publisher.first(), "team.key", &more)?;
    for (name, given, code) in [
        ("other", None, 0),
        ("", None, 1),
        ("sym-postgres", None, 1),
        ("sym-postgres", Some("other"), 0),
        ("other", Some("sym-postgres"), 1),
    ] {
        for what in [&["verify"][..], &["plugin", "inspect"]] {
            let mut command = publisher.command();
            command.args(what).args([&url, "--trust", &trust]);
            command.args(
                given
                    .map(|given| ["--audience", given])
                    .into_iter()
                    .flatten(),
            );
            let output = command.env("AWS_LAMBDA_FUNCTION_NAME", name).output()?;
            let errors = String::from_utf8(output.stderr)?;
            assert_eq!(
                output.status.code(),
                Some(code),
                "{name} {given:?}: {errors}"
            );
            let is_audiences =
                errors.contains("it is for `other`, and this function is `sym-postgres`");
            assert_eq!(is_audiences, code == 1, "{name} {given:?}: {errors}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_store_without_a_release_is_said_to_be_one() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    for arguments in [
        &["status", &url][..],
        &["releases", &url],
        &["verify", &url, "--trust", &trust],
    ] {
        let output = publisher.command().args(arguments).output()?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        let sentence = format!("error: nothing was published to `{url}` yet: `symctl publish`\n");
        assert_eq!(errors, sentence, "{arguments:?}");
    }
    let file = format!("file://{}", publisher.path("team.pub").display());
    let error = publisher.run(&["status", &file]).expect_err("is a file");
    let sentence = format!("error: `{file}` is a file, expected a directory\n");
    assert!(error.to_string().ends_with(&sentence), "{error}");
    let error = publisher
        .publish("team.pub", "team.key", &[])
        .expect_err("is a file")
        .to_string();
    assert!(
        error.contains("`team.pub` has no `plugins.toml`: name the directory that has one"),
        "{error}"
    );

    publisher.publish(publisher.first(), "team.key", &["--without-native"])?;
    let pointer = publisher.store().join("current.json");
    let mut envelope: Value = serde_json::from_slice(&std::fs::read(&pointer)?)?;
    envelope["signatures"] = json!([]);
    std::fs::write(&pointer, envelope.to_string())?;
    let shown = publisher.run(&["status", &url])?;
    assert!(shown.contains("\nsigned by nobody ("), "{shown}");
    Ok(())
}
