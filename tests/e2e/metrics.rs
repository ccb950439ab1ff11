//! Each event is one line in the function's log, with its metrics, as CloudWatch
//! reads them (`docs/metrics.md`).

use anyhow::ensure;
use serde_json::{Value, json};
use sym_host::metrics::{METRICS, NAMESPACE};
use sym_test_support::aws::Aws;

use crate::fixture::{Event, World, refusal};
use crate::releases::publisher::Publisher;
use crate::releases::{EVENTS, world as world_with_releases};

/// The events' lines, the oldest first; each is what CloudWatch expects.
fn lines(world: &World) -> Vec<Value> {
    let logs = world.lambda.logs();
    let lines = logs
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|line| line["message"] == "event");
    lines.inspect(check).collect()
}

/// The line of the last event.
fn last(world: &World) -> Value {
    lines(world).pop().expect("an event was served")
}

#[track_caller]
fn check(line: &Value) {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array();
    for directive in directives.expect("is a list") {
        assert_eq!(directive["Namespace"], NAMESPACE);
        for set in directive["Dimensions"].as_array().expect("is a list") {
            for name in set.as_array().expect("is a list") {
                assert!(line[name.as_str().expect("is text")].is_string(), "{line}");
            }
        }
        for metric in directive["Metrics"].as_array().expect("is a list") {
            let name = metric["Name"].as_str().expect("is text");
            assert!(line[name].is_number(), "{name}: {line}");
            assert!(METRICS.iter().any(|known| known.name == name), "{name}");
        }
    }
}

/// A metric's value, where the line says that it is one.
fn metric(line: &Value, name: &str) -> Option<f64> {
    let directives = line["_aws"]["CloudWatchMetrics"].as_array()?;
    let mut named = directives
        .iter()
        .filter_map(|directive| directive["Metrics"].as_array())
        .flatten();
    named.find(|metric| metric["Name"] == name)?;
    line[name].as_f64()
}

#[tokio::test]
async fn each_event_is_one_line_with_its_run_and_what_it_took() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let first = last(&world);
    for (name, value) in [
        ("Function", "sym-postgres"),
        ("Event", "escalate"),
        ("Outcome", "done"),
        ("Code", "ok"),
    ] {
        assert_eq!(first[name], value, "{first}");
    }
    assert_eq!(first["run"], event.srn());
    assert!(
        first["release"]
            .as_str()
            .is_some_and(|id| id.starts_with("dir-"))
    );
    assert!(first["request_id"].is_string());
    assert_eq!(metric(&first, "Events"), Some(1.0));
    // The resolver and the target, of a directory, which has no native code.
    assert_eq!(metric(&first, "CompiledInPlace"), Some(2.0));
    assert_eq!(metric(&first, "ReleaseLoaded"), Some(1.0));
    for name in [
        "PluginFuel",
        "Duration",
        "ReleaseTime",
        "ConnectTime",
        "PluginTime",
        "DatabaseTime",
    ] {
        assert!(
            metric(&first, name).is_some_and(|value| value > 0.0),
            "{name}: {first}"
        );
    }
    assert!(metric(&first, "SecretTime").is_none(), "{first}");
    // Nothing of what was asked but the run.
    assert!(!first.to_string().contains("healthy-health.co"), "{first}");

    world.body(&event.end()).await?;
    let second = last(&world);
    assert_eq!(second["Event"], "deescalate");
    assert_eq!(second["run"], event.srn());
    for name in [
        "PluginFuel",
        "PluginTime",
        "CompiledInPlace",
        "ConnectTime",
        "ReleaseTime",
    ] {
        assert!(metric(&second, name).is_none(), "{name}: {second}");
    }
    world.body(&Event::escalate_temporary_user()).await?;
    let third = last(&world);
    assert!(metric(&third, "SecretTime").is_some(), "{third}");
    assert!(metric(&third, "ReleaseLoaded").is_none(), "{third}");
    assert_eq!(lines(&world).len(), 3);
    Ok(())
}

