//! Records of events: what the function logs, asked again.

use std::fs;

use anyhow::Context as _;

use crate::fixture::{Behaviour, Event, World, target};

/// The function's log as a file.
fn log_file(world: &World, directory: &tempfile::TempDir) -> anyhow::Result<String> {
    let path = directory.path().join("log.jsonl");
    fs::write(&path, world.lambda.logs())?;
    Ok(path.display().to_string())
}

#[tokio::test]
async fn a_record_gives_the_same_answer_again() -> anyhow::Result<()> {
    let world = World::builder().variable("RECORD", "full").start().await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        world.body(&event).await?;
        world.body(&event.end()).await?;
    }
    let refused = Event::escalate().with("/fields/target/name", "nothing".into());
    world.send(&refused).await?;
    let directory = tempfile::tempdir()?;
    let log = log_file(&world, &directory)?;
    let plugins = directory.path().join("plugins");
    let plugins = plugins.to_str().context("is text")?;
    let source = sym_test_support::tools::target_directory().join("plugins");
    crate::releases::publisher::copy(&source, plugins.as_ref())?;

    let arguments = ["replay", &log, "--release", plugins, "--json"];
    let same = world.symctl(&arguments).await?;
    assert_eq!(same.code, Some(0), "{same:?}");
    let same = same.json()?;
    // Endings ask nobody, so they have no record.
    assert_eq!(same["events"].as_array().map(Vec::len), Some(3), "{same}");
    assert_eq!(same["different"], 0, "{same}");

    // The same from files, which are written once, whatever prints the log.
    let records = directory.path().join("records");
    let records = records.to_str().context("is text")?;
    let tail = "2026-11-22T10:00:00+00:00 2026/11/22/[$LATEST]0a ";
    let printed: String = fs::read_to_string(&log)?
        .lines()
        .map(|line| format!("{tail}{line}\n"))
        .collect();
    let printed_log = directory.path().join("printed.log");
    fs::write(&printed_log, printed)?;
    let printed_log = printed_log.to_str().context("is text")?;
    for (log, written, known) in [(log.as_str(), 3, 0), (&log, 0, 3), (printed_log, 0, 3)] {
        let record = ["record", log, "--into", records, "--json"];
        let record = world.symctl(&record).await?;
        assert_eq!(record.code, Some(0), "{record:?}");
        let record = record.json()?;
        let count = |key: &str| record[key].as_array().map(Vec::len);
        assert_eq!(count("written"), Some(written), "{record}");
        assert_eq!(count("known"), Some(known), "{record}");
    }
    let again = ["replay", records, "--release", plugins, "--json"];
    let from_files = world.symctl(&again).await?.json()?;
    assert_eq!(from_files["different"], 0, "{from_files}");
    assert_eq!(from_files["events"].as_array().map(Vec::len), Some(3));

    // Masked afterwards, of the same log: nobody is named, and no run twice.
    let masked = directory.path().join("masked");
    let masked = masked.to_str().context("is text")?;
    for known in [0, 3] {
        let record = ["record", &log, "--into", masked, "--mask", "--json"];
        let record = world.symctl(&record).await?.json()?;
        assert_eq!(
            record["known"].as_array().map(Vec::len),
            Some(known),
            "{record}"
        );
    }
    for file in fs::read_dir(masked)? {
        let text = fs::read_to_string(file?.path())?;
        assert!(
            text.contains("masked-") && !text.contains("sym-user"),
            "{text}"
        );
    }
    let same = world
        .symctl(&["replay", masked, "--release", plugins])
        .await?;
    assert_eq!(same.code, Some(0), "{same:?}");

    // An event that is asked here is a record like the function's own.
    let event = directory.path().join("event.json");
    fs::write(&event, Event::escalate().to_string())?;
    let event = event.to_str().context("is text")?;
    let local = directory.path().join("local");
    let local = local.to_str().context("is text")?;
    let record = ["record", event, "--release", plugins, "--into", local];
    let recorded = world.symctl(&record).await?;
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    let same = world
        .symctl(&["replay", local, "--release", plugins])
        .await?;
    assert!(same.stdout.contains("1 events asked"), "{same:?}");
    assert_eq!(same.code, Some(0), "{same:?}");

    // Another release, which means something else by the target.
    let other = target(&Behaviour::Roles(&["other"]));
    fs::write(directory.path().join("plugins/readonly-target.wasm"), other)?;
    let different = world.symctl(&arguments).await?;
    assert_eq!(different.code, Some(1), "{different:?}");
    let different = different.json()?;
    assert_eq!(different["different"], 1, "{different}");
    let change = &different["events"][0]["changes"][0];
    assert_eq!(change["before"], "grant-role readonly", "{different}");
    assert_eq!(change["after"], "grant-role other", "{different}");
    Ok(())
}

