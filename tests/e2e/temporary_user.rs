//! The strategy `temporary-user`: a user that lives as long as its run.

use std::fs;

use serde_json::{Value, json};

use crate::fixture::{Event, ORDERS, World, count_orders, refusal, success};

/// What the template makes of its own sample event.
const SECRET: &str =
    "/symops.com/sym-postgres/sym-user@healthy-health.co/2b1befa5-caf5-4ac3-8509-64732c15cb7d";
const USER: &str = "symuser75c471289bca6deb6cd22ed7";

fn text<'a>(secret: &'a Value, field: &str) -> &'a str {
    secret[field].as_str().unwrap_or_default()
}

#[tokio::test]
async fn the_templates_own_events_make_the_templates_own_secret() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .aws()
        .start()
        .await?;
    let before = world.state().await?;

    let mut body = world.body(&Event::sample("v6/escalate-role")).await?;
    let expires_at = body.remove("expires_at").unwrap_or_default();
    assert_eq!(
        Value::from(body),
        json!({"secret_name": SECRET, "username": USER})
    );
    let expires_at = expires_at.as_str().unwrap_or_default();
    let valid = format!(
        "SELECT rolvaliduntil = '{expires_at}'::timestamptz FROM pg_roles WHERE rolname = '{USER}'"
    );
    assert_eq!(world.query(&valid).await?.as_deref(), Some("true"));
    let secret = world.secret(SECRET).await?;
    assert_eq!(
        world.count_orders(USER, text(&secret, "password")).await,
        Ok(ORDERS)
    );

    assert_eq!(
        world.send(&Event::sample("v6/deescalate-role")).await?,
        success(json!({}))
    );
    assert!(!world.role_exists(USER).await?);
    assert_eq!(
        world.count_orders(USER, text(&secret, "password")).await,
        Err("28P01".to_owned())
    );
    world.is_as(&before).await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_in_aws_says_how_to_log_in_and_whose_it_is() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .aws()
        .start()
        .await?;
    world.body(&Event::sample("v6/escalate-role")).await?;

    let secret = world.secret(SECRET).await?;
    let password = text(&secret, "password").to_owned();
    assert!(password.len() >= 32, "{}", password.len());
    let expected = json!({
        "engine": "postgres", "host": "127.0.0.1", "port": world.postgres.port(), "dbname": "app",
        "username": USER, "password": password,
    });
    assert_eq!(secret, expected);
    let description = world.aws().describe_secret(SECRET).await?;
    assert_eq!(
        description["Description"],
        "Sym-generated temporary password for user: sym-user@healthy-health.co"
    );
    assert_eq!(
        description["Tags"],
        json!([{"Key": "sym.user", "Value": "sym-user@healthy-health.co"}])
    );
    Ok(())
}

#[tokio::test]
async fn a_secret_in_a_directory_says_the_same() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let (user, name) = (body["username"].as_str(), body["secret_name"].as_str());
    let secret = world.secret(name.unwrap_or_default()).await?;
    let expected = json!({
        "engine": "postgres", "host": "127.0.0.1", "port": world.postgres.port(), "dbname": "app",
        "username": user, "password": secret["password"],
    });
    assert_eq!(secret, expected);
    world.body(&event.end()).await?;
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn both_schemas_samples_are_served_alike() -> anyhow::Result<()> {
    let world = World::start().await?;
    let before = world.state().await?;
    for (version, user) in [
        ("v6", "symuserc25fe475217e16f1046d5d15"),
        ("v4", "symuser8455870bb8f16fc4cb81c8e4"),
    ] {
        let body = world
            .body(&Event::sample(&format!(
                "{version}/escalate-temporary-user"
            )))
            .await?;
        assert_eq!(body["username"], user);
        let secret = world
            .secret(body["secret_name"].as_str().unwrap_or_default())
            .await?;
        assert_eq!(
            world.count_orders(user, text(&secret, "password")).await,
            Ok(ORDERS)
        );

        let end = Event::sample(&format!("{version}/deescalate-temporary-user"));
        assert_eq!(world.send(&end).await?, success(json!({})));
        world.is_as(&before).await?;
    }
    Ok(())
}

