//! `symctl publish`: from a directory to the release that functions use.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use serde_json::json;
use sym_host::error::Error;
use sym_host::plugin::manifest::FILE_NAME;
use sym_host::plugin::package::{Package, TARGETS, precompile};
use sym_host::plugin::release_store::RELEASES;
use sym_host::plugin::statement::{Digest, MAX_AUDIENCES, NativeEntry, SCHEMA, Statement};
use sym_host::plugin::{ENGINE_ID, Engine, Release};

use crate::host::failed;
use crate::keys::{KeyArgs, believed};
use crate::output::{self, Status};
use crate::plugin::{has_manifest, try_out};
use crate::steps::Steps;
use crate::store::{Believed, SerialArgs, Store, block_on, now, publisher, warn_of_left_out};

/// Check a directory of plugins, compile it, sign it, upload it, and switch to
/// it. Functions use it when they look next, with no restart.
#[derive(Args)]
#[command(
    after_help = "Example:\n  symctl publish plugins/ --to s3://bucket/sym-postgres --key team.key"
)]
pub(crate) struct PublishArgs {
    /// The directory with `plugins.toml`.
    directory: PathBuf,
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    #[arg(long, value_name = "URL")]
    to: String,
    #[command(flatten)]
    key: KeyArgs,
    /// Other keys of the function's PLUGIN_TRUST, where others publish too.
    #[arg(long, value_name = "KEYS")]
    trust: Option<String>,
    /// The functions that may use it, by name, separated by commas.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "sym-postgres"
    )]
    audience: Vec<String>,
    #[command(flatten)]
    serial: SerialArgs,
    /// Publish no native code: functions compile the components themselves, which takes time
    /// and, of large ones, more memory than a small function has.
    #[arg(long)]
    without_native: bool,
    /// Publish even a plugin that breaks on an ordinary request, or that names the
    /// temporary users of two runs alike.
    #[arg(long)]
    despite_errors: bool,
    /// Do everything but upload and switch.
    #[arg(long)]
    dry_run: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PublishArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.to)?;
    block_on(publish(args, &store))
}

