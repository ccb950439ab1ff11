//! What somebody made the lent role's, or another role's that the access let them be.

use anyhow::{Context as _, ensure};

use super::{TemporaryUser, has_set_option, person};
use crate::fixture::{BOT, Builder, Event, SWEEP, World};

/// Everybody may make things in schema `work`; who has `readonly` has `base`, which has what
/// is in `pay`.
fn world() -> Builder {
    World::builder().sql(
        "CREATE SCHEMA work; GRANT USAGE, CREATE ON SCHEMA work TO PUBLIC;
         CREATE TABLE public.pay (amount int); CREATE ROLE base; GRANT SELECT ON public.pay TO base; GRANT base TO readonly",
    )
}

/// It reads what its owner may.
const GIVE: &str = "CREATE VIEW work.view AS SELECT count(*) FROM public.pay; REASSIGN OWNED BY CURRENT_USER TO base";

/// The same, for who is the owner.
const PEEK: &str = "CREATE FUNCTION work.peek() RETURNS bigint LANGUAGE sql SECURITY DEFINER \
    AS 'SELECT count(*) FROM public.pay'";

pub(super) fn owning(roles: &str) -> String {
    format!(
        "roles that have to own nothing own something now, or too much is granted to them to tell: {roles}; look what, as a \
         function of theirs can do what they may: until it is gone, neither they nor their members are lent"
    )
}

/// How often the function's log says it.
fn said(world: &World, roles: &str) -> usize {
    world.lambda.logs().matches(&owning(roles)).count()
}

#[tokio::test]
async fn a_temporary_user_can_give_nothing_to_what_marks_it() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    let session = user.session(&world).await;
    session.batch_execute(PEEK).await?;
    for statement in [
        "SET ROLE sym_managed",
        "ALTER FUNCTION work.peek() OWNER TO sym_managed",
        "REASSIGN OWNED BY CURRENT_USER TO sym_managed",
    ] {
        let given = session.batch_execute(statement).await;
        let code = given.err().context(statement)?;
        assert_eq!(code.code().map(|code| code.code()), Some("42501"));
    }
    world.body(&user.event.end()).await?;
    world.ledger_agrees().await
}

/// Up to 15 an older version made its users members of what marks them.
#[tokio::test]
async fn what_a_user_of_an_older_version_gave_to_its_mark_is_reported() -> anyhow::Result<()> {
    let world = world().start().await?;
    if has_set_option(&world) {
        return Ok(());
    }
    let user = TemporaryUser::make(&world).await?;
    let mark = format!("GRANT sym_managed TO {}", user.name);
    let bot = world.login(BOT, &world.bot_password).await;
    let bot = bot.map_err(anyhow::Error::msg)?;
    bot.batch_execute(&mark).await?;
    let session = user.session(&world).await;
    session
        .batch_execute(&format!("SET ROLE sym_managed; {PEEK}"))
        .await?;
    let doctor = world.symctl(&["doctor", "--json"]).await?;
    assert!(
        doctor.stdout.contains("function work.peek()"),
        "{}",
        doctor.stdout
    );
    world.body(&user.event.end()).await?;
    assert_eq!(said(&world, "`sym_managed`"), 1);

    let another = TemporaryUser::make(&world).await?;
    let replaced = PEEK.replace("CREATE", "CREATE OR REPLACE");
    let session = another.session(&world).await;
    assert!(session.batch_execute(&replaced).await.is_err());
    world.body(&another.event.end()).await?;
    assert_eq!(said(&world, "`sym_managed`"), 1);
    world.ledger_agrees().await
}

#[tokio::test]
async fn what_was_made_a_role_aboves_is_reported() -> anyhow::Result<()> {
    let world = world().start().await?;
    let event = Event::escalate();
    world.body(&event).await?;
    person(&world).await.batch_execute(GIVE).await?;
    let body = world.body(&event.end()).await?;
    assert_eq!(body["made"], owning("`base`"));
    // The same event again says it again.
    let body = world.body(&event.end()).await?;
    assert_eq!(body["made"], owning("`base`"));
    let refused = world.send(&Event::escalate()).await?.to_string();
    assert!(refused.contains("[role-refused]"), "{refused}");
    world.sql("DROP VIEW work.view").await?;

    let before = said(&world, "`base`");
    let user = TemporaryUser::make(&world).await?;
    user.session(&world).await.batch_execute(GIVE).await?;
    world.body(&user.event.end()).await?;
    assert_eq!(said(&world, "`base`"), before + 1);
    world.sql("DROP VIEW work.view").await?;
    world.still_works().await
}

