//! Events that can't be served. Each gets one sentence that names what is wrong,
//! changes nothing, and leaves the function as it was.

use serde_json::{Value, json};

use crate::fixture::{Event, World, success};

/// Sends each, and an honest one after it.
async fn check(world: &World, cases: Vec<(Event, &str)>) -> anyhow::Result<()> {
    for (event, sentence) in cases {
        world.refuses(&event, sentence).await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn names_the_type_that_is_not_served() -> anyhow::Result<()> {
    let world = World::start().await?;
    let kind = |kind: Value| Event::escalate().with("/event/type", kind);
    check(
        &world,
        vec![
            (kind(json!("approve")), "event type `approve` is not served, expected `escalate`, `deescalate` or `request` [unsupported-event]"),
            (kind(json!("Escalate")), "event type `Escalate` is not served, expected `escalate`, `deescalate` or `request` [unsupported-event]"),
            (kind(json!("")), "event type `` is not served, expected `escalate`, `deescalate` or `request` [unsupported-event]"),
            (kind(json!("a`b\n\u{0}")), "event type `a'b\u{FFFD}\u{FFFD}` is not served, expected `escalate`, `deescalate` or `request` [unsupported-event]"),
            (kind(json!(7)), "the event's field `event.type` is of the wrong type: invalid type: integer '7', expected a string [invalid-event]"),
            (kind(json!(null)), "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request` [invalid-event]"),
            (Event::escalate().without("/event/type"), "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request` [invalid-event]"),
            (Event::escalate().without("/event"), "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request` [invalid-event]"),
        ],
    )
    .await
}

#[tokio::test]
async fn names_the_field_that_is_missing_or_wrong() -> anyhow::Result<()> {
    let world = World::start().await?;
    let srn = |srn: &str| Event::escalate().with("/run/srn", json!(srn));
    let duration = |duration: Value| Event::escalate().with("/fields/duration", duration);
    let wrong_duration = "the event's field `fields.duration` is not a whole number above zero that a time can be made of [invalid-event]";
    check(
        &world,
        vec![
            (Event::escalate().without("/run/srn"), "the event's field `run.srn` is missing [invalid-event]"),
            (Event::escalate().without("/run"), "the event's field `run.srn` is missing [invalid-event]"),
            (Event::escalate().end().without("/run/srn"), "the event's field `run.srn` is missing [invalid-event]"),
            (srn("healthy-health:run:postgres:2.0.0"), "the event's field `run.srn` is `healthy-health:run:postgres:2.0.0`, which doesn't name a run, expected `<org>:run:<flow>:<version>:<id>` [invalid-event]"),
            (srn("healthy-health:flow:postgres:2.0.0:x"), "the event's field `run.srn` is `healthy-health:flow:postgres:2.0.0:x`, which doesn't name a run, expected `<org>:run:<flow>:<version>:<id>` [invalid-event]"),
            (srn("o:run:f:1.0.0:../../x"), "the event's field `run.srn` is `o:run:f:1.0.0:../../x`, which has a part of the wrong form, expected `<org>:run:<flow>:<version>:<id>` [invalid-event]"),
            (Event::escalate().without("/run/actors"), "the event's field `run.actors.request` is missing [invalid-event]"),
            (Event::escalate().without("/run/actors/request/username"), "the event's field `run.actors.request.username` is missing [invalid-event]"),
            (Event::escalate().with("/run/actors/request/username", json!(["a"])), "the event's field `run.actors.request.username` is of the wrong type: invalid type: sequence, expected a string [invalid-event]"),
            (Event::escalate().without("/fields"), "the event's field `fields.target.name` is missing [invalid-event]"),
            (Event::escalate().without("/fields/target"), "the event's field `fields.target.name` is missing [invalid-event]"),
            (Event::escalate().with("/fields/target", json!("readonly")), "the event's field `fields.target` is of the wrong type: invalid type: string \"readonly\", expected an object [invalid-event]"),
            (Event::escalate().with("/run", json!(null)), "the event's field `run` is of the wrong type: invalid type: null, expected an object [invalid-event]"),
            (duration(json!(0)), wrong_duration),
            (duration(json!(-30)), wrong_duration),
            (duration(json!(0.5)), wrong_duration),
            (duration(json!("soon")), wrong_duration),
            (duration(json!(u64::MAX)), wrong_duration),
            (Event::escalate().without("/event/timestamp"), "the event's field `event.timestamp` is missing [invalid-event]"),
            (Event::escalate().with("/event/timestamp", json!("yesterday")), "the event's field `event.timestamp` is `yesterday`, expected a time such as `2026-01-31T14:48:02Z` [invalid-event]"),
        ],
    )
    .await
}

#[tokio::test]
async fn refuses_names_that_are_no_names() -> anyhow::Result<()> {
    let world = World::start().await?;
    let user = |name: &str| Event::escalate().user(name);
    let target = |name: &str| Event::escalate().target(name);
    let shown = format!("{}…", "x".repeat(80));
    let unknown = format!(
        "target `{shown}` is not in `plugins.toml`: add it, or ask for another [unknown-target]"
    );
    check(
        &world,
        vec![
            (user(""), "the event's field `run.actors.request.username` is empty [invalid-event]"),
            (user(" "), "the event's field `run.actors.request.username` is empty [invalid-event]"),
            (user("sym\0user@healthy-health.co"), "the event's field `run.actors.request.username` holds the control character U+0000 [invalid-event]"),
            (user("sym-user@healthy-health.co\n"), "the event's field `run.actors.request.username` holds the control character U+000A [invalid-event]"),
            (user(&"x".repeat(321)), "the event's field `run.actors.request.username` is 321 bytes long, at most 320 are allowed [invalid-event]"),
            (target("read\0only"), "the event's field `fields.target.name` holds the control character U+0000 [invalid-event]"),
            (target(""), "the event's field `fields.target.name` is empty [invalid-event]"),
            (target(&"x".repeat(256)), "the event's field `fields.target.name` is 256 bytes long, at most 255 are allowed [invalid-event]"),
            (target(&"x".repeat(255)), &unknown),
            (target("nonsense"), "target `nonsense` is not in `plugins.toml`: add it, or ask for another [unknown-target]"),
            (target("../readonly"), "target `../readonly` is not in `plugins.toml`: add it, or ask for another [unknown-target]"),
            (user(&format!("{}@healthy-health.co", "u".repeat(64))), &format!("the user `{}…` is 64 bytes long, at most 63 are allowed [invalid-plan]", "u".repeat(63))),
            (user(&format!("{}@healthy-health.co", "u".repeat(63))), &format!("database user `{}` does not exist: create it, or have the resolver name another [user-missing]", "u".repeat(63))),
            (user("pg-monitor@healthy-health.co"), "the user `pg_monitor` is reserved for PostgreSQL [not-allowed]"),
            (user("rdsadmin@healthy-health.co"), "the user `rdsadmin` is reserved for Amazon RDS [not-allowed]"),
            (user("RDS-superuser@healthy-health.co"), "the user `RDS_superuser` is reserved for Amazon RDS [not-allowed]"),
            (user("postgres@healthy-health.co"), "the user `postgres` is reserved for the database's administrator [not-allowed]"),
            (user("sym-bot@healthy-health.co"), "the user `sym_bot` is reserved for this function [not-allowed]"),
            (user("public@healthy-health.co"), "the user `public` is reserved for PostgreSQL [not-allowed]"),
            (user("nobody@healthy-health.co"), "database user `nobody` does not exist: create it, or have the resolver name another [user-missing]"),
            (user("Sym-User@healthy-health.co"), "database user `Sym_User` does not exist: create it, or have the resolver name another [user-missing]"),
        ],
    )
    .await
}

#[tokio::test]
async fn refuses_what_is_no_event_at_all() -> anyhow::Result<()> {
    let world = World::start().await?;
    let no_object = "the event is no JSON object, expected one of Sym's events [invalid-event]";
    let no_type = "the event's field `event.type` is missing, expected `escalate`, `deescalate` or `request` [invalid-event]";
    let deep = format!(
        "{{\"fields\":{{\"reason\":{}1{}}}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    for (text, sentence) in [
        ("3", no_object),
        ("\"escalate\"", no_object),
        ("null", no_object),
        ("{}", no_type),
        (
            r#"{"key1": "value1", "key2": "value2", "key3": "value3"}"#,
            no_type,
        ),
        (&*deep, "the event is not valid JSON [invalid-event]"),
    ] {
        world.refuses_text(text, sentence).await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn refuses_an_event_that_is_too_long() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate().with("/fields/reason", json!("x".repeat(300_000)));
    let bytes = event.to_string().len();
    let sentence =
        format!("the event is {bytes} bytes long, at most 262144 are allowed [invalid-event]");
    check(&world, vec![(event, &sentence)]).await
}

#[tokio::test]
async fn ends_a_run_whatever_else_is_wrong_with_its_event() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let beside =
        |event: &Event, text: &str| event.to_string().replacen('{', &format!("{{{text},"), 1);
    let long = format!(r#""x":"{}""#, "x".repeat(300_000));
    for text in [
        r#""run":{"actors":{"request":{"name":"\ud83d"}}}"#,
        r#""run":{"flow":7}"#,
        &long,
    ] {
        let event = Event::escalate();
        let refused = world.send_text(&beside(&event, text)).await?;
        assert!(refused.to_string().contains("[invalid-event]"), "{refused}");
        world.body(&event).await?;
        let answer = world.send_text(&beside(&event.end(), text)).await?;
        assert_eq!(answer, success(json!({"username": "sym_user"})), "{text}");
        world.is_as(&before).await?;
    }

    // Which of two runs is meant, nobody can say; the alarm of endings rings.
    let event = Event::escalate();
    let two = beside(&event.end(), r#""run":{"srn":"o:run:f:1.0.0:i"}"#);
    let sentence = "the event has the field `run.srn` more than once, and not the same each time [invalid-event]";
    world.refuses_text(&two, sentence).await?;
    let log = world.lambda.logs();
    let line = log.lines().last().unwrap_or_default();
    assert!(line.contains(r#""Event":"deescalate""#), "{line}");
    Ok(())
}

#[tokio::test]
async fn takes_fields_that_nobody_knows_and_leaves_out_those_nobody_needs() -> anyhow::Result<()> {
    let world = World::start().await?;
    for event in [
        Event::escalate()
            .without("/fields/reason")
            .without("/fields/duration"),
        Event::escalate().with("/fields/duration", json!("30")),
        Event::escalate().with("/fields/reason", json!({"\u{0}": ["\u{0}", 7]})),
        Event::escalate().with("/meta", json!({"schema_version": "7", "new": [1]})),
        Event::escalate()
            .with("/new", json!({"event": {"type": "deescalate"}}))
            .without("/actor"),
        Event::escalate()
            .without("/run/flow")
            .without("/run/parent")
            .without("/run/actors/prompt"),
    ] {
        assert_eq!(
            world.send(&event).await?,
            success(json!({"username": "sym_user"})),
            "{event}"
        );
        world.body(&event.end()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn refuses_runs_of_organisations_that_are_not_served() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("ALLOWED_ORGS", "Healthy-Health, acme")
        .start()
        .await?;
    let foreign = Event::escalate().with("/run/srn", json!("evil:run:postgres:2.0.0:x"));
    let sentence =
        "the run belongs to organisation `evil`, which this function doesn't serve [foreign-event]";
    check(
        &world,
        vec![(foreign.clone(), sentence), (foreign.end(), sentence)],
    )
    .await?;
    // Upper case is lower case, in an SRN as in the list.
    world.body(&Event::escalate()).await?;
    Ok(())
}
