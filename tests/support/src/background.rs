//! Servers of our own, each on a thread of its own.
//!
//! On the test's runtime they would stand still whenever the test blocks.

use std::future::Future;
use std::io;
use std::thread::{self, JoinHandle};

use tokio::runtime;
use tokio::sync::oneshot;

/// A future that runs until this is dropped, with all tasks it has spawned.
pub(crate) struct Background {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Background {
    /// Runs `future` on a new thread and runtime.
    ///
    /// # Errors
    ///
    /// The system gives neither thread nor event queue.
    pub(crate) fn start(
        name: &str,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<Background> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = future => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Background {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it was printed, and closed what it served.
            let _ = thread.join();
        }
    }
}
