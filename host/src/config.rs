//! What the operator has configured, checked as a whole.
//!
//! Pure: the environment comes in as a function. All that is wrong is reported
//! at once, so that a function is mended in one deployment.

mod vault;

use std::collections::BTreeSet;
use std::path::PathBuf;

pub use self::vault::Vault;
use crate::env::{self, Variable};
use crate::error::{Code, Error};
use crate::event::printable;
use crate::plan::Strategy;
use crate::plugin::STACK_BYTES;
use crate::plugin::trust::Trust;
use crate::policy::{Policy, SqlPolicy};
use crate::record::Recording;
use crate::request::DurationUnit;
use crate::secret::Password;

/// Longest time that `MAX_DURATION_SECONDS` and the like may name: 366 days.
const MAX_SECONDS: u64 = 366 * 24 * 3600;

/// The function's name where nobody says one.
pub const DEFAULT_FUNCTION: &str = "sym-postgres";

/// The function's configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `PLUGINS`, not looked at yet.
    pub plugins: String,
    /// Whose published releases run. `None` where `PLUGINS` is a directory.
    pub plugin_trust: Option<Trust>,
    /// How old the pointer to a release may be, in seconds.
    pub plugin_refresh_seconds: u32,
    /// Stack of a plugin's call, in bytes.
    pub plugin_stack_bytes: usize,
    /// For targets that don't say theirs.
    pub strategy: Strategy,
    /// How to reach the database.
    pub database: Database,
    /// Where credentials go.
    pub secrets: Secrets,
    /// What `fields.duration` counts.
    pub duration_unit: DurationUnit,
    /// Longest lease, in seconds; also the lease of an event without duration.
    pub max_duration_seconds: u32,
    /// Added to the lease before the database ends it by itself, in seconds.
    pub expiry_grace_seconds: u32,
    /// For how long an ended run can't begin again, in seconds. 0: not at all.
    pub replay_window_seconds: u32,
    /// How many connections a temporary user may have at once.
    pub connection_limit: u16,
    /// What happens to open sessions when access ends.
    pub sessions: Sessions,
    /// What plans may use.
    pub policy: Policy,
    /// Whether events are recorded in the log.
    pub record: Recording,
    /// Whether events change anything.
    pub mode: Mode,
    /// Whether grants of Sym's role template are taken back as well.
    pub migrates_from_template: bool,
    /// `None` serves any organisation.
    pub allowed_orgs: Option<BTreeSet<String>>,
}

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Where targets' statements run.
    pub name: String,
    /// Whom we log in as.
    pub user: String,
    /// Where the password is.
    pub password: PasswordSource,
    /// Encryption.
    pub tls: Tls,
    /// Certificates to trust instead of Amazon's.
    pub ca_file: Option<PathBuf>,
    /// Where schema `sym` is.
    pub ledger: String,
}

/// Where the bot's password is.
#[derive(Clone, Debug)]
pub enum PasswordSource {
    /// In the environment.
    Given(Password),
    /// An SSM parameter of this name.
    Parameter(String),
    /// A Secrets Manager secret of this name or ARN, and the field of its JSON.
    Secret {
        /// Name or ARN.
        id: String,
        /// Field of its JSON; `None` takes the whole text.
        field: Option<String>,
    },
    /// A field of a secret in Vault.
    Vault(Box<Vault>),
    /// There is none: RDS takes a token that the function's role signs.
    IamToken,
}

/// Encryption of the connection to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Certificate and host name are checked.
    VerifyFull,
    /// Encrypted, not checked.
    Require,
    /// None.
    Disable,
}

/// Where temporary users' credentials go.
#[derive(Clone, Debug)]
pub struct Secrets {
    /// The store.
    pub store: SecretStore,
    /// First part of their names.
    pub prefix: String,
    /// Second part of their names.
    pub function: String,
    /// KMS key, in AWS.
    pub kms_key: Option<String>,
}

/// The kinds of store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretStore {
    /// AWS Secrets Manager.
    Aws,
    /// A directory of files, for local work.
    Directory(PathBuf),
}

/// Whether events change anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// They do.
    Live,
    /// They are compared with what Sym's template does, and nothing changes.
    Shadow,
}

/// What happens to open sessions when access ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// A temporary user's end, and those that could keep a lent role.
    Auto,
    /// All of that user's.
    Terminate,
    /// They stay.
    Keep,
}

