//! `symctl status`: the release that functions use.

use std::collections::BTreeMap;

use clap::Args;
use sym_host::event::printable;
use sym_host::plugin::ENGINE_ID;

use crate::output::{self, Status};
use crate::releases::describe;
use crate::store::{Store, block_on};

/// Most characters of what the store says, and nobody may have signed.
const SHOWN: usize = 200;

/// Show the release that is in use: since when, signed by whom, and for which
/// hosts there is native code. All of it is what the store says, and no signature is
/// looked at: `symctl verify` does that.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl status s3://bucket/sym-postgres")]
pub(crate) struct StatusArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &StatusArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    let current = block_on(store.current())?;
    let Some(current) = current else {
        return Err(block_on(async { Ok(store.nothing().await) })?);
    };
    let found = current.release;
    if args.json {
        output::json(&describe(&found, true));
        return Ok(Status::Done);
    }
    let statement = &found.statement;
    output::data(&format!("release   {}", found.id()));
    output::data(&format!(
        "since     {}",
        printable(&statement.created, SHOWN)
    ));
    output::data(&format!(
        "signed by {} (its own words: `symctl verify` looks whether it is so)",
        printable(&found.signers(), SHOWN)
    ));
    let audience = statement.audience.join(", ");
    output::data(&format!("audience  {}", printable(&audience, SHOWN)));
    for file in &statement.files {
        output::data(&format!(
            "file      {} ({} bytes)",
            printable(&file.path, SHOWN),
            file.bytes
        ));
    }
    let mut hosts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for native in &statement.native {
        *hosts.entry((&native.engine, &native.target)).or_default() += 1;
    }
    for ((engine, target), count) in hosts {
        let remark = if engine == ENGINE_ID {
            ""
        } else {
            ", not for hosts of this version"
        };
        output::data(&format!(
            "native    {}, engine {}: {count} component(s){remark}",
            printable(target, SHOWN),
            printable(engine, SHOWN)
        ));
    }
    Ok(Status::Done)
}
