//! `symctl rollback`: an older release, signed as a new one.
//!
//! With a new serial: functions refuse one that is lower than any they have
//! accepted, whoever signed it.

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use sym_host::plugin::release_store::{Unreachable, object_key, release_key};
use sym_host::plugin::statement::{Digest, Statement};

use crate::keys::{KeyArgs, believed};
use crate::output::{self, Status};
use crate::steps::Steps;
use crate::store::{Believed, Found, Store, block_on, now, publisher};

/// Sign what an older release holds as a new one, and switch to it.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl rollback s3://bucket/sym-postgres r7 --key team.key")]
pub(crate) struct RollbackArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// The release, as `symctl releases` shows it; the beginning is enough.
    /// Without it: the one before, of those that are whole.
    release: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Other keys of the function's PLUGIN_TRUST, where others publish too.
    #[arg(long, value_name = "KEYS")]
    trust: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &RollbackArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    block_on(rollback(args, &store))
}

async fn rollback(args: &RollbackArgs, store: &Store) -> anyhow::Result<Status> {
    let mut steps = Steps::start();
    let key = args.key.open().await?;
    let keys = believed(&key, args.trust.as_deref())?;
    let Believed {
        current: before,
        releases,
        ..
    } = store.believed(&keys).await?;
    let current = before
        .as_ref()
        .with_context(|| format!("nothing was published to `{}` yet", store.url()))?;
    let (wanted, objects) = match &args.release {
        Some(name) => {
            let named = find(name, &releases)?;
            // What it is made of may have been collected as garbage.
            (named, whole(store, named).await?)
        }
        None => one_before(store, &current.release, &releases).await?,
    };
    steps.done(&format!("{} is whole", wanted.id()));
    let highest = releases.iter().map(|found| found.statement.serial).max();
    let statement = Statement {
        serial: highest
            .unwrap_or_default()
            .max(current.release.statement.serial)
            + 1,
        created: now()?,
        publisher: publisher(),
        ..wanted.statement.clone()
    };
    let payload = statement.to_json();
    Statement::from_json(&payload).map_err(|why| anyhow!("the release {why}"))?;
    let envelope = key.sign(payload).await?.to_json();
    let digest = Digest::of(&envelope);
    let id = format!("r{}-{}", statement.serial, digest.short());
    store.upload(&release_key(digest), &envelope).await?;
    store.switch(&envelope, before.as_ref()).await?;
    // A `symctl gc` that had read the store before the statement was there may have
    // deleted since what it holds.
    for (digest, bytes) in &objects {
        store.upload(&object_key(*digest), bytes).await?;
    }
    steps.done(&format!(
        "{} is {id} now, which holds what {} does",
        store.url(),
        wanted.id()
    ));
    if args.json {
        output::json(&json!({
            "release": id, "sha256": digest, "of": wanted.id(), "before": current.release.id(),
        }));
    } else {
        output::data(&id);
    }
    Ok(Status::Done)
}

/// Every object of a release, if they are all there.
async fn whole(store: &Store, release: &Found) -> anyhow::Result<Vec<(Digest, Vec<u8>)>> {
    let mut objects = Vec::new();
    for (digest, bytes) in release.objects() {
        let there = store.object(digest, bytes).await?;
        if Digest::of(&there) != digest {
            bail!(
                "{} can't be used: object {digest} is not what its name says",
                release.id()
            );
        }
        objects.push((digest, there));
    }
    Ok(objects)
}

/// The newest release before the one in use that is whole: what a publish that died
/// has left was never in use.
async fn one_before<'a>(
    store: &Store,
    current: &Found,
    releases: &'a [Found],
) -> anyhow::Result<(&'a Found, Vec<(Digest, Vec<u8>)>)> {
    let is_older = |found: &&Found| found.statement.serial < current.statement.serial;
    for found in releases.iter().filter(is_older) {
        match whole(store, found).await {
            Ok(objects) => return Ok((found, objects)),
            // It may be whole all the same.
            Err(error) if error.chain().any(|cause| cause.is::<Unreachable>()) => {
                return Err(error);
            }
            Err(error) => output::note(&format!("{} is passed over: {error:#}", found.id())),
        }
    }
    bail!("there is no whole release before the one in use")
}

/// The release of a name.
fn find<'a>(name: &str, releases: &'a [Found]) -> anyhow::Result<&'a Found> {
    // `r1` is not `r12`.
    let is_it = |found: &&Found| {
        found.id() == name
            || found
                .id()
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
            || found.digest.to_string() == name
            || (name.contains('-') && found.id().starts_with(name))
    };
    let mut found = releases.iter().filter(is_it);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => bail!(
            "there is no release `{name}` that your key or one of `--trust` signed: `symctl releases` shows what there is"
        ),
        (Some(_), Some(_)) => bail!("`{name}` is the beginning of several releases"),
    }
}
