//! Child processes that never outlive us.
//!
//! Two guards, since neither is enough alone: [`Running`] stops its process
//! when dropped, and `setpriv --pdeathsig` has the kernel do it when this
//! process is killed and drops nothing.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::{LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often a process is looked at while we wait for it to do something.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long a process may take to stop before it is killed. PostgreSQL itself
/// waits 5 seconds for its children after an immediate shutdown, and one that
/// was killed leaves them behind, holding what the next start needs.
const STOP_PATIENCE: Duration = Duration::from_secs(15);

/// A child process, stopped when dropped.
pub(crate) struct Running {
    child: Child,
    stop_signal: Signal,
}

impl Running {
    /// Starts `command`, which will be asked to stop by `stop_signal`.
    ///
    /// # Errors
    ///
    /// What the operating system says against starting it.
    pub(crate) fn start(command: Command, stop_signal: Signal) -> io::Result<Running> {
        let child = spawn(command)?;
        Ok(Running { child, stop_signal })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, or `None` while it runs.
    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        // An error would mean that somebody else waited for our child: there is
        // nothing left to look after, and nothing to know about how it ended.
        self.child.try_wait().ok().flatten()
    }

    /// Sends `signal` and waits, at most until patience ends and it is killed.
    pub(crate) fn stop(&mut self, signal: Signal) {
        let deadline = Instant::now() + STOP_PATIENCE;
        if self.exit_status().is_none() {
            // Not yet waited for, so the id is still this process and no other.
            let _ = kill(Pid::from_raw(self.id().cast_signed()), signal);
        }
        while self.exit_status().is_none() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop(self.stop_signal);
    }
}

/// A command for `program` that the kernel ends by `signal` when we die.
///
/// Without util-linux's `setpriv` it is the bare program, and a killed test
/// leaves it behind.
pub(crate) fn command_that_dies_with_us(program: impl AsRef<OsStr>, signal: Signal) -> Command {
    static SETPRIV: LazyLock<Option<PathBuf>> = LazyLock::new(|| {
        let path = find_program("setpriv")?;
        let help = Command::new(&path).arg("--help").output().ok()?;
        // BusyBox has a `setpriv` too, without this option.
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        help.contains("--pdeathsig").then_some(path)
    });
    match &*SETPRIV {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            let name = signal.as_str().trim_start_matches("SIG");
            command.args(["--pdeathsig", name]).arg(program);
            command
        }
        None => Command::new(program),
    }
}

/// Where `name` is on the search path.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|candidate| is_executable(candidate))
}

pub(crate) fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Starts `command` from a thread that lives as long as this process.
///
/// The kernel's "parent death" is the death of the *thread* that forked: a
/// server started from a test's own thread, or from one of tokio's, would be
/// ended when that thread is.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, answer) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes has ended");
    ORDERS.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}
