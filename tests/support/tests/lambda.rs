//! The runtime API, with a function of a few lines that does as it is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use sym_test_support::lambda::{Answer, Lambda};
use tempfile::TempDir;

const FUNCTION: &str = r#"
import http.client, json, os, sys, time
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def call(method, path, body=None):
    api.request(method, "/2018-06-01/runtime/" + path, body)
    answer = api.getresponse()
    return answer, answer.read()
if "DIE_AT_START" in os.environ:
    sys.exit("no start today")
while True:
    answer, body = call("GET", "invocation/next")
    event, id = json.loads(body), answer.headers["Lambda-Runtime-Aws-Request-Id"]
    print("event", event, flush=True)
    result = "response"
    match event["do"]:
        case "die": os._exit(3)
        case "hang": time.sleep(60)
        case "fail": result = "error"
        case "environment": event = dict(os.environ)
        case "headers": event = dict(answer.headers)
    call("POST", f"invocation/{id}/{result}", json.dumps(event))
"#;

fn function() -> anyhow::Result<(TempDir, PathBuf)> {
    // The interpreter itself: version managers' stand-ins need more environment
    // than a function gets.
    let python = Command::new("python3")
        .args(["-c", "import sys; print(sys.executable)"])
        .output()?;
    let python = String::from_utf8(python.stdout)?;
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("bootstrap");
    fs::write(&path, format!("#!{}\n{FUNCTION}", python.trim()))?;
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    Ok((directory, path))
}

fn no_environment() -> [(String, String); 0] {
    []
}

#[tokio::test]
async fn hands_events_out_and_takes_answers() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let lambda = Lambda::start(&path, no_environment()).await?;
    let event = json!({"do": "nothing", "text": "grüß"});
    assert_eq!(
        lambda.invoke(&event).await?,
        Answer::Response(event.clone())
    );
    let (answer, duration) = lambda.invoke_timed(event.to_string()).await?;
    assert_eq!(answer.response()?, event);
    assert!(duration > Duration::ZERO && duration < Duration::from_secs(5));
    assert!(lambda.logs().contains("grüß"));
    assert!(lambda.init_duration() > Duration::ZERO);
    assert!(lambda.peak_rss_bytes()? > 1_000_000);
    Ok(())
}

#[tokio::test]
async fn tells_an_error_from_a_death_and_starts_again() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let lambda = Lambda::start(&path, no_environment()).await?;
    let failure = json!({"do": "fail"});
    assert_eq!(
        lambda.invoke(&failure).await?,
        Answer::FunctionError(failure.clone())
    );
    let Answer::Died(status) = lambda.invoke(r#"{"do": "die"}"#).await? else {
        panic!("it lives");
    };
    assert_eq!(status.code(), Some(3));
    assert!(matches!(lambda.invoke(&failure).await?, Answer::Died(_)));
    lambda.restart().await?;
    lambda.invoke(r#"{"do": "nothing"}"#).await?.response()?;
    Ok(())
}

#[tokio::test]
async fn ends_what_takes_too_long_and_what_is_killed() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let lambda = Lambda::start(&path, no_environment()).await?;
    lambda.set_timeout(Duration::from_millis(200));
    assert!(lambda.invoke(r#"{"do": "hang"}"#).await.is_err());
    assert!(lambda.peak_rss_bytes().is_err(), "it lives");

    lambda.restart().await?;
    lambda.set_timeout(Duration::from_secs(30));
    // Counted before the event is sent: the runtime API has a thread of its own,
    // and the function may have written before this one goes on.
    let earlier = lambda.logs().matches("hang").count();
    let (answer, ()) = tokio::try_join!(lambda.invoke(r#"{"do": "hang"}"#), async {
        while lambda.logs().matches("hang").count() == earlier {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lambda.kill();
        Ok(())
    })?;
    assert!(matches!(answer, Answer::Died(_)));
    Ok(())
}

#[tokio::test]
async fn gives_the_environment_of_lambda_and_nothing_of_ours() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let given = [
        ("DB_PORT".to_owned(), "1".to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME".to_owned(), "other".to_owned()),
    ];
    let lambda = Lambda::start(&path, given).await?;
    let environment = lambda
        .invoke(r#"{"do": "environment"}"#)
        .await?
        .response()?;
    assert_eq!(environment["DB_PORT"], "1");
    assert_eq!(environment["AWS_LAMBDA_FUNCTION_NAME"], "other");
    assert_eq!(environment["TZ"], ":UTC");
    assert_eq!(environment["HOME"], Value::Null);
    assert_eq!(environment["CARGO_MANIFEST_DIR"], Value::Null);
    let headers = lambda.invoke(r#"{"do": "headers"}"#).await?.response()?;
    let arn = headers["lambda-runtime-invoked-function-arn"].as_str();
    assert_eq!(
        arn,
        Some("arn:aws:lambda:us-east-1:123456789012:function:other")
    );
    let deadline = headers["lambda-runtime-deadline-ms"].as_str();
    let deadline: u64 = deadline.unwrap_or_default().parse()?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    assert!(u128::from(deadline) > now.as_millis());
    Ok(())
}

#[tokio::test]
async fn says_why_it_does_not_start() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let given = [("DIE_AT_START".to_owned(), "1".to_owned())];
    let Err(error) = Lambda::start(&path, given).await else {
        panic!("it started");
    };
    assert!(error.to_string().contains("no start today"), "{error}");
    Ok(())
}

#[tokio::test]
async fn takes_one_event_after_the_other() -> anyhow::Result<()> {
    let (_directory, path) = function()?;
    let lambda = Lambda::start(&path, no_environment()).await?;
    let event = |number: u32| json!({"do": "nothing", "number": number});
    let (first, second) = tokio::join!(lambda.invoke(event(1)), lambda.invoke(event(2)));
    assert_eq!(first?.response()?, event(1));
    assert_eq!(second?.response()?, event(2));
    Ok(())
}