#[tokio::test]
async fn open_sessions_end_with_the_access() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let session = world
        .login(text(&secret, "username"), text(&secret, "password"))
        .await;
    let session = session.expect("the user can log in");
    // By this, a session of the template's user keeps its rights for ever.
    let set_role = session.batch_execute("SET ROLE readonly").await;
    assert_eq!(set_role.is_ok(), world.postgres.install().major < 16);
    assert_eq!(count_orders(&session).await, Ok(ORDERS));

    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    let after = count_orders(&session).await;
    assert!(
        ["57P01", "closed"]
            .map(|code| Err(code.to_owned()))
            .contains(&after),
        "{after:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_session_reads_57p01_when_it_is_ended() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let session = world
        .login(text(&secret, "username"), text(&secret, "password"))
        .await;
    let session = session.expect("the user can log in");
    let (end, waiting) = (event.end(), session.batch_execute("SELECT pg_sleep(60)"));

    let (waited, ended) = tokio::join!(waiting, world.send(&end));
    assert_eq!(ended?, success(json!({})));
    let error = waited.expect_err("the statement was ended");
    assert_eq!(error.code().map(|code| code.code()), Some("57P01"));
    Ok(())
}

#[tokio::test]
async fn what_the_user_made_does_not_keep_it_alive() -> anyhow::Result<()> {
    let world = World::builder()
        .sql("GRANT CREATE, USAGE ON SCHEMA public TO readonly")
        .start()
        .await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let session = world
        .login(text(&secret, "username"), text(&secret, "password"))
        .await;
    let session = session.expect("the user can log in");
    session
        .batch_execute("CREATE TABLE notes (); GRANT SELECT ON notes TO PUBLIC")
        .await?;

    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    assert!(!world.role_exists(text(&secret, "username")).await?);
    let owner = "SELECT tableowner FROM pg_tables WHERE tablename = 'notes'";
    let heir = world.heir_of(text(&secret, "username")).await?;
    assert!(heir.is_some());
    assert_eq!(world.query(owner).await?, heir);
    Ok(())
}

#[tokio::test]
async fn the_user_is_bounded_by_the_server_itself() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("CONNECTION_LIMIT", "1")
        .variable("EXPIRY_GRACE_SECONDS", "0")
        .start()
        .await?;
    let event = Event::escalate_temporary_user().with("/fields/duration", json!(30));
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let password = text(&secret, "password");

    let _first = world
        .login(user, password)
        .await
        .expect("the first gets in");
    assert_eq!(
        world.count_orders(user, password).await,
        Err("53300".to_owned())
    );
    let facts = format!(
        "SELECT rolvaliduntil BETWEEN now() + '29 min' AND now() + '30 min' AND NOT rolsuper AND NOT rolcreaterole
            AND NOT rolcreatedb AND NOT rolreplication AND NOT rolbypassrls FROM pg_roles WHERE rolname = '{user}'"
    );
    assert_eq!(world.query(&facts).await?.as_deref(), Some("true"));
    Ok(())
}

#[tokio::test]
async fn a_bot_without_a_domain_gets_a_user_too() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user().user("deploy-bot");
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    assert!(
        user.starts_with("deploybot") && user.len() == 9 + 24,
        "{user}"
    );
    world.body(&event.end()).await?;
    assert!(!world.role_exists(user).await?);
    Ok(())
}

