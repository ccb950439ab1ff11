//! What `symctl gc` deletes while others publish.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::proxy::Proxy;

use super::publisher::Publisher;

// It has read already that nothing needs what only the old release has, when somebody
// publishes that again: before it deletes the first statement, and before it deletes the
// first object, when it has looked for the last time at what is needed.
#[tokio::test]
async fn what_is_published_while_it_deletes_stays_whole() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    // The pointer, the list, and the two statements that stay.
    for looks in [0, 5] {
        let bucket = format!("releases-{looks}");
        aws.create_bucket(&bucket).await?;
        let publisher = Publisher::in_bucket(&aws, &bucket)?;
        let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
        publish(publisher.first())?;
        publish(publisher.second())?;
        publish(publisher.second())?;
        tokio::time::sleep(Duration::from_secs(3)).await;

        let wire = Proxy::start(aws.port())?;
        let (url, trust) = (publisher.url(), publisher.trust());
        let collect = |more: &[&str]| {
            let mut command = publisher.command();
            command
                .env(
                    "AWS_ENDPOINT_URL",
                    format!("http://127.0.0.1:{}", wire.port()),
                )
                .args(["gc", &url, "--trust", &trust, "--keep", "0"])
                .args(["--older-than", "2s"])
                .args(more);
            command
        };
        assert!(collect(&["--dry-run"]).status()?.success());
        // The first request that a dry run doesn't make, or one of the next.
        let deletion = wire.traffic().requests + 1 + looks;
        wire.reset();
        wire.set_gate(deletion);
        let mut collecting = collect(&[]).spawn()?;
        wire.gate_reached().await;
        publish(publisher.first())?;
        wire.open_gate();
        assert!(collecting.wait()?.success(), "{looks}");

        publisher.run(&["verify", &url, "--trust", &trust])?;
        let listed = publisher.json(&["releases", &url, "--json"])?;
        assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_young_or_pinned_stays() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
    let first = publish(publisher.first())?;
    let status = publisher.json(&["status", &url, "--json"])?;
    let pin = status["sha256"].as_str().unwrap_or_default().to_owned();
    publish(publisher.second())?;
    publish(publisher.second())?;
    for name in ["r1", &pin, &first] {
        let gone = publisher.collect(&["--keep", "1", "--keep-release", name])?;
        assert_eq!(
            (&gone["releases"], &gone["objects"]),
            (&json!([]), &json!(0)),
            "{name}"
        );
    }
    // Who can write the store can copy it, to a name that is seen first.
    let (statement, copy) = (
        publisher.store().join(format!("releases/{pin}.json")),
        publisher
            .store()
            .join(format!("releases/{}.json", "0".repeat(64))),
    );
    for name in ["r1", &pin] {
        fs::copy(&statement, &copy)?;
        publisher.collect(&["--keep", "1", "--keep-release", name])?;
        assert!(statement.exists(), "{name}");
    }
    fs::remove_file(copy)?;
    publisher.run(&["verify", &url, "--trust", &format!("sha256:{pin}")])?;
    let error = publisher.collect(&["--keep-release", "r9"]);
    let error = error.expect_err("is none").to_string();
    assert!(error.contains("there is no release `r9`"), "{error}");

    let gc = ["gc", &url, "--trust", &trust, "--keep", "1"];
    let output = publisher.command().args(gc).output()?;
    let (shown, notes) = (
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    );
    assert!(shown.starts_with("deleted 1 release(s), "), "{shown}");
    assert!(shown.contains(" 0 object(s), 0 bytes"), "{shown}");
    assert!(
        notes.starts_with("1 object(s) that no release needs stay for now: "),
        "{notes}"
    );
    assert_eq!(publisher.collect(&[])?["objects"], 1);
    Ok(())
}

// A store may be a directory with more in it.
#[tokio::test]
async fn what_is_no_digest_is_not_touched() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish(publisher.first(), "team.key", &["--without-native"])?;
    let others = [
        publisher.store().join("objects/notes.txt"),
        publisher.store().join("releases/notes.json"),
    ];
    for other in &others {
        fs::write(other, "mine")?;
    }
    let gone = publisher.collect(&["--keep", "0"])?;
    assert_eq!(
        (&gone["unsigned"], &gone["objects"]),
        (&json!([]), &json!(0))
    );
    for other in &others {
        assert_eq!(fs::read_to_string(other)?, "mine");
    }
    Ok(())
}

