//! `symctl invoke`: one event, the host's own path, without Lambda.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Args;
use serde_json::Value;
use sym_host::handler::{Host, Invocation};

use crate::host::start_log;
use crate::input;
use crate::output::{self, Status};

/// Serve one event as the function would, with the function's variables from
/// this shell's environment.
#[derive(Args)]
#[command(
    after_help = "Example:\n  PLUGINS=dir://$PWD/target/plugins DB_HOST=127.0.0.1 DB_TLS=disable DB_USER=sym_bot DB_PASSWORD=… \\\n    symctl invoke --new-run events/v6/escalate-role.json"
)]
pub(crate) struct InvokeArgs {
    /// The event, as JSON; `-` reads standard input.
    event: PathBuf,
    /// Give the event a run id of its own, so that a saved event can be sent
    /// again. The id is printed to standard error.
    #[arg(long, conflicts_with = "run")]
    new_run: bool,
    /// Give the event this run id: that of an earlier `--new-run`.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
}

pub(crate) fn run(args: &InvokeArgs) -> anyhow::Result<Status> {
    let mut event = input::event(&args.event)?;
    let run_id = match (&args.run, args.new_run) {
        (Some(id), _) => Some(id.clone()),
        (None, true) => Some(new_id()?),
        (None, false) => None,
    };
    if let Some(id) = run_id {
        event = with_run_id(&event, &id)?;
        output::note(&format!("run id: {id}"));
    }
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let served = runtime.block_on(async {
        let host = Host::new(|name| std::env::var(name).ok());
        host.handle(
            &event,
            Invocation {
                request_id: "symctl",
                time_left: None,
            },
        )
        .await
    });
    output::json(&served.response);
    Ok(Status::of(&served.response))
}

/// The event with another last part of `run.srn`.
fn with_run_id(event: &str, id: &str) -> anyhow::Result<String> {
    let mut event: Value = serde_json::from_str(event).context("the event is not valid JSON")?;
    let srn = event
        .pointer("/run/srn")
        .and_then(Value::as_str)
        .context("the event has no `run.srn` to change")?;
    let Some((rest, _)) = srn.rsplit_once(':') else {
        bail!("the event's `run.srn` is no SRN: `{srn}`")
    };
    event["run"]["srn"] = format!("{rest}:{id}").into();
    Ok(event.to_string())
}

/// A random UUID (version 4).
fn new_id() -> anyhow::Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow::anyhow!("the system has no random bytes: {error}"))?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_run_id_replaces_the_last_part_alone() {
        let event = with_run_id(r#"{"run":{"srn":"o:run:f:1.0.0:old"},"x":1}"#, "new")
            .expect("is an event");
        assert_eq!(event, r#"{"run":{"srn":"o:run:f:1.0.0:new"},"x":1}"#);
    }

    #[test]
    fn run_ids_are_uuids_of_their_own() {
        let id = new_id().expect("has random bytes");
        assert_eq!(id.len(), 36);
        assert_ne!(id, new_id().expect("has random bytes"));
    }
}
