//! `symctl verify`: what a function would do with a store.

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use sym_host::aws::Aws;
use sym_host::plugin::release_store::ReleaseStore;
use sym_host::plugin::trial::Part;
use sym_host::plugin::trust::Trust;
use sym_host::plugin::{Engine, Published};

use crate::host::failed;
use crate::keys::{audience, trust};
use crate::output::{self, Status};
use crate::steps::Steps;
use crate::store::{Store, block_on, warn_of_compiling};

/// Fetch, verify and load the release in use, as a function would, and fetch and verify
/// what only functions of another architecture use. The serial is not looked at: that is in
/// the function's ledger, which `symctl doctor` asks. Nor is the function's memory: what it
/// would have to compile itself is a warning.
#[derive(Args)]
#[command(
    after_help = "Example:\n  symctl verify s3://bucket/sym-postgres --trust \"$(cat team.pub)\""
)]
pub(crate) struct VerifyArgs {
    /// The store: `s3://bucket/prefix` or `file:///dir`.
    url: String,
    /// The function's PLUGIN_TRUST.
    #[arg(long, value_name = "KEYS")]
    trust: String,
    /// The function's name. Without it AWS_LAMBDA_FUNCTION_NAME, or else `sym-postgres`.
    #[arg(long, value_name = "NAME")]
    audience: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &VerifyArgs) -> anyhow::Result<Status> {
    let store = Store::open(&args.url)?;
    let published = Published {
        store: ReleaseStore::parse(&args.url).map_err(|why| anyhow!("the store's URL {why}"))?,
        trust: trust(&args.trust)?,
        audience: audience(args.audience.as_deref()),
    };
    let engine = Engine::new().map_err(|error| anyhow!(error.to_log()))?;
    block_on(async {
        let mut steps = Steps::start();
        let aws = Aws::patient();
        let pointer = match published.pointer(&aws, None).await {
            Ok(Some(pointer)) => pointer,
            Ok(None) => return Err(anyhow!("the store gave no pointer")),
            Err(error) => {
                // To a function it is a release that isn't whole.
                let is_pinned = matches!(published.trust, Trust::Pin(_));
                if !is_pinned && matches!(store.current().await, Ok(None)) {
                    return Err(store.nothing().await);
                }
                return Ok(failed(&[error]));
            }
        };
        let id = pointer.release.id().to_owned();
        let verified = pointer.release.clone();
        let signers = verified.signers();
        let sha256 = verified.digest();
        steps.done(&format!("{id} is signed by {}", signers.join(", ")));
        steps.done(&format!("its sha256, which pins it, is {sha256}"));
        let (release, _) = match published.load(&engine, &aws, pointer).await {
            Ok(loaded) => loaded,
            Err(error) => return Ok(failed(&[error])),
        };
        if let Err(error) = published.verify_the_rest(&aws, &verified).await {
            return Ok(failed(&[error]));
        }
        steps.done("every object is what was signed, those for other architectures too");
        if let Err(errors) = release.check_all().await {
            return Ok(failed(&errors));
        }
        steps.done("every plugin loads");
        // Here there is more memory to compile with than a function may have.
        let parts = release.parts();
        let components = parts.iter().map(Part::path).collect();
        warn_of_compiling(&id, verified.statement(), &components);
        if args.json {
            let targets: Vec<&str> = release.targets().map(|(name, _)| name).collect();
            output::json(&json!({
                "release": id, "sha256": sha256, "signers": signers, "targets": targets,
            }));
        } else {
            output::data(&id);
        }
        Ok(Status::Done)
    })
}
