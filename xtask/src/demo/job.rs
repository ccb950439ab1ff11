//! A build that shows its last line while it runs, and can be stopped.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

use crate::terminal::Progress;

/// How much of a failed build's output is shown.
const LINES_OF_A_FAILURE: usize = 40;

/// Runs `command` to its end.
///
/// Dropped before that, it stops the command and all that it has started.
///
/// # Errors
///
/// It can't be started, or it fails: the end of its output is in the error.
pub(super) async fn run(command: Command, progress: &Progress) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut command = tokio::process::Command::from(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Cargo's compilers are in it too, so that they can be stopped with it.
        .process_group(0);
    let mut child = command
        .spawn()
        .with_context(|| format!("`{name}` can't be started"))?;
    let group = Group(child.id().context("it has ended before it began")?);
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (stdout, stderr) = tokio::join!(read_lines(stdout, progress), read_lines(stderr, progress));
    let status = child.wait().await?;
    group.has_ended();
    if !status.success() {
        let lines = [stdout, stderr].concat();
        let start = lines.len().saturating_sub(LINES_OF_A_FAILURE);
        bail!("it failed ({status}):\n{}", lines[start..].join("\n"));
    }
    Ok(())
}

async fn read_lines(output: Option<impl AsyncRead + Unpin>, progress: &Progress) -> Vec<String> {
    let mut kept = Vec::new();
    let Some(output) = output else {
        return kept;
    };
    let mut lines = BufReader::new(output).lines();
    // What is not UTF-8 ends it: compilers print nothing else.
    while let Ok(Some(line)) = lines.next_line().await {
        progress.set(&line);
        kept.push(line);
    }
    kept
}

/// A process group, stopped when dropped.
struct Group(u32);

impl Group {
    /// There is nothing left to stop: its id may soon be another's.
    fn has_ended(self) {
        std::mem::forget(self);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.0.cast_signed()), Signal::SIGTERM);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[tokio::test]
    async fn a_failure_shows_what_was_printed() {
        let result = run(
            shell("echo one; echo two >&2; exit 3"),
            &Progress::default(),
        )
        .await;
        let text = result.expect_err("it exits with 3").to_string();
        assert!(text.contains("one\ntwo"), "{text}");
    }

    #[tokio::test]
    async fn stopping_it_stops_what_it_has_started() -> Result<()> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("id");
        let script = format!("sleep 600 & echo $! > {}; wait", path.display());
        let progress = Progress::default();
        let written = async {
            loop {
                match std::fs::read_to_string(&path) {
                    Ok(text) if text.ends_with('\n') => return text,
                    _ => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            }
        };
        let id = tokio::select! {
            _ = run(shell(&script), &progress) => bail!("it ended by itself"),
            id = written => id,
        };
        let id = Pid::from_raw(id.trim().parse()?);
        // Whoever adopts it waits for it, and only then is it gone for good.
        while is_running(id) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// A process that has ended, and that nobody has waited for, doesn't run.
    fn is_running(id: Pid) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        !status.is_empty() && !status.contains("State:\tZ")
    }
}
