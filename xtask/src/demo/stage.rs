//! The demo's parts: tools, builds, a database with people in it, the function.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sym_test_support::lambda::Lambda;
use sym_test_support::postgres::{Options, Postgres, random_word, without_psql_setting};
use sym_test_support::tools::{self, BuildEnvironment, Install, Major};
use tempfile::TempDir;
use tokio_postgres::error::SqlState;

use super::job;
use crate::cargo;
use crate::terminal::Progress;

/// The database that people want access to.
pub(crate) const DATABASE: &str = "app";

/// The table in it, with this many rows.
pub(super) const TABLE: &str = "orders";
pub(super) const ROWS: i64 = 3;

/// The role that may read it, and the person who wants to.
pub(crate) const ROLE: &str = "readonly";
pub(crate) const PERSON: &str = "sym_user";

/// Whom the function logs in as.
pub(crate) const BOT: &str = "sym_bot";

/// Runs blocking work beside the runtime, so that a spinner can turn and an
/// interruption is heard.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

/// Builds the plugins, by a process of its own: a build can be stopped then.
pub(super) async fn build_plugins(
    environment: &BuildEnvironment,
    progress: &Progress,
) -> Result<PathBuf> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("plugins");
    cargo::prepare(&mut command, environment);
    job::run(command, progress).await?;
    let directory = tools::target_directory().join("plugins");
    Ok(directory.canonicalize()?)
}

/// Builds everything else. With the features that tests have, which `--examples`
/// stands for, so that neither builds anew what the other has built.
pub(super) async fn build_workspace(
    environment: &BuildEnvironment,
    progress: &Progress,
) -> Result<()> {
    let mut command = cargo::command(environment);
    command.args(["build", "--workspace", "--bins", "--examples"]);
    job::run(command, progress).await
}

/// Starts a server that logs every statement: the demo looks for passwords
/// there.
pub(super) async fn start_postgres() -> Result<Postgres> {
    blocking(|| {
        let install: Install = tools::postgres_install(Major::from_env()?)?;
        let options = Options {
            settings: vec![("log_statement".to_owned(), "all".to_owned())],
            ..Options::default()
        };
        Postgres::start_with(&install, &options)
    })
    .await
}

/// Passwords of those who had a login before any event came.
pub(crate) struct Passwords {
    pub(super) person: String,
    pub(crate) bot: String,
}

/// Makes the table, the person, and what `symctl setup-sql` prints.
pub(crate) async fn furnish(postgres: &Postgres) -> Result<Passwords> {
    let passwords = Passwords {
        person: random_word()?,
        bot: random_word()?,
    };
    postgres.create_database(DATABASE).await?;
    let setup = setup_sql(postgres.install().major).await?;
    postgres
        .execute_sql(DATABASE, &setup)
        .await
        .context("what `symctl setup-sql` prints does not run")?;
    let own = format!(
        "CREATE TABLE {TABLE} (id int PRIMARY KEY, item text NOT NULL);
         INSERT INTO {TABLE} VALUES (1, 'tea'), (2, 'milk'), (3, 'honey');
         GRANT SELECT ON {TABLE} TO {ROLE};
         CREATE ROLE {PERSON} LOGIN PASSWORD '{}';
         ALTER ROLE {BOT} PASSWORD '{}';",
        passwords.person, passwords.bot
    );
    postgres.execute_sql(DATABASE, &own).await?;
    Ok(passwords)
}

async fn setup_sql(major: u32) -> Result<String> {
    let major = major.to_string();
    let arguments = [
        "setup-sql",
        "--pg",
        &major,
        "--database",
        DATABASE,
        "--roles",
        ROLE,
        "--user",
        BOT,
        "--strategy",
        "temporary-user",
    ];
    let setup = symctl(tools::workspace(), &arguments, &[]).await?;
    Ok(without_psql_setting(&setup))
}

