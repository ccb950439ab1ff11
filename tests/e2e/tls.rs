//! The way to the database: encrypted, and to nobody else.

use crate::fixture::{Event, World, refusal};

const UNAVAILABLE: &str = "the database is unavailable: try again, and if it stays so, see the function's log [database-unavailable]";

#[tokio::test]
async fn a_certificate_of_a_trusted_authority_for_this_host_is_taken() -> anyhow::Result<()> {
    let world = World::builder().tls().start().await?;
    world.still_works().await?;
    let encrypted = "SELECT count(*)::text FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                     WHERE a.usename = 'sym_bot' AND s.ssl";
    assert_eq!(world.query(encrypted).await?.as_deref(), Some("1"));
    Ok(())
}

#[tokio::test]
async fn an_unknown_authority_is_refused() -> anyhow::Result<()> {
    // The roots of Amazon RDS, which did not sign this certificate.
    let world = World::builder()
        .tls()
        .without_variable("DB_CA")
        .start()
        .await?;
    assert_eq!(world.send(&Event::escalate()).await?, refusal(UNAVAILABLE));
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_another_host_is_refused() -> anyhow::Result<()> {
    let world = World::builder()
        .tls()
        .variable("DB_HOST", "127.0.0.2")
        .start()
        .await?;
    assert_eq!(world.send(&Event::escalate()).await?, refusal(UNAVAILABLE));
    Ok(())
}

#[tokio::test]
async fn a_server_without_tls_is_refused() -> anyhow::Result<()> {
    let world = World::builder().without_variable("DB_TLS").start().await?;
    assert_eq!(world.send(&Event::escalate()).await?, refusal(UNAVAILABLE));
    Ok(())
}

#[tokio::test]
async fn require_encrypts_whoever_answers() -> anyhow::Result<()> {
    let world = World::builder()
        .tls()
        .without_variable("DB_CA")
        .variable("DB_TLS", "require")
        .start()
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_file_without_certificates_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .tls()
        .variable("DB_CA", "/dev/null")
        .start()
        .await?;
    let expected =
        "the function's variable `DB_CA` names a file without certificates [invalid-config]";
    assert_eq!(world.send(&Event::escalate()).await?, refusal(expected));
    Ok(())
}
