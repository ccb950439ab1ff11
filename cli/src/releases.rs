//! `symctl releases`: what is in a store.

use clap::Args;
use serde_json::{Value, json};
use sym_host::event::printable;

use crate::output::{self, Status};
use crate::store::{Found, Store, block_on, is_unreachable, left_out};

/// Most characters of what a statement says, and nobody may have signed.
const SHOWN: usize = 100;

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
    let (releases, current, objects) = block_on(async {
        let current = match store.current().await {
            // The others are what the person needs to know then.
            Err(error) if !is_unreachable(&error) => {
                left_out(&error);
                None
            }
            current => match current? {
                None if store.is_empty().await? => return Err(store.nothing().await),
                None => {
                    output::note(&store.not_in_use());
                    None
                }
                current => current,
            },
        };
        let mut releases = store.releases().await?;
        let digest = current.as_ref().map(|current| current.release.digest);
        // Whoever switched to it may have died before it lay beside the others.
        if let Some(current) = current
            && !releases.iter().any(|found| Some(found.digest) == digest)
        {
            releases.push(current.release);
            releases.sort_by_key(|found| std::cmp::Reverse(found.statement.serial));
        }
        // Last: what a release needs is there before its statement is.
        Ok((releases, digest, store.objects().await?))
    })?;
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
            printable(&found.signers(), SHOWN),
            printable(&found.statement.audience.join(", "), SHOWN),
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