async fn publish(args: &PublishArgs, store: &Store) -> anyhow::Result<Status> {
    let mut steps = Steps::start();
    let key = args.key.open().await?;
    let keys = believed(&key, args.trust.as_deref())?;
    let audience = audience(&args.audience)?;
    // Before what takes long, and again before it is signed.
    if let Some(current) = store.trusted(&keys).await? {
        let how = "name with `--audience` all functions that are to use it";
        warn_of_left_out(&current.release, &audience, how);
    }
    store.list(RELEASES).await?;
    steps.begin("checking the plugins");
    let directory = directory(args)?;
    let (package, release) = match read(&directory)? {
        Ok(read) => read,
        Err(error) => return Ok(failed(&[error])),
    };
    if let Err(errors) = release.check_all().await {
        return Ok(failed(&errors));
    }
    steps.done(&format!("checked {} files", package.files.len()));
    steps.begin("running the plugins' own cases");
    let trial = try_out(&directory, &release).await?;
    let despite = trial.errors.iter().filter(|_| args.despite_errors);
    for advice in trial.advice.iter().chain(despite) {
        output::note(&format!("warning: {advice}"));
    }
    if !trial.failed.is_empty() {
        bail!(
            "{} of {} cases failed (`{}`): `symctl plugin test {}` shows what came out instead",
            trial.failed.len(),
            trial.cases,
            trial.failed.join("`, `"),
            args.directory.display()
        );
    }
    if let (Some(first), false) = (trial.errors.first(), args.despite_errors) {
        let more = match trial.errors.len() - 1 {
            0 => String::new(),
            count => format!(
                ", and {count} more (`symctl plugin check {}`)",
                args.directory.display()
            ),
        };
        bail!("{first}{more}; nothing was published: `--despite-errors` publishes it all the same");
    }
    steps.done(&match trial.cases {
        0 => "there are no cases to run: `symctl plugin test --help` says what they are".to_owned(),
        count => format!("{count} cases passed"),
    });
    drop(release);
    // The advice is of what lies in the directory.
    let is_same = |now: Package| {
        let entries = |package: &Package| -> Vec<_> {
            let files = package.files.iter();
            files.map(|file| file.entry.clone()).collect()
        };
        entries(&now) == entries(&package)
    };
    if !Package::read(&directory).is_ok_and(is_same) {
        bail!(
            "the plugins in `{}` were changed while they were checked; nothing was published: publish again",
            args.directory.display()
        );
    }

    let mut objects: Vec<(Digest, Vec<u8>)> = Vec::new();
    let mut native = Vec::new();
    let mut seen = BTreeSet::new();
    let components: Vec<_> = package
        .files
        .iter()
        .filter(|file| file.is_component && !args.without_native)
        .filter(|file| seen.insert(file.entry.sha256))
        .collect();
    steps.begin_of("compiling", components.len() * TARGETS.len());
    for file in components {
        for target in TARGETS {
            let code = precompile(&file.bytes, target).map_err(|error| anyhow!(error.to_log()))?;
            let sha256 = Digest::of(&code);
            native.push(NativeEntry {
                of: file.entry.sha256,
                engine: ENGINE_ID.to_owned(),
                target: target.to_owned(),
                sha256,
                bytes: code.len() as u64,
            });
            steps.done(&format!(
                "compiled {} for {target}: {} kB",
                file.entry.path,
                code.len() / 1000
            ));
            steps.advance(1);
            objects.push((sha256, code));
        }
    }

    steps.begin("looking at the store, and signing");
    let Believed {
        current: before,
        releases,
        unsigned,
    } = store.believed(&keys).await?;
    let in_use = before.iter().map(|current| &current.release);
    let serial = args.serial.next(releases.iter().chain(in_use))?;
    if serial == 1 && args.serial.is_none() && !unsigned.is_empty() {
        output::note(&format!(
            "warning: this is the first release of your keys, beside {} statement(s) that none of them signed: a function that \
             has accepted one of those refuses this; name its other keys with `--trust`, or the serial that it has accepted \
             with `--after`",
            unsigned.len()
        ));
    }
    let statement = Statement {
        schema: SCHEMA,
        audience,
        serial,
        created: now()?,
        publisher: publisher(),
        files: package
            .files
            .iter()
            .map(|file| file.entry.clone())
            .collect(),
        native,
    };
    objects.extend(
        package
            .files
            .into_iter()
            .map(|file| (file.entry.sha256, file.bytes)),
    );
    let payload = statement.to_json();
    Statement::from_json(&payload).map_err(|why| anyhow!("the release {why}"))?;
    let envelope = key.sign(payload).await?;
    let digest = envelope.digest();
    let envelope = envelope.to_json();
    let id = format!("r{}-{}", statement.serial, digest.short());
    steps.done(&format!("signed {id} with `{}`", key.name()));

    let mut status = Status::Done;
    if !args.dry_run {
        let count = objects.len();
        let mut new = 0;
        let total = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        steps.begin_of("uploading bytes", total);
        for (digest, bytes) in &objects {
            new += usize::from(store.bring(*digest, bytes, before.as_ref()).await?);
            steps.advance(bytes.len());
        }
        steps.done(&format!(
            "uploaded {new} of {count} objects, the others are in use"
        ));
        if let Some(current) = &before {
            store.remember(current, &releases).await?;
        }
        store.switch(&id, &envelope, before.as_ref()).await?;
        steps.done(&format!("{} is {id} now", store.url()));
        status = store.settle(&id, digest, &envelope, &objects).await;
    }
    if args.json {
        output::json(&json!({
            "release": id, "sha256": digest, "url": store.url(), "dry_run": args.dry_run,
            "before": before.map(|current| current.release.id()), "statement": statement,
        }));
    } else {
        output::data(&id);
    }
    Ok(status)
}

/// The names of functions, as Lambda has them: none can have another, and a blank
/// beside a comma belongs to none.
fn audience(names: &[String]) -> anyhow::Result<Vec<String>> {
    let is_proper = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let names: Vec<String> = names.iter().map(|name| name.trim().to_owned()).collect();
    if names.len() > MAX_AUDIENCES {
        bail!(
            "`--audience` has {} functions, a release is for {MAX_AUDIENCES} at most",
            names.len()
        );
    }
    for name in &names {
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_proper) {
            bail!(
                "`{name}` in `--audience` is no function's name, expected up to 64 letters, digits, `-` and `_`"
            );
        }
    }
    Ok(names)
}

fn directory(args: &PublishArgs) -> anyhow::Result<PathBuf> {
    let directory = args
        .directory
        .canonicalize()
        .with_context(|| format!("can't read `{}`", args.directory.display()))?;
    if !has_manifest(&directory)? {
        bail!(
            "`{}` has no `{FILE_NAME}`: name the directory that has one",
            args.directory.display()
        );
    }
    Ok(directory)
}

/// What is to be signed, and the same as the function would load it: read once, so that
/// what is checked is what is signed.
fn read(directory: &Path) -> anyhow::Result<Result<(Package, Release), Error>> {
    let engine = Engine::new().map_err(|error| anyhow!(error.to_log()))?;
    Ok(Package::read(directory).and_then(|package| {
        let release = package.release(&engine)?;
        Ok((package, release))
    }))
}
