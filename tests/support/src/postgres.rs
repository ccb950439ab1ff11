//! A private PostgreSQL server, gone when dropped.
//!
//! The data directory is a copy of one that `initdb` made once for this
//! version, so a server is up in about a third of a second and every test can
//! have its own. It listens on 127.0.0.1 alone, knows SCRAM logins alone, and
//! doesn't wait for the disk. Root runs it as another user, as it refuses root.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::Signal;
use nix::unistd::{Uid, User};
use tokio_postgres::{Client, NoTls};

use crate::process::{POLL_INTERVAL, Running, command_that_dies_with_us};
use crate::tools::{Install, Wanted, run, server_directory};

mod certificates;
mod directory;

use directory::Directory;

/// The server's superuser, whom only tests and the demo's preparations use.
pub const SUPERUSER: &str = "postgres";

/// What `symctl setup-sql` prints, without the setting that only psql knows.
pub fn without_psql_setting(setup: &str) -> String {
    setup.replace("\\set ON_ERROR_STOP on\n", "")
}

/// How long a server may take to accept connections.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// How often a start is tried, as another process can take the port that was
/// free a moment ago.
const START_ATTEMPTS: u32 = 5;

/// What every server of ours gets: small, quick, in one language and time zone.
const SETTINGS: [(&str, &str); 9] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("shared_buffers", "16MB"),
    ("jit", "off"),
    ("timezone", "UTC"),
    ("log_line_prefix", "%m [%p] %u@%d "),
];

/// What a server gets beside [`Postgres::start`]'s defaults.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Lines for `postgresql.conf`, such as `("log_statement", "all")`. The last
    /// one wins, over ours too.
    pub settings: Vec<(String, String)>,
    /// Offers TLS, with a certificate for `localhost` and 127.0.0.1 by an
    /// authority of its own: [`Postgres::authority`].
    pub tls: bool,
}

/// A running server, or one that was stopped for a while.
pub struct Postgres {
    // Before the directory: fields are dropped in this order.
    server: Mutex<Option<Running>>,
    directory: Directory,
    install: Install,
    port: u16,
    password: String,
    authority: Option<String>,
}

impl Postgres {
    /// Starts a server.
    ///
    /// # Errors
    ///
    /// It doesn't start; the end of its log is in the error.
    pub fn start(install: &Install) -> anyhow::Result<Postgres> {
        Postgres::start_with(install, &Options::default())
    }

