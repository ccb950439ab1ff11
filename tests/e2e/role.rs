//! The strategy `role`: a person's own user is lent a role.

use serde_json::json;

use crate::fixture::{Event, ORDERS, PERSON, World, success};

#[tokio::test]
async fn the_templates_own_events_give_the_templates_own_answers() -> anyhow::Result<()> {
    let world = World::start().await?;
    let answer = success(json!({"username": "sym_user"}));
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));

    assert_eq!(
        world.send(&Event::sample("v6/escalate-role")).await?,
        answer
    );
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    assert_eq!(
        world.send(&Event::sample("v6/deescalate-role")).await?,
        answer
    );
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    assert!(world.role_exists(PERSON).await?);
    Ok(())
}

#[tokio::test]
async fn events_of_the_older_schema_are_served_alike() -> anyhow::Result<()> {
    let world = World::start().await?;
    let answer = success(json!({"username": "sym_user"}));
    let before = world.state().await?;

    assert_eq!(
        world.send(&Event::sample("v4/escalate-role")).await?,
        answer
    );
    assert_eq!(world.person_counts_orders().await, Ok(ORDERS));

    assert_eq!(
        world.send(&Event::sample("v4/deescalate-role")).await?,
        answer
    );
    world.is_as(&before).await?;
    Ok(())
}

#[tokio::test]
async fn an_end_needs_nothing_but_its_run() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::sample("v6/escalate-role");
    world.body(&event).await?;

    let bare = r#"{"run": {"srn": "HEALTHY-HEALTH:run:postgres:2.0.0:2B1BEFA5-CAF5-4AC3-8509-64732C15CB7D"}, "event": {"type": "deescalate"}}"#;
    assert_eq!(
        world.send_text(bare).await?,
        success(json!({"username": "sym_user"}))
    );
    assert_eq!(world.person_counts_orders().await, Err("42501".to_owned()));
    Ok(())
}

#[tokio::test]
async fn a_bot_without_a_domain_is_named_as_it_is() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE deploy_bot LOGIN")
        .start()
        .await?;
    let event = Event::escalate().user("deploy-bot");
    let answer = success(json!({"username": "deploy_bot"}));

    assert_eq!(world.send(&event).await?, answer);
    assert!(world.is_member("deploy_bot", "readonly").await?);
    assert_eq!(world.send(&event.end()).await?, answer);
    assert!(!world.is_member("deploy_bot", "readonly").await?);
    Ok(())
}

#[tokio::test]
async fn names_that_need_quoting_are_the_same_users() -> anyhow::Result<()> {
    let name = "O'Brien \"x\"; DROP";
    let world = World::builder()
        .sql("CREATE ROLE \"O'Brien \"\"x\"\"; DROP\" LOGIN")
        .start()
        .await?;
    let event = Event::escalate().user(&format!("{name}@healthy-health.co"));
    let before = world.state().await?;

    assert_eq!(
        world.send(&event).await?,
        success(json!({"username": name}))
    );
    assert!(world.state().await? != before);
    assert_eq!(
        world.send(&event.end()).await?,
        success(json!({"username": name}))
    );
    world.is_as(&before).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_of_63_bytes_is_lent() -> anyhow::Result<()> {
    let role = "r".repeat(63);
    let manifest = format!("[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.{role}]\n");
    let world = World::builder()
        .file("plugins.toml", manifest)
        .sql(&format!(
            "CREATE ROLE {role}; GRANT {role} TO sym_bot WITH ADMIN OPTION"
        ))
        .start()
        .await?;
    let event = Event::escalate().target(&role);
    world.body(&event).await?;
    assert!(world.is_member(PERSON, &role).await?);
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, &role).await?);
    Ok(())
}
