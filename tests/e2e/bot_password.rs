//! Where the function's own password is.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use serde_json::json;
use sym_test_support::answers::Answers;
use sym_test_support::aws::Service;

use crate::fixture::{BOT, Builder, Event, World, refusal};

/// A world whose password is not in the environment.
fn world() -> Builder {
    World::builder().without_variable("DB_PASSWORD").aws()
}

async fn store(world: &World, name: &str, text: &str) -> anyhow::Result<()> {
    let secret = json!({"Name": name, "SecretString": text, "ClientRequestToken": "7d4f8f3a-0000-4000-8000-000000000000"});
    world
        .aws()
        .call(Service::SecretsManager, "CreateSecret", &secret)
        .await?;
    Ok(())
}

#[tokio::test]
async fn is_in_the_environment() -> anyhow::Result<()> {
    World::start().await?.still_works().await
}

#[tokio::test]
async fn is_in_the_parameter_that_the_template_uses() -> anyhow::Result<()> {
    let world = world().start().await?;
    world
        .aws()
        .put_parameter("/symops.com/DB_PASSWORD", &world.bot_password)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn is_in_a_parameter_of_another_name() -> anyhow::Result<()> {
    let key = "/symops.com/sym-postgres/DB_PASSWORD";
    let world = world().variable("DB_PASSWORD_KEY", key).start().await?;
    world.aws().put_parameter(key, &world.bot_password).await?;
    world.still_works().await
}

#[tokio::test]
async fn is_where_the_role_template_has_it() -> anyhow::Result<()> {
    let mut builder = world()
        .variable("PG_HOST", "127.0.0.1")
        .variable("PG_NAME", "app")
        .variable("PG_USER", BOT);
    for name in ["DB_HOST", "DB_NAME", "DB_USER"] {
        builder = builder.without_variable(name);
    }
    let world = builder.start().await?;
    world
        .aws()
        .put_parameter("/symops.com/PG_PASSWORD", &world.bot_password)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn is_the_whole_text_of_a_secret() -> anyhow::Result<()> {
    let world = world()
        .variable("DB_PASSWORD_SECRET", "bot")
        .start()
        .await?;
    store(&world, "bot", &world.bot_password).await?;
    world.still_works().await
}

#[tokio::test]
async fn is_a_field_of_a_secret() -> anyhow::Result<()> {
    let world = world()
        .variable("DB_PASSWORD_SECRET", "rds!bot#password")
        .start()
        .await?;
    store(
        &world,
        "rds!bot",
        &json!({"username": BOT, "password": world.bot_password}).to_string(),
    )
    .await?;
    world.still_works().await
}

#[tokio::test]
async fn may_be_rotated_between_two_events() -> anyhow::Result<()> {
    let world = world().start().await?;
    world
        .aws()
        .put_parameter("/symops.com/DB_PASSWORD", &world.bot_password)
        .await?;
    world.still_works().await?;

    world
        .sql("ALTER ROLE sym_bot PASSWORD 'another one'")
        .await?;
    world
        .aws()
        .put_parameter("/symops.com/DB_PASSWORD", "another one")
        .await?;
    world.end_bots_sessions().await?;
    world.still_works().await
}

#[tokio::test]
async fn may_be_rotated_between_two_connections_of_one_event() -> anyhow::Result<()> {
    // The ledger's connection stays open; the setup needs one of its own.
    let world = world()
        .variable("LEDGER_DB", "ledger")
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .file(
            "readonly.sql",
            "GRANT readonly TO {username};\nALTER ROLE {username} SET statement_timeout = '7s';",
        )
        .start()
        .await?;
    world.make_ledger_database().await?;
    let rotate = async |password: &str| {
        world
            .sql(&format!("ALTER ROLE sym_bot PASSWORD '{password}'"))
            .await?;
        let parameter = "/symops.com/DB_PASSWORD";
        world.aws().put_parameter(parameter, password).await
    };
    rotate("the first one").await?;
    world.still_works().await?;
    let event = Event::escalate_temporary_user();
    rotate("the second one").await?;
    let body = world.body(&event).await?;

    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let text = |field: &str| secret[field].as_str().unwrap_or_default();
    let session = world.login(text("username"), text("password")).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("CREATE TABLE notes ()").await?;
    // The removal has to clear away what it owns, in the other database.
    rotate("the third one").await?;
    world.body(&event.end()).await?;
    assert!(!world.role_exists(text("username")).await?);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn is_looked_for_again_once_it_is_there() -> anyhow::Result<()> {
    let world = world().start().await?;
    let sentence = "the function can't read its database password from the SSM parameter `/symops.com/DB_PASSWORD`: check \
        that it exists and that the function's role may read it [secret-unavailable]";
    world.refuses(&Event::escalate(), sentence).await?;
    world
        .aws()
        .put_parameter("/symops.com/DB_PASSWORD", "wrong")
        .await?;
    let sentence = "the database doesn't let `sym_bot` log in: check the function's password and the server's rules \
        [database-login]";
    world.refuses(&Event::escalate(), sentence).await?;
    world
        .aws()
        .put_parameter("/symops.com/DB_PASSWORD", &world.bot_password)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn is_asked_for_again_where_aws_is_busy_or_away() -> anyhow::Result<()> {
    let busy = |status: u16, code: &str| {
        let body = json!({"__type": code}).to_string();
        Answers::start(move |_| (status, body.clone()))
    };
    let (throttled, broken) = (
        busy(400, "ThrottlingException")?,
        busy(500, "InternalServiceError")?,
    );
    for (source, place) in [
        ("DB_PASSWORD_KEY", "the SSM parameter `bot`"),
        ("DB_PASSWORD_SECRET", "the secret `bot`"),
    ] {
        let world = World::builder()
            .without_variable("DB_PASSWORD")
            .variable(source, "bot")
            .aws_answers(&throttled)
            .start()
            .await?;
        let sentence = format!(
            "the function can't read its database password from {place}, as AWS can't be reached or is busy: try again in \
             a moment [secret-unavailable]"
        );
        world.refuses(&Event::escalate(), &sentence).await?;
        for endpoint in [broken.endpoint(), "http://127.0.0.1:1".to_owned()] {
            let lambda = world.another(&[("AWS_ENDPOINT_URL", &endpoint)]).await?;
            let event = Event::escalate().to_string();
            let answer = world.send_to(&lambda, &event).await?;
            assert_eq!(answer, refusal(&sentence), "{endpoint}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn is_missed_in_a_secret_by_name() -> anyhow::Result<()> {
    let world = world()
        .variable("DB_PASSWORD_SECRET", "bot#password")
        .start()
        .await?;
    let unread = "the function can't read its database password from the secret `bot`: check that it exists and that the \
        function's role may read it [secret-unavailable]";
    world.refuses(&Event::escalate(), unread).await?;
    store(&world, "bot", r#"{"user": "x"}"#).await?;
    let no_field = "the secret `bot` of the function's database password has no field `password` [secret-unavailable]";
    assert_eq!(world.send(&Event::escalate()).await?, refusal(no_field));
    Ok(())
}

/// What Amazon RDS takes for a password, as its own documents say how to make it.
///
/// Source: RDS user guide, "IAM database authentication"; AWS General Reference,
/// "Signature Version 4 signing process", query string.
fn token(port: u16, time: &str) -> String {
    let scope = format!("{}/{REGION}/rds-db/aws4_request", &time[..8]);
    let query = format!(
        "Action=connect&DBUser={BOT}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F{}&X-Amz-Date={time}\
         &X-Amz-Expires=900&X-Amz-SignedHeaders=host",
        scope.replace('/', "%2F")
    );
    let sha256 = |text: &str| hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    let request = format!(
        "GET\n/\n{query}\nhost:127.0.0.1:{port}\n\nhost\n{}",
        sha256("")
    );
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(&request));
    let mut key = format!("AWS4{KEY}").into_bytes();
    for part in scope.split('/').chain([to_sign.as_str()]) {
        let signing = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&signing, part.as_bytes()).as_ref().to_vec();
    }
    format!("127.0.0.1:{port}/?{query}&X-Amz-Signature={}", hex(&key))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const REGION: &str = "eu-central-1";
const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

#[tokio::test]
async fn is_none_but_a_token_that_was_signed_for_this_second() -> anyhow::Result<()> {
    let world = World::builder()
        .tls()
        .without_variable("DB_PASSWORD")
        .variable("DB_AUTH", "iam")
        .variable("AWS_REGION", REGION)
        .variable("AWS_ACCESS_KEY_ID", KEY_ID)
        .variable("AWS_SECRET_ACCESS_KEY", KEY)
        .start()
        .await?;
    // The server compares what it is sent over TLS, as RDS does, with a password:
    // the token that we have signed ourselves.
    let rules = format!(
        "COPY (VALUES ('hostssl all {BOT} all password'), ('host all all all scram-sha-256')) TO '%s'"
    );
    let rules = rules.replace("'", "''");
    world
        .sql(&format!(
            "DO $$ BEGIN EXECUTE format('{rules}', current_setting('hba_file')); END $$; SELECT pg_reload_conf()"
        ))
        .await?;
    let refused = "the database doesn't let `sym_bot` log in: check the function's password and the server's rules \
        [database-login]";
    assert_eq!(world.send(&Event::escalate()).await?, refusal(refused));

    let event = Event::escalate();
    loop {
        let time = "SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD\"T\"HH24MISS\"Z\"')";
        let time = world.query(time).await?.unwrap_or_default();
        let token = token(world.postgres.port(), &time);
        world
            .sql(&format!("ALTER ROLE {BOT} PASSWORD '{token}'"))
            .await?;
        let answer = world.send(&event).await?;
        if answer["errors"] == json!([]) {
            break;
        }
        // The second was over before the function signed. Another fault would
        // never end: the test's own patience ends it.
        assert_eq!(answer, refusal(refused));
    }
    // The connection stays, when the token is worth nothing any more.
    world.body(&event.end()).await?;
    world.still_works().await
}

/// A rotation sets the database first, and the store a moment later.
#[tokio::test]
async fn may_be_in_rotation_while_an_access_ends() -> anyhow::Result<()> {
    let world = world().start().await?;
    let store = async |password: &str| {
        let parameter = "/symops.com/DB_PASSWORD";
        world.aws().put_parameter(parameter, password).await
    };
    store(&world.bot_password).await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql("ALTER ROLE sym_bot PASSWORD 'another one'")
        .await?;
    world.end_bots_sessions().await?;
    let another = Event::escalate();
    let sentence = "the database doesn't let `sym_bot` log in: check the function's password and the server's rules [database-login]";
    world.refuses(&another, sentence).await?;
    let rotated = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        store("another one").await
    };
    let end = event.end();
    let (ended, rotated) = tokio::join!(world.body(&end), rotated);
    rotated?;
    ended?;
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}
