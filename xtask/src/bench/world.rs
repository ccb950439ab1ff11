//! What the functions under measurement work with: one database server, one
//! double of AWS, one set of plugins in every kind of store.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use sym_test_support::aws::Aws;
use sym_test_support::postgres::{Options, Postgres};
use sym_test_support::proxy::Proxy;
use sym_test_support::tools::{self, Major};
use tempfile::TempDir;

use super::cores::{self, Side};
use crate::demo::stage::{self, BOT, DATABASE, Passwords, Store};
use crate::languages;

const BUCKET: &str = "releases";

/// Whose releases are in S3, and whose are in Python: the ledger takes a serial of
/// one function once.
const S3_FUNCTION: &str = "sym-postgres-s3";
const PYTHON_FUNCTION: &str = "sym-postgres-python";

/// Where systems keep all certificates in one file: Debian, and Fedora's family.
const BUNDLES: [&str; 2] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
];

/// Everything but the function.
pub(super) struct World {
    // What talks is dropped before what it talks to.
    counting: Proxy,
    distant: Proxy,
    pub(super) aws: Aws,
    store: Store,
    python: Store,
    directory: TempDir,
    passwords: Passwords,
    pub(super) postgres: Postgres,
}

/// How a function reaches the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// On this machine.
    Direct,
    /// Over TLS, checked to the last name.
    Tls,
    /// Through a wire that adds [`DISTANCE`] to every round trip.
    Distant,
    /// Through a wire that counts round trips.
    Counting,
}

/// What [`Wire::Distant`] adds to a round trip.
const DISTANCE: Duration = Duration::from_millis(5);

/// Where a function has its plugins from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugins {
    /// A signed release with native code, in S3.
    S3,
    /// The same in a directory.
    File,
    /// The components as they lie in a directory: compiled in place.
    Compiled,
    /// A signed release in a directory whose one plugin is in Python.
    Python,
}

impl World {
    /// Starts and fills everything.
    pub(super) async fn start() -> Result<World> {
        let install = tools::postgres_install(Major::from_env()?)?;
        let settings = [("max_connections", "200")];
        let options = Options {
            tls: true,
            settings: settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        };
        cores::work_for(Side::Database)?;
        let postgres = Postgres::start_with(&install, &options)?;
        cores::work_for(Side::All)?;
        let passwords = stage::furnish(&postgres).await?;
        let directory = tempfile::Builder::new().prefix("sym-bench-").tempdir()?;
        let authority = postgres.authority().context("the server has TLS")?;
        fs::write(directory.path().join("authority.pem"), authority)?;
        fs::create_dir(directory.path().join("certificates"))?;
        let plugins = tools::workspace().join("target/plugins");
        let store = Store::publish(&plugins).await?;
        let project = languages::project("python")?;
        let python = Store::publish_for(PYTHON_FUNCTION, &project).await?;
        // Whom its resolver makes of the person of the sample events.
        let sql = "CREATE ROLE \"sym-user\" LOGIN";
        postgres.execute_sql(DATABASE, sql).await?;
        cores::work_for(Side::Function)?;
        let aws = Aws::start()?;
        aws.create_bucket(BUCKET).await?;
        let world = World {
            counting: Proxy::start(postgres.port())?,
            distant: Proxy::start(postgres.port())?,
            aws,
            store,
            python,
            directory,
            passwords,
            postgres,
        };
        world.distant.set_latency(DISTANCE / 2);
        let to = format!("s3://{BUCKET}/sym-postgres");
        let (store, aws) = (&world.store, world.aws.env());
        store.publish_to(&to, S3_FUNCTION, &plugins, &aws).await?;
        Ok(world)
    }