    /// Starts a server that differs from the usual.
    ///
    /// # Errors
    ///
    /// It doesn't start; the end of its log is in the error. TLS needs the
    /// program `openssl`.
    pub fn start_with(install: &Install, options: &Options) -> anyhow::Result<Postgres> {
        let owner = ServerUser::find()?;
        let template = template(install, &owner)?;
        let directory = Directory::make()?;
        let data = directory.path().join("data");
        run(Command::new("cp")
            .arg("--archive")
            .args([template.join("data"), data.clone()]))?;
        let mut settings: Vec<(String, String)> = SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut authority = None;
        if options.tls {
            authority = Some(certificates::write(directory.path(), &owner)?);
            settings.extend(certificates::settings(directory.path()));
        }
        settings.extend(options.settings.iter().cloned());
        append_settings(&data.join("postgresql.conf"), &settings)?;

        let mut postgres = Postgres {
            server: Mutex::new(None),
            directory,
            install: install.clone(),
            port: 0,
            password: fs::read_to_string(template.join("password"))?,
            authority,
        };
        for attempt in 1.. {
            postgres.port = free_port()?;
            match postgres.launch(&owner) {
                Ok(()) => break,
                Err(NotStarted::PortTaken) if attempt < START_ATTEMPTS => {}
                Err(NotStarted::PortTaken) => bail!("no port stays free for PostgreSQL"),
                Err(NotStarted::StillInUse(error) | NotStarted::Other(error)) => {
                    return Err(error);
                }
            }
        }
        Ok(postgres)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The programs that it runs from.
    pub fn install(&self) -> &Install {
        &self.install
    }

    /// Password of [`SUPERUSER`].
    pub fn superuser_password(&self) -> &str {
        &self.password
    }

    /// Certificate of the authority that signed the server's, in PEM; `None`
    /// without TLS.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// Everything that the server has logged.
    pub fn log_text(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Logs in, and has the connection driven by the current tokio runtime.
    ///
    /// # Errors
    ///
    /// The server's own refusal, with its SQLSTATE: tests look at that.
    pub async fn connect(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<Client, tokio_postgres::Error> {
        let config = self.login(user, password, database);
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(async move {
            // The client meets the same error at its next statement.
            let _ = connection.await;
        });
        Ok(client)
    }

    /// How to log in, for a test that wants to do it in its own way.
    pub fn login(&self, user: &str, password: &str, database: &str) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config
            .host("127.0.0.1")
            .port(self.port)
            .user(user)
            .password(password)
            .dbname(database)
            .application_name("sym-test-support");
        config
    }

    /// Logs in as the superuser, to the database `postgres`.
    ///
    /// # Errors
    ///
    /// The server is not there.
    pub async fn admin(&self) -> anyhow::Result<Client> {
        self.admin_in("postgres").await
    }

    /// Logs in as the superuser, to `database`.
    ///
    /// # Errors
    ///
    /// The server or the database is not there.
    pub async fn admin_in(&self, database: &str) -> anyhow::Result<Client> {
        self.connect(SUPERUSER, &self.password, database)
            .await
            .with_context(|| format!("the superuser can't log in to `{database}`"))
    }

    /// Makes a database.
    ///
    /// # Errors
    ///
    /// It is there already.
    pub async fn create_database(&self, name: &str) -> anyhow::Result<()> {
        let quoted = name.replace('"', "\"\"");
        self.execute_sql("postgres", &format!("CREATE DATABASE \"{quoted}\""))
            .await
    }

    /// Runs statements in `database` as the superuser. Several at once are one
    /// transaction, unless they say otherwise.
    ///
    /// # Errors
    ///
    /// A statement fails: the server's message is in the error.
    pub async fn execute_sql(&self, database: &str, sql: &str) -> anyhow::Result<()> {
        let client = self.admin_in(database).await?;
        client.batch_execute(sql).await.map_err(|error| {
            // The library's own text is only "db error".
            match error.as_db_error() {
                Some(server) => anyhow::anyhow!("{server} in `{sql}`"),
                None => error.into(),
            }
        })
    }

    /// Stops the server, as an administrator would: sessions are ended.
    pub fn stop(&self) {
        self.stop_by(Shutdown::Fast);
    }

    fn stop_by(&self, shutdown: Shutdown) {
        if let Some(mut server) = self.server().take() {
            server.stop(match shutdown {
                Shutdown::Fast => Signal::SIGINT,
                Shutdown::Immediate => Signal::SIGQUIT,
            });
        }
    }

    /// Stops the server if it runs, and starts it again on the same port.
    ///
    /// # Errors
    ///
    /// It doesn't start.
    pub fn restart(&self) -> anyhow::Result<()> {
        self.restart_by(Shutdown::Fast)
    }

    /// The same, by a shutdown of this kind. After an immediate one the server
    /// recovers what was committed, if its `synchronous_commit` is on.
    ///
    /// # Errors
    ///
    /// It doesn't start.
    pub fn restart_by(&self, shutdown: Shutdown) -> anyhow::Result<()> {
        self.stop_by(shutdown);
        let owner = ServerUser::find()?;
        let deadline = Instant::now() + START_PATIENCE;
        loop {
            match self.launch(&owner) {
                Ok(()) => return Ok(()),
                Err(NotStarted::PortTaken) => bail!("port {} was taken meanwhile", self.port),
                Err(NotStarted::StillInUse(_)) if Instant::now() < deadline => {}
                Err(NotStarted::StillInUse(error) | NotStarted::Other(error)) => {
                    return Err(error);
                }
            }
        }
    }

    fn launch(&self, owner: &ServerUser) -> Result<(), NotStarted> {
        let data = self.directory.path().join("data");
        let earlier_log_bytes = self.log_text().len();
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_path())
            .context("the log can't be written")?;
        let program = self.install.programs.join("postgres");
        let mut command = command_that_dies_with_us(program, Signal::SIGINT);
        owner.prepare(&mut command, self.directory.path());
        command
            .arg("-D")
            .arg(&data)
            .args(["-p", &self.port.to_string()])
            .stdout(log.try_clone().context("the log can't be shared")?)
            .stderr(log);
        // Immediate shutdown: there is nothing to keep.
        let mut server =
            Running::start(command, Signal::SIGQUIT).context("`postgres` can't be started")?;

        let deadline = Instant::now() + START_PATIENCE;
        while !is_ready(&data, server.id()) {
            let status = server.exit_status();
            if status.is_some() || Instant::now() > deadline {
                let log = self.log_text();
                let log = log.get(earlier_log_bytes..).unwrap_or(&log);
                if log.contains("could not create any TCP/IP sockets") {
                    return Err(NotStarted::PortTaken);
                }
                let error = anyhow::anyhow!(
                    "PostgreSQL {} does not start; its log: {}",
                    self.install.version,
                    log.trim()
                );
                return Err(match log.contains("pre-existing shared memory block") {
                    true => NotStarted::StillInUse(error),
                    false => NotStarted::Other(error),
                });
            }
            thread::sleep(POLL_INTERVAL);
        }
        *self.server() = Some(server);
        Ok(())
    }

    fn server(&self) -> MutexGuard<'_, Option<Running>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// How a server is stopped: `pg_ctl stop -m fast`, or `-m immediate`.
///
/// Source: PostgreSQL manual, "Shutting Down the Server".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, and what they have begun is rolled back.
    Fast,
    /// Everything is dropped as it is: a crash.
    Immediate,
}

enum NotStarted {
    PortTaken,
    /// A session of the server before has not noticed yet that it is gone: after
    /// an immediate shutdown, one in the midst of its login.
    StillInUse(anyhow::Error),
    Other(anyhow::Error),
}

impl From<anyhow::Error> for NotStarted {
    fn from(error: anyhow::Error) -> NotStarted {
        NotStarted::Other(error)
    }
}

/// Whom the server runs as; `None` is whom we run as.
struct ServerUser(Option<User>);

impl ServerUser {
    fn find() -> anyhow::Result<ServerUser> {
        if !Uid::effective().is_root() {
            return Ok(ServerUser(None));
        }
        for name in ["postgres", "nobody"] {
            if let Some(user) = User::from_name(name)? {
                return Ok(ServerUser(Some(user)));
            }
        }
        bail!(
            "PostgreSQL’s server doesn’t run as root, and there is no user `postgres` or `nobody` to run it as"
        )
    }