impl Sessions {
    /// The word for it, as the SQL functions take it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Terminate => "terminate",
            Self::Keep => "keep",
        }
    }
}

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// `invalid-config`, one for each variable that is missing or wrong.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Vec<Error>> {
        let mut reader = Reader {
            lookup: &lookup,
            errors: Vec::new(),
        };
        let plugins = reader.required(env::PLUGINS);
        let user = reader.required(env::DB_USER);
        let name = reader.text(env::DB_NAME).unwrap_or_else(|| user.clone());
        let database = Database {
            host: reader.required(env::DB_HOST),
            port: reader.number(env::DB_PORT, 1..=65_535, 5432) as u16,
            ledger: reader.text(env::LEDGER_DB).unwrap_or_else(|| name.clone()),
            name,
            user: user.clone(),
            password: reader.password(),
            tls: reader.choice(
                env::DB_TLS,
                &[
                    ("verify-full", Tls::VerifyFull),
                    ("require", Tls::Require),
                    ("disable", Tls::Disable),
                ],
            ),
            ca_file: reader.text(env::DB_CA).map(PathBuf::from),
        };
        if matches!(database.password, PasswordSource::IamToken) && database.tls != Tls::VerifyFull
        {
            reader.wrong(
                env::DB_TLS.name,
                "has to be `verify-full` with `DB_AUTH=iam`: whoever answers is sent the token as it is",
            );
        }
        let secrets = Secrets {
            store: reader.secret_store(),
            prefix: reader.secret_prefix(),
            function: reader
                .text(env::FUNCTION_NAME)
                .unwrap_or_else(|| DEFAULT_FUNCTION.to_owned()),
            kms_key: reader.text(env::SECRET_KMS_KEY),
        };
        let config = Self {
            plugin_trust: reader.trust(&plugins),
            plugin_refresh_seconds: reader.number(env::PLUGIN_REFRESH_SECONDS, 0..=MAX_SECONDS, 60)
                as u32,
            plugin_stack_bytes: reader.number(
                env::PLUGIN_STACK_BYTES,
                64 << 10..=8 << 20,
                STACK_BYTES as u64,
            ) as usize,
            plugins,
            strategy: reader.choice(
                env::STRATEGY,
                &[
                    ("role", Strategy::Role),
                    ("temporary-user", Strategy::TemporaryUser),
                ],
            ),
            database,
            secrets,
            duration_unit: reader.choice(
                env::DURATION_UNIT,
                &[
                    ("minutes", DurationUnit::Minutes),
                    ("seconds", DurationUnit::Seconds),
                ],
            ),
            max_duration_seconds: reader.number(env::MAX_DURATION_SECONDS, 1..=MAX_SECONDS, 43_200)
                as u32,
            expiry_grace_seconds: reader.number(env::EXPIRY_GRACE_SECONDS, 0..=MAX_SECONDS, 900)
                as u32,
            replay_window_seconds: reader.number(env::REPLAY_WINDOW_SECONDS, 0..=MAX_SECONDS, 900)
                as u32,
            connection_limit: reader.number(env::CONNECTION_LIMIT, 1..=1000, 10) as u16,
            sessions: reader.choice(
                env::SESSIONS,
                &[
                    ("auto", Sessions::Auto),
                    ("terminate", Sessions::Terminate),
                    ("keep", Sessions::Keep),
                ],
            ),
            policy: Policy {
                grantable_roles: reader.list(env::GRANTABLE_ROLES),
                sql: reader.choice(
                    env::SQL_POLICY,
                    &[
                        ("grants", SqlPolicy::Grants),
                        ("roles", SqlPolicy::Roles),
                        ("any", SqlPolicy::Any),
                    ],
                ),
                bot: user,
            },
            record: reader.choice(
                env::RECORD,
                &[
                    ("off", Recording::Off),
                    ("masked", Recording::Masked),
                    ("full", Recording::Full),
                ],
            ),
            mode: reader.choice(env::MODE, &[("live", Mode::Live), ("shadow", Mode::Shadow)]),
            migrates_from_template: reader
                .choice(env::MIGRATE_FROM, &[("nothing", false), ("template", true)]),
            allowed_orgs: reader.list(env::ALLOWED_ORGS),
        };
        if reader.errors.is_empty() {
            Ok(config)
        } else {
            Err(reader.errors)
        }
    }
}

struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    errors: Vec<Error>,
}

