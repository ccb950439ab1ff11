//! Lambda's runtime API, running the real `bootstrap` binary.
//!
//! The double does what Lambda does: it starts the binary with an environment
//! that holds nothing but what is given and what Lambda adds, hands out one
//! event at a time, and kills what has not answered when its time is up.
//! Unlike Lambda it starts nothing again by itself: [`Lambda::restart`] is the
//! next cold start.
//!
//! Source: AWS Lambda developer guide, "Using the Lambda runtime API for custom
//! runtimes" and "Defined runtime environment variables".

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::background::Background;
use crate::process::{POLL_INTERVAL, Running, command_that_dies_with_us};

mod runtime_api;

use runtime_api::{Delivery, RuntimeApi};

/// How long an event may take, unless [`Lambda::set_timeout`] says otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What the function makes of an event.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// What it answered.
    Response(Value),
    /// It reported an error to the runtime API: `errorType`, `errorMessage`.
    FunctionError(Value),
    /// It ended without an answer.
    Died(ExitStatus),
}

impl Answer {
    /// The answer, where there is one.
    ///
    /// # Errors
    ///
    /// The function reported an error, or died.
    pub fn response(self) -> anyhow::Result<Value> {
        match self {
            Answer::Response(value) => Ok(value),
            Answer::FunctionError(error) => bail!("the function reported an error: {error}"),
            Answer::Died(status) => bail!("the function died: {status}"),
        }
    }
}

/// A function that is started and answers events.
pub struct Lambda {
    bootstrap: PathBuf,
    environment: Vec<(String, String)>,
    timeout: Mutex<Duration>,
    logs: TempDir,
    sandbox: Mutex<Arc<Sandbox>>,
}

impl Lambda {
    /// Starts `bootstrap` and waits until it asks for its first event.
    ///
    /// `environment` is all that it gets, beside what Lambda itself sets; it
    /// wins over that.
    ///
    /// # Errors
    ///
    /// It can't be started, or it ends before it asks: what it wrote is in the
    /// error.
    pub async fn start(
        bootstrap: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Lambda> {
        let bootstrap = bootstrap
            .canonicalize()
            .with_context(|| format!("there is no `{}`", bootstrap.display()))?;
        let environment: Vec<_> = environment.into_iter().collect();
        let logs = tempfile::Builder::new().prefix("sym-lambda-").tempdir()?;
        let sandbox = Sandbox::start(&bootstrap, &environment, logs.path()).await?;
        Ok(Lambda {
            bootstrap,
            environment,
            timeout: Mutex::new(TIMEOUT),
            logs,
            sandbox: Mutex::new(Arc::new(sandbox)),
        })
    }

    /// Sends an event (text, or a JSON value) and waits for what comes of it.
    ///
    /// Events that are sent at once are handed out one after the other.
    ///
    /// # Errors
    ///
    /// There was no answer in time; the function was killed, as Lambda does.
    pub async fn invoke(&self, event: impl Display) -> anyhow::Result<Answer> {
        let (answer, _) = self.invoke_timed(event).await?;
        Ok(answer)
    }

    /// [`Lambda::invoke`], and the time from handing the event out to having
    /// the answer, as the runtime API saw it.
    ///
    /// # Errors
    ///
    /// As for [`Lambda::invoke`].
    pub async fn invoke_timed(&self, event: impl Display) -> anyhow::Result<(Answer, Duration)> {
        let timeout = *lock(&self.timeout);
        let sandbox = self.sandbox();
        sandbox.invoke(event.to_string(), timeout).await
    }

    /// How long an event may take from now on. The function is told so, as the
    /// deadline of each event.
    pub fn set_timeout(&self, timeout: Duration) {
        *lock(&self.timeout) = timeout;
    }

    /// Ends the function at once, also in the middle of an event: that one is
    /// answered by [`Answer::Died`].
    pub fn kill(&self) {
        self.sandbox().kill();
    }

    /// Stops the function where it is, as Lambda does between two events, and
    /// nothing of it goes on until [`Lambda::thaw`].
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let process = Pid::from_raw(self.process_id().cast_signed());
        kill(process, signal).context("the function has ended")
    }

    /// Ends the function and starts it anew: a cold start.
    ///
    /// # Errors
    ///
    /// As for [`Lambda::start`].
    pub async fn restart(&self) -> anyhow::Result<()> {
        self.kill();
        let sandbox = Sandbox::start(&self.bootstrap, &self.environment, self.logs.path()).await?;
        *lock(&self.sandbox) = Arc::new(sandbox);
        Ok(())
    }

    /// Everything that the function has written to standard output and
    /// standard error, over all its starts.
    pub fn logs(&self) -> String {
        read_log(self.logs.path())
    }

    /// The error that the function reported instead of asking for an event.
    pub fn init_error(&self) -> Option<Value> {
        self.sandbox().api.init_error()
    }

    /// From its start to when it first asked for an event.
    ///
    /// With `setpriv` on the machine, starting that (a millisecond) is part of
    /// it.
    pub fn init_duration(&self) -> Duration {
        self.sandbox().init_duration
    }

