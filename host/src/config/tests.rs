//! All that is wrong is said at once, and what holds where nothing is said.

use super::*;
use crate::error::Error;

const MINIMAL: &[(&str, &str)] = &[
    ("PLUGINS", "dir:///p"),
    ("DB_HOST", "h"),
    ("DB_USER", "sym_bot"),
];

fn config(variables: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let lookup = |name: &str| {
        let found = variables.iter().rev().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::from_env(lookup)
        .map_err(|errors| errors.as_slice().iter().map(Error::to_string).collect())
}

/// What an end has of the same variables.
fn to_end(variables: &[(&str, &str)]) -> Result<Config, Errors> {
    Config::to_end(|name| {
        let found = variables.iter().rev().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

fn with(more: &[(&'static str, &'static str)]) -> Result<Config, Vec<String>> {
    config(&[MINIMAL, more].concat())
}

#[test]
fn the_minimum_has_the_documented_defaults() {
    let config = with(&[]).expect("is valid");
    assert_eq!(config.strategy, Strategy::Role);
    assert_eq!(
        (config.database.port, config.database.name.as_str()),
        (5432, "sym_bot")
    );
    assert_eq!(config.database.ledger, "sym_bot");
    assert_eq!(config.database.tls, Tls::VerifyFull);
    assert_eq!(config.max_duration_seconds, 43_200);
    assert_eq!(config.secrets.prefix, "/symops.com");
    assert_eq!(config.secrets.function, "sym-postgres");
    assert!(
        matches!(config.database.password, PasswordSource::Parameter(name) if name == "/symops.com/DB_PASSWORD")
    );
}

#[test]
fn the_role_templates_names_are_taken_too() {
    let config = config(&[
        ("PLUGINS", "dir:///p"),
        ("PG_HOST", "h"),
        ("PG_USER", "u"),
        ("PG_NAME", "n"),
        ("PG_PORT", "5433"),
    ])
    .expect("is valid");
    assert_eq!(
        (config.database.port, config.database.name.as_str()),
        (5433, "n")
    );
    assert!(
        matches!(config.database.password, PasswordSource::Parameter(name) if name == "/symops.com/PG_PASSWORD")
    );
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let errors = config(&[
        ("DB_PORT", "0"),
        ("STRATEGY", "both"),
        ("SECRETS", "s3://x"),
    ])
    .expect_err("is refused");
    assert_eq!(
        errors,
        [
            "the function's variable `PLUGINS` is not set",
            "the function's variable `DB_USER` is not set",
            "the function's variable `DB_HOST` is not set",
            "the function's variable `DB_PORT` is `0`, expected a whole number from 1 to 65535",
            "the function's variable `SECRETS` is `s3://x`, expected `aws` or `file:///dir`",
            "the function's variable `STRATEGY` is `both`, expected one of `role`, `temporary-user`",
        ]
    );
}

#[test]
fn a_host_is_one_alone() {
    for host in [
        "h",
        "db.example.",
        "127.0.0.1",
        "2001:db8::1",
        "fe80::1%eth0",
        "/run/postgresql",
    ] {
        let config = with(&[("DB_HOST", host)]).expect("is valid");
        assert_eq!(config.database.host, host);
    }
    for host in ["h:5432", "postgres://h", "h/app", "h ", " ", "a b", "h\n"] {
        let errors = with(&[("DB_HOST", host)]).expect_err("is refused");
        let expected = "the function's variable `DB_HOST` has a port, a scheme, a `/` or white space, expected a host name \
                        or an address alone: the port goes into `DB_PORT`";
        assert_eq!(errors, [expected], "{host}");
    }
    let template = [
        ("PLUGINS", "dir:///p"),
        ("PG_HOST", "h:5432"),
        ("DB_USER", "u"),
    ];
    let errors = config(&template).expect_err("is refused");
    assert!(
        errors[0].contains("`PG_HOST` has a port") && errors[0].ends_with("into `PG_PORT`"),
        "{errors:?}"
    );
}

#[test]
fn an_empty_restriction_is_no_restriction_by_mistake() {
    for value in ["", " ", ","] {
        let errors = with(&[("GRANTABLE_ROLES", value), ("ALLOWED_ORGS", value)]);
        let names_nothing = |name| {
            format!(
                "the function's variable `{name}` names nothing: name at least one, or take the variable away, \
                 which is no restriction"
            )
        };
        let expected = ["GRANTABLE_ROLES", "ALLOWED_ORGS"].map(names_nothing);
        assert_eq!(errors.expect_err("is refused"), expected, "`{value}`");
    }
}

#[test]
fn organisations_are_the_same_in_upper_case() {
    let config = with(&[("ALLOWED_ORGS", "Acme, healthy-health,ACME")]).expect("is valid");
    let expected = ["acme", "healthy-health"].map(str::to_owned);
    assert_eq!(config.allowed_orgs, Some(expected.into()));
}

#[test]
fn the_password_comes_from_the_first_place_that_is_named() {
    #[track_caller]
    fn check(more: &[(&'static str, &'static str)], expected: &str) {
        let source = match with(more).expect("is valid").database.password {
            PasswordSource::Given(_) => "given".to_owned(),
            PasswordSource::Parameter(name) => format!("parameter {name}"),
            PasswordSource::Secret { id, field } => format!("secret {id} {field:?}"),
            PasswordSource::Vault(vault) => format!("vault {} {}", vault.path, vault.field),
            PasswordSource::IamToken => "token".to_owned(),
        };
        assert_eq!(source, expected);
    }
    check(&[("DB_PASSWORD", "x"), ("DB_PASSWORD_KEY", "/k")], "given");
    check(
        &[("DB_PASSWORD_SECRET", "s"), ("DB_PASSWORD_KEY", "/k")],
        "parameter /k",
    );
    check(
        &[("DB_PASSWORD_SECRET", "arn:a#password")],
        r#"secret arn:a Some("password")"#,
    );
    let vault = [
        ("DB_PASSWORD_VAULT", "secret/data/a#b"),
        ("VAULT_ADDR", "https://vault.example:8200"),
        ("VAULT_ROLE", "sym"),
    ];
    check(&vault, "vault secret/data/a b");
    check(
        &[vault.as_slice(), &[("DB_PASSWORD_KEY", "/k")]].concat(),
        "parameter /k",
    );
    check(&[("DB_AUTH", "iam"), ("DB_PASSWORD", "x")], "token");
    check(
        &[("DB_PASSWORD_SECRET", "s"), ("DB_PASSWORD", "")],
        "secret s None",
    );
}

#[test]
fn a_token_is_sent_to_nobody_but_the_database() {
    for tls in ["require", "disable"] {
        let errors = with(&[("DB_AUTH", "iam"), ("DB_TLS", tls)]).expect_err("is refused");
        assert!(errors[0].contains("`DB_TLS` has to be"), "{tls}");
    }
}

#[test]
fn a_prefix_that_climbs_out_of_its_place_is_refused() {
    for prefix in ["/a/../b", "..", "/", "/a/", "a b", "/a//b"] {
        let variables = [MINIMAL, &[("SECRET_PREFIX", prefix)]].concat();
        assert!(config(&variables).is_err(), "{prefix}");
    }
    assert!(with(&[("SECRET_PREFIX", "/symops.com/team-a")]).is_ok());
}

#[test]
fn a_configuration_never_shows_the_password() {
    let config = with(&[("DB_PASSWORD", "hunter2hunter2")]).expect("is valid");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn each_variable_has_a_name_of_its_own() {
    let names: BTreeSet<_> = env::VARIABLES
        .iter()
        .map(|variable| variable.name)
        .collect();
    assert_eq!(names.len(), env::VARIABLES.len());
}

/// Each that an end does without has a wrong value here; those that it needs are named.
#[test]
fn what_only_a_beginning_needs_is_wrong_for_a_beginning_alone() {
    const PIN: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
    const NEEDED: &[&str] = &[
        "DB_HOST",
        "DB_PORT",
        "DB_NAME",
        "DB_USER",
        "DB_AUTH",
        "DB_TLS",
        "DB_CA",
        "LEDGER_DB",
        "LEDGER_OWNER",
        "DB_PASSWORD",
        "DB_PASSWORD_KEY",
        "DB_PASSWORD_SECRET",
        "DB_PASSWORD_VAULT",
        "VAULT_ADDR",
        "VAULT_ROLE",
        "VAULT_AUTH_MOUNT",
        "VAULT_NAMESPACE",
        "VAULT_SERVER_ID",
        "VAULT_STS_REGION",
        "VAULT_CACERT",
        "SECRETS",
        "MODE",
        "MIGRATE_FROM",
        "AWS_LAMBDA_FUNCTION_NAME",
    ];
    // Whose value may be any text.
    const FREE: &[&str] = &["PLUGINS", "SECRET_KMS_KEY"];
    let published = [MINIMAL, &[("PLUGINS", "s3://b/p"), ("PLUGIN_TRUST", PIN)]].concat();
    for variable in env::VARIABLES {
        let name = variable.name;
        if NEEDED.contains(&name) {
            continue;
        }
        let wrong = [&published[..], &[(name, " ")]].concat();
        if !FREE.contains(&name) {
            let errors = config(&wrong).expect_err("is refused");
            assert!(
                errors.iter().any(|error| error.contains(name)),
                "{errors:?}"
            );
        }
        assert!(to_end(&wrong).is_ok(), "{name}");
    }
    for name in [
        "DB_PORT",
        "DB_AUTH",
        "DB_TLS",
        "SECRETS",
        "MODE",
        "MIGRATE_FROM",
    ] {
        assert!(NEEDED.contains(&name));
        let wrong = [MINIMAL, &[(name, " ")]].concat();
        assert!(to_end(&wrong).is_err(), "{name}");
    }
}

#[test]
fn an_end_serves_no_organisation_by_a_list_that_is_wrong() {
    let orgs = |list: &'static [(&str, &str)]| {
        let variables = [MINIMAL, &[("RECORD", "ful")], list].concat();
        to_end(&variables).expect("is enough").allowed_orgs
    };
    assert_eq!(orgs(&[]), None);
    assert_eq!(
        orgs(&[("ALLOWED_ORGS", "Acme")]),
        Some(["acme".to_owned()].into())
    );
    for wrong in [&[("ALLOWED_ORGS", "")], &[("ALLOWED_ORGS", " ,")]] {
        assert_eq!(orgs(wrong), Some(BTreeSet::new()));
    }
}

#[test]
fn no_event_has_a_longer_lease_than_the_longest() {
    let config = with(&[
        ("MAX_DURATION_SECONDS", "60"),
        ("EXPIRY_GRACE_SECONDS", "7"),
    ]);
    let config = config.expect("is valid");
    for (asked, lease) in [
        (None, 60),
        (Some(1), 1),
        (Some(60), 60),
        (Some(61), 60),
        (Some(u32::MAX), 60),
    ] {
        assert_eq!(config.lease_seconds(asked), lease, "{asked:?}");
        assert_eq!(
            config.expiry_seconds(asked),
            u64::from(lease) + 7,
            "{asked:?}"
        );
    }
}
