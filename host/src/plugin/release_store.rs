//! Where published releases are: an S3 bucket, or a directory laid out alike.
//!
//! ```text
//! objects/<sha256>          any file of a release; never changed
//! releases/<sha256>.json    signed statements that are or were in use; never changed
//! current.json              the statement that is in use: the one name that changes
//! ```
//!
//! Nothing in here is believed: [`trust`](super::trust) is for that. What is
//! read has a limit, whatever the other side says about its length.

mod directory;
mod s3;

use std::path::PathBuf;
use std::time::SystemTime;
use std::{fmt, io};

use super::sealed::{Sealed, Sealing};
use super::statement::Digest;
use crate::aws::Aws;
use crate::event::printable;

/// The key of the pointer.
pub const CURRENT: &str = "current.json";

/// The directory of the statements.
pub const RELEASES: &str = "releases/";

/// The directory of everything else.
pub const OBJECTS: &str = "objects/";

/// The key of a file's bytes.
pub fn object_key(digest: Digest) -> String {
    format!("{OBJECTS}{digest}")
}

/// The key of a statement.
pub fn release_key(digest: Digest) -> String {
    format!("{RELEASES}{digest}.json")
}

/// Whether a key is one that [`object_key`] or [`release_key`] gives.
fn is_key(key: &str) -> bool {
    let release = || key.strip_prefix(RELEASES)?.strip_suffix(".json");
    let name = key.strip_prefix(OBJECTS).or_else(release);
    name.and_then(Digest::parse).is_some()
}

/// A place for releases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseStore {
    /// `s3://bucket/prefix`.
    S3 {
        /// The bucket.
        bucket: String,
        /// Before every key: empty, or it ends in `/`.
        prefix: String,
    },
    /// `file:///dir`.
    Directory(PathBuf),
}

/// What was read.
#[derive(Clone, Debug)]
pub struct Object {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Tells two states of the object apart.
    pub etag: String,
}

/// One of a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Its length.
    pub bytes: u64,
    /// When it was last written, by the store's clock, where that says so.
    pub written: Option<SystemTime>,
}

/// Why something couldn't be read or written: a clause whose subject is the
/// object.
#[derive(Debug)]
pub enum StoreError {
    /// It isn't there.
    Missing,
    /// It is longer than it may be.
    TooLarge {
        /// How long it may be.
        most: u64,
    },
    /// Somebody else changed it first.
    Changed,
    /// The store has no conditional writes.
    Unconditional,
    /// The store can't be reached, or refuses. The detail is for the log.
    Unavailable(String),
}

/// The cause, for the log, of an error that a store is to blame for.
#[derive(Debug)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::TooLarge { most } => write!(f, "is longer than {most} bytes"),
            Self::Changed => f.write_str("was changed by somebody else at the same time"),
            Self::Unconditional => f.write_str(
                "can't be written: the store has no conditional writes, without which one publisher would undo another: use \
                 one that has them",
            ),
            Self::Unavailable(_) => f.write_str("can't be reached"),
        }
    }
}

impl std::error::Error for StoreError {}

