//! The permissions of `deploy/terraform`, by experiment: the very documents that
//! the module makes, in a server that enforces them where it can, which is S3.
//! Neighbours' objects are really there, so a refusal is IAM's.

use std::process::Command;

use anyhow::ensure;
use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::terraform::{settings_policy, settings_variables};

use crate::fixture::{Event, PERSON, World};
use crate::releases::publisher::{FIRST, Publisher, SECOND};

const OWN: &str = "s3://releases/sym";
const OTHER_PREFIX: &str = "s3://releases/sym2";
const OTHER_BUCKET: &str = "s3://neighbours/sym";

type Variables = Vec<(String, String)>;

/// A policy document of the module's, for the store that is used here.
fn policy(output: &str) -> anyhow::Result<Value> {
    let mut variables = settings_variables();
    variables["releases"]["prefix"] = json!("sym");
    settings_policy(&variables, output)
}

/// Runs `symctl` as somebody, and gives what it says.
fn symctl(publisher: &Publisher, who: &Variables, arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new(sym_test_support::tools::binary("symctl").expect("is built"));
    command
        .args(arguments)
        .current_dir(publisher.path(""))
        .envs(publisher.environment())
        .envs(who.iter().cloned());
    let output = command.output().expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

fn publish(publisher: &Publisher, who: &Variables, what: &str, to: &str) -> Result<String, String> {
    let arguments = ["publish", what, "--to", to, "--key", "team.key"];
    symctl(publisher, who, &arguments)
}

/// Fails unless it was IAM that refused.
#[track_caller]
fn is_denied(result: Result<String, String>) {
    let errors = result.expect_err("is denied");
    assert!(
        errors.contains("AccessDenied") || errors.contains("Forbidden"),
        "{errors}"
    );
}

/// A server of AWS's protocols with three stores of releases, before anybody is
/// refused anything.
async fn stores() -> anyhow::Result<(Aws, Publisher)> {
    let aws = Aws::start()?;
    for bucket in ["releases", "neighbours"] {
        aws.create_bucket(bucket).await?;
    }
    let publisher = Publisher::in_bucket(&aws, "releases")?;
    for store in [OWN, OTHER_PREFIX, OTHER_BUCKET] {
        publish(&publisher, &Variables::new(), FIRST, store).map_err(anyhow::Error::msg)?;
    }
    Ok((aws, publisher))
}

#[tokio::test]
async fn the_function_reads_its_releases_and_nothing_else() -> anyhow::Result<()> {
    let (aws, publisher) = stores().await?;
    let function = aws
        .create_user("function", &policy("function_policy")?)
        .await?;
    let elsewhere =
        json!({"Effect": "Allow", "Action": "s3:*", "Resource": "arn:aws:s3:::elsewhere/*"});
    let nothing_here = json!({"Version": "2012-10-17", "Statement": [elsewhere]});
    let stranger = aws.create_user("stranger", &nothing_here).await?;
    aws.enforce_iam().await?;

    let mut builder = World::builder()
        .variable("PLUGINS", publisher.url())
        .variable("PLUGIN_TRUST", publisher.trust());
    for (name, value) in aws.env() {
        builder = builder.variable(&name, value);
    }
    let world = builder.start().await?;
    let serve = async |who: &Variables| {
        let pairs: Vec<(&str, &str)> = who
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let lambda = world.another(&pairs).await?;
        let event = Event::escalate();
        let answer = world.send_to(&lambda, &event.to_string()).await?;
        world
            .send_to(&lambda, &event.end().to_string())
            .await
            .map(|_| answer)
    };
    assert_eq!(
        serve(&function).await?,
        json!({"body": {"username": PERSON}, "errors": []})
    );
    // That IAM is asked at all.
    let errors = serve(&stranger).await?["errors"].to_string();
    ensure!(errors.contains("[release-unavailable]"), "{errors}");

    assert!(symctl(&publisher, &function, &["status", OWN]).is_ok());
    for store in [OTHER_PREFIX, OTHER_BUCKET] {
        is_denied(symctl(&publisher, &function, &["status", store]));
    }
    for store in [OWN, OTHER_PREFIX, OTHER_BUCKET] {
        is_denied(publish(&publisher, &function, SECOND, store));
    }
    Ok(())
}

#[tokio::test]
async fn the_publisher_writes_its_releases_and_nothing_else() -> anyhow::Result<()> {
    let (aws, publisher) = stores().await?;
    let who = aws
        .create_user("publisher", &policy("publisher_policy")?)
        .await?;
    aws.enforce_iam().await?;

    let run = |arguments: &[&str]| symctl(&publisher, &who, arguments).map_err(anyhow::Error::msg);
    publish(&publisher, &who, SECOND, OWN).map_err(anyhow::Error::msg)?;
    run(&["rollback", OWN, "--key", "team.key"])?;
    ensure!(run(&["releases", OWN])?.contains("r3-"));
    let trust = publisher.trust();
    let gc = |store| {
        let gc = ["gc", store, "--trust", &trust, "--keep", "0"];
        [&gc[..], &["--older-than", "0s"]].concat()
    };
    run(&gc(OWN))?;

    for store in [OTHER_PREFIX, OTHER_BUCKET] {
        is_denied(publish(&publisher, &who, SECOND, store));
        is_denied(symctl(&publisher, &who, &["status", store]));
        is_denied(symctl(&publisher, &who, &gc(store)));
    }
    Ok(())
}