#[tokio::test]
async fn each_statement_of_a_file_runs_in_order() -> anyhow::Result<()> {
    let sql = "GRANT readonly TO {username};\nALTER ROLE {username} SET statement_timeout = '7s'; -- Not for ever.";
    let world = World::builder().file("readonly.sql", sql).start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let session = world
        .login(text(&secret, "username"), text(&secret, "password"))
        .await;
    let session = session.expect("the user can log in");
    let row = session.query_one("SHOW statement_timeout", &[]).await?;
    assert_eq!(
        (row.get(0), count_orders(&session).await),
        ("7s", Ok(ORDERS))
    );
    world.body(&event.end()).await?;
    Ok(())
}

/// That hangs on the user in no database. And it is the administrator's who has run the setup, and so
/// is in `sym_managed` since 16.
#[tokio::test]
async fn what_a_file_grants_on_the_database_goes_with_the_user() -> anyhow::Result<()> {
    let world = World::builder()
        .file(
            "readonly.sql",
            "GRANT TEMPORARY ON DATABASE app TO {username};",
        )
        .sql("GRANT TEMPORARY ON DATABASE app TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    let leaver = world.leaver().await?;
    world.end_removes(&leaver).await
}

#[tokio::test]
async fn a_ledger_in_a_database_of_its_own_spans_both() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .start()
        .await?;
    world.make_ledger_database().await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let (user, password) = (text(&secret, "username"), text(&secret, "password"));
    assert_eq!(secret["dbname"], "app");
    assert_eq!(world.count_orders(user, password).await, Ok(ORDERS));
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    world.is_as(&before).await?;
    Ok(())
}

#[tokio::test]
async fn a_try_that_failed_in_another_database_leaves_nothing_to_the_next() -> anyhow::Result<()> {
    let manifest = "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n\
        [targets.readonly-sql]\nstrategy = \"temporary-user\"\nsql = \"narrow.sql\"\n";
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .file("plugins.toml", manifest)
        .file(
            "narrow.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON pay TO {username};
             ALTER ROLE {username} SET work_mem = '1MB'; ALTER ROLE {username} IN DATABASE app SET jit = off",
        )
        .sql(
            "CREATE TABLE pay (); CREATE TABLE pub (); GRANT SELECT ON pay, pub TO sym_bot WITH GRANT OPTION",
        )
        .start()
        .await?;
    world.make_ledger_database().await?;
    let before = world.state().await?;
    // No secret can be put where a file is.
    let secrets = world.secrets_directory();
    std::fs::write(&secrets, "")?;
    let event = Event::escalate_temporary_user();
    let failed = world.send(&event).await?.to_string();
    assert!(failed.contains("[secret-unavailable]"), "{failed}");
    let release = world.ledger("SELECT release FROM sym.grants").await?;
    std::fs::remove_file(&secrets)?;
    let narrow = world.plugins_directory().join("narrow.sql");
    std::fs::write(narrow, "GRANT SELECT ON pub TO {username}")?;
    let other = world.another(&[]).await?;
    let body = world.body_of(&other, &event.to_string()).await?;
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let (user, password) = (text(&secret, "username"), text(&secret, "password"));
    let session = world.login(user, password).await;
    let session = session.map_err(anyhow::Error::msg)?;
    session.batch_execute("SELECT FROM public.pub").await?;
    assert!(
        session
            .batch_execute("SELECT FROM public.pay")
            .await
            .is_err()
    );
    assert!(!world.is_member(user, "readonly").await?);
    let settings =
        format!("SELECT count(*) FROM pg_db_role_setting WHERE setrole = '{user}'::regrole");
    assert_eq!(world.query(&settings).await?.as_deref(), Some("0"));
    // Whoever makes a role is a member since 16, but can't use it.
    let by_itself = "SELECT count(*) FROM pg_auth_members WHERE member = 'sym_bot'::regrole AND grantor = member";
    assert_eq!(world.query(by_itself).await?.as_deref(), Some("0"));
    // The release that decided is the one of the try that counts.
    let decided = world.ledger("SELECT release FROM sym.grants").await?;
    assert_ne!(decided, release);
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    world.is_as(&before).await
}

