//! Memberships beside the one that was lent, and what it let its holder do.

use serde_json::json;

use super::owners::owning;
use super::{TemporaryUser, denied, has_set_option, is_ended, person};
use crate::fixture::{BOT, Event, ORDERS, PERSON, SWEEP, World, count_orders, refusal};

#[tokio::test]
async fn a_grant_beside_ours_is_reported_or_was_none() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT readonly TO sym_user").await?;
    let body = world.body(&event.end()).await?;
    if has_set_option(&world) {
        // One row for each grantor: theirs stays, and is named.
        let note = "`sym_user` still has `readonly` by memberships that are not this function's";
        assert_eq!(body["note"], note);
        assert_eq!(
            body["remaining"],
            json!([{"through": "readonly", "grantor": "postgres"}])
        );
        assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
    } else {
        // One row a pair: the second GRANT changed nothing.
        assert_eq!(body.get("remaining"), None);
        assert_eq!(world.person_counts_orders().await, denied());
    }
    Ok(())
}

#[tokio::test]
async fn a_membership_made_anew_by_somebody_else_is_theirs() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world
        .sql(&format!("{}; GRANT readonly TO sym_user", world.revoke()))
        .await?;
    let before = world.state().await?;
    let body = world.body(&event.end()).await?;
    assert_eq!(
        body["remaining"],
        json!([{"through": "readonly", "grantor": "postgres"}])
    );
    world.is_as(&before).await
}

#[tokio::test]
async fn access_through_another_role_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("CREATE ROLE staff; GRANT readonly TO staff")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    world.sql("GRANT staff TO sym_user").await?;
    let body = world.body(&event.end()).await?;
    assert_eq!(
        body["remaining"],
        json!([{"through": "staff", "grantor": "postgres"}])
    );
    Ok(())
}

#[tokio::test]
async fn what_the_role_let_its_holder_grant_to_itself_is_reported() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT SELECT ON orders TO readonly WITH GRANT OPTION")
        .start()
        .await?;
    let event = Event::escalate();
    world.body(&event).await?;
    person(&world)
        .await
        .batch_execute("GRANT SELECT ON orders TO sym_user")
        .await?;
    let body = world.body(&event.end()).await?;
    let note = "`sym_user` has 1 more privilege(s) of its own than when the run began: look where they come from";
    assert_eq!(body["gained"], note);
    Ok(())
}

