//! Ways out: of a store that was lost, a key that was stolen, and a pointer that is
//! nobody's.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;

use serde_json::{Value, json};
use sym_test_support::aws::Aws;

use super::publisher::Publisher;
use super::world;
use crate::fixture::Event;

const NO_NATIVE: &[&str] = &["--without-native"];

/// What `symctl` says of what it refuses.
fn refusal_of(publisher: &Publisher, arguments: &[&str]) -> String {
    let error = publisher.run(arguments).expect_err("is refused");
    error.to_string()
}

// Serials begin with 1 again, and the function has seen higher ones.
#[tokio::test]
async fn after_a_lost_store_the_function_says_with_which_serial_it_goes_on() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let publish = |more: &[&str]| {
        publisher.publish(publisher.first(), "team.key", &[NO_NATIVE, more].concat())
    };
    for _ in 0..3 {
        publish(&[])?;
    }
    let world = world(&publisher).await?;
    world.still_works().await?;
    fs::remove_dir_all(publisher.store())?;
    publish(&[])?;
    world.lambda.restart().await?;
    let why = "the release is refused: its serial 1 is lower than 3, which was accepted before: run `symctl publish … \
        --after 3` or `symctl rollback … --after 3`";
    world
        .refuses(&Event::escalate(), &format!("{why} [invalid-plugin]"))
        .await?;
    let doctor = world.symctl(&["doctor"]).await?;
    let fix = format!(
        "FAIL accepted release: {why}\n     fix: symctl publish … --after 3, or symctl rollback … --after 3\n"
    );
    assert!(doctor.stdout.contains(&fix), "{doctor:?}");
    let fourth = publish(&["--after", "3"])?;
    assert!(fourth.starts_with("r4-"), "{fourth}");
    world.still_works().await?;
    // It raises, and never lowers.
    let fifth = publish(&["--after", "1"])?;
    assert!(fifth.starts_with("r5-"), "{fifth}");
    let url = publisher.url();
    let ninth = publisher.run(&[
        "rollback", &url, &fourth, "--key", "team.key", "--after", "8",
    ])?;
    assert!(ninth.starts_with("r9-"), "{ninth}");
    world.still_works().await
}

// The thief's release is in use, with the highest serial there is.
#[tokio::test]
async fn after_a_theft_the_ledger_takes_the_next_key() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    publisher.publish(publisher.first(), "team.key", NO_NATIVE)?;
    let mut statement = publisher.statement()?;
    statement["serial"] = json!(i64::MAX);
    publisher.sign(&statement)?;
    // As a function takes it that believes the stolen key.
    let mut world = world(&publisher).await?;
    world.still_works().await?;
    let error = publisher.publish(publisher.first(), "team.key", NO_NATIVE);
    let error = error.expect_err("has no serial left").to_string();
    let why = format!(
        "no serial is left after {}, so no release can follow: ",
        i64::MAX
    );
    assert!(error.contains(&why), "{error}");

    // The new key alone, as docs/releases.md says.
    publisher.run(&["keygen", "next"])?;
    fs::remove_file(publisher.store().join("current.json"))?;
    let mut command = publisher.publish_command(publisher.first(), "next.key", NO_NATIVE);
    let output = command.output()?;
    let notes = String::from_utf8(output.stderr)?;
    assert!(output.status.success(), "{notes}");
    let warning = "warning: this is the first release of your keys, beside 1 statement(s) that none of them signed: ";
    assert!(notes.contains(warning), "{notes}");
    let trust = publisher.trust_in("next.pub")?;
    world.lambda = world.another(&[("PLUGIN_TRUST", &trust)]).await?;
    let why = format!(
        "the release is refused: its serial 1 is lower than {}, which was accepted before: docs/releases.md, `When a key \
             was stolen` [invalid-plugin]",
        i64::MAX
    );
    world.refuses(&Event::escalate(), &why).await?;
    let lower =
        "SET ROLE sym_bot; UPDATE sym.releases SET serial = 1 WHERE audience = 'sym-postgres'";
    world.sql(lower).await?;
    let more = [NO_NATIVE, &["--after", "1"]].concat();
    let second = publisher.publish(publisher.first(), "next.key", &more)?;
    assert!(second.starts_with("r2-"), "{second}");
    world.still_works().await
}

