//! The function's own password in Vault.

use std::time::Duration;

use serde_json::{Value, json};
use sym_test_support::lambda::Lambda;
use sym_test_support::vault::{ROLE, SERVER_ID, Vault};

use crate::fixture::{Event, PERSON, World, refusal, success};

const PLACE: &str = "secret/data/sym-postgres";

const NO_LOGIN: &str = "Vault doesn't let the function log in as `sym-postgres` by `auth/aws`: check that the role is bound \
    to the function's IAM role, and that Vault can be reached [secret-unavailable]";

/// What proves to Vault who the function is.
type Identity = Vec<(String, String)>;

/// Functions have their password in Vault, and are who their credentials say: moto
/// checks signatures. They read it when they start.
async fn start() -> anyhow::Result<(World, Vault, Identity)> {
    let vault = Vault::start()?;
    let world = World::builder()
        .without_variable("DB_PASSWORD")
        .aws()
        .variable("DB_PASSWORD_VAULT", format!("{PLACE}#password"))
        .variable("VAULT_ADDR", vault.address())
        .variable("VAULT_ROLE", ROLE)
        .variable("VAULT_SERVER_ID", SERVER_ID)
        .start()
        .await?;
    vault.ask(world.aws());
    let statement = json!({"Effect": "Allow", "Action": "s3:*", "Resource": "*"});
    let policy = json!({"Version": "2012-10-17", "Statement": [statement]});
    let identity = world.aws().create_user("function", &policy).await?;
    world.aws().enforce_iam().await?;
    Ok((world, vault, identity))
}

async fn function(world: &World, identity: &Identity) -> anyhow::Result<Lambda> {
    let identity = identity.iter();
    let variables = identity.map(|(name, value)| (name.as_str(), value.as_str()));
    world.another(&variables.collect::<Vec<_>>()).await
}

/// Gives access and takes it back.
async fn works(world: &World, lambda: &Lambda) -> anyhow::Result<()> {
    let event = Event::escalate();
    let answer = success(json!({"username": PERSON}));
    assert_eq!(world.send_to(lambda, &event.to_string()).await?, answer);
    assert!(world.is_member(PERSON, "readonly").await?);
    assert_eq!(
        world.send_to(lambda, &event.end().to_string()).await?,
        answer
    );
    assert!(!world.is_member(PERSON, "readonly").await?);
    Ok(())
}

async fn answer(world: &World, lambda: &Lambda) -> anyhow::Result<Value> {
    world.send_to(lambda, &Event::escalate().to_string()).await
}

#[tokio::test]
async fn a_password_in_vault_is_read_once_and_again_when_it_was_rotated() -> anyhow::Result<()> {
    let (world, vault, identity) = start().await?;
    vault.put(PLACE, json!({"password": world.bot_password}));
    let lambda = function(&world, &identity).await?;
    works(&world, &lambda).await?;
    works(&world, &lambda).await?;
    assert_eq!((vault.logins(), vault.tokens()), (1, 0));

    world
        .sql("ALTER ROLE sym_bot PASSWORD 'another one'")
        .await?;
    vault.put(PLACE, json!({"password": "another one"}));
    world.end_bots_sessions().await?;
    works(&world, &lambda).await?;
    assert_eq!((vault.logins(), vault.tokens()), (2, 0));
    Ok(())
}

#[tokio::test]
async fn a_token_that_cannot_be_given_back_is_in_nobodys_way() -> anyhow::Result<()> {
    let (world, vault, identity) = start().await?;
    vault.put(PLACE, json!({"password": world.bot_password}));
    vault.refuse_revocations();
    let lambda = function(&world, &identity).await?;
    works(&world, &lambda).await?;
    assert_eq!((vault.logins(), vault.tokens()), (1, 1));
    assert!(lambda.logs().contains("could not be revoked"));
    assert!(!lambda.logs().contains("hvs."));
    Ok(())
}

#[tokio::test]
async fn what_is_missing_in_vault_is_named() -> anyhow::Result<()> {
    let (world, vault, identity) = start().await?;
    let lambda = function(&world, &identity).await?;
    let unread = "the function can't read its database password from Vault at `secret/data/sym-postgres`: check that it \
        exists and that the policies of `sym-postgres` allow it [secret-unavailable]";
    assert_eq!(answer(&world, &lambda).await?, refusal(unread));
    // The token goes back where nothing could be read, too.
    assert!(vault.logins() > 0);
    assert_eq!(vault.tokens(), 0);

    vault.put(PLACE, json!({"user": "x"}));
    let no_field = "the secret of the function's database password in Vault, `secret/data/sym-postgres`, has no field \
        `password` [secret-unavailable]";
    assert_eq!(answer(&world, &lambda).await?, refusal(no_field));

    vault.put(PLACE, json!({"password": world.bot_password}));
    works(&world, &lambda).await
}

#[tokio::test]
async fn who_is_not_the_function_is_not_let_in() -> anyhow::Result<()> {
    let (world, vault, _) = start().await?;
    vault.put(PLACE, json!({"password": world.bot_password}));
    let stranger = world.another(&[("AWS_SECRET_ACCESS_KEY", "wrong")]).await?;
    assert_eq!(answer(&world, &stranger).await?, refusal(NO_LOGIN));
    assert_eq!(vault.logins(), 0);
    Ok(())
}

#[tokio::test]
async fn an_answer_of_which_only_the_head_comes_is_not_waited_for() -> anyhow::Result<()> {
    let (world, vault, identity) = start().await?;
    vault.put(PLACE, json!({"password": world.bot_password}));
    vault.send_heads_alone();
    let lambda = function(&world, &identity).await?;
    // What the template's function has. It would be over, and the answer would be that.
    lambda.set_timeout(Duration::from_secs(10));
    assert_eq!(answer(&world, &lambda).await?, refusal(NO_LOGIN));
    let logs = lambda.logs();
    assert!(logs.contains("no whole answer within 2 s"), "{logs}");
    Ok(())
}
