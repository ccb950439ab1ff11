//! `symctl keygen`: a key that signs releases.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::json;

use crate::keys::{Algorithm, SigningKey, pem, write_new};
use crate::kms::KmsKey;
use crate::output::{self, Status};
use crate::store::block_on;

/// Make a key that signs releases: `NAME.key`, which stays secret, and
/// `NAME.pub`, which is for the function's variable `PLUGIN_TRUST` and is
/// printed too.
#[derive(Args)]
#[command(after_help = "Example:\n  symctl keygen team")]
pub(crate) struct KeygenArgs {
    /// The key's name: letters, digits, `-` and `_`.
    name: String,
    /// Which kind of key.
    #[arg(long, value_enum, default_value = "ed25519")]
    algorithm: Algorithm,
    /// Make no key: write `NAME.pub` for one that AWS KMS keeps (its id, ARN or
    /// alias).
    #[arg(long, value_name = "ARN", conflicts_with = "algorithm")]
    kms_key: Option<String>,
    /// Make no key: write `NAME.pub` anew for this private one.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["algorithm", "kms_key"])]
    key: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &KeygenArgs) -> anyhow::Result<Status> {
    let is_proper = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if args.name.is_empty() || args.name.len() > 64 || !args.name.bytes().all(is_proper) {
        bail!(
            "`{}` can't be a key's name, expected up to 64 letters, digits, `-` and `_`",
            args.name
        );
    }
    let (key, private) = match (&args.kms_key, &args.key) {
        (Some(id), _) => (SigningKey::in_kms(block_on(KmsKey::open(id))?), None),
        (None, Some(path)) => (SigningKey::read(path)?, None),
        (None, None) => {
            let (key, pkcs8) = SigningKey::generate(&args.name, args.algorithm)?;
            let private = format!("{}.key", args.name);
            if Path::new(&private).exists() {
                bail!(
                    "`{private}` is there already, and a key is never overwritten: choose another name, or write its public \
                     half with `symctl keygen {} --key {private}`",
                    args.name
                );
            }
            write_new(&private, &pem(&pkcs8), 0o600)?;
            (key, Some(private))
        }
    };
    let public = format!("{}.pub", args.name);
    let trust = key.trust(&args.name);
    let written = write_new(&public, &format!("{trust}\n"), 0o666);
    if let (Err(_), Some(private)) = (&written, &private) {
        // A key without the other half would only keep the next try from making one.
        let _ = fs::remove_file(private);
    }
    written?;
    output::note("the function's variable PLUGIN_TRUST is:");
    if args.json {
        output::json(&json!({"trust": trust, "private": private, "public": public}));
    } else {
        output::data(&trust);
    }
    if let Some(private) = &private {
        output::note(&format!(
            "`{private}` signs releases: keep it where your other secrets are"
        ));
    }
    Ok(Status::Done)
}