// Whoever writes the store can put any statement there, and pinning it would run it.
#[tokio::test]
async fn what_pins_a_release_is_what_verify_shows() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let publish = publisher.publish_command(publisher.first(), "team.key", NO_NATIVE);
    let published = { publish }.arg("--json").output()?.stdout;
    let published: Value = serde_json::from_slice(&published)?;
    let sha256 = published["sha256"].as_str().unwrap_or_default();
    let verify = ["verify", &url, "--trust", &trust];
    let verified = publisher.json(&[&verify[..], &["--json"]].concat())?;
    assert_eq!(verified["sha256"], sha256);
    let shown = publisher.command().args(verify).output()?;
    let shown = String::from_utf8(shown.stderr)?;
    assert!(
        shown.contains(&format!("its sha256, which pins it, is {sha256}\n")),
        "{shown}"
    );

    let pointer = publisher.store().join("current.json");
    let mut envelope: Value = serde_json::from_slice(&fs::read(&pointer)?)?;
    envelope["signatures"] = json!([]);
    fs::write(&pointer, envelope.to_string())?;
    refusal_of(&publisher, &verify);
    Ok(())
}

#[tokio::test]
async fn a_pointer_that_is_nobodys_is_no_dead_end() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let first = publisher.publish(publisher.first(), "team.key", NO_NATIVE)?;
    let second = publisher.publish(publisher.second(), "team.key", NO_NATIVE)?;
    let pointer = publisher.store().join("current.json");
    let status = ["status", &url];
    let gc = ["gc", &url, "--trust", &trust];
    let rollback = ["rollback", &url, &first, "--key", "team.key"];
    let way_out = "delete `current.json` from the store, and put a release in use with `symctl rollback` and its name, or \
        with `symctl publish`";
    let long = vec![b' '; (1 << 20) + 1];
    for broken in [&b"{}"[..], b"\xff", &long, br#"{"payloadType":"application/vnd.sym-postgres.release+json","payload":"e30=","signatures":[]}"#] {
        fs::write(&pointer, broken)?;
        for command in [&status[..], &gc, &rollback] {
            let error = refusal_of(&publisher, command);
            assert!(error.contains("`current.json` "), "{error}");
            assert!(error.trim_end().ends_with(way_out), "{error}");
        }
        let output = publisher.command().args(["releases", &url]).output()?;
        assert!(output.status.success(), "{output:?}");
        let (shown, notes) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
        assert!(shown.contains(&first) && shown.contains(&second), "{shown}");
        assert!(notes.contains(way_out), "{notes}");
    }
    fs::remove_file(&pointer)?;
    let missing =
        format!("no release of `{url}` is in use, `current.json` is missing: put one in use with");
    for command in [
        &status[..],
        &gc,
        &["rollback", &url, "--key", "team.key"],
        &["verify", &url, "--trust", &trust],
    ] {
        let error = refusal_of(&publisher, command);
        assert!(error.contains(&missing), "{error}");
    }
    let output = publisher.command().args(["releases", &url]).output()?;
    assert!(String::from_utf8(output.stderr)?.contains(&missing));
    let third = publisher.run(&rollback)?;
    assert!(third.starts_with("r3-"), "{third}");
    publisher.run(&["verify", &url, "--trust", &trust])?;
    Ok(())
}

