//! What a release says of itself: the digest and the length of every file, for
//! whom it is, and which of two is the newer.
//!
//! Strict: an unknown field is refused, so that an older host never runs a
//! release whose restrictions it can't read. Pure, and it proves nothing by
//! itself: [`trust`](super::trust) looks at who signed it.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::manifest;
use crate::event::printable;

/// The format that this host reads and writes.
pub const SCHEMA: u32 = 1;

/// Largest native code, in bytes: about twice what the largest component has.
pub const MAX_NATIVE_BYTES: u64 = 128 << 20;

/// Highest serial: the ledger keeps it as a bigint.
pub const MAX_SERIAL: u64 = i64::MAX as u64;

/// Most files, and most pieces of native code.
const MAX_ENTRIES: usize = 2 * manifest::MAX_TARGETS + 2;

/// Most audiences, and the length of one in bytes: Lambda's own limit on a
/// function's name.
pub const MAX_AUDIENCES: usize = 100;
const MAX_AUDIENCE_BYTES: usize = 64;

/// A release's statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The functions that may use it, by name.
    pub audience: Vec<String>,
    /// Higher than that of every release before. At least 1.
    pub serial: u64,
    /// When it was made: RFC 3339.
    pub created: String,
    /// What made it, such as `symctl 0.1.0`, or `symctl 0.1.0 rollback`.
    pub publisher: String,
    /// `plugins.toml`, and exactly what it names.
    pub files: Vec<FileEntry>,
    /// Native code of components.
    pub native: Vec<NativeEntry>,
}

/// A file of a release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path, as `plugins.toml` has it.
    pub path: String,
    /// Of its bytes.
    pub sha256: Digest,
    /// Its length.
    pub bytes: u64,
}

/// What a component was compiled to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NativeEntry {
    /// The component.
    pub of: Digest,
    /// The engine that compiled it: [`ENGINE_ID`](super::ENGINE_ID).
    pub engine: String,
    /// What it is for, such as `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// Of the code's bytes.
    pub sha256: Digest,
    /// The code's length.
    pub bytes: u64,
}

impl Statement {
    /// Reads and checks a statement.
    ///
    /// # Errors
    /// A clause whose subject is the statement.
    pub fn from_json(bytes: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Schema {
            schema: u32,
        }
        // First, so that a later format gets the sentence that helps.
        match serde_json::from_slice(bytes) {
            Ok(Schema { schema: SCHEMA }) => {}
            Ok(Schema { schema }) => {
                return Err(format!(
                    "has schema {schema}, and this host knows {SCHEMA}: use a newer host"
                ));
            }
            Err(error) => return Err(format!("is no statement of a release: {error}")),
        }
        let statement: Self = serde_json::from_slice(bytes)
            .map_err(|error| format!("is no statement of a release: {error}"))?;
        statement.check()?;
        Ok(statement)
    }

    /// The bytes to sign.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers serialise")
    }

    /// The file with this path.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }

    fn check(&self) -> Result<(), String> {
        if !(1..=MAX_SERIAL).contains(&self.serial) {
            return Err(format!(
                "has serial {}, expected 1 or more, and at most {MAX_SERIAL}",
                self.serial
            ));
        }
        let is_name = |name: &String| !name.is_empty() && name.len() <= MAX_AUDIENCE_BYTES;
        if self.audience.is_empty()
            || self.audience.len() > MAX_AUDIENCES
            || !self.audience.iter().all(is_name)
        {
            return Err(format!(
                "has a wrong audience, expected 1 to {MAX_AUDIENCES} names of functions"
            ));
        }
        if self.created.parse::<jiff::Timestamp>().is_err() {
            return Err("has a wrong time in `created`, expected RFC 3339".to_owned());
        }
        if self.files.len() > MAX_ENTRIES || self.native.len() > MAX_ENTRIES {
            return Err(format!("has more than {MAX_ENTRIES} files"));
        }
        let mut paths = BTreeSet::new();
        for file in &self.files {
            if !paths.insert(&file.path) {
                return Err(format!("names `{}` twice", printable(&file.path, 120)));
            }
        }
        if self.file(manifest::FILE_NAME).is_none() {
            return Err(format!("has no `{}`", manifest::FILE_NAME));
        }
        let mut kinds = BTreeSet::new();
        for native in &self.native {
            if !self.files.iter().any(|file| file.sha256 == native.of) {
                return Err(format!(
                    "has native code of {}, which is none of its files",
                    native.of
                ));
            }
            if !kinds.insert((native.of, &native.engine, &native.target)) {
                return Err(format!("has native code of {} twice", native.of));
            }
            if native.bytes > MAX_NATIVE_BYTES {
                return Err(format!(
                    "has native code of {} bytes, at most {MAX_NATIVE_BYTES} are allowed",
                    native.bytes
                ));
            }
        }
        Ok(())
    }
}

