//! Plugins that refuse, break, or ask for what must not be.

use crate::fixture::{Behaviour, Event, World, resolver, target};

fn role_only(what: &str) -> String {
    format!(
        "the strategy `role` lends exactly one role and does nothing else, the plan asks for {what} [invalid-plan]"
    )
}

#[tokio::test]
async fn a_resolver_refuses_people_of_other_domains() -> anyhow::Result<()> {
    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\n[resolver.config]\ndomains = [\"healthy-health.co\"]\n[targets.readonly]\n";
    let world = World::builder()
        .file("plugins.toml", manifest)
        .start()
        .await?;
    for name in [
        "sym-user@evil.example",
        "sym-user@healthy-health.co.evil.example",
        "sym-user@evil.example@healthy-health.co",
        "sym-user",
    ] {
        let sentence = format!(
            "'{name}' gets no database access here, only addresses of healthy-health.co do: ask from such an address, or \
             ask the operator to add yours to 'domains' [denied]"
        );
        world
            .refuses(&Event::escalate().user(name), &sentence)
            .await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_resolver_that_breaks_breaks_nothing_else() -> anyhow::Result<()> {
    let long = "u".repeat(64);
    let cases = [
        (
            Behaviour::Code("unreachable"),
            "plugin `resolver` (sha256 …) panicked: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Code("(drop (call $run (local.get 0)))"),
            "plugin `resolver` (sha256 …) called itself too deeply, the limit `PLUGIN_STACK_BYTES` is 524288 bytes: mend the plugin, or raise the function's variable [plugin-stack]",
        ),
        (
            Behaviour::Code("(drop (i32.load (i32.const -4)))"),
            "plugin `resolver` (sha256 …) read or wrote outside its memory, or called itself too deeply: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Code("(drop (i32.div_u (i32.const 1) (i32.const 0)))"),
            "plugin `resolver` (sha256 …) trapped: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Code("(loop (br 0))"),
            "plugin `resolver` (sha256 …) used up its fuel, its limit `fuel` is 50000000: mend the plugin, or raise the limit in `[resolver.limits]` of plugins.toml [plugin-fuel]",
        ),
        (
            Behaviour::Code("(drop (memory.grow (i32.const 2000)))"),
            "plugin `resolver` (sha256 …) asked for too much memory, its limit `memory_bytes` is 67108864: mend the plugin, or raise the limit in `[resolver.limits]` of plugins.toml [plugin-memory]",
        ),
        (
            Behaviour::Raw(&[9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]),
            "plugin `resolver` (sha256 …) answered with something malformed: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Raw(&[0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 127]),
            "plugin `resolver` (sha256 …) answered with something malformed: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Failure("no-such-person", "looked in the files of the secret police"),
            "plugin `resolver` (sha256 …) answered with failure `no-such-person`: its message is in the function's log [plugin-failed]",
        ),
        (
            Behaviour::Failure("denied", "Not on a Friday."),
            "Not on a Friday. [denied]",
        ),
        (Behaviour::User(""), "the user `` is empty [invalid-plan]"),
        (
            Behaviour::User(&long),
            &format!(
                "the user `{}…` is 64 bytes long, at most 63 are allowed [invalid-plan]",
                &long[..63]
            ),
        ),
        (
            Behaviour::User("pg_read_all_data"),
            "the user `pg_read_all_data` is reserved for PostgreSQL [not-allowed]",
        ),
        (
            Behaviour::User("rds_superuser"),
            "the user `rds_superuser` is reserved for Amazon RDS [not-allowed]",
        ),
        (
            Behaviour::User("sym_bot"),
            "the user `sym_bot` is reserved for this function [not-allowed]",
        ),
        (
            Behaviour::User("sym_user\0x"),
            "the user `sym_user\u{FFFD}x` holds the control character U+0000 [invalid-plan]",
        ),
        (
            Behaviour::User("sym_\u{200B}user"),
            "the user `sym_\u{FFFD}user` holds the invisible character U+200B [invalid-plan]",
        ),
        (
            Behaviour::User("somebody else"),
            "database user `somebody else` does not exist: create it, or have the resolver name another [user-missing]",
        ),
    ];
    // Each is asked for by a letter of its own.
    let letters = 'A'..;
    let mut behaviours = vec![('s', Behaviour::User("sym_user"))];
    let mut expected = Vec::new();
    for (letter, (behaviour, sentence)) in letters.zip(cases) {
        behaviours.push((letter, behaviour));
        expected.push((letter, sentence.to_owned()));
    }
    let manifest = "[resolver]\ncomponent = \"resolver.wasm\"\n[targets.readonly]\n";
    let world = World::builder()
        .file("plugins.toml", manifest)
        .file("resolver.wasm", resolver(&behaviours))
        .start()
        .await?;
    for (letter, sentence) in expected {
        let event = Event::escalate().user(&format!("{letter}@healthy-health.co"));
        world.refuses(&event, &sentence).await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_target_that_asks_too_much_gets_nothing() -> anyhow::Result<()> {
    let long = "r".repeat(64);
    let too_long = format!(
        "step 1 grants role `{}…`, which is 64 bytes long, at most 63 are allowed [invalid-plan]",
        &long[..63]
    );
    let cases = [
        (
            Behaviour::Code("unreachable"),
            "plugin `targets.t0` (sha256 …) panicked: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Code("(loop (br 0))"),
            "plugin `targets.t1` (sha256 …) used up its fuel, its limit `fuel` is 50000000: mend the plugin, or raise the limit in `[targets.t1.limits]` of plugins.toml [plugin-fuel]",
        ),
        (
            Behaviour::Raw(&[0, 0, 0, 0, 0, 1, 0, 0, 255, 255, 0, 0]),
            "plugin `targets.t2` (sha256 …) answered with something malformed: the function's log says where, its author has to mend it [plugin-trapped]",
        ),
        (
            Behaviour::Failure("denied", "Ask your manager."),
            "Ask your manager. [denied]",
        ),
        (Behaviour::Roles(&[]), &role_only("nothing")),
        (
            Behaviour::Roles(&["readonly", "readonly"]),
            &role_only("2 steps"),
        ),
        (
            Behaviour::Sql(&["GRANT readonly TO {username}"]),
            &role_only("an SQL statement"),
        ),
        (Behaviour::Roles(&[&long]), &too_long),
        (
            Behaviour::Roles(&[""]),
            "step 1 grants role ``, which is empty [invalid-plan]",
        ),
        (
            Behaviour::Roles(&["pg_read_all_data"]),
            "step 1 grants role `pg_read_all_data`, which is reserved for PostgreSQL [not-allowed]",
        ),
        (
            Behaviour::Roles(&["rds_superuser"]),
            "step 1 grants role `rds_superuser`, which is reserved for Amazon RDS [not-allowed]",
        ),
        (
            Behaviour::Roles(&["sym_admins"]),
            "step 1 grants role `sym_admins`, which is reserved for this function [not-allowed]",
        ),
        (
            Behaviour::Roles(&["sym_bot"]),
            "step 1 grants role `sym_bot`, which is reserved for this function [not-allowed]",
        ),
        (
            Behaviour::Roles(&["sym_user"]),
            "step 1 grants role `sym_user`, which is reserved for this function [not-allowed]",
        ),
        (
            Behaviour::Roles(&["no such role"]),
            "role `no such role` does not exist in the database: create it, or correct the target [role-missing]",
        ),
        (
            Behaviour::Roles(&["unlendable"]),
            "`sym_bot` may not lend role `unlendable`: an administrator has to run `GRANT unlendable TO sym_bot WITH {options}` [role-refused]",
        ),
        (
            Behaviour::Roles(&["chief"]),
            "role `chief` is never lent: it is privileged [role-refused]",
        ),
        (
            Behaviour::Roles(&["deputy"]),
            "role `deputy` is never lent: it is a member of `chief`, which is privileged [role-refused]",
        ),
        (
            Behaviour::Roles(&["reader"]),
            "role `reader` is never lent: it is a member of `pg_signal_backend`, which belongs to the system [role-refused]",
        ),
        (
            Behaviour::Roles(&["owner"]),
            "role `owner` is never lent: it owns objects [role-refused]",
        ),
        (
            Behaviour::Roles(&["giver"]),
            "role `giver` is never lent: it has the ADMIN option on a role, which whoever it is lent to could keep [role-refused]",
        ),
    ];
    let mut manifest =
        "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder().sql(
        "CREATE ROLE unlendable; CREATE ROLE chief CREATEROLE; CREATE ROLE deputy; GRANT chief TO deputy;
         CREATE ROLE reader; CREATE ROLE owner; CREATE TABLE owned (); ALTER TABLE owned OWNER TO owner;
         CREATE ROLE giver; GRANT readonly TO giver WITH ADMIN OPTION;
         GRANT chief, deputy, reader, owner, giver TO sym_bot WITH ADMIN OPTION;
         GRANT pg_signal_backend TO reader",
    );
    let mut sentences = Vec::new();
    for (index, (behaviour, sentence)) in cases.into_iter().enumerate() {
        manifest.push_str(&format!(
            "[targets.t{index}]\ncomponent = \"t{index}.wasm\"\n"
        ));
        builder = builder.file(&format!("t{index}.wasm"), target(&behaviour));
        sentences.push(sentence.to_owned());
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    for (index, sentence) in sentences.into_iter().enumerate() {
        let sentence = sentence.replace("{options}", world.admin_options());
        world
            .refuses(&Event::escalate().target(&format!("t{index}")), &sentence)
            .await?;
        world.still_works().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_setup_that_fails_leaves_no_user_and_no_secret() -> anyhow::Result<()> {
    let cases = [
        (
            "GRANT nosuch TO {username}",
            "role `nosuch` does not exist in the database: create it, or correct the target [role-missing]",
        ),
        (
            "GRANT readonly TO {username}; GRANT SELECT ON nothing TO {username}",
            "the database refused step 2 of the target's setup (SQLSTATE 42P01): see the function's log [database-refused]",
        ),
        (
            "GRANT SELECT ON unseen TO {username}",
            "the database refused step 1 of the target's setup (SQLSTATE 42501): `sym_bot` lacks a privilege, or its grant option, on something that it names: see the function's log [database-refused]",
        ),
        (
            "GRANT SELECT ON seen TO {username}",
            "a statement of the target's setup granted less than it says: give `sym_bot` the grant option on what it grants [database-refused]",
        ),
        // The warning of the first must not be taken for one of the next event.
        (
            "GRANT SELECT ON seen TO {username}; GRANT SELECT ON nothing TO {username}",
            "the database refused step 2 of the target's setup (SQLSTATE 42P01): see the function's log [database-refused]",
        ),
    ];
    let mut manifest =
        "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder()
        .variable("STRATEGY", "temporary-user")
        .sql("CREATE TABLE unseen (); REVOKE ALL ON unseen FROM readonly; CREATE TABLE seen (); GRANT SELECT ON seen TO sym_bot");
    for (index, (sql, _)) in cases.iter().enumerate() {
        manifest.push_str(&format!("[targets.t{index}]\nsql = \"t{index}.sql\"\n"));
        builder = builder.file(&format!("t{index}.sql"), *sql);
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    for (index, (_, sentence)) in cases.iter().enumerate() {
        let event = Event::escalate().target(&format!("t{index}"));
        world.refuses(&event, sentence).await?;
        world.still_works().await?;
        // Its run was prepared, and ends like any other.
        world.body(&event.end()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn statements_that_the_policy_does_not_allow_never_run() -> anyhow::Result<()> {
    let statements = [
        "DROP TABLE orders",
        "GRANT readonly TO postgres",
        "GRANT readonly TO PUBLIC",
        "COMMIT",
        "SET ROLE postgres",
        "COPY orders TO PROGRAM 'id'",
        "ALTER ROLE {username} SUPERUSER",
        "DO 'BEGIN END'",
        "GRANT readonly TO {username}; DROP TABLE orders",
        "GRANT readonly TO {username} WITH ADMIN OPTION",
        "SELECT '{'",
        "this is no SQL",
    ];
    let mut manifest =
        "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n".to_owned();
    let mut builder = World::builder().variable("STRATEGY", "temporary-user");
    for (index, sql) in statements.iter().enumerate() {
        manifest.push_str(&format!(
            "[targets.t{index}]\ncomponent = \"t{index}.wasm\"\n"
        ));
        builder = builder.file(&format!("t{index}.wasm"), target(&Behaviour::Sql(&[sql])));
    }
    let world = builder.file("plugins.toml", manifest).start().await?;
    let before = world.state().await?;
    for (index, sql) in statements.iter().enumerate() {
        let answer = world
            .send(&Event::escalate().target(&format!("t{index}")))
            .await?;
        let sentence = answer["errors"][0].as_str().unwrap_or_default();
        assert!(sentence.starts_with("step 1 "), "{sql}: {answer}");
        assert!(
            sentence.ends_with("[not-allowed]") || sentence.ends_with("[invalid-plan]"),
            "{sql}: {answer}"
        );
        world.is_as(&before).await?;
    }
    assert_eq!(
        world.query("SELECT count(*) FROM orders").await?.as_deref(),
        Some("3")
    );
    world.still_works().await
}

#[tokio::test]
async fn a_temporary_user_never_takes_an_existing_name() -> anyhow::Result<()> {
    let resolver = resolver(&[
        ('s', Behaviour::User("fresh_user")),
        ('t', Behaviour::User("sym_user")),
    ]);
    let manifest = "[resolver]\ncomponent = \"resolver.wasm\"\n[targets.readonly]\n";
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .file("plugins.toml", manifest)
        .file("resolver.wasm", resolver)
        .start()
        .await?;
    let sentence = "a database user `sym_user` exists already and was not made for this run: the resolver has to name \
        another for each run [user-refused]";
    let event = Event::escalate().user("t@healthy-health.co");
    world.refuses(&event, sentence).await?;
    world.still_works().await?;
    // The end of the run that was refused must not touch them either.
    let before = world.state().await?;
    world.body(&event.end()).await?;
    world.is_as(&before).await?;
    Ok(())
}