#[tokio::test]
async fn a_role_that_somebody_else_gave_the_user_goes_with_it() -> anyhow::Result<()> {
    let world = World::builder().sql("CREATE ROLE more").start().await?;
    let (first, second) = (
        Event::escalate_temporary_user(),
        Event::escalate_temporary_user(),
    );
    let body = world.body(&first).await?;
    let user = body["username"].as_str().unwrap_or_default();
    world.sql(&format!("GRANT more TO {user}")).await?;

    assert_eq!(world.send(&first.end()).await?, success(json!({})));
    assert!(!world.role_exists(user).await?);
    // Since 16 the server warns that the bot can't revoke what another granted,
    // and that warning is not the next setup's.
    world.body(&second).await?;
    world.body(&second.end()).await?;
    Ok(())
}

#[tokio::test]
async fn privileges_that_somebody_else_gave_are_said_and_keep_no_login() -> anyhow::Result<()> {
    let world = World::start().await?;
    let event = Event::escalate_temporary_user();
    let body = world.body(&event).await?;
    let user = body["username"].as_str().unwrap_or_default();
    let name = body["secret_name"].as_str().unwrap_or_default();
    let secret = world.secret(name).await?;
    // By a superuser: no other role can revoke it.
    world
        .sql(&format!("GRANT INSERT ON orders TO {user}"))
        .await?;

    let sentence = format!(
        "temporary user `{user}` can't log in any more, but could not be dropped: something in the \
         database still depends on it; the function's log names it [access-remains]"
    );
    assert_eq!(world.send(&event.end()).await?, refusal(&sentence));
    let login = world.count_orders(user, text(&secret, "password")).await;
    assert_eq!(login, Err("28P01".to_owned()));
    let log = world.lambda.logs();
    assert!(log.contains("table public.orders"), "{log}");

    world
        .sql(&format!("REVOKE INSERT ON orders FROM {user}"))
        .await?;
    assert_eq!(world.send(&event.end()).await?, success(json!({})));
    assert!(!world.role_exists(user).await?);
    Ok(())
}

#[tokio::test]
async fn a_secret_of_an_earlier_try_keeps_its_password() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .start()
        .await?;
    let path = world
        .secrets_directory()
        .join(format!("{}.json", &SECRET[1..]));
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let secret = json!({
        "engine": "postgres", "host": "127.0.0.1", "port": world.postgres.port(), "dbname": "app",
        "username": USER, "password": "of the first try",
    });
    fs::write(&path, secret.to_string())?;

    world.body(&Event::sample("v6/escalate-role")).await?;
    assert_eq!(world.secret(SECRET).await?, secret);
    assert_eq!(
        world.count_orders(USER, "of the first try").await,
        Ok(ORDERS)
    );
    Ok(())
}

