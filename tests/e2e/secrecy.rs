//! What must be in no log. Each test of the others holds answers and the
//! function's own log against the same passwords.

use crate::fixture::{Event, World};

#[tokio::test]
async fn no_password_is_in_any_log() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("log_statement", "all")
        .setting("log_min_messages", "debug1")
        .start()
        .await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let body = world.body(&event).await?;
        if let Some(name) = body.get("secret_name") {
            world.secret(name.as_str().unwrap_or_default()).await?;
        }
        world.body(&event.end()).await?;
    }
    // One that fails in the middle, with the user made already.
    let event = Event::escalate_temporary_user();
    world.sql("REVOKE readonly FROM sym_bot CASCADE").await?;
    world.send(&event).await?;

    let log = world.postgres.log_text();
    assert!(
        log.contains("sym.create_user"),
        "statements are logged: {log}"
    );
    world.check_log("the server's log", &log);
    world.check_log("the function's log", &world.lambda.logs());
    Ok(())
}

#[tokio::test]
async fn an_event_is_not_logged() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate().with("/fields/reason", "patient 4711 in ward 3".into());
    world.body(&event).await?;
    world.body(&event.end()).await?;
    let log = world.lambda.logs();
    assert!(log.contains("\"Code\":\"ok\""), "events are logged: {log}");
    for word in ["4711", "sym-user@", "U01ABCDEFGH"] {
        assert!(!log.contains(word), "`{word}` is in the log: {log}");
    }
    Ok(())
}
