//! Keys that sign releases: files of ours, in PKCS#8, or AWS KMS.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use sym_host::config::DEFAULT_FUNCTION;
use sym_host::env::FUNCTION_NAME;
use sym_host::plugin::dsse::{Envelope, Signature, pre_authentication_encoding};
use sym_host::plugin::trust::{PublicKey, Trust};

use crate::kms::KmsKey;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";

/// Who signs.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct KeyArgs {
    /// The private key, from `symctl keygen`.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A key in AWS KMS instead: its id, ARN or alias.
    #[arg(long, value_name = "ARN")]
    kms_key: Option<String>,
}

impl KeyArgs {
    /// The key.
    pub(crate) async fn open(&self) -> anyhow::Result<SigningKey> {
        match (&self.key, &self.kms_key) {
            (Some(path), _) => SigningKey::read(path),
            (None, Some(id)) => Ok(SigningKey::in_kms(KmsKey::open(id).await?)),
            (None, None) => bail!("`--key` or `--kms-key` is missing"),
        }
    }
}

/// The keys whose statements count: the signer's own, and those of `--trust`.
/// Who can write the store must neither choose what is signed anew, nor the
/// serial that comes next.
pub(crate) fn believed(key: &SigningKey, trust: Option<&str>) -> anyhow::Result<Vec<PublicKey>> {
    let mut keys = vec![key.public()];
    if let Some(text) = trust {
        keys.extend(trusted(text)?);
    }
    Ok(keys)
}

/// What `--trust` says.
pub(crate) fn trust(text: &str) -> anyhow::Result<Trust> {
    // Each a line, as of several files together.
    let lines = text.lines().map(str::trim);
    let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
    Trust::parse(&lines.join(",")).map_err(|why| match Path::new(text).is_file() {
        true => {
            anyhow!("`--trust` takes keys, and not a file of them: `--trust \"$(cat {text})\"`")
        }
        false => anyhow!("`--trust` {why}"),
    })
}

/// What `--audience` says, or else the function's name in the environment, by which it goes itself.
pub(crate) fn audience(given: Option<&str>) -> String {
    let name = std::env::var(FUNCTION_NAME.name).ok();
    let name = name.filter(|name| !name.is_empty());
    given
        .map(str::to_owned)
        .or(name)
        .unwrap_or_else(|| DEFAULT_FUNCTION.to_owned())
}

/// The keys of `--trust`, where a pin says too little.
pub(crate) fn trusted(text: &str) -> anyhow::Result<Vec<PublicKey>> {
    match trust(text)? {
        Trust::Keys(trusted) => Ok(trusted.iter().map(|key| key.public_key().clone()).collect()),
        Trust::Pin(_) => bail!("`--trust` is a pin, expected keys"),
    }
}

/// What a key can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Algorithm {
    /// Small and fast; what there is no reason against.
    Ed25519,
    /// What AWS KMS and hardware have.
    P256,
}

/// A private key.
pub(crate) struct SigningKey {
    name: String,
    pair: Pair,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
    Kms(KmsKey),
}

impl SigningKey {
    /// A new key, and its PKCS#8.
    pub(crate) fn generate(name: &str, algorithm: Algorithm) -> anyhow::Result<(Self, Vec<u8>)> {
        let no_random = |_| anyhow!("the system has no random bytes");
        let document = match algorithm {
            // Version 1, which OpenSSL reads too.
            Algorithm::Ed25519 => Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new()),
            Algorithm::P256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
            }
        };
        let document = document.map_err(no_random)?.as_ref().to_vec();
        Ok((Self::from_pkcs8(name, &document)?, document))
    }

    /// Reads a key. Its name is the file's, without `.key`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("can't read the key `{}`", path.display()))?;
        let body = text
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END))
            .map(|(body, _)| body.split_whitespace().collect::<String>());
        let document = body.and_then(|body| STANDARD.decode(body).ok());
        let Some(document) = document else {
            bail!(
                "`{}` is no private key in PEM (PKCS#8): `symctl keygen` makes one",
                path.display()
            );
        };
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::from_pkcs8(&name, &document)
    }

    /// A key that KMS keeps.
    pub(crate) fn in_kms(key: KmsKey) -> Self {
        Self {
            name: key.id().to_owned(),
            pair: Pair::Kms(key),
        }
    }

    fn from_pkcs8(name: &str, document: &[u8]) -> anyhow::Result<Self> {
        let ed25519 = Ed25519KeyPair::from_pkcs8(document).map(Pair::Ed25519);
        let pair = ed25519.or_else(|_| {
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document).map(Pair::P256)
        });
        let pair = pair.map_err(|_| anyhow!("the key is neither Ed25519 nor P-256"))?;
        Ok(Self {
            name: name.to_owned(),
            pair,
        })
    }

    /// What verifies its signatures.
    pub(crate) fn public(&self) -> PublicKey {
        match &self.pair {
            Pair::Ed25519(pair) => PublicKey::Ed25519(pair.public_key().as_ref().to_vec()),
            Pair::P256(pair) => PublicKey::P256(pair.public_key().as_ref().to_vec()),
            Pair::Kms(key) => key.public().clone(),
        }
    }

    /// An item of `PLUGIN_TRUST`.
    pub(crate) fn trust(&self, name: &str) -> String {
        format!("{name}:{}", STANDARD.encode(self.public().to_spki()))
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Signs a statement.
    pub(crate) async fn sign(&self, payload: Vec<u8>) -> anyhow::Result<Envelope> {
        let message = pre_authentication_encoding(&payload);
        let bytes = match &self.pair {
            Pair::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
            Pair::P256(pair) => {
                let signature = pair.sign(&SystemRandom::new(), &message);
                let signature = signature.map_err(|_| anyhow!("the key can't sign"))?;
                signature.as_ref().to_vec()
            }
            Pair::Kms(key) => key.sign(&message).await?,
        };
        // Before anything is published: a function would refuse it.
        if !self.public().verifies(&message, &bytes) {
            bail!(
                "the key `{}` made a signature that isn't its own",
                self.name
            );
        }
        Ok(Envelope {
            payload,
            signatures: vec![Signature {
                key_id: self.name.clone(),
                bytes,
            }],
        })
    }
}

/// A private key as a file has it: PKCS#8 in PEM.
pub(crate) fn pem(pkcs8: &[u8]) -> String {
    let encoded = STANDARD.encode(pkcs8);
    let mut text = format!("{BEGIN}\n");
    for line in encoded.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// Writes a file of a key, with these permissions at most: never over another, and
/// whole or not at all.
pub(crate) fn write_new(path: &str, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = File::options();
    let opened = options.write(true).create_new(true).mode(mode).open(path);
    if let Err(error) = &opened
        && error.kind() == ErrorKind::AlreadyExists
    {
        bail!("`{path}` is there already, and a key is never overwritten: choose another name");
    }
    let can_not = || format!("can't write `{path}`");
    let mut file = opened.with_context(can_not)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a key would only keep the next try from making one.
        let _ = fs::remove_file(path);
    }
    written.with_context(can_not)
}
