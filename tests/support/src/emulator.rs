//! AWS's own runtime interface emulator, running the real `bootstrap` as Lambda's
//! `provided.al2023` does.
//!
//! As root it is as strict as Lambda: another user, who may write to `/tmp` alone.
//! Others can't make such a place, and run it as who they are.
//!
//! Source: AWS Lambda developer guide, "Building container images for Lambda", and
//! the environment of AWS's image `lambda/provided:al2023`.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::http;
use crate::process::{POLL_INTERVAL, Running, command_that_dies_with_us};
use crate::tools;

/// How long the emulator may take to listen.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The environment of Lambda's `provided.al2023`, with the name of ours.
const ENVIRONMENT: [(&str, &str); 9] = [
    (
        "PATH",
        "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    ),
    (
        "LD_LIBRARY_PATH",
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    ),
    ("LANG", "en_US.UTF-8"),
    ("TZ", ":/etc/localtime"),
    ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
    ("AWS_LAMBDA_FUNCTION_NAME", "sym-postgres"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ("AWS_EXECUTION_ENV", "AWS_Lambda_provided.al2023"),
];

/// A function in the emulator, gone when dropped.
pub struct Emulator {
    // Before the directory: fields are dropped in this order.
    process: Running,
    directory: TempDir,
    address: SocketAddr,
}

impl Emulator {
    /// Starts `bootstrap`, of either architecture, with these files beside it.
    ///
    /// `environment` makes the function's variables of the directory that it and
    /// the files are in then.
    ///
    /// # Errors
    ///
    /// The emulator can't be fetched or doesn't start, or QEMU is missing for
    /// another architecture.
    pub async fn start(
        bootstrap: &Path,
        files: &[(&str, &[u8])],
        environment: impl FnOnce(&Path) -> Vec<(String, String)>,
    ) -> anyhow::Result<Emulator> {
        let emulator = tools::runtime_interface_emulator()?;
        let directory = tempfile::Builder::new().prefix("sym-emulator-").tempdir()?;
        let task = directory.path().join("task");
        fill(&task, bootstrap, files)?;
        let is_root = Uid::effective().is_root();
        let root = if is_root {
            PathBuf::from("/var/task")
        } else {
            task.clone()
        };
        let (address, api) = (free_address()?, free_address()?);
        let mut command = if is_root {
            confined(&task, &emulator)
        } else {
            command_that_dies_with_us(&emulator, Signal::SIGTERM)
        };
        let log = fs::File::create(directory.path().join("log"))?;
        command
            .args(["--runtime-interface-emulator-address", &address.to_string()])
            .args(["--runtime-api-address", &api.to_string()])
            .arg(root.join("bootstrap"))
            .env_clear()
            .envs(ENVIRONMENT)
            .env("LAMBDA_TASK_ROOT", &root)
            .envs(environment(&root))
            .current_dir(&task)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // What forked for us ignores everything else, and ends all of it then.
        let signal = if is_root {
            Signal::SIGKILL
        } else {
            Signal::SIGTERM
        };
        let mut started = Emulator {
            process: Running::start(command, signal).context("it can't be started")?,
            directory,
            address,
        };
        started.wait_until_it_listens().await?;
        Ok(started)
    }

    /// Sends an event and gives the answer.
    ///
    /// # Errors
    ///
    /// The function reported an error or died: the log is in the error.
    pub async fn invoke(&self, event: &str) -> anyhow::Result<Value> {
        let request = Request::post("/2015-03-31/functions/function/invocations")
            .header("host", self.address.to_string())
            .body(Full::new(Bytes::from(event.to_owned())))?;
        let (status, body) = http::send(self.address, request).await?;
        let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
        // The emulator answers 200 to an error too.
        ensure!(
            status == 200 && answer.is_object() && answer["errorType"].is_null(),
            "{status}: {}; its log: {}",
            String::from_utf8_lossy(&body),
            self.logs()
        );
        Ok(answer)
    }

    /// Everything that the function and the emulator have written.
    pub fn logs(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    async fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_PATIENCE;
        while TcpStream::connect(self.address).await.is_err() {
            if let Some(status) = self.process.exit_status() {
                bail!("the emulator ended ({status}): {}", self.logs().trim());
            }
            ensure!(
                Instant::now() < deadline,
                "the emulator does not start; its log: {}",
                self.logs().trim()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(())
    }
}

/// What `/var/task` holds: as the zip's content is there, readable for everybody.
fn fill(task: &Path, bootstrap: &Path, files: &[(&str, &[u8])]) -> anyhow::Result<()> {
    fs::create_dir(task)?;
    fs::set_permissions(task, Permissions::from_mode(0o755))?;
    let architecture = tools::architecture(bootstrap)?;
    let program = if architecture == std::env::consts::ARCH {
        task.join("bootstrap")
    } else {
        let start = tools::qemu(architecture)?.join(" ");
        let script = format!("#!/bin/sh\nexec {start} \"${{0%/*}}/bootstrap.{architecture}\"\n");
        fs::write(task.join("bootstrap"), script)?;
        task.join(format!("bootstrap.{architecture}"))
    };
    fs::copy(bootstrap, program)?;
    for (name, bytes) in files {
        fs::write(task.join(name), bytes)?;
    }
    for entry in task.read_dir()? {
        fs::set_permissions(entry?.path(), Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// The emulator in a place of its own, see `emulator.sh`.
fn confined(task: &Path, emulator: &Path) -> Command {
    let mut command = command_that_dies_with_us("unshare", Signal::SIGKILL);
    command
        .args(["--mount", "--pid", "--mount-proc", "--fork"])
        .args(["--kill-child", "--", "sh", "-c"])
        .arg(include_str!("emulator.sh"))
        .arg("emulator.sh")
        .args([task, emulator]);
    command
}

/// An address that nobody listened on just now: the emulator can't be told to
/// let the system choose.
fn free_address() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?)
}