#[tokio::test]
async fn a_masked_record_names_nobody_and_can_be_asked_again() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("RECORD", "masked")
        .start()
        .await?;
    let event = Event::escalate().with("/fields/reason", "patient 4711 in ward 3".into());
    world.body(&event).await?;
    world.body(&event.end()).await?;
    let logs = world.lambda.logs();
    assert!(logs.contains("masked-"), "there is a record: {logs}");
    for word in [
        "4711",
        "sym-user@",
        "sym_user",
        "sym-implementer",
        "U01ABCDEFGH",
        "dead6d58",
    ] {
        assert!(!logs.contains(word), "`{word}` is in the log: {logs}");
    }
    let directory = tempfile::tempdir()?;
    let log = log_file(&world, &directory)?;
    let plugins = sym_test_support::tools::target_directory().join("plugins");
    let plugins = plugins.to_str().context("is text")?;
    let same = world
        .symctl(&["replay", &log, "--release", plugins])
        .await?;
    assert_eq!(same.code, Some(0), "{same:?}");
    assert!(same.stdout.contains("1 events asked"), "{same:?}");
    Ok(())
}

#[tokio::test]
async fn without_the_variable_nothing_is_recorded() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let directory = tempfile::tempdir()?;
    let log = log_file(&world, &directory)?;
    let none = world.symctl(&["replay", &log]).await?;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("RECORD"), "{none:?}");
    let records = directory.path().join("records");
    let records = records.to_str().context("is text")?;
    let none = world.symctl(&["record", &log, "--into", records]).await?;
    assert_eq!(none.code, Some(1), "{none:?}");
    assert!(none.stderr.contains("has no record"), "{none:?}");
    assert!(!std::path::Path::new(records).exists());
    Ok(())
}

#[test]
fn endings_are_passed_over_and_directories_below_are_not_looked_into() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let events = sym_test_support::tools::workspace().join("events");
    let plugins = sym_test_support::tools::target_directory().join("plugins");
    let plugins = plugins.display().to_string();
    let symctl = |arguments: &[&str]| {
        let mut command = std::process::Command::new(sym_test_support::tools::binary("symctl")?);
        let output = command
            .args(arguments)
            .current_dir(directory.path())
            .output()?;
        let text = [output.stdout, output.stderr].concat();
        anyhow::Ok((output.status.code(), String::from_utf8(text)?))
    };
    let event = |name: &str| events.join("v6").join(name).display().to_string();
    let escalate = event("escalate-role.json");
    let record = [
        "record",
        &escalate,
        "--release",
        &plugins,
        "--into",
        "records",
    ];
    assert_eq!(symctl(&record)?.0, Some(0));
    fs::copy(
        event("deescalate-role.json"),
        directory.path().join("records/ending.json"),
    )?;
    let (code, text) = symctl(&["replay", "records", "--release", &plugins])?;
    assert_eq!(code, Some(0), "{text}");
    for part in ["1 events asked", "1 files have events that ask no plugin"] {
        assert!(text.contains(part), "`{part}`: {text}");
    }
    let events = events.display().to_string();
    fs::create_dir(directory.path().join("more"))?;
    for arguments in [
        &["diff", &plugins, &plugins, "--events", "more"][..],
        &["replay", "more", "--release", &plugins],
        &["diff", &plugins, &plugins, "--events", &events],
    ] {
        let (code, text) = symctl(arguments)?;
        assert_eq!(code, Some(1), "{text}");
        let sentence =
            "has no `….json` and no `….jsonl`; those in directories below it aren't looked at";
        assert!(text.contains(sentence), "{text}");
    }
    Ok(())
}

#[test]
fn two_releases_are_compared() -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let source = sym_test_support::tools::target_directory().join("plugins");
    let path = |name: &str| directory.path().join(name).display().to_string();
    for name in ["before", "after"] {
        crate::releases::publisher::copy(&source, path(name).as_ref())?;
    }
    let events = sym_test_support::tools::workspace().join("events/v6");
    let events = events.display().to_string();
    let diff = || {
        let symctl = sym_test_support::tools::binary("symctl")?;
        let mut command = std::process::Command::new(symctl);
        command.args([
            "diff",
            &path("before"),
            &path("after"),
            "--events",
            &events,
            "--json",
        ]);
        let output = command.output()?;
        let stdout = String::from_utf8(output.stdout)?;
        let json: serde_json::Value = serde_json::from_str(&stdout)
            .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
        anyhow::Ok((output.status.code(), json))
    };
    let (code, result) = diff()?;
    assert_eq!(code, Some(0), "{result}");
    assert_eq!(result["changed"], 0, "{result}");
    // Two that ask; the endings are no question.
    assert_eq!(
        result["events"].as_array().map(Vec::len),
        Some(2),
        "{result}"
    );

    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\nconfig.domains = [\"a.example\"]\n\
                    [targets.readonly]\ncomponent = \"readonly-target.wasm\"\n";
    fs::write(directory.path().join("after/plugins.toml"), manifest)?;
    let (code, result) = diff()?;
    assert_eq!(code, Some(1), "{result}");
    assert_eq!(result["changed"], 2, "{result}");
    let errors: Vec<&str> = result["events"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|event| event["changes"].as_array().into_iter().flatten())
        .filter(|change| change["what"] == "error")
        .filter_map(|change| change["after"].as_str())
        .collect();
    assert_eq!(errors, ["denied", "unknown-target"], "{result}");
    Ok(())
}
