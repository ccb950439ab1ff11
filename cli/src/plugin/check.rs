//! `symctl plugin check`: everything that can be said of a plugin before it
//! serves anybody.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use sym_host::plugin::Engine;

use super::subject::Subject;
use crate::host::failed;
use crate::output::{self, Status};
use crate::store::block_on;

/// Check a plugin: what it imports and exports, and its limits.
#[derive(Args)]
#[command(
    after_help = "Examples:\n  symctl plugin check\n  symctl plugin check target/plugins\n  symctl plugin check my-resolver.wasm --json"
)]
pub(crate) struct CheckArgs {
    /// A directory with `plugins.toml`, or a component.
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Status> {
    let subject = Subject::find(&args.path)?;
    let targets = BTreeSet::from(["readonly".to_owned()]);
    let release = subject.load(&Engine::new()?, &targets)?;
    block_on(async {
        let mut errors = Vec::new();
        let mut sections = Vec::new();
        for part in release.parts() {
            match part.check().await {
                Ok(()) if args.json => sections.push(part.section().to_owned()),
                Ok(()) => output::data(&format!(
                    "ok   {}: `{}` exports `{}@0.1`, and imports only what its entry grants",
                    part.section(),
                    part.path(),
                    part.interface()
                )),
                Err(error) => errors.push(error),
            }
        }
        if args.json {
            let errors: Vec<String> = errors.iter().map(|error| error.to_public()).collect();
            output::json(&json!({"release": release.id(), "ok": sections, "errors": errors}));
        }
        Ok(if errors.is_empty() {
            Status::Done
        } else {
            failed(&errors)
        })
    })
}
