//! The wire, between a real client and a real server.

use std::time::{Duration, Instant};

use sym_test_support::postgres::{Postgres, SUPERUSER};
use sym_test_support::proxy::{Cut, Proxy};
use sym_test_support::tools::{Major, postgres_install};
use tokio_postgres::{Client, NoTls};

fn start() -> anyhow::Result<(Postgres, Proxy)> {
    let postgres = Postgres::start(&postgres_install(Major::from_env()?)?)?;
    let proxy = Proxy::start(postgres.port())?;
    Ok((postgres, proxy))
}

async fn connect(postgres: &Postgres, proxy: &Proxy) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(proxy.port())
        .user(SUPERUSER)
        .password(postgres.superuser_password())
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test]
async fn counts_round_trips_as_the_server_sees_them() -> anyhow::Result<()> {
    let (postgres, proxy) = start()?;
    let client = connect(&postgres, &proxy).await?;
    assert_eq!(proxy.round_trips(), 3, "a SCRAM login");
    proxy.reset();
    client.simple_query("SELECT 1").await?;
    assert_eq!(proxy.round_trips(), 1, "a simple query");
    proxy.reset();
    client.query("SELECT 1", &[]).await?;
    assert_eq!(proxy.round_trips(), 2, "prepare, then execute");
    proxy.reset();
    let pipelined = tokio::join!(
        client.simple_query("BEGIN"),
        client.simple_query("SELECT 1"),
        client.simple_query("COMMIT")
    );
    assert!(pipelined.1.is_ok());
    assert_eq!(proxy.round_trips(), 1, "three pipelined statements");
    proxy.reset();
    drop(client);
    while proxy.traffic().bytes_to_server == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.round_trips(), 0, "a farewell");
    Ok(())
}

#[tokio::test]
async fn cuts_before_a_request_or_before_its_answer_once() -> anyhow::Result<()> {
    let (postgres, proxy) = start()?;
    postgres
        .execute_sql("postgres", "CREATE TABLE seen (id int)")
        .await?;
    let insert = "INSERT INTO seen VALUES (1)";

    let client = connect(&postgres, &proxy).await?;
    proxy.reset();
    proxy.set_cut(Some(Cut::BeforeRequest(2)));
    client.simple_query("SELECT 1").await?;
    assert!(client.simple_query(insert).await.is_err());
    assert_eq!(rows(&postgres).await?, 0);

    let client = connect(&postgres, &proxy).await?;
    proxy.reset();
    proxy.set_cut(Some(Cut::BeforeAnswer(1)));
    assert!(client.simple_query(insert).await.is_err());
    assert_eq!(rows(&postgres).await?, 1);

    connect(&postgres, &proxy).await?;
    Ok(())
}

async fn rows(postgres: &Postgres) -> anyhow::Result<i64> {
    let client = postgres.admin().await?;
    Ok(client
        .query_one("SELECT count(*) FROM seen", &[])
        .await?
        .get(0))
}

#[tokio::test]
async fn cuts_after_bytes() -> anyhow::Result<()> {
    let (postgres, proxy) = start()?;
    let client = connect(&postgres, &proxy).await?;
    proxy.reset();
    proxy.set_cut(Some(Cut::AfterBytesToClient(1000)));
    assert!(
        client
            .simple_query("SELECT repeat('x', 10000)")
            .await
            .is_err()
    );
    assert_eq!(proxy.traffic().bytes_to_client, 1000);
    connect(&postgres, &proxy).await?;
    Ok(())
}

#[tokio::test]
async fn adds_latency_and_falls_silent() -> anyhow::Result<()> {
    let (postgres, proxy) = start()?;
    let client = connect(&postgres, &proxy).await?;
    proxy.set_latency(Duration::from_millis(20));
    let sent_at = Instant::now();
    client.simple_query("SELECT 1").await?;
    assert!(sent_at.elapsed() >= Duration::from_millis(40));

    proxy.set_latency(Duration::ZERO);
    proxy.set_silent(true);
    let query = client.simple_query("SELECT 1");
    let silence = tokio::time::timeout(Duration::from_millis(100), query).await;
    assert!(silence.is_err(), "it answered");
    proxy.set_silent(false);
    client.simple_query("SELECT 1").await?;

    proxy.cut_all();
    assert!(client.simple_query("SELECT 1").await.is_err());
    Ok(())
}
