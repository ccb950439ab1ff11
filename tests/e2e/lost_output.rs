//! What `symctl` says where its output is lost, or a service that it uses is away.

use std::fs::{self, File};
use std::process::{Command, Output, Stdio};

use anyhow::ensure;
use sym_test_support::answers::Answers;
use sym_test_support::tools;

use crate::fixture::{Event, World};
use crate::releases::publisher::Publisher;

const SETUP: [&str; 9] = [
    "setup-sql",
    "--pg",
    "16",
    "--database",
    "app",
    "--roles",
    "readonly",
    "--strategy",
    "role",
];

fn symctl(
    arguments: &[&str],
    variables: &[(String, String)],
    stdout: Stdio,
) -> anyhow::Result<Output> {
    Ok(Command::new(tools::binary("symctl")?)
        .args(arguments)
        .env_clear()
        .envs(variables.iter().cloned())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?)
}

#[tokio::test]
async fn output_that_is_lost_is_an_error() -> anyhow::Result<()> {
    let world = World::start().await?;
    let commands = [
        &["grants", "--json"][..],
        &["grants"],
        &SETUP,
        &["completions", "bash"],
        &["--help"],
    ];
    for arguments in commands {
        let full = File::options().write(true).open("/dev/full")?;
        let output = symctl(arguments, &world.variables(), full.into())?;
        assert_eq!(
            String::from_utf8(output.stderr)?,
            "error: the output is not whole, standard output can't be written: No space left on device (os error 28)\n"
        );
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    // A reader that has gone away has all that it wanted.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let output = symctl(&SETUP, &[], writer.into())?;
    assert_eq!((output.status.code(), output.stderr), (Some(0), Vec::new()));
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_away_is_none_of_the_users_faults() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let plugins = tools::target_directory()
        .join("plugins")
        .display()
        .to_string();
    let trust = &publisher.trust();
    let key = publisher.path("team.key").display().to_string();
    let url = "s3://bucket/sym";

    // Of a release that is listed, S3 has no time to give more than that.
    let list = format!(
        "<ListBucketResult><Contents><Key>sym/releases/{:064}.json</Key><Size>9</Size></Contents></ListBucketResult>",
        1
    );
    let busy = Answers::start(move |head| {
        let line = head.lines().next().unwrap_or_default();
        match (line.contains("list-type"), line.contains("current.json")) {
            (true, _) => (200, list.clone()),
            (_, true) => (404, String::new()),
            _ => (503, String::new()),
        }
    })?;
    let mut nobody = busy.env();
    for (name, value) in &mut nobody {
        if name == "AWS_ENDPOINT_URL" {
            *value = "http://127.0.0.1:1".to_owned();
        }
    }
    let listing = symctl(&["releases", url, "--json"], &busy.env(), Stdio::piped())?;
    assert_eq!(listing.status.code(), Some(2), "{listing:?}");
    ensure!(listing.stdout.is_empty(), "{listing:?}");

    for arguments in [
        &["status", url][..],
        &["releases", url],
        &["verify", url, "--trust", trust],
        &["gc", url, "--trust", trust],
        &["rollback", url, "--key", &key],
        &[
            "publish",
            &plugins,
            "--to",
            url,
            "--key",
            &key,
            "--without-native",
        ],
        &["keygen", "team", "--kms-key", "alias/sym"],
    ] {
        let output = symctl(arguments, &nobody, Stdio::piped())?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(errors.contains("Connection refused"), "{errors}");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
    }
    Ok(())
}

// `keygen` never overwrites one, so it would be in the way of the next try.
#[tokio::test]
async fn a_key_without_its_public_half_is_not_left_behind() -> anyhow::Result<()> {
    let publisher = Publisher::in_directory()?;
    let public = publisher.path("other.pub");
    fs::create_dir(&public)?;
    let error = publisher.run(&["keygen", "other"]).expect_err("is there");
    let error = error.to_string();
    ensure!(error.contains("`other.pub` is there already"), "{error}");
    ensure!(!publisher.path("other.key").exists(), "a key is there");
    fs::remove_dir(&public)?;
    publisher.run(&["keygen", "other"])?;
    Ok(())
}

#[tokio::test]
async fn a_sweep_says_in_json_too_why_a_run_did_not_end() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.let_time_pass().await?;
    world
        .sql(
            "CREATE OR REPLACE FUNCTION sym.give_back(this_run text, ending jsonb) RETURNS jsonb
             LANGUAGE plpgsql AS $$ BEGIN RETURN to_jsonb(1 / 0); END $$",
        )
        .await?;
    for arguments in [&["sweep", "--json"][..], &["revoke", "--all", "--json"]] {
        let swept = world.symctl(arguments).await?;
        let entry = &swept.json()?[0];
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        assert_eq!(
            (text("run"), text("result"), text("code")),
            (event.srn(), "failed", "database-refused"),
            "{swept:?}"
        );
        ensure!(
            text("error").starts_with("the database refused a statement"),
            "{swept:?}"
        );
        assert_eq!(swept.code, Some(1), "{swept:?}");
    }
    Ok(())
}
