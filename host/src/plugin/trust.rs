//! Whose releases run here: decided by the function's own configuration, never
//! by what lies beside the release.
//!
//! Who can write the bucket must not be able to run anything: native code runs
//! beside the database's password. So [`VerifiedRelease`] is made in here alone,
//! by [`Trust::verify`], and bytes of a release become [`VerifiedBytes`] or
//! [`VerifiedNative`] only by a digest and a length that one of those pins.
//! There is no unsigned mode.

use std::path::PathBuf;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::dsse::{self, Envelope};
use super::sealed::Sealed;
use super::statement::{Digest, FileEntry, NativeEntry, Statement};
use crate::error::{Code, Error, Result};
use crate::event::printable;

/// Most keys: each may be tried on each signature.
const MAX_KEYS: usize = 16;

/// Ed25519's SubjectPublicKeyInfo, up to the key: RFC 8410, section 4.
const ED25519_SPKI: &[u8] = &[
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// P-256's, up to the uncompressed point: RFC 5480, section 2. KMS gives keys in
/// just this form.
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Whose releases run: the variable `PLUGIN_TRUST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those that one of these keys signed.
    Keys(Vec<TrustedKey>),
    /// The one whose statement has this digest, whoever signed it.
    Pin(Digest),
}

/// A key whose releases run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    name: String,
    key: PublicKey,
}

/// A public key, as its algorithm's verifier takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// 32 bytes.
    Ed25519(Vec<u8>),
    /// The uncompressed point, 65 bytes.
    P256(Vec<u8>),
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo in DER. Just the two forms that there are:
    /// no parser, nothing to get wrong.
    pub fn from_spki(der: &[u8]) -> Option<Self> {
        if let Some(key) = der.strip_prefix(ED25519_SPKI)
            && key.len() == 32
        {
            return Some(Self::Ed25519(key.to_vec()));
        }
        match der.strip_prefix(P256_SPKI)? {
            key @ [4, ..] if key.len() == 65 => Some(Self::P256(key.to_vec())),
            _ => None,
        }
    }

    /// The SubjectPublicKeyInfo in DER.
    pub fn to_spki(&self) -> Vec<u8> {
        match self {
            Self::Ed25519(key) => [ED25519_SPKI, key].concat(),
            Self::P256(key) => [P256_SPKI, key].concat(),
        }
    }

    /// Whether it signed this.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Self::P256(key) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature)
            }
        }
        .is_ok()
    }
}

impl TrustedKey {
    /// The key, without its name.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// One item of `PLUGIN_TRUST`: `name:base64`.
    ///
    /// # Errors
    /// A clause whose subject is the item.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = "expected `name:key` with a public key as `symctl keygen` prints it";
        let shown = printable(text, 40);
        let Some((name, key)) = text.split_once(':') else {
            return Err(format!("has `{shown}`, {expected}"));
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@/".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_name) {
            return Err(format!(
                "has a key without a proper name, `{shown}`, {expected}"
            ));
        }
        let key = STANDARD.decode(key).ok();
        let key = key.and_then(|key| PublicKey::from_spki(&key));
        let Some(key) = key else {
            return Err(format!(
                "has for `{name}` neither an Ed25519 nor a P-256 public key, {expected}"
            ));
        };
        Ok(Self {
            name: name.to_owned(),
            key,
        })
    }
}

impl Trust {
    /// Reads `PLUGIN_TRUST`.
    ///
    /// # Errors
    /// A clause whose subject is the variable.
    pub fn parse(text: &str) -> Result<Self, String> {
        let items: Vec<&str> = text.split(',').map(str::trim).collect();
        if let Some(pin) = items.iter().find_map(|item| item.strip_prefix("sha256:")) {
            if items.len() > 1 {
                return Err(
                    "has a pin (`sha256:…`) beside something else, expected the one pin or keys"
                        .to_owned(),
                );
            }
            return Digest::parse(pin).map(Self::Pin).ok_or_else(|| {
                "has a wrong pin, expected `sha256:` and 64 lower case hexadecimal digits"
                    .to_owned()
            });
        }
        if items.len() > MAX_KEYS {
            return Err(format!(
                "has {} keys, at most {MAX_KEYS} are allowed",
                items.len()
            ));
        }
        let keys: Result<Vec<TrustedKey>, String> =
            items.into_iter().map(TrustedKey::parse).collect();
        Ok(Self::Keys(keys?))
    }

    /// Looks at who signed an envelope, and for whom it is. Its serial is for
    /// the ledger to look at.
    ///
    /// # Errors
    /// `invalid-plugin`.
    pub fn verify(&self, envelope: &[u8], audience: &str) -> Result<VerifiedRelease> {
        let envelope =
            Envelope::from_json(envelope).map_err(|why| refused(format!("its statement {why}")))?;
        let digest = envelope.digest();
        if let Self::Pin(pin) = self
            && *pin != digest
        {
            return Err(refused(
                "its statement is not the one that `PLUGIN_TRUST` pins",
            ));
        }
        let signers = match self {
            Self::Pin(_) => vec![format!("sha256:{}", digest.short())],
            Self::Keys(keys) => signers(keys, &envelope)?,
        };
        // Only now: what nobody signed is not even parsed.
        let statement = Statement::from_json(&envelope.payload)
            .map_err(|why| refused(format!("its statement {why}")))?;
        if !statement.audience.iter().any(|name| name == audience) {
            return Err(refused(format!(
                "it is for {}, and this function is `{audience}`: publish it with `--audience {audience}`, or ask \
                 `symctl` as a function that it is for (`--audience`, without which it goes by `AWS_LAMBDA_FUNCTION_NAME`)",
                names(&statement.audience)
            )));
        }
        Ok(VerifiedRelease {
            id: format!("r{}-{}", statement.serial, digest.short()),
            digest,
            statement,
            signers,
        })
    }
}

fn signers(keys: &[TrustedKey], envelope: &Envelope) -> Result<Vec<String>> {
    if envelope.signatures.is_empty() {
        return Err(refused("nobody signed it"));
    }
    let message = dsse::pre_authentication_encoding(&envelope.payload);
    let signed = |key: &&TrustedKey| {
        let mut signatures = envelope.signatures.iter();
        signatures.any(|signature| key.key.verifies(&message, &signature.bytes))
    };
    let signers: Vec<String> = keys
        .iter()
        .filter(signed)
        .map(|key| key.name.clone())
        .collect();
    if signers.is_empty() {
        let claimed: Vec<String> = envelope
            .signatures
            .iter()
            .map(|signature| signature.key_id.clone())
            .collect();
        // For the operator alone: nobody has signed these names.
        return Err(refused("no key of `PLUGIN_TRUST` signed it as it is")
            .with_source(format!("it says: {}", names(&claimed))));
    }
    Ok(signers)
}

/// Names that somebody else chose, for a sentence.
fn names(names: &[String]) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(4)
        .map(|name| format!("`{}`", printable(name, 64)))
        .collect();
    shown.join(", ")
}

/// A statement that this function may believe.
#[derive(Clone, Debug)]
pub struct VerifiedRelease {
    id: String,
    digest: Digest,
    statement: Statement,
    signers: Vec<String>,
}

impl VerifiedRelease {
    /// Names it in logs and in the ledger: `r`, the serial, and the beginning of
    /// the statement's digest.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Of its statement: what `PLUGIN_TRUST` can pin.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The statement.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// The trusted keys that signed it, by their names in `PLUGIN_TRUST`.
    pub fn signers(&self) -> &[String] {
        &self.signers
    }

    /// Bytes that are this file's, by digest and length.
    pub(super) fn file(&self, path: &str, bytes: Vec<u8>) -> Result<VerifiedBytes> {
        let entry = self
            .statement
            .file(path)
            .ok_or_else(|| Error::internal(format!("`{path}` is no file of the release")))?;
        let signed = (entry.bytes, entry.sha256);
        let found = (bytes.len() as u64, Digest::of(&bytes));
        check(self.id(), &what_of_file(entry), signed, found)?;
        Ok(VerifiedBytes(bytes))
    }

    /// Bytes that are this native code, by digest and length. `entry` has to be
    /// one of this release's.
    pub(super) fn native(&self, entry: &NativeEntry, code: Sealed) -> Result<VerifiedNative> {
        if !self.statement.native.contains(entry) {
            return Err(Error::internal("native code that no statement names"));
        }
        let what = what_of_native(&self.statement, entry);
        let signed = (entry.bytes, entry.sha256);
        check(self.id(), &what, signed, (code.bytes(), code.digest()))?;
        Ok(VerifiedNative(code))
    }
}

/// A file's bytes, which a verified statement pins.
pub(super) struct VerifiedBytes(Vec<u8>);

impl VerifiedBytes {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Native code, which a verified statement pins as such. The only thing that is
/// ever loaded as machine code.
pub(super) struct VerifiedNative(Sealed);

impl VerifiedNative {
    /// Where this process can open it, as long as this value lives.
    pub(super) fn path(&self) -> PathBuf {
        self.0.path()
    }
}

/// For sentences: which file.
pub(super) fn what_of_file(entry: &FileEntry) -> String {
    format!("`{}`", printable(&entry.path, 120))
}

/// For sentences: of which file it is the native code.
pub(super) fn what_of_native(statement: &Statement, entry: &NativeEntry) -> String {
    let path = statement.files.iter().find(|file| file.sha256 == entry.of);
    let path = path.map_or_else(|| entry.of.short(), |file| printable(&file.path, 120));
    format!("the native code of `{path}`")
}

/// Holds length and digest against what was signed.
fn check(id: &str, what: &str, signed: (u64, Digest), found: (u64, Digest)) -> Result<()> {
    let clause = if found.0 != signed.0 {
        format!("has {} bytes, and {} were signed", found.0, signed.0)
    } else if found.1 != signed.1 {
        "is not what was signed: its digest is another".to_owned()
    } else {
        return Ok(());
    };
    Err(Error::new(
        Code::InvalidPlugin,
        format!("release {id} is refused: {what} {clause}"),
    ))
}

fn refused(why: impl std::fmt::Display) -> Error {
    Error::new(
        Code::InvalidPlugin,
        format!("the release is refused: {why}"),
    )
}

#[cfg(test)]
mod tests;