/// Who was the role when it was taken is it until the session is ended.
#[tokio::test]
async fn what_is_made_while_the_roles_are_taken_is_reported() -> anyhow::Result<()> {
    for role in ["readonly", "base"] {
        let world = world().start().await?;
        if has_set_option(&world) {
            return Ok(());
        }
        let user = TemporaryUser::make(&world).await?;
        let session = user.session(&world).await;
        session.batch_execute(&format!("SET ROLE {role}")).await?;
        let disable = format!(
            "SELECT sym.disable_user(lower('{}'), 'test')",
            user.event.run_srn()
        );
        world.query(&disable).await?;
        session.batch_execute(PEEK).await?;
        world.body(&user.event.end()).await?;
        assert_eq!(said(&world, &format!("`{role}`")), 1);
    }
    Ok(())
}

#[tokio::test]
async fn what_the_databases_own_switch_comes_upon_is_not_forgotten() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    user.session(&world).await.batch_execute(GIVE).await?;
    world.let_time_pass().await?;
    let expire = "SELECT string_agg(outcome, ',') FROM sym.expire()";
    for _ in 0..2 {
        world.query(expire).await?;
    }
    world.body_of(&world.lambda, SWEEP).await?;
    assert_eq!(said(&world, "`base`"), 1);
    world.sql("DROP VIEW work.view").await?;

    let event = Event::escalate();
    world.body(&event).await?;
    person(&world).await.batch_execute(GIVE).await?;
    world.let_time_pass().await?;
    assert_eq!(world.query(expire).await?.as_deref(), Some("taken-back"));
    assert_eq!(
        world.query(expire).await?.as_deref(),
        Some(
            "ended, but roles that have to own nothing own something now, or too much is granted to them to tell: base"
        )
    );
    assert_eq!(world.body(&event.end()).await?["made"], owning("`base`"));
    Ok(())
}

#[tokio::test]
async fn a_run_that_is_not_being_made_gets_no_role() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    let admit = format!(
        "SELECT sym.admit_user(lower('{}'), 'base')",
        user.event.run_srn()
    );
    world.sql("GRANT base TO sym_bot WITH ADMIN OPTION").await?;
    ensure!(world.query(&admit).await.is_err());
    assert!(!world.is_member(&user.name, "base").await?);
    world.body(&user.event.end()).await?;
    ensure!(world.query(&admit).await.is_err());
    Ok(())
}

/// Whoever grants much hides nothing behind it.
#[tokio::test]
async fn what_a_setup_grants_is_looked_at_to_the_last() -> anyhow::Result<()> {
    let world = world().start().await?;
    world.still_works().await?;
    world.sql("CREATE ROLE granted; CREATE ROLE last").await?;
    // By itself it can be many transactions: no one can lock so many.
    world
        .sql(
            "DO $$ BEGIN
                 FOR number IN 1..100000 LOOP
                     EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO granted', lo_create(0));
                     IF number % 1000 = 0 THEN COMMIT; END IF;
                 END LOOP;
             END $$",
        )
        .await?;
    world
        .sql("CREATE TABLE work.last (id int); ALTER TABLE work.last OWNER TO last; GRANT SELECT ON work.last TO granted")
        .await?;
    let database = world.admin_planning_as_the_function().await?;
    for (most, finds_the_last) in [("100000", false), ("NULL", true)] {
        let owners = format!(
            "SELECT 'last'::regrole = ANY (sym.owners_of_granted('granted'::regrole, {most}))"
        );
        let found: bool = database.query_one(&owners, &[]).await?.get(0);
        assert_eq!(found, finds_the_last, "of {most}");
    }
    Ok(())
}

/// A run without a row has no release either, as those of Sym's template.
#[tokio::test]
async fn what_a_user_made_whom_an_older_ledger_does_not_know_is_reported() -> anyhow::Result<()> {
    let world = world().start().await?;
    let user = TemporaryUser::make(&world).await?;
    user.session(&world).await.batch_execute(GIVE).await?;
    world.sql("DELETE FROM sym.grants").await?;
    world.body(&user.event.end()).await?;
    assert_eq!(said(&world, "`base`"), 1);
    Ok(())
}