    fn name(&self) -> &str {
        self.0.as_ref().map_or("self", |user| &user.name)
    }

    /// Gives a file or directory to it.
    fn take(&self, path: &Path) -> anyhow::Result<()> {
        if let Some(user) = &self.0 {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        Ok(())
    }

    /// Has `command` run as it, in `directory`, with none of our environment:
    /// PGDATA and its like would change what the server does.
    fn prepare(&self, command: &mut Command, directory: &Path) {
        if let Some(user) = &self.0 {
            // The standard library drops our supplementary groups with them.
            command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir(directory)
            .stdin(Stdio::null());
    }
}

/// A data directory to copy from, and the superuser's password in it.
fn template(install: &Install, owner: &ServerUser) -> anyhow::Result<PathBuf> {
    let name = format!(
        "pgdata-{}-{:016x}",
        install.major,
        fingerprint(install, owner)
    );
    Wanted {
        name: &name,
        what: &format!("an empty PostgreSQL {} database", install.version),
        why: "tests copy it, which is quicker than making it each time",
        by_hand: "`initdb`",
    }
    .get_in(&server_directory()?, |directory| {
        let data = directory.join("data");
        fs::create_dir(&data)?;
        fs::set_permissions(&data, Permissions::from_mode(0o700))?;
        owner.take(&data)?;
        let password = directory.join("password");
        write_private(&password, &random_word()?)?;
        owner.take(&password)?;
        let mut command = Command::new(install.programs.join("initdb"));
        owner.prepare(&mut command, directory);
        command.args([
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            // The default of 16 MB is most of what there would be to copy.
            "--wal-segsize=1",
            "--pwfile=password",
            "--pgdata=data",
            "--username",
            SUPERUSER,
        ]);
        run(&mut command).map(drop)
    })
}

/// Distinguishes templates that must not be mistaken for each other.
fn fingerprint(install: &Install, owner: &ServerUser) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (&install.version, &install.programs, owner.name()).hash(&mut hasher);
    hasher.finish()
}

fn append_settings(path: &Path, settings: &[(String, String)]) -> anyhow::Result<()> {
    let mut file = OpenOptions::new().append(true).open(path)?;
    for (name, value) in settings {
        writeln!(file, "{name} = '{}'", value.replace('\'', "''"))?;
    }
    Ok(())
}

/// Whether the server `id` says in its own file that it takes connections.
///
/// Asking the port would do only if nobody else could be behind it.
fn is_ready(data: &Path, id: u32) -> bool {
    let Ok(text) = fs::read_to_string(data.join("postmaster.pid")) else {
        return false;
    };
    let mut lines = text.lines();
    lines
        .next()
        .is_some_and(|line| line.trim() == id.to_string())
        && lines
            .last()
            .is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
}

/// A port that nobody listens on at this moment.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn write_private(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

/// 128 random bits, in hexadecimal: a password for somebody in a test.
///
/// # Errors
///
/// The system has no random numbers.
pub fn random_word() -> anyhow::Result<String> {
    use std::io::Read;
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