#[tokio::test]
async fn a_secret_of_somebody_elses_is_not_taken() -> anyhow::Result<()> {
    let world = World::builder()
        .variable("STRATEGY", "temporary-user")
        .start()
        .await?;
    let path = world
        .secrets_directory()
        .join(format!("{}.json", &SECRET[1..]));
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    fs::write(&path, r#"{"username": "someone", "password": "theirs"}"#)?;
    let sentence = format!(
        "a secret `{SECRET}` is there that isn't this run's: delete it, and try again [secret-unavailable]"
    );
    world
        .refuses(&Event::sample("v6/escalate-role"), &sentence)
        .await?;
    world.still_works().await
}

#[tokio::test]
async fn a_setup_that_fails_leaves_no_secret() -> anyhow::Result<()> {
    let sql = "GRANT readonly TO {username};\nGRANT SELECT ON orders_of_tomorrow TO {username};";
    let world = World::builder()
        .file("readonly.sql", sql)
        .aws()
        .start()
        .await?;
    let before = world.state().await?;
    let event = Event::escalate_temporary_user();
    let requests = || world.aws().log_text().matches("\"POST / HTTP").count();
    let requests_before = requests();
    let sentence = "the database refused step 2 of the target's setup (SQLSTATE 42P01): see the function's log \
        [database-refused]";
    assert_eq!(world.send(&event).await?, refusal(sentence));
    // It was made beside the user, and deleted when there was none.
    assert_eq!(requests() - requests_before, 2);
    assert_eq!(world.secrets().await?, [""; 0]);
    assert_eq!(world.run_state(&event).await?.as_deref(), Some("pending"));
    world.is_as(&before).await?;

    world
        .sql("CREATE TABLE orders_of_tomorrow (); GRANT SELECT ON orders_of_tomorrow TO sym_bot WITH GRANT OPTION")
        .await?;
    let body = world.body(&event).await?;
    let name = body["secret_name"].as_str().unwrap_or_default();
    let secret = world.secret(name).await?;
    let counted = world.count_orders(text(&secret, "username"), text(&secret, "password"));
    assert_eq!(counted.await, Ok(ORDERS));
    world.body(&event.end()).await?;
    assert_eq!(world.secrets().await?, [""; 0]);
    Ok(())
}

/// The secret of a run is called as its first try called it.
#[tokio::test]
async fn a_setup_that_fails_leaves_no_secret_of_an_older_prefix() -> anyhow::Result<()> {
    let sql = "GRANT readonly TO {username};\nGRANT SELECT ON orders_of_tomorrow TO {username};";
    let world = World::builder().file("readonly.sql", sql).start().await?;
    let event = Event::escalate_temporary_user().to_string();
    let another = world.another(&[("SECRET_PREFIX", "/another")]).await?;
    for function in [&world.lambda, &another] {
        let answer = world.send_to(function, &event).await?.to_string();
        assert!(answer.contains("refused step 2"), "{answer}");
        assert_eq!(world.secrets().await?, [""; 0]);
    }
    Ok(())
}

/// What is left of a try has nothing to do with what the next one's release asks for.
#[tokio::test]
async fn a_release_without_statements_takes_what_one_with_some_has_given() -> anyhow::Result<()> {
    let manifest = |target: &str| {
        format!(
            "[resolver]\ncomponent = \"default-resolver.wasm\"\n[targets.readonly]\n\
             [targets.readonly-sql]\nstrategy = \"temporary-user\"\n{target}\n"
        )
    };
    let world = World::builder()
        .variable("LEDGER_DB", "ledger")
        .file("plugins.toml", manifest("sql = \"pay.sql\""))
        .file(
            "pay.sql",
            "GRANT readonly TO {username}; GRANT SELECT ON pay TO {username}",
        )
        .sql("CREATE TABLE pay (); GRANT SELECT ON pay TO sym_bot WITH GRANT OPTION")
        .start()
        .await?;
    world.make_ledger_database().await?;
    let before = world.state().await?;
    // No secret can be put where a file is.
    let secrets = world.secrets_directory();
    std::fs::write(&secrets, "")?;
    let event = Event::escalate_temporary_user();
    let failed = world.send(&event).await?.to_string();
    assert!(failed.contains("[secret-unavailable]"), "{failed}");
    std::fs::remove_file(&secrets)?;
    std::fs::write(
        world.plugins_directory().join("plugins.toml"),
        manifest("role = \"readonly\""),
    )?;
    let other = world.another(&[]).await?;
    let body = world.body_of(&other, &event.to_string()).await?;
    let user = body["username"].as_str().unwrap_or_default();
    let pays = format!("SELECT has_table_privilege('{user}', 'pay', 'SELECT')");
    assert_eq!(world.query(&pays).await?.as_deref(), Some("false"));
    let secret = world
        .secret(body["secret_name"].as_str().unwrap_or_default())
        .await?;
    let password = text(&secret, "password");
    assert_eq!(world.count_orders(user, password).await, Ok(ORDERS));
    world.body_of(&other, &event.end().to_string()).await?;
    world.is_as(&before).await
}