impl ReleaseStore {
    /// Reads an URL: `s3://bucket/prefix` or `file:///dir`.
    ///
    /// # Errors
    /// What was expected, as a clause whose subject is the URL.
    pub fn parse(url: &str) -> Result<Self, String> {
        let expected = |what: &str| format!("is `{}`, expected {what}", printable(url, 120));
        let wrong = || expected("`s3://bucket/prefix` or `file:///path/of/a/directory`");
        if let Some(path) = url.strip_prefix("file://") {
            if !path.starts_with('/') || path.contains('\0') {
                return Err(wrong());
            }
            return Ok(Self::Directory(PathBuf::from(path)));
        }
        let rest = url.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_bucket =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        if !(3..=63).contains(&bucket.len()) || !bucket.bytes().all(is_bucket) {
            return Err(expected(
                "the name of a bucket in it: 3 to 63 lower case letters, digits, `.` and `-`",
            ));
        }
        let prefix = prefix.trim_end_matches('/');
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().any(|byte| byte != b'.')
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"!-_.*'()=".contains(&byte))
        };
        let is_prefix = prefix.len() <= 500 && prefix.split('/').all(is_part);
        if !(prefix.is_empty() || is_prefix) {
            return Err(expected(
                "a prefix of at most 500 letters, digits and `!-_.*'()=`, in parts between single `/`",
            ));
        }
        Ok(Self::S3 {
            bucket: bucket.to_owned(),
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
        })
    }

    /// Reads an object, of at most `most` bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::TooLarge`], [`StoreError::Unavailable`].
    pub async fn get(&self, aws: &Aws, key: &str, most: u64) -> Result<Object, StoreError> {
        let object = self.get_if_changed(aws, key, most, None).await?;
        object.ok_or_else(|| StoreError::Unavailable("304 to a request without an etag".to_owned()))
    }

    /// The same, or `None` where it is still as it was with this etag.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_if_changed(
        &self,
        aws: &Aws,
        key: &str,
        most: u64,
        etag: Option<&str>,
    ) -> Result<Option<Object>, StoreError> {
        match self {
            Self::S3 { bucket, prefix } => {
                s3::get(aws, bucket, &format!("{prefix}{key}"), most, etag).await
            }
            Self::Directory(root) => directory::get(root, key, most, etag),
        }
    }

    /// Reads an object that is to be mapped, of at most `most` bytes.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::TooLarge`], [`StoreError::Unavailable`].
    pub(super) async fn get_sealed(
        &self,
        aws: &Aws,
        key: &str,
        most: u64,
    ) -> Result<Sealed, StoreError> {
        let system = |error: io::Error| StoreError::Unavailable(error.to_string());
        let mut sealing = Sealing::new().map_err(system)?;
        match self {
            Self::S3 { bucket, prefix } => {
                let key = format!("{prefix}{key}");
                s3::read(aws, bucket, &key, most, None, &mut sealing).await?;
            }
            Self::Directory(root) => directory::read(&root.join(key), most, &mut sealing)?,
        }
        sealing.seal().map_err(system)
    }

    /// Writes an object that isn't there. Returns whether it wasn't.
    ///
    /// # Errors
    /// [`StoreError::Unconditional`], [`StoreError::Unavailable`].
    pub async fn put_new(&self, aws: &Aws, key: &str, bytes: &[u8]) -> Result<bool, StoreError> {
        match self.put(aws, key, bytes, Condition::IsAbsent).await {
            Ok(()) => Ok(true),
            Err(StoreError::Changed) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an object under a condition.
    ///
    /// # Errors
    /// [`StoreError::Changed`] where the condition doesn't hold,
    /// [`StoreError::Unconditional`], or [`StoreError::Unavailable`].
    pub async fn put(
        &self,
        aws: &Aws,
        key: &str,
        bytes: &[u8],
        condition: Condition<'_>,
    ) -> Result<(), StoreError> {
        match self {
            Self::S3 { bucket, prefix } => {
                s3::put(aws, bucket, &format!("{prefix}{key}"), bytes, condition).await
            }
            Self::Directory(root) => directory::put(root, key, bytes, condition),
        }
    }

    /// The objects of [`OBJECTS`] or the statements of [`RELEASES`], in the order of
    /// their keys. What else somebody has put there isn't the store's, and is left out.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn list(&self, aws: &Aws, below: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = match self {
            Self::S3 { bucket, prefix } => s3::list(aws, bucket, prefix, below).await?,
            Self::Directory(root) => directory::list(root, below)?,
        };
        listed.retain(|listed| is_key(&listed.key));
        Ok(listed)
    }

    /// Deletes an object. One that isn't there is no error.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delete(&self, aws: &Aws, key: &str) -> Result<(), StoreError> {
        match self {
            Self::S3 { bucket, prefix } => s3::delete(aws, bucket, &format!("{prefix}{key}")).await,
            Self::Directory(root) => directory::delete(root, key),
        }
    }

    /// Deletes an object, unless it was written after `than`. Returns whether it did. In
    /// a directory nothing comes between the look and the deletion, in a bucket
    /// something may.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn delete_older(
        &self,
        aws: &Aws,
        key: &str,
        than: SystemTime,
    ) -> Result<bool, StoreError> {
        match self {
            Self::S3 { bucket, prefix } => {
                s3::delete_older(aws, bucket, &format!("{prefix}{key}"), than).await
            }
            Self::Directory(root) => directory::delete_older(root, key, than),
        }
    }
}

/// When an object may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// Only where there is none.
    IsAbsent,
    /// Only over the state with this etag.
    IsStill(&'a str),
    /// In any case.
    Always,
}

impl fmt::Display for ReleaseStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::Directory(path) => write!(f, "file://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let s3 = |bucket: &str, prefix: &str| ReleaseStore::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        assert_eq!(ReleaseStore::parse("s3://bucket"), Ok(s3("bucket", "")));
        assert_eq!(ReleaseStore::parse("s3://bucket/"), Ok(s3("bucket", "")));
        assert_eq!(
            ReleaseStore::parse("s3://bucket/a/b/"),
            Ok(s3("bucket", "a/b/"))
        );
        assert_eq!(
            ReleaseStore::parse("file:///a"),
            Ok(ReleaseStore::Directory("/a".into()))
        );
        for wrong in [
            "",
            "bucket",
            "s3://",
            "s3://Bucket",
            "s3://bucket/../x",
            "s3://bucket//x",
            "s3://bucket/a b",
            "file://a",
            "file:///a\0b",
            "dir:///a",
        ] {
            assert!(ReleaseStore::parse(wrong).is_err(), "{wrong}");
        }
        for (wrong, what) in [
            ("s3://Bucket", "lower case letters"),
            ("s3://bucket/a b", "letters, digits and `!-_.*'()=`"),
        ] {
            let why = ReleaseStore::parse(wrong).expect_err("is wrong");
            assert!(why.contains(what), "{why}");
        }
    }

    #[test]
    fn only_digests_are_names() {
        let digest = Digest::of(b"");
        assert!(is_key(&object_key(digest)));
        assert!(is_key(&release_key(digest)));
        for wrong in [
            CURRENT.to_owned(),
            format!("{OBJECTS}id_ed25519"),
            format!("{OBJECTS}{digest}.json"),
            format!("{OBJECTS}a/{digest}"),
            format!("{RELEASES}{digest}"),
            format!("{RELEASES}a.json"),
        ] {
            assert!(!is_key(&wrong), "{wrong}");
        }
    }
}
