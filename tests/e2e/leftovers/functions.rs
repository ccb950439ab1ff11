//! More than one function on a cluster.

use super::denied;
use crate::fixture::{Event, ORDERS, World};

#[tokio::test]
async fn one_function_ends_what_another_began() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    let other = world
        .another(&[("AWS_LAMBDA_FUNCTION_NAME", "sym-postgres-other")])
        .await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let body = world.body(&event).await?;
        // Whoever is asked again, the run's names are those of its first try.
        assert_eq!(world.body_of(&other, &event.to_string()).await?, body);
        world.body_of(&other, &event.end().to_string()).await?;
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn two_functions_with_users_of_their_own_count_the_same_runs() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE other_bot LOGIN PASSWORD 'other'; GRANT USAGE ON SCHEMA sym TO other_bot")
        .start()
        .await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    world
        .sql("GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA sym TO other_bot")
        .await?;
    let other = world
        .another(&[("DB_USER", "other_bot"), ("DB_PASSWORD", "other")])
        .await?;
    world.body_of(&other, &second.to_string()).await?;
    world.body(&first.end()).await?;
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    world.body(&second.end()).await?;
    assert_eq!(world.person_counts_orders().await, denied());
    Ok(())
}
