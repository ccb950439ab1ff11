//! `symctl rollback`: an older release, signed as a new one.
//!
//! With a new serial: functions refuse one that is lower than any they have
//! accepted, whoever signed it.

use anyhow::{anyhow, bail};
use clap::Args;
use serde_json::json;
use sym_host::plugin::manifest::{FILE_NAME, FileKind, Manifest};
use sym_host::plugin::statement::{Digest, Statement};

use crate::keys::{KeyArgs, believed};
use crate::output::{self, Status};
use crate::steps::Steps;
use crate::store::{
    Believed, Found, SHOWN, SerialArgs, Store, block_on, find, now, publisher, warn_of_compiling,
    warn_of_left_out,
};

/// Ends what makes the statements of this command. It is signed, so that nobody can make
/// a release that was rolled back to look as if it had been published.
const MARK: &str = " rollback";

/// Sign what an older release holds as a new one, and switch to it.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl rollback s3://bucket/sym-postgres r7 --key team.key")]
pub(crate) struct RollbackArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// The release, as `symctl releases` shows it; the beginning is enough.
    /// Without it: the one before the one in use, where there is no doubt which that is.
    release: Option<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Other keys of the function's PLUGIN_TRUST, where others publish too.
    #[arg(long, value_name = "KEYS")]
    trust: Option<String>,
    #[command(flatten)]
    serial: SerialArgs,
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
    // Who can write the store can take the pointer away: a release of a name comes back.
    let wanted = match (&args.release, &before) {
        (Some(name), Some(_)) => find(name, &releases)?,
        (Some(name), None) if !releases.is_empty() => find(name, &releases)?,
        (None, Some(current)) => one_before(&current.release, &releases)?,
        (_, None) => return Err(store.nothing().await),
    };
    // What it is made of may have been collected as garbage.
    let objects = whole(store, wanted).await?;
    steps.done(&format!("{} is whole", wanted.id()));
    if let Some(current) = &before {
        let how = "roll back to one that is, or publish";
        warn_of_left_out(&current.release, &wanted.statement.audience, how);
    }
    let manifest = wanted.statement.file(FILE_NAME);
    let manifest = manifest.and_then(|file| {
        let mut objects = objects.iter();
        let (_, bytes) = objects.find(|(digest, _)| *digest == file.sha256)?;
        Manifest::parse(str::from_utf8(bytes).ok()?).ok()
    });
    if let Some(manifest) = &manifest {
        let files = manifest.files().into_iter();
        let components = files.filter(|(_, kind)| *kind == FileKind::Component);
        let components = components.map(|(path, _)| path).collect();
        warn_of_compiling(&wanted.id(), &wanted.statement, &components);
    }
    let in_use = before.as_ref().map(|current| &current.release);
    let statement = Statement {
        serial: args.serial.next(releases.iter().chain(in_use))?,
        created: now()?,
        publisher: publisher() + MARK,
        ..wanted.statement.clone()
    };
    let payload = statement.to_json();
    Statement::from_json(&payload).map_err(|why| anyhow!("the release {why}"))?;
    let envelope = key.sign(payload).await?;
    let digest = envelope.digest();
    let envelope = envelope.to_json();
    let id = format!("r{}-{}", statement.serial, digest.short());
    for (digest, bytes) in &objects {
        store.bring(*digest, bytes, before.as_ref()).await?;
    }
    if let Some(current) = &before {
        store.remember(current, &releases).await?;
    }
    store.switch(&id, &envelope, before.as_ref()).await?;
    let replaced = in_use.map(Found::id);
    steps.done(&format!(
        "{} is {id} now, which holds what {} does, in place of {}",
        store.url(),
        wanted.id(),
        replaced.as_deref().unwrap_or("none")
    ));
    let status = store.settle(&id, digest, &envelope, &objects).await;
    if args.json {
        output::json(&json!({
            "release": id, "sha256": digest, "of": wanted.id(), "before": replaced,
        }));
    } else {
        output::data(&id);
    }
    Ok(status)
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

/// The release that the one in use has replaced. Every statement in the store is or was
/// in use, so it has the serial below. Who can write the store can take away statements
/// and put back an old pointer: where that could be, the person has to choose.
fn one_before<'a>(current: &Found, releases: &'a [Found]) -> anyhow::Result<&'a Found> {
    let serial = current.statement.serial;
    let mut older: Vec<&Found> = Vec::new();
    for found in releases {
        let is_known = older.iter().any(|other| other.is_same(found));
        if found.statement.serial < serial && !is_known {
            older.push(found);
        }
    }
    let newer = releases
        .iter()
        .find(|found| found.statement.serial >= serial && !found.is_same(current));
    let of_last = older
        .iter()
        .filter(|found| found.statement.serial + 1 == serial);
    let of_last: Vec<&Found> = of_last.copied().collect();
    let id = current.id();
    let why = match of_last[..] {
        _ if older.is_empty() => bail!("there is no release before {id}, which is in use"),
        _ if current.statement.publisher.ends_with(MARK) => {
            format!(
                "{id} was itself put in use by a rollback, so the one before it is what was left then"
            )
        }
        _ if let Some(newer) = newer => {
            format!("{} is no older than {id}, which is in use", newer.id())
        }
        [] => format!("r{}, the one before {id}, is missing", serial - 1),
        [only] if is_for_one_of(only, current) => return Ok(only),
        [other] => format!("{} is for other functions than {id}", other.id()),
        _ => format!("there are several with the serial before that of {id}"),
    };
    let shown: Vec<String> = older.iter().take(SHOWN).map(|found| found.id()).collect();
    bail!(
        "{why}: name the release to roll back to, such as {}",
        shown.join(", ")
    )
}

/// Whether any function of one release may use the other too. Who can write the store can
/// bring a release of the same key from another store.
fn is_for_one_of(one: &Found, other: &Found) -> bool {
    let mut names = one.statement.audience.iter();
    names.any(|name| other.statement.audience.contains(name))
}