    /// The variables of our function.
    pub(super) fn hosts_variables(
        &self,
        strategy: &str,
        wire: Wire,
        plugins: Plugins,
    ) -> Vec<(String, String)> {
        let mut variables = self.variables(wire);
        let mut set = |name: &str, value: String| variables.push((name.to_owned(), value));
        set("STRATEGY", strategy.to_owned());
        match wire {
            Wire::Tls => set("DB_CA", self.file("authority.pem")),
            _ => set("DB_TLS", "disable".to_owned()),
        }
        match plugins {
            Plugins::S3 => set("PLUGINS", format!("s3://{BUCKET}/sym-postgres")),
            Plugins::File => set("PLUGINS", self.store.url()),
            Plugins::Python => set("PLUGINS", self.python.url()),
            Plugins::Compiled => {
                let path = tools::workspace().join("target/plugins");
                set("PLUGINS", format!("dir://{}", path.display()));
            }
        }
        match plugins {
            Plugins::S3 => set("AWS_LAMBDA_FUNCTION_NAME", S3_FUNCTION.to_owned()),
            Plugins::Python => set("AWS_LAMBDA_FUNCTION_NAME", PYTHON_FUNCTION.to_owned()),
            Plugins::File | Plugins::Compiled => {}
        }
        let signer = match plugins {
            Plugins::Compiled => None,
            Plugins::Python => Some(&self.python),
            Plugins::S3 | Plugins::File => Some(&self.store),
        };
        if let Some(store) = signer {
            set("PLUGIN_TRUST", store.trust.clone());
        }
        variables
    }

    /// The variables of a template.
    pub(super) fn templates_variables(&self, wire: Wire) -> Vec<(String, String)> {
        let mut variables = self.variables(wire);
        for (name, value) in variables.clone() {
            if let Some(rest) = name.strip_prefix("DB_") {
                variables.push((format!("PG_{rest}"), value));
            }
        }
        // psycopg2 would use TLS where it is offered; ours is told not to.
        variables.push(("PGSSLMODE".to_owned(), "disable".to_owned()));
        variables
    }

    fn variables(&self, wire: Wire) -> Vec<(String, String)> {
        let port = match wire {
            Wire::Direct | Wire::Tls => self.postgres.port(),
            Wire::Distant => self.distant.port(),
            Wire::Counting => self.counting.port(),
        };
        let mut variables: Vec<(String, String)> = [
            ("DB_HOST", "127.0.0.1".to_owned()),
            ("DB_PORT", port.to_string()),
            ("DB_NAME", DATABASE.to_owned()),
            ("DB_USER", BOT.to_owned()),
            ("DB_PASSWORD", self.passwords.bot.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        variables.extend(self.aws.env());
        // As in Amazon Linux 2023: all certificates in one file. Debian has each in a
        // file of its own besides, and reading those takes longer than a login.
        if let Some(bundle) = BUNDLES.iter().find(|path| Path::new(path).exists()) {
            variables.push(("SSL_CERT_FILE".to_owned(), (*bundle).to_owned()));
            variables.push(("SSL_CERT_DIR".to_owned(), self.file("certificates")));
        }
        variables
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A directory for what a measurement makes.
    pub(super) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.path().join(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// What a query counts.
    pub(super) async fn count(&self, sql: &str) -> Result<i64> {
        let admin = self.postgres.admin_in(DATABASE).await?;
        Ok(admin.query_one(sql, &[]).await?.get(0))
    }

    /// Counts from zero, on [`Wire::Counting`].
    pub(super) fn reset_round_trips(&self) {
        self.counting.reset();
    }

    /// Round trips on [`Wire::Counting`] since then.
    pub(super) fn round_trips(&self) -> u64 {
        self.counting.round_trips()
    }
}

/// A run: its first event, and its last.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) escalate: String,
    pub(super) deescalate: String,
}

impl Run {
    /// A run of its own, for one person and one target.
    pub(super) fn new(strategy: &str, username: &str, target: &str) -> Result<Run> {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let srn = format!("healthy-health:run:postgres:2.0.0:7d4f8f3a-0000-4000-8000-{id:012x}");
        let event = |kind: &str| -> Result<String> {
            let mut event = stage::sample_event(&format!("events/v6/{kind}-{strategy}.json"))?;
            for (pointer, value) in [
                ("/run/srn", json!(srn)),
                ("/run/actors/request/username", json!(username)),
                ("/fields/target/name", json!(target)),
            ] {
                set(&mut event, pointer, value)?;
            }
            Ok(event.to_string())
        };
        Ok(Run {
            escalate: event("escalate")?,
            deescalate: event("deescalate")?,
        })
    }
}

fn set(event: &mut Value, pointer: &str, value: Value) -> Result<()> {
    *event
        .pointer_mut(pointer)
        .with_context(|| format!("a sample event has no `{pointer}`"))? = value;
    Ok(())
}
