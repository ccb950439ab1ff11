//! What `symctl gc` deletes while others publish.

use std::fs;

use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::proxy::Proxy;

use super::publisher::Publisher;

// It has read already that nothing needs what only the old release has. Who publishes
// finds that there, and doesn't bring it again.
#[tokio::test]
async fn what_is_published_while_it_deletes_stays_whole() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    let publish = |plugins| publisher.publish(plugins, "team.key", &["--without-native"]);
    publish(publisher.first())?;
    publish(publisher.second())?;
    publish(publisher.second())?;

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
            .args(more);
        command
    };
    assert!(collect(&["--dry-run"]).status()?.success());
    // The first request that a dry run doesn't make.
    let deletion = wire.traffic().requests + 1;
    wire.reset();
    wire.set_gate(deletion);
    let mut collecting = collect(&[]).spawn()?;
    wire.gate_reached().await;
    publish(publisher.first())?;
    wire.open_gate();
    assert!(collecting.wait()?.success());

    publisher.run(&["verify", &url, "--trust", &trust])?;
    let listed = publisher.json(&["releases", &url, "--json"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    Ok(())
}

// It has uploaded its statement and a part of its objects, and has not switched.
#[tokio::test]
async fn a_publish_that_died_leaves_no_release_behind() -> anyhow::Result<()> {
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
        state(&third, "unfinished"),
        state(&second, "in use"),
        state(&first, ""),
    ];
    assert_eq!(states()?, expected);

    let fourth = publish(publisher.first())?;
    let output = publisher
        .command()
        .args(["rollback", &url, "--key", "team.key"])
        .output()?;
    let errors = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{errors}");
    let passed = format!("{third} is passed over: `objects/");
    assert!(errors.contains(&passed), "{errors}");
    assert!(errors.contains(&format!("{second} is whole")), "{errors}");
    let fifth = String::from_utf8(output.stdout)?.trim().to_owned();

    // Three of the real ones, and the unfinished one is none of them.
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
    publisher.run(&["rollback", &url, "--key", "team.key"])?;
    let listed = publisher.run(&["releases", &url])?;
    assert!(listed.contains(&first), "{listed}");
    Ok(())
}
