//! `symctl gc`: old releases, and objects that no release needs any more.

use std::collections::BTreeSet;

use anyhow::Context as _;
use clap::Args;
use serde_json::json;
use sym_host::plugin::release_store::{OBJECTS, object_key, release_key};

use crate::output::{self, Status};
use crate::rollback::pinned;
use crate::store::{Store, block_on};

/// Delete old releases, and the objects that none of the others needs. The
/// release in use and the one before it always stay.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl gc s3://bucket/sym-postgres --keep 5")]
pub(crate) struct GcArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// How many releases stay.
    #[arg(long, value_name = "COUNT", default_value_t = 10)]
    keep: usize,
    /// Only show what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &GcArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    block_on(collect(args, &store))
}

async fn collect(args: &GcArgs, store: &Store) -> anyhow::Result<Status> {
    let objects = store.list(OBJECTS).await?;
    // After the objects: what is being published now has its statement before
    // its first object, so each object that was listed has one here.
    let releases = store.releases().await?;
    let current = store.current().await?;
    let current = current
        .with_context(|| format!("nothing was published to `{}` yet", store.url()))?
        .release;
    let serial = current.statement.serial;
    let previous = releases
        .iter()
        .map(|found| found.statement.serial)
        .filter(|other| *other < serial)
        .max();
    let (kept, old): (Vec<_>, Vec<_>) = releases.iter().enumerate().partition(|(index, found)| {
        let its = found.statement.serial;
        *index < args.keep || its >= serial || Some(its) == previous
    });
    let mut needed: BTreeSet<String> = BTreeSet::new();
    let kept = kept.iter().map(|(_, found)| &found.statement);
    for statement in kept.chain([&current.statement]) {
        needed.extend(pinned(statement).map(|(digest, _)| object_key(digest)));
    }
    let garbage: Vec<_> = objects
        .into_iter()
        .filter(|object| !needed.contains(&object.key))
        .collect();
    if !args.dry_run {
        // The statements first: one without its objects would be shown as whole.
        for (_, found) in &old {
            store.delete(&release_key(found.digest)).await?;
        }
        for object in &garbage {
            store.delete(&object.key).await?;
        }
    }
    let ids: Vec<String> = old.iter().map(|(_, found)| found.id()).collect();
    let bytes: u64 = garbage.iter().map(|object| object.bytes).sum();
    if args.json {
        output::json(&json!({
            "releases": ids, "objects": garbage.len(), "bytes": bytes, "dry_run": args.dry_run,
        }));
    } else {
        let verb = if args.dry_run {
            "would delete"
        } else {
            "deleted"
        };
        output::data(&format!(
            "{verb} {} release(s) and {} object(s), {bytes} bytes",
            ids.len(),
            garbage.len()
        ));
    }
    Ok(Status::Done)
}
