//! What the operator has configured, checked as a whole.
//!
//! Pure: the environment comes in as a function. All that is wrong is reported
//! at once, so that a function is mended in one deployment.

mod reader;
#[cfg(test)]
mod tests;
mod vault;

use std::collections::BTreeSet;
use std::path::PathBuf;

use self::reader::Reader;
pub use self::vault::Vault;
use crate::env;
use crate::error::Errors;
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
    /// In lower case. `None` serves any organisation, and an empty list, which only
    /// [`to_end`](Config::to_end) lets pass, none.
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
    /// Whose schema `sym` is. Nobody else's functions are called.
    pub ledger_owner: String,
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

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// `invalid-config`, one for each variable that is missing or wrong.
    pub fn from_env(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let mut reader = Reader {
            lookup: &lookup,
            errors: Vec::new(),
        };
        let plugins = reader.required(env::PLUGINS);
        let user = reader.required(env::DB_USER);
        let name = reader.text(env::DB_NAME).unwrap_or_else(|| user.clone());
        let database = Database {
            host: reader.host(),
            port: reader.number(env::DB_PORT, 1..=65_535, 5432) as u16,
            ledger: reader.text(env::LEDGER_DB).unwrap_or_else(|| name.clone()),
            ledger_owner: reader
                .text(env::LEDGER_OWNER)
                .unwrap_or_else(|| user.clone()),
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
            allowed_orgs: reader.allowed_orgs(),
        };
        Errors::none(reader.errors)?;
        Ok(config)
    }

    /// The same without what only a beginning needs, for a function that can't begin
    /// anything: what it has begun has to end all the same.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env), of the variables that an end needs.
    pub fn to_end(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, Errors> {
        let is_for_beginnings = |name: &str| {
            BEGINNINGS
                .iter()
                .any(|variable| variable.name == name || variable.alias == Some(name))
        };
        let mut config = Self::from_env(|name| match name {
            _ if name == env::PLUGINS.name => Some("dir:///".to_owned()),
            _ if is_for_beginnings(name) => None,
            _ => lookup(name),
        })?;
        // One that is right holds, and one that is wrong restricts to nobody: without any, a
        // run that we have never served could end here.
        let mut reader = Reader {
            lookup: &lookup,
            errors: Vec::new(),
        };
        config.allowed_orgs = reader.allowed_orgs();
        Ok(config)
    }

    /// How long an access is for, in seconds, of what its request asks for.
    pub fn lease_seconds(&self, asked: Option<u32>) -> u32 {
        let longest = self.max_duration_seconds;
        asked.unwrap_or(longest).min(longest)
    }

    /// After how many seconds the database ends it by itself.
    pub fn expiry_seconds(&self, asked: Option<u32>) -> u64 {
        u64::from(self.lease_seconds(asked)) + u64::from(self.expiry_grace_seconds)
    }
}

/// What an end can do without.
const BEGINNINGS: [env::Variable; 16] = [
    env::PLUGIN_TRUST,
    env::PLUGIN_REFRESH_SECONDS,
    env::PLUGIN_STACK_BYTES,
    env::STRATEGY,
    env::SECRET_PREFIX,
    env::SECRET_KMS_KEY,
    env::DURATION_UNIT,
    env::MAX_DURATION_SECONDS,
    env::EXPIRY_GRACE_SECONDS,
    env::REPLAY_WINDOW_SECONDS,
    env::CONNECTION_LIMIT,
    // Its default ends what could keep the access.
    env::SESSIONS,
    env::GRANTABLE_ROLES,
    env::SQL_POLICY,
    env::RECORD,
    env::ALLOWED_ORGS,
];

/// What more than one variable decides, or what has a form of its own.
impl Reader<'_> {
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

    /// As the organisation of a run: in lower case.
    fn allowed_orgs(&mut self) -> Option<BTreeSet<String>> {
        let orgs = self.list(env::ALLOWED_ORGS)?;
        Some(orgs.iter().map(|org| org.to_ascii_lowercase()).collect())
    }

    /// What no resolver finds, and is mostly an endpoint with its port, or a URL. A `/` at the
    /// beginning is a socket's directory. Not shown: answers name no host.
    fn host(&mut self) -> String {
        let host = self.required(env::DB_HOST);
        let (name, port) = match self.named(env::DB_HOST) {
            Some((name, _)) if Some(name) == env::DB_HOST.alias => (name, "PG_PORT"),
            _ => (env::DB_HOST.name, env::DB_PORT.name),
        };
        let is_socket = host.starts_with('/');
        let is_endpoint = host.matches(':').count() == 1;
        if !is_socket && (is_endpoint || host.contains('/')) || host.contains(char::is_whitespace) {
            let expected = "expected a host name or an address alone";
            self.wrong(
                name,
                &format!("has a port, a scheme, a `/` or white space, {expected}: the port goes into `{port}`"),
            );
        }
        host
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
