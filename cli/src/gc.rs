//! `symctl gc`: old releases, what nobody signed, and objects that no release needs
//! any more.
//!
//! Who can write the store must not choose what is deleted, so what counts as a
//! release here is what a key of `--trust` signed.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use clap::Args;
use serde_json::json;
use sym_host::plugin::release_store::{OBJECTS, object_key};

use crate::keys::trusted;
use crate::output::{self, Status};
use crate::store::{Found, Store, block_on};

/// Delete old releases, what a publish that died has left of one, what no key of
/// `--trust` signed, and the objects that none of the other releases needs. The
/// release in use and the one before it always stay.
#[derive(Args)]
#[command(
    after_help = "Example:\n  symctl gc s3://bucket/sym-postgres --trust \"$(cat team.pub)\" --keep 5"
)]
pub(crate) struct GcArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// The function's PLUGIN_TRUST, and older keys as long as their releases have to
    /// stay: what none of these keys signed is deleted.
    #[arg(long, value_name = "KEYS")]
    trust: String,
    /// How many releases stay.
    #[arg(long, value_name = "COUNT", value_parser = count, default_value_t = 10)]
    keep: usize,
    /// Only show what would be deleted.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn count(text: &str) -> Result<usize, &'static str> {
    let count = text.parse();
    count.map_err(|_| "expected a number of releases, such as `10`")
}

pub(crate) fn run(args: &GcArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    block_on(collect(args, &store))
}

async fn collect(args: &GcArgs, store: &Store) -> anyhow::Result<Status> {
    let keys = trusted(&args.trust)?;
    let objects = store.list(OBJECTS).await?;
    // After the objects: what is being published now has its statement before its first
    // object, so each object that it has brought has one here. What it found there, it
    // looks for once more in the end.
    let believed = store.believed(&keys).await?;
    let current = believed
        .current
        .with_context(|| format!("nothing was published to `{}` yet", store.url()))?
        .release;
    let serial = current.statement.serial;
    let is_before = |found: &&Found| found.statement.serial < serial;
    let mut there = objects.iter().map(|object| object.key.clone()).collect();
    let mut before = believed.releases.iter().filter(is_before);
    if !before.all(|found| found.is_whole(&there)) {
        // What was published since we looked for objects may be one of them.
        there = store.objects().await?;
    }
    // A publish switches when all of its objects are there. One that hasn't, and whose
    // serial was overtaken, can't any more: the pointer isn't the one that it has read.
    // So what is before the release in use and not whole was never in use.
    let is_unfinished = |found: &Found| is_before(&found) && !found.is_whole(&there);
    let (unfinished, releases): (Vec<Found>, Vec<Found>) =
        believed.releases.into_iter().partition(is_unfinished);
    // Each serial once: who can write the store can copy a statement, and write it
    // otherwise, as often as they like.
    let serials: BTreeSet<u64> = releases
        .iter()
        .map(|found| found.statement.serial)
        .collect();
    let previous = serials.range(..serial).next_back();
    let newest = serials.iter().rev().take(args.keep);
    let oldest = newest
        .chain(previous)
        .fold(serial, |oldest, other| oldest.min(*other));
    let (kept, mut old): (Vec<_>, Vec<_>) = releases
        .iter()
        .partition(|found| found.statement.serial >= oldest);
    old.extend(&unfinished);
    let mut needed = needed_by(kept.into_iter(), &current);
    if !args.dry_run {
        // The statements first: one without its objects would be shown as whole.
        let old = old.iter().map(|found| &found.key);
        for key in old.chain(&believed.unsigned) {
            store.delete(key).await?;
        }
        // That may have taken long, and somebody may have published meanwhile.
        let now = store.believed(&keys).await?;
        let current = now.current.map_or(current, |current| current.release);
        needed.extend(needed_by(now.releases.iter(), &current));
    }
    let garbage: Vec<_> = objects
        .into_iter()
        .filter(|object| !needed.contains(&object.key))
        .collect();
    if !args.dry_run {
        for object in &garbage {
            store.delete(&object.key).await?;
        }
        // Who published at this very moment looked before we deleted.
        if let Some(now) = store.current().await? {
            ensure!(
                now.release.is_whole(&store.objects().await?),
                "{} was published meanwhile and isn't whole now: publish it again",
                now.release.id()
            );
        }
    }
    let ids: Vec<String> = old.iter().map(|found| found.id()).collect();
    let bytes: u64 = garbage.iter().map(|object| object.bytes).sum();
    if args.json {
        output::json(&json!({
            "releases": ids, "unsigned": believed.unsigned, "objects": garbage.len(), "bytes": bytes,
            "dry_run": args.dry_run,
        }));
    } else {
        let verb = if args.dry_run {
            "would delete"
        } else {
            "deleted"
        };
        output::data(&format!(
            "{verb} {} release(s), {} statement(s) that no key of `--trust` signed, and {} object(s), {bytes} bytes",
            ids.len(),
            believed.unsigned.len(),
            garbage.len()
        ));
    }
    Ok(Status::Done)
}

/// The keys of all objects of these releases.
fn needed_by<'a>(
    releases: impl Iterator<Item = &'a Found>,
    current: &'a Found,
) -> BTreeSet<String> {
    releases
        .chain([current])
        .flat_map(|found| found.objects())
        .map(|(digest, _)| object_key(digest))
        .collect()
}
