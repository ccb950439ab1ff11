//! The strategy `role`: a person's own user is lent a role.

use serde_json::json;

use crate::fixture::{Event, ORDERS, PERSON, World, success};

#[tokio::test]
async fn the_templates_own_events_give_the_templates_own_answers() -> anyhow::Result<()> {
    let world = World::start().await?;
    let answer = success(json!({"username": "sym_user"}));
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));

    assert_eq!(world.send(&Event::sample("v6/escalate-role")).await?, answer);
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    assert_eq!(world.send(&Event::sample("v6/deescalate-role")).await?, answer);
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    assert!(world.role_exists(PERSON).await?);
    Ok(())
}
