//! How often the function waits for the database, counted on the wire.

use crate::fixture::{Event, World};

#[tokio::test]
async fn lending_a_role_takes_one() -> anyhow::Result<()> {
    let world = World::builder().proxy().start().await?;
    world.still_works().await?;
    world.proxy().reset();
    world.body(&Event::escalate()).await?;
    let traffic = world.proxy().traffic();
    assert!(
        traffic.round_trips == 1 && traffic.connections == 0,
        "{traffic:?}"
    );
    Ok(())
}

#[tokio::test]
async fn making_a_user_takes_two() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .proxy()
        .start()
        .await?;
    world.still_works().await?;
    world.proxy().reset();
    world.body(&Event::escalate_temporary_user()).await?;
    let traffic = world.proxy().traffic();
    assert!(
        traffic.round_trips == 2 && traffic.connections == 0,
        "{traffic:?}"
    );
    Ok(())
}