impl Reader<'_> {
    /// The value, and the name under which it was found. An empty value counts
    /// as none: that is how Terraform and the console leave one out.
    fn named(&self, variable: Variable) -> Option<(&'static str, String)> {
        [Some(variable.name), variable.alias]
            .into_iter()
            .flatten()
            .find_map(|name| Some((name, (self.lookup)(name).filter(|value| !value.is_empty())?)))
    }

    fn text(&self, variable: Variable) -> Option<String> {
        self.named(variable).map(|(_, value)| value)
    }

    fn wrong(&mut self, name: &str, why: &str) {
        self.errors.push(Error::new(
            Code::InvalidConfig,
            format!("the function's variable `{name}` {why}"),
        ));
    }

    fn required(&mut self, variable: Variable) -> String {
        self.text(variable).unwrap_or_else(|| {
            self.wrong(variable.name, "is not set");
            String::new()
        })
    }

    fn number(
        &mut self,
        variable: Variable,
        range: std::ops::RangeInclusive<u64>,
        default: u64,
    ) -> u64 {
        let Some((name, value)) = self.named(variable) else {
            return default;
        };
        match value.parse() {
            Ok(number) if range.contains(&number) => number,
            _ => {
                let (low, high) = (range.start(), range.end());
                self.wrong(
                    name,
                    &format!(
                        "is `{}`, expected a whole number from {low} to {high}",
                        printable(&value, 40)
                    ),
                );
                default
            }
        }
    }

    /// One of several words; the first is the default.
    fn choice<T: Copy>(&mut self, variable: Variable, choices: &[(&str, T)]) -> T {
        let default = choices[0].1;
        let Some((name, value)) = self.named(variable) else {
            return default;
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == value) {
            return *choice;
        }
        let words: Vec<String> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        self.wrong(
            name,
            &format!(
                "is `{}`, expected one of {}",
                printable(&value, 40),
                words.join(", ")
            ),
        );
        default
    }

    fn list(&self, variable: Variable) -> Option<BTreeSet<String>> {
        let text = self.text(variable)?;
        Some(
            text.split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect(),
        )
    }

    fn trust(&mut self, plugins: &str) -> Option<Trust> {
        // A directory is trusted as its file system is; what is no source at all
        // is refused as that.
        if !plugins.starts_with("s3://") && !plugins.starts_with("file://") {
            return None;
        }
        let text = self.required(env::PLUGIN_TRUST);
        if text.is_empty() {
            return None;
        }
        Trust::parse(&text)
            .map_err(|why| self.wrong(env::PLUGIN_TRUST.name, &why))
            .ok()
    }

    fn password(&mut self) -> PasswordSource {
        if self.choice(env::DB_AUTH, &[("password", false), ("iam", true)]) {
            return PasswordSource::IamToken;
        }
        if let Some(password) = self.text(env::DB_PASSWORD) {
            return PasswordSource::Given(Password::from(password));
        }
        if let Some(name) = self.text(env::DB_PASSWORD_KEY) {
            return PasswordSource::Parameter(name);
        }
        if let Some(secret) = self.text(env::DB_PASSWORD_SECRET) {
            return match secret.split_once('#') {
                Some((id, field)) => PasswordSource::Secret {
                    id: id.to_owned(),
                    field: Some(field.to_owned()),
                },
                None => PasswordSource::Secret {
                    id: secret,
                    field: None,
                },
            };
        }
        if let Some(place) = self.text(env::DB_PASSWORD_VAULT) {
            return PasswordSource::Vault(Box::new(self.vault(&place)));
        }
        // The template whose variables are used is the one whose default holds.
        let prefix = match self.named(env::DB_HOST) {
            Some((name, _)) if Some(name) == env::DB_HOST.alias => "PG",
            _ => "DB",
        };
        PasswordSource::Parameter(format!("/symops.com/{prefix}_PASSWORD"))
    }

    fn secret_store(&mut self) -> SecretStore {
        match self.named(env::SECRETS) {
            None => SecretStore::Aws,
            Some((_, value)) if value == "aws" => SecretStore::Aws,
            Some((name, value)) => match value.strip_prefix("file://") {
                Some(path) if path.starts_with('/') => SecretStore::Directory(PathBuf::from(path)),
                _ => {
                    self.wrong(
                        name,
                        &format!(
                            "is `{}`, expected `aws` or `file:///dir`",
                            printable(&value, 80)
                        ),
                    );
                    SecretStore::Aws
                }
            },
        }
    }

    fn secret_prefix(&mut self) -> String {
        let Some((name, value)) = self.named(env::SECRET_PREFIX) else {
            return "/symops.com".to_owned();
        };
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().any(|byte| byte != b'.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_+=.@-".contains(&byte))
        };
        if value.len() > 100
            || !value
                .strip_prefix('/')
                .unwrap_or(&value)
                .split('/')
                .all(is_part)
        {
            self.wrong(
                name,
                "is no beginning of a secret's name, expected letters, digits and `/_+=.@-`, at most 100 bytes, \
                 without a `/` at its end",
            );
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        Config::from_env(lookup).map_err(|errors| errors.iter().map(Error::to_string).collect())
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
}
