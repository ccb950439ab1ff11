//! A request that is answered with the plan, and changes nothing.

use serde_json::json;

use crate::fixture::{Event, Everything, PERSON, World, count_orders, refusal, success};

#[tokio::test]
async fn a_request_is_answered_with_the_plan_and_changes_nothing() -> anyhow::Result<()> {
    let world = World::start().await?;
    world.still_works().await?;
    let before = Everything::of(&world).await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    let plan = world.body(&role.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.starts_with("readonly for sym_user until 2") && plan.ends_with(" UTC"),
        "{plan}"
    );
    let plan = world.body(&user.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.starts_with("temporary user symuser")
            && plan.contains(" with readonly until 2")
            && plan.ends_with(" UTC"),
        "{plan}"
    );
    before.is_still(&world).await?;

    // The run may begin all the same, and then the plan says so.
    world.body(&role).await?;
    world.body(&user).await?;
    let lent = Everything::of(&world).await?;
    let plan = world.body(&role.clone().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(plan.ends_with("; lent already by this run"), "{plan}");
    world.body(&user.clone().dry_run()).await?;
    lent.is_still(&world).await
}

#[tokio::test]
async fn a_request_is_answered_with_what_stands_in_the_way() -> anyhow::Result<()> {
    let world = World::start().await?;
    let nobody = Event::escalate().user("nobody@healthy-health.co").dry_run();
    let missing = "database user `nobody` does not exist: create it, or have the resolver name another [user-missing]";
    world.still_works().await?;
    let before = Everything::of(&world).await?;
    assert_eq!(world.send(&nobody).await?, refusal(missing));
    before.is_still(&world).await?;

    world
        .sql("REVOKE ADMIN OPTION FOR readonly FROM sym_bot GRANTED BY master")
        .await?;
    let before = Everything::of(&world).await?;
    for event in [Event::escalate(), Event::escalate_temporary_user()] {
        let answer = world.send(&event.dry_run()).await?.to_string();
        assert!(
            answer.contains("`GRANT readonly TO sym_bot WITH ADMIN ")
                && answer.contains("[role-refused]"),
            "{answer}"
        );
    }
    before.is_still(&world).await
}

#[tokio::test]
async fn the_plan_says_who_is_a_member_already() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT readonly TO sym_user")
        .start()
        .await?;
    let plan = world.body(&Event::escalate().dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.ends_with("; already a member, and stays one"),
        "{plan}"
    );
    Ok(())
}

// Who may lend the role too is in nobody's way but an end's.
#[tokio::test]
async fn nobodys_session_ends_for_a_dry_run() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE colleague LOGIN; CREATE ROLE lender LOGIN PASSWORD 'l';
             GRANT readonly TO lender WITH ADMIN OPTION",
        )
        .start()
        .await?;
    let lender = world.login("lender", "l").await;
    let lender = lender.map_err(anyhow::Error::msg)?;
    lender
        .batch_execute("BEGIN; GRANT readonly TO sym_user")
        .await?;
    let event = Event::escalate();
    let conflict = refusal(
        "another change was in progress in the database: try again in a moment [database-conflict]",
    );
    for event in [event.clone().dry_run(), event.clone()] {
        assert_eq!(world.send(&event).await?, conflict);
    }
    lender.batch_execute("ROLLBACK").await?;

    world.body(&event).await?;
    let change = match world.postgres.install().major {
        // This holds the role.
        16.. => "GRANT readonly TO colleague",
        _ => "REVOKE readonly FROM sym_user",
    };
    lender.batch_execute(&format!("BEGIN; {change}")).await?;
    let answer = success(json!({"username": PERSON}));
    assert_eq!(world.send(&event.end()).await?, answer);
    assert_eq!(count_orders(&lender).await, Err("closed".to_owned()));
    Ok(())
}

/// What runs in another database than the ledger's is said, and not tried.
#[tokio::test]
async fn a_dry_run_with_a_ledger_apart_runs_no_statement() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .file(
            "readonly.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON pay TO {username}",
        )
        .sql("CREATE TABLE pay (); GRANT SELECT ON pay TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    world.make_ledger_database().await?;
    let event = Event::escalate_temporary_user();
    let plan = world.body(&event.dry_run()).await?;
    let plan = plan["plan"].as_str().unwrap_or_default();
    assert!(
        plan.contains(" with readonly, 1 statement(s) of the target's until 2"),
        "{plan}"
    );
    Ok(())
}
