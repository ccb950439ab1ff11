//! The function in AWS's own runtime interface emulator, as confined as in Lambda:
//! plugins from S3 with native code, the password from SSM, TLS, secrets in Secrets
//! Manager. `cargo xtask dist` has these run what it packed, of either architecture.

use std::path::PathBuf;

use anyhow::ensure;
use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::emulator::Emulator;
use sym_test_support::tools;

use crate::fixture::{Event, ORDERS, PERSON, World, success};
use crate::releases::publisher::Publisher;
use crate::releases::world_of;

/// Names a `bootstrap` to run instead of the debug build's.
const BOOTSTRAP: &str = "SYM_TEST_BOOTSTRAP";

const PARAMETER: &str = "/symops.com/sym-postgres/DB_PASSWORD";

fn bootstrap() -> anyhow::Result<PathBuf> {
    match std::env::var_os(BOOTSTRAP) {
        Some(path) => Ok(PathBuf::from(path)),
        None => tools::binary("bootstrap"),
    }
}

/// A world, its AWS, and the function in the emulator.
async fn start(strategy: &str) -> anyhow::Result<(Aws, World, Emulator)> {
    let aws = Aws::start()?;
    aws.create_bucket("releases").await?;
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    publisher.publish_first()?;
    let builder = World::builder()
        .tls()
        .without_variable("SECRETS")
        .without_variable("DB_PASSWORD")
        .variable("DB_PASSWORD_KEY", PARAMETER)
        .variable("STRATEGY", strategy);
    let world = world_of(builder, &publisher).await?;
    aws.put_parameter(PARAMETER, &world.bot_password).await?;
    let authority = world.postgres.authority().unwrap_or_default().to_owned();
    let files = [("authority.pem", authority.as_bytes())];
    let (bootstrap, mut variables) = (bootstrap()?, world.variables());
    let emulator = Emulator::start(&bootstrap, &files, |root| {
        variables.retain(|(name, _)| name != "DB_CA");
        let path = root.join("authority.pem").display().to_string();
        variables.push(("DB_CA".to_owned(), path));
        variables
    })
    .await?;
    Ok((aws, world, emulator))
}

async fn send(world: &World, emulator: &Emulator, event: &Event) -> anyhow::Result<Value> {
    let answer = emulator.invoke(&event.to_string()).await?;
    world.check_answer(&answer);
    world.check_log("the function's log", &emulator.logs());
    Ok(answer)
}

/// Fails where the function compiled a plugin: the release has code for it.
fn ran_native_code(emulator: &Emulator) -> anyhow::Result<()> {
    let logs = emulator.logs();
    ensure!(logs.contains(r#""ReleaseLoaded":1"#), "{logs}");
    ensure!(!logs.contains("CompiledInPlace\":"), "{logs}");
    Ok(())
}

#[tokio::test]
async fn a_role_is_lent_and_taken_back() -> anyhow::Result<()> {
    let (_aws, world, emulator) = start("role").await?;
    let before = world.state().await?;
    let event = Event::escalate();
    let answer = success(json!({"username": PERSON}));
    assert_eq!(send(&world, &emulator, &event).await?, answer);
    let counted = world.count_orders(PERSON, &world.person_password).await;
    assert_eq!(counted, Ok(ORDERS));
    assert_eq!(send(&world, &emulator, &event.end()).await?, answer);
    world.is_as(&before).await?;
    ran_native_code(&emulator)
}

#[tokio::test]
async fn a_temporary_user_comes_and_goes() -> anyhow::Result<()> {
    let (aws, world, emulator) = start("temporary-user").await?;
    let before = world.state().await?;
    let event = Event::escalate();
    let answer = send(&world, &emulator, &event).await?;
    let name = answer["body"]["secret_name"].as_str().unwrap_or_default();
    let secret = aws.secret_value(name).await?;
    let (user, password) = (&secret["username"], &secret["password"]);
    assert_eq!(&answer["body"]["username"], user, "{answer}");
    let (user, password) = (user.as_str(), password.as_str());
    let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
    assert_eq!(world.count_orders(user, password).await, Ok(ORDERS));
    let ended = send(&world, &emulator, &event.end()).await?;
    assert_eq!(ended, success(json!({})));
    assert!(aws.list_secrets().await?.is_empty());
    world.is_as(&before).await?;
    world.check_log("the function's log", &emulator.logs());
    assert!(!emulator.logs().contains(password));
    ran_native_code(&emulator)
}

#[tokio::test]
async fn what_is_set_up_wrongly_is_named() -> anyhow::Result<()> {
    let wrong = vec![("DB_PORT".to_owned(), "65536".to_owned())];
    let emulator = Emulator::start(&bootstrap()?, &[], |_| wrong).await?;
    let answer = emulator.invoke(&Event::escalate().to_string()).await?;
    let errors = answer["errors"].to_string();
    for variable in ["PLUGINS", "DB_HOST", "DB_USER", "DB_PORT"] {
        assert!(
            errors.contains(&format!("variable `{variable}` is")),
            "{answer}"
        );
    }
    Ok(())
}
