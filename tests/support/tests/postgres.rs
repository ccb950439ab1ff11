//! The private server, as tests use it.

use std::fs;
use std::process::Command;

use sym_test_support::postgres::{Options, Postgres, SUPERUSER};
use sym_test_support::tools::{Install, Major, postgres_install};

fn install() -> anyhow::Result<Install> {
    postgres_install(Major::from_env()?)
}

#[tokio::test]
async fn runs_sql_and_refuses_a_wrong_password() -> anyhow::Result<()> {
    let postgres = Postgres::start(&install()?)?;
    postgres.create_database("odd \"name").await?;
    postgres
        .execute_sql("odd \"name", "CREATE ROLE ann LOGIN PASSWORD 'secret'")
        .await?;
    let ann = postgres.connect("ann", "secret", "odd \"name").await?;
    let row = ann.query_one("SELECT current_user::text", &[]).await?;
    assert_eq!(row.get::<_, String>(0), "ann");
    let Err(refusal) = postgres.connect("ann", "guess", "odd \"name").await else {
        panic!("a wrong password was accepted");
    };
    assert_eq!(refusal.code().map(|code| code.code()), Some("28P01"));
    Ok(())
}

#[tokio::test]
async fn is_the_version_that_was_asked_for() -> anyhow::Result<()> {
    let install = install()?;
    let postgres = Postgres::start(&install)?;
    let row = postgres
        .admin()
        .await?
        .query_one("SHOW server_version", &[])
        .await?;
    assert_eq!(
        row.get::<_, String>(0).split(' ').next(),
        Some(&*install.version)
    );
    Ok(())
}

#[tokio::test]
async fn stops_and_starts_again_with_its_data() -> anyhow::Result<()> {
    let postgres = Postgres::start(&install()?)?;
    postgres
        .execute_sql("postgres", "CREATE TABLE kept (id int)")
        .await?;
    postgres.stop();
    assert!(postgres.admin().await.is_err());
    postgres.restart()?;
    postgres
        .execute_sql("postgres", "SELECT * FROM kept")
        .await?;
    postgres.restart()?;
    postgres
        .execute_sql("postgres", "SELECT * FROM kept")
        .await?;
    Ok(())
}

#[tokio::test]
async fn logs_what_it_is_told_to() -> anyhow::Result<()> {
    let options = Options {
        settings: vec![("log_statement".to_owned(), "all".to_owned())],
        ..Options::default()
    };
    let postgres = Postgres::start_with(&install()?, &options)?;
    postgres
        .execute_sql("postgres", "SELECT 'a thing to log'")
        .await?;
    assert!(postgres.log_text().contains("a thing to log"));
    Ok(())
}

#[tokio::test]
async fn says_why_it_does_not_start() -> anyhow::Result<()> {
    let options = Options {
        settings: vec![("no_such_setting".to_owned(), "1".to_owned())],
        ..Options::default()
    };
    let Err(error) = Postgres::start_with(&install()?, &options) else {
        panic!("it started");
    };
    assert!(error.to_string().contains("no_such_setting"), "{error}");
    Ok(())
}

#[tokio::test]
async fn offers_tls_by_its_own_authority() -> anyhow::Result<()> {
    let options = Options {
        tls: true,
        ..Options::default()
    };
    let postgres = Postgres::start_with(&install()?, &options)?;
    let directory = tempfile::tempdir()?;
    let authority = directory.path().join("authority.pem");
    fs::write(&authority, postgres.authority().unwrap_or_default())?;
    for (name, expected) in [("localhost", true), ("elsewhere", false)] {
        let output = Command::new("openssl")
            .args(["s_client", "-starttls", "postgres", "-brief"])
            .args(["-verify_return_error", "-verify_hostname", name, "-CAfile"])
            .arg(&authority)
            .args(["-connect", &format!("127.0.0.1:{}", postgres.port())])
            .stdin(std::process::Stdio::null())
            .output()?;
        assert_eq!(output.status.success(), expected, "{name}: {output:?}");
    }
    Ok(())
}

#[tokio::test]
async fn servers_are_strangers_to_each_other() -> anyhow::Result<()> {
    let install = install()?;
    let first = Postgres::start(&install)?;
    let second = Postgres::start(&install)?;
    assert_ne!(first.port(), second.port());
    first
        .execute_sql("postgres", "CREATE ROLE only_here")
        .await?;
    second
        .execute_sql("postgres", "CREATE ROLE only_here")
        .await?;
    Ok(())
}

#[test]
fn leaves_nothing_behind() -> anyhow::Result<()> {
    let postgres = Postgres::start(&install()?)?;
    let port = postgres.port();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    drop(postgres);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    Ok(())
}

#[tokio::test]
async fn the_superuser_needs_the_password() -> anyhow::Result<()> {
    let postgres = Postgres::start(&install()?)?;
    assert!(postgres.connect(SUPERUSER, "", "postgres").await.is_err());
    Ok(())
}