    /// The most memory it has had at once, resident, since its last start.
    ///
    /// # Errors
    ///
    /// It has ended, or this system has no `/proc`.
    pub fn peak_rss_bytes(&self) -> anyhow::Result<u64> {
        let id = lock(&self.sandbox().process).id();
        let status = fs::read_to_string(format!("/proc/{id}/status"))?;
        let kilobytes = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"))
            .context("the function has ended")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// The function's process id, since its last start.
    pub fn process_id(&self) -> u32 {
        lock(&self.sandbox().process).id()
    }

    fn sandbox(&self) -> Arc<Sandbox> {
        Arc::clone(&lock(&self.sandbox))
    }
}

/// One cold start: a process, and the runtime API it talks to.
struct Sandbox {
    // Before the server: fields are dropped in this order.
    process: Mutex<Running>,
    _server: Background,
    api: Arc<RuntimeApi>,
    /// Lambda never gives a sandbox a second event before the first is answered.
    turn: tokio::sync::Mutex<()>,
    init_duration: Duration,
}

impl Sandbox {
    async fn start(
        bootstrap: &Path,
        environment: &[(String, String)],
        logs: &Path,
    ) -> anyhow::Result<Sandbox> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let environment = function_environment(bootstrap, environment, &address.to_string());
        let api = Arc::new(RuntimeApi::new(&environment));
        let router = runtime_api::router(Arc::clone(&api));
        let server = Background::start("runtime-api", async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => drop(axum::serve(listener, router).await),
                Err(error) => panic!("the runtime API can't listen: {error}"),
            }
        })?;

        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(logs.join("log"))?;
        let mut command = command_that_dies_with_us(bootstrap, Signal::SIGKILL);
        command
            .env_clear()
            .envs(environment)
            .current_dir(bootstrap.parent().unwrap_or(Path::new("/")))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let started_at = Instant::now();
        let process = Running::start(command, Signal::SIGKILL)
            .with_context(|| format!("`{}` can't be started", bootstrap.display()))?;
        let mut sandbox = Sandbox {
            process: Mutex::new(process),
            _server: server,
            api,
            turn: tokio::sync::Mutex::new(()),
            init_duration: Duration::ZERO,
        };
        sandbox.init_duration = sandbox.wait_for_first_request(started_at, logs).await?;
        Ok(sandbox)
    }

    async fn wait_for_first_request(
        &self,
        started_at: Instant,
        logs: &Path,
    ) -> anyhow::Result<Duration> {
        loop {
            if let Some(first_request_at) = self.api.first_request_at() {
                return Ok(first_request_at.duration_since(started_at));
            }
            if let Some(status) = lock(&self.process).exit_status() {
                bail!(
                    "the function ended ({status}) before it asked for an event: {}",
                    read_log(logs).trim()
                );
            }
            if started_at.elapsed() > TIMEOUT {
                bail!("the function did not ask for an event in {TIMEOUT:?}");
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn invoke(&self, event: String, timeout: Duration) -> anyhow::Result<(Answer, Duration)> {
        let _turn = self.turn.lock().await;
        let (answer, mut answered) = oneshot::channel();
        let sent_at = Instant::now();
        self.api.deliver(Delivery {
            event,
            timeout,
            answer,
        });
        loop {
            if let Ok(answer) = tokio::time::timeout(POLL_INTERVAL, &mut answered).await {
                return answer.context("the runtime API has ended");
            }
            if let Some(status) = lock(&self.process).exit_status() {
                // It may have answered just before it ended.
                if let Ok(answer) = answered.try_recv() {
                    return Ok(answer);
                }
                return Ok((Answer::Died(status), sent_at.elapsed()));
            }
            if sent_at.elapsed() > timeout {
                self.kill();
                bail!("the function did not answer in {timeout:?} and was killed");
            }
        }
    }

    fn kill(&self) {
        lock(&self.process).stop(Signal::SIGKILL);
    }
}

/// What Lambda sets, then what the caller gives.
fn function_environment(
    bootstrap: &Path,
    given: &[(String, String)],
    address: &str,
) -> Vec<(String, String)> {
    let task_root = bootstrap.parent().unwrap_or(Path::new("/"));
    let lambdas = [
        ("AWS_LAMBDA_RUNTIME_API", address),
        ("AWS_LAMBDA_FUNCTION_NAME", "sym-postgres"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/sym-postgres"),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "2026/01/01/[$LATEST]0"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("LAMBDA_TASK_ROOT", &task_root.display().to_string()),
        ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
        ("LANG", "C.UTF-8"),
        ("TZ", ":UTC"),
        ("_HANDLER", "bootstrap"),
    ];
    lambdas
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .chain(given.iter().cloned())
        .collect()
}

fn read_log(directory: &Path) -> String {
    let log = fs::read(directory.join("log")).unwrap_or_default();
    String::from_utf8_lossy(&log).into_owned()
}

/// A panicking test may leave a lock poisoned; what it guards is still sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