/// Runs `symctl` in a directory, and gives what it prints.
pub(crate) async fn symctl(
    directory: &Path,
    arguments: &[&str],
    environment: &[(String, String)],
) -> Result<String> {
    let output = tokio::process::Command::new(tools::binary("symctl")?)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "`symctl {}` failed: {}",
        arguments[0],
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A store of releases with one in it, and the key that signed it.
pub(crate) struct Store {
    pub(crate) directory: TempDir,
    pub(crate) trust: String,
}

impl Store {
    /// Makes a key, and publishes the plugins with it, for the function's usual
    /// name.
    pub(crate) async fn publish(plugins: &Path) -> Result<Store> {
        Store::publish_for("sym-postgres", plugins).await
    }

    /// The same for a function of another name.
    pub(crate) async fn publish_for(function: &str, plugins: &Path) -> Result<Store> {
        let directory = tempfile::Builder::new()
            .prefix("sym-demo-releases-")
            .tempdir()?;
        symctl(directory.path(), &["keygen", "demo"], &[]).await?;
        let trust = std::fs::read_to_string(directory.path().join("demo.pub"))?;
        let store = Store {
            trust: trust.trim().to_owned(),
            directory,
        };
        store
            .publish_to(&store.url(), function, plugins, &[])
            .await?;
        Ok(store)
    }

    /// Publishes plugins with its key to another store, with some variables more.
    pub(crate) async fn publish_to(
        &self,
        url: &str,
        function: &str,
        plugins: &Path,
        variables: &[(String, String)],
    ) -> Result<()> {
        let plugins = plugins.display().to_string();
        let arguments = [
            "publish",
            &plugins,
            "--to",
            url,
            "--key",
            "demo.key",
            "--audience",
            function,
        ];
        symctl(self.directory.path(), &arguments, variables).await?;
        Ok(())
    }

    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.directory.path().join("store").display())
    }
}

/// The function, and the directory that stands for Secrets Manager.
pub(super) struct Function {
    // Before the directory: fields are dropped in this order.
    pub(super) lambda: Lambda,
    secrets: TempDir,
    _store: Store,
}

impl Function {
    pub(super) async fn start(
        postgres: &Postgres,
        store: Store,
        passwords: &Passwords,
    ) -> Result<Function> {
        let secrets = tempfile::Builder::new()
            .prefix("sym-demo-secrets-")
            .tempdir()?;
        let environment = [
            ("PLUGINS", store.url()),
            ("PLUGIN_TRUST", store.trust.clone()),
            ("STRATEGY", "role".to_owned()),
            ("DB_HOST", "127.0.0.1".to_owned()),
            ("DB_PORT", postgres.port().to_string()),
            ("DB_NAME", DATABASE.to_owned()),
            ("DB_USER", BOT.to_owned()),
            ("DB_PASSWORD", passwords.bot.clone()),
            ("DB_TLS", "disable".to_owned()),
            ("SECRETS", format!("file://{}", secrets.path().display())),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let lambda = Lambda::start(&tools::binary("bootstrap")?, environment).await?;
        Ok(Function {
            lambda,
            secrets,
            _store: store,
        })
    }

    /// Sends an event and gives the answer.
    pub(super) async fn send(&self, event: &Value) -> Result<Value> {
        self.lambda
            .invoke(event)
            .await?
            .response()
            .with_context(|| {
                let logs = self.lambda.logs();
                format!("the function’s log: {}", logs.trim())
            })
    }

    /// What the secret holds, or `None` where there is none.
    pub(super) fn secret(&self, name: &str) -> Result<Option<Value>> {
        let path = self
            .secrets
            .path()
            .join(format!("{}.json", name.trim_start_matches('/')));
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A sample event, by its path in the workspace.
pub(crate) fn sample_event(path: &str) -> Result<Value> {
    let path = tools::workspace().join(path);
    let text = std::fs::read(&path).with_context(|| format!("there is no `{}`", path.display()))?;
    Ok(serde_json::from_slice(&text)?)
}

/// Counts the table's rows as `user`, with a login of their own.
///
/// A refusal is something seen, and no error.
pub(super) async fn read_table(postgres: &Postgres, user: &str, password: &str) -> Result<String> {
    let client = match postgres.connect(user, password, DATABASE).await {
        Ok(client) => client,
        Err(error) => return refusal("login", error),
    };
    let query = format!("SELECT count(*) FROM {TABLE}");
    match client.query_one(&query, &[]).await {
        Ok(row) => Ok(format!("{} rows", row.get::<_, i64>(0))),
        Err(error) => refusal("query", error),
    }
}

/// Puts the server's refusal into words: `login refused (28P01)`.
pub(super) fn refusal(what: &str, error: tokio_postgres::Error) -> Result<String> {
    match error.code() {
        Some(code) => Ok(format!("{what} refused ({})", describe(code))),
        None => Err(error.into()),
    }
}

fn describe(code: &SqlState) -> String {
    let meaning = match code.code() {
        "42501" => "insufficient privilege",
        "28P01" => "invalid password",
        "28000" => "invalid authorization",
        _ => return code.code().to_owned(),
    };
    format!("{}, {meaning}", code.code())
}