// Between the switch and what follows it `publish` was killed.
#[tokio::test]
async fn what_is_in_use_is_shown_wherever_it_lies() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let url = publisher.url();
    publisher.publish(publisher.first(), "team.key", NO_NATIVE)?;
    let second = publisher.publish(publisher.second(), "team.key", NO_NATIVE)?;
    let status = publisher.json(&["status", &url, "--json"])?;
    let name = format!(
        "releases/{}.json",
        status["sha256"].as_str().unwrap_or_default()
    );
    let name = publisher.store().join(name);
    fs::remove_file(&name)?;
    let listed = publisher.json(&["releases", &url, "--json"])?;
    assert_eq!(listed[0]["release"], second);
    assert_eq!(
        (&listed[0]["current"], &listed[0]["whole"]),
        (&json!(true), &json!(true))
    );
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    publisher.collect(&["--dry-run"])?;
    assert!(!name.exists());
    publisher.collect(&[])?;
    assert!(name.exists());
    Ok(())
}

// Nobody has signed who it says that signed it.
#[tokio::test]
async fn words_of_any_length_are_shown_short() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let url = publisher.url();
    publisher.publish(publisher.first(), "team.key", NO_NATIVE)?;
    let pointer = publisher.store().join("current.json");
    let mut envelope: Value = serde_json::from_slice(&fs::read(&pointer)?)?;
    envelope["signatures"][0]["keyid"] = json!("k".repeat(66_000));
    let name = format!("releases/{}.json", "f".repeat(64));
    fs::write(publisher.store().join(name), envelope.to_string())?;
    let shown = publisher.run(&["releases", &url])?;
    assert!(shown.lines().all(|line| line.len() < 400), "{shown}");
    assert_eq!(shown.lines().count(), 3, "{shown}");
    Ok(())
}

/// Like S3 without a single object, and without conditional writes.
fn serve_without_conditions(listener: TcpListener) -> anyhow::Result<()> {
    for connection in listener.incoming() {
        let mut connection = BufReader::new(connection?);
        let (mut head, mut line) = (String::new(), String::new());
        while connection.read_line(&mut line)? > 2 {
            head.push_str(&line.to_ascii_lowercase());
            line.clear();
        }
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split_whitespace().next());
        let mut body = vec![0; length.unwrap_or("0").parse()?];
        connection.read_exact(&mut body)?;
        let (status, body) = match (head.get(..3), head.contains("if-none-match")) {
            (Some("put"), true) => ("501 Not Implemented", ""),
            (Some("put"), false) => ("200 OK", ""),
            _ if head.contains("list-type=2") => ("200 OK", "<ListBucketResult/>"),
            _ => ("404 Not Found", "<Error><Code>NoSuchKey</Code></Error>"),
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.get_mut().write_all(answer.as_bytes())?;
    }
    Ok(())
}

#[test]
fn a_store_without_conditional_writes_is_said_to_be_one() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    std::thread::spawn(|| serve_without_conditions(listener));
    let mut command = publisher.command();
    command
        .args([
            "publish",
            publisher.first(),
            "--to",
            "s3://bucket",
            "--key",
            "team.key",
        ])
        .args(NO_NATIVE)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b");
    let output = command.output()?;
    let errors = String::from_utf8(output.stderr)?;
    let sentence = " is not in use, nothing is: `current.json` can't be written: the store has no conditional writes, without \
        which one publisher would undo another: use one that has them\n";
    assert!(errors.ends_with(sentence), "{errors}");
    assert_eq!(output.status.code(), Some(1), "{errors}");
    Ok(())
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_no_empty_store() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    let publisher = Publisher::in_bucket(&aws, "nobodys")?;
    let (url, trust) = (publisher.url(), publisher.trust());
    let publish = [
        "publish",
        publisher.first(),
        "--to",
        &url,
        "--key",
        "team.key",
    ];
    for arguments in [
        &["status", &url][..],
        &["verify", &url, "--trust", &trust],
        &publish,
    ] {
        let output = publisher.command().args(arguments).output()?;
        let errors = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains("NoSuchBucket"), "{arguments:?}: {errors}");
        // Before anything that takes long.
        assert!(!errors.contains("checked "), "{errors}");
    }
    Ok(())
}