/// A SHA-256 digest, in text as 64 lower case hexadecimal digits: the name of an
/// object, so no other spelling may be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self::from_sha256(&aws_lc_rs::digest::digest(
            &aws_lc_rs::digest::SHA256,
            bytes,
        ))
    }

    /// One that was taken piece by piece.
    pub(super) fn from_sha256(digest: &aws_lc_rs::digest::Digest) -> Self {
        let mut this = [0; 32];
        this.copy_from_slice(digest.as_ref());
        Self(this)
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut this = [0; 32];
        for (byte, pair) in this.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(this))
    }

    /// Its beginning, which is enough for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::hex(&self.0))
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text)
            .ok_or_else(|| D::Error::custom("expected 64 lower case hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn valid() -> Value {
        let digest = Digest::of(b"").to_string();
        json!({
            "schema": 1, "audience": ["sym-postgres"], "serial": 7,
            "created": "2026-01-02T03:04:05Z", "publisher": "symctl 0.1.0",
            "files": [{"path": "plugins.toml", "sha256": digest, "bytes": 0}],
            "native": [{"of": digest, "engine": "48.0.8/1", "target": "x", "sha256": digest, "bytes": 0}],
        })
    }

    #[test]
    fn a_statement_is_read_as_it_was_written() {
        let text = valid().to_string();
        let statement = Statement::from_json(text.as_bytes()).expect("is valid");
        assert_eq!(Statement::from_json(&statement.to_json()), Ok(statement));
    }

    #[track_caller]
    fn check_refused(pointer: &str, value: Value, expected: &str) {
        let mut statement = valid();
        let (parent, key) = pointer.rsplit_once('/').expect("has a parent");
        let parent = statement.pointer_mut(parent).expect("is there");
        match parent {
            Value::Array(list) => list.push(value),
            parent => parent[key] = value,
        }
        let error = Statement::from_json(statement.to_string().as_bytes()).expect_err("is refused");
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn each_field_is_checked() {
        check_refused("/schema", json!(2), "use a newer host");
        check_refused("/serial", json!(0), "expected 1 or more");
        check_refused("/serial", json!(1u64 << 63), "expected 1 or more");
        check_refused("/audience", json!([]), "wrong audience");
        check_refused("/audience", json!([""]), "wrong audience");
        check_refused("/audience", json!(["a".repeat(65)]), "wrong audience");
        check_refused("/created", json!("yesterday"), "wrong time");
        check_refused("/more", json!(1), "unknown field `more`");
        check_refused("/files/0/more", json!(1), "unknown field `more`");
        check_refused("/files", json!([]), "has no `plugins.toml`");
        check_refused("/files/+", valid()["files"][0].clone(), "twice");
        check_refused("/native/+", valid()["native"][0].clone(), "twice");
        check_refused("/files/0/sha256", json!("../../x"), "hexadecimal");
        let upper = "A".repeat(64);
        check_refused("/files/0/sha256", json!(upper), "hexadecimal");
        let other = Digest::of(b"other").to_string();
        check_refused("/native/0/of", json!(other), "none of its files");
        let most = MAX_NATIVE_BYTES + 1;
        check_refused("/native/0/bytes", json!(most), "at most");
    }
}
