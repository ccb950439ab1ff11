//! What the subcommands that reach the database share: the host, a runtime, and
//! how its errors are shown.

use anyhow::anyhow;
use sym_host::error::{Blame, Error, Errors};
use sym_host::handler::Host;
use sym_host::plugin::release_store::Unreachable;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::output::{self, Status};

/// Runs something with the host of this shell's environment.
pub(crate) fn with_host(
    run: impl AsyncFnOnce(&Host) -> Result<Status, Errors>,
) -> anyhow::Result<Status> {
    with_host_by(|| Host::for_person(|name| std::env::var(name).ok()), run)
}

/// The same with a host that is made otherwise.
pub(crate) fn with_host_by(
    make: impl FnOnce() -> Host,
    run: impl AsyncFnOnce(&Host) -> Result<Status, Errors>,
) -> anyhow::Result<Status> {
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async { run(&make()).await });
    Ok(result.unwrap_or_else(|errors| failed(errors.as_slice())))
}

/// The host's log, on standard error.
pub(crate) fn start_log() {
    // What the AWS SDK warns of on its way to credentials, the error says again.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("aws_config", LevelFilter::ERROR);
    tracing_subscriber::registry()
        .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr))
        .with(levels)
        .init();
}

/// Shows errors, with their causes: this is the operator's terminal.
pub(crate) fn failed(errors: &[Error]) -> Status {
    for error in errors {
        output::error(&anyhow!("{} [{}]", error.to_log(), error.code()));
    }
    // Why there is no release, its code doesn't say.
    let is_stores = |error: &Error| {
        let cause = std::error::Error::source(error);
        cause.is_some_and(|cause| cause.is::<Unreachable>())
    };
    let is_ours = |error: &Error| {
        matches!(error.code().blame(), Blame::Upstream | Blame::Host) || is_stores(error)
    };
    if errors.iter().any(is_ours) {
        Status::Ours
    } else {
        Status::Yours
    }
}