// It lies beside the others, lacks objects, and was not in use, as far as the pointer says.
#[tokio::test]
async fn what_is_not_whole_is_no_release_to_go_back_to() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let url = publisher.url();
    let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
    let first = publish(publisher.first())?;
    let second = publish(publisher.second())?;
    let pointer = publisher.store().join("current.json");
    let before = fs::read(&pointer)?;
    let sql = publisher.path(publisher.first()).join("readonly.sql");
    let text = fs::read_to_string(&sql)?;
    fs::write(&sql, format!("-- Never in use.\n{text}"))?;
    let third = publish(publisher.first())?;
    let files = publisher.statement()?["files"].clone();
    let object = |path: &str| {
        let mut files = files.as_array().into_iter().flatten();
        let file = files.find(|file| file["path"] == path);
        publisher.object(&file.unwrap_or(&Value::Null)["sha256"])
    };
    fs::remove_file(object("readonly.sql"))?;
    fs::write(&pointer, before)?;
    fs::write(&sql, text)?;
    let states = || {
        let listed = publisher.run(&["releases", &url])?;
        let state = |line: &str| {
            let id = line
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned();
            let said = line.split("sym-postgres").nth(1).unwrap_or_default();
            (id, said.trim().to_owned())
        };
        anyhow::Ok(listed.lines().skip(1).map(state).collect::<Vec<_>>())
    };
    let state = |id: &str, said: &str| (id.to_owned(), said.to_owned());

    // It could still be under way.
    let would = publisher.collect(&["--keep", "0"])?;
    assert_eq!(
        (&would["releases"], &would["objects"]),
        (&json!([]), &json!(0))
    );
    let expected = [
        state(&third, "not whole"),
        state(&second, "in use"),
        state(&first, ""),
    ];
    assert_eq!(states()?, expected);

    let fourth = publish(publisher.first())?;
    let rollback = ["rollback", &url, "--key", "team.key"];
    let error = publisher.run(&rollback).expect_err("isn't whole");
    let error = error.to_string();
    assert!(error.contains("`objects/"), "{error}");
    let fifth = publisher.run(&[&rollback[..2], &[&second], &rollback[2..]].concat())?;
    let fifth = fifth.trim().to_owned();

    // Three of the whole ones.
    let gone = publisher.collect(&["--keep", "3"])?;
    assert_eq!(gone["releases"], json!([first, third]));
    let expected = [
        state(&fifth, "in use"),
        state(&fourth, ""),
        state(&second, ""),
    ];
    assert_eq!(states()?, expected);
    Ok(())
}

// The one before is the newest whole one, whatever lies between.
#[tokio::test]
async fn the_release_before_stays_beside_one_that_was_never_finished() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let url = publisher.url();
    let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
    let first = publish(publisher.first())?;
    let pointer = publisher.store().join("current.json");
    let before = fs::read(&pointer)?;
    let second = publish(publisher.second())?;
    let files = publisher.statement()?["files"].clone();
    let mut files = files.as_array().into_iter().flatten();
    let resolver = files.find(|file| file["path"] == "default-resolver.wasm");
    let resolver = resolver.unwrap_or(&Value::Null)["sha256"].clone();
    fs::remove_file(publisher.object(&resolver))?;
    fs::write(&pointer, before)?;
    publish(publisher.first())?;
    let gone = publisher.collect(&["--keep", "0"])?;
    assert_eq!(gone["releases"], json!([second]));
    let rollback = ["rollback", &url, "--key", "team.key"];
    let error = publisher.run(&rollback).expect_err("has a gap").to_string();
    let sentence = format!(" is missing: name the release to roll back to, such as {first}");
    assert!(error.contains(&sentence), "{error}");
    publisher.run(&[&rollback[..2], &[&first], &rollback[2..]].concat())?;
    let listed = publisher.run(&["releases", &url])?;
    assert!(listed.contains(&first), "{listed}");
    Ok(())
}
