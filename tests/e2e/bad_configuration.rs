//! A function, or a release of plugins, that was set up wrongly.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::fixture::{Event, PERSON, SWEEP, World, refusal, success};

#[tokio::test]
async fn all_variables_that_are_missing_are_named_at_once() -> anyhow::Result<()> {
    let mut builder = World::builder();
    for name in ["PLUGINS", "DB_HOST", "DB_USER"] {
        builder = builder.without_variable(name);
    }
    let world = builder.start().await?;
    let expected = json!({"body": {}, "errors": [
        "the function's variable `PLUGINS` is not set [invalid-config]",
        "the function's variable `DB_USER` is not set [invalid-config]",
        "the function's variable `DB_HOST` is not set [invalid-config]",
    ]});
    for event in [Event::escalate(), Event::escalate().end()] {
        assert_eq!(world.send(&event).await?, expected);
    }
    assert_eq!(
        world.lambda.logs().matches("`PLUGINS` is not set").count(),
        3,
        "once at the start, and with each event"
    );
    Ok(())
}

/// As RDS's `endpoint` is, in Terraform. The host itself is in no answer.
#[tokio::test]
async fn a_host_that_has_its_port_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("DB_HOST", "db.example:5432")
        .start()
        .await?;
    let expected = refusal(
        "the function's variable `DB_HOST` has a port, a scheme, a `/` or white space, expected a host name or an address \
         alone: the port goes into `DB_PORT` [invalid-config]",
    );
    for event in [Event::escalate(), Event::escalate().end()] {
        assert_eq!(world.send(&event).await?, expected);
    }
    // Of one that is only wrong the log says which it was.
    let wrong = world.another(&[("DB_HOST", "db.invalid")]).await?;
    let answer = world
        .send_to(&wrong, &Event::escalate().to_string())
        .await?;
    assert!(
        answer.to_string().contains("[database-unavailable]"),
        "{answer}"
    );
    assert!(!answer.to_string().contains("db.invalid"), "{answer}");
    assert!(wrong.logs().contains("db.invalid"), "{}", wrong.logs());
    Ok(())
}

#[tokio::test]
async fn all_variables_that_are_wrong_are_named_at_once() -> anyhow::Result<()> {
    let mut builder = World::builder();
    for (name, value) in [
        ("DB_PORT", "65536"),
        ("DB_TLS", "yes"),
        ("SECRETS", "file://relative"),
        ("SECRET_PREFIX", "/a/../b"),
        ("STRATEGY", "both"),
        ("DURATION_UNIT", "hours"),
        ("MAX_DURATION_SECONDS", "0"),
        ("EXPIRY_GRACE_SECONDS", "-1"),
        ("REPLAY_WINDOW_SECONDS", "1.5"),
        ("CONNECTION_LIMIT", "many"),
        ("SESSIONS", "no"),
        ("SQL_POLICY", "all"),
    ] {
        builder = builder.variable(name, value);
    }
    let world = builder.start().await?;
    let expected = json!({"body": {}, "errors": [
        "the function's variable `DB_PORT` is `65536`, expected a whole number from 1 to 65535 [invalid-config]",
        "the function's variable `DB_TLS` is `yes`, expected one of `verify-full`, `require`, `disable` [invalid-config]",
        "the function's variable `SECRETS` is `file://relative`, expected `aws` or `file:///dir` [invalid-config]",
        "the function's variable `SECRET_PREFIX` is no beginning of a secret's name, expected letters, digits and `/_+=.@-`, \
         at most 100 bytes, without a `/` at its end [invalid-config]",
        "the function's variable `STRATEGY` is `both`, expected one of `role`, `temporary-user` [invalid-config]",
        "the function's variable `DURATION_UNIT` is `hours`, expected one of `minutes`, `seconds` [invalid-config]",
        "the function's variable `MAX_DURATION_SECONDS` is `0`, expected a whole number from 1 to 31622400 [invalid-config]",
        "the function's variable `EXPIRY_GRACE_SECONDS` is `-1`, expected a whole number from 0 to 31622400 [invalid-config]",
        "the function's variable `REPLAY_WINDOW_SECONDS` is `1.5`, expected a whole number from 0 to 31622400 [invalid-config]",
        "the function's variable `CONNECTION_LIMIT` is `many`, expected a whole number from 1 to 1000 [invalid-config]",
        "the function's variable `SESSIONS` is `no`, expected one of `auto`, `terminate`, `keep` [invalid-config]",
        "the function's variable `SQL_POLICY` is `all`, expected one of `grants`, `roles`, `any` [invalid-config]",
    ]});
    assert_eq!(world.send(&Event::escalate()).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_source_of_plugins_that_is_none_is_named() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("PLUGINS", "/opt/plugins")
        .start()
        .await?;
    let sentence = "the function's variable `PLUGINS` is `/opt/plugins`, expected `s3://bucket/prefix`, \
        `file:///path/of/a/store` or `dir:///path/of/a/directory` [invalid-config]";
    world.refuses(&Event::escalate(), sentence).await
}

#[tokio::test]
async fn without_plugins_access_still_ends() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
    world.body(&role).await?;
    world.body(&user).await?;
    let (plugins, aside) = (
        world.plugins_directory(),
        world.plugins_directory().with_extension("aside"),
    );
    fs::rename(&plugins, &aside)?;
    world.lambda.restart().await?;

    let sentence = "the plugins can't be read: the function's log says which and why \
        [release-unavailable]";
    world.refuses(&Event::escalate(), sentence).await?;
    assert_eq!(
        world.send(&role.end()).await?,
        success(json!({"username": PERSON}))
    );
    assert_eq!(world.send(&user.end()).await?, success(json!({})));

    fs::rename(&aside, &plugins)?;
    world.still_works().await
}

