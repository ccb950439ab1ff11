//! What must be in no log. Each test of the others holds answers and the
//! function's own log against the same passwords.

use anyhow::ensure;
use serde_json::json;
use sym_test_support::answers::Answers;

use crate::fixture::{Event, World};

/// What must not be seen, in answers that the SDK can't read for another field's sake.
const PASSWORD: &str = "hunter2-of-the-database";

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

fn unreadable_secret() -> String {
    json!({"Name": "bot", "SecretString": PASSWORD, "CreatedDate": "2026-01-01"}).to_string()
}

#[tokio::test]
async fn an_answer_of_aws_that_can_not_be_read_is_not_logged() -> anyhow::Result<()> {
    let secret = Answers::start(|_| (200, unreadable_secret()))?;
    let parameter = json!({"Parameter": {"Value": PASSWORD, "LastModifiedDate": "2026-01-01"}});
    let parameter = Answers::start(move |_| (200, parameter.to_string()))?;
    for (name, value, answers) in [
        ("DB_PASSWORD_SECRET", "bot", &secret),
        ("DB_PASSWORD_KEY", "/bot", &parameter),
    ] {
        let world = World::builder()
            .without_variable("DB_PASSWORD")
            .variable(name, value)
            .aws_answers(answers)
            .start()
            .await?;
        is_not_shown(&world, &Event::escalate()).await?;
    }

    // A secret that is there already has the password of its user.
    let answers = Answers::start(|head| match head.contains("createsecret") {
        true => (
            400,
            json!({"__type": "ResourceExistsException"}).to_string(),
        ),
        false => (200, unreadable_secret()),
    })?;
    let world = World::builder().aws_answers(&answers).start().await?;
    is_not_shown(&world, &Event::escalate_temporary_user()).await
}

async fn is_not_shown(world: &World, event: &Event) -> anyhow::Result<()> {
    let answer = world.send(event).await?.to_string();
    ensure!(answer.contains("[secret-unavailable]"), "{answer}");
    let log = world.lambda.logs();
    ensure!(
        log.contains("an answer with status 200 that can't be read"),
        "{log}"
    );
    ensure!(
        !answer.contains(PASSWORD) && !log.contains(PASSWORD),
        "{answer}, {log}"
    );
    Ok(())
}

#[tokio::test]
async fn what_aws_says_or_does_not_say_is_one_line() -> anyhow::Result<()> {
    let builder = World::builder()
        .without_variable("DB_PASSWORD")
        .variable("DB_PASSWORD_SECRET", "bot");
    let refusing = json!({"__type": "AccessDeniedException", "Message": "not you"}).to_string();
    let answers = Answers::start(move |_| (400, refusing.clone()))?;
    let world = builder.aws_answers(&answers).start().await?;
    let nobody = [("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    for (variables, why) in [
        (&[][..], "AccessDeniedException (status 400): not you"),
        (&nobody[..], "Connection refused"),
    ] {
        let shown = world.symctl_with(&["grants"], variables).await?;
        ensure!(shown.stderr.contains(why), "{shown:?}");
        ensure!(shown.stderr.lines().count() == 1, "{shown:?}");
        ensure!(shown.stderr.len() < 500, "{shown:?}");
        ensure!(shown.code == Some(2), "{shown:?}");
    }
    Ok(())
}

#[tokio::test]
async fn without_credentials_symctl_says_so_in_one_line() -> anyhow::Result<()> {
    let world = World::start().await?;
    let mut variables = vec![("DB_PASSWORD", ""), ("DB_PASSWORD_SECRET", "bot")];
    // Where nobody gives any, the SDK asks the machine's own service.
    variables.extend([
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
        ("HOME", "/nonexistent"),
    ]);
    let shown = world.symctl_with(&["grants"], &variables).await?;
    ensure!(shown.stderr.lines().count() == 1, "{shown:?}");
    ensure!(shown.code == Some(2), "{shown:?}");

    let credentials = "there are no AWS credentials: log in, or set `AWS_PROFILE`";
    let region = "there is no AWS region: set `AWS_REGION`";
    let nothing = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("HOME", "/nonexistent"),
    ];
    let regional = [&nothing[..], &[("AWS_REGION", "us-east-1")]].concat();
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let logged_in = [&nothing[..], &keys].concat();
    for (lacking, what) in [(logged_in, region), (regional, credentials)] {
        for (name, place) in [
            ("DB_PASSWORD_SECRET", "the secret `bot`"),
            ("DB_PASSWORD_KEY", "the SSM parameter `bot`"),
        ] {
            let variables = [&lacking[..], &[("DB_PASSWORD", ""), (name, "bot")]].concat();
            let shown = world.symctl_with(&["grants"], &variables).await?;
            let sentence =
                format!("the function's database password can't be read from {place}: {what}");
            ensure!(shown.stderr.contains(&sentence), "{shown:?}");
            ensure!(shown.code == Some(2), "{shown:?}");
        }
        let iam = [
            &lacking[..],
            &[
                ("DB_AUTH", "iam"),
                ("DB_TLS", "verify-full"),
                ("DB_PASSWORD", ""),
            ],
        ]
        .concat();
        let shown = world.symctl_with(&["grants"], &iam).await?;
        ensure!(
            shown.stderr.contains(what) && shown.stderr.len() < 300,
            "{shown:?}"
        );
        let keygen = ["keygen", "a-key", "--kms-key", "alias/name"];
        let shown = world.symctl_with(&keygen, &lacking).await?;
        let sentence = format!("KMS doesn't give the key `alias/name`: {what}\n");
        ensure!(shown.stderr.ends_with(&sentence), "{shown:?}");
    }
    Ok(())
}
