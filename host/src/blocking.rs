//! Work that would keep the function's one thread from what waits: the database's
//! answers, and the event's clock.

/// Does it on another thread. A panic there is one here.
pub(crate) async fn on_another_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
