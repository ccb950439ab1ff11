//! What the subcommands that reach the database share: the host, a runtime, and
//! how its errors are shown.

use anyhow::anyhow;
use sym_host::error::{Blame, Error};
use sym_host::handler::{Errors, Host};

use crate::output::{self, Status};

/// Runs something with the host of this shell's environment.
pub(crate) fn with_host(
    run: impl AsyncFnOnce(&Host) -> Result<Status, Errors>,
) -> anyhow::Result<Status> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(async {
        let host = Host::for_person(|name| std::env::var(name).ok());
        run(&host).await
    });
    Ok(result.unwrap_or_else(|Errors(errors)| failed(&errors)))
}

/// Shows errors, with their causes: this is the operator's terminal.
pub(crate) fn failed(errors: &[Error]) -> Status {
    for error in errors {
        output::error(&anyhow!("{} [{}]", error.to_log(), error.code()));
    }
    let is_ours = |error: &Error| matches!(error.code().blame(), Blame::Upstream | Blame::Host);
    if errors.iter().any(is_ours) {
        Status::Ours
    } else {
        Status::Yours
    }
}