#[tokio::test]
async fn standing_membership_that_was_taken_away_meanwhile_is_not_left_behind() -> anyhow::Result<()>
{
    for first_ends_first in [true, false] {
        let world = World::builder()
            .sql("GRANT readonly TO sym_user")
            .start()
            .await?;
        let (first, second) = (Event::escalate(), Event::escalate());
        world.body(&first).await?;
        world.sql("REVOKE readonly FROM sym_user").await?;
        world.body(&second).await?;
        let (one, other) = match first_ends_first {
            true => (&first, &second),
            false => (&second, &first),
        };
        world.body(&one.end()).await?;
        assert_eq!(world.person_counts_orders().await, Ok(ORDERS));
        world.body(&other.end()).await?;
        assert_eq!(
            world.person_counts_orders().await,
            denied(),
            "{first_ends_first}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_was_made_in_the_roles_name_is_reported() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let peek = "SET ROLE readonly; CREATE FUNCTION public.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
        AS 'SELECT count(*) FROM public.orders'";
    let event = Event::escalate();
    world.body(&event).await?;
    let made = person(&world).await.batch_execute(peek).await;
    let body = world.body(&event.end()).await?;
    assert_eq!(made.is_ok(), !has_set_option(&world));
    assert_eq!(body.contains_key("made"), made.is_ok(), "{body:?}");
    if made.is_err() {
        return Ok(());
    }
    assert_eq!(body["made"], owning("`readonly`"));
    let refused = world.send(&Event::escalate()).await?.to_string();
    assert!(refused.contains("[role-refused]"), "{refused}");
    world.sql("DROP FUNCTION public.peek()").await?;

    let user = TemporaryUser::make(&world).await?;
    user.session(&world).await.batch_execute(peek).await?;
    world.body(&user.event.end()).await?;
    assert!(
        world.lambda.logs().contains(&owning("`readonly`")),
        "it is in the log: {}",
        world.lambda.logs()
    );
    world.sql("DROP FUNCTION public.peek()").await?;
    world.still_works().await
}

#[tokio::test]
async fn what_an_upgraded_server_says_another_granted_is_not_forgotten() -> anyhow::Result<()> {
    let world = World::start().await?;
    if !has_set_option(&world) {
        return Ok(()); // An upgrade to 16 or later is what this is about.
    }
    let event = Event::escalate();
    world.body(&event).await?;
    // As `pg_upgrade` from 15 leaves it.
    world
        .sql(
            "REVOKE readonly FROM sym_user GRANTED BY sym_bot; GRANT readonly TO sym_user;
             UPDATE sym.grants SET server_version = 150000",
        )
        .await?;
    let sentence = "`sym_user` has role `readonly` by a grant that is not this function's, and may have been before the \
        server was upgraded: a superuser has to run `REVOKE readonly FROM sym_user GRANTED BY postgres` [access-remains]";
    assert_eq!(world.send_text(SWEEP).await?, refusal(sentence));
    // Also where another run has lent the same since.
    let second = Event::escalate();
    world.body(&second).await?;
    assert_eq!(world.send(&event.end()).await?, refusal(sentence));
    world.body(&second.end()).await?;
    assert_eq!(world.send(&event.end()).await?, refusal(sentence));
    assert_eq!(world.open_runs().await?, 1);
    world
        .sql("REVOKE readonly FROM sym_user GRANTED BY postgres")
        .await?;
    assert_eq!(world.sweep().await?, 1);
    assert_eq!(world.person_counts_orders().await, denied());
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_session_that_took_the_templates_membership_ends_with_the_last_run() -> anyhow::Result<()>
{
    let world = World::start().await?;
    let (first, second) = (Event::escalate(), Event::escalate());
    world.body(&first).await?;
    let session = person(&world).await;
    // What was taken back could be kept, and before that was looked for another run lent it.
    let ending = format!(
        "SET SESSION AUTHORIZATION sym_bot; REVOKE readonly FROM sym_user;
         UPDATE sym.grants SET state = 'ending', with_set = true WHERE run = lower('{}')",
        first.run_srn()
    );
    world.sql(&ending).await?;
    world.body(&second).await?;
    world.body(&first.end()).await?;
    assert_eq!(world.run_state(&first).await?.as_deref(), Some("ended"));
    assert_eq!(count_orders(&session).await, Ok(ORDERS));
    assert_eq!(world.body(&second.end()).await?["sessions_ended"], 1);
    assert!(is_ended(&session).await);
    Ok(())
}

#[tokio::test]
async fn a_view_that_was_made_the_roles_is_not_kept_by_its_session() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    let session = person(&world).await;
    session
        .batch_execute(
            "CREATE TEMP VIEW kept AS SELECT * FROM public.orders; GRANT SELECT ON kept TO PUBLIC;
             REASSIGN OWNED BY sym_user TO readonly",
        )
        .await?;
    let body = world.body(&event.end()).await?;
    // Up to 15 the session is ended before the look, and the view goes with it.
    let is_there = world.postgres.install().major >= 16;
    assert_eq!(body.contains_key("made"), is_there, "{body:?}");
    assert!(session.batch_execute("SELECT FROM kept").await.is_err());
    Ok(())
}

/// Up to 14 a user may make others members of itself.
#[tokio::test]
async fn who_was_made_a_member_of_a_temporary_user_has_nothing_of_it() -> anyhow::Result<()> {
    let world = World::builder()
        .setting("max_prepared_transactions", "2")
        .start()
        .await?;
    if world.postgres.install().major > 14 {
        return Ok(());
    }
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(&format!("GRANT {} TO {PERSON}", user.name))
        .await?;
    // It can't be dropped for now.
    session
        .batch_execute("BEGIN; SELECT lo_create(0); PREPARE TRANSACTION 'kept'")
        .await?;
    world.send(&user.event.end()).await?;
    assert!(world.role_exists(&user.name).await?);
    assert!(!world.is_member(PERSON, &user.name).await?);
    let set = format!("SET ROLE {}", user.name);
    assert!(person(&world).await.batch_execute(&set).await.is_err());
    Ok(())
}

/// Since 16 a REVOKE that names nobody chooses who granted it.
#[tokio::test]
async fn a_membership_is_taken_back_in_the_name_of_who_granted_it() -> anyhow::Result<()> {
    let world = World::builder()
        .sql(
            "CREATE ROLE lenders; CREATE ROLE lent; GRANT lent TO lenders WITH ADMIN OPTION;
             GRANT lenders TO sym_bot; GRANT SELECT ON orders TO lent",
        )
        .file(
            "plugins.toml",
            "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.lent]\n",
        )
        .start()
        .await?;
    let event = Event::escalate().target("lent");
    world.body(&event).await?;
    assert!(world.is_member(PERSON, "lent").await?);
    world.sql("GRANT lent TO sym_bot WITH ADMIN OPTION").await?;
    world.body(&event.end()).await?;
    assert!(!world.is_member(PERSON, "lent").await?);
    assert_eq!(world.open_runs().await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_user_that_somebody_gave_a_role_is_taken_up_again() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE payroll").start().await?;
    world.still_works().await?;
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    let prepare = "SELECT sym.prepare_user('{\"run\": \"o:run:f:1.0.0:taken\", \"user\": \"taken\", \"secret\": \"s\", \
        \"lease_seconds\": 60}')";
    let create = "SELECT sym.create_user('o:run:f:1.0.0:taken', NULL, 5, false)::text";
    bot.batch_execute(prepare).await?;
    bot.batch_execute(create).await?;
    world.sql("GRANT payroll TO taken").await?;
    bot.batch_execute(create).await?;
    Ok(())
}
