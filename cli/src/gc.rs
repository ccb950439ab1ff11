//! `symctl gc`: old releases, what nobody signed, and objects that no release needs
//! any more.
//!
//! Who can write the store must not choose what is deleted, so what counts as a
//! release here is what a key of `--trust` signed.

use std::collections::BTreeSet;
use std::time::SystemTime;

use anyhow::anyhow;
use clap::Args;
use jiff::SignedDuration;
use serde_json::json;
use sym_host::plugin::release_store::{Listed, OBJECTS, object_key};

use crate::keys::trusted;
use crate::output::{self, Status};
use crate::store::{Believed, Current, Found, Store, block_on, find};

/// Delete old releases, those that lack objects, what no key of `--trust` signed, and
/// the objects that none of the other releases needs. The release in use and the one
/// before it always stay.
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
    /// A release that stays however old it is, such as one that a function's
    /// PLUGIN_TRUST pins: `r7`, as `symctl releases` shows it, or its `sha256`. May be
    /// given several times.
    #[arg(long, value_name = "RELEASE")]
    keep_release: Vec<String>,
    /// Objects stay for so long after they were written: they may be those of a release
    /// that is being published.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1h")]
    older_than: SignedDuration,
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

fn duration(text: &str) -> Result<SignedDuration, &'static str> {
    let duration = text.parse().ok();
    let duration = duration.filter(|duration: &SignedDuration| !duration.is_negative());
    duration.ok_or("expected a time in hours, minutes and seconds, such as `24h` or `1h 30m`")
}

pub(crate) fn run(args: &GcArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    block_on(collect(args, &store))
}

async fn collect(args: &GcArgs, store: &Store) -> anyhow::Result<Status> {
    let keys = trusted(&args.trust)?;
    let than = SystemTime::now().checked_sub(args.older_than.unsigned_abs());
    let than = than.unwrap_or(SystemTime::UNIX_EPOCH);
    let objects = store.list(OBJECTS).await?;
    let Believed {
        current,
        releases: believed,
        unsigned,
    } = store.believed(&keys).await?;
    let Some(in_use) = current else {
        return Err(store.nothing().await);
    };
    if !args.dry_run {
        // A function that pins it reads it there.
        store.remember(&in_use, &believed).await?;
    }
    let Current {
        release: current, ..
    } = in_use;
    let serial = current.statement.serial;
    let is_before = |found: &&Found| found.statement.serial < serial;
    let mut there = objects.iter().map(|object| object.key.clone()).collect();
    let mut before = believed.iter().filter(is_before);
    if !before.all(|found| found.is_whole(&there)) {
        // What was published since we looked for objects may be one of them.
        there = store.objects().await?;
    }
    let named: Result<Vec<&Found>, _> = args
        .keep_release
        .iter()
        .map(|name| find(name, &believed))
        .collect();
    let named = named?;
    // Who can write the store can copy it, and which of all is the one that is pinned
    // isn't seen from here.
    let is_named = |found: &Found| named.iter().any(|named| named.is_same(found));
    // Nobody can roll back to what isn't whole.
    let is_unfinished =
        |found: &&Found| is_before(found) && !found.is_whole(&there) && !is_named(found);
    let (unfinished, releases): (Vec<&Found>, Vec<&Found>) =
        believed.iter().partition(is_unfinished);
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
    let (kept, mut old): (Vec<&Found>, Vec<&Found>) = releases
        .into_iter()
        .partition(|found| found.statement.serial >= oldest || is_named(found));
    old.extend(unfinished);
    let mut needed = needed_by(kept.into_iter(), &current);
    if !args.dry_run {
        // The statements first: one without its objects would be shown as whole.
        let old = old.iter().map(|found| &found.key);
        for key in old.chain(&unsigned) {
            store.delete(key).await?;
        }
        // That may have taken long, and somebody may have published meanwhile.
        let now = store.believed(&keys).await?;
        let now_in_use = now.current.as_ref().map(|current| &current.release);
        needed.extend(needed_by(
            now.releases.iter(),
            now_in_use.unwrap_or(&current),
        ));
    }
    let garbage = objects
        .into_iter()
        .filter(|object| !needed.contains(&object.key));
    let is_old = |object: &Listed| object.written.is_some_and(|written| written <= than);
    let (mut garbage, young): (Vec<Listed>, Vec<Listed>) = garbage.partition(is_old);
    if !young.is_empty() {
        output::note(&format!(
            "{} object(s) that no release needs stay for now: they were written within {:#}",
            young.len(),
            args.older_than
        ));
    }
    let mut status = Status::Done;
    if !args.dry_run {
        let mut deleted = Vec::new();
        for object in garbage {
            // Who publishes writes anew what it found here.
            if store.delete_older(&object.key, than).await? {
                deleted.push(object);
            }
        }
        garbage = deleted;
        // Between a look and a deletion somebody may have done all that.
        if let Some(now) = store.current().await?
            && !now.release.is_whole(&store.objects().await?)
        {
            output::error(&anyhow!(
                "{} was published meanwhile and isn't whole now: publish it again",
                now.release.id()
            ));
            status = Status::Yours;
        }
    }
    let ids: Vec<String> = old.iter().map(|found| found.id()).collect();
    let bytes: u64 = garbage.iter().map(|object| object.bytes).sum();
    if args.json {
        output::json(&json!({
            "releases": ids, "unsigned": unsigned, "objects": garbage.len(), "bytes": bytes,
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
            unsigned.len(),
            garbage.len()
        ));
    }
    Ok(status)
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
