//! `symctl releases`: what is in a store.

use clap::Args;
use serde_json::{Value, json};

use crate::output::{self, Status};
use crate::store::{Found, Store, block_on};

/// Show the releases of a store, the newest first. One that isn't whole lacks objects.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl releases s3://bucket/sym-postgres")]
pub(crate) struct ReleasesArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &ReleasesArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    let (current, releases, objects) = block_on(async {
        let (current, releases) = (store.current().await?, store.releases().await?);
        // Last: what a release needs is there before its statement is.
        Ok((current, releases, store.objects().await?))
    })?;
    if current.is_none() && releases.is_empty() {
        return Err(store.nothing());
    }
    let current = current.map(|current| current.release.digest);
    let is_current = |found: &Found| Some(found.digest) == current;
    if args.json {
        let list: Vec<Value> = releases
            .iter()
            .map(|found| {
                let mut release = describe(found, is_current(found));
                release["whole"] = found.is_whole(&objects).into();
                release
            })
            .collect();
        output::json(&list);
        return Ok(Status::Done);
    }
    let mut rows = vec![["RELEASE", "CREATED", "SIGNED BY", "AUDIENCE", ""].map(str::to_owned)];
    for found in &releases {
        rows.push([
            found.id(),
            found.statement.created.clone(),
            found.signers(),
            found.statement.audience.join(", "),
            match (is_current(found), found.is_whole(&objects)) {
                (true, true) => "in use",
                (true, false) => "in use, and not whole",
                (false, true) => "",
                (false, false) => "not whole",
            }
            .to_owned(),
        ]);
    }
    output::table(&rows);
    Ok(Status::Done)
}

/// A release, as JSON has it. Who signed it is what it says itself.
pub(crate) fn describe(found: &Found, is_current: bool) -> Value {
    json!({
        "release": found.id(), "sha256": found.digest, "signed_by": found.signed_by,
        "current": is_current, "statement": found.statement,
    })
}
