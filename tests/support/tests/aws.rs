//! The AWS double, as tests use it.

use serde_json::json;
use sym_test_support::aws::{Aws, AwsError, Service};

#[tokio::test]
async fn keeps_secrets_and_parameters() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    assert!(aws.list_secrets().await?.is_empty());
    let secret = json!({
        "Name": "/a/secret", "SecretString": r#"{"username": "ann"}"#,
        "ClientRequestToken": "2b1befa5-caf5-4ac3-8509-64732c15cb7d",
        "Description": "a test's", "Tags": [{"Key": "sym.user", "Value": "ann@example.com"}],
    });
    aws.call(Service::SecretsManager, "CreateSecret", &secret)
        .await?;
    assert_eq!(
        aws.secret_value("/a/secret").await?,
        json!({"username": "ann"})
    );
    let description = aws.describe_secret("/a/secret").await?;
    assert_eq!(description["Description"], "a test's");
    assert_eq!(aws.list_secrets().await?.len(), 1);

    aws.put_parameter("/a/parameter", "first").await?;
    aws.put_parameter("/a/parameter", "second").await?;
    let parameter = json!({"Name": "/a/parameter", "WithDecryption": true});
    let parameter = aws.call(Service::Ssm, "GetParameter", &parameter).await?;
    assert_eq!(parameter["Parameter"]["Value"], "second");
    Ok(())
}

#[tokio::test]
async fn gives_the_code_of_a_refusal() -> anyhow::Result<()> {
    let aws = Aws::start()?;
    let Err(error) = aws.secret_value("/none").await else {
        panic!("there is a secret");
    };
    let error: AwsError = error.downcast()?;
    assert_eq!(error.code, "ResourceNotFoundException");
    Ok(())
}