/// What gives access and what ends it are one function, and nobody sends an end again.
#[tokio::test]
async fn what_only_a_beginning_needs_keeps_no_end_away() -> anyhow::Result<()> {
    let world = World::start().await?;
    for (name, value) in [
        ("RECORD", "ful"),
        ("PLUGINS", "dir:/relative"),
        ("DURATION_UNIT", "hours"),
        ("SECRET_PREFIX", "/."),
        ("SESSIONS", "no"),
        ("ALLOWED_ORGS", ","),
    ] {
        let (role, user) = (Event::escalate(), Event::escalate_temporary_user());
        let overdue = Event::escalate();
        for event in [&role, &user] {
            world.body(event).await?;
        }
        let broken = world.another(&[(name, value)]).await?;
        let answer = world.send_to(&broken, &overdue.to_string()).await?;
        assert!(answer.to_string().contains("[invalid-config]"), "{answer}");
        world.body_of(&broken, &role.end().to_string()).await?;
        world.body_of(&broken, &user.end().to_string()).await?;
        assert_eq!(world.open_runs().await?, 0, "{name}");
        if name == "ALLOWED_ORGS" {
            // Whose list is right serves who is on it; here nobody knows whose run this is.
            let foreign = Event::escalate().end();
            let answer = world.send_to(&broken, &foreign.to_string()).await?;
            let sentence = "the function's variable `ALLOWED_ORGS` names nothing, so no run that the ledger doesn't \
                know is served: mend it, and send the event again [invalid-config]";
            assert_eq!(answer, refusal(sentence));
            assert_eq!(world.run_state(&foreign).await?, None);
        }

        // The sweep's alarm rings all the same.
        world.body(&overdue).await?;
        world.let_time_pass().await?;
        let answer = world.send_to(&broken, SWEEP).await?;
        assert!(answer.to_string().contains("[invalid-config]"), "{answer}");
        assert_eq!(world.open_runs().await?, 0, "{name}");
    }
    world.still_works().await
}

#[tokio::test]
async fn who_is_served_no_more_has_access_no_longer() -> anyhow::Result<()> {
    let world = World::start().await?;
    let (event, unknown) = (Event::escalate(), Event::escalate());
    world.body(&event).await?;
    let narrow = world.another(&[("ALLOWED_ORGS", "somebody-else")]).await?;
    for refused in [&Event::escalate(), &unknown.end()] {
        let answer = world.send_to(&narrow, &refused.to_string()).await?;
        assert!(answer.to_string().contains("[foreign-event]"), "{answer}");
    }
    // As patiently as any end, here for the password to be there again.
    let rotate = |password: &str| format!("ALTER ROLE sym_bot PASSWORD '{password}'");
    world.sql(&rotate("other")).await?;
    let narrow = world.another(&[("ALLOWED_ORGS", "somebody-else")]).await?;
    let end = event.end().to_string();
    let back = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.sql(&rotate(&world.bot_password)).await
    };
    let (ended, back) = tokio::join!(world.body_of(&narrow, &end), back);
    back?;
    let ended = ended?;
    assert_eq!(world.open_runs().await?, 0);
    // And where the answer is lost, it is the same again.
    assert_eq!(world.body_of(&narrow, &end).await?, ended);
    // Nor has who is there though the ledger is older.
    let leaver = world.leaver().await?;
    world.sql("DELETE FROM sym.grants").await?;
    world
        .body_of(&narrow, &leaver.event.end().to_string())
        .await?;
    assert!(!world.role_exists(&leaver.user).await?);
    Ok(())
}