#[tokio::test]
async fn the_outcome_says_who_has_to_act() -> anyhow::Result<()> {
    let world = World::start().await?;
    let said = async |event: Event| {
        world.send(&event).await?;
        let line = last(&world);
        anyhow::Ok((
            line["Event"].clone(),
            line["Outcome"].clone(),
            line["Code"].clone(),
        ))
    };
    assert_eq!(
        said(Event::escalate().target("nothing")).await?,
        (json!("escalate"), json!("failed"), json!("unknown-target"))
    );
    assert_eq!(
        said(Event::escalate().with("/event", json!({"type": "prompt"}))).await?,
        (
            json!("unknown"),
            json!("refused"),
            json!("unsupported-event")
        )
    );
    let world = World::builder().without_variable("PLUGINS").start().await?;
    let event = Event::escalate();
    world.send(&event).await?;
    let line = last(&world);
    assert_eq!(line["Event"], "escalate");
    assert_eq!(line["run"], event.srn());
    assert_eq!(line["Outcome"], "failed");
    assert_eq!(line["Code"], "invalid-config");
    assert_eq!(line["Function"], "sym-postgres");
    Ok(())
}

// Without it nobody knows which end to repeat.
#[tokio::test]
async fn an_event_that_is_refused_names_its_run_all_the_same() -> anyhow::Result<()> {
    let working = World::start().await?;
    let broken = World::builder().without_variable("DB_HOST").start().await?;
    let end = Event::escalate().end();
    let nobody = Event::escalate().with("/run/actors", json!({}));
    for (world, event, code) in [
        (&broken, &end, "invalid-config"),
        (&working, &nobody, "invalid-event"),
    ] {
        world.send(event).await?;
        let line = last(world);
        assert_eq!(line["run"], event.srn(), "{line}");
        assert_eq!(line["Code"], code);
        let logs = world.lambda.logs();
        let cause = logs
            .lines()
            .filter(|line| line.contains("\"cause\"") && line.contains(event.srn()));
        assert_eq!(cause.count(), 1, "{logs}");
    }
    Ok(())
}

#[tokio::test]
async fn a_sweep_counts_what_it_finds_and_what_remains() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (late, blocked) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&late).await?;
    let body = world.body(&blocked).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world.let_time_pass().await?;
    let current = Event::escalate_temporary_user();
    world.body(&current).await?;
    let counts = |line: &Value| {
        ["SweepFound", "SweepFailed", "GrantsOpen", "GrantsOverdue"]
            .map(|name| metric(line, name).unwrap_or(-1.0))
    };
    // The administrator's own grant keeps the user from being dropped.
    world
        .sql(&format!("GRANT INSERT ON orders TO {user}"))
        .await?;
    let answer = world.send_text(crate::fixture::SWEEP).await?;
    ensure!(answer["errors"][0].is_string(), "{answer}");
    let line = last(&world);
    assert_eq!(counts(&line), [2.0, 1.0, 2.0, 1.0], "{line}");
    assert_eq!(line["Outcome"], "failed");

    world
        .sql(&format!("REVOKE INSERT ON orders FROM {user}"))
        .await?;
    world.sweep().await?;
    assert_eq!(counts(&last(&world)), [1.0, 0.0, 1.0, 0.0]);
    world.sweep().await?;
    assert_eq!(counts(&last(&world)), [0.0, 0.0, 1.0, 0.0]);

    // The alarm on sweeps that don't run counts these lines, those of a shadow too.
    let shadow = World::builder().variable("MODE", "shadow").start().await?;
    shadow.send_text(crate::fixture::SWEEP).await?;
    let line = last(&shadow);
    assert_eq!(metric(&line, "SweepFound"), Some(0.0), "{line}");
    Ok(())
}

#[tokio::test]
async fn releases_are_counted_as_loaded_changed_and_kept() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    publisher.publish_first()?;
    let world = world_with_releases(&publisher).await?;
    world.body(&Event::escalate()).await?;
    let first = last(&world);
    assert_eq!(metric(&first, "ReleaseLoaded"), Some(1.0), "{first}");
    assert!(metric(&first, "CompiledInPlace").is_none(), "{first}");

    // With a line for each event until there is one with the metric.
    let has_line = async |name: &str| {
        for _ in 0..EVENTS {
            world.send(&Event::escalate()).await?;
            let line = last(&world);
            if metric(&line, name) == Some(1.0) {
                return Ok(line);
            }
        }
        anyhow::bail!("no line has `{name}`: {}", world.lambda.logs())
    };
    let second = publisher.publish_second()?;
    let line = has_line("ReleaseChanged").await?;
    assert_eq!(line["release"], second.as_str());
    assert_eq!(
        (&line["Outcome"], &line["Code"]),
        (&json!("denied"), &json!("denied"))
    );
    let denied = refusal("Not today. [denied]");
    drop(aws);
    has_line("ReleaseKept").await?;
    assert_eq!(world.send(&Event::escalate()).await?, denied);
    Ok(())
}