#[tokio::test]
async fn a_release_that_is_wrong_says_what_and_is_read_again() -> anyhow::Result<()> {
    let world = World::builder().file("plugins.toml", "").start().await?;
    let path = world.plugins_directory().join("plugins.toml");
    let honest = include_str!("../../plugins/plugins.toml");
    let resolver = "[resolver]\ncomponent = \"default-resolver.wasm\"\n";
    for (manifest, what) in [
        ("".to_owned(), "plugins.toml: `resolver` is missing, expected `[resolver]` with `component = \"….wasm\"`"),
        ("[resolver]\ncomponent = \"gone.wasm\"\n[targets.t]\nsql = \"gone.sql\"\nstrategy = \"temporary-user\"".to_owned(), "`gone.sql` (`targets.t`) is missing; `gone.wasm` (`resolver`) is missing"),
        (format!("{resolver}[targets.t]\nstrategy = \"roles\""), "plugins.toml: line 4: `targets.t.strategy` is `roles`, expected `role` or `temporary-user`"),
        (format!("{resolver}[targets.t]\ncomponent = \"../../etc/passwd\""), "plugins.toml: line 4: `targets.t.component` is `../../etc/passwd`, expected a path below the directory of plugins.toml, such as `plugins/x.wasm`"),
        (format!("{resolver}[targets.t]\nsqll = \"x\""), "plugins.toml: line 4: unknown field `sqll`, expected one of `strategy`, `component`, `sql`, `role`, `config`, `limits`, `wasi`"),
    ] {
        fs::write(&path, manifest)?;
        let sentence = format!("the release is refused: {what} [invalid-plugin]");
        world.refuses(&Event::escalate(), &sentence).await?;
    }
    fs::remove_file(&path)?;
    let sentence = "the plugins can't be read: the function's log says which and why \
        [release-unavailable]";
    world.refuses(&Event::escalate(), sentence).await?;
    fs::write(&path, honest)?;
    world.still_works().await
}

#[tokio::test]
async fn what_is_no_component_is_refused_and_the_rest_works() -> anyhow::Result<()> {
    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n\
        [targets.text]\ncomponent = \"text.wasm\"\n[targets.module]\ncomponent = \"module.wasm\"\n\
        [targets.resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.sql]\nsql = \"readonly.sql\"\n";
    let world = World::builder()
        .file("plugins.toml", manifest)
        .file("text.wasm", "GRANT readonly TO {username}")
        .file("module.wasm", wat::parse_str("(module)")?)
        .start()
        .await?;
    for (name, sentence) in [
        (
            "text",
            "plugin `targets.text` (sha256 …), `text.wasm`, is no WebAssembly, expected a component in binary form [invalid-plugin]",
        ),
        (
            "module",
            "plugin `targets.module` (sha256 …), `module.wasm`, is a core module, expected a component: `symctl plugin build` or `wasm-tools component new` makes one of it [invalid-plugin]",
        ),
        (
            "resolver",
            "plugin `targets.resolver` (sha256 …), `default-resolver.wasm`, exports `sym:postgres/resolver@0.1.0`, expected `sym:postgres/target-setup@0.1` with `setup: func(request: request, username: string) -> result<list<step>, failure>` [invalid-plugin]",
        ),
        (
            "sql",
            "target `sql` is the file `readonly.sql`, which the strategy `role` can't run: its entry in plugins.toml needs `strategy = \"temporary-user\"`, or `role` instead of `sql` [invalid-plugin]",
        ),
    ] {
        world
            .refuses(&Event::escalate().target(name), sentence)
            .await?;
        world.still_works().await?;
    }
    Ok(())
}
